// Files as part of the program: MSS_EMBED(name, path) makes the bytes of a file the constants name_begin … name_end, with
// a zero byte behind them. The assembler copies them into the read-only data; a byte array of megabytes in C++ takes
// compilers minutes. Belongs at namespace scope of a source file; CMake's OBJECT_DEPENDS tells that the file matters.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#if defined(__APPLE__)
#define MSS_EMBED_CONSTANTS ".const_data\n"
#define MSS_EMBED_BACK ".text\n"
#else
#define MSS_EMBED_CONSTANTS ".section .rodata\n"
#define MSS_EMBED_BACK ".previous\n"
#endif
#define MSS_EMBED(name, path)                                                              \
  __asm__(MSS_EMBED_CONSTANTS ".balign 16\n" #name "_begin:\n.incbin \"" path "\"\n" #name \
                              "_end:\n.byte 0\n" MSS_EMBED_BACK);                          \
  extern const char name##_begin[] __asm__(#name "_begin");                                \
  extern const char name##_end[] __asm__(#name "_end")

namespace mss::core {

/// An embedded file under its label.
struct EmbeddedFile {
  std::string_view label;
  const char *begin, *end;
};

/// Their labels, in the table's order.
inline std::vector<std::string> labels_of(std::span<const EmbeddedFile> files) {
  std::vector<std::string> out;
  for (const EmbeddedFile& file : files) out.emplace_back(file.label);
  return out;
}

/// The bytes of the file with this label; empty where there is none.
inline std::string_view bytes_of(std::span<const EmbeddedFile> files, std::string_view label) noexcept {
  for (const EmbeddedFile& file : files) {
    if (file.label == label) return {file.begin, static_cast<std::size_t>(file.end - file.begin)};
  }
  return {};
}

}  // namespace mss::core
