// Weights that are part of the program: the files of configs/weights, found by their labels without any path
// (weights.h, find_weights). configs/weights/README.md tells where they come from and what they are good for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mss::methods {

/// "umx-tiny", …: sorted.
std::vector<std::string> shipped_weights();
/// The bytes of the safetensors file; empty for an unknown label.
std::string_view shipped_weights_bytes(std::string_view label) noexcept;

}  // namespace mss::methods
