#include "datasets/synth/singer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "core/stop.h"
#include "datasets/synth/math.h"
#include "datasets/synth/oscillators.h"
#include "datasets/synth/signal.h"

namespace mss::datasets::synth {

namespace {

constexpr std::size_t kFormants = 5;
using Formants = std::array<double, kFormants>;

// Hz at scale 1: vowels in the order of kVowels, then the voiced consonants.
constexpr std::array<Formants, 8> kVowelFormants = {{{730, 1090, 2440, 3400, 4500},
                                                     {500, 1800, 2480, 3450, 4500},
                                                     {300, 2200, 2950, 3550, 4500},
                                                     {500, 900, 2450, 3350, 4500},
                                                     {330, 850, 2350, 3300, 4500},
                                                     {640, 1190, 2390, 3400, 4500},
                                                     {560, 1700, 2450, 3450, 4500},
                                                     {390, 1950, 2550, 3500, 4500}}};
constexpr Formants kBandwidthsHz = {88, 104.5, 126.5, 165, 275};
constexpr int kUpperPoles = 6;

struct Consonant {
  double seconds;
  bool voiceless;  // the vowel waits for it
  double hum;      // amplitude while it lasts
  bool noise, sustained;
  double low_hz, high_hz, level_db;
  std::optional<Formants> formants{};
};

const Consonant& consonant_of(std::size_t index) {
  // In the order of kConsonants.
  static const std::array<Consonant, 13> table = {{
      {0, false, 1, false, false, 0, 0, 0},
      {.07, true, 1, true, true, 700, 4000, -23},
      {.07, false, .32, false, false, 0, 0, 0, Formants{260, 1100, 2200, 3300, 4400}},
      {.06, false, .32, false, false, 0, 0, 0, Formants{270, 1500, 2450, 3400, 4400}},
      {.05, false, .5, false, false, 0, 0, 0, Formants{360, 1200, 2650, 3400, 4400}},
      {.06, false, .45, false, false, 0, 0, 0, Formants{310, 700, 2250, 3300, 4400}},
      {.035, false, .12, true, false, 2400, 5500, -23, Formants{280, 1700, 2600, 3400, 4400}},
      {.035, false, .12, true, false, 500, 1800, -25, Formants{280, 900, 2200, 3300, 4400}},
      {.10, true, 1, true, true, 5200, 9500, -14},
      {.11, true, 1, true, true, 2400, 6500, -12},
      {.08, true, 1, true, true, 1500, 8000, -24},
      {.045, true, 1, true, false, 3200, 7500, -15},
      {.05, true, 1, true, false, 1600, 4200, -15},
  }};
  return table[index];
}

double unit(double x) { return std::clamp(x, 0.0, 1.0); }

/// One-pole filtered noise of unit variance: y = r y + (1 - r) x, times sqrt((1 + r) / (1 - r)).
std::vector<double> wander(const Draws& draws, std::uint32_t stream, std::uint32_t item, std::size_t frames, double r) {
  std::vector<double> y(frames);
  draws.noise(y, stream, item);
  const double norm = std::sqrt((1 + r) / (1 - r));
  double state = 0;
  for (double& v : y) {
    state = r * state + (1 - r) * v;
    v = norm * state;
  }
  return y;
}

/// What the control curves of a take need; frame j is at sample 64 j.
struct Controls {
  std::vector<double> cents;      // MIDI note times 100
  std::vector<double> amplitude;  // without shimmer
  std::vector<Formants> formants;
  struct Onset {
    std::size_t note;  // index in the take
    std::int64_t begin;
  };
  std::vector<Onset> sung;  // the notes that are long enough
};

class ControlMaker {
 public:
  ControlMaker(const Draws& draws, const Take& take, std::int64_t samples)
      : draws_(draws), take_(take), samples_(samples), frames_(static_cast<std::size_t>(samples / kHop + 2)) {
    out_.cents.resize(frames_);
    out_.amplitude.resize(frames_);
    out_.formants.resize(frames_);
    set_.resize(frames_);
    for (std::size_t i = 0; i < take.notes.size(); ++i) {
      core::check_stop();
      note(i);
    }
    fill_gaps();
    const std::uint32_t stream = take.stream + 200;
    const std::vector<double> slow = wander(draws, stream, 0, frames_, .985),
                              fast = wander(draws, stream, 1, frames_, .6);
    for (std::size_t j = 0; j < frames_; ++j) out_.cents[j] += 22 * slow[j] + 2 * fast[j];
  }

