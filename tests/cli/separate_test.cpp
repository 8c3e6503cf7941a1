// mssbench separate.
#include <cmath>

#include "audio/file.h"
#include "core/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

TEST_CASE("separate writes one file per stem and prints their paths", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer song = tones(1);
  write_audio(folder / "song.wav", song);
  const Result result =
      call({.arguments = {"separate", "song.wav", "-m", "mixture-over-j", "-o", "stems"}, .folder = folder.path()});
  INFO(result.err);
  REQUIRE(result.status == 0);
  CHECK(lines(result.out) == std::vector<std::string>{"stems/song/vocals.wav", "stems/song/drums.wav",
                                                      "stems/song/bass.wav", "stems/song/other.wav"});
  for (const std::string& line : lines(result.out)) {
    const audio::AudioBuffer stem = audio::read_file(folder / line);
    REQUIRE(audio::same_shape(stem, song));
    CHECK(stem.channel(1)[1234] == song.channel(1)[1234] / 4);
    CHECK(audio::probe(folder / line).format == "wav/float32");
  }
}

TEST_CASE("separate takes targets, formats and FLAC, and warns of clipped samples", "[cli]") {
  const TempDir folder;
  audio::AudioBuffer loud = tones(1, 1, 22050, 48000);
  for (float& x : loud.channel(0)) x *= 5;  // peaks near 1.5
  write_audio(folder / "loud.wav", loud);
  const auto separate = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"separate", "loud.wav", "-m", "mixture", "-o", "o", "--targets", "solo,rest"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return call({.arguments = arguments, .folder = folder.path()});
  };
  const Result whole = separate({"--json"});
  REQUIRE(whole.status == 0);
  const core::Value report = core::parse_json(whole.out, "separate --json");
  REQUIRE(report.size() == 1);
  REQUIRE(report.as_array()[0].at("stems").size() == 2);
  CHECK(report.as_array()[0].at("spec").as_string() == "mixture");
  CHECK(report.as_array()[0].at("stems").as_array()[0].at("target").as_string() == "solo");
  CHECK(report.as_array()[0].at("stems").as_array()[0].at("clipped_samples").as_integer() == 0);
  CHECK(audio::read_file(folder / "o/loud/solo.wav").channel(0)[0] == loud.channel(0)[0]);

  const Result pcm = separate({"--format", "pcm16"});
  REQUIRE(pcm.status == 0);
  CHECK(audio::probe(folder / "o/loud/rest.wav").format == "wav/pcm16");
  CHECK(has_line(pcm.err, R"(mssbench: warning: o/loud/solo\.wav: \d+ samples beyond full scale were clipped.*)"));

  REQUIRE(separate({"--flac"}).status == 0);
  CHECK(audio::probe(folder / "o/loud/solo.flac").format == "flac/24");
  const Result refused = separate({"--flac", "--format", "float32"});
  CHECK(refused.status == 2);
  CHECK(contains(refused.err, "FLAC holds integers only"));

  // As Demucs' command line says it.
  REQUIRE(separate({"--int16"}).status == 0);
  CHECK(audio::probe(folder / "o/loud/rest.wav").format == "wav/pcm16");
  REQUIRE(separate({"--float32"}).status == 0);
  CHECK(audio::probe(folder / "o/loud/rest.wav").format == "wav/float32");
  REQUIRE(separate({"--float32", "--format", "float32"}).status == 0);
  for (const std::vector<std::string>& twice :
       {std::vector<std::string>{"--int16", "--float32"}, {"--int16", "--format", "pcm24"}, {"--flac", "--float32"}}) {
    CHECK(separate(twice).status == 2);
  }
}

