#include "datasets/synth/mixer.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/stop.h"
#include "datasets/synth/math.h"
#include "datasets/synth/oscillators.h"
#include "datasets/synth/singer.h"

namespace mss::datasets::synth {

namespace {

constexpr std::uint32_t kMix = 21;
enum Item : std::uint32_t { kRooms = 0, kDrumBus = 1, kBassBus = 2, kOtherBus = 3, kVocalBus = 4, kMaster = 5 };

/// A stem on its way: the sum of its components and, where instruments are wanted, the components. What is linear is
/// done to each; gain curves are found on the sum and multiply each.
struct Bus {
  Stereo sum;
  std::vector<Stereo> components;

  template <class F>
  void each(const F& change) {
    change(sum);
    for (Stereo& component : components) change(component);
  }
  void equalise(const Biquad& biquad) {
    each([&](Stereo& x) { filter(x, biquad); });
  }
  void level(double db) {
    const double now = gated_rms(sum);
    if (now <= 0) return;
    each([&](Stereo& x) { scale(x, gain_of_db(db) / now); });
  }
  void compress(double threshold_db, double ratio, double attack_s, double release_s) {
    const std::vector<double> curve = compressor(sum, threshold_db, ratio, attack_s, release_s);
    each([&](Stereo& x) { multiply(x, curve); });
  }
  /// The soft clip is a gain too, one at each sample and channel.
  void clip(double over_db) {
    if (components.empty()) return soft_clip(sum, over_db);
    const Stereo before = sum;
    soft_clip(sum, over_db);
    const auto gain = [](double in, double out) { return in != 0 ? out / in : 1.0; };
    for (Stereo& c : components) {
      for (std::size_t t = 0; t < c.left.size(); ++t) {
        c.left[t] *= gain(before.left[t], sum.left[t]);
        c.right[t] *= gain(before.right[t], sum.right[t]);
      }
    }
  }
};

class Mixer {
 public:
  Mixer(const Score& score, const Renderer& renderer, std::int64_t samples, bool instruments)
      : score_(score), renderer_(renderer), samples_(samples), instruments_(instruments), draws_(score.seed) {
    room_ = Room(draws_,
                 {.t60_s = uniform("room_t60_s", .3, .6, kRooms, 0),
                  .pre_delay_s = .004,
                  .bright_hz = uniform("room_bright_hz", 4500, 7000, kRooms, 1),
                  .number = 0},
                 samples);
    plate_ = Room(draws_,
                  {.t60_s = uniform("plate_t60_s", .9, 1.9, kRooms, 2),
                   .pre_delay_s = .018,
                   .bright_hz = uniform("plate_bright_hz", 3500, 6000, kRooms, 3),
                   .number = 1},
                  samples);
  }

  Mixed run() {
    std::array<Bus, kStems> buses = {drums(), bass(), other(), vocals()};
    master(buses);
    return std::move(out_);
  }

 private:
  double uniform(const char* name, double low, double high, Item item, std::uint32_t choice) {
    const double value = draws_.uniform(low, high, {kMix, item, choice});
    out_.draws.emplace_back(name, value);
    return value;
  }
  bool test() const { return score_.split == Split::test; }

  Bus drums() {
    Bus bus;
    bus.sum = renderer_.render(score_, Part::drums, samples_);
    const KitSound kit = renderer_.kit_sound(score_);
    bus.equalise(high_pass(32));
    // The recorded kits' cymbals are too bright, each font's to its own degree.
    const double cut = kit == KitSound::fluid_r3   ? uniform("drums_cut_db", 6, 10, kDrumBus, 0)
                       : kit == KitSound::timgm6mb ? uniform("drums_cut_db", 2, 5, kDrumBus, 0)
                                                   : uniform("drums_cut_db", 1, 4, kDrumBus, 0);
    bus.equalise(high_shelf(4000, .7, -cut));
    bus.equalise(peak(380, .9, -3));
    set_width(bus.sum, uniform("drums_width", .35, .75, kDrumBus, 1));
    bus.level(-20);
    bus.compress(-16, 3, .008, .12);
    bus.level(-20);
    add(bus.sum, room_->of(bus.sum), uniform("drums_room", .03, .12, kDrumBus, 2));
    bus.clip(uniform("drums_clip_db", 12, 14, kDrumBus, 3));
    return bus;
  }

