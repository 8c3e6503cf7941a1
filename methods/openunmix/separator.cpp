#include "methods/openunmix/separator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <utility>

#include "audio/stft.h"
#include "core/error.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "core/spill.h"
#include "core/text.h"
#include "methods/openunmix/network.h"

namespace mss::methods::openunmix {
namespace {

using Complex = std::complex<float>;

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

audio::StftSpec stft_spec(const Configuration& c) {
  return {.fft_size = c.fft_size,
          .hop_samples = c.hop_samples,
          .window_samples = 0,
          .window = audio::WindowKind::hann,
          .framing = audio::Framing::centered_reflect,
          .scaling = audio::Scaling::none};
}

/// Blocks of equal size in a Spill.
class Blocks {
 public:
  Blocks(core::Spill& spill, std::int64_t floats) : spill_(spill), floats_(floats) {}
  void grow(std::int64_t count) {
    while (static_cast<std::int64_t>(ids_.size()) < count) ids_.push_back(spill_.add(floats_));
  }
  void release() {
    for (const std::int64_t id : ids_) spill_.release(id);
    ids_.clear();
  }
  /// Where block i can be read; `held` is used if it lies in the file.
  const float* read(std::int64_t i, Floats& held) const {
    if (const float* there = spill_.memory(ids_[sz(i)])) return there;
    float* copy = held.room(floats_);
    spill_.read(ids_[sz(i)], 0, floats_, copy);
    return copy;
  }
  /// Where block i can be written; done() puts it into place.
  float* open(std::int64_t i, Floats& held) {
    if (float* there = spill_.memory(ids_[sz(i)])) return there;
    return held.room(floats_);
  }
  void done(std::int64_t i, const float* values) {
    if (spill_.memory(ids_[sz(i)]) == nullptr) spill_.write(ids_[sz(i)], 0, floats_, values);
  }

 private:
  core::Spill& spill_;
  std::int64_t floats_;
  std::vector<std::int64_t> ids_;
};

/// Frames of all channels, regrouped into blocks of `size`.
class Framer {
 public:
  Framer(const audio::StftSpec& spec, int channels, std::int64_t size)
      : channels_(channels), size_(size), latest_(sz(channels)) {
    for (int c = 0; c < channels; ++c) stft_.emplace_back(spec, 1);
  }
  void push(audio::AudioView block, int threads) {
    core::parallel_for(channels_, threads, [&](std::int64_t c) {
      const audio::AudioView one(block.channel(static_cast<int>(c)).data(), 1, block.samples(), block.samples(),
                                 block.rate_hz());
      latest_[sz(c)] = stft_[sz(c)].push(one);
    });
    position_ = 0;
  }
  void finish(int threads) {
    core::parallel_for(channels_, threads, [&](std::int64_t c) { latest_[sz(c)] = stft_[sz(c)].finish(); });
    position_ = 0;
  }
  /// The next whole block, or with `rest` whatever is left; false if there is none. `take(c, row, frame)` for every
  /// frame of it; rows count within the block.
  template <class Take>
  bool next(bool rest, std::int64_t& rows, int threads, const Take& take) {
    const std::int64_t step = std::min(size_ - filled_, latest_.front().frames() - position_);
    if (step > 0) {
      core::parallel_for(channels_, threads, [&](std::int64_t c) {
        for (std::int64_t n = 0; n < step; ++n) {
          take(static_cast<int>(c), filled_ + n, latest_[sz(c)].at(0, position_ + n));
        }
      });
    }
    position_ += step;
    filled_ += step;
    if (filled_ < size_ && !(rest && filled_ > 0)) return false;
    rows = filled_;
    filled_ = 0;
    return true;
  }

 private:
  int channels_;
  std::int64_t size_, filled_ = 0, position_ = 0;
  std::vector<audio::StreamingStft> stft_;
  std::vector<audio::Spectrogram<float>> latest_;
};

class NetworkSeparator final : public Separator {
 public:
  NetworkSeparator(const Weights& weights, SeparatorOptions options, std::vector<int> wanted, SeparatorInfo info)
      : Separator(std::move(info)),
        network_(weights, core::resolve_threads(0)),
        options_(std::move(options)),
        wanted_(std::move(wanted)) {}

