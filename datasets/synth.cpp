#include "datasets/synth.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/error.h"
#include "core/rng.h"
#include "core/text.h"

namespace mss::datasets {

namespace {

constexpr double kRate = kSynthRateHz;
constexpr int kBlock = 64;          // samples between two values of a control curve
constexpr int kTicksPerStep = 120;  // sixteenth note; 480 ticks to the quarter
constexpr int kStepsPerBar = 16;

// ---------------------------------------------------------------------------------------------------------------------
// Arithmetic without libm: IEEE + - * / and exact conversions only.

/// cos(2 pi x) for x in [-0.5, 0.5]: Taylor series of the sine on [-pi/2, pi/2], error below 1e-9.
inline double cos_turns(double x) {
  const double y = 2 * std::numbers::pi * (0.25 - (x < 0 ? -x : x));
  const double z = y * y;
  double p = -1.0 / 1307674368000.0;
  p = p * z + 1.0 / 6227020800.0;
  p = p * z - 1.0 / 39916800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z - 1.0 / 5040.0;
  p = p * z + 1.0 / 120.0;
  p = p * z - 1.0 / 6.0;
  return y + y * z * p;
}

/// sin(2 pi x) for x in [0, 1).
inline double sin_turns(double x) {
  const double y = x - 0.25;
  return cos_turns(y > 0.5 ? y - 1 : y);
}

/// 2^x: the nearest integer exactly, the rest by Taylor series.
double exp2_exact(double x) {
  if (x < -1000) return 0;
  const double whole = std::floor(x + 0.5);
  const double f = (x - whole) * std::numbers::ln2;
  double p = 1;
  for (int n = 13; n >= 1; --n) p = 1 + p * f / n;
  const auto exponent = static_cast<std::int64_t>(whole) + 1023;
  return p * std::bit_cast<double>(static_cast<std::uint64_t>(exponent) << 52U);
}
double exp_exact(double x) { return exp2_exact(x * std::numbers::log2e); }
/// n^exponent for whole n > 0; the logarithm by the series of artanh around a power of two.
double power(int n, double exponent) {
  int shift = 0;
  double m = n;
  while (m > 1.5) {
    m /= 2;
    ++shift;
  }
  const double s = (m - 1) / (m + 1), z = s * s;
  double sum = 0;
  for (int k = 25; k >= 1; k -= 2) sum = sum * z + 1.0 / k;
  return exp2_exact(exponent * (shift + 2 * s * sum * std::numbers::log2e));
}
double gain_of_db(double db) { return exp2_exact(db * (std::numbers::log2e * std::numbers::ln10 / 20)); }
double hz_of_midi(double midi) { return 440 * exp2_exact((midi - 69) / 12); }
/// Factor per `samples` samples of an exponential decay with time constant tau_s.
double decay_factor(double tau_s, double samples = 1) { return exp_exact(-samples / (tau_s * kRate)); }

// ---------------------------------------------------------------------------------------------------------------------
// Draws. Streams 1 song, 2 drums, 3 bass, 4 chords, 5 melody, 6 voice, 7 mix, 20 … noise.

class Draws {
 public:
  Draws(std::uint64_t seed, int song) {
    const auto words = core::philox4x32({static_cast<std::uint32_t>(song), 0, 0, kVersionWord}, seed);
    key_ = words[0] | static_cast<std::uint64_t>(words[1]) << 32U;
  }
  std::uint32_t below(std::uint32_t n, std::uint32_t stream, std::uint32_t item, std::uint32_t choice) const {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(word(stream, item, choice)) * n) >> 32U);
  }
  bool chance(std::uint32_t per_mille, std::uint32_t stream, std::uint32_t item, std::uint32_t choice) const {
    return below(1000, stream, item, choice) < per_mille;
  }
  double uniform(double low, double high, std::uint32_t stream, std::uint32_t item, std::uint32_t choice) const {
    return low + (high - low) * ((word(stream, item, choice) + 0.5) / 4294967296.0);
  }
  /// White noise of unit variance (triangular): two 16-bit halves of a word make a sample.
  void noise(std::vector<double>& out, std::uint32_t stream, std::uint32_t item) const {
    constexpr double kScale = 2.449489742783178 / 65536;  // sqrt(6) / 2^16
    for (std::size_t i = 0; i < out.size(); i += 4) {
      const auto words = core::philox4x32({static_cast<std::uint32_t>(i / 4), item, stream, kVersionWord}, key_);
      for (std::size_t j = 0; j < std::min<std::size_t>(4, out.size() - i); ++j) {
        const auto sum = static_cast<std::int32_t>(words[j] >> 16U) + static_cast<std::int32_t>(words[j] & 0xFFFFU);
        out[i + j] = (sum - 65535) * kScale;
      }
    }
  }

 private:
  static constexpr std::uint32_t kVersionWord = 0x4D534200U + kSynthVersion;  // "MSB" and the version
  std::uint32_t word(std::uint32_t stream, std::uint32_t item, std::uint32_t choice) const {
    return core::philox4x32({choice, item, stream, kVersionWord}, key_)[0];
  }
  std::uint64_t key_ = 0;
};

// ---------------------------------------------------------------------------------------------------------------------
// Composition

struct Style {
  const char* name;
  int bpm_low, bpm_high;
  int minor_per_mille;
  int swing_ticks;                            // delay of every second sixteenth
  const char *kick, *snare, *hat, *open_hat;  // X accent, x normal, o sometimes
  const char* bass;                           // R root, 8 octave, 5 fifth, - hold, . rest
  const char* chords;                         // x hit, - hold, . rest
  int keys;                                   // 0 electric piano, 1 organ, 2 plucked
};

constexpr std::array<Style, 6> kStyles = {{
    {"rock", 104, 144, 350, 0, "X.....x.X.x...o.", "....X.......X..o", "X.x.X.x.X.x.X.x.", "................",
     "R-R-R-R-R-R-R-5-", "x---x---x---x-x-", 2},
    {"pop", 92, 124, 400, 0, "X.....x...x..o..", "....X.......X...", "X.xxX.xxX.xxX.x.", "..............o.",
     "R-----R-R---5-8-", "x-----x-----x---", 0},
    {"ballad", 66, 90, 300, 0, "X......xX...o...", "....X.......X...", "x.x.x.x.x.x.x.x.", "................",
     "R-------5-----R-", "x-------x-------", 0},
    {"funk", 94, 114, 600, 16, "X..x..x...x..o..", "....X..o.o..X..o", "XxxxXxxxXxxxXxxx", "......o.......o.",
     "R-.8..R-.R..5-8.", "..x-..x..x..x.x.", 2},
    {"disco", 112, 126, 500, 0, "X...X...X...X...", "....X.......X...", "x.x.x.x.x.x.x.x.", "..X...X...X...X.",
     "R-8-R-8-R-8-R-8-", "..x...x...x...x-", 1},
    {"hiphop", 78, 96, 700, 28, "X......x..X..o..", "....X.......X...", "x.x.x.xxx.x.x.xo", "................",
     "R-----..R-..5---", "x-----------x-..", 1},
}};

