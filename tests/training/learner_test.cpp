// The learner on LibTorch: the reference implementations' training traces, PyTorch's optimisers, losses and their
// gradients, averages, frozen parts, state.
#include <torch/optim.h>

#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audio/file.h"
#include "core/error.h"
#include "core/stop.h"
#include "methods/baselines/family.h"
#include "methods/bsrnn/family.h"
#include "methods/demucs/family.h"
#include "methods/network_families.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"
#include "nn/torch/stft_torch.h"
#include "training/checkpoint.h"
#include "training/semi.h"
#include "training/torch/learner_torch.h"
#include "training/torch/losses_torch.h"
// Last, because LibTorch has a macro CHECK of its own.
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"
// The goldens' formulas.
#include "tests/bsrnn/support.h"
#include "tests/demucs/support.h"

namespace mss::tests {
namespace {

namespace umx = methods::openunmix;
using checkpoints::LazyTensor;
using checkpoints::LazyTensors;
using training::Learner;
using training::LearnerSettings;
using training::LossTerm;

const nn::TrainableTable& families() {
  static const nn::TrainableTable table = [] {
    nn::TrainableTable out;
#define MSS_ADD(family) methods::family::add_trainables(out);
    MSS_NETWORK_FAMILIES(MSS_ADD)
#undef MSS_ADD
    return out;
  }();
  return table;
}

std::unique_ptr<Learner> learner(const LearnerSettings& settings) {
  return training::make_torch_learner(families(), settings);
}

/// Numbers in [-1, 1) that depend on their place only.
std::vector<float> noise(std::size_t count, std::uint32_t key, double gain = 0.3) {
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>(gain * hashed(key, static_cast<std::uint32_t>(i)));
  }
  return out;
}

struct Data {
  std::int64_t items, stems, channels, samples;
  std::vector<float> values;
  training::BatchView view() const { return {items, stems, channels, samples, nullptr, values.data()}; }
};
Data data(std::int64_t items, std::int64_t stems, std::int64_t channels, std::int64_t samples, std::uint32_t key = 77) {
  return {items, stems, channels, samples, noise(static_cast<std::size_t>(items * stems * channels * samples), key)};
}

LearnerSettings settings_for(const methods::NetworkFamily& family, const core::Value& configuration, LossTerm term,
                             std::uint64_t seed = 3) {
  LearnerSettings out;
  out.configuration = family.normalise(configuration, "test");
  out.architecture = out.configuration.at("architecture").as_string();
  out.initial = training::names_of(methods::random_weights(family, out.configuration, seed).parts);
  out.loss.terms = {term};
  return out;
}

core::Value small_umx(umx::Architecture architecture, const std::vector<std::string>& targets) {
  umx::Configuration c;
  c.architecture = architecture;
  c.fft_size = 256;
  c.hop_samples = 64;
  c.bins = 129;
  c.max_bin = 93;
  c.hidden = 16;
  c.targets = targets;
  return umx::configuration_value(c);
}

core::Value small_bsrnn() {
  methods::bsrnn::Configuration c = golden_configuration(kGoldenProfiles[0]);
  c.targets = {"vocals"};
  return methods::bsrnn::set_value({c}, "test");
}

core::Value small_demucs() {
  demucs::Configuration c = tiny(false);
  c.targets = {"drums", "bass"};
  return demucs::configuration_value(c);
}

demucs::Configuration small_tasnet() {
  demucs::Configuration c = demucs::named_configuration("x10");
  c.filters = 16;
  c.bottleneck = 16;
  c.hidden = 32;
  c.blocks = 3;
  c.repeats = 2;
  return c;
}

/// Every family, small: name, settings, a batch.
struct Case {
  std::string name;
  const methods::NetworkFamily* family;
  LearnerSettings settings;
  Data batch;
};
std::vector<Case> cases() {
  std::vector<Case> out;
  out.push_back({"umx", &umx::family(),
                 settings_for(umx::family(), small_umx(umx::Architecture::openunmix, {"vocals", "drums"}),
                              LossTerm::mse_magnitude),
                 data(2, 2, 2, 2048)});
  out.push_back(
      {"xumx", &umx::family(),
       settings_for(umx::family(), small_umx(umx::Architecture::xumx, {"bass", "drums", "vocals"}), LossTerm::xumx),
       data(2, 3, 2, 2048)});
  out.push_back({"crossskip", &umx::family(),
                 settings_for(umx::family(), small_umx(umx::Architecture::crossskip, {"bass", "vocals"}),
                              LossTerm::mse_magnitude),
                 data(2, 2, 2, 2048)});
  out.push_back({"demucs", &demucs::family(), settings_for(demucs::family(), small_demucs(), LossTerm::l1_time),
                 data(2, 2, 2, 468)});
  out.push_back({"bsrnn", &methods::bsrnn::family(),
                 settings_for(methods::bsrnn::family(), small_bsrnn(), LossTerm::l1_both), data(2, 1, 2, 512)});
  out.push_back({"conv1d", &methods::baselines::conv1d_family(),
                 settings_for(methods::baselines::conv1d_family(), methods::baselines::set_value("conv1d", {"vocals"}),
                              LossTerm::mse_time),
                 data(2, 1, 2, 700)});
  out.push_back({"dprnn", &methods::baselines::dprnn_family(),
                 settings_for(methods::baselines::dprnn_family(), methods::baselines::set_value("dprnn", {"vocals"}),
                              LossTerm::mse_magnitude),
                 data(1, 1, 2, 4096)});
  demucs::Configuration tasnet = small_tasnet();
  tasnet.targets = {"drums", "bass"};
  out.push_back({"conv-tasnet", &demucs::family(),
                 settings_for(demucs::family(), demucs::configuration_value(tasnet), LossTerm::l1_time),
                 data(2, 2, 2, 410)});
  return out;
}

std::map<std::string, std::vector<double>> values_of(const LazyTensors& tensors) {
  std::map<std::string, std::vector<double>> out;
  for (const auto& [name, tensor] : tensors) {
    std::vector<std::byte> bytes(tensor.bytes());
    tensor.fetch(bytes);
    std::vector<double>& to = out[name];
    to.resize(static_cast<std::size_t>(tensor.elements()));
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (tensor.dtype == checkpoints::DType::f64) {
        std::memcpy(&to[i], bytes.data() + 8 * i, 8);
      } else {
        float one = 0;
        std::memcpy(&one, bytes.data() + 4 * i, 4);
        to[i] = static_cast<double>(one);
      }
    }
  }
  return out;
}

