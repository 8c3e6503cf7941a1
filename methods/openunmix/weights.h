// Weights of the Open-Unmix family as plain arrays, without LibTorch: what networks.cpp needs to build and fill its
// layers, and what tables need to name them.
//
// Sources that can be read
//   folder       an official one: separator.json {nfft, nhop, sample_rate, nb_channels} and <target>-<8 hex>.pth (umx,
//                umxhq, umxl) or <target>_<8 hex>.pth (umxse); or one that the package's trainer wrote: <target>.pth,
//                <target>.chkpnt, <target>.json. A .pth counts before the .chkpnt of the same target.
//   .pth, .chkpnt, .pt, .th, .ckpt   one file of PyTorch: the state dict of one target (also nested, as trainers save
//                it), of the package's whole Separator (target_models.<target>.…), or of X-UMX with the key names of
//                asteroid (layer_enc.<target>.…). The file's name without hash names the target of a single one.
//   .safetensors written by write_weights (mssbench import openunmix), or by Python with the same names as above
//   several of these together (read_weights with a list): one .pth per target
//
// Sizes come from the tensors; nothing but rate, FFT size and hop is taken from JSON. Where those are not stated either
// (a single file without separator.json or <target>.json beside it, unknown hash): fft = 2 (bins - 1), hop = fft / 4,
// 44100 Hz, and for one channel with 513 bins the values of umxse (1024, 512, 16000 Hz); provenance["assumed"] then
// lists what was guessed.
//
// Names per target (shapes: H hidden, C channels, F bins, B = max_bin input bins, D = 1 or 2 directions, h = H / D)
//   fc1.weight (H, C B) · bn1.{weight,bias,running_mean,running_var} (H)
//   lstm.{weight_ih (4h, H), weight_hh (4h, h), bias_ih (4h), bias_hh (4h)}_l<layer>[_reverse]
//   fc2.weight (H, 2H) · bn2.* (H) · fc3.weight (C F, H) · bn3.* (C F)
//   input_mean (B) · input_scale (B) · output_scale (F) · output_mean (F)
// The cross-connected extension has fc2x.weight (H, (targets + 1) H) instead of fc2.weight; its columns are [own tanh,
// own lstm, the other targets' tanh in the order of Configuration::targets]. X-UMX has the plain names.
//
// Content hash: SHA-256 of, in this order,
//   "mssbench-openunmix-weights 1\n"
//   the configuration as one line of JSON (configuration_value, no spaces) and "\n"
//   per target in order of their names' bytes "<target> <h>\n", where h is the SHA-256 (64 hexadecimal digits) of, per
//   tensor in order of names, "<name> F32 [d0, d1]\n" and its values as little-endian float32 in C order
// Stored half, bfloat16 and double values count as the float32 that they become. Optimiser state, training history,
// counters and file layout do not count, so that an official folder, a re-saved copy of it and the imported safetensors
// have one hash.
//
// Errors: Error(io) for what cannot be opened; Error(format) for broken files; Error(checkpoint) for missing,
// unexpected or mis-shaped tensors (the first ones are listed), for a file whose name claims another SHA-256, for
// targets that do not fit together and for content that does not match its recorded hash. Thread-safety: free functions
// without shared state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/value.h"

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

struct Array {
  std::vector<std::int64_t> shape;
  std::vector<float> values;  ///< C order
};
using Arrays = std::map<std::string, Array, std::less<>>;

/// The names and shapes of one target's tensors.
std::map<std::string, std::vector<std::int64_t>, std::less<>> expected_shapes(const Configuration& configuration);

struct Weights {
  Configuration configuration;
  std::map<std::string, Arrays, std::less<>> targets;  ///< one entry per configuration.targets
  std::string label;         ///< "umxhq" for files of known hashes, else as given, else the file's or folder's name
  std::string content_hash;  ///< 64 hexadecimal digits
  /// Where the numbers come from: {"files": [{"name", "sha256", "target"}], "assumed": [..], "note": ..}; no folders.
  core::Value provenance = core::Value::object();

  std::string name() const;                  ///< "LABEL#HASH8", as records and tables write it
  std::int64_t parameters() const noexcept;  ///< trainable numbers of all targets (no running statistics)
};

struct ReadOptions {
  /// Keep these only; empty: all. The content hash is that of the whole all the same. Not for cross-connected networks.
  std::vector<std::string> targets;
  std::optional<std::string> target_name;             ///< of a file with a single network, instead of the file's name
  std::optional<int> rate_hz, fft_size, hop_samples;  ///< instead of what the files say
  std::optional<std::string> label;                   ///< instead of any other
  std::optional<std::string> fallback_label;          ///< where the files are not known, instead of their name
  /// False: a file name's hexadecimal suffix need not be the beginning of the file's SHA-256 (a file that somebody
  /// re-saved under its old name). The other way on is to rename the file to <target>.pth.
  bool check_names = true;
  bool hash_files = false;  ///< provenance tells the SHA-256 of every file, not only of those whose names carry it
  int threads = 0;          ///< files are read at once; 0 = all processors
};

Weights read_weights(const std::filesystem::path& path, const ReadOptions& options = {});
Weights read_weights(const std::vector<std::filesystem::path>& paths, const ReadOptions& options = {});

/// What `weights=` may say: a path (folder or file); a path followed by #HASH8, which is then checked; LABEL#HASH8 or
/// LABEL as recorded specs have it, looked up as LABEL.safetensors or folder LABEL in the folders of the environment
/// variable MSSBENCH_WEIGHTS (colon-separated). Throws Error(checkpoint) saying where was looked, or that the content
/// differs.
Weights find_weights(std::string_view reference, const ReadOptions& options = {});

/// Our own file: safetensors with keys "<target>/<name>", all float32; metadata format = "mssbench-openunmix-weights",
/// version = "1", architecture, label, configuration (JSON), provenance (JSON), hashes (JSON {"content", "targets":
/// {target: h}}). Equal weights give equal bytes.
/// Throws Error(invalid_argument) for weights that are not consistent, Error(io).
void write_weights(const std::filesystem::path& path, const Weights& weights);

/// A safetensors file for Python. Without `target`: the state dict of the package's Separator
/// ("target_models.<target>.<name>", "stft.window", "istft.window", "sample_rate"), for X-UMX that of asteroid's XUMX.
/// With `target`: the state dict of one OpenUnmix. Both are complete (num_batches_tracked, too), so that
/// load_state_dict accepts them strictly. The cross-connected extension is written with the first form's names.
void export_weights(const std::filesystem::path& path, const Weights& weights,
                    const std::optional<std::string>& target = std::nullopt);

/// "umxhq, vocals" for the SHA-256 of an official file, else nothing.
std::optional<std::string> official_file(std::string_view sha256);

/// The content hash of these targets (the readers do it already).
std::string compute_content_hash(const Configuration& configuration,
                                 const std::map<std::string, Arrays, std::less<>>& targets);

/// Throws Error(checkpoint) that lists the first missing, unexpected and mis-shaped tensors of `weights`.
void check_shapes(const Weights& weights, std::string_view where);

}  // namespace mss::methods::openunmix
