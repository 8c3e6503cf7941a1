#include "methods/nmf/shipped.h"

#include <array>
#include <cstddef>

// The assembler copies the files into the read-only data: a byte array of megabytes in C++ takes compilers minutes.
#if defined(__APPLE__)
#define MSS_CONSTANTS ".const_data\n"
#define MSS_BACK ".text\n"
#else
#define MSS_CONSTANTS ".section .rodata\n"
#define MSS_BACK ".previous\n"
#endif
#define MSS_EMBED(name, file)                                                                                 \
  __asm__(MSS_CONSTANTS ".balign 16\n" #name "_begin:\n.incbin \"" MSS_NMF_DICTIONARIES "/" file "\"\n" #name \
                        "_end:\n.byte 0\n" MSS_BACK);                                                         \
  extern const char name##_begin[] __asm__(#name "_begin");                                                   \
  extern const char name##_end[] __asm__(#name "_end")

MSS_EMBED(mss_nmf_cc0, "cc0.safetensors");
MSS_EMBED(mss_nmf_cc0_means, "cc0-means.safetensors");
MSS_EMBED(mss_nmf_cc0_nmfd, "cc0-nmfd.safetensors");
MSS_EMBED(mss_nmf_cc0_p2, "cc0-p2.safetensors");
MSS_EMBED(mss_nmf_cc0_nmfd_p2, "cc0-nmfd-p2.safetensors");

namespace mss::methods::nmf {
namespace {

struct File {
  std::string_view label;
  const char *begin, *end;
};

const std::array<File, 5>& files() {
  static const std::array<File, 5> all = {{{"cc0", mss_nmf_cc0_begin, mss_nmf_cc0_end},
                                           {"cc0-means", mss_nmf_cc0_means_begin, mss_nmf_cc0_means_end},
                                           {"cc0-nmfd", mss_nmf_cc0_nmfd_begin, mss_nmf_cc0_nmfd_end},
                                           {"cc0-p2", mss_nmf_cc0_p2_begin, mss_nmf_cc0_p2_end},
                                           {"cc0-nmfd-p2", mss_nmf_cc0_nmfd_p2_begin, mss_nmf_cc0_nmfd_p2_end}}};
  return all;
}

}  // namespace

std::vector<std::string> shipped_labels() {
  std::vector<std::string> labels;
  for (const File& file : files()) labels.emplace_back(file.label);
  return labels;
}

std::string_view shipped_bytes(std::string_view label) noexcept {
  for (const File& file : files()) {
    if (file.label == label) return {file.begin, static_cast<std::size_t>(file.end - file.begin)};
  }
  return {};
}

}  // namespace mss::methods::nmf
