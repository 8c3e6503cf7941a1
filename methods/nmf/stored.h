// Reading learned files (dictionaries, classifiers): from a path, from bytes in memory, or by a name as specs have it.
// Private to methods/nmf.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "checkpoints/safetensors.h"

namespace mss::methods::nmf {

/// A safetensors file or its bytes in memory.
struct Content {
  std::string where;
  std::string kind;  ///< "NMF dictionary", for errors
  checkpoints::Metadata metadata;
  std::function<checkpoints::Tensor(const std::string& name)> read;
  std::function<bool(const std::string& name)> has;

  /// Throws Error(checkpoint).
  [[noreturn]] void unfit(std::string what, std::string expected = {}, std::string found = {}) const;
  const std::string& meta(std::string_view key) const;
  int positive(std::string_view key, int maximum) const;
  double real(std::string_view key) const;
  /// "format" is `format` and "version" one of `versions`.
  void check_format(std::string_view format, std::string_view versions) const;
  /// Metadata "targets": different names, at least one.
  std::vector<std::string> targets() const;
};

/// Calls use(content, label, SHA-256 of the whole).
void with_file(const std::filesystem::path& path, std::string_view kind,
               const std::function<void(const Content&, std::string label, std::string sha256)>& use);
/// `bytes` must outlive the call.
void with_bytes(std::string_view bytes, std::string_view label, std::string_view kind,
                const std::function<void(const Content&, std::string label, std::string sha256)>& use);

/// Finds what `reference` names: a path, a path with #HASH8, a shipped label (bytes from `shipped`, empty for unknown
/// ones) with or without #HASH8, or LABEL#HASH8 in the folders of MSSBENCH_WEIGHTS; hands it to one of the functions,
/// which return its SHA-256. Throws Error(checkpoint).
void find_stored(std::string_view reference, std::string_view kind, std::string_view shipped,
                 const std::function<std::string(const std::filesystem::path&)>& read,
                 const std::function<std::string(std::string_view bytes, std::string_view label)>& parse);

}  // namespace mss::methods::nmf
