#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "nn/torch/losses_torch.h"
#include "nn/torch/stft_torch.h"
#include "training/torch/losses_torch.h"

namespace mss::training {
namespace {

struct Pair {
  at::Tensor estimate, target;  ///< (B, S, C, …)
};

/// Estimates and targets in every domain, each made when a term first asks for it.
class Signals {
 public:
  Signals(const LossRecipe& recipe, const nn::Estimates& estimates, const at::Tensor& mixture,
          const at::Tensor& targets, const std::optional<audio::StftSpec>& own)
      : given_(estimates), mixture_(mixture), targets_(targets), spec_(own.value_or(transform_of(recipe))) {}

  at::Tensor estimated_waveforms() {
    return given_.waveforms.defined() ? given_.waveforms : nn::istft(estimated_spectra(), spec_, covered());
  }

  const Pair& waveforms() {
    if (!waveforms_.estimate.defined()) {
      waveforms_.estimate = estimated_waveforms();
      waveforms_.target = targets_.narrow(3, given_.begin, waveforms_.estimate.size(3));
    }
    return waveforms_;
  }

  const Pair& spectra() {
    if (!spectra_.estimate.defined()) spectra_ = {estimated_spectra(), target_spectra()};
    return spectra_;
  }

  /// Estimates less targets as the inverse of their spectra's difference; of networks on waveforms their own.
  at::Tensor inverse_difference() {
    if (given_.waveforms.defined()) return waveforms().estimate - waveforms().target;
    return nn::istft(estimated_spectra() - target_spectra(), spec_, covered());
  }

  const Pair& magnitudes() {
    if (!magnitudes_.estimate.defined()) {
      magnitudes_.estimate = given_.magnitudes.defined() ? given_.magnitudes : estimated_spectra().abs();
      magnitudes_.target = as_estimated(target_spectra().abs());
    }
    return magnitudes_;
  }

  /// |E| and what of T is in phase with the mixture.
  Pair in_phase() {
    const at::Tensor direction = at::sgn(mixture_spectrum()).unsqueeze(1);
    return {magnitudes().estimate, as_estimated(at::real(target_spectra() * direction.conj()))};
  }

  /// Waveforms of whole hops, for X-UMX: estimates, targets and mixture.
  std::pair<Pair, at::Tensor> whole_hops() {
    if (given_.waveforms.defined()) {
      return {waveforms(), mixture_.narrow(2, given_.begin, given_.waveforms.size(3))};
    }
    const std::int64_t samples =
        spec_.framing == audio::Framing::none ? covered() : spec_.hop_samples * (mixture_spectrum().size(3) - 1);
    if (samples <= 0) throw Error(Code::config, "data.crop_seconds", "examples are too short for this loss");
    return {{nn::istft(estimated_spectra().narrow(4, 0, nn::stft_frames(spec_, samples)), spec_, samples),
             targets_.narrow(3, 0, samples)},
            mixture_.narrow(2, 0, samples)};
  }

 private:
  static audio::StftSpec transform_of(const LossRecipe& recipe) {
    audio::StftSpec spec;
    spec.fft_size = static_cast<int>(recipe.fft_samples > 0 ? recipe.fft_samples : 4096);
    spec.hop_samples = static_cast<int>(recipe.hop_samples > 0 ? recipe.hop_samples : spec.fft_size / 4);
    spec.framing = audio::Framing::centered_reflect;
    return spec;
  }

  /// Samples from the first on that frames reach.
  std::int64_t covered() {
    if (spec_.framing != audio::Framing::none) return mixture_.size(2);
    return spec_.fft_size + spec_.hop_samples * (mixture_spectrum().size(3) - 1);
  }

  const at::Tensor& mixture_spectrum() {
    if (!mixture_spectrum_.defined()) {
      mixture_spectrum_ =
          given_.mixture.defined()
              ? given_.mixture
              : nn::stft(
                    given_.waveforms.defined() ? mixture_.narrow(2, given_.begin, given_.waveforms.size(3)) : mixture_,
                    spec_);
    }
    return mixture_spectrum_;
  }

  const at::Tensor& estimated_spectra() {
    if (!estimated_spectra_.defined()) {
      estimated_spectra_ = given_.spectra.defined()      ? given_.spectra
                           : given_.magnitudes.defined() ? given_.magnitudes * at::sgn(mixture_spectrum()).unsqueeze(1)
                                                         : nn::stft(given_.waveforms, spec_);
    }
    return estimated_spectra_;
  }

  const at::Tensor& target_spectra() {
    if (!target_spectra_.defined()) {
      target_spectra_ = nn::stft(
          given_.waveforms.defined() ? targets_.narrow(3, given_.begin, given_.waveforms.size(3)) : targets_, spec_);
    }
    return target_spectra_;
  }

  /// A network on one channel sees the mean of the channels.
  at::Tensor as_estimated(const at::Tensor& target) {
    const bool mean = given_.magnitudes.defined() && given_.magnitudes.size(2) == 1 && target.size(2) > 1;
    return mean ? target.mean(2, /*keepdim=*/true) : target;
  }

  const nn::Estimates& given_;
  const at::Tensor &mixture_, &targets_;
  audio::StftSpec spec_;
  Pair waveforms_, spectra_, magnitudes_;
  at::Tensor mixture_spectrum_, estimated_spectra_, target_spectra_;
};

/// Values (B, S, …) to their mean per target, weighted over targets; the plain mean where nobody weighs.
class Reduce {
 public:
  Reduce(const LossRecipe& recipe, std::int64_t targets) : weights_(recipe.target_weights) {
    if (!weights_.empty() && static_cast<std::int64_t>(weights_.size()) != targets) {
      throw Error({Code::config, "loss.target_weights", "as many weights as targets", std::to_string(targets),
                   std::to_string(weights_.size()), ""});
    }
    for (const double w : weights_) sum_ += w;
  }
  bool weighted() const { return !weights_.empty(); }
  at::Tensor operator()(const at::Tensor& values) const {
    if (weights_.empty()) return values.mean();
    at::Tensor total;
    for (std::size_t s = 0; s < weights_.size(); ++s) {
      const at::Tensor one = values.select(1, static_cast<std::int64_t>(s)).mean() * (weights_[s] / sum_);
      total = total.defined() ? total + one : one;
    }
    return total;
  }

