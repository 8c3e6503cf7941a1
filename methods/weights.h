// Weights of networks as named arrays, without LibTorch: read from files of the world or our own, checked against the
// network, named, written and exported. A network family (Open-Unmix, Demucs, …) adds a NetworkFamily: its name, the
// list of tensors that follow from a configuration, and the way from other programs' files to them. `mssbench import`,
// `export`, `checkpoint` and the methods of methods/network_entry.h work through the table of families that the
// Registry holds (methods/registry.h).
//
// Configuration. A JSON object that belongs to the weights and says everything about the network: at least
// "architecture", "rate_hz", "channels" and "targets" (the stems' names), beside them what the family needs. Its member
// order is the family's (NetworkFamily::normalise), because the content hash sees the text.
//
// Parts. Networks that stand beside each other in one set of weights are its parts: one per target for families that
// train targets by themselves, one per model for a bag; a single network is the one part "". Tensors are named within
// their part, by the names of the network's scopes (nn/scope.h).
//
// Content hash: SHA-256 of, in this order,
//   "mssbench-FAMILY-weights 1\n"
//   the configuration as one line of JSON (no spaces) and "\n"
//   per part in order of their names' bytes "<part> <h>\n", where h is the SHA-256 (64 hexadecimal digits) of, per
//   tensor in order of names, "<name> F32 [d0, d1]\n" and its values as little-endian float32 in C order
// Stored half, bfloat16 and double values count as the float32 that they become. Optimiser state, training history,
// counters and file layout do not count, so that an official folder, a re-saved copy of it and the imported safetensors
// have one hash.
//
// Memory: arrays stay in their files until a network takes them (checkpoints::LazyTensor); reading a set of weights
// holds one tensor at a time.
//
// Errors: Error(io) for what cannot be opened; Error(format) for broken files; Error(checkpoint) for missing,
// unexpected or mis-shaped tensors (the first ones are listed), for NaN and infinities, for a file whose name claims
// another SHA-256, for parts that do not fit together and for content that does not match its recorded hash.
// Thread-safety: free functions without shared state; a Weights object may be read from several threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoints/safetensors.h"
#include "core/value.h"
#include "nn/scope.h"
#include "nn/trace.h"

namespace mss::methods {

using Arrays = checkpoints::LazyTensors;                           ///< name within the part -> array
using Parts = std::map<std::string, Arrays, std::less<>>;          ///< part -> its arrays
using Listings = std::map<std::string, nn::Listing, std::less<>>;  ///< part -> what its network wants

struct NetworkFamily;

struct Weights {
  const NetworkFamily* family = nullptr;
  core::Value configuration;
  Parts parts;
  std::string label;         ///< "umxhq" for files of known hashes, else as given, else the file's or folder's name
  std::string content_hash;  ///< 64 hexadecimal digits
  /// Where the numbers come from: {"files": [{"name", "format", "sha256", "targets"}], "assumed": [..], "ignored":
  /// [..], "note": ..}; no folders.
  core::Value provenance = core::Value::object();

  std::string name() const;          ///< "LABEL#HASH8", as records and tables write it
  std::string architecture() const;  ///< configuration.architecture
  std::vector<std::string> targets() const;
  std::int64_t parameters() const;  ///< trained numbers of all parts

  /// The arrays of one part for a network's constructor, by their own names.
  nn::ArraySource source(std::string_view part = "") const;
  /// Of all parts, named "<part>.<name>".
  nn::ArraySource source_of_all() const;
};

struct ReadOptions {
  std::optional<std::string> target_name;             ///< of a file with a single network, instead of the file's name
  std::optional<int> rate_hz, fft_size, hop_samples;  ///< instead of what the files say
  std::optional<std::string> label;                   ///< instead of any other
  std::optional<std::string> fallback_label;          ///< where the files are not known, instead of their name
  /// False: a file name's hexadecimal suffix need not be the beginning of the file's SHA-256 (a file that somebody
  /// re-saved under its old name), and a file that calls Python functions which weights do not need is read all the same
  /// (checkpoints/pickle.h; nothing is executed). The other way on is to rename the file.
  bool check_names = true;
  bool hash_files = false;  ///< provenance tells the SHA-256 of every file, not only of those whose names carry it
  int threads = 0;          ///< files and parts are read at once; 0 = all processors
};

/// What a family's import makes of files (methods/weight_files.h helps).
struct Imported {
  core::Value configuration;
  Parts parts;
  std::string label;                 ///< where the files are not known: their name or their folder's
  std::vector<std::string> assumed;  ///< members of the configuration that the files do not say
  std::vector<std::string> ignored;  ///< tensors in the files that are no weights
  struct File {
    std::string name, format, sha256;  ///< without folder; sha256 may be empty
    std::vector<std::string> parts;
  };
  std::vector<File> files;
};

/// A file that the world knows: the first digits of its SHA-256, the model that it belongs to, and what it holds.
struct OfficialFile {
  std::string sha256;  ///< 8 or more digits
  std::string model;   ///< becomes the label
  std::string part;    ///< "vocals"
};

/// What published weights were trained on, as their papers and READMEs say; the files themselves do not.
struct TrainingSet {
  std::string dataset;  ///< the training set of this benchmark: "MUSDB18"; empty = none
  std::string beyond;   ///< other music, alone or beside it: "150 songs"; empty = none
};

struct NetworkFile;  // methods/weight_files.h

/// What a folder of methods/ tells of its networks' weights. One object per family, alive as long as the program.
struct NetworkFamily {
  std::string name;   ///< of `mssbench import NAME`, of our files' format "mssbench-NAME-weights", of the content hash
  std::string title;  ///< in messages: "Open-Unmix"
  /// For `mssbench help import`: which files it reads, a sentence that follows "NAME: ".
  std::string files_help;
  std::vector<std::pair<std::string, std::string>> examples;  ///< of `mssbench import`: command line, what for
  std::vector<OfficialFile> official;
  /// By `model` of `official`. Goes into the provenance of weights made of such files, as `dataset` and `beyond`.
  std::map<std::string, TrainingSet> trained_on;