// Scale degrees (0 = tonic) of the triads of four bars.
constexpr std::array<std::array<int, 4>, 6> kMajorProgressions = {
    {{0, 4, 5, 3}, {0, 5, 3, 4}, {5, 3, 0, 4}, {0, 3, 1, 4}, {0, 2, 3, 4}, {3, 0, 4, 5}}};
constexpr std::array<std::array<int, 4>, 6> kMinorProgressions = {
    {{0, 5, 2, 6}, {0, 3, 4, 0}, {0, 6, 5, 6}, {0, 5, 3, 4}, {0, 2, 6, 3}, {5, 6, 0, 0}}};
constexpr std::array<int, 7> kMajorScale = {0, 2, 4, 5, 7, 9, 11};
constexpr std::array<int, 7> kMinorScale = {0, 2, 3, 5, 7, 8, 10};

// Onsets of sung notes over two bars of sixteenths; every phrase ends in a rest to breathe in.
constexpr std::array<const char*, 8> kPhrases = {{
    "..x.x.x.x...x...x.x...x.........",
    "x...x.x.x.x.....x...x...........",
    "....x.x.x.x.x...x...x.x.........",
    "x.....x.x...x...x.....x.........",
    "..x.x.x.x.x.x.x.x...............",
    "x.x.x...x.x.x...x.x.x.x.........",
    "x.......x...x...x...............",
    "....x...x.x.x.x.x...x...........",
}};

struct Singer {
  int centre_midi;
  double formant_scale, tilt, vibrato_hz, vibrato_cents;
};
constexpr std::array<Singer, 5> kSingers = {{{57, 0.96, 0.72, 5.2, 24},
                                             {61, 1.01, 0.62, 5.6, 34},
                                             {65, 1.13, 0.70, 5.5, 32},
                                             {68, 1.17, 0.60, 5.9, 28},
                                             {63, 1.08, 0.78, 5.0, 20}}};

struct Note {
  std::int64_t begin = 0, end = 0;  // samples
  int midi = 0;
  double gain = 1;
  std::uint32_t item = 0;  // address of its further draws
  bool phrase_start = false;
};

struct DrumHit {
  std::int64_t begin = 0;
  char line = 'K';  // K kick, S snare, H closed hat, O open hat, C crash, T tom
  double gain = 1;
  std::uint32_t item = 0;
};

struct Score {
  SynthSong song;
  const Style* style = nullptr;
  int singer = 0;
  std::vector<DrumHit> drums;
  std::vector<Note> bass, chords, pad, melody;
};

struct Clock {
  int bpm;
  int swing_ticks;
  std::int64_t sample(int bar, int step, int extra_ticks = 0) const {
    const std::int64_t tick = (static_cast<std::int64_t>(bar) * kStepsPerBar + step) * kTicksPerStep +
                              (step % 2 != 0 ? swing_ticks : 0) + extra_ticks;
    // 44100 * 60 / (480 * bpm) samples per tick
    return std::max<std::int64_t>(0, tick * 11025 / (2 * static_cast<std::int64_t>(bpm)));
  }
};

const char* kKeyNames[12] = {"C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B"};

const Style& choose_style(const Draws& draw, int song) {
  // Three songs in a row come from three pairs of styles, so that a small set is not all of one kind.
  return kStyles[draw.below(2, 1, 0, 0) + 2 * static_cast<std::uint32_t>(song % 3)];
}

SynthSong describe(const Draws& draw, std::uint64_t seed, int song, const Style& style) {
  SynthSong result;
  result.style = style.name;
  result.tempo_bpm = style.bpm_low + static_cast<int>(draw.below(
                                         static_cast<std::uint32_t>(style.bpm_high - style.bpm_low + 1), 1, 0, 1));
  result.key = static_cast<int>(draw.below(12, 1, 0, 2));
  result.minor = draw.chance(static_cast<std::uint32_t>(style.minor_per_mille), 1, 0, 3);
  result.name = fmt::format("Synth {} - {:03} {} in {}{}, {} bpm", seed, song, style.name, kKeyNames[result.key],
                            result.minor ? "m" : "", result.tempo_bpm);
  return result;
}

int degree(bool minor, int d) {
  const int octave = (d >= 0 ? d : d - 6) / 7;
  const auto& scale = minor ? kMinorScale : kMajorScale;
  return scale[static_cast<std::size_t>(d - 7 * octave)] + 12 * octave;
}

/// The note at or above `low` of pitch class `pitch_class`.
int place_at(int pitch_class, int low) { return low + (((pitch_class - low) % 12) + 12) % 12; }

