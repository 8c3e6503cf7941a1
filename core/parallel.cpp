#include "core/parallel.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <exception>
#include <limits>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/stop.h"

namespace mss::core {
namespace {

/// OpenMP's runtime ends the process when the system refuses a thread. So the first time that a calling thread wants a
/// team of this size, as many threads are started and joined here, where a refusal can be reported.
void require_threads(int team) {
  thread_local int known = 1;
  if (team <= known || omp_in_parallel() != 0) return;
  std::vector<std::thread> trial;
  std::string refusal;
  std::atomic<bool> go{false};
  try {
    for (int i = 1; i < team; ++i) trial.emplace_back([&go] { go.wait(false); });
  } catch (const std::system_error& error) {
    refusal = error.code().message();
  }
  go = true;
  go.notify_all();
  for (std::thread& thread : trial) thread.join();
  if (!refusal.empty()) {
    throw Error({Code::resource, "", "cannot start threads: " + refusal, std::to_string(team),
                 std::to_string(trial.size() + 1), "ask for fewer with --threads"});
  }
  known = team;
}

}  // namespace

int resolve_threads(int requested) noexcept { return requested > 0 ? requested : std::max(1, omp_get_num_procs()); }

void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& body) {
  parallel_for_worker(count, threads, [&body](std::int64_t item, int) { body(item); });
}

void parallel_for_worker(std::int64_t count, int threads,
                         const std::function<void(std::int64_t item, int worker)>& body) {
  const int team = static_cast<int>(std::min<std::int64_t>(resolve_threads(threads), count));
  const StopToken stop = current_stop();
  if (team <= 1) {
    for (std::int64_t i = 0; i < count; ++i) {
      stop.check();
      body(i, 0);
    }
    return;
  }
  require_threads(team);
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::exception_ptr first;
  std::int64_t first_item = std::numeric_limits<std::int64_t>::max();
  // Items are handed out by our own counter rather than by the runtime's schedule, so that a failure can stop the rest.
  std::fenv_t environment;
  std::fegetenv(&environment);
#pragma omp parallel num_threads(team)
  {
    std::fesetenv(&environment);
    const int worker = omp_get_thread_num();
    const StopScope scope(stop);
    while (!stop.stop_requested() && !failed.load(std::memory_order_relaxed)) {
      const std::int64_t item = next.fetch_add(1, std::memory_order_relaxed);
      if (item >= count) break;
      try {
        body(item, worker);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (item < first_item) {
          first_item = item;
          first = std::current_exception();
        }
        failed.store(true, std::memory_order_relaxed);
      }
    }
  }
  if (first) std::rethrow_exception(first);
  if (next.load() < count) stop.check();
}

}  // namespace mss::core
