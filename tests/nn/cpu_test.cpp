// The layer set Cpu against its formulas (nn/parameters.h) in plain double loops, without LibTorch; nn/torch/sets_test.cpp holds it against LibTorch where that is built.
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/stop.h"
#include "nn/cpu.h"
#include "nn/trace.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"

namespace mss::nn {
namespace {

using tests::KeyedUniform;

Tensor keyed(const std::string& key, std::int64_t items, std::int64_t frames, std::int64_t channels) {
  Tensor x(items, frames, channels);
  KeyedUniform u(key);
  for (std::int64_t i = 0; i < x.elements(); ++i) x.data()[i] = static_cast<float>(2 * u() - 1);
  return x;
}

/// Values by name, which both sides see.
class KeyedSource final : public Source {
 public:
  void fill(const std::string& name, const Parameter& p, std::span<float> values) override {
    KeyedUniform u(name);
    const bool positive = p.init.kind == Init::Kind::constant && p.init.size == 1.0;
    for (float& v : values) v = static_cast<float>((2 * u() - 1) * 0.3 + (positive ? 1.0 : 0.0));
  }
};

std::vector<float> values_of(const std::string& name, std::int64_t count) {
  std::vector<float> out(static_cast<std::size_t>(count));
  KeyedSource().fill(name, {"", {count}, {Init::Kind::uniform, 1.0}}, out);
  return out;
}

double activate(Activation a, double x) {
  switch (a) {
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
    default:
      return x;
  }
}
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

using Plain = std::vector<double>;  // (B, T, C)

/// Every second half of the channels gates the first, or the activation acts on each.
Plain finish(const Plain& sums, std::int64_t width, Activation a) {
  if (a != Activation::glu) {
    Plain out;
    for (const double x : sums) out.push_back(activate(a, x));
    return out;
  }
  Plain out;
  const std::size_t w = static_cast<std::size_t>(width), half = w / 2;
  for (std::size_t r = 0; r < sums.size() / w; ++r) {
    for (std::size_t c = 0; c < half; ++c) out.push_back(sums[r * w + c] * sigmoid(sums[r * w + half + c]));
  }
  return out;
}

Plain conv_by_hand(const Tensor& x, const Conv1dOptions& o, const std::string& name) {
  const std::int64_t width = o.outputs * (o.activation == Activation::glu ? 2 : 1), in = o.inputs / o.groups,
                     out = width / o.groups;
  const std::vector<float> w = values_of(name + ".weight", width * in * o.kernel), b = values_of(name + ".bias", width);
  Plain sums;
  for (std::int64_t i = 0; i < x.items(); ++i) {
    for (std::int64_t t = 0; t < o.frames(x.frames()); ++t) {
      for (std::int64_t c = 0; c < width; ++c) {
        double sum = o.bias ? b[static_cast<std::size_t>(c)] : 0.0;
        for (std::int64_t k = 0; k < o.kernel; ++k) {
          const std::int64_t at = t * o.stride + k * o.dilation - o.padding;
          if (at < 0 || at >= x.frames()) continue;
          for (std::int64_t q = 0; q < in; ++q) {
            sum += static_cast<double>(w[static_cast<std::size_t>((c * in + q) * o.kernel + k)]) *
                   x.row(i, at)[c / out * in + q];
          }
        }
        sums.push_back(sum);
      }
    }
  }
  return finish(sums, width, o.activation);
}

Plain transposed_by_hand(const Tensor& x, const ConvTranspose1dOptions& o, const std::string& name) {
  const std::int64_t width = o.outputs * (o.activation == Activation::glu ? 2 : 1), frames = o.frames(x.frames());
  const std::vector<float> w = values_of(name + ".weight", o.inputs * width * o.kernel),
                           b = values_of(name + ".bias", width);
  Plain sums(static_cast<std::size_t>(x.items() * frames * width));
  for (std::int64_t i = 0; i < x.items(); ++i) {
    for (std::int64_t t = 0; t < frames; ++t) {
      for (std::int64_t c = 0; c < width; ++c)
        sums[static_cast<std::size_t>((i * frames + t) * width + c)] = o.bias ? b[static_cast<std::size_t>(c)] : 0.0;
    }
    for (std::int64_t t = 0; t < x.frames(); ++t) {
      for (std::int64_t k = 0; k < o.kernel; ++k) {
        for (std::int64_t c = 0; c < width; ++c) {
          double& to = sums[static_cast<std::size_t>((i * frames + t * o.stride + k) * width + c)];
          for (std::int64_t q = 0; q < o.inputs; ++q)
            to += static_cast<double>(w[static_cast<std::size_t>((q * width + c) * o.kernel + k)]) * x.row(i, t)[q];
        }
      }
    }
  }
  return finish(sums, width, o.activation);
}

Plain lstm_by_hand(const Tensor& x, const LstmOptions& o, const std::string& name) {
  std::vector<Plain> in;
  for (std::int64_t i = 0; i < x.items(); ++i) {
    const std::vector<float> flat = x.narrow(0, i, 1).values();
    in.emplace_back(flat.begin(), flat.end());
  }
  const auto H = static_cast<std::size_t>(o.hidden), T = static_cast<std::size_t>(x.frames()),
             D = static_cast<std::size_t>(o.directions());
  for (std::int64_t layer = 0; layer < o.layers; ++layer) {
    const auto I = static_cast<std::size_t>(o.layer_inputs(layer));
    for (Plain& sequence : in) {
      Plain out(T * H * D);
      for (std::size_t d = 0; d < D; ++d) {
        const std::string suffix = lstm_suffix(layer, static_cast<std::int64_t>(d));
        const auto all = [&](const char* what, std::size_t n) {
          return values_of(name + "." + what + suffix, static_cast<std::int64_t>(n));
        };
        const std::vector<float> ih = all("weight_ih", 4 * H * I), hh = all("weight_hh", 4 * H * H),
                                 bi = all("bias_ih", 4 * H), bh = all("bias_hh", 4 * H);
        Plain h(H), c(H);
        for (std::size_t step = 0; step < T; ++step) {
          const std::size_t t = d == 0 ? step : T - 1 - step;
          Plain gates(4 * H);
          for (std::size_t g = 0; g < 4 * H; ++g) {
            gates[g] = static_cast<double>(bi[g]) + bh[g];
            for (std::size_t q = 0; q < I; ++q) gates[g] += static_cast<double>(ih[g * I + q]) * sequence[t * I + q];
            for (std::size_t q = 0; q < H; ++q) gates[g] += static_cast<double>(hh[g * H + q]) * h[q];
          }
          for (std::size_t u = 0; u < H; ++u) {
            c[u] = sigmoid(gates[H + u]) * c[u] + sigmoid(gates[u]) * std::tanh(gates[2 * H + u]);
            h[u] = sigmoid(gates[3 * H + u]) * std::tanh(c[u]);
            out[t * H * D + d * H + u] = h[u];
          }
        }
      }
      sequence = out;
    }
  }
  Plain all;
  for (const Plain& sequence : in) all.insert(all.end(), sequence.begin(), sequence.end());
  return all;
}

void check(const Tensor& found, const Plain& expected, double tolerance = 3e-6) {
  const std::vector<float> values = found.values();
  REQUIRE(values.size() == expected.size());
  double worst = 0, size = 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    worst = std::max(worst, std::abs(values[i] - expected[i]));
    size = std::max(size, std::abs(expected[i]));
  }
  CHECK(worst <= tolerance * size);
}

}  // namespace