Score compose(std::uint64_t seed, int song, std::int64_t samples) {
  const Draws draw(seed, song);
  Score score;
  score.style = &choose_style(draw, song);
  const Style& style = *score.style;
  score.song = describe(draw, seed, song, style);
  const Clock clock{score.song.tempo_bpm, style.swing_ticks};
  const int key = score.song.key;
  const bool minor = score.song.minor;
  score.singer = static_cast<int>(draw.below(kSingers.size(), 1, 0, 4));
  const int verse = static_cast<int>(draw.below(6, 1, 0, 5));
  const int chorus = (verse + 1 + static_cast<int>(draw.below(5, 1, 0, 6))) % 6;
  const auto& progressions = minor ? kMinorProgressions : kMajorProgressions;

  const auto chord_of = [&](int bar) {
    return progressions[static_cast<std::size_t>((bar / 4) % 2 == 0 ? verse : chorus)]
                       [static_cast<std::size_t>(bar % 4)];
  };

  int melody_degree = 0;
  for (int bar = 0; clock.sample(bar, 0) < samples; ++bar) {
    const auto bar_item = static_cast<std::uint32_t>(bar) * 64U;
    const bool is_chorus = (bar / 4) % 2 == 1;  // sections of four bars: verse, chorus, verse, …
    const bool section_start = bar % 4 == 0;
    const int root = chord_of(bar);

    // Drums
    const int fill_from = (bar % 4 == 3 && draw.chance(700, 2, bar_item, 1)) ? 12 : kStepsPerBar;
    const auto lay = [&](const char* pattern, char line, double accent, double normal, std::uint32_t line_index) {
      for (int step = 0; step < kStepsPerBar; ++step) {
        const char mark = pattern[step];
        const std::uint32_t item = (bar_item + static_cast<std::uint32_t>(step)) * 8U + line_index;
        if (mark == '.' || (mark == 'o' && !draw.chance(500, 2, item, 2))) continue;
        if (step >= fill_from && line != 'K') continue;
        const int late = static_cast<int>(draw.below(9, 2, item, 3)) - 4;
        const double gain = (mark == 'X'   ? accent
                             : mark == 'o' ? 0.7 * normal
                                           : normal) *
                            draw.uniform(0.88, 1.06, 2, item, 4);
        score.drums.push_back({clock.sample(bar, step, late), line, gain, item});
      }
    };
    lay(style.kick, 'K', 1.0, 0.85, 0);
    lay(style.snare, 'S', 0.95, 0.6, 1);
    lay(style.hat, 'H', 0.8, 0.55, 2);
    lay(style.open_hat, 'O', 0.7, 0.6, 3);
    for (int step = fill_from; step < kStepsPerBar; ++step) {
      const std::uint32_t item = (bar_item + static_cast<std::uint32_t>(step)) * 8U + 4;
      score.drums.push_back({clock.sample(bar, step), draw.chance(600, 2, item, 2) ? 'T' : 'S',
                             draw.uniform(0.6, 0.9, 2, item, 4), item});
    }
    if (section_start && (is_chorus || draw.chance(600, 2, bar_item, 5))) {
      score.drums.push_back({clock.sample(bar, 0), 'C', 0.8, bar_item * 8U + 5});
    }

    // Bass
    for (int step = 0; step < kStepsPerBar; ++step) {
      const char mark = style.bass[step];
      if (mark == '.' || mark == '-') continue;
      int end = step + 1;
      while (end < kStepsPerBar && style.bass[end] == '-') ++end;
      int midi = place_at(key + degree(minor, root), 28);
      if (mark == '5') midi += degree(minor, root + 4) - degree(minor, root);
      if (mark == '8') midi += 12;
      const std::uint32_t item = bar_item + static_cast<std::uint32_t>(step);
      if (step > 8 && draw.chance(120, 3, item, 0)) midi = place_at(key + degree(minor, chord_of(bar + 1)), 28) - 2;
      score.bass.push_back({clock.sample(bar, step, static_cast<int>(draw.below(7, 3, item, 1)) - 3),
                            clock.sample(bar, end, -15), midi, draw.uniform(0.85, 1.0, 3, item, 2), item, false});
    }

    // Chords: the triad in the octave above 52, with its root doubled an octave lower in choruses; a soft pad under
    // choruses.
    for (int step = 0; step < kStepsPerBar; ++step) {
      if (style.chords[step] != 'x') continue;
      int end = step + 1;
      while (end < kStepsPerBar && style.chords[end] == '-') ++end;
      const std::uint32_t item = (bar_item + static_cast<std::uint32_t>(step)) * 8U;
      if (step != 0 && draw.chance(80, 4, item, 0)) continue;
      for (int voice = 0; voice < (is_chorus ? 4 : 3); ++voice) {
        const int midi =
            voice == 3 ? place_at(key + degree(minor, root), 45) : place_at(key + degree(minor, root + 2 * voice), 54);
        score.chords.push_back({clock.sample(bar, step, 3 * voice), clock.sample(bar, end, -15), midi,
                                draw.uniform(0.75, 1.0, 4, item, 1), item + static_cast<std::uint32_t>(voice), false});
      }
    }
    if (is_chorus || draw.chance(350, 4, static_cast<std::uint32_t>(bar / 4), 9)) {
      for (int voice = 0; voice < 3; ++voice) {
        score.pad.push_back({clock.sample(bar, 0), clock.sample(bar + 1, 0),
                             place_at(key + degree(minor, root + 2 * voice), 60), 1.0,
                             bar_item + static_cast<std::uint32_t>(voice), false});
      }
    }

    // Melody: two-bar phrases; a walk over scale degrees that lands on chord tones.
    if (bar % 2 != 0) continue;
    const auto phrase_item = static_cast<std::uint32_t>(bar / 2);
    const char* rhythm = kPhrases[draw.below(kPhrases.size(), 5, phrase_item, 0)];
    bool first = true;
    for (int step = 0; step < 2 * kStepsPerBar; ++step) {
      if (rhythm[step] != 'x') continue;
      int end = step + 1;
      while (end < 2 * kStepsPerBar && rhythm[end] != 'x') ++end;
      end = std::min(end, step + 6);
      const std::uint32_t item = phrase_item * 64U + static_cast<std::uint32_t>(step);
      constexpr std::array<int, 8> kSteps = {-2, -1, -1, 0, 1, 1, 2, 3};
      melody_degree += kSteps[draw.below(kSteps.size(), 5, item, 1)];
      melody_degree = std::clamp(melody_degree, -3, 6);
      if (step % 8 == 0) {
        const int chord = chord_of(bar + step / kStepsPerBar);
        while (((melody_degree - chord) % 7 + 7) % 7 % 2 != 0 || ((melody_degree - chord) % 7 + 7) % 7 > 4)
          --melody_degree;
      }
      const int tonic = place_at(key, kSingers[static_cast<std::size_t>(score.singer)].centre_midi - 5);
      score.melody.push_back({clock.sample(bar + step / kStepsPerBar, step % kStepsPerBar,
                                           static_cast<int>(draw.below(13, 5, item, 2)) - 4),
                              clock.sample(bar + end / kStepsPerBar, end % kStepsPerBar, -12),
                              tonic + degree(minor, melody_degree), draw.uniform(0.85, 1.0, 5, item, 3), item, first});
      first = false;
    }
  }
  return score;
}

// ---------------------------------------------------------------------------------------------------------------------
// Sound

struct Stereo {
  std::vector<double> left, right;
  explicit Stereo(std::int64_t samples)
      : left(static_cast<std::size_t>(samples)), right(static_cast<std::size_t>(samples)) {}
};

/// Equal-power position in [-1, 1]; 0 leaves both channels at gain 1. The square of the sine is linear enough in
/// between.
void pan_gains(double pan, double& left, double& right) {
  left = std::sqrt(1 - pan);
  right = std::sqrt(1 + pan);
}

