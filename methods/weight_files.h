// For a family's import (methods/weights.h): files of other programs as named tensors.
//
// Errors and thread-safety as in methods/weights.h.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/pytorch.h"
#include "checkpoints/safetensors.h"
#include "methods/weights.h"

namespace mss::methods {

/// A file on the disk by its name: <stem>.pth, or <stem>-<8 hexadecimal digits>.pth (also with an underscore) where the
/// digits claim the beginning of its SHA-256.
struct FileName {
  std::filesystem::path path;
  std::string stem;
  std::string digits;  ///< or empty
};
FileName file_name(const std::filesystem::path& path);

/// One opened file, PyTorch or safetensors: names and shapes at once, values when somebody asks.
struct NetworkFile {
  FileName name;
  std::string format;                                       ///< "PyTorch, zip", "safetensors"
  std::string sha256;                                       ///< where it was computed
  std::shared_ptr<const checkpoints::PytorchFile> pytorch;  ///< null for safetensors; the object's tree
  checkpoints::Metadata metadata;                           ///< of safetensors
  std::map<std::string, nn::Shape, std::less<>> shapes;     ///< by the file's names

  /// Throws Error(checkpoint) for a tensor that does not hold real numbers or that cannot be read.
  checkpoints::LazyTensor array(const std::string& tensor) const;
  /// A scalar or single value in 1 … 10^6 of any type, else nothing.
  std::optional<int> integer(const std::string& tensor) const;
  std::string where() const { return name.path.string(); }

 private:
  friend NetworkFile open_network_file(const FileName&, const ReadOptions&);
  std::shared_ptr<const checkpoints::SafetensorsFile> safetensors_;
};

/// Opens and checks what the file's name claims (ReadOptions::check_names).
NetworkFile open_network_file(const FileName& name, const ReadOptions& options);
/// All of them, on several threads.
std::vector<NetworkFile> open_network_files(const std::vector<FileName>& names, const ReadOptions& options);

/// The files of weights in a folder, sorted by name: .pth, .pt and .th; .ckpt and .chkpnt of stems that have none of
/// those (the best epoch's weights before the last epoch's checkpoint); .safetensors where there is nothing else. Of a
/// training run's folder (last.safetensors in it) best.safetensors alone, or last.safetensors where that is not there.
std::vector<FileName> files_in(const std::filesystem::path& folder);

/// The folder's own name, also for "." and "dir/".
std::string folder_name(const std::filesystem::path& folder);

/// What people name: files as they are, of folders their files_in(). The label is the last folder's name, else the
/// first file's stem.
struct NamedFiles {
  std::vector<FileName> files;
  std::string label;
};
NamedFiles named_files(const std::vector<std::filesystem::path>& paths);

/// Last part of a dotted or slashed name: "a.b." -> "b".
std::string last_component(std::string_view prefix);
/// Is this the name of a container in which trainers keep a state dict ("state_dict", "model", "module", …), or empty?
bool is_container(std::string_view name);

/// Whole numbers in 1 … 10^6 that files say, else nothing.
std::optional<int> plain_integer(const core::Value* value);
std::optional<int> plain_integer(const std::optional<checkpoints::PickleValue>& value);

/// "3 missing: a, b, c" for messages: at most five names; empty without names.
std::string listed(std::string_view title, const std::vector<std::string>& names);
std::string shape_text(const nn::Shape& shape);

}  // namespace mss::methods
