// The passes of separator.h over any engine. Private to the family. An Engine is a layer set with a way between its
// tensors and rows of floats in memory:
//
//   using L;                                                        the layer set
//   static constexpr std::int64_t kChunk                            frames that one call of a layer gets at most
//   L::Tensor input(const float*, frames, channels) const           (1, frames, channels); the memory outlives it
//   L::Tensor room(float* to, frames, channels, stride) const       to be written; on the CPU the rows at `to` themselves,
//                                                                   `stride` floats apart
//   void output(const L::Tensor& x, float* to, stride) const        (1, frames, channels) as such rows, if they are not there
//   L::Tensor held(L::Tensor x) const                               x where values() can read it
//   const float* values(const L::Tensor& x) const                   of what held() gave: its rows, adjacent
//   struct Scope { Scope(int threads, const core::StopToken&); };   held for a whole track
//   void parallel(count, threads, body) const                       body(i, threads that it may use) for all i
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "audio/stft.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/spill.h"
#include "methods/openunmix/model.h"
#include "methods/openunmix/separator.h"

namespace mss::methods::openunmix {

inline std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

inline audio::StftSpec stft_spec(const Configuration& c) {
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
  using Floats = std::vector<float>;
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
    held.resize(sz(floats_));
    spill_.read(ids_[sz(i)], 0, floats_, held.data());
    return held.data();
  }
  /// Where block i can be written; done() puts it into place.
  float* open(std::int64_t i, Floats& held) {
    if (float* there = spill_.memory(ids_[sz(i)])) return there;
    held.resize(sz(floats_));
    return held.data();
  }
  void done(std::int64_t i, const float* values) {
    if (spill_.memory(ids_[sz(i)]) == nullptr) spill_.write(ids_[sz(i)], 0, floats_, values);
  }

 private:
  core::Spill& spill_;
  std::int64_t floats_;
  std::vector<std::int64_t> ids_;
};

/// The outputs of an LSTM layer's directions, in blocks of rows. In memory a row has all directions beside each other, as
/// the next layer reads them, and each direction writes its part of it; in the file the directions follow each other.
class LayerBlocks {
 public:
  using Floats = std::vector<float>;
  LayerBlocks(core::Spill& spill, std::int64_t rows, std::int64_t each, int directions)
      : spill_(spill), rows_(rows), each_(each), directions_(directions) {}
  void grow(std::int64_t count) {
    while (static_cast<std::int64_t>(ids_.size()) < count) ids_.push_back(spill_.add(rows_ * width()));
  }
  void release() {
    for (const std::int64_t id : ids_) spill_.release(id);
    ids_.clear();
  }
  std::int64_t width() const { return each_ * directions_; }
  /// Rows of `width()` values, the first `rows` of block i; `held` is used if it lies in the file.
  const float* read(std::int64_t i, std::int64_t rows, Floats& held) const {
    if (const float* there = spill_.memory(ids_[sz(i)])) return there;
    held.resize(sz(rows * width()));
    Floats part(sz(rows * each_));
    for (int d = 0; d < directions_; ++d) {
      spill_.read(ids_[sz(i)], d * rows_ * each_, rows * each_, part.data());
      for (std::int64_t n = 0; n < rows; ++n)
        std::copy_n(part.data() + n * each_, each_, held.data() + n * width() + d * each_);
    }
    return held.data();
  }
  /// Where direction d of block i can be written, rows `stride` floats apart; done() puts it into place.
  float* open(std::int64_t i, int d, Floats& held, std::int64_t& stride) {
    if (float* there = spill_.memory(ids_[sz(i)])) {
      stride = width();
      return there + d * each_;
    }
    stride = each_;
    held.resize(sz(rows_ * each_));
    return held.data();
  }
  void done(std::int64_t i, int d, std::int64_t rows, const float* values) {
    if (spill_.memory(ids_[sz(i)]) == nullptr) spill_.write(ids_[sz(i)], d * rows_ * each_, rows * each_, values);
  }

