// FFTW's planner (creating and destroying plans, both precisions) is the one part of FFTW that is not thread-safe, and
// its state is one per process. Every module that plans with FFTW holds this lock while it does; executing a plan needs
// no lock.
#pragma once

#include <mutex>

namespace mss::audio {

std::mutex& fftw_planner_mutex() noexcept;

/// For a loadable module that has its own copy of this library beside the program's: from now on both use `mutex` (the
/// program's, which outlives the module). To be called before the module plans anything.
void share_fftw_planner_mutex(std::mutex* mutex) noexcept;

}  // namespace mss::audio
