// The factorisations behind the separators: what is fitted to which spectrogram from which start values. Private to
// methods/nmf.
#pragma once

#include <functional>
#include <vector>

#include "audio/buffer.h"
#include "methods/nmf/nmf.h"
#include "methods/nmf/separator.h"
#include "methods/separator.h"

namespace mss::methods::nmf {

/// |X| of all channels, K x (C N) row-major: the channels beside each other along time.
struct Magnitudes {
  std::vector<float> values;
  std::int64_t bins = 0, frames = 0;  ///< frames of one channel
  int channels = 0;
  MatrixView<float> view() const { return {values.data(), bins, frames * channels, frames * channels}; }
};

Magnitudes magnitudes_of(audio::AudioView x, const audio::StftSpec& spec, int threads, const core::StopToken& stop);

/// A power of two near 1 / mean: the floors of the updates then mean the same at every level, and the scaling is exact.
double level_scale(const std::vector<float>& v);

struct Fitted {
  Factors<float> factors;
  std::vector<int> first;  ///< part p has the components first[p] … first[p + 1] - 1
  double scale = 1;        ///< W H is `scale` times the model of the magnitudes
};

/// `report` is told the share done, 0 to 1.
using Report = std::function<void(double share)>;

/// Without a dictionary; P1 where there is a start dictionary. `stems` is the number of components under P3 unless the
/// options say another.
Fitted fit_blind(const SeparatorOptions& options, audio::AudioView input, int stems, const Context& context,
                 const Report& report);
/// P0 of the whole file: fixed templates and, semi-supervised, free ones, which are the last part. Members of an
/// ensemble are fitted one by one; their parts follow each other.
Fitted fit_to_dictionary(const SeparatorOptions& options, audio::AudioView input, const Context& context,
                         const Report& report);
/// P5: templates learned on the true stems.
Fitted fit_to_references(const SeparatorOptions& options, audio::AudioView input,
                         const std::vector<audio::AudioBuffer>& references, const Context& context,
                         const Report& report);

/// P0 of frames that know nothing of each other (one template frame, nothing free): activations of `columns` spectra of
/// `bins` values, frame-major, into h[column * R + r]. Every frame is fitted at its own level, so the result does not
/// depend on how a file is cut into blocks.
void fit_frames(const FixedTemplates<float>& templates, const SeparatorOptions& options, const std::complex<float>* x,
                std::int64_t columns, const Context& context, std::vector<float>& h);

/// Bytes of all that: |X|, factors and what their fits hold. `stems` as in fit_blind.
std::int64_t fit_whole_bytes(const SeparatorOptions& options, std::int64_t bins, std::int64_t frames, int channels,
                             int stems);

/// First component of each target of a dictionary, and their number at the end.
std::vector<int> first_components(const Dictionary& dictionary);

}  // namespace mss::methods::nmf