 private:
  class Run;
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override;

  Network network_;
  SeparatorOptions options_;
  std::vector<int> wanted_;  ///< indices into the network's targets, in the order of info().targets
};

/// One track.
class NetworkSeparator::Run {
 public:
  Run(const NetworkSeparator& separator, audio::Source& mixture, StemSink& sink, Context& context)
      : network_(separator.network_),
        config_(network_.configuration()),
        wanted_(separator.wanted_),
        mixture_(mixture),
        sink_(sink),
        context_(context),
        spec_(stft_spec(config_)),
        channels_(mixture.channels()),
        block_(separator.options_.block_frames),
        spill_(separator.options_.buffer_bytes),
        audio_(spill_, std::int64_t{channels_} * block_ * config_.hop_samples),
        workers_(sz(std::max(1, context.threads))) {
    // Which networks are run: all of a cross-connected family's recurrent layers for X-UMX, else those asked for.
    const bool bridged = config_.architecture == Architecture::xumx;
    for (int t = 0; t < network_.targets(); ++t) {
      const bool asked = std::ranges::find(wanted_, t) != wanted_.end();
      encodes_.push_back(asked || config_.architecture != Architecture::openunmix);
      recurs_.push_back(asked || bridged);
    }
    const std::int64_t shared = bridged ? 1 : network_.targets();
    for (std::int64_t t = 0; t < shared; ++t) encoded_.emplace_back(spill_, block_ * network_.width());
    for (auto& layer : outputs_) {
      for (int i = 0; i < network_.targets() * config_.directions(); ++i) {
        layer.emplace_back(spill_, block_ * network_.direction_width());
      }
    }
  }

  void separate() {
    sink_.begin({.targets = context_.targets,
                 .channels = channels_,
                 .rate_hz = mixture_.rate_hz(),
                 .samples = mixture_.length().value_or(-1)});
    read_and_encode();
    for (int layer = 0; layer < config_.layers; ++layer) recur(layer);
    // The masks need the last layer's outputs only.
    for (Blocks& gone : outputs_[config_.layers % 2]) gone.release();
    decode();
  }

 private:
  struct Worker {
    Scratch scratch;
    Floats held[3];
  };

  bool bridged() const { return config_.architecture == Architecture::xumx; }
  std::int64_t blocks() const { return (frames_ + block_ - 1) / block_; }
  std::int64_t rows_of(std::int64_t block) const { return std::min(block_, frames_ - block * block_); }
  static std::int64_t chunks(std::int64_t rows) { return (rows + Dense::kRows - 1) / Dense::kRows; }
  Blocks& output(int layer, int target, int direction) {
    return outputs_[layer % 2][sz(target * config_.directions() + direction)];
  }

  /// Reports this share of the work; the rest is known from what is written.
  void progress(double share) {
    if (context_.progress) context_.progress(static_cast<std::int64_t>(share * static_cast<double>(samples_)));
  }

  // ---- front to back: STFT, first layer -------------------------------------------------------------------------
  void read_and_encode() {
    Framer framer(spec_, channels_, block_);
    const std::int64_t bins = spec_.bins(), step = block_ * config_.hop_samples;
    Floats magnitudes(std::int64_t{channels_} * block_ * bins);
    const auto take = [&](int c, std::int64_t row, const Complex* x) {
      magnitudes_of(x, bins, magnitudes.data() + (c * block_ + row) * bins);
    };
    audio::AudioBuffer buffer(channels_, step, mixture_.rate_hz());
    Floats held;
    bool ended = false;
    while (!ended) {
      context_.stop.check();
      std::int64_t got = 0;
      while (got < step) {
        const std::int64_t n = mixture_.read(buffer.span().slice(got, step - got));
        if (n == 0) break;
        got += n;
      }
      ended = got < step;
      if (got > 0) {
        const std::int64_t block = samples_ / step;
        audio_.grow(block + 1);
        float* to = audio_.open(block, held);
        for (int c = 0; c < channels_; ++c) std::copy_n(buffer.channel(c).data(), got, to + c * step);
        audio_.done(block, to);
        samples_ += got;
        framer.push(buffer.view().slice(0, got), context_.threads);
        encode_blocks(framer, false, take, magnitudes.data());
      }
    }
    framer.finish(context_.threads);
    encode_blocks(framer, true, take, magnitudes.data());
  }

