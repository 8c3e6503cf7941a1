#include "checkpoints/pytorch.h"

#include "core/error.h"
#include "core/text.h"
#include "tests/fuzz/targets.h"

using namespace mss;
using tests::promise;

namespace {

constexpr std::int64_t kMostElements = 1 << 16;  // larger ones are legal, but slow to fuzz

/// Looks at a bounded part of the tree through every accessor.
std::size_t walk(const checkpoints::PickleValue& value, int depth, std::size_t budget) {
  if (depth > 20 || budget == 0) return 0;
  std::size_t used = 1;
  using checkpoints::PickleKind;
  (void)value.as_integer();
  (void)value.as_real();
  (void)value.text().size();
  (void)value.find("state_dict");
  if (value.is(PickleKind::object)) {
    (void)value.class_name().size();
    used += walk(value.arguments(), depth + 1, budget - used);
    if (used < budget) used += walk(value.state(), depth + 1, budget - used);
  }
  for (std::size_t i = 0; i < value.size() && used < budget; ++i) {
    if (value.is(PickleKind::dict)) (void)value.key(i).kind();
    used += walk(value.is(PickleKind::dict) ? value.value(i) : value.element(i), depth + 1, budget - used);
  }
  return used;
}

}  // namespace

int mssbench_fuzz_pytorch(const std::uint8_t* data, std::size_t size) {
  try {
    const checkpoints::PytorchFile file(
        checkpoints::bytes_in_memory(std::string(reinterpret_cast<const char*>(data), size), "fuzz.pth"));
    for (const auto& [name, info] : file.tensors()) {
      promise(info.shape.size() == info.stride.size(), "as many strides as sizes");
      promise(info.storage < file.storages().size(), "a tensor's storage exists");
      promise(core::is_utf8(name), "names are text");
      if (info.elements() > kMostElements || !info.dtype) continue;
      const checkpoints::Tensor tensor = file.read(name);
      promise(tensor.to_float().size() == static_cast<std::size_t>(info.elements()), "as many values as elements");
    }
    for (const auto& storage : file.storages()) {
      promise(storage.begin <= size && storage.elements * storage.element_bytes <= size - storage.begin,
              "storages lie in the file");
    }
    walk(file.root(), 0, 2000);
  } catch (const Error& error) {
    ++tests::refused_inputs;
    promise(!error.parts().where.empty(), "an error names the file");
    promise(error.code() != Code::internal, "no defect of our own");
  }
  return 0;
}

int mssbench_fuzz_pickle(const std::uint8_t* data, std::size_t size) {
  try {
    const auto source =
        checkpoints::bytes_in_memory(std::string(reinterpret_cast<const char*>(data), size), "fuzz.pkl");
    const auto tree = checkpoints::read_pickle(*source, 0, size, "the pickle");
    promise(tree->end() <= size, "a pickle ends in the file");
    // Every byte makes at most two values, besides the three that are always there.
    promise(tree->size() <= 2 * size + 3, "values are bounded by the size of the pickle");
    walk(tree->root(), 0, 2000);
  } catch (const Error& error) {
    ++tests::refused_inputs;
    promise(!error.parts().where.empty(), "an error names the file");
    promise(error.code() != Code::internal, "no defect of our own");
  }
  return 0;
}

MSSBENCH_FUZZ_TARGET(mssbench_fuzz_pytorch)