/// A copy that outlives the learner.
LazyTensors kept(const LazyTensors& tensors) {
  LazyTensors out;
  for (const auto& [name, tensor] : tensors) {
    checkpoints::Tensor copy;
    copy.dtype = tensor.dtype;
    copy.shape = tensor.shape;
    copy.bytes.resize(tensor.bytes());
    tensor.fetch(copy.bytes);
    out[name] = LazyTensor::from(std::move(copy));
  }
  return out;
}

double sum(const std::vector<double>& values) {
  double out = 0;
  for (const double v : values) out += v;
  return out;
}

void steps(Learner& learner, const Data& batch, int count, double rate = 1e-3) {
  for (int i = 0; i < count; ++i) {
    learner.add_gradients(batch.view(), 1);
    learner.update(rate, false);
  }
}

/// A network whose estimate is its one number times the mixture.
class OneNumber final : public nn::Trainable {
 public:
  OneNumber(nn::Source& source, at::TensorOptions options)
      : weights_(source, options), gain_(nn::Torch::Scope(weights_), "gain", {.channels = 1}) {}
  nn::TorchWeights& weights() override { return weights_; }
  const nn::TorchWeights& weights() const override { return weights_; }
  nn::Estimates forward(const at::Tensor& mixture, const nn::ForwardOptions&) const override {
    nn::Estimates out;
    out.waveforms = gain_.multiply(mixture.unsqueeze(3)).squeeze(3).unsqueeze(1);
    return out;
  }

 private:
  nn::TorchWeights weights_;
  nn::Torch::Vector gain_;
};

}  // namespace

TEST_CASE("learner: Open-Unmix's training trace in float64", "[training]") {
  const core::Value golden = core::read_json_file(mss::tests::golden("openunmix.json"));
  const core::Value& g = golden.at("training");
  umx::Configuration c;
  c.fft_size = 256;
  c.hop_samples = 64;
  c.bins = 129;
  c.max_bin = 93;
  c.hidden = 32;
  c.targets = {"vocals"};
  // The golden file's numbers: splitmix64 keyed by FNV-1a of a name.
  const auto uniform = [](const std::string& key) {
    std::uint64_t seed = 0xcbf29ce484222325ULL;
    for (const char letter : key) {
      seed ^= static_cast<unsigned char>(letter);
      seed *= 0x100000001b3ULL;
    }
    return [seed](std::uint64_t index) {
      std::uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15ULL;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
      z ^= z >> 31;
      return static_cast<double>(z >> 11) * 0x1p-53;
    };
  };
  LearnerSettings settings;
  settings.architecture = "openunmix";
  settings.configuration = umx::configuration_value(c);
  const methods::Listings listings = umx::family().list(settings.configuration);
  for (const auto& entry : listings.at("vocals").entries) {
    const std::string& name = entry.name;
    double low = 0, high = 1;
    const nn::Shape& shape = entry.parameter.shape;
    if (name.starts_with("fc")) {
      high = std::sqrt(3.0 / static_cast<double>(shape[1]));
      low = -high;
    } else if (name.starts_with("lstm")) {
      high = 0.25;  // 1 / sqrt(16)
      low = -high;
    } else if (name.ends_with(".running_var") || name.ends_with(".weight") || name == "output_scale") {
      low = 0.5;
      high = 1.5;
    } else if (name.ends_with(".bias") || name.ends_with(".running_mean")) {
      low = -0.2;
      high = 0.2;
    } else if (name == "input_mean") {
      low = -1;
      high = 0;
    } else if (name == "input_scale") {
      low = 0.2;
    }
    const auto u = uniform("vocals/" + name);
    std::vector<float> values(static_cast<std::size_t>(nn::element_count(shape)));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(low + (high - low) * u(i));
    settings.initial["vocals." + name] = LazyTensor::from(std::move(values), shape);
  }
  const auto signal = [&](const std::string& name, double gain) {
    std::vector<float> out;
    for (int channel = 0; channel < 2; ++channel) {
      const auto u = uniform(name + "/c" + std::to_string(channel));
      for (std::int64_t n = 0; n < 4096; ++n) {
        const double shape = 0.25 + 0.75 * static_cast<double>(n % 997) / 996;
        const auto value = static_cast<float>(0.5 * (2 * u(static_cast<std::uint64_t>(n)) - 1) * shape);
        out.push_back(static_cast<float>(gain * static_cast<double>(value)));
      }
    }
    return out;
  };
  std::vector<float> mixtures, wanted;
  for (const std::string item : {"0", "1"}) {
    const std::vector<float> y = signal("train/y" + item, 0.5), rest = signal("train/x" + item, 1.0);
    for (std::size_t i = 0; i < y.size(); ++i) mixtures.push_back(y[i] + rest[i]);
    wanted.insert(wanted.end(), y.begin(), y.end());
  }
  settings.loss.terms = {LossTerm::mse_magnitude};
  settings.optimiser.weight_decay = 1e-5;
  settings.float64 = true;
  settings.dropout = false;
  const std::unique_ptr<Learner> network = learner(settings);
  const training::BatchView batch{2, 1, 2, 4096, mixtures.data(), wanted.data()};
  for (std::size_t step = 0; step < 5; ++step) {
    CAPTURE(step);
    CHECK(network->add_gradients(batch, 1) == Approx(g.at("losses").as_array()[step].as_real()).epsilon(1e-9));
    network->update(1e-3, true);
  }
  CHECK(network->steps() == 5);
  // The sixth forward pass of the golden trace moves the running statistics too.
  CHECK(network->add_gradients(batch, 1) == Approx(g.at("losses").as_array()[5].as_real()).epsilon(1e-9));
  CHECK(network->loss(batch, false) == Approx(g.at("eval_loss_after").as_real()).epsilon(1e-9));
  const auto values = values_of(network->weights(false));
  for (const auto& [name, expected] : g.at("param_sum_after").as_object()) {
    CAPTURE(name);
    CHECK(sum(values.at("vocals." + name)) == Approx(expected.as_real()).epsilon(1e-9));
  }
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(values.at("vocals.bn1.running_var")[i] ==
          Approx(g.at("bn1_running_var_first4").as_array()[i].as_real()).epsilon(1e-9));
  }
}

