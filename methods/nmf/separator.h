// Separation by NMF. Private to methods/nmf.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "audio/stft.h"
#include "methods/nmf/classifier.h"
#include "methods/nmf/dictionary.h"
#include "methods/nmf/nmf.h"
#include "methods/separator.h"

namespace mss::methods::nmf {

enum class Protocol { none, p0, p1, p2, p3, p4, p5 };

struct SeparatorOptions {
  Protocol protocol = Protocol::none;
  audio::StftSpec stft;
  int components = 0;  ///< 0 = 16, the number of targets under P3, 30 per stem under P5
  int template_frames = 1;
  int iterations = 100;
  double beta = 1.0;
  double alpha = 0.0;  ///< 0 = 1 blind or calibrated, 2 supervised
  double sparsity = 0.0;
  double continuity = 0.0;
  Update update = Update::clean;
  bool uniform_h = false;  ///< start H from ones instead of random numbers
  bool mono = false;
  bool tensor = false;      ///< NTF: one panning per component instead of activations per channel
  bool hals = false;        ///< Euclidean by HALS
  bool window_bug = false;  ///< the toolbox's louder second, fourth … component
  std::shared_ptr<const Dictionary> dictionary;
  std::shared_ptr<const Dictionary> start;       ///< P1: templates to start from
  std::shared_ptr<const Classifier> classifier;  ///< P2: whose components are
  int free_components = 0;                       ///< semi-supervised: components learned from the mixture
  std::string free_target;                       ///< whose they are
  bool calibrate = false;                        ///< the dictionary's calibration
};

std::unique_ptr<Separator> make_separator(SeparatorOptions options, SeparatorInfo info);

/// "component-01" … with as many digits as the count needs, at least two.
std::vector<std::string> component_names(int count);

/// Start values of blind NMF: W uniform in (0, 1) with unit-sum templates, H uniform, scaled so that the model has V's
/// sum. Component r draws from its own streams of the counter-based generator.
Factors<float> random_start(MatrixView<float> v, int components, int template_frames, std::uint64_t seed,
                            bool uniform_h);

}  // namespace mss::methods::nmf
