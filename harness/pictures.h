// Pictures of one separation, as PNG files.
//
// Every method: `overview.png` with the spectrograms of mixture and stems on one scale, and `target-NAME.png` per stem.
// Where true stems are given, they stand beside the estimates in both. Methods that separate by a model of templates and activations (MethodEntry::factor_model) besides show their factors: `overview.png` has the templates W on the left of
// the mixture's spectrogram and the activations H above it, every `target-NAME.png` the same for the components of that
// target around the stem's spectrogram, and `component-NN.png` template, activation and the model that they make, W_r
// H_r. Where one component is one target (blind, no protocol) a component's picture is the target's. `stems.png` then
// holds the grid of spectrograms. At most PictureRequest::components components get a picture: the loudest ones, by the sum
// of their model's magnitudes.
//
// Scales. Frequency is logarithmic from 30 Hz to half the rate. Spectrograms are the root mean square of the channels'
// magnitudes; where several frames or bins fall on one pixel, of these too. Spectrograms are in dB below the largest
// value of the mixture's (one reference for the whole set, so that pictures compare), templates in dB below their own
// largest entry, so that they show shapes. Activations are the mean of the channels and have the unit of the STFT's
// magnitudes summed over bins; a matrix of them is in dB below its own largest entry. Components are numbered from 1 in
// the order of the method's templates.
//
// Cost: factors are computed anew for the pictures, which takes as long as the separation, with the same bits. Other methods are read as streams in bounded memory.
//
// Errors: Error(invalid_argument) for a stem of another length or rate than the mixture, Error(numeric) for samples
// that are NaN or infinite, Error(io); Error(cancelled). Thread-safety: pure apart from the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "audio/stream.h"
#include "core/progress.h"
#include "core/stop.h"
#include "methods/registry.h"
#include "methods/separator.h"

namespace mss::harness {

/// Opens a source anew from its first sample.
using OpenSource = std::function<std::unique_ptr<audio::Source>()>;

struct NamedSource {
  std::string name;
  OpenSource open;
};

struct PictureRequest {
  std::string song;  ///< stands in the titles
  std::string spec;  ///< as it was given to the registry; dictionaries are read from the paths that stand there
  OpenSource mixture;
  std::vector<NamedSource> stems;       ///< what the separation yielded
  std::vector<NamedSource> references;  ///< what it was given, for oracles
  /// True signals of stems, by the stems' names: shown beside the estimates.
  std::vector<NamedSource> true_stems;
  int components = 16;  ///< most pictures of single components
  std::uint64_t seed = 0;
  int threads = 1;
  core::StopToken stop;
  core::Progress* progress = nullptr;  ///< nullptr = silent; else one task, a step per picture
  core::LogFn log;                     ///< hears of components that got no picture
};

/// Writes the pictures of a separation by `separator`, which `registry` made of `request.spec`, into `folder`, over earlier ones of the same names; returns the
/// paths in order: overview, stems, targets, components.
std::vector<std::filesystem::path> write_pictures(const methods::Separator& separator,
                                                  const methods::Registry& registry, const PictureRequest& request,
                                                  const std::filesystem::path& folder);

}  // namespace mss::harness
