// Network methods live in one loadable module, libmssbench_networks.so, because LibTorch costs more than half a second
// to load and a gigabyte to install. The program knows their names, parameters and targets without it; the module is
// loaded by the first Separator that is made, and stays until the program ends.
//
// Program's side: network_module() tells whether a usable module is there (it reads the file's header, it loads
// nothing); make_network() loads it and makes a method. Module's side: NetworkTable, filled by the families'
// add_networks() in module/module.cpp.
//
// The module is compiled against the same headers and links its own copies of the libraries. What crosses the border
// are objects of these headers and mss::Error. Both sides therefore carry a stamp (a hash of the headers, version,
// compiler); a module with another stamp is refused before it is loaded.
//
// The file: environment variable MSSBENCH_NETWORKS if it is set (and nothing else then); else libmssbench_networks.so
// beside the program, in the library folder of the installation (../lib/mssbench), or in that of the build tree
// (../../lib/mssbench).
//
// Thread-safety: all functions may be called from several threads at once.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/params.h"
#include "core/spec.h"
#include "core/stop.h"
#include "methods/separator.h"

namespace mss::methods {

/// What is known of the module without loading it.
struct NetworkModule {
  std::filesystem::path file;  ///< where it is, or the first place where it was looked for
  std::string problem;         ///< why it cannot be used, a clause; empty = it can
  std::string hint;            ///< what to do about it
  std::string libtorch;        ///< "2.15.0", "2.15.0 (CUDA)"; empty = no module
};

/// Looked up once per process.
const NetworkModule& network_module();
/// The same for one file (tests). A missing file is a problem, never an exception.
NetworkModule inspect_network_module(const std::filesystem::path& file);
/// The stamp of this build: what a module has to carry.
std::string_view network_stamp() noexcept;

/// Makes network method `name`. The first call loads the module. Throws Error(unsupported) naming the file, the stamps
/// or the loader's words if there is no usable module, and Error(unsupported) if it does not know `name`.
std::unique_ptr<Separator> make_network(std::string_view name, const core::Params& params, const core::SpecPart& spec);

/// Another symbol of the module, for what floors above offer through it (training/learner.h); loads the module if need
/// be. `what` stands in errors, which are make_network()'s.
void* network_symbol(const char* symbol, std::string_view what);

/// `stop` is the calling thread's token (core/stop.h): the module's copy of that library has one of its own.
using MakeNetwork = std::function<std::unique_ptr<Separator>(const core::Params& params, const core::SpecPart& spec,
                                                             const core::StopToken& stop)>;

/// What a module offers.
struct NetworkTable {
  std::vector<std::pair<std::string, MakeNetwork>> methods;
};

/// What the program lends to the module's copies of the libraries.
struct NetworkHost {
  std::mutex* fftw_planner = nullptr;  ///< FFTW is one per process, and so is the lock on its planner
};

/// What a module exports first of all: `extern "C" const NetworkTable& mssbench_networks(const NetworkHost&)`.
inline constexpr const char* kNetworkEntryPoint = "mssbench_networks";
/// The ELF section that holds "stamp\nLibTorch's version\n", readable without loading.
inline constexpr const char* kNetworkStampSection = ".mssbench";

}  // namespace mss::methods
