// The network of tests/golden/bsrnn.json: its sizes, the formulas of its weights and signals, and its names.
#pragma once

#include <cmath>
#include <complex>
#include <map>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "audio/stft.h"
#include "core/json.h"
#include "core/value.h"
#include "methods/bsrnn/configuration.h"
#include "nn/parameters.h"
#include "nn/scope.h"
#include "tests/support/paths.h"

namespace mss::tests {

inline const std::vector<std::string> kGoldenProfiles = {"paper_1hidden_group1", "authors_2hidden_group1",
                                                         "paper_1hidden_groupN", "paper_1hidden_frame_layernorm"};

inline const core::Value& golden_bsrnn() {
  static const core::Value value = core::read_json_file(golden("bsrnn.json"));
  return value;
}

inline methods::bsrnn::Configuration golden_configuration(const std::string& profile) {
  const core::Value& about = golden_bsrnn().at("about");
  methods::bsrnn::Configuration c;
  c.fft_size = static_cast<int>(about.at("stft").at("n_fft").as_integer());
  c.hop_samples = static_cast<int>(about.at("stft").at("hop").as_integer());
  c.scheme = "custom";
  for (const core::Value& width : about.at("bands").as_array()) c.widths.push_back(width.as_integer());
  c.features = about.at("N").as_integer();
  c.pairs = about.at("blocks").as_integer();
  c.lstm_hidden = about.at("lstm_hidden").as_integer();
  c.mask_hidden = about.at("mask_hidden").as_integer();
  c.eps = about.at("norm_eps").as_real();
  if (profile == "authors_2hidden_group1") c.mask_layers = 2;
  if (profile == "paper_1hidden_groupN") c.block_groups = c.features;
  if (profile == "paper_1hidden_frame_layernorm") c.band_norm = c.mask_norm = methods::bsrnn::BandNorm::frame;
  methods::bsrnn::check(c);
  return c;
}

/// "t.0.rnn.weight_ih_l0" -> "pairs.0.time.lstm.weight_ih_l0".
inline std::string our_name(const std::string& theirs, std::int64_t mask_layers) {
  const auto dot = theirs.find('.');
  const std::string kind = theirs.substr(0, dot), rest = theirs.substr(dot + 1);
  const auto second = rest.find('.');
  const std::string index = rest.substr(0, second), tail = rest.substr(second + 1);
  if (kind == "bn") return "split." + index + ".norm." + tail;
  if (kind == "bf") return "split." + index + ".fc." + tail;
  if (kind == "t" || kind == "k") {
    std::string inner = tail;
    if (inner.starts_with("rnn.")) inner = "lstm." + inner.substr(4);
    return "pairs." + index + (kind == "t" ? ".time." : ".band.") + inner;
  }
  if (kind == "mn") return "masks.0." + index + ".norm." + tail;
  // m1 is the first hidden layer; the last of m2, m3 is the gated one.
  const std::int64_t layer = kind.at(1) - '1';
  return "masks.0." + index + (layer < mask_layers ? ".hidden." + std::to_string(layer) : ".gated") + "." + tail;
}

/// The closed formulas of `about`, by our names.
inline std::map<std::string, std::vector<double>> golden_weights(const std::string& profile) {
  std::map<std::string, std::vector<double>> out;
  const std::int64_t layers = golden_configuration(profile).mask_layers;
  double p = 0;
  for (const core::Value& entry : golden_bsrnn().at(profile).at("order").as_array()) {
    const auto& triple = entry.as_array();
    p += 1;
    nn::Shape shape;
    for (const core::Value& n : triple[1].as_array()) shape.push_back(n.as_integer());
    const std::string& kind = triple[2].as_string();
    std::vector<double> values(static_cast<std::size_t>(nn::element_count(shape)));
    for (std::size_t e = 0; e < values.size(); ++e) {
      const double i = static_cast<double>(e) + 1;
      if (kind == "weight") {
        values[e] = std::sin(0.37 * i + 0.91 * p) / std::sqrt(static_cast<double>(shape[1]));
      } else if (kind == "bias") {
        values[e] = 0.1 * std::cos(0.53 * i + 0.71 * p);
      } else if (kind == "norm_w") {
        values[e] = 1 + 0.1 * std::sin(0.29 * i + p);
      } else if (kind == "norm_b") {
        values[e] = 0.05 * std::cos(0.31 * i + p);
      } else {
        throw std::runtime_error("unknown kind of tensor: " + kind);
      }
    }
    out[our_name(triple[0].as_string(), layers)] = std::move(values);
  }
  return out;
}

class BandSplitSource final : public nn::Source {
 public:
  explicit BandSplitSource(const std::string& profile) : weights_(golden_weights(profile)) {}
  void fill(const std::string& name, const nn::Parameter&, std::span<float> values) override {
    const std::vector<double>& from = weights_.at(name);
    if (from.size() != values.size()) throw std::runtime_error(name + " has another size");
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(from[i]);
    ++used;
  }
  std::size_t used = 0;
  std::size_t size() const { return weights_.size(); }

