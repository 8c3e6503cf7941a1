#include "wiener/wiener.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <utility>

#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "wiener/em_kernel.h"

namespace mss::wiener {
namespace {

using kernel::Block;
using kernel::Plane;

constexpr int kMaxChannels = 64;
// v^2 v^2 of the determinant must not overflow.
constexpr double kLimit = 1e70;
constexpr std::int64_t kEmitFrames = 32;

/// Memory for vectors of doubles, aligned to a cache line.
class Scratch {
 public:
  explicit Scratch(std::size_t doubles) : values_(doubles + 8) {}
  double* data() {
    const auto address = reinterpret_cast<std::uintptr_t>(values_.data());
    return values_.data() + ((64 - address % 64) % 64) / sizeof(double);
  }

 private:
  std::vector<double> values_;
};

struct Layout {
  int channels, total, bins;
  int planes() const { return channels * channels; }
  std::int64_t padded() const { return (bins + 7) / 8 * 8; }
  /// Doubles of one iteration's covariances.
  std::size_t step_size() const { return static_cast<std::size_t>(total * planes() * padded()); }
  std::size_t scratch_size() const { return 8 * (2 * static_cast<std::size_t>(channels) * (total + 2) + 2 * planes()); }
};

/// Bins are cut for threads, not for caches: whole rows suit the prefetcher and the TLB best. Every bin is computed by
/// itself, so that where the cuts lie does not change a bit.
struct Cut {
  int bins, blocks, size;
  Cut(int all_bins, int threads) : bins(all_bins) {
    const int wanted = threads == 1 ? 1 : 2 * threads;
    size = std::max(64, ((bins + wanted - 1) / wanted + 7) / 8 * 8);
    blocks = (bins + size - 1) / size;
  }
  int begin(std::int64_t block) const { return static_cast<int>(block) * size; }
  int count(std::int64_t block) const { return std::min(size, bins - begin(block)); }
};

[[noreturn]] void bad_shape(const char* where, std::string what, std::string expected, std::string found) {
  throw Error({.code = Code::invalid_argument,
               .where = where,
               .what = std::move(what),
               .expected = std::move(expected),
               .found = std::move(found),
               .hint = {}});
}

template <class T>
std::string shape_text(const Grid<T>& grid) {
  return fmt::format("{} channels, {} frames, {} bins", grid.channels, grid.frames, grid.bins);
}

template <class T>
void check_shapes(const Grid<const std::complex<T>>& mixture, const Sources<T>& sources) {
  if (mixture.channels < 1 || mixture.channels > kMaxChannels) {
    bad_shape("wiener filter", "number of mixture channels", fmt::format("1 to {}", kMaxChannels),
              fmt::format("{}", mixture.channels));
  }
  if (mixture.bins < 1) bad_shape("wiener filter", "the mixture has no frequency bins", "at least 1", "0");
  if (!sources.magnitudes.empty() && !sources.estimates.empty()) {
    bad_shape("wiener filter", "both magnitudes and complex estimates were given", "one of them", "both");
  }
  if (sources.count() < 1) bad_shape("wiener filter", "no sources", "at least 1", "0");
  for (std::size_t j = 0; j < sources.magnitudes.size(); ++j) {
    const auto& v = sources.magnitudes[j];
    const bool channels_fit = v.channels == mixture.channels || v.channels == 1;
    if (channels_fit && v.frames == mixture.frames && v.bins == mixture.bins) continue;
    bad_shape("wiener filter", fmt::format("magnitudes of source {} do not have the mixture's shape", j),
              shape_text(mixture), shape_text(v));
  }
  for (std::size_t j = 0; j < sources.estimates.size(); ++j) {
    const auto& y = sources.estimates[j];
    if (y.channels == mixture.channels && y.frames == mixture.frames && y.bins == mixture.bins) continue;
    bad_shape("wiener filter", fmt::format("estimate of source {} does not have the mixture's shape", j),
              shape_text(mixture), shape_text(y));
  }
}

template <class T>
void check_outputs(const Grid<const std::complex<T>>& mixture, const std::vector<Grid<std::complex<T>>>& out,
                   int total) {
  if (static_cast<int>(out.size()) != total) {
    bad_shape("wiener filter", "number of outputs", fmt::format("{}", total), fmt::format("{}", out.size()));
  }
  for (const auto& grid : out) {
    if (grid.channels == mixture.channels && grid.frames == mixture.frames && grid.bins == mixture.bins) continue;
    bad_shape("wiener filter", "an output does not have the mixture's shape", shape_text(mixture), shape_text(grid));
  }
}

[[noreturn]] void bad_value(const std::string& what, int channel, std::int64_t frame, int bin,
                            const std::string& expected, const std::string& found) {
  throw Error({.code = Code::numeric,
               .where = fmt::format("{}, channel {}, frame {}, bin {}", what, channel, frame, bin),
               .what = "a value that the Wiener filter cannot take",
               .expected = expected,
               .found = found,
               .hint = {}});
}

/// The kernels only tell that something is wrong; this finds what.
template <class T>
void find_bad(const Grid<const std::complex<T>>& mixture, const Sources<T>& sources, std::int64_t first_frame) {
  const auto fine = [](T value) { return std::abs(static_cast<double>(value)) < kLimit; };
  const auto scan = [&](const Grid<const std::complex<T>>& grid, const std::string& what) {
    for (int c = 0; c < grid.channels; ++c) {
      for (std::int64_t n = 0; n < grid.frames; ++n) {
        for (int f = 0; f < grid.bins; ++f) {
          const std::complex<T> x = grid.row(c, n)[f];
          if (fine(x.real()) && fine(x.imag())) continue;
          bad_value(what, c, first_frame + n, f, "finite parts below 1e70", fmt::format("{}{:+}i", x.real(), x.imag()));
        }
      }
    }
  };
  scan(mixture, "mixture");
  for (std::size_t j = 0; j < sources.estimates.size(); ++j) scan(sources.estimates[j], fmt::format("estimate {}", j));
  for (std::size_t j = 0; j < sources.magnitudes.size(); ++j) {
    const auto& grid = sources.magnitudes[j];
    for (int c = 0; c < grid.channels; ++c) {
      for (std::int64_t n = 0; n < grid.frames; ++n) {
        for (int f = 0; f < grid.bins; ++f) {
          const T v = grid.row(c, n)[f];
          if (fine(v) && v >= 0) continue;
          bad_value(fmt::format("magnitudes of source {}", j), c, first_frame + n, f, "0 to 1e70",
                    fmt::format("{}", v));
        }
      }
    }
  }
}

template <class T>
void run_accumulate(Block<T>& block) {
  using Function = void (*)(Block<T>&);
  static const Function chosen = MSS_ACTIVE_ISA(Function, accumulate);
  chosen(block);
}

template <class T>
void run_apply(Block<T>& block) {
  using Function = void (*)(Block<T>&);
  static const Function chosen = MSS_ACTIVE_ISA(Function, apply);
  chosen(block);
}

/// Everything about the data that blocks of bins share.
template <class T>
class Task {
 public:
  Task(const Grid<const std::complex<T>>& mixture, const Sources<T>& sources, const Settings& settings,
       std::int64_t first_frame)
      : mixture_(mixture),
        sources_(sources),
        settings_(settings),
        first_frame_(first_frame),
        layout_{mixture.channels, output_count(sources.count(), settings), mixture.bins} {}

