#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/rng.h"
#include "core/stop.h"
#include "core/text.h"
#include "nn/scope.h"
#include "nn/torch/runtime_torch.h"
#include "training/augment.h"
#include "training/torch/learner_entry.h"
#include "training/torch/learner_torch.h"
#include "training/torch/losses_torch.h"

namespace mss::training {
namespace {

using checkpoints::DType;
using checkpoints::LazyTensor;
using checkpoints::LazyTensors;

using Named = std::vector<std::pair<std::string, at::Tensor>>;

constexpr const char* kWhere = "training";

nn::ArraySource source_of(const LazyTensors& arrays) {
  std::vector<nn::StoredArray> stored;
  for (const auto& [name, array] : arrays) {
    stored.push_back({name, array.shape, [&array](std::span<float> values) { array.read(values); }});
  }
  return nn::ArraySource(std::move(stored));
}

/// A view: the values are fetched when somebody asks.
LazyTensor lazy(const at::Tensor& tensor) {
  LazyTensor out;
  const at::Tensor values = tensor.detach();
  out.dtype = values.scalar_type() == at::kDouble ? DType::f64 : DType::f32;
  out.shape.assign(values.sizes().begin(), values.sizes().end());
  out.fetch = [values](std::span<std::byte> bytes) {
    const at::Tensor flat = values.to(at::kCPU).contiguous();
    std::memcpy(bytes.data(), flat.const_data_ptr(), bytes.size());
  };
  return out;
}

void copy_to(const at::Tensor& to, const LazyTensor& from, const std::string& name) {
  if (from.shape != std::vector<std::int64_t>(to.sizes().begin(), to.sizes().end())) {
    throw Error({Code::checkpoint, name, "another shape", c10::str(to.sizes()), c10::str(from.shape), ""});
  }
  at::Tensor values = at::empty(to.sizes(), to.options().device(at::kCPU).requires_grad(false));
  const auto size = static_cast<std::size_t>(values.nbytes());
  if (from.bytes() != size) {
    throw Error({Code::checkpoint, name, "another type of numbers", std::to_string(size) + " bytes",
                 std::to_string(from.bytes()) + " bytes", ""});
  }
  from.fetch({static_cast<std::byte*>(values.data_ptr()), size});
  const torch::NoGradGuard no_grad;
  to.copy_(values);
}

/// What a name of state() begins with.
void add_all(LazyTensors& out, const char* prefix, const Named& tensors) {
  for (const auto& [name, tensor] : tensors) out[std::string(prefix) + "/" + name] = lazy(tensor);
}

/// Adam, AdamW and RMSprop by PyTorch's formulas (torch.optim 2.x), their state by parameter.
///   adam     g += w decay;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
///            w -= rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
///   adamw    w -= rate decay w, then as adam without decay
///   rmsprop  g += w decay;  v = a v + (1 - a) g^2;  u = g / (sqrt(v) + eps);  momentum: m = mu m + u, else m = u
///            w -= rate m
class Optimiser {
 public:
  Optimiser(const OptimiserRecipe& recipe, const Named& parameters) : recipe_(recipe), parameters_(parameters) {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, p] : parameters_) {
      if (recipe_.kind != OptimiserKind::rmsprop || recipe_.momentum != 0) first_.emplace_back(name, at::zeros_like(p));
      second_.emplace_back(name, at::zeros_like(p));
      steps_.push_back(at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(p.device())));
    }
  }

  const Named& first() const { return first_; }
  const Named& second() const { return second_; }

  /// `taken` updates came before this one.
  void step(double rate, std::int64_t taken) {
    const torch::NoGradGuard no_grad;
    std::vector<at::Tensor> weights, gradients, first, second, steps;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor& gradient = parameters_[i].second.grad();
      if (!gradient.defined()) continue;
      weights.push_back(parameters_[i].second);
      gradients.push_back(gradient);
      if (!first_.empty()) first.push_back(first_[i].second);
      second.push_back(second_[i].second);
      steps.push_back(steps_[i].fill_(static_cast<double>(taken)));
    }
    if (weights.empty()) return;
    const OptimiserRecipe& r = recipe_;
    switch (r.kind) {
      case OptimiserKind::adam:
        at::_foreach_add_(steps, 1);
        at::_fused_adam_(weights, gradients, first, second, {}, steps, rate, r.beta1, r.beta2, r.weight_decay,
                         r.epsilon, /*amsgrad=*/false, /*maximize=*/false);
        break;
      case OptimiserKind::adamw:
        at::_foreach_add_(steps, 1);
        at::_fused_adamw_(weights, gradients, first, second, {}, steps, rate, r.beta1, r.beta2, r.weight_decay,
                          r.epsilon, /*amsgrad=*/false, /*maximize=*/false);
        break;
      case OptimiserKind::rmsprop: {
        if (r.weight_decay != 0) gradients = at::_foreach_add(gradients, weights, r.weight_decay);
        at::_foreach_mul_(second, r.alpha);
        at::_foreach_addcmul_(second, gradients, gradients, 1.0 - r.alpha);
        std::vector<at::Tensor> divisors = at::_foreach_sqrt(second);
        at::_foreach_add_(divisors, r.epsilon);
        if (r.momentum == 0) {
          at::_foreach_addcdiv_(weights, gradients, divisors, -rate);
        } else {
          at::_foreach_mul_(first, r.momentum);
          at::_foreach_addcdiv_(first, gradients, divisors, 1.0);
          at::_foreach_add_(weights, first, -rate);
        }
        break;
      }
    }
  }

 private:
  OptimiserRecipe recipe_;
  Named parameters_, first_, second_;
  std::vector<at::Tensor> steps_;
};