TEST_CASE("options of Demucs' command line fold into the spec", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const std::string weights = (fs::path(MSSBENCH_TESTS_DIR) / "demucs" / "files" / "v2.th").string();
  const auto separate = [&](std::vector<std::string> more, const std::string& spec) {
    std::vector<std::string> arguments = {"separate", "song.wav", "-m", spec, "-o", "o", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return call({.arguments = arguments, .folder = folder.path()});
  };
  const auto spec_of = [&](std::vector<std::string> more) {
    const Result result = separate(std::move(more), "demucs:weights=" + weights);
    INFO(result.err);
    REQUIRE(result.status == 0);
    return core::parse_json(result.out, "separate --json").as_array()[0].at("spec").as_string();
  };
  const std::string all = spec_of({"--shifts", "2", "--segment", "0.5", "--overlap", "0.5", "--targets", "vocals"});
  for (const char* part : {"shifts=2", "segment=0.5", "overlap=0.5", "targets=vocals", "weights=v2#"}) {
    CHECK(contains(all, part));
  }
  CHECK(contains(spec_of({"--no-split"}), "split=false"));
  CHECK(!contains(spec_of({}), "split"));
  const Result elsewhere = separate({"--shifts", "2"}, "hpss");
  CHECK(elsewhere.status == 2);
  CHECK(contains(elsewhere.err, "--shifts"));
  const Result twice = separate({"--shifts", "2"}, "demucs:shifts=3,weights=" + weights);
  CHECK(twice.status == 2);
  CHECK(contains(twice.err, "shifts"));
  const Result missing = call({.arguments = {"separate", "nowhere.wav", "-m", "demucs:weights=" + weights, "-o", "o"},
                               .folder = folder.path()});
  CHECK(missing.status == 3);
  CHECK(contains(missing.err, "nowhere.wav"));
}

TEST_CASE("separate replaces earlier stems and keeps them when it fails", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const std::vector<std::string> arguments = {"separate", "song.wav", "-m", "mixture", "-o", "o"};
  REQUIRE(call({.arguments = arguments, .folder = folder.path()}).status == 0);
  write_audio(folder / "song.wav", tones(2));
  REQUIRE(call({.arguments = arguments, .folder = folder.path()}).status == 0);
  const audio::AudioBuffer second = audio::read_file(folder / "o/song/bass.wav");
  CHECK(second.channel(0)[777] == tones(2).channel(0)[777]);

  audio::AudioBuffer broken = tones(3);
  broken.channel(1)[40000] = std::nanf("");
  write_audio(folder / "song.wav", broken);
  CHECK(call({.arguments = arguments, .folder = folder.path()}).status == 3);
  CHECK(audio::read_file(folder / "o/song/bass.wav").channel(0)[777] == second.channel(0)[777]);
  // Nothing half-written is left.
  std::size_t files = 0;
  for (const auto& item : fs::directory_iterator(folder / "o/song")) files += item.is_regular_file() ? 1 : 0;
  CHECK(files == 4);
}

TEST_CASE("oracles get their references and nobody else does", "[cli]") {
  const TempDir folder;
  const std::vector<std::string> names = {"vocals", "synth"};
  audio::AudioBuffer mixture = tones(1);
  audio::add_to(mixture.span(), tones(9));
  write_audio(folder / "mix.wav", mixture);
  write_audio(folder / "refs/vocals.wav", tones(1));
  write_audio(folder / "refs/synth.wav", tones(9));
  const Result without = call({.arguments = {"separate", "mix.wav", "-m", "irm2", "-o", "o"}, .folder = folder.path()});
  CHECK(without.status == 2);
  CHECK(contains(without.err, "irm2: this method is an oracle"));
  CHECK(contains(without.err, "expected: --references DIR"));

  const Result with = call(
      {.arguments = {"separate", "mix.wav", "-m", "irm2", "-o", "o", "--references", "refs"}, .folder = folder.path()});
  INFO(with.err);
  REQUIRE(with.status == 0);
  CHECK(lines(with.out) == std::vector<std::string>{"o/mix/synth.wav", "o/mix/vocals.wav"});
  // The two tones lie far apart, so the mask finds them: the error is far below the tone.
  const audio::AudioBuffer estimate = audio::read_file(folder / "o/mix/vocals.wav");
  audio::AudioBuffer error = tones(1);
  for (float& x : error.channel(0)) x = -x;
  for (float& x : error.channel(1)) x = -x;
  audio::add_to(error.span(), estimate);
  CHECK(audio::energy(error) < 0.05 * audio::energy(tones(1)));

  const Result useless = call({.arguments = {"separate", "mix.wav", "-m", "mixture", "-o", "o", "--references", "refs"},
                               .folder = folder.path()});
  CHECK(useless.status == 0);
  CHECK(has_line(useless.err, "mssbench: warning: --references: mixture takes no references.*"));

  write_audio(folder / "refs/synth.wav", tones(4, 2, 44000));
  const Result unequal = call(
      {.arguments = {"separate", "mix.wav", "-m", "irm2", "-o", "o", "--references", "refs"}, .folder = folder.path()});
  CHECK(unequal.status == 3);
  CHECK(contains(unequal.err, "refs/synth.wav: another length than mix.wav"));
  CHECK(contains(unequal.err, "expected: 44100 samples"));
  CHECK(contains(unequal.err, "found: 44000 samples"));

  const Result missing = call({.arguments = {"separate", "mix.wav", "-m", "irm2", "-o", "o", "--references", "refs",
                                             "--targets", "vocals,drums"},
                               .folder = folder.path()});
  CHECK(missing.status == 3);
  CHECK(contains(missing.err, "missing stem 'drums'"));
}

TEST_CASE("references may lie in one folder per song", "[cli]") {
  const TempDir folder;
  for (const char* song : {"one", "two"}) {
    const int kind = song[0] == 'o' ? 1 : 2;
    audio::AudioBuffer mixture = tones(kind);
    audio::add_to(mixture.span(), tones(kind + 3));
    write_audio(folder / (std::string(song) + ".wav"), mixture);
    write_audio(folder / "refs" / song / "a.wav", tones(kind));
    write_audio(folder / "refs" / song / "b.wav", tones(kind + 3));
  }
  const Result result =
      call({.arguments = {"separate", "one.wav", "two.wav", "-m", "ibm1", "-o", "o", "--references", "refs"},
            .folder = folder.path()});
  INFO(result.err);
  CHECK(result.status == 0);
  CHECK(lines(result.out).size() == 4);
}

TEST_CASE("one bad file among several gives status 6, all bad that of the first", "[cli]") {
  const TempDir folder;
  write_audio(folder / "good.wav", tones(1));
  fs::create_directory(folder / "folder");
  const Result some = call({.arguments = {"separate", "gone.wav", "good.wav", "folder", "-m", "mixture", "-o", "o"},
                            .folder = folder.path()});
  CHECK(some.status == 6);
  CHECK(lines(some.out).size() == 4);
  CHECK(contains(some.err, "mssbench: error: gone.wav: "));
  CHECK(contains(some.err, "mssbench: error: folder: a folder without audio"));
  const Result none =
      call({.arguments = {"separate", "gone.wav", "folder", "-m", "mixture", "-o", "o"}, .folder = folder.path()});
  CHECK(none.status == 3);
  CHECK(none.out.empty());
}

TEST_CASE("separate refuses to mix up the stems of two files or to overwrite its input", "[cli]") {
  const TempDir folder;
  write_audio(folder / "a/song.wav", tones(1));
  write_audio(folder / "b/song.wav", tones(2));
  const Result twice = call(
      {.arguments = {"separate", "a/song.wav", "b/song.wav", "-m", "mixture", "-o", "o"}, .folder = folder.path()});
  CHECK(twice.status == 2);
  CHECK(contains(twice.err, "b/song.wav: its stems would go to the same folder as those of a/song.wav"));
  CHECK(!fs::exists(folder / "o"));

  write_audio(folder / "vocals/vocals.wav", tones(1));
  const Result own =
      call({.arguments = {"separate", "vocals/vocals.wav", "-m", "mixture", "-o", "."}, .folder = folder.path()});
  CHECK(own.status == 2);
  CHECK(contains(own.err, "would overwrite an input file"));
  CHECK(audio::read_file(folder / "vocals/vocals.wav").channel(0)[9] == tones(1).channel(0)[9]);
}

#ifndef __SANITIZE_ADDRESS__  // its quarantine holds freed memory
TEST_CASE("separate needs the memory of a few windows, not of the file", "[cli]") {
  const TempDir folder;
  write_audio(folder / "short.wav", tones(1, 1, 16000, 16000));
  {
    audio::Writer writer(folder / "long.wav", 1, 16000, {.format = audio::SampleFormat::pcm16});
    const audio::AudioBuffer minute = tones(1, 1, 60 * 16000, 16000);
    for (int i = 0; i < 20; ++i) writer.write(minute);
    writer.finish();
  }
  fs::create_directory(folder / "refs");
  fs::copy_file(folder / "long.wav", folder / "refs/vocals.wav");
  fs::copy_file(folder / "long.wav", folder / "refs/other.wav");
  const auto peak = [&](const std::string& song, const std::string& method, const std::string& references) {
    const Result result = call({.arguments = {"separate", song, "-m", method, "-o", "o", "--targets", "vocals,other",
                                              "--format", "pcm16", "--threads", "1", references},
                                .folder = folder.path()});
    INFO(result.err);
    REQUIRE(result.status == 0);
    return result.peak_rss_bytes;
  };
  const std::int64_t start = peak("short.wav", "mixture", "-q");
  constexpr std::int64_t kWhole = 4 * 20 * 60 * 16000;  // the mixture alone as float32, 77 MB
  CHECK(peak("long.wav", "mixture", "-q") < start + kWhole / 4);
  CHECK(peak("long.wav", "irm2", "--references=refs") < start + kWhole / 4);
}
#endif

TEST_CASE("equal seeds give equal stems for any number of threads", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1, 2, 30000));
  const auto separate = [&](const std::string& out, const std::string& threads, const std::string& seed) {
    const Result result = call({.arguments = {"separate", "song.wav", "-m", "nmf:components=2,iterations=3", "-o", out,
                                              "--threads", threads, "--seed", seed},
                                .folder = folder.path()});
    INFO(result.err);
    REQUIRE(result.status == 0);
    return audio::read_file(folder / lines(result.out).front());
  };
  const audio::AudioBuffer a = separate("a", "1", "7"), b = separate("b", "3", "7"), c = separate("c", "1", "8");
  const auto equal = [](const audio::AudioBuffer& x, const audio::AudioBuffer& y) {
    return std::equal(x.channel(0).begin(), x.channel(0).end(), y.channel(0).begin(), y.channel(0).end());
  };
  CHECK(equal(a, b));
  CHECK(!equal(a, c));
}