void add_mono(Stereo& out, const std::vector<double>& mono, std::int64_t begin, double gain, double pan) {
  double l = 0, r = 0;
  pan_gains(pan, l, r);
  for (std::size_t i = 0; i < mono.size(); ++i) {
    const auto at = static_cast<std::size_t>(begin) + i;
    if (at >= out.left.size()) break;
    out.left[at] += gain * l * mono[i];
    out.right[at] += gain * r * mono[i];
  }
}

struct Biquad {
  double b0 = 1, b1 = 0, b2 = 0, a1 = 0, a2 = 0, s1 = 0, s2 = 0;
  double operator()(double x) {
    const double y = b0 * x + s1;
    s1 = b1 * x - a1 * y + s2;
    s2 = b2 * x - a2 * y;
    return y;
  }
};

/// Audio-EQ cookbook, Q = sqrt(1/2).
Biquad pass(double hz, bool high) {
  const double turn = hz / kRate;
  const double c = cos_turns(turn), alpha = sin_turns(turn) * 0.7071067811865476;
  const double a0 = 1 + alpha, edge = high ? (1 + c) / 2 : (1 - c) / 2;
  return {edge / a0, (high ? -2 : 2) * edge / a0, edge / a0, -2 * c / a0, (1 - alpha) / a0};
}
Biquad high_pass(double hz) { return pass(hz, true); }
Biquad low_pass(double hz) { return pass(hz, false); }

void filter(std::vector<double>& x, Biquad f) {
  for (auto& v : x) v = f(v);
}

/// Smooth saturation that leaves small samples alone: c x / sqrt(c^2 + x^2).
void saturate(std::vector<double>& x, double ceiling) {
  for (auto& v : x) v = ceiling * v / std::sqrt(ceiling * ceiling + v * v);
}

/// Sum of harmonics by the recurrence sin((h+1)a) = 2 cos(a) sin(ha) - sin((h-1)a), a block of samples at a time.
/// Weights move linearly through the block. phase in turns, [0, 1).
void harmonics_block(const double* phase, int count, const std::vector<double>& from, const std::vector<double>& to,
                     int harmonics, double* out) {
  std::array<double, kBlock> previous{}, current{}, twice_cos{};
  for (int i = 0; i < count; ++i) {
    current[static_cast<std::size_t>(i)] = sin_turns(phase[i]);
    const double p = phase[i] > 0.5 ? phase[i] - 1 : phase[i];
    twice_cos[static_cast<std::size_t>(i)] = 2 * cos_turns(p);
    out[i] = 0;
  }
  for (int h = 0; h < harmonics; ++h) {
    const double w = from[static_cast<std::size_t>(h)];
    const double slope = (to[static_cast<std::size_t>(h)] - w) / kBlock;
    for (int i = 0; i < count; ++i) {
      const auto j = static_cast<std::size_t>(i);
      out[i] += (w + slope * i) * current[j];
      const double next = twice_cos[j] * current[j] - previous[j];
      previous[j] = current[j];
      current[j] = next;
    }
  }
}

struct Timbre {
  std::vector<double> weight;  // per harmonic at the onset
  std::vector<double> tau_s;   // per harmonic; 0 = sustained
  double attack_s = 0.004, release_s = 0.05;
  double detune_cents = 0;
  double vibrato_hz = 0, vibrato_cents = 0;
};

/// A pitched note of at most begin … end + release.
std::vector<double> tone(const Note& note, const Timbre& timbre, std::int64_t limit) {
  const std::int64_t body = note.end - note.begin;
  const auto release = static_cast<std::int64_t>(timbre.release_s * kRate);
  const std::int64_t length = std::min(body + release, limit - note.begin);
  if (length <= 0) return {};
  std::vector<double> out(static_cast<std::size_t>(length));
  const double f0 = hz_of_midi(note.midi + timbre.detune_cents / 100);
  int harmonics = 0;
  while (harmonics < static_cast<int>(timbre.weight.size()) && (harmonics + 1) * f0 < 15000) ++harmonics;
  auto from = timbre.weight;
  auto to = from;
  std::vector<double> factor(from.size(), 1.0);
  for (std::size_t h = 0; h < factor.size(); ++h) {
    if (timbre.tau_s[h] > 0) factor[h] = decay_factor(timbre.tau_s[h], kBlock);
  }
  double phase = 0;
  std::array<double, kBlock> phases{};
  for (std::int64_t begin = 0; begin < length; begin += kBlock) {
    const int count = static_cast<int>(std::min<std::int64_t>(kBlock, length - begin));
    double f = f0;
    if (timbre.vibrato_cents > 0) {
      const double turns = timbre.vibrato_hz * static_cast<double>(begin) / kRate;
      f *= 1 + timbre.vibrato_cents * 5.78e-4 * sin_turns(turns - std::floor(turns));  // ln(2) / 1200 per cent
    }
    for (int i = 0; i < count; ++i) {
      phases[static_cast<std::size_t>(i)] = phase;
      phase += f / kRate;
      if (phase >= 1) phase -= 1;
    }
    for (std::size_t h = 0; h < factor.size(); ++h) to[h] = from[h] * factor[h];
    harmonics_block(phases.data(), count, from, to, harmonics, out.data() + begin);
    std::swap(from, to);
  }
  const double attack = timbre.attack_s * kRate;
  for (std::int64_t i = 0; i < length; ++i) {
    double envelope = std::min(1.0, static_cast<double>(i) / attack);
    if (i > body) {
      const double left = 1 - static_cast<double>(i - body) / static_cast<double>(release);
      envelope *= left * left;
    }
    out[static_cast<std::size_t>(i)] *= envelope * note.gain;
  }
  return out;
}

/// A stereo room: four damped delay lines coupled by a Hadamard matrix (Jot & Chaigne 1991).
void add_room(Stereo& out, const std::vector<double>& left, const std::vector<double>& right, double gain,
              double seconds) {
  constexpr std::array<std::size_t, 4> kDelays = {1153, 1429, 1759, 2087};
  std::array<std::vector<double>, 4> lines;
  std::array<double, 4> feedback{}, damped{};
  std::array<std::size_t, 4> at{};
  for (std::size_t i = 0; i < 4; ++i) {
    lines[i].assign(kDelays[i], 0.0);
    feedback[i] = 0.5 * exp_exact(-6.9078 * static_cast<double>(kDelays[i]) / (seconds * kRate));
  }
  for (std::size_t t = 0; t < out.left.size(); ++t) {
    std::array<double, 4> y{};
    for (std::size_t i = 0; i < 4; ++i) {
      y[i] = lines[i][at[i]];
      damped[i] += 0.55 * (y[i] - damped[i]);
    }
    out.left[t] += gain * (y[0] + y[2]);
    out.right[t] += gain * (y[1] + y[3]);
    const double a = damped[0] + damped[1], b = damped[0] - damped[1], c = damped[2] + damped[3],
                 d = damped[2] - damped[3];
    const std::array<double, 4> mixed = {a + c, b + d, a - c, b - d};
    for (std::size_t i = 0; i < 4; ++i) {
      lines[i][at[i]] = (i % 2 == 0 ? left[t] : right[t]) + feedback[i] * mixed[i];
      if (++at[i] == kDelays[i]) at[i] = 0;
    }
  }
}

