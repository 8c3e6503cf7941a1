// Where Demucs' time goes: windows of SECONDS through the network on our kernels, layer by layer.
//
//   demucs_layers [--seconds 10] [--windows 4] [--channels 64] [--threads 2] [--repeats 3]
//
// The network is methods/demucs/model.h over a layer set that times the layers of nn::Cpu. Prints per layer the median
// of wall times, its share, GFLOP/s; and for comparison the rate of one large product and of reading memory, measured in
// the same run. Weights are drawn cheaply, since their values do not matter.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/parallel.h"
#include "methods/demucs/model.h"
#include "nn/cpu.h"
#include "nn/trace.h"

namespace {

using namespace mss;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

struct Entry {
  double seconds = 0.0, flops = 0.0;
};
std::vector<std::string> order;
std::map<std::string, Entry> entries;

void note(const std::string& name, double seconds, double flops) {
  if (!entries.contains(name)) order.push_back(name);
  entries[name].seconds += seconds;
  entries[name].flops += flops;
}

/// Multiply-accumulates of one call, from the layer set that counts.
template <class Layer, class Options>
double flops_of(const Options& options, const nn::Tensor& x) {
  nn::Listing listing;
  const Layer layer(nn::Trace::Scope(listing), options);
  layer(nn::Trace::Tensor{x.items(), x.frames(), x.channels(), &listing});
  return 2.0 * static_cast<double>(listing.macs);
}

template <class Inner, class Counted, class Options>
class Timed {
 public:
  Timed(const nn::Scope& scope, const Options& options)
      : inner_(scope, options), options_(options), name_(scope.path()) {}
  nn::Tensor operator()(const nn::Tensor& x) const {
    const auto begin = Clock::now();
    nn::Tensor y = inner_(x);
    note(name_, seconds_since(begin), flops_of<Counted>(options_, x));
    return y;
  }

 protected:
  Inner inner_;
  Options options_;
  std::string name_;
};

struct Profiled {
  using Scope = nn::Scope;
  using Tensor = nn::Tensor;
  using Linear = Timed<nn::Cpu::Linear, nn::Trace::Linear, nn::LinearOptions>;
  using Conv1d = Timed<nn::Cpu::Conv1d, nn::Trace::Conv1d, nn::Conv1dOptions>;
  using ConvTranspose1d = Timed<nn::Cpu::ConvTranspose1d, nn::Trace::ConvTranspose1d, nn::ConvTranspose1dOptions>;
  using Lstm = Timed<nn::Cpu::Lstm, nn::Trace::Lstm, nn::LstmOptions>;
  class FilterBank {
   public:
    FilterBank(std::int64_t phases, std::int64_t stride, std::int64_t before, std::vector<double> taps)
        : taps_(static_cast<double>(taps.size()) / static_cast<double>(phases)),
          rate_(static_cast<double>(phases) / static_cast<double>(stride)),
          name_(phases > stride ? "resampling up" : "resampling down"),
          inner_(phases, stride, before, std::move(taps)) {}
    Tensor operator()(const Tensor& x) const {
      const auto begin = Clock::now();
      Tensor y = inner_(x);
      note(name_, seconds_since(begin), 2.0 * static_cast<double>(x.elements()) * taps_ * rate_);
      return y;
    }

   private:
    double taps_, rate_;
    std::string name_;
    nn::Cpu::FilterBank inner_;
  };
  static std::int64_t items(const Tensor& x) { return x.items(); }
  static std::int64_t frames(const Tensor& x) { return x.frames(); }
  static std::int64_t channels(const Tensor& x) { return x.channels(); }
  static Tensor add(const Tensor& a, const Tensor& b) {
    const auto begin = Clock::now();
    Tensor y = nn::Cpu::add(a, b);
    note("skips added", seconds_since(begin), static_cast<double>(y.elements()));
    return y;
  }
  static Tensor multiply(const Tensor& a, const Tensor& b) { return nn::Cpu::multiply(a, b); }
  static Tensor scale(const Tensor& x, double factor, double summand = 0.0) {
    return nn::Cpu::scale(x, factor, summand);
  }
  static Tensor sqrt(const Tensor& x) { return nn::Cpu::sqrt(x); }
  static Tensor reciprocal(const Tensor& x) { return nn::Cpu::reciprocal(x); }
  static Tensor mean_frames(const Tensor& x) { return nn::Cpu::mean_frames(x); }
  static Tensor narrow(const Tensor& x, int axis, std::int64_t begin, std::int64_t count) {
    return x.narrow(axis, begin, count);
  }
  static Tensor concat(const std::vector<Tensor>& parts, int axis) { return nn::Cpu::concat(parts, axis); }
};

/// Small values from a short sequence.
class CheapSource final : public nn::Source {
 public:
  void fill(const std::string&, const nn::Parameter& parameter, std::span<float> values) override {
    const auto size = static_cast<float>(parameter.init.size);
    std::uint32_t x = 1;
    for (float& v : values) {
      x = x * 1664525U + 1013904223U;
      v = size * (static_cast<float>(x >> 8) / 8388608.0F - 1.0F);
    }
  }
};

double argument(int argc, char** argv, std::string_view name, double value) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (argv[i] == name) value = std::atof(argv[i + 1]);
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argument(argc, argv, "--seconds", 10.0);
  const int windows = static_cast<int>(argument(argc, argv, "--windows", 4)),
            threads = static_cast<int>(argument(argc, argv, "--threads", 2)),
            repeats = static_cast<int>(argument(argc, argv, "--repeats", 3));
  methods::demucs::Configuration c;
  c.width = static_cast<std::int64_t>(argument(argc, argv, "--channels", 64));
  CheapSource source;
  const methods::demucs::Demucs<Profiled> model(nn::Scope(source), c);
  const nn::RunScope scope(threads);
  const std::int64_t samples = methods::demucs::valid_length(c, static_cast<std::int64_t>(seconds * c.rate_hz));

