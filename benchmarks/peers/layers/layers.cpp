// Our layers beside LibTorch's on the same shapes, weights and input, in one process and one run: both are called alternately, and each gets its best
// time of several calls (the machine may be busy; what disturbs only makes calls longer). Both compute what the layer computes: product, bias, activation.
//
//   layers_beside_libtorch [--threads 1,2] [--calls N] [--clock wall|cpu] [--memory keep|system] [--only TEXT]
//
// Memory that either side frees stays with the process. With --memory system large blocks go back, as glibc does by itself: fresh
// pages at every call then cost LibTorch's layers a third, or most of the time of the short ones, depending on what ran before them.
//
// Held to AVX2 on both sides:
//   MSSBENCH_ISA=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 layers_beside_libtorch
#include <ATen/Parallel.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "core/isa.h"
#include "nn/cpu.h"
#include "nn/torch/layers_torch.h"
#include "nn/trace.h"

namespace {

using mss::nn::Activation;
using mss::nn::Cpu;
using mss::nn::Torch;
using mss::nn::Trace;

struct Item {
  std::string name;
  std::int64_t items, frames, channels;
  std::function<std::function<void()>(mss::nn::Source&, const mss::nn::Tensor&)> ours;
  std::function<std::function<at::Tensor()>(mss::nn::TorchWeights&, const at::Tensor&)> theirs;
  std::function<std::int64_t()> macs;
};

template <class Make>
Item item(std::string name, std::int64_t items, std::int64_t frames, std::int64_t channels, Make make) {
  return {std::move(name),
          items,
          frames,
          channels,
          [make](mss::nn::Source& source, const mss::nn::Tensor& x) {
            auto layer = std::make_shared<decltype(make.template operator()<Cpu>(mss::nn::Scope(source)))>(
                make.template operator()<Cpu>(mss::nn::Scope(source)));
            return std::function<void()>([layer, x] { (*layer)(x); });
          },
          [make](mss::nn::TorchWeights& weights, const at::Tensor& x) {
            auto layer = std::make_shared<decltype(make.template operator()<Torch>(Torch::Scope(weights)))>(
                make.template operator()<Torch>(Torch::Scope(weights)));
            return std::function<at::Tensor()>([layer, x] { return (*layer)(x); });
          },
          [make, items, frames, channels] {
            mss::nn::Listing listing;
            const auto layer = make.template operator()<Trace>(Trace::Scope(listing));
            layer(Trace::Tensor{items, frames, channels, &listing});
            return listing.macs;
          }};
}

std::vector<Item> items() {
  std::vector<Item> out;
  const auto linear = [&](const std::string& name, std::int64_t rows, std::int64_t in, std::int64_t to) {
    out.push_back(item(name, 1, rows, in, [=]<class L>(const typename L::Scope& w) {
      return typename L::Linear(w, {.inputs = in, .outputs = to});
    }));
  };
  linear("product 2584 x 512 x 2048 (Open-Unmix gates)", 2584, 512, 2048);
  linear("product 2584 x 2974 x 512 (Open-Unmix fc1)", 2584, 2974, 512);
  linear("product 10619 x 128 x 1024 (Band-split RNN gates)", 10619, 128, 1024);
  linear("product 10619 x 512 x 128 (Band-split RNN fc)", 10619, 512, 128);
  linear("product 868 x 2048 x 8192 (Demucs gates)", 868, 2048, 8192);
  linear("product 2048 x 2048 x 2048", 2048, 2048, 2048);
  // Ten seconds of stereo at 88.2 kHz, level by level.
  std::int64_t frames = 894292, in = 2, width = 64;
  for (int level = 0; level < 6; ++level) {
    const std::int64_t from = in, to = width;
    out.push_back(item("Demucs encoder " + std::to_string(level) + ": conv " + std::to_string(from) + " -> " +
                           std::to_string(to) + ", relu",
                       1, frames, from, [=]<class L>(const typename L::Scope& w) {
                         return typename L::Conv1d(
                             w,
                             {.inputs = from, .outputs = to, .kernel = 8, .stride = 4, .activation = Activation::relu});
                       }));
    frames = (frames - 8) / 4 + 1;
    out.push_back(item("Demucs encoder " + std::to_string(level) + ": conv " + std::to_string(to) + " -> " +
                           std::to_string(2 * to) + ", k 1, glu",
                       1, frames, to, [=]<class L>(const typename L::Scope& w) {
                         return typename L::Conv1d(w, {.inputs = to, .outputs = to, .activation = Activation::glu});
                       }));
    in = width;
    width *= 2;
  }
  frames = 217;
  for (int level = 5; level >= 0; --level) {
    const std::int64_t from = std::int64_t{64} << level, to = level == 0 ? 8 : from / 2;
    out.push_back(item("Demucs decoder " + std::to_string(level) + ": conv " + std::to_string(from) + " -> " +
                           std::to_string(2 * from) + ", k 3, glu",
                       1, frames, from, [=]<class L>(const typename L::Scope& w) {
                         return typename L::Conv1d(
                             w, {.inputs = from, .outputs = from, .kernel = 3, .activation = Activation::glu});
                       }));
    frames -= 2;
    out.push_back(item("Demucs decoder " + std::to_string(level) + ": transposed " + std::to_string(from) + " -> " +
                           std::to_string(to),
                       1, frames, from, [=]<class L>(const typename L::Scope& w) {
                         return typename L::ConvTranspose1d(
                             w, {.inputs = from,
                                 .outputs = to,
                                 .kernel = 8,
                                 .stride = 4,
                                 .activation = level == 0 ? Activation::none : Activation::relu});
                       }));
    frames = (frames - 1) * 4 + 8;
  }
  out.push_back(item("light decoder: transposed 64 -> 2", 1, 110250, 64, []<class L>(const typename L::Scope& w) {
    return typename L::ConvTranspose1d(w, {.inputs = 64, .outputs = 2, .kernel = 8, .stride = 4});
  }));
  const auto lstm = [&](std::int64_t hidden, std::int64_t sequences, std::int64_t steps, std::int64_t inputs) {
    out.push_back(item("LSTM H " + std::to_string(hidden) + ", " + std::to_string(sequences) + " sequences, " +
                           std::to_string(steps) + " steps",
                       sequences, steps, inputs, [=]<class L>(const typename L::Scope& w) {
                         return typename L::Lstm(w, {.inputs = inputs, .hidden = hidden});
                       }));
  };
  // Few inputs: next to nothing but the steps.
  for (const std::int64_t hidden : {256, 512, 1024, 2048}) {
    for (const std::int64_t sequences : {1, 8, 24}) lstm(hidden, sequences, 102400 / hidden, 8);
  }
  lstm(256, 1, 1292, 512);
  lstm(256, 41, 259, 128);  // Band-split RNN over time
  lstm(256, 259, 41, 128);  // and over bands
  lstm(2048, 24, 108, 2048);
  return out;
}

/// Wall time, or with `cpu` the processor time of all threads: less sensitive to what else the machine does.
double seconds(bool cpu, const std::function<void()>& call) {
  const auto now = [cpu] {
    std::timespec t{};
    clock_gettime(cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  const double begin = now();
  call();
  return now() - begin;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> threads{1, 2};
  int calls = 7;
  std::string only;
  bool cpu = false, keep = true;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--calls") {
      calls = std::atoi(argv[i + 1]);
    } else if (name == "--clock") {
      cpu = std::string(argv[i + 1]) == "cpu";
    } else if (name == "--memory") {
      keep = std::string(argv[i + 1]) != "system";
    } else if (name == "--only") {
      only = argv[i + 1];
    } else if (name == "--threads") {
      threads.clear();
      for (const char* at = argv[i + 1]; *at != '\0'; at = *at == ',' ? at + 1 : at) {
        threads.push_back(static_cast<int>(std::strtol(at, const_cast<char**>(&at), 10)));
      }
    } else {
      std::fprintf(stderr,
                   "usage: layers_beside_libtorch [--threads 1,2] [--calls N] [--clock wall|cpu] [--memory "
                   "keep|system] [--only TEXT]\n");
      return 2;
    }
  }
#if defined(__GLIBC__)
  if (keep) {
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, 2147483647);
  }
#endif
  const c10::InferenceMode inference;
  std::printf("ours: %s; LibTorch: %s\n", std::string(mss::core::isa_name(mss::core::active_isa())).c_str(),
              at::get_cpu_capability().c_str());
  std::printf("%-62s %7s %10s %10s %8s %8s %7s\n", "layer", "threads", "ours ms", "theirs ms", "GFLOP/s", "theirs",
              "ratio");
  for (const Item& it : items()) {
    if (it.name.find(only) == std::string::npos) continue;
    mss::nn::RandomSource source(1);
    mss::nn::TorchWeights weights(source);
    const at::Tensor x = at::rand({it.items, it.frames, it.channels}) - 0.5;
    const mss::nn::Tensor mine = mss::nn::Tensor::from(x.data_ptr<float>(), it.items, it.frames, it.channels);
    const auto ours = it.ours(source, mine);
    // Convolutions of LibTorch want channels first: the input lies as they like it, as between two layers of a network.
    const bool convolution =
        it.name.find("conv") != std::string::npos || it.name.find("transposed") != std::string::npos;
    const auto theirs = it.theirs(weights, convolution ? x.transpose(1, 2).contiguous().transpose(1, 2) : x);
    for (const int n : threads) {
      at::set_num_threads(n);
      const mss::nn::RunScope scope(n);
      double best = 1e30, other = 1e30;
      for (int c = 0; c < calls + 1; ++c) {
        const double a = seconds(cpu, ours), b = seconds(cpu, [&] { theirs(); });
        if (c == 0) continue;  // the first one warms up
        best = std::min(best, a);
        other = std::min(other, b);
      }
      const double flops = 2.0 * static_cast<double>(it.macs());
      std::printf("%-62s %7d %10.2f %10.2f %8.1f %8.1f %6.2fx\n", it.name.c_str(), n, 1e3 * best, 1e3 * other,
                  flops / best * 1e-9, flops / other * 1e-9, other / best);
      std::fflush(stdout);
    }
  }
  return 0;
}
