#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cmath>
#include <limits>

#include "audio/file.h"
#include "core/error.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

namespace {

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

/// x rounded to multiples of 2^-(bits - 1), so that an integer format holds it exactly.
AudioBuffer on_grid(AudioBuffer x, int bits) {
  const float scale = std::ldexp(1.0F, bits - 1);
  for (int c = 0; c < x.channels(); ++c) {
    for (float& v : x.channel(c)) v = std::nearbyint(v * scale) / scale;
  }
  return x;
}

}  // namespace

TEST_CASE("every format comes back exactly", "[audio]") {
  const TempDir folder;
  for (const int channels : {1, 2, 5}) {
    for (const int rate : {8000, 44100, 96000}) {
      for (const std::int64_t samples : {0, 1, 777, 20001}) {
        const AudioBuffer x = noise(channels, samples, rate);
        CHECK(write_file(folder / "f.wav", x) == 0);
        CHECK(same_bits(read_file(folder / "f.wav"), x));
        for (const auto& [name, format, bits] :
             {std::tuple("a.wav", SampleFormat::pcm16, 16), std::tuple("b.wav", SampleFormat::pcm24, 24),
              std::tuple("c.flac", SampleFormat::pcm16, 16), std::tuple("d.flac", SampleFormat::pcm24, 24)}) {
          const AudioBuffer exact = on_grid(x, bits);
          CHECK(write_file(folder / name, exact, {format}) == 0);
          INFO(name << " " << channels << " x " << samples << " at " << rate);
          CHECK(same_bits(read_file(folder / name), exact));
        }
      }
    }
  }
  CHECK(entries(folder.path()) == 5);
}

TEST_CASE("float wav keeps NaN, infinity and overs", "[audio]") {
  const TempDir folder;
  AudioBuffer x(1, 4, 44100);
  x.channel(0)[0] = std::numeric_limits<float>::quiet_NaN();
  x.channel(0)[1] = -std::numeric_limits<float>::infinity();
  x.channel(0)[2] = 17.5F;
  x.channel(0)[3] = 1e-42F;
  CHECK(write_file(folder / "x.wav", x) == 0);
  CHECK(same_bits(read_file(folder / "x.wav"), x));
}

TEST_CASE("integer formats round to nearest, clip and count", "[audio]") {
  const TempDir folder;
  const std::vector<float> in{0.4F / 32768,     0.6F / 32768, -0.6F / 32768,
                              1.5F / 32768,     2.5F / 32768, 1.0F,
                              32767.4F / 32768, -1.0F,        -1.00002F,
                              -1.0001F,         7.0F,         std::numeric_limits<float>::quiet_NaN()};
  const std::vector<float> out{0, 1, -1, 2, 2, 32767, 32767, -32768, -32768, -32768, 32767, 0};
  AudioBuffer x(1, static_cast<std::int64_t>(in.size()), 44100);
  std::ranges::copy(in, x.channel(0).begin());
  for (const char* name : {"x.wav", "x.flac"}) {
    // 1.0, -1.00002 (which rounds to -32769), -1.0001, 7.0 and NaN do not fit.
    CHECK(write_file(folder / name, x, {SampleFormat::pcm16}) == 5);
    const AudioBuffer y = read_file(folder / name);
    for (std::size_t i = 0; i < out.size(); ++i) {
      INFO(name << " sample " << i);
      CHECK(y.channel(0)[i] * 32768.0F == out[i]);
    }
    CHECK(write_file(folder / name, x, {SampleFormat::pcm24}) == 5);
  }
}

TEST_CASE("blocks make the same file as one write, and equal audio equal bytes", "[audio]") {
  const TempDir folder;
  const AudioBuffer x = on_grid(noise(2, 30001, 44100), 16);
  for (const char* name : {"x.wav", "x.flac"}) {
    const WriteOptions options{std::string(name) == "x.wav" ? SampleFormat::float32 : SampleFormat::pcm16};
    write_file(folder / name, x, options);
    const std::string once = read_bytes(folder / name);
    write_file(folder / name, x, options);
    CHECK(read_bytes(folder / name) == once);
    Writer writer(folder / name, 2, 44100, options);
    for (std::int64_t i = 0; i < x.samples(); i += 997) {
      writer.write(x.view().slice(i, std::min<std::int64_t>(997, x.samples() - i)));
    }
    CHECK(writer.finish() == 0);
    CHECK(read_bytes(folder / name) == once);
    CHECK(once.find("PEAK") == std::string::npos);
  }
}

TEST_CASE("a file appears when it is finished, not before", "[audio]") {
  const TempDir folder;
  for (const char* name : {"x.wav", "x.flac"}) {
    const WriteOptions options{SampleFormat::pcm16};
    {
      Writer writer(folder / name, 1, 44100, options);
      writer.write(noise(1, 5000, 44100));
      CHECK_FALSE(fs::exists(folder / name));
      CHECK(entries(folder.path()) == 1);
    }
    CHECK(entries(folder.path()) == 0);  // abandoned: nothing is left

    write_bytes(folder / name, "older");
    {
      Writer writer(folder / name, 1, 44100, options);
      writer.write(noise(1, 5000, 44100));
      Writer moved(std::move(writer));
      CHECK_THROWS_AS(moved.write(noise(2, 10, 44100)), Error);
      CHECK_THROWS_AS(moved.write(noise(1, 10, 48000)), Error);
      CHECK(read_bytes(folder / name) == "older");
      moved.finish();
      CHECK_THROWS_AS(moved.finish(), Error);
      CHECK_THROWS_AS(moved.write(noise(1, 10, 44100)), Error);
    }
    CHECK(read_file(folder / name).samples() == 5000);
    CHECK(entries(folder.path()) == 1);
    fs::remove(folder / name);
  }
}

