// engine=libtorch of the family: the same templates over the layer set Torch, on the processor or a GPU; and what training
// sees of them.
#include <memory>
#include <utility>

#include "methods/demucs/entries.h"
#include "methods/demucs/runner.h"
#include "methods/demucs/separator.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"
#include "nn/torch/trainable_torch.h"

namespace mss::methods::demucs {
namespace {

struct TorchEngine {
  using L = nn::Torch;
  struct Scope {
    Scope(int threads, const core::StopToken& stop) : inference(threads, stop) {}
    nn::InferenceScope inference;
  };

  at::Device device = at::kCPU;

  at::Tensor tensor(const Rows<float>& rows) const {
    const auto samples = std::ssize(rows.front());
    at::Tensor planar = at::empty({std::ssize(rows), samples}, at::TensorOptions().dtype(at::kFloat));
    for (std::size_t c = 0; c < rows.size(); ++c) {
      std::copy(rows[c].begin(), rows[c].end(), planar.data_ptr<float>() + static_cast<std::int64_t>(c) * samples);
    }
    return planar.t().unsqueeze(0).contiguous().to(device);
  }
  Rows<float> rows(const at::Tensor& x) const {
    const at::Tensor planar = x[0].t().contiguous().to(at::kCPU);
    Rows<float> out;
    for (std::int64_t c = 0; c < planar.size(0); ++c) {
      const float* from = planar.data_ptr<float>() + c * planar.size(1);
      out.emplace_back(from, from + planar.size(1));
    }
    return out;
  }
};

/// Errors of LibTorch become ours.
class GuardedRunner final : public Runner {
 public:
  GuardedRunner(std::string where, std::unique_ptr<const Runner> inner)
      : where_(std::move(where)), inner_(std::move(inner)) {}
  std::unique_ptr<const Session> open(int threads, const core::StopToken& stop) const override {
    return std::make_unique<const Guarded>(where_, inner_->open(threads, stop));
  }

 private:
  class Guarded final : public Session {
   public:
    Guarded(const std::string& where, std::unique_ptr<const Session> inner) : where_(where), inner_(std::move(inner)) {}
    void run(std::span<Rows<float>> windows, const std::function<void(std::int64_t, Rows<float>)>& emit,
             const std::function<void(double)>& done) const override {
      nn::with_torch_errors(where_, [&] { inner_->run(windows, emit, done); });
    }

   private:
    std::string where_;
    std::unique_ptr<const Session> inner_;
  };

  std::string where_;
  std::unique_ptr<const Runner> inner_;
};

std::unique_ptr<Separator> make_torch_separator(NetworkRequest request) {
  const Configuration c = configuration_from_value(request.weights.configuration, request.weights.name());
  const std::string where = request.info.spec;
  std::unique_ptr<const Runner> runner;
  nn::with_torch_errors(where, [&] {
    nn::use_deterministic_algorithms();
    const TorchEngine engine{nn::resolve_device(nn::device_from_environment())};
    nn::ArraySource source = request.weights.source();
    nn::TorchWeights weights(source, at::TensorOptions().dtype(at::kFloat).device(engine.device));
    runner = std::make_unique<const RunnerOn<TorchEngine>>(engine, nn::Torch::Scope(weights), c);
    source.check(request.weights.name());
  });
  return make_separator(std::move(request), std::make_unique<const GuardedRunner>(where, std::move(runner)));
}

/// Waveforms in, waveforms out; what Demucs yields is shorter and lies in the middle.
template <class Model>
class TrainableModel final : public nn::Trainable {
 public:
  TrainableModel(const Configuration& c, nn::Source& source, at::TensorOptions options)
      : weights_(source, options), model_(nn::Torch::Scope(weights_), c) {}

  nn::TorchWeights& weights() override { return weights_; }
  const nn::TorchWeights& weights() const override { return weights_; }
  std::int64_t input_samples(std::int64_t samples) const override {
    return valid_length(model_.configuration(), samples);
  }

  nn::Estimates forward(const at::Tensor& mixture, const nn::ForwardOptions& options) const override {
    const Configuration& c = model_.configuration();
    at::Tensor y;
    {
      const nn::AutocastScope autocast(options.bf16, mixture.device());
      y = model_.forward(mixture.transpose(1, 2));
    }
    nn::Estimates out;
    out.waveforms = y.to(mixture.scalar_type())
                        .reshape({y.size(0), y.size(1), std::ssize(c.targets), c.channels})
                        .permute({0, 2, 3, 1});
    out.begin = (mixture.size(2) - y.size(1)) / 2;
    return out;
  }

 private:
  nn::TorchWeights weights_;
  Model model_;
};

}  // namespace

void add_networks(NetworkTable& table) {
  for (const NetworkMethod& method : network_methods()) add_network(table, method, make_torch_separator);
}

void add_trainables(nn::TrainableTable& table) {
  table.architectures.emplace_back(architecture_name(Architecture::demucs),
                                   [](const core::Value& configuration, nn::Source& source, at::TensorOptions options) {
                                     return std::make_unique<TrainableModel<Demucs<nn::Torch>>>(
                                         configuration_from_value(configuration, "training"), source, options);
                                   });
  table.architectures.emplace_back(architecture_name(Architecture::conv_tasnet),
                                   [](const core::Value& configuration, nn::Source& source, at::TensorOptions options) {
                                     return std::make_unique<TrainableModel<ConvTasNet<nn::Torch>>>(
                                         configuration_from_value(configuration, "training"), source, options);
                                   });
}

}  // namespace mss::methods::demucs
