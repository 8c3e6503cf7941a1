// The layer sets against each other: Cpu and Torch hold the same weights and see the same input; Trace agrees with both
// on shapes and names. One case for every layer and function. Torch is held against finite differences in float64.
#include <functional>
#include <map>

#include "core/error.h"
#include "nn/cpu.h"
#include "nn/sequences.h"
#include "nn/torch/layers_torch.h"
#include "nn/trace.h"
#include "tests/nn/torch/support_torch.h"

namespace mss::nn {
namespace {

using tests::keyed;
using tests::largest_difference;

Tensor to_cpu(const at::Tensor& x) {
  const at::Tensor flat = x.contiguous();
  return Tensor::from(flat.data_ptr<float>(), flat.size(0), flat.size(1), flat.size(2));
}

/// Values away from PyTorch's defaults, so that every parameter counts: statistics and scales around 1, others as
/// drawn.
class TestSource final : public Source {
 public:
  void fill(const std::string& name, const Parameter& p, std::span<float> values) override {
    Parameter changed = p;
    if (p.init.kind == Init::Kind::constant) changed.init = {Init::Kind::uniform, 0.3};
    draw(7, name, changed, values);
    if (p.init.kind == Init::Kind::constant && p.init.size == 1.0) {
      for (float& v : values) v += 1.0F;
    }
  }
};

/// One layer or function over any set.
struct Case {
  std::string name;
  std::int64_t items, frames, channels;
  std::function<Tensor(const Scope&, const Tensor&)> cpu;
  std::function<at::Tensor(const Torch::Scope&, const at::Tensor&)> torch;
  std::function<Trace::Tensor(const Trace::Scope&, const Trace::Tensor&)> trace;
};

/// `make` is generic: make.template operator()<L>(scope, x).
template <class Make>
Case make_case(std::string name, std::int64_t items, std::int64_t frames, std::int64_t channels, Make make) {
  return {std::move(name),
          items,
          frames,
          channels,
          [make](const Scope& w, const Tensor& x) { return make.template operator()<Cpu>(w, x); },
          [make](const Torch::Scope& w, const at::Tensor& x) { return make.template operator()<Torch>(w, x); },
          [make](const Trace::Scope& w, const Trace::Tensor& x) { return make.template operator()<Trace>(w, x); }};
}

#define MSS_CASE(NAME, B, T, C, ...)                                                              \
  make_case(NAME, B, T, C, []<class L>(const typename L::Scope& w, const typename L::Tensor& x) { \
    (void)w;                                                                                      \
    __VA_ARGS__                                                                                   \
  })

std::vector<Case> cases() {
  std::vector<Case> out;
  out.push_back(MSS_CASE("linear", 3, 7, 13, return typename L::Linear(w / "a", {.inputs = 13, .outputs = 37})(x);));
  out.push_back(MSS_CASE("linear without bias", 1, 201, 600,
                         return typename L::Linear(w / "a", {.inputs = 600, .outputs = 9, .bias = false})(x);));
  for (const Activation act :
       {Activation::relu, Activation::gelu, Activation::tanh, Activation::sigmoid, Activation::glu}) {
    out.push_back(make_case("linear with activation " + std::to_string(static_cast<int>(act)), 2, 50, 20,
                            [act]<class L>(const typename L::Scope& w, const typename L::Tensor& x) {
                              return typename L::Linear(w / "a", {.inputs = 20, .outputs = 45, .activation = act})(x);
                            }));
  }
  out.push_back(MSS_CASE(
      "linear and batch norm", 2, 31, 20,
      return typename L::LinearBatchNorm(
          w / "fc", w / "bn", {.inputs = 20, .outputs = 33, .bias = false, .activation = Activation::tanh})(x);));
  out.push_back(MSS_CASE("linear with bias and batch norm, gated", 2, 31, 20,
                         return typename L::LinearBatchNorm(
                             w / "fc", w / "bn", {.inputs = 20, .outputs = 33, .activation = Activation::glu})(x);));
  const auto conv = [&](const std::string& name, std::int64_t items, std::int64_t frames, Conv1dOptions o) {
    out.push_back(make_case("conv " + name, items, frames, o.inputs,
                            [o]<class L>(const typename L::Scope& w, const typename L::Tensor& x) {
                              return typename L::Conv1d(w / "conv", o)(x);
                            }));
  };
  conv("strided", 1, 409, {.inputs = 2, .outputs = 64, .kernel = 8, .stride = 4, .activation = Activation::relu});
  conv("strided, deep", 2, 120, {.inputs = 96, .outputs = 40, .kernel = 8, .stride = 4});
  conv("of few frames", 5, 11, {.inputs = 6, .outputs = 10, .kernel = 3});
  conv("pointwise, gated", 2, 150, {.inputs = 64, .outputs = 64, .activation = Activation::glu});
  conv("three taps, gated", 1, 230, {.inputs = 200, .outputs = 70, .kernel = 3, .activation = Activation::glu});
  conv("padded and dilated", 2, 40, {.inputs = 12, .outputs = 18, .kernel = 3, .dilation = 4, .padding = 4});
  conv("padded, strided", 2, 41, {.inputs = 5, .outputs = 7, .kernel = 5, .stride = 2, .padding = 3, .bias = false});
  conv("grouped", 2, 30,
       {.inputs = 12, .outputs = 24, .kernel = 3, .groups = 3, .padding = 1, .activation = Activation::tanh});
  conv("depthwise", 2, 60, {.inputs = 37, .outputs = 37, .kernel = 3, .dilation = 8, .groups = 37, .padding = 8});
  conv("depthwise, strided", 1, 600,
       {.inputs = 16,
        .outputs = 16,
        .kernel = 4,
        .stride = 2,
        .groups = 16,
        .bias = false,
        .activation = Activation::relu});
  conv("longer than the signal", 1, 3, {.inputs = 4, .outputs = 4, .kernel = 8});
  const auto transposed = [&](const std::string& name, std::int64_t items, std::int64_t frames,
                              ConvTranspose1dOptions o) {
    out.push_back(make_case("transposed conv " + name, items, frames, o.inputs,
                            [o]<class L>(const typename L::Scope& w, const typename L::Tensor& x) {
                              return typename L::ConvTranspose1d(w / "conv", o)(x);
                            }));
  };
  transposed("64 to 8", 1, 300, {.inputs = 64, .outputs = 8, .kernel = 8, .stride = 4});
  transposed("64 to 2", 3, 100, {.inputs = 64, .outputs = 2, .kernel = 8, .stride = 4, .bias = false});
  transposed("deep", 2, 33, {.inputs = 300, .outputs = 130, .kernel = 8, .stride = 4, .activation = Activation::relu});
  transposed("of an odd kernel", 2, 12,
             {.inputs = 6, .outputs = 10, .kernel = 7, .stride = 3, .activation = Activation::glu});
  transposed("shorter than the hop", 2, 12, {.inputs = 6, .outputs = 10, .kernel = 2, .stride = 3});
  transposed("of one frame", 1, 1, {.inputs = 6, .outputs = 3, .kernel = 8, .stride = 4});
  transposed("of two frames and a long kernel", 1, 2, {.inputs = 6, .outputs = 3, .kernel = 20, .stride = 4});
  const auto lstm = [&](const std::string& name, std::int64_t items, std::int64_t frames, LstmOptions o) {
    out.push_back(make_case("lstm " + name, items, frames, o.inputs,
                            [o]<class L>(const typename L::Scope& w, const typename L::Tensor& x) {
                              return typename L::Lstm(w / "lstm", o)(x);
                            }));
  };
  lstm("of one sequence", 1, 50, {.inputs = 20, .hidden = 33});
  lstm("of two layers and 13 sequences", 13, 21, {.inputs = 20, .hidden = 48, .layers = 2});
  lstm("forward only", 4, 37, {.inputs = 9, .hidden = 130, .layers = 2, .bidirectional = false});
  lstm("of 6 sequences", 6, 9, {.inputs = 16, .hidden = 256});
  lstm("of units that threads divide", 3, 6, {.inputs = 16, .hidden = 740});
  lstm("of one unit", 2, 5, {.inputs = 1, .hidden = 1});
  out.push_back(
      MSS_CASE("group norm, one group", 3, 70, 20, return typename L::GroupNorm(w / "n", {.channels = 20})(x);));
  out.push_back(MSS_CASE("group norm, four groups", 2, 70, 20,
                         return typename L::GroupNorm(w / "n", {.channels = 20, .groups = 4, .eps = 1e-7})(x);));
  out.push_back(MSS_CASE("group norm, as many groups as channels", 2, 70, 20,
                         return typename L::GroupNorm(w / "n", {.channels = 20, .groups = 20})(x);));
  out.push_back(MSS_CASE("layer norm", 2, 30, 21, return typename L::LayerNorm(w / "n", {.channels = 21})(x);));
  out.push_back(MSS_CASE("layer norm with weights per frame", 2, 30, 21,
                         return typename L::LayerNorm(w / "n", {.channels = 21, .frames = 30})(x);));
  out.push_back(MSS_CASE("layer norm with weights per frame, channels first", 2, 30, 21,
                         return
                         typename L::LayerNorm(w / "n", {.channels = 21, .frames = 30, .channels_first = true})(x);));
  out.push_back(MSS_CASE("batch norm", 2, 30, 21, return typename L::BatchNorm(w / "n", {.channels = 21})(x);));
  out.push_back(MSS_CASE("embedding", 1, 4, 6, {
    const std::vector<std::int64_t> rows{3, 0, 3, 1};
    return L::add(x, typename L::Embedding(w / "e", {.rows = 5, .channels = 6})(rows));
  }));
  out.push_back(MSS_CASE("prelu", 2, 30, 21, return typename L::PRelu(w / "p", {})(x);));
  out.push_back(MSS_CASE("prelu per channel", 2, 30, 21, return typename L::PRelu(w / "p", {.channels = 21})(x);));
  out.push_back(MSS_CASE("vectors, repeated", 2, 30, 21, {
    const typename L::Vector mean(w, "mean", {.channels = 7, .repeats = 3}),
        scale(w, "scale", {.channels = 7, .repeats = 3, .init = {Init::Kind::constant, 1.0}});
    return scale.multiply(mean.add(x));
  }));
  out.push_back(MSS_CASE("linear, batch norm and vectors", 2, 31, 20, {
    const typename L::Vector factor(w, "factor", {.channels = 11, .repeats = 3, .init = {Init::Kind::constant, 1.0}}),
        summand(w, "summand", {.channels = 33});
    return typename L::LinearBatchNorm(
        w / "fc", w / "bn", {.inputs = 20, .outputs = 33, .activation = Activation::relu}, factor, summand)(x);
  }));
  out.push_back(MSS_CASE("vectors", 2, 30, 21, {
    const typename L::Vector mean(w, "mean", {.channels = 21}),
        scale(w, "scale", {.channels = 21, .init = {Init::Kind::constant, 1.0}});
    return scale.multiply(mean.add(x));
  }));
  out.push_back(MSS_CASE(
      "filter bank up", 2, 60, 2,
      return typename L::FilterBank(2, 1, 3, {.1, .2, .3, .4, .5, .6, .7, -.1, -.2, -.3, -.4, -.5, -.6, -.7})(x);));
  out.push_back(
      MSS_CASE("filter bank down", 2, 61, 3, return typename L::FilterBank(1, 2, 2, {.1, .2, .3, .4, .5, .6})(x);));
  out.push_back(MSS_CASE("filter bank of 3 to 2", 1, 50, 1,
                         return typename L::FilterBank(3, 2, 1, {.1, .2, .3, .4, .5, .6, .7, .8, .9})(x);));
  for (const char* name : {"relu", "gelu", "tanh", "sigmoid", "softmax", "glu", "log1p", "sqrt", "reciprocal"}) {
    out.push_back(make_case(name, 2, 40, 26,
                            [f = std::string(name)]<class L>(const typename L::Scope&, const typename L::Tensor& x) {
                              const typename L::Tensor wide = L::scale(x, 6.0);
                              if (f == "relu") return L::relu(wide);
                              if (f == "gelu") return L::gelu(wide);
                              if (f == "tanh") return L::tanh(wide);
                              if (f == "sigmoid") return L::sigmoid(wide);
                              if (f == "softmax") return L::softmax(wide);
                              if (f == "glu") return L::glu(wide);
                              if (f == "sqrt") return L::sqrt(L::scale(wide, 1.0, 7.0));
                              if (f == "reciprocal") return L::reciprocal(L::scale(wide, 1.0, 7.0));
                              return L::log1p(L::relu(wide));
                            }));
  }
  out.push_back(MSS_CASE("add, multiply, repeated", 3, 20, 8, {
    const auto one = L::narrow(x, 0, 1, 1);
    return L::multiply(L::add(x, one), L::narrow(L::scale(x, 2.0, 0.5), 1, 3, 1));
  }));
  out.push_back(MSS_CASE("complex product", 2, 20, 8, return L::complex_multiply(x, L::scale(x, -0.5, 0.25));));
  out.push_back(MSS_CASE("narrow and concat", 3, 20, 8, {
    const auto a = L::concat({L::narrow(x, 2, 1, 3), L::narrow(x, 2, 5, 2)}, 2);
    const auto b = L::concat({L::narrow(a, 1, 4, 6), L::narrow(a, 1, 0, 5)}, 1);
    return L::concat({b, L::narrow(b, 0, 1, 2)}, 0);
  }));
  out.push_back(MSS_CASE(
      "linear of a narrow view", 3, 20, 30,
      return typename L::Linear(w / "a", {.inputs = 11, .outputs = 8})(L::narrow(L::narrow(x, 2, 7, 11), 1, 3, 9));));
  out.push_back(MSS_CASE("conv of a narrow view", 3, 20, 30,
                         return typename L::Conv1d(w / "a", {.inputs = 11, .outputs = 8, .kernel = 3})(
                             L::narrow(L::narrow(x, 2, 7, 11), 1, 3, 9));));
  out.push_back(MSS_CASE("pad", 2, 9, 4, return L::pad(x, 3, 2);));
  out.push_back(MSS_CASE("reshape", 2, 9, 4, return L::reshape(x, 1, 36, 2);));
  out.push_back(MSS_CASE("exchange", 6, 9, 4, return L::exchange(x, 3);));
  out.push_back(MSS_CASE("exchange and back", 6, 9, 4, return L::exchange(L::exchange(x, 3), 9);));
  out.push_back(MSS_CASE("exchange within", 6, 9, 4, return L::exchange_within(x, 2);));
  out.push_back(MSS_CASE("exchange within and back", 6, 9, 4, return L::exchange_within(L::exchange_within(x, 2), 9);));
  out.push_back(MSS_CASE("transpose", 3, 9, 4, return L::transpose(x);));
  out.push_back(MSS_CASE("mean over frames", 3, 9, 4, return L::mean_frames(x);));
  out.push_back(MSS_CASE("segments and back", 2, 26, 4, return L::fold(L::unfold(x, 6, 4), 2, 4);));
  out.push_back(MSS_CASE("segments of three pieces and back", 2, 31, 4, return L::fold(L::unfold(x, 7, 3), 2, 3);));
  out.push_back(MSS_CASE("attention", 2, 30, 24, {
    const typename L::Linear q(w / "q", {.inputs = 24, .outputs = 24}), k(w / "k", {.inputs = 24, .outputs = 24}),
        v(w / "v", {.inputs = 24, .outputs = 12});
    return L::attention(q(x), L::narrow(k(x), 1, 0, 17), L::narrow(v(x), 1, 0, 17), 4);
  }));
  out.push_back(MSS_CASE("standardise", 3, 20, 8, return L::standardise(L::scale(x, 3.0, 5.0), 1e-5);));
  return out;
}

}  // namespace

TEST_CASE("the layer sets Cpu and Torch agree, with any number of threads and any batch", "[nn_torch]") {
  for (const Case& c : cases()) {
    INFO(c.name);
    const at::Tensor x = keyed(c.name, {c.items, c.frames, c.channels});
    TestSource source;
    TorchWeights weights(source);
    const at::Tensor expected = c.torch(Torch::Scope(weights), x).detach().contiguous();
    const Tensor given = to_cpu(x);
    const std::vector<float> once = c.cpu(Scope(source), given).values();
    const at::Tensor found = at::from_blob(const_cast<float*>(once.data()), expected.sizes(), at::kFloat).clone();
    REQUIRE(static_cast<std::int64_t>(once.size()) == expected.numel());
    const double size = std::max(1.0, expected.numel() == 0 ? 0.0 : expected.abs().max().item<double>());
    CHECK(largest_difference(expected, found) <= 2e-6 * size);
    for (const int threads : {1, 2, 3, 8}) {
      const RunScope scope(threads);
      CHECK(c.cpu(Scope(source), given).values() == once);
    }
  }
}

TEST_CASE("every item of a batch is what it is alone", "[nn_torch]") {
  for (const Case& c : cases()) {
    // These mix items on purpose.
    if (c.items == 1 || c.name.starts_with("exchange") || c.name.starts_with("reshape") ||
        c.name.starts_with("narrow and") || c.name.starts_with("add,"))
      continue;
    INFO(c.name);
    const Tensor x = to_cpu(keyed(c.name, {c.items, c.frames, c.channels}));
    TestSource source;
    const Tensor whole = c.cpu(Scope(source), x);
    const std::int64_t each = whole.items() / c.items;
    for (std::int64_t b = 0; b < c.items; ++b) {
      const bool folds = c.name.find("and back") != std::string::npos;
      if (folds) break;  // the number of items is an argument
      CHECK(c.cpu(Scope(source), x.narrow(0, b, 1)).values() == whole.narrow(0, b * each, each).values());
    }
  }
}

TEST_CASE("the layer set Trace knows shapes and names", "[nn_torch]") {
  for (const Case& c : cases()) {
    INFO(c.name);
    TestSource source;
    TorchWeights weights(source);
    const at::Tensor y = c.torch(Torch::Scope(weights), keyed(c.name, {c.items, c.frames, c.channels}));
    Listing listing;
    const Trace::Tensor shape = c.trace(Trace::Scope(listing), {c.items, c.frames, c.channels, &listing});
    CHECK(std::vector<std::int64_t>{shape.B, shape.T, shape.C} == y.sizes().vec());
    std::map<std::string, std::vector<std::int64_t>> listed, made;
    for (const Listing::Entry& e : listing.entries) listed[e.name] = e.parameter.shape;
    for (const auto* list : {&weights.parameters(), &weights.buffers()}) {
      for (const auto& [name, tensor] : *list) made[name] = tensor.sizes().vec();
    }
    CHECK(listed == made);
  }
}

TEST_CASE("gradients of the layer set Torch are those of finite differences", "[nn_torch]") {
  for (const Case& c : cases()) {
    INFO(c.name);
    TestSource source;
    TorchWeights weights(source, at::TensorOptions().dtype(at::kDouble));
    // Away from the kinks of relu and prelu.
    at::Tensor x = keyed(c.name, {c.items, c.frames, c.channels}, -1, 1, at::kDouble).requires_grad_(true);
    const auto loss = [&] {
      const at::Tensor y = c.torch(Torch::Scope(weights), x);
      if (y.numel() == 0) return at::Tensor();
      return (y * keyed("direction", y.sizes().vec(), -1, 1, at::kDouble)).sum();
    };
    const at::Tensor value = loss();
    if (!value.defined()) continue;
    value.backward();
    std::vector<std::pair<std::string, at::Tensor>> inputs = weights.parameters();
    inputs.emplace_back("x", x);
    for (auto& [name, tensor] : inputs) {
      if (!tensor.grad().defined()) continue;
      INFO(name);
      const torch::NoGradGuard no_grad;
      // Along one direction, which sees every element.
      const at::Tensor direction = keyed("step " + name, tensor.sizes().vec(), -1, 1, at::kDouble);
      const double step = 1e-6;
      tensor.add_(direction, step);
      const double above = loss().item<double>();
      tensor.add_(direction, -2 * step);
      const double below = loss().item<double>();
      tensor.add_(direction, step);
      const double expected = (tensor.grad() * direction).sum().item<double>();
      // A kink between the two points costs half a step of it.
      const bool kinks = c.name.find("relu") != std::string::npos || c.name.find("activation 1") != std::string::npos ||
                         c.name.starts_with("conv strided") || c.name.starts_with("conv depthwise, strided") ||
                         c.name.starts_with("transposed conv deep") || c.name == "log1p";
      CHECK(std::abs((above - below) / (2 * step) - expected) <=
            (kinks ? 1e-3 : 1e-6) * std::max(1.0, std::abs(expected)));
    }
  }
}

TEST_CASE("the LSTM's step interface gives the whole's bits", "[nn_torch]") {
  TestSource source;
  const LstmOptions options{.inputs = 11, .hidden = 50, .layers = 2};
  const Cpu::Lstm lstm(Scope(source), options);
  const Tensor x = to_cpu(keyed("steps", {7, 45, 11}));
  const std::vector<float> whole = lstm(x).values();
  Tensor in = x;
  for (std::int64_t layer = 0; layer < 2; ++layer) {
    Tensor out(7, 45, 100);
    for (std::int64_t d = 0; d < 2; ++d) {
      Cpu::Lstm::State state = lstm.start(7);
      const std::vector<std::int64_t> cuts =
          d == 0 ? std::vector<std::int64_t>{0, 1, 18, 40, 45} : std::vector<std::int64_t>{45, 44, 20, 3, 0};
      for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
        const std::int64_t first = std::min(cuts[i], cuts[i + 1]), count = std::max(cuts[i], cuts[i + 1]) - first;
        lstm.recur(layer, d, lstm.project(layer, d, in.narrow(1, first, count)), state,
                   out.narrow(1, first, count).narrow(2, d * 50, 50));
      }
    }
    in = out;
  }
  CHECK(in.values() == whole);
}