  const Layout& layout() const { return layout_; }

  /// Estimates the covariances of all iterations; returns the scale (1 / m) that they belong to. With two iterations or
  /// more `powers` becomes the v_j [frames][total][padded] from which the last one starts.
  double fit(std::vector<double>& models, std::vector<double>& powers, int threads) const {
    const Cut cut(layout_.bins, threads);
    const std::size_t size = layout_.step_size();
    models.assign(size * static_cast<std::size_t>(settings_.iterations), 0.0);
    double scale = 1.0;
    if (settings_.iterations > 1) {
      powers.resize(static_cast<std::size_t>(mixture_.frames * layout_.total * layout_.padded()));
    }
    for (int step = 0; step < settings_.iterations; ++step) {
      std::vector<double> peaks(static_cast<std::size_t>(cut.blocks));
      double* sums = models.data() + step * size;
      run(cut, threads, scale, [&](Block<T>& b, std::int64_t index) {
        b.sums = sums + cut.begin(index);
        if (settings_.iterations > 1) b.powers = powers.data() + cut.begin(index);
        if (step > 0) {
          b.models = models.data() + static_cast<std::size_t>(step - 1) * size + cut.begin(index);
          b.steps = 1;
          b.from_powers = b.powers;
          // The first ones are of the unscaled estimates, as the sums below.
          b.power_gain = step == 1 ? scale * scale : 1.0;
        }
        b.check = step == 0;
        run_accumulate(b);
        peaks[static_cast<std::size_t>(index)] = b.peak;
      });
      // The first sums are of the unscaled estimates: m is known only now.
      if (step == 0 && settings_.mode != Mode::clean) {
        const double largest = std::sqrt(*std::max_element(peaks.begin(), peaks.end()));
        scale = 1.0 / std::max(1.0, largest / 10.0);
      }
      normalise(sums, step == 0 ? scale * scale : 1.0);
    }
    return scale;
  }