TEST_CASE("progress goes to standard error in the style asked for", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const auto separate = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"separate", "song.wav", "-m", "mixture", "-o", "o"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return call({.arguments = arguments, .folder = folder.path()});
  };
  const Result json = separate({"--progress", "json"});
  std::vector<std::string> events;
  for (const std::string& line : lines(json.err)) {
    const core::Value event = core::parse_json(line, "progress");
    CHECK(event.at("task").as_string() == "song.wav");
    events.push_back(event.at("event").as_string());
  }
  REQUIRE(events.size() >= 3);
  CHECK(events.front() == "begin");
  CHECK(events.back() == "end");
  CHECK(has_line(separate({}).err, R"(song\.wav 44100/44100 \(\d+:\d\d\).*)"));
  CHECK(contains(separate({"--progress", "bar"}).err, "[########################] 100%"));
  CHECK(separate({"--progress", "none"}).err.empty());
  CHECK(separate({"--quiet"}).err.empty());
  CHECK(lines(separate({"--quiet"}).out).size() == 4);
}

namespace {

double largest_difference(const audio::AudioBuffer& a, const audio::AudioBuffer& b) {
  REQUIRE(audio::same_shape(a, b));
  double most = 0;
  for (int c = 0; c < a.channels(); ++c) {
    for (std::size_t i = 0; i < a.channel(c).size(); ++i) {
      most = std::max(most, std::abs(static_cast<double>(a.channel(c)[i]) - static_cast<double>(b.channel(c)[i])));
    }
  }
  return most;
}

audio::AudioBuffer part_of(const audio::AudioBuffer& whole, std::int64_t first, std::int64_t samples) {
  return audio::AudioBuffer(whole.view().slice(first, samples));
}

}  // namespace

