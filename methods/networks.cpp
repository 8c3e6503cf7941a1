#include "methods/networks.h"

#include <dlfcn.h>
#include <elf.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <system_error>

#include "audio/fftw_mutex.h"
#include "core/error.h"
#include "core/text.h"
#include "methods/network_stamp_values.h"

namespace mss::methods {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFileName = "libmssbench_networks.so";
constexpr const char* kBuildHint = "./run build makes it (it fetches LibTorch once; docs/building.md)";

template <class T>
bool read_at(std::ifstream& file, std::uint64_t offset, T* values, std::uint64_t count = 1) {
  file.clear();
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(values), static_cast<std::streamsize>(sizeof(T) * count));
  return static_cast<bool>(file);
}

/// Content of a section of a 64-bit ELF file; nothing where the file is not one or has no such section. The file is
/// somebody's build product: sizes are bounded, nothing else is believed.
std::optional<std::string> elf_section(const fs::path& path, const char* name) {
  constexpr std::uint64_t kMostSections = 4096, kMostBytes = 1 << 20;
  std::ifstream file(path, std::ios::binary);
  Elf64_Ehdr head{};
  if (!file || !read_at(file, 0, &head)) return std::nullopt;
  if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64) return std::nullopt;
  if (head.e_shentsize != sizeof(Elf64_Shdr) || head.e_shnum == 0 || head.e_shnum > kMostSections) return std::nullopt;
  std::vector<Elf64_Shdr> sections(head.e_shnum);
  if (!read_at(file, head.e_shoff, sections.data(), sections.size()) || head.e_shstrndx >= sections.size()) {
    return std::nullopt;
  }
  const Elf64_Shdr& strings = sections[head.e_shstrndx];
  if (strings.sh_size > kMostBytes) return std::nullopt;
  std::string names(strings.sh_size, '\0');
  if (!read_at(file, strings.sh_offset, names.data(), names.size())) return std::nullopt;
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_name >= names.size() || section.sh_size > kMostBytes) continue;
    if (std::strcmp(names.c_str() + section.sh_name, name) != 0) continue;
    std::string content(section.sh_size, '\0');
    if (!read_at(file, section.sh_offset, content.data(), content.size())) return std::nullopt;
    return content;
  }
  return std::nullopt;
}

NetworkModule find_module() {
  if (const char* file = std::getenv("MSSBENCH_NETWORKS"); file != nullptr && *file != '\0') {
    NetworkModule module = inspect_network_module(file);
    if (!module.problem.empty()) module.hint = "MSSBENCH_NETWORKS names this file";
    return module;
  }
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed).parent_path();
  std::optional<NetworkModule> first_missing;
  for (const char* folder : {".", MSSBENCH_MODULE_FROM_BIN, "../../lib/mssbench"}) {
    const fs::path file = (program / folder / kFileName).lexically_normal();
    const NetworkModule module = inspect_network_module(file);
    if (fs::exists(file, failed)) return module;
    if (!first_missing) first_missing = module;
  }
  first_missing->problem = "LibTorch was not there when this was built: no " + std::string(kFileName);
  return *first_missing;
}

Error module_error(const NetworkModule& module, std::string_view method) {
  ErrorParts parts;
  parts.code = Code::unsupported;
  parts.where = std::string(method);
  parts.what = module.problem;
  parts.hint = module.hint;
  return Error(parts);
}

void* load(const NetworkModule& module, std::string_view method) {
  // Its own scope (RTLD_LOCAL): the module's copies of our libraries must not replace the program's or each other's.
  void* handle = dlopen(module.file.c_str(), RTLD_NOW | RTLD_LOCAL);
  NetworkModule broken = module;
  broken.hint = kBuildHint;
  if (handle == nullptr) {
    const char* reason = dlerror();
    broken.problem = "the network module does not load: " + std::string(reason == nullptr ? "no reason given" : reason);
    broken.hint = "LibTorch " + module.libtorch + " has moved or is incomplete; " + kBuildHint;
    throw module_error(broken, method);
  }
  return handle;
}

void* find_symbol(void* handle, const char* name, const NetworkModule& module, std::string_view method) {
  void* symbol = dlsym(handle, name);
  if (symbol != nullptr) return symbol;
  NetworkModule broken = module;
  broken.problem = module.file.string() + " has no " + name;
  broken.hint = kBuildHint;
  throw module_error(broken, method);
}

/// The module and what it offers.
struct Loaded {
  void* handle = nullptr;
  const NetworkTable* table = nullptr;
};

const Loaded& loaded(std::string_view method) {
  const NetworkModule& module = network_module();
  if (!module.problem.empty()) throw module_error(module, method);
  // A failed load is tried again by the next call; a good one is kept.
  static std::mutex mutex;
  static Loaded kept;
  const std::lock_guard<std::mutex> lock(mutex);
  if (kept.table != nullptr) return kept;
  kept.handle = load(module, method);
  using Entry = const NetworkTable& (*)(const NetworkHost&);
  void* symbol = find_symbol(kept.handle, kNetworkEntryPoint, module, method);
  Entry entry = nullptr;
  std::memcpy(&entry, &symbol, sizeof entry);
  NetworkHost host;
  host.fftw_planner = &audio::fftw_planner_mutex();
  kept.table = &entry(host);
  return kept;
}

}  // namespace

std::string_view network_stamp() noexcept { return MSS_NETWORK_STAMP; }

NetworkModule inspect_network_module(const fs::path& file) {
  NetworkModule module;
  module.file = file;
  module.hint = kBuildHint;
  std::error_code failed;
  if (!fs::exists(file, failed)) {
    module.problem = "there is no network module " + file.string();
    return module;
  }
  const std::optional<std::string> content = elf_section(file, kNetworkStampSection);
  if (!content) {
    module.problem = file.string() + " is no network module of mssbench";
    return module;
  }
  const std::vector<std::string> lines = core::split(*content, '\n');
  const std::string found = lines.empty() ? std::string() : lines[0];
  if (lines.size() < 2 || found != network_stamp()) {
    module.problem = "the network module " + file.string() + " belongs to another build (expected '" +
                     std::string(network_stamp()) + "', found '" + found + "')";
    return module;
  }
  module.libtorch = lines[1];
  module.hint.clear();
  return module;
}

const NetworkModule& network_module() {
  static const NetworkModule module = find_module();
  return module;
}

std::unique_ptr<Separator> make_network(std::string_view name, const core::Params& params, const core::SpecPart& spec) {
  const NetworkTable* table = loaded(name).table;
  for (const auto& [known, make] : table->methods) {
    if (known == name) return make(params, spec, core::current_stop());
  }
  NetworkModule lacks = network_module();
  lacks.problem = "the network module " + lacks.file.string() + " has no such method";
  lacks.hint = kBuildHint;
  throw module_error(lacks, name);
}

void* network_symbol(const char* symbol, std::string_view what) {
  return find_symbol(loaded(what).handle, symbol, network_module(), what);
}

}  // namespace mss::methods