  /// `powers`: the v_j of fit() for these frames, or null to go through all iterations.
  void apply(const std::vector<double>& models, double scale, const double* powers,
             const std::vector<Grid<std::complex<T>>>& out, const double* weights, bool add, int threads) const {
    const Cut cut(layout_.bins, threads);
    run(cut, threads, scale, [&](Block<T>& b, std::int64_t index) {
      std::vector<Plane<T>> planes;
      for (const auto& grid : out) {
        for (int c = 0; c < layout_.channels; ++c) {
          planes.push_back({reinterpret_cast<T*>(grid.row(c, 0) + cut.begin(index)), 2 * grid.frame_stride});
        }
      }
      b.out = planes.data();
      b.models = models.data() + cut.begin(index);
      b.steps = settings_.iterations;
      if (powers != nullptr) {
        b.models += static_cast<std::size_t>(settings_.iterations - 1) * layout_.step_size();
        b.steps = 1;
        b.from_powers = powers + cut.begin(index);
        b.power_gain = 1.0;
      }
      b.frame_weights = weights;
      b.add = add;
      b.check = settings_.iterations == 0;
      run_apply(b);
    });
  }

 private:
  template <class Work>
  void run(const Cut& cut, int threads, double scale, const Work& work) const {
    std::vector<std::unique_ptr<Scratch>> scratch(static_cast<std::size_t>(threads));
    core::parallel_for_worker(cut.blocks, threads, [&](std::int64_t index, int worker) {
      auto& memory = scratch[static_cast<std::size_t>(worker)];
      if (!memory) memory = std::make_unique<Scratch>(layout_.scratch_size());
      const int bin = cut.begin(index);
      std::vector<Plane<const T>> mixture, source;
      for (int c = 0; c < mixture_.channels; ++c) {
        mixture.push_back({reinterpret_cast<const T*>(mixture_.row(c, 0) + bin), 2 * mixture_.frame_stride});
      }
      for (const auto& v : sources_.magnitudes) {
        for (int c = 0; c < mixture_.channels; ++c) {
          source.push_back({v.row(v.channels == 1 ? 0 : c, 0) + bin, v.frame_stride});
        }
      }
      for (const auto& y : sources_.estimates) {
        for (int c = 0; c < mixture_.channels; ++c) {
          source.push_back({reinterpret_cast<const T*>(y.row(c, 0) + bin), 2 * y.frame_stride});
        }
      }
      Block<T> b = block();
      b.bins = cut.count(index);
      b.mixture = mixture.data();
      b.source = source.data();
      b.scale = scale;
      b.scratch = memory->data();
      work(b, index);
      if (!b.bad) return;
      find_bad(mixture_, sources_, first_frame_);
      throw Error(Code::internal, "wiener filter", "a check failed for values that are in range");
    });
  }

  Block<T> block() const {
    const double eps = settings_.resolved_eps(sizeof(T) == sizeof(float));
    Block<T> b{};
    b.padded = layout_.padded();
    b.channels = layout_.channels;
    b.sources = sources_.count();
    b.total = layout_.total;
    b.frames = mixture_.frames;
    b.initial = sources_.magnitudes.empty()               ? kernel::estimates
                : settings_.initial == Initial::soft_mask ? kernel::soft_mask
                                                          : kernel::mixture_phase;
    b.mode = settings_.mode == Mode::clean     ? kernel::clean
             : settings_.mode == Mode::norbert ? kernel::norbert
                                               : kernel::openunmix;
    b.alpha = settings_.alpha;
    b.machine_eps = std::numeric_limits<T>::epsilon();
    b.limit = kLimit;
    switch (settings_.mode) {
      case Mode::clean:
        break;
      case Mode::norbert:
        b.eps = eps;
        b.diagonal = std::sqrt(eps);
        b.inverse_eps = layout_.channels == 1 ? eps : 0.0;
        break;
      case Mode::openunmix:
        b.eps = eps;
        // open-unmix takes the root of a float32 tensor, for float64 data too.
        b.diagonal = std::sqrt(static_cast<float>(eps));
        break;
    }
    return b;
  }

