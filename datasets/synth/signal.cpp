#include "datasets/synth/signal.h"

#include <algorithm>
#include <cmath>

#include "core/stop.h"
#include "datasets/synth/fft.h"
#include "datasets/synth/math.h"

namespace mss::datasets::synth {

void add(Stereo& x, const Stereo& y, double gain) {
  core::check_stop();
  for (std::size_t i = 0; i < x.left.size(); ++i) x.left[i] += gain * y.left[i];
  for (std::size_t i = 0; i < x.right.size(); ++i) x.right[i] += gain * y.right[i];
}

void scale(Stereo& x, double gain) {
  core::check_stop();
  for (double& v : x.left) v *= gain;
  for (double& v : x.right) v *= gain;
}

void multiply(Stereo& x, std::span<const double> curve) {
  core::check_stop();
  for (std::size_t i = 0; i < x.left.size(); ++i) {
    x.left[i] *= curve[i];
    x.right[i] *= curve[i];
  }
}

namespace {

struct Corner {
  double c, alpha;
  Corner(double hz, double q) {
    const double turns = hz / kRateHz;
    c = cos_turns(turns);
    alpha = sin_turns(turns) / (2 * q);
  }
};

Biquad normalised(double b0, double b1, double b2, double a0, double a1, double a2) {
  return {b0 / a0, b1 / a0, b2 / a0, a1 / a0, a2 / a0};
}

}  // namespace

Biquad low_pass(double hz, double q) {
  const Corner w(hz, q);
  return normalised((1 - w.c) / 2, 1 - w.c, (1 - w.c) / 2, 1 + w.alpha, -2 * w.c, 1 - w.alpha);
}

Biquad high_pass(double hz, double q) {
  const Corner w(hz, q);
  return normalised((1 + w.c) / 2, -1 - w.c, (1 + w.c) / 2, 1 + w.alpha, -2 * w.c, 1 - w.alpha);
}

Biquad peak(double hz, double q, double db) {
  const Corner w(hz, q);
  const double a = gain_of_db(db / 2);
  return normalised(1 + w.alpha * a, -2 * w.c, 1 - w.alpha * a, 1 + w.alpha / a, -2 * w.c, 1 - w.alpha / a);
}

Biquad high_shelf(double hz, double q, double db) {
  const Corner w(hz, q);
  const double a = gain_of_db(db / 2), k = 2 * std::sqrt(a) * w.alpha, c = w.c;
  return normalised(a * ((a + 1) + (a - 1) * c + k), -2 * a * ((a - 1) + (a + 1) * c), a * ((a + 1) + (a - 1) * c - k),
                    (a + 1) - (a - 1) * c + k, 2 * ((a - 1) - (a + 1) * c), (a + 1) - (a - 1) * c - k);
}

void filter(std::span<double> x, const Biquad& f) {
  core::check_stop();
  double s1 = 0, s2 = 0;  // transposed direct form II
  for (double& v : x) {
    const double in = v;
    const double out = f.b0 * in + s1;
    s1 = f.b1 * in - f.a1 * out + s2;
    s2 = f.b2 * in - f.a2 * out;
    v = out;
  }
}

void filter(Stereo& x, const Biquad& f) {
  filter(x.left, f);
  filter(x.right, f);
}

double rms(std::span<const double> x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return x.empty() ? 0 : std::sqrt(sum / static_cast<double>(x.size()));
}

void to_unit_rms(std::span<double> x) {
  const double level = rms(x);
  if (level <= 0) return;
  for (double& v : x) v /= level;
}

double gated_rms(const Stereo& x) {
  core::check_stop();
  constexpr std::size_t kGate = 4410;
  std::vector<double> blocks;
  for (std::size_t begin = 0; begin + kGate <= x.left.size(); begin += kGate) {
    double sum = 0;
    for (std::size_t t = begin; t < begin + kGate; ++t) sum += x.left[t] * x.left[t] + x.right[t] * x.right[t];
    blocks.push_back(sum / (2.0 * kGate));
  }
  if (blocks.empty()) return 0;
  const double loudest = *std::max_element(blocks.begin(), blocks.end());
  if (loudest < 1e-9) return 0;
  double sum = 0;
  int count = 0;
  for (const double b : blocks) {
    if (b <= 1e-4 * loudest) continue;
    sum += b;
    ++count;
  }
  return std::sqrt(sum / count);
}

void set_level(Stereo& x, double db) {
  const double level = gated_rms(x);
  if (level > 0) scale(x, gain_of_db(db) / level);
}

void soft_clip(Stereo& x, double over_db) {
  const double ceiling = gated_rms(x) * gain_of_db(over_db);
  if (ceiling <= 0) return;
  for (auto* channel : {&x.left, &x.right}) {
    core::check_stop();
    for (double& v : *channel) v = ceiling * tanh_of(v / ceiling);
  }
}

void set_width(Stereo& x, double w) {
  core::check_stop();
  for (std::size_t i = 0; i < x.left.size(); ++i) {
    const double mid = 0.5 * (x.left[i] + x.right[i]);
    x.left[i] = mid + w * (x.left[i] - mid);
    x.right[i] = mid + w * (x.right[i] - mid);
  }
}

PanGains pan_gains(double position) {
  const double turns = (position + 1) / 8;  // (position + 1) pi / 4
  return {std::numbers::sqrt2 * cos_turns(turns), std::numbers::sqrt2 * sin_turns(turns)};
}

void pan(Stereo& x, double position) {
  const PanGains gains = pan_gains(position);
  for (double& v : x.left) v *= gains.left;
  for (double& v : x.right) v *= gains.right;
}

std::vector<double> compressor(const Stereo& x, double threshold_db, double ratio, double attack_s, double release_s) {
  core::check_stop();
  const auto samples = x.left.size();
  const auto hop = static_cast<std::size_t>(kHop);
  const double attack = exp_of(-static_cast<double>(kHop) / (attack_s * kRateHz));
  const double release = exp_of(-static_cast<double>(kHop) / (release_s * kRateHz));
  std::vector<double> gains;
  double s = 0;
  for (std::size_t begin = 0; begin < samples; begin += hop) {
    double peak_level = 0;
    for (std::size_t t = begin; t < std::min(samples, begin + hop); ++t) {
      peak_level = std::max({peak_level, std::abs(x.left[t]), std::abs(x.right[t])});
    }
    const double k = peak_level > s ? attack : release;
    s = k * s + (1 - k) * peak_level;
    const double over = db_of_gain(s + 1e-9) - threshold_db;
    gains.push_back(over > 0 ? gain_of_db(-over * (1 - 1 / ratio)) : 1.0);
  }
  std::vector<double> curve(samples);
  for (std::size_t t = 0; t < samples; ++t) {
    // Block m is centred on sample 64 m + 32.
    if (t < hop / 2) {
      curve[t] = gains.front();
      continue;
    }
    const std::size_t m = (t - hop / 2) / hop;
    if (m + 1 >= gains.size()) {
      curve[t] = gains.back();
      continue;
    }
    const double u = static_cast<double>(t - hop / 2 - m * hop) / static_cast<double>(hop);
    curve[t] = gains[m] + u * (gains[m + 1] - gains[m]);
  }
  return curve;
}

// ---------------------------------------------------------------------------------------------------------------------
// Rooms. Overlap-add; the two channels are the real and the imaginary part of one complex signal, and are told apart in
// the spectrum by its symmetry.

struct Room::Spectrum {
  Fft fft;
  Complexes left, right;
};

Room::~Room() = default;
Room::Room(Room&&) noexcept = default;
Room& Room::operator=(Room&&) noexcept = default;

Room::Room(const Draws& draws, const Design& design, std::int64_t samples) {
  const auto size = static_cast<std::size_t>(std::floor(1.1 * kRateHz * design.t60_s));
  const auto delay = static_cast<std::size_t>(design.pre_delay_s * kRateHz);
  std::vector<double> channels[2];
  for (std::uint32_t c = 0; c < 2; ++c) {
    std::vector<double>& h = channels[c];
    h.resize(size);
    draws.noise(h, 20, 2 * design.number + c);
    for (std::size_t n = 0; n < size; ++n) {
      h[n] *= exp_of(-6.9078 * static_cast<double>(n) / (design.t60_s * kRateHz));
    }
    filter(h, low_pass(design.bright_hz));
    filter(h, high_pass(220));
    double energy = 0;
    for (const double v : h) energy += v * v;
    for (double& v : h) v /= std::sqrt(energy);
    // What would sound only after the song's end is left out.
    h.insert(h.begin(), delay, 0.0);
    h.resize(std::min<std::size_t>(h.size(), static_cast<std::size_t>(samples)));
  }
  const std::size_t response = channels[0].size();
  const std::size_t whole = static_cast<std::size_t>(samples) + response - 1;
  std::size_t transform = 2;
  while (transform < whole && transform < 3 * response) transform *= 2;
  hop_ = static_cast<std::int64_t>(transform - response + 1);
  response_.push_back({Fft(transform), Complexes(transform), Complexes(transform)});
  Spectrum& spectrum = response_.back();
  std::copy(channels[0].begin(), channels[0].end(), spectrum.left.re.begin());
  std::copy(channels[1].begin(), channels[1].end(), spectrum.right.re.begin());
  spectrum.fft.forward(spectrum.left);
  spectrum.fft.forward(spectrum.right);
}

Stereo Room::of(const Stereo& x) const {
  const Spectrum& h = response_.front();
  const std::size_t size = h.fft.size();
  const auto samples = static_cast<std::size_t>(x.samples());
  const auto hop = static_cast<std::size_t>(hop_);
  const double norm = 1.0 / static_cast<double>(size);
  Stereo out(x.samples());
  Complexes z(size), y(size);
  for (std::size_t begin = 0; begin < samples; begin += hop) {
    core::check_stop();
    const std::size_t count = std::min(hop, samples - begin);
    std::fill(z.re.begin(), z.re.end(), 0.0);
    std::fill(z.im.begin(), z.im.end(), 0.0);
    std::copy_n(x.left.begin() + static_cast<std::ptrdiff_t>(begin), count, z.re.begin());
    std::copy_n(x.right.begin() + static_cast<std::ptrdiff_t>(begin), count, z.im.begin());
    h.fft.forward(z);
    for (std::size_t k = 0; k < size; ++k) {
      // Spectra of the two real signals: L = (Z[k] + conj Z[-k]) / 2, R = (Z[k] - conj Z[-k]) / 2i.
      const std::size_t m = (size - k) & (size - 1);
      const double lr = 0.5 * (z.re[k] + z.re[m]), li = 0.5 * (z.im[k] - z.im[m]);
      const double rr = 0.5 * (z.im[k] + z.im[m]), ri = 0.5 * (z.re[m] - z.re[k]);
      const double yl_re = lr * h.left.re[k] - li * h.left.im[k], yl_im = lr * h.left.im[k] + li * h.left.re[k];
      const double yr_re = rr * h.right.re[k] - ri * h.right.im[k], yr_im = rr * h.right.im[k] + ri * h.right.re[k];
      y.re[k] = yl_re - yr_im;
      y.im[k] = yl_im + yr_re;
    }
    h.fft.backward(y);
    const std::size_t reach = std::min(size, samples - begin);
    for (std::size_t t = 0; t < reach; ++t) {
      out.left[begin + t] += norm * y.re[t];
      out.right[begin + t] += norm * y.im[t];
    }
  }
  return out;
}

}  // namespace mss::datasets::synth
