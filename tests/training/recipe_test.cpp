#include "training/recipe.h"

#include <string>

#include "core/file.h"
#include "core/json.h"
#include "core/toml.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

namespace mss::training {
namespace {

const std::string kSmall = R"(
about = "small \"quoted\" text, Ä"
seed = 7
[data]
dataset = "synthetic"
stems = ["drums", "bass", "other", "vocals"]
crop_seconds = 1.5
batch = 8
[[data.external]]
folder = "singers"
stem = "vocals"
licence = "CC0"
[augment]
sign_flip_probability = 0.5
[augment.remix]
probability = 0.8
keep = "vocals"
[augment.gain]
probability = 1
decibels = true
low = -10
high = 10
[model]
family = "bsrnn"
targets = ["vocals"]
freeze = ["band_split.*"]
[model.configuration]
profile = "paper"
features = 32
dropout = 0.25
[loss]
terms = ["log_l2", "psm"]
weights = [1, 10]
[optimiser]
kind = "adamw"
[optimiser.schedule]
kind = "cosine"
clock = "step"
[budget]
steps = 100
)";

}  // namespace

TEST_CASE("a recipe is read with defaults, and the command line wins", "[training]") {
  const ResolvedRecipe r = parse_recipe(
      kSmall, "folder/small.toml",
      {"optimiser.rate=3e-4", "augment.speech.target=thesis", "model.targets=bass, vocals", "data.dataset=/tmp/a=b",
       "model.configuration.features=64", "loss.weights=[2, 3.5]", "data.limit_tracks=3"});
  CHECK(r.recipe.name == "small");
  CHECK(r.recipe.seed == 7);
  CHECK(r.recipe.data.dataset == "/tmp/a=b");
  CHECK(r.recipe.data.batch == 8);
  CHECK(r.recipe.crop_samples() == 66150);
  CHECK(r.recipe.data.external.at(0).probability == 0.5);
  CHECK(r.recipe.augment.gain.decibels);
  CHECK(r.recipe.augment.speech.target == SpeechTarget::thesis);
  CHECK(r.recipe.model.targets == std::vector<std::string>{"bass", "vocals"});
  CHECK(r.recipe.model.configuration.at("features").as_integer() == 64);
  CHECK(r.recipe.model.configuration.at("dropout").as_real() == 0.25);
  CHECK(r.recipe.loss.terms == std::vector<LossTerm>{LossTerm::log_l2, LossTerm::psm});
  CHECK(r.recipe.loss.weights == std::vector<double>{2, 3.5});
  CHECK(r.recipe.optimiser.kind == OptimiserKind::adamw);
  CHECK(r.recipe.optimiser.rate == 3e-4);
  CHECK(r.recipe.optimiser.beta2 == 0.999);
  CHECK(r.origin.at("optimiser.rate") == Origin::command_line);
  CHECK(r.origin.at("optimiser.kind") == Origin::file);
  CHECK(r.origin.at("model.configuration.features") == Origin::command_line);
  CHECK(r.origin.at("model.configuration.dropout") == Origin::file);
  CHECK(r.origin.count("optimiser.beta2") == 0);
}

TEST_CASE("a resolved recipe parses back to itself", "[training]") {
  const ResolvedRecipe r = parse_recipe(kSmall, "small.toml", {"data.crop_seconds=0.1", "optimiser.epsilon=1e-300"});
  for (const bool origins : {false, true}) {
    const std::string text = to_toml(r, origins);
    INFO(text);
    const ResolvedRecipe again = parse_recipe(text, "recipe.toml");
    CHECK(again.recipe == r.recipe);
    CHECK(to_toml(again, false) == to_toml(r, false));
  }
  CHECK(tests::contains(to_toml(r), "crop_seconds = 0.1  # command line"));
  CHECK(tests::contains(to_toml(r), "kind = \"adamw\"  # recipe"));
  CHECK(tests::contains(to_toml(r), "beta1 = 0.9  # default"));
  // The defaults, too, and every single key of them.
  const ResolvedRecipe plain = parse_recipe("[budget]\nsteps = 1\n", "plain.toml");
  CHECK(parse_recipe(to_toml(plain), "x.toml").recipe == plain.recipe);
  CHECK(to_value(plain.recipe).at("optimiser").at("schedule").at("kind").as_string() == "constant");
}