  /// Sums of y y^H over the window, to be multiplied by `gain` -> R_j.
  void normalise(double* sums, double gain) const {
    const std::int64_t padded = layout_.padded();
    const int channels = layout_.channels;
    const double eps = settings_.resolved_eps(sizeof(T) == sizeof(float));
    const bool clean = settings_.mode == Mode::clean;
    const double delta = clean ? std::sqrt(eps) : 0.0;
    for (int j = 0; j < layout_.total; ++j) {
      double* r = sums + j * layout_.planes() * padded;
      for (int f = 0; f < layout_.bins; ++f) {
        double trace = 0;
        for (int c = 0; c < channels; ++c) trace += r[c * padded + f];
        const double weight = (clean ? 0.0 : eps) + gain * trace / channels;
        const double factor = weight > 0 ? gain / weight : 0.0;
        for (int p = 0; p < layout_.planes(); ++p) r[p * padded + f] *= factor;
        if (!clean || trace == 0) continue;
        for (int c = 0; c < channels; ++c) r[c * padded + f] += delta;
      }
    }
  }

  const Grid<const std::complex<T>>& mixture_;
  const Sources<T>& sources_;
  const Settings& settings_;
  std::int64_t first_frame_;
  Layout layout_;
};

struct Window {
  std::int64_t begin, frames;
};

std::vector<Window> plan_windows(std::int64_t frames, const Settings& settings) {
  if (frames == 0) return {};
  const std::int64_t size = settings.window_frames;
  if (size == 0 || size >= frames) return {{0, frames}};
  const std::int64_t hop = size - settings.resolved_overlap();
  std::vector<Window> windows;
  for (std::int64_t begin = 0;; begin += hop) {
    windows.push_back({begin, std::min(size, frames - begin)});
    if (begin + size >= frames) return windows;
  }
}

/// Weights of the later window in an overlap of n frames: 1/(n+1) … n/(n+1).
std::vector<double> fade_in(std::int64_t frames) {
  std::vector<double> weights;
  for (std::int64_t i = 1; i <= frames; ++i)
    weights.push_back(static_cast<double>(i) / static_cast<double>(frames + 1));
  return weights;
}

std::vector<double> fade_out(const std::vector<double>& in) {
  std::vector<double> weights;
  for (const double w : in) weights.push_back(1.0 - w);
  return weights;
}

}  // namespace

double Settings::resolved_eps(bool single_precision) const {
  if (eps) return *eps;
  if (mode != Mode::norbert) return 1e-10;
  return single_precision ? std::numeric_limits<float>::epsilon() : std::numeric_limits<double>::epsilon();
}

std::int64_t Settings::resolved_overlap() const {
  if (mode != Mode::clean || window_frames == 0) return 0;
  return overlap_frames.value_or(window_frames / 4);
}

void Settings::check() const {
  const auto refuse = [](const char* what, std::string expected, std::string found) {
    throw Error({.code = Code::invalid_argument,
                 .where = "wiener filter",
                 .what = what,
                 .expected = std::move(expected),
                 .found = std::move(found),
                 .hint = {}});
  };
  if (iterations < 0 || iterations > 1000) refuse("iterations", "0 to 1000", fmt::format("{}", iterations));
  if (!(alpha > 0 && alpha <= 8)) refuse("alpha", "above 0, at most 8", fmt::format("{}", alpha));
  if (eps && !(*eps >= 1e-30 && *eps <= 1)) refuse("eps", "1e-30 to 1", fmt::format("{}", *eps));
  if (window_frames < 0) refuse("window_frames", "0 (all) or more", fmt::format("{}", window_frames));
  if (overlap_frames && mode != Mode::clean) {
    refuse("only the clean mode has windows that overlap", "no overlap_frames", fmt::format("{}", *overlap_frames));
  }
  if (overlap_frames && window_frames > 0 && (*overlap_frames < 0 || *overlap_frames > window_frames / 2)) {
    refuse("overlap_frames", fmt::format("0 to {} (half a window)", window_frames / 2),
           fmt::format("{}", *overlap_frames));
  }
}

template <class T>
Sources<T> Sources<T>::slice(std::int64_t first_frame, std::int64_t frames) const {
  Sources part;
  for (const auto& v : magnitudes) part.magnitudes.push_back(v.slice(first_frame, frames));
  for (const auto& y : estimates) part.estimates.push_back(y.slice(first_frame, frames));
  return part;
}

template <class T>
void filter(Grid<const std::complex<T>> mixture, const Sources<T>& sources,
            const std::vector<Grid<std::complex<T>>>& out, const Settings& settings, int threads) {
  settings.check();
  check_shapes(mixture, sources);
  check_outputs(mixture, out, output_count(sources.count(), settings));
  const std::vector<Window> windows = plan_windows(mixture.frames, settings);
  const std::int64_t overlap = windows.size() > 1 ? settings.resolved_overlap() : 0;
  const std::vector<double> in = fade_in(overlap), fading = fade_out(in);
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const auto [begin, frames] = windows[w];
    const Model model =
        Model::fit_keeping<T>(mixture.slice(begin, frames), sources.slice(begin, frames), settings, threads, begin);
    const auto apply = [&](std::int64_t first, std::int64_t count, std::span<const double> weights, bool add) {
      if (count == 0) return;
      std::vector<Grid<std::complex<T>>> part;
      for (const auto& grid : out) part.push_back(grid.slice(first, count));
      model.apply_with<T>(model.powers(first - begin), mixture.slice(first, count), sources.slice(first, count), part,
                          weights, add, threads, first);
    };
    const std::int64_t head = w > 0 ? overlap : 0, tail = w + 1 < windows.size() ? overlap : 0;
    apply(begin, head, in, true);
    apply(begin + head, frames - head - tail, {}, false);
    apply(begin + frames - tail, tail, fading, false);
  }
}