/// Input mean and scale of a learner of the vocals, whose sums are held against the golden ones.
static std::pair<std::vector<double>, std::vector<double>> checked_statistics(const Learner& network,
                                                                              const core::Value& golden,
                                                                              double epsilon) {
  const auto values = values_of(network.weights(false));
  const std::vector<double>& mean = values.at("vocals.input_mean");
  const std::vector<double>& scale = values.at("vocals.input_scale");
  double deviations = 0;
  for (const double s : scale) deviations += 1 / s;
  CHECK(-sum(mean) == Approx(golden.at("mean_sum").as_real()).epsilon(epsilon));
  CHECK(deviations == Approx(golden.at("std_sum").as_real()).epsilon(epsilon));
  return {mean, scale};
}

TEST_CASE("learner: Open-Unmix's input statistics", "[training]") {
  const core::Value golden = core::read_json_file(mss::tests::golden("openunmix.json"));
  const core::Value& g = golden.at("scaler");
  umx::Configuration c;
  c.fft_size = 256;
  c.hop_samples = 64;
  c.bins = 129;
  c.max_bin = 129;
  c.hidden = 16;
  c.targets = {"vocals"};
  LearnerSettings settings = settings_for(umx::family(), umx::configuration_value(c), LossTerm::mse_magnitude);
  settings.float64 = true;
  const std::unique_ptr<Learner> network = learner(settings);
  REQUIRE(network->has_statistics());
  const auto track = [](const std::string& name, std::int64_t samples) {
    audio::AudioBuffer out(2, samples, 44100);
    for (int channel = 0; channel < 2; ++channel) {
      std::uint64_t seed = 0xcbf29ce484222325ULL;
      for (const char letter : name + "/c" + std::to_string(channel)) {
        seed ^= static_cast<unsigned char>(letter);
        seed *= 0x100000001b3ULL;
      }
      for (std::int64_t n = 0; n < samples; ++n) {
        std::uint64_t z = seed + (static_cast<std::uint64_t>(n) + 1) * 0x9E3779B97F4A7C15ULL;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        z ^= z >> 31;
        const double u = static_cast<double>(z >> 11) * 0x1p-53;
        const bool gap = name == "signal" && n >= 3000 && n < 3600;
        const double shape = 0.25 + 0.75 * static_cast<double>(n % 997) / 996;
        out.channel(channel)[static_cast<std::size_t>(n)] = gap ? 0.0F : static_cast<float>(0.5 * (2 * u - 1) * shape);
      }
    }
    return out;
  };
  network->add_statistics(track("signal", 8229).view());
  network->add_statistics(track("signal2", 5000).view());
  network->set_statistics();
  const auto [mean, scale] = checked_statistics(*network, g, 1e-10);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(-mean[i] == Approx(g.at("mean_first4").as_array()[i].as_real()).epsilon(1e-10));
    CHECK(1 / scale[i] == Approx(g.at("std_first4").as_array()[i].as_real()).epsilon(1e-10));
  }
}

TEST_CASE("learner: Open-Unmix's input statistics of real songs are the Python package's", "[training]") {
  MSS_REQUIRE_TEST_DATA(audio_folder);
  const core::Value g = core::read_json_file(mss::tests::golden("openunmix-scaler.json"));
  umx::Configuration c;
  c.max_bin = c.bins;
  c.hidden = 16;
  c.targets = {"vocals"};
  const std::unique_ptr<Learner> network =
      learner(settings_for(umx::family(), umx::configuration_value(c), LossTerm::mse_magnitude));
  for (const core::Value& track : g.at("tracks").as_array()) {
    const audio::AudioBuffer mixture =
        audio::read_file(audio_folder / "evr_cc0" / "test" / track.as_string() / "mixture.flac");
    network->add_statistics(mixture.view());
  }
  network->set_statistics();
  const auto [mean, scale] = checked_statistics(*network, g, 1e-5);
  const auto every = static_cast<std::size_t>(g.at("every").as_integer());
  for (std::size_t i = 0; i < g.at("mean").size(); ++i) {
    CAPTURE(i);
    CHECK(-mean[i * every] == Approx(g.at("mean").as_array()[i].as_real()).epsilon(1e-5).margin(1e-5));
    CHECK(1 / scale[i * every] == Approx(g.at("std").as_array()[i].as_real()).epsilon(1e-5).margin(1e-5));
    // The margin is for bins above 16 kHz, where these songs hold less than the rounding of float32 transforms.
  }
}

namespace {

/// A learner in float64 whose weights are the golden ones of `source`.
std::unique_ptr<Learner> golden_learner(const demucs::Configuration& configuration, DemucsSource& source,
                                        LossTerm term) {
  LearnerSettings settings;
  settings.configuration = demucs::family().normalise(demucs::configuration_value(configuration), "test");
  settings.architecture = settings.configuration.at("architecture").as_string();
  const methods::Listings listings = demucs::family().list(settings.configuration);
  for (const auto& entry : listings.at("").entries) {
    std::vector<float> values(static_cast<std::size_t>(nn::element_count(entry.parameter.shape)));
    source.fill(entry.name, entry.parameter, values);
    settings.initial[entry.name] = LazyTensor::from(std::move(values), entry.parameter.shape);
  }
  settings.loss.terms = {term};
  settings.float64 = true;
  return learner(settings);
}

/// The four stems, two channels each, of the golden traces.
std::vector<float> golden_stems(std::int64_t length) {
  std::vector<float> stems;
  for (std::uint32_t s = 0; s < 4; ++s) {
    for (const auto& row : golden_signal(2, length, 3000 + 10 * s)) {
      for (const float v : row) stems.push_back(v * static_cast<float>(0.2 + 0.1 * s));
    }
  }
  return stems;
}

}  // namespace

