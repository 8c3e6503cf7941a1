#include "audio/file.h"

#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <limits>

#include "core/error.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

namespace {

std::string floats(std::span<const float> values) {
  std::string out;
  for (const float v : values) out += little_endian(std::bit_cast<std::uint32_t>(v), 4);
  return out;
}

std::string big_endian(std::uint64_t value, int bytes) {
  std::string out = little_endian(value, bytes);
  std::ranges::reverse(out);
  return out;
}

}  // namespace

TEST_CASE("integer samples are scaled exactly", "[audio]") {
  const TempDir folder;
  std::string all16;
  for (int v = -32768; v <= 32767; ++v) all16 += little_endian(static_cast<std::uint16_t>(v), 2);
  write_bytes(folder / "16.wav", plain_wav(1, 1, 44100, 16, all16));
  const AudioBuffer x16 = read_file(folder / "16.wav");
  REQUIRE(x16.samples() == 65536);
  int wrong = 0;
  for (int v = -32768; v <= 32767; ++v) {
    wrong += x16.channel(0)[static_cast<std::size_t>(v + 32768)] != static_cast<float>(v) / 32768.0F;
  }
  CHECK(wrong == 0);

  std::string some24;
  for (int v = -8388608; v <= 8388607; v += 4099) some24 += little_endian(static_cast<std::uint32_t>(v), 3);
  write_bytes(folder / "24.wav", plain_wav(1, 1, 44100, 24, some24));
  const AudioBuffer x24 = read_file(folder / "24.wav");
  wrong = 0;
  for (std::int64_t i = 0; i < x24.samples(); ++i) {
    const auto v = static_cast<double>(-8388608 + 4099 * i);
    wrong += static_cast<double>(x24.channel(0)[static_cast<std::size_t>(i)]) != v / 8388608.0;
  }
  CHECK(x24.samples() == 4094);
  CHECK(wrong == 0);

  write_bytes(folder / "8.wav", plain_wav(1, 1, 8000, 8, std::string("\x00\x80\xFF\x81", 4)));
  const AudioBuffer x8 = read_file(folder / "8.wav");
  REQUIRE(x8.samples() == 4);
  CHECK(x8.channel(0)[0] == -1.0F);
  CHECK(x8.channel(0)[1] == 0.0F);
  CHECK(x8.channel(0)[2] == 127.0F / 128.0F);
  CHECK(x8.channel(0)[3] == 1.0F / 128.0F);
  CHECK(x8.rate_hz() == 8000);
}

TEST_CASE("float samples are taken as they are, NaN and overs included", "[audio]") {
  const TempDir folder;
  const std::vector<float> values{
      0.1F, -3.5F, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e-40F, -0.0F};
  write_bytes(folder / "f.wav", plain_wav(3, 2, 48000, 32, floats(values)));
  const AudioBuffer x = read_file(folder / "f.wav");
  REQUIRE(x.channels() == 2);
  REQUIRE(x.samples() == 3);
  CHECK(x.channel(0)[0] == 0.1F);
  CHECK(x.channel(1)[0] == -3.5F);
  CHECK(std::isnan(x.channel(0)[1]));
  CHECK(x.channel(1)[1] == std::numeric_limits<float>::infinity());
  CHECK(x.channel(0)[2] == 1e-40F);
  CHECK(std::signbit(x.channel(1)[2]));
  const SamplePosition bad = find_non_finite(x);
  CHECK(bad.channel == 0);
  CHECK(bad.sample == 1);
}

TEST_CASE("files without samples open", "[audio]") {
  const TempDir folder;
  write_bytes(folder / "none.wav", plain_wav(1, 2, 44100, 16, ""));
  CHECK(probe(folder / "none.wav").samples == 0);
  const AudioBuffer x = read_file(folder / "none.wav");
  CHECK(x.samples() == 0);
  CHECK(x.channels() == 2);
  CHECK(read_streams(folder / "none.wav").size() == 1);
}