  template <class Take>
  void encode_blocks(Framer& framer, bool rest, const Take& take, float* magnitudes) {
    std::int64_t rows = 0;
    while (framer.next(rest, rows, context_.threads, take)) {
      if (config_.channels == 1) average_channels(magnitudes, rows);
      encode_block(rows, magnitudes);
      frames_ += rows;
    }
  }

  void average_channels(float* magnitudes, std::int64_t rows) const {
    const std::int64_t bins = spec_.bins();
    const float share = 1.0F / static_cast<float>(channels_);
    for (std::int64_t i = 0; i < rows * bins; ++i) {
      float sum = magnitudes[i];
      for (int c = 1; c < channels_; ++c) sum += magnitudes[c * block_ * bins + i];
      magnitudes[i] = channels_ == 1 ? sum : sum * share;
    }
  }

  void encode_block(std::int64_t rows, const float* magnitudes) {
    const std::int64_t block = frames_ / block_, bins = spec_.bins(), width = network_.width();
    for (Blocks& store : encoded_) store.grow(block + 1);
    std::vector<Floats> held(sz(network_.targets()));
    std::vector<float*> to(sz(network_.targets()), nullptr);
    for (int t = 0; t < network_.targets(); ++t) {
      if (!encodes_[sz(t)]) continue;
      to[sz(t)] = bridged() ? held[sz(t)].room(block_ * width) : encoded_[sz(t)].open(block, held[sz(t)]);
    }
    std::vector<int> active;
    for (int t = 0; t < network_.targets(); ++t) {
      if (encodes_[sz(t)]) active.push_back(t);
    }
    const std::int64_t parts = chunks(rows);
    parallel(static_cast<std::int64_t>(active.size()) * parts, [&](std::int64_t item, Worker& worker) {
      const int t = active[sz(item / parts)];
      const std::int64_t first = item % parts * Dense::kRows;
      std::vector<const float*> input;
      for (int c = 0; c < config_.channels; ++c) input.push_back(magnitudes + (c * block_ + first) * bins);
      network_.encode(t, std::min(Dense::kRows, rows - first), input, bins, to[sz(t)] + first * width, worker.scratch);
    });
    if (bridged()) {
      Floats whole;
      float* mean = encoded_[0].open(block, whole);
      mean_of(to, block_ * width, mean);
      encoded_[0].done(block, mean);
      return;
    }
    for (const int t : active) encoded_[sz(t)].done(block, to[sz(t)]);
  }

  /// (sum of all, in order) / number.
  static void mean_of(const std::vector<float*>& terms, std::int64_t count, float* out) {
    const auto share = static_cast<float>(terms.size());
    for (std::int64_t i = 0; i < count; ++i) {
      float sum = terms[0][i];
      for (std::size_t t = 1; t < terms.size(); ++t) sum += terms[t][i];
      out[i] = sum / share;
    }
  }

  // ---- one LSTM layer, both directions ----------------------------------------------------------------------------
  void recur(int layer) {
    std::vector<std::pair<int, int>> items;
    for (int t = 0; t < network_.targets(); ++t) {
      if (!recurs_[sz(t)]) continue;
      for (int d = 0; d < config_.directions(); ++d) {
        items.emplace_back(t, d);
        output(layer, t, d).grow(blocks());
      }
    }
    const auto count = static_cast<std::int64_t>(items.size());
    const int inner = std::max(1, context_.threads / static_cast<int>(std::max<std::int64_t>(count, 1)));
    std::mutex guard;
    std::int64_t done = 0;
    parallel(count, [&](std::int64_t item, Worker& worker) {
      const auto [t, d] = items[sz(item)];
      LstmState state = network_.start();
      Floats gates(block_ * network_.gate_width());
      for (std::int64_t i = 0; i < blocks(); ++i) {
        context_.stop.check();
        const std::int64_t block = d == 0 ? i : blocks() - 1 - i;
        recur_block(layer, t, d, block, state, gates, worker, inner);
        const std::lock_guard lock(guard);
        ++done;
        progress(0.1 +
                 0.5 * (layer + static_cast<double>(done) / static_cast<double>(count * blocks())) / config_.layers);
      }
    });
  }

