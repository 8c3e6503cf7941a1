// Signal processing of the composed songs: stereo tracks in float64 at 44.1 kHz, filters, levels, compression, convolution
// with a room. Sums run in a fixed order and no libm is called, so that results have the same bits everywhere. What runs
// over a whole song first throws Error(cancelled) on a stop request of the thread (core/stop.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "datasets/synth/random.h"
#include "datasets/synth/score.h"

namespace mss::datasets::synth {

/// Control curves have a value every 64 samples.
inline constexpr std::int64_t kHop = 64;

struct Stereo {
  std::vector<double> left, right;
  Stereo() = default;
  explicit Stereo(std::int64_t samples)
      : left(static_cast<std::size_t>(samples)), right(static_cast<std::size_t>(samples)) {}
  std::int64_t samples() const { return static_cast<std::int64_t>(left.size()); }
};

/// x += gain * y.
void add(Stereo& x, const Stereo& y, double gain = 1);
void scale(Stereo& x, double gain);
/// Multiplies both channels by a curve.
void multiply(Stereo& x, std::span<const double> curve);

/// Biquad coefficients of the Audio EQ Cookbook (R. Bristow-Johnson), a0 = 1.
struct Biquad {
  double b0, b1, b2, a1, a2;
};
inline constexpr double kButterworthQ = 0.70710678118654752440;
Biquad low_pass(double hz, double q = kButterworthQ);
Biquad high_pass(double hz, double q = kButterworthQ);
Biquad peak(double hz, double q, double db);
Biquad high_shelf(double hz, double q, double db);
void filter(std::span<double> x, const Biquad& biquad);  ///< from silence
void filter(Stereo& x, const Biquad& biquad);

double rms(std::span<const double> x);
/// Scales to unit RMS; silence stays.
void to_unit_rms(std::span<double> x);
/// RMS over both channels of the whole tenths of a second within 40 dB of the loudest; 0 for silence (loudest mean
/// square below 1e-9, or less than a tenth of a second).
double gated_rms(const Stereo& x);
/// Scales to a gated RMS in dB re full scale; silence stays.
void set_level(Stereo& x, double db);
/// c tanh(x / c) with c = gated RMS + `over_db`.
void soft_clip(Stereo& x, double over_db);
/// The difference of the channels times w.
void set_width(Stereo& x, double w);
/// Constant-power gains, position -1 (left) … 1 (right), unit gain in the middle.
struct PanGains {
  double left, right;
};
PanGains pan_gains(double position);
void pan(Stereo& x, double position);

/// Gain curve of a compressor on the peak of both channels in blocks of 64 samples: one-pole follower with attack or
/// release time constant, gain (dB) = -max(0, level - threshold) (1 - 1 / ratio), linear between block centres.
std::vector<double> compressor(const Stereo& x, double threshold_db, double ratio, double attack_s, double release_s);

/// A room's answer: two channels of exponentially decaying noise, filtered, each of unit energy.
class Room {
 public:
  struct Design {
    double t60_s, pre_delay_s, bright_hz;
    std::uint32_t number;  ///< 0 room, 1 plate: which noise
  };
  /// For songs of `samples` samples.
  Room(const Draws& draws, const Design& design, std::int64_t samples);
  ~Room();
  Room(Room&&) noexcept;
  Room& operator=(Room&&) noexcept;
  /// x convolved with the room, as long as x.
  Stereo of(const Stereo& x) const;

 private:
  struct Spectrum;
  std::int64_t hop_ = 0;  // new input samples per transform
  std::vector<Spectrum> response_;
};

}  // namespace mss::datasets::synth
