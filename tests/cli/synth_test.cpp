// mssbench synth.
#include <fstream>

#include "core/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/long.h"

using namespace mss;
using namespace mss::tests;

TEST_CASE("synth says what is wrong before it composes", "[cli]") {
  const TempDir folder;
  std::ofstream(folder / "notes.txt") << "mine";
  const auto synth = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "synth");
    return call({.arguments = arguments, .folder = folder.path()});
  };
  const Result preset = synth({"out", "--preset", "smal"});
  CHECK(preset.status == 2);
  CHECK(contains(preset.err, "small"));
  CHECK(contains(preset.err, "--preset"));
  CHECK(synth({"out", "--seed", "0"}).status == 2);
  const Result occupied = synth({".", "--preset", "mini", "--renderer", "builtin"});
  CHECK(occupied.status == 2);
  CHECK(contains(occupied.err, "holds other files"));
  CHECK(synth({"one", "two"}).status == 2);
  CHECK(synth({}).status == 2);
  const Result unmade = synth({"check", "."});
  CHECK(unmade.status != 0);
}

TEST_CASE("synth writes the mini preset, keeps it, and checks it", "[cli]") {
  MSS_REQUIRE_LONG_TESTS();
  const TempDir folder;
  const auto synth = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "synth");
    arguments.insert(arguments.end(), {"--json", "-q"});
    return call({.arguments = arguments, .folder = folder.path()});
  };
  const std::vector<std::string> mini = {"mini", "--preset", "mini", "--renderer", "builtin"};
  const Result first = synth(mini), second = synth(mini);
  REQUIRE(first.status == 0);
  CHECK(core::parse_json(first.out, "synth").at("written").as_integer() == 5);
  CHECK(core::parse_json(second.out, "synth").at("kept").as_integer() == 5);
  const Result check = synth({"check", "mini"});
  INFO(check.out << check.err);
  CHECK(check.status == 0);
  CHECK(core::parse_json(check.out, "synth check").at("failed").as_integer() == 0);
}