std::vector<double> shaped_noise(const Draws& draw, std::int64_t length, std::uint32_t stream, std::uint32_t item,
                                 double low_hz, double high_hz) {
  std::vector<double> x(static_cast<std::size_t>(length));
  draw.noise(x, stream, item);
  filter(x, high_pass(low_hz));
  filter(x, low_pass(high_hz));
  return x;
}

void apply_decay(std::vector<double>& x, double tau_s) {
  const double factor = decay_factor(tau_s);
  double envelope = 1;
  for (auto& v : x) {
    v *= envelope;
    envelope *= factor;
  }
}

/// amplitude * exp(-t / tau) * sin of a tone that falls from hz + drop_hz to hz with time constant drop_tau.
void add_falling_tone(std::vector<double>& x, double amplitude, double tau_s, double hz, double drop_hz,
                      double drop_tau_s) {
  const double fade = decay_factor(tau_s), drop = decay_factor(drop_tau_s);
  double envelope = amplitude, extra = drop_hz, phase = 0;
  for (auto& v : x) {
    v += envelope * sin_turns(phase);
    phase += (hz + extra) / kRate;
    if (phase >= 1) phase -= 1;
    envelope *= fade;
    extra *= drop;
  }
}

std::int64_t samples_of(double seconds) { return static_cast<std::int64_t>(seconds * kRate); }

Stereo render_drums(const Score& score, const Draws& draw, std::int64_t samples) {
  Stereo out(samples);
  Stereo room(samples);
  std::vector<std::int64_t> hat_starts;
  for (const auto& hit : score.drums) {
    if (hit.line == 'H' || hit.line == 'O') hat_starts.push_back(hit.begin);
  }
  std::sort(hat_starts.begin(), hat_starts.end());
  const double kick_hz = draw.uniform(46, 56, 2, 0, 20);
  const double snare_hz = draw.uniform(170, 215, 2, 0, 21);
  const double hat_tau = draw.uniform(0.025, 0.05, 2, 0, 22);
  const double hat_pan = draw.uniform(0.2, 0.45, 2, 0, 23);
  for (const auto& hit : score.drums) {
    if (hit.begin >= samples) continue;
    std::vector<double> x;
    double pan = 0, send = 0, level = 1;
    switch (hit.line) {
      case 'K': {
        x = shaped_noise(draw, samples_of(0.5), 20, hit.item, 1500, 6000);
        apply_decay(x, 0.004);
        for (auto& v : x) v *= 0.3;
        add_falling_tone(x, 1.0, 0.14, kick_hz, 110, 0.028);
        break;
      }
      case 'S': {
        x = shaped_noise(draw, samples_of(0.4), 20, hit.item, 600, 9000);
        apply_decay(x, 0.10);
        for (auto& v : x) v *= 0.42;
        add_falling_tone(x, 0.5, 0.08, snare_hz, 30, 0.02);
        add_falling_tone(x, 0.25, 0.06, 1.78 * snare_hz, 0, 0.02);
        level = 0.8;
        send = 0.10;
        break;
      }
      case 'T': {
        x = shaped_noise(draw, samples_of(0.5), 20, hit.item, 600, 5000);
        apply_decay(x, 0.03);
        for (auto& v : x) v *= 0.1;
        const double hz = 90 + 25 * static_cast<double>(draw.below(4, 2, hit.item, 6));
        add_falling_tone(x, 0.8, 0.18, hz, 20, 0.05);
        pan = (hz - 130) / 120;
        send = 0.06;
        break;
      }
      case 'H':
      case 'O': {
        const double tau = hit.line == 'H' ? hat_tau : 0.22;
        x = shaped_noise(draw, samples_of(5 * tau), 20, hit.item, 6500, 13000);
        for (const double hz : {3187.0, 4243.0, 5309.0, 6451.0, 7589.0, 8747.0}) {
          add_falling_tone(x, 0.12, 10, hz, 0, 0.1);
        }
        apply_decay(x, tau);
        // A hat that is struck again stops ringing.
        const auto next = std::upper_bound(hat_starts.begin(), hat_starts.end(), hit.begin);
        if (next != hat_starts.end() && *next - hit.begin < static_cast<std::int64_t>(x.size())) {
          const double choke = decay_factor(0.006);
          double envelope = 1;
          for (auto i = static_cast<std::size_t>(*next - hit.begin); i < x.size(); ++i) {
            envelope *= choke;
            x[i] *= envelope;
          }
        }
        level = 0.30;
        pan = hat_pan;
        break;
      }
      default: {  // crash
        x = shaped_noise(draw, samples_of(1.6), 20, hit.item, 3000, 12000);
        for (const double hz : {2477.0, 3089.0, 4481.0, 5179.0, 6689.0, 8101.0, 9643.0}) {
          add_falling_tone(x, 0.08, 10, hz, 0, 0.1);
        }
        apply_decay(x, 0.45);
        level = 0.30;
        pan = -0.35;
        send = 0.05;
        break;
      }
    }
    add_mono(out, x, hit.begin, level * hit.gain, pan);
    if (send > 0) add_mono(room, x, hit.begin, send * level * hit.gain, pan);
  }
  add_room(out, room.left, room.right, 1.0, draw.uniform(0.35, 0.6, 7, 0, 0));
  return out;
}

Stereo render_bass(const Score& score, const Draws& draw, std::int64_t samples) {
  Stereo out(samples);
  const double exponent = draw.uniform(1.05, 1.5, 3, 0, 20);
  const bool odd = draw.chance(250, 3, 0, 21);
  Timbre timbre;
  for (int h = 1; h <= 40; ++h) {
    // A plucked string's harmonics, the higher ones fading sooner.
    double weight = power(h, -exponent);
    if (odd && h % 2 == 0) weight *= 0.25;
    timbre.weight.push_back(weight);
    timbre.tau_s.push_back(1.1 / (1 + 0.16 * h));
  }
  timbre.attack_s = 0.005;
  timbre.release_s = 0.04;
  for (const auto& note : score.bass) {
    if (note.begin < samples) add_mono(out, tone(note, timbre, samples), note.begin, 1.0, 0);
  }
  for (auto* channel : {&out.left, &out.right}) {
    saturate(*channel, 1.2);
    filter(*channel, high_pass(32));
    filter(*channel, low_pass(4500));
  }
  return out;
}