 private:
  std::vector<double> weights_;
  double sum_ = 0;
};

at::Tensor squared_error(const Pair& p, const Reduce& reduce) {
  return reduce.weighted() ? reduce((p.estimate - p.target).square()) : at::mse_loss(p.estimate, p.target);
}
at::Tensor absolute_error(const Pair& p, const Reduce& reduce) {
  return reduce.weighted() ? reduce((p.estimate - p.target).abs()) : at::l1_loss(p.estimate, p.target);
}

at::Tensor spectral_error(const Pair& p, const Reduce& reduce) {
  const at::Tensor difference = at::view_as_real(p.estimate - p.target);  // (B, S, C, F, N, 2)
  return 2.0 * reduce(difference.abs());  // the sum of two means over half of the values each
}

constexpr double kEps = 1e-8;

/// Sums over channels and samples, (B, S).
at::Tensor energy(const at::Tensor& x) { return x.square().sum(at::IntArrayRef{2, 3}); }

at::Tensor multi_domain(const LossRecipe& recipe, Signals& signals) {
  const auto first = [](const at::Tensor& x) { return x.transpose(0, 1); };  // targets first
  const auto [waves, mixture] = signals.whole_hops();
  const Pair& magnitudes = signals.magnitudes();
  const at::Tensor e = first(waves.estimate), t = first(waves.target);
  if (recipe.combinations) {
    return recipe.time_weight * nn::combination_wsdr(e, t, mixture, recipe.trim_samples) +
           nn::combination_mse(first(magnitudes.estimate), first(magnitudes.target));
  }
  // A target alone beside all that it is not: their weighted SDRs are the same number.
  at::Tensor time;
  for (std::int64_t s = 0; s < e.size(0); ++s) {
    const at::Tensor one = nn::combination_wsdr(at::stack({e[s], mixture - e[s]}), at::stack({t[s], mixture - t[s]}),
                                                mixture, recipe.trim_samples);
    time = time.defined() ? time + one : one;
  }
  return recipe.time_weight * time / static_cast<double>(e.size(0)) +
         at::mse_loss(magnitudes.estimate, magnitudes.target);
}

at::Tensor term_of(LossTerm term, const LossRecipe& recipe, Signals& signals, const Reduce& reduce,
                   std::int64_t targets) {
  switch (term) {
    case LossTerm::mse_time:
      return squared_error(signals.waveforms(), reduce);
    case LossTerm::mse_magnitude:
      return squared_error(signals.magnitudes(), reduce);
    case LossTerm::l1_time:
      return absolute_error(signals.waveforms(), reduce);
    case LossTerm::l1_spectrum:
      return spectral_error(signals.spectra(), reduce);
    case LossTerm::l1_both:
      return spectral_error(signals.spectra(), reduce) + reduce(signals.inverse_difference().abs());
    case LossTerm::log_l2: {
      const Pair& p = signals.waveforms();
      return reduce(10.0 * at::log10(energy(p.estimate - p.target) + kEps));
    }
    case LossTerm::psm:
      return squared_error(signals.in_phase(), reduce);
    case LossTerm::complex_mse: {
      const Pair& p = signals.spectra();
      return 2.0 * reduce(at::view_as_real(p.estimate - p.target).square());
    }
    case LossTerm::usdr: {
      const Pair& p = signals.waveforms();
      return reduce(-10.0 * at::log10((energy(p.target) + kEps) / (energy(p.estimate - p.target) + kEps)));
    }
    case LossTerm::si_sdr: {
      const Pair& p = signals.waveforms();
      return reduce(-nn::si_sdr_db(p.estimate, p.target));
    }
    case LossTerm::xumx:
      if (targets < 2 && recipe.combinations) {
        throw Error({Code::config, "loss.terms", "xumx compares sums of targets", "two targets or more",
                     std::to_string(targets), "loss.combinations = false takes one"});
      }
      if (reduce.weighted()) {
        throw Error(Code::config, "loss.target_weights", "xumx is one loss of all targets, which are not weighted");
      }
      return multi_domain(recipe, signals);
  }
  throw Error(Code::internal, "loss.terms", "unknown term");
}

}  // namespace

at::Tensor waveforms_of(const nn::Estimates& estimates, const at::Tensor& mixture,
                        const std::optional<audio::StftSpec>& own) {
  Signals signals({}, estimates, mixture, {}, own);
  return signals.estimated_waveforms();
}

at::Tensor loss_of(const LossRecipe& recipe, const nn::Estimates& estimates, const at::Tensor& mixture,
                   const at::Tensor& targets, const std::optional<audio::StftSpec>& own) {
  Signals signals(recipe, estimates, mixture, targets, own);
  const Reduce reduce(recipe, targets.size(1));
  at::Tensor total;
  for (std::size_t i = 0; i < recipe.terms.size(); ++i) {
    at::Tensor term = term_of(recipe.terms[i], recipe, signals, reduce, targets.size(1));
    if (!recipe.weights.empty() && recipe.weights[i] != 1.0) term = term * recipe.weights[i];
    total = total.defined() ? total + term : term;
  }
  return total;
}

}  // namespace mss::training
