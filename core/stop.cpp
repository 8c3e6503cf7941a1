#include "core/stop.h"

#include <utility>

#include "core/error.h"

namespace mss::core {
namespace {

StopToken& thread_token() noexcept {
  thread_local StopToken token;
  return token;
}

}  // namespace

void StopToken::check() const {
  if (stop_requested()) throw Error(Code::cancelled, "", "stopped on request");
}

const StopToken& current_stop() noexcept { return thread_token(); }

StopScope::StopScope(StopToken token) noexcept : before_(std::exchange(thread_token(), std::move(token))) {}

StopScope::~StopScope() { thread_token() = std::move(before_); }

}  // namespace mss::core
