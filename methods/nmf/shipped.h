// Dictionaries and classifiers that are part of the program: the files of configs/dictionaries, found by their label
// without any path. configs/dictionaries/README.md tells where they come from. Functions without state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mss::methods::nmf {

/// "cc0", "cc0-means", "cc0-nmfd" (dictionaries), "cc0-p2", "cc0-nmfd-p2" (classifiers).
std::vector<std::string> shipped_labels();

/// The bytes of the safetensors file; empty for an unknown label.
std::string_view shipped_bytes(std::string_view label) noexcept;

}  // namespace mss::methods::nmf
