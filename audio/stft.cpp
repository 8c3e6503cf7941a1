#include "audio/stft.h"

#include <fftw3.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <numbers>
#include <type_traits>
#include <utility>

#include "audio/fftw_mutex.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/stop.h"

namespace mss::audio {

namespace {
std::atomic<std::mutex*> shared_planner_mutex{nullptr};
}

std::mutex& fftw_planner_mutex() noexcept {
  static std::mutex mutex;
  std::mutex* shared = shared_planner_mutex.load();
  return shared != nullptr ? *shared : mutex;
}

void share_fftw_planner_mutex(std::mutex* mutex) noexcept { shared_planner_mutex.store(mutex); }

namespace {

// --- FFTW in two precisions ------------------------------------------------------------------------------------------

template <class T>
struct Fftw;

template <>
struct Fftw<float> {
  using Plan = fftwf_plan;
  using Complex = fftwf_complex;
  static void* allocate(std::size_t bytes) { return fftwf_malloc(bytes); }
  static void release(void* p) { fftwf_free(p); }
  static Plan plan_forward(int n, float* in, Complex* out) {
    return fftwf_plan_dft_r2c_1d(n, in, out, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
  }
  static Plan plan_inverse(int n, Complex* in, float* out) {
    return fftwf_plan_dft_c2r_1d(n, in, out, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
  }
  static void forward(Plan p, float* in, Complex* out) { fftwf_execute_dft_r2c(p, in, out); }
  static void inverse(Plan p, Complex* in, float* out) { fftwf_execute_dft_c2r(p, in, out); }
};

template <>
struct Fftw<double> {
  using Plan = fftw_plan;
  using Complex = fftw_complex;
  static void* allocate(std::size_t bytes) { return fftw_malloc(bytes); }
  static void release(void* p) { fftw_free(p); }
  static Plan plan_forward(int n, double* in, Complex* out) {
    return fftw_plan_dft_r2c_1d(n, in, out, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
  }
  static Plan plan_inverse(int n, Complex* in, double* out) {
    return fftw_plan_dft_c2r_1d(n, in, out, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
  }
  static void forward(Plan p, double* in, Complex* out) { fftw_execute_dft_r2c(p, in, out); }
  static void inverse(Plan p, Complex* in, double* out) { fftw_execute_dft_c2r(p, in, out); }
};

/// Memory for one transform. Always from fftw_malloc, so that every execution sees the alignment that the plan was made
/// for and the bits cannot depend on where a caller's memory happens to lie.
template <class T>
class Scratch {
 public:
  explicit Scratch(int fft_size)
      : real_(static_cast<T*>(Fftw<T>::allocate(sizeof(T) * static_cast<std::size_t>(fft_size)))),
        complex_(static_cast<std::complex<T>*>(
            Fftw<T>::allocate(sizeof(std::complex<T>) * static_cast<std::size_t>(fft_size / 2 + 1)))) {
    if (real_ == nullptr || complex_ == nullptr) {
      release();
      throw Error(Code::resource, "Fourier transform", fmt::format("no memory for {} points", fft_size));
    }
  }
  ~Scratch() { release(); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* real() noexcept { return real_; }
  std::complex<T>* complex() noexcept { return complex_; }
  typename Fftw<T>::Complex* fftw_complex() noexcept { return reinterpret_cast<typename Fftw<T>::Complex*>(complex_); }

 private:
  void release() noexcept {
    Fftw<T>::release(real_);
    Fftw<T>::release(complex_);
  }
  T* real_;
  std::complex<T>* complex_;
};

template <class T>
struct PlanPair {
  typename Fftw<T>::Plan forward = nullptr, inverse = nullptr;
};

/// Plans live as long as the process: sizes are few, and every object shares them.
template <class T>
PlanPair<T> plans(int fft_size) {
  static auto& cache = *new std::map<int, PlanPair<T>>;  // never destroyed: static objects may still transform at exit
  const std::lock_guard lock(fftw_planner_mutex());
  const auto found = cache.find(fft_size);
  if (found != cache.end()) return found->second;
  Scratch<T> scratch(fft_size);
  const PlanPair<T> made{Fftw<T>::plan_forward(fft_size, scratch.real(), scratch.fftw_complex()),
                         Fftw<T>::plan_inverse(fft_size, scratch.fftw_complex(), scratch.real())};
  if (made.forward == nullptr || made.inverse == nullptr) {
    throw Error(Code::resource, "Fourier transform", fmt::format("FFTW has no plan for {} points", fft_size));
  }
  cache.emplace(fft_size, made);
  return made;
}

// --- windows and framing ---------------------------------------------------------------------------------------------

std::vector<double> window_values(WindowKind kind, int size, bool symmetric) {
  std::vector<double> w(static_cast<std::size_t>(size), 1.0);
  if (size == 1) return w;
  const double period = symmetric ? size - 1 : size;
  for (int i = 0; i < size; ++i) {
    const double cosine = std::cos(2.0 * std::numbers::pi * i / period);
    double& v = w[static_cast<std::size_t>(i)];
    switch (kind) {
      case WindowKind::rectangular:
        v = 1.0;
        break;
      case WindowKind::hann:
        v = 0.5 - 0.5 * cosine;
        break;
      case WindowKind::hamming:
        v = 0.54 - 0.46 * cosine;
        break;
      case WindowKind::sqrt_hann:
        v = std::sqrt(std::max(0.0, 0.5 - 0.5 * cosine));
        break;
    }
  }
  return w;
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }
std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

[[noreturn]] void reject(const char* what, std::string expected, std::string found) {
  throw Error({.code = Code::invalid_argument,
               .where = "STFT",
               .what = what,
               .expected = std::move(expected),
               .found = std::move(found),
               .hint = {}});
}

StftSpec validated(StftSpec spec) {
  if (spec.fft_size < 2 || spec.fft_size % 2 != 0) {
    reject("fft_size out of range", "an even number of 2 or more", fmt::format("{}", spec.fft_size));
  }
  if (spec.window_samples < 0 || spec.window_samples > spec.fft_size) {
    reject("window_samples out of range", fmt::format("1 to fft_size = {}, or 0 for fft_size", spec.fft_size),
           fmt::format("{}", spec.window_samples));
  }
  const int window = spec.window_samples == 0 ? spec.fft_size : spec.window_samples;
  if (spec.hop_samples < 1 || spec.hop_samples > window) {
    reject("hop_samples out of range", fmt::format("1 to the window's {} samples", window),
           fmt::format("{}", spec.hop_samples));
  }
  return spec;
}

/// Samples [first, first + …) of a signal that has `total` samples: all of it, or the part that a stream still holds.
template <class S>
struct Signal {
  const S* data;
  std::int64_t first;
  std::int64_t total;
  S at(std::int64_t t) const { return data[t - first]; }
};

std::int64_t reflected(std::int64_t t, std::int64_t total) {
  if (total == 1) return 0;
  const std::int64_t period = 2 * (total - 1);
  const std::int64_t m = t - floor_div(t, period) * period;
  return m < total ? m : period - m;
}

}  // namespace

template <class T>
std::vector<T> make_window(WindowKind kind, int size, bool symmetric) {
  if (size < 1) reject("window size out of range", "1 or more samples", fmt::format("{}", size));
  const std::vector<double> w = window_values(kind, size, symmetric);
  return {w.begin(), w.end()};
}

template std::vector<float> make_window<float>(WindowKind, int, bool);
template std::vector<double> make_window<double>(WindowKind, int, bool);

// --- transform -------------------------------------------------------------------------------------------------------

template <class T>
struct Stft<T>::Impl {
  explicit Impl(const StftSpec& given) : spec(validated(given)), plan(plans<T>(spec.fft_size)) {
    const int fft = spec.fft_size;
    const int length = spec.window_samples == 0 ? fft : spec.window_samples;
    offset = spec.framing == Framing::none ? 0 : fft / 2;
    window_begin = (fft - length) / 2;
    window_end = window_begin + length;
    const std::vector<double> values = window_values(spec.window, length, spec.framing == Framing::toolbox);
    std::vector<double> window(static_cast<std::size_t>(fft), 0.0);
    std::ranges::copy(values, window.begin() + window_begin);
    double sum = 0.0;
    for (const double v : values) sum += v;
    const double scale = spec.scaling == Scaling::window_sum && sum != 0.0 ? 1.0 / sum : 1.0;

    analysis.resize(static_cast<std::size_t>(fft));
    synthesis.resize(static_cast<std::size_t>(fft));
    for (std::size_t i = 0; i < window.size(); ++i) {
      analysis[i] = static_cast<T>(window[i] * scale);
      synthesis[i] = static_cast<T>(window[i] / scale / fft);
    }
    if (spec.framing == Framing::toolbox) {
      divide_by_toolbox_norm(window, scale);
    } else {
      make_norm();
    }
  }

  /// The toolbox divides its synthesis window by the sum that overlapping frames would have far from the edges.
  void divide_by_toolbox_norm(const std::vector<double>& window, double scale) {
    const int fft = spec.fft_size, hop = spec.hop_samples;
    const int shifts = static_cast<int>(std::nearbyint(static_cast<double>(fft) / hop));
    for (int i = 0; i < fft; ++i) {
      double norm = 0.0;
      for (int s = -(shifts - 1); s <= shifts - 1; ++s) {
        const std::int64_t k = i - static_cast<std::int64_t>(s) * hop;
        if (k >= 0 && k < fft) norm += window[static_cast<std::size_t>(k)] * window[static_cast<std::size_t>(k)];
      }
      const auto at = static_cast<std::size_t>(i);
      synthesis[at] = norm > 0.0 ? static_cast<T>(window[at] / norm / scale / fft) : T(0);
    }
  }

  /// Products of the windows as rounded to T: dividing by their sums cancels the rounding of the windows.
  void make_norm() {
    const int fft = spec.fft_size, hop = spec.hop_samples;
    product.resize(static_cast<std::size_t>(fft));
    for (std::size_t i = 0; i < product.size(); ++i) {
      product[i] = static_cast<double>(analysis[i]) * static_cast<double>(synthesis[i]) * fft;
    }
    inverse_norm.resize(static_cast<std::size_t>(hop));
    std::vector<double> norm(static_cast<std::size_t>(hop));
    double largest = 0.0;
    for (int r = 0; r < hop; ++r) {
      // Earliest frame first, as in norm_at: the same additions in the same order.
      double sum = 0.0;
      for (int i = r + (fft - 1 - r) / hop * hop; i >= 0; i -= hop) sum += product[static_cast<std::size_t>(i)];
      norm[static_cast<std::size_t>(r)] = sum;
      largest = std::max(largest, sum);
    }
    smallest_norm = 1e-11 * largest;
    for (std::size_t r = 0; r < norm.size(); ++r) inverse_norm[r] = reciprocal(norm[r]);
  }

  T reciprocal(double norm) const { return norm > smallest_norm ? static_cast<T>(1.0 / norm) : T(0); }

  /// Weight of position p = t + offset of the overlap-added frames, N = frames, where some frame is missing at an edge.
  T edge_weight(std::int64_t p, std::int64_t frames) const {
    const std::int64_t fft = spec.fft_size, hop = spec.hop_samples;
    const std::int64_t low = floor_div(p - fft, hop) + 1, high = floor_div(p, hop);
    double sum = 0.0;
    for (std::int64_t n = std::max<std::int64_t>(low, 0); n <= std::min(high, frames - 1); ++n) {
      sum += product[static_cast<std::size_t>(p - n * hop)];
    }
    return reciprocal(sum);
  }

  std::int64_t frames(std::int64_t samples) const {
    if (samples < 0) reject("negative length", "0 or more samples", fmt::format("{}", samples));
    if (samples == 0) return 0;
    const std::int64_t hop = spec.hop_samples;
    switch (spec.framing) {
      case Framing::none:
        return samples < spec.fft_size ? 0 : 1 + (samples - spec.fft_size) / hop;
      case Framing::centered_reflect:
      case Framing::centered_zero:
        return 1 + samples / hop;
      case Framing::scipy:
        return 1 + ceil_div(samples, hop);
      case Framing::toolbox:
        return ceil_div(samples, hop);
    }
    MSS_ASSERT(false);
    return 0;
  }

  /// The shortest signal that has `count` frames.
  std::int64_t shortest_with(std::int64_t count) const {
    if (count == 0) return 0;
    const std::int64_t hop = spec.hop_samples;
    switch (spec.framing) {
      case Framing::none:
        return spec.fft_size + (count - 1) * hop;
      case Framing::centered_reflect:
      case Framing::centered_zero:
        return std::max<std::int64_t>(1, (count - 1) * hop);
      case Framing::scipy:
        return count < 2 ? 0 : (count - 2) * hop + 1;
      case Framing::toolbox:
        return (count - 1) * hop + 1;
    }
    MSS_ASSERT(false);
    return 0;
  }

  template <class S>
  void analyse(const Signal<S>& x, std::int64_t n, Scratch<T>& scratch, std::complex<T>* out) const {
    const std::int64_t start = n * spec.hop_samples - offset;
    T* frame = scratch.real();
    std::fill(frame, frame + window_begin, T(0));
    std::fill(frame + window_end, frame + spec.fft_size, T(0));
    if (start + window_begin >= 0 && start + window_end <= x.total) {
      const S* from = x.data + (start - x.first);
      for (int i = window_begin; i < window_end; ++i) {
        frame[i] = analysis[static_cast<std::size_t>(i)] * static_cast<T>(from[i]);
      }
    } else {
      const bool reflect = spec.framing == Framing::centered_reflect;
      for (int i = window_begin; i < window_end; ++i) {
        const std::int64_t t = start + i;
        const bool inside = t >= 0 && t < x.total;
        T v = T(0);
        if (inside) {
          v = static_cast<T>(x.at(t));
        } else if (reflect) {
          v = static_cast<T>(x.at(reflected(t, x.total)));
        }
        frame[i] = analysis[static_cast<std::size_t>(i)] * v;
      }
    }
    Fftw<T>::forward(plan.forward, frame, scratch.fftw_complex());
    std::copy_n(scratch.complex(), spec.bins(), out);
  }

  /// Adds frame n to sums[0 … p1 - p0), which stand for positions p0 … p1 of the overlap-added signal.
  void synthesise(const std::complex<T>* spectrum, std::int64_t n, Scratch<T>& scratch, std::int64_t p0,
                  std::int64_t p1, T* sums) const {
    std::copy_n(spectrum, spec.bins(), scratch.complex());
    Fftw<T>::inverse(plan.inverse, scratch.fftw_complex(), scratch.real());
    const std::int64_t start = n * spec.hop_samples;
    const std::int64_t begin = std::max<std::int64_t>(window_begin, p0 - start);
    const std::int64_t end = std::min<std::int64_t>(window_end, p1 - start);
    const T* frame = scratch.real();
    const T* weights = synthesis.data();
    T* to = sums + (start - p0);
    for (std::int64_t i = begin; i < end; ++i) to[i] += weights[i] * frame[i];
  }

  template <class Out>
  void normalise(const T* sums, std::int64_t p0, std::int64_t p1, std::int64_t frames, Out* out) const {
    if (spec.framing == Framing::toolbox) {
      for (std::int64_t i = 0; i < p1 - p0; ++i) out[i] = static_cast<Out>(sums[i]);
      return;
    }
    // Where frames overlap as everywhere, the weights repeat with the hop.
    const std::int64_t hop = spec.hop_samples, first = std::clamp<std::int64_t>(spec.fft_size - hop, p0, p1),
                       last = std::clamp(frames * hop, first, p1);
    std::int64_t p = p0;
    for (; p < first; ++p) out[p - p0] = static_cast<Out>(sums[p - p0] * edge_weight(p, frames));
    while (p < last) {
      const std::int64_t phase = p % hop, run = std::min(hop - phase, last - p);
      const T* weights = inverse_norm.data() + phase;
      const T* from = sums + (p - p0);
      Out* to = out + (p - p0);
      for (std::int64_t i = 0; i < run; ++i) to[i] = static_cast<Out>(from[i] * weights[i]);
      p += run;
    }
    for (; p < p1; ++p) out[p - p0] = static_cast<Out>(sums[p - p0] * edge_weight(p, frames));
  }

  /// Output samples [t0, t1) from all frames that touch them, earliest first: the bits of a sample do not depend on how
  /// the signal is cut into blocks.
  template <class Out>
  void inverse_block(const std::complex<T>* spectrum, std::int64_t frames, std::int64_t t0, std::int64_t t1,
                     Out* out) const {
    const Lease scratch(*this);
    const std::int64_t p0 = t0 + offset, p1 = t1 + offset, hop = spec.hop_samples;
    std::vector<T> sums(static_cast<std::size_t>(p1 - p0), T(0));
    const std::int64_t low = std::max<std::int64_t>(0, floor_div(p0 - spec.fft_size, hop) + 1);
    const std::int64_t high = std::min(frames - 1, (p1 - 1) / hop);
    for (std::int64_t n = low; n <= high; ++n) {
      synthesise(spectrum + n * spec.bins(), n, scratch.get(), p0, p1, sums.data());
    }
    normalise(sums.data(), p0, p1, frames, out);
  }

  template <class S>
  void forward_block(const Signal<S>& x, std::int64_t begin, std::int64_t end, std::complex<T>* out) const {
    const Lease scratch(*this);
    for (std::int64_t n = begin; n < end; ++n) analyse(x, n, scratch.get(), out + n * spec.bins());
  }

  /// Samples per work item of the inverse: long enough that the frames computed twice at its ends do not matter.
  std::int64_t block_samples() const {
    const std::int64_t overlap = ceil_div(spec.fft_size, spec.hop_samples);
    return std::max<std::int64_t>(64, 16 * overlap) * spec.hop_samples;
  }

  void require_frames(std::int64_t found, std::int64_t samples) const {
    const std::int64_t expected = frames(samples);
    if (found == expected) return;
    reject("spectrogram does not fit the length", fmt::format("{} frames for {} samples", expected, samples),
           fmt::format("{} frames", found));
  }

  /// Scratch memory borrowed for a while; returned to the pool for the next call or thread.
  class Lease {
   public:
    explicit Lease(const Impl& owner) : owner_(owner) {
      {
        const std::lock_guard lock(owner_.pool_mutex);
        if (!owner_.pool.empty()) {
          scratch_ = std::move(owner_.pool.back());
          owner_.pool.pop_back();
        }
      }
      if (!scratch_) scratch_ = std::make_unique<Scratch<T>>(owner_.spec.fft_size);
    }
    ~Lease() {
      const std::lock_guard lock(owner_.pool_mutex);
      if (owner_.pool.size() < owner_.pool.capacity()) owner_.pool.push_back(std::move(scratch_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Scratch<T>& get() const noexcept { return *scratch_; }

   private:
    const Impl& owner_;
    std::unique_ptr<Scratch<T>> scratch_;
  };

  static std::vector<std::unique_ptr<Scratch<T>>> empty_pool() {
    std::vector<std::unique_ptr<Scratch<T>>> made;
    made.reserve(64);
    return made;
  }

  StftSpec spec;
  PlanPair<T> plan;
  std::int64_t offset = 0;
  int window_begin = 0, window_end = 0;
  std::vector<T> analysis, synthesis;  ///< fft_size; the scaling and 1 / fft_size are in them
  std::vector<double> product;
  std::vector<T> inverse_norm;  ///< far from the edges, by position modulo hop
  double smallest_norm = 0.0;
  mutable std::mutex pool_mutex;
  mutable std::vector<std::unique_ptr<Scratch<T>>> pool = empty_pool();
};

template <class T>
Stft<T>::Stft(const StftSpec& spec) : impl_(std::make_unique<Impl>(spec)) {}
template <class T>
Stft<T>::~Stft() = default;
template <class T>
Stft<T>::Stft(Stft&&) noexcept = default;
template <class T>
Stft<T>& Stft<T>::operator=(Stft&&) noexcept = default;

template <class T>
const StftSpec& Stft<T>::spec() const noexcept {
  return impl_->spec;
}

template <class T>
int Stft<T>::bins() const noexcept {
  return impl_->spec.bins();
}

template <class T>
std::int64_t Stft<T>::frames(std::int64_t samples) const {
  return impl_->frames(samples);
}

template <class T>
void Stft<T>::forward(std::span<const T> x, std::complex<T>* out) const {
  const auto total = static_cast<std::int64_t>(x.size());
  impl_->forward_block(Signal<T>{x.data(), 0, total}, 0, frames(total), out);
}

template <class T>
void Stft<T>::inverse(const std::complex<T>* spectrum, std::int64_t frames, std::span<T> out) const {
  const auto total = static_cast<std::int64_t>(out.size());
  impl_->require_frames(frames, total);
  const std::int64_t step = impl_->block_samples();
  for (std::int64_t t = 0; t < total; t += step) {
    impl_->inverse_block(spectrum, frames, t, std::min(total, t + step), out.data() + t);
  }
}

template <class T>
Spectrogram<T> Stft<T>::forward(AudioView x, int threads) const {
  constexpr std::int64_t kFramesPerItem = 32;
  const std::int64_t count = frames(x.samples());
  Spectrogram<T> out(x.channels(), count, bins());
  const std::int64_t blocks = ceil_div(count, kFramesPerItem);
  core::parallel_for(blocks * x.channels(), threads, [&](std::int64_t item) {
    const int c = static_cast<int>(item / blocks);
    const std::int64_t begin = item % blocks * kFramesPerItem;
    impl_->forward_block(Signal<float>{x.channel(c).data(), 0, x.samples()}, begin,
                         std::min(count, begin + kFramesPerItem), out.at(c, 0));
  });
  return out;
}

template <class T>
AudioBuffer Stft<T>::inverse(const Spectrogram<T>& spectrum, std::int64_t samples, int rate_hz, int threads) const {
  if (spectrum.bins() != bins()) {
    reject("spectrogram of another size", fmt::format("{} bins", bins()), fmt::format("{} bins", spectrum.bins()));
  }
  impl_->require_frames(spectrum.frames(), samples);
  AudioBuffer out(spectrum.channels(), samples, rate_hz);
  const std::int64_t step = impl_->block_samples();
  const std::int64_t blocks = ceil_div(samples, step);
  core::parallel_for(blocks * out.channels(), threads, [&](std::int64_t item) {
    const int c = static_cast<int>(item / blocks);
    const std::int64_t t = item % blocks * step;
    impl_->inverse_block(spectrum.at(c, 0), spectrum.frames(), t, std::min(samples, t + step),
                         out.channel(c).data() + t);
  });
  return out;
}

template class Stft<float>;
template class Stft<double>;

// --- streams ---------------------------------------------------------------------------------------------------------

struct StreamingStft::Impl {
  Impl(const StftSpec& spec, int channels) : stft(spec), history(static_cast<std::size_t>(channels)) {
    if (channels < 1) reject("no channels", "1 or more", fmt::format("{}", channels));
  }

  /// Frames [next, end) of a signal of which `total` samples are known.
  Spectrogram<float> take(std::int64_t end, std::int64_t total) {
    const auto& impl = *stft.impl_;
    Spectrogram<float> out(static_cast<int>(history.size()), end - next, stft.bins());
    const Stft<float>::Impl::Lease scratch(impl);
    for (std::size_t c = 0; c < history.size(); ++c) {
      const Signal<float> x{history[c].data(), first, total};
      for (std::int64_t n = next; n < end; ++n) {
        core::check_stop();
        impl.analyse(x, n, scratch.get(), out.at(static_cast<int>(c), n - next));
      }
    }
    next = end;
    return out;
  }

  Stft<float> stft;
  std::vector<std::vector<float>> history;  ///< per channel: samples [first, received)
  std::int64_t first = 0, received = 0, next = 0;
  bool finished = false;
};

StreamingStft::StreamingStft(const StftSpec& spec, int channels) : impl_(std::make_unique<Impl>(spec, channels)) {}
StreamingStft::~StreamingStft() = default;
StreamingStft::StreamingStft(StreamingStft&&) noexcept = default;
StreamingStft& StreamingStft::operator=(StreamingStft&&) noexcept = default;

Spectrogram<float> StreamingStft::push(AudioView block) {
  Impl& s = *impl_;
  if (s.finished) reject("push after finish", "a new object per signal", "a finished one");
  if (block.channels() != static_cast<int>(s.history.size())) {
    reject("block with another number of channels", fmt::format("{}", s.history.size()),
           fmt::format("{}", block.channels()));
  }
  for (std::size_t c = 0; c < s.history.size(); ++c) {
    const auto x = block.channel(static_cast<int>(c));
    s.history[c].insert(s.history[c].end(), x.begin(), x.end());
  }
  s.received += block.samples();

  const StftSpec& spec = s.stft.spec();
  const std::int64_t fft = spec.fft_size, hop = spec.hop_samples, offset = s.stft.impl_->offset;
  // A frame is ready when its last sample is here, and, where the start is reflected, what the reflection reads.
  std::int64_t end = s.next;
  const bool reflects = spec.framing == Framing::centered_reflect;
  if (!reflects || s.received > offset) end = std::max(end, floor_div(s.received + offset - fft, hop) + 1);
  Spectrogram<float> out = s.take(end, s.received);

  // One frame before the next is kept: the reflection at the end of the signal reaches that far back at most.
  const std::int64_t keep_from = s.next * hop - offset - fft;
  if (keep_from - s.first >= fft) {
    for (auto& h : s.history) h.erase(h.begin(), h.begin() + (keep_from - s.first));
    s.first = keep_from;
  }
  return out;
}

Spectrogram<float> StreamingStft::finish() {
  Impl& s = *impl_;
  if (s.finished) reject("finish called twice", "a new object per signal", "a finished one");
  s.finished = true;
  return s.take(s.stft.frames(s.received), s.received);
}

struct StreamingIstft::Impl {
  Impl(const StftSpec& spec, int channels_, int rate_hz_)
      : stft(spec), rate_hz(rate_hz_), sums(static_cast<std::size_t>(channels_)) {
    if (channels_ < 1) reject("no channels", "1 or more", fmt::format("{}", channels_));
  }

  /// Output samples [emitted, end), whose frames have all been added; drops what no later frame or output needs.
  AudioBuffer take(std::int64_t end) {
    const auto& impl = *stft.impl_;
    end = std::max(end, emitted);
    AudioBuffer out(static_cast<int>(sums.size()), end - emitted, rate_hz);
    const std::int64_t p0 = emitted + impl.offset, p1 = end + impl.offset;
    for (std::size_t c = 0; c < sums.size(); ++c) {
      auto& sum = sums[c];
      if (static_cast<std::int64_t>(sum.size()) < p1 - base) sum.resize(static_cast<std::size_t>(p1 - base), 0.0F);
      impl.normalise(sum.data() + (p0 - base), p0, p1, pushed, out.channel(static_cast<int>(c)).data());
    }
    emitted = end;
    // Erasing moves what is left, so it waits until there is enough to drop.
    const std::int64_t drop = std::min(p1, pushed * stft.spec().hop_samples) - base;
    if (drop >= stft.spec().fft_size) {
      for (auto& sum : sums) sum.erase(sum.begin(), sum.begin() + drop);
      base += drop;
    }
    return out;
  }

  Stft<float> stft;
  int rate_hz;
  std::vector<std::vector<float>> sums;  ///< per channel: overlap-added positions from `base` on
  std::int64_t base = 0, pushed = 0, emitted = 0;
  bool finished = false;
};

StreamingIstft::StreamingIstft(const StftSpec& spec, int channels, int rate_hz)
    : impl_(std::make_unique<Impl>(spec, channels, rate_hz)) {}
StreamingIstft::~StreamingIstft() = default;
StreamingIstft::StreamingIstft(StreamingIstft&&) noexcept = default;
StreamingIstft& StreamingIstft::operator=(StreamingIstft&&) noexcept = default;

AudioBuffer StreamingIstft::push(const Spectrogram<float>& frames) {
  Impl& s = *impl_;
  if (s.finished) reject("push after finish", "a new object per signal", "a finished one");
  if (frames.channels() != static_cast<int>(s.sums.size()) || frames.bins() != s.stft.bins()) {
    reject("spectrogram of another shape", fmt::format("{} channels, {} bins", s.sums.size(), s.stft.bins()),
           fmt::format("{} channels, {} bins", frames.channels(), frames.bins()));
  }
  const auto& impl = *s.stft.impl_;
  const std::int64_t fft = s.stft.spec().fft_size, hop = s.stft.spec().hop_samples;
  if (frames.frames() > 0) {
    const std::int64_t end = (s.pushed + frames.frames() - 1) * hop + fft;
    const Stft<float>::Impl::Lease scratch(impl);
    for (std::size_t c = 0; c < s.sums.size(); ++c) {
      auto& sum = s.sums[c];
      if (static_cast<std::int64_t>(sum.size()) < end - s.base) {
        sum.resize(static_cast<std::size_t>(end - s.base), 0.0F);
      }
      for (std::int64_t n = 0; n < frames.frames(); ++n) {
        core::check_stop();
        impl.synthesise(frames.at(static_cast<int>(c), n), s.pushed + n, scratch.get(), s.base, end, sum.data());
      }
    }
    s.pushed += frames.frames();
  }
  // Not past the shortest signal that these frames can belong to: finish() may ask for exactly that.
  return s.take(std::min(s.pushed * hop - impl.offset, impl.shortest_with(s.pushed)));
}

AudioBuffer StreamingIstft::finish(std::int64_t total_samples) {
  Impl& s = *impl_;
  if (s.finished) reject("finish called twice", "a new object per signal", "a finished one");
  s.stft.impl_->require_frames(s.pushed, total_samples);
  s.finished = true;
  return s.take(total_samples);
}

void for_each_block(AudioView x, const StftSpec& spec, const core::StopToken& stop,
                    const std::function<void(const Spectrogram<float>& frames, std::int64_t first)>& use) {
  // Fewer samples where they make so many or so long frames that a block would not be small.
  constexpr std::int64_t kBlockSamples = 32768, kBlockBytes = std::int64_t{64} << 20;
  StreamingStft stft(spec, x.channels());
  const std::int64_t frame_bytes = static_cast<std::int64_t>(sizeof(std::complex<float>)) * spec.bins() * x.channels();
  const std::int64_t step = std::clamp(kBlockBytes / frame_bytes * spec.hop_samples, std::int64_t{1}, kBlockSamples);
  std::int64_t first = 0;
  const auto take = [&](const Spectrogram<float>& frames) {
    use(frames, first);
    first += frames.frames();
  };
  for (std::int64_t begin = 0; begin < x.samples(); begin += step) {
    stop.check();
    take(stft.push(x.slice(begin, std::min(step, x.samples() - begin))));
  }
  take(stft.finish());
}

}  // namespace mss::audio
