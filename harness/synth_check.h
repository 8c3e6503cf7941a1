// Acceptance of composed songs (`mssbench synth check`): what docs/synthetic.md promises, measured on a folder of
// `mssbench synth` and held against its tolerances. The numbers of the tests are those of docs/synthetic.md:
//   1 draws, scores and loudness against golden values   2 exact sums, peaks, edges      3 the same bytes when rendered again
//   4 separability (mixture, ideal masks, clustered NMF)  5 spectra     6 crest factors and levels    7 pauses of the voice
//   8 correlation between stems   9 steadiness of the singer's pitch   10 speed   11 fonts
// The prototypes' numbers and those of two real MUSDB18 clips stand beside ours; the tolerances were set from the
// prototypes, which were adjusted by hand while looking at exactly these two clips.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/stop.h"
#include "datasets/synth/renderer.h"
#include "methods/registry.h"

namespace mss::harness {

enum class Verdict { none, pass, fail };

struct SynthFinding {
  int test = 0;
  std::string what, found, wanted;
  std::string prototype;  ///< the prototype's number, or that of the real clips where a test compares with them
  Verdict verdict = Verdict::none;
};

struct SynthCheckOptions {
  std::filesystem::path root;
  int threads = 0;
  int rendered_again = 2;  ///< songs that are rendered again for the tests 3 and 10
  const methods::Registry* methods = nullptr;
  /// Specs of the rows of test 4.
  std::string mixture, ideal_ratio_mask, clustered_nmf;
  /// "builtin" or "fluidsynth"; used for songs of the same renderer as the folder's.
  std::function<std::unique_ptr<datasets::synth::Renderer>(const std::string& name)> make_renderer;
  core::Progress* progress = nullptr;
  core::StopToken stop{};
  core::LogFn log{};
};

/// Findings in the order of the tests. Means over a split are judged where the folder has the whole split of the presets
/// small and full, or twelve songs; else they are told without a verdict. Throws Error(dataset) for a folder that
/// mssbench synth did not make or finish; Error(cancelled).
std::vector<SynthFinding> check_synth(const SynthCheckOptions& options);

/// Standard deviations, in cents, of the lead's detrended pitch in windows of 0.4 s (10-ms steps, amplitude above 0.1, no
/// step above 80 cents, a window each 0.1 s) over songs with these seeds, talked ones left out; sorted.
std::vector<double> pitch_deviations(datasets::synth::Split split, const std::vector<std::uint64_t>& seeds);

}  // namespace mss::harness
