// The part of the ZIP format that torch.save writes: stored entries, also with ZIP64 sizes. Internal to checkpoints/.
//
// Entries are taken from the central directory; each must lie wholly before it, and its local header must carry the
// same name. Compressed or encrypted entries are refused (PyTorch writes none; its own reader could not map them).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "checkpoints/byte_source.h"

namespace mss::checkpoints::detail {

struct ZipEntry {
  std::uint64_t begin = 0;  ///< of the data in the file
  std::uint64_t bytes = 0;
};

/// Throws Error(format) for a broken archive, Error(unsupported) for compressed, encrypted or split ones.
std::map<std::string, ZipEntry, std::less<>> read_zip_directory(const ByteSource& source);

}  // namespace mss::checkpoints::detail
