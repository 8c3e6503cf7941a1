// Settings: layers, their order, their origin.
#include <fstream>

#include "core/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

namespace {

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

core::Value entry(const std::string& json, const std::string& key) {
  const core::Value list = core::parse_json(json, "config --json");
  for (const core::Value& one : list.as_array()) {
    if (one.at("key").as_string() == key) return one;
  }
  FAIL("no setting " << key);
  return {};
}

}  // namespace

TEST_CASE("each layer wins over the weaker ones and is named as the origin", "[cli]") {
  const TempDir folder;
  write_text(folder / "user/mssbench/config.toml", "threads = 3\n[evaluate]\nmetrics = \"all\"\nhop_s = 0.5\n");
  write_text(folder / "a.toml", "[evaluate]\nhop_s = 0.25\nwindow_s = 2.0\n[run]\nmethods = [\"mixture\", \"irm2\"]\n");
  write_text(folder / "b.toml", "[evaluate]\nwindow_s = 3\n");
  std::vector<std::pair<std::string, std::string>> environment = {{"XDG_CONFIG_HOME", (folder / "user").string()}};
  std::vector<std::string> arguments = {"config", "--json"};
  const auto config = [&] {
    const Result result = call({.arguments = arguments, .environment = environment, .folder = folder.path()});
    INFO(result.err);
    REQUIRE(result.status == 0);
    return result.out;
  };

  std::string json = config();
  CHECK(entry(json, "evaluate.window_s").at("origin").as_string() == "default");
  CHECK(entry(json, "evaluate.metrics").at("value").as_string() == "all");
  CHECK(entry(json, "evaluate.metrics").at("origin").as_string() == "file");
  CHECK(entry(json, "evaluate.metrics").at("place").as_string() == (folder / "user/mssbench/config.toml").string());
  CHECK(entry(json, "threads").at("value").as_integer() == 3);

  arguments.insert(arguments.end(), {"--preset", "quick"});
  json = config();
  CHECK(entry(json, "run.metrics").at("value").as_string() == "sdr");
  CHECK(entry(json, "run.metrics").at("origin").as_string() == "preset");
  CHECK(entry(json, "run.metrics").at("place").as_string() == "preset quick");
  CHECK(entry(json, "evaluate.metrics").at("origin").as_string() == "file");  // files win over presets

  arguments.insert(arguments.end(), {"--config", "a.toml", "--config", "b.toml"});
  json = config();
  CHECK(entry(json, "evaluate.hop_s").at("value").as_real() == 0.25);
  CHECK(entry(json, "evaluate.hop_s").at("place").as_string() == "a.toml");
  CHECK(entry(json, "evaluate.window_s").at("value").as_real() == 3);
  CHECK(entry(json, "evaluate.window_s").at("place").as_string() == "b.toml");
  CHECK(entry(json, "run.methods").at("value").size() == 2);

  environment.insert(environment.end(), {{"MSSBENCH_THREADS", "5"},
                                         {"MSSBENCH_EVALUATE_WINDOW_S", "4"},
                                         {"MSSBENCH_SEPARATE_TARGETS", "vocals, drums"},
                                         {"MSSBENCH_RUN_METHODS", "mixture;nmf:components=3,iterations=2"}});
  json = config();
  CHECK(entry(json, "threads").at("value").as_integer() == 5);
  CHECK(entry(json, "threads").at("origin").as_string() == "env");
  CHECK(entry(json, "evaluate.window_s").at("place").as_string() == "MSSBENCH_EVALUATE_WINDOW_S");
  CHECK(entry(json, "separate.targets").at("value").as_array().at(1).as_string() == "drums");
  CHECK(entry(json, "run.methods").at("value").as_array().at(1).as_string() == "nmf:components=3,iterations=2");

  arguments.insert(arguments.end(), {"--threads", "7", "--set", "evaluate.window_s=5"});
  json = config();
  CHECK(entry(json, "threads").at("value").as_integer() == 7);
  CHECK(entry(json, "threads").at("origin").as_string() == "cli");
  CHECK(entry(json, "evaluate.window_s").at("value").as_real() == 5);
  CHECK(entry(json, "evaluate.window_s").at("origin").as_string() == "cli");
}