  Controls take() { return std::move(out_); }

 private:
  double normal(std::size_t i, std::uint32_t choice) const { return draws_.normal(place(i, choice)); }
  double uniform(double low, double high, std::size_t i, std::uint32_t choice) const {
    return draws_.uniform(low, high, place(i, choice));
  }
  bool chance(std::uint32_t per_mille, std::size_t i, std::uint32_t choice) const {
    return draws_.chance(per_mille, place(i, choice));
  }
  Place place(std::size_t i, std::uint32_t choice) const {
    return {take_.stream, static_cast<std::uint32_t>(i), choice};
  }

  Formants vowel(std::size_t index, double colour) const {
    Formants f = kVowelFormants[index];
    for (double& hz : f) hz *= take_.singer.formant_scale;
    f[0] *= colour;
    f[1] *= colour;
    return f;
  }

  void note(std::size_t i) {
    const SungNote& n = take_.notes[i];
    const Singer& singer = take_.singer;
    const double offset = take_.timing_sigma_s * normal(i, 0) * kRateHz;
    const std::int64_t begin =
        std::max<std::int64_t>(0, static_cast<std::int64_t>(static_cast<double>(n.start) + offset));
    const std::int64_t end = std::min(samples_ - 1, static_cast<std::int64_t>(static_cast<double>(n.end) + offset));
    const std::int64_t first = begin / kHop, last = end / kHop;
    if (end <= begin || last - first <= 4) return;
    const double d = static_cast<double>(end - begin) / kRateHz;
    const bool legato = previous_ && static_cast<double>(begin - previous_->end) / kRateHz < .12;
    const Consonant& c = consonant_of(n.consonant);

    const double bend = legato ? 100.0 * (previous_->pitch - n.pitch) : -uniform(40, 260, i, 3);
    const double bend_tau = legato ? uniform(.04, .10, i, 2) : uniform(.05, .12, i, 2);
    const double fall = n.phrase_last && chance(280, i, 4) ? uniform(60, 250, i, 5) : 0;
    const bool vibrates = d > .35 && !take_.talk && chance(singer.vibrato_per_mille, i, 6);
    const double extent = singer.vibrato_cents * uniform(.6, 1.5, i, 8);
    const double rate_hz = singer.vibrato_hz * (1 + .05 * normal(i, 7));
    const double wobble_turns = uniform(0, 1, i, 9);
    const double level = gain_of_db(1.2 * normal(i, 10));
    const double base = 100.0 * n.pitch + 12 * normal(i, 1) + take_.detune_cents;

    const double colour = 1 + .03 * normal(i, 11);
    const Formants own = vowel(n.vowel, colour);
    Formants from = own;
    if (c.formants) {
      from = *c.formants;
      for (double& hz : from) hz *= singer.formant_scale;
    } else if (previous_) {
      for (std::size_t q = 0; q < kFormants; ++q) from[q] = .5 * previous_->formants[q] + .5 * own[q];
    }
    const bool glides = d > .5 && chance(450, i, 12);
    const Formants towards = vowel(draws_.below(8, place(i, 13)), 1);

    const double rise = n.consonant == 0 ? .05 : .025;
    const double wait = c.voiceless ? c.seconds : 0;
    double vibrato_turns = 0;
    Formants formants = own;
    for (std::int64_t frame = first; frame < last; ++frame) {
      const auto j = static_cast<std::size_t>(frame);
      const double t = std::max(0.0, static_cast<double>(kHop * frame - begin) / kRateHz);
      double cents = base + bend * exp_of(-t / bend_tau);
      if (fall > 0) {
        const double x = unit((t - d + .12) / .12);
        cents -= fall * x * x;
      }
      if (take_.talk) cents += 60 - 200 * t / d;
      if (vibrates) {
        vibrato_turns += rate_hz * (1 + .12 * sin_turns(1.3 * t + wobble_turns)) * static_cast<double>(kHop) / kRateHz;
        cents += extent * unit((t - .22) / .35) * sin_turns(vibrato_turns);
      }
      out_.cents[j] = cents;

      double amplitude =
          unit((t - .8 * wait) / rise) * unit((d - t) / .07) * (.8 + .2 * sin_turns(.5 * unit(t / d))) * level;
      if (t < c.seconds) amplitude *= c.hum;
      out_.amplitude[j] = std::max(out_.amplitude[j], amplitude);

      const double w = .5 - .5 * cos_turns(.5 * unit((t - .3 * c.seconds) / (.045 + .7 * c.seconds)));
      const double move = glides ? .55 * unit((t - .5 * d) / (.4 * d)) : 0;
      for (std::size_t q = 0; q < kFormants; ++q) {
        const double target = own[q] + move * (towards[q] - own[q]);
        formants[q] = from[q] + w * (target - from[q]);
      }
      out_.formants[j] = formants;
      set_[j] = true;
    }
    previous_ = Previous{end, n.pitch, formants};
    out_.sung.push_back({i, begin});
  }

