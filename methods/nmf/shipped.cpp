#include "methods/nmf/shipped.h"

#include <array>

#include "core/embed.h"

MSS_EMBED(mss_nmf_cc0, MSS_NMF_DICTIONARIES "/cc0.safetensors");
MSS_EMBED(mss_nmf_cc0_means, MSS_NMF_DICTIONARIES "/cc0-means.safetensors");
MSS_EMBED(mss_nmf_cc0_nmfd, MSS_NMF_DICTIONARIES "/cc0-nmfd.safetensors");
MSS_EMBED(mss_nmf_cc0_p2, MSS_NMF_DICTIONARIES "/cc0-p2.safetensors");
MSS_EMBED(mss_nmf_cc0_nmfd_p2, MSS_NMF_DICTIONARIES "/cc0-nmfd-p2.safetensors");

namespace mss::methods::nmf {
namespace {

constexpr std::array<core::EmbeddedFile, 5> kFiles = {
    {{"cc0", mss_nmf_cc0_begin, mss_nmf_cc0_end},
     {"cc0-means", mss_nmf_cc0_means_begin, mss_nmf_cc0_means_end},
     {"cc0-nmfd", mss_nmf_cc0_nmfd_begin, mss_nmf_cc0_nmfd_end},
     {"cc0-p2", mss_nmf_cc0_p2_begin, mss_nmf_cc0_p2_end},
     {"cc0-nmfd-p2", mss_nmf_cc0_nmfd_p2_begin, mss_nmf_cc0_nmfd_p2_end}}};

}  // namespace

std::vector<std::string> shipped_labels() { return core::labels_of(kFiles); }

std::string_view shipped_bytes(std::string_view label) noexcept { return core::bytes_of(kFiles, label); }

}  // namespace mss::methods::nmf