/// Means and summed squared deviations of columns, block by block (Chan, Golub, LeVeque 1979), in float64.
struct Statistics {
  double rows = 0;
  at::Tensor mean, squares;

  void add(const at::Tensor& block) {
    const at::Tensor x = block.to(at::kCPU, at::kDouble);
    if (x.size(0) == 0) return;
    const auto n = static_cast<double>(x.size(0));
    const at::Tensor own = x.mean(0), own_squares = (x - own).square().sum(0);
    if (rows == 0) {
      mean = own;
      squares = own_squares;
    } else {
      const at::Tensor apart = own - mean;
      mean = mean + apart * (n / (rows + n));
      squares = squares + own_squares + apart.square() * (rows * n / (rows + n));
    }
    rows += n;
  }
};

/// Bytes that tensors take on the processor, while this is what the allocator of the thread reports to.
class TakenMemory final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device device) override {
    if (!device.is_cpu()) return;
    const std::lock_guard lock(guard_);
    now_ += size;
    most_ = std::max(most_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  std::int64_t most() const {
    const std::lock_guard lock(guard_);
    return most_;
  }

 private:
  mutable std::mutex guard_;
  std::int64_t now_ = 0, most_ = 0;
};

class TorchLearner final : public Learner {
 public:
  TorchLearner(const nn::TrainableTable& table, const LearnerSettings& settings) : settings_(settings) {
    guarded([&] {
      if (settings_.deterministic) nn::use_deterministic_algorithms();
      device_ = nn::resolve_device(settings_.device);
      if (device_.is_cpu()) nn::keep_freed_memory();
      options_ = at::TensorOptions().dtype(settings_.float64 ? at::kDouble : at::kFloat).device(device_);
      nn::ArraySource source = source_of(settings_.initial);
      const nn::TrainableTable::Make& make = table.find(settings_.architecture);
      network_ = make(settings_.configuration, source, options_);
      source.check("first weights");
      if (settings_.teacher) {
        nn::ArraySource again = source_of(settings_.initial);
        teacher_ = make(settings_.configuration, again, options_);
        const torch::NoGradGuard no_grad;
        for (const auto& [name, tensor] : tensors_of(*teacher_)) tensor.set_requires_grad(false);
      }
      settings_.initial.clear();
      if (settings_.recompute && !network_->checkpoints()) {
        throw Error({Code::config, "model.checkpointing", "this network has no blocks that can be computed again",
                     "bsrnn", settings_.architecture, ""});
      }
      network_->weights().dropout(settings_.dropout);
      forward_.bf16 = settings_.optimiser.precision == Precision::bf16;
      forward_.checkpoint = settings_.recompute;
      if (settings_.spec_augment.probability > 0 && !network_->masks_features()) {
        throw Error({Code::config, "augment.spec.probability",
                     "this network has no spectrum as input that could be masked",
                     "a network on spectrograms; for others 0", settings_.architecture, ""});
      }
      freeze();
      if (settings_.trial) return;
      optimiser_.emplace(settings_.optimiser, trained_);
      if (settings_.optimiser.ema_decay > 0) {
        const torch::NoGradGuard no_grad;
        for (const auto& [name, tensor] : all()) average_.emplace_back(name, tensor.detach().clone());
      }
    });
  }

