#include "datasets/synth/composer.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <tuple>

#include "core/error.h"
#include "core/stop.h"
#include "datasets/synth/random.h"

namespace mss::datasets::synth {

namespace {

enum Stream : std::uint32_t {
  kSong = 1,
  kDrums = 2,
  kBass = 3,
  kKeys = 4,
  kGuitar = 5,
  kPad = 6,
  kLead = 7,
  kVerseMelody = 8,
  kChorusMelody = 9
};

constexpr int kNone = -1;

struct Style {
  std::string_view name;
  int weight;
  int bpm_low, bpm_high;
  std::uint32_t minor_per_mille;
  int swing8, swing16;  // ticks
  int sigma16;          // humanisation of time, sixteenths of a tick
  std::vector<int> grooves, basses, keys, guitars;
  std::uint32_t pad_per_mille, lead_per_mille;
};

const std::vector<Style>& styles() {
  static const std::vector<Style> table = {
      {"rock", 16, 96, 152, 350, 0, 0, 64, {0, 1}, {0, 1}, {kNone}, {1, 2}, 250, 500},
      {"pop", 16, 88, 126, 400, 0, 0, 48, {0, 2, 10}, {0, 2}, {0}, {3, 1}, 600, 350},
      {"ballad", 10, 66, 92, 300, 0, 0, 72, {4}, {3}, {4}, {4}, 800, 350},
      {"funk", 9, 94, 116, 600, 0, 20, 40, {3}, {4}, {5}, {5}, 150, 500},
      {"disco", 9, 112, 128, 500, 0, 0, 24, {2}, {5}, {5}, {5}, 500, 350},
      {"reggae", 7, 68, 92, 400, 30, 0, 64, {5}, {6}, {6}, {6}, 150, 250},
      {"hiphop", 9, 78, 98, 700, 0, 30, 32, {6}, {7}, {4}, {4}, 400, 250},
      {"punk", 8, 150, 184, 300, 0, 0, 56, {7}, {1}, {kNone}, {2}, 50, 250},
      {"country", 8, 92, 128, 100, 24, 0, 64, {8}, {8}, {0}, {7}, 150, 500},
      {"shuffle", 8, 96, 132, 250, 80, 0, 64, {9}, {9}, {6}, {1}, 100, 600},
  };
  return table;
}

constexpr std::array<int, 7> kMajorScale = {0, 2, 4, 5, 7, 9, 11};
constexpr std::array<int, 7> kMinorScale = {0, 2, 3, 5, 7, 8, 10};

using Progression = std::array<int, 4>;
constexpr std::array<Progression, 6> kMajorProgressions = {
    {{0, 4, 5, 3}, {0, 5, 3, 4}, {5, 3, 0, 4}, {0, 3, 0, 4}, {0, 2, 3, 4}, {0, 3, 4, 3}}};
constexpr std::array<Progression, 6> kMinorProgressions = {
    {{0, 5, 2, 6}, {0, 3, 4, 4}, {0, 6, 5, 6}, {0, 5, 3, 4}, {0, 2, 6, 3}, {0, 3, 6, 2}}};

const std::array<std::vector<std::pair<char, int>>, 5>& forms() {
  static const std::array<std::vector<std::pair<char, int>>, 5> table = {{
      {{'I', 2}, {'V', 4}, {'C', 4}, {'B', 2}, {'V', 4}, {'C', 8}},
      {{'V', 4}, {'C', 4}, {'B', 2}, {'V', 4}, {'C', 8}},
      {{'C', 4}, {'B', 2}, {'V', 4}, {'C', 8}, {'B', 4}},
      {{'V', 8}, {'C', 8}, {'B', 4}},
      {{'I', 4}, {'V', 8}, {'C', 8}},
  }};
  return table;
}
constexpr std::array<int, 5> kFormWeights = {3, 3, 2, 2, 1};

/// Lines of sixteen steps in the order K S R H O Y: X accent, x normal, g ghost, o optional.
struct Groove {
  std::array<std::string_view, 6> lines;
};
constexpr std::string_view kRest = "................";
constexpr std::array<Groove, 11> kGrooves = {{
    {{"X.....x.X.x.....", "....X.......X...", kRest, "X.x.X.x.X.x.X.x.", kRest, kRest}},
    {{"X..x..x.o.x..o..", "....X..g.g..X...", kRest, "X.x.X.x.X.x.X.x.", kRest, kRest}},
    {{"X...X...X...X...", "....X.......X...", kRest, "x.g.x.g.x.g.x.g.", "..x...x...x...x.", kRest}},
    {{"X..x..x...x..o..", "....X..g.g..X..g", kRest, "XgxgXgxgXgxgXgxg", kRest, kRest}},
    {{"X......xX...o...", "....X.......X...", kRest, "x.g.x.g.x.g.x.g.", kRest, kRest}},
    {{"........X.......", "..............o.", "........X.....o.", "x.g.x.g.x.g.x.g.", kRest, kRest}},
    {{"X......x..X..o..", "....X.......X...", kRest, "x.x.x.xgx.x.x.xo", kRest, kRest}},
    {{"X...X...X...X.x.", "..X...X...X...X.", kRest, "X.X.X.X.X.X.X.X.", kRest, kRest}},
    {{"X.......X.......", "gggxXgggggxgXggg", kRest, "....x.......x...", kRest, kRest}},
    {{"X.....o.X.....x.", "....X..g....X...", kRest, kRest, kRest, "X...x.x.X...x.x."}},
    {{"X.....x...x..o..", "....X.......X...", kRest, "x.xgx.x.x.xgx.xg", kRest, kRest}},
}};

struct DrumLine {
  int note;
  int accent, normal, ghost, optional;
};
constexpr std::array<DrumLine, 6> kDrumLines = {{
    {36, 112, 96, 0, 92},   // kick
    {38, 114, 84, 38, 80},  // snare
    {37, 100, 0, 0, 84},    // side stick
    {42, 84, 66, 44, 50},   // closed hat
    {46, 0, 74, 0, 0},      // open hat
    {51, 84, 68, 0, 0},     // ride
}};
enum Line : std::size_t { kKickLine, kSnareLine, kStickLine, kHatLine, kOpenLine, kRideLine };

struct FillNote {
  int step, note, velocity;
};
const std::array<std::vector<FillNote>, 5>& fills() {
  static const std::array<std::vector<FillNote>, 5> table = {{
      {{12, 48, 96}, {13, 48, 90}, {14, 45, 98}, {15, 43, 104}},
      {{8, 38, 70}, {10, 38, 84}, {12, 48, 98}, {13, 45, 98}, {14, 43, 102}, {15, 43, 106}},
      {{12, 38, 90}, {14, 38, 100}, {15, 38, 108}},
      {{10, 48, 92}, {11, 48, 88}, {12, 45, 96}, {14, 41, 104}},
      {{14, 38, 104}, {15, 38, 100}},
  }};
  return table;
}
constexpr std::array<int, 5> kFillWeights = {3, 2, 3, 2, 3};

/// R root, 8 an octave above, 5 3 6 7 chord and scale tones, a approach to the next root.
struct BassNote {
  int step, length;
  char kind;
};
const std::array<std::vector<BassNote>, 10>& basses() {
  static const std::array<std::vector<BassNote>, 10> table = {{
      {{0, 6, 'R'}, {6, 2, 'R'}, {8, 6, 'R'}, {14, 2, 'a'}},
      {{0, 2, 'R'}, {2, 2, 'R'}, {4, 2, 'R'}, {6, 2, 'R'}, {8, 2, 'R'}, {10, 2, 'R'}, {12, 2, 'R'}, {14, 2, 'a'}},
      {{0, 3, 'R'}, {3, 3, 'R'}, {6, 4, 'R'}, {10, 3, '5'}, {13, 3, '8'}},
      {{0, 8, 'R'}, {8, 6, '5'}, {14, 2, 'a'}},
      {{0, 2, 'R'}, {3, 1, '8'}, {6, 2, 'R'}, {8, 1, 'R'}, {10, 2, '7'}, {13, 1, '8'}, {14, 2, 'a'}},
      {{0, 2, 'R'}, {2, 2, '8'}, {4, 2, 'R'}, {6, 2, '8'}, {8, 2, 'R'}, {10, 2, '8'}, {12, 2, 'R'}, {14, 2, '8'}},
      {{0, 3, 'R'}, {3, 2, '3'}, {6, 2, '5'}, {10, 3, 'R'}, {14, 2, 'a'}},
      {{0, 6, 'R'}, {7, 3, 'R'}, {10, 5, '5'}},
      {{0, 6, 'R'}, {8, 6, '5'}},
      {{0, 4, 'R'}, {4, 4, '3'}, {8, 4, '5'}, {12, 4, '6'}},
  }};
  return table;
}

struct Hit {
  int step, length;
};
const std::array<std::vector<Hit>, 8>& compings() {
  static const std::vector<Hit> eighths = {{0, 2}, {2, 2}, {4, 2}, {6, 2}, {8, 2}, {10, 2}, {12, 2}, {14, 2}};
  static const std::array<std::vector<Hit>, 8> table = {{
      {{0, 7}, {8, 7}},
      eighths,
      eighths,
      {{0, 2}, {3, 3}, {6, 2}, {8, 2}, {11, 3}, {14, 2}},
      {{0, 4}, {4, 4}, {8, 4}, {12, 4}},
      {{2, 1}, {6, 2}, {9, 1}, {12, 1}, {14, 1}},
      {{2, 2}, {6, 2}, {10, 2}, {14, 2}},
      {{2, 2}, {4, 2}, {6, 2}, {10, 2}, {12, 2}, {14, 2}},
  }};
  return table;
}

/// Onsets over two bars of sixteenths.
constexpr std::array<std::string_view, 8> kMelodies = {{
    "..x.x.x.x...x...x.x...x.........",
    "x...x.x.x.x...x.....x.x.x.......",
    "....x.x.x.x.x...x...x...x.......",
    "x..x..x.x..x..x.x...........x.x.",
    "..x.x.x.x.x.x.x.x...............",
    "x.......x...x...x.............x.",
    "x.x.x...x.x.x...x.x.x.x.x.......",
    "....x...x.x.x.x.x.x.x...........",
}};
constexpr std::array<std::string_view, 3> kRaps = {{
    "x.xxx.x.x.xxx.x.x.x.xxx.x...x...",
    "..xxx.xxx.x.x.xx..x.x.xxx.x.....",
    "x.x.xxx.xx.x.x..x.xxx.x.x.x.x...",
}};

constexpr std::array<int, 8> kVowelWeights = {6, 4, 4, 5, 3, 5, 5, 4};
constexpr std::array<int, 13> kConsonantWeights = {8, 6, 10, 10, 10, 8, 10, 8, 10, 4, 5, 8, 8};
constexpr std::array<int, 7> kStepWeights = {1, 2, 6, 4, 6, 2, 1};  // melody steps -3 … 3

const std::vector<int>& keys_of(Split split) {
  static const std::vector<int> learnt = {0, 2, 3, 5, 7, 8, 10}, unheard = {1, 4, 6, 9, 11};
  return split == Split::test ? unheard : learnt;
}

const std::vector<Program>& programs_of(Split split, Part part) {
  using Table = std::array<std::vector<Program>, kParts>;
  static const Table train = {{{{0}, {3}, {8}, {11}, {16}, {25}, {33}},
                               {{33}, {34}, {38}},
                               {{0}, {4}, {16}, {7}},
                               {{25}, {27}, {29}, {30}},
                               {{48}, {50}, {89}, {62}},
                               {{27}, {30}, {65}, {80}, {17}}}};
  static const Table valid = {{{{1}, {9}, {17}}, {{36}}, {{1}, {6}}, {{28}}, {{49}, {95}}, {{22}, {66}}}};
  static const Table test = {{{{0, true}, {1, true}, {8}, {24}},
                              {{32}, {35}, {37}, {39}},
                              {{2}, {5}, {18}, {11}},
                              {{24}, {26}},
                              {{51}, {90}, {92}},
                              {{56}, {73}, {81}}}};
  const Table& table = split == Split::train ? train : split == Split::valid ? valid : test;
  return table[static_cast<std::size_t>(part)];
}

const std::vector<Singer>& singers_of(Split split) {
  static const std::vector<Singer> train = {
      {57, .97, .65, 6080, 5.2, 22, -44, 350},  {60, 1.00, .50, 7360, 5.6, 30, -42, 450},
      {55, .93, .70, 5600, 5.0, 18, -46, 300},  {62, 1.04, .45, 8000, 5.8, 28, -43, 400},
      {66, 1.14, .65, 6720, 5.5, 32, -39, 500}, {68, 1.17, .55, 7360, 5.9, 26, -41, 450},
      {64, 1.12, .75, 6240, 5.3, 24, -38, 350}, {70, 1.20, .60, 7680, 6.1, 34, -42, 550}};
  static const std::vector<Singer> valid = {{58, .98, .55, 6720, 5.4, 24, -43, 400},
                                            {67, 1.15, .70, 6880, 5.7, 30, -40, 450}};
  static const std::vector<Singer> test = {{56, .90, .60, 6400, 5.1, 20, -43, 250},
                                           {61, 1.02, .40, 8320, 5.7, 36, -45, 500},
                                           {59, .95, .80, 5760, 4.8, 26, -40, 300},
                                           {65, 1.10, .50, 8000, 6.0, 20, -42, 350},
                                           {69, 1.22, .70, 7040, 5.6, 38, -37, 550}};
  return split == Split::train ? train : split == Split::valid ? valid : test;
}

std::uint32_t u32(std::int64_t value) { return static_cast<std::uint32_t>(value); }
int modulo(int a, int b) { return ((a % b) + b) % b; }
template <class T>
std::uint32_t size_of(const T& list) {
  return static_cast<std::uint32_t>(list.size());
}

class Composer {
 public:
  Composer(std::uint64_t seed, Split split, std::int64_t samples) : draw_(seed) {
    score_.seed = seed;
    score_.split = split;
    choose(samples);
    for (std::size_t j = 0; j < score_.sections.size(); ++j) {
      core::check_stop();
      section_ = score_.sections[j];
      j_ = static_cast<int>(j);
      for (int k = 0; k < section_.bars; ++k) {
        drums(k);
        bass(k);
        keys(k);
        guitar(k);
        pad(k);
        lead(k);
      }
      melody();
    }
    for (auto& part : score_.parts) {
      std::sort(part.begin(), part.end(), [](const Note& a, const Note& b) {
        return std::tie(a.start, a.pitch, a.end, a.velocity) < std::tie(b.start, b.pitch, b.end, b.velocity);
      });
    }
  }