TEST_CASE("probing tells what is there", "[audio]") {
  const TempDir folder;
  write_bytes(folder / "a.wav", plain_wav(1, 1, 8000, 16, std::string(2000, '\0')));
  const FileInfo info = probe(folder / "a.wav");
  CHECK(info.channels == 1);
  CHECK(info.rate_hz == 8000);
  CHECK(info.samples == 1000);
  CHECK(info.streams == 1);
  CHECK(info.format == "wav/pcm16");
  write_file(folder / "b.flac", noise(2, 500, 96000), {SampleFormat::pcm24});
  CHECK(probe(folder / "b.flac").format == "flac/24");
  CHECK(probe(folder / "b.flac").samples == 500);
  write_file(folder / "c.wav", noise(2, 500, 96000));
  CHECK(probe(folder / "c.wav").format == "wav/float32");
}

TEST_CASE("a stream gives the whole file's samples in any block size", "[audio]") {
  const TempDir folder;
  const AudioBuffer x = noise(2, 20011, 44100);
  write_file(folder / "x.wav", x);
  for (const std::int64_t size : {1000, 8192, 30000}) {
    const auto source = open_file(folder / "x.wav");
    CHECK(source->length() == 20011);
    AudioBuffer all(2, 20011, 44100), block(2, size, 44100);
    std::int64_t at = 0;
    while (const std::int64_t n = source->read(block.span())) {
      CHECK((n == size || at + n == 20011));
      for (int c = 0; c < 2; ++c) std::copy_n(block.channel(c).data(), n, all.channel(c).data() + at);
      at += n;
    }
    CHECK(same_bits(all, x));
    AudioBuffer mono(1, 10, 44100);
    CHECK_THROWS_AS(source->read(mono.span()), Error);
  }
  const auto error = error_of([&] { open_file(folder / "x.wav", 1); });
  REQUIRE(error);
  CHECK(error->code() == Code::invalid_argument);
}

TEST_CASE("a truncated wav is an error with both lengths", "[audio]") {
  const TempDir folder;
  for (const int channels : {1, 2}) {
    const std::string whole =
        plain_wav(1, channels, 44100, 16, std::string(static_cast<std::size_t>(2000 * channels), '\1'));
    const auto path = folder / "cut.wav";
    write_bytes(path, whole.substr(0, whole.size() - static_cast<std::size_t>(800 * channels)));
    for (int how = 0; how < 4; ++how) {
      const auto error = error_of([&] {
        if (how == 0) probe(path);
        if (how == 1) read_file(path);
        if (how == 2) open_file(path);
        if (how == 3) read_streams(path);
      });
      REQUIRE(error);
      CHECK(error->code() == Code::format);
      CHECK(error->parts().where == path.string());
      CHECK(error->parts().expected == "1000 samples");
      CHECK(error->parts().found == "600 samples");
    }
  }
  // One byte is enough.
  const std::string whole = plain_wav(3, 1, 44100, 32, std::string(400, '\0'));
  write_bytes(folder / "one.wav", whole.substr(0, whole.size() - 1));
  const auto error = error_of([&] { read_file(folder / "one.wav"); });
  REQUIRE(error);
  CHECK(error->parts().found == "99 samples");
}

