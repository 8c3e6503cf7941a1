#include "methods/nmf/shipped.h"

#include <array>
#include <cstddef>

#include "core/embed.h"

MSS_EMBED(mss_nmf_cc0, MSS_NMF_DICTIONARIES "/cc0.safetensors");
MSS_EMBED(mss_nmf_cc0_means, MSS_NMF_DICTIONARIES "/cc0-means.safetensors");
MSS_EMBED(mss_nmf_cc0_nmfd, MSS_NMF_DICTIONARIES "/cc0-nmfd.safetensors");
MSS_EMBED(mss_nmf_cc0_p2, MSS_NMF_DICTIONARIES "/cc0-p2.safetensors");
MSS_EMBED(mss_nmf_cc0_nmfd_p2, MSS_NMF_DICTIONARIES "/cc0-nmfd-p2.safetensors");

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
