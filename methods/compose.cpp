#include <algorithm>
#include <deque>
#include <utility>

#include "core/error.h"
#include "core/spill.h"
#include "methods/contract.h"
#include "methods/separator.h"

namespace mss::methods {
namespace {

/// One source read by several readers at their own pace. Whoever is ahead pulls; what the slowest has not read yet is
/// kept, no more: in memory, and beyond kMemoryBytes (a network that reads the whole track before it writes) in a
/// temporary file.
class SharedSource {
 public:
  SharedSource(audio::Source& source, int readers)
      : source_(source), spill_(kMemoryBytes), positions_(static_cast<std::size_t>(readers), 0) {}

  std::int64_t read(std::size_t reader, audio::AudioSpan out) {
    std::int64_t& position = positions_[reader];
    while (end_ < position + out.samples() && !ended_) pull();
    const std::int64_t n = std::min(out.samples(), end_ - position);
    for (std::int64_t done = 0; done < n;) {
      const std::int64_t at = position + done, offset = at % kBlockSamples;
      const std::int64_t step = std::min(n - done, kBlockSamples - offset);
      const std::int64_t block = blocks_[static_cast<std::size_t>(at / kBlockSamples - first_block_)];
      for (int c = 0; c < out.channels(); ++c) {
        spill_.read(block, c * kBlockSamples + offset, step, out.channel(c).data() + done);
      }
      done += step;
    }
    position += n;
    drop();
    return n;
  }
  /// A reader that will never read again.
  void close(std::size_t reader) {
    positions_[reader] = kClosed;
    drop();
  }
  const audio::Source& source() const { return source_; }

  static constexpr std::int64_t kMemoryBytes = std::int64_t{64} << 20;

 private:
  static constexpr std::int64_t kClosed = INT64_MAX;
  static constexpr std::int64_t kBlockSamples = 65536;

  /// Up to the end of a block.
  void pull() {
    const std::int64_t offset = end_ % kBlockSamples, wanted = kBlockSamples - offset;
    if (scratch_.samples() == 0) {
      scratch_ = audio::AudioBuffer(source_.channels(), kBlockSamples, source_.rate_hz());
    }
    const std::int64_t n = source_.read(scratch_.span().slice(0, wanted));
    ended_ = n < wanted;
    if (n == 0) return;
    if (offset == 0) blocks_.push_back(spill_.add(source_.channels() * kBlockSamples));
    for (int c = 0; c < source_.channels(); ++c) {
      spill_.write(blocks_.back(), c * kBlockSamples + offset, n, scratch_.channel(c).data());
    }
    end_ += n;
  }

  void drop() {
    const std::int64_t slowest = std::min(*std::ranges::min_element(positions_), end_);
    while (!blocks_.empty() && (first_block_ + 1) * kBlockSamples <= slowest) {
      spill_.release(blocks_.front());
      blocks_.pop_front();
      ++first_block_;
    }
  }

  audio::Source& source_;
  core::Spill spill_;
  std::deque<std::int64_t> blocks_;  ///< [channel][kBlockSamples] each, from first_block_ on
  std::vector<std::int64_t> positions_;
  audio::AudioBuffer scratch_;
  std::int64_t first_block_ = 0, end_ = 0;
  bool ended_ = false;
};

class SharedReader final : public audio::Source {
 public:
  SharedReader(SharedSource& shared, std::size_t reader) : shared_(shared), reader_(reader) {}
  int channels() const override { return shared_.source().channels(); }
  int rate_hz() const override { return shared_.source().rate_hz(); }
  std::optional<std::int64_t> length() const override { return shared_.source().length(); }
  std::int64_t read(audio::AudioSpan out) override { return shared_.read(reader_, out); }

