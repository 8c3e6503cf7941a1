#include "harness/plan.h"

#include "core/json.h"
#include "core/toml.h"
#include "tests/harness/support.h"

namespace mss::harness {
namespace {

using tests::contains;
using tests::error_of;

Plan parse(const std::string& toml, const std::filesystem::path& folder = {}) {
  return plan_from_value(core::parse_toml(toml, "plan.toml"), "plan.toml", folder);
}

}  // namespace

TEST_CASE("a plan file gives every key", "[harness]") {
  const Plan plan = parse(R"([run]
dataset = "synthetic:songs=2"
layout = "synthetic"
subset = "all"
split = "valid"
tracks = ["a", "b"]
limit = 3
methods = ["mixture", "nmf:beta=0|wiener"]
seeds = [1, 2, 3]
out = "/abs/run"
save_estimates = true
metrics = "sdr"
silence = "per_source"
window_s = 2
hop_s = 0.5
accompaniment = false
threads = 4
jobs = 2
memory_gb = 1.5
)");
  CHECK(plan.dataset == "synthetic:songs=2");
  CHECK(plan.layout == datasets::Layout::synthetic);
  CHECK(plan.tracks == std::vector<std::string>{"a", "b"});
  CHECK(plan.methods == std::vector<std::string>{"mixture", "nmf:beta=0|wiener"});
  CHECK(plan.seeds == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(plan.out == "/abs/run");
  CHECK(plan.save_estimates);
  CHECK_NOTHROW(check_plan(plan));
  const eval::ScorerOptions options = scorer_options(plan);
  CHECK(options.metrics == eval::Metrics::sdr_only);
  CHECK(options.silence == eval::SilenceRule::per_source);
  CHECK(options.window_s == 2.0);
  CHECK(options.hop_s == 0.5);
  CHECK_FALSE(options.accompaniment);
  const datasets::Selection chosen = selection(plan);
  CHECK(chosen.subset == "train");
  CHECK(chosen.split == "valid");
  CHECK(chosen.limit == 3);
  // What to_value prints is a plan again.
  core::Value document = core::Value::object();
  document["run"] = to_value(plan);
  CHECK(core::dump_json(to_value(plan_from_value(document, "x", {}))) == core::dump_json(to_value(plan)));
}

TEST_CASE("every key of the table is read and printed", "[harness]") {
  const core::Value value = to_value(Plan{});
  REQUIRE(value.size() == plan_params().size());
  for (std::size_t i = 0; i < plan_params().size(); ++i) CHECK(value.as_object()[i].first == plan_params()[i].name);
  core::Value document = core::Value::object();
  document["run"] = value;
  CHECK_NOTHROW(plan_from_value(document, "x", {}));
}

TEST_CASE("plans keep what they do not mention", "[harness]") {
  Plan base;
  base.dataset = "synthetic";
  base.jobs = 7;
  const Plan plan = plan_from_value(core::parse_toml("[run]\nmethods = \"half\"\nseeds = 4", "p"), "p", {}, base);
  CHECK(plan.dataset == "synthetic");
  CHECK(plan.jobs == 7);
  CHECK(plan.methods == std::vector<std::string>{"half"});
  CHECK(plan.seeds == std::vector<std::uint64_t>{4});
}

TEST_CASE("paths in a plan are relative to its file", "[harness]") {
  const mss::tests::TempDir dir;
  std::filesystem::create_directories(dir / "songs");
  const Plan plan = parse("[run]\ndataset = \"songs\"\nout = \"runs/a\"\nmethods = []", dir.path());
  CHECK(plan.dataset == (dir / "songs").string());
  CHECK(plan.out == dir.path() / "runs/a");
  CHECK(plan.folder == dir.path());
  CHECK(parse("[run]\ndataset = \"musdb18\"", dir.path()).dataset == "musdb18");
  CHECK(parse("[run]\ndataset = \"synthetic\"", dir.path()).dataset == "synthetic");
  CHECK(parse("[run]\ndataset = \"../x/y\"", dir / "songs").dataset == (dir / "x/y").string());
  core::write_file_atomic(dir / "plan.toml", "[run]\ndataset = \"songs\"\nmethods = [\"half\"]\nout = \"r\"\n");
  CHECK(read_plan(dir / "plan.toml").dataset == (dir / "songs").string());
  CHECK(error_of([&] { read_plan(dir / "none.toml"); }).code() == Code::io);
}

TEST_CASE("mistakes in a plan are named with file, key and the nearest right one", "[harness]") {
  const std::pair<const char*, const char*> cases[] = {
      {"[runs]\n", "'run'"},
      {"", "[run]"},
      {"run = 3", "table"},
      {"[run]\nmethod = [\"half\"]", "'methods'"},
      {"[run]\nlayout = \"stem\"", "'stems'"},
      {"[run]\nmethods = [1]", "run.methods"},
      {"[run]\nlimit = \"x\"", "run.limit"},
      {"[run]\nseeds = [-1]", "run.seeds"},
      {"[run]\nseeds = [0.5]", "run.seeds"},
      {"[run]\nsave_estimates = 1", "run.save_estimates"},
      {"[run", "plan.toml:1"},
  };
  for (const auto& [text, part] : cases) {
    CAPTURE(text);
    const Error error = error_of([t = text] { parse(t); });
    CHECK(error.code() == Code::config);
    CHECK(contains(error.what(), "plan.toml"));
    CHECK(contains(error.what(), part));
  }
}

TEST_CASE("a plan is checked before the run", "[harness]") {
  Plan good;
  good.dataset = "synthetic";
  good.methods = {"half"};
  good.out = "run";
  CHECK_NOTHROW(check_plan(good));
  const auto refused = [&](auto change, const std::string& part) {
    Plan plan = good;
    change(plan);
    const Error error = error_of([&] { check_plan(plan); });
    CAPTURE(error.what());
    CHECK(error.code() == Code::config);
    CHECK(contains(error.what(), part));
  };
  refused([](Plan& p) { p.dataset.clear(); }, "data set");
  refused([](Plan& p) { p.methods.clear(); }, "methods");
  refused([](Plan& p) { p.out.clear(); }, "run folder");
  refused([](Plan& p) { p.subset = "tests"; }, "'test'");
  refused([](Plan& p) { p.split = "val"; }, "valid");
  refused([](Plan& p) { p.metrics = "SDRR"; }, "all, sdr");
  refused([](Plan& p) { p.silence = "none"; }, "museval");
  refused([](Plan& p) { p.limit = -1; }, "limit");
  refused([](Plan& p) { p.threads = -1; }, "threads");
  refused([](Plan& p) { p.jobs = -2; }, "jobs");
  refused([](Plan& p) { p.memory_gb = -1; }, "memory_gb");
  refused([](Plan& p) { p.window_s = 0; }, "window_s");
  refused([](Plan& p) { p.hop_s = -1; }, "hop_s");
  refused([](Plan& p) { p.seeds.clear(); }, "seeds");
  refused([](Plan& p) { p.seeds = {3, 1, 3}; }, "twice");
}

}  // namespace mss::harness