TEST_CASE("a folder stands for its songs, and a template names the files", "[cli]") {
  const TempDir folder;
  for (const char* song : {"one", "two"}) {
    write_audio(folder / "set" / song / "mixture.wav", tones(song[0] == 'o' ? 1 : 2));
    write_audio(folder / "set" / song / "vocals.wav", tones(3));
  }
  write_audio(folder / "set/loose/three.wav", tones(3));
  const auto separate = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "separate");
    words.insert(words.end(), {"-m", "mixture", "--targets", "x", "-o", "o"});
    return call({.arguments = words, .folder = folder.path()});
  };
  // Track folders are named after themselves; the stems beside a mixture are no songs.
  CHECK(lines(separate({"set"}).out) == std::vector<std::string>{"o/three/x.wav", "o/one/x.wav", "o/two/x.wav"});
  CHECK(audio::read_file(folder / "o/two/x.wav").channel(0)[77] == tones(2).channel(0)[77]);

  const Result clash = separate({"set/one/mixture.wav", "set/two/mixture.wav"});
  CHECK(clash.status == 2);
  CHECK(contains(clash.err, "--filename '{dir}/{track}/{stem}.{ext}'"));
  const Result dirs =
      separate({"set/one/mixture.wav", "set/two/mixture.wav", "--filename", "{dir}-{track}.{trackext}/{stem}.{ext}"});
  CHECK(lines(dirs.out) == std::vector<std::string>{"o/one-mixture.wav/x.wav", "o/two-mixture.wav/x.wav"});
  CHECK(lines(separate({"set/loose/three.wav", "--filename", "{stem}.{ext}"}).out) ==
        std::vector<std::string>{"o/x.wav"});
  for (const char* bad : {"{stemm}.{ext}", "../{stem}.{ext}", "/{stem}.{ext}", "{stem}.mp3", "{stem", "{stem}/"}) {
    INFO(bad);
    const Result refused = separate({"set/loose/three.wav", "--filename", bad});
    CHECK(refused.status == 2);
    CHECK(contains(refused.err, "--filename"));
  }
  CHECK(contains(separate({"set/loose/three.wav", "--filename", "{stemm}.{ext}"}).err, "did you mean 'stem'?"));
  const Result same =
      call({.arguments = {"separate", "set/loose/three.wav", "-m", "mixture", "-o", "o", "--filename", "{track}.{ext}"},
            .folder = folder.path()});
  CHECK(same.status == 2);
  CHECK(contains(same.err, "two stems of one name"));
}

