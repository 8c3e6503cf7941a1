#include "core/parallel.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "tests/support/catch.h"

using namespace mss::core;

TEST_CASE("every item runs exactly once for any number of threads", "[core]") {
  for (const int threads : {1, 2, 3, 8, 0}) {
    std::vector<std::atomic<int>> seen(1000);
    parallel_for(1000, threads, [&](std::int64_t i) { ++seen[static_cast<std::size_t>(i)]; });
    for (const auto& n : seen) CHECK(n == 1);
  }
  parallel_for(0, 4, [](std::int64_t) { FAIL("no items"); });
}

TEST_CASE("worker indices stay below the number of threads", "[core]") {
  std::atomic<int> largest{0};
  parallel_for_worker(500, 3, [&](std::int64_t, int worker) {
    int seen = largest;
    while (worker > seen && !largest.compare_exchange_weak(seen, worker)) {
    }
  });
  CHECK(largest < 3);
}

TEST_CASE("the first exception comes out and stops the rest", "[core]") {
  for (const int threads : {1, 2, 8}) {
    std::atomic<int> ran{0};
    try {
      parallel_for(10000, threads, [&](std::int64_t i) {
        ++ran;
        if (i == 10) throw mss::Error(mss::Code::numeric, "item 10", "bad");
        // The others must not be through before a busy machine has unwound the one that failed.
        if (i > 10) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
      FAIL("no exception");
    } catch (const mss::Error& e) {
      CHECK(e.code() == mss::Code::numeric);
    }
    CHECK(ran < 10000);
  }
}

TEST_CASE("a reduction in item order has the same bits for any number of threads", "[core]") {
  std::vector<double> sums;
  for (const int threads : {1, 2, 3, 8}) {
    std::vector<double> parts(257);
    parallel_for(257, threads, [&](std::int64_t i) {
      double s = 0;
      for (int k = 1; k < 500; ++k) s += 1.0 / (static_cast<double>(i) * 500 + k);
      parts[static_cast<std::size_t>(i)] = s;
    });
    double sum = 0;
    for (const double p : parts) sum += p;
    sums.push_back(sum);
  }
  for (const double s : sums) CHECK(s == sums[0]);
}

TEST_CASE("loops nest", "[core]") {
  std::atomic<int> count{0};
  parallel_for(4, 2, [&](std::int64_t) { parallel_for(10, 2, [&](std::int64_t) { ++count; }); });
  CHECK(count == 40);
  CHECK(resolve_threads(5) == 5);
  CHECK(resolve_threads(0) >= 1);
}
