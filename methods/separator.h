// The uniform interface of every separation method.
//
// Processing model. A Separator is a const object made from a spec string (registry.h). Its native form is a stream:
// the mixture comes from an audio::Source, blocks of stems go to a StemSink; the whole-buffer call stands on it. The
// public, non-virtual separate() owns what every method needs: validation (finite samples, at least one channel and
// sample), conversion of channels and rate to the method's native format and back, exact output length (every stem has
// the mixture's length), seeds, cancellation, progress, timing. A method implements one private virtual, do_separate(),
// on audio in its native format.
//
// Stems are float32, planar, never clipped and never rescaled. For an empty mixture (0 samples) separate() throws
// Error(invalid_argument); a silent one is separated like any other.
//
// Conversions. Channels: audio::convert_channels (mono is copied, C -> 1 averages; anything else is
// Error(unsupported)). Rate: audio/resample.h; the native mixture has max(1, round(T * native / rate)) samples, the
// stems come back with exactly T. What a method reads has been checked: NaN and infinities are Error(numeric) naming
// channel, sample and time. What it writes is checked too (targets, shapes, consecutive blocks, finite values, length);
// a breach is Error(method_contract) naming the spec. Errors of the method, of the sources and of the sink pass through
// as they are; std::bad_alloc becomes Error(resource). A source whose length() is known must keep its word
// (Error(format)).
//
// Memory. Beyond what the method holds, the shell keeps a few blocks; compose() keeps the mixture's samples between the
// slowest and the fastest of its readers (the method and the filters).
//
// Magnitudes. A method that works by masking may offer its magnitude estimates with their STFT
// (info().offers_magnitudes): if the sink asks (StemSink::wants_magnitudes), it sends MagnitudeBlocks instead of stems.
// Post-filters use this.
//
// Oracles. A method whose info().needs_references is true gets Options::references (sources of the true stems, in
// lockstep with the mixture) and throws Error(invalid_argument) without them. No other method ever sees references.
//
// Thread-safety: const calls on one object may run concurrently. Determinism: the result is a function of (spec,
// weights, audio, seed), the same bits for any number of threads on one instruction set.
#pragma once

#include <complex>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "audio/buffer.h"
#include "audio/stft.h"
#include "audio/stream.h"
#include "core/measure.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/value.h"

namespace mss::methods {

/// Memory of a separator, beside the audio that its caller holds. Estimates, from the sizes of what is kept.
struct MemoryNeed {
  std::int64_t fixed_bytes = 0;  ///< of the object, whatever the number of calls: weights, dictionaries
  std::int64_t call_bytes = 0;   ///< of one call of separate(), at its peak
  std::int64_t file_bytes = 0;   ///< of the temporary file of one call
};

/// What the program and a call of a method hold besides: blocks of samples, code, the planner's tables.
inline constexpr std::int64_t kShellBytes = std::int64_t{48} << 20;

struct SeparatorInfo {
  std::string spec;                  ///< canonical spec string of this object
  std::string method;                ///< its first name: "nmf"
  std::vector<std::string> targets;  ///< stems it yields; empty = whatever Options::targets asks for (floors, oracles)
  int rate_hz = 0;                   ///< native rate; 0 = any
  int channels = 0;                  ///< native channels; 0 = any
  bool is_oracle = false;            ///< knows the test stems: set apart everywhere
  bool is_floor = false;             ///< silence, mixture, mixture-over-j
  bool needs_references = false;
  bool is_random = false;  ///< the seed changes the result
  bool offers_magnitudes = false;
  bool streams = true;        ///< memory independent of the length; false = holds the whole file
  std::string protocol;       ///< "P0" … "P5" of docs/methods.md#protocols, empty where it has no meaning
  std::string weights_label;  ///< name and content hash of weights, never a path; empty = none
  std::string weights_sha256;
  /// On what the weights were trained, as they say it: {"dataset", "tracks": [{"subset", "name", "sha256", …}], …}; null =
  /// they say nothing. harness/training_data.h reads it.
  core::Value provenance;
  std::int64_t parameters = 0;   ///< trained numbers of all networks in the weights; 0 = no network
  double macs_per_second = 0;    ///< multiply-accumulates of theirs per second of music, one pass; 0 = no network
  core::Value resolved_options;  ///< every parameter with its value
  /// What a mixture of this shape needs; null where the method has not said: then memory_need() guesses.
  std::function<MemoryNeed(std::int64_t samples, int channels, int rate_hz)> memory;
};

/// info.memory, or a guess from info.streams: some blocks for a method that streams; else the mixture, its complex STFT
/// and a magnitude for each of `stems`.
MemoryNeed memory_need(const SeparatorInfo& info, std::int64_t samples, int channels, int rate_hz, int stems = 4);

/// Stems as they stream by: `stems[s]` are views of equal shape, valid during the call; `begin` counts from 0.
struct StemBlock {
  std::int64_t begin = 0;
  std::vector<audio::AudioView> stems;
};

/// Magnitude estimates of frames [first_frame, first_frame + N): mixture.at(c, n) and magnitudes[s][(c * N + n) * F +
/// k].
struct MagnitudeBlock {
  std::int64_t first_frame = 0;
  const audio::Spectrogram<float>* mixture = nullptr;
  std::vector<std::vector<float>> magnitudes;
};

struct StemFormat {
  std::vector<std::string> targets;
  int channels = 0;
  int rate_hz = 0;
  std::int64_t samples = -1;  ///< -1 where the mixture's length is not known beforehand
};

class StemSink {
 public:
  virtual ~StemSink() = default;
  /// Called once, before anything else.
  virtual void begin(const StemFormat& format) = 0;
  /// Consecutive blocks, front to back. Blocks are never empty.
  virtual void write(const StemBlock& block) = 0;
  virtual void end() {}
  /// True: a method with offers_magnitudes calls, after begin(), begin_magnitudes() once and then write_magnitudes()
  /// for all frames of the mixture's STFT in order, instead of write().
  virtual bool wants_magnitudes() const { return false; }
  virtual void begin_magnitudes(const audio::StftSpec&) {}
  virtual void write_magnitudes(const MagnitudeBlock&) {}
};

/// True stems for oracles: names and sources with the mixture's rate, channels and length.
struct References {
  std::vector<std::string> names;
  std::vector<audio::Source*> sources;
};

struct Options {
  std::uint64_t seed = 0;
  int threads = 1;                   ///< 0 = all processors
  std::vector<std::string> targets;  ///< of the data set (J = size); empty = vocals, drums, bass, other
  const References* references = nullptr;
  core::StopToken stop;
  core::Progress* progress = nullptr;  ///< nullptr = silent; else one task named after the spec, in samples
  core::LogFn log;
  core::Cost* cost = nullptr;  ///< filled with what the call took, also when it throws
};

/// What Options::targets means when it is empty: vocals, drums, bass, other.
const std::vector<std::string>& default_targets();

/// What do_separate() gets besides the audio.
struct Context {
  std::uint64_t seed = 0;
  int threads = 1;                         ///< resolved, >= 1
  std::vector<std::string> targets;        ///< info().targets; if empty, the references' names or Options::targets
  const References* references = nullptr;  ///< in native format; null unless needs_references
  core::StopToken stop;
  core::LogFn log;
  /// Call with the number of mixture samples (native) finished so far. Stems that are written count by themselves; a
  /// method that works long before it writes should call this. Never null.
  std::function<void(std::int64_t samples_done)> progress;
};

struct StemSet {
  std::vector<std::string> names;
  std::vector<audio::AudioBuffer> audio;
};

class Separator {
 public:
  virtual ~Separator() = default;
  const SeparatorInfo& info() const noexcept { return info_; }
  /// Names of the stems that a call yields, in order, when `asked` are Options::targets (for oracles: the references'
  /// names): info().targets, or `asked` where that is empty; filters may add theirs.
  virtual std::vector<std::string> targets_for(const std::vector<std::string>& asked) const;