TEST_CASE("wav files of unknown length and with 64-bit sizes are read", "[audio]") {
  const TempDir folder;
  const std::string data(2000, '\1');
  // What a program writes that streams into a pipe.
  write_bytes(folder / "stream.wav", plain_wav(1, 1, 44100, 16, data, 0xFFFFFFFF));
  CHECK(read_file(folder / "stream.wav").samples() == 1000);

  const auto rf64 = [&](std::uint64_t promised) {
    return "RF64" + little_endian(0xFFFFFFFF, 4) + "WAVEds64" + little_endian(28, 4) + little_endian(72 + promised, 8) +
           little_endian(promised, 8) + little_endian(promised / 2, 8) + little_endian(0, 4) + "fmt " +
           little_endian(16, 4) + little_endian(1, 2) + little_endian(1, 2) + little_endian(44100, 4) +
           little_endian(88200, 4) + little_endian(2, 2) + little_endian(16, 2) + "data" +
           little_endian(0xFFFFFFFF, 4) + data;
  };
  write_bytes(folder / "rf64.wav", rf64(2000));
  CHECK(read_file(folder / "rf64.wav").samples() == 1000);
  write_bytes(folder / "cut.wav", rf64(3000));
  const auto error = error_of([&] { read_file(folder / "cut.wav"); });
  REQUIRE(error);
  CHECK(error->parts().expected == "1500 samples");
  CHECK(error->parts().found == "1000 samples");
}

TEST_CASE("wav files that were written into a pipe are read to their end", "[audio]") {
  const TempDir folder;
  std::string data;
  for (int i = 1; i <= 1000; ++i) data += little_endian(static_cast<std::uint64_t>(i), 2);
  // What programs leave for a length that they could not go back and fill in; readers agree on the 1000 samples.
  for (const std::uint32_t size : {0U, 0x7FFFF000U, 0x7FFFFFDBU, 0x7FFFFFFFU, 0x80000000U, 0xFFFFFFDBU, 0xFFFFFFFFU}) {
    INFO(size);
    write_bytes(folder / "pipe.wav", plain_wav(1, 1, 44100, 16, data, size));
    const AudioBuffer read = read_file(folder / "pipe.wav");
    REQUIRE(read.samples() == 1000);
    CHECK(read.channel(0)[0] == 1.0F / 32768);
    CHECK(read.channel(0)[999] == 1000.0F / 32768);
    CHECK(probe(folder / "pipe.wav").samples == 1000);
    write_bytes(folder / "pipe.wav",
                plain_wav(3, 2, 44100, 32, data, size));  // 2000 bytes are 250 samples of two floats
    CHECK(read_file(folder / "pipe.wav").samples() == 250);
  }
  // A large length that is no such sign is a promise.
  write_bytes(folder / "cut.wav", plain_wav(1, 1, 44100, 16, data, 0xC0000000U));
  CHECK(error_of([&] { read_file(folder / "cut.wav"); }));
  // Without samples, and with a chunk behind it, 0 is what it says.
  write_bytes(folder / "empty.wav", plain_wav(1, 1, 44100, 16, "", 0));
  CHECK(read_file(folder / "empty.wav").samples() == 0);
  write_bytes(folder / "list.wav", plain_wav(1, 1, 44100, 16, "LIST" + little_endian(4, 4) + "INFO", 0));
  CHECK(read_file(folder / "list.wav").samples() == 0);
}

TEST_CASE("two data chunks are named: readers differ on which one counts", "[audio]") {
  const TempDir folder;
  const std::string second = "data" + little_endian(1000, 4) + std::string(1000, '\2');
  for (const auto& [first, promised] : {std::pair(std::string(2000, '\1'), "1000 samples and 500 samples"),
                                        std::pair(std::string(), "0 samples and 500 samples")}) {
    write_bytes(folder / "two.wav",
                plain_wav(1, 1, 44100, 16, first + second, static_cast<std::uint32_t>(first.size())));
    const auto error = error_of([&] { read_file(folder / "two.wav"); });
    REQUIRE(error);
    CHECK(error->code() == Code::format);
    CHECK(error->parts().what.starts_with("two data chunks"));
    CHECK(error->parts().found == promised);
  }
  // Other chunks behind the samples, and bytes that are none, are passed over.
  for (const std::string& behind : {"LIST" + little_endian(4, 4) + "INFO", std::string("\0\1\2 rest", 8)}) {
    write_bytes(folder / "one.wav", plain_wav(1, 1, 44100, 16, std::string(2000, '\1') + behind, 2000));
    CHECK(read_file(folder / "one.wav").samples() == 1000);
  }
}