 private:
  core::Spill& spill_;
  std::int64_t rows_, each_;
  int directions_;
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

template <class Engine>
class PassesSeparator final : public Separator {
 public:
  using L = typename Engine::L;
  using Networks = std::vector<std::unique_ptr<const Network<L>>>;  ///< null: not needed for what is wanted

  PassesSeparator(Engine engine, Configuration configuration, Networks networks, std::vector<std::size_t> wanted,
                  const SeparatorOptions& options, SeparatorInfo info)
      : Separator(std::move(info)),
        engine_(std::move(engine)),
        config_(std::move(configuration)),
        networks_(std::move(networks)),
        wanted_(std::move(wanted)),
        options_(options) {
    info_.memory = [c = config_, options, parameters = info_.parameters, targets = std::ssize(networks_)](
                       std::int64_t samples, int channels, int rate_hz) {
      return memory_of(c, options, parameters, targets, samples * c.rate_hz / std::max(rate_hz, 1), channels);
    };
  }

  /// Weights; what stands between the passes (audio, and for each target the encoding and the outputs of two layers), up to
  /// the buffer; a block's activations of every target.
  static MemoryNeed memory_of(const Configuration& c, const SeparatorOptions& options, std::int64_t parameters,
                              std::int64_t targets, std::int64_t samples, int channels) {
    const std::int64_t frames = samples / c.hop_samples + options.block_frames;
    const std::int64_t kept = c.architecture == Architecture::xumx ? 1 : targets;
    const std::int64_t between = 4 * (frames * c.hop_samples * channels + frames * c.hidden * (kept + 2 * targets));
    const std::int64_t block =
        4 * options.block_frames * (16 * c.hidden + 8 * channels * (c.fft_size / 2 + 1)) * targets;
    MemoryNeed need;
    need.fixed_bytes = 4 * parameters;
    need.call_bytes = kShellBytes + std::min(between, options.buffer_bytes) + block;
    need.file_bytes = std::max<std::int64_t>(between - options.buffer_bytes, 0);
    return need;
  }

  /// Which targets' networks have to be there.
  static std::vector<bool> needed(const Configuration& c, const std::vector<std::size_t>& wanted) {
    std::vector<bool> out(c.targets.size(), c.architecture != Architecture::openunmix);
    for (const std::size_t t : wanted) out[t] = true;
    return out;
  }

 private:
  class Run;
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    engine_.guarded(info_.spec, [&] {
      const typename Engine::Scope scope(context.threads, context.stop);
      Run(*this, mixture, sink, context).separate();
    });
  }

  Engine engine_;
  Configuration config_;
  Networks networks_;
  std::vector<std::size_t> wanted_;  ///< the network's targets, in the order of info().targets
  SeparatorOptions options_;
};

/// One track.
template <class Engine>
class PassesSeparator<Engine>::Run {
 public:
  using Tensor = typename L::Tensor;
  using Floats = std::vector<float>;