TEST_CASE("products and convolutions follow their formulas", "[nn]") {
  KeyedSource source;
  const Scope w(source);
  for (const Activation a :
       {Activation::none, Activation::relu, Activation::gelu, Activation::tanh, Activation::sigmoid, Activation::glu}) {
    INFO(static_cast<int>(a));
    const Tensor x = keyed("x", 2, 130, 19);
    // A product is a convolution of one tap: shapes (O, I) and (O, I, 1) have the same order.
    check(Cpu::Linear(w / "a", {.inputs = 19, .outputs = 41, .activation = a})(x),
          conv_by_hand(x, {.inputs = 19, .outputs = 41, .activation = a}, "a"));
    const Conv1dOptions strided{.inputs = 19, .outputs = 21, .kernel = 8, .stride = 4, .activation = a};
    check(Cpu::Conv1d(w / "b", strided)(x), conv_by_hand(x, strided, "b"));
    const ConvTranspose1dOptions transposed{.inputs = 19, .outputs = 5, .kernel = 8, .stride = 4, .activation = a};
    check(Cpu::ConvTranspose1d(w / "c", transposed)(x), transposed_by_hand(x, transposed, "c"));
  }
  const Tensor x = keyed("y", 3, 47, 12);
  for (const Conv1dOptions& o :
       {Conv1dOptions{.inputs = 12, .outputs = 18, .kernel = 3, .dilation = 4, .padding = 4},
        Conv1dOptions{.inputs = 12, .outputs = 6, .kernel = 3, .groups = 3, .padding = 2, .bias = false},
        Conv1dOptions{
            .inputs = 12, .outputs = 12, .kernel = 5, .stride = 2, .dilation = 2, .groups = 12, .padding = 3}}) {
    check(Cpu::Conv1d(w / "d", o)(x), conv_by_hand(x, o, "d"));
  }
  for (const ConvTranspose1dOptions& o :
       {ConvTranspose1dOptions{.inputs = 12, .outputs = 7, .kernel = 7, .stride = 3},
        ConvTranspose1dOptions{.inputs = 12, .outputs = 3, .kernel = 2, .stride = 5, .bias = false},
        ConvTranspose1dOptions{.inputs = 12, .outputs = 1, .kernel = 200, .stride = 2}}) {
    check(Cpu::ConvTranspose1d(w / "e", o)(x), transposed_by_hand(x, o, "e"));
  }
  // An inner index beyond one pass, and a distance between rows that is a large power of two.
  const Tensor wide = keyed("wide", 1, 200, 1024);
  check(Cpu::Linear(w / "f", {.inputs = 1024, .outputs = 70})(wide),
        conv_by_hand(wide, {.inputs = 1024, .outputs = 70}, "f"), 1e-5);
}