TEST_CASE("two stems are the stem and the sum of the others, or what it leaves of the mixture", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer song = tones(1);
  write_audio(folder / "song.wav", song);
  const auto separate = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"separate", "song.wav", "-o", "o", "--two-stems", "vocals"};
    words.insert(words.end(), more.begin(), more.end());
    return call({.arguments = words, .folder = folder.path()});
  };
  const Result sum = separate({"-m", "mixture-over-j"});
  INFO(sum.err);
  REQUIRE(sum.status == 0);
  CHECK(lines(sum.out) == std::vector<std::string>{"o/song/vocals.wav", "o/song/no_vocals.wav"});
  // J = 4: a quarter and three quarters of the mixture.
  CHECK(audio::read_file(folder / "o/song/vocals.wav").channel(1)[999] == song.channel(1)[999] / 4);
  CHECK(std::abs(audio::read_file(folder / "o/song/no_vocals.wav").channel(1)[999] - 0.75F * song.channel(1)[999]) <
        1e-7F);
  // A network that computes the vocals alone leaves the rest of the mixture.
  REQUIRE(separate({"-m", "umx:random=1,targets=vocals"}).status == 0);
  audio::AudioBuffer both = audio::read_file(folder / "o/song/vocals.wav");
  audio::add_to(both.span(), audio::read_file(folder / "o/song/no_vocals.wav"));
  CHECK(largest_difference(both, song) < 1e-6);

  const Result none = separate({"-m", "hpss"});
  CHECK(none.status == 2);
  CHECK(contains(none.err, "the method has no stem 'vocals'"));
  CHECK(separate({"-m", "mixture", "--targets", "vocals"}).status == 2);
}