  std::string device() const override { return device_.str(); }
  std::int64_t parameters() const override { return count(trained_); }
  std::int64_t frozen() const override { return count(network_->weights().parameters()) - count(trained_); }
  bool has_average() const override { return !average_.empty(); }
  std::int64_t steps() const override { return steps_; }
  std::int64_t input_samples(std::int64_t samples) const override { return network_->input_samples(samples); }

  double add_gradients(const BatchView& batch, double share) override {
    double value = 0;
    guarded([&] {
      if (added_ == 0) {
        const torch::NoGradGuard no_grad;
        for (const Buffer& b : buffers_) b.before.copy_(b.now);
      }
      // Dropout is the one random part of a step.
      const core::PhiloxBlock draw = core::philox4x32(
          {static_cast<std::uint32_t>(steps_), static_cast<std::uint32_t>(steps_ >> 32), added_++, 0x64726f70},
          settings_.seed);
      at::manual_seed((std::uint64_t{draw[0]} << 32) | draw[1]);
      network_->weights().train(true);
      nn::ForwardOptions options = forward_;
      if (settings_.spec_augment.probability > 0) {
        options.feature_mask = [&](std::int64_t bins, std::int64_t frames) {
          return feature_mask(batch, bins, frames);
        };
      }
      const at::Tensor loss = loss_tensor(batch, options);
      (share == 1.0 ? loss : loss * share).backward();
      const torch::NoGradGuard no_grad;
      for (const Buffer& b : buffers_) {
        if (b.frozen) b.now.copy_(b.before);
      }
      value = loss.item<double>();
    });
    if (!std::isfinite(value)) refuse_loss(value, "of training");
    return value;
  }

  void abandon() override {
    if (added_ == 0) return;
    guarded([&] {
      const torch::NoGradGuard no_grad;
      for (const Buffer& b : buffers_) b.now.copy_(b.before);
      for (const auto& [name, p] : network_->weights().parameters()) p.mutable_grad() = at::Tensor();
    });
    added_ = 0;
  }

  double update(double rate, bool norm) override {
    double found = std::numeric_limits<double>::quiet_NaN();
    guarded([&] {
      if (norm || settings_.optimiser.clip_norm > 0) found = clip();
      if (!norm || std::isfinite(found)) optimiser_->step(rate, steps_);
      for (const auto& [name, p] : network_->weights().parameters()) p.mutable_grad() = at::Tensor();
      ++steps_;
      added_ = 0;
      if (settings_.optimiser.ema_clock == Clock::step) average();
    });
    if (norm && !std::isfinite(found)) {
      throw Error({Code::numeric, kWhere, c10::str("the gradient is no finite number in step ", steps_), "", "",
                   "a smaller optimiser.rate or optimiser.clip_norm helps; the last checkpoint is whole"});
    }
    return found;
  }

  void end_epoch() override {
    if (settings_.optimiser.ema_clock == Clock::epoch) guarded([&] { average(); });
  }

  double loss(const BatchView& batch, bool averaged) override {
    double value = 0;
    guarded([&] {
      const torch::NoGradGuard no_grad;
      network_->weights().train(false);
      const Exchange exchange(*this, averaged);
      value = loss_tensor(batch, forward_).item<double>();
    });
    return value;
  }

  std::int64_t trial_bytes(const BatchView& batch) override {
    const auto taken = std::make_shared<TakenMemory>();
    guarded([&] {
      network_->weights().train(true);
      {
        const c10::DebugInfoGuard reported(c10::DebugInfoKind::PROFILER_STATE, taken);
        loss_tensor(batch, forward_).backward();
      }
      for (const auto& [name, p] : network_->weights().parameters()) p.mutable_grad() = at::Tensor();
    });
    const std::int64_t gradients =
        count(trained_) * static_cast<std::int64_t>(c10::elementSize(options_.dtype().toScalarType()));
    return std::max<std::int64_t>(0, taken->most() - gradients);
  }

  void promote() override {
    require_teacher();
    guarded([&] {
      const torch::NoGradGuard no_grad;
      const Named to = tensors_of(*teacher_), from = has_average() ? average_ : all();
      for (std::size_t i = 0; i < to.size(); ++i) to[i].second.copy_(from[i].second);
    });
  }