Stereo render_chords(const Score& score, const Draws& draw, std::int64_t samples) {
  Stereo dry(samples);
  const double pan = draw.uniform(-0.45, 0.45, 4, 0, 20);
  Timbre timbre;
  const int keys = score.style->keys;
  for (int h = 1; h <= 24; ++h) {
    const double n = h;
    double weight = 1 / n, tau = 0;
    if (keys == 0) {  // electric piano: strong fundamental, a bell-like attack that dies soon
      weight = h == 1 ? 1.0 : (h == 2 ? 0.45 : (h <= 6 ? 0.22 / n : 0)) + (h == 14 ? 0.12 : 0);
      tau = h == 14 ? 0.06 : 1.2 / (1 + 0.35 * (n - 1));
    } else if (keys == 1) {  // drawbars
      weight = h == 1 ? 0.8 : h == 2 ? 1.0 : h == 3 ? 0.6 : h == 4 ? 0.4 : h == 6 ? 0.2 : h == 8 ? 0.15 : 0;
    } else {  // string plucked at 0.18 of its length: sin(0.18 pi h) / h
      const double turns = 0.09 * n;
      weight = 1.6 * sin_turns(turns - std::floor(turns)) / n;
      tau = 1.4 / (1 + 0.09 * n + 0.02 * n * n);
    }
    timbre.weight.push_back(weight);
    timbre.tau_s.push_back(tau);
  }
  timbre.attack_s = keys == 1 ? 0.008 : 0.002;
  timbre.release_s = keys == 1 ? 0.06 : 0.12;
  if (keys == 1) {
    timbre.vibrato_hz = 6.1;
    timbre.vibrato_cents = 8;
  }
  for (const auto& note : score.chords) {
    if (note.begin >= samples) continue;
    // Low notes to one side of the instrument, high ones to the other.
    const double spread = std::clamp(pan + 0.07 * (note.midi - 60), -0.8, 0.8);
    add_mono(dry, tone(note, timbre, samples), note.begin, 0.8, spread);
  }
  Timbre strings;
  for (int h = 1; h <= 12; ++h) {
    strings.weight.push_back(1.0 / h);
    strings.tau_s.push_back(0);
  }
  strings.attack_s = 0.18;
  strings.release_s = 0.25;
  strings.vibrato_hz = 5.3;
  strings.vibrato_cents = 6;
  for (const auto& note : score.pad) {
    if (note.begin >= samples) continue;
    for (const int side : {-1, 1}) {
      strings.detune_cents = 6.0 * side;
      add_mono(dry, tone(note, strings, samples), note.begin, 0.18, 0.85 * side);
    }
  }
  for (auto* channel : {&dry.left, &dry.right}) {
    filter(*channel, high_pass(120));
    saturate(*channel, 3.0);
  }
  Stereo out = dry;
  add_room(out, dry.left, dry.right, 0.10, draw.uniform(0.6, 1.2, 7, 0, 1));
  return out;
}

// Formants in Hz of a e i o u, bandwidths beside them.
constexpr std::array<std::array<double, 5>, 5> kVowels = {{{730, 1090, 2440, 3400, 4500},
                                                           {500, 1800, 2480, 3450, 4500},
                                                           {300, 2200, 2950, 3550, 4500},
                                                           {500, 900, 2450, 3350, 4500},
                                                           {330, 850, 2350, 3300, 4500}}};
constexpr std::array<double, 5> kBandwidths = {90, 105, 130, 170, 260};

/// Two-pole resonator of gain 1 at 0 Hz (Klatt 1980).
void set_resonator(Biquad& f, double hz, double bandwidth_hz) {
  const double r = exp_exact(-std::numbers::pi * bandwidth_hz / kRate);
  f.a1 = -2 * r * cos_turns(hz / kRate);
  f.a2 = r * r;
  f.b0 = 1 + f.a1 + f.a2;
  f.b1 = f.b2 = 0;
}

