// Files that Python wrote with torch.save, read as plain arrays: no LibTorch, nothing executed (checkpoints/pickle.h).
//
// Layouts
//   zip      PyTorch >= 1.6, TorchScript archives, and torch.save's default: entries, stored without compression,
//            NAME/data.pkl     the object as a pickle; tensors' data by persistent ids
//                              ('storage', torch.FloatStorage, key, location, number of elements)
//            NAME/data/KEY     raw elements of one storage
//            NAME/byteorder    "little" or "big" (absent: little)
//   legacy   before 1.6, or _use_new_zipfile_serialization=False: five pickles one behind the other (magic number,
//            protocol 1001, system information, the object, list of keys), then per key in that list an int64 number of
//            elements and the raw elements. Persistent ids have a sixth entry, a view into another storage.
//   pickle   a plain pickle without tensors' data
//   The tar files of PyTorch before 0.1.10 (2016) are recognised and refused.
//
// Tensors are what torch._utils._rebuild_tensor, _rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_parameter and
// torch._tensor._rebuild_from_type_v2 would make: a storage, an offset and strides, all counted in elements. Several
// tensors may share a storage; strides of 0 (expanded tensors) are followed; the device a tensor was on ("cuda:2") does
// not matter. Sparse, quantised and nested tensors and tensors of other libraries are listed as unreadable.
//
// A tensor's name is its path, joined by dots: keys of dicts, indices of lists, attributes of objects (in a whole saved
// nn.Module without its _parameters, _buffers and _modules, so that names are those of its state dict). A lone tensor
// is named "tensor".
//
// Memory: the object's tree and the list of storages; elements are read from the file when read() asks. Limits:
// pickle.h's, nesting at most 100, at most 2 million values visited (shared values count again), and all tensors together
// (shared and expanded ones counted in full) at most four times the file and 256 MiB.
//
// Errors: Error(io); Error(format) for truncated or inconsistent files, with the tensor's name where there is one; what
// is no PyTorch file at all (empty, a web page, a Git LFS pointer, a compressed file, safetensors) says what it is;
// Error(unsupported) for a call of an unknown function and for what is well-formed but not handled.
// Thread-safety: const members may be called at once from several threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/pickle.h"
#include "checkpoints/safetensors.h"

namespace mss::checkpoints {

enum class PytorchLayout { zip, legacy, pickle };
std::string_view layout_name(PytorchLayout layout) noexcept;  ///< "zip", "legacy", "pickle"

struct PytorchStorage {
  std::string key;
  std::string location;  ///< "cpu", "cuda:0", …: where it was
  std::string type;      ///< "float32", or "untyped" (elements are bytes)
  std::size_t element_bytes = 0;
  std::uint64_t elements = 0;
  std::uint64_t begin = 0;  ///< offset in the file
};

struct PytorchTensor {
  std::string type;            ///< PyTorch's name: "float32", "bfloat16", "complex64", …
  std::optional<DType> dtype;  ///< nothing for types that safetensors do not know
  std::size_t element_bytes = 0;
  std::vector<std::int64_t> shape, stride;  ///< in elements; a scalar has none
  std::uint64_t offset = 0;                 ///< in elements, from the storage's beginning
  std::size_t storage = 0;                  ///< index into storages()
  bool parameter = false;                   ///< saved as nn.Parameter

  std::int64_t elements() const noexcept;
  bool contiguous() const noexcept;
};

class PytorchFile {
 public:
  explicit PytorchFile(const std::filesystem::path& path, const PickleLimits& limits = {});
  explicit PytorchFile(std::shared_ptr<const ByteSource> source, const PickleLimits& limits = {});

  const std::string& name() const noexcept { return source_->name(); }
  PytorchLayout layout() const noexcept { return layout_; }
  /// The object as a tree; tensors in it are objects of class torch._utils._rebuild_…
  PickleValue root() const noexcept { return tree_->root(); }
  const PickleTree& tree() const noexcept { return *tree_; }

  const std::map<std::string, PytorchTensor, std::less<>>& tensors() const noexcept { return tensors_; }
  const std::vector<PytorchStorage>& storages() const noexcept { return storages_; }
  /// Names of tensors that this reader cannot make, with the class that would make them.
  const std::vector<std::pair<std::string, std::string>>& unreadable() const noexcept { return unreadable_; }

  /// Elements in C order, little-endian. Throws Error(checkpoint) with the nearest name for an unknown one,
  /// Error(unsupported) for a type without DType.
  Tensor read(std::string_view name) const;

 private:
  friend class PytorchIndex;
  std::shared_ptr<const ByteSource> source_;
  PytorchLayout layout_ = PytorchLayout::zip;
  bool big_endian_ = false;
  std::unique_ptr<const PickleTree> tree_;
  std::map<std::string, PytorchTensor, std::less<>> tensors_;
  std::vector<PytorchStorage> storages_;
  std::vector<std::pair<std::string, std::string>> unreadable_;
};

/// What a file is, from its first bytes: "PyTorch (zip)", "PyTorch (legacy) or pickle", "safetensors", "a web page",
/// "empty", …; nothing when unknown.
std::optional<std::string> guess_format(const ByteSource& source);

}  // namespace mss::checkpoints
