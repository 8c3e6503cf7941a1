// mp4, m4a and stem.mp4, decoded by libavcodec.
#include <chrono>

#include "audio/file.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

namespace {

std::string box(const std::string& type, const std::string& body) {
  std::string size = little_endian(8 + body.size(), 4);
  std::ranges::reverse(size);
  return size + type + body;
}

}  // namespace

#if MSSBENCH_HAVE_LIBAV

namespace {

const fs::path kRock = fs::path("musdb18_clips") / "train" / "Music Delta - 80s Rock.stem.mp4";
const fs::path kFalcon = fs::path("musdb18_clips") / "test" / "The Easton Ellises - Falcon 69.stem.mp4";

/// SHA-256 of the samples as interleaved 16-bit little endian; every sample must be a 16-bit value.
std::string s16le_digest(const AudioBuffer& x) {
  std::string bytes;
  bool exact = true;
  for (std::size_t i = 0; i < static_cast<std::size_t>(x.samples()); ++i) {
    for (int c = 0; c < x.channels(); ++c) {
      const float v = x.channel(c)[i] * 32768.0F;
      exact = exact && v == std::nearbyint(v) && v >= -32768.0F && v <= 32767.0F;
      bytes += little_endian(static_cast<std::uint16_t>(static_cast<std::int16_t>(v)), 2);
    }
  }
  CHECK(exact);
  return core::sha256_hex(bytes);
}

/// -10 log10 of the energy of mixture - sum of stems over the mixture's, without `skip_*` samples at the ends.
double sum_error_db(const std::vector<AudioBuffer>& streams, std::int64_t skip_front, std::int64_t skip_back) {
  const std::int64_t count = streams[0].samples() - skip_front - skip_back;
  const AudioView mixture = streams[0].view().slice(skip_front, count);
  double error = 0.0;
  for (int c = 0; c < 2; ++c) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      double rest = mixture.channel(c)[i];
      for (std::size_t s = 1; s < 5; ++s) rest -= streams[s].view().slice(skip_front, count).channel(c)[i];
      error += rest * rest;
    }
  }
  return 10.0 * std::log10(error / energy(mixture));
}

}  // namespace

TEST_CASE("stem.mp4 streams have musdb's samples and lengths", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
  const core::Value file = core::read_json_file(golden("openunmix.json"));
  for (const auto& [item, path] : {std::pair("rock", kRock), std::pair("falcon", kFalcon)}) {
    const auto& facts = file.at("real_excerpts").at("items").at(item);
    const auto streams = read_streams(data / path);
    REQUIRE(streams.size() == 5);
    for (std::size_t s = 0; s < 5; ++s) {
      CHECK(streams[s].channels() == 2);
      CHECK(streams[s].rate_hz() == 44100);
      CHECK(streams[s].samples() == facts.at("samples").as_integer());
      CHECK(s16le_digest(streams[s]) == facts.at("s16le_sha256_streams_0_4").as_array()[s].as_string());
    }
  }
  // The same hashes stand under the stems' names in the scorer's golden file: mixture, drums, bass, other, vocals.
  const core::Value scorer = core::read_json_file(golden("bsseval.json"));
  const auto& named = scorer.at("real_excerpt").at("sha256_s16le");
  const auto& listed = file.at("real_excerpts").at("items").at("rock").at("s16le_sha256_streams_0_4").as_array();
  const char* names[] = {"mix", "drums", "bass", "other", "vocals"};
  for (std::size_t s = 0; s < 5; ++s) CHECK(named.at(names[s]).as_string() == listed[s].as_string());
}

TEST_CASE("stems add up to the mixture as far as published", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
  CHECK(sum_error_db(read_streams(data / kRock), 0, 0) == Approx(-31.6).margin(0.05));
  const auto falcon = read_streams(data / kFalcon);
  CHECK(sum_error_db(falcon, 0, 0) == Approx(-15.4).margin(0.05));
  CHECK(sum_error_db(falcon, 4096, 6144) == Approx(-22.4).margin(0.05));
}

TEST_CASE("encoder delay: an edit list is followed, priming without one stays", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
  const auto rock = read_file(data / kRock), falcon = read_file(data / kFalcon);
  CHECK_FALSE(is_silent(rock.view().slice(0, 1024)));
  CHECK(is_silent(falcon.view().slice(0, 1984)));
  CHECK_FALSE(is_silent(falcon.view().slice(0, 2200)));
}

TEST_CASE("probing a stem file tells its streams", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
  const FileInfo info = probe(data / kRock);
  CHECK(info.streams == 5);  // the cover picture is none
  CHECK(info.channels == 2);
  CHECK(info.rate_hz == 44100);
  CHECK(info.samples == 299880);  // what the container says; the decoder gives 300,032
  CHECK(info.format == "mp4/aac");
}

