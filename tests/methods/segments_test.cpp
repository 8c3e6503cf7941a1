#include "methods/segments.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "tests/methods/support.h"
#include "tests/support/catch.h"

namespace mss::methods {
namespace {

using audio::ChunkWindow;
using tests::check_error;
using tests::noise;
using tests::toy_info;
using tests::ToyMethod;

constexpr std::int64_t kContext = 13;

std::unique_ptr<Separator> in_segments(const SegmentSpec& spec, SegmentProcessor<float> process) {
  return std::make_unique<ToyMethod>(
      toy_info({"a", "b"}),
      [spec, process = std::move(process)](audio::Source& mixture, StemSink& sink, Context& context) {
        separate_in_segments(mixture, sink, spec, context, process);
      });
}

/// The segment itself, `copies` times.
template <class T>
Rows<T> identity(const Segment<T>& segment, int copies) {
  Rows<T> rows;
  for (int i = 0; i < copies; ++i) {
    for (const std::vector<T>& x : segment.audio) {
      rows.emplace_back(x.begin() + segment.before, x.begin() + segment.before + segment.samples);
    }
  }
  return rows;
}

void twice(std::span<Segment<float>> batch, const EmitRows<float>& emit) {
  for (std::size_t i = 0; i < batch.size(); ++i) emit(static_cast<std::int64_t>(i), identity(batch[i], 2));
}

/// The track through the engine, in double.
Rows<double> through(const SegmentSpec& spec, const Rows<double>& track, const SegmentProcessor<double>& process,
                     std::int64_t rows) {
  std::size_t at = 0;
  const ReadRows<double> read = [&](std::span<double* const> places, std::int64_t count) {
    const std::size_t n = std::min(static_cast<std::size_t>(count), track[0].size() - at);
    for (std::size_t c = 0; c < track.size(); ++c)
      std::copy_n(track[c].begin() + static_cast<std::ptrdiff_t>(at), n, places[c]);
    at += n;
    return static_cast<std::int64_t>(n);
  };
  Rows<double> out(static_cast<std::size_t>(rows));
  const std::int64_t length = run_segments<double>(spec, static_cast<int>(track.size()), rows, read, process,
                                                   [&](std::int64_t begin, const Rows<double>& part) {
                                                     CHECK(begin == static_cast<std::int64_t>(out[0].size()));
                                                     for (std::size_t r = 0; r < part.size(); ++r)
                                                       out[r].insert(out[r].end(), part[r].begin(), part[r].end());
                                                   });
  CHECK(length == static_cast<std::int64_t>(track[0].size()));
  return out;
}

}  // namespace

TEST_CASE("the identity comes back from segments to -300 dB in double, for every hop, window and batch", "[methods]") {
  double worst = 0.0;
  for (const std::int64_t size : {1, 2, 7, 100, 1000}) {
    std::vector<std::vector<double>> windows{{}};
    for (const double power : {1.0, 2.5}) windows.push_back(transition_weights(size, power));
    for (const std::int64_t hop : {std::int64_t{1}, size / 4, size / 2, size * 3 / 4, size}) {
      if (hop < 1 || size / hop > 8) continue;
      for (const auto& weights : windows) {
        for (const std::int64_t samples : {std::int64_t{1}, size - 1, size, size + 1, hop + size, 3 * size + 5}) {
          if (samples < 1) continue;
          for (const std::int64_t batch : {1, 3}) {
            for (const bool every_hop : {false, true}) {
              const SegmentSpec spec{size, hop, 3, 5, weights, every_hop, batch};
              Rows<double> track(2, std::vector<double>(static_cast<std::size_t>(samples)));
              core::Rng rng(9, 0);
              for (auto& row : track) {
                for (double& v : row) v = rng.uniform(-1.0, 1.0);
              }
              const Rows<double> found = through(
                  spec, track,
                  [](std::span<Segment<double>> b, const EmitRows<double>& emit) {
                    for (std::size_t i = 0; i < b.size(); ++i) emit(static_cast<std::int64_t>(i), identity(b[i], 1));
                  },
                  2);
              REQUIRE(found[1].size() == track[1].size());
              for (std::size_t c = 0; c < 2; ++c) {
                for (std::size_t t = 0; t < track[c].size(); ++t) {
                  worst = std::max(worst, std::abs(found[c][t] - track[c][t]));
                }
              }
            }
          }
        }
      }
    }
  }
  CHECK(worst <= 1e-15);
}

TEST_CASE("a method in segments returns the mixture to -120 dB for the identity", "[methods]") {
  for (const ChunkWindow window :
       {ChunkWindow::rectangular, ChunkWindow::triangle, ChunkWindow::hann, ChunkWindow::linear_fade}) {
    for (const std::int64_t samples : {1, 999, 1000, 1001, 1500, 4321}) {
      CAPTURE(static_cast<int>(window), samples);
      const SegmentSpec spec{1000, 300, 7, 7, segment_weights({1000, 300, window}), false, 2};
      const audio::AudioBuffer mixture = noise(2, samples, 44100, 30);
      const StemSet stems = in_segments(spec, twice)->separate(mixture);
      REQUIRE(stems.audio.size() == 2);
      CHECK(tests::error_db(stems.audio[0], mixture) <= -120);
      CHECK(tests::error_db(stems.audio[1], mixture) <= -120);
    }
  }
}

TEST_CASE("segments lie where they should, with the track around them and zeros beyond its ends", "[methods]") {
  for (const bool announced : {true, false}) {
    for (const bool every_hop : {true, false}) {
      for (const std::int64_t samples : {1, 12, 99, 100, 101, 113, 114, 160, 161, 180, 1000}) {
        SegmentSpec spec{100, 60, kContext, kContext + 1, transition_weights(100, 1.0), every_hop, 4};
        std::vector<audio::Chunk> seen;
        const auto method = in_segments(spec, [&](std::span<Segment<float>> batch, const EmitRows<float>& emit) {
          for (const Segment<float>& s : batch) {
            CHECK(s.index == static_cast<std::int64_t>(seen.size()));
            seen.push_back({s.begin, s.samples});
            REQUIRE(s.before + s.samples + s.after == static_cast<std::int64_t>(s.audio[0].size()));
            bool right = true;
            for (std::size_t i = 0; i < s.audio[0].size(); ++i) {
              const std::int64_t t = s.begin - s.before + static_cast<std::int64_t>(i);
              const float expected = t >= 0 && t < samples ? static_cast<float>(t + 1) : 0.0F;
              right = right && s.audio[0][i] == expected;
            }
            CHECK(right);
          }
          twice(batch, emit);
        });
        tests::GeneratedSource source(1, 44100, samples, announced,
                                      [](int, std::int64_t t) { return static_cast<float>(t + 1); });
        CollectSink sink;
        method->separate(source, sink);
        std::vector<audio::Chunk> planned;
        if (every_hop) {
          for (std::int64_t b = 0; b < samples; b += 60)
            planned.push_back({b, std::min<std::int64_t>(100, samples - b)});
        } else {
          planned = audio::plan_chunks({100, 60, ChunkWindow::triangle}, samples);
        }
        CAPTURE(announced, samples, every_hop);
        REQUIRE(seen.size() == planned.size());
        for (std::size_t i = 0; i < seen.size(); ++i) {
          CHECK(seen[i].begin == planned[i].begin);
          CHECK(seen[i].samples == planned[i].samples);
        }
      }
    }
  }
}

TEST_CASE("joined stems are weighted averages of what the segments say", "[methods]") {
  // Segments of 4 every 2 with equal weights yield their number: overlaps average two neighbours.
  const auto numbers = [](std::span<Segment<float>> batch, const EmitRows<float>& emit) {
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto n = static_cast<std::size_t>(batch[i].samples);
      emit(static_cast<std::int64_t>(i), Rows<float>(2, std::vector<float>(n, static_cast<float>(batch[i].index))));
    }
  };
  const StemSet stems = in_segments({4, 2, 0, 0, {}, false, 1}, numbers)->separate(audio::AudioBuffer(1, 9, 44100));
  const std::vector<float> expected{0, 0, 0.5F, 0.5F, 1.5F, 1.5F, 2.5F, 2.5F, 3};
  CHECK(std::ranges::equal(stems.audio[0].channel(0), expected));
  // With a segment at every hop there is one more, of one sample, which the one before it ends beside.
  const StemSet more = in_segments({4, 2, 0, 0, {}, true, 3}, numbers)->separate(audio::AudioBuffer(1, 9, 44100));
  CHECK(more.audio[0].channel(0)[7] == 2.5F);
  CHECK(more.audio[0].channel(0)[8] == 3.5F);
}

