// Foreign bytes: whatever a file holds, reading it ends in samples or in an Error.
#include "audio/file.h"
#include "core/error.h"
#include "tests/audio/support.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::audio;
using namespace mss::tests;

namespace {

/// Changes 1 to 4 bytes of the first `head` bytes, or cuts the file, or both.
std::string damaged(const std::string& whole, std::size_t head, KeyedUniform& u) {
  std::string bytes = whole;
  const int changes = 1 + static_cast<int>(4.0 * u());
  for (int i = 0; i < changes; ++i) {
    const auto at = static_cast<std::size_t>(u() * static_cast<double>(std::min(head, bytes.size())));
    const double kind = u();
    bytes[at] = kind < 0.2 ? '\xFF' : (kind < 0.4 ? '\0' : static_cast<char>(256.0 * u()));
  }
  if (u() < 0.3) bytes.resize(static_cast<std::size_t>(u() * static_cast<double>(bytes.size())));
  return bytes;
}

/// Reads damaged copies; returns how many gave samples. Anything but samples or Error fails the test.
int survivors(const std::string& whole, const std::string& name, std::size_t head, int count) {
  const TempDir folder;
  KeyedUniform u("damage" + name);
  int good = 0;
  for (int i = 0; i < count; ++i) {
    write_bytes(folder / name, damaged(whole, head, u));
    try {
      probe(folder / name);
      const auto streams = read_streams(folder / name);
      good += streams.empty() ? 0 : 1;
    } catch (const Error& error) {
      CHECK((error.code() == Code::format || error.code() == Code::unsupported));
    }
  }
  return good;
}

}  // namespace

TEST_CASE("damaged files end in samples or in an error", "[audio]") {
  const TempDir folder;
  const AudioBuffer x = noise(2, 600, 44100);
  for (const char* name : {"a.wav", "b.wav", "c.flac", "d.flac"}) {
    const bool flac = std::string(name).ends_with("flac");
    const SampleFormat format = std::string(name).front() == 'a'
                                    ? SampleFormat::float32
                                    : (std::string(name).front() == 'd' ? SampleFormat::pcm24 : SampleFormat::pcm16);
    write_file(folder / name, x, {format});
    const std::string whole = read_bytes(folder / name);
    const int good = survivors(whole, name, flac ? whole.size() : 120, 400);
    INFO(name);
    CHECK(good > 0);    // some changes do not matter,
    CHECK(good < 400);  // and some do
  }
}

TEST_CASE("a damaged stem.mp4 ends in samples or in an error", "[audio]") {
  MSS_REQUIRE_TEST_DATA(data);
  const std::string whole = read_bytes(data / "musdb18_clips" / "test" / "The Easton Ellises - Falcon 69.stem.mp4");
  // The index lies in the first 25 kB.
  CHECK(survivors(whole, "x.stem.mp4", 24780, 25) < 25);
}
