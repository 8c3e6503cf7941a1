// Protocol P2: which target a blind component belongs to, told from the component alone by a learned linear classifier.
//
// Features of component r, from factors of any level:
//   log band energies  log(1e-4 + share of template r's sum in each of 24 bands), bands of equal widths on
//                      log(1 + f / 700 Hz) (mel); a template's frames are added
//   activation         log(largest / mean); mean / root mean square; correlation of neighbouring frames; sum of the
//                      absolute steps over the sum; each over all channels
//   stereo             |sum H_left - sum H_right| / (sum of both), 0 for other numbers of channels
// Each is standardised with the training set's mean and deviation; a constant is added. Score of target j: the inner
// product with its weights; the highest wins, ties to the lower index.
//
// Training: the tracks' mixtures are factorised blindly, components get the target that protocol P4 gives them (most
// energy under their masks), and multinomial logistic regression with an L2 penalty is fitted, components weighted by
// the square root of their share of the model's sum (so that quiet stems count too). A linear classifier on spectrum
// and activation statistics is the method of e.g. Helen & Virtanen (EUSIPCO 2005), who use a support vector machine.
//
// File (safetensors): "weights" F32 [targets, features + 1], "mean" and "deviation" F32 [features], metadata format =
// mssbench-nmf-classifier, version = 1, targets, rate_hz, and the factorisation that it was trained for: fft_size,
// hop_samples, components, template_frames, iterations, beta; the provenance beside. Specs name it LABEL#HASH8.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "audio/stft.h"
#include "checkpoints/safetensors.h"
#include "methods/nmf/nmf.h"
#include "methods/nmf/train.h"

namespace mss::methods::nmf {

struct Classifier {
  std::vector<std::string> targets;
  int rate_hz = 44100;
  audio::StftSpec stft;
  int components = 30, template_frames = 1, iterations = 100;
  double beta = 1.0;
  std::vector<float> weights, mean, deviation;
  checkpoints::Metadata provenance;
  std::string label, sha256;  ///< set by reading

  std::string name() const;  ///< "LABEL#HASH8"
  /// Target of every component.
  std::vector<int> classify(const Factors<float>& factors, int channels) const;
};

/// Features per component, R rows. H: the channels beside each other.
std::vector<std::vector<double>> component_features(const Factors<float>& factors, int channels,
                                                    const audio::StftSpec& stft, int rate_hz);

/// Of the options rate_hz, stft, components, template_frames, iterations, beta, seed, threads, stop and progress count;
/// `members` is the number of factorisations per track, with different seeds. Tracks without any of the targets'
/// stems are left out. Deterministic. Throws as train_dictionary().
Classifier train_classifier(const std::vector<TrainTrack>& tracks, const std::vector<std::string>& targets,
                            const TrainOptions& options);

/// Throw as read_dictionary() and its like do.
Classifier read_classifier(const std::filesystem::path& path);
Classifier parse_classifier(std::string_view bytes, std::string_view label);
void write_classifier(const std::filesystem::path& path, const Classifier& classifier);
/// What `classifier=` may say: as find_dictionary().
Classifier find_classifier(std::string_view reference);

}  // namespace mss::methods::nmf
