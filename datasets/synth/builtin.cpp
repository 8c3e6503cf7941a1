// The built-in synthesiser: every instrument from sines, noise and envelopes. It keeps a program without soundfonts
// whole; its instruments are poorer than sampled ones, and most of them sound alike in training and test songs.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "core/stop.h"
#include "datasets/synth/math.h"
#include "datasets/synth/oscillators.h"
#include "datasets/synth/renderer.h"

namespace mss::datasets::synth {

namespace {

constexpr std::size_t kChunk = static_cast<std::size_t>(kHop);

/// e^(-t / tau), 0 s on.
double decay(double t, double tau) { return exp_of(-t / tau); }

double loudness(const Note& note) { return power_of(note.velocity / 127.0, 1.8); }

// ---------------------------------------------------------------------------------------------------------------------
// Drums

struct Drum {
  enum class Tone { kick, snare, stick, tom, hat, cymbal } tone;
  double hz;         // toms
  double tau;        // hats, cymbals
  double tone_gain;  // cymbals
  double noise, noise_tau, low_hz, high_hz;
  double seconds, level, position;
};

Drum drum_of(int note) {
  const auto tom = [&](double hz) {
    return Drum{Drum::Tone::tom, hz, 0, 0, .06, .03, 600, 5000, .7, .9, (note - 45) / 10.0};
  };
  const auto hat = [&](double tau) {
    return Drum{Drum::Tone::hat, 0, tau, .10, .35, tau, 5500, 10500, 6 * tau, .30, .3};
  };
  const auto cymbal = [&](double tau) {
    const bool crash = note == 49 || note == 57;
    return Drum{Drum::Tone::cymbal, 0, tau, crash ? .03 : .06, crash ? .4 : .08, tau, 2500, 9500, 5 * tau, .45, -.35};
  };
  switch (note) {
    case 36:
      return {Drum::Tone::kick, 0, 0, 0, .25, .004, 1500, 6000, .6, 1, 0};
    case 38:
    case 40:
      return {Drum::Tone::snare, 0, 0, 0, .45, .13, 350, 8000, .5, .9, 0};
    case 37:
      return {Drum::Tone::stick, 0, 0, 0, .2, .008, 1500, 8000, .12, .6, -.1};
    case 41:
      return tom(82);
    case 43:
      return tom(98);
    case 45:
      return tom(123);
    case 47:
      return tom(140);
    case 48:
      return tom(155);
    case 50:
      return tom(180);
    case 42:
      return hat(.035);
    case 44:
      return hat(.028);
    case 46:
      return hat(.25);
    case 49:
      return cymbal(.7);
    case 57:
      return cymbal(.8);
    case 51:
      return cymbal(.35);
    case 53:
      return cymbal(.4);
    default:
      return cymbal(.3);
  }
}

constexpr std::array<double, 6> kHatHz = {3141, 4187, 5323, 6337, 7411, 8713};
constexpr std::array<double, 12> kCymbalHz = {1931, 2477, 3089, 3673, 4481, 5179, 6011, 6689, 7307, 8101, 8887, 9643};

/// The tone of a drum, `out` zero on entry; t in seconds.
void drum_tone(const Drum& drum, std::vector<double>& out) {
  const auto each = [&](const auto& value) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = value(static_cast<double>(i) / kRateHz);
  };
  const auto metal = [&](std::span<const double> partials_hz) {
    std::array<double, kChunk> t{}, gain{};
    for (std::size_t begin = 0; begin < out.size(); begin += kChunk) {
      const std::size_t count = std::min(kChunk, out.size() - begin);
      for (std::size_t i = 0; i < count; ++i) t[i] = static_cast<double>(begin + i) / kRateHz;
      exponentials(gain.data(), t.data(), count, -1 / drum.tau);
      for (std::size_t i = 0; i < count; ++i) gain[i] *= drum.tone_gain;
      for (std::size_t p = 0; p < partials_hz.size(); ++p) {
        add_partial(out.data() + begin, t.data(), count, partials_hz[p],
                    static_cast<double>(p) * (0.5 * std::numbers::inv_pi), gain.data());
      }
    }
  };
  switch (drum.tone) {
    case Drum::Tone::kick:
      return each([](double t) {
        return decay(t, .16) * std::min(1.0, t / .001) * sin_turns(48 * t + 3.08 * (1 - decay(t, .028)));
      });
    case Drum::Tone::snare:
      return each([](double t) { return decay(t, .09) * (.5 * sin_turns(185 * t) + .3 * sin_turns(331 * t)); });
    case Drum::Tone::stick:
      return each([](double t) { return .7 * decay(t, .015) * sin_turns(1700 * t); });
    case Drum::Tone::tom:
      return each([&](double t) { return decay(t, .22) * sin_turns(drum.hz * (t + .0175 * (1 - decay(t, .05)))); });
    case Drum::Tone::hat:
      return metal(kHatHz);
    case Drum::Tone::cymbal:
      return metal(kCymbalHz);
  }
}

bool is_hat(int note) { return note == 42 || note == 44 || note == 46; }

Stereo render_drums(const Score& score, std::int64_t samples) {
  const Draws draws(score.seed);
  const std::vector<Note>& notes = score.notes(Part::drums);
  Stereo out(samples);
  for (std::size_t event = 0; event < notes.size(); ++event) {
    core::check_stop();
    const Note& note = notes[event];
    const std::int64_t begin = kHop * (score.sample(note.start) / kHop);
    if (begin >= samples) continue;
    const Drum drum = drum_of(note.pitch);
    const auto size =
        static_cast<std::size_t>(std::min(samples - begin, static_cast<std::int64_t>(drum.seconds * kRateHz)));
    std::vector<double> sound(size), noise(size);
    drum_tone(drum, sound);
    draws.noise(noise, 120 + static_cast<std::uint32_t>(Part::drums), static_cast<std::uint32_t>(event));
    filter(noise, high_pass(drum.low_hz));
    filter(noise, low_pass(drum.high_hz));
    double choke_s = std::numeric_limits<double>::infinity();
    if (note.pitch == 46) {
      for (std::size_t next = event + 1; next < notes.size(); ++next) {
        if (!is_hat(notes[next].pitch) || notes[next].start <= note.start) continue;
        choke_s = static_cast<double>(kHop * (score.sample(notes[next].start) / kHop) - begin) / kRateHz;
        break;
      }
    }
    const PanGains gains = pan_gains(drum.position);
    const double level = loudness(note) * drum.level;
    for (std::size_t i = 0; i < size; ++i) {
      const double t = static_cast<double>(i) / kRateHz;
      double x = level * (sound[i] + noise[i] * drum.noise * decay(t, drum.noise_tau));
      if (t > choke_s) x *= decay(t - choke_s, .006);
      out.left[static_cast<std::size_t>(begin) + i] += gains.left * x;
      out.right[static_cast<std::size_t>(begin) + i] += gains.right * x;
    }
  }
  return out;
}

// ---------------------------------------------------------------------------------------------------------------------
// Pitched parts

/// A note while it is being rendered, 64 samples at a time.
struct Sounding {
  const Note& note;
  double hz;
  double seconds;  // until the note is let go
};

/// Adds the tone of samples [begin, begin + count) of a note; t holds their times in seconds.
using Tone = std::function<void(const Sounding&, const double* t, std::size_t begin, std::size_t count, double* left,
                                double* right)>;
struct Instrument {
  double attack_s, release_s;
  bool stereo;
  Tone tone;
};

Stereo render_notes(const Score& score, Part part, const Instrument& instrument, std::int64_t samples) {
  Stereo out(samples);
  std::array<double, kChunk> t{}, left{}, right{};
  for (const Note& note : score.notes(part)) {
    core::check_stop();
    const std::int64_t begin = kHop * (score.sample(note.start) / kHop);
    if (begin >= samples) continue;
    const double seconds = static_cast<double>(score.sample(note.end) - begin) / kRateHz;
    const Sounding sounding{note, hz_of_midi(note.pitch), seconds};
    const auto size = static_cast<std::size_t>(
        std::min(samples - begin, static_cast<std::int64_t>(std::ceil((seconds + instrument.release_s) * kRateHz))));
    const double level = loudness(note);
    for (std::size_t at = 0; at < size; at += kChunk) {
      const std::size_t count = std::min(kChunk, size - at);
      for (std::size_t i = 0; i < count; ++i) t[i] = static_cast<double>(at + i) / kRateHz;
      left.fill(0);
      right.fill(0);
      instrument.tone(sounding, t.data(), at, count, left.data(), right.data());
      for (std::size_t i = 0; i < count; ++i) {
        double envelope = std::min(1.0, t[i] / instrument.attack_s);
        if (t[i] > seconds) {
          const double rest = std::max(0.0, 1 - (t[i] - seconds) / instrument.release_s);
          envelope *= rest * rest;
        }
        const std::size_t k = static_cast<std::size_t>(begin) + at + i;
        out.left[k] += level * envelope * left[i];
        out.right[k] += level * envelope * (instrument.stereo ? right[i] : left[i]);
      }
    }
  }
  return out;
}

/// Highest harmonic below `limit_hz`, at most `most`.
int harmonics_of(double hz, double limit_hz, int most) {
  return std::min(most, static_cast<int>(std::floor(limit_hz / hz)));
}

/// h^-q for h = 1 … 40, at index h.
std::vector<double> power_law(double q) {
  std::vector<double> weights(41);
  for (int h = 1; h <= 40; ++h) weights[static_cast<std::size_t>(h)] = power_of(h, -q);
  return weights;
}

int bass_variant(int program) {
  switch (program) {
    case 34:
    case 35:
      return 1;
    case 32:
    case 36:
      return 2;
    case 37:
    case 38:
      return 3;
    default:
      return 0;
  }
}

Instrument bass(const Score& score) {
  const int variant = bass_variant(score.program(Part::bass).number);
  return {.004, .04, false,
          [variant, weights = power_law(variant == 2 ? 1.5 : 1.0)](const Sounding& s, const double* t, std::size_t,
                                                                   std::size_t count, double* out, double*) {
            std::array<double, kChunk> corner{}, level{}, gain{}, swell{};
            exponentials(corner.data(), t, count, -1 / .18);
            exponentials(swell.data(), t, count, -1 / .4);
            for (std::size_t i = 0; i < count; ++i) {
              corner[i] = 700 + 2400 * (s.note.velocity / 127.0) * corner[i];
              swell[i] = .7 + .3 * swell[i];
            }
            const int highest = harmonics_of(s.hz, 6000, 40);
            for (int h = 1; h <= highest; h += variant == 1 ? 2 : 1) {
              const double weight = weights[static_cast<std::size_t>(h)];
              if (variant == 3) {
                exponentials(level.data(), t, count, -(.4 + .12 * h));
                for (std::size_t i = 0; i < count; ++i) level[i] *= weight;
              } else {
                for (std::size_t i = 0; i < count; ++i) level[i] = weight * swell[i];
              }
              low_passed_gain(gain.data(), level.data(), corner.data(), count, h * s.hz);
              add_partial(out, t, count, h * s.hz, 0, gain.data());
            }
          }};
}

Instrument keys(const Score& score) {
  const int program = score.program(Part::keys).number;
  if (program >= 16 && program <= 18) {
    return {.003, .12, false,
            [](const Sounding& s, const double* t, std::size_t, std::size_t count, double* out, double*) {
              constexpr std::array<std::pair<int, double>, 6> kDrawbars = {
                  {{1, .8}, {2, 1}, {3, .6}, {4, .4}, {6, .2}, {8, .15}}};
              std::array<double, kChunk> gain{};
              for (const auto& [h, weight] : kDrawbars) {
                if (h * s.hz >= 9000) continue;
                gain.fill(.5 * weight);
                add_partial(out, t, count, h * s.hz, 0, gain.data());
              }
            }};
  }
  return {.003, .12, false,
          [](const Sounding& s, const double* t, std::size_t, std::size_t count, double* out, double*) {
            const double index = 1.6 * (s.note.velocity / 127.0);
            for (std::size_t i = 0; i < count; ++i) {
              const double turns = s.hz * t[i];
              // The modulation is in radians.
              const double modulation = index * decay(t[i], .35) * sin_turns(turns) * (0.5 * std::numbers::inv_pi);
              double x = sin_turns(turns + modulation);
              if (14 * s.hz < 16000) x += .08 * decay(t[i], .05) * sin_turns(14 * turns);
              out[i] += decay(t[i], 1.1) * x;
            }
          }};
}

Instrument guitar() {
  return {.002, .06, false,
          [](const Sounding& s, const double* t, std::size_t, std::size_t count, double* out, double*) {
            std::array<double, kChunk> gain{};
            const int highest = harmonics_of(s.hz, 9000, 40);
            for (int h = 1; h <= highest; ++h) {
              // Plucked at 0.18 of the string; stiff, so that partials lie above the harmonics.
              const double weight = sin_turns(.09 * h) / h;
              exponentials(gain.data(), t, count, -(1 + .09 * h + .004 * h * h) / 1.6);
              for (std::size_t i = 0; i < count; ++i) gain[i] *= weight;
              add_partial(out, t, count, h * s.hz * std::sqrt(1 + 5e-5 * h * h), 0, gain.data());
            }
          }};
}

Instrument pad() {
  return {.25, .3, true,
          [weights = power_law(1.3)](const Sounding& s, const double* t, std::size_t, std::size_t count, double* left,
                                     double* right) {
            constexpr std::array<std::array<double, 3>, 3> kSaws = {{{-7, 1.2, .3}, {0, .8, .8}, {7, .3, 1.2}}};
            std::array<double, kChunk> saw{}, gain{};
            for (const auto& [cents, to_left, to_right] : kSaws) {
              const double hz = s.hz * exp_of(cents * (std::numbers::ln2 / 1200));
              saw.fill(0);
              const int highest = harmonics_of(hz, 4000, 30);
              for (int h = 1; h <= highest; ++h) {
                gain.fill(weights[static_cast<std::size_t>(h)]);
                add_partial(saw.data(), t, count, h * hz, 1.7 * h * (0.5 * std::numbers::inv_pi), gain.data());
              }
              for (std::size_t i = 0; i < count; ++i) {
                left[i] += to_left * saw[i];
                right[i] += to_right * saw[i];
              }
            }
          }};
}

Instrument lead() {
  return {.02, .06, false,
          [weights = power_law(1.1)](const Sounding& s, const double* t, std::size_t, std::size_t count, double* out,
                                     double*) {
            std::array<double, kChunk> turns{}, gain{};
            for (std::size_t i = 0; i < count; ++i) {
              // Vibrato of 5 Hz, 0.69 % (the phase in radians is 2 pi f t + (0.0069 f / 5) (1 - cos)).
              turns[i] = s.hz * t[i] + .0069 * s.hz / 5 * (1 - cos_turns(5 * t[i])) * (0.5 * std::numbers::inv_pi);
            }
            const int highest = harmonics_of(s.hz, 7000, 30);
            for (int h = 1; h <= highest; ++h) {
              gain.fill(weights[static_cast<std::size_t>(h)]);
              add_partial(out, turns.data(), count, h, 0, gain.data());
            }
          }};
}

class BuiltinRenderer : public Renderer {
 public:
  std::string name() const override { return "builtin"; }
  std::vector<std::string> fonts(Split) const override { return {}; }
  KitSound kit_sound(const Score&) const override { return KitSound::acoustic; }

  Stereo render(const Score& score, Part part, std::int64_t samples) const override {
    switch (part) {
      case Part::drums:
        return render_drums(score, samples);
      case Part::bass:
        return render_notes(score, part, bass(score), samples);
      case Part::keys:
        return render_notes(score, part, keys(score), samples);
      case Part::guitar: {
        Stereo out = render_notes(score, part, guitar(), samples);
        const int program = score.program(Part::guitar).number;
        if (program == 29 || program == 30) {
          saturate(out.left.data(), out.left.size(), 6);
          out.right = out.left;
        }
        return out;
      }
      case Part::pad:
        return render_notes(score, part, pad(), samples);
      case Part::lead:
        return render_notes(score, part, lead(), samples);
    }
    return Stereo(samples);
  }
};

}  // namespace

std::unique_ptr<Renderer> make_builtin_renderer() { return std::make_unique<BuiltinRenderer>(); }

}  // namespace mss::datasets::synth