  void teach(std::int64_t items, std::int64_t channels, std::int64_t samples, const float* mixtures,
             float* estimates) const override {
    require_teacher();
    guarded([&] {
      const torch::NoGradGuard no_grad;
      teacher_->weights().train(false);
      const at::Tensor given =
          at::from_blob(const_cast<float*>(mixtures), {items, channels, samples}, at::kFloat).to(options_);
      // A transform without padding leaves the ends of a segment without their share of frames.
      const std::optional<audio::StftSpec> spec = teacher_->stft();
      const std::int64_t around = spec && spec->framing == audio::Framing::none ? spec->fft_size : 0;
      const at::Tensor mixture = around == 0 ? given : at::constant_pad_nd(given, {around, around}, 0);
      nn::ForwardOptions options = forward_;
      options.checkpoint = false;
      const nn::Estimates found = teacher_->forward(mixture, options);
      const at::Tensor waveforms = waveforms_of(found, mixture, spec);
      const std::int64_t begin = around - found.begin;
      if (begin < 0 || begin + samples > waveforms.size(3)) {
        throw Error({Code::config, "semi.enabled", "this network estimates fewer samples than it is given",
                     std::to_string(samples) + " samples", std::to_string(waveforms.size(3)), ""});
      }
      const at::Tensor first = waveforms.select(1, 0).narrow(2, begin, samples).to(at::kCPU, at::kFloat).contiguous();
      std::memcpy(estimates, first.const_data_ptr(), static_cast<std::size_t>(first.nbytes()));
    });
  }

  bool has_statistics() const override {
    bool has = false;
    guarded([&] {
      const torch::NoGradGuard no_grad;
      const std::optional<audio::StftSpec> spec = network_->stft();
      const std::int64_t samples = spec ? 2 * spec->fft_size : 1;
      has = spec && network_->statistics_rows(at::zeros({1, 1, samples}, options_).expand({1, 2, samples})).defined();
    });
    return has;
  }

  void add_statistics(audio::AudioView mixture) override {
    guarded([&] {
      const torch::NoGradGuard no_grad;
      const audio::StftSpec spec = network_->stft().value();
      const std::int64_t samples = mixture.samples();
      // Frames without padding can be taken block by block; a transform with padding sees the whole track.
      const bool blocks = spec.framing == audio::Framing::none;
      const std::int64_t step = blocks ? std::int64_t{2048} * spec.hop_samples : samples;
      for (std::int64_t begin = 0; begin + (blocks ? spec.fft_size : 1) <= samples; begin += step) {
        const std::int64_t size = blocks ? std::min(step + spec.fft_size - spec.hop_samples, samples - begin) : samples;
        at::Tensor x = at::empty({1, mixture.channels(), size}, at::kFloat);
        for (int c = 0; c < mixture.channels(); ++c) {
          std::copy_n(mixture.channel(c).data() + begin, size, x.data_ptr<float>() + c * size);
        }
        statistics_.add(network_->statistics_rows(x.to(options_)));
      }
    });
  }

  void set_statistics() override {
    if (statistics_.rows == 0) throw Error(Code::dataset, kWhere, "no frame to take input statistics from");
    guarded([&] {
      at::Tensor deviation = at::sqrt(statistics_.squares / statistics_.rows);
      deviation = at::maximum(deviation, deviation.max() * 1e-4);
      if (deviation.max().item<double>() <= 0) {
        throw Error(Code::dataset, kWhere, "the training tracks are silent: no input statistics");
      }
      network_->set_statistics(statistics_.mean.to(options_), deviation.to(options_));
      const torch::NoGradGuard no_grad;
      const Named now = all();
      for (std::size_t i = 0; i < average_.size(); ++i) average_[i].second.copy_(now[i].second);
      statistics_ = {};
    });
  }

  LazyTensors state() const override {
    LazyTensors out;
    add_all(out, "weights", all());
    add_all(out, "average", average_);
    if (teacher_) add_all(out, "teacher", tensors_of(*teacher_));
    add_all(out, "moment1", optimiser_->first());
    add_all(out, "moment2", optimiser_->second());
    return out;
  }

  LazyTensors weights(bool averaged) const override {
    LazyTensors out;
    for (const auto& [name, tensor] : (averaged && has_average()) ? average_ : all()) out[name] = lazy(tensor);
    return out;
  }

  core::Value counters() const override {
    core::Value out = core::Value::object();
    out["steps"] = steps_;
    out["average_count"] = average_count_;
    return out;
  }

