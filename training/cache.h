// The decoded cache: tracks as a training run reads them, on disk, memory-mapped.
//
// Loaders read a few seconds at a random place of a random track, thousands of times; decoding for each would cost far more
// than a training step. So every track is decoded once, brought to the model's rate and channels, and written to one
// file that all runs share. The file's name is the SHA-256 of what decides its content: the track's fingerprint
// (Dataset::sha256), stems, rate, channels and the version of this format; another data set with the same files shares
// it, and a track that was mended gets another.
//
// Samples are int16 where every sample is a multiple of 1/32768 in range (16-bit files, MUSDB18's stems), else
// float32: exact either way. Planar: stem by stem, channel by channel, each run aligned to 64 bytes.
//
// Two writers: each writes a file of its own and renames it (core/file.h); the second rename replaces equal bytes.
// A damaged or truncated file is told by its header and size and made again.
// Limit: before a file is written, the least recently used files are removed until it fits. Files that a process has
// open (a shared lock) stay; where they alone leave no room, Error(resource) says how much is needed. Of more files than
// half of the descriptors that a process may have, those beyond are mapped without a lock: their data stays readable,
// but the file may go.
//
// Thread-safety: Cache and CachedTrack may be used from several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "audio/buffer.h"
#include "core/progress.h"
#include "core/stop.h"
#include "datasets/dataset.h"

namespace mss::training {

/// What a track is brought to.
struct CacheFormat {
  int rate_hz = 44100;
  int channels = 2;  ///< 1: mean of the channels; 2 from mono: doubled; other counts must match
  std::vector<std::string>
      stems{};                     ///< in order; a stem that the track lacks is Error(dataset); none: the mixture alone
  bool mixture = false;            ///< keep the track's own mixture as well (validation)
  std::string copy{};              ///< a static copy instead of the track itself: "pitch+2" (stretch.h)
  std::string copy_speech_stem{};  ///< stem that gets the stretcher's speech setting
  friend bool operator==(const CacheFormat&, const CacheFormat&) = default;
};

/// A track in the cache; copies share the mapping, which lives as long as one of them.
class CachedTrack {
 public:
  const std::string& name() const noexcept;
  const std::string& fingerprint() const noexcept;  ///< Dataset::sha256 of the track
  const std::vector<std::string>& stems() const noexcept;
  int channels() const noexcept;
  int rate_hz() const noexcept;
  std::int64_t samples() const noexcept;
  bool has_mixture() const noexcept;
  /// Of the mono mixture (mean of the channels) of the whole track: mean and unbiased standard deviation (Demucs).
  double mixture_mean() const noexcept;
  double mixture_std() const noexcept;
  /// Dataset::levels_db of the mixture, for recognising songs.
  const std::vector<double>& levels_db() const noexcept;

  /// Samples [begin, begin + count) of stem `stem` and channel `channel`, times `factor`, to `out`; zeros outside the track.
  /// stem -1 is the mixture (has_mixture()).
  void read(int stem, int channel, std::int64_t begin, std::int64_t count, float* out, float factor = 1) const;
  /// Asks the processor for those samples ahead of read(); changes nothing.
  void prefetch(int stem, int channel, std::int64_t begin, std::int64_t count) const noexcept;
  /// The whole stem, or the mixture (-1).
  audio::AudioBuffer whole(int stem) const;

  struct Data;
  explicit CachedTrack(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

 private:
  std::shared_ptr<const Data> data_;
};

/// $MSSBENCH_CACHE/training, else $XDG_CACHE_HOME/mssbench/training, else ~/.cache/mssbench/training.
std::filesystem::path cache_folder();

struct CacheUse {
  std::int64_t found = 0, made = 0, removed = 0;  ///< files
  std::int64_t bytes = 0;                         ///< of the files in use
};

class Cache {
 public:
  /// Makes the folder. `limit_bytes` holds for all files in it together. Throws Error(io).
  Cache(std::filesystem::path folder, std::int64_t limit_bytes);
  const std::filesystem::path& folder() const noexcept;

  /// The track in this format: mapped, decoded first where it is not there yet. Throws what Dataset::load throws,
  /// Error(resource) for a full limit, Error(io) for a full disk (nothing is left behind), Error(cancelled).
  CachedTrack open(const datasets::Dataset& dataset, const datasets::Track& track, const CacheFormat& format);
  /// Audio of one file as a track of one stem (external stems, speech corpora, unlabelled music), called by the file's name,
  /// or by its folder's where the file is called mixture.
  CachedTrack open_file(const std::filesystem::path& file, const std::string& stem, int rate_hz, int channels);
  /// The same for many tracks, several at once (each needs the memory of its decoded stems), in order.
  std::vector<CachedTrack> open(const datasets::Dataset& dataset, const std::vector<datasets::Track>& tracks,
                                const CacheFormat& format, int threads, core::Progress& progress);
  CacheUse use() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace mss::training
