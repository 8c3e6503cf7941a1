#include "cli/about.h"

#include <fftw3.h>
#include <fmt/format.h>
#include <sndfile.h>

#include <filesystem>
#include <string_view>

#include "core/isa.h"
#include "core/parallel.h"
#include "core/version.h"
#include "methods/networks.h"
#include "plots/canvas.h"

namespace mss::cli {
namespace {

#ifdef MSSBENCH_HAVE_LIBAV
constexpr bool kHasLibav = true;
#else
constexpr bool kHasLibav = false;
#endif

/// "3.3.10" of "fftw-3.3.10-sse2-avx".
std::string fftw_version_number() {
  const std::string_view text = fftw_version;
  const std::size_t begin = text.find('-') + 1;
  return std::string(text.substr(begin, text.find('-', begin) - begin));
}

std::string sndfile_version_number() {
  const std::string_view text = sf_version_string();
  return std::string(text.substr(text.find('-') + 1));
}

/// "2.15.0 (engine=libtorch)", or "no" with the reason. Nothing is loaded for it.
std::string libtorch_text() {
  const methods::NetworkModule& module = methods::network_module();
  return module.problem.empty() ? module.libtorch + " (engine=libtorch of the networks)"
                                : "no (" + module.problem + ")";
}

}  // namespace

std::string documentation_folder() {
  namespace fs = std::filesystem;
  std::error_code failed;
  const fs::path folder = fs::read_symlink("/proc/self/exe", failed).parent_path();
  if (failed) return {};
  for (const char* place : {MSSBENCH_DOC_FROM_PROGRAM, "../../.."}) {
    const fs::path found = (folder / place).lexically_normal();
    if (fs::is_regular_file(found / "docs" / "cli.md", failed)) return found.string();
  }
  return {};
}

std::string version_text() {
  const std::string documentation = documentation_folder();
  return fmt::format(
      "mssbench {}\n"
      "revision: {}\n"
      "compiler: {} ({})\n"
      "instruction set: {} (processor: {})\n"
      "features: libav {} (mp4, m4a, stem.mp4), Cairo {} (plot), LibTorch {}\n"
      "libraries: FFTW {}, libsndfile {}\n"
      "threads: {}\n"
      "documentation: {}\n",
      core::version(), core::git_revision(), core::compiler(), core::build_type(), core::isa_name(core::active_isa()),
      core::isa_name(core::detected_isa()), kHasLibav ? "yes" : "no", plots::Canvas::available() ? "yes" : "no",
      libtorch_text(), fftw_version_number(), sndfile_version_number(), core::resolve_threads(0),
      documentation.empty() ? "not found" : documentation);
}

core::Value version_value() {
  core::Value out = core::Value::object();
  out["version"] = core::version();
  out["revision"] = core::git_revision();
  out["compiler"] = core::compiler();
  out["build_type"] = core::build_type();
  out["isa"] = core::isa_name(core::active_isa());
  out["processor_isa"] = core::isa_name(core::detected_isa());
  out["libav"] = kHasLibav;
  out["cairo"] = plots::Canvas::available();
  const methods::NetworkModule& module = methods::network_module();
  if (module.problem.empty()) {
    out["libtorch"] = module.libtorch;
  } else {
    out["libtorch"] = core::Value();
    out["libtorch_problem"] = module.problem;
  }
  out["fftw"] = fftw_version_number();
  out["sndfile"] = sndfile_version_number();
  out["threads"] = core::resolve_threads(0);
  out["documentation"] = documentation_folder();
  return out;
}

}  // namespace mss::cli