template <class T>
Model Model::fit(Grid<const std::complex<T>> mixture, const Sources<T>& sources, const Settings& settings, int threads,
                 std::int64_t first_frame) {
  Model model = fit_keeping<T>(mixture, sources, settings, threads, first_frame);
  model.powers_ = {};
  return model;
}

template <class T>
Model Model::fit_keeping(Grid<const std::complex<T>> mixture, const Sources<T>& sources, const Settings& settings,
                         int threads, std::int64_t first_frame) {
  settings.check();
  check_shapes(mixture, sources);
  Model model;
  model.settings_ = settings;
  model.channels_ = mixture.channels;
  model.sources_ = sources.count();
  model.bins_ = mixture.bins;
  const Task<T> task(mixture, sources, settings, first_frame);
  model.scale_ = task.fit(model.values_, model.powers_, core::resolve_threads(threads));
  return model;
}

std::size_t Model::powers_per_frame() const {
  const Layout layout{channels_, output_count(sources_, settings_), bins_};
  return static_cast<std::size_t>(layout.total * layout.padded());
}

const double* Model::powers(std::int64_t frame) const {
  return powers_.empty() ? nullptr : powers_.data() + static_cast<std::size_t>(frame) * powers_per_frame();
}

void Model::forget_powers(std::int64_t frames) {
  if (powers_.empty()) return;
  const auto first = powers_.begin() + static_cast<std::ptrdiff_t>(frames * powers_per_frame());
  powers_ = std::vector<double>(first, powers_.end());
}

template <class T>
void Model::apply(Grid<const std::complex<T>> mixture, const Sources<T>& sources,
                  const std::vector<Grid<std::complex<T>>>& out, std::span<const double> frame_weights, bool add,
                  int threads, std::int64_t first_frame) const {
  apply_with<T>(nullptr, mixture, sources, out, frame_weights, add, threads, first_frame);
}

