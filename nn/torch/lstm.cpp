#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "core/error.h"
#include "nn/torch/lstm_torch.h"

namespace mss::nn {

LstmImpl::LstmImpl(const ModuleLstmOptions& options) : options_(options) {
  if (options.input < 1 || options.hidden < 1 || options.layers < 1 || !(options.dropout >= 0 && options.dropout < 1)) {
    throw Error(Code::invalid_argument, "nn::Lstm", "sizes are at least 1 and dropout lies in [0, 1)");
  }
  const std::int64_t directions = options.bidirectional ? 2 : 1;
  for (std::int64_t layer = 0; layer < options.layers; ++layer) {
    const std::int64_t input = layer == 0 ? options.input : options.hidden * directions;
    for (std::int64_t d = 0; d < directions; ++d) {
      const std::string suffix = "_l" + std::to_string(layer) + (d == 1 ? "_reverse" : "");
      const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
        weights_.push_back(register_parameter(name + suffix, torch::zeros(shape)));
      };
      add("weight_ih", {4 * options.hidden, input});
      add("weight_hh", {4 * options.hidden, options.hidden});
      add("bias_ih", {4 * options.hidden});
      add("bias_hh", {4 * options.hidden});
    }
  }
}

std::vector<at::Tensor> LstmImpl::direction(std::int64_t layer, bool reverse) const {
  const std::int64_t directions = options_.bidirectional ? 2 : 1;
  std::vector<at::Tensor> out;
  // By name: the registered tensors, also after Module::to() has replaced their data.
  const auto parameters = this->parameters(false);
  const auto first = static_cast<std::size_t>(4 * (layer * directions + (reverse ? 1 : 0)));
  for (std::size_t i = 0; i < 4; ++i) out.push_back(parameters[first + i]);
  return out;
}

at::Tensor LstmImpl::forward(const at::Tensor& x) {
  const std::int64_t directions = options_.bidirectional ? 2 : 1;
  const at::Tensor zero = torch::zeros({options_.layers * directions, x.size(1), options_.hidden}, x.options());
  const auto weights = parameters(false);
  return std::get<0>(at::lstm(x, {zero, zero}, weights, /*has_biases=*/true, options_.layers, options_.dropout,
                              is_training(), options_.bidirectional, /*batch_first=*/false));
}

at::Tensor LstmImpl::forward_in_blocks(const at::Tensor& x, std::int64_t block_frames) {
  MSS_ASSERT(block_frames >= 1);
  MSS_ASSERT(!is_training() || options_.dropout == 0);
  const std::int64_t frames = x.size(0);
  at::Tensor in = x;
  for (std::int64_t layer = 0; layer < options_.layers; ++layer) {
    std::vector<at::Tensor> outputs;
    for (const bool reverse : {false, true}) {
      if (reverse && !options_.bidirectional) continue;
      const std::vector<at::Tensor> weights = direction(layer, reverse);
      at::Tensor h = torch::zeros({1, x.size(1), options_.hidden}, x.options());
      at::Tensor c = h.clone();
      std::vector<at::Tensor> blocks;
      for (std::int64_t begin = 0; begin < frames; begin += block_frames) {
        const std::int64_t size = std::min(block_frames, frames - begin);
        at::Tensor block =
            in.slice(0, reverse ? frames - begin - size : begin, reverse ? frames - begin : begin + size);
        if (reverse) block = block.flip(0);
        at::Tensor y;
        std::tie(y, h, c) = at::lstm(block, {h, c}, weights, /*has_biases=*/true, /*num_layers=*/1, /*dropout=*/0.0,
                                     /*train=*/false, /*bidirectional=*/false, /*batch_first=*/false);
        blocks.push_back(reverse ? y.flip(0) : y);
      }
      if (reverse) std::reverse(blocks.begin(), blocks.end());
      outputs.push_back(at::cat(blocks, 0));
    }
    in = outputs.size() == 1 ? outputs[0] : at::cat(outputs, 2);
  }
  return in;
}

}  // namespace mss::nn