 private:
  SharedSource& shared_;
  std::size_t reader_;
};

}  // namespace

class FilteredSeparator final : public Separator {
 public:
  FilteredSeparator(std::unique_ptr<Separator> method, std::vector<std::unique_ptr<PostFilter>> filters)
      : Separator(method->info()), method_(std::move(method)), filters_(std::move(filters)) {
    core::Value listed = core::Value::array();
    for (const auto& filter : filters_) {
      before_.push_back(info_);
      info_.spec += '|' + filter->spec();
      if (!info_.targets.empty()) info_.targets = filter->targets(info_.targets);
      info_.offers_magnitudes = false;
      info_.is_floor = false;
      listed.push_back(
          core::Value(core::Value::Object{{"spec", filter->spec()}, {"options", filter->resolved_options()}}));
      // Each filter sees the options of all that stands before it.
      info_.resolved_options["filters"] = listed;
    }
    if (info_.memory) {
      // The mixture that filters wait for, and what they work in: some windows of all stems.
      info_.memory = [inner = info_.memory, count = std::ssize(filters_)](std::int64_t samples, int channels,
                                                                          int rate_hz) {
        MemoryNeed need = inner(samples, channels, rate_hz);
        const std::int64_t track = 4 * samples * channels;
        need.call_bytes += std::min(track, SharedSource::kMemoryBytes) + count * kShellBytes;
        need.file_bytes += std::max<std::int64_t>(track - SharedSource::kMemoryBytes, 0);
        return need;
      };
    }
  }

  std::vector<std::string> targets_for(const std::vector<std::string>& asked) const override {
    std::vector<std::string> names = method_->targets_for(asked);
    for (const auto& filter : filters_) names = filter->targets(names);
    return names;
  }

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    // context.targets of a composition with fixed targets are those after the filters; the method has its own.
    Context inner = context;
    if (!method_->info().targets.empty()) inner.targets = method_->info().targets;

    const std::size_t method_reader = filters_.size();
    SharedSource shared(mixture, static_cast<int>(filters_.size()) + 1);
    std::vector<std::unique_ptr<SharedReader>> readers;
    for (std::size_t i = 0; i <= filters_.size(); ++i) readers.push_back(std::make_unique<SharedReader>(shared, i));

    // Opened from the last to the first: each writes into the one after it. Destroyed in the same order.
    std::vector<std::unique_ptr<StemSink>> sinks(filters_.size());
    StemSink* next = &sink;
    for (std::size_t i = filters_.size(); i-- > 0;) {
      sinks[i] = filters_[i]->open(before_[i], *readers[i], *next, inner);
      next = sinks[i].get();
    }
    ContractSink contract({.spec = method_->info().spec,
                           .targets = method_->targets_for(inner.targets),
                           .channels = mixture.channels(),
                           .rate_hz = mixture.rate_hz(),
                           .samples = mixture.length(),
                           .may_offer_magnitudes = method_->info().offers_magnitudes},
                          *next, context.stop, context.progress);
    CountingSource input(*readers[method_reader]);
    method_->do_separate(input, contract, inner);
    contract.finish(input.drain());
    shared.close(method_reader);
    for (std::size_t i = 0; i < sinks.size(); ++i) {
      sinks[i]->end();
      shared.close(i);
    }
  }

  /// Knows the length once the method is done, also where it was not announced.
  class CountingSource final : public audio::Source {
   public:
    explicit CountingSource(audio::Source& source) : source_(source) {}
    int channels() const override { return source_.channels(); }
    int rate_hz() const override { return source_.rate_hz(); }
    std::optional<std::int64_t> length() const override { return source_.length(); }
    std::int64_t read(audio::AudioSpan out) override {
      const std::int64_t n = source_.read(out);
      count_ += n;
      return n;
    }
    std::int64_t drain() {
      if (const auto known = length()) return *known;
      audio::AudioBuffer scratch(channels(), 16384, rate_hz());
      while (read(scratch.span()) > 0) continue;
      return count_;
    }

   private:
    audio::Source& source_;
    std::int64_t count_ = 0;
  };

  std::unique_ptr<Separator> method_;
  std::vector<std::unique_ptr<PostFilter>> filters_;
  std::vector<SeparatorInfo> before_;  ///< what stands before filter i
};

std::unique_ptr<Separator> compose(std::unique_ptr<Separator> method,
                                   std::vector<std::unique_ptr<PostFilter>> filters) {
  MSS_ASSERT(method != nullptr);
  if (filters.empty()) return method;
  return std::make_unique<FilteredSeparator>(std::move(method), std::move(filters));
}

}  // namespace mss::methods