  void recur_block(int layer, int t, int d, std::int64_t block, LstmState& state, Floats& gates, Worker& worker,
                   int inner) {
    const std::int64_t rows = rows_of(block);
    std::vector<const float*> input;
    std::vector<std::int64_t> strides;
    if (layer == 0) {
      input.push_back(encoded_[sz(bridged() ? 0 : t)].read(block, worker.held[0]));
      strides.push_back(network_.width());
    } else {
      for (int from = 0; from < config_.directions(); ++from) {
        input.push_back(output(layer - 1, t, from).read(block, worker.held[from]));
        strides.push_back(network_.direction_width());
      }
    }
    const auto part = [&](std::int64_t chunk, Scratch& scratch) {
      const std::int64_t first = chunk * Dense::kRows;
      std::vector<const float*> at = input;
      for (std::size_t i = 0; i < at.size(); ++i) at[i] += first * strides[i];
      network_.gates(t, layer, d, std::min(Dense::kRows, rows - first), at,
                     gates.data() + first * network_.gate_width(), scratch);
    };
    if (inner == 1) {
      for (std::int64_t chunk = 0; chunk < chunks(rows); ++chunk) part(chunk, worker.scratch);
    } else {
      core::parallel_for(chunks(rows), inner, [&](std::int64_t chunk) {
        const core::FlushDenormals flush;
        Scratch scratch;
        part(chunk, scratch);
      });
    }
    Blocks& to = output(layer, t, d);
    float* out = to.open(block, worker.held[2]);
    network_.recur(t, layer, d, rows, gates.data(), state, out);
    to.done(block, out);
  }

  // ---- front to back: masks ---------------------------------------------------------------------------------------
  void decode() {
    const bool magnitudes_wanted = sink_.wants_magnitudes();
    if (magnitudes_wanted) {
      sink_.begin_magnitudes(spec_);
    } else {
      inverse_.clear();
      for (std::size_t i = 0; i < wanted_.size() * sz(channels_); ++i) {
        inverse_.emplace_back(spec_, 1, mixture_.rate_hz());
      }
    }
    Framer framer(spec_, channels_, block_);
    const std::int64_t step = block_ * config_.hop_samples, bins = spec_.bins();
    audio::Spectrogram<float> x(channels_, block_, static_cast<int>(bins));
    const auto take = [&](int c, std::int64_t row, const Complex* frame) { std::copy_n(frame, bins, x.at(c, row)); };
    Floats held;
    std::int64_t block = 0;
    const auto decode_blocks = [&](bool rest) {
      std::int64_t rows = 0;
      while (framer.next(rest, rows, context_.threads, take)) {
        context_.stop.check();
        MSS_ASSERT(rows == rows_of(block));
        if (rows < block_) {
          audio::Spectrogram<float> fewer(channels_, rows, static_cast<int>(bins));
          for (int c = 0; c < channels_; ++c) std::copy_n(x.at(c, 0), rows * bins, fewer.at(c, 0));
          x = std::move(fewer);
        }
        decode_block(block++, x, magnitudes_wanted);
      }
    };
    for (std::int64_t begin = 0; begin < samples_; begin += step) {
      const float* samples = audio_.read(begin / step, held);
      framer.push({samples, channels_, std::min(step, samples_ - begin), step, mixture_.rate_hz()}, context_.threads);
      decode_blocks(false);
    }
    framer.finish(context_.threads);
    decode_blocks(true);
    MSS_ASSERT(block == blocks());
    if (magnitudes_wanted) return;
    std::vector<audio::AudioBuffer> parts(inverse_.size());
    core::parallel_for(static_cast<std::int64_t>(parts.size()), context_.threads,
                       [&](std::int64_t i) { parts[sz(i)] = inverse_[sz(i)].finish(samples_); });
    write(parts);
  }

