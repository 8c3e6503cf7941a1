#include <ATen/Context.h>
#include <ATen/Parallel.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif
#if defined(__linux__)
#include <malloc.h>
#endif

#include <algorithm>
#include <mutex>

#include "core/error.h"
#include "core/parallel.h"
#include "nn/torch/runtime_torch.h"

namespace mss::nn {
namespace {

/// The floating-point control word that says what happens to denormals.
#if defined(__x86_64__)
constexpr unsigned kFlush = 0x8040;  // flush to zero, denormals are zero
unsigned control_word() { return _mm_getcsr(); }
void set_control_word(unsigned word) { _mm_setcsr(word); }
#elif defined(__aarch64__)
constexpr unsigned kFlush = 1U << 24;
unsigned control_word() {
  unsigned long word = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(word));
  return static_cast<unsigned>(word);
}
void set_control_word(unsigned word) { __asm__ volatile("msr fpcr, %0" : : "r"(static_cast<unsigned long>(word))); }
#else
constexpr unsigned kFlush = 0;
unsigned control_word() { return 0; }
void set_control_word(unsigned) {}
#endif

/// Once on every thread that operators of the calling thread use; on this one only inside a parallel loop.
void on_each_thread(int threads, const std::function<void(std::int64_t)>& body) {
  at::parallel_for(0, threads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace

ThreadScope::ThreadScope(int threads) : threads_(core::resolve_threads(threads)) {
  static std::once_flag once;
  std::call_once(once, [] {
    try {
      at::set_num_interop_threads(1);
    } catch (const c10::Error&) {
      // Somebody else in this process has started that pool; it is not used here anyway.
    }
  });
  before_ = at::get_num_threads();
  at::set_num_threads(threads_);
}

ThreadScope::~ThreadScope() { at::set_num_threads(before_); }

DenormalScope::DenormalScope() {
  const int threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  before_.assign(static_cast<std::size_t>(threads), 0);
  on_each_thread(threads, [this](std::int64_t i) {
    before_[static_cast<std::size_t>(i)] = control_word();
    set_control_word(control_word() | kFlush);
  });
}

DenormalScope::~DenormalScope() {
  on_each_thread(static_cast<int>(before_.size()), [this](std::int64_t i) {
    set_control_word((control_word() & ~kFlush) | (before_[static_cast<std::size_t>(i)] & kFlush));
  });
}

bool cuda_usable() { return torch::cuda::is_available(); }

at::Device resolve_device(const DeviceChoice& choice) {
  if (choice.kind == DeviceChoice::Kind::cpu) return at::kCPU;
  if (choice.kind == DeviceChoice::Kind::automatic)
    return cuda_usable() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  ErrorParts parts;
  parts.code = Code::unsupported;
  parts.where = "device " + to_string(choice);
#ifndef MSSBENCH_CUDA
  if (!cuda_usable()) {
    parts.what = "this build's networks run on the processor only";
    parts.hint = "build with -DMSSBENCH_CUDA=ON (docs/building.md), or use cpu";
    throw Error(parts);
  }
#endif
  const auto count = static_cast<int>(torch::cuda::device_count());
  if (count == 0) {
    parts.what = "no CUDA device can be used on this machine (none there, or the driver is missing or too old)";
    parts.hint = "use cpu or auto";
    throw Error(parts);
  }
  if (choice.index >= count) {
    parts.what = "there is no such device";
    parts.expected = "cuda:0 to cuda:" + std::to_string(count - 1);
    parts.found = to_string(choice);
    throw Error(parts);
  }
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(choice.index));
}

void keep_freed_memory() noexcept {
#if defined(__GLIBC__)
  mallopt(M_MMAP_MAX, 0);         // large blocks from the heap, too
  mallopt(M_TRIM_THRESHOLD, -1);  // whose top is never given back
#endif
}

void use_deterministic_algorithms() {
  static std::once_flag once;
  std::call_once(once, [] {
    at::Context& context = at::globalContext();
    context.setDeterministicAlgorithms(true, false);
    context.setDeterministicCuDNN(true);
    context.setBenchmarkCuDNN(false);
    context.setAllowTF32CuBLAS(false);
    context.setAllowTF32CuDNN(false);
  });
}

void with_torch_errors(std::string_view where, const std::function<void()>& body) {
  const auto translate = [where](Code code, const char* text) {
    std::string line = text;
    line = line.substr(0, line.find('\n'));
    while (!line.empty() && (line.back() == '.' || line.back() == ' ')) line.pop_back();
    return Error(code, std::string(where), line);
  };
  try {
    body();
  } catch (const c10::OutOfMemoryError& e) {
    throw translate(Code::resource, e.what_without_backtrace());
  } catch (const c10::Error& e) {
    // The processor's allocator has no class of its own for this.
    const std::string text = e.what_without_backtrace();
    const bool memory = text.find("can't allocate memory") != std::string::npos;
    throw translate(memory ? Code::resource : Code::internal, text.c_str());
  }
}

}  // namespace mss::nn
