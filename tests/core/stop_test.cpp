#include "core/stop.h"

#include <atomic>
#include <thread>

#include "core/error.h"
#include "core/parallel.h"
#include "tests/support/catch.h"

using namespace mss::core;

namespace {

bool cancelled(const auto& call) {
  try {
    call();
  } catch (const mss::Error& error) {
    return error.code() == mss::Code::cancelled;
  }
  return false;
}

}  // namespace

TEST_CASE("a thread carries a stop token while a scope lasts", "[core]") {
  StopSource outer, inner;
  CHECK_NOTHROW(check_stop());
  {
    const StopScope scope(outer.token());
    CHECK_NOTHROW(check_stop());
    {
      const StopScope nested(inner.token());
      outer.request_stop();
      CHECK_NOTHROW(check_stop());
    }
    CHECK(cancelled([] { check_stop(); }));
    // A thread of its own knows nothing of it.
    bool other = true;
    std::thread([&] { other = cancelled([] { check_stop(); }); }).join();
    CHECK_FALSE(other);
  }
  CHECK_NOTHROW(check_stop());
}

TEST_CASE("a stop request ends loops on any number of threads", "[core]") {
  for (const int threads : {1, 2, 3}) {
    StopSource source;
    const StopScope scope(source.token());
    std::atomic<int> started{0};
    CHECK(cancelled([&] {
      parallel_for(100000, threads, [&](std::int64_t) {
        if (++started == 10) source.request_stop();
      });
    }));
    CHECK(started < 10 + threads);
    // Workers carry the token into what they call.
    StopSource second;
    const StopScope other(second.token());
    std::atomic<int> seen{0};
    CHECK(cancelled([&] {
      parallel_for(64, threads, [&](std::int64_t) {
        second.request_stop();
        if (cancelled([] { check_stop(); })) ++seen;
      });
    }));
    CHECK(seen >= 1);
  }
}

TEST_CASE("a stop request after the last item changes nothing", "[core]") {
  StopSource source;
  const StopScope scope(source.token());
  CHECK_NOTHROW(parallel_for(1, 2, [&](std::int64_t) { source.request_stop(); }));
}
