#include "checkpoints/safetensors.h"
#include "core/error.h"
#include "tests/fuzz/targets.h"

using namespace mss;
using tests::promise;

int mssbench_fuzz_safetensors(const std::uint8_t* data, std::size_t size) {
  try {
    const checkpoints::SafetensorsFile file(
        checkpoints::bytes_in_memory(std::string(reinterpret_cast<const char*>(data), size), "fuzz.safetensors"));
    std::uint64_t bytes = 0;
    for (const auto& [name, info] : file.tensors()) {
      const checkpoints::Tensor tensor = file.read(name);
      bytes += tensor.bytes.size();
      promise(
          tensor.bytes.size() == static_cast<std::uint64_t>(info.elements()) * checkpoints::element_bytes(info.dtype),
          "a tensor's bytes follow from dtype and shape");
      promise(tensor.to_float().size() == static_cast<std::size_t>(info.elements()), "as many values as elements");
    }
    promise(bytes <= size, "tensors lie in the file");
    // What was read can be written, and is then read as the same.
    const checkpoints::Tensors tensors = file.read_all();
    if (!tensors.contains("") && !tensors.contains("__metadata__")) {
      const std::string written = checkpoints::serialize_safetensors(tensors, file.metadata());
      const checkpoints::SafetensorsFile again(checkpoints::bytes_in_memory(written, "fuzz.safetensors"));
      promise(again.tensors().size() == tensors.size(), "written tensors are read again");
      promise(again.metadata() == file.metadata(), "written metadata are read again");
    }
  } catch (const Error& error) {
    ++tests::refused_inputs;
    promise(!error.parts().where.empty(), "an error names the file");
    promise(error.code() != Code::internal, "no defect of our own");
  }
  return 0;
}

MSSBENCH_FUZZ_TARGET(mssbench_fuzz_safetensors)
