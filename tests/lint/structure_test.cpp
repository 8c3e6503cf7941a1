// The rules of docs/architecture.md that a program can check, over the sources of this tree.

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/text.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace fs = std::filesystem;

namespace {

const fs::path& top() {
  static const fs::path folder = fs::path(MSSBENCH_TESTS_DIR).parent_path();
  return folder;
}

/// Module path -> floor, from the table that CMake reads. The longest matching path decides ("methods/nmf" before
/// "methods").
const std::map<std::string, int>& floors() {
  static const std::map<std::string, int> table = [] {
    std::map<std::string, int> out;
    for (const std::string& line : mss::core::split(mss::core::read_text_file(top() / "cmake/floors.txt"), '\n')) {
      if (line.empty() || line.front() == '#') continue;
      const auto space = line.find(' ');
      out[line.substr(0, space)] = std::stoi(line.substr(space));
    }
    return out;
  }();
  return table;
}

std::string module_of(const std::string& path) {
  std::string best;
  for (const auto& [module, floor] : floors()) {
    if (path.rfind(module + "/", 0) == 0 && module.size() > best.size()) best = module;
  }
  return best;
}

/// Line of a module in the table: the order of building.
std::size_t place_of(const std::string& module) {
  const std::string text = "\n" + mss::core::read_text_file(top() / "cmake/floors.txt");
  return text.find("\n" + module + " ");
}

/// May a file of module `from` include a header of module `to`? Lower floors; on one floor only inside the module, and
/// where one lies in the folder of the other, the later in the table the earlier (methods/nmf includes methods, datasets
/// includes datasets/synth).
bool may_include(const std::string& from, const std::string& to) {
  if (from == to) return true;
  if (floors().at(to) < floors().at(from)) return true;
  if (floors().at(to) > floors().at(from)) return false;
  const bool nested = from.rfind(to + "/", 0) == 0 || to.rfind(from + "/", 0) == 0;
  return nested && place_of(to) < place_of(from);
}

/// LibTorch is for nn/torch, the networks (the methods above it), training, and their tests and benchmarks; its headers stay in .cpp
/// files and in *_torch.h.
bool may_use_torch(const std::string& module) {
  if (module == "nn/torch" || module == "benchmarks" || module == "tests") return true;
  const bool above = floors().at(module) > floors().at("nn/torch");
  return above && (module.rfind("methods/", 0) == 0 || module.rfind("training", 0) == 0);
}

bool is_torch_header(const std::string& path) { return path.size() > 8 && path.rfind("_torch.h") == path.size() - 8; }

struct Source {
  std::string path;  ///< from the top
  std::string text;
};

std::vector<std::string> violations(const std::vector<Source>& sources) {
  // Third-party headers by the modules that may use them in public headers; elsewhere they stay in .cpp files.
  const std::vector<std::string> third_party{"Eigen/",  "fftw3.h", "sndfile.h", "samplerate.h", "libav", "nlohmann/",
                                             "toml++/", "CLI/",    "fmt/",      "boost/",       "png.h", "omp.h"};
  std::vector<std::string> found;
  for (const Source& source : sources) {
    const std::string module = module_of(source.path);
    const bool header = source.path.size() > 2 && source.path.substr(source.path.size() - 2) == ".h";
    const bool library = module != "tests" && module != "benchmarks" && module != "cli";
    int number = 0;
    for (const std::string& raw : mss::core::split(source.text, '\n')) {
      ++number;
      const std::string line(mss::core::trim(raw));
      const std::string at = source.path + ":" + std::to_string(number) + ": ";
      if (line.rfind("#include \"", 0) == 0) {
        const std::string included = line.substr(10, line.find('"', 10) - 10);
        const std::string target = module_of(included);
        if (target.empty()) {
          // Generated headers and kernel sources are named by their module too; anything else is a relative path.
          found.push_back(at + "include \"" + included + "\" by its path from the top");
        } else if (!may_include(module, target)) {
          found.push_back(at + module + " (floor " + std::to_string(floors().at(module)) + ") includes " + target +
                          " (floor " + std::to_string(floors().at(target)) + ")");
        }
      }
      bool torch = line.rfind("#include \"", 0) == 0 && is_torch_header(line.substr(0, line.find('"', 10)));
      for (const char* name : {"torch/", "ATen/", "c10/"}) {
        torch = torch || line.rfind(std::string("#include <") + name, 0) == 0;
      }
      if (torch && (!may_use_torch(module) || (header && !is_torch_header(source.path)))) {
        found.push_back(at + "LibTorch outside .cpp files and *_torch.h of the networks: " + line);
      }
      if (line.rfind("#include <", 0) == 0 && header && library && !torch) {
        for (const std::string& name : third_party) {
          if (line.rfind("#include <" + name, 0) == 0 && source.path.find("_impl.h") == std::string::npos) {
            found.push_back(at + "third-party header in a public header: " + line);
          }
        }
      }
      if (line.rfind("#pragma omp", 0) == 0 && source.path != "core/parallel.cpp") {
        found.push_back(at + "raw OpenMP; use core/parallel.h");
      }
      if (library && line.rfind("//", 0) != 0) {
        for (const char* word : {"std::cout", "std::cerr", "printf(", "std::exit(", "std::abort(", "std::rand(",
                                 "std::mt19937", "std::random_device"}) {
          const auto position = line.find(word);
          if (position == std::string::npos) continue;
          // snprintf and vsnprintf format into memory.
          if (position > 0 && line[position - 1] == 'n' && std::string(word) == "printf(") continue;
          if (position > 0 && line[position - 1] == 's' && std::string(word) == "printf(") continue;
          found.push_back(at + "libraries never print, exit or draw hidden random numbers: " + word);
        }
      }
    }
  }
  return found;
}

std::vector<Source> tree() {
  std::vector<Source> sources;
  std::set<std::string> roots;
  for (const auto& [module, floor] : floors()) roots.insert(mss::core::split(module, '/')[0]);
  for (const std::string& root : roots) {
    if (!fs::is_directory(top() / root)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(top() / root)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp") continue;
      sources.push_back({fs::relative(entry.path(), top()).generic_string(), mss::core::read_text_file(entry.path())});
    }
  }
  return sources;
}

}  // namespace