TEST_CASE("start and duration cut the song before it is separated", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer song = tones(1, 2, 44100, 44100);
  write_audio(folder / "song.wav", song);
  write_audio(folder / "refs/vocals.wav", tones(1));
  audio::AudioBuffer silent(2, 44100, 44100);
  write_audio(folder / "refs/other.wav", silent);
  const auto separate = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"separate", "song.wav", "-o", "o"};
    words.insert(words.end(), more.begin(), more.end());
    return call({.arguments = words, .folder = folder.path()});
  };
  REQUIRE(separate({"-m", "mixture", "--targets", "x", "--start", "0.25", "--duration", "0.5"}).status == 0);
  CHECK(largest_difference(audio::read_file(folder / "o/song/x.wav"), part_of(song, 11025, 22050)) == 0);
  REQUIRE(separate({"-m", "mixture", "--targets", "x", "--start", "0.9", "--duration", "5"}).status == 0);
  CHECK(audio::read_file(folder / "o/song/x.wav").samples() == 4410);
  // References are cut alike: the vocals are all of the mixture.
  REQUIRE(separate({"-m", "irm2", "--references", "refs", "--start", "0.25", "--duration", "0.5"}).status == 0);
  CHECK(largest_difference(audio::read_file(folder / "o/song/vocals.wav"), part_of(song, 11025, 22050)) < 1e-5);
  const Result late = separate({"-m", "mixture", "--start", "2"});
  CHECK(late.status == 3);
  CHECK(contains(late.err, "song.wav: the excerpt begins behind the end"));
  CHECK(contains(late.err, "expected: a start before 1.000 s"));
}

TEST_CASE("separate writes FLAC, and MP3 and AAC where there is an encoder", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer song = tones(1);
  write_audio(folder / "song.wav", song);
  const auto separate = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"separate", "song.wav", "-m", "mixture", "--targets", "x", "-o", "o"};
    words.insert(words.end(), more.begin(), more.end());
    return call({.arguments = words, .folder = folder.path()});
  };
  CHECK(lines(separate({"--format", "flac"}).out) == std::vector<std::string>{"o/song/x.flac"});
  CHECK(audio::probe(folder / "o/song/x.flac").format == "flac/24");
  CHECK(separate({"--format", "flac", "--bitrate", "128"}).status == 2);
  CHECK(separate({"--flac", "--format", "mp3"}).status == 2);
  for (const char* format : {"mp3", "m4a"}) {
    if (!audio::can_write(std::string(".") + format)) {
      const Result refused = separate({"--format", format});
      CHECK(refused.status == 2);
      continue;
    }
    INFO(format);
    const Result result = separate({"--format", format});
    INFO(result.err);
    REQUIRE(result.status == 0);
    const fs::path path = folder / "o/song" / (std::string("x.") + format);
    const auto size = fs::file_size(path);
    const std::int64_t samples = audio::read_file(path).samples();
    CHECK(samples >= song.samples());
    CHECK(samples < song.samples() + (format == std::string("mp3") ? 1 : 1024));
    REQUIRE(separate({"--format", format, "--bitrate", "64"}).status == 0);
    CHECK(fs::file_size(path) < size / 2);
  }
}

