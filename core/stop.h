// Cancellation on request. A StopToken is copied freely; all copies see one flag. Long loops call check().
//
// A thread may also carry a token (StopScope), so that loops far below (parsers, decoders, linear algebra) need not be
// handed one: they call check_stop(). Every item of a parallel_for (core/parallel.h) does, on the token of the thread
// that called it. A thread that nobody gave a token never stops; a new std::thread has none.
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

/// The calling thread's token.
const StopToken& current_stop() noexcept;
/// Throws Error(cancelled) once a stop was requested of the calling thread.
inline void check_stop() { current_stop().check(); }

/// The calling thread carries `token` until the scope ends; the token before comes back then.
class StopScope {
 public:
  explicit StopScope(StopToken token) noexcept;
  ~StopScope();
  StopScope(const StopScope&) = delete;
  StopScope& operator=(const StopScope&) = delete;

 private:
  StopToken before_;
};

}  // namespace mss::core