TEST_CASE("recurrent layers follow their formulas, for any number of sequences", "[nn]") {
  KeyedSource source;
  for (std::int64_t items = 1; items <= 13; ++items) {
    const LstmOptions o{.inputs = 5, .hidden = 37, .layers = 2};
    const Tensor x = keyed("sequences", items, 9, 5);
    check(Cpu::Lstm(Scope(source) / "lstm", o)(x), lstm_by_hand(x, o, "lstm"));
  }
  const LstmOptions forward{.inputs = 3, .hidden = 70, .bidirectional = false};
  const Tensor x = keyed("forward", 2, 40, 3);
  check(Cpu::Lstm(Scope(source) / "one", forward)(x), lstm_by_hand(x, forward, "one"));
}

TEST_CASE("results do not depend on threads, batches or blocks of frames", "[nn]") {
  KeyedSource source;
  const Cpu::Lstm lstm(Scope(source) / "lstm", {.inputs = 24, .hidden = 50, .layers = 2});
  const Cpu::Conv1d conv(Scope(source) / "conv",
                         {.inputs = 600, .outputs = 24, .kernel = 3, .stride = 2, .activation = Activation::glu});
  const Cpu::GroupNorm norm(Scope(source) / "norm", {.channels = 24, .groups = 2});
  const Tensor x = keyed("x", 5, 300, 600);
  const auto chain = [&](const Tensor& in) { return lstm(norm(conv(in))); };
  const std::vector<float> once = chain(x).values();
  for (const int threads : {2, 3, 8}) {
    const RunScope scope(threads);
    CHECK(chain(x).values() == once);
  }
  for (std::int64_t i = 0; i < x.items(); ++i) {
    const std::vector<float> alone = chain(x.narrow(0, i, 1)).values();
    CHECK(alone == std::vector<float>(once.begin() + i * static_cast<std::int64_t>(alone.size()),
                                      once.begin() + (i + 1) * static_cast<std::int64_t>(alone.size())));
  }
  // Units that threads divide, and so many gates that the batch goes through in several blocks of frames.
  const Cpu::Lstm large(Scope(source) / "large", {.inputs = 8, .hidden = 740});
  CHECK_FALSE(large.divides_units());
  const Tensor z = keyed("z", 3, 250, 8);
  const std::vector<float> of_one = large(z).values();
  for (const int threads : {2, 3, 8}) {
    const RunScope scope(threads);
    CHECK(large.divides_units());
    CHECK(large(z).values() == of_one);
  }
  CHECK(large(z.narrow(0, 1, 1)).values() ==
        std::vector<float>(of_one.begin() + 250 * 1480, of_one.begin() + 2 * 250 * 1480));

  const Tensor y = conv(x), first = conv(x.narrow(1, 0, 101)), rest = conv(x.narrow(1, 100, 200));
  CHECK(y.narrow(1, 0, 50).values() == first.values());
  CHECK(y.narrow(1, 50, 99).values() == rest.values());
}