  void decode_block(std::int64_t block, const audio::Spectrogram<float>& x, bool magnitudes_wanted) {
    const std::int64_t rows = x.frames(), bins = x.bins(), plane = rows * bins;
    const Inputs inputs = inputs_of_fc2(block);
    std::vector<std::vector<float>> masks(wanted_.size());
    for (auto& mask : masks) mask.resize(sz(std::max(channels_, config_.channels) * plane));
    // The size that masks are multiplied with: per channel |X|, or the mean for networks of one channel.
    std::vector<float> mixture(magnitudes_wanted || config_.channels == 1 ? sz(channels_ * plane) : 0);
    const std::int64_t parts = chunks(rows), stems = static_cast<std::int64_t>(wanted_.size());
    if (!mixture.empty()) {
      core::parallel_for(channels_ * parts, context_.threads, [&](std::int64_t item) {
        const auto c = static_cast<int>(item / parts);
        const std::int64_t first = item % parts * Dense::kRows, end = std::min(rows, first + Dense::kRows);
        magnitudes_of(x.at(c, first), (end - first) * bins, mixture.data() + c * plane + first * bins);
      });
    }
    parallel(stems * parts, [&](std::int64_t item, Worker& worker) {
      const std::int64_t s = item / parts, first = item % parts * Dense::kRows;
      const std::int64_t count = std::min(Dense::kRows, rows - first);
      std::vector<const float*> at = inputs.of[sz(s)];
      for (std::size_t i = 0; i < at.size(); ++i) at[i] += first * inputs.strides[i];
      float* mask = masks[sz(s)].data() + first * bins;
      std::vector<float*> out;
      for (int c = 0; c < config_.channels; ++c) out.push_back(mask + c * plane);
      network_.decode(wanted_[sz(s)], count, at, out, bins, worker.scratch);
      if (mixture.empty()) return;
      if (config_.channels > 1) {
        for (int c = 0; c < channels_; ++c)
          multiply(mask + c * plane, mixture.data() + c * plane + first * bins, count * bins);
        return;
      }
      spread(mask, mixture.data() + first * bins, plane, count * bins);
    });
    if (magnitudes_wanted) {
      sink_.write_magnitudes({.first_frame = block * block_, .mixture = &x, .magnitudes = std::move(masks)});
      return;
    }
    std::vector<audio::AudioBuffer> done(inverse_.size());
    core::parallel_for(static_cast<std::int64_t>(done.size()), context_.threads, [&](std::int64_t i) {
      const auto c = static_cast<int>(i % channels_);
      const float* mask = masks[sz(i / channels_)].data() + c * plane;
      audio::Spectrogram<float> y(1, rows, static_cast<int>(bins));
      const Complex* from = x.at(c, 0);
      Complex* to = y.at(0, 0);
      if (config_.channels > 1) {
        for (std::int64_t k = 0; k < plane; ++k) to[k] = {from[k].real() * mask[k], from[k].imag() * mask[k]};
      } else {
        // An estimate that all channels share, with the phase of this one.
        const float* size = mixture.data() + c * plane;
        for (std::int64_t k = 0; k < plane; ++k) {
          const float gain = size[k] > 0.0F ? mask[k] / size[k] : 0.0F;
          to[k] = {from[k].real() * gain, from[k].imag() * gain};
        }
      }
      done[sz(i)] = inverse_[sz(i)].push(y);
    });
    write(done);
  }

  struct Inputs {
    std::vector<std::vector<const float*>> of;  ///< [stem][part]
    std::vector<std::int64_t> strides;
    std::vector<Floats> held;
  };

