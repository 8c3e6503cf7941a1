#include "methods/separator.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <set>
#include <utility>

#include "audio/resample.h"
#include "core/error.h"
#include "core/parallel.h"
#include "methods/contract.h"

namespace mss::methods {
namespace {

/// Yields its source, or one given sample where that is empty: a mixture shorter than half a native sample period.
class AtLeastOneSample final : public audio::Source {
 public:
  AtLeastOneSample(audio::Source& source, audio::AudioBuffer sample) : source_(source), sample_(std::move(sample)) {}
  int channels() const override { return source_.channels(); }
  int rate_hz() const override { return source_.rate_hz(); }
  std::optional<std::int64_t> length() const override {
    const auto known = source_.length();
    return known ? std::optional(std::max<std::int64_t>(*known, 1)) : std::nullopt;
  }
  std::int64_t read(audio::AudioSpan out) override {
    const std::int64_t n = source_.read(out);
    if (n > 0 || begun_ || out.samples() == 0) {
      begun_ = begun_ || n > 0;
      return n;
    }
    begun_ = true;
    for (int c = 0; c < out.channels(); ++c) out.channel(c)[0] = sample_.channel(c)[0];
    return 1;
  }

 private:
  audio::Source& source_;
  audio::AudioBuffer sample_;
  bool begun_ = false;
};

/// A checked source in the method's native format. Fewer channels are made before the rate is converted and more after
/// it, so that the expensive step sees the fewest.
class NativeInput {
 public:
  NativeInput(audio::Source& source, std::string name, int channels, int rate_hz, const core::StopToken& stop)
      : input_(source, std::move(name), stop), current_(&input_) {
    if (channels < input_.channels()) convert(channels);
    if (rate_hz != input_.rate_hz()) {
      resampled_ = audio::resample(*current_, rate_hz);
      const audio::AudioView first = input_.first_sample();
      audio::AudioBuffer sample =
          audio::convert_channels({first.channel(0).data(), first.channels(), 1, 1, rate_hz}, current_->channels());
      padded_ = std::make_unique<AtLeastOneSample>(*resampled_, std::move(sample));
      current_ = padded_.get();
    }
    if (channels > input_.channels()) convert(channels);
  }
  InputSource& input() { return input_; }
  audio::Source& native() { return *current_; }

 private:
  void convert(int channels) {
    converted_ = audio::convert_channels(*current_, channels);
    current_ = converted_.get();
  }

  InputSource input_;
  std::unique_ptr<audio::Source> converted_, resampled_;
  std::unique_ptr<AtLeastOneSample> padded_;
  audio::Source* current_;
};

/// Brings stems from the native format back to the mixture's.
class ReturnSink final : public StemSink {
 public:
  ReturnSink(StemSink& out, int channels, int rate_hz, std::optional<std::int64_t> samples)
      : out_(out), channels_(channels), rate_hz_(rate_hz), samples_(samples) {}

  void begin(const StemFormat& format) override {
    native_ = format;
    if (format.rate_hz != rate_hz_) {
      const int resampled_channels = std::min(format.channels, channels_);
      for (std::size_t s = 0; s < format.targets.size(); ++s) {
        resamplers_.emplace_back(resampled_channels, format.rate_hz, rate_hz_);
      }
    }
    StemFormat outer = format;
    outer.channels = channels_;
    outer.rate_hz = rate_hz_;
    outer.samples = samples_.value_or(-1);
    out_.begin(outer);
  }

  void write(const StemBlock& block) override {
    std::vector<audio::AudioBuffer> stems;
    for (std::size_t s = 0; s < block.stems.size(); ++s) {
      audio::AudioView stem = block.stems[s];
      audio::AudioBuffer fewer;
      if (channels_ < stem.channels()) {
        fewer = audio::convert_channels(stem, channels_);
        stem = fewer;
      }
      if (resamplers_.empty()) {
        stems.push_back(more_channels(fewer.channels() > 0 ? std::move(fewer) : audio::AudioBuffer(stem)));
      } else {
        stems.push_back(more_channels(resamplers_[s].push(stem)));
      }
    }
    forward(stems);
  }