TEST_CASE("normalisations follow their formulas where the mean is far from 0", "[nn]") {
  KeyedSource source;
  Tensor x = Cpu::scale(keyed("x", 2, 90, 6), 0.01, 1000.0);
  const std::vector<float> weight = [] {
    std::vector<float> out(6);
    KeyedSource().fill("n.weight", {"", {6}, {Init::Kind::constant, 1.0}}, out);
    return out;
  }();
  const std::vector<float> bias = values_of("n.bias", 6);
  Plain expected;
  for (std::int64_t b = 0; b < 2; ++b) {
    double mean = 0, square = 0;
    for (std::int64_t t = 0; t < 90; ++t) {
      for (int c = 0; c < 6; ++c) mean += x.row(b, t)[c] / 540.0;
    }
    for (std::int64_t t = 0; t < 90; ++t) {
      for (int c = 0; c < 6; ++c) square += (x.row(b, t)[c] - mean) * (x.row(b, t)[c] - mean) / 540.0;
    }
    for (std::int64_t t = 0; t < 90; ++t) {
      for (std::size_t c = 0; c < 6; ++c)
        expected.push_back((x.row(b, t)[c] - mean) / std::sqrt(square + 1e-5) * weight[c] + bias[c]);
    }
  }
  // x itself has a step of 6e-5 there: the quotient by a deviation of 0.006 carries it.
  check(Cpu::GroupNorm(Scope(source) / "n", {.channels = 6})(x), expected, 2e-2);
  check(
      Cpu::LayerNorm(Scope(source) / "m", {.channels = 6, .frames = 90})(Cpu::scale(x, 1.0, -1000.0)),
      [&] {
        Plain out;
        const std::vector<float> bias_of = values_of("m.bias", 540);
        std::vector<float> weight_of(540);
        KeyedSource().fill("m.weight", {"", {540}, {Init::Kind::constant, 1.0}}, weight_of);
        for (std::int64_t b = 0; b < 2; ++b) {
          double mean = 0, square = 0;
          for (std::int64_t t = 0; t < 90; ++t) {
            for (int c = 0; c < 6; ++c) mean += (x.row(b, t)[c] - 1000.0) / 540.0;
          }
          for (std::int64_t t = 0; t < 90; ++t) {
            for (int c = 0; c < 6; ++c)
              square += (x.row(b, t)[c] - 1000.0 - mean) * (x.row(b, t)[c] - 1000.0 - mean) / 540.0;
          }
          for (std::int64_t t = 0; t < 90; ++t) {
            for (int c = 0; c < 6; ++c) {
              const auto i = static_cast<std::size_t>(t * 6 + c);
              out.push_back((x.row(b, t)[c] - 1000.0 - mean) / std::sqrt(square + 1e-5) * weight_of[i] + bias_of[i]);
            }
          }
        }
        return out;
      }(),
      1e-5);
}

TEST_CASE("a stop ends a recurrence, memory is used again, and scopes nest", "[nn]") {
  KeyedSource source;
  const Cpu::Lstm lstm(Scope(source) / "lstm", {.inputs = 8, .hidden = 16});
  const Tensor x = keyed("x", 1, 500, 8);
  core::StopSource stop;
  {
    // One thread: with two, what their blocks hold at once depends on which of them is ahead.
    const RunScope scope(1, stop.token());
    CHECK(RunScope::threads() == 1);
    {
      const RunScope inner(3);
      CHECK(RunScope::threads() == 3);
    }
    CHECK(RunScope::threads() == 1);
    lstm(x);
    const std::int64_t once = RunScope::peak_bytes();
    CHECK(once > 0);
    for (int i = 0; i < 20; ++i) lstm(x);
    CHECK(RunScope::peak_bytes() == once);
    stop.request_stop();
    CHECK_THROWS_AS(lstm(x), Error);
  }
  CHECK(RunScope::threads() == 1);
  CHECK_NOTHROW(lstm(x));
}

