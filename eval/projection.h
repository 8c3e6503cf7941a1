// The filters and projections of BSS Eval for one set of references. Internal to mss::eval.
//
// In error-signal form: with d = e - s, and s in its own span at delay 0, e_spat = P_j d, e_interf = (P_all - P_j) d
// and e_artif = d - P_all d, where P_j and P_all project onto the span of the target's (all) channels delayed by 0 …
// L-1. A problem's sources may be sums of the references (an accompaniment): their correlations and spectra are sums,
// too.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/stop.h"
#include "eval/correlate.h"
#include "eval/extended.h"
#include "eval/sums.h"
#include "eval/toeplitz.h"

namespace mss::eval {

/// Energies of one frame and target over samples and channels.
struct Energies {
  double spatial = 0;       ///< |e_spat|^2
  double target = 0;        ///< |s + e_spat|^2
  double interference = 0;  ///< |e_interf|^2
  double projection = 0;    ///< |s + e_spat + e_interf|^2
  double artefacts = 0;     ///< |e_artif|^2
  double not_target = 0;    ///< |e_interf + e_artif|^2
};

class Projections {
 public:
  /// One source of a problem: indices of the references that it sums.
  using Parts = std::vector<int>;
  using Problem = std::vector<Parts>;

  /// References over samples [begin, end). They must outlive the object. With `ridge`, that share of a channel's energy
  /// is added to the diagonal and stays: filters of the error signal as if there were white noise of that power beside
  /// every channel.
  Projections(std::vector<Source> references, std::vector<Problem> problems, std::int64_t begin, std::int64_t end,
              int taps, int threads, core::StopToken stop, std::int64_t cache_bytes = 0, double ridge = 0);

  /// Estimated condition number of a problem's joint system (condition.h); 1 where no channel sounds.
  double condition(int problem) const { return systems_[static_cast<std::size_t>(problem)].condition; }
  /// From this condition on double precision does not determine the filters: they are solved for in 106 bits.
  static constexpr double kExtendedFrom = 1e12;

  /// Keeps the references' spectra of the first of these frames, as many as the rest of `cache_bytes` holds, for every
  /// evaluate() with the same frames.
  void keep_frames(const std::vector<std::pair<std::int64_t, std::int64_t>>& frames, const std::vector<char>& wanted);

  ~Projections();

  /// A signal that is projected: estimate - reference, or an estimate alone (`minus` null).
  struct Projected {
    const Source* plus = nullptr;
    const Source* minus = nullptr;
  };
  struct Target {
    int problem = 0;
    int source = 0;          ///< of the problem
    std::vector<int> parts;  ///< the signals whose sum is projected
    bool subtract = false;   ///< the sum is an estimate: take the source away first
  };

  /// Energies [target][frame] for the frames [start, stop); frames with wanted[frame] == 0 are left at zero.
  std::vector<std::vector<Energies>> evaluate(const std::vector<Projected>& signals, const std::vector<Target>& targets,
                                              const std::vector<std::pair<std::int64_t, std::int64_t>>& frames,
                                              const std::vector<char>& wanted) const;

 private:
  struct Input {  ///< a channel of a problem's source
    int source = 0, channel = 0;
    std::vector<int> stems;  ///< indices into active_
  };
  struct System {
    std::vector<Input> inputs;
    std::unique_ptr<ToeplitzSystem> joint;             ///< null when no channel sounds
    std::vector<std::vector<int>> own_inputs;          ///< per source: indices into inputs
    std::vector<std::unique_ptr<ToeplitzSystem>> own;  ///< per source, null when silent
    double condition = 1;
    // In their place, where the condition asks for it.
    std::unique_ptr<ExtendedSystem> extended_joint;
    std::vector<std::unique_ptr<ExtendedSystem>> extended_own;
  };
  struct Filters;

  std::vector<double> sub_lags(const std::vector<Input>& inputs) const;
  std::vector<Extended> extended_sub_lags(const std::vector<Input>& inputs) const;
  void make_extended_lags();
  std::vector<Extended> extended_cross(const std::vector<Projected>& signals) const;
  void solve_extended(const std::vector<Extended>& cross, const std::vector<Target>& targets, std::size_t problem,
                      Filters& filters) const;
  std::vector<Filters> solve(const std::vector<Projected>& signals, const std::vector<Target>& targets) const;
  void evaluate_short(const std::vector<Projected>& signals, const std::vector<Target>& targets,
                      const std::vector<Filters>& filters,
                      const std::vector<std::pair<std::int64_t, std::int64_t>>& frames,
                      const std::vector<std::size_t>& list, std::vector<std::vector<Energies>>& out) const;
  void evaluate_long(const std::vector<Projected>& signals, const std::vector<Target>& targets,
                     const std::vector<Filters>& filters, std::pair<std::int64_t, std::int64_t> frame,
                     std::size_t index, std::vector<std::vector<Energies>>& out) const;

  struct Scratch;
  class ScratchLease;
  void frame_spectra(const RealFft& fft, std::pair<std::int64_t, std::int64_t> frame, double* to, double* x,
                     double* difference, double* scratch) const;

  std::vector<Source> references_;
  std::vector<Problem> problems_;
  std::int64_t begin_, end_;
  int channels_, taps_, threads_;
  core::StopToken stop_;
  std::vector<std::pair<int, int>> active_;  ///< (reference, channel) that are not zero throughout
  std::vector<double> lags_;                 ///< of the active channels
  std::vector<Extended> extended_lags_;      ///< the same; empty where no problem asks for them
  std::vector<System> systems_;              ///< per problem
  double ridge_;
  std::int64_t cache_bytes_;
  CoreSpectra cores_;
  std::vector<std::pair<std::int64_t, std::int64_t>> kept_frames_;  ///< (-1, -1) where a frame was not wanted
  AlignedVector kept_spectra_;
  int kept_length_ = 0;
  // Big buffers that outlive one call: fresh ones would cost their page faults for every estimate.
  mutable std::mutex scratch_mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> scratch_pool_;
};

}  // namespace mss::eval
