#include "eval/projection.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "eval/condition.h"
#include "eval/correlate.h"
#include "eval/fft.h"
#include "eval/kernels.h"

namespace mss::eval {

namespace {

/// museval adds this to the diagonal; below one ulp of it on audio, it matters only for channels near digital silence.
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
/// Frames whose spectra are multiplied together, so that the filters' spectra are read once for all of them: more where
/// many estimates are to come, since fresh memory costs its page faults.
constexpr std::size_t kFrameBatch = 4, kKeptFrameBatch = 8;
/// Longer frames go through short overlapping blocks in the time domain.
constexpr std::int64_t kLongFrame = std::int64_t{1} << 18;

bool channel_sounds(const Source& source, int channel, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kStep = 4096;
  std::vector<double> x(kStep);
  for (std::int64_t t = begin; t < end; t += kStep) {
    const std::int64_t n = std::min(kStep, end - t);
    source.load(channel, t, n, x.data());
    if (std::any_of(x.begin(), x.begin() + n, [](double v) { return v != 0; })) return true;
  }
  return false;
}

/// The two ends of a real signal's spectrum count once in its energy, all other bins twice; with the ends scaled by
/// sqrt(1/2), every energy is twice the plain sum.
void half_ends(const RealFft& fft, double* spectrum) {
  for (const std::int64_t bin : {std::int64_t{0}, static_cast<std::int64_t>(fft.bins()) - 1}) {
    spectrum[bin] *= std::sqrt(0.5);
    spectrum[fft.stride() + bin] *= std::sqrt(0.5);
  }
}

/// frame_energies for `group` outputs at a time; the same sums.
void energies_in_groups(const Kernels& kernel, const FrameEnergies& all, int group, const core::StopToken& stop) {
  std::vector<const double*> d;
  std::vector<double> sums;
  for (int first = 0; first < all.outputs; first += group) {
    stop.check();
    FrameEnergies part = all;
    part.outputs = std::min(group, all.outputs - first);
    const auto frames = static_cast<std::size_t>(all.frames), outputs = static_cast<std::size_t>(part.outputs);
    d.clear();
    for (int f = 0; f < all.frames; ++f) {
      const double* const* from = all.d + std::ptrdiff_t{f} * all.outputs + first;
      d.insert(d.end(), from, from + part.outputs);
    }
    sums.assign(frames * outputs * 6, 0.0);
    part.d = d.data();
    part.c = all.c + std::int64_t{first} * all.inputs * 2 * all.stride;
    part.own = all.own + std::int64_t{first} * all.own_inputs * 2 * all.stride;
    part.own_index = all.own_index + std::ptrdiff_t{first} * all.own_inputs;
    part.reference = all.reference + first;
    part.sums = sums.data();
    kernel.frame_energies(part);
    for (std::size_t f = 0; f < frames; ++f) {
      double* to = all.sums + (static_cast<std::ptrdiff_t>(f) * all.outputs + first) * 6;
      std::copy_n(sums.data() + f * outputs * 6, outputs * 6, to);
    }
  }
}

}  // namespace

/// Time-domain filters of all targets of one problem.
struct Projections::Filters {
  std::vector<int> targets;  ///< indices of the targets of this problem
  int inputs = 0, own_inputs = 0, outputs = 0;
  std::vector<double> joint;              ///< [output][input][tap]
  std::vector<double> own;                ///< [output][own input][tap]
  std::vector<int> own_index, reference;  ///< as FrameEnergies wants them
};

Projections::Projections(std::vector<Source> references, std::vector<Problem> problems, std::int64_t begin,
                         std::int64_t end, int taps, int threads, core::StopToken stop, std::int64_t cache_bytes,
                         double ridge)
    : references_(std::move(references)),
      problems_(std::move(problems)),
      begin_(begin),
      end_(end),
      channels_(references_.empty() ? 0 : references_.front().channels()),
      taps_(taps),
      threads_(threads),
      stop_(std::move(stop)),
      ridge_(ridge),
      cache_bytes_(cache_bytes) {
  std::vector<Feed> feeds;
  for (std::size_t s = 0; s < references_.size(); ++s) {
    for (int c = 0; c < channels_; ++c) {
      if (!channel_sounds(references_[s], c, begin, end)) continue;
      active_.emplace_back(static_cast<int>(s), c);
      feeds.push_back({&references_[s], nullptr, c});
    }
  }
  // Cores and frames cost about the same per second of audio to transform again, and to keep.
  if (cache_bytes > 0) cores_ = core_spectra(feeds, begin, end, taps, threads, stop_, cache_bytes / 2);
  lags_ = autocorrelations(feeds, begin, end, taps, threads, stop_);

  struct Job {
    std::unique_ptr<ToeplitzSystem>* where;
    std::unique_ptr<ExtendedSystem>* extended;  ///< in its place, else null
    std::vector<Input> inputs;
  };
  std::vector<Job> jobs;
  systems_.resize(problems_.size());
  const std::size_t width = static_cast<std::size_t>(2 * taps - 1);
  for (std::size_t p = 0; p < problems_.size(); ++p) {
    System& system = systems_[p];
    const Problem& problem = problems_[p];
    system.own_inputs.resize(problem.size());
    system.own.resize(problem.size());
    for (std::size_t s = 0; s < problem.size(); ++s) {
      for (int c = 0; c < channels_; ++c) {
        Input input{static_cast<int>(s), c, {}};
        for (int part : problem[s]) {
          const auto found = std::find(active_.begin(), active_.end(), std::pair<int, int>(part, c));
          if (found != active_.end()) input.stems.push_back(static_cast<int>(found - active_.begin()));
        }
        if (input.stems.empty()) continue;
        // Stems that cancel leave a zero channel, up to rounding.
        double own = 0;
        for (int a : input.stems)
          own += lags_[(static_cast<std::size_t>(a) * active_.size() + static_cast<std::size_t>(a)) * width +
                       static_cast<std::size_t>(taps - 1)];
        if (!(sub_lags({input})[static_cast<std::size_t>(taps - 1)] > 1e-15 * own)) continue;
        system.own_inputs[s].push_back(static_cast<int>(system.inputs.size()));
        system.inputs.push_back(std::move(input));
      }
    }
    if (system.inputs.empty()) continue;
    const int inputs = static_cast<int>(system.inputs.size());
    if (ridge == 0) system.condition = estimate_condition(inputs, taps, sub_lags(system.inputs), kEpsilon);
    const bool extended = system.condition >= kExtendedFrom && inputs <= ExtendedSystem::kMostChannels;
    if (extended && extended_lags_.empty()) make_extended_lags();
    system.extended_own.resize(problem.size());
    jobs.push_back({&system.joint, extended ? &system.extended_joint : nullptr, system.inputs});
    for (std::size_t s = 0; s < problem.size(); ++s) {
      std::vector<Input> own;
      for (int i : system.own_inputs[s]) own.push_back(system.inputs[static_cast<std::size_t>(i)]);
      // A lone source's own system is the joint one.
      if (!own.empty() && own.size() < system.inputs.size())
        jobs.push_back({&system.own[s], extended ? &system.extended_own[s] : nullptr, std::move(own)});
    }
  }
  core::parallel_for(static_cast<std::int64_t>(jobs.size()), threads, [&](std::int64_t i) {
    stop_.check();
    Job& job = jobs[static_cast<std::size_t>(i)];
    const int count = static_cast<int>(job.inputs.size());
    if (job.extended != nullptr) {
      *job.extended = std::make_unique<ExtendedSystem>(count, taps_, extended_sub_lags(job.inputs), kEpsilon);
      return;
    }
    std::vector<double> lags = sub_lags(job.inputs);
    if (ridge_ > 0) {
      for (int a = 0; a < count; ++a) {
        double& energy = lags[static_cast<std::size_t>(a * count + a) * static_cast<std::size_t>(2 * taps_ - 1) +
                              static_cast<std::size_t>(taps_ - 1)];
        energy *= 1 + ridge_;
      }
    }
    *job.where = std::make_unique<ToeplitzSystem>(count, taps_, lags, kEpsilon);
  });
}

namespace {

/// All parts of all feeds, and which they are: [feed, exponent].
std::vector<Feed> all_parts(const std::vector<Feed>& feeds, std::int64_t begin, std::int64_t end,
                            std::vector<std::pair<std::size_t, int>>& which) {
  std::vector<Feed> out;
  for (std::size_t i = 0; i < feeds.size(); ++i) {
    for (const Part part : feeds[i].parts(begin, end)) {
      Feed feed = feeds[i];
      feed.part = part;
      out.push_back(feed);
      which.emplace_back(i, part_exponent(part));
    }
  }
  return out;
}

/// sums[to] += from * 2^exponent.
void add_scaled(std::vector<Extended>& sums, std::size_t to, const double* from, std::size_t n, int exponent) {
  const double scale = std::ldexp(1.0, exponent);
  for (std::size_t v = 0; v < n; ++v) sums[to + v] = sums[to + v] + Extended{from[v] * scale, 0};
}

}  // namespace

void Projections::make_extended_lags() {
  std::vector<Feed> feeds;
  for (const auto& [s, c] : active_) feeds.push_back({&references_[static_cast<std::size_t>(s)], nullptr, c});
  std::vector<std::pair<std::size_t, int>> which;
  const std::vector<Feed> parts = all_parts(feeds, begin_, end_, which);
  const std::vector<double> lags = autocorrelations(parts, begin_, end_, taps_, threads_, stop_);
  const std::size_t width = static_cast<std::size_t>(2 * taps_ - 1), stems = active_.size();
  extended_lags_.assign(stems * stems * width, {});
  for (std::size_t a = 0; a < parts.size(); ++a)
    for (std::size_t b = 0; b < parts.size(); ++b)
      add_scaled(extended_lags_, (which[a].first * stems + which[b].first) * width,
                 lags.data() + (a * parts.size() + b) * width, width, which[a].second + which[b].second);
}

std::vector<Extended> Projections::extended_sub_lags(const std::vector<Input>& inputs) const {
  const std::size_t width = static_cast<std::size_t>(2 * taps_ - 1), n = inputs.size();
  std::vector<Extended> out(n * n * width);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      for (int a : inputs[i].stems)
        for (int b : inputs[j].stems) {
          const Extended* from = extended_lags_.data() +
                                 (static_cast<std::size_t>(a) * active_.size() + static_cast<std::size_t>(b)) * width;
          Extended* to = out.data() + (i * n + j) * width;
          for (std::size_t v = 0; v < width; ++v) to[v] = to[v] + from[v];
        }
  return out;
}

/// As cross_correlations() lays them out: [(signal * channels + channel) * stems + stem][tap].
std::vector<Extended> Projections::extended_cross(const std::vector<Projected>& signals) const {
  std::vector<Feed> x, y;
  for (const auto& [s, c] : active_) x.push_back({&references_[static_cast<std::size_t>(s)], nullptr, c});
  for (const Projected& s : signals)
    for (int c = 0; c < channels_; ++c) y.push_back({s.plus, s.minus, c});
  std::vector<std::pair<std::size_t, int>> which_x, which_y;
  const std::vector<Feed> parts_x = all_parts(x, begin_, end_, which_x), parts_y = all_parts(y, begin_, end_, which_y);
  const std::vector<double> cross = cross_correlations(parts_x, parts_y, begin_, end_, taps_, threads_, stop_);
  const std::size_t taps = static_cast<std::size_t>(taps_);
  std::vector<Extended> out(x.size() * y.size() * taps);
  for (std::size_t m = 0; m < parts_y.size(); ++m)
    for (std::size_t a = 0; a < parts_x.size(); ++a)
      add_scaled(out, (which_y[m].first * x.size() + which_x[a].first) * taps,
                 cross.data() + (m * parts_x.size() + a) * taps, taps, which_y[m].second + which_x[a].second);
  return out;
}

std::vector<double> Projections::sub_lags(const std::vector<Input>& inputs) const {
  const std::size_t width = static_cast<std::size_t>(2 * taps_ - 1), n = inputs.size();
  std::vector<double> out(n * n * width, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      for (int a : inputs[i].stems)
        for (int b : inputs[j].stems) {
          const double* from =
              lags_.data() + (static_cast<std::size_t>(a) * active_.size() + static_cast<std::size_t>(b)) * width;
          double* to = out.data() + (i * n + j) * width;
          for (std::size_t v = 0; v < width; ++v) to[v] += from[v];
        }
  return out;
}

std::vector<Projections::Filters> Projections::solve(const std::vector<Projected>& signals,
                                                     const std::vector<Target>& targets) const {
  std::vector<Feed> x, y;
  for (const auto& [s, c] : active_) x.push_back({&references_[static_cast<std::size_t>(s)], nullptr, c});
  for (const Projected& s : signals)
    for (int c = 0; c < channels_; ++c) y.push_back({s.plus, s.minus, c});
  const bool any_plain =
      std::any_of(systems_.begin(), systems_.end(), [](const System& s) { return s.joint != nullptr; });
  const std::vector<double> cross =
      any_plain ? cross_correlations(x, y, begin_, end_, taps_, threads_, stop_, cores_.blocks > 0 ? &cores_ : nullptr)
                : std::vector<double>();
  const std::vector<Extended> fine = extended_lags_.empty() ? std::vector<Extended>() : extended_cross(signals);
  const std::size_t taps = static_cast<std::size_t>(taps_), stems = active_.size();
  const std::size_t width = 2 * taps - 1;

  std::vector<Filters> all(problems_.size());
  for (std::size_t p = 0; p < problems_.size(); ++p) {
    Filters& f = all[p];
    const System& system = systems_[p];
    for (std::size_t t = 0; t < targets.size(); ++t)
      if (targets[t].problem == static_cast<int>(p)) f.targets.push_back(static_cast<int>(t));
    f.inputs = static_cast<int>(system.inputs.size());
    f.outputs = static_cast<int>(f.targets.size()) * channels_;
    for (const auto& own : system.own_inputs) f.own_inputs = std::max(f.own_inputs, static_cast<int>(own.size()));
    const auto inputs = static_cast<std::size_t>(f.inputs), outputs = static_cast<std::size_t>(f.outputs);
    if (system.extended_joint) {
      solve_extended(fine, targets, p, f);
      continue;
    }
    std::vector<double> right(outputs * inputs * taps, 0.0);
    for (std::size_t o = 0; o < outputs; ++o) {
      const Target& target = targets[static_cast<std::size_t>(f.targets[o / static_cast<std::size_t>(channels_)])];
      const int channel = static_cast<int>(o) % channels_;
      for (std::size_t i = 0; i < inputs; ++i) {
        double* to = right.data() + (o * inputs + i) * taps;
        for (int stem : system.inputs[i].stems) {
          for (int part : target.parts) {
            const double* from =
                cross.data() +
                (static_cast<std::size_t>(part * channels_ + channel) * stems + static_cast<std::size_t>(stem)) * taps;
            for (std::size_t v = 0; v < taps; ++v) to[v] += from[v];
          }
          if (!target.subtract) continue;
          for (const int part : problems_[p][static_cast<std::size_t>(target.source)]) {
            const auto found = std::find(active_.begin(), active_.end(), std::pair<int, int>(part, channel));
            if (found == active_.end()) continue;
            const double* from =
                lags_.data() +
                (static_cast<std::size_t>(stem) * stems + static_cast<std::size_t>(found - active_.begin())) * width +
                taps - 1;
            for (std::size_t v = 0; v < taps; ++v) to[v] -= from[v];
          }
        }
      }
      f.reference.push_back(-1);
      for (std::size_t i = 0; i < inputs; ++i)
        if (system.inputs[i].source == target.source && system.inputs[i].channel == channel)
          f.reference.back() = static_cast<int>(i);
      // museval solves (G + eps I) c = D for the estimate; its solution for the error is that of D_error - eps at the
      // source itself. A perfect estimate has no error to solve for.
      double* column = right.data() + o * inputs * taps;
      if (f.reference.back() >= 0 && std::any_of(column, column + inputs * taps, [](double v) { return v != 0; })) {
        column[static_cast<std::size_t>(f.reference.back()) * taps] -= kEpsilon;
      }
    }
    if (f.inputs == 0 || f.outputs == 0) continue;

    // Columns are independent, so that they can be shared out; each share is solved the same way for any thread count.
    f.joint.resize(right.size());
    f.own.assign(outputs * static_cast<std::size_t>(f.own_inputs) * taps, 0.0);
    f.own_index.assign(outputs * static_cast<std::size_t>(f.own_inputs), -1);
    const auto share = static_cast<std::size_t>(channels_);
    core::parallel_for(static_cast<std::int64_t>(f.targets.size()), threads_, [&](std::int64_t t) {
      stop_.check();
      const std::size_t first = static_cast<std::size_t>(t) * share;
      const std::vector<double> mine(right.begin() + static_cast<std::ptrdiff_t>(first * inputs * taps),
                                     right.begin() + static_cast<std::ptrdiff_t>((first + share) * inputs * taps));
      const std::vector<double> solved = system.joint->solve(mine, channels_);
      std::copy(solved.begin(), solved.end(), f.joint.begin() + static_cast<std::ptrdiff_t>(first * inputs * taps));
      const int source = targets[static_cast<std::size_t>(f.targets[static_cast<std::size_t>(t)])].source;
      const std::vector<int>& own = system.own_inputs[static_cast<std::size_t>(source)];
      if (own.empty()) return;
      std::vector<double> own_right, own_solved;
      for (std::size_t o = 0; o < share; ++o)
        for (int i : own) {
          const double* from = mine.data() + (o * inputs + static_cast<std::size_t>(i)) * taps;
          own_right.insert(own_right.end(), from, from + taps);
        }
      const auto& own_system = system.own[static_cast<std::size_t>(source)];
      own_solved = own_system ? own_system->solve(own_right, channels_) : solved;
      for (std::size_t o = 0; o < share; ++o)
        for (std::size_t i = 0; i < own.size(); ++i) {
          const std::size_t slot = (first + o) * static_cast<std::size_t>(f.own_inputs) + i;
          f.own_index[slot] = own[i];
          std::copy_n(own_solved.data() + (o * own.size() + i) * taps, taps, f.own.data() + slot * taps);
        }
    });
  }
  return all;
}

void Projections::solve_extended(const std::vector<Extended>& cross, const std::vector<Target>& targets,
                                 std::size_t problem, Filters& f) const {
  const System& system = systems_[problem];
  const std::size_t taps = static_cast<std::size_t>(taps_), stems = active_.size(), width = 2 * taps - 1;
  const auto inputs = static_cast<std::size_t>(f.inputs), outputs = static_cast<std::size_t>(f.outputs);
  const auto channels = static_cast<std::size_t>(channels_);
  f.joint.resize(outputs * inputs * taps);
  f.own.assign(outputs * static_cast<std::size_t>(f.own_inputs) * taps, 0.0);
  f.own_index.assign(outputs * static_cast<std::size_t>(f.own_inputs), -1);
  f.reference.assign(outputs, -1);
  core::parallel_for(static_cast<std::int64_t>(f.targets.size()), threads_, [&](std::int64_t t) {
    stop_.check();
    const std::size_t first = static_cast<std::size_t>(t) * channels;
    const Target& target = targets[static_cast<std::size_t>(f.targets[static_cast<std::size_t>(t)])];
    std::vector<Extended> right(channels * inputs * taps);
    for (std::size_t channel = 0; channel < channels; ++channel) {
      bool any = false;
      for (std::size_t i = 0; i < inputs; ++i) {
        Extended* to = right.data() + (channel * inputs + i) * taps;
        for (int stem : system.inputs[i].stems) {
          for (int part : target.parts) {
            const Extended* from =
                cross.data() +
                ((static_cast<std::size_t>(part) * channels + channel) * stems + static_cast<std::size_t>(stem)) * taps;
            for (std::size_t v = 0; v < taps; ++v) to[v] = to[v] + from[v];
          }
          if (!target.subtract) continue;
          for (const int part : problems_[problem][static_cast<std::size_t>(target.source)]) {
            const auto found =
                std::find(active_.begin(), active_.end(), std::pair<int, int>(part, static_cast<int>(channel)));
            if (found == active_.end()) continue;
            const Extended* from =
                extended_lags_.data() +
                (static_cast<std::size_t>(stem) * stems + static_cast<std::size_t>(found - active_.begin())) * width +
                taps - 1;
            for (std::size_t v = 0; v < taps; ++v) to[v] = to[v] - from[v];
          }
        }
        any = any || std::any_of(to, to + taps, [](const Extended& v) { return v.hi != 0; });
        if (system.inputs[i].source == target.source && system.inputs[i].channel == static_cast<int>(channel))
          f.reference[first + channel] = static_cast<int>(i);
      }
      // As in solve().
      if (const int own = f.reference[first + channel]; own >= 0 && any) {
        Extended& at = right[(channel * inputs + static_cast<std::size_t>(own)) * taps];
        at = at - Extended{kEpsilon, 0};
      }
    }
    const std::vector<double> solved = system.extended_joint->solve(right, channels_);
    std::copy(solved.begin(), solved.end(), f.joint.begin() + static_cast<std::ptrdiff_t>(first * inputs * taps));
    const std::vector<int>& own = system.own_inputs[static_cast<std::size_t>(target.source)];
    if (own.empty()) return;
    std::vector<Extended> own_right;
    for (std::size_t o = 0; o < channels; ++o)
      for (int i : own) {
        const Extended* from = right.data() + (o * inputs + static_cast<std::size_t>(i)) * taps;
        own_right.insert(own_right.end(), from, from + taps);
      }
    const auto& own_system = system.extended_own[static_cast<std::size_t>(target.source)];
    const std::vector<double> own_solved = own_system ? own_system->solve(own_right, channels_) : solved;
    for (std::size_t o = 0; o < channels; ++o)
      for (std::size_t i = 0; i < own.size(); ++i) {
        const std::size_t slot = (first + o) * static_cast<std::size_t>(f.own_inputs) + i;
        f.own_index[slot] = own[i];
        std::copy_n(own_solved.data() + (o * own.size() + i) * taps, taps, f.own.data() + slot * taps);
      }
  });
}

/// What one evaluate() needs besides its results.
struct Projections::Scratch {
  struct Spectra {
    AlignedVector joint, own;
  };
  struct Worker {
    AlignedVector x, scratch, spectra, sums_of_stems, sums_of_signals;
    std::vector<double> difference, energies;
    std::vector<const double*> inputs, errors;
  };
  std::vector<Spectra> filters;
  std::vector<Worker> workers;
};

class Projections::ScratchLease {
 public:
  explicit ScratchLease(const Projections& owner) : owner_(owner) {
    const std::lock_guard<std::mutex> lock(owner.scratch_mutex_);
    if (owner.scratch_pool_.empty()) {
      scratch_ = std::make_unique<Scratch>();
    } else {
      scratch_ = std::move(owner.scratch_pool_.back());
      owner.scratch_pool_.pop_back();
    }
  }
  ~ScratchLease() {
    const std::lock_guard<std::mutex> lock(owner_.scratch_mutex_);
    owner_.scratch_pool_.push_back(std::move(scratch_));
  }
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;
  Scratch& operator*() const { return *scratch_; }

 private:
  const Projections& owner_;
  std::unique_ptr<Scratch> scratch_;
};

Projections::~Projections() = default;

void Projections::frame_spectra(const RealFft& fft, std::pair<std::int64_t, std::int64_t> frame, double* to, double* x,
                                double* difference, double* scratch) const {
  const std::size_t size = fft.spectrum_size();
  for (std::size_t s = 0; s < active_.size(); ++s) {
    const Feed feed{&references_[static_cast<std::size_t>(active_[s].first)], nullptr, active_[s].second};
    feed.load(frame.first, frame.first + fft.length(), frame.first, frame.second, x, difference);
    fft.forward(x, to + s * size, scratch);
    half_ends(fft, to + s * size);
  }
}

void Projections::keep_frames(const std::vector<std::pair<std::int64_t, std::int64_t>>& frames,
                              const std::vector<char>& wanted) {
  kept_frames_.clear();
  kept_spectra_.clear();
  std::int64_t longest = 0;
  for (const auto& f : frames) longest = std::max(longest, f.second - f.first);
  if (active_.empty() || longest == 0 || longest > kLongFrame) return;
  const RealFft fft(good_fft_length(longest + taps_ - 1));
  const std::size_t frame_size = active_.size() * fft.spectrum_size();
  const std::int64_t used = static_cast<std::int64_t>(cores_.spectra.size() * sizeof(double));
  const auto fit =
      static_cast<std::size_t>(std::max<std::int64_t>(0, cache_bytes_ - used)) / (frame_size * sizeof(double));
  std::vector<std::size_t> list;
  for (std::size_t f = 0; f < frames.size() && list.size() < fit; ++f)
    if (wanted[f]) list.push_back(f);
  if (list.empty()) return;
  kept_length_ = fft.length();
  kept_spectra_.resize(list.size() * frame_size);
  for (std::size_t f : list) kept_frames_.push_back(frames[f]);
  std::vector<AlignedVector> x(static_cast<std::size_t>(core::resolve_threads(threads_))), scratch(x.size());
  core::parallel_for_worker(static_cast<std::int64_t>(list.size()), threads_, [&](std::int64_t i, int worker) {
    stop_.check();
    const auto w = static_cast<std::size_t>(worker);
    x[w].resize(static_cast<std::size_t>(fft.length()));
    scratch[w].resize(fft.scratch_size());
    frame_spectra(fft, kept_frames_[static_cast<std::size_t>(i)],
                  kept_spectra_.data() + static_cast<std::size_t>(i) * frame_size, x[w].data(), nullptr,
                  scratch[w].data());
  });
}

std::vector<std::vector<Energies>> Projections::evaluate(
    const std::vector<Projected>& signals, const std::vector<Target>& targets,
    const std::vector<std::pair<std::int64_t, std::int64_t>>& frames, const std::vector<char>& wanted) const {
  std::vector<std::vector<Energies>> out(targets.size(), std::vector<Energies>(frames.size()));
  const std::vector<Filters> filters = solve(signals, targets);
  std::vector<std::size_t> usual;
  for (std::size_t f = 0; f < frames.size(); ++f) {
    if (!wanted[f]) continue;
    if (frames[f].second - frames[f].first > kLongFrame) {
      evaluate_long(signals, targets, filters, frames[f], f, out);
    } else {
      usual.push_back(f);
    }
  }
  if (!usual.empty()) evaluate_short(signals, targets, filters, frames, usual, out);
  return out;
}

void Projections::evaluate_short(const std::vector<Projected>& signals, const std::vector<Target>& targets,
                                 const std::vector<Filters>& filters,
                                 const std::vector<std::pair<std::int64_t, std::int64_t>>& frames,
                                 const std::vector<std::size_t>& list, std::vector<std::vector<Energies>>& out) const {
  std::int64_t longest = 1;
  for (std::size_t f : list) longest = std::max(longest, frames[f].second - frames[f].first);
  const RealFft fft(good_fft_length(longest + taps_ - 1));
  const auto n = static_cast<std::size_t>(fft.length());
  const std::size_t size = fft.spectrum_size(), taps = static_cast<std::size_t>(taps_);

  const ScratchLease lease(*this);
  Scratch& scratch_space = *lease;
  // Spectra of the filters, once per track.
  auto& spectra = scratch_space.filters;
  spectra.resize(filters.size());
  const auto workers = static_cast<std::size_t>(core::resolve_threads(threads_));
  if (scratch_space.workers.size() < workers) scratch_space.workers.resize(workers);
  auto& work = scratch_space.workers;
  for (Scratch::Worker& w : work) {
    w.x.resize(n);
    w.difference.resize(n);
    w.scratch.resize(fft.scratch_size());
  }
  for (std::size_t p = 0; p < filters.size(); ++p) {
    spectra[p].joint.resize(filters[p].joint.size() / taps * size);
    spectra[p].own.resize(filters[p].own.size() / taps * size);
    const std::size_t joint_rows = filters[p].joint.size() / taps, rows = joint_rows + filters[p].own.size() / taps;
    core::parallel_for_worker(static_cast<std::int64_t>(rows), threads_, [&](std::int64_t row, int worker) {
      Scratch::Worker& w = work[static_cast<std::size_t>(worker)];
      const auto r = static_cast<std::size_t>(row);
      const bool joint = r < joint_rows;
      const std::size_t i = joint ? r : r - joint_rows;
      std::copy_n((joint ? filters[p].joint : filters[p].own).data() + i * taps, taps, w.x.data());
      std::fill(w.x.begin() + static_cast<std::ptrdiff_t>(taps), w.x.begin() + static_cast<std::ptrdiff_t>(n), 0.0);
      fft.forward(w.x.data(), (joint ? spectra[p].joint : spectra[p].own).data() + i * size, w.scratch.data());
    });
  }

  const std::size_t stems = active_.size(), projected = signals.size() * static_cast<std::size_t>(channels_);
  const bool all_kept = kept_length_ == fft.length() && std::all_of(list.begin(), list.end(), [&](std::size_t f) {
                          return std::find(kept_frames_.begin(), kept_frames_.end(), frames[f]) != kept_frames_.end();
                        });
  const std::size_t per_batch = cache_bytes_ > 0 ? kKeptFrameBatch : kFrameBatch;
  const std::size_t batches = (list.size() + per_batch - 1) / per_batch;
  const Kernels& kernel = kernels();

  core::parallel_for_worker(static_cast<std::int64_t>(batches), threads_, [&](std::int64_t batch, int worker) {
    stop_.check();
    Scratch::Worker& w = work[static_cast<std::size_t>(worker)];
    const std::size_t first = static_cast<std::size_t>(batch) * per_batch;
    const std::size_t count = std::min(per_batch, list.size() - first);
    // Only what is not kept needs room.
    const std::size_t fresh = all_kept ? 0 : stems, frame_size = (fresh + projected) * size;
    w.spectra.resize(per_batch * frame_size);
    const double* stem_spectra[kKeptFrameBatch];
    for (std::size_t f = 0; f < count; ++f) {
      double* to = w.spectra.data() + f * frame_size;
      const auto frame = frames[list[first + f]];
      const auto kept = std::find(kept_frames_.begin(), kept_frames_.end(), frame);
      if (kept != kept_frames_.end() && kept_length_ == fft.length()) {
        stem_spectra[f] = kept_spectra_.data() + static_cast<std::size_t>(kept - kept_frames_.begin()) * stems * size;
      } else {
        frame_spectra(fft, frame, to, w.x.data(), w.difference.data(), w.scratch.data());
        stem_spectra[f] = to;
      }
      for (std::size_t s = 0; s < projected; ++s) {
        const Projected& signal = signals[s / static_cast<std::size_t>(channels_)];
        const Feed feed{signal.plus, signal.minus, static_cast<int>(s) % channels_};
        feed.load(frame.first, frame.first + static_cast<std::int64_t>(n), frame.first, frame.second, w.x.data(),
                  w.difference.data());
        fft.forward(w.x.data(), to + (fresh + s) * size, w.scratch.data());
        half_ends(fft, to + (fresh + s) * size);
      }
    }

    for (std::size_t p = 0; p < filters.size(); ++p) {
      const Filters& filter = filters[p];
      if (filter.outputs == 0 || filter.inputs == 0) continue;
      const System& system = systems_[p];
      const auto inputs = static_cast<std::size_t>(filter.inputs), outputs = static_cast<std::size_t>(filter.outputs);
      w.inputs.assign(count * inputs, nullptr);
      w.errors.assign(count * outputs, nullptr);
      const bool sums_stems =
          std::any_of(system.inputs.begin(), system.inputs.end(), [](const Input& i) { return i.stems.size() > 1; });
      const bool sums_signals = std::any_of(filter.targets.begin(), filter.targets.end(), [&](int t) {
        const Target& target = targets[static_cast<std::size_t>(t)];
        return target.parts.size() > 1 || target.subtract;
      });
      if (sums_stems) w.sums_of_stems.resize(std::max(w.sums_of_stems.size(), per_batch * inputs * size));
      if (sums_signals) w.sums_of_signals.resize(std::max(w.sums_of_signals.size(), per_batch * outputs * size));
      for (std::size_t f = 0; f < count; ++f) {
        const double* base = w.spectra.data() + f * frame_size;
        for (std::size_t i = 0; i < inputs; ++i) {
          const std::vector<int>& parts = system.inputs[i].stems;
          if (parts.size() == 1) {
            w.inputs[f * inputs + i] = stem_spectra[f] + static_cast<std::size_t>(parts[0]) * size;
            continue;
          }
          double* sum = w.sums_of_stems.data() + (f * inputs + i) * size;
          std::copy_n(stem_spectra[f] + static_cast<std::size_t>(parts[0]) * size, size, sum);
          for (std::size_t q = 1; q < parts.size(); ++q) {
            const double* from = stem_spectra[f] + static_cast<std::size_t>(parts[q]) * size;
            for (std::size_t v = 0; v < size; ++v) sum[v] += from[v];
          }
          w.inputs[f * inputs + i] = sum;
        }
        for (std::size_t o = 0; o < outputs; ++o) {
          const Target& target =
              targets[static_cast<std::size_t>(filter.targets[o / static_cast<std::size_t>(channels_)])];
          const auto spectrum = [&](int part) {
            return base +
                   (fresh + static_cast<std::size_t>(part * channels_) + o % static_cast<std::size_t>(channels_)) *
                       size;
          };
          if (target.parts.size() == 1 && !target.subtract) {
            w.errors[f * outputs + o] = spectrum(target.parts[0]);
            continue;
          }
          double* sum = w.sums_of_signals.data() + (f * outputs + o) * size;
          std::copy_n(spectrum(target.parts[0]), size, sum);
          for (std::size_t q = 1; q < target.parts.size(); ++q) {
            const double* from = spectrum(target.parts[q]);
            for (std::size_t v = 0; v < size; ++v) sum[v] += from[v];
          }
          if (target.subtract && filter.reference[o] >= 0) {
            const double* from = w.inputs[f * inputs + static_cast<std::size_t>(filter.reference[o])];
            for (std::size_t v = 0; v < size; ++v) sum[v] -= from[v];
          }
          w.errors[f * outputs + o] = sum;
        }
      }
      w.energies.resize(count * outputs * 6);
      FrameEnergies e;
      e.frames = static_cast<int>(count);
      e.outputs = filter.outputs;
      e.inputs = filter.inputs;
      e.own_inputs = filter.own_inputs;
      e.x = w.inputs.data();
      e.d = w.errors.data();
      e.c = spectra[p].joint.data();
      e.own = spectra[p].own.data();
      e.own_index = filter.own_index.data();
      e.reference = filter.reference.data();
      e.stride = fft.stride();
      e.sums = w.energies.data();
      // Outputs are independent. Many stems make so many products that a stop request could not wait for all of them.
      constexpr std::int64_t kMostProducts = std::int64_t{1} << 26;
      const std::int64_t each = static_cast<std::int64_t>(count) * filter.inputs * fft.stride();
      const int group = static_cast<int>(std::max<std::int64_t>(1, kMostProducts / std::max<std::int64_t>(1, each)));
      if (group >= filter.outputs) {
        kernel.frame_energies(e);
      } else {
        energies_in_groups(kernel, e, group, stop_);
      }
      const double scale = 2.0 / static_cast<double>(n);
      for (std::size_t f = 0; f < count; ++f) {
        for (std::size_t o = 0; o < outputs; ++o) {
          Energies& to =
              out[static_cast<std::size_t>(filter.targets[o / static_cast<std::size_t>(channels_)])][list[first + f]];
          const double* sums = w.energies.data() + (f * outputs + o) * 6;
          to.spatial += scale * sums[0];
          to.target += scale * sums[1];
          to.interference += scale * sums[2];
          to.projection += scale * sums[3];
          to.artefacts += scale * sums[4];
          to.not_target += scale * sums[5];
        }
      }
    }
  });
}

void Projections::evaluate_long(const std::vector<Projected>& signals, const std::vector<Target>& targets,
                                const std::vector<Filters>& filters, std::pair<std::int64_t, std::int64_t> frame,
                                std::size_t index, std::vector<std::vector<Energies>>& out) const {
  int length = 1024;
  while (length < 8 * taps_) length *= 2;
  const RealFft fft(length);
  const auto n = static_cast<std::size_t>(length);
  const std::size_t size = fft.spectrum_size(), stride = static_cast<std::size_t>(fft.stride());
  const std::size_t taps = static_cast<std::size_t>(taps_), bins = static_cast<std::size_t>(fft.bins());
  const std::int64_t edge = taps_ - 1, step = length - edge;
  const std::int64_t blocks = (frame.second - frame.first + edge + step - 1) / step;
  constexpr std::int64_t kRun = 32;
  const std::int64_t runs = (blocks + kRun - 1) / kRun;
  const auto channels = static_cast<std::size_t>(channels_);

  for (std::size_t p = 0; p < filters.size(); ++p) {
    const Filters& filter = filters[p];
    if (filter.outputs == 0 || filter.inputs == 0) continue;
    const System& system = systems_[p];
    const auto inputs = static_cast<std::size_t>(filter.inputs), outputs = static_cast<std::size_t>(filter.outputs);
    const auto own_inputs = static_cast<std::size_t>(filter.own_inputs);
    AlignedVector joint(filter.joint.size() / taps * size), own(filter.own.size() / taps * size);
    {
      AlignedVector x(n), scratch(fft.scratch_size());
      for (std::size_t i = 0; i < filter.joint.size() / taps + filter.own.size() / taps; ++i) {
        const bool first = i < filter.joint.size() / taps;
        const std::size_t r = first ? i : i - filter.joint.size() / taps;
        std::fill(x.begin(), x.end(), 0.0);
        std::copy_n((first ? filter.joint : filter.own).data() + r * taps, taps, x.data());
        fft.forward(x.data(), (first ? joint : own).data() + r * size, scratch.data());
      }
    }
    std::vector<std::vector<Energies>> partial(static_cast<std::size_t>(runs),
                                               std::vector<Energies>(filter.targets.size()));
    core::parallel_for(runs, threads_, [&](std::int64_t run) {
      stop_.check();
      AlignedVector x(n), scratch(fft.scratch_size()), spectra(inputs * size), product(size);
      std::vector<double> difference(n), part(n), sums(n), all(n), mine(n);
      const auto add_filtered = [&](const double* c, const double* s) {
        for (std::size_t f = 0; f < bins; ++f) {
          product[f] += c[f] * s[f] - c[stride + f] * s[stride + f];
          product[stride + f] += c[f] * s[stride + f] + c[stride + f] * s[f];
        }
      };
      for (std::int64_t block = run * kRun; block < std::min(blocks, (run + 1) * kRun); ++block) {
        const std::int64_t start = frame.first + block * step;  // first output sample
        // The output runs on for L-1 samples after the frame.
        const auto valid = static_cast<std::size_t>(std::min(step, frame.second + edge - start));
        for (std::size_t i = 0; i < inputs; ++i) {
          std::fill(x.begin(), x.end(), 0.0);
          for (int stem : system.inputs[i].stems) {
            const auto& [reference, channel] = active_[static_cast<std::size_t>(stem)];
            Feed{&references_[static_cast<std::size_t>(reference)], nullptr, channel}.load(
                start - edge, start - edge + length, frame.first, frame.second, part.data(), difference.data());
            for (std::size_t t = 0; t < n; ++t) x[t] += part[t];
          }
          fft.forward(x.data(), spectra.data() + i * size, scratch.data());
        }
        for (std::size_t o = 0; o < outputs; ++o) {
          const Target& target = targets[static_cast<std::size_t>(filter.targets[o / channels])];
          const int channel = static_cast<int>(o % channels);
          std::vector<double> reference(valid, 0.0);
          for (int stem : problems_[p][static_cast<std::size_t>(target.source)]) {
            Feed{&references_[static_cast<std::size_t>(stem)], nullptr, channel}.load(
                start, start + static_cast<std::int64_t>(valid), frame.first, frame.second, part.data(),
                difference.data());
            for (std::size_t t = 0; t < valid; ++t) reference[t] += part[t];
          }
          std::fill(sums.begin(), sums.end(), 0.0);
          for (int signal : target.parts) {
            const Projected& s = signals[static_cast<std::size_t>(signal)];
            Feed{s.plus, s.minus, channel}.load(start, start + static_cast<std::int64_t>(valid), frame.first,
                                                frame.second, part.data(), difference.data());
            for (std::size_t t = 0; t < valid; ++t) sums[t] += part[t];
          }
          if (target.subtract)
            for (std::size_t t = 0; t < valid; ++t) sums[t] -= reference[t];
          const auto filtered = [&](std::vector<double>& to) {
            fft.inverse(product.data(), x.data(), scratch.data());
            for (std::size_t t = 0; t < valid; ++t) to[t] = x[t + static_cast<std::size_t>(edge)] / length;
          };
          std::fill(product.begin(), product.end(), 0.0);
          for (std::size_t i = 0; i < inputs; ++i)
            add_filtered(joint.data() + (o * inputs + i) * size, spectra.data() + i * size);
          filtered(all);
          std::fill(product.begin(), product.end(), 0.0);
          for (std::size_t i = 0; i < own_inputs; ++i) {
            const int which = filter.own_index[o * own_inputs + i];
            if (which >= 0)
              add_filtered(own.data() + (o * own_inputs + i) * size,
                           spectra.data() + static_cast<std::size_t>(which) * size);
          }
          filtered(mine);
          Energies& e = partial[static_cast<std::size_t>(run)][o / channels];
          const auto square = [](double v) { return v * v; };
          for (std::size_t t = 0; t < valid; ++t) {
            e.spatial += square(mine[t]);
            e.target += square(reference[t] + mine[t]);
            e.interference += square(all[t] - mine[t]);
            e.projection += square(reference[t] + all[t]);
            e.artefacts += square(sums[t] - all[t]);
            e.not_target += square(sums[t] - mine[t]);
          }
        }
      }
    });
    for (const auto& run : partial) {
      for (std::size_t t = 0; t < run.size(); ++t) {
        Energies& to = out[static_cast<std::size_t>(filter.targets[t])][index];
        to.spatial += run[t].spatial;
        to.target += run[t].target;
        to.interference += run[t].interference;
        to.projection += run[t].projection;
        to.artefacts += run[t].artefacts;
        to.not_target += run[t].not_target;
      }
    }
  }
}

}  // namespace mss::eval
