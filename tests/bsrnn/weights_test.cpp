// Files of other programs (tests/bsrnn/files, made by PyTorch: make_files.py): read, named, run, written again.
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "core/json.h"
#include "methods/bsrnn/entries.h"
#include "methods/bsrnn/family.h"
#include "methods/bsrnn/names.h"
#include "methods/weights.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::tests;
using namespace mss::methods;
using bsrnn::Configuration;
using bsrnn::family;

namespace {

fs::path file(const std::string& name) { return fs::path(MSSBENCH_TESTS_DIR) / "bsrnn" / "files" / name; }

const core::Value& expected() {
  static const core::Value value = core::read_json_file(file("expected.json"));
  return value;
}

audio::AudioBuffer input(std::int64_t samples) {
  audio::AudioBuffer x(2, samples, 8000);
  for (int c = 0; c < 2; ++c) {
    for (std::int64_t i = 0; i < samples; ++i) {
      const auto n = static_cast<double>(i), ch = static_cast<double>(c);
      constexpr double pi = std::numbers::pi;
      x.channel(c)[static_cast<std::size_t>(i)] =
          static_cast<float>(0.5 * std::sin(2 * pi * (0.031 + 0.007 * ch) * n) +
                             0.3 * std::sin(2 * pi * 0.117 * n + ch) + 0.1 * std::sin(0.0013 * n * n));
    }
  }
  return x;
}

ReadOptions at_8_khz(std::optional<std::string> target = std::nullopt) {
  ReadOptions options;
  options.rate_hz = 8000;
  options.fft_size = 64;
  options.hop_samples = 16;
  options.target_name = std::move(target);
  return options;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// What is thrown, as text.
template <class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

/// Names and shapes as amanteur's modules make them, written out.
bsrnn::Shapes amanteur_shapes(const std::vector<std::int64_t>& widths, std::int64_t frames, std::int64_t n,
                              std::int64_t pairs) {
  bsrnn::Shapes out;
  const auto both = [&](const std::string& name, const nn::Shape& shape) {
    out[name + ".weight"] = shape;
    out[name + ".bias"] =
        shape.size() == 2 && name.find("layernorms") == std::string::npos ? nn::Shape{shape[0]} : shape;
  };
  for (std::size_t k = 0; k < widths.size(); ++k) {
    const std::string i = std::to_string(k);
    const std::int64_t values = 4 * widths[k];
    both("bandsplit.layernorms." + i, {values, frames});
    both("bandsplit.fcs." + i, {n, values});
    both("maskest.layernorms." + i, {frames, n});
    both("maskest.mlp." + i + ".mlp.0", {4 * n, n});
    both("maskest.mlp." + i + ".mlp.2", {values, 4 * n});
    both("maskest.mlp." + i + ".mlp.3.linear", {2 * values, values});
  }
  for (std::int64_t l = 0; l < pairs; ++l) {
    for (const char* way : {".0.", ".1."}) {
      const std::string block = "bandsequence.bsrnn." + std::to_string(l) + way;
      both(block + "groupnorm", {n});
      both(block + "fc", {n, 4 * n});
      for (const char* suffix : {"_l0", "_l0_reverse"}) {
        out[block + "rnn.weight_ih" + suffix] = {8 * n, n};
        out[block + "rnn.weight_hh" + suffix] = {8 * n, 2 * n};
        out[block + "rnn.bias_ih" + suffix] = {8 * n};
        out[block + "rnn.bias_hh" + suffix] = {8 * n};
      }
    }
  }
  return out;
}

bsrnn::Shapes magron_shapes(const std::vector<std::int64_t>& widths, std::int64_t n, std::int64_t pairs) {
  bsrnn::Shapes out;
  const auto conv = [&](const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    out[name + ".weight"] = {outputs, inputs, 1};
    out[name + ".bias"] = {outputs};
  };
  const auto norm = [&](const std::string& name, std::int64_t size) {
    out[name + ".weight"] = {size};
    out[name + ".bias"] = {size};
  };
  for (std::size_t k = 0; k < widths.size(); ++k) {
    const std::string i = std::to_string(k), mask = "maskers.0.mask." + i;
    norm("BN." + i + ".0", 2 * widths[k]);
    conv("BN." + i + ".1", n, 2 * widths[k]);
    norm(mask + ".0", n);
    conv(mask + ".1", 4 * n, n);
    conv(mask + ".3", 4 * n, 4 * n);
    conv(mask + ".5", 4 * widths[k], 4 * n);
  }
  for (std::int64_t l = 0; l < pairs; ++l) {
    for (const char* net : {".time_net.", ".band_net."}) {
      const std::string block = "separator." + std::to_string(l) + net;
      norm(block + "norm", n);
      out[block + "proj.weight"] = {n, 4 * n};
      out[block + "proj.bias"] = {n};
      for (const char* suffix : {"_l0", "_l0_reverse"}) {
        out[block + "main_layer.weight_ih" + suffix] = {8 * n, n};
        out[block + "main_layer.weight_hh" + suffix] = {8 * n, 2 * n};
        out[block + "main_layer.bias_ih" + suffix] = {8 * n};
        out[block + "main_layer.bias_hh" + suffix] = {8 * n};
      }
    }
  }
  return out;
}

std::int64_t numbers(const bsrnn::Shapes& shapes) {
  std::int64_t sum = 0;
  for (const auto& [name, shape] : shapes) sum += nn::element_count(shape);
  return sum;
}

bsrnn::Shapes shapes_of(const std::map<std::string, bsrnn::ForeignTensor>& tensors) {
  bsrnn::Shapes out;
  for (const auto& [ours, tensor] : tensors) out[tensor.name] = tensor.shape;
  return out;
}

}  // namespace

TEST_CASE("names and shapes of the public programs at full size", "[bsrnn]") {
  const auto v7 = bsrnn::band_widths("V7", bsrnn::BandRule::edge);
  for (const std::int64_t frames : {263, 517}) {
    const bsrnn::Shapes shapes = amanteur_shapes(v7, frames, 128, 12);
    CHECK(numbers(shapes) == (frames == 263 ? 32'414'628 : 37'163'412));
    const bsrnn::ForeignNetwork read = bsrnn::read_names(shapes, "", {.target = "vocals"}, "test");
    Configuration wanted = bsrnn::profile_configuration("amanteur", {"vocals"});
    wanted.norm_frames = frames;
    CHECK(bsrnn::configuration_value(read.configuration) == bsrnn::configuration_value(wanted));
    CHECK(shapes_of(bsrnn::write_names(wanted)) == shapes);
    CHECK(read.tensors.size() == shapes.size());
    CHECK(read.assumed == std::vector<std::string>{"rate_hz", "hop_samples"});
  }
  const bsrnn::Shapes shapes = magron_shapes(bsrnn::band_widths("bass", bsrnn::BandRule::floor), 64, 8);
  CHECK(numbers(shapes) == 7'111'432);
  bsrnn::Shapes prefixed;
  for (const auto& [name, shape] : shapes) prefixed["state_dict." + name] = shape;
  CHECK(bsrnn::network_prefixes(prefixed) == std::vector<std::string>{"state_dict."});
  // The bands say that it is the bass.
  const bsrnn::ForeignNetwork read = bsrnn::read_names(prefixed, "state_dict.", {.eps = 1e-7}, "test");
  const Configuration wanted = bsrnn::profile_configuration("magron", {"bass"}, "small");
  CHECK(bsrnn::configuration_value(read.configuration) == bsrnn::configuration_value(wanted));
  CHECK(shapes_of(bsrnn::write_names(wanted)) == shapes);
}

TEST_CASE("networks that are something else are refused by name", "[bsrnn]") {
  const auto widths = bsrnn::band_widths("V7", bsrnn::BandRule::floor);
  const auto says = [&](const auto& change) {
    bsrnn::Shapes shapes = magron_shapes(widths, 8, 1);
    change(shapes);
    return message_of([&] { bsrnn::read_names(shapes, "", {.target = "vocals"}, "file.ckpt"); });
  };
  CHECK(contains(says([](auto& s) { s["separator.0.time_net.main_layer.weight_ih_l0"] = {48, 8}; }), "GRU"));
  CHECK(contains(says([](auto& s) { s.erase("separator.0.band_net.main_layer.weight_ih_l0_reverse"); }), "direction"));
  CHECK(contains(says([](auto& s) { s.erase("separator.0.time_net.main_layer.weight_ih_l0"); }), "without LSTMs"));
  CHECK(contains(says([](auto& s) { s["separator.0.time_net.norm.weight"] = {4}; }), "heads"));
  CHECK(contains(says([](auto& s) { s["BN.3.1.weight"] = {8, 9, 1}; }), "add up"));
  CHECK(contains(says([](auto& s) { s.erase("maskers.0.mask.0.1.weight"); }), "maskers.0.mask.0.1.weight"));
  bsrnn::Shapes shapes = magron_shapes(widths, 8, 1);
  CHECK(contains(message_of([&] { bsrnn::read_names(shapes, "", {}, "x.ckpt"); }), "target=vocals"));
  bsrnn::Shapes attention = amanteur_shapes(widths, 20, 8, 1);
  attention["bandsequence.dptransformers.0.0.mha.in_proj_weight"] = {24, 8};
  CHECK(contains(message_of([&] { bsrnn::read_names(attention, "", {.target = "vocals"}, "x"); }), "transformer"));
}

TEST_CASE("files of PyTorch are read and give what PyTorch gives", "[bsrnn]") {
  Registry registry;
  bsrnn::add_methods(registry);
  const TempDir folder;
  const std::int64_t samples = expected().at("samples").as_integer(), every = expected().at("every").as_integer();
  const audio::AudioBuffer x = input(samples);
  for (const auto& [name, known] : expected().at("cases").as_object()) {
    INFO(name);
    std::optional<std::string> target;
    if (name == "paper.pth") {
      CHECK(contains(message_of([&] { read_weights(family(), file("paper.pth"), at_8_khz()); }), "target=vocals"));
      target = "vocals";
    }
    const Weights weights = read_weights(family(), file(name), at_8_khz(target));
    const auto networks = bsrnn::networks_of(weights.configuration);
    REQUIRE(networks.size() == 1);
    const Configuration& c = networks.begin()->second;
    CHECK(c.profile == known.at("profile").as_string());
    CHECK(weights.parameters() == known.at("parameters").as_integer());
    REQUIRE(c.targets.size() == known.at("targets").size());
    for (std::size_t s = 0; s < c.targets.size(); ++s)
      CHECK(c.targets[s] == known.at("targets").as_array()[s].as_string());

    // Our file, and the other program's names again.
    write_weights(folder / "ours.safetensors", weights);
    CHECK(read_weights(family(), folder / "ours.safetensors").content_hash == weights.content_hash);
    export_weights(folder / "theirs.safetensors", weights);
    ReadOptions again = at_8_khz(c.targets.size() == 1 ? std::optional(c.targets[0]) : std::nullopt);
    const Weights back = read_weights(family(), folder / "theirs.safetensors", again);
    for (const auto& [array, values] : weights.parts.begin()->second)
      CHECK(back.parts.begin()->second.at(array).values() == values.values());

    const auto separator = registry.make("bsrnn:weights=" + (folder / "ours.safetensors").string() +
                                         ",chunk=0.04,hop=0.04,window=none,residual=none");
    const StemSet stems = separator->separate(x);
    double worst = 0, largest = 0;
    for (std::size_t s = 0; s < c.targets.size(); ++s) {
      const auto at = std::ranges::find(stems.names, c.targets[s]);
      REQUIRE(at != stems.names.end());
      for (int channel = 0; channel < 2; ++channel) {
        const core::Value& row = known.at("stems").as_array()[s].as_array()[static_cast<std::size_t>(channel)];
        for (std::size_t i = 0; i < row.size(); ++i) {
          const double wanted = row.as_array()[i].as_real();
          const float found = stems.audio[static_cast<std::size_t>(at - stems.names.begin())].channel(
              channel)[i * static_cast<std::size_t>(every)];
          worst = std::max(worst, std::abs(found - wanted));
          largest = std::max(largest, std::abs(wanted));
        }
      }
    }
    CHECK(largest > 0.02);
    CHECK(worst < 1e-5);
  }
}

TEST_CASE("a folder of one file per target is one set of weights; two of one target are refused", "[bsrnn]") {
  const TempDir folder;
  fs::create_directory(folder / "all");
  for (const char* name : {"vocals_amanteur.ckpt", "bass.ckpt", "naive.ckpt"})
    fs::copy(file(name), folder / "all" / name);
  const Weights weights = read_weights(family(), folder / "all", at_8_khz());
  CHECK(weights.targets() == std::vector<std::string>{"vocals", "bass", "other"});
  CHECK(weights.parts.size() == 3);
  CHECK(weights.label == "all");
  Registry registry;
  bsrnn::add_methods(registry);
  write_weights(folder / "set.safetensors", weights);
  const std::string spec =
      "bsrnn:weights=" + (folder / "set.safetensors").string() + ",chunk=0.04,hop=0.02,window=none";
  const auto separator = registry.make(spec + ",residual=drums");
  CHECK(separator->info().targets == std::vector<std::string>{"vocals", "bass", "other", "drums"});
  const audio::AudioBuffer x = input(1000);
  const StemSet stems = separator->separate(x);
  float worst = 0;
  for (std::size_t t = 0; t < 1000; ++t) {
    float sum = 0;
    for (const audio::AudioBuffer& stem : stems.audio) sum += stem.channel(1)[t];
    worst = std::max(worst, std::abs(sum - x.channel(1)[t]));
  }
  CHECK(worst < 1e-5F);
  // A target alone is the same, and brings its accompaniment.
  const auto one = registry.make(spec + ",targets=bass");
  CHECK(one->info().targets == std::vector<std::string>{"bass", "accompaniment"});
  const StemSet alone = one->separate(x);
  CHECK(std::ranges::equal(alone.audio[0].channel(0), stems.audio[1].channel(0)));
  CHECK(contains(message_of([&] { registry.make(spec + ",targets=drums"); }), "vocals, bass, other"));
  CHECK(contains(message_of([&] { registry.make(spec + ",residual=bass"); }), "residual"));
  CHECK(contains(message_of([&] { registry.make(spec + ",profile=paper"); }), "another profile"));
  CHECK(contains(message_of([&] { registry.make(spec + ",targets=bass,norm=frame"); }), "norm"));

  fs::copy(file("vocals_amanteur.pt"), folder / "all" / "more-vocals.pt");
  CHECK(contains(message_of([&] { read_weights(family(), folder / "all", at_8_khz()); }), "two networks"));
}