  Bus bass() {
    Bus bus;
    bus.sum = renderer_.render(score_, Part::bass, samples_);
    set_width(bus.sum, 0);
    bus.equalise(high_pass(34));
    bus.equalise(peak(750, .8, uniform("bass_presence_db", 2, 6, kBassBus, 0)));
    bus.level(-20);
    const double drive = gain_of_db(uniform("bass_drive_db", 6, 14, kBassBus, 1));
    for (auto* channel : {&bus.sum.left, &bus.sum.right}) {
      saturate(channel->data(), channel->size(), drive / .3);
      for (double& v : *channel) v *= .3 / std::sqrt(drive);
    }
    bus.level(-20);
    bus.compress(-22, 4, .012, .15);
    bus.level(-20);
    bus.equalise(low_pass(uniform("bass_top_hz", 3000, 6000, kBassBus, 2)));
    bus.clip(11);
    return bus;
  }

  struct Channel {
    Part part;
    double level_db, high_pass_hz, width, position, to_room, to_plate;
  };

  Bus other() {
    const std::array<Channel, 4> channels = {
        {{Part::keys, -22, 170, .6, uniform("keys_pan", -.5, -.1, kOtherBus, 0), 0, .08},
         {Part::guitar, -21, 150, .6, uniform("guitar_pan", .15, .6, kOtherBus, 1), .06, 0},
         {Part::pad, -25, 230, 1.3, 0, 0, .15},
         {Part::lead, -21, 200, .6, uniform("lead_pan", -.25, .25, kOtherBus, 2), 0, .12}}};
    const double shine =
        test() ? uniform("other_shine_db", 4, 9, kOtherBus, 3) : uniform("other_shine_db", 1, 5, kOtherBus, 3);
    Bus bus;
    bus.sum = Stereo(samples_);
    Stereo to_room(samples_), to_plate(samples_);
    for (const Channel& channel : channels) {
      if (score_.notes(channel.part).empty()) continue;
      Stereo x = renderer_.render(score_, channel.part, samples_);
      filter(x, high_pass(channel.high_pass_hz));
      filter(x, peak(350, .8, test() ? -6 : -4));
      set_level(x, channel.level_db);
      const int program = score_.program(channel.part).number;
      const bool recorded_distorted = program == 29 || program == 30;
      if (channel.part == Part::guitar && (recorded_distorted || score_.distorted)) {
        amplify(x, recorded_distorted, channel.level_db);
      } else {
        set_width(x, channel.width);
        if (channel.part != Part::pad) pan(x, channel.position);
      }
      if (channel.part != Part::pad) filter(x, high_shelf(2500, .7, shine));
      multiply(x, compressor(x, channel.level_db + 4, 2.5, .01, .15));
      if (instruments_) {
        Stereo whole = x;
        if (channel.to_room > 0) add(whole, room_->of(x), channel.to_room);
        if (channel.to_plate > 0) add(whole, plate_->of(x), channel.to_plate);
        bus.components.push_back(std::move(whole));
        names_other_.emplace_back(part_name(channel.part));
      }
      add(bus.sum, x);
      if (channel.to_room > 0) add(to_room, x, channel.to_room);
      if (channel.to_plate > 0) add(to_plate, x, channel.to_plate);
    }
    // Sends add up before the rooms, which are linear.
    add(bus.sum, room_->of(to_room));
    add(bus.sum, plate_->of(to_plate));
    bus.clip(13);
    return bus;
  }