  /// Between sung frames pitch and formants go in a straight line; the ends are held.
  void fill_gaps() {
    std::optional<std::size_t> before;
    for (std::size_t j = 0; j < frames_; ++j) {
      if (!set_[j]) continue;
      const std::size_t from = before ? *before + 1 : 0;
      for (std::size_t k = from; k < j; ++k) {
        const double u = before ? static_cast<double>(k - *before) / static_cast<double>(j - *before) : 1.0;
        const std::size_t a = before ? *before : j;
        out_.cents[k] = out_.cents[a] + u * (out_.cents[j] - out_.cents[a]);
        for (std::size_t q = 0; q < kFormants; ++q) {
          out_.formants[k][q] = out_.formants[a][q] + u * (out_.formants[j][q] - out_.formants[a][q]);
        }
      }
      before = j;
    }
    for (std::size_t k = before ? *before + 1 : 0; k < frames_; ++k) {
      out_.cents[k] = before ? out_.cents[*before] : 6000;
      out_.formants[k] = before ? out_.formants[*before] : kVowelFormants[0];
    }
  }

  struct Previous {
    std::int64_t end;
    int pitch;
    Formants formants;
  };

  const Draws& draws_;
  const Take& take_;
  std::int64_t samples_;
  std::size_t frames_;
  Controls out_;
  std::vector<char> set_;
  std::optional<Previous> previous_;
};

/// Gain and phase of the vocal tract at f: product of F^2 / (F^2 - f^2 + i f B) over the poles. The phase is the sum of
/// the poles' phases, each in (-pi, 0], so that it is continuous in f and F; it is found from the product by counting how
/// often the product's angle goes round.
struct Tract {
  std::array<double, kFormants + kUpperPoles> inverse_square, damping;  // 1 / F^2 and B / F^2

  Tract(const Formants& formants, double scale, double f0) {
    for (std::size_t q = 0; q < kFormants; ++q) {
      set(q, q == 0 ? std::max(formants[0], 1.05 * f0) : formants[q], kBandwidthsHz[q]);
    }
    for (int q = 0; q < kUpperPoles; ++q) {
      set(kFormants + static_cast<std::size_t>(q), (5500 + 1000 * q) * scale, 350 + 60 * q);
    }
  }
  void set(std::size_t q, double hz, double bandwidth_hz) {
    inverse_square[q] = 1 / (hz * hz);
    damping[q] = bandwidth_hz / (hz * hz);
  }

