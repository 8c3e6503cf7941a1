// Cancellation on request. A StopToken is copied freely; all copies see one flag. Long loops call check().
#pragma once

#include <atomic>
#include <memory>

namespace mss::core {

class StopToken {
 public:
  StopToken() = default;  ///< never stops
  bool stop_requested() const noexcept { return flag_ && flag_->load(std::memory_order_relaxed); }
  /// Throws Error(cancelled) once a stop was requested.
  void check() const;

 private:
  friend class StopSource;
  explicit StopToken(std::shared_ptr<std::atomic<bool>> flag) : flag_(std::move(flag)) {}
  std::shared_ptr<std::atomic<bool>> flag_;
};

class StopSource {
 public:
  StopSource() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  /// Async-signal-safe.
  void request_stop() noexcept { flag_->store(true, std::memory_order_relaxed); }
  StopToken token() const { return StopToken(flag_); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

}  // namespace mss::core