TEST_CASE("learner: Demucs' training trace in float64, both losses", "[training]") {
  const core::Value& keys = demucs_golden().at("demucs_v2").at("resample_off").at("keys");
  const demucs::Configuration c = tiny(false);
  for (const auto& [name, term] : {std::pair{"l1", LossTerm::l1_time}, {"mse", LossTerm::mse_time}}) {
    CAPTURE(name);
    const core::Value& g = demucs_golden().at("training").at(name);
    DemucsSource source(keys);
    const std::unique_ptr<Learner> network = golden_learner(c, source, term);
    const std::int64_t length = g.at("input_length").as_integer();
    const std::vector<float> stems = golden_stems(length);
    const training::BatchView batch{1, 4, 2, length, nullptr, stems.data()};
    for (const core::Value& step : g.at("steps").as_array()) {
      if (step.find("loss") == nullptr) break;  // the last entry is what the steps led to
      CHECK(network->add_gradients(batch, 1) == Approx(step.at("loss").as_real()).epsilon(1e-9));
      CHECK(network->update(3e-4, true) == Approx(step.at("grad_norm").as_real()).epsilon(1e-8));
    }
  }
}

TEST_CASE("learner: Conv-TasNet's training trace in float64", "[training]") {
  const core::Value g = core::read_json_file(mss::tests::golden("conv-tasnet-training.json"));
  DemucsSource source(demucs_golden().at("conv_tasnet_music").at("keys"));
  const std::unique_ptr<Learner> network = golden_learner(small_tasnet(), source, LossTerm::l1_time);
  const std::int64_t length = g.at("input_length").as_integer();
  const std::vector<float> stems = golden_stems(length);
  const training::BatchView batch{1, 4, 2, length, nullptr, stems.data()};
  for (const core::Value& step : g.at("steps").as_array()) {
    CHECK(network->add_gradients(batch, 1) == Approx(step.at("loss").as_real()).epsilon(1e-9));
    CHECK(network->update(g.at("rate").as_real(), true) == Approx(step.at("grad_norm").as_real()).epsilon(1e-8));
  }
  const auto values = values_of(network->weights(false));
  REQUIRE(values.size() == g.at("parameter_sums").size());
  for (const auto& [name, expected] : g.at("parameter_sums").as_object()) {
    CAPTURE(name);
    // Gains and offsets of normalisations are weight and bias here.
    std::string ours = name;
    if (ours.ends_with(".gamma")) ours = ours.substr(0, ours.size() - 5) + "weight";
    if (ours.ends_with(".beta")) ours = ours.substr(0, ours.size() - 4) + "bias";
    CHECK(sum(values.at(ours)) == Approx(expected.as_real()).epsilon(1e-9).margin(1e-9));
  }
}

TEST_CASE("learner: ten steps of Band-split RNN with the paper's loss and clipping", "[training]") {
  for (const std::string& profile : kGoldenProfiles) {
    CAPTURE(profile);
    const core::Value& g = golden_bsrnn().at(profile);
    methods::bsrnn::Configuration c = golden_configuration(profile);
    c.targets = {"vocals"};
    LearnerSettings settings =
        settings_for(methods::bsrnn::family(), methods::bsrnn::set_value({c}, "test"), LossTerm::l1_both);
    settings.optimiser.clip_norm = 5;
    settings.float64 = true;
    for (const bool recompute : {false, true}) {
      settings.recompute = recompute;
      const std::unique_ptr<Learner> network = learner(settings);
      LazyTensors state = kept(network->state());
      for (const auto& [name, values] : golden_weights(profile)) {
        LazyTensor& to = state.at("weights/vocals." + name);
        to = LazyTensor::from(checkpoints::Tensor::from(values, to.shape));
      }
      network->restore(state, network->counters());
      std::vector<float> mixture, target;
      for (const auto& row : golden_signal(false)) mixture.insert(mixture.end(), row.begin(), row.end());
      for (const auto& row : golden_signal(true)) target.insert(target.end(), row.begin(), row.end());
      const training::BatchView batch{1, 1, 2, 256, mixture.data(), target.data()};
      const core::Value& trace = g.at("train10");
      for (std::size_t step = 0; step < 10; ++step) {
        // The signals are rounded to float32 here.
        CHECK(network->add_gradients(batch, 1) ==
              Approx(trace.at("loss_before_each_step").as_array()[step].as_real()).epsilon(1e-6));
        CHECK(network->update(trace.at("lr").as_array()[step].as_real(), true) ==
              Approx(trace.at("grad_norm_before_clip").as_array()[step].as_real()).epsilon(1e-5));
      }
      CHECK(network->loss(batch, false) == Approx(trace.at("loss_after").as_real()).epsilon(1e-6));
    }
  }
}