  /// The method is done; `samples` is the mixture's length.
  void finish(std::int64_t samples) {
    if (resamplers_.empty()) return;
    std::vector<audio::AudioBuffer> stems;
    for (audio::PushResampler& resampler : resamplers_) stems.push_back(more_channels(resampler.finish(samples)));
    forward(stems);
  }

 private:
  audio::AudioBuffer more_channels(audio::AudioBuffer stem) const {
    if (stem.channels() == channels_ || stem.samples() == 0) return stem;
    return audio::convert_channels(stem, channels_);
  }

  void forward(const std::vector<audio::AudioBuffer>& stems) {
    const std::int64_t n = stems.front().samples();
    StemBlock block{.begin = begin_, .stems = {}};
    for (const audio::AudioBuffer& stem : stems) {
      // How much a converter gives back depends on the sizes it was fed, never on the samples.
      MSS_ASSERT(stem.samples() == n);
      block.stems.push_back(stem);
    }
    if (n == 0) return;
    begin_ += n;
    out_.write(block);
  }

  StemSink& out_;
  int channels_, rate_hz_;
  std::optional<std::int64_t> samples_;
  StemFormat native_;
  std::vector<audio::PushResampler> resamplers_;
  std::int64_t begin_ = 0;
};

/// Progress in mixture samples, from native counts that two reporters (method, stems) give; never goes back.
class Reporter {
 public:
  Reporter(core::Progress* progress, std::string task, std::optional<std::int64_t> samples, int rate_hz, int native_hz)
      : progress_(progress), task_(std::move(task)), samples_(samples), rate_hz_(rate_hz), native_hz_(native_hz) {
    if (progress_ != nullptr) progress_->begin(task_, samples_.value_or(0));
  }
  ~Reporter() {
    if (progress_ != nullptr) progress_->end();
  }
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  void native_done(std::int64_t native_samples) {
    if (progress_ == nullptr) return;
    std::int64_t done = audio::resampled_length(native_samples, native_hz_, rate_hz_);
    if (samples_) done = std::min(done, *samples_);
    if (done <= done_) return;
    done_ = done;
    progress_->update(done_, task_);
  }

 private:
  core::Progress* progress_;
  std::string task_;
  std::optional<std::int64_t> samples_;
  int rate_hz_, native_hz_;
  std::int64_t done_ = 0;
};

class CostGuard {
 public:
  explicit CostGuard(core::Cost* cost) : cost_(cost) {}
  ~CostGuard() {
    if (cost_ != nullptr) *cost_ = watch_.elapsed();
  }
  CostGuard(const CostGuard&) = delete;
  CostGuard& operator=(const CostGuard&) = delete;

