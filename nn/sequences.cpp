#include "nn/sequences.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace mss::nn {
namespace {

std::size_t sz(std::int64_t n) { return static_cast<std::size_t>(n); }

void copy_rows(const Tensor& from, Tensor to) {
  for (std::int64_t b = 0; b < from.items(); ++b) {
    for (std::int64_t t = 0; t < from.frames(); ++t) std::copy_n(from.row(b, t), from.channels(), to.row(b, t));
  }
}

/// One direction of one layer over sequences of `lengths` (descending), which stand at the front of the items of x.
void run_direction(const Cpu::Lstm& lstm, std::int64_t layer, std::int64_t direction,
                   const std::vector<std::int64_t>& lengths, const Tensor& x, const Tensor& out) {
  const std::int64_t frames = lengths.front();
  const auto active = [&](std::int64_t frame) {
    return std::ranges::count_if(lengths, [frame](std::int64_t length) { return length > frame; });
  };
  const auto step = [&](std::int64_t first, std::int64_t size, std::int64_t items, Cpu::Lstm::State& state) {
    const Tensor in = x.narrow(0, 0, items).narrow(1, first, size);
    lstm.recur(layer, direction, lstm.project(layer, direction, in), state,
               out.narrow(0, 0, items).narrow(1, first, size));
  };
  const auto block = [&](std::int64_t items) { return lstm.frames_at_once(layer, items); };
  if (direction == 0) {
    Cpu::Lstm::State state = lstm.start(std::ssize(lengths));
    for (std::int64_t t = 0; t < frames;) {
      const std::int64_t items = active(t), size = std::min(block(items), lengths[sz(items - 1)] - t);
      state.hidden = state.hidden.narrow(1, 0, items);
      state.cell = state.cell.narrow(1, 0, items);
      step(t, size, items, state);
      t += size;
    }
    return;
  }
  Cpu::Lstm::State state = lstm.start(0);
  for (std::int64_t end = frames; end > 0;) {
    const std::int64_t items = active(end - 1);
    // Down to the end of the next shorter sequence.
    const std::int64_t until = items < std::ssize(lengths) ? lengths[sz(items)] : 0;
    const std::int64_t size = std::min(block(items), end - until);
    if (state.hidden.frames() < items) {
      const Cpu::Lstm::State grown = lstm.start(items);
      copy_rows(state.hidden, grown.hidden.narrow(1, 0, state.hidden.frames()));
      copy_rows(state.cell, grown.cell.narrow(1, 0, state.cell.frames()));
      state = grown;
    }
    step(end - size, size, items, state);
    end -= size;
  }
}

}  // namespace

std::vector<Tensor> run_sequences(const Cpu::Lstm& lstm, const std::vector<Tensor>& sequences) {
  const LstmOptions& o = lstm.options();
  const std::int64_t count = std::ssize(sequences);
  if (count == 0) return {};
  for (const Tensor& x : sequences) MSS_ASSERT(x.items() == 1 && x.frames() >= 1 && x.channels() == o.inputs);

  // Groups get the longest sequences of all first, then one each in turn.
  const std::int64_t groups = lstm.groups(count);
  std::vector<std::int64_t> sorted(sz(count));
  std::iota(sorted.begin(), sorted.end(), 0);
  std::ranges::stable_sort(
      sorted, [&](std::int64_t a, std::int64_t b) { return sequences[sz(a)].frames() > sequences[sz(b)].frames(); });
  std::vector<std::int64_t> order;
  std::vector<std::vector<std::int64_t>> lengths(sz(groups));
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t i = g; i < count; i += groups) {
      order.push_back(sorted[sz(i)]);
      lengths[sz(g)].push_back(sequences[sz(sorted[sz(i)])].frames());
    }
  }
  const std::int64_t frames = sequences[sz(sorted[0])].frames();
  Tensor x(count, frames, o.inputs);
  for (std::int64_t i = 0; i < count; ++i) {
    const Tensor& from = sequences[sz(order[sz(i)])];
    copy_rows(from, x.narrow(0, i, 1).narrow(1, 0, from.frames()));
  }

  for (std::int64_t layer = 0; layer < o.layers; ++layer) {
    Tensor y(count, frames, o.outputs());
    lstm.for_jobs(groups, [&](std::int64_t direction, std::int64_t group) {
      std::int64_t first = 0;
      for (std::int64_t g = 0; g < group; ++g) first += std::ssize(lengths[sz(g)]);
      const std::int64_t items = std::ssize(lengths[sz(group)]);
      run_direction(lstm, layer, direction, lengths[sz(group)], x.narrow(0, first, items),
                    y.narrow(0, first, items).narrow(2, direction * o.hidden, o.hidden));
    });
    x = std::move(y);
  }

  std::vector<Tensor> out(sz(count));
  for (std::int64_t i = 0; i < count; ++i) {
    out[sz(order[sz(i)])] = x.narrow(0, i, 1).narrow(1, 0, sequences[sz(order[sz(i)])].frames());
  }
  return out;
}

}  // namespace mss::nn