TEST_CASE("transition weights are Demucs'", "[methods]") {
  CHECK(transition_weights(8, 1.0) == std::vector<double>{0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25});
  const std::vector<double> odd = transition_weights(9, 1.0);
  REQUIRE(odd.size() == 9);
  CHECK(odd[0] == Approx(0.2));
  CHECK(odd[3] == Approx(0.8));
  CHECK(odd[4] == 1.0);
  CHECK(odd[8] == Approx(0.2));
  CHECK(transition_weights(8, 2.0)[1] == Approx(0.25));
}

TEST_CASE("the engine reads no more than a batch and its context ahead of what it writes", "[methods]") {
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
  in_segments({10000, 2500, 0, 100, {}, false, 3}, twice)->separate(source, sink);
  CHECK(sink.end_at == 1000000);
  CHECK(sink.lead <= 10000 + 2 * 2500 + 100 + 2);
}

TEST_CASE("the engine works in the same memory from the first batches to the last", "[methods]") {
  // What is let go for a moment is taken by others here, so that no block comes back by chance.
  std::vector<std::vector<float>> others;
  const SegmentSpec spec{5000, 2000, 10, 10, transition_weights(5000, 1.0), false, 3};
  std::set<const float*> places;
  std::vector<std::size_t> seen;  // places known after each batch
  std::vector<Rows<float>> answers(3, Rows<float>(2, std::vector<float>(5000)));
  class PlaceSink final : public StemSink {
   public:
    explicit PlaceSink(std::set<const float*>& places) : places_(places) {}
    void begin(const StemFormat&) override {}
    void write(const StemBlock& block) override {
      for (const audio::AudioView& stem : block.stems) places_.insert(stem.channel(0).data());
    }

   private:
    std::set<const float*>& places_;
  };
  PlaceSink sink(places);
  const ToyMethod method(toy_info({"a", "b"}), [&](audio::Source& mixture, StemSink& out, Context& context) {
    separate_in_segments(mixture, out, spec, context,
                         [&](std::span<Segment<float>> batch, const EmitRows<float>& emit) {
                           for (std::size_t i = 0; i < batch.size(); ++i) {
                             places.insert(batch[i].audio[0].data());
                             for (std::vector<float>& row : answers[i])
                               row.resize(static_cast<std::size_t>(batch[i].samples));
                             emit(static_cast<std::int64_t>(i), answers[i]);
                           }
                           for (const std::int64_t size : {2000, 4000, 5000, 5020})
                             others.emplace_back(static_cast<std::size_t>(size));
                           seen.push_back(places.size());
                         });
  });
  tests::GeneratedSource source(1, 44100, 200'000, true,
                                [](int, std::int64_t t) { return 1e-7F * static_cast<float>(t); });
  method.separate(source, sink);
  REQUIRE(seen.size() > 30);
  CHECK(seen.back() == seen[2]);
}