template <class T>
void Model::apply_with(const double* powers, Grid<const std::complex<T>> mixture, const Sources<T>& sources,
                       const std::vector<Grid<std::complex<T>>>& out, std::span<const double> frame_weights, bool add,
                       int threads, std::int64_t first_frame) const {
  check_shapes(mixture, sources);
  check_outputs(mixture, out, output_count(sources.count(), settings_));
  if (mixture.channels != channels_ || sources.count() != sources_ || mixture.bins != bins_) {
    bad_shape("wiener model", "the data do not have the shape that the model was fitted to",
              fmt::format("{} channels, {} sources, {} bins", channels_, sources_, bins_),
              fmt::format("{} channels, {} sources, {} bins", mixture.channels, sources.count(), mixture.bins));
  }
  if (!frame_weights.empty() && static_cast<std::int64_t>(frame_weights.size()) != mixture.frames) {
    bad_shape("wiener model", "number of frame weights", fmt::format("{}", mixture.frames),
              fmt::format("{}", frame_weights.size()));
  }
  if (mixture.frames == 0) return;
  const Task<T> task(mixture, sources, settings_, first_frame);
  task.apply(values_, scale_, powers, out, frame_weights.empty() ? nullptr : frame_weights.data(), add,
             core::resolve_threads(threads));
}

std::complex<double> Model::covariance(int step, int source, int bin, int a, int b) const {
  const Layout layout{channels_, output_count(sources_, settings_), bins_};
  const bool inside = step >= 0 && step < settings_.iterations && source >= 0 && source < layout.total && bin >= 0 &&
                      bin < bins_ && a >= 0 && a < channels_ && b >= 0 && b < channels_;
  if (!inside) throw Error(Code::invalid_argument, "wiener model", "there is no such covariance entry");
  const std::int64_t padded = layout.padded();
  const double* r =
      values_.data() + static_cast<std::size_t>(step) * layout.step_size() + source * layout.planes() * padded + bin;
  if (a == b) return r[a * padded];
  const int low = std::min(a, b), high = std::max(a, b);
  int plane = channels_;
  for (int i = 0; i < low; ++i) plane += 2 * (channels_ - 1 - i);
  plane += 2 * (high - low - 1);
  const std::complex<double> upper(r[plane * padded], r[(plane + 1) * padded]);
  return a < b ? upper : std::conj(upper);
}

template <class T>
struct Stream<T>::Impl {
  Impl(const Settings& s, int c, int j, int f, bool complex_sources, int thread_count, Emit sink)
      : settings(s),
        channels(c),
        source_count(j),
        bins(f),
        complex(complex_sources),
        threads(core::resolve_threads(thread_count)),
        emit(std::move(sink)),
        overlap(s.resolved_overlap()),
        fade(fade_in(overlap)),
        fading(fade_out(fade)) {
    out_values.resize(static_cast<std::size_t>(output_count(j, s)),
                      std::vector<std::complex<T>>(static_cast<std::size_t>(c) * kEmitFrames * f));
  }

  Settings settings;
  int channels, source_count, bins;
  bool complex;
  int threads;
  Emit emit;
  std::int64_t overlap;
  std::vector<double> fade, fading;

  // Frames [first_frame, first_frame + frames), frame-major, each frame all channels: rows of one kind stand together.
  std::vector<std::complex<T>> mixture;
  std::vector<std::vector<T>> magnitudes;
  std::vector<std::vector<std::complex<T>>> estimates;
  std::int64_t first_frame = 0, frames = 0;
  std::optional<Model> previous;  ///< its window ends `overlap` frames into the buffer
  std::vector<std::vector<std::complex<T>>> out_values;

  std::int64_t row_values() const { return static_cast<std::int64_t>(channels) * bins; }

  template <class V>
  void append(std::vector<V>& buffer, const Grid<const V>& from, std::int64_t first, std::int64_t count) {
    const std::int64_t room = settings.window_frames;
    if (buffer.capacity() == 0 && room > 0) buffer.reserve(static_cast<std::size_t>(room * row_values()));
    for (std::int64_t n = first; n < first + count; ++n) {
      for (int c = 0; c < channels; ++c) {
        const V* row = from.row(from.channels == 1 ? 0 : c, n);
        buffer.insert(buffer.end(), row, row + bins);
      }
    }
  }

  template <class V>
  Grid<V> grid(V* data, std::int64_t count) const {
    Grid<V> g(data, channels, count, bins);
    g.channel_stride = bins;
    g.frame_stride = row_values();
    return g;
  }