  /// A guitar's amplifier (for those recorded clean), its cabinet, and a second take a few milliseconds later.
  static void amplify(Stereo& x, bool recorded_distorted, double level_db) {
    if (!recorded_distorted) {
      const double level = gated_rms(x);
      if (level > 0) {
        for (auto* channel : {&x.left, &x.right}) saturate(channel->data(), channel->size(), 8 / level);
      }
      filter(x, high_pass(150));
      set_level(x, level_db);
    }
    filter(x, peak(2400, .8, 5));
    filter(x, low_pass(7500));
    constexpr std::size_t kSecondTake = 749;
    const Stereo before = x;
    const auto mid = [&](std::size_t t) { return .5 * (before.left[t] + before.right[t]); };
    for (std::size_t t = 0; t < x.left.size(); ++t) {
      x.left[t] = .9 * mid(t) + .1 * before.left[t];
      x.right[t] = .9 * (t >= kSecondTake ? mid(t - kSecondTake) : 0) + .1 * before.right[t];
    }
  }

  Bus vocals() {
    Bus bus;
    bus.sum = Stereo(samples_);
    std::array<std::optional<Stereo>, 3> voices;  // lead, doubles, harmony
    int doublings = 0, harmonies = 0;
    for (const SongTake& song_take : takes_of(score_)) {
      core::check_stop();
      Stereo x(samples_);
      x.left = sing(draws_, song_take.take, samples_);
      x.right = x.left;
      switch (song_take.voice) {
        case Voice::lead:
          set_level(x, -20);
          break;
        case Voice::doubling:
          set_level(x, -29);
          pan(x, doublings++ == 0 ? -.6 : .6);
          break;
        case Voice::harmony:
          set_level(x, -28);
          pan(x, harmonies++ == 0 ? -.75 : .75);
          break;
      }
      add(bus.sum, x);
      if (!instruments_) continue;
      auto& voice = voices[static_cast<std::size_t>(song_take.voice)];
      if (voice) {
        add(*voice, x);
      } else {
        voice = std::move(x);
      }
    }
    constexpr std::array<const char*, 3> kVoices = {"vocals", "doubles", "harmony"};
    for (std::size_t v = 0; v < voices.size(); ++v) {
      if (!voices[v]) continue;
      bus.components.push_back(std::move(*voices[v]));
      names_vocals_.emplace_back(kVoices[v]);
    }
    bus.equalise(high_pass(95));
    bus.equalise(peak(3000, .7, uniform("vocals_presence_db", 2, 5, kVocalBus, 0)));
    bus.equalise(high_shelf(5000, .7, uniform("vocals_air_db", 1, 4, kVocalBus, 1)));
    bus.level(-20);
    bus.compress(-19, 4, .004, .09);
    bus.level(-20);
    const double to_plate = uniform("vocals_plate", .06, .18, kVocalBus, 2);
    const double to_echo = uniform("vocals_echo", .02, .08, kVocalBus, 3);
    const auto delay = static_cast<std::size_t>(score_.sample(360));
    bus.each([&](Stereo& v) {
      Stereo wet = plate_->of(v);
      scale(wet, to_plate);
      for (std::size_t t = delay; t < v.left.size(); ++t) {
        wet.left[t] += .8 * to_echo * v.left[t - delay];
        wet.right[t] += to_echo * v.right[t - delay];
      }
      add(v, wet);
    });
    bus.clip(13);
    return bus;
  }