TEST_CASE("the engine refuses sizes that make no sense and answers that do not fit", "[methods]") {
  const audio::AudioBuffer mixture = noise(1, 500, 44100, 31);
  const auto with = [&](SegmentSpec spec) { in_segments(spec, twice)->separate(mixture); };
  check_error(Code::invalid_argument, {"hop", "0"}, [&] { with({.segment_samples = 100, .hop_samples = 0}); });
  check_error(Code::invalid_argument, {"hop", "101"}, [&] { with({.segment_samples = 100, .hop_samples = 101}); });
  check_error(Code::invalid_argument, {"weights", "100", "3"}, [&] {
    with({.segment_samples = 100, .hop_samples = 50, .weights = {1, 1, 1}});
  });
  check_error(Code::invalid_argument, {"weight", "above 0"}, [&] {
    with({.segment_samples = 2, .hop_samples = 1, .weights = {1, 0}});
  });
  check_error(Code::invalid_argument, {"batch"},
              [&] { with({.segment_samples = 100, .hop_samples = 50, .batch = 0}); });
  const SegmentSpec spec{.segment_samples = 100, .hop_samples = 50, .batch = 2};
  const auto answer = [&](SegmentProcessor<float> process) {
    in_segments(spec, std::move(process))->separate(mixture);
  };
  check_error(Code::method_contract, {"rows", "expected 2, found 1"}, [&] {
    answer([](std::span<Segment<float>> b, const EmitRows<float>& emit) { emit(0, identity(b[0], 1)); });
  });
  check_error(Code::method_contract, {"length", "99"}, [&] {
    answer([](std::span<Segment<float>>, const EmitRows<float>& emit) {
      emit(0, Rows<float>(2, std::vector<float>(99)));
    });
  });
  check_error(Code::method_contract, {"segment"}, [&] {
    answer([](std::span<Segment<float>> b, const EmitRows<float>& emit) { emit(1, identity(b[1], 2)); });
  });
  check_error(Code::method_contract, {"answered for", "2", "1"}, [&] {
    answer([](std::span<Segment<float>> b, const EmitRows<float>& emit) { emit(0, identity(b[0], 2)); });
  });
}

}  // namespace mss::methods