TEST_CASE("excerpts and sums of sources", "[audio]") {
  const AudioBuffer x = noise(2, 5000, 8000, "x"), y = noise(2, 5000, 8000, "y");
  const auto view = [](const AudioBuffer& a) { return std::make_unique<ViewSource>(a.view()); };
  const auto part = [&](std::int64_t first, std::int64_t samples) {
    const auto source = excerpt(view(x), first, samples, "x");
    const std::int64_t length = source->length().value();
    const AudioBuffer read = read_all(*source);
    CHECK(read.samples() == length);
    return read;
  };
  CHECK(same_bits(part(0, -1), x));
  CHECK(same_bits(part(1234, 777), AudioBuffer(x.view().slice(1234, 777))));
  CHECK(same_bits(part(4999, 10), AudioBuffer(x.view().slice(4999, 1))));
  const auto error = error_of([&] { part(5000, 1); });
  REQUIRE(error);
  CHECK(error->parts().where == "x");
  CHECK(error->parts().expected == "a start before 0.625 s");
  std::vector<std::unique_ptr<Source>> terms;
  terms.push_back(view(x));
  terms.push_back(view(y));
  const auto both = sum(std::move(terms));
  AudioBuffer expected = x;
  add_to(expected.span(), y);
  CHECK(same_bits(read_all(*both), expected));
}

TEST_CASE("a truncated aiff is an error with both lengths", "[audio]") {
  const TempDir folder;
  const std::string rate44100("\x40\x0E\xAC\x44\x00\x00\x00\x00\x00\x00", 10);  // 80-bit extended
  const auto aiff = [&](int promised, int there) {
    const std::string body(static_cast<std::size_t>(2 * there), '\0');
    return "FORM" + big_endian(static_cast<std::uint64_t>(46 + 2 * promised), 4) + "AIFFCOMM" + big_endian(18, 4) +
           big_endian(1, 2) + big_endian(static_cast<std::uint64_t>(promised), 4) + big_endian(16, 2) + rate44100 +
           "SSND" + big_endian(static_cast<std::uint64_t>(8 + 2 * promised), 4) + std::string(8, '\0') + body;
  };
  write_bytes(folder / "good.aiff", aiff(100, 100));
  CHECK(read_file(folder / "good.aiff").samples() == 100);
  CHECK(probe(folder / "good.aiff").rate_hz == 44100);
  write_bytes(folder / "cut.aiff", aiff(100, 60));
  const auto error = error_of([&] { read_file(folder / "cut.aiff"); });
  REQUIRE(error);
  CHECK(error->code() == Code::format);
  CHECK(error->parts().expected == "100 samples");
  CHECK(error->parts().found == "60 samples");
}

TEST_CASE("a truncated flac is an error with both lengths", "[audio]") {
  const TempDir folder;
  write_file(folder / "whole.flac", noise(2, 50000, 44100), {SampleFormat::pcm16});
  const std::string whole = read_bytes(folder / "whole.flac");
  for (const double part : {0.3, 0.6, 0.99}) {
    const auto path = folder / "cut.flac";
    write_bytes(path, whole.substr(0, static_cast<std::size_t>(part * static_cast<double>(whole.size()))));
    const auto error = error_of([&] { read_file(path); });
    REQUIRE(error);
    CHECK(error->code() == Code::format);
    CHECK(error->parts().where == path.string());
    CHECK(error->parts().expected == "50000 samples");
    const long found = std::stol(error->parts().found);
    CHECK(found < 50000);
    CHECK(found > static_cast<long>(part * 50000) - 10000);
  }
}