TEST_CASE("one stream block by block equals the pass over all", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
  const auto all = read_streams(data / kRock);
  for (const int stream : {0, 3, 4}) {
    const auto source = open_file(data / kRock, stream);
    CHECK(source->channels() == 2);
    AudioBuffer out(2, all[0].samples(), 44100), block(2, 1000 + 777 * stream, 44100);
    std::int64_t at = 0;
    while (const std::int64_t n = source->read(block.span())) {
      REQUIRE(at + n <= out.samples());
      for (int c = 0; c < 2; ++c) std::copy_n(block.channel(c).data(), n, out.channel(c).data() + at);
      at += n;
    }
    CHECK(same_bits(out, all[static_cast<std::size_t>(stream)]));
  }
  const auto error = error_of([&] { open_file(data / kRock, 5); });
  REQUIRE(error);
  CHECK(error->code() == Code::invalid_argument);
  CHECK(error->parts().expected == "0 to 4");
}

TEST_CASE("a truncated stem.mp4 is an error", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
  const TempDir folder;
  const std::string whole = read_bytes(data / kRock);
  const auto path = folder / "cut.stem.mp4";
  for (const std::size_t size : {whole.size() / 2, whole.size() - 1000, std::size_t{20000}, std::size_t{40}}) {
    write_bytes(path, whole.substr(0, size));
    for (int how = 0; how < 3; ++how) {
      const auto error = error_of([&] {
        if (how == 0) probe(path);
        if (how == 1) read_file(path);
        if (how == 2) read_streams(path);
      });
      INFO(size << " bytes, way " << how);
      REQUIRE(error);
      CHECK(error->code() == Code::format);
      CHECK(error->parts().where == path.string());
      CHECK(error->parts().what.find("truncated") != std::string::npos);
      CHECK_FALSE(error->parts().expected.empty());
      CHECK(error->parts().found == std::to_string(size) + " bytes");
    }
  }
}

TEST_CASE("an mp4 whose packets end early is an error with both lengths", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
  const TempDir folder;
  std::string cut = read_bytes(data / kRock);
  const std::size_t mdat = cut.find("mdat");
  REQUIRE(mdat != std::string::npos);
  cut.resize(cut.size() / 2);
  // The box of the packets says that it is whole: only the index knows better.
  std::string size = little_endian(cut.size() - (mdat - 4), 4);
  std::ranges::reverse(size);
  cut.replace(mdat - 4, 4, size);
  const auto path = folder / "short.stem.mp4";
  write_bytes(path, cut);
  for (const bool all : {false, true}) {
    const auto error =
        error_of([&] { all ? static_cast<void>(read_streams(path)) : static_cast<void>(read_file(path)); });
    REQUIRE(error);
    CHECK(error->code() == Code::format);
    CHECK(error->parts().what.find("truncated") != std::string::npos);
    CHECK(error->parts().expected == "299880 samples");
    const long found = std::stol(error->parts().found);
    CHECK(found > 100000);
    CHECK(found < 200000);
  }
}

TEST_CASE("an mp4 without its index says so", "[audio]") {
  const TempDir folder;
  const auto path = folder / "x.m4a";
  const std::string head = box("ftyp", "M4A \0\0\2\0isomiso2");
  // A recorder that was killed: the packets' box was never closed.
  std::string cut = head + box("mdat", std::string(5000, 'x'));
  cut.resize(3000);
  write_bytes(path, cut);
  const auto error = error_of([&] { read_file(path); });
  REQUIRE(error);
  CHECK(error->code() == Code::format);
  CHECK(error->parts().what.find("moov") != std::string::npos);
  CHECK(error->parts().found == "3000 bytes");
  write_bytes(path, head + box("mdat", std::string(5000, 'x')));
  const auto whole = error_of([&] { read_file(path); });
  REQUIRE(whole);
  CHECK(whole->code() == Code::format);
  CHECK(whole->parts().where == path.string());
}

#else

TEST_CASE("without libav an mp4 is unsupported and the reason is named", "[audio]") {
  const TempDir folder;
  write_bytes(folder / "x.m4a", box("ftyp", "M4A isomiso2") + box("moov", "") + box("mdat", std::string(100, 'x')));
  const auto error = error_of([&] { read_file(folder / "x.m4a"); });
  REQUIRE(error);
  CHECK(error->code() == Code::unsupported);
  CHECK(error->parts().what.find("libavformat") != std::string::npos);
}

#endif
