// A mixture as templates times activations: what a method that separates by such a model can show of itself
// (MethodEntry::factor_model), whichever method it is.
//
//   |X_c(k, n)| ~ 1 / scale * sum over components r and template frames t of W(k, t, r) H(r, c N + n - t)
//
// X_c is the STFT of channel c, N the frames of one channel, n - t >= 0.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "audio/stft.h"

namespace mss::methods {

struct FactorModel {
  std::string kind;  ///< what people call the model, for titles: "NMF"
  audio::StftSpec stft;
  int rate_hz = 0;   ///< of the audio that was factorised: the method's native rate
  int channels = 0;  ///< of that audio
  std::int64_t frames = 0, bins = 0;
  int components = 0, template_frames = 1;
  std::vector<float> templates;    ///< W: [k][t][r]
  std::vector<float> activations;  ///< H: [r][c * frames + n]
  double scale = 1;
  std::vector<std::string> names;    ///< of the components; a method whose components are its stems calls these so
  std::vector<std::string> targets;  ///< stems
  std::vector<int> target;           ///< of each component: index into `targets`, or -1 where it goes to no stem

  float w_at(std::int64_t k, int t, int r) const {
    return templates[static_cast<std::size_t>((k * template_frames + t) * components + r)];
  }
  float h_at(int r, std::int64_t column) const {
    return activations[static_cast<std::size_t>(r * channels * frames + column)];
  }
};

}  // namespace mss::methods