TEST_CASE("learner: optimisers take PyTorch's steps, for every family", "[training]") {
  const nn::ThreadScope threads(1);
  struct Kind {
    training::OptimiserKind kind;
    double decay, momentum, clip;
  };
  for (const Kind& kind :
       {Kind{training::OptimiserKind::adam, 0, 0, 0}, Kind{training::OptimiserKind::adam, 0.01, 0, 0.02},
        Kind{training::OptimiserKind::adamw, 0.05, 0, 0}, Kind{training::OptimiserKind::rmsprop, 0.01, 0, 0},
        Kind{training::OptimiserKind::rmsprop, 0, 0.9, 0}}) {
    for (Case& one : cases()) {
      // One step of it takes as long as all others together.
      if (one.name == "dprnn" && kind.decay > 0) continue;
      CAPTURE(one.name, static_cast<int>(kind.kind), kind.decay, kind.momentum);
      LearnerSettings s = one.settings;
      s.dropout = false;
      s.optimiser.kind = kind.kind;
      s.optimiser.weight_decay = kind.decay;
      s.optimiser.momentum = kind.momentum;
      s.optimiser.clip_norm = kind.clip;
      // In float32 the rounding of gradients that are zero in theory would reach the parameters: Adam divides by their size.
      s.float64 = true;
      const std::unique_ptr<Learner> ours = learner(s);
      // PyTorch's optimiser on the same network.
      std::vector<nn::StoredArray> stored;
      for (const auto& [name, array] : s.initial) {
        stored.push_back({name, array.shape, [array](std::span<float> values) { array.read(values); }});
      }
      nn::ArraySource source(std::move(stored));
      const auto network =
          families().find(s.architecture)(s.configuration, source, at::TensorOptions().dtype(at::kDouble));
      network->weights().train(true);
      network->weights().dropout(false);
      std::vector<at::Tensor> parameters;
      for (const auto& [name, p] : network->weights().parameters()) parameters.push_back(p);
      std::unique_ptr<torch::optim::Optimizer> theirs;
      if (kind.kind == training::OptimiserKind::adam) {
        theirs =
            std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(1e-3).weight_decay(kind.decay));
      } else if (kind.kind == training::OptimiserKind::adamw) {
        theirs = std::make_unique<torch::optim::AdamW>(parameters,
                                                       torch::optim::AdamWOptions(1e-3).weight_decay(kind.decay));
      } else {
        theirs = std::make_unique<torch::optim::RMSprop>(
            parameters, torch::optim::RMSpropOptions(1e-3).weight_decay(kind.decay).momentum(kind.momentum));
      }
      const Data& d = one.batch;
      const at::Tensor targets =
          at::from_blob(const_cast<float*>(d.values.data()), {d.items, d.stems, d.channels, d.samples}, at::kFloat)
              .to(at::kDouble);
      for (int step = 0; step < 3; ++step) {
        ours->add_gradients(d.view(), 1);
        ours->update(1e-3, false);
        theirs->zero_grad();
        const at::Tensor mixture = targets.sum(1);
        training::loss_of(s.loss, network->forward(mixture, {}), mixture, targets, network->stft()).backward();
        if (kind.clip > 0) {
          double squares = 0;
          for (const at::Tensor& p : parameters) squares += p.grad().pow(2).sum().item<double>();
          const double norm = std::sqrt(squares);
          if (norm > kind.clip) {
            for (const at::Tensor& p : parameters) p.mutable_grad().mul_(kind.clip / (norm + 1e-6));
          }
        }
        theirs->step();
      }
      const auto found = values_of(ours->weights(false));
      double worst = 0;
      for (const auto& [name, p] : network->weights().parameters()) {
        const at::Tensor flat = p.detach().to(at::kDouble).contiguous();
        for (std::int64_t i = 0; i < flat.numel(); ++i) {
          worst = std::max(worst, std::abs(flat.data_ptr<double>()[i] - found.at(name)[static_cast<std::size_t>(i)]));
        }
      }
      CHECK(worst < 1e-8);
    }
  }
}

TEST_CASE("learner: masks of input features hide the mixture from the network, not from its estimate", "[training]") {
  const nn::ThreadScope threads(1);
  for (Case& one : cases()) {
    CAPTURE(one.name);
    const Data& d = one.batch;
    LearnerSettings s = one.settings;
    s.dropout = false;
    s.seed = 5;
    s.spec_augment.probability = 1;
    if (one.name == "demucs" || one.name == "conv-tasnet" || one.name == "conv1d") {
      check_error(Code::config, {"augment.spec.probability", "no spectrum", s.architecture.c_str()},
                  [&] { (void)learner(s); });
      continue;
    }
    std::vector<nn::StoredArray> stored;
    for (const auto& [name, array] : s.initial) {
      stored.push_back({name, array.shape, [array](std::span<float> values) { array.read(values); }});
    }
    nn::ArraySource source(std::move(stored));
    const auto network =
        families().find(s.architecture)(s.configuration, source, at::TensorOptions().dtype(at::kFloat));
    {
      // With everything hidden, what multiplies the mixture is the same for every mixture.
      const torch::NoGradGuard no_grad;
      nn::ForwardOptions hidden;
      hidden.feature_mask = [&](std::int64_t bins, std::int64_t frames) { return at::zeros({d.items, bins, frames}); };
      const at::Tensor a =
          at::from_blob(const_cast<float*>(d.values.data()), {d.items, d.channels, d.samples}, at::kFloat);
      const auto masks = [&](const at::Tensor& mixture) {
        const nn::Estimates found = network->forward(mixture, hidden);
        return found.spectra.defined() ? found.spectra / found.mixture.unsqueeze(1)
                                       : found.magnitudes / found.mixture.abs().unsqueeze(1);
      };
      CHECK(at::allclose(masks(a), masks(a.flip(2) * 0.5), 1e-3, 1e-4));
    }
    // Drawn by the examples' index; validation sees everything.
    training::BatchView batch = d.view();
    const std::unique_ptr<Learner> masked = learner(s);
    s.spec_augment.probability = 0;
    const std::unique_ptr<Learner> plain = learner(s);
    const auto loss = [&](Learner& of, std::int64_t first) {
      batch.first = first;
      return of.add_gradients(batch, 1);
    };
    CHECK(plain->loss(batch, false) == masked->loss(batch, false));
    CHECK(loss(*plain, 0) == loss(*plain, 100));
    const double at_0 = loss(*masked, 0);
    CHECK(at_0 == loss(*masked, 0));
    CHECK(at_0 != loss(*masked, 100));
    CHECK(at_0 != loss(*plain, 0));
  }
}