Stereo render_voice(const Score& score, const Draws& draw, std::int64_t samples) {
  const Singer& singer = kSingers[static_cast<std::size_t>(score.singer)];
  const auto frames = static_cast<std::size_t>(samples / kBlock + 2);
  std::vector<double> cents(frames, 0.0), amplitude(frames, 0.0);
  std::vector<std::array<double, 5>> formants(frames, kVowels[0]);
  std::vector<double> consonants(static_cast<std::size_t>(samples), 0.0);

  // Slow irregular wander of the pitch, which makes a voice out of a tone more than regular vibrato does.
  std::vector<double> wander(frames);
  draw.noise(wander, 21, 0);
  double slow = 0;
  for (auto& w : wander) {
    slow = 0.985 * slow + 0.015 * w;
    w = 11.5 * slow;  // unit variance: sqrt((1 + 0.985) / (1 - 0.985))
  }

  int last_midi = score.melody.empty() ? 60 : score.melody[0].midi;
  std::array<double, 5> last = kVowels[0];
  std::size_t done = 0;
  for (std::size_t n = 0; n < score.melody.size(); ++n) {
    const Note& note = score.melody[n];
    if (note.begin >= samples) break;
    const auto begin = static_cast<std::size_t>(note.begin / kBlock);
    // Notes of a phrase are sung without a break; only its last one fades out.
    const bool tied = n + 1 < score.melody.size() && !score.melody[n + 1].phrase_start &&
                      score.melody[n + 1].begin - note.end < samples_of(0.1);
    const std::int64_t note_end = tied ? score.melody[n + 1].begin : note.end;
    const auto end = std::min(frames, static_cast<std::size_t>(note_end / kBlock));
    if (end <= begin + 4) continue;
    const double length_s = static_cast<double>(note_end - note.begin) / kRate;
    std::array<double, 5> vowel = kVowels[draw.below(5, 6, note.item, 0)];
    for (std::size_t i = 0; i < 5; ++i) {
      vowel[i] *= singer.formant_scale *
                  (i < 2 ? draw.uniform(0.96, 1.04, 6, note.item, 10 + static_cast<std::uint32_t>(i)) : 1.0);
    }
    const double scoop_cents =
        note.phrase_start ? -draw.uniform(60, 200, 6, note.item, 1) : 100.0 * (last_midi - note.midi);
    const double glide_tau = draw.uniform(0.03, 0.07, 6, note.item, 2);
    const double rate = singer.vibrato_hz * draw.uniform(0.94, 1.06, 6, note.item, 3);
    const double extent = length_s > 0.3 ? singer.vibrato_cents * draw.uniform(0.6, 1.4, 6, note.item, 4) : 0;
    // Pitch and formants are held through the pause before the note.
    for (std::size_t j = done; j < begin; ++j) {
      cents[j] = 100.0 * note.midi + scoop_cents;
      formants[j] = last;
    }
    for (std::size_t j = begin; j < end; ++j) {
      const double t = static_cast<double>((j - begin) * kBlock) / kRate;
      const double turns = rate * t;
      const double onset = std::clamp((t - 0.2) / 0.3, 0.0, 1.0);
      cents[j] = 100.0 * note.midi + scoop_cents * exp_exact(-t / glide_tau) +
                 extent * onset * sin_turns(turns - std::floor(turns));
      const double rise =
          note.phrase_start ? std::clamp(t / 0.06, 0.0, 1.0) : 0.4 + 0.6 * std::clamp(t / 0.03, 0.0, 1.0);
      const double fall =
          tied ? 0.4 + 0.6 * std::clamp((length_s - t) / 0.04, 0.0, 1.0) : std::clamp((length_s - t) / 0.06, 0.0, 1.0);
      amplitude[j] =
          std::max(amplitude[j], note.gain * rise * fall * (0.8 + 0.2 * rise * std::clamp(1 - t / length_s, 0.0, 1.0)));
      const double move = std::clamp(t / 0.07, 0.0, 1.0);
      for (std::size_t i = 0; i < 5; ++i)
        formants[j][i] = last[i] + move * move * (3 - 2 * move) * (vowel[i] - last[i]);
    }
    // Two in five syllables begin with a burst of noise: s, t, k or h.
    if (draw.chance(420, 6, note.item, 5)) {
      struct Consonant {
        double seconds, low_hz, high_hz, level;
      };
      constexpr std::array<Consonant, 4> kConsonants = {
          {{0.10, 5200, 11000, 0.10}, {0.045, 3000, 8000, 0.09}, {0.05, 1600, 4200, 0.08}, {0.07, 900, 4000, 0.05}}};
      const Consonant& c = kConsonants[draw.below(4, 6, note.item, 6)];
      auto burst = shaped_noise(draw, samples_of(c.seconds), 22, note.item, c.low_hz, c.high_hz);
      const auto size = static_cast<double>(burst.size());
      for (std::size_t i = 0; i < burst.size(); ++i) {
        const double u = static_cast<double>(i) / size;
        const std::int64_t at = note.begin - samples_of(0.6 * c.seconds) + static_cast<std::int64_t>(i);
        if (at >= 0 && at < samples) consonants[static_cast<std::size_t>(at)] += c.level * 4 * u * (1 - u) * burst[i];
      }
    }
    done = end;
    last_midi = note.midi;
    last = vowel;
  }
  for (std::size_t j = done; j < frames; ++j) {
    cents[j] = 100.0 * last_midi;
    formants[j] = last;
  }

  // Glottal pulses: all harmonics in sine phase with a falling spectrum, hence one closure per period, without
  // aliasing.
  std::vector<double> tilt;
  for (int h = 1; h <= 160; ++h) tilt.push_back(power(h, -singer.tilt));
  std::vector<double> breath(static_cast<std::size_t>(samples));
  draw.noise(breath, 23, 0);
  filter(breath, high_pass(1500));
  std::vector<double> voice(static_cast<std::size_t>(samples), 0.0);
  std::array<Biquad, 5> resonators;
  std::array<double, kBlock> phases{}, pulses{};
  std::vector<double> weights(tilt.size());
  double phase = 0;
  constexpr int kRingingBlocks = 45;  // 65 ms: the narrowest formant has died by 160 dB
  int silent_blocks = kRingingBlocks;
  for (std::size_t j = 0; j + 1 < frames; ++j) {
    const std::int64_t at = static_cast<std::int64_t>(j) * kBlock;
    const int count = static_cast<int>(std::min<std::int64_t>(kBlock, samples - at));
    if (count <= 0) break;
    silent_blocks = amplitude[j] <= 0 && amplitude[j + 1] <= 0 ? silent_blocks + 1 : 0;
    if (silent_blocks > kRingingBlocks) {
      for (auto& r : resonators) r.s1 = r.s2 = 0;
      continue;
    }
    const double f0 = hz_of_midi((cents[j] + 14 * wander[j]) / 100);
    int harmonics = 0;
    while (harmonics < static_cast<int>(tilt.size()) && (harmonics + 1) * f0 < 14000) {
      const double hz = (harmonics + 1) * f0;
      weights[static_cast<std::size_t>(harmonics)] =
          tilt[static_cast<std::size_t>(harmonics)] * std::min(1.0, (14000 - hz) / 3000);
      ++harmonics;
    }
    for (int i = 0; i < count; ++i) {
      phases[static_cast<std::size_t>(i)] = phase;
      phase += f0 / kRate;
      if (phase >= 1) phase -= 1;
    }
    harmonics_block(phases.data(), count, weights, weights, harmonics, pulses.data());
    for (std::size_t i = 0; i < 5; ++i) {
      // The first formant follows the pitch upwards, as singers do.
      const double hz = i == 0 ? std::max(formants[j][0], 1.05 * f0) : formants[j][i];
      set_resonator(resonators[i], hz, kBandwidths[i]);
    }
    for (int i = 0; i < count; ++i) {
      const auto t = static_cast<std::size_t>(at + i);
      const double u = static_cast<double>(i) / kBlock;
      const double a = amplitude[j] + u * (amplitude[j + 1] - amplitude[j]);
      double x = a * (pulses[static_cast<std::size_t>(i)] + 0.02 * breath[t]);
      for (auto& r : resonators) x = r(x);
      voice[t] = x;
    }
  }
  // Formants give a vowel up to 20 dB more than another; singing evens them out.
  double square = 0;
  std::int64_t sung = 0;
  for (const double v : voice) {
    square += v * v;
    sung += v != 0 ? 1 : 0;
  }
  const double level = sung > 0 ? 0.25 / std::sqrt(square / static_cast<double>(sung)) : 0;
  for (std::size_t t = 0; t < voice.size(); ++t) voice[t] = level * voice[t] + consonants[t];
  saturate(voice, 0.7);
  filter(voice, high_pass(90));

  Stereo out(samples);
  add_mono(out, voice, 0, 1.0, 0);
  add_room(out, voice, voice, draw.uniform(0.05, 0.10, 7, 0, 2), draw.uniform(0.8, 1.5, 7, 0, 3));
  return out;
}

