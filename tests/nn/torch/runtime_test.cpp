// Threads, denormals, devices, errors.
#include <ATen/Parallel.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/parallel.h"
#include "core/stop.h"
#include "nn/device.h"
#include "nn/torch/layers_torch.h"
#include "nn/torch/runtime_torch.h"
#include "tests/nn/torch/support_torch.h"

namespace mss::nn {
namespace {

/// The smallest positive normal number times a half: denormal, or zero where those are flushed.
bool denormals_are_flushed() {
  volatile float small = 1.17549435e-38F;
  volatile float half = 0.5F;
  volatile float product = small * half;
  return product == 0.0F;
}

/// How many threads a parallel operator of the calling thread would use.
int team() {
  std::atomic<int> members{0};
  at::parallel_for(0, 1000, 1, [&](std::int64_t, std::int64_t) { ++members; });
  return members;
}

}  // namespace

TEST_CASE("operators use exactly the threads that were asked for, on every thread", "[nn_torch]") {
  const int before = at::get_num_threads();
  for (const int threads : {1, 3, 2}) {
    const ThreadScope scope(threads);
    CHECK(scope.threads() == threads);
    CHECK(at::get_num_threads() == threads);
    CHECK(team() == threads);
    int elsewhere = 0;
    std::thread([&elsewhere] {
      const ThreadScope other(4);
      elsewhere = team();
    }).join();
    CHECK(elsewhere == 4);
    CHECK(team() == threads);
  }
  CHECK(at::get_num_threads() == before);
  CHECK(at::get_num_interop_threads() == 1);
}

TEST_CASE("LibTorch leaves our own loops alone, and stays out of their way", "[nn_torch]") {
  const ThreadScope scope(1);
  static_cast<void>(torch::ones({64, 64}).mm(torch::ones({64, 64})));
  std::set<int> workers;
  std::mutex mutex;
  std::atomic<int> inside{0};
  core::parallel_for_worker(64, 3, [&](std::int64_t, int worker) {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      workers.insert(worker);
    }
    // Waits until there are three: a loop that had become serial would hang, hence the bound.
    ++inside;
    for (int i = 0; i < 2000 && inside < 3; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (team() != 1) throw Error(Code::internal, "test", "an operator inside a loop of ours took threads of its own");
  });
  CHECK(workers.size() == 3);
}

TEST_CASE("there is one OpenMP runtime in the process", "[nn_torch]") {
  core::parallel_for(4, 2, [](std::int64_t) {});
  static_cast<void>(torch::ones({8}).sum());
  std::set<std::string> runtimes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto slash = line.find('/');
    if (slash == std::string::npos) continue;
    const std::string file = line.substr(slash);
    if (file.find("libgomp") != std::string::npos || file.find("libomp") != std::string::npos ||
        file.find("libiomp") != std::string::npos) {
      runtimes.insert(file);
    }
  }
  CHECK(runtimes.size() == 1);
}

TEST_CASE("a stop ends an inference and a step of training between two layers, on the way back too", "[nn_torch]") {
  RandomSource source(1);
  TorchWeights weights(source);
  const Torch::Scope scope(weights);
  const Torch::Linear linear(scope / "linear", {.inputs = 2, .outputs = 2});
  const Torch::Conv1d conv(scope / "conv", {.inputs = 2, .outputs = 2, .activation = Activation::relu});
  const Torch::ConvTranspose1d transposed(scope / "transposed", {.inputs = 2, .outputs = 2, .kernel = 2});
  const Torch::Lstm lstm(scope / "lstm", {.inputs = 2, .hidden = 2});
  const std::vector<std::function<at::Tensor(const at::Tensor&)>> layers = {linear, conv, transposed, lstm};
  const auto code_of = [](const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return Code::internal;
  };
  for (const auto& layer : layers) {
    const at::Tensor x = at::ones({1, 3, 2});
    core::StopSource stop;
    {
      const InferenceScope inference(1, stop.token());
      (void)layer(x);
      stop.request_stop();
      CHECK(code_of([&] { (void)layer(x); }) == Code::cancelled);
      CHECK(code_of([&] { with_torch_errors("layer", [&] { (void)layer(x); }); }) == Code::cancelled);
    }
    at::Tensor y = layer(x).sum();
    const core::StopScope training(stop.token());
    CHECK(code_of([&] { (void)layer(x); }) == Code::cancelled);
    CHECK(code_of([&] { with_torch_errors("layer", [&] { y.backward(); }); }) == Code::cancelled);
  }
}

