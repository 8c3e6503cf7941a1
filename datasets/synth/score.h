// What a composed song is made of: sections, notes of six instruments, sung syllables, and the choices behind them.
// Time is in ticks, 480 to a quarter, 4/4; a tick's sample is floor(tick * 11025 / (2 bpm)) at 44.1 kHz.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mss::datasets::synth {

inline constexpr int kRateHz = 44100;
inline constexpr int kTicksPerQuarter = 480, kTicksPerStep = 120, kStepsPerBar = 16;
inline constexpr int kTicksPerBar = kTicksPerStep * kStepsPerBar;

/// Whom a song is for. The splits share grooves, progressions, templates, voice model and mixer; they differ in keys,
/// singers, programs and, with soundfonts, in the fonts.
enum class Split { train, valid, test };
std::string_view split_name(Split split) noexcept;

/// The instruments in the order of scores and MIDI tracks, named K B P G S L there.
enum class Part { drums, bass, keys, guitar, pad, lead };
inline constexpr std::size_t kParts = 6;
inline constexpr std::array<Part, kParts> kAllParts = {Part::drums,  Part::bass, Part::keys,
                                                       Part::guitar, Part::pad,  Part::lead};
char part_letter(Part part) noexcept;
std::string_view part_name(Part part) noexcept;

struct Note {
  std::int64_t start = 0, end = 0;  ///< ticks
  int pitch = 0;                    ///< MIDI note
  int velocity = 0;                 ///< 1 … 127
  friend bool operator==(const Note&, const Note&) = default;
};

/// Vowels and consonants by number; names are SAMPA-like (A as in "hut", E as in "head", I as in "hid").
inline constexpr std::array<std::string_view, 8> kVowels = {"a", "e", "i", "o", "u", "A", "E", "I"};
inline constexpr std::array<std::string_view, 13> kConsonants = {"",  "h", "m",  "n", "l", "w", "d",
                                                                 "b", "s", "sh", "f", "t", "k"};

struct Syllable {
  std::int64_t start = 0, end = 0;  ///< ticks
  int pitch = 0;
  int harmony_pitch = 0;  ///< a diatonic third above
  std::size_t vowel = 0, consonant = 0;
  std::size_t section = 0;                         ///< index into Score::sections
  bool phrase_first = false, phrase_last = false;  ///< onsets of a two-bar phrase
};

struct Section {
  char letter = 'V';  ///< I intro, V verse, C chorus, B instrumental break
  int first_bar = 0, bars = 0;
};

/// A General MIDI program; a drum kit may be one of the two acoustic ones, which have fonts of their own.
struct Program {
  int number = 0;
  bool acoustic = false;  ///< drums only: number 0 = Black Pearl, 1 = Red Zeppelin
};
/// "25", or "A0" and "A1" for the acoustic kits.
std::string program_text(Program program);

struct Singer {
  int centre_midi;
  double formant_scale;
  double tilt;  ///< harmonic h has the level h^-tilt
  double corner_hz;
  double vibrato_hz, vibrato_cents;
  double breath_db;
  std::uint32_t vibrato_per_mille;
};
/// The split's singers; trains, validates and tests on different ones.
const Singer& singer_of(Split split, std::size_t index);

struct Score {
  std::uint64_t seed = 0;
  Split split = Split::train;
  std::string style;
  bool distorted = false;  ///< rock and punk: a guitar that is not recorded distorted goes through an amplifier
  bool talk = false;       ///< spoken rhythm instead of a melody
  int bpm = 0;
  int key = 0;  ///< pitch class of the tonic, 0 = C
  bool minor = false;
  std::array<int, 4> verse{}, chorus{};  ///< scale degree of each bar's chord, 0 = I
  std::size_t form = 0;
  std::vector<Section> sections;
  std::array<Program, kParts> programs{};
  std::size_t singer = 0;
  bool doubles = false, harmony = false;
  std::array<std::vector<Note>, kParts> parts;  ///< each sorted by (start, pitch, end, velocity)
  std::vector<Syllable> syllables;              ///< in the order of the song

  const std::vector<Note>& notes(Part part) const { return parts[static_cast<std::size_t>(part)]; }
  const Program& program(Part part) const { return programs[static_cast<std::size_t>(part)]; }
  std::int64_t sample(std::int64_t tick) const { return tick * 11025 / (2 * static_cast<std::int64_t>(bpm)); }
};

/// "Eb minor".
std::string key_text(const Score& score);

}  // namespace mss::datasets::synth
