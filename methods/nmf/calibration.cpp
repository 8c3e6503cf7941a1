#include "methods/nmf/calibration.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "methods/nmf/dictionary.h"
#include "methods/nmf/fits.h"
#include "methods/nmf/mask.h"
#include "methods/nmf/nmf.h"

namespace mss::methods::nmf {

// The examples of one second. Point i has phi[i * (size - 1) …], cross and own power of its stems at [i * targets …].
struct CalibrationUnit {
  int excerpt = 0;
  std::vector<std::int32_t> bin;
  std::vector<float> phi, cross, own, mixture, weight;
  std::vector<double> reference;  ///< r_j
  double total = 0;               ///< x
};

namespace {

using Unit = CalibrationUnit;

using Index = std::int64_t;
using Spectrum = audio::Spectrogram<float>;

constexpr float kFloor = 1e-6F;
constexpr double kDelta = 1e-3, kAudible = 1e-4, kPenalty = 1e-3, kBiasPenalty = 1e-4, kRate = 0.05, kOwn = 0.8;
constexpr double kAllBinsHz = 1700;
constexpr Index kFrameStep = 5, kBinStep = 10;

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

/// The two bands of a bin: `band` with weight 1 - share and the next one with `share`.
struct Place {
  int band = 0;
  float share = 0;
};

std::vector<Place> places(const audio::StftSpec& stft, int rate_hz, int bands) {
  const auto warp = [&](Index k) { return std::log1p(static_cast<double>(k) * rate_hz / stft.fft_size / 300.0); };
  std::vector<Place> out(sz(stft.bins()));
  const double width = warp(stft.bins() - 1) / std::max(1, bands - 1);
  for (Index k = 0; k < stft.bins() && bands > 1; ++k) {
    const double at = warp(k) / width;
    out[sz(k)].band = std::min(static_cast<int>(at), bands - 2);
    out[sz(k)].share = static_cast<float>(std::min(1.0, at - out[sz(k)].band));
  }
  return out;
}

/// All of phi but the constant, from masks that lie `stride` apart.
void features(const float* masks, Index stride, int targets, const Cues& cues, std::size_t point, float* phi) {
  float mean = 0;
  for (int j = 0; j < targets; ++j) {
    phi[j] = std::log(std::max(masks[j * stride], kFloor));
    mean += phi[j];
  }
  mean /= static_cast<float>(targets);
  for (int j = 0; j < targets; ++j) phi[j] -= mean;
  const auto terms = [](std::uint8_t cue, float* out) {
    const float x = static_cast<float>(cue) / 255.0F - 0.5F;
    out[0] = x;
    out[1] = 2.0F * x * x;
  };
  terms(cues.percussive[point], phi + targets);
  phi[targets + 2] = phi[targets + 3] = 0;
  if (!cues.side.empty()) terms(cues.side[point], phi + targets + 2);
}

/// masks = softmax of the z_j = w_j' phi, `weights` being [j][f].
void softmax_of(const float* weights, const float* phi, int targets, int size, float* masks) {
  float largest = 0;
  for (int j = 0; j < targets; ++j) {
    const float* w = weights + j * size;
    float z = w[size - 1];
    for (int f = 0; f < size - 1; ++f) z += w[f] * phi[f];
    masks[j] = z;
    largest = j == 0 ? z : std::max(largest, z);
  }
  float sum = 0;
  for (int j = 0; j < targets; ++j) {
    masks[j] = std::exp(masks[j] - largest);
    sum += masks[j];
  }
  const float inverse = 1.0F / sum;
  for (int j = 0; j < targets; ++j) masks[j] *= inverse;
}

/// Weights of every bin, [k][j][f], from those of the bands.
std::vector<float> weights_of_bins(const std::vector<float>& weights, const std::vector<Place>& place, Index block) {
  std::vector<float> out(place.size() * sz(block));
  for (std::size_t k = 0; k < place.size(); ++k) {
    const float* a = weights.data() + place[k].band * block;
    const float share = place[k].share;
    for (Index i = 0; i < block; ++i) {
      out[k * sz(block) + sz(i)] = share > 0 ? (1 - share) * a[i] + share * a[block + i] : a[i];
    }
  }
  return out;
}

/// Masks of the dictionary for every column (channel after channel) of `x`, [column][j][k]: as separation makes them
/// with alpha = 1.
std::vector<float> dictionary_masks(const Dictionary& d, const Spectrum& x, const std::vector<Index>& frames,
                                    int iterations, int threads, const core::StopToken& stop) {
  const Index bins = x.bins(), count = static_cast<Index>(frames.size()), columns = count * x.channels();
  const int targets = d.target_count();
  std::vector<std::complex<float>> chosen(sz(columns * bins));
  for (int c = 0; c < x.channels(); ++c) {
    for (Index n = 0; n < count; ++n) std::copy_n(x.at(c, frames[sz(n)]), bins, chosen.data() + (c * count + n) * bins);
  }
  SeparatorOptions options;
  options.iterations = iterations;
  options.beta = d.beta;
  Context context;
  context.threads = threads;
  context.stop = stop;
  context.progress = [](Index) {};
  std::vector<float> masks(sz(columns * targets * bins), 0.0F), h;
  for (int m = 0; m < d.members; ++m) {
    const Dictionary one = d.member(m);
    const std::vector<float> w = one.stacked();
    const int components = one.components();
    fit_frames(FixedTemplates<float>(w, bins, components), options, chosen.data(), columns, context, h);
    core::parallel_for(columns, threads, [&](Index i) {
      const core::FlushDenormals flush;
      std::vector<float> parts(sz(targets * bins), 0.0F);
      const float* activation = h.data() + i * components;
      for (Index k = 0; k < bins; ++k) {
        const float* row = w.data() + k * components;
        int r = 0;
        for (int j = 0; j < targets; ++j) {
          float sum = 0;
          for (const int end = r + one.parts[sz(j)].components; r < end; ++r) sum += row[r] * activation[r];
          parts[sz(j * bins + k)] = sum;
        }
      }
      component_masks(parts.data(), targets, bins, 1.0, false);
      float* out = masks.data() + i * targets * bins;
      for (std::size_t p = 0; p < parts.size(); ++p) out[p] += parts[p] / static_cast<float>(d.members);
    });
  }
  return masks;
}

/// How much the logarithm of unit u counts for target j, [u * targets + j]: 1 / (excerpts, audible targets of the
/// excerpt, its units where j is audible), 0 where j is not.
std::vector<double> shares(const std::vector<Unit>& units, int excerpts, int targets) {
  const auto audible = [](const Unit& u, int j) { return u.reference[sz(j)] > kAudible * u.total; };
  std::vector<double> counts(sz(Index{excerpts} * targets), 0.0), sounding(sz(excerpts), 0.0);
  for (const Unit& u : units) {
    for (int j = 0; j < targets; ++j) counts[sz(Index{u.excerpt} * targets + j)] += audible(u, j) ? 1 : 0;
  }
  double used = 0;
  for (int e = 0; e < excerpts; ++e) {
    for (int j = 0; j < targets; ++j) sounding[sz(e)] += counts[sz(Index{e} * targets + j)] > 0 ? 1 : 0;
    used += sounding[sz(e)] > 0 ? 1 : 0;
  }
  std::vector<double> share(units.size() * sz(targets), 0.0);
  for (std::size_t u = 0; u < units.size(); ++u) {
    for (int j = 0; j < targets; ++j) {
      if (!audible(units[u], j)) continue;
      const auto e = sz(units[u].excerpt);
      share[u * sz(targets) + sz(j)] = 1 / (used * sounding[e] * counts[e * sz(targets) + sz(j)]);
    }
  }
  return share;
}

/// Gradient of one unit's part of the loss with respect to the bands' weights. `weights` are those of the bins.
void add_gradient(const Unit& unit, int targets, const double* share, const std::vector<float>& weights,
                  const std::vector<Place>& place, std::vector<double>& gradient) {
  const int size = targets + 5;
  const Index block = Index{targets} * size, points = static_cast<Index>(unit.bin.size());
  std::vector<float> masks(sz(points * targets));
  std::vector<double> error(sz(targets), 0.0), slope(sz(targets), 0.0), toward(sz(targets));
  for (Index i = 0; i < points; ++i) {
    float* mask = masks.data() + i * targets;
    softmax_of(weights.data() + unit.bin[sz(i)] * block, unit.phi.data() + i * (size - 1), targets, size, mask);
    for (int j = 0; j < targets; ++j) {
      const auto at = sz(i * targets + j);
      error[sz(j)] += static_cast<double>(
          unit.weight[sz(i)] * (unit.own[at] - 2 * mask[j] * unit.cross[at] + mask[j] * mask[j] * unit.mixture[sz(i)]));
    }
  }
  for (int j = 0; j < targets; ++j) {
    if (share[j] > 0) slope[sz(j)] = 2 * share[j] / (std::max(error[sz(j)], 0.0) + kDelta * unit.total);
  }
  for (Index i = 0; i < points; ++i) {
    const float* mask = masks.data() + i * targets;
    double common = 0;
    for (int j = 0; j < targets; ++j) {
      const float excess = mask[j] * unit.mixture[sz(i)] - unit.cross[sz(i * targets + j)];
      toward[sz(j)] = slope[sz(j)] * static_cast<double>(unit.weight[sz(i)] * excess);
      common += static_cast<double>(mask[j]) * toward[sz(j)];
    }
    const Place& where = place[sz(unit.bin[sz(i)])];
    const float* phi = unit.phi.data() + i * (size - 1);
    const auto add = [&](int band, int j, double z) {
      double* to = gradient.data() + band * block + j * size;
      for (int f = 0; f < size - 1; ++f) to[f] += z * static_cast<double>(phi[f]);
      to[size - 1] += z;
    };
    for (int j = 0; j < targets; ++j) {
      const double z = static_cast<double>(mask[j]) * (toward[sz(j)] - common);
      add(where.band, j, z * static_cast<double>(1 - where.share));
      if (where.share > 0) add(where.band + 1, j, z * static_cast<double>(where.share));
    }
  }
}

}  // namespace

Calibrator::Calibrator(const Calibration& calibration, const audio::StftSpec& stft, int rate_hz)
    : weights_(weights_of_bins(calibration.weights, places(stft, rate_hz, calibration.bands),
                               Index{calibration.targets} * calibration.size())),
      targets_(calibration.targets),
      size_(calibration.size()) {}

void Calibrator::apply(const Cues& cues, Index frame, float* masks) const {
  std::vector<float> phi(sz(size_)), result(sz(targets_));
  for (Index k = 0; k < cues.bins; ++k) {
    features(masks + k, cues.bins, targets_, cues, sz(frame * cues.bins + k), phi.data());
    softmax_of(weights_.data() + k * targets_ * size_, phi.data(), targets_, size_, result.data());
    for (int j = 0; j < targets_; ++j) masks[j * cues.bins + k] = result[sz(j)];
  }
}

CalibrationTrainer::CalibrationTrainer(int targets, int bands, const audio::StftSpec& stft, int rate_hz)
    : stft_(stft), targets_(targets), bands_(bands), rate_hz_(rate_hz) {}

CalibrationTrainer::~CalibrationTrainer() = default;

bool CalibrationTrainer::empty() const noexcept { return units_.empty(); }

void CalibrationTrainer::add(const Dictionary& dictionary, const std::vector<audio::AudioBuffer>& stems, int iterations,
                             int threads, const core::StopToken& stop) {
  MSS_ASSERT(dictionary.template_frames == 1 && dictionary.target_count() == targets_ && sz(targets_) == stems.size());
  const audio::Stft<float> stft(stft_);
  audio::AudioBuffer mixture;
  std::vector<Spectrum> y(stems.size());
  for (std::size_t j = 0; j < stems.size(); ++j) {
    if (stems[j].empty()) continue;
    y[j] = stft.forward(stems[j].view(), threads);
    if (mixture.empty()) {
      mixture = audio::AudioBuffer(stems[j].view());
    } else {
      audio::add_to(mixture.span(), stems[j].view());
    }
  }
  if (mixture.empty()) return;
  const Spectrum x = stft.forward(mixture.view(), threads);
  const Cues cues = cues_of(mixture.view(), stft_, threads, stop);
  const Index unit_frames = std::max<Index>(1, std::lround(static_cast<double>(rate_hz_) / stft_.hop_samples));
  const Index units = x.frames() / unit_frames;
  std::vector<Index> frames;
  for (Index n = 0; n < units * unit_frames; n += kFrameStep) frames.push_back(n);
  const std::vector<float> masks = dictionary_masks(dictionary, x, frames, iterations, threads, stop);

  const auto count = static_cast<Index>(frames.size());
  const std::size_t first = units_.size();
  units_.resize(first + sz(units));
  for (std::size_t u = first; u < units_.size(); ++u) {
    units_[u].excerpt = excerpts_;
    units_[u].reference.assign(sz(targets_), 0.0);
  }
  ++excerpts_;
  std::vector<float> phi(sz(targets_ + 4));
  for (Index n = 0; n < count; ++n) {
    Unit& unit = units_[first + sz(frames[sz(n)] / unit_frames)];
    for (int c = 0; c < x.channels(); ++c) {
      const std::complex<float>* mix = x.at(c, frames[sz(n)]);
      const float* mask = masks.data() + (c * count + n) * targets_ * x.bins();
      for (Index k = 0; k < x.bins();) {
        const bool all = static_cast<double>(k) * rate_hz_ / stft_.fft_size < kAllBinsHz;
        const float weight = all ? 1.0F : static_cast<float>(kBinStep);
        features(mask + k, x.bins(), targets_, cues, sz(frames[sz(n)] * x.bins() + k), phi.data());
        unit.phi.insert(unit.phi.end(), phi.begin(), phi.end());
        unit.bin.push_back(static_cast<std::int32_t>(k));
        unit.weight.push_back(weight);
        unit.mixture.push_back(std::norm(mix[k]));
        unit.total += static_cast<double>(weight * std::norm(mix[k]));
        for (int j = 0; j < targets_; ++j) {
          const std::complex<float> z = stems[sz(j)].empty() ? std::complex<float>() : y[sz(j)].at(c, frames[sz(n)])[k];
          unit.cross.push_back(z.real() * mix[k].real() + z.imag() * mix[k].imag());
          unit.own.push_back(std::norm(z));
          unit.reference[sz(j)] += static_cast<double>(weight * std::norm(z));
        }
        k += all ? 1 : kBinStep;
      }
    }
  }
}

Calibration CalibrationTrainer::fit(int threads, const core::StopToken& stop, const std::function<void()>& step) const {
  Calibration out;
  out.targets = targets_;
  out.bands = bands_;
  const int size = out.size();
  const Index block = Index{targets_} * size;
  const std::vector<Place> place = places(stft_, rate_hz_, bands_);
  const std::vector<double> share = shares(units_, excerpts_, targets_);

  // Parameters: a (shared by all bands; its constants stay 0), then b of every band.
  std::vector<double> value(sz(block * (bands_ + 1)), 0.0), gradient(value), mean(value), square(value);
  for (int j = 0; j < targets_; ++j) value[sz(Index{j} * size + j)] = kOwn;
  const std::vector<double> start = value;
  const auto sum_up = [&] {
    out.weights.assign(sz(block * bands_), 0.0F);
    for (Index i = 0; i < block * bands_; ++i)
      out.weights[sz(i)] = static_cast<float>(value[sz(i % block)] + value[sz(block + i)]);
  };
  std::vector<std::vector<double>> partial(units_.size());
  for (int t = 0; t < kSteps; ++t) {
    stop.check();
    sum_up();
    const std::vector<float> weights = weights_of_bins(out.weights, place, block);
    core::parallel_for(static_cast<Index>(units_.size()), threads, [&](Index u) {
      partial[sz(u)].assign(sz(block * bands_), 0.0);
      add_gradient(units_[sz(u)], targets_, share.data() + u * targets_, weights, place, partial[sz(u)]);
    });
    std::ranges::fill(gradient, 0.0);
    for (const auto& unit : partial) {
      for (std::size_t i = 0; i < unit.size(); ++i) gradient[sz(block) + i] += unit[i];
    }
    for (Index i = 0; i < block * bands_; ++i) {
      // The bands' constants are biases of their own, a has none.
      if (i % size != size - 1) gradient[sz(i % block)] += gradient[sz(block + i)];
    }
    const double rate = kRate * (1 - static_cast<double>(t) / kSteps);
    for (std::size_t i = 0; i < value.size(); ++i) {
      const bool bias = static_cast<Index>(i) % size == size - 1;
      const double g = gradient[i] + 2 * (bias ? kBiasPenalty : kPenalty) * (value[i] - start[i]);
      mean[i] = 0.9 * mean[i] + 0.1 * g;
      square[i] = 0.999 * square[i] + 0.001 * g * g;
      const double unbiased = mean[i] / (1 - std::pow(0.9, t + 1));
      value[i] -= rate * unbiased / (std::sqrt(square[i] / (1 - std::pow(0.999, t + 1))) + 1e-8);
    }
    if (step) step();
  }
  sum_up();
  return out;
}

}  // namespace mss::methods::nmf
