#include "training/cache.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>

#include "audio/resample.h"
#include "core/file.h"
#include "core/parallel.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"
#include "tests/training/tagged.h"

namespace mss::training {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kPlenty = std::int64_t{1} << 30;
constexpr std::int64_t kSamples = 4000;

CacheFormat native() { return {.rate_hz = tests::kTaggedRate, .channels = 2, .stems = tests::tagged_stems()}; }

std::vector<fs::path> cache_files(const fs::path& folder) {
  std::vector<fs::path> out;
  for (const fs::path& path : core::list_directory(folder)) {
    if (path.extension() == ".audio") out.push_back(path);
  }
  return out;
}

}  // namespace

TEST_CASE("the cache gives back every sample of a track, and zeros around it", "[training]") {
  const tests::TempDir scratch;
  tests::write_tagged_set(scratch / "set", 2, kSamples);
  const datasets::Dataset set = datasets::open((scratch / "set").string());
  Cache cache(scratch / "cache", kPlenty);
  CacheFormat format = native();
  format.mixture = true;
  const CachedTrack track = cache.open(set, set.tracks()[1], format);
  CHECK(track.name() == "Track 01");
  CHECK(track.fingerprint() == set.sha256(set.tracks()[1]));
  CHECK(track.samples() == kSamples + 160);
  CHECK(track.stems() == tests::tagged_stems());
  const datasets::TrackAudio audio = set.load(set.tracks()[1]);
  for (int s = 0; s < 4; ++s) {
    const audio::AudioBuffer whole = track.whole(s);
    for (int c = 0; c < 2; ++c) {
      CHECK(std::equal(whole.channel(c).begin(), whole.channel(c).end(),
                       audio.stems[static_cast<std::size_t>(s)].channel(c).begin()));
    }
  }
  const audio::AudioBuffer mixture = track.whole(-1);
  CHECK(std::equal(mixture.channel(1).begin(), mixture.channel(1).end(), audio.mixture.channel(1).begin()));
  std::vector<float> window(100, 9.0F);
  track.read(2, 1, -30, 100, window.data());
  CHECK(window[29] == 0);
  CHECK(window[30] == tests::tagged(1, 2, 1, 0));
  CHECK(window[99] == tests::tagged(1, 2, 1, 69));
  track.read(2, 1, kSamples + 150, 100, window.data());
  CHECK(window[9] == tests::tagged(1, 2, 1, kSamples + 159));
  CHECK(window[10] == 0);
  CHECK(window[99] == 0);
  track.read(2, 1, kSamples + 5000, 100, window.data());
  CHECK(window[0] == 0);
  // Mean and deviation of the mono mixture, over the whole track.
  double sum = 0, squares = 0;
  for (std::int64_t t = 0; t < track.samples(); ++t) {
    const auto i = static_cast<std::size_t>(t);
    sum += (audio.mixture.channel(0)[i] + audio.mixture.channel(1)[i]) / 2.0;
  }
  const double mean = sum / static_cast<double>(track.samples());
  for (std::int64_t t = 0; t < track.samples(); ++t) {
    const auto i = static_cast<std::size_t>(t);
    const double x = (audio.mixture.channel(0)[i] + audio.mixture.channel(1)[i]) / 2.0 - mean;
    squares += x * x;
  }
  CHECK(track.mixture_mean() == Approx(mean).epsilon(1e-9));
  CHECK(track.mixture_std() == Approx(std::sqrt(squares / static_cast<double>(track.samples() - 1))).epsilon(1e-9));
  CHECK(track.levels_db() == datasets::levels_db(audio.mixture));
}

