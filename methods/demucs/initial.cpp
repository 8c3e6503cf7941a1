#include "methods/demucs/initial.h"

#include <cmath>
#include <string_view>
#include <vector>

#include "methods/demucs/model.h"
#include "nn/trace.h"

namespace mss::methods::demucs {
namespace {

std::string layer_of(const std::string& name) { return name.substr(0, name.rfind('.')); }

}  // namespace

double rescale_factor(std::span<const float> weight, double reference) noexcept {
  if (weight.size() < 2) return 1.0;
  double sum = 0.0, squares = 0.0;
  for (const float v : weight) sum += static_cast<double>(v);
  const double mean = sum / static_cast<double>(weight.size());
  for (const float v : weight) squares += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
  const double std = std::sqrt(squares / static_cast<double>(weight.size() - 1));
  return std > 0.0 ? std::sqrt(std / reference) : 1.0;
}

InitialSource::InitialSource(const Configuration& configuration, std::uint64_t seed)
    : configuration_(configuration), seed_(seed) {
  if (configuration.architecture != Architecture::demucs || configuration.rescale <= 0.0) return;
  nn::Listing listing;
  const Demucs<nn::Trace> model(nn::Trace::Scope(listing), configuration);
  for (const nn::Listing::Entry& entry : listing.entries) {
    if (entry.parameter.name == "weight" && entry.parameter.shape.size() == 3) {
      convolutions_[layer_of(entry.name)] = entry.parameter;
    }
  }
}

double InitialSource::factor_of(const std::string& layer) {
  const auto convolution = convolutions_.find(layer);
  if (convolution == convolutions_.end()) return 1.0;
  {
    const std::scoped_lock hold(lock_);
    const auto known = factors_.find(layer);
    if (known != factors_.end()) return known->second;
  }
  const nn::Parameter& weight = convolution->second;
  std::vector<float> values(static_cast<std::size_t>(nn::element_count(weight.shape)));
  nn::draw(seed_, layer + ".weight", weight, values);
  const double factor = rescale_factor(values, configuration_.rescale);
  const std::scoped_lock hold(lock_);
  factors_[layer] = factor;
  return factor;
}

void InitialSource::fill(const std::string& name, const nn::Parameter& parameter, std::span<float> values) {
  if (configuration_.architecture == Architecture::conv_tasnet) {
    const nn::Shape& shape = parameter.shape;
    nn::Parameter glorot = parameter;
    if (shape.size() >= 2) {
      std::int64_t taps = 1;
      for (std::size_t i = 2; i < shape.size(); ++i) taps *= shape[i];
      glorot.init = {nn::Init::Kind::normal, std::sqrt(2.0 / static_cast<double>((shape[0] + shape[1]) * taps))};
    } else if (parameter.init.size != 0.25) {
      // The authors hold gains and offsets of normalisations as (1, C, 1), so that these are drawn too; slopes are not.
      glorot.init = {nn::Init::Kind::normal, std::sqrt(2.0 / static_cast<double>(shape[0] + 1))};
    }
    nn::draw(seed_, name, glorot, values);
    return;
  }
  nn::draw(seed_, name, parameter, values);
  const double factor = factor_of(layer_of(name));
  if (factor == 1.0) return;
  for (float& v : values) v = static_cast<float>(static_cast<double>(v) / factor);
}

}  // namespace mss::methods::demucs