  std::map<std::string, std::vector<double>> times;
  std::vector<double> totals;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    entries.clear();
    order.clear();
    const auto begin = Clock::now();
    std::vector<methods::demucs::Demucs<Profiled>::Encoded> encoded;
    std::vector<nn::Tensor> innermost;
    for (int w = 0; w < windows; ++w) {
      nn::Tensor x(1, samples, 2);
      for (std::int64_t i = 0; i < x.elements(); ++i)
        x.data()[i] = static_cast<float>((i * 37 + w) % 441) / 441.0F - 0.5F;
      encoded.push_back(model.encode(x));
      innermost.push_back(encoded.back().levels.back());
    }
    const std::vector<nn::Tensor> recurred = model.recur(innermost);
    for (int w = 0; w < windows; ++w)
      model.decode(recurred[static_cast<std::size_t>(w)], std::move(encoded[static_cast<std::size_t>(w)]));
    totals.push_back(seconds_since(begin));
    for (const auto& [name, entry] : entries) times[name].push_back(entry.seconds);
  }
  const auto median = [](std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
  };

  // One product of the size of a level, and memory read once from end to end.
  double product = 0.0;
  {
    const nn::LinearOptions o{.inputs = 2048, .outputs = 2048};
    const nn::Cpu::Linear layer(nn::Scope(source), o);
    const nn::Tensor x = nn::Tensor::zeros(1, 4096, 2048);
    std::vector<double> runs;
    for (int i = 0; i < 5; ++i) {
      const auto begin = Clock::now();
      layer(x);
      runs.push_back(seconds_since(begin));
    }
    product = 2.0 * 4096 * 2048 * 2048 / median(runs) / 1e9;
  }
  double bandwidth = 0.0;
  {
    std::vector<float> memory(std::size_t{64} << 20, 1.0F);
    std::vector<double> runs, sums(static_cast<std::size_t>(threads));
    for (int i = 0; i < 5; ++i) {
      const auto begin = Clock::now();
      core::parallel_for(threads, threads, [&](std::int64_t t) {
        float part[16] = {};
        const std::size_t from = memory.size() * static_cast<std::size_t>(t) / static_cast<std::size_t>(threads);
        const std::size_t until = memory.size() * static_cast<std::size_t>(t + 1) / static_cast<std::size_t>(threads);
        for (std::size_t k = from; k + 16 <= until; k += 16) {
          for (std::size_t j = 0; j < 16; ++j) part[j] += memory[k + j];
        }
        sums[static_cast<std::size_t>(t)] += static_cast<double>(part[0] + part[7]);
      });
      runs.push_back(seconds_since(begin));
    }
    bandwidth = static_cast<double>(memory.size()) * 4.0 / median(runs) / 1e9;
    if (sums[0] < 0) fmt::print("{}", sums[0]);
  }

  const double total = median(totals);
  fmt::print("{} windows of {:g} s, {} channels, {} threads: {:.2f} s, {:.2f} x real time\n", windows, seconds, c.width,
             threads, total, total / (windows * seconds));
  fmt::print(
      "one product 4096 x 2048 x 2048: {:.0f} GFLOP/s; reading memory: {:.1f} GB/s; tensors held at most {:.0f} MB\n\n",
      product, bandwidth, static_cast<double>(nn::RunScope::peak_bytes()) / 1e6);
  fmt::print("{:<18} {:>8} {:>7} {:>9} {:>14}\n", "layer", "s", "share", "GFLOP/s", "of the product");
  double listed = 0.0;
  for (const std::string& name : order) {
    const double t = median(times[name]), rate = entries[name].flops / t / 1e9;
    listed += t;
    fmt::print("{:<18} {:>8.3f} {:>6.1f}% {:>9.1f} {:>13.0f}%\n", name, t, 100 * t / total, rate, 100 * rate / product);
  }
  fmt::print("{:<18} {:>8.3f} {:>6.1f}%\n", "other", total - listed, 100 * (total - listed) / total);
  return 0;
}
