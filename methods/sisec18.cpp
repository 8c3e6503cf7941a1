#include "methods/sisec18.h"

#include <fmt/format.h>

#include "core/error.h"

namespace mss::methods {

core::ParamTable sisec18_params() {
  return {{.name = "fft",
           .type = core::ParamType::integer,
           .default_value = "2048",
           .unit = "samples",
           .range = "[4,1048576]",
           .help = "Size of the Fourier transform and of its Hann window; even.",
           .source = kSisec18},
          {.name = "hop",
           .type = core::ParamType::integer,
           .default_value = "1024",
           .unit = "samples",
           .range = "[1,524288]",
           .help = "Distance of frames, at most half of fft.",
           .source = kSisec18}};
}

audio::StftSpec sisec18_stft(const core::Params& values, const core::SpecPart& spec) {
  const audio::StftSpec stft{.fft_size = static_cast<int>(values.integer("fft")),
                             .hop_samples = static_cast<int>(values.integer("hop")),
                             .window_samples = 0,
                             .window = audio::WindowKind::hann,
                             .framing = audio::Framing::scipy,
                             .scaling = audio::Scaling::window_sum};
  if (stft.fft_size % 2 == 0 && stft.hop_samples <= stft.fft_size / 2) return stft;
  throw Error({.code = Code::config,
               .where = to_string(spec),
               .what = "fft and hop do not fit",
               .expected = "an even fft and a hop of at most half of it",
               .found = fmt::format("fft {}, hop {}", stft.fft_size, stft.hop_samples),
               .hint = {}});
}

void fail_short_reference(const std::string& name, std::int64_t found, std::int64_t expected) {
  throw Error({.code = Code::invalid_argument,
               .where = fmt::format("reference '{}'", name),
               .what = "shorter than the mixture",
               .expected = fmt::format("at least {} samples", expected),
               .found = fmt::format("{}", found),
               .hint = {}});
}

}  // namespace mss::methods
