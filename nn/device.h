// Where networks run, as text: "auto" (the first CUDA device if this build and machine have one, else the processor),
// "cpu", "cuda" (= "cuda:0"), "cuda:N". LibTorch-free; nn/torch/runtime_torch.h turns a choice into a device.
//
// Thread-safety: values and pure functions; device_from_environment() reads the environment.
#pragma once

#include <string>
#include <string_view>

namespace mss::nn {

struct DeviceChoice {
  enum class Kind { automatic, cpu, cuda };
  Kind kind = Kind::automatic;
  int index = 0;  ///< of a CUDA device

  friend bool operator==(const DeviceChoice&, const DeviceChoice&) = default;
};

/// Throws Error(config) that lists the possibilities.
DeviceChoice parse_device(std::string_view text);
/// Inverse: "auto", "cpu", "cuda:0".
std::string to_string(const DeviceChoice& choice);
/// What MSSBENCH_DEVICE says; "auto" where it is not set.
DeviceChoice device_from_environment();

}  // namespace mss::nn
