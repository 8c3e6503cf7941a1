// A Runner over any layer set. `Engine` names the layer set and makes tensors of samples and back:
//
//   struct Engine {
//     using L = …;
//     struct Scope { Scope(int threads, core::StopToken); };             // held while the network runs
//     L::Tensor tensor(const Rows<float>&) const;                        // (1, T, C)
//     Rows<float> rows(const L::Tensor&) const;                          // of the first item
//   };
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "methods/demucs/model.h"
#include "methods/demucs/separator.h"
#include "methods/demucs/tasnet.h"

namespace mss::methods::demucs {

template <class Engine>
class RunnerOn final : public Runner {
 public:
  using L = typename Engine::L;

  RunnerOn(Engine engine, const typename L::Scope& weights, const Configuration& c) : engine_(std::move(engine)) {
    if (c.architecture == Architecture::conv_tasnet) {
      tasnet_ = std::make_unique<const ConvTasNet<L>>(weights, c);
    } else {
      demucs_ = std::make_unique<const Demucs<L>>(weights, c);
    }
  }

  std::unique_ptr<const Session> open(int threads, const core::StopToken& stop) const override {
    return std::make_unique<const Open>(*this, threads, stop);
  }

 private:
  class Open final : public Session {
   public:
    Open(const RunnerOn& runner, int threads, const core::StopToken& stop)
        : runner_(runner), stop_(stop), scope_(threads, stop) {}
    void run(std::span<Rows<float>> windows, const std::function<void(std::int64_t, Rows<float>)>& emit,
             const std::function<void(double)>& done) const override {
      runner_.run(windows, emit, done, stop_);
    }

   private:
    const RunnerOn& runner_;
    core::StopToken stop_;
    typename Engine::Scope scope_;
  };

  void run(std::span<Rows<float>> windows, const std::function<void(std::int64_t, Rows<float>)>& emit,
           const std::function<void(double)>& done, const core::StopToken& stop) const {
    const auto count = static_cast<double>(windows.size());
    if (tasnet_ != nullptr) {
      for (std::size_t i = 0; i < windows.size(); ++i) {
        stop.check();
        const Rows<float> window = std::exchange(windows[i], {});
        emit(static_cast<std::int64_t>(i), engine_.rows(tasnet_->forward(engine_.tensor(window))));
        done(static_cast<double>(i + 1) / count);
      }
      return;
    }
    // By arithmetic: encoder 25 %, LSTM 32 %, decoder 43 %.
    std::vector<typename Demucs<L>::Encoded> encoded;
    std::vector<typename L::Tensor> innermost;
    for (std::size_t i = 0; i < windows.size(); ++i) {
      stop.check();
      const Rows<float> window = std::exchange(windows[i], {});
      encoded.push_back(demucs_->encode(engine_.tensor(window)));
      innermost.push_back(encoded.back().levels.back());
      done(0.25 * static_cast<double>(i + 1) / count);
    }
    std::vector<typename L::Tensor> recurred = demucs_->recur(innermost);
    innermost.clear();
    done(0.57);
    for (std::size_t i = 0; i < windows.size(); ++i) {
      stop.check();
      const typename L::Tensor x = std::exchange(recurred[i], typename L::Tensor());
      emit(static_cast<std::int64_t>(i), engine_.rows(demucs_->decode(x, std::move(encoded[i]))));
      done(0.57 + 0.43 * static_cast<double>(i + 1) / count);
    }
  }

  Engine engine_;
  std::unique_ptr<const Demucs<L>> demucs_;
  std::unique_ptr<const ConvTasNet<L>> tasnet_;
};

}  // namespace mss::methods::demucs