TEST_CASE("what config prints is a settings file that gives the same values", "[cli]") {
  const TempDir folder;
  const Result first = mssbench({"config", "dump", "--threads", "2", "--preset", "per-source", "--set", "run.limit=4"});
  REQUIRE(first.status == 0);
  CHECK(has_line(first.out, "threads = 2 +# cli --threads"));
  CHECK(has_line(first.out, "silence = \"per_source\" +# preset preset per-source"));
  CHECK(has_line(first.out, "seed = 0 +# default"));
  write_text(folder / "again.toml", first.out);
  const Result second = call({.arguments = {"config", "--config", "again.toml", "--json"}, .folder = folder.path()});
  INFO(second.err);
  REQUIRE(second.status == 0);
  CHECK(entry(second.out, "threads").at("value").as_integer() == 2);
  CHECK(entry(second.out, "run.silence").at("value").as_string() == "per_source");
  CHECK(entry(second.out, "run.limit").at("value").as_integer() == 4);
}

TEST_CASE("faults in settings files name file, key and the nearest known one", "[cli]") {
  const TempDir folder;
  struct Case {
    std::string text;
    std::vector<std::string> parts;
  };
  const std::vector<Case> cases = {
      {"treads = 2\n", {"bad.toml", "treads", "did you mean 'threads'?"}},
      {"[separat]\nformat = \"pcm16\"\n", {"bad.toml", "separat", "did you mean 'separate'?"}},
      {"[separate]\nfromat = \"pcm16\"\n", {"bad.toml", "[separate]", "fromat", "did you mean 'format'?"}},
      {"[separate]\nformat = 16\n", {"bad.toml", "format", "string"}},
      {"[separate]\nformat = \"pcm8\"\n", {"bad.toml", "expected: one of float32, pcm16, pcm24", "'pcm8'"}},
      {"threads = \"two\"\n", {"bad.toml", "threads", "integer"}},
      {"threads = 9999\n", {"bad.toml", "expected: an integer in [0,4096]", "9999"}},
      {"separate = 3\n", {"bad.toml", "[separate]", "a table"}},
      {"threads = \n", {"bad.toml", "1"}},
  };
  for (const Case& one : cases) {
    INFO(one.text);
    write_text(folder / "bad.toml", one.text);
    const Result result = call({.arguments = {"separate", "x.wav", "-m", "mixture", "-o", "o", "--config", "bad.toml"},
                                .folder = folder.path()});
    INFO(result.err);
    CHECK(result.status == 2);
    for (const std::string& part : one.parts) CHECK(contains(result.err, part));
  }
  CHECK(mssbench({"config", "--config", "/nonexistent.toml"}).status == 3);
}

TEST_CASE("MSSBENCH_CONFIG replaces the user's own file", "[cli]") {
  const TempDir folder;
  write_text(folder / "user/mssbench/config.toml", "threads = 3\n");
  write_text(folder / "one.toml", "seed = 1\n");
  write_text(folder / "two.toml", "seed = 2\n");
  const Result result =
      call({.arguments = {"config", "--json"},
            .environment = {{"XDG_CONFIG_HOME", (folder / "user").string()}, {"MSSBENCH_CONFIG", "one.toml:two.toml"}},
            .folder = folder.path()});
  REQUIRE(result.status == 0);
  CHECK(result.err.empty());
  const Result verbose =
      call({.arguments = {"config", "-v"}, .environment = {{"MSSBENCH_CONFIG", "one.toml"}}, .folder = folder.path()});
  CHECK(has_line(verbose.err, "mssbench: settings from one\\.toml \\(file\\)"));
  CHECK(entry(result.out, "threads").at("origin").as_string() == "default");
  CHECK(entry(result.out, "seed").at("value").as_integer() == 2);
}

TEST_CASE("a variable that is nearly a setting is pointed out", "[cli]") {
  const Result result = call({.arguments = {"methods"}, .environment = {{"MSSBENCH_TREADS", "2"}}});
  CHECK(result.status == 0);
  CHECK(has_line(result.err, "mssbench: warning: MSSBENCH_TREADS: not a setting; did you mean 'MSSBENCH_THREADS'\\?"));
}

TEST_CASE("every shipped plan and preset is read whole", "[cli]") {
  const fs::path configs = fs::path(MSSBENCH_TESTS_DIR) / ".." / "configs";
  int plans = 0, presets = 0;
  for (const auto& item : fs::directory_iterator(configs / "plans")) {
    // Keys and methods are looked at before the data set, so what fails must be the data set.
    const Result result = mssbench({"run", item.path().string(), "-d", "nowhere", "-o", "r"});
    INFO(result.err);
    CHECK(result.status == 3);
    CHECK(contains(result.err, "nowhere: no such data set"));
    ++plans;
  }
  for (const auto& item : fs::directory_iterator(configs / "presets")) {
    const Result result = mssbench({"config", "--preset", item.path().stem().string()});
    INFO(result.err);
    CHECK(result.status == 0);
    CHECK(contains(result.out, "# preset preset " + item.path().stem().string()));
    ++presets;
  }
  CHECK(plans >= 2);
  CHECK(presets >= 3);
}