/// RMS over both channels of the tenths of a second that are within 40 dB of the loudest.
double gated_rms(const Stereo& x) {
  constexpr std::size_t kGate = 4410;
  std::vector<double> blocks;
  for (std::size_t begin = 0; begin < x.left.size(); begin += kGate) {
    const std::size_t end = std::min(x.left.size(), begin + kGate);
    double sum = 0;
    for (std::size_t t = begin; t < end; ++t) sum += x.left[t] * x.left[t] + x.right[t] * x.right[t];
    blocks.push_back(sum / (2.0 * static_cast<double>(end - begin)));
  }
  const double loudest = *std::max_element(blocks.begin(), blocks.end());
  double sum = 0;
  int count = 0;
  for (const double b : blocks) {
    if (b <= 1e-4 * loudest) continue;
    sum += b;
    ++count;
  }
  return count > 0 ? std::sqrt(sum / count) : 0;
}

}  // namespace

SynthSpec parse_synth_spec(const std::string& text) {
  SynthSpec spec;
  const auto bad = [&](const std::string& what, const std::string& expected, const std::string& found,
                       const std::string& hint = {}) {
    throw Error(ErrorParts{
        .code = Code::dataset, .where = text, .what = what, .expected = expected, .found = found, .hint = hint});
  };
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return spec;
  const auto parse = [&](const std::string& value, auto& out, const std::string& expected, auto low, auto high) {
    std::remove_reference_t<decltype(out)> number{};
    const auto result = std::from_chars(value.data(), value.data() + value.size(), number);
    if (result.ec != std::errc() || result.ptr != value.data() + value.size() || !(number >= low && number <= high)) {
      bad("malformed value", expected, value);
    }
    out = number;
  };
  std::vector<std::string> seen;
  for (const auto& part : core::split(text.substr(colon + 1), ',')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) bad("malformed data set", "synthetic:songs=N,seconds=S,seed=N", part);
    const std::string key = part.substr(0, equals), value = part.substr(equals + 1);
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) bad("key given twice", "once", key);
    seen.push_back(key);
    if (key == "songs") {
      parse(value, spec.songs, "songs in [1, 1000]", 1, 1000);
    } else if (key == "seconds") {
      parse(value, spec.seconds, "seconds in [1, 600]", 1.0, 600.0);
    } else if (key == "seed") {
      parse(value, spec.seed, "seed in [0, 2^64)", std::uint64_t{0}, ~std::uint64_t{0});
    } else {
      bad("unknown key", "songs, seconds, seed", key, core::did_you_mean(key, {"songs", "seconds", "seed"}));
    }
  }
  return spec;
}

SynthSong describe_song(std::uint64_t seed, int song) {
  const Draws draw(seed, song);
  return describe(draw, seed, song, choose_style(draw, song));
}

TrackAudio render_song(std::uint64_t seed, int song, std::int64_t samples) {
  if (samples < 1) {
    throw Error(ErrorParts{.code = Code::invalid_argument,
                           .where = fmt::format("synthetic song {} of seed {}", song, seed),
                           .what = "nothing to render",
                           .expected = "at least one sample",
                           .found = std::to_string(samples),
                           .hint = ""});
  }
  const Draws draw(seed, song);
  const Score score = compose(seed, song, samples);
  std::vector<Stereo> stems;
  stems.push_back(render_drums(score, draw, samples));
  stems.push_back(render_bass(score, draw, samples));
  stems.push_back(render_chords(score, draw, samples));
  stems.push_back(render_voice(score, draw, samples));

  constexpr std::array<double, 4> kLevelsDb = {-20.5, -21.0, -21.5, -19.5};
  for (std::size_t s = 0; s < stems.size(); ++s) {
    const double rms = gated_rms(stems[s]);
    if (rms <= 0) continue;
    const double level_db = kLevelsDb[s] + draw.uniform(-1.2, 1.2, 7, static_cast<std::uint32_t>(s), 10);
    const double gain = gain_of_db(level_db) / rms;
    for (auto* channel : {&stems[s].left, &stems[s].right}) {
      for (auto& v : *channel) v *= gain;
      saturate(*channel, 0.6);
    }
  }

  // One gain for all stems, so that they still add up to the mixture: full scale is never reached.
  const auto count = static_cast<std::size_t>(samples);
  double peak = 0;
  for (std::size_t t = 0; t < count; ++t) {
    double left = 0, right = 0;
    for (const auto& stem : stems) {
      left += stem.left[t];
      right += stem.right[t];
    }
    peak = std::max({peak, std::abs(left), std::abs(right)});
  }
  constexpr double kCeiling = 0.95;
  const double gain = peak > kCeiling ? kCeiling / peak : 1.0;
  const std::size_t fade_in = std::min<std::size_t>(count, 220), fade_out = std::min<std::size_t>(count, 4410);

  TrackAudio result;
  result.names = {"drums", "bass", "other", "vocals"};
  result.mixture = audio::AudioBuffer(2, samples, kSynthRateHz);
  std::vector<std::int32_t> sum(2 * count, 0);
  for (const auto& stem : stems) {
    audio::AudioBuffer buffer(2, samples, kSynthRateHz);
    for (int c = 0; c < 2; ++c) {
      const auto& from = c == 0 ? stem.left : stem.right;
      auto to = buffer.channel(c);
      for (std::size_t t = 0; t < count; ++t) {
        double fade = t < fade_in ? static_cast<double>(t) / static_cast<double>(fade_in) : 1.0;
        if (count - 1 - t < fade_out) fade *= static_cast<double>(count - 1 - t) / static_cast<double>(fade_out);
        const auto level = static_cast<std::int32_t>(std::floor(32768 * gain * fade * from[t] + 0.5));
        sum[static_cast<std::size_t>(c) * count + t] += level;
        to[t] = static_cast<float>(level) / 32768.0F;
      }
    }
    result.stems.push_back(std::move(buffer));
  }
  for (int c = 0; c < 2; ++c) {
    auto to = result.mixture.channel(c);
    for (std::size_t t = 0; t < count; ++t) {
      const std::int32_t level = sum[static_cast<std::size_t>(c) * count + t];
      MSS_ASSERT(level >= -32768 && level <= 32767);
      to[t] = static_cast<float>(level) / 32768.0F;
    }
  }
  return result;
}

}  // namespace mss::datasets
