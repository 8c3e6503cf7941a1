// Renderers and mixer: golden loudness of whole songs, exact sums, instruments that add up to their stems.
#include <cmath>
#include <filesystem>

#include "core/file.h"
#include "core/json.h"
#include "datasets/synth/composer.h"
#include "datasets/synth/fluid.h"
#include "datasets/synth/mixer.h"
#include "datasets/synth/soundfonts.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::datasets::synth;

namespace {

void check_levels(const std::string& renderer_name, const Renderer& renderer) {
  const core::Value golden = core::read_json_file(tests::golden("synth.json"));
  const double tolerance = golden.at("levels").at("tolerance_db").as_real();
  for (const auto& song : golden.at("levels").at("songs").as_array()) {
    if (song.at("renderer").as_string() != renderer_name) continue;
    const Split split = song.at("split").as_string() == "train" ? Split::train : Split::test;
    const auto seed = static_cast<std::uint64_t>(song.at("seed").as_integer());
    INFO(song.at("split").as_string() << " " << seed);
    const std::int64_t samples = 30 * kRateHz;
    const Mixed mixed = mix(compose(seed, split, samples), renderer, samples, false);
    for (std::size_t q = 0; q < kStems; ++q) {
      INFO(kStemNames[q]);
      CHECK(level_db(mixed.stems[q]) == Approx(song.at("db").as_array()[q].as_real()).margin(tolerance));
    }
    CHECK(level_db(mixed.mixture) == Approx(song.at("db").as_array()[4].as_real()).margin(tolerance));
    const core::Value* own = song.find("peak_tolerance");
    const core::Value& peak_tolerance = own != nullptr ? *own : golden.at("levels").at("peak_tolerance");
    CHECK(std::abs(peak_of(mixed.mixture) - song.at("peak").as_integer()) <= peak_tolerance.as_integer());
  }
}

std::int64_t difference(const std::vector<const Pcm*>& parts, const Pcm& sum) {
  std::int64_t worst = 0;
  for (std::size_t t = 0; t < sum.left.size(); ++t) {
    std::int64_t left = sum.left[t], right = sum.right[t];
    for (const Pcm* part : parts) {
      left -= part->left[t];
      right -= part->right[t];
    }
    worst = std::max({worst, std::abs(left), std::abs(right)});
  }
  return worst;
}

}  // namespace

TEST_CASE("a song of the built-in synthesiser has the golden levels", "[synth]") {
  check_levels("builtin", *make_builtin_renderer());
}

TEST_CASE("songs of FluidSynth have the golden levels", "[synth]") {
  if (!have_fluidsynth()) {
    WARN("SKIPPED: built without FluidSynth (libfluidsynth-dev)");
    return;
  }
  const std::vector<Split> splits = {Split::train, Split::test};
  if (const std::string package = missing_package(splits, {}); !package.empty()) {
    WARN("SKIPPED: a soundfont of Debian's package " << package << " is absent");
    return;
  }
  const auto renderer = make_fluid_renderer(splits, {});
  CHECK(renderer->fonts(Split::test).size() == 3);
  if (fluidsynth_version() != "2.3.1") {
    WARN("SKIPPED: golden levels are of FluidSynth 2.3.1, this is " << fluidsynth_version());
    return;
  }
  check_levels("fluidsynth", *renderer);
}

TEST_CASE("instruments add up to their stems and stems to the mixture", "[synth]") {
  // A song with keys, guitar, lead or pad, doubles and harmony.
  std::uint64_t seed = 1000;
  const std::int64_t samples = 12 * kRateHz;
  for (;; ++seed) {
    const Score score = compose(seed, Split::train, samples);
    if (score.doubles && score.harmony && !score.talk && !score.notes(Part::keys).empty() &&
        !score.notes(Part::pad).empty() && score.sections.size() > 1) {
      break;
    }
  }
  const Score score = compose(seed, Split::train, samples);
  const auto renderer = make_builtin_renderer();
  const Mixed mixed = mix(score, *renderer, samples, true), plain = mix(score, *renderer, samples, false);
  std::vector<const Pcm*> stems;
  for (const Pcm& stem : mixed.stems) stems.push_back(&stem);
  CHECK(difference(stems, mixed.mixture) == 0);
  CHECK(mixed.mixture.left == plain.mixture.left);
  for (std::size_t q = 0; q < kStems; ++q) {
    std::vector<const Pcm*> parts;
    for (const InstrumentStem& instrument : mixed.instruments) {
      if (instrument.stem == kStemNames[q]) {
        parts.push_back(&instrument.audio);
        CHECK(std::isfinite(level_db(instrument.audio)));
      }
    }
    INFO(kStemNames[q]);
    CHECK(parts.size() == (q == 0 || q == 1 ? 1U : q == 3 ? 3U : parts.size()));
    CHECK(difference(parts, mixed.stems[q]) == 0);
  }
}

TEST_CASE("a missing soundfont names its package, another file of its name gives a warning", "[synth]") {
  const tests::TempDir empty;
  for (std::size_t i = 0; i < kFonts; ++i) {
    const FontFacts& facts = facts_of(static_cast<Font>(i));
    tests::TempDir folder;
    core::write_file_atomic(folder / std::string(facts.file), "not a soundfont");
    std::string warning;
    const FoundFont found = find_font(static_cast<Font>(i), {folder.path()},
                                      [&](core::LogLevel, std::string_view text) { warning = text; });
    if (!found.published) {
      CHECK(found.path == folder / std::string(facts.file));
      CHECK(tests::contains(warning, std::string(facts.sha256)));
    }
  }
  if (have_fluidsynth() && !missing_package({Split::train}, {empty.path()}).empty()) {
    tests::check_error(Code::config, {"FluidR3_GM.sf2", "fluid-soundfont-gm", "--renderer builtin"},
                       [&] { find_font(Font::fluid_r3, {empty.path()}); });
  }
}
