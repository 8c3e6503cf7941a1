// Training steps of every family for compare.py (and benchmarks/device/): one network, one batch, times on request.
//
//   training_steps CASE FOLDER THREADS [DEVICE [PRECISION [SEED [small|large]]]]
//
// (small: what two cores do in seconds; large: sizes of the papers, for a GPU; by itself small on cpu)
//
// writes FOLDER/CASE.safetensors, the first weights in the names of the family's Python package, and FOLDER/CASE.f32, the
// batch's stems (B, S, C, T) as float32; prints one line of JSON that describes them; then answers lines of standard
// input: "N" takes N steps and prints {"seconds", "cpu_seconds", "loss", "peak_mb"}, "state" writes the weights again, an empty line
// ends.
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/measure.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "harness/builtin_methods.h"
#include "methods/network_entry.h"
#include "methods/network_families.h"
#include "nn/device.h"
#include "training/checkpoint.h"
#include "training/torch/learner_entry.h"

using namespace mss;

namespace {

struct Case {
  std::string name, method, preset;
  std::vector<std::string> targets;
  core::Value configuration;
  training::LossTerm loss;
  double rate = 1e-3, clip = 0, weight_decay = 0;
  std::int64_t items = 1, samples = 0;
};

core::Value members(std::initializer_list<std::pair<const char*, core::Value>> list) {
  core::Value out = core::Value::object();
  for (const auto& [key, value] : list) out[key] = value;
  return out;
}

std::vector<Case> cases(bool large) {
  using training::LossTerm;
  const std::vector<std::string> four = {"drums", "bass", "other", "vocals"}, one = {"vocals"},
                                 crossed = {"bass", "drums", "vocals", "other"};
  // `large`: sizes of the papers, for a GPU. Else what two cores do in seconds.
  return {{"umx", "umx", "umxhq", one, members({}), LossTerm::mse_magnitude, 1e-3, 0, 1e-5, large ? 16 : 2,
           large ? 264600 : 132300},
          {"xumx", "xumx", "umxhq", crossed, members({}), LossTerm::xumx, 1e-3, 0, 1e-5, large ? 8 : 1,
           large ? 264600 : 88200},
          {"demucs-light", "demucs", "light", four, members({}), LossTerm::mse_time, 3e-4, 0, 0, large ? 16 : 1, 88532},
          {"demucs", "demucs", "v2", four, members({{"width", large ? 64 : 16}}), LossTerm::l1_time, 3e-4, 0, 0,
           large ? 8 : 1, large ? 446292 : 180052},
          {"conv-tasnet", "conv-tasnet", "", four, large ? members({}) : members({{"repeats", 1}}), LossTerm::l1_time,
           3e-4, 0, 0, large ? 4 : 1, large ? 176400 : 22050},
          {"bsrnn", "bsrnn", "paper", one,
           large ? members({}) : members({{"features", 32}, {"pairs", 4}, {"lstm_hidden", 64}, {"mask_hidden", 128}}),
           LossTerm::l1_both, 1e-3, 5, 0, large ? 4 : 1, large ? 132300 : 44100},
          {"conv1d", "conv1d", "vocals", one, members({}), LossTerm::l1_time, 1e-3, 0, 0, large ? 16 : 1, 132300},
          {"dprnn", "dprnn", "vocals", one, members({}), LossTerm::mse_magnitude, 1e-3, 5, 0, large ? 16 : 1,
           large ? 264600 : 132300}};
}

void serve(const std::vector<std::string>& arguments) {
  const std::string& name = arguments.at(1);
  const std::filesystem::path folder = arguments.at(2);
  const int threads = std::stoi(arguments.at(3));
  const std::string device = arguments.size() > 4 ? arguments[4] : "cpu";
  const std::string precision = arguments.size() > 5 ? arguments[5] : "float32";
  const std::uint64_t seed = arguments.size() > 6 ? std::stoull(arguments[6]) : 1;
  const bool large = arguments.size() > 7 ? arguments[7] == "large" : device != "cpu";
  for (const Case& each : cases(large)) {
    if (each.name != name) continue;
    std::shared_ptr<const methods::NetworkMethod> method;
    for (const auto& network : harness::builtin_methods().networks()) {
      if (network->name == each.method) method = network;
    }
    const core::Value configuration = methods::configured(*method, each.preset, each.targets, each.configuration);
    const methods::Weights weights = methods::random_weights(*method->family, configuration, seed);
    training::LearnerSettings settings;
    settings.architecture = configuration.at("architecture").as_string();
    settings.configuration = configuration;
    settings.initial = training::names_of(weights.parts);
    settings.loss.terms = {each.loss};
    settings.optimiser.clip_norm = each.clip;
    settings.optimiser.weight_decay = each.weight_decay;
    if (precision == "bf16") settings.optimiser.precision = training::Precision::bf16;
    settings.device = nn::parse_device(device);
    settings.threads = threads;
    settings.dropout = false;  // the two sides would draw different numbers
    settings.deterministic = false;
#define MSS_ADD(family) methods::family::add_trainables,
    const std::unique_ptr<training::Learner> learner =
        training::make_learner_of({MSS_NETWORK_FAMILIES(MSS_ADD)}, settings);
#undef MSS_ADD
    const auto stems = static_cast<std::int64_t>(each.targets.size()) + (each.targets.size() == 1 ? 1 : 0);
    std::vector<float> values(static_cast<std::size_t>(each.items * stems * 2 * each.samples));
    core::parallel_for(each.items * stems * 2, 0, [&](std::int64_t row) {
      core::Rng rng(seed, 3, static_cast<std::uint32_t>(row));
      double low = 0;
      for (std::int64_t t = 0; t < each.samples; ++t) {
        low += 0.05 * (rng.uniform(-1, 1) - low);
        values[static_cast<std::size_t>(row * each.samples + t)] = static_cast<float>(low);
      }
    });
    core::write_file_atomic(folder / (name + ".f32"), std::string_view(reinterpret_cast<const char*>(values.data()),
                                                                       values.size() * sizeof(float)));
    methods::export_weights(folder / (name + ".safetensors"), weights);
    core::Value about = core::Value::object();
    about["items"] = each.items;
    about["stems"] = stems;
    about["samples"] = each.samples;
    about["targets"] = static_cast<std::int64_t>(each.targets.size());
    about["loss"] = training::name_of(each.loss);
    about["rate"] = each.rate;
    about["clip"] = each.clip;
    about["weight_decay"] = each.weight_decay;
    about["parameters"] = learner->parameters();
    about["device"] = learner->device();
    about["configuration"] = configuration;
    std::cout << core::dump_json(about) << std::endl;
    // The network's targets come first; a network for one target meets a second stem as accompaniment.
    std::vector<float> mixture(static_cast<std::size_t>(each.items * 2 * each.samples), 0.0F);
    std::vector<float> wanted;
    const auto row = static_cast<std::size_t>(2 * each.samples);
    const auto targets = static_cast<std::int64_t>(each.targets.size());
    for (std::int64_t b = 0; b < each.items; ++b) {
      for (std::int64_t s = 0; s < stems; ++s) {
        const float* from = values.data() + static_cast<std::size_t>(b * stems + s) * row;
        for (std::size_t t = 0; t < row; ++t) mixture[static_cast<std::size_t>(b) * row + t] += from[t];
        if (s < targets) wanted.insert(wanted.end(), from, from + row);
      }
    }
    const training::BatchView batch{each.items, targets, 2, each.samples, mixture.data(), wanted.data()};
    std::string line;
    while (std::getline(std::cin, line) && !line.empty()) {
      if (line == "state") {
        const methods::Weights now =
            methods::make_weights(*method->family, configuration,
                                  training::parts_of(*method->family, configuration, learner->weights(false)), "now");
        methods::export_weights(folder / (name + ".safetensors"), now);
        std::cout << "{}" << std::endl;
        continue;
      }
      const int count = std::stoi(line);
      double loss = 0;
      const core::Stopwatch watch;
      for (int i = 0; i < count; ++i) {
        loss = learner->add_gradients(batch, 1);
        learner->update(each.rate, false);
      }
      const core::Cost cost = watch.elapsed();
      core::Value out = core::Value::object();
      out["seconds"] = cost.wall_s;
      out["cpu_seconds"] = cost.cpu_s;
      out["loss"] = loss;
      out["peak_mb"] = static_cast<double>(cost.peak_rss_bytes) / (1024.0 * 1024.0);
      std::cout << core::dump_json(out) << std::endl;
    }
    return;
  }
  throw Error(Code::config, "training_steps", "no case '" + name + "'");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 4) throw Error(Code::config, "training_steps", "CASE FOLDER THREADS [DEVICE [PRECISION [SEED [SIZE]]]]");
    serve(std::vector<std::string>(argv, argv + argc));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "training_steps: %s\n", error.what());
    return 1;
  }
}
