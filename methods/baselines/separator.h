// Separators of the baselines: one network per target, and what the targets leave of the mixture as `accompaniment`.
//
// conv1d sees its 28 samples of the track around every piece of a second, so that pieces leave no trace. dprnn runs on pieces of
// 6 s, one every 3 s, joined with linear ramps; a shorter piece is filled with zeros. Its masks multiply the mixture's
// spectrum, whose phase stays.
//
// Thread-safety: as Separator.
#pragma once

#include <functional>
#include <memory>

#include "core/value.h"
#include "methods/network_entry.h"
#include "methods/separator.h"
#include "nn/scope.h"
#include "nn/tensor.h"

namespace mss::methods::baselines {

/// One network on some engine.
class Network {
 public:
  virtual ~Network() = default;
  virtual nn::Tensor forward(const nn::Tensor& x) const = 0;
};
using MakeNetworkFn = std::function<std::unique_ptr<Network>(nn::Source& weights, const core::Value& configuration)>;

std::unique_ptr<Network> make_native_conv1d(nn::Source& weights, const core::Value& configuration);
std::unique_ptr<Separator> make_conv1d(NetworkRequest request, const MakeNetworkFn& make);

std::unique_ptr<Network> make_native_dprnn(nn::Source& weights, const core::Value& configuration);
std::unique_ptr<Separator> make_dprnn(NetworkRequest request, const MakeNetworkFn& make);

}  // namespace mss::methods::baselines