TEST_CASE("sequences of different lengths go through an LSTM at once with the bits of each alone", "[nn_torch]") {
  TestSource source;
  for (const LstmOptions& options : {LstmOptions{.inputs = 11, .hidden = 50, .layers = 2},
                                     LstmOptions{.inputs = 11, .hidden = 50, .layers = 2, .bidirectional = false},
                                     LstmOptions{.inputs = 11, .hidden = 740}}) {
    const Cpu::Lstm lstm(Scope(source), options);
    std::vector<Tensor> sequences;
    std::vector<std::vector<float>> alone;
    for (const std::int64_t frames : {21, 45, 1, 45, 30, 44, 2}) {
      sequences.push_back(to_cpu(keyed("sequence " + std::to_string(sequences.size()), {1, frames, 11})));
      alone.push_back(lstm(sequences.back()).values());
    }
    for (const int threads : {1, 2, 3, 8}) {
      const RunScope scope(threads);
      const std::vector<Tensor> together = run_sequences(lstm, sequences);
      REQUIRE(together.size() == sequences.size());
      for (std::size_t i = 0; i < together.size(); ++i) CHECK(together[i].values() == alone[i]);
    }
  }
  const Cpu::Lstm lstm(Scope(source), {.inputs = 11, .hidden = 50});
  CHECK(run_sequences(lstm, std::vector<Tensor>{}).empty());
}

