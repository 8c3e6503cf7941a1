// The Open-Unmix family: sizes of its networks, and what methods/weights.h needs to know of their weights.
//
// Files that can be read
//   folder       an official one: separator.json {nfft, nhop, sample_rate, nb_channels} and <target>-<8 hex>.pth (umx,
//                umxhq, umxl) or <target>_<8 hex>.pth (umxse); or one that the package's trainer wrote: <target>.pth,
//                <target>.chkpnt, <target>.json. A .pth counts before the .chkpnt of the same target.
//   .pth, .chkpnt, .pt, .th, .ckpt   one file of PyTorch: the state dict of one target (also nested, as trainers save
//                it), of the package's whole Separator (target_models.<target>.…), or of X-UMX with the key names of
//                asteroid (layer_enc.<target>.…). The file's name without hash names the target of a single one.
//   .safetensors written by mssbench import openunmix, or by Python with the same names as above
//   several of these together: one .pth per target
//
// Sizes come from the tensors; nothing but rate, FFT size and hop is taken from JSON. Where those are not stated either
// (a single file without separator.json or <target>.json beside it, unknown hash): fft = 2 (bins - 1), hop = fft / 4,
// 44100 Hz, and for one channel with 513 bins the values of umxse (1024, 512, 16000 Hz); what was guessed is listed as
// assumed.
//
// Parts are targets, with the names of the package: fc1.weight, bn1.*, lstm.*, fc2.weight (fc2x.weight in the
// cross-connected extension), bn2.*, fc3.weight, bn3.*, input_mean, input_scale, output_mean, output_scale (model.h).
//
// Thread-safety: values and pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"
#include "methods/weights.h"

namespace mss::methods::openunmix {

enum class Architecture {
  openunmix,  ///< independent networks per target
  xumx,       ///< CrossNet: averaged tanh outputs and averaged LSTM inputs
  crossskip   ///< every fc2 also sees the other targets' tanh outputs
};
std::string_view architecture_name(Architecture architecture) noexcept;  ///< "openunmix", "xumx", "crossskip"

struct Configuration {
  Architecture architecture = Architecture::openunmix;
  int rate_hz = 44100;
  int fft_size = 4096;
  int hop_samples = 1024;
  int channels = 2;             ///< C
  int bins = 2049;              ///< F = fft_size / 2 + 1
  int max_bin = 1487;           ///< B, number of input bins that fc1 sees
  int hidden = 512;             ///< H
  int layers = 3;               ///< of the LSTM
  bool unidirectional = false;  ///< D = 1
  /// openunmix: vocals, drums, bass, other, speech, noise, then others by name. xumx and crossskip: bass, drums,
  /// vocals, other.
  std::vector<std::string> targets;

  int directions() const noexcept { return unidirectional ? 1 : 2; }
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

/// {"architecture", "rate_hz", "fft_size", "hop_samples", "channels", "bins", "max_bin", "hidden", "layers",
/// "unidirectional", "targets"} in this order.
core::Value configuration_value(const Configuration& configuration);
/// Inverse; throws Error(checkpoint) with `where` for missing or impossible members.
Configuration configuration_from_value(const core::Value& value, std::string_view where);

/// Named configurations: umx, umxhq, umxl (four stems at 44100 Hz), umxse (speech, noise at 16000 Hz); for the
/// architectures xumx and crossskip the targets come in their order. Throws Error(config).
Configuration named_configuration(std::string_view name, Architecture architecture);

/// "H = 512, C = 2, 1487 of 2049 bins, 3 layers".
std::string sizes_text(const Configuration& configuration);

const NetworkFamily& family();

/// Private to the family: files of other programs, and its state dicts (files.cpp).
Imported import_files(const std::vector<std::filesystem::path>& paths, const ReadOptions& options);
bool recognises(const NetworkFile& file);
checkpoints::LazyTensors state_dict(const Weights& weights, const std::optional<std::string>& target);

}  // namespace mss::methods::openunmix