  /// What fc2 of every wanted target sees: e, o of each direction, and for crossskip the other targets' e.
  Inputs inputs_of_fc2(std::int64_t block) {
    Inputs inputs;
    const int last = config_.layers - 1, directions = config_.directions();
    const auto hold = [&]() -> Floats& { return inputs.held.emplace_back(); };
    inputs.held.reserve(sz(network_.targets() * (directions + 1) + directions + 1));
    std::map<std::pair<int, int>, const float*> read;  // -1: e
    const auto fetch = [&](int t, int what) {
      const auto [it, fresh] = read.emplace(std::pair(t, what), nullptr);
      if (fresh) it->second = (what < 0 ? encoded_[sz(t)] : output(last, t, what)).read(block, hold());
      return it->second;
    };
    inputs.strides.push_back(network_.width());
    for (int d = 0; d < directions; ++d) inputs.strides.push_back(network_.direction_width());
    if (bridged()) {
      std::vector<const float*> shared = {fetch(0, -1)};
      for (int d = 0; d < directions; ++d) {
        std::vector<float*> terms;
        for (int t = 0; t < network_.targets(); ++t) terms.push_back(const_cast<float*>(fetch(t, d)));
        float* mean = hold().room(block_ * network_.direction_width());
        mean_of(terms, rows_of(block) * network_.direction_width(), mean);
        shared.push_back(mean);
      }
      inputs.of.assign(wanted_.size(), shared);
      return inputs;
    }
    for (const int t : wanted_) {
      std::vector<const float*> parts = {fetch(t, -1)};
      for (int d = 0; d < directions; ++d) parts.push_back(fetch(t, d));
      if (config_.architecture == Architecture::crossskip) {
        for (int other = 0; other < network_.targets(); ++other) {
          if (other != t) parts.push_back(fetch(other, -1));
        }
      }
      inputs.of.push_back(std::move(parts));
    }
    if (config_.architecture == Architecture::crossskip) {
      for (int other = 1; other < network_.targets(); ++other) inputs.strides.push_back(network_.width());
    }
    return inputs;
  }

  static void magnitudes_of(const Complex* x, std::int64_t count, float* out) {
    const auto* parts = reinterpret_cast<const float*>(x);
    for (std::int64_t k = 0; k < count; ++k) {
      const float re = parts[2 * k], im = parts[2 * k + 1];
      out[k] = std::sqrt(re * re + im * im);
    }
  }

  static void multiply(float* values, const float* factors, std::int64_t count) {
    for (std::int64_t k = 0; k < count; ++k) values[k] *= factors[k];
  }

  /// One channel's mask times the mean magnitude, into the planes of all channels.
  void spread(float* mask, const float* mixture, std::int64_t plane, std::int64_t count) const {
    const float share = 1.0F / static_cast<float>(channels_);
    for (std::int64_t k = 0; k < count; ++k) {
      float sum = mixture[k];
      for (int c = 1; c < channels_; ++c) sum += mixture[c * plane + k];
      mask[k] *= channels_ == 1 ? sum : sum * share;
    }
    for (int c = 1; c < channels_; ++c) std::copy_n(mask, count, mask + c * plane);
  }

  void write(const std::vector<audio::AudioBuffer>& parts) {
    const std::int64_t n = parts.front().samples();
    if (n == 0) return;
    std::vector<audio::AudioBuffer> stems;
    StemBlock block{.begin = written_, .stems = {}};
    for (std::size_t s = 0; s < wanted_.size(); ++s) {
      audio::AudioBuffer stem(channels_, n, mixture_.rate_hz());
      for (int c = 0; c < channels_; ++c) {
        std::ranges::copy(parts[s * sz(channels_) + sz(c)].channel(0), stem.channel(c).begin());
      }
      stems.push_back(std::move(stem));
    }
    for (const audio::AudioBuffer& stem : stems) block.stems.push_back(stem);
    sink_.write(block);
    written_ += n;
  }

  /// body(item, worker's memory) on all threads, denormals flushed.
  template <class Body>
  void parallel(std::int64_t count, const Body& body) {
    core::parallel_for_worker(count, context_.threads, [&](std::int64_t item, int worker) {
      const core::FlushDenormals flush;
      body(item, workers_[sz(worker)]);
    });
  }