  /// Stream to stream. Returns the number of samples per channel. Throws Error; what the sink got until then is
  /// incomplete.
  std::int64_t separate(audio::Source& mixture, StemSink& sink, const Options& options = {}) const;
  /// Whole buffers: stems of exactly the mixture's shape and rate.
  StemSet separate(audio::AudioView mixture, const Options& options = {}) const;
  /// Whole buffers with references (for oracles): one view per name, shaped like the mixture (else
  /// Error(invalid_argument)). Options::references is replaced.
  StemSet separate(audio::AudioView mixture, const std::vector<std::string>& names,
                   const std::vector<audio::AudioView>& references, Options options) const;

 protected:
  explicit Separator(SeparatorInfo info) : info_(std::move(info)) {}
  SeparatorInfo info_;

 private:
  friend class FilteredSeparator;
  /// `mixture` and `sink` are in native format (mixture.channels(), mixture.rate_hz()). Must begin() the sink with
  /// context.targets and that format, write stems of equal shape for every sample of the mixture, and not end() it.
  virtual void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const = 0;
};

/// A sink that keeps everything in memory. take() after end().
class CollectSink final : public StemSink {
 public:
  void begin(const StemFormat& format) override;
  void write(const StemBlock& block) override;
  void end() override;
  StemSet take() { return std::move(set_); }

 private:
  StemFormat format_;
  StemSet set_;
  std::vector<std::vector<std::vector<float>>> grow_;  ///< [stem][channel] while the length is unknown
};

/// A post-filter refines a method's stems with the mixture (multichannel Wiener, …). It works in the method's native
/// format. Const objects, used from several threads at once.
class PostFilter {
 public:
  virtual ~PostFilter() = default;
  virtual std::string spec() const = 0;  ///< canonical text of this part
  virtual core::Value resolved_options() const = 0;
  /// Stems it yields from the method's (a residual target may be added).
  virtual std::vector<std::string> targets(const std::vector<std::string>& input) const { return input; }
  /// Would it rather take magnitudes than stems from a method that offers them?
  virtual bool wants_magnitudes(const SeparatorInfo& method) const = 0;
  /// A sink that filters what it is given and forwards stems to `out` (begin, write; not end). `mixture` yields the
  /// mixture's samples that belong to the stems, in order, and is read by the sink as stems arrive. Samples that the
  /// sink has not read stay in memory, so it reads (or drops) them at the stems' pace, also when it takes magnitudes.
  /// `method` is what stands before this filter: the method, or the method with the filters before this one. All
  /// arguments outlive the sink. end() on the sink flushes the rest into `out`; destroying it without end() abandons
  /// it.
  virtual std::unique_ptr<StemSink> open(const SeparatorInfo& method, audio::Source& mixture, StemSink& out,
                                         Context& context) const = 0;
};

/// `method` followed by `filters`, as one Separator (registry.h calls this). Its info(): spec "METHOD|FILTER|…",
/// targets through PostFilter::targets (empty stays empty), no magnitudes, not a floor, resolved_options with an array
/// `filters` of {spec, options}; the rest is the method's. Without filters it is the method itself.
std::unique_ptr<Separator> compose(std::unique_ptr<Separator> method, std::vector<std::unique_ptr<PostFilter>> filters);

}  // namespace mss::methods
