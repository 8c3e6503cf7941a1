// Loops over threads, with the properties that results depend on: the number of threads is always explicit (0 = all
// processors), never a process-wide setting; workers take over the caller's floating-point settings (denormals); work is
// cut into items whose boundaries do not depend on the number of threads, so that a reduction which adds its per-item
// results in item order has the same bits for 1, 2 or 64 threads; the first exception (lowest item index) is rethrown in
// the caller after all threads have stopped. This is the only place that uses OpenMP (tests/lint/structure_test.cpp
// enforces it).
//
// Cancellation: the workers carry the caller's stop token (core/stop.h), and no item starts once a stop was requested;
// the loop then throws Error(cancelled).
#pragma once

#include <cstdint>
#include <functional>

namespace mss::core {

/// Number of threads that a request means: n if n > 0, else the processors this process may use (at least 1).
int resolve_threads(int requested) noexcept;

/// Calls body(i) for i in [0, count), each exactly once, on up to `threads` threads; items are handed out dynamically.
/// After an exception no new items are started. A loop inside a loop on several threads runs on the thread that calls
/// it, whatever number it asks for; threads that a caller starts itself have loops of their own. Throws Error(resource)
/// where the system does not give the threads.
void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& body);

/// The same with the index of the worker (0 … threads-1) for per-thread scratch memory. The scratch must not carry
/// state from item to item that changes results.
void parallel_for_worker(std::int64_t count, int threads,
                         const std::function<void(std::int64_t item, int worker)>& body);

}  // namespace mss::core