  /// One gain curve for everything.
  void master(std::array<Bus, kStems>& buses) {
    core::check_stop();
    constexpr std::array<double, kStems> kLevelsDb = {-20.5, -21.8, -22.6, -20.6};
    constexpr std::array<const char*, kStems> kLevelNames = {"drums_level_db", "bass_level_db", "other_level_db",
                                                             "vocals_level_db"};
    const auto normal = [&](std::uint32_t choice) {
      return std::clamp(draws_.normal({kMix, kMaster, choice}), -2.0, 2.0);
    };
    const auto count = static_cast<std::size_t>(samples_);
    Stereo mixture(samples_);
    for (std::size_t q = 0; q < kStems; ++q) {
      const double level = kLevelsDb[q] + 1.5 * normal(static_cast<std::uint32_t>(q));
      out_.draws.emplace_back(kLevelNames[q], level);
      buses[q].level(level);
      add(mixture, buses[q].sum);
    }

    std::vector<double> gain(count, 1.0);
    const double loudness = -15.3 + .8 * normal(4);
    out_.draws.emplace_back("mixture_level_db", loudness);
    if (const double level = gated_rms(mixture); level > 0) {
      Stereo scaled = mixture;
      scale(scaled, gain_of_db(-16) / level);
      gain = compressor(scaled, -13, 2, .015, .2);
    }
    multiply(mixture, gain);
    if (const double level = gated_rms(mixture); level > 0) {
      const double to_loudness = gain_of_db(loudness) / level;
      scale(mixture, to_loudness);
      for (double& g : gain) g *= to_loudness;
    }
    limit(mixture, gain);
    for (Bus& bus : buses) {
      bus.each([&](Stereo& x) { multiply(x, gain); });
    }

    double largest = 0;
    for (const Bus& bus : buses) {
      for (const auto* channel : {&bus.sum.left, &bus.sum.right}) {
        for (const double v : *channel) largest = std::max(largest, std::abs(v));
      }
    }
    constexpr double kCeiling = .98;
    const double guard = largest > kCeiling ? kCeiling / largest : 1.0;
    if (guard < 1) out_.guard_db = db_of_gain(guard);

    // A song shorter than its fades has shorter ones.
    const std::size_t fade_in = std::min<std::size_t>(441, count / 2),
                      fade_out = std::min<std::size_t>(4410, count / 2);
    std::vector<double> edges(count, guard);
    for (std::size_t n = 0; n < fade_in; ++n) edges[n] *= static_cast<double>(n) / static_cast<double>(fade_in);
    for (std::size_t i = 0; i < fade_out; ++i) {
      edges[count - fade_out + i] *= static_cast<double>(fade_out - 1 - i) / static_cast<double>(fade_out);
    }
    for (Bus& bus : buses) {
      bus.each([&](Stereo& x) { multiply(x, edges); });
    }
    quantise(buses);
  }

  /// Multiplies `gain` by the limiter's curve: the gain that each sample needs, its minimum over 10 ms, smoothed by a
  /// Hann window of the same length, so that the peak stays under the ceiling.
  void limit(const Stereo& mixture, std::vector<double>& gain) {
    constexpr double kCeiling = .96;
    constexpr std::ptrdiff_t kReach = 220;
    const auto count = static_cast<std::ptrdiff_t>(gain.size());
    const auto at = [](std::ptrdiff_t n) { return static_cast<std::size_t>(n); };
    std::vector<double> need(gain.size()), lowest(gain.size());
    for (std::size_t n = 0; n < need.size(); ++n) {
      const double level = std::max(std::abs(mixture.left[n]), std::abs(mixture.right[n]));
      need[n] = level > kCeiling ? kCeiling / level : 1.0;
    }
    // Running minimum: a queue of candidates in rising order.
    std::vector<std::ptrdiff_t> queue;
    std::size_t head = 0;
    for (std::ptrdiff_t n = 0, next = 0; n < count; ++n) {
      for (; next < std::min(count, n + kReach + 1); ++next) {
        while (queue.size() > head && need[at(queue.back())] >= need[at(next)]) queue.pop_back();
        queue.push_back(next);
      }
      while (queue[head] < n - kReach) ++head;
      lowest[at(n)] = need[at(queue[head])];
    }
    std::vector<double> window;
    double sum = 0;
    for (std::ptrdiff_t i = 1; i <= 2 * kReach + 1; ++i) {
      window.push_back(.5 - .5 * cos_turns(static_cast<double>(i) / (2 * kReach + 2)));
      sum += window.back();
    }
    double smallest = 1;
    std::ptrdiff_t last_below = -2 * kReach;  // latest sample within reach whose minimum is below 1
    for (std::ptrdiff_t n = 0; n < count; ++n) {
      const std::ptrdiff_t ahead = std::min(count - 1, n + kReach);
      if (n == 0) {
        for (std::ptrdiff_t k = 0; k <= ahead; ++k) {
          if (lowest[at(k)] < 1) last_below = k;
        }
      } else if (lowest[at(ahead)] < 1) {
        last_below = ahead;
      }
      if (last_below < n - kReach) continue;
      double smooth = 0;
      for (std::ptrdiff_t i = 0; i <= 2 * kReach; ++i) {
        smooth += window[at(i)] * lowest[at(std::clamp<std::ptrdiff_t>(n - kReach + i, 0, count - 1))];
      }
      smooth /= sum;
      smallest = std::min(smallest, smooth);
      gain[at(n)] *= smooth;
    }
    out_.limiter_db = db_of_gain(smallest);
  }