  const Network& network_;
  const Configuration& config_;
  const std::vector<int>& wanted_;
  audio::Source& mixture_;
  StemSink& sink_;
  Context& context_;
  audio::StftSpec spec_;
  int channels_;
  std::int64_t block_;
  core::Spill spill_;
  Blocks audio_;                    ///< [channel][block_ hops]
  std::vector<Blocks> encoded_;     ///< e per target, or their mean
  std::vector<Blocks> outputs_[2];  ///< o per target and direction, of even and odd layers
  std::vector<bool> encodes_, recurs_;
  std::vector<Worker> workers_;
  std::vector<audio::StreamingIstft> inverse_;  ///< [stem][channel]
  std::int64_t samples_ = 0, frames_ = 0, written_ = 0;
};

void NetworkSeparator::do_separate(audio::Source& mixture, StemSink& sink, Context& context) const {
  Run(*this, mixture, sink, context).separate();
}

[[noreturn]] void unknown_target(const SeparatorInfo& info, const std::string& name,
                                 const std::vector<std::string>& known) {
  throw Error({.code = Code::config,
               .where = info.spec,
               .what = "the network has no such target",
               .expected = fmt::format("{}", fmt::join(known, ", ")),
               .found = "'" + name + "'",
               .hint = core::did_you_mean(name, known)});
}

}  // namespace

std::unique_ptr<Separator> make_separator(const Weights& weights, SeparatorOptions options, SeparatorInfo info) {
  const Configuration& c = weights.configuration;
  MSS_ASSERT(options.block_frames > 0 && options.block_frames % Dense::kRows == 0);
  std::vector<int> wanted;
  if (options.targets.empty()) options.targets = c.targets;
  for (const std::string& name : options.targets) {
    const auto at = std::ranges::find(c.targets, name);
    if (at == c.targets.end()) unknown_target(info, name, c.targets);
    wanted.push_back(static_cast<int>(at - c.targets.begin()));
  }
  info.targets = options.targets;
  info.rate_hz = c.rate_hz;
  info.channels = c.channels == 1 ? 0 : c.channels;
  info.offers_magnitudes = true;
  info.weights_label = weights.name();
  info.weights_sha256 = weights.content_hash;
  return std::make_unique<NetworkSeparator>(weights, std::move(options), std::move(wanted), std::move(info));
}

Weights random_weights(const Configuration& configuration, std::uint64_t seed) {
  Weights out;
  out.configuration = configuration;
  out.label = fmt::format("random-{}", seed);
  std::uint32_t item = 0;
  for (const std::string& target : configuration.targets) {
    for (const auto& [name, shape] : expected_shapes(configuration)) {
      const std::int64_t count = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
      const auto ends_with = [&name = name](std::string_view end) { return name.ends_with(end); };
      double low = 0, high = 1;
      if (name.starts_with("fc")) {
        high = std::sqrt(3.0 / static_cast<double>(shape[1]));
        low = -high;
      } else if (name.starts_with("lstm")) {
        high = 1 / std::sqrt(static_cast<double>(configuration.hidden / configuration.directions()));
        low = -high;
      } else if (ends_with(".weight") || ends_with(".running_var") || name == "output_scale") {
        low = 0.5;
        high = 1.5;
      } else if (ends_with(".bias") || ends_with(".running_mean")) {
        low = -0.2;
        high = 0.2;
      } else if (name == "input_mean") {
        low = -1;
        high = 0;
      } else if (name == "input_scale") {
        low = 0.2;
      }
      constexpr std::uint32_t kStream = 0x756d7857;  // "umxW"
      core::Rng rng(seed, kStream, item++);
      Array array{shape, std::vector<float>(sz(count))};
      for (float& value : array.values) value = static_cast<float>(rng.uniform(low, high));
      out.targets[target][name] = std::move(array);
    }
  }
  out.content_hash = compute_content_hash(out.configuration, out.targets);
  out.provenance["note"] = "drawn at random: for tests and timings";
  return out;
}

Configuration named_configuration(std::string_view name, Architecture architecture) {
  Configuration c;
  c.architecture = architecture;
  c.targets = {"vocals", "drums", "bass", "other"};
  if (architecture != Architecture::openunmix) c.targets = {"bass", "drums", "vocals", "other"};
  if (name == "umx" || name == "umxhq") return c;
  if (name == "umxl") {
    c.hidden = 1024;
    return c;
  }
  if (name == "umxse" && architecture == Architecture::openunmix) {
    c.targets = {"speech", "noise"};
    c.rate_hz = 16000;
    c.fft_size = 1024;
    c.hop_samples = 512;
    c.channels = 1;
    c.bins = c.max_bin = 513;
    c.hidden = 256;
    return c;
  }
  throw Error({.code = Code::config,
               .where = std::string(name),
               .what = "no such named configuration",
               .expected = architecture == Architecture::openunmix ? "umx, umxhq, umxl or umxse" : "umx, umxhq or umxl",
               .found = {},
               .hint = {}});
}

}  // namespace mss::methods::openunmix
