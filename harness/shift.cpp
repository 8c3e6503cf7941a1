#include "harness/shift.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/spill.h"

namespace mss::harness {
namespace {

constexpr std::int64_t kBlock = std::int64_t{1} << 16;
/// Of the unshifted stems in memory.
constexpr std::int64_t kStemBytes = std::int64_t{256} << 20;

/// `shift` zeros, then the source.
class DelayedSource final : public audio::Source {
 public:
  DelayedSource(audio::Source& source, std::int64_t shift) : source_(source), shift_(shift), left_(shift) {}
  int channels() const override { return source_.channels(); }
  int rate_hz() const override { return source_.rate_hz(); }
  std::optional<std::int64_t> length() const override {
    const auto own = source_.length();
    return own ? std::optional(*own + shift_) : std::nullopt;
  }
  std::int64_t read(audio::AudioSpan out) override {
    const std::int64_t zeros = std::min(left_, out.samples());
    for (int c = 0; c < out.channels(); ++c) std::fill_n(out.channel(c).begin(), zeros, 0.0F);
    left_ -= zeros;
    std::int64_t have = zeros;
    while (have < out.samples()) {
      const std::int64_t got = source_.read(out.slice(have, out.samples() - have));
      if (got == 0) break;
      have += got;
    }
    return have;
  }

 private:
  audio::Source& source_;
  std::int64_t shift_, left_;
};

/// Rows (stem by stem, channel by channel) of any length.
class StoredRows {
 public:
  StoredRows() : spill_(kStemBytes) {}
  void write(std::size_t row, std::int64_t begin, std::span<const float> values) {
    if (blocks_.size() <= row) blocks_.resize(row + 1);
    for (std::size_t done = 0; done < values.size();) {
      const std::int64_t at = begin + static_cast<std::int64_t>(done), within = at % kBlock;
      const std::int64_t count =
          std::min<std::int64_t>(kBlock - within, std::ssize(values) - static_cast<std::int64_t>(done));
      if (at / kBlock == std::ssize(blocks_[row])) blocks_[row].push_back(spill_.add(kBlock));
      spill_.write(blocks_[row][static_cast<std::size_t>(at / kBlock)], within, count, values.data() + done);
      done += static_cast<std::size_t>(count);
    }
  }
  void read(std::size_t row, std::int64_t begin, std::span<float> values) const {
    for (std::size_t done = 0; done < values.size();) {
      const std::int64_t at = begin + static_cast<std::int64_t>(done), within = at % kBlock;
      const std::int64_t count =
          std::min<std::int64_t>(kBlock - within, std::ssize(values) - static_cast<std::int64_t>(done));
      spill_.read(blocks_[row][static_cast<std::size_t>(at / kBlock)], within, count, values.data() + done);
      done += static_cast<std::size_t>(count);
    }
  }

 private:
  core::Spill spill_;
  std::vector<std::vector<std::int64_t>> blocks_;
};

class StoreSink final : public methods::StemSink {
 public:
  explicit StoreSink(StoredRows& rows) : rows_(rows) {}
  void begin(const methods::StemFormat& format) override {
    names = format.targets;
    energy.assign(names.size(), 0.0);
  }
  void write(const methods::StemBlock& block) override {
    for (std::size_t s = 0; s < block.stems.size(); ++s) {
      const int channels = block.stems[s].channels();
      for (int c = 0; c < channels; ++c) {
        rows_.write(s * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c), block.begin,
                    block.stems[s].channel(c));
        for (const float v : block.stems[s].channel(c)) energy[s] += static_cast<double>(v) * static_cast<double>(v);
      }
    }
  }
  std::vector<std::string> names;
  std::vector<double> energy;

 private:
  StoredRows& rows_;
};

/// Sums the squared differences to the stored stems, `shift` samples later.
class CompareSink final : public methods::StemSink {
 public:
  CompareSink(const StoredRows& rows, std::int64_t shift) : rows_(rows), shift_(shift) {}
  void begin(const methods::StemFormat& format) override { error.assign(format.targets.size(), 0.0); }
  void write(const methods::StemBlock& block) override {
    for (std::size_t s = 0; s < block.stems.size(); ++s) {
      const audio::AudioView stem = block.stems[s];
      const std::int64_t skip = std::clamp<std::int64_t>(shift_ - block.begin, 0, stem.samples());
      if (skip == stem.samples()) continue;
      expected_.resize(static_cast<std::size_t>(stem.samples() - skip));
      for (int c = 0; c < stem.channels(); ++c) {
        rows_.read(s * static_cast<std::size_t>(stem.channels()) + static_cast<std::size_t>(c),
                   block.begin + skip - shift_, expected_);
        const auto found = stem.channel(c).subspan(static_cast<std::size_t>(skip));
        for (std::size_t t = 0; t < found.size(); ++t) {
          const double difference = static_cast<double>(expected_[t]) - static_cast<double>(found[t]);
          error[s] += difference * difference;
        }
      }
    }
  }
  std::vector<double> error;

 private:
  const StoredRows& rows_;
  std::int64_t shift_;
  std::vector<float> expected_;
};

}  // namespace

ShiftScores measure_shifts(const methods::Separator& separator,
                           const std::function<std::unique_ptr<audio::Source>()>& open,
                           const std::vector<std::int64_t>& shifts, const methods::Options& options) {
  if (separator.info().needs_references) {
    throw Error({Code::config,
                 separator.info().spec,
                 "an oracle's stems follow the true ones",
                 "a blind method",
                 "an oracle",
                 {}});
  }
  for (const std::int64_t shift : shifts) {
    if (shift < 1) {
      throw Error({Code::config, "shift", "number of samples", "1 or more", std::to_string(shift), {}});
    }
  }
  ShiftScores out;
  StoredRows rows;
  StoreSink plain(rows);
  separator.separate(*open(), plain, options);
  out.stems = plain.names;
  for (const std::int64_t shift : shifts) {
    const std::unique_ptr<audio::Source> mixture = open();
    DelayedSource delayed(*mixture, shift);
    CompareSink compare(rows, shift);
    separator.separate(delayed, compare, options);
    ShiftScore score{.shift_samples = shift, .sdr_db = {}};
    for (std::size_t s = 0; s < out.stems.size(); ++s) {
      const double signal = plain.energy[s], error = compare.error[s];
      score.sdr_db.push_back(error > 0.0    ? 10.0 * std::log10(signal / error)
                             : signal > 0.0 ? std::numeric_limits<double>::infinity()
                                            : std::numeric_limits<double>::quiet_NaN());
    }
    out.shifts.push_back(std::move(score));
  }
  return out;
}

}  // namespace mss::harness