TEST_CASE("modules include lower floors only, and libraries keep the house rules", "[lint]") {
  const std::vector<Source> sources = tree();
  REQUIRE(sources.size() > 30);
  const std::vector<std::string> found = violations(sources);
  INFO(mss::core::join(found, "\n"));
  CHECK(found.empty());
}

TEST_CASE("the table of floors names folders that exist, and the documentation shows the same floors", "[lint]") {
  REQUIRE(floors().size() > 20);
  // Rows of the table: | floor | `folder/`, `folder/` … | …; `part/` in a row of a folder may stand for folder/part.
  std::map<std::string, int> documented;
  for (const std::string& line : mss::core::split(mss::core::read_text_file(top() / "docs/architecture.md"), '\n')) {
    const std::vector<std::string> cells = mss::core::split(line, '|');
    if (cells.size() < 4 || mss::core::trim(cells[1]).find_first_not_of("0123456789") != std::string::npos) continue;
    if (mss::core::trim(cells[1]).empty()) continue;
    const std::vector<std::string> names = mss::core::split(cells[2], '`');
    for (std::size_t i = 1; i < names.size(); i += 2) {
      documented[names[i].substr(0, names[i].find_last_not_of('/') + 1)] = std::stoi(cells[1]);
    }
  }
  CHECK(documented == floors());
  for (const auto& [module, floor] : floors()) {
    INFO(module);
    CHECK(fs::exists(top() / module / "CMakeLists.txt"));
  }
}

TEST_CASE("the structure check finds what it forbids", "[lint]") {
  const auto count = [](const std::string& path, const std::string& text) { return violations({{path, text}}).size(); };
  CHECK(count("audio/a.cpp", "#include \"core/error.h\"\n") == 0);
  CHECK(count("audio/a.cpp", "#include \"methods/separator.h\"\n") == 1);
  CHECK(count("eval/a.h", "#include \"wiener/x.h\"\n") == 1);
  CHECK(count("methods/nmf/a.cpp", "#include \"methods/registry.h\"\n#include \"methods/oracle/irm.h\"\n") == 1);
  CHECK(count("methods/registry.cpp", "#include \"methods/nmf/nmf.h\"\n") == 1);
  CHECK(count("datasets/a.cpp", "#include \"datasets/synth/songs.h\"\n") == 0);
  CHECK(count("datasets/synth/a.cpp", "#include \"datasets/dataset.h\"\n") == 1);
  CHECK(count("core/a.cpp", "#include \"error.h\"\n") == 1);
  CHECK(count("audio/a.h", "#include <fftw3.h>\n") == 1);
  CHECK(count("audio/a.cpp", "#include <fftw3.h>\n#pragma omp parallel for\n") == 1);
  CHECK(count("eval/a.cpp", "  std::cout << 1;\n  std::snprintf(b, 3, \"x\");\n") == 1);
  CHECK(count("cli/a.cpp", "  std::cout << 1;\n") == 0);
  CHECK(count("nn/torch/a_torch.h", "#include <torch/types.h>\n") == 0);
  CHECK(count("methods/openunmix/a.cpp", "#include <ATen/ATen.h>\n#include \"nn/torch/layers_torch.h\"\n") == 0);
  CHECK(count("nn/torch/a.h", "#include <torch/types.h>\n") == 1);
  CHECK(count("nn/torch/a.h", "#include \"nn/torch/layers_torch.h\"\n") == 1);
  CHECK(count("nn/a.cpp", "#include <ATen/ATen.h>\n") == 1);
  CHECK(count("harness/a.cpp", "#include <torch/types.h>\n") == 1);
  CHECK(count("harness/a.cpp", "#include \"nn/torch/layers_torch.h\"\n") == 1);
}

TEST_CASE("every public header guards itself and starts with what it is for", "[lint]") {
  for (const Source& source : tree()) {
    if (source.path.substr(source.path.size() - 2) != ".h") continue;
    INFO(source.path);
    CHECK(source.text.find("#pragma once") != std::string::npos);
    CHECK(source.text.rfind("//", 0) == 0);
  }
}

TEST_CASE("scripts that name their interpreter can be started", "[lint]") {
  int scripts = 0;
  for (const char* folder : {"benchmarks", "configs", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(top() / folder)) {
      const std::string extension = entry.path().extension().string();
      if (!entry.is_regular_file() || (extension != ".sh" && extension != ".py")) continue;
      if (mss::core::read_text_file(entry.path()).rfind("#!", 0) != 0) continue;
      ++scripts;
      INFO(entry.path().string());
      CHECK((entry.status().permissions() & fs::perms::owner_exec) != fs::perms::none);
    }
  }
  CHECK(scripts > 20);
}
