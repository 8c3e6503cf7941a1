#include "methods/nmf/shipped.h"

// The assembler copies the file into the read-only data: a byte array of megabytes in C++ takes compilers minutes.
#if defined(__APPLE__)
#define MSS_CONSTANTS ".const_data\n"
#define MSS_BACK ".text\n"
#else
#define MSS_CONSTANTS ".section .rodata\n"
#define MSS_BACK ".previous\n"
#endif
#define MSS_EMBED(name, file)                                                                                      \
  __asm__(MSS_CONSTANTS ".balign 16\n" #name "_begin:\n.incbin \"" file "\"\n" #name "_end:\n.byte 0\n" MSS_BACK); \
  extern const char name##_begin[] __asm__(#name "_begin");                                                        \
  extern const char name##_end[] __asm__(#name "_end")

MSS_EMBED(mss_nmf_dictionary_cc0, MSS_NMF_CC0_FILE);

namespace mss::methods::nmf {

std::vector<std::string> shipped_labels() { return {"cc0"}; }

std::string_view shipped_bytes(std::string_view label) noexcept {
  if (label != "cc0") return {};
  return {mss_nmf_dictionary_cc0_begin,
          static_cast<std::size_t>(mss_nmf_dictionary_cc0_end - mss_nmf_dictionary_cc0_begin)};
}

}  // namespace mss::methods::nmf
