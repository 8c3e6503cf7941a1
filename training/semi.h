// Semi-supervised fine-tuning (Luo and Yu, "Music source separation with band-split RNN", 2023): a teacher P, which is
// a trained network, tells target and residual apart in music without stems, and a student Q, at first a copy of it, is
// trained on mixtures of those parts and of true ones. For every example:
//   1  a target t and a residual r (everything but the target) with their augmentation, from the data set;
//   2  a segment m of the unlabelled music; t' = P(m), r' = m - t';
//   3  with E the energy over all channels and samples, in dB:
//        E(m) - E(t') > clean_db   m holds nothing of the target: m is a clean residual, t' and r' are left out
//        E(m) - E(r') > clean_db   m is the target alone: a clean target, likewise
//        else                      t' and r' are pseudo labels
//      a silent m gives nothing;
//   4  one target and one residual are drawn from what there is (one or two of each, with equal chances); what comes from m
//      has gain, sign and drop by the rules of [augment], of its own; their sum is the mixture;
//   5  with augment.peak all is divided by the largest of mixture, target and residual.
// Where both parts are the labelled ones the example stays as it was, source by source. Whenever Q's validation is better than
// any before, P's included, Q is the next P (run.cpp); so P is what best.safetensors holds.
//
// Which segment and which parts are drawn is a function of (seed, epoch, index), as everything of an example; P's part is a
// function of those and of P's weights, which a checkpoint holds.
//
// Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "training/examples.h"
#include "training/learner.h"

namespace mss::training {

enum class SegmentKind { pseudo, clean_target, clean_residual, silent };
inline constexpr int kSegmentKinds = 4;
/// "pseudo", "clean_target", "clean_residual", "silent".
std::string_view segment_kind_name(SegmentKind kind) noexcept;

/// What a segment is, by the teacher's estimate of the target in it; both (C, T).
SegmentKind classify_segment(std::span<const float> segment, std::span<const float> estimate, double clean_db);

struct SemiSettings {
  std::vector<int> target_stems;  ///< whose sum is the target; the others' sum is the residual, and there are others
  double clean_db = 30;
  bool peak = false;
};

/// Steps 3 to 5. `example`: stems (S, C, T) and mixture (C, T) of the labelled example; `size` = C T. A new target is written
/// to the first of the target's stems, a new residual to the first of the others, zeros to the rest.
SegmentKind mix_semi(ExampleSpan example, std::int64_t sources, std::int64_t size, std::span<const float> segment,
                     std::span<const float> estimate, const SemiDraw& draw, const SemiSettings& settings);

/// Steps 2 to 5 for all examples of a batch, which must hold unlabelled segments; how many were of each kind.
std::array<std::int64_t, kSegmentKinds> mix_semi(Batch& batch, const Learner& teacher, const SemiSettings& settings);

}  // namespace mss::training