 private:
  core::Cost* cost_;
  core::Stopwatch watch_;
};

void require_valid_targets(const std::vector<std::string>& targets, const std::string& spec) {
  std::set<std::string> unique;
  for (const std::string& name : targets) {
    if (!name.empty() && unique.insert(name).second) continue;
    throw Error({.code = Code::invalid_argument,
                 .where = spec,
                 .what = name.empty() ? "a target without a name" : "a target asked for twice",
                 .expected = "unique names",
                 .found = fmt::format("'{}'", name),
                 .hint = {}});
  }
}

void require_references(const References* references, const audio::Source& mixture, const std::string& spec) {
  if (references == nullptr || references->sources.empty()) {
    throw Error({.code = Code::invalid_argument,
                 .where = spec,
                 .what = "this method is an oracle and needs the true stems",
                 .expected = "references",
                 .found = "none",
                 .hint = "give them (separate --references DIR), or choose a method that does without"});
  }
  if (references->names.size() != references->sources.size()) {
    throw Error({.code = Code::invalid_argument,
                 .where = spec,
                 .what = "names and sources of the references differ in number",
                 .expected = fmt::format("{}", references->names.size()),
                 .found = fmt::format("{}", references->sources.size()),
                 .hint = {}});
  }
  require_valid_targets(references->names, spec);
  for (std::size_t s = 0; s < references->names.size(); ++s) {
    const audio::Source& source = *references->sources[s];
    const bool lengths_differ = source.length() && mixture.length() && *source.length() != *mixture.length();
    if (source.channels() == mixture.channels() && source.rate_hz() == mixture.rate_hz() && !lengths_differ) continue;
    const auto describe = [](const audio::Source& x) {
      std::string text = fmt::format("{} channels at {} Hz", x.channels(), x.rate_hz());
      if (x.length()) text += fmt::format(", {} samples", *x.length());
      return text;
    };
    throw Error({.code = Code::invalid_argument,
                 .where = fmt::format("reference '{}'", references->names[s]),
                 .what = "not of the mixture's shape",
                 .expected = describe(mixture),
                 .found = describe(source),
                 .hint = {}});
  }
}

}  // namespace

MemoryNeed memory_need(const SeparatorInfo& info, std::int64_t samples, int channels, int rate_hz, int stems) {
  if (info.memory) return info.memory(samples, channels, rate_hz);
  MemoryNeed need{.call_bytes = std::int64_t{64} << 20};
  // At an overlap of four the STFT has two complex values a sample, and a magnitude two real ones.
  if (!info.streams) need.call_bytes += 2 * samples * std::max(1, channels) * (16 + std::int64_t{8} * stems);
  return need;
}

const std::vector<std::string>& default_targets() {
  static const std::vector<std::string> names{"vocals", "drums", "bass", "other"};
  return names;
}

std::vector<std::string> Separator::targets_for(const std::vector<std::string>& asked) const {
  return info_.targets.empty() ? asked : info_.targets;
}

std::int64_t Separator::separate(audio::Source& mixture, StemSink& sink, const Options& options) const {
  const CostGuard cost(options.cost);
  if (options.threads < 0) {
    throw Error({.code = Code::invalid_argument,
                 .where = "threads",
                 .what = "not a number of threads",
                 .expected = "1 or more, or 0 for all processors",
                 .found = fmt::format("{}", options.threads),
                 .hint = {}});
  }
  require_valid_targets(options.targets, info_.spec);
  if (info_.needs_references) require_references(options.references, mixture, info_.spec);

  const int native_channels = info_.channels > 0 ? info_.channels : mixture.channels();
  const int native_hz = info_.rate_hz > 0 ? info_.rate_hz : mixture.rate_hz();
  NativeInput input(mixture, "mixture", native_channels, native_hz, options.stop);
  std::vector<std::unique_ptr<NativeInput>> references;
  References native_references;
  if (info_.needs_references) {
    native_references.names = options.references->names;
    for (std::size_t s = 0; s < native_references.names.size(); ++s) {
      references.push_back(std::make_unique<NativeInput>(*options.references->sources[s],
                                                         fmt::format("reference '{}'", native_references.names[s]),
                                                         native_channels, native_hz, options.stop));
      native_references.sources.push_back(&references.back()->native());
    }
  }
  std::vector<std::string> asked = options.targets.empty() ? default_targets() : options.targets;
  if (info_.needs_references) asked = native_references.names;

  Reporter reporter(options.progress, info_.spec, mixture.expected_length(), mixture.rate_hz(), native_hz);
  const auto report = [&reporter](std::int64_t done) { reporter.native_done(done); };
  const bool as_is = native_channels == mixture.channels() && native_hz == mixture.rate_hz();
  ReturnSink back(sink, mixture.channels(), mixture.rate_hz(), mixture.length());
  ContractSink contract({.spec = info_.spec,
                         .targets = targets_for(asked),
                         .channels = native_channels,
                         .rate_hz = native_hz,
                         .samples = input.native().length(),
                         .may_offer_magnitudes = info_.offers_magnitudes},
                        as_is ? sink : back, options.stop, report);
  Context context{.seed = options.seed,
                  .threads = core::resolve_threads(options.threads),
                  .targets = info_.targets.empty() ? asked : info_.targets,
                  .references = info_.needs_references ? &native_references : nullptr,
                  .stop = options.stop,
                  .log = options.log,
                  .progress = report};
  try {
    do_separate(input.native(), contract, context);
  } catch (const std::bad_alloc&) {
    throw Error({.code = Code::resource,
                 .where = info_.spec,
                 .what = "out of memory",
                 .expected = {},
                 .found = {},
                 .hint = info_.streams ? "" : "this method holds the whole file: give it shorter pieces"});
  }

  // A method may stop reading early; what it left is validated all the same.
  const std::int64_t samples = input.input().drain();
  for (std::size_t s = 0; s < references.size(); ++s) {
    const std::int64_t found = references[s]->input().drain();
    if (found == samples) continue;
    throw Error({.code = Code::invalid_argument,
                 .where = fmt::format("reference '{}'", native_references.names[s]),
                 .what = "not as long as the mixture",
                 .expected = fmt::format("{} samples", samples),
                 .found = fmt::format("{}", found),
                 .hint = {}});
  }
  contract.finish(std::max<std::int64_t>(1, audio::resampled_length(samples, mixture.rate_hz(), native_hz)));
  if (!as_is) back.finish(samples);
  sink.end();
  return samples;
}

StemSet Separator::separate(audio::AudioView mixture, const Options& options) const {
  audio::ViewSource source(mixture);
  CollectSink sink;
  separate(source, sink, options);
  return sink.take();
}

StemSet Separator::separate(audio::AudioView mixture, const std::vector<std::string>& names,
                            const std::vector<audio::AudioView>& references, Options options) const {
  if (names.size() != references.size()) {
    throw Error({.code = Code::invalid_argument,
                 .where = "references",
                 .what = "names and stems differ in number",
                 .expected = fmt::format("{}", names.size()),
                 .found = fmt::format("{}", references.size()),
                 .hint = {}});
  }
  std::vector<audio::ViewSource> sources;
  sources.reserve(references.size());
  References all{.names = names, .sources = {}};
  for (const audio::AudioView& reference : references) all.sources.push_back(&sources.emplace_back(reference));
  options.references = &all;
  return separate(mixture, options);
}

void CollectSink::begin(const StemFormat& format) {
  format_ = format;
  set_ = StemSet{.names = format.targets, .audio = {}};
  grow_.clear();
  if (format.samples >= 0) {
    for (std::size_t s = 0; s < format.targets.size(); ++s) {
      set_.audio.emplace_back(format.channels, format.samples, format.rate_hz);
    }
  } else {
    grow_.assign(format.targets.size(),
                 std::vector<std::vector<float>>(static_cast<std::size_t>(std::max(format.channels, 0))));
  }
}

void CollectSink::write(const StemBlock& block) {
  MSS_ASSERT(block.stems.size() == set_.names.size());
  for (std::size_t s = 0; s < block.stems.size(); ++s) {
    const audio::AudioView stem = block.stems[s];
    MSS_ASSERT(stem.channels() == format_.channels);
    const audio::AudioSpan to =
        grow_.empty() ? set_.audio[s].span().slice(block.begin, stem.samples()) : audio::AudioSpan{};
    for (int c = 0; c < stem.channels(); ++c) {
      if (grow_.empty()) {
        std::ranges::copy(stem.channel(c), to.channel(c).begin());
      } else {
        auto& channel = grow_[s][static_cast<std::size_t>(c)];
        channel.insert(channel.end(), stem.channel(c).begin(), stem.channel(c).end());
      }
    }
  }
}

void CollectSink::end() {
  for (auto& channels : grow_) {
    audio::AudioBuffer& stem = set_.audio.emplace_back(
        format_.channels, channels.empty() ? 0 : static_cast<std::int64_t>(channels.front().size()), format_.rate_hz);
    for (std::size_t c = 0; c < channels.size(); ++c) {
      std::ranges::copy(channels[c], stem.channel(static_cast<int>(c)).begin());
      channels[c] = {};
    }
  }
  grow_.clear();
}

}  // namespace mss::methods