  Run(const PassesSeparator& separator, audio::Source& mixture, StemSink& sink, Context& context)
      : engine_(separator.engine_),
        config_(separator.config_),
        networks_(separator.networks_),
        wanted_(separator.wanted_),
        mixture_(mixture),
        sink_(sink),
        context_(context),
        spec_(stft_spec(config_)),
        channels_(mixture.channels()),
        bins_(spec_.bins()),
        block_(separator.options_.block_frames),
        hidden_(config_.hidden),
        each_(config_.hidden / config_.directions()),
        spill_(separator.options_.buffer_bytes),
        audio_(spill_, std::int64_t{channels_} * block_ * config_.hop_samples) {
    const std::int64_t targets = static_cast<std::int64_t>(networks_.size());
    for (std::int64_t t = 0; t < targets; ++t) {
      if (networks_[sz(t)] == nullptr) continue;
      encoding_.push_back(t);
      // X-UMX averages all LSTMs; the others need those of the stems wanted.
      if (bridged() || std::ranges::find(wanted_, sz(t)) != wanted_.end()) recurring_.push_back(t);
    }
    for (std::int64_t t = 0; t < (bridged() ? 1 : targets); ++t) kept_.emplace_back(spill_, block_ * hidden_);
    for (auto& layer : outputs_) {
      for (std::int64_t t = 0; t < targets; ++t) layer.emplace_back(spill_, block_, each_, config_.directions());
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
    for (LayerBlocks& gone : outputs_[config_.layers % 2]) gone.release();
    decode();
  }

 private:
  bool bridged() const { return config_.architecture == Architecture::xumx; }
  std::int64_t blocks() const { return (frames_ + block_ - 1) / block_; }
  std::int64_t rows_of(std::int64_t block) const { return std::min(block_, frames_ - block * block_); }
  static std::int64_t chunks(std::int64_t rows) { return (rows + Engine::kChunk - 1) / Engine::kChunk; }
  static std::int64_t chunk_rows(std::int64_t rows, std::int64_t chunk) {
    return std::min(Engine::kChunk, rows - chunk * Engine::kChunk);
  }
  LayerBlocks& output(int layer, std::int64_t target) { return outputs_[layer % 2][sz(target)]; }

  /// Reports this share of the work; the rest is known from what is written.
  void progress(double share) {
    if (context_.progress) context_.progress(static_cast<std::int64_t>(share * static_cast<double>(samples_)));
  }

  // ---- front to back: STFT, first layer -------------------------------------------------------------------------
  void read_and_encode() {
    Framer framer(spec_, channels_, block_);
    const std::int64_t step = block_ * config_.hop_samples, width = config_.max_bin;
    // Rows of |X| as fc1 sees them: all bins of the first channel, then those of the next.
    Floats magnitudes(sz(block_ * channels_ * width));
    const auto take = [&](int c, std::int64_t row, const std::complex<float>* x) {
      magnitudes_of(x, width, magnitudes.data() + (row * channels_ + c) * width);
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
        encode_blocks(framer, false, take, magnitudes);
      }
    }
    framer.finish(context_.threads);
    encode_blocks(framer, true, take, magnitudes);
  }

  template <class Take>
  void encode_blocks(Framer& framer, bool rest, const Take& take, Floats& magnitudes) {
    std::int64_t rows = 0;
    while (framer.next(rest, rows, context_.threads, take)) {
      if (config_.channels == 1 && channels_ > 1) average_channels(magnitudes, rows);
      encode_block(rows, magnitudes.data());
      frames_ += rows;
    }
  }

  /// Rows of one channel in the place of rows of all.
  void average_channels(Floats& magnitudes, std::int64_t rows) const {
    const std::int64_t width = config_.max_bin;
    const float share = 1.0F / static_cast<float>(channels_);
    for (std::int64_t row = 0; row < rows; ++row) {
      const float* from = magnitudes.data() + row * channels_ * width;
      for (std::int64_t k = 0; k < width; ++k) {
        float sum = from[k];
        for (int c = 1; c < channels_; ++c) sum += from[c * width + k];
        magnitudes[sz(row * width + k)] = sum * share;
      }
    }
  }