TEST_CASE("weights that do not fit a network are reported together", "[nn_torch]") {
  std::vector<StoredArray> arrays;
  const auto zeros = [](std::span<float> v) { std::fill(v.begin(), v.end(), 0.0F); };
  arrays.push_back({"a.weight", {3, 4}, zeros});
  arrays.push_back({"b.bias", {2}, zeros});
  arrays.push_back({"bn.num_batches_tracked", {}, zeros});
  ArraySource source(std::move(arrays));
  const Cpu::Linear layer(Scope(source) / "a", {.inputs = 4, .outputs = 5});
  const FitReport report = source.report();
  CHECK(report.missing == std::vector<std::string>{"a.bias"});
  CHECK(report.unexpected == std::vector<std::string>{"b.bias"});
  REQUIRE(report.mismatched.size() == 1);
  CHECK(report.mismatched[0].expected == Shape{5, 4});
  CHECK(report.summary() == "missing: a.bias; unexpected: b.bias; other shapes: a.weight [3, 4] instead of [5, 4]");
  CHECK_THROWS_AS(source.check("file"), Error);
}

TEST_CASE("initial values depend on seed and name, not on the order in which layers ask", "[nn_torch]") {
  RandomSource one(3), two(3), other(4);
  const Parameter p{"weight", {50, 40}, {Init::Kind::uniform, 0.5}};
  std::vector<float> a(2000), b(2000), c(2000), d(2000);
  one.fill("x.weight", p, a);
  two.fill("y.weight", p, b);
  two.fill("x.weight", p, c);
  other.fill("x.weight", p, d);
  CHECK(a == c);
  CHECK(a != b);
  CHECK(a != d);
  double sum = 0, squares = 0;
  for (const float v : a) {
    CHECK(std::abs(v) <= 0.5F);
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  CHECK(std::abs(sum / 2000) < 0.03);
  CHECK(std::abs(squares / 2000 - 1.0 / 12) < 0.01);
}

}  // namespace mss::nn