TEST_CASE("denormals are flushed on all threads of a scope, and only there", "[nn_torch]") {
  CHECK_FALSE(denormals_are_flushed());
  {
    const InferenceScope scope(3);
    CHECK(c10::InferenceMode::is_enabled());
    CHECK(denormals_are_flushed());
    std::atomic<int> flushed{0};
    at::parallel_for(0, 3, 1, [&](std::int64_t, std::int64_t) { flushed += denormals_are_flushed() ? 1 : 0; });
    CHECK(flushed == 3);
    // Loops of ours take over the caller's setting, on threads that did not exist before, too.
    flushed = 0;
    core::parallel_for(64, 6, [&](std::int64_t) { flushed += denormals_are_flushed() ? 1 : 0; });
    CHECK(flushed == 64);
  }
  CHECK_FALSE(c10::InferenceMode::is_enabled());
  CHECK_FALSE(denormals_are_flushed());
  const ThreadScope scope(3);
  std::atomic<int> flushed{0};
  core::parallel_for(64, 6, [&](std::int64_t) { flushed += denormals_are_flushed() ? 1 : 0; });
  CHECK(flushed == 0);
}

TEST_CASE("devices are named, chosen, and refused with a reason", "[nn_torch]") {
  CHECK(parse_device("auto") == DeviceChoice{});
  CHECK(parse_device("cuda") == DeviceChoice{DeviceChoice::Kind::cuda, 0});
  CHECK(to_string(parse_device("cuda:3")) == "cuda:3");
  CHECK(to_string(parse_device("cpu")) == "cpu");
  for (const char* wrong : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(parse_device(wrong), Error);
  }
  CHECK(resolve_device(parse_device("cpu")) == at::Device(at::kCPU));
  if (cuda_usable()) {
    CHECK(resolve_device(parse_device("auto")) == at::Device(at::kCUDA, 0));
    CHECK_THROWS_AS(resolve_device(parse_device("cuda:99")), Error);
  } else {
    CHECK(resolve_device(parse_device("auto")) == at::Device(at::kCPU));
    try {
      resolve_device(parse_device("cuda:1"));
      FAIL("there is no such device");
    } catch (const Error& e) {
      CHECK(e.code() == Code::unsupported);
      CHECK(std::string(e.what()).find("cuda:1") != std::string::npos);
      CHECK(std::string(e.what()).find("cpu") != std::string::npos);
    }
  }
}

TEST_CASE("LibTorch's exceptions become ours, without addresses", "[nn_torch]") {
  use_deterministic_algorithms();
  try {
    with_torch_errors("umx", [] { static_cast<void>(torch::ones({2, 3}).mm(torch::ones({2, 3}))); });
    FAIL("shapes do not fit");
  } catch (const Error& e) {
    const std::string text = e.what();
    CHECK(e.code() == Code::internal);
    CHECK(text.rfind("umx: ", 0) == 0);
    CHECK(text.find("2x3") != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
    CHECK(text.find("0x") == std::string::npos);
  }
  try {
    with_torch_errors("umx", [] { static_cast<void>(torch::empty({std::int64_t{1} << 50})); });
    FAIL("that much memory");
  } catch (const Error& e) {
    CHECK(e.code() == Code::resource);
  }
  CHECK_THROWS_AS(with_torch_errors("umx", [] { throw Error(Code::cancelled, "x", "y"); }), Error);
}

}  // namespace mss::nn