 private:
  std::map<std::string, std::vector<double>> weights_;
};

inline audio::StftSpec golden_stft() {
  const methods::bsrnn::Configuration c = golden_configuration(kGoldenProfiles[0]);
  return {.fft_size = c.fft_size, .hop_samples = c.hop_samples, .framing = audio::Framing::centered_reflect};
}

/// Input and target, [channel][sample].
inline std::vector<std::vector<double>> golden_signal(bool target) {
  std::vector<std::vector<double>> out(2, std::vector<double>(256));
  for (std::size_t ch = 0; ch < 2; ++ch) {
    for (std::size_t i = 0; i < 256; ++i) {
      const auto c = static_cast<double>(ch), n = static_cast<double>(i);
      constexpr double pi = std::numbers::pi;
      out[ch][i] = 0.5 * std::sin(2 * pi * (0.031 + 0.007 * c) * n);
      if (!target) out[ch][i] += 0.3 * std::sin(2 * pi * 0.117 * n + c) + 0.1 * std::sin(0.0013 * n * n);
    }
  }
  return out;
}

/// [channel][frame * bins + bin]
inline std::vector<std::vector<std::complex<double>>> golden_spectrum(bool target) {
  const audio::Stft<double> stft(golden_stft());
  std::vector<std::vector<std::complex<double>>> out;
  for (const std::vector<double>& x : golden_signal(target)) {
    out.emplace_back(static_cast<std::size_t>(stft.frames(256) * stft.bins()));
    stft.forward(std::span<const double>(x), out.back().data());
  }
  return out;
}

/// Sum, sum of squares, largest magnitude, first eight and last four of values in the golden file's order: the largest
/// deviation, each relative to the size of what is compared.
inline double summary_difference(const std::vector<double>& values, const core::Value& expected) {
  double sum = 0, squares = 0, largest = 0, absolute = 0;
  for (const double v : values) {
    sum += v;
    squares += v * v;
    absolute += std::abs(v);
    largest = std::max(largest, std::abs(v));
  }
  std::int64_t count = 1;
  for (const core::Value& n : expected.at("shape").as_array()) count *= n.as_integer();
  if (count != static_cast<std::int64_t>(values.size())) return 1e9;
  double worst = std::abs(sum - expected.at("sum").as_real()) / absolute;
  worst = std::max(worst, std::abs(squares - expected.at("sumsq").as_real()) / squares);
  worst = std::max(worst, std::abs(largest - expected.at("absmax").as_real()) / largest);
  const auto& first = expected.at("first8").as_array();
  for (std::size_t i = 0; i < first.size(); ++i)
    worst = std::max(worst, std::abs(values[i] - first[i].as_real()) / largest);
  const auto& last = expected.at("last4").as_array();
  for (std::size_t i = 0; i < last.size(); ++i)
    worst = std::max(worst, std::abs(values[values.size() - last.size() + i] - last[i].as_real()) / largest);
  return worst;
}

/// What a forward pass of either set gives, as doubles, in our layout.
struct Forward {
  struct Array {
    std::int64_t items = 0, frames = 0, channels = 0;
    std::vector<double> values;
    double at(std::int64_t b, std::int64_t t, std::int64_t c) const {
      return values[static_cast<std::size_t>((b * frames + t) * channels + c)];
    }
  };
  std::map<std::string, Array> features;  ///< "Z", "after_time_0", …: (K B, T, N)
  Array mask, spectrum;                   ///< (B, T, 2 F)
};

/// All checksums of a profile's forward pass, and the waveform; the largest relative deviation.
inline double forward_difference(const Forward& found, const std::string& profile) {
  const core::Value& g = golden_bsrnn().at(profile);
  double worst = 0;
  for (const auto& [name, array] : found.features) {
    // Golden order: (B, K, N, T).
    std::vector<double> values;
    const std::int64_t bands = 3, items = array.items / bands;
    for (std::int64_t b = 0; b < items; ++b)
      for (std::int64_t k = 0; k < bands; ++k)
        for (std::int64_t n = 0; n < array.channels; ++n)
          for (std::int64_t t = 0; t < array.frames; ++t) values.push_back(array.at(k * items + b, t, n));
    worst = std::max(worst, summary_difference(values, g.at(name)));
  }
  const auto complex_part = [&](const Forward::Array& array, const core::Value& expected) {
    const std::int64_t bins = array.channels / 2;
    for (const bool imaginary : {false, true}) {
      std::vector<double> values;
      for (std::int64_t b = 0; b < array.items; ++b)
        for (std::int64_t f = 0; f < bins; ++f)
          for (std::int64_t t = 0; t < array.frames; ++t) values.push_back(array.at(b, t, f + (imaginary ? bins : 0)));
      worst = std::max(worst, summary_difference(values, expected.at(imaginary ? "im" : "re")));
    }
  };
  complex_part(found.mask, g.at("mask"));
  complex_part(found.spectrum, g.at("out_spec"));
  const audio::Stft<double> stft(golden_stft());
  std::vector<double> wave;
  const core::Value& full = g.at("out_wave_full");
  for (std::int64_t c = 0; c < 2; ++c) {
    std::vector<std::complex<double>> spectrum;
    const std::int64_t bins = stft.bins();
    for (std::int64_t t = 0; t < found.spectrum.frames; ++t)
      for (std::int64_t f = 0; f < bins; ++f)
        spectrum.emplace_back(found.spectrum.at(c, t, f), found.spectrum.at(c, t, f + bins));
    std::vector<double> y(256);
    stft.inverse(spectrum.data(), found.spectrum.frames, std::span<double>(y));
    if (!full.is_null()) {
      const auto& expected = full.as_array()[static_cast<std::size_t>(c)].as_array();
      for (std::size_t i = 0; i < y.size(); ++i)
        worst = std::max(worst, std::abs(y[i] - expected[i].as_real()) / g.at("out_wave").at("absmax").as_real());
    }
    wave.insert(wave.end(), y.begin(), y.end());
  }
  return std::max(worst, summary_difference(wave, g.at("out_wave")));
}

/// Runs a model over any set; `read` turns a tensor into an array.
template <class L, class Model, class Read>
Forward run_forward(const Model& model, const typename L::Tensor& spectrum, const Read& read) {
  Forward out;
  typename L::Tensor x = model.split(spectrum);
  out.features["Z"] = read(x);
  for (std::int64_t l = 0; l < model.configuration().pairs; ++l) {
    x = model.over_time(x, l);
    out.features["after_time_" + std::to_string(l)] = read(x);
    x = model.over_bands(x, l);
    out.features["after_band_" + std::to_string(l)] = read(x);
  }
  out.mask = read(model.masks(x).at(0));
  out.spectrum = read(model.forward(spectrum).at(0));
  return out;
}

}  // namespace mss::tests