TEST_CASE("what cannot be written is refused", "[audio]") {
  const TempDir folder;
  const AudioBuffer x = noise(1, 10, 44100);
  const auto code = [&](const std::string& name, const AudioBuffer& audio, WriteOptions options) {
    const auto error = error_of([&] { write_file(folder / name, audio, options); });
    return error ? std::string(core::code_name(error->code())) : std::string("none");
  };
  CHECK(code("x.wma", x, {}) == "unsupported");
  CHECK(code("x", x, {}) == "unsupported");
  CHECK(code("x.flac", x, {}) == "unsupported");
  CHECK(code("x.flac", noise(9, 10, 44100), {SampleFormat::pcm16}) == "unsupported");
  CHECK(code("x.wav", AudioBuffer(0, 10, 44100), {}) == "invalid_argument");
  CHECK(code("no/such/folder/x.wav", x, {}) == "io");
  CHECK(code("X.WAV", x, {}) == "none");
  const auto error = error_of([&] { write_file(folder / "no" / "x.wav", x); });
  REQUIRE(error);
  CHECK(error->parts().where == (folder / "no" / "x.wav").string());
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a write that the system refuses is an io error and leaves nothing", "[audio]") {
  const TempDir folder;
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  for (const char* name : {"x.wav", "x.flac"}) {
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    const rlimit small{65536, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const auto error = error_of([&] { write_file(folder / name, noise(2, 200000, 44100), {SampleFormat::pcm16}); });
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    REQUIRE(error);
    CHECK(error->code() == Code::io);
    CHECK(error->parts().where == (folder / name).string());
    CHECK(std::string(error->what()).find("File too large") != std::string::npos);
    CHECK(entries(folder.path()) == 0);
  }
}

TEST_CASE("a full disk is an io error and leaves nothing", "[audio]") {
  const TempDir folder;
  const fs::path disk = folder / "disk";
  fs::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=128k") != 0) {
    WARN("SKIPPED: mounting a small disk needs root");
    return;
  }
  for (const char* name : {"x.wav", "x.flac"}) {
    const auto error = error_of([&] { write_file(disk / name, noise(2, 200000, 44100), {SampleFormat::pcm24}); });
    CHECK(error);
    if (!error) continue;
    CHECK(error->code() == Code::io);
    CHECK(error->parts().where == (disk / name).string());
    CHECK(std::string(error->what()).find("No space left") != std::string::npos);
    CHECK(entries(disk) == 0);
  }
  CHECK(umount(disk.c_str()) == 0);
}

TEST_CASE("mp3 and m4a come back with their length, place and sound", "[audio]") {
  const TempDir folder;
  for (const char* extension : {".mp3", ".m4a"}) {
    if (!can_write(extension)) {
      WARN("SKIPPED: no encoder for " << extension);
      CHECK_THROWS_AS(write_file(folder / (std::string("x") + extension), noise(2, 100, 44100)), Error);
      continue;
    }
    INFO(extension);
    const fs::path path = folder / (std::string("x") + extension);
    for (const int channels : {1, 2}) {
      for (const std::int64_t samples : {1000, 44100, 100001}) {
        INFO(channels << " channels, " << samples << " samples");
        AudioBuffer x(channels, samples, 44100);
        for (int c = 0; c < channels; ++c) {
          const AudioBuffer wave = tone(440.0 * (c + 1), samples, 44100, 0.4);
          std::ranges::copy(wave.channel(0), x.channel(c).begin());
        }
        CHECK(write_file(path, x, {.bitrate_kbps = 256}) == 0);
        const AudioBuffer back = read_file(path);
        CHECK(back.channels() == channels);
        CHECK(back.rate_hz() == 44100);
        // The last frame of AAC comes back whole: readers follow the container's edit list in front, not at the end.
        REQUIRE(back.samples() >= samples);
        CHECK(back.samples() < samples + (extension == std::string_view(".mp3") ? 1 : 1024));
        double error = 0;
        for (int c = 0; c < channels; ++c) {
          for (std::int64_t i = samples / 4; i < 3 * samples / 4; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const double d = static_cast<double>(back.channel(c)[at]) - static_cast<double>(x.channel(c)[at]);
            error += d * d;
          }
        }
        if (samples > 10000) CHECK(error < 1e-3 * energy(x.view().slice(samples / 4, samples / 2)));
      }
    }
    // What is beyond full scale is clipped and counted.
    AudioBuffer loud = tone(100, 4410, 44100, 2.0);
    CHECK(write_file(path, loud) > 2000);
    // Equal audio gives equal bytes.
    const auto bytes = [&](const char* name) {
      const fs::path file = folder / (std::string(name) + extension);
      write_file(file, tone(440, 20000, 44100));
      return core::sha256_file(file);
    };
    CHECK(bytes("a") == bytes("b"));
    const auto error = error_of([&] { write_file(folder / (std::string("r") + extension), noise(2, 100, 44099)); });
    REQUIRE(error);
    CHECK(error->code() == Code::unsupported);
    CHECK(error->parts().found == "44099 Hz");
    CHECK(error_of([&] { write_file(folder / (std::string("c") + extension), noise(9, 100, 44100)); }));
  }
  CHECK(entries(folder.path()) <= 6);  // nothing half-written
}