TEST_CASE("damaged headers are format errors", "[audio]") {
  const TempDir folder;
  const std::string whole = plain_wav(1, 1, 44100, 16, std::string(200, '\0'));
  for (const std::size_t size : {0, 3, 12, 20, 36, 40}) {
    write_bytes(folder / "head.wav", whole.substr(0, size));
    const auto error = error_of([&] { read_file(folder / "head.wav"); });
    INFO(size << " bytes");
    REQUIRE(error);
    CHECK(error->code() == Code::format);
    CHECK(error->parts().where == (folder / "head.wav").string());
  }
  write_bytes(folder / "zero.wav", plain_wav(1, 0, 44100, 16, std::string(200, '\0')));
  const auto none = error_of([&] { read_file(folder / "zero.wav"); });
  REQUIRE(none);
  CHECK(none->code() == Code::format);
}

TEST_CASE("what is no audio says so", "[audio]") {
  const TempDir folder;
  write_bytes(folder / "text.wav", "This is a text, not a sound.\nIt has two lines.\n");
  std::string random;
  KeyedUniform u("bytes");
  for (int i = 0; i < 4096; ++i) random.push_back(static_cast<char>(256.0 * u()));
  write_bytes(folder / "random.flac", random);
  // A picture of one pixel.
  write_bytes(folder / "p.pgm", "P5 1 1 255\n\x7F");
  for (const char* name : {"text.wav", "random.flac", "p.pgm"}) {
    const auto error = error_of([&] { read_file(folder / name); });
    INFO(name);
    REQUIRE(error);
    CHECK(error->code() == Code::format);
    CHECK(error->parts().what.find("not an audio file") != std::string::npos);
    CHECK(error->parts().where == (folder / name).string());
  }
}

TEST_CASE("files that cannot be read give the system's reason", "[audio]") {
  const TempDir folder;
  const auto missing = error_of([&] { read_file(folder / "missing.wav"); });
  REQUIRE(missing);
  CHECK(missing->code() == Code::io);
  CHECK(std::string(missing->what()).find("No such file") != std::string::npos);
  const auto directory = error_of([&] { probe(folder.path()); });
  REQUIRE(directory);
  CHECK(directory->code() == Code::io);
  CHECK(std::string(directory->what()).find("directory") != std::string::npos);
}

TEST_CASE("a file without permission is an io error", "[audio]") {
  const TempDir folder;
  const auto path = folder / "secret.wav";
  write_bytes(path, plain_wav(1, 1, 44100, 16, std::string(200, '\0')));
  fs::permissions(folder.path(), fs::perms::all);
  fs::permissions(path, fs::perms::none);
  // Root may read everything, so an unprivileged child tries.
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (geteuid() == 0 && setuid(65534) != 0) _exit(9);
    const auto error = error_of([&] { read_file(path); });
    const bool good =
        error && error->code() == Code::io && std::string(error->what()).find("Permission denied") != std::string::npos;
    _exit(good ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("real flac, wav and mp3 files are read", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
  const FileInfo wav = probe(data / "librispeech" / "librispeech-1995-1837-0001.wav");
  CHECK(wav.rate_hz == 16000);
  CHECK(wav.channels == 1);
  CHECK(read_file(data / "librispeech" / "librispeech-1995-1837-0001.wav").samples() == 139680);
  int flacs = 0;
  for (const auto& entry : fs::recursive_directory_iterator(data / "evr_cc0" / "test")) {
    if (entry.path().filename() != "mixture.flac") continue;
    ++flacs;
    const AudioBuffer mixture = read_file(entry.path());
    CHECK(mixture.samples() == 882000);
    // The mixtures are exact integer sums of the stems.
    AudioBuffer sum(2, 882000, 44100);
    for (const char* stem : {"drums.flac", "bass.flac", "other.flac", "vocals.flac"}) {
      add_to(sum.span(), read_file(entry.path().parent_path() / stem));
    }
    CHECK(same_bits(sum, mixture));
  }
  CHECK(flacs == 3);
  const AudioBuffer speech = read_file(data / "librispeech" / "1320_00000.mp3");
  CHECK(speech.rate_hz() == 16000);
  CHECK(speech.seconds() == Approx(5.0).margin(0.1));
  CHECK(energy(speech) > 1.0);
}
