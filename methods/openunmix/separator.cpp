#include "methods/openunmix/separator.h"

#include "methods/openunmix/passes.h"
#include "nn/cpu.h"

namespace mss::methods::openunmix {
namespace {

/// The layers of nn/: jobs beside each other, one thread each where there are as many jobs as threads.
struct CpuEngine {
  using L = nn::Cpu;
  using Scope = nn::RunScope;
  static constexpr std::int64_t kChunk = 96;

  static nn::Tensor input(const float* rows, std::int64_t frames, std::int64_t channels) {
    return nn::Tensor::borrow(rows, 1, frames, channels);
  }
  static nn::Tensor room(float* to, std::int64_t frames, std::int64_t channels, std::int64_t stride) {
    return nn::Tensor::borrow(to, 1, frames, stride).narrow(2, 0, channels);
  }
  static void output(const nn::Tensor& x, float* to, std::int64_t stride) {
    if (x.data() == to) return;
    for (std::int64_t t = 0; t < x.frames(); ++t) std::copy_n(x.row(0, t), x.channels(), to + t * stride);
  }
  static nn::Tensor held(nn::Tensor x) { return x.packed(); }
  static const float* values(const nn::Tensor& x) { return x.data(); }
  static void parallel(std::int64_t count, int threads, const std::function<void(std::int64_t, int)>& body) {
    const nn::RunScope* outer = nn::RunScope::innermost();
    const int inner = std::max(1, threads / static_cast<int>(std::max<std::int64_t>(count, 1)));
    core::parallel_for(count, threads, [&](std::int64_t i) {
      const nn::RunScope mine(outer, inner);
      body(i, inner);
    });
  }
  static void guarded(const std::string&, const std::function<void()>& body) { body(); }
};

}  // namespace

std::unique_ptr<Separator> make_separator(NetworkRequest request, const SeparatorOptions& options) {
  const Weights weights = request.weights;
  return make_passes<CpuEngine>({}, std::move(request), options, [&](const std::string& part, const Configuration& c) {
    nn::ArraySource source = weights.source(part);
    return std::make_unique<const Network<nn::Cpu>>(nn::Scope(source), c);
  });
}

}  // namespace mss::methods::openunmix