  /// Completes a configuration (order of members, members with defaults); throws Error(checkpoint) with `where` for
  /// missing or impossible ones.
  std::function<core::Value(const core::Value& configuration, std::string_view where)> normalise;
  /// What the networks of a normalised configuration consist of: the model constructed over the layer set Trace.
  std::function<Listings(const core::Value& configuration)> list;
  /// The sizes in words, for messages and tables: "H = 512, C = 2, 1487 of 2049 bins, 3 layers".
  std::function<std::string(const core::Value& configuration)> sizes;
  /// How frames or segments lie in time: "44100 Hz, FFT 4096, hop 1024".
  std::function<std::string(const core::Value& configuration)> timing;
  /// Multiply-accumulates of all networks per second of music at their rate and channels: one pass over ten seconds
  /// (over a chunk where its length is fixed), without overlap of segments. Counted by the layer set Trace.
  std::function<double(const core::Value& configuration)> macs_per_second;
  /// Could this file be one of the family's? A look at its tensors' names and the object in it.
  std::function<bool(const NetworkFile& file)> recognises;
  /// Files of other programs (a folder, a file, files that belong together) as a configuration and named arrays.
  std::function<Imported(const std::vector<std::filesystem::path>& paths, const ReadOptions& options)> import;
  /// The whole as the family's Python package names it, or one target's network. Throws Error(invalid_argument) where
  /// there is no such thing.
  std::function<checkpoints::LazyTensors(const Weights& weights, const std::optional<std::string>& target)> state_dict;
  /// Initial values where they are more than nn::draw's: a source whose values are a pure function of (configuration,
  /// seed, name), from several threads at once. Empty: nn::draw.
  std::function<std::shared_ptr<nn::Source>(const core::Value& configuration, std::uint64_t seed)> initial = {};
};

/// Reads files of the world or our own. `paths` are what belongs together. Our file of another family is
/// Error(checkpoint).
Weights read_weights(const NetworkFamily& family, const std::vector<std::filesystem::path>& paths,
                     const ReadOptions& options = {});
Weights read_weights(const NetworkFamily& family, const std::filesystem::path& path, const ReadOptions& options = {});
/// Of whichever of these families it is. Throws Error(checkpoint) where none reads it.
Weights read_weights(const std::vector<const NetworkFamily*>& families, const std::vector<std::filesystem::path>& paths,
                     const ReadOptions& options = {});

/// What `weights=` may say: a path (folder or file); a path followed by #HASH8, which is then checked; the label of
/// weights that are part of the program (shipped.h) with or without its #HASH8; LABEL#HASH8 or LABEL as recorded specs
/// have it, looked up as LABEL.safetensors or folder LABEL in the folders of the environment variable MSSBENCH_WEIGHTS
/// (colon-separated). Throws Error(checkpoint) saying where was looked, or that the content
/// differs.
Weights find_weights(const NetworkFamily& family, std::string_view reference, const ReadOptions& options = {});

/// Initial values as PyTorch draws them (nn/parameters.h), a pure function of (seed, part, name): for tests, timings
/// and the beginning of training. Label "random-SEED".
Weights random_weights(const NetworkFamily& family, const core::Value& configuration, std::uint64_t seed);

/// Weights made in the program: normalises the configuration, checks names, shapes and values, computes the hash.
Weights make_weights(const NetworkFamily& family, const core::Value& configuration, Parts parts, std::string label,
                     int threads = 0);

/// The same with its matrices and kernels in float16, for half the size, and vectors of 1024 values and more whose
/// values all have 11 digits there; short vectors (biases, statistics) and arrays with a value beyond 65504 stay as they
/// are. Another content hash, unless all values were halves.
Weights in_half(const Weights& weights);

/// Our own file: safetensors with keys "<part>/<name>" (part "": "<name>"), float16 and bfloat16 as they came, all
/// else float32; metadata format = "mssbench-FAMILY-weights", version = "1", architecture, label, configuration (JSON),
/// provenance (JSON), hashes (JSON {"content", "targets": {part: h}}). The same weights give the same bytes.
/// Throws Error(invalid_argument) for weights that are not consistent, Error(io).
void write_weights(const std::filesystem::path& path, const Weights& weights);

/// The same with further tensors, whose names begin with '@', and further metadata: what a training run needs to go on
/// (training/run.h). Those who read weights pass over them.
void write_weights(const std::filesystem::path& path, const Weights& weights, const checkpoints::LazyTensors& further,
                   const checkpoints::Metadata& metadata);

/// A safetensors file for Python: NetworkFamily::state_dict with metadata that names the weights.
void export_weights(const std::filesystem::path& path, const Weights& weights,
                    const std::optional<std::string>& target = std::nullopt);

/// The official file with this SHA-256: "umxhq, vocals", else nothing.
std::optional<std::string> official_file(const NetworkFamily& family, std::string_view sha256);

/// Throws Error(checkpoint) that lists the first missing, unexpected and mis-shaped tensors.
void check_fit(const NetworkFamily& family, const core::Value& configuration, const Parts& parts,
               std::string_view where);

}  // namespace mss::methods