#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE("large tensors are pages of their own, which the system has back at once", "[nn]") {
  // In the C library's heap, such blocks between long-lived small ones leave holes that grow with the length of a track.
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto mapped = [&](const float* values) {
    unsigned char resident = 0;
    return mincore(reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(values) / page * page), 1, &resident) == 0;
  };
  for (const std::int64_t count :
       {std::int64_t{1} << 14, std::int64_t{100'000}, std::int64_t{600'001}, std::int64_t{9'000'000}}) {
    const float *alone = nullptr, *pooled = nullptr, *packed = nullptr;
    {
      Tensor x(1, 1, count);
      x.row(0, 0)[0] = x.row(0, 0)[count - 1] = 1.0F;
      alone = x.data();
      CHECK(mapped(alone));
      CHECK(reinterpret_cast<std::uintptr_t>(alone) % page == 0);
    }
    CHECK_FALSE(mapped(alone));
    {
      const RunScope scope(1);
      pooled = Tensor(1, 1, count).data();
      CHECK(mapped(pooled));  // kept for the next tensor
      CHECK(Tensor(1, 1, count).data() == pooled);
    }
    CHECK_FALSE(mapped(pooled));
    {
      Floats values(count);
      packed = values.data();
      CHECK(mapped(packed));
    }
    CHECK_FALSE(mapped(packed));
  }
}
#endif

TEST_CASE("tensors are views", "[nn]") {
  const Tensor x = keyed("x", 2, 5, 6);
  const Tensor part = x.narrow(0, 1, 1).narrow(1, 2, 2).narrow(2, 3, 2);
  CHECK(part.values() == std::vector<float>{x.row(1, 2)[3], x.row(1, 2)[4], x.row(1, 3)[3], x.row(1, 3)[4]});
  CHECK_FALSE(part.contiguous());
  CHECK(part.packed().contiguous());
  CHECK(part.reshape(4, 1, 1).values() == part.values());
  CHECK_THROWS_AS(x.narrow(1, 4, 2), Error);
  CHECK_THROWS_AS(x.reshape(1, 1, 1), Error);
}

TEST_CASE("a stop request reaches the drawing of large matrices", "[nn]") {
  core::StopSource source;
  const core::StopScope scope(source.token());
  std::vector<float> values(100000);
  Parameter parameter;
  parameter.shape = {100, 1000};
  parameter.init = {Init::Kind::normal, 1.0};
  draw(1, "w", parameter, values);
  source.request_stop();
  try {
    draw(1, "w", parameter, values);
    FAIL("drawn to the end");
  } catch (const Error& error) {
    CHECK(error.code() == Code::cancelled);
  }
}

TEST_CASE("the layer set Trace counts multiply-accumulates", "[nn]") {
  Listing listing;
  const Trace::Scope w(listing);
  const auto macs = [&](const auto& layer, const Trace::Tensor& x) {
    listing.macs = 0;
    layer(x);
    return listing.macs;
  };
  CHECK(macs(Trace::Linear(w / "a", {.inputs = 10, .outputs = 7, .activation = Activation::glu}), {3, 5, 10}) ==
        3 * 5 * 10 * 14);
  CHECK(macs(Trace::Conv1d(w / "b", {.inputs = 12, .outputs = 8, .kernel = 3, .stride = 2, .groups = 4}),
             {2, 21, 12}) == 2 * 10 * 3 * 3 * 8);
  CHECK(macs(Trace::ConvTranspose1d(w / "c", {.inputs = 4, .outputs = 3, .kernel = 8, .stride = 4}), {1, 9, 4}) ==
        9 * 4 * 8 * 3);
  CHECK(macs(Trace::Lstm(w / "d", {.inputs = 4, .hidden = 3, .layers = 2}), {2, 7, 4}) ==
        2 * 7 * 2 * 12 * (4 + 3) + 2 * 7 * 2 * 12 * (6 + 3));
  CHECK(listing.parameters() == 14 * 10 + 14 + 8 * 3 * 3 + 8 + 4 * 3 * 8 + 3 + 2 * (12 * 7 + 24) + 2 * (12 * 9 + 24));
  CHECK(listing.entries.front().name == "a.weight");
  CHECK_THROWS_AS(Trace::Linear(w, {.inputs = 0, .outputs = 7}), Error);
  CHECK_THROWS_AS(Trace::Conv1d(w, {.inputs = 5, .outputs = 8, .groups = 2}), Error);
}

}  // namespace mss::nn
