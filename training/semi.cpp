#include "training/semi.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "training/augment.h"

namespace mss::training {
namespace {

double energy(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum;
}

bool contains(const std::vector<int>& list, std::int64_t value) {
  return std::find(list.begin(), list.end(), static_cast<int>(value)) != list.end();
}

/// Which of `count` things a uniform number in [0, 1) takes.
int picked(double uniform, int count) { return std::min(static_cast<int>(uniform * count), count - 1); }

}  // namespace

std::string_view segment_kind_name(SegmentKind kind) noexcept {
  switch (kind) {
    case SegmentKind::pseudo:
      return "pseudo";
    case SegmentKind::clean_target:
      return "clean_target";
    case SegmentKind::clean_residual:
      return "clean_residual";
    case SegmentKind::silent:
      return "silent";
  }
  return "";
}

SegmentKind classify_segment(std::span<const float> segment, std::span<const float> estimate, double clean_db) {
  MSS_ASSERT(segment.size() == estimate.size());
  const double whole = energy(segment);
  if (!(whole > 0)) return SegmentKind::silent;
  double residual = 0;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    const double r = static_cast<double>(segment[i]) - static_cast<double>(estimate[i]);
    residual += r * r;
  }
  // E(m) - E(x) > clean_db without logarithms, so that a part of zeros needs no exception.
  const double ratio = std::pow(10.0, clean_db / 10);
  if (whole > ratio * energy(estimate)) return SegmentKind::clean_residual;
  if (whole > ratio * residual) return SegmentKind::clean_target;
  return SegmentKind::pseudo;
}

SegmentKind mix_semi(ExampleSpan example, std::int64_t sources, std::int64_t size, std::span<const float> segment,
                     std::span<const float> estimate, const SemiDraw& draw, const SemiSettings& settings) {
  const SegmentKind kind = classify_segment(segment, estimate, settings.clean_db);
  const bool new_target = kind == SegmentKind::pseudo || kind == SegmentKind::clean_target;
  const bool new_residual = kind == SegmentKind::pseudo || kind == SegmentKind::clean_residual;
  const bool replace_target = new_target && picked(draw.target, 2) == 1;
  const bool replace_residual = new_residual && picked(draw.residual, 2) == 1;
  if (replace_target || replace_residual) {
    std::int64_t first_target = -1, first_other = -1;
    for (std::int64_t s = sources - 1; s >= 0; --s)
      (contains(settings.target_stems, s) ? first_target : first_other) = s;
    if (first_target < 0 || first_other < 0) {
      throw Error({Code::config, "semi.enabled", "the target leaves no stem for the residual",
                   "a target beside which there are others", std::to_string(sources) + " stems", ""});
    }
    // The labelled parts as sums, in the place of their first stem.
    for (std::int64_t s = 0; s < sources; ++s) {
      const std::int64_t to = contains(settings.target_stems, s) ? first_target : first_other;
      if (s == to) continue;
      float* from = example.stems + s * size;
      float* sum = example.stems + to * size;
      for (std::int64_t i = 0; i < size; ++i) sum[i] += from[i];
      std::fill(from, from + size, 0.0F);
    }
    float* target = example.stems + first_target * size;
    float* residual = example.stems + first_other * size;
    for (std::int64_t i = 0; i < size; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const float t = kind == SegmentKind::pseudo ? estimate[k] : segment[k];
      const float r = kind == SegmentKind::pseudo ? segment[k] - estimate[k] : segment[k];
      if (replace_target) target[i] = t * draw.target_factor;
      if (replace_residual) residual[i] = r * draw.residual_factor;
    }
    mix(example.stems, sources, size, example.mixture);
  }
  if (settings.peak) {
    const float peak = example_peak(example.stems, sources, size, example.mixture);
    for (std::int64_t i = 0; i < size * sources; ++i) example.stems[i] /= peak;
    mix(example.stems, sources, size, example.mixture);
  }
  return kind;
}

std::array<std::int64_t, kSegmentKinds> mix_semi(Batch& batch, const Learner& teacher, const SemiSettings& settings) {
  const std::int64_t size = batch.channels * batch.samples;
  MSS_ASSERT(std::ssize(batch.unlabelled) == batch.count * size && std::ssize(batch.draws) == batch.count);
  std::vector<float> estimates(batch.unlabelled.size());
  teacher.teach(batch.count, batch.channels, batch.samples, batch.unlabelled.data(), estimates.data());
  std::array<std::int64_t, kSegmentKinds> kinds{};
  for (std::int64_t i = 0; i < batch.count; ++i) {
    const auto at = static_cast<std::size_t>(i * size), count = static_cast<std::size_t>(size);
    const SegmentKind kind =
        mix_semi({batch.stems.data() + i * batch.sources * size, batch.mixture.data() + i * size}, batch.sources, size,
                 std::span(batch.unlabelled).subspan(at, count), std::span(estimates).subspan(at, count),
                 batch.draws[static_cast<std::size_t>(i)], settings);
    ++kinds[static_cast<std::size_t>(kind)];
  }
  return kinds;
}

}  // namespace mss::training