  void encode_block(std::int64_t rows, const float* magnitudes) {
    const std::int64_t block = frames_ / block_, inputs = std::int64_t{config_.channels} * config_.max_bin;
    std::vector<Floats> held(kept_.size());
    std::vector<float*> to(kept_.size(), nullptr);
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      kept_[i].grow(block + 1);
      if (bridged() || networks_[i] != nullptr) to[i] = kept_[i].open(block, held[i]);
    }
    // Targets by themselves, or all of X-UMX's at once because only their mean is kept.
    const std::int64_t parts = chunks(rows), jobs = bridged() ? 1 : std::ssize(encoding_);
    engine_.parallel(jobs * parts, context_.threads, [&](std::int64_t item, int) {
      const std::int64_t job = item / parts, first = item % parts * Engine::kChunk;
      const Tensor x = engine_.input(magnitudes + first * inputs, chunk_rows(rows, item % parts), inputs);
      std::vector<Tensor> e;
      for (const std::int64_t t : encoding_) {
        if (bridged() || t == encoding_[sz(job)]) e.push_back(networks_[sz(t)]->encode(x));
      }
      engine_.output(kept<L>(config_, std::move(e))[0], to[bridged() ? 0 : sz(encoding_[sz(job)])] + first * hidden_,
                     hidden_);
    });
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      if (to[i] != nullptr) kept_[i].done(block, to[i]);
    }
  }

  // ---- one LSTM layer, both directions ----------------------------------------------------------------------------
  void recur(int layer) {
    std::vector<std::pair<std::int64_t, int>> items;
    for (const std::int64_t t : recurring_) {
      output(layer, t).grow(blocks());
      for (int d = 0; d < config_.directions(); ++d) items.emplace_back(t, d);
    }
    const auto count = std::ssize(items);
    std::mutex guard;
    std::int64_t done = 0;
    engine_.parallel(count, context_.threads, [&](std::int64_t item, int) {
      const auto [t, d] = items[sz(item)];
      typename L::Lstm::State state = networks_[sz(t)]->recurrent().start(1);
      std::vector<Floats> held(2);
      for (std::int64_t i = 0; i < blocks(); ++i) {
        context_.stop.check();
        recur_block(layer, t, d, d == 0 ? i : blocks() - 1 - i, state, held);
        const std::lock_guard lock(guard);
        ++done;
        progress(0.1 +
                 0.5 * (layer + static_cast<double>(done) / static_cast<double>(count * blocks())) / config_.layers);
      }
    });
  }

  void recur_block(int layer, std::int64_t t, int d, std::int64_t block, typename L::Lstm::State& state,
                   std::vector<Floats>& held) {
    const std::int64_t rows = rows_of(block);
    const typename L::Lstm& lstm = networks_[sz(t)]->recurrent();
    const float* from = layer == 0 ? kept_[bridged() ? 0 : sz(t)].read(block, held[0])
                                   : output(layer - 1, t).read(block, rows, held[0]);
    LayerBlocks& to = output(layer, t);
    std::int64_t stride = 0;
    float* out = to.open(block, d, held[1], stride);
    Tensor y = engine_.room(out, rows, each_, stride);
    lstm.recur(layer, d, lstm.project(layer, d, engine_.input(from, rows, hidden_)), state, y);
    engine_.output(y, out, stride);
    to.done(block, d, rows, out);
  }

  // ---- front to back: masks ---------------------------------------------------------------------------------------
  void decode() {
    const bool magnitudes_wanted = sink_.wants_magnitudes();
    if (magnitudes_wanted) {
      sink_.begin_magnitudes(spec_);
    } else {
      for (std::size_t i = 0; i < wanted_.size() * sz(channels_); ++i) {
        inverse_.emplace_back(spec_, 1, mixture_.rate_hz());
      }
    }
    Framer framer(spec_, channels_, block_);
    const std::int64_t step = block_ * config_.hop_samples;
    audio::Spectrogram<float> x(channels_, block_, static_cast<int>(bins_));
    const auto take = [&](int c, std::int64_t row, const std::complex<float>* frame) {
      std::copy_n(frame, bins_, x.at(c, row));
    };
    Floats held;
    std::int64_t block = 0;
    const auto decode_blocks = [&](bool rest) {
      std::int64_t rows = 0;
      while (framer.next(rest, rows, context_.threads, take)) {
        context_.stop.check();
        MSS_ASSERT(rows == rows_of(block));
        if (rows < block_) {
          audio::Spectrogram<float> fewer(channels_, rows, static_cast<int>(bins_));
          for (int c = 0; c < channels_; ++c) std::copy_n(x.at(c, 0), rows * bins_, fewer.at(c, 0));
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
    core::parallel_for(std::ssize(parts), context_.threads,
                       [&](std::int64_t i) { parts[sz(i)] = inverse_[sz(i)].finish(samples_); });
    write(parts);
  }

  /// One stem's masks of a block as the network gives them: chunks of rows of [channel][bin].
  struct Masks {
    std::vector<Tensor> chunks;
    std::vector<const float*> values;
  };

  std::vector<Masks> masks_of(std::int64_t block) {
    const std::int64_t rows = rows_of(block);
    // Where the block's e and o lie, by target.
    std::vector<Floats> held(2 * networks_.size());
    std::vector<const float*> e(kept_.size(), nullptr), o(networks_.size(), nullptr);
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      if (bridged() || networks_[i] != nullptr) e[i] = kept_[i].read(block, held[i]);
    }
    for (const std::int64_t t : recurring_) {
      o[sz(t)] = output(config_.layers - 1, t).read(block, rows, held[networks_.size() + sz(t)]);
    }
    const std::int64_t parts = chunks(rows);
    std::vector<Masks> masks(wanted_.size(),
                             Masks{std::vector<Tensor>(sz(parts)), std::vector<const float*>(sz(parts))});
    engine_.parallel(std::ssize(wanted_) * parts, context_.threads, [&](std::int64_t item, int) {
      const std::int64_t stem = item / parts, first = item % parts * Engine::kChunk;
      const std::int64_t count = chunk_rows(rows, item % parts);
      const std::size_t own = wanted_[sz(stem)];
      std::vector<Tensor> encoded(e.size()), recurrent(networks_.size());
      for (std::size_t i = 0; i < e.size(); ++i) {
        const bool used = bridged() || i == own || config_.architecture == Architecture::crossskip;
        if (used) encoded[i] = engine_.input(e[i] + first * hidden_, count, hidden_);
      }
      for (std::size_t t = 0; t < networks_.size(); ++t) {
        if (bridged() || t == own) recurrent[t] = engine_.input(o[t] + first * hidden_, count, hidden_);
      }
      if (bridged()) recurrent = kept<L>(config_, std::move(recurrent));
      Masks& to = masks[sz(stem)];
      const std::size_t chunk = sz(item % parts);
      to.chunks[chunk] = engine_.held(networks_[own]->decode(seen<L>(config_, encoded, recurrent, own)));
      to.values[chunk] = engine_.values(to.chunks[chunk]);
    });
    return masks;
  }

  void decode_block(std::int64_t block, const audio::Spectrogram<float>& x, bool magnitudes_wanted) {
    const std::vector<Masks> masks = masks_of(block);
    const std::int64_t rows = x.frames();
    if (magnitudes_wanted) {
      MagnitudeBlock out{.first_frame = block * block_, .mixture = &x, .magnitudes = {}};
      for (std::size_t s = 0; s < masks.size(); ++s) out.magnitudes.emplace_back(sz(channels_ * rows * bins_));
      core::parallel_for(rows, context_.threads, [&](std::int64_t n) {
        Floats sizes(sz(channels_ * bins_));
        for (int c = 0; c < channels_; ++c) magnitudes_of(x.at(c, n), bins_, sizes.data() + c * bins_);
        if (config_.channels == 1) average_row(sizes);
        for (std::size_t s = 0; s < masks.size(); ++s) {
          for (int c = 0; c < channels_; ++c) {
            const float *mask = mask_row(masks[s], n, c), *size = sizes.data() + c * bins_;
            float* to = out.magnitudes[s].data() + (c * rows + n) * bins_;
            for (std::int64_t k = 0; k < bins_; ++k) to[k] = mask[k] * size[k];
          }
        }
      });
      sink_.write_magnitudes(out);
      return;
    }
    std::vector<audio::AudioBuffer> done(inverse_.size());
    core::parallel_for(std::ssize(done), context_.threads, [&](std::int64_t i) {
      const auto c = static_cast<int>(i % channels_);
      const Masks& stem = masks[sz(i / channels_)];
      audio::Spectrogram<float> y(1, rows, static_cast<int>(bins_));
      Floats gain(sz(bins_)), sizes(config_.channels == 1 ? sz(channels_ * bins_) : 0);
      for (std::int64_t n = 0; n < rows; ++n) {
        const float* mask = mask_row(stem, n, c);
        if (config_.channels == 1) {
          shared_gains(x, n, c, mask, sizes, gain);
          mask = gain.data();
        }
        const std::complex<float>* from = x.at(c, n);
        std::complex<float>* to = y.at(0, n);
        for (std::int64_t k = 0; k < bins_; ++k) to[k] = {from[k].real() * mask[k], from[k].imag() * mask[k]};
      }
      done[sz(i)] = inverse_[sz(i)].push(y);
    });
    write(done);
  }

  /// Of audio channel c; networks of one channel have the same for all.
  const float* mask_row(const Masks& masks, std::int64_t row, int c) const {
    return masks.values[sz(row / Engine::kChunk)] +
           (row % Engine::kChunk * config_.channels + (config_.channels == 1 ? 0 : c)) * bins_;
  }

  /// Every channel's row becomes the mean of all.
  void average_row(Floats& sizes) const {
    const float share = 1.0F / static_cast<float>(channels_);
    for (std::int64_t k = 0; k < bins_; ++k) {
      float sum = sizes[sz(k)];
      for (int c = 1; c < channels_; ++c) sum += sizes[sz(c * bins_ + k)];
      sizes[sz(k)] = channels_ == 1 ? sum : sum * share;
    }
    for (int c = 1; c < channels_; ++c) std::copy_n(sizes.data(), bins_, sizes.data() + c * bins_);
  }

  /// What channel c is multiplied with so that it gets the size of the estimate that all channels share.
  void shared_gains(const audio::Spectrogram<float>& x, std::int64_t n, int c, const float* mask, Floats& sizes,
                    Floats& gain) const {
    for (int other = 0; other < channels_; ++other) {
      magnitudes_of(x.at(other, n), bins_, sizes.data() + other * bins_);
    }
    std::copy_n(sizes.data() + c * bins_, bins_, gain.data());
    average_row(sizes);
    for (std::int64_t k = 0; k < bins_; ++k) {
      const float own = gain[sz(k)];
      gain[sz(k)] = own > 0.0F ? mask[k] * sizes[sz(k)] / own : 0.0F;
    }
  }

  static void magnitudes_of(const std::complex<float>* x, std::int64_t count, float* out) {
    const auto* parts = reinterpret_cast<const float*>(x);
    for (std::int64_t k = 0; k < count; ++k) {
      const float re = parts[2 * k], im = parts[2 * k + 1];
      out[k] = std::sqrt(re * re + im * im);
    }
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

  const Engine& engine_;
  const Configuration& config_;
  const Networks& networks_;
  const std::vector<std::size_t>& wanted_;
  audio::Source& mixture_;
  StemSink& sink_;
  Context& context_;
  audio::StftSpec spec_;
  int channels_;  ///< of the audio
  std::int64_t bins_, block_, hidden_, each_;
  core::Spill spill_;
  Blocks audio_;                                    ///< [channel][block_ hops]
  std::vector<Blocks> kept_;                        ///< e per target, or their mean
  std::vector<LayerBlocks> outputs_[2];             ///< o per target, of even and odd layers
  std::vector<std::int64_t> encoding_, recurring_;  ///< targets whose first layers, whose LSTMs run
  std::vector<audio::StreamingIstft> inverse_;      ///< [stem][channel]
  std::int64_t samples_ = 0, frames_ = 0, written_ = 0;
};

/// The separator of a request: `network(part)` makes one target's network.
template <class Engine>
std::unique_ptr<Separator> make_passes(Engine engine, NetworkRequest request, const SeparatorOptions& options,
                                       const std::function<std::unique_ptr<const Network<typename Engine::L>>(
                                           const std::string& part, const Configuration& c)>& network) {
  using Made = PassesSeparator<Engine>;
  MSS_ASSERT(options.block_frames > 0);
  Configuration c = configuration_from_value(request.weights.configuration, request.info.spec);
  const std::vector<bool> needed = Made::needed(c, request.wanted);
  typename Made::Networks networks(c.targets.size());
  for (std::size_t t = 0; t < networks.size(); ++t) {
    if (needed[t]) networks[t] = network(c.targets[t], c);
  }
  SeparatorInfo& info = request.info;
  info.channels = c.channels == 1 ? 0 : c.channels;
  info.offers_magnitudes = true;
  return std::make_unique<Made>(std::move(engine), std::move(c), std::move(networks), std::move(request.wanted),
                                options, std::move(info));
}

}  // namespace mss::methods::openunmix