TEST_CASE("a track is decoded once, whoever asks, and again when it or the format changes", "[training]") {
  const tests::TempDir scratch;
  tests::write_tagged_set(scratch / "set", 1, kSamples);
  const datasets::Dataset set = datasets::open((scratch / "set").string());
  const datasets::Track& track = set.tracks()[0];
  {
    Cache cache(scratch / "cache", kPlenty);
    (void)cache.open(set, track, native());
    (void)cache.open(set, track, native());
    CHECK(cache.use().made == 1);
    CHECK(cache.use().found == 1);
  }
  Cache cache(scratch / "cache", kPlenty);
  (void)cache.open(set, track, native());
  CHECK(cache.use().made == 0);
  CacheFormat other = native();
  other.channels = 1;
  const CachedTrack mono = cache.open(set, track, other);
  std::vector<float> x(1);
  mono.read(0, 0, 5, 1, x.data());
  CHECK(x[0] == (tests::tagged(0, 0, 0, 5) + tests::tagged(0, 0, 1, 5)) / 2);
  other = native();
  other.rate_hz = 4000;
  const CachedTrack slow = cache.open(set, track, other);
  CHECK(slow.samples() == kSamples / 2);
  const audio::AudioBuffer expected = audio::resample(set.load_stem(track, "bass"), 4000);
  const audio::AudioBuffer got = slow.whole(1);
  CHECK(std::equal(got.channel(0).begin(), got.channel(0).end(), expected.channel(0).begin()));
  other = native();
  other.stems = {"vocals", "accompaniment"};  // a derived signal as a stem
  const CachedTrack pair = cache.open(set, track, other);
  pair.read(1, 0, 7, 1, x.data());
  CHECK(x[0] == tests::tagged(0, 0, 0, 7) + tests::tagged(0, 1, 0, 7) + tests::tagged(0, 2, 0, 7));
  CHECK(cache.use().made == 3);
  // Another recording under the same names is another track.
  audio::AudioBuffer changed = set.load_stem(track, "bass");
  changed.channel(0)[0] += 1.0F / 32768.0F;
  audio::write_file(scratch / "set" / "train" / "Track 00" / "bass.wav", changed,
                    {.format = audio::SampleFormat::pcm16});
  const datasets::Dataset again = datasets::open((scratch / "set").string());
  const CachedTrack fresh = cache.open(again, again.tracks()[0], native());
  fresh.read(1, 0, 0, 1, x.data());
  CHECK(x[0] == changed.channel(0)[0]);
  CHECK(cache.use().made == 4);
}

TEST_CASE("float audio is kept exactly, 16-bit audio in half the room", "[training]") {
  const tests::TempDir scratch;
  audio::AudioBuffer fine(1, 1000, 8000);
  for (std::size_t t = 0; t < 1000; ++t) fine.channel(0)[t] = std::sin(0.01F * static_cast<float>(t)) * 1.7F;
  audio::write_file(scratch / "fine.wav", fine);
  audio::write_file(scratch / "short.wav", fine, {.format = audio::SampleFormat::pcm16});
  Cache cache(scratch / "cache", kPlenty);
  const CachedTrack exact = cache.open_file(scratch / "fine.wav", "speech", 8000, 1);
  const audio::AudioBuffer back = exact.whole(0);
  CHECK(std::equal(back.channel(0).begin(), back.channel(0).end(), fine.channel(0).begin()));
  const auto large = fs::file_size(cache_files(scratch / "cache").at(0));
  (void)cache.open_file(scratch / "short.wav", "speech", 8000, 1);
  std::uintmax_t total = 0;
  for (const fs::path& path : cache_files(scratch / "cache")) total += fs::file_size(path);
  CHECK(total - large < large - 1500);
}

