#include "checkpoints/zip_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/error.h"

namespace mss::checkpoints::detail {
namespace {

constexpr std::uint64_t kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56, kCentralBytes = 46, kLocalBytes = 30;
constexpr std::uint64_t kDirectoryLimit = 256ULL << 20;

std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return value;
}

[[noreturn]] void broken(const ByteSource& source, std::string what, std::string expected = {},
                         std::string found = {}) {
  throw Error({Code::format, source.name(), "broken zip archive: " + what, std::move(expected), std::move(found), ""});
}

struct Directory {
  std::uint64_t entries = 0, bytes = 0, begin = 0;
};

Directory find_directory(const ByteSource& source) {
  // The end record is followed by a comment of at most 65535 bytes.
  const std::uint64_t reach = std::min<std::uint64_t>(source.size(), kEndBytes + 65535);
  const std::string tail = source.read(source.size() - reach, static_cast<std::size_t>(reach));
  const auto at = tail.rfind(std::string_view("PK\x05\x06", 4));
  if (at == std::string::npos || tail.size() - at < kEndBytes) {
    throw Error({Code::format, source.name(), "the file is cut off: its list of contents (at the end) is missing",
                 "a zip archive as torch.save writes it", fmt::format("{} bytes without such a list", source.size()),
                 "download or copy it again"});
  }
  const std::uint64_t end_at = source.size() - reach + at;
  if (number(tail, at + 4, 2) != number(tail, at + 6, 2)) {
    throw Error(Code::unsupported, source.name(), "zip archive split over several files");
  }
  Directory out{number(tail, at + 10, 2), number(tail, at + 12, 4), number(tail, at + 16, 4)};
  std::uint64_t behind = end_at;
  if (end_at >= kLocatorBytes) {
    const std::string locator = source.read(end_at - kLocatorBytes, kLocatorBytes);
    if (locator.starts_with(std::string_view("PK\x06\x07", 4))) {
      const std::uint64_t end64_at = number(locator, 8, 8);
      if (end64_at > end_at - kLocatorBytes || end_at - kLocatorBytes - end64_at < kEnd64Bytes) {
        broken(source, "the zip64 record lies outside the file");
      }
      const std::string end64 = source.read(end64_at, kEnd64Bytes);
      if (!end64.starts_with(std::string_view("PK\x06\x06", 4))) broken(source, "there is no zip64 record");
      out = {number(end64, 32, 8), number(end64, 40, 8), number(end64, 48, 8)};
      behind = end64_at;
    }
  }
  if (out.begin > behind || out.bytes > behind - out.begin) {
    broken(source, "the list of contents lies outside the file", fmt::format("before byte {}", behind),
           fmt::format("{} bytes at {}", out.bytes, out.begin));
  }
  if (out.bytes > kDirectoryLimit || out.entries > out.bytes / kCentralBytes) {
    broken(source, "impossible number of entries", "", fmt::format("{} in {} bytes", out.entries, out.bytes));
  }
  return out;
}

}  // namespace

std::map<std::string, ZipEntry, std::less<>> read_zip_directory(const ByteSource& source) {
  const Directory directory = find_directory(source);
  const std::string list = source.read(directory.begin, static_cast<std::size_t>(directory.bytes));
  std::map<std::string, ZipEntry, std::less<>> entries;
  std::size_t at = 0;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    if (list.size() - at < kCentralBytes || number(list, at, 4) != 0x02014b50) {
      broken(source, fmt::format("entry {} of the list of contents", i));
    }
    const auto name_bytes = static_cast<std::size_t>(number(list, at + 28, 2));
    const auto extra_bytes = static_cast<std::size_t>(number(list, at + 30, 2));
    const auto comment_bytes = static_cast<std::size_t>(number(list, at + 32, 2));
    if (list.size() - at - kCentralBytes < name_bytes + extra_bytes + comment_bytes) {
      broken(source, fmt::format("entry {} of the list of contents", i));
    }
    const std::string name = list.substr(at + kCentralBytes, name_bytes);
    const std::string_view extra = std::string_view(list).substr(at + kCentralBytes + name_bytes, extra_bytes);
    const std::string shown =
        name.find_first_of(std::string_view("\0\n\r\x1b", 4)) == std::string::npos ? name : "(odd name)";
    const std::uint64_t flags = number(list, at + 8, 2), method = number(list, at + 10, 2);
    if ((flags & 1) != 0) {
      throw Error(Code::unsupported, source.name(), fmt::format("entry '{}' is encrypted", shown));
    }
    std::uint64_t stored = number(list, at + 20, 4), plain = number(list, at + 24, 4), local = number(list, at + 42, 4);
    for (std::size_t e = 0; e + 4 <= extra.size();) {
      const std::uint64_t id = number(extra, e, 2), size = number(extra, e + 2, 2);
      if (size > extra.size() - e - 4) break;
      if (id == 1) {  // zip64: only the fields that do not fit above, in this order
        std::size_t field = e + 4;
        const std::size_t end = e + 4 + static_cast<std::size_t>(size);
        for (std::uint64_t* value : {&plain, &stored, &local}) {
          if (*value != 0xffffffff) continue;
          if (end - field < 8) broken(source, fmt::format("zip64 sizes of entry '{}'", shown));
          *value = number(extra, field, 8);
          field += 8;
        }
      }
      e += 4 + static_cast<std::size_t>(size);
    }
    const bool folder = !name.empty() && name.back() == '/';
    if (method != 0 && !folder) {
      throw Error({Code::unsupported, source.name(), fmt::format("entry '{}' is compressed", shown),
                   "stored entries, as torch.save writes them",
                   method == 8 ? std::string("deflate") : fmt::format("compression method {}", method),
                   "unpack and pack it again without compression (zip -0), or save it again with PyTorch"});
    }
    if (stored != plain && !folder) broken(source, fmt::format("sizes of entry '{}' differ", shown));
    if (local > directory.begin || directory.begin - local < kLocalBytes) {
      broken(source, fmt::format("entry '{}' lies outside the file", shown),
             fmt::format("before byte {}", directory.begin), fmt::format("at {}", local));
    }
    const std::string header = source.read(local, kLocalBytes);
    if (number(header, 0, 4) != 0x04034b50) broken(source, fmt::format("entry '{}' has no header", shown));
    const std::uint64_t local_name = number(header, 26, 2),
                        begin = local + kLocalBytes + local_name + number(header, 28, 2);
    if (begin > directory.begin || plain > directory.begin - begin) {
      broken(source, fmt::format("entry '{}' lies outside the file", shown),
             fmt::format("at most {} bytes", directory.begin > begin ? directory.begin - begin : 0),
             fmt::format("{} bytes at {}", plain, begin));
    }
    if (source.read(local + kLocalBytes, static_cast<std::size_t>(local_name)) != name) {
      broken(source, fmt::format("entry '{}' has another name in its header", shown));
    }
    if (!folder && !entries.emplace(name, ZipEntry{begin, plain}).second) {
      broken(source, fmt::format("entry '{}' is there twice", shown));
    }
    at += kCentralBytes + name_bytes + extra_bytes + comment_bytes;
  }
  return entries;
}

}  // namespace mss::checkpoints::detail
