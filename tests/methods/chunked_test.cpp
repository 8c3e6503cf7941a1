#include "methods/chunked.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audio/overlap_add.h"
#include "core/error.h"
#include "tests/methods/support.h"
#include "tests/support/catch.h"

namespace mss::methods {
namespace {

using audio::ChunkSpec;
using audio::ChunkWindow;
using tests::check_error;
using tests::noise;
using tests::toy_info;
using tests::ToyMethod;

std::unique_ptr<Separator> chunked(const ChunkSpec& spec, ChunkProcessor process) {
  return std::make_unique<ToyMethod>(
      toy_info({"a", "b"}),
      [spec, process = std::move(process)](audio::Source& mixture, StemSink& sink, Context& context) {
        separate_in_chunks(mixture, sink, spec, context, process);
      });
}

std::vector<audio::AudioBuffer> twice(audio::AudioView chunk, std::int64_t) {
  return {audio::AudioBuffer(chunk), audio::AudioBuffer(chunk)};
}

}  // namespace

TEST_CASE("chunking with the identity returns the mixture to -120 dB", "[methods]") {
  for (const ChunkWindow window :
       {ChunkWindow::rectangular, ChunkWindow::triangle, ChunkWindow::hann, ChunkWindow::linear_fade}) {
    for (const std::int64_t chunk : {1, 2, 7, 1000, 1024}) {
      for (const std::int64_t hop : {std::int64_t{1}, chunk / 4, chunk / 2, chunk - 1, chunk}) {
        if (hop < 1 || chunk / hop > 8) continue;
        for (const std::int64_t samples :
             {std::int64_t{1}, chunk - 1, chunk, chunk + 1, hop + chunk, 3 * hop + chunk / 2, std::int64_t{4321}}) {
          if (samples < 1 || samples / hop > 3000) continue;
          CAPTURE(static_cast<int>(window), chunk, hop, samples);
          const audio::AudioBuffer mixture = noise(2, samples, 44100, 30);
          const StemSet stems = chunked({chunk, hop, window}, twice)->separate(mixture);
          REQUIRE(stems.audio.size() == 2);
          CHECK(tests::error_db(stems.audio[0], mixture) <= -120);
          CHECK(tests::error_db(stems.audio[1], mixture) <= -120);
        }
      }
    }
  }
}

TEST_CASE("the chunks are those that audio::plan_chunks lists", "[methods]") {
  for (const bool announced : {true, false}) {
    for (const std::int64_t samples : {1, 99, 100, 101, 160, 161, 1000}) {
      const ChunkSpec spec{100, 60, ChunkWindow::triangle};
      std::vector<audio::Chunk> seen;
      const auto method = chunked(spec, [&](audio::AudioView chunk, std::int64_t begin) {
        seen.push_back({begin, chunk.samples()});
        CHECK(chunk.channel(0)[0] == static_cast<float>(begin));
        return twice(chunk, begin);
      });
      tests::GeneratedSource source(1, 44100, samples, announced,
                                    [](int, std::int64_t t) { return static_cast<float>(t); });
      CollectSink sink;
      method->separate(source, sink);
      const auto planned = audio::plan_chunks(spec, samples);
      CAPTURE(announced, samples);
      REQUIRE(seen.size() == planned.size());
      for (std::size_t i = 0; i < seen.size(); ++i) {
        CHECK(seen[i].begin == planned[i].begin);
        CHECK(seen[i].samples == planned[i].samples);
      }
    }
  }
}

TEST_CASE("chunked stems are weighted averages of what the chunks say", "[methods]") {
  // Rectangular chunks of 4 every 2, processor yields the chunk's number: overlaps average two neighbours.
  const auto method = chunked({4, 2, ChunkWindow::rectangular}, [](audio::AudioView chunk, std::int64_t begin) {
    std::vector<audio::AudioBuffer> out(2, audio::AudioBuffer(1, chunk.samples(), chunk.rate_hz()));
    for (auto& stem : out) std::ranges::fill(stem.channel(0), static_cast<float>(begin / 2));
    return out;
  });
  const StemSet stems = method->separate(audio::AudioBuffer(1, 9, 44100));
  const std::vector<float> expected{0, 0, 0.5F, 0.5F, 1.5F, 1.5F, 2.5F, 2.5F, 3};
  CHECK(std::ranges::equal(stems.audio[0].channel(0), expected));
}

TEST_CASE("chunking reads no more than a chunk ahead of what it writes", "[methods]") {
  class LeadSink final : public StemSink {
   public:
    explicit LeadSink(const tests::GeneratedSource& source) : source_(source) {}
    void begin(const StemFormat&) override {}
    void write(const StemBlock& block) override {
      lead = std::max(lead, source_.position - block.begin);
      end_at = block.begin + block.stems[0].samples();
    }
    std::int64_t lead = 0, end_at = 0;

   private:
    const tests::GeneratedSource& source_;
  };
  tests::GeneratedSource source(1, 44100, 1000000, false,
                                [](int, std::int64_t t) { return 1e-7F * static_cast<float>(t); });
  LeadSink sink(source);
  chunked({10000, 2500, ChunkWindow::hann}, twice)->separate(source, sink);
  CHECK(sink.end_at == 1000000);
  CHECK(sink.lead <= 10000 + 2);
}

TEST_CASE("chunking refuses a processor that returns something else", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 500, 44100, 31);
  const ChunkSpec spec{100, 50, ChunkWindow::hann};
  check_error(Code::method_contract, {"number of stems", "expected 2, found 1"}, [&] {
    chunked(spec, [](audio::AudioView chunk, std::int64_t) {
      return std::vector{audio::AudioBuffer(chunk)};
    })->separate(mixture);
  });
  check_error(Code::method_contract, {"shape", "99"}, [&] {
    chunked(spec, [](audio::AudioView chunk, std::int64_t) {
      return std::vector<audio::AudioBuffer>(2, audio::AudioBuffer(chunk.slice(0, chunk.samples() - 1)));
    })->separate(mixture);
  });
  check_error(Code::invalid_argument, {"hop", "0"}, [&] {
    chunked({100, 0, ChunkWindow::hann}, twice)->separate(mixture);
  });
  check_error(Code::invalid_argument, {"hop", "101"}, [&] {
    chunked({100, 101, ChunkWindow::hann}, twice)->separate(mixture);
  });
}

}  // namespace mss::methods