TEST_CASE("damaged files of the cache are made again", "[training]") {
  const tests::TempDir scratch;
  tests::write_tagged_set(scratch / "set", 1, kSamples);
  const datasets::Dataset set = datasets::open((scratch / "set").string());
  {
    Cache cache(scratch / "cache", kPlenty);
    (void)cache.open(set, set.tracks()[0], native());
  }
  const fs::path file = cache_files(scratch / "cache").at(0);
  const std::string whole = core::read_text_file(file);
  // A header of any text in place of the file's own, of the same length, before the same audio.
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string out = whole;
    const std::size_t at = out.find(from);
    REQUIRE(at != std::string::npos);
    std::uint64_t length = 0;
    std::memcpy(&length, whole.data() + 8, sizeof length);
    out.replace(at, from.size(), to);
    length += to.size() - from.size();
    std::memcpy(out.data() + 8, &length, sizeof length);
    return out;
  };
  const std::string cases[] = {
      "", "MSSCACH1",
      // Sizes whose products overflow, or that lead out of the file, and another track's form.
      with("\"samples\":4000", "\"samples\":4611686018427387905"), with("\"samples\":4000", "\"samples\":3000"),
      with("\"samples\":4000", "\"samples\":-1"), with("\"channels\":2", "\"channels\":4294967298"),
      with("\"channels\":2", "\"channels\":1"), with("\"plane_bytes\":8000", "\"plane_bytes\":1152921504606846976"),
      with("\"plane_bytes\":8000", "\"plane_bytes\":0"), with("\"plane_bytes\":8000", "\"plane_bytes\":8001"),
      with("\"rate_hz\":8000", "\"rate_hz\":0"), with("\"rate_hz\":8000", "\"rate_hz\":8001"),
      with("\"type\":\"i16\"", "\"type\":\"f32\""), with("\"type\":\"i16\"", "\"type\":\"i61\""),
      with("\"drums\"", "\"smurd\""), whole.substr(0, 100), whole.substr(0, whole.size() - 1),
      "XXXXXXXX" + whole.substr(8), whole + "x", whole.substr(0, 8) + std::string(8, '\xff') + whole.substr(16)};
  for (const std::string& damaged : cases) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << damaged;
    Cache cache(scratch / "cache", kPlenty);
    const CachedTrack track = cache.open(set, set.tracks()[0], native());
    float x = 0;
    track.read(3, 0, 17, 1, &x);
    CHECK(x == tests::tagged(0, 3, 0, 17));
    CHECK(cache.use().made == 1);
  }
}

TEST_CASE("a cache folder that holds other things keeps them, and none of them is waited for", "[training]") {
  const tests::TempDir scratch;
  tests::write_tagged_set(scratch / "set", 2, kSamples);
  const datasets::Dataset set = datasets::open((scratch / "set").string());
  const fs::path folder = scratch / "cache";
  core::make_directories(folder);
  core::write_file_atomic(folder / "interview.audio", std::string(100000, 'x'));
  core::write_file_atomic(folder / (std::string(63, 'a') + "g.audio"), std::string(100000, 'x'));
  REQUIRE(::mkfifo((folder / (std::string(64, 'b') + ".audio")).c_str(), 0600) == 0);
  constexpr std::int64_t kLimit = 70000;  // room for one track
  std::string key;
  {
    Cache cache(folder, kLimit);
    (void)cache.open(set, set.tracks()[0], native());
    for (const fs::path& path : cache_files(folder)) {
      if (fs::is_regular_file(path) && fs::file_size(path) != 100000) key = path.filename().string();
    }
    (void)cache.open(set, set.tracks()[1], native());
    CHECK(cache.use().removed == 1);
  }
  CHECK(fs::file_size(folder / "interview.audio") == 100000);
  CHECK(fs::file_size(folder / (std::string(63, 'a') + "g.audio")) == 100000);
  CHECK(fs::exists(folder / (std::string(64, 'b') + ".audio")));
  // In the place of a track's file.
  REQUIRE(::mkfifo((folder / key).c_str(), 0600) == 0);
  Cache cache(folder, kPlenty);
  tests::check_error(Code::io, {key.c_str(), "no file of the training cache"},
                     [&] { (void)cache.open(set, set.tracks()[0], native()); });
}

TEST_CASE("the limit removes what was not used for longest, never what is open", "[training]") {
  const tests::TempDir scratch;
  tests::write_tagged_set(scratch / "set", 4, kSamples);
  const datasets::Dataset set = datasets::open((scratch / "set").string());
  // A track takes about 4000 samples x 8 planes x 2 bytes = 64 kB: room for two and a half.
  constexpr std::int64_t kLimit = 170000;
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  {
    Cache cache(scratch / "cache", kLimit);
    for (int i = 0; i < 2; ++i) {
      (void)cache.open(set, set.tracks()[static_cast<std::size_t>(i)], native());
      pause();
    }
    (void)cache.open(set, set.tracks()[0], native());  // now track 1 is the oldest
    pause();
    (void)cache.open(set, set.tracks()[2], native());
    CHECK(cache.use().removed == 1);
    CHECK(cache_files(scratch / "cache").size() == 2);
    (void)cache.open(set, set.tracks()[0], native());
    CHECK(cache.use().made == 3);
  }
  Cache cache(scratch / "cache", kLimit);
  const CachedTrack a = cache.open(set, set.tracks()[0], native());
  const CachedTrack b = cache.open(set, set.tracks()[1], native());
  tests::check_error(Code::resource, {"training cache is full", "data.cache_gib"},
                     [&] { (void)cache.open(set, set.tracks()[3], native()); });
  float x = 0;
  a.read(0, 0, 3, 1, &x);
  CHECK(x == tests::tagged(0, 0, 0, 3));
  b.read(0, 0, 3, 1, &x);
  CHECK(x == tests::tagged(1, 0, 0, 3));
}

