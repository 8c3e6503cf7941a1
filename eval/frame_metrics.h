// The four ratios of a frame from its energies. Internal to mss::eval.
#pragma once

#include <limits>

#include "eval/projection.h"
#include "eval/sdr.h"

namespace mss::eval {

struct FrameMetrics {
  double sdr = 0, isr = 0, sir = 0, sar = 0;
};

inline FrameMetrics frame_metrics(double reference2, double error2, const Energies& e, bool sources_version = false) {
  FrameMetrics m;
  m.sdr = sources_version ? ratio_db(e.target, e.not_target) : ratio_db(reference2, error2);
  m.isr = sources_version ? std::numeric_limits<double>::quiet_NaN() : ratio_db(reference2, e.spatial);
  m.sir = ratio_db(e.target, e.interference);
  m.sar = ratio_db(e.projection, e.artefacts);
  return m;
}

}  // namespace mss::eval