  struct Answer {
    double gain, turns;
  };
  Answer at(double f) const {
    double re = 1, im = 0;
    int rounds = 0;
    for (std::size_t q = 0; q < inverse_square.size(); ++q) {
      const double a = 1 - f * f * inverse_square[q], b = f * damping[q];
      const double next_re = re * a - im * b, next_im = re * b + im * a;
      if (im < 0 && next_im >= 0) ++rounds;  // every factor turns by less than half a round
      re = next_re;
      im = next_im;
    }
    return {1 / std::sqrt(re * re + im * im), -(rounds + angle_of(im, re) * (0.5 * std::numbers::inv_pi))};
  }
};

struct HarmonicFrame {
  double gain = 0, turns = 0;
};

}  // namespace

std::vector<SongTake> takes_of(const Score& score) {
  std::vector<SongTake> takes;
  const Singer& singer = singer_of(score.split, score.singer);
  const auto notes = [&](bool choruses_only, bool harmony) {
    std::vector<SungNote> list;
    for (const Syllable& s : score.syllables) {
      if (choruses_only && score.sections[s.section].letter != 'C') continue;
      list.push_back({.start = score.sample(s.start),
                      .end = score.sample(s.end),
                      .pitch = harmony ? s.harmony_pitch : s.pitch,
                      .vowel = s.vowel,
                      .consonant = s.consonant,
                      .phrase_first = s.phrase_first,
                      .phrase_last = s.phrase_last});
    }
    return list;
  };
  takes.push_back({Voice::lead, {notes(false, false), singer, 40, 0, 0, score.talk}});
  if (score.doubles) {
    takes.push_back({Voice::doubling, {notes(true, false), singer, 41, 7, .012, score.talk}});
    takes.push_back({Voice::doubling, {notes(true, false), singer, 42, -7, .012, score.talk}});
  }
  if (score.harmony && !score.talk) {
    Singer other = singer;
    other.formant_scale *= 1.02;
    other.breath_db += 3;
    takes.push_back({Voice::harmony, {notes(true, true), other, 43, 5, .018, false}});
    takes.push_back({Voice::harmony, {notes(true, true), other, 44, -6, .018, false}});
  }
  return takes;
}

PitchTrack pitch_track(const Draws& draws, const Take& take, std::int64_t samples) {
  Controls controls = ControlMaker(draws, take, samples).take();
  return {std::move(controls.cents), std::move(controls.amplitude)};
}

std::vector<double> sing(const Draws& draws, const Take& take, std::int64_t samples) {
  const Singer& singer = take.singer;
  const Controls controls = ControlMaker(draws, take, samples).take();
  std::vector<double> voice(static_cast<std::size_t>(samples));
  if (controls.sung.empty()) return voice;
  const std::size_t frames = controls.cents.size();

  std::vector<double> f0(frames), amplitude = controls.amplitude;
  double lowest = 1e9;
  const std::vector<double> shimmer = wander(draws, take.stream + 200, 2, frames, .97);
  for (std::size_t j = 0; j < frames; ++j) {
    f0[j] = hz_of_midi(controls.cents[j] / 100);
    if (controls.amplitude[j] > .01) lowest = std::min(lowest, f0[j]);
    amplitude[j] *= gain_of_db(.8 * shimmer[j]);
  }
  const auto harmonics = static_cast<std::size_t>(std::clamp(std::floor(14000 / lowest), 1.0, 128.0));

  // Gains and phases of all harmonics in all frames that sound or lie beside one that does.
  std::vector<double> tilt(harmonics + 1);
  for (std::size_t h = 1; h <= harmonics; ++h) tilt[h] = power_of(static_cast<double>(h), -singer.tilt);
  const auto sounds = [&](std::size_t j) {
    return amplitude[j] > 0 || (j > 0 && amplitude[j - 1] > 0) || (j + 1 < frames && amplitude[j + 1] > 0);
  };
  std::vector<HarmonicFrame> table(frames * harmonics);
  std::vector<double> strongest(harmonics, 0.0);
  for (std::size_t j = 0; j < frames; ++j) {
    if (j % 256 == 0) core::check_stop();
    if (!sounds(j)) continue;
    const Tract tract(controls.formants[j], singer.formant_scale, f0[j]);
    const double loudness = log_of(std::clamp(controls.amplitude[j], .05, 1.0));
    std::array<double, 9> dynamics{};
    for (int h = 1; h <= 8; ++h) dynamics[static_cast<std::size_t>(h)] = exp_of(.05 * h * loudness) * amplitude[j];
    for (std::size_t h = 1; h <= harmonics; ++h) {
      const double f = static_cast<double>(h) * f0[j];
      const double corner = f / singer.corner_hz;
      const Tract::Answer answer = tract.at(f);
      HarmonicFrame& cell = table[j * harmonics + h - 1];
      cell.gain = tilt[h] / std::sqrt(1 + corner * corner) * dynamics[std::min<std::size_t>(h, 8)] * answer.gain *
                  unit((14000 - f) / 1500);
      cell.turns = answer.turns;
      strongest[h - 1] = std::max(strongest[h - 1], cell.gain);
    }
  }

  std::vector<double> phase(static_cast<std::size_t>(samples));  // turns, modulo 1
  double turns = 0;
  for (std::size_t j = 0; j + 1 < frames; ++j) {
    if (j % 256 == 0) core::check_stop();
    const std::size_t begin = j * static_cast<std::size_t>(kHop);
    if (begin >= voice.size()) break;
    const std::size_t count = std::min(static_cast<std::size_t>(kHop), voice.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      const double u = static_cast<double>(i) / static_cast<double>(kHop);
      turns += (f0[j] + u * (f0[j + 1] - f0[j])) / kRateHz;
      if (turns >= 1) turns -= 1;
      phase[begin + i] = turns;
    }
    if (amplitude[j] <= 0 && amplitude[j + 1] <= 0) continue;
    for (std::size_t h = 0; h < harmonics; ++h) {
      const HarmonicFrame& a = table[j * harmonics + h];
      const HarmonicFrame& b = table[(j + 1) * harmonics + h];
      if (strongest[h] < 1e-6 || (a.gain <= 0 && b.gain <= 0)) continue;
      add_harmonic(voice.data() + begin, phase.data() + begin, count, static_cast<double>(h + 1), a.turns,
                   b.turns - a.turns, a.gain, b.gain - a.gain);
    }
  }

  const auto interpolated = [&](std::size_t t) {
    const std::size_t j = t / static_cast<std::size_t>(kHop);
    const double u = static_cast<double>(t % static_cast<std::size_t>(kHop)) / static_cast<double>(kHop);
    return amplitude[j] + u * (amplitude[j + 1] - amplitude[j]);
  };
  double square = 0;
  std::int64_t voiced = 0;
  for (std::size_t t = 0; t < voice.size(); ++t) {
    if (interpolated(t) <= .3) continue;
    square += voice[t] * voice[t];
    ++voiced;
  }
  const double level = square > 0 ? 1 / std::sqrt(square / static_cast<double>(voiced)) : 1;

  std::vector<double> noise(voice.size());
  draws.noise(noise, take.stream + 200, 3);
  filter(noise, high_pass(1500));
  filter(noise, low_pass(6500));
  to_unit_rms(noise);
  const double breath = gain_of_db(singer.breath_db);
  core::check_stop();
  for (std::size_t t = 0; t < voice.size(); ++t) {
    voice[t] *= level;
    const double a = interpolated(t);
    if (a > 0) voice[t] += noise[t] * breath * a * (1 + .5 * sin_turns(phase[t]));
  }

  const double band_scale = std::sqrt(singer.formant_scale);
  for (const Controls::Onset& onset : controls.sung) {
    const SungNote& n = take.notes[onset.note];
    const auto item = static_cast<std::uint32_t>(onset.note);
    const Consonant& c = consonant_of(n.consonant);
    if (c.noise) {
      const auto ahead = static_cast<std::int64_t>(.25 * kRateHz * c.seconds);
      const std::int64_t begin = std::max<std::int64_t>(0, onset.begin - ahead);
      const std::int64_t length = std::min(static_cast<std::int64_t>(kRateHz * c.seconds), samples - begin);
      if (length > 60) {
        constexpr std::size_t kSettling = 400;
        const auto size = static_cast<std::size_t>(length);
        std::vector<double> burst(size + kSettling);
        draws.noise(burst, take.stream + 100, item);
        filter(burst, high_pass(c.low_hz * band_scale));
        filter(burst, low_pass(c.high_hz * band_scale));
        burst.erase(burst.begin(), burst.begin() + kSettling);
        to_unit_rms(burst);
        const double gain = gain_of_db(c.level_db + 1.5 * draws.normal({take.stream, item, 14}));
        for (std::size_t i = 0; i < size; ++i) {
          const double u = static_cast<double>(i) / static_cast<double>(size);
          const double envelope = c.sustained
                                      ? power_of(sin_turns(.5 * u), .7)
                                      : std::min(1.0, u / .04) * exp_of(-static_cast<double>(i) / (.014 * kRateHz));
          voice[static_cast<std::size_t>(begin) + i] += gain * envelope * burst[i];
        }
      }
    }
    if (n.phrase_first && !take.talk && static_cast<double>(onset.begin) > .4 * kRateHz &&
        draws.chance(350, {take.stream, item, 15})) {
      const std::int64_t begin = onset.begin - static_cast<std::int64_t>(.36 * kRateHz);
      std::vector<double> inhale(static_cast<std::size_t>(.28 * kRateHz));
      draws.noise(inhale, take.stream + 100, 100000 + item);
      filter(inhale, high_pass(900));
      filter(inhale, low_pass(5000));
      to_unit_rms(inhale);
      const double gain = gain_of_db(-40);
      for (std::size_t i = 0; i < inhale.size(); ++i) {
        const std::int64_t t = begin + static_cast<std::int64_t>(i);
        const double u = static_cast<double>(i) / static_cast<double>(inhale.size());
        if (t >= 0 && t < samples) voice[static_cast<std::size_t>(t)] += gain * sin_turns(.5 * u) * u * inhale[i];
      }
    }
  }
  return voice;
}

}  // namespace mss::datasets::synth