TEST_CASE("learner: averages of the weights", "[training]") {
  nn::TrainableTable table;
  table.architectures.emplace_back("one", [](const core::Value&, nn::Source& source, at::TensorOptions options) {
    return std::make_unique<OneNumber>(source, options);
  });
  const auto set = [](Learner& network, double value) {
    LazyTensors state = kept(network.state());
    state.at("weights/gain") = LazyTensor::from(checkpoints::Tensor::from(std::vector<double>{value}, {1}));
    network.restore(state, network.counters());
  };
  for (const core::Value& row : demucs_golden().at("ema_unbiased").as_array()) {
    LearnerSettings s;
    s.architecture = "one";
    s.initial["gain"] = LazyTensor::from(std::vector<float>{0.0F}, {1});
    s.optimiser.ema_decay = row.at("decay").as_real();
    s.optimiser.ema_clock = training::Clock::epoch;
    s.float64 = true;
    const std::unique_ptr<Learner> network = training::make_torch_learner(table, s);
    for (std::size_t i = 0; i < row.at("inputs").size(); ++i) {
      set(*network, row.at("inputs").as_array()[i].as_real());
      network->end_epoch();
      CHECK(values_of(network->weights(true)).at("gain")[0] ==
            Approx(row.at("states").as_array()[i].as_real()).epsilon(1e-12));
    }
  }
  // Biased: from the first weights on. And the loss of the average is the average's, after which the weights stand.
  LearnerSettings s;
  s.architecture = "one";
  s.initial["gain"] = LazyTensor::from(std::vector<float>{1.0F}, {1});
  s.loss.terms = {LossTerm::mse_time};
  s.optimiser.ema_decay = 0.75;
  s.optimiser.ema_unbiased = false;
  s.optimiser.ema_clock = training::Clock::epoch;
  s.float64 = true;
  const std::unique_ptr<Learner> network = training::make_torch_learner(table, s);
  set(*network, 3.0);
  network->end_epoch();
  CHECK(values_of(network->weights(true)).at("gain")[0] == Approx(1.5).epsilon(1e-12));
  const Data d = data(1, 1, 1, 50);
  double power = 0;
  for (const float v : d.values) power += static_cast<double>(v) * static_cast<double>(v) / 50;
  CHECK(network->loss(d.view(), true) == Approx(0.25 * power).epsilon(1e-12));
  CHECK(network->loss(d.view(), false) == Approx(4.0 * power).epsilon(1e-12));
}

TEST_CASE("learner: a step of a teacher and its student, computed by hand", "[training]") {
  nn::TrainableTable table;
  table.architectures.emplace_back("one", [](const core::Value&, nn::Source& source, at::TensorOptions options) {
    return std::make_unique<OneNumber>(source, options);
  });
  LearnerSettings s;
  s.architecture = "one";
  s.initial["gain"] = LazyTensor::from(std::vector<float>{0.5F}, {1});
  s.target_stems = {{0}};
  s.loss.terms = {LossTerm::mse_time};
  s.optimiser.epsilon = 1;
  s.float64 = true;
  s.teacher = true;
  const std::unique_ptr<Learner> network = training::make_torch_learner(table, s);
  const auto gain = [&](const char* whose) { return values_of(network->state()).at(whose)[0]; };

  // The labelled target t_L = (1, 0, -1, 0) and residual r_L = (0, 1, 0, -1); unlabelled m = (2, 0, 0, 2).
  const auto batch = [](double target, double residual) {
    training::Batch b;
    b.count = b.channels = 1;
    b.sources = 2;
    b.samples = 4;
    b.stems = {1, 0, -1, 0, 0, 1, 0, -1};
    b.mixture = {1, 1, -1, -1};
    b.unlabelled = {2, 0, 0, 2};
    b.draws = {{.target = target, .residual = residual, .target_factor = 2, .residual_factor = 1}};
    return b;
  };
  const auto view = [](const training::Batch& b) {
    return training::BatchView{b.count, b.sources, b.channels, b.samples, b.mixture.data(), b.stems.data()};
  };
  const training::SemiSettings semi{.target_stems = {0}, .clean_db = 30, .peak = false};
  const std::array<std::int64_t, training::kSegmentKinds> pseudo{1, 0, 0, 0};

  // The teacher halves: t' = r' = (1, 0, 0, 1), each 6 dB below m. Drawn: the pseudo target, times 2, and r_L:
  //   t = (2, 0, 0, 2), x = (2, 1, 0, 1); y = x / 2 = (1, 0.5, 0, 0.5); y - t = (-1, 0.5, 0, -1.5)
  //   loss = 3.5 / 4; gradient = 2 / 4 (-2 + 0.5 - 1.5) = -1.5; Adam's first step with eps 1: 0.1 * 1.5 / (1.5 + 1)
  training::Batch b = batch(0.75, 0.25);
  CHECK(training::mix_semi(b, *network, semi) == pseudo);
  CHECK(b.stems == std::vector<float>{2, 0, 0, 2, 0, 1, 0, -1});
  CHECK(b.mixture == std::vector<float>{2, 1, 0, 1});
  CHECK(network->add_gradients(view(b), 1) == Approx(0.875).epsilon(1e-12));
  CHECK(network->update(0.1, true) == Approx(1.5).epsilon(1e-12));
  CHECK(gain("weights/gain") == Approx(0.56).epsilon(1e-12));
  // The teacher is what it was, so the next example is the same: y - t = (-0.88, 0.56, 0, -1.44).
  CHECK(gain("teacher/gain") == 0.5);
  b = batch(0.75, 0.25);
  training::mix_semi(b, *network, semi);
  CHECK(b.stems == std::vector<float>{2, 0, 0, 2, 0, 1, 0, -1});
  CHECK(network->add_gradients(view(b), 1) == Approx(0.7904).epsilon(1e-12));

  // A state that another learner takes over holds the teacher too.
  const LazyTensors state = kept(network->state());
  s.initial["gain"] = LazyTensor::from(std::vector<float>{0.9F}, {1});
  const std::unique_ptr<Learner> second = training::make_torch_learner(table, s);
  second->restore(state, network->counters());
  CHECK(values_of(second->state()).at("teacher/gain")[0] == 0.5);

  // Both parts of the student that has become the teacher: t' = 0.56 m, r' = 0.44 m.
  network->promote();
  CHECK(gain("teacher/gain") == gain("weights/gain"));
  b = batch(0.75, 0.75);
  CHECK(training::mix_semi(b, *network, semi) == pseudo);
  CHECK(b.stems[0] == Approx(2 * 1.12).epsilon(1e-6));
  CHECK(b.stems[4] == Approx(0.88).epsilon(1e-6));

  // Where there is an average it is what becomes the teacher; without a teacher there is none to ask.
  s.optimiser.ema_decay = 0.5;
  s.optimiser.ema_unbiased = false;
  s.optimiser.ema_clock = training::Clock::epoch;
  const std::unique_ptr<Learner> averaged = training::make_torch_learner(table, s);
  b = batch(0.75, 0.25);
  averaged->add_gradients(view(b), 1);
  averaged->update(0.1, true);
  averaged->end_epoch();
  averaged->promote();
  const auto values = values_of(averaged->state());
  CHECK(values.at("teacher/gain")[0] == values.at("average/gain")[0]);
  CHECK(values.at("teacher/gain")[0] != values.at("weights/gain")[0]);
  s.teacher = false;
  CHECK_THROWS_AS(training::make_torch_learner(table, s)->promote(), Error);
}

