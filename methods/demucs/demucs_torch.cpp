// engine=libtorch of the family: the same templates over the layer set Torch, on the processor or a GPU.
#include <memory>
#include <utility>

#include "methods/demucs/runner.h"
#include "methods/demucs/separator.h"
#include "methods/demucs/entries.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"

namespace mss::methods::demucs {
namespace {

struct TorchEngine {
  using L = nn::Torch;
  struct Scope {
    Scope(int threads, const core::StopToken&) : inference(threads) {}
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

}  // namespace

void add_networks(NetworkTable& table) {
  for (const NetworkMethod& method : network_methods()) add_network(table, method, make_torch_separator);
}

}  // namespace mss::methods::demucs
