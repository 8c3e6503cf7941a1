#include "audio/overlap_add.h"

#include "core/error.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

namespace {

constexpr ChunkWindow kWindows[] = {ChunkWindow::rectangular, ChunkWindow::triangle, ChunkWindow::hann,
                                    ChunkWindow::linear_fade};

/// Runs `gain(chunk index) * input` through chunks, taking after every chunk.
template <class Gain>
AudioBuffer process(const ChunkSpec& spec, const AudioBuffer& x, Gain gain) {
  OverlapAdder adder(spec, 1, x.channels(), x.rate_hz());
  const auto chunks = plan_chunks(spec, x.samples());
  AudioBuffer out(x.channels(), x.samples(), x.rate_hz());
  std::int64_t at = 0;
  const auto keep = [&](const std::vector<AudioBuffer>& parts) {
    REQUIRE(parts.size() == 1);
    for (int c = 0; c < x.channels(); ++c) {
      std::ranges::copy(parts[0].channel(c), out.channel(c).begin() + at);
    }
    at += parts[0].samples();
  };
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    std::vector<AudioBuffer> stem;
    stem.emplace_back(x.view().slice(chunks[i].begin, chunks[i].samples));
    for (int c = 0; c < x.channels(); ++c) {
      for (float& v : stem[0].channel(c)) v *= gain(i);
    }
    adder.add(chunks[i], stem);
    keep(adder.take(i + 1 == chunks.size()));
  }
  CHECK(at == x.samples());
  return out;
}

}  // namespace

TEST_CASE("chunks cover the signal without a superfluous one", "[audio]") {
  for (const std::int64_t chunk : {1, 5, 64}) {
    for (std::int64_t hop = 1; hop <= chunk; ++hop) {
      for (const std::int64_t total : {0, 1, 4, 5, 63, 64, 65, 200}) {
        const auto chunks = plan_chunks({chunk, hop, ChunkWindow::hann}, total);
        CHECK(chunks.empty() == (total == 0));
        for (std::size_t i = 0; i < chunks.size(); ++i) {
          CHECK(chunks[i].begin == static_cast<std::int64_t>(i) * hop);
          const bool last = i + 1 == chunks.size();
          CHECK((chunks[i].begin + chunk >= total) == last);
          CHECK(chunks[i].samples == (last ? total - chunks[i].begin : chunk));
        }
      }
    }
  }
}

TEST_CASE("chunk weights are positive, symmetric and at most one", "[audio]") {
  for (const ChunkWindow window : kWindows) {
    for (const std::int64_t chunk : {1, 2, 7, 1000}) {
      for (const std::int64_t hop : {std::int64_t{1}, (chunk + 1) / 2, chunk}) {
        const auto w = chunk_weights({chunk, hop, window});
        REQUIRE(static_cast<std::int64_t>(w.size()) == chunk);
        for (std::size_t i = 0; i < w.size(); ++i) {
          CHECK(w[i] > 0.0F);
          CHECK(w[i] <= 1.0F);
          CHECK(w[i] == Approx(w[w.size() - 1 - i]).epsilon(1e-6));
        }
      }
    }
  }
  const auto fade = chunk_weights({10, 7, ChunkWindow::linear_fade});
  CHECK(fade[0] == 0.25F);
  CHECK(fade[2] == 0.75F);
  CHECK(fade[3] == 1.0F);
  CHECK(fade[6] == 1.0F);
  CHECK(fade[7] == 0.75F);
}

TEST_CASE("the identity comes back to -120 dB over chunks, hops and windows", "[audio]") {
  double worst = 0.0;
  for (const ChunkWindow window : kWindows) {
    for (const std::int64_t chunk : {1, 2, 7, 100, 1000}) {
      for (const std::int64_t hop : {std::int64_t{1}, chunk / 4, chunk / 3, chunk / 2, chunk * 3 / 4, chunk}) {
        if (hop < 1) continue;
        for (const std::int64_t total :
             {std::int64_t{0}, std::int64_t{1}, chunk - 1, chunk, chunk + 1, 3 * chunk + 5}) {
          const AudioBuffer x = noise(2, total, 44100);
          const AudioBuffer y = process({chunk, hop, window}, x, [](std::size_t) { return 1.0F; });
          for (int c = 0; c < 2; ++c) {
            const RelativeError error = relative_error<float, float>(x.channel(c), y.channel(c));
            worst = std::max({worst, error.peak, error.rms});
          }
        }
      }
    }
  }
  CHECK(worst <= 1e-6);
}

TEST_CASE("neighbouring chunks are cross-faded by their weights", "[audio]") {
  AudioBuffer ones(1, 17, 44100);
  for (float& v : ones.channel(0)) v = 1.0F;
  const AudioBuffer y =
      process({10, 7, ChunkWindow::linear_fade}, ones, [](std::size_t i) { return static_cast<float>(i); });
  const auto v = y.channel(0);
  CHECK(v[6] == 0.0F);
  CHECK(v[7] == Approx(0.25));
  CHECK(v[8] == Approx(0.5));
  CHECK(v[9] == Approx(0.75));
  CHECK(v[10] == 1.0F);
}

TEST_CASE("wrong chunks and shapes are refused", "[audio]") {
  CHECK_THROWS_AS(plan_chunks({0, 1, ChunkWindow::hann}, 10), Error);
  CHECK_THROWS_AS(plan_chunks({10, 0, ChunkWindow::hann}, 10), Error);
  CHECK_THROWS_AS(plan_chunks({10, 11, ChunkWindow::hann}, 10), Error);
  CHECK_THROWS_AS(plan_chunks({10, 5, ChunkWindow::hann}, -1), Error);
  OverlapAdder adder({10, 5, ChunkWindow::hann}, 2, 1, 44100);
  const std::vector<AudioBuffer> good(2, AudioBuffer(1, 10, 44100));
  CHECK_THROWS_AS(adder.add({5, 10}, good), Error);
  CHECK_THROWS_AS(adder.add({0, 10}, {good[0]}), Error);
  CHECK_THROWS_AS(adder.add({0, 9}, good), Error);
  CHECK_THROWS_AS(adder.add({0, 10}, std::vector<AudioBuffer>(2, AudioBuffer(2, 10, 44100))), Error);
  adder.add({0, 10}, good);
  CHECK(adder.take(false)[1].samples() == 5);
  CHECK_THROWS_AS(adder.add({0, 10}, good), Error);
  CHECK(adder.take(true)[0].samples() == 5);
}