TEST_CASE("learner: a teacher's estimates are those of its network, as long as what it hears", "[training]") {
  for (Case& one : cases()) {
    CAPTURE(one.name);
    one.settings.teacher = true;
    const std::unique_ptr<Learner> network = learner(one.settings);
    const Data& d = one.batch;
    const std::vector<float> mixtures = noise(static_cast<std::size_t>(d.items * d.channels * d.samples), 5);
    std::vector<float> estimates(mixtures.size());
    if (one.name == "demucs") {  // its estimates are shorter than what it hears
      CHECK_THROWS_AS(network->teach(d.items, d.channels, d.samples, mixtures.data(), estimates.data()), Error);
      continue;
    }
    network->teach(d.items, d.channels, d.samples, mixtures.data(), estimates.data());
    double power = 0;
    for (const float v : estimates) power += static_cast<double>(v) * static_cast<double>(v);
    CHECK(std::isfinite(power));
    CHECK(power > 0);
    // Learning changes the student alone, and a batch is its items.
    steps(*network, d, 2, 1e-2);
    const std::int64_t plane = d.channels * d.samples;
    std::vector<float> last(static_cast<std::size_t>(plane));
    network->teach(1, d.channels, d.samples, mixtures.data() + (d.items - 1) * plane, last.data());
    for (std::int64_t i = 0; i < plane; ++i) {
      REQUIRE(last[static_cast<std::size_t>(i)] ==
              Approx(estimates[static_cast<std::size_t>((d.items - 1) * plane + i)]).margin(1e-5));
    }
  }
}

TEST_CASE("learner: gradients of every loss are those of finite differences", "[training]") {
  const nn::ThreadScope threads(1);
  audio::StftSpec spec;
  spec.fft_size = 16;
  spec.hop_samples = 4;
  spec.framing = audio::Framing::centered_reflect;
  const std::int64_t items = 2, targets = 3, channels = 2, samples = 40;
  const auto tensor = [](std::vector<std::int64_t> shape, std::uint32_t key) {
    at::Tensor out = at::empty(shape, at::kDouble);
    for (std::int64_t i = 0; i < out.numel(); ++i) {
      out.data_ptr<double>()[i] = 0.5 * hashed(key, static_cast<std::uint32_t>(i));
    }
    return out;
  };
  const at::Tensor wanted = tensor({items, targets, channels, samples}, 5);
  const at::Tensor mixture = wanted.sum(1) + 0.1 * tensor({items, channels, samples}, 6);
  const at::Tensor spectrum = nn::stft(mixture, spec);
  const std::int64_t bins = spec.bins(), frames = spectrum.size(3);
  using Make = std::function<nn::Estimates(const at::Tensor&)>;
  struct Form {
    std::string name;
    at::Tensor input;
    Make make;
    bool transformed;
  };
  const std::vector<Form> forms = {{"waveforms", tensor({items, targets, channels, samples}, 7),
                                    [](const at::Tensor& x) {
                                      nn::Estimates out;
                                      out.waveforms = x;
                                      return out;
                                    },
                                    false},
                                   {"spectra", tensor({items, targets, channels, bins, frames, 2}, 8),
                                    [&](const at::Tensor& x) {
                                      nn::Estimates out;
                                      out.spectra = at::view_as_complex(x);
                                      out.mixture = spectrum;
                                      return out;
                                    },
                                    true},
                                   {"magnitudes", tensor({items, targets, channels, bins, frames}, 9).abs() + 0.1,
                                    [&](const at::Tensor& x) {
                                      nn::Estimates out;
                                      out.magnitudes = x;
                                      out.mixture = spectrum;
                                      return out;
                                    },
                                    true}};
  for (const LossTerm term :
       {LossTerm::mse_time, LossTerm::mse_magnitude, LossTerm::l1_time, LossTerm::l1_spectrum, LossTerm::l1_both,
        LossTerm::log_l2, LossTerm::psm, LossTerm::complex_mse, LossTerm::xumx, LossTerm::usdr, LossTerm::si_sdr}) {
    for (const bool weighted : {false, true}) {
      if (weighted && term == LossTerm::xumx) continue;
      for (const Form& form : forms) {
        CAPTURE(std::string(training::name_of(term)), form.name, weighted);
        training::LossRecipe recipe;
        recipe.terms = {term};
        recipe.weights = {0.7};
        if (weighted) recipe.target_weights = {1, 2, 0.5};
        recipe.fft_samples = 16;
        recipe.hop_samples = 4;
        const auto value = [&](const at::Tensor& x) {
          return training::loss_of(recipe, form.make(x), mixture, wanted,
                                   form.transformed ? std::optional(spec) : std::nullopt);
        };
        const at::Tensor x = form.input.clone().requires_grad_(true);
        value(x).backward();
        const at::Tensor gradient = x.grad().contiguous();
        const torch::NoGradGuard no_grad;
        const double size = gradient.abs().max().item<double>();
        for (std::int64_t i = 0; i < x.numel(); i += std::max<std::int64_t>(1, x.numel() / 23)) {
          constexpr double kStep = 1e-6;
          at::Tensor moved = form.input.clone();
          moved.data_ptr<double>()[i] += kStep;
          const double up = value(moved).item<double>();
          moved.data_ptr<double>()[i] -= 2 * kStep;
          const double down = value(moved).item<double>();
          CHECK(gradient.data_ptr<double>()[i] == Approx((up - down) / (2 * kStep)).epsilon(1e-4).margin(1e-5 * size));
        }
      }
    }
  }
}