  Sources<T> sources() const {
    Sources<T> s;
    for (const auto& v : magnitudes) s.magnitudes.push_back(grid<const T>(v.data(), frames));
    for (const auto& y : estimates) s.estimates.push_back(grid<const std::complex<T>>(y.data(), frames));
    return s;
  }

  /// Frames from `first` in the buffer. The window before began as many frames earlier as were dropped since, which are
  /// those whose powers it forgot.
  void apply(const Model& model, std::int64_t first, std::int64_t count, const std::vector<double>& weights,
             std::int64_t first_weight, bool add) {
    if (count == 0) return;
    std::vector<Grid<std::complex<T>>> out;
    for (auto& values : out_values) out.push_back(grid(values.data(), count));
    const auto part = grid<const std::complex<T>>(mixture.data(), frames).slice(first, count);
    std::span<const double> w;
    if (!weights.empty()) w = std::span(weights).subspan(static_cast<std::size_t>(first_weight), count);
    model.apply_with<T>(model.powers(first), part, sources().slice(first, count), out, w, add, threads,
                        first_frame + first);
  }

  void send(std::int64_t first, std::int64_t count) {
    std::vector<Grid<const std::complex<T>>> out;
    for (auto& values : out_values) out.push_back(grid<const std::complex<T>>(values.data(), count));
    emit(first_frame + first, out);
  }

  /// Frames [0, end) with `current` (null: only the window before), the first `overlap` of them cross-faded.
  void release(const Model* current, std::int64_t end) {
    std::int64_t begin = 0;
    while (begin < end) {
      const bool faded = previous && begin < overlap;
      const std::int64_t count = std::min({kEmitFrames, end - begin, faded ? overlap - begin : end});
      if (current == nullptr) {
        apply(*previous, begin, count, {}, 0, false);
      } else if (faded) {
        apply(*previous, begin, count, fading, begin, false);
        apply(*current, begin, count, fade, begin, true);
      } else {
        apply(*current, begin, count, {}, 0, false);
      }
      send(begin, count);
      begin += count;
    }
  }

  void drop(std::int64_t count) {
    const auto cut = [&](auto& buffer) { buffer.erase(buffer.begin(), buffer.begin() + count * row_values()); };
    cut(mixture);
    for (auto& v : magnitudes) cut(v);
    for (auto& y : estimates) cut(y);
    first_frame += count;
    frames -= count;
  }

  void window(bool last) {
    Model model = Model::fit_keeping<T>(grid<const std::complex<T>>(mixture.data(), frames), sources(), settings,
                                        threads, first_frame);
    const std::int64_t end = last ? frames : frames - overlap;
    release(&model, end);
    drop(end);
    model.forget_powers(end);
    previous = std::move(model);
  }
};

template <class T>
Stream<T>::Stream(const Settings& settings, int channels, int sources, int bins, bool complex_sources, int threads,
                  Emit emit) {
  settings.check();
  if (channels < 1 || channels > kMaxChannels || sources < 1 || bins < 1) {
    bad_shape("wiener filter", "shape of the stream", "at least one channel, source and bin",
              fmt::format("{} channels, {} sources, {} bins", channels, sources, bins));
  }
  impl_ = std::make_unique<Impl>(settings, channels, sources, bins, complex_sources, threads, std::move(emit));
  if (complex_sources) {
    impl_->estimates.resize(static_cast<std::size_t>(sources));
  } else {
    impl_->magnitudes.resize(static_cast<std::size_t>(sources));
  }
}

template <class T>
Stream<T>::~Stream() = default;
template <class T>
Stream<T>::Stream(Stream&&) noexcept = default;
template <class T>
Stream<T>& Stream<T>::operator=(Stream&&) noexcept = default;