  void restore(const LazyTensors& state, const core::Value& counters) override {
    guarded([&] {
      std::map<std::string, at::Tensor> wanted;
      const auto want = [&](const char* prefix, const Named& tensors) {
        for (const auto& [name, tensor] : tensors) wanted[std::string(prefix) + "/" + name] = tensor;
      };
      want("weights", all());
      want("average", average_);
      if (teacher_) want("teacher", tensors_of(*teacher_));
      want("moment1", optimiser_->first());
      want("moment2", optimiser_->second());
      std::string missing, more;
      for (const auto& [name, tensor] : wanted) {
        if (!state.contains(name)) missing = name;
      }
      for (const auto& [name, tensor] : state) {
        if (!wanted.contains(name)) more = name;
      }
      if (!missing.empty() || !more.empty()) {
        throw Error({Code::checkpoint, kWhere, "this state is not of this network and optimiser",
                     missing.empty() ? "" : missing, more, ""});
      }
      for (const auto& [name, tensor] : wanted) copy_to(tensor, state.find(name)->second, name);
    });
    steps_ = counters.at("steps", kWhere).as_integer(kWhere);
    average_count_ = counters.at("average_count", kWhere).as_real(kWhere);
    constexpr std::int64_t kMostSteps = std::int64_t{1} << 52;
    if (steps_ < 0 || steps_ > kMostSteps || !(average_count_ >= 0 && std::isfinite(average_count_))) {
      throw Error({Code::checkpoint, kWhere, "the state's counters are out of their range",
                   "steps from 0 to 2^52, average_count from 0",
                   std::to_string(steps_) + " and " + std::to_string(average_count_),
                   "the file is damaged or was changed"});
    }
    added_ = 0;
    for (const auto& [name, p] : network_->weights().parameters()) p.mutable_grad() = at::Tensor();
  }

 private:
  /// The averages stand in the weights' place until the end of the scope.
  class Exchange {
   public:
    Exchange(TorchLearner& learner, bool averaged) {
      if (!averaged) return;
      const Named now = learner.all();
      for (std::size_t i = 0; i < learner.average_.size(); ++i) {
        kept_.emplace_back(now[i].second, now[i].second.detach().clone());
        now[i].second.detach().copy_(learner.average_[i].second);
      }
    }
    ~Exchange() {
      for (const auto& [tensor, values] : kept_) tensor.detach().copy_(values);
    }
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

   private:
    std::vector<std::pair<at::Tensor, at::Tensor>> kept_;
  };

  void guarded(const std::function<void()>& body) const {
    nn::with_torch_errors(kWhere, [&] {
      const nn::ThreadScope threads(settings_.threads);
      const nn::DenormalScope denormals;
      // The thread's token is the program's; the module has tokens of its own.
      const core::StopScope stop(settings_.stop);
      body();
    });
  }

  static std::int64_t count(const Named& tensors) {
    std::int64_t sum = 0;
    for (const auto& [name, tensor] : tensors) sum += tensor.numel();
    return sum;
  }

  /// Parameters, then buffers.
  static Named tensors_of(const nn::Trainable& network) {
    Named out = network.weights().parameters();
    out.insert(out.end(), network.weights().buffers().begin(), network.weights().buffers().end());
    return out;
  }
  Named all() const { return tensors_of(*network_); }

  void require_teacher() const {
    if (!teacher_) throw Error(Code::invalid_argument, kWhere, "this learner has no teacher");
  }

  void freeze() {
    std::vector<bool> used(settings_.frozen.size(), false);
    const auto is_frozen = [&](const std::string& name) {
      bool frozen = false;
      for (std::size_t i = 0; i < used.size(); ++i) {
        if (!core::matches_glob(name, settings_.frozen[i])) continue;
        used[i] = frozen = true;
      }
      return frozen;
    };
    for (const auto& [name, tensor] : network_->weights().parameters()) {
      if (is_frozen(name)) {
        tensor.set_requires_grad(false);
      } else {
        trained_.emplace_back(name, tensor);
      }
    }
    for (const auto& [name, tensor] : network_->weights().buffers()) {
      buffers_.push_back({tensor, tensor.clone(), is_frozen(name)});
    }
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (used[i]) continue;
      throw Error({Code::config, "model.freeze", "no parameter has such a name",
                   "patterns of names such as " + network_->weights().parameters().front().first, settings_.frozen[i],
                   ""});
    }
    if (trained_.empty()) throw Error(Code::config, "model.freeze", "no parameter is left to train");
  }