TEST_CASE("learner: perfect estimates cost nothing", "[training]") {
  training::LossRecipe recipe;
  const at::Tensor targets =
      at::from_blob(const_cast<float*>(data(2, 2, 2, 2048).values.data()), {2, 2, 2, 2048}).clone();
  const at::Tensor mixture = targets.sum(1);
  nn::Estimates perfect;
  perfect.waveforms = targets;
  for (const LossTerm term : {LossTerm::mse_time, LossTerm::l1_time, LossTerm::l1_spectrum, LossTerm::l1_both,
                              LossTerm::mse_magnitude, LossTerm::complex_mse, LossTerm::xumx}) {
    recipe.terms = {term};
    CAPTURE(std::string(training::name_of(term)));
    CHECK(std::abs(training::loss_of(recipe, perfect, mixture, targets, std::nullopt).item<double>()) < 1e-5);
  }
  recipe.terms = {LossTerm::usdr};
  CHECK(training::loss_of(recipe, perfect, mixture, targets, std::nullopt).item<double>() < -90);
  recipe.terms = {LossTerm::mse_time, LossTerm::l1_time};
  recipe.weights = {2, 3};
  perfect.waveforms = targets + 0.5;
  CHECK(training::loss_of(recipe, perfect, mixture, targets, std::nullopt).item<double>() ==
        Approx(2 * 0.25 + 3 * 0.5).epsilon(1e-5));
}

TEST_CASE("learner: a state that was taken and given to another learner goes on to the same bits", "[training]") {
  for (Case& one : cases()) {
    CAPTURE(one.name);
    LearnerSettings s = one.settings;
    s.optimiser.ema_decay = 0.9;
    s.optimiser.clip_norm = 1;
    const std::unique_ptr<Learner> whole = learner(s);
    steps(*whole, one.batch, 3);
    const LazyTensors state = kept(whole->state());
    const core::Value counters = whole->counters();
    steps(*whole, one.batch, 2);
    s.initial = training::names_of(methods::random_weights(*one.family, s.configuration, 99).parts);
    const std::unique_ptr<Learner> second = learner(s);
    second->restore(state, counters);
    CHECK(second->steps() == 3);
    steps(*second, one.batch, 2);
    CHECK(values_of(whole->state()) == values_of(second->state()));
  }
}

TEST_CASE("learner: a step that was given up has left nothing", "[training]") {
  for (Case& one : cases()) {
    CAPTURE(one.name);
    const std::unique_ptr<Learner> whole = learner(one.settings);
    steps(*whole, one.batch, 2);
    core::StopSource stop;
    one.settings.stop = stop.token();
    const std::unique_ptr<Learner> disturbed = learner(one.settings);
    steps(*disturbed, one.batch, 1);
    disturbed->add_gradients(one.batch.view(), 0.5);
    disturbed->abandon();
    steps(*disturbed, one.batch, 1);
    CHECK(values_of(whole->state()) == values_of(disturbed->state()));

    stop.request_stop();
    CHECK(error_of([&] { disturbed->add_gradients(one.batch.view(), 1); }).code() == Code::cancelled);
    disturbed->abandon();
    CHECK(values_of(whole->state()) == values_of(disturbed->state()));
  }
}

TEST_CASE("learner: accumulated batches are one batch", "[training]") {
  Case one = cases().at(3);
  one.settings.float64 = true;
  const std::unique_ptr<Learner> whole = learner(one.settings), parts = learner(one.settings);
  const double loss = whole->add_gradients(one.batch.view(), 1);
  whole->update(1e-3, false);
  training::BatchView half = one.batch.view();
  half.items = 1;
  double sum_of_halves = parts->add_gradients(half, 0.5) / 2;
  half.stem_values += one.batch.stems * one.batch.channels * one.batch.samples;
  sum_of_halves += parts->add_gradients(half, 0.5) / 2;
  parts->update(1e-3, false);
  INFO(c10::str("relative difference ", (loss - sum_of_halves) / loss));
  CHECK(loss == Approx(sum_of_halves).epsilon(1e-12));
  const auto a = values_of(whole->weights(false)), b = values_of(parts->weights(false));
  for (const auto& [name, values] : a) {
    for (std::size_t i = 0; i < values.size(); ++i) CHECK(std::abs(values[i] - b.at(name)[i]) < 1e-7);
  }
}

TEST_CASE("learner: what is frozen stays, what is not found is told", "[training]") {
  Case one = cases().at(0);
  one.settings.frozen = {"vocals.*", "*.lstm.*"};
  const std::unique_ptr<Learner> network = learner(one.settings);
  CHECK(network->frozen() > 0);
  const auto before = values_of(network->weights(false));
  steps(*network, one.batch, 2);
  const auto after = values_of(network->weights(false));
  for (const auto& [name, values] : before) {
    CAPTURE(name);
    const bool frozen = name.starts_with("vocals.") || name.find(".lstm.") != std::string::npos;
    CHECK((values == after.at(name)) == frozen);
  }
  one.settings.frozen = {"singer.*"};
  try {
    learner(one.settings);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == Code::config);
    CHECK(error.parts().found == "singer.*");
  }
}

TEST_CASE("learner: blocks computed again give the same gradients; bfloat16 comes near", "[training]") {
  Case one = cases().at(4);
  const std::unique_ptr<Learner> plain = learner(one.settings);
  steps(*plain, one.batch, 2);
  one.settings.recompute = true;
  const std::unique_ptr<Learner> again = learner(one.settings);
  steps(*again, one.batch, 2);
  CHECK(values_of(plain->state()) == values_of(again->state()));
  for (Case& each : cases()) {
    CAPTURE(each.name);
    each.settings.dropout = false;
    const double exact = learner(each.settings)->add_gradients(each.batch.view(), 1);
    each.settings.optimiser.precision = training::Precision::bf16;
    const std::unique_ptr<Learner> rounded = learner(each.settings);
    CHECK(rounded->add_gradients(each.batch.view(), 1) == Approx(exact).epsilon(0.03));
    rounded->update(1e-3, true);
    CHECK(rounded->weights(false).begin()->second.dtype == checkpoints::DType::f32);
  }
  Case conv = cases().at(5);
  conv.settings.recompute = true;
  CHECK_THROWS_AS(learner(conv.settings), Error);
}

TEST_CASE("learner: a loss that is no number is an error that leaves the weights", "[training]") {
  Case one = cases().at(5);
  const std::unique_ptr<Learner> network = learner(one.settings);
  const auto before = values_of(network->weights(false));
  one.batch.values[10] = std::nanf("");
  try {
    network->add_gradients(one.batch.view(), 1);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == Code::numeric);
    CHECK(error.parts().where == "training");
  }
  CHECK(values_of(network->weights(false)) == before);
}

}  // namespace mss::tests
