#include "audio/file.h"
#include "core/file.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"
#include "training/examples.h"

namespace mss::training {

TEST_CASE("a preview holds audio, a picture and what was drawn for each example", "[training]") {
  const tests::TempDir scratch;
  const datasets::Dataset songs = datasets::open("synthetic:songs=4,seconds=2");
  const Recipe r = parse_recipe("", "t.toml",
                                {"data.crop_seconds=0.5", "augment.remix.probability=1", "augment.gain.probability=1",
                                 "validation.split=none", "budget.steps=1"})
                       .recipe;
  Cache cache(scratch / "cache", std::int64_t{1} << 30);
  const auto source = make_training_source(r, songs, choose_tracks(songs, r).training, cache, 2, core::null_progress());
  write_preview(*source, 2, scratch / "preview", core::null_progress());
  for (const std::int64_t i : {0, 1}) {
    const std::filesystem::path place = scratch / "preview" / ("00" + std::to_string(i));
    const Example e = source->example(0, i);
    const audio::AudioBuffer mixture = audio::read_file(place / "mixture.wav");
    CHECK(mixture.samples() == 22050);
    CHECK(std::equal(mixture.channel(0).begin(), mixture.channel(0).end(), e.mixture.begin()));
    const audio::AudioBuffer vocals = audio::read_file(place / "vocals.wav");
    CHECK(std::equal(vocals.channel(1).begin(), vocals.channel(1).end(), e.stems.begin() + 7 * 22050));
    CHECK(core::read_text_file(place / "spectrograms.png").substr(1, 3) == "PNG");
    const std::string text = core::read_text_file(place / "drawn.txt");
    INFO(text);
    for (const char* part : {"remixed: true", "- stem: drums", "track: Synth", "gain: ", "index: "}) {
      CHECK(tests::contains(text, part));
    }
  }
  CHECK(core::list_directory(scratch / "preview").size() == 2);
  tests::check_error(Code::config, {"not empty"},
                     [&] { write_preview(*source, 1, scratch / "preview", core::null_progress()); });
}

}  // namespace mss::training