  /// SpecAugment of every item: ones, and zeros where something is hidden.
  at::Tensor feature_mask(const BatchView& batch, std::int64_t bins, std::int64_t frames) const {
    const at::Tensor out = at::ones({batch.items, bins, frames}, at::kFloat);
    for (std::int64_t b = 0; b < batch.items; ++b) {
      for (const SpecMask& mask : spec_masks(settings_.spec_augment, static_cast<std::int64_t>(settings_.seed),
                                             batch.epoch, batch.first + b, frames, bins)) {
        out.select(0, b).slice(mask.frequency ? 0 : 1, mask.begin, mask.end).zero_();
      }
    }
    return out.to(options_);
  }

  at::Tensor loss_tensor(const BatchView& batch, const nn::ForwardOptions& options) const {
    const auto tensor = [&](const float* values, std::vector<std::int64_t> shape) {
      return at::from_blob(const_cast<float*>(values), shape, at::kFloat).to(options_);
    };
    at::Tensor targets = tensor(batch.stem_values, {batch.items, batch.stems, batch.channels, batch.samples});
    const at::Tensor mixture = batch.mixture_values == nullptr
                                   ? targets.sum(1)
                                   : tensor(batch.mixture_values, {batch.items, batch.channels, batch.samples});
    if (!settings_.target_stems.empty()) targets = sums(targets);
    const nn::Estimates estimates = network_->forward(mixture, options);
    return loss_of(settings_.loss, estimates, mixture, targets, network_->stft());
  }

  /// Stems to the network's targets.
  at::Tensor sums(const at::Tensor& stems) const {
    bool same = static_cast<std::int64_t>(settings_.target_stems.size()) == stems.size(1);
    for (std::size_t t = 0; t < settings_.target_stems.size(); ++t) {
      same = same && settings_.target_stems[t] == std::vector<int>{static_cast<int>(t)};
    }
    if (same) return stems;
    std::vector<at::Tensor> out;
    for (const std::vector<int>& parts : settings_.target_stems) {
      at::Tensor sum = stems.select(1, parts.front());
      for (std::size_t i = 1; i < parts.size(); ++i) sum = sum + stems.select(1, parts[i]);
      out.push_back(sum);
    }
    return at::stack(out, 1);
  }

  /// The norm over all gradients, which are brought to the bound.
  double clip() {
    const torch::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients;
    for (const auto& [name, p] : trained_) {
      if (p.grad().defined()) gradients.push_back(p.grad());
    }
    if (gradients.empty()) return 0;
    const at::Tensor total = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)));
    const double norm = total.item<double>();
    const double bound = settings_.optimiser.clip_norm;
    if (bound > 0 && norm > bound) at::_foreach_mul_(gradients, bound / (norm + 1e-6));
    return norm;
  }

  void average() {
    if (average_.empty()) return;
    const torch::NoGradGuard no_grad;
    const double d = settings_.optimiser.ema_decay;
    average_count_ = average_count_ * d + 1;
    const double share = settings_.optimiser.ema_unbiased ? 1 / average_count_ : 1 - d;
    std::vector<at::Tensor> averages, values;
    for (const auto& [name, tensor] : average_) averages.push_back(tensor);
    for (const auto& [name, tensor] : all()) values.push_back(tensor.detach());
    at::_foreach_lerp_(averages, values, share);
  }

  [[noreturn]] void refuse_loss(double value, const char* which) const {
    throw Error({Code::numeric, kWhere, c10::str("the loss ", which, " is no finite number in step ", steps_ + 1),
                 "a finite number", std::to_string(value),
                 "a smaller optimiser.rate or optimiser.clip_norm helps; the last checkpoint is whole"});
  }

  LearnerSettings settings_;
  at::Device device_ = at::kCPU;
  at::TensorOptions options_;
  std::unique_ptr<nn::Trainable> network_, teacher_;
  nn::ForwardOptions forward_;
  Named trained_;
  /// Running statistics, now and before this step's batches.
  struct Buffer {
    at::Tensor now, before;
    bool frozen;
  };
  std::vector<Buffer> buffers_;
  std::optional<Optimiser> optimiser_;
  Named average_;
  double average_count_ = 0;
  std::int64_t steps_ = 0;
  std::uint32_t added_ = 0;  ///< batches since the last update
  Statistics statistics_;
};

}  // namespace

std::unique_ptr<Learner> make_torch_learner(const nn::TrainableTable& table, const LearnerSettings& settings) {
  return std::make_unique<TorchLearner>(table, settings);
}

std::unique_ptr<Learner> make_learner_of(const std::vector<AddTrainables>& families, const LearnerSettings& settings) {
  nn::TrainableTable table;
  for (const AddTrainables add : families) add(table);
  return make_torch_learner(table, settings);
}

}  // namespace mss::training
