// Where tests find files: golden data in the repository, real audio outside it, and scratch folders.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

namespace mss::tests {

namespace fs = std::filesystem;

inline fs::path golden(const std::string& name) { return fs::path(MSSBENCH_TESTS_DIR) / "golden" / name; }

/// Folder of the real test audio (MSSBENCH_TEST_DATA), if it is set and exists.
inline std::optional<fs::path> test_data() {
  const char* path = std::getenv("MSSBENCH_TEST_DATA");
  if (path == nullptr || *path == '\0' || !fs::is_directory(path)) return std::nullopt;
  return fs::path(path);
}

/// A fresh folder, removed at the end of the test.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (fs::temp_directory_path() / "mssbench-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a scratch folder");
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

}  // namespace mss::tests

/// Leaves the test case as skipped, saying so, where the real audio is absent.
#define MSS_REQUIRE_TEST_DATA(variable)                                          \
  const auto variable##_optional = ::mss::tests::test_data();                    \
  if (!variable##_optional) {                                                    \
    WARN("SKIPPED: real audio is absent; set MSSBENCH_TEST_DATA to its folder"); \
    return;                                                                      \
  }                                                                              \
  const std::filesystem::path variable = *variable##_optional
