// What LibTorch does behind a network: threads, denormals, devices, determinism, errors.
//
// The thread trap. LibTorch keeps one process-wide number of threads, which each thread copies into its own OpenMP
// setting at its first operator, and MKL has a number of its own. A thread that calls an operator without having said
// anything therefore gets whatever another one asked for, and the first operator of all lowers the caller's OpenMP
// default. Our rule: every thread that runs operators holds a ThreadScope (or the InferenceScope that contains one)
// with the number it was asked for. Our own loops name their number themselves (core/parallel.h), so nothing else
// depends on these settings; both sides use one libgomp (the program's is loaded first, LibTorch's own copy has the
// same name and is then not loaded). Two calls at once with different numbers share MKL's: the bits of the kernels in
// use do not depend on it. Within a parallel_for of ours operators run on the thread that calls them.
//
// Interop threads (LibTorch's second pool, for forked tasks of scripts) are never used and are limited to one.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/stop.h"
#include "nn/device.h"
#include "nn/torch/libtorch_torch.h"

namespace mss::nn {

/// LibTorch's operators use exactly `threads` threads (>= 1; 0 = all processors) on the calling thread until the end of
/// the scope, then what they used before.
class ThreadScope {
 public:
  explicit ThreadScope(int threads);
  ~ThreadScope();
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;
  int threads() const noexcept { return threads_; }

 private:
  int threads_ = 1, before_ = 1;
};

/// Denormal numbers count as zero on the calling thread and on those that its operators use, until the end of the
/// scope (and, by core/parallel.h, in loops of ours within it): decaying states of recurrent layers are otherwise a
/// hundred times slower in silent music. Restored afterwards, because the results of other methods may depend on them.
/// Inside a ThreadScope.
class DenormalScope {
 public:
  DenormalScope();
  ~DenormalScope();
  DenormalScope(const DenormalScope&) = delete;
  DenormalScope& operator=(const DenormalScope&) = delete;

 private:
  std::vector<unsigned> before_;  ///< control words by thread
};

/// What every inference holds, once per calling thread: threads, the token that layers ask before they begin
/// (Error(cancelled)), no gradients and no version counters (at::InferenceMode), denormals flushed. Layers ask the
/// thread's token without this scope too, in the backward pass as well: who trains drops the step that was begun.
class InferenceScope {
 public:
  explicit InferenceScope(int threads, core::StopToken stop = {}) : stop_(std::move(stop)), threads_(threads) {}

 private:
  core::StopScope stop_;
  ThreadScope threads_;
  DenormalScope denormals_;
  c10::InferenceMode mode_;
};

/// Throws Error(unsupported) that says what is missing: a CUDA build, a driver, a device of that number.
at::Device resolve_device(const DeviceChoice& choice);
/// Is a CUDA device usable (build, driver, device)?
bool cuda_usable();

/// Operators that could choose between algorithms take the reproducible one, or throw; no TF32. Process-wide, for
/// training and inference alike; called by everything that builds a network.
void use_deterministic_algorithms();

/// Blocks that were freed stay with the process, for training: a step frees and allocates the same gigabyte again and
/// again, and by default the C library gives each large block back to the kernel, which must clear its pages for the next
/// step (a third to two fifths of the processor time of a step). Process-wide, glibc only, and for good; the peak grows
/// by about a tenth.
void keep_freed_memory() noexcept;

/// Runs `body`; LibTorch's exceptions become Error(resource) (out of memory) or Error(internal), with `where` and the
/// first line of their text, without the addresses of a backtrace. Others pass.
void with_torch_errors(std::string_view where, const std::function<void()>& body);

}  // namespace mss::nn