TEST_CASE("targets are written or refused, whatever the method", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1, 2, 22050));
  const auto separate = [&](const std::string& method, const std::string& targets) {
    return call({.arguments = {"separate", "song.wav", "-m", method, "--targets", targets, "-o", "o-" + method},
                 .folder = folder.path()});
  };
  for (const char* method : {"rpca", "classic-4", "repet-sim", "hpss"}) {
    INFO(method);
    const std::string target = method == std::string("hpss") ? "drums" : "vocals";
    const Result some = separate(method, target);
    CHECK(some.status == 0);
    CHECK(lines(some.out) == std::vector<std::string>{std::string("o-") + method + "/song/" + target + ".wav"});
    const Result none = separate(method, "vocal");
    CHECK(none.status == 2);
    CHECK(contains(none.err, "the method has no stem 'vocal'"));
  }
}

TEST_CASE("masks of an oracle are shares of all stems, also where one is asked for", "[cli]") {
  const TempDir folder;
  audio::AudioBuffer mixture = tones(1);
  audio::add_to(mixture.span(), tones(9));
  write_audio(folder / "mix.wav", mixture);
  write_audio(folder / "refs/vocals.wav", tones(1));
  write_audio(folder / "refs/synth.wav", tones(9));
  const auto separate = [&](const std::string& out, std::vector<std::string> more) {
    std::vector<std::string> words = {"separate", "mix.wav", "-m", "irm2", "-o", out, "--references", "refs"};
    words.insert(words.end(), more.begin(), more.end());
    return call({.arguments = words, .folder = folder.path()});
  };
  REQUIRE(separate("all", {}).status == 0);
  const Result one = separate("one", {"--targets", "vocals"});
  CHECK(lines(one.out) == std::vector<std::string>{"one/mix/vocals.wav"});
  CHECK(largest_difference(audio::read_file(folder / "one/mix/vocals.wav"),
                           audio::read_file(folder / "all/mix/vocals.wav")) == 0);
}

TEST_CASE("one method at a time, and a double dash before names with dashes", "[cli]") {
  const TempDir folder;
  write_audio(folder / "-x.wav", tones(1, 1, 8000));
  const Result several = call({.arguments = {"separate", "a.wav", "-m", "mixture,nmf:components=2,alpha=2", "-o", "o"},
                               .folder = folder.path()});
  CHECK(several.status == 2);
  CHECK(contains(several.err, "mixture and nmf:components=2,alpha=2"));
  const Result dashed = call({.arguments = {"separate", "-m", "mixture", "-o", "o", "--targets", "t", "--", "-x.wav"},
                              .folder = folder.path()});
  INFO(dashed.err);
  CHECK(dashed.status == 0);
  CHECK(lines(dashed.out) == std::vector<std::string>{"o/-x/t.wav"});
  CHECK(mssbench({"datasets", "--", "list", "synthetic:songs=1,seconds=2"}).status == 0);
  CHECK(mssbench({"--", "datasets", "list", "synthetic:songs=1,seconds=2"}).status == 0);
}

TEST_CASE("details are told on request", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const Result result =
      call({.arguments = {"separate", "song.wav", "-m", "mixture", "-o", "o", "-v"}, .folder = folder.path()});
  CHECK(has_line(result.err, "mssbench: song\\.wav: wav/float32, 2 channels at 44100 Hz, 1\\.00 s"));
  CHECK(has_line(result.err, "mssbench: song\\.wav: 1\\.00 s of audio in \\d+\\.\\d\\d s .*"));
  CHECK(
      !contains(call({.arguments = {"separate", "song.wav", "-m", "mixture", "-o", "o"}, .folder = folder.path()}).err,
                "of audio in"));
}
