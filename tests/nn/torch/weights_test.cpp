// Weights by name, parameter and operation counts.
#include <string>
#include <vector>

#include "core/error.h"
#include "nn/torch/lstm_torch.h"
#include "nn/torch/weights_torch.h"
#include "tests/nn/torch/support_torch.h"

namespace mss::nn {
namespace {

struct SmallImpl : torch::nn::Module {
  SmallImpl() {
    fc = register_module("fc", torch::nn::Linear(torch::nn::LinearOptions(6, 4).bias(false)));
    bn = register_module("bn", torch::nn::BatchNorm1d(4));
    lstm = register_module("lstm", Lstm(ModuleLstmOptions{4, 2, 1, true}));
    scale = register_parameter("scale", torch::ones({4}));
  }
  torch::nn::Linear fc{nullptr};
  torch::nn::BatchNorm1d bn{nullptr};
  Lstm lstm{nullptr};
  at::Tensor scale;
};
TORCH_MODULE(Small);

/// Arrays for every parameter and buffer but the counter; they own their values.
struct Checkpoint {
  explicit Checkpoint(const torch::nn::Module& module) {
    for (const auto& [name, tensor] : save_weights(module)) {
      if (tensor.dtype != checkpoints::DType::f32) continue;
      std::int64_t elements = 1;
      for (const std::int64_t size : tensor.shape) elements *= size;
      tests::KeyedUniform u(name);
      std::vector<float> values(static_cast<std::size_t>(elements));
      for (float& v : values) v = static_cast<float>(u());
      storage.push_back(std::move(values));
      arrays.push_back({name, tensor.shape, storage.back()});
    }
  }
  std::vector<std::vector<float>> storage;
  std::vector<NamedArray> arrays;
};

}  // namespace

TEST_CASE("weights are loaded by name, all of them", "[nn_torch]") {
  Small module;
  const Checkpoint checkpoint(*module);
  CHECK(checkpoint.arrays.size() == 14);  // fc, bn x 4, lstm x 8, scale
  load_weights(*module, checkpoint.arrays, "test");
  const checkpoints::Tensors saved = save_weights(*module, "vocals/");
  for (const NamedArray& array : checkpoint.arrays) {
    CAPTURE(array.name);
    const checkpoints::Tensor& tensor = saved.at("vocals/" + array.name);
    CHECK(tensor.shape == array.shape);
    CHECK(tensor.to_float() == std::vector<float>(array.values.begin(), array.values.end()));
  }
  CHECK(saved.at("vocals/bn.num_batches_tracked").dtype == checkpoints::DType::i64);
}

TEST_CASE("weights of another network change nothing and are named", "[nn_torch]") {
  Small module;
  const checkpoints::Tensors before = save_weights(*module);
  Checkpoint checkpoint(*module);
  checkpoint.arrays[0].name = "fc9.weight";  // bn.bias -> unknown
  for (NamedArray& array : checkpoint.arrays) {
    if (array.name == "fc.weight") array.shape = {6, 4};
  }
  const LoadReport report = compare_weights(*module, checkpoint.arrays);
  CHECK(report.missing == std::vector<std::string>{"bn.bias"});
  CHECK(report.unexpected == std::vector<std::string>{"fc9.weight"});
  REQUIRE(report.mismatched.size() == 1);
  CHECK(report.mismatched[0].expected == std::vector<std::int64_t>{4, 6});
  CHECK(report.summary() ==
        "missing: bn.bias; unexpected: fc9.weight; other shapes: fc.weight [6, 4] instead of [4, 6]");
  try {
    load_weights(*module, checkpoint.arrays, "model.pth");
    FAIL("loaded");
  } catch (const Error& e) {
    CHECK(e.code() == Code::checkpoint);
    CHECK(std::string(e.what()).find("model.pth") != std::string::npos);
    CHECK(std::string(e.what()).find("fc.weight [6, 4] instead of [4, 6]") != std::string::npos);
  }
  for (const auto& [name, tensor] : save_weights(*module)) CHECK((tensor.bytes == before.at(name).bytes));

  // Long lists are cut.
  const LoadReport none = compare_weights(*module, {});
  CHECK(none.missing.size() == 14);
  CHECK(none.summary().find("and 11 more") != std::string::npos);
}

TEST_CASE("parameters and multiply-accumulates are counted", "[nn_torch]") {
  Small module;
  const std::int64_t lstm = 2 * (8 * 4 + 8 * 2);
  CHECK(count_parameters(*module) == 24 + 8 + (lstm + 2 * 16) + 4);
  CHECK(count_macs_per_frame(*module) == 24 + lstm);
  struct Convolution : torch::nn::Module {
    Convolution() { register_parameter("weight", torch::zeros({2, 2, 3})); }
  };
  CHECK_THROWS_AS(count_macs_per_frame(*std::make_shared<Convolution>()), Error);
}

}  // namespace mss::nn
