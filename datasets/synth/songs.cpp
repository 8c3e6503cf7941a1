#include "datasets/synth/songs.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/error.h"
#include "core/text.h"
#include "datasets/synth/composer.h"
#include "datasets/synth/mixer.h"
#include "datasets/synth/pcm.h"
#include "datasets/synth/renderer.h"

namespace mss::datasets::synth {

namespace {

/// The song from bar `bar` on. Notes that a human hand put just before the bar line stay.
void start_at(Score& score, int bar) {
  if (bar == 0) return;
  const std::int64_t begin = std::int64_t{bar} * kTicksPerBar;
  constexpr std::int64_t kEarly = kTicksPerStep / 2;
  const auto shift = [&](auto& notes) {
    std::erase_if(notes, [&](const auto& note) { return note.start < begin - kEarly; });
    for (auto& note : notes) {
      note.start = std::max<std::int64_t>(0, note.start - begin);
      note.end = std::max(note.start + 1, note.end - begin);
    }
  };
  for (auto& part : score.parts) shift(part);
  shift(score.syllables);
  const auto kept = std::find_if(score.sections.begin(), score.sections.end(),
                                 [&](const Section& section) { return section.first_bar >= bar; });
  const auto dropped = static_cast<std::size_t>(kept - score.sections.begin());
  score.sections.erase(score.sections.begin(), kept);
  for (Section& section : score.sections) section.first_bar -= bar;
  for (Syllable& syllable : score.syllables) syllable.section -= dropped;
}

}  // namespace

bool names_builtin_songs(std::string_view lower) {
  const std::string_view name = lower.substr(0, lower.find(':'));
  return name == "synthetic" || (name.starts_with("synthetic-v") && name.size() > 11 &&
                                 name.find_first_not_of("0123456789", 11) == std::string_view::npos);
}

SynthSpec parse_synth_spec(const std::string& text) {
  SynthSpec spec;
  const auto bad = [&](const std::string& what, const std::string& expected, const std::string& found,
                       const std::string& hint = {}) {
    throw Error(ErrorParts{
        .code = Code::dataset, .where = text, .what = what, .expected = expected, .found = found, .hint = hint});
  };
  const std::size_t colon = text.find(':');
  const std::string name = core::to_lower(text.substr(0, colon));
  if (const std::string own = fmt::format("synthetic-v{}", kSynthVersion); name != "synthetic" && name != own) {
    bad("another version of the built-in songs", own, name, "records of other versions are of other songs");
  }
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

std::string song_name(const Score& score) { return fmt::format("Synth {:04} - {}", score.seed, score.style); }

Score builtin_score(std::uint64_t seed, int song, std::int64_t samples) {
  const std::uint64_t song_seed = first_seed(seed, Split::test) + static_cast<std::uint64_t>(song);
  // An intro is four bars at most, 15 s at 66 bpm.
  Score score = compose(song_seed, Split::test, samples < 1 ? samples : samples + std::int64_t{15} * kRateHz);
  const auto sung = std::find_if(score.sections.begin(), score.sections.end(),
                                 [](const Section& section) { return section.letter == 'V' || section.letter == 'C'; });
  start_at(score, sung->first_bar);
  return score;
}

RenderedSong render_song(std::uint64_t seed, int song, std::int64_t samples) {
  const Score score = builtin_score(seed, song, samples);
  const Mixed mixed = mix(score, *make_builtin_renderer(), samples, false);
  RenderedSong result;
  result.mixture = to_audio(mixed.mixture);
  for (std::size_t q = 0; q < kStems; ++q) {
    result.names.emplace_back(kStemNames[q]);
    result.stems.push_back(to_audio(mixed.stems[q]));
  }
  return result;
}

}  // namespace mss::datasets::synth
