#include "methods/nmf/classifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "core/version.h"
#include "methods/nmf/factorisation.h"
#include "methods/nmf/separator.h"
#include "methods/nmf/shipped.h"
#include "methods/nmf/stored.h"

namespace mss::methods::nmf {
namespace {

using Index = std::int64_t;

constexpr std::string_view kFormat = "mssbench-nmf-classifier";
constexpr std::string_view kKind = "NMF component classifier";
constexpr int kMelBands = 24, kFeatures = kMelBands + 5;
const std::set<std::string, std::less<>> kReserved = {"format",     "version",     "targets",    "rate_hz",
                                                      "fft_size",   "hop_samples", "components", "template_frames",
                                                      "iterations", "beta"};

std::size_t sz(Index n) { return static_cast<std::size_t>(n); }

/// One component of the training set.
struct Example {
  std::vector<double> features;
  int target = 0;
  double weight = 0;
};

std::vector<double> scores_of(const std::vector<double>& weights, const std::vector<double>& features, int targets) {
  std::vector<double> scores(sz(targets), 0.0);
  const std::size_t row = features.size() + 1;
  for (std::size_t j = 0; j < scores.size(); ++j) {
    for (std::size_t i = 0; i < features.size(); ++i) scores[j] += weights[j * row + i] * features[i];
    scores[j] += weights[j * row + features.size()];
  }
  return scores;
}

/// Multinomial logistic regression by accelerated gradient descent (Nesterov) on the weighted mean loss with penalty
/// (l2 / 2) |w|^2 (the constant's weight is free). Features are standardised, so the loss has curvature of at most
/// (features + 1) / 2 in every direction.
std::vector<double> fit_logistic(const std::vector<Example>& examples, int targets, double l2) {
  constexpr int kSteps = 2000;
  const std::size_t row = kFeatures + 1;
  const double step = 1.0 / (0.5 * static_cast<double>(row) + l2);
  std::vector<double> w(sz(targets) * row, 0.0), ahead = w, gradient(w.size());
  double total = 0;
  for (const Example& e : examples) total += e.weight;
  for (int i = 0; i < kSteps; ++i) {
    std::ranges::fill(gradient, 0.0);
    for (const Example& e : examples) {
      std::vector<double> p = scores_of(ahead, e.features, targets);
      const double largest = *std::ranges::max_element(p);
      double sum = 0;
      for (double& x : p) sum += x = std::exp(x - largest);
      for (std::size_t j = 0; j < p.size(); ++j) {
        const double residual = (p[j] / sum - (static_cast<int>(j) == e.target ? 1.0 : 0.0)) * e.weight / total;
        for (std::size_t f = 0; f < e.features.size(); ++f) gradient[j * row + f] += residual * e.features[f];
        gradient[j * row + row - 1] += residual;
      }
    }
    const double momentum = static_cast<double>(i) / (i + 3);
    for (std::size_t k = 0; k < w.size(); ++k) {
      const double penalty = k % row == row - 1 ? 0.0 : l2 * ahead[k];
      const double next = ahead[k] - step * (gradient[k] + penalty);
      ahead[k] = next + momentum * (next - w[k]);
      w[k] = next;
    }
  }
  return w;
}

}  // namespace

std::string Classifier::name() const { return label + "#" + sha256.substr(0, 8); }

std::vector<std::vector<double>> component_features(const Factors<float>& f, int channels, const audio::StftSpec& stft,
                                                    int rate_hz) {
  const auto mel = [](double hz) { return std::log1p(hz / 700.0); };
  const double width = mel(rate_hz / 2.0) / kMelBands;
  std::vector<int> band(sz(f.bins));
  for (Index k = 0; k < f.bins; ++k) {
    const double hz = static_cast<double>(k) * rate_hz / stft.fft_size;
    band[sz(k)] = std::min(static_cast<int>(mel(hz) / width), kMelBands - 1);
  }
  std::vector<std::vector<double>> all;
  for (int r = 0; r < f.components; ++r) {
    std::vector<double> energy(kMelBands, 0.0);
    double sum = 0;
    for (Index k = 0; k < f.bins; ++k) {
      for (int t = 0; t < f.template_frames; ++t) {
        const auto w = static_cast<double>(f.w_at(k, t, r));
        energy[sz(band[sz(k)])] += w;
        sum += w;
      }
    }
    std::vector<double> out;
    for (const double e : energy) out.push_back(std::log(1e-4 + (sum > 0 ? e / sum : 0.0)));
    double level = 0, square = 0, largest = 0, neighbours = 0, steps = 0;
    std::array<double, 2> side = {0, 0};
    const Index frames = f.frames / channels;
    for (int c = 0; c < channels; ++c) {
      for (Index n = 0; n < frames; ++n) {
        const auto h = static_cast<double>(f.h_at(r, c * frames + n));
        level += h;
        square += h * h;
        largest = std::max(largest, h);
        if (c < 2) side[sz(c)] += h;
        if (n == 0) continue;
        const auto before = static_cast<double>(f.h_at(r, c * frames + n - 1));
        neighbours += h * before;
        steps += std::abs(h - before);
      }
    }
    const auto count = static_cast<double>(std::max<Index>(1, f.frames));
    const bool heard = level > 0;
    out.push_back(heard ? std::log(largest / (level / count)) : 0.0);
    out.push_back(heard ? level / count / std::sqrt(square / count) : 1.0);
    out.push_back(heard ? neighbours / square : 0.0);
    out.push_back(heard ? steps / level : 0.0);
    out.push_back(heard && channels == 2 ? std::abs(side[0] - side[1]) / level : 0.0);
    all.push_back(std::move(out));
  }
  return all;
}

std::vector<int> Classifier::classify(const Factors<float>& factors, int channels) const {
  const std::vector<double> w(weights.begin(), weights.end());
  std::vector<int> out;
  for (auto& features : component_features(factors, channels, stft, rate_hz)) {
    for (std::size_t i = 0; i < features.size(); ++i)
      features[i] = (features[i] - static_cast<double>(mean[i])) / static_cast<double>(deviation[i]);
    const std::vector<double> scores = scores_of(w, features, static_cast<int>(targets.size()));
    out.push_back(static_cast<int>(std::ranges::max_element(scores) - scores.begin()));
  }
  return out;
}

Classifier train_classifier(const std::vector<TrainTrack>& tracks, const std::vector<std::string>& targets,
                            const TrainOptions& options) {
  const auto bad = [](const char* what) { throw Error(Code::invalid_argument, "NMF classifier", what); };
  if (tracks.empty()) bad("no tracks");
  if (targets.size() < 2) bad("fewer than two targets");
  if (options.components < 1 || options.template_frames < 1 || options.iterations < 0 || options.members < 1 ||
      options.rate_hz < 1 || !std::isfinite(options.beta)) {
    bad("parameters out of range");
  }
  Classifier out;
  out.targets = targets;
  out.rate_hz = options.rate_hz;
  out.stft.fft_size = options.stft.fft_size;
  out.stft.hop_samples = options.stft.hop_samples;
  out.components = options.components;
  out.template_frames = options.template_frames;
  out.iterations = options.iterations;
  out.beta = options.beta;

  SeparatorOptions blind;
  blind.protocol = Protocol::p4;
  blind.stft = out.stft;
  blind.components = out.components;
  blind.template_frames = out.template_frames;
  blind.iterations = out.iterations;
  blind.beta = out.beta;
  SeparatorInfo info;
  info.spec = "nmf";
  info.needs_references = true;
  const std::unique_ptr<Separator> separator = make_separator(blind, info);
  const auto* factoriser = dynamic_cast<const Factoriser*>(separator.get());
  MSS_ASSERT(factoriser != nullptr);

  std::vector<Example> examples;
  core::Value names = core::Value::array();
  const auto total = static_cast<Index>(tracks.size()) * options.members;
  Index done = 0;
  for (const TrainTrack& track : tracks) {
    names.push_back(core::Value(track.name));
    std::vector<audio::AudioBuffer> stems;
    audio::AudioBuffer mixture;
    for (const std::string& target : targets) {
      stems.push_back(load_stem(track, target, options.rate_hz));
      const audio::AudioBuffer& stem = stems.back();
      if (stem.empty()) continue;
      if (mixture.empty()) {
        mixture = audio::AudioBuffer(stem.view());
      } else {
        check_shape(track, target, stem, mixture.channels(), mixture.samples());
        audio::add_to(mixture.span(), stem.view());
      }
    }
    if (mixture.empty() || audio::is_silent(mixture.view())) continue;
    std::vector<audio::AudioView> views;
    for (auto& stem : stems) {
      if (stem.empty()) stem = audio::AudioBuffer(mixture.channels(), mixture.samples(), mixture.rate_hz());
      views.push_back(stem.view());
    }
    for (int m = 0; m < options.members; ++m) {
      Options o;
      o.seed = options.seed + static_cast<std::uint64_t>(m);
      o.threads = options.threads;
      o.stop = options.stop;
      const Factorisation f = factoriser->factorise(mixture.view(), targets, views, o);
      const auto features = component_features(f.factors, f.channels, out.stft, out.rate_hz);
      double sum = 0;
      std::vector<double> weight(features.size(), 0.0);
      for (std::size_t r = 0; r < features.size(); ++r) {
        // Templates have unit sums, so a row of H is the component's part of the model.
        for (Index n = 0; n < f.factors.frames; ++n)
          weight[r] += static_cast<double>(f.factors.h_at(static_cast<int>(r), n));
        sum += weight[r];
      }
      for (std::size_t r = 0; sum > 0 && r < features.size(); ++r)
        examples.push_back({features[r], f.target[r], std::sqrt(weight[r] / sum)});
      if (options.progress) options.progress(++done, total, track.name);
    }
  }
  if (examples.empty()) throw Error(Code::dataset, "NMF classifier", "no track has an audible stem of the targets");

  out.mean.assign(kFeatures, 0.0F);
  out.deviation.assign(kFeatures, 1.0F);
  double weight = 0;
  for (const Example& e : examples) weight += e.weight;
  for (std::size_t i = 0; i < kFeatures; ++i) {
    double first = 0, second = 0;
    for (const Example& e : examples) first += e.weight / weight * e.features[i];
    for (const Example& e : examples) second += e.weight / weight * (e.features[i] - first) * (e.features[i] - first);
    out.mean[i] = static_cast<float>(first);
    out.deviation[i] = static_cast<float>(std::max(std::sqrt(second), 1e-3));
    for (Example& e : examples)
      e.features[i] = (e.features[i] - static_cast<double>(out.mean[i])) / static_cast<double>(out.deviation[i]);
  }
  constexpr double kPenalty = 0.01;
  for (const double w : fit_logistic(examples, static_cast<int>(targets.size()), kPenalty))
    out.weights.push_back(static_cast<float>(w));
  out.provenance["tracks"] = core::dump_json(names);
  out.provenance["seed"] = fmt::format("{}", options.seed);
  out.provenance["factorisations_per_track"] = fmt::format("{}", options.members);
  out.provenance["examples"] = fmt::format("{}", examples.size());
  out.provenance["penalty"] = core::format_real(kPenalty);
  out.provenance["program"] = "mssbench " + core::version();
  return out;
}

namespace {

Classifier read_content(const Content& file, std::string label, std::string sha256) {
  file.check_format(kFormat, "1");
  Classifier c;
  c.targets = file.targets();
  c.rate_hz = file.positive("rate_hz", 768000);
  c.stft.fft_size = file.positive("fft_size", 1 << 20);
  c.stft.hop_samples = file.positive("hop_samples", c.stft.fft_size);
  if (c.stft.fft_size % 2 != 0) file.unfit("fft_size is odd", "an even number", fmt::format("{}", c.stft.fft_size));
  c.components = file.positive("components", 1024);
  c.template_frames = file.positive("template_frames", 512);
  c.iterations = file.positive("iterations", 100000);
  c.beta = file.real("beta");
  const auto values = [&](const std::string& name, std::vector<Index> shape, bool positive) {
    const checkpoints::Tensor tensor = file.read(name);
    if (tensor.shape != shape) {
      file.unfit(fmt::format("tensor '{}' has a wrong shape", name), fmt::format("[{}]", fmt::join(shape, ", ")),
                 fmt::format("[{}]", fmt::join(tensor.shape, ", ")));
    }
    std::vector<float> out = tensor.to_float();
    for (const float x : out) {
      if (!std::isfinite(x) || (positive && !(x > 0)))
        file.unfit(fmt::format("tensor '{}' has an entry that is out of range", name));
    }
    return out;
  };
  c.weights = values("weights", {std::ssize(c.targets), kFeatures + 1}, false);
  c.mean = values("mean", {kFeatures}, false);
  c.deviation = values("deviation", {kFeatures}, true);
  for (const auto& [key, value] : file.metadata) {
    if (kReserved.find(key) == kReserved.end()) c.provenance[key] = value;
  }
  c.label = std::move(label);
  c.sha256 = std::move(sha256);
  return c;
}

}  // namespace

Classifier read_classifier(const std::filesystem::path& path) {
  Classifier c;
  with_file(path, kKind, [&](const Content& content, std::string label, std::string sha256) {
    c = read_content(content, std::move(label), std::move(sha256));
  });
  return c;
}

Classifier parse_classifier(std::string_view bytes, std::string_view label) {
  Classifier c;
  with_bytes(bytes, label, kKind, [&](const Content& content, std::string name, std::string sha256) {
    c = read_content(content, std::move(name), std::move(sha256));
  });
  return c;
}

void write_classifier(const std::filesystem::path& path, const Classifier& c) {
  core::Value targets = core::Value::array();
  for (const auto& target : c.targets) targets.push_back(core::Value(target));
  checkpoints::Tensors tensors;
  tensors.emplace("weights", checkpoints::Tensor::from(c.weights, {std::ssize(c.targets), kFeatures + 1}));
  tensors.emplace("mean", checkpoints::Tensor::from(c.mean, {kFeatures}));
  tensors.emplace("deviation", checkpoints::Tensor::from(c.deviation, {kFeatures}));
  checkpoints::Metadata metadata = c.provenance;
  metadata["format"] = std::string(kFormat);
  metadata["version"] = "1";
  metadata["targets"] = core::dump_json(targets);
  metadata["rate_hz"] = fmt::format("{}", c.rate_hz);
  metadata["fft_size"] = fmt::format("{}", c.stft.fft_size);
  metadata["hop_samples"] = fmt::format("{}", c.stft.hop_samples);
  metadata["components"] = fmt::format("{}", c.components);
  metadata["template_frames"] = fmt::format("{}", c.template_frames);
  metadata["iterations"] = fmt::format("{}", c.iterations);
  metadata["beta"] = core::format_real(c.beta);
  checkpoints::write_safetensors(path, tensors, metadata);
}

Classifier find_classifier(std::string_view reference) {
  Classifier c;
  find_stored(
      reference, kKind, shipped_bytes(reference.substr(0, reference.rfind('#'))),
      [&](const std::filesystem::path& path) { return (c = read_classifier(path)).sha256; },
      [&](std::string_view bytes, std::string_view label) { return (c = parse_classifier(bytes, label)).sha256; });
  return c;
}

}  // namespace mss::methods::nmf