TEST_CASE("several writers of one cache leave whole files and read the same", "[training]") {
  const tests::TempDir scratch;
  tests::write_tagged_set(scratch / "set", 3, kSamples);
  const datasets::Dataset set = datasets::open((scratch / "set").string());
  // Processes, as two runs would be.
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int status = 1;
      try {
        Cache cache(scratch / "cache", kPlenty);
        status = 0;
        for (int k = 0; k < 3; ++k) {
          const CachedTrack track = cache.open(set, set.tracks()[static_cast<std::size_t>((k + i) % 3)], native());
          const audio::AudioBuffer whole = track.whole(2);
          for (std::int64_t t = 0; t < whole.samples(); ++t) {
            if (whole.channel(1)[static_cast<std::size_t>(t)] != tests::tagged((k + i) % 3, 2, 1, t)) status = 2;
          }
        }
      } catch (const std::exception&) {
        status = 3;
      }
      ::_exit(status);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
  CHECK(cache_files(scratch / "cache").size() == 3);
  for (const fs::path& path : core::list_directory(scratch / "cache")) CHECK(path.extension() != ".tmp");
}

TEST_CASE("a corpus may have more files than a process may open", "[training]") {
  const tests::TempDir scratch;
  constexpr int kFiles = 120;
  for (int i = 0; i < kFiles; ++i) {
    audio::AudioBuffer speech(1, 50, 8000);
    speech.channel(0)[7] = static_cast<float>(i + 1) / 256;
    audio::write_file(scratch / (std::to_string(i) + ".wav"), speech);
  }
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int status = 1;
    try {
      const rlimit few{64, 64};
      if (::setrlimit(RLIMIT_NOFILE, &few) != 0) ::_exit(4);
      Cache cache(scratch / "cache", kPlenty);
      std::vector<CachedTrack> files;
      for (int i = 0; i < kFiles; ++i) {
        files.push_back(cache.open_file(scratch / (std::to_string(i) + ".wav"), "speech", 8000, 1));
      }
      status = 0;
      for (int i = 0; i < kFiles; ++i) {
        float x = 0;
        files[static_cast<std::size_t>(i)].read(0, 0, 7, 1, &x);
        if (x != static_cast<float>(i + 1) / 256) status = 2;
      }
    } catch (const std::exception&) {
      status = 3;
    }
    ::_exit(status);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("what cannot be cached is an error that names the track, and leaves nothing behind", "[training]") {
  const tests::TempDir scratch;
  tests::write_tagged_set(scratch / "set", 2, kSamples);
  fs::resize_file(scratch / "set" / "train" / "Track 01" / "bass.wav", 2000);
  const datasets::Dataset set = datasets::open((scratch / "set").string());
  Cache cache(scratch / "cache", kPlenty);
  const Error error = tests::error_of([&] { (void)cache.open(set, set.tracks(), native(), 2, core::null_progress()); });
  INFO(error.what());
  CHECK(tests::contains(error.what(), "Track 01"));
  CHECK(cache_files(scratch / "cache").size() <= 1);
  CacheFormat odd = native();
  odd.stems = {"piano"};
  tests::check_error(Code::dataset, {"piano"}, [&] { (void)cache.open(set, set.tracks()[0], odd); });
  for (const fs::path& path : core::list_directory(scratch / "cache")) CHECK(path.extension() != ".tmp");
}

}  // namespace mss::training