  Score take() { return std::move(score_); }

 private:
  template <class T>
  const T& one_of(const std::vector<T>& list, std::uint32_t choice) const {
    return list[draw_.below(size_of(list), {kSong, 0, choice})];
  }

  void choose(std::int64_t samples) {
    std::vector<int> weights;
    for (const Style& style : styles()) weights.push_back(style.weight);
    style_ = &styles()[draw_.weighted(weights, {kSong, 0, 0})];
    const Style& style = *style_;
    score_.style = style.name;
    score_.distorted = style.name == "rock" || style.name == "punk";
    score_.talk = style.name == "hiphop";
    score_.bpm = style.bpm_low + static_cast<int>(draw_.below(u32(style.bpm_high - style.bpm_low + 1), {kSong, 0, 1}));
    score_.key = one_of(keys_of(score_.split), 2);
    score_.minor = draw_.chance(style.minor_per_mille, {kSong, 0, 3});
    const auto verse = draw_.below(6, {kSong, 0, 4});
    const auto chorus = (verse + 1 + draw_.below(5, {kSong, 0, 5})) % 6;
    const auto& progressions = score_.minor ? kMinorProgressions : kMajorProgressions;
    score_.verse = progressions[verse];
    score_.chorus = progressions[chorus];
    score_.form = draw_.weighted(kFormWeights, {kSong, 0, 6});
    groove_ = &kGrooves[static_cast<std::size_t>(one_of(style.grooves, 7))];
    bass_ = &basses()[static_cast<std::size_t>(one_of(style.basses, 8))];
    for (const Part part : kAllParts) {
      const auto i = static_cast<std::size_t>(part);
      score_.programs[i] = one_of(programs_of(score_.split, part), 10 + u32(static_cast<std::int64_t>(i)));
    }
    if (score_.split == Split::train && score_.distorted) {
      static const std::vector<Program> rock = {{29}, {30}}, punk = {{30}};
      score_.programs[static_cast<std::size_t>(Part::guitar)] = one_of(style.name == "rock" ? rock : punk, 16);
    }
    keys_ = one_of(style.keys, 20);
    guitar_ = one_of(style.guitars, 21);
    score_.singer = draw_.below(size_of(singers_of(score_.split)), {kSong, 0, 30});
    score_.doubles = draw_.chance(600, {kSong, 0, 40});
    score_.harmony = draw_.chance(500, {kSong, 0, 41});

    // A bar lasts 240 / bpm seconds.
    const std::int64_t per_bar = std::int64_t{240} * kRateHz;
    const std::int64_t bars = (samples * score_.bpm + per_bar - 1) / per_bar + 1;
    const auto& form = forms()[score_.form];
    int bar = 0;
    for (std::size_t i = 0; bar < bars; i = (i + 1) % form.size()) {
      score_.sections.push_back({form[i].first, bar, form[i].second});
      bar += form[i].second;
    }
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Pitch and time

  int degree(int d) const {
    const int octave = d >= 0 ? d / 7 : -((6 - d) / 7);
    return (score_.minor ? kMinorScale : kMajorScale)[static_cast<std::size_t>(d - 7 * octave)] + 12 * octave;
  }
  /// The chord's degree in bar k of this section.
  int chord(int k) const {
    return (section_.letter == 'C' ? score_.chorus : score_.verse)[static_cast<std::size_t>(k % 4)];
  }
  /// The note at or above `low` of the pitch class of degree d.
  int place(int d, int low) const { return low + modulo(score_.key + degree(d) - low, 12); }
  std::vector<int> triad(int k) const {
    const int c = chord(k);
    std::vector<int> notes = {place(c, 48), place(c + 2, 48), place(c + 4, 48)};
    std::sort(notes.begin(), notes.end());
    return notes;
  }

  std::int64_t tick(int bar, int step) const {
    const int x = step % kStepsPerBar;
    std::int64_t t = (static_cast<std::int64_t>(bar) * kStepsPerBar + step) * kTicksPerStep;
    if (x % 4 == 2) t += style_->swing8;
    if (x % 4 == 3) t += style_->swing8 / 2;
    if (x % 2 == 1) t += style_->swing16;
    return t;
  }

  struct Touch {
    int pitch, velocity, spread16;
    int delay = 0;  // ticks
  };
  void put(Part part, std::uint32_t stream, int item, int bar, int step, int length, const Touch& touch) {
    const std::int64_t start =
        tick(bar, step) + touch.delay + draw_.gaussian(style_->sigma16, {stream, u32(item), 200});
    const std::int64_t end = tick(bar, step + length) - (length < 16 ? 20 : 40);
    const std::int64_t velocity = touch.velocity + draw_.gaussian(touch.spread16, {stream, u32(item), 201});
    score_.parts[static_cast<std::size_t>(part)].push_back(
        {std::max<std::int64_t>(0, start), std::max(start + 40, end), touch.pitch,
         static_cast<int>(std::clamp<std::int64_t>(velocity, 1, 127))});
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Parts; k is the bar inside the section

  void drums(int k) {
    const int bar = section_.first_bar + k;
    const bool last = k == section_.bars - 1;
    const bool filled =
        (last && draw_.chance(850, {kDrums, u32(bar), 0})) || (k % 4 == 3 && draw_.chance(300, {kDrums, u32(bar), 1}));
    const auto& fill = fills()[draw_.weighted(kFillWeights, {kDrums, u32(bar), 2})];
    const int fill_from = filled ? fill.front().step : kStepsPerBar;
    const bool hats_only = section_.letter == 'I' && draw_.chance(350, {kDrums, u32(j_), 3});
    for (std::size_t line = 0; line < kDrumLines.size(); ++line) {
      if (hats_only && line <= kStickLine) continue;
      for (int step = 0; step < kStepsPerBar; ++step) {
        const auto at = static_cast<std::size_t>(step);
        const char mark = groove_->lines[line][at];
        const int item = bar * 256 + 16 * static_cast<int>(line) + step;
        if (mark == '.' || (step >= fill_from && line != kKickLine)) continue;
        if (line == kHatLine && groove_->lines[kOpenLine][at] != '.') continue;
        if (mark == 'o' && !draw_.chance(500, {kDrums, u32(item), 4})) continue;
        if (mark == 'g' && line == kSnareLine && !draw_.chance(700, {kDrums, u32(item), 4})) continue;
        const DrumLine& drum = kDrumLines[line];
        int note = drum.note;
        if (line == kHatLine) {
          if (section_.letter == 'C' && style_->name == "rock") note = 51;
          if (section_.letter == 'C' && style_->name == "punk") note = 46;
          if (step == 14 && draw_.chance(180, {kDrums, u32(item), 5})) note = 46;
        }
        const int velocity = mark == 'X'   ? drum.accent
                             : mark == 'x' ? drum.normal
                             : mark == 'g' ? drum.ghost
                                           : drum.optional;
        put(Part::drums, kDrums, item, bar, step, 1, {note, velocity, 80});
      }
    }
    if (filled) {
      for (std::size_t i = 0; i < fill.size(); ++i) {
        put(Part::drums, kDrums, bar * 256 + 128 + static_cast<int>(i), bar, fill[i].step, 1,
            {fill[i].note, fill[i].velocity, 80});
      }
    }
    if (k == 0 && draw_.chance(section_.letter == 'C' ? 900 : 450, {kDrums, u32(bar), 6})) {
      put(Part::drums, kDrums, bar * 256 + 160, bar, 0, 4, {49, 104, 80});
    }
  }

  void bass(int k) {
    if (section_.letter == 'I' && j_ == 0 && draw_.chance(300, {kBass, 0, 9})) return;
    const int bar = section_.first_bar + k;
    const int c = chord(k);
    const int root = place(c, 28), next_root = place(chord(k + 1), 28);
    for (std::size_t i = 0; i < bass_->size(); ++i) {
      const BassNote& note = (*bass_)[i];
      const int item = bar * 64 + static_cast<int>(i);
      if (note.kind == 'R' && note.step != 0 && draw_.chance(80, {kBass, u32(item), 2})) continue;
      int pitch = root;
      switch (note.kind) {
        case '8':
          pitch += 12;
          break;
        case '5':
          pitch += degree(c + 4) - degree(c);
          break;
        case '3':
          pitch += degree(c + 2) - degree(c);
          break;
        case '6':
          pitch += degree(c + 5) - degree(c);
          break;
        case '7':
          pitch += degree(c + 6) - degree(c);
          break;
        case 'a':
          pitch = next_root + (draw_.chance(500, {kBass, u32(item), 0}) ? -1 : 2);
          break;
        default:
          break;
      }
      if (note.kind != 'R' && draw_.chance(200, {kBass, u32(item), 1})) pitch = root;
      put(Part::bass, kBass, item, bar, note.step, note.length, {pitch, note.step % 8 == 0 ? 96 : 86, 96});
    }
  }

  void keys(int k) {
    if (keys_ == kNone) return;
    if (section_.letter == 'B' && !draw_.chance(600, {kKeys, u32(j_), 0})) return;
    const int bar = section_.first_bar + k;
    const auto& pattern = compings()[static_cast<std::size_t>(keys_)];
    const std::vector<int> notes = triad(k);
    for (int i = 0; i < static_cast<int>(pattern.size()); ++i) {
      const Hit& hit = pattern[static_cast<std::size_t>(i)];
      if (draw_.chance(70, {kKeys, u32(bar * 64 + i), 1})) continue;
      for (int z = 0; z < 3; ++z) {
        put(Part::keys, kKeys, bar * 256 + 8 * i + z, bar, hit.step, hit.length,
            {notes[static_cast<std::size_t>(z)] + 12, hit.step % 4 == 0 ? 78 : 70, 64});
      }
    }
  }

  void guitar(int k) {
    const int bar = section_.first_bar + k;
    const auto& pattern = compings()[static_cast<std::size_t>(guitar_)];
    std::vector<int> notes;
    if (score_.distorted) {
      const int root = place(chord(k), 40);
      notes = {root, root + 7, root + 12};
    } else {
      notes = triad(k);
      notes.push_back(notes.front() + 12);
      std::sort(notes.begin(), notes.end());
    }
    for (int i = 0; i < static_cast<int>(pattern.size()); ++i) {
      const Hit& hit = pattern[static_cast<std::size_t>(i)];
      if (draw_.chance(60, {kGuitar, u32(bar * 64 + i), 1})) continue;
      std::vector<int> played = notes;
      if (!score_.distorted && i % 2 == 1) std::reverse(played.begin(), played.end());
      for (int z = 0; z < static_cast<int>(played.size()); ++z) {
        put(Part::guitar, kGuitar, bar * 256 + 8 * i + z, bar, hit.step, hit.length,
            {played[static_cast<std::size_t>(z)], hit.step % 4 == 0 ? 86 : 74, 80, (score_.distorted ? 4 : 9) * z});
      }
    }
  }

  void pad(int k) {
    if (section_.letter == 'I') return;
    const std::uint32_t per_mille = style_->pad_per_mille + (section_.letter == 'C' ? 200 : 0);
    if (!draw_.chance(per_mille, {kPad, u32(j_), 0})) return;
    const int bar = section_.first_bar + k;
    const std::vector<int> notes = triad(k);
    for (int z = 0; z < 3; ++z) {
      put(Part::pad, kPad, bar * 8 + z, bar, 0, 16, {notes[static_cast<std::size_t>(z)] + 12, 70, 48});
    }
  }

  void lead(int k) {
    if (section_.letter != 'I' && section_.letter != 'B') return;
    if (!draw_.chance(style_->lead_per_mille + 150, {kLead, u32(j_), 0})) return;
    const int bar = section_.first_bar + k;
    const std::string_view rhythm = kMelodies[draw_.below(8, {kLead, u32(8 * j_ + (k / 2) % 2), 1})];
    static constexpr std::array<int, 7> kMoves = {-2, -1, 0, 1, 2, -1, 1};
    const int key = score_.key < 7 ? score_.key : score_.key - 12;
    int d = chord(k) + 7, onset = 0;
    for (int step = 0; step < kStepsPerBar; ++step) {
      if (rhythm[static_cast<std::size_t>(kStepsPerBar * (k % 2) + step)] != 'x') continue;
      const int item = bar * 32 + onset;
      d = std::clamp(d + kMoves[draw_.below(7, {kLead, u32(item), 2})], 4, 13);
      put(Part::lead, kLead, item, bar, step, 2, {key + 48 + degree(d), 92, 96});
      ++onset;
    }
  }

  /// The chord tone nearest to `target`, ties to the smaller.
  static int nearest_chord_tone(int c, std::int64_t target) {
    std::vector<int> tones;
    for (int octave = -2; octave <= 1; ++octave) {
      for (const int d : {0, 2, 4}) tones.push_back(c + d + 7 * octave);
    }
    std::sort(tones.begin(), tones.end());
    return *std::min_element(tones.begin(), tones.end(),
                             [&](int a, int b) { return std::abs(a - target) < std::abs(b - target); });
  }

  void melody() {
    if (section_.letter != 'V' && section_.letter != 'C') return;
    const std::uint32_t stream = section_.letter == 'V' ? kVerseMelody : kChorusMelody;
    const int centre = singer_of(score_.split, score_.singer).centre_midi;
    int tonic = centre - 6 + modulo(score_.key - (centre - 6), 12);
    if (tonic > centre) tonic -= 12;
    int current = 0;
    for (int phrase = 0; phrase < section_.bars / 2; ++phrase) {
      const std::span<const std::string_view> templates =
          score_.talk ? std::span<const std::string_view>(kRaps) : std::span<const std::string_view>(kMelodies);
      const std::string_view rhythm = templates[draw_.below(size_of(templates), {stream, u32(phrase % 2), 0})];
      const bool halved = phrase % 4 == 3 && draw_.chance(300, {stream, u32(phrase), 1});
      std::vector<int> onsets;
      for (int step = 0; step < (halved ? kStepsPerBar : 2 * kStepsPerBar); ++step) {
        if (rhythm[static_cast<std::size_t>(step)] == 'x') onsets.push_back(step);
      }
      const int bar = section_.first_bar + 2 * phrase;
      for (std::size_t i = 0; i < onsets.size(); ++i) {
        const int step = onsets[i];
        const int item = (phrase % 4) * 64 + static_cast<int>(i);
        const bool last = i + 1 == onsets.size();
        const int next = last ? std::min(step + 8, 32) : onsets[i + 1];
        const int length = std::min(10, next - step);
        Syllable syllable;
        if (score_.talk) {
          static constexpr std::array<int, 6> kTalk = {0, 0, 2, -2, 3, -3};
          syllable.pitch = centre - 8 + kTalk[draw_.below(6, {stream, u32(item), 2})] - (last ? 3 : 0);
          syllable.harmony_pitch = syllable.pitch;
        } else {
          if (step % 8 == 0) {
            const std::int64_t target = current + draw_.gaussian(24, {stream, u32(item), 2});
            current = nearest_chord_tone(chord(2 * phrase + step / kStepsPerBar), target);
          } else {
            current += static_cast<int>(draw_.weighted(kStepWeights, {stream, u32(item), 2})) - 3;
          }
          current = std::clamp(current, -4, 6);
          syllable.pitch = tonic + degree(current);
          syllable.harmony_pitch = syllable.pitch + degree(current + 2) - degree(current);
        }
        const std::int64_t start =
            tick(bar, step) + draw_.gaussian(128, {stream, u32((64 * j_ + phrase) * 64 + static_cast<int>(i)), 3});
        const std::int64_t end =
            tick(bar, step + length) - static_cast<std::int64_t>(draw_.below(30, {stream, u32(item), 5}));
        syllable.start = std::max<std::int64_t>(0, start);
        syllable.end = std::max(start + 60, end);
        syllable.vowel = draw_.weighted(kVowelWeights, {stream, u32(item), 6});
        syllable.consonant = draw_.weighted(kConsonantWeights, {stream, u32(item), 7});
        syllable.section = static_cast<std::size_t>(j_);
        syllable.phrase_first = i == 0;
        syllable.phrase_last = last;
        score_.syllables.push_back(syllable);
      }
    }
  }

  Draws draw_;
  Score score_;
  const Style* style_ = nullptr;
  const Groove* groove_ = nullptr;
  const std::vector<BassNote>* bass_ = nullptr;
  int keys_ = kNone, guitar_ = kNone;
  Section section_;  // the current one and its number
  int j_ = 0;
};

}  // namespace

std::string_view split_name(Split split) noexcept {
  return split == Split::train ? "train" : split == Split::valid ? "valid" : "test";
}

char part_letter(Part part) noexcept { return "KBPGSL"[static_cast<std::size_t>(part)]; }

std::string_view part_name(Part part) noexcept {
  static constexpr std::array<std::string_view, kParts> kNames = {"drums", "bass", "keys", "guitar", "pad", "lead"};
  return kNames[static_cast<std::size_t>(part)];
}

std::string program_text(Program program) {
  return program.acoustic ? "A" + std::to_string(program.number) : std::to_string(program.number);
}

const Singer& singer_of(Split split, std::size_t index) { return singers_of(split).at(index); }

std::string key_text(const Score& score) {
  static constexpr std::array<std::string_view, 12> kNames = {"C",  "Db", "D",  "Eb", "E",  "F",
                                                              "Gb", "G",  "Ab", "A",  "Bb", "B"};
  return std::string(kNames[static_cast<std::size_t>(score.key)]) + (score.minor ? " minor" : " major");
}

Score compose(std::uint64_t seed, Split split, std::int64_t samples) {
  if (samples < 1) {
    throw Error(ErrorParts{.code = Code::invalid_argument,
                           .where = "composed song of seed " + std::to_string(seed),
                           .what = "nothing to compose",
                           .expected = "at least one sample",
                           .found = std::to_string(samples),
                           .hint = ""});
  }
  return Composer(seed, split, samples).take();
}

std::uint64_t first_seed(std::uint64_t set, Split split) noexcept {
  const std::uint64_t base = split == Split::train ? 1000 : split == Split::valid ? 2000 : 3000;
  return base + (set - 1) * 10000;
}

}  // namespace mss::datasets::synth
