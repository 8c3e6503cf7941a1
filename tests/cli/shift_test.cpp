// mssbench shift.
#include <cmath>

#include "audio/file.h"
#include "core/file.h"
#include "core/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

TEST_CASE("shift measures how stems move with the track", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const Result result =
      call({.arguments = {"shift", "song.wav", "-m", "mixture-over-j", "-m", "hpss", "--samples", "1,64", "-o", "out"},
            .folder = folder.path()});
  INFO(result.err);
  REQUIRE(result.status == 0);
  CHECK(contains(result.out, "equal"));
  const core::Value report = core::read_json_file(folder / "out/shift.json");
  REQUIRE(report.at("methods").size() == 2);
  const core::Value& floor = report.at("methods").as_array()[0];
  CHECK(floor.at("spec").as_string() == "mixture-over-j");
  const core::Value& rows = floor.at("tracks").as_array()[0].at("shifts");
  REQUIRE(rows.size() == 2);
  CHECK(rows.as_array()[1].at("samples").as_integer() == 64);
  // What does not depend on the place gives the same bits, which JSON has no number for.
  CHECK(rows.as_array()[1].at("sdr_db").at("vocals").is_null());
  CHECK(rows.as_array()[1].at("equal").size() == 4);
  // Spectrograms have frames, so HPSS moves a little.
  const core::Value& hpss = report.at("methods").as_array()[1].at("median").at("harmonic");
  CHECK(hpss.at("1").as_real() > 10);
  CHECK(hpss.at("64").as_real() < hpss.at("1").as_real());
  CHECK(core::read_text_file(folder / "out/shift.txt") == result.out);

  const Result json = call({.arguments = {"shift", "-d", "synthetic:songs=2,seconds=1", "-m", "mixture", "--json"},
                            .folder = folder.path()});
  REQUIRE(json.status == 0);
  CHECK(core::parse_json(json.out, "shift --json").at("methods").as_array()[0].at("tracks").size() == 2);
}

TEST_CASE("shift refuses oracles, bad numbers and nothing to work on", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const auto shift = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "shift");
    return call({.arguments = arguments, .folder = folder.path()});
  };
  CHECK(shift({"song.wav", "-m", "irm2"}).status == 2);
  CHECK(contains(shift({"song.wav", "-m", "irm2"}).err, "oracle"));
  CHECK(shift({"song.wav", "-m", "mixture", "--samples", "0"}).status == 2);
  CHECK(shift({"song.wav", "-m", "mixture", "--samples", "x"}).status == 2);
  CHECK(shift({"-m", "mixture"}).status == 2);
  CHECK(shift({"song.wav", "-d", "synthetic", "-m", "mixture"}).status == 2);
  CHECK(shift({"nowhere.wav", "-m", "mixture"}).status == 3);
  // One file of two.
  CHECK(shift({"nowhere.wav", "song.wav", "-m", "mixture"}).status == 6);
}
