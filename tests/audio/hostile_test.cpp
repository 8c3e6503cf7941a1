// Files made to hold a reader, or to make it read something else.
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "audio/file.h"
#include "core/error.h"
#include "core/measure.h"
#include "core/stop.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

namespace {

std::string refusal(const fs::path& path, Code code) {
  for (int way = 0; way < 3; ++way) {
    try {
      if (way == 0) probe(path);
      if (way == 1) open_file(path);
      if (way == 2) read_streams(path);
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.code() == code);
      CHECK(error.parts().where == path.string());
      if (way == 2) return error.what();
    }
  }
  return "";
}

}  // namespace

TEST_CASE("playlists are not followed, whatever their name", "[audio]") {
  const TempDir folder;
  write_file(folder / "a.wav", noise(1, 4410, 44100));
  const std::string head = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n";
  const std::vector<std::pair<std::string, std::string>> playlists = {
      {"live.wav", head + "#EXTINF:10,\na.wav\n"},  // libavformat would wait for more of it
      {"self.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nself.m3u8\n"},
      {"other.mp3", head + "#EXTINF:10,\n" + (folder / "a.wav").string() + "\n#EXT-X-ENDLIST\n"},
      {"concat.flac", "ffconcat version 1.0\nfile a.wav\n"},
      {"plain.m3u", "#EXTM3U\na.wav\n"},
      {"a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"},
      {"dash.mp4", "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"x\"></MPD>"}};
  for (const auto& [name, text] : playlists) {
    INFO(name);
    write_bytes(folder / name, text);
    CHECK(refusal(folder / name, Code::format).find("not an audio file") != std::string::npos);
  }
}

TEST_CASE("FIFOs, devices and folders are refused by what they are", "[audio]") {
  const TempDir folder;
  REQUIRE(mkfifo((folder / "fifo.wav").c_str(), 0600) == 0);
  CHECK(refusal(folder / "fifo.wav", Code::io).find("FIFO") != std::string::npos);
  CHECK(refusal("/dev/zero", Code::io).find("device") != std::string::npos);
  CHECK(refusal(folder.path(), Code::io).find("Is a directory") != std::string::npos);
}

TEST_CASE("an index that promises more packets than there are bytes is refused", "[audio]") {
  const auto box = [](const std::string& type, const std::string& body) {
    const auto size = static_cast<std::uint32_t>(body.size() + 8);
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 255);
    return out + type + body;
  };
  const std::string huge("\0\0\0\0\0\0\0\x10\x7f\xff\xff\xff", 12);
  const auto file = [&](const std::string& table) {
    return box("ftyp", "isom") + box("moov", box("trak", box("mdia", box("minf", box("stbl", table)))));
  };
  const TempDir folder;
  write_bytes(folder / "a.mp4", file(box("stsz", huge)));
  CHECK(refusal(folder / "a.mp4", Code::format).find("stsz table promises") != std::string::npos);
  const std::string runs("\0\0\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0\0\x01", 16);
  write_bytes(folder / "b.mp4", file(box("stts", runs)));
  CHECK(refusal(folder / "b.mp4", Code::format).find("stts table promises") != std::string::npos);
}

TEST_CASE("reading ends on a stop request of the reading thread", "[audio]") {
  const TempDir folder;
  write_file(folder / "a.wav", noise(1, 44100, 44100));
  const auto source = open_file(folder / "a.wav");
  core::StopSource stop;
  const core::StopScope scope(stop.token());
  AudioBuffer block(1, 1000, 44100);
  CHECK(source->read(block.span()) == 1000);
  stop.request_stop();
  try {
    source->read(block.span());
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == Code::cancelled);
  }
}

TEST_CASE("a chunk that claims gigabytes before the samples is refused before memory is taken for it", "[audio]") {
  const TempDir folder;
  write_file(folder / "a.wav", noise(1, 100, 44100), {SampleFormat::pcm16});
  std::string bytes = read_bytes(folder / "a.wav");
  bytes.insert(12, std::string("LIST\xff\xff\xff\xffINFOISFT", 16));
  write_bytes(folder / "b.wav", bytes);
  CHECK(refusal(folder / "b.wav", Code::format).find("beyond the end of the file") != std::string::npos);
  // Without its format the file is libav's, which is kept from taking 1.1 GB for one text.
  bytes = read_bytes(folder / "a.wav");
  bytes.replace(bytes.find("fmt "), 4, "SSND");
  bytes.insert(bytes.find("data"), std::string("LIST\xff\xff\xff\xffINFOISFTSSND", 20));
  write_bytes(folder / "c.wav", bytes);
#if MSSBENCH_HAVE_LIBAV
  const std::int64_t before = core::peak_rss_bytes();
  refusal(folder / "c.wav", Code::format);
  CHECK(core::peak_rss_bytes() - before < (std::int64_t{64} << 20));
#endif
}