TEST_CASE("every key is listed and can be set", "[training]") {
  const std::vector<KeyDescription> keys = describe();
  CHECK(keys.size() > 100);
  for (const KeyDescription& key : keys) {
    INFO(key.key);
    CHECK_FALSE(key.help.empty());
    CHECK_FALSE(key.standard.empty());
    if (key.key == "model.configuration" || key.key == "data.external") continue;
    ResolvedRecipe r;
    REQUIRE_NOTHROW(r.set(key.key, key.standard));
    CHECK(r.recipe == Recipe{});
    CHECK(r.origin.at(key.key) == Origin::command_line);
  }
}

TEST_CASE("the documentation lists every key with its default", "[training]") {
  // The table of docs/training-data.md; what is missing is printed as it should stand there.
  const std::string page =
      core::read_text_file(std::filesystem::path(MSSBENCH_TESTS_DIR).parent_path() / "docs" / "training-data.md");
  std::string missing;
  for (const KeyDescription& key : describe()) {
    std::string range = key.range;
    for (std::size_t i = range.find('|'); i != std::string::npos; i = range.find('|', i + 2)) range.replace(i, 1, ", ");
    const std::string row = "| `" + key.key + "` | " + key.type + (range.empty() ? "" : ", " + range) + " | `" +
                            key.standard + "` | " + key.help + " |\n";
    if (!tests::contains(page, row)) missing += row;
  }
  INFO(missing);
  CHECK(missing.empty());
}

TEST_CASE("what is wrong in a recipe is named, with what would be right", "[training]") {
  const auto fails = [](const std::string& text, std::initializer_list<const char*> parts) {
    INFO(text);
    tests::check_error(Code::config, parts, [&] { (void)parse_recipe("[budget]\nsteps=1\n" + text, "bad.toml"); });
  };
  fails("[optimiser]\nrat = 1", {"bad.toml", "optimiser.rat", "did you mean 'optimiser.rate'"});
  fails("[optimiser]\nlr = 1", {"optimiser.rate"});
  fails("[optimizer]\nrate = 1", {"'optimizer'", "did you mean 'optimiser'"});
  fails("[data]\nclip_norm = 1", {"did you mean 'optimiser.clip_norm'"});
  fails("[optimiser]\nrate = -1", {"optimiser.rate", "(0,", "-1"});
  fails("[optimiser]\nrate = \"fast\"", {"optimiser.rate", "string"});
  fails("[optimiser]\nkind = \"adma\"", {"optimiser.kind", "did you mean 'adam'"});
  fails("[loss]\nterms = [\"mse\"]", {"loss.terms", "mse_time"});
  fails("[loss]\nweights = [1, 2]", {"loss.weights", "not as many as terms"});
  fails("[data]\nsampling = \"activity\"", {"data.activity", "needs a rule"});
  fails("[augment.remix]\nprobability = 1\ngroup = 5", {"augment.remix.group", "16", "5"});
  fails("[augment.gain]\nlow = 2\nhigh = 1", {"augment.gain", "low <= high"});
  fails("[augment.speech]\nprobability = 0.5", {"augment.speech.corpus"});
  fails("[validation]\nsplit = \"names\"", {"validation.tracks"});
  fails("[validation]\nmonitor = \"usdr\"\nscores_every = 0", {"scores_every"});
  fails("[[data.external]]\nfolder = \"a\"\nstem = \"vocals\"", {"data.external", "augment.remix.probability"});
  fails("data = 3", {"budget"});
  fails("[augment]\nremix = 3", {"augment.remix", "a table"});
  tests::check_error(Code::config, {"never end", "budget"}, [] { (void)parse_recipe("", "empty.toml"); });
  tests::check_error(Code::config, {"section.key=value"}, [] { (void)parse_recipe(kSmall, "s.toml", {"seed"}); });
  tests::check_error(Code::config, {"is a section"}, [] { (void)parse_recipe(kSmall, "s.toml", {"optimiser=1"}); });
  tests::check_error(Code::config, {"budget.steps", "integer"},
                     [] { (void)parse_recipe(kSmall, "s.toml", {"budget.steps=many"}); });
  tests::check_error(Code::config, {"no such recipe"}, [] { (void)read_recipe("umx-papr"); });
  tests::check_error(Code::io, {"/nowhere/r.toml"}, [] { (void)read_recipe("/nowhere/r.toml"); });
}

TEST_CASE("recipes that come with the program are sound", "[training]") {
  for (const std::string& name : shipped_recipes()) {
    INFO(name);
    ResolvedRecipe r;
    REQUIRE_NOTHROW(r = read_recipe(name));
    CHECK(r.recipe.name == name);
    CHECK_FALSE(r.recipe.about.empty());
    CHECK_FALSE(r.recipe.model.family.empty());
    CHECK(parse_recipe(to_toml(r), name + ".toml").recipe == r.recipe);
  }
}

}  // namespace mss::training
