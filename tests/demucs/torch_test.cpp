// The family on LibTorch, in double: the reference implementation's numbers to 1e-9; in float32 to 2e-6.
#include "nn/torch/layers_torch.h"
// Last, because LibTorch has a macro CHECK of its own.
#include "tests/demucs/model_cases.h"

namespace mss::tests {
namespace {

template <class T, at::ScalarType Type>
struct TorchEngine {
  using L = nn::Torch;
  using Sample = T;
  explicit TorchEngine(nn::Source& source) : weights_(source, at::TensorOptions().dtype(Type)) {}
  nn::Torch::Scope scope() { return nn::Torch::Scope(weights_); }
  static at::Tensor tensor(const methods::Rows<T>& rows) {
    const auto channels = std::ssize(rows), samples = std::ssize(rows[0]);
    at::Tensor x = at::empty({1, samples, channels}, at::TensorOptions().dtype(Type));
    T* to = x.data_ptr<T>();
    for (std::int64_t t = 0; t < samples; ++t) {
      for (std::int64_t c = 0; c < channels; ++c)
        *to++ = rows[static_cast<std::size_t>(c)][static_cast<std::size_t>(t)];
    }
    return x;
  }
  static methods::Rows<T> rows(const at::Tensor& x) {
    const at::Tensor planar = x.detach()[0].t().contiguous();
    methods::Rows<T> out;
    for (std::int64_t c = 0; c < planar.size(0); ++c) {
      const T* from = planar.data_ptr<T>() + c * planar.size(1);
      out.emplace_back(from, from + planar.size(1));
    }
    return out;
  }

 private:
  nn::TorchWeights weights_;
};

using Double = TorchEngine<double, at::kDouble>;
using Float = TorchEngine<float, at::kFloat>;

}  // namespace

// The golden numbers are printed to 10 digits.
TEST_CASE("Demucs on LibTorch gives the reference implementation's numbers", "[demucs]") {
  check_forward<Double>(1e-9);
  check_forward<Float>(2e-6);
}
TEST_CASE("Demucs on LibTorch is applied as the reference does", "[demucs]") {
  check_apply<Double>(1e-9);
  check_apply<Float>(2e-6);
}
TEST_CASE("Conv-TasNet on LibTorch gives the reference implementation's numbers", "[demucs]") {
  check_tasnet<Double>(1e-9);
  check_tasnet<Float>(2e-6);
}
TEST_CASE("Demucs v1 on LibTorch is v2 without resampling and the input's factor", "[demucs]") {
  check_first_version<Double>(1e-12);
}

}  // namespace mss::tests