template <class T>
void Stream<T>::push(Grid<const std::complex<T>> mixture, const Sources<T>& sources) {
  Impl& s = *impl_;
  check_shapes(mixture, sources);
  const bool fits = mixture.channels == s.channels && mixture.bins == s.bins && sources.count() == s.source_count &&
                    sources.magnitudes.empty() == s.complex;
  if (!fits) {
    bad_shape("wiener filter", "a block does not have the stream's shape",
              fmt::format("{} channels, {} bins, {} sources", s.channels, s.bins, s.source_count),
              fmt::format("{} channels, {} bins, {} sources", mixture.channels, mixture.bins, sources.count()));
  }
  const std::int64_t window = s.settings.window_frames;
  std::int64_t taken = 0;
  while (taken < mixture.frames) {
    const std::int64_t left = mixture.frames - taken;
    const std::int64_t count = window == 0 ? left : std::min(left, window - s.frames);
    s.append(s.mixture, mixture, taken, count);
    for (std::size_t j = 0; j < s.magnitudes.size(); ++j)
      s.append(s.magnitudes[j], sources.magnitudes[j], taken, count);
    for (std::size_t j = 0; j < s.estimates.size(); ++j) s.append(s.estimates[j], sources.estimates[j], taken, count);
    s.frames += count;
    taken += count;
    if (s.frames == window) s.window(false);
  }
}

template <class T>
void Stream<T>::finish() {
  Impl& s = *impl_;
  if (s.frames == 0) return;
  if (s.previous && s.frames == s.overlap) {
    s.release(nullptr, s.frames);
    s.drop(s.frames);
  } else {
    s.window(true);
  }
}

template <class T>
std::vector<std::vector<T>> residual_model(Grid<const std::complex<T>> mixture,
                                           const std::vector<Grid<const T>>& magnitudes, double alpha, bool autoscale) {
  Settings settings;
  settings.alpha = alpha;
  settings.check();
  const Sources<T> sources{.magnitudes = magnitudes, .estimates = {}};
  check_shapes(mixture, sources);
  const double eps = std::numeric_limits<T>::epsilon();
  const std::size_t count = magnitudes.size();
  const std::int64_t plane = mixture.frames * mixture.bins;
  std::vector<std::vector<T>> result(count + 1, std::vector<T>(static_cast<std::size_t>(mixture.channels * plane)));
  for (int c = 0; c < mixture.channels; ++c) {
    for (int f = 0; f < mixture.bins; ++f) {
      const auto level = [&](std::int64_t n) {
        const std::complex<T> x = mixture.row(c, n)[f];
        return std::max(eps, std::pow(std::hypot(static_cast<double>(x.real()), static_cast<double>(x.imag())), alpha));
      };
      const auto magnitude = [&](std::size_t j, std::int64_t n) {
        return static_cast<double>(magnitudes[j].row(magnitudes[j].channels == 1 ? 0 : c, n)[f]);
      };
      double gain = 1;
      if (autoscale) {
        double cross = 0, square = eps;
        for (std::int64_t n = 0; n < mixture.frames; ++n) {
          double sum = 0;
          for (std::size_t j = 0; j < count; ++j) sum += magnitude(j, n);
          cross += level(n) * sum;
          square += sum * sum;
        }
        gain = cross / square;
      }
      for (std::int64_t n = 0; n < mixture.frames; ++n) {
        const std::size_t at = static_cast<std::size_t>((c * mixture.frames + n) * mixture.bins + f);
        double sum = 0;
        for (std::size_t j = 0; j < count; ++j) {
          const double v = magnitude(j, n) * gain;
          result[j][at] = static_cast<T>(v);
          sum += v;
        }
        result[count][at] = static_cast<T>(std::max(0.0, level(n) - sum));
      }
    }
  }
  return result;
}

#define MSS_WIENER_INSTANTIATE(T)                                                                                    \
  template struct Sources<T>;                                                                                        \
  template class Stream<T>;                                                                                          \
  template void filter<T>(Grid<const std::complex<T>>, const Sources<T>&, const std::vector<Grid<std::complex<T>>>&, \
                          const Settings&, int);                                                                     \
  template Model Model::fit<T>(Grid<const std::complex<T>>, const Sources<T>&, const Settings&, int, std::int64_t);  \
  template void Model::apply<T>(Grid<const std::complex<T>>, const Sources<T>&,                                      \
                                const std::vector<Grid<std::complex<T>>>&, std::span<const double>, bool, int,       \
                                std::int64_t) const;                                                                 \
  template std::vector<std::vector<T>> residual_model<T>(Grid<const std::complex<T>>,                                \
                                                         const std::vector<Grid<const T>>&, double, bool);

MSS_WIENER_INSTANTIATE(float)
MSS_WIENER_INSTANTIATE(double)
#undef MSS_WIENER_INSTANTIATE

}  // namespace mss::wiener