  static std::int16_t rounded(double y) { return static_cast<std::int16_t>(std::nearbyint(32767 * y)); }

  void quantise(std::array<Bus, kStems>& buses) {
    const auto count = static_cast<std::size_t>(samples_);
    std::vector<std::int32_t> left(count, 0), right(count, 0);
    for (std::size_t q = 0; q < kStems; ++q) {
      Pcm& pcm = out_.stems[q];
      pcm.left.resize(count);
      pcm.right.resize(count);
      for (std::size_t t = 0; t < count; ++t) {
        pcm.left[t] = rounded(buses[q].sum.left[t]);
        pcm.right[t] = rounded(buses[q].sum.right[t]);
        left[t] += pcm.left[t];
        right[t] += pcm.right[t];
      }
    }
    out_.mixture.left.resize(count);
    out_.mixture.right.resize(count);
    for (std::size_t t = 0; t < count; ++t) {
      // The limiter holds the sum at 0.96 and rounding adds 2 at most.
      MSS_ASSERT(std::abs(left[t]) <= 32767 && std::abs(right[t]) <= 32767);
      out_.mixture.left[t] = static_cast<std::int16_t>(left[t]);
      out_.mixture.right[t] = static_cast<std::int16_t>(right[t]);
    }
    if (!instruments_) return;
    for (const std::size_t q : {std::size_t{0}, std::size_t{1}}) {
      out_.instruments.push_back({std::string(kStemNames[q]), std::string(kStemNames[q]), out_.stems[q]});
    }
    separate_instruments(buses[2], 2, names_other_);
    separate_instruments(buses[3], 3, names_vocals_);
  }

  /// Rounds running sums and takes differences, so that the instruments add up to their stem.
  void separate_instruments(const Bus& bus, std::size_t q, const std::vector<std::string>& names) {
    const auto count = static_cast<std::size_t>(samples_);
    std::vector<double> left(count, 0), right(count, 0);
    Pcm before;
    before.left.resize(count);
    before.right.resize(count);
    for (std::size_t i = 0; i < names.size(); ++i) {
      const bool last = i + 1 == names.size();
      Pcm pcm;
      pcm.left.resize(count);
      pcm.right.resize(count);
      const auto take = [&](std::vector<double>& sum, const std::vector<double>& x, std::vector<std::int16_t>& done,
                            const std::vector<std::int16_t>& whole, std::vector<std::int16_t>& out) {
        for (std::size_t t = 0; t < count; ++t) {
          sum[t] += x[t];
          const std::int16_t now = last ? whole[t] : rounded(std::clamp(sum[t], -1.0, 1.0));
          out[t] = static_cast<std::int16_t>(std::clamp(now - done[t], -32768, 32767));
          done[t] = static_cast<std::int16_t>(done[t] + out[t]);
        }
      };
      take(left, bus.components[i].left, before.left, out_.stems[q].left, pcm.left);
      take(right, bus.components[i].right, before.right, out_.stems[q].right, pcm.right);
      out_.instruments.push_back({names[i], std::string(kStemNames[q]), std::move(pcm)});
    }
  }

  const Score& score_;
  const Renderer& renderer_;
  std::int64_t samples_;
  bool instruments_;
  Draws draws_;
  std::optional<Room> room_, plate_;
  std::vector<std::string> names_other_, names_vocals_;
  Mixed out_;
};

}  // namespace

Mixed mix(const Score& score, const Renderer& renderer, std::int64_t samples, bool instruments) {
  return Mixer(score, renderer, samples, instruments).run();
}

}  // namespace mss::datasets::synth
