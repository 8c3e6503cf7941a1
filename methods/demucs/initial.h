// Initial values of the family's networks.
//
// Demucs: PyTorch's, then for every convolution with standard deviation std (unbiased, over the whole weight tensor)
// s = sqrt(std / reference), weight and bias both divided by s, which brings the standard deviation halfway (in dB) to
// the reference. LSTM and linear layer stay as they are. Conv-TasNet: all tensors normal with variance
// 2 / (fan in + fan out) (Glorot and Bengio 2010), gains and offsets of normalisations too; slopes of PReLU 0.25.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>

#include "methods/demucs/configuration.h"
#include "nn/scope.h"

namespace mss::methods::demucs {

/// What a convolution's weight and bias are divided by; 1 for weights that are all equal.
double rescale_factor(std::span<const float> weight, double reference) noexcept;

/// A pure function of (seed, name): tensors may be asked for in any order and from several threads at once.
class InitialSource final : public nn::Source {
 public:
  InitialSource(const Configuration& configuration, std::uint64_t seed);
  void fill(const std::string& name, const nn::Parameter& parameter, std::span<float> values) override;

 private:
  double factor_of(const std::string& layer);

  Configuration configuration_;
  std::uint64_t seed_;
  std::map<std::string, nn::Parameter, std::less<>> convolutions_;  ///< layer -> its weight
  std::mutex lock_;
  std::map<std::string, double, std::less<>> factors_;  ///< of the layers that were asked for
};

}  // namespace mss::methods::demucs
