// mssbench evaluate.
#include <cmath>
#include <map>

#include "audio/file.h"
#include "core/file.h"
#include "core/json.h"
#include "core/rng.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

namespace {

/// Noise with a little of a tone in it: broadband, so that lags are well defined.
audio::AudioBuffer noise(std::uint32_t stream, std::int64_t samples = 132300) {
  audio::AudioBuffer audio(2, samples, 44100);
  core::Rng rng(17, stream);
  for (int c = 0; c < 2; ++c) {
    for (float& x : audio.channel(c)) x = static_cast<float>(0.1 * rng.normal());
  }
  return audio;
}

/// a + gain * b.
audio::AudioBuffer mix(const audio::AudioBuffer& a, const audio::AudioBuffer& b, float gain) {
  audio::AudioBuffer out(a.view());
  for (int c = 0; c < out.channels(); ++c) {
    for (std::size_t t = 0; t < out.channel(c).size(); ++t) out.channel(c)[t] += gain * b.channel(c)[t];
  }
  return out;
}

Result evaluate(const fs::path& folder, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "evaluate");
  return call({.arguments = arguments, .folder = folder});
}

}  // namespace

TEST_CASE("two plain folders are one track with museval's lines, JSON and records", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer a = noise(1), b = noise(2), c = noise(3);
  write_audio(folder / "true/vocals.wav", a);
  write_audio(folder / "true/drums.wav", b);
  write_audio(folder / "true/keys.wav", c);
  write_audio(folder / "mine/vocals.wav", mix(a, b, 0.1F));  // 20 dB
  fs::create_directories(folder / "mine");
  audio::write_file(folder / "mine/drums.flac", mix(b, c, 0.1F), {.format = audio::SampleFormat::pcm24});
  write_audio(folder / "mine/keys.wav", mix(c, a, 0.316228F));  // 10 dB
  const Result result = evaluate(folder.path(), {"true", "mine", "-o", "scores"});
  INFO(result.err);
  INFO(result.out);
  REQUIRE(result.status == 0);
  CHECK(!contains(result.err, "warning"));
  CHECK(has_line(
      result.out,
      R"(vocals          ==> SDR:  (19\.9|20\.0)\d\d  SIR: {1,3}\d+\.\d{3}  ISR: {1,3}\d+\.\d{3}  SAR: {1,3}\d+\.\d{3}  )"));
  CHECK(has_line(result.out, R"(drums           ==> SDR:  (19\.9|20\.0)\d\d  .*)"));
  CHECK(has_line(result.out,
                 R"(keys            ==> SDR:  (9\.9|10\.0)\d\d  .*|keys            ==> SDR:   (9\.9|10\.0)\d\d  .*)"));
  CHECK(has_line(result.out, "accompaniment   ==> SDR: .*"));
  CHECK(has_line(result.out, R"(records: scores/records\.jsonl)"));

  const std::string text = core::read_text_file(folder / "scores/mine.json");
  const core::Value json = core::parse_json(text, "mine.json");
  CHECK(json.at("museval_version").is_string());
  REQUIRE(json.at("targets").size() == 4);
  const core::Value& vocals = json.at("targets").as_array()[0];
  CHECK(vocals.at("name").as_string() == "vocals");
  REQUIRE(vocals.at("frames").size() == 3);
  const core::Value& frame = vocals.at("frames").as_array()[1];
  CHECK(frame.at("time").as_real() == 1.0);
  CHECK(frame.at("duration").as_real() == 1.0);
  CHECK(frame.at("metrics").at("SDR").as_real() == Approx(20.0).margin(0.1));
  CHECK(has_line(text, R"( {12}"SDR": \d+\.\d{5},)"));

  // A report can be made of it.
  const Result report = call({.arguments = {"report", "scores", "-o", "tables"}, .folder = folder.path()});
  INFO(report.err);
  REQUIRE(report.status == 0);
  CHECK(has_line(report.out, " +mine .*"));
  const Result named =
      evaluate(folder.path(), {"true", "mine", "-o", "named", "--name", "my separator v2", "--metrics", "sdr"});
  REQUIRE(named.status == 0);
  CHECK(contains(core::read_text_file(folder / "named/records.jsonl"), "\"spec\":\"my separator v2\""));
  CHECK(has_line(named.out, "vocals          ==> SDR:  (19\\.9|20\\.0)\\d\\d"));
  CHECK(!contains(named.out, "nan"));
}

TEST_CASE("the estimates of a run score in a tree as they did in the run", "[cli]") {
  const TempDir folder;
  const std::string songs = "synthetic:songs=2,seconds=2";
  REQUIRE(
      call({.arguments = {"run", "-d", songs, "-m", "irm2", "-o", "r", "--save-estimates"}, .folder = folder.path()})
          .status == 0);
  fs::path estimates;
  for (const auto& item : fs::directory_iterator(folder / "r/estimates")) estimates = item.path();
  const Result result = evaluate(folder.path(), {songs, estimates.string(), "-o", "e", "--name", "irm2"});
  INFO(result.err);
  INFO(result.out);
  REQUIRE(result.status == 0);
  CHECK(lines(result.out).front() == "Aggrated Scores (median over frames, median over tracks)");
  const auto scores = [](const fs::path& file) {
    std::vector<std::string> out;
    for (const std::string& line : lines(core::read_text_file(file))) {
      const core::Value record = core::parse_json(line, file.string());
      out.push_back(record.at("track").as_string() + record.at("scenario").as_string() +
                    record.at("target").as_string() + core::dump_json(record.at("scores")) +
                    core::dump_json(record.at("frames")) + record.at("fingerprint").as_string());
    }
    return out;
  };
  CHECK(scores(folder / "e/records.jsonl") == scores(folder / "r/records.jsonl"));
  std::size_t files = 0;
  for (const auto& item : fs::directory_iterator(folder / "e/test"))
    files += item.path().extension() == ".json" ? 1 : 0;
  CHECK(files == 2);
  // The same for one thread and for several.
  REQUIRE(evaluate(folder.path(), {songs, estimates.string(), "-o", "e3", "--name", "irm2", "--threads", "3"}).status ==
          0);
  CHECK(scores(folder / "e3/records.jsonl") == scores(folder / "e/records.jsonl"));
}

TEST_CASE("trees of stems without mixtures can be scored against", "[cli]") {
  const TempDir folder;
  for (const char* track : {"one", "two", "three"}) {
    write_audio(folder / "true/test" / track / "vocals.wav", noise(1));
    write_audio(folder / "true/test" / track / "rest.wav", noise(2));
  }
  write_audio(folder / "mine/one/vocals.wav", mix(noise(1), noise(2), 0.1F));
  write_audio(folder / "mine/one/rest.wav", mix(noise(2), noise(1), 0.1F));
  write_audio(folder / "mine/two/vocals.wav", mix(noise(1), noise(2), 0.1F));
  write_audio(folder / "mine/four/vocals.wav", noise(1));
  const Result result = evaluate(folder.path(), {"true", "mine", "-o", "e", "--json"});
  INFO(result.err);
  INFO(result.out);
  CHECK(result.status == 0);
  CHECK(contains(result.err, "mine/four: no track of the references is named like this; not scored"));
  CHECK(contains(result.err, "1 of 3 tracks have no estimates (the first is 'test/three')"));
  CHECK(fs::exists(folder / "e/test/one.json"));
  CHECK(fs::exists(folder / "e/test/two.json"));
  const core::Value list = core::parse_json(result.out, "evaluate --json");
  REQUIRE(list.size() == 2);
  CHECK(list.as_array()[0].at("scores").at("stems").at("vocals").at("SDR").as_real() == Approx(20).margin(0.1));
  CHECK(contains(core::read_text_file(folder / "e/records.jsonl"), "\"scenario\":\"stems:vocals\""));
}

TEST_CASE("what museval keeps quiet about: length, lag, gain, polarity, rate", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer a = noise(1), b = noise(2);
  write_audio(folder / "true/a.wav", a);
  write_audio(folder / "true/b.wav", b);
  const auto with_first = [&](const audio::AudioBuffer& first) {
    write_audio(folder / "mine/a.wav", first);
    write_audio(folder / "mine/b.wav", mix(b, a, 0.3F));
    return evaluate(folder.path(), {"true", "mine"});
  };
  const audio::AudioBuffer good = mix(a, b, 0.1F);  // 20 dB

  audio::AudioBuffer shorter(good.view());
  shorter.resize(132000);
  CHECK(has_line(
      with_first(shorter).err,
      "mssbench: warning: true: a.wav has 132000 samples, its reference 132300: padded with zeros at the end"));
  audio::AudioBuffer longer(good.view());
  longer.resize(140000);
  const Result cut = with_first(longer);
  CHECK(cut.status == 0);
  CHECK(has_line(cut.err, "mssbench: warning: true: a.wav has 140000 samples, its reference 132300: cut at the end"));

  audio::AudioBuffer late(2, 132300, 44100);
  for (int c = 0; c < 2; ++c)
    std::copy(good.channel(c).begin(), good.channel(c).end() - 1105, late.channel(c).begin() + 1105);
  CHECK(has_line(with_first(late).err,
                 R"(mssbench: warning: true: a: the estimate is 1105 samples \(25\.1 ms\) late; .* dB)"));
  CHECK(!contains(evaluate(folder.path(), {"true", "mine", "--alignment=false"}).err, "warning"));
  audio::AudioBuffer early(2, 132300, 44100);
  for (int c = 0; c < 2; ++c) std::copy(good.channel(c).begin() + 7, good.channel(c).end(), early.channel(c).begin());
  CHECK(has_line(with_first(early).err,
                 R"(mssbench: warning: true: a: the estimate is 7 samples \(0\.2 ms\) early; .*)"));

  audio::AudioBuffer half(good.view());
  for (int c = 0; c < 2; ++c) {
    for (float& x : half.channel(c)) x *= -0.5F;
  }
  const Result scaled = with_first(half);
  CHECK(has_line(scaled.err,
                 R"(mssbench: warning: true: a: the estimate has a constant gain of -(5\.[5-9]|6\.[0-4]) dB)"));
  CHECK(has_line(scaled.err, "mssbench: warning: true: a: the estimate has inverted polarity"));
  // Neither a good estimate nor the plain mixture is suspected.
  CHECK(!contains(with_first(good).err, "warning"));
  CHECK(!contains(with_first(mix(a, b, 1.0F)).err, "warning"));
  // A mediocre one neither (a correlation of 0.62, a fifth of the level), late or not, nor one with a channel inverted,
  // nor a few samples.
  audio::AudioBuffer mediocre = mix(a, b, 1.27F);
  for (int c = 0; c < 2; ++c) {
    for (float& x : mediocre.channel(c)) x *= 0.2F;
  }
  CHECK(!contains(with_first(mediocre).err, "warning"));
  for (int c = 0; c < 2; ++c) {
    std::copy_backward(mediocre.channel(c).begin(), mediocre.channel(c).end() - 500, mediocre.channel(c).end());
    std::fill_n(mediocre.channel(c).begin(), 500, 0.0F);
  }
  CHECK(!contains(with_first(mediocre).err, "warning"));
  audio::AudioBuffer crossed(good.view());
  for (float& x : crossed.channel(1)) x = -x;
  CHECK(!contains(with_first(crossed).err, "warning"));
  write_audio(folder / "few/true/a.wav", noise(1, 4000));
  audio::AudioBuffer few = noise(1, 4000);
  for (int c = 0; c < 2; ++c) {
    for (float& x : few.channel(c)) x *= 0.25F;
  }
  write_audio(folder / "few/mine/a.wav", few);
  CHECK(!contains(evaluate(folder.path(), {"few/true", "few/mine"}).err, "constant gain"));

  write_audio(folder / "mine/a.wav", tones(1, 2, 132300, 48000));
  const Result rate = evaluate(folder.path(), {"true", "mine"});
  CHECK(rate.status == 3);
  CHECK(has_line(rate.err, "mssbench: error: .*mine/a\\.wav: another sample rate than the references"));
  CHECK(has_line(rate.err, "  expected: 44100 Hz"));
  CHECK(has_line(rate.err, "  found: 48000 Hz"));
}

TEST_CASE("a track that fails does not stop the others", "[cli]") {
  const TempDir folder;
  for (const char* track : {"one", "two"}) {
    write_audio(folder / "true/test" / track / "vocals.wav", noise(1));
    write_audio(folder / "true/test" / track / "rest.wav", noise(2));
    write_audio(folder / "mine/test" / track / "vocals.wav", noise(1));
  }
  audio::AudioBuffer broken = noise(1);
  broken.channel(0)[500] = INFINITY;
  write_audio(folder / "mine/test/two/vocals.wav", broken);
  const Result result = evaluate(folder.path(), {"true", "mine", "-o", "e"});
  CHECK(result.status == 6);
  CHECK(contains(result.err, "two/vocals.wav: a sample is not a number"));
  CHECK(contains(result.err, "found: inf at channel 0, sample 500"));
  CHECK(fs::exists(folder / "e/test/one.json"));
  CHECK(!fs::exists(folder / "e/test/two.json"));
  CHECK(contains(core::read_text_file(folder / "e/records.jsonl"), "\"error\":{\"code\":\"numeric\""));
}

TEST_CASE("evaluate says what it misses", "[cli]") {
  const TempDir folder;
  write_audio(folder / "true/vocals.wav", noise(1));
  write_audio(folder / "true/drums.wav", noise(2));
  write_audio(folder / "mine/piano.wav", noise(2));
  fs::create_directory(folder / "empty");
  const Result nothing = evaluate(folder.path(), {"true", "empty"});
  CHECK(nothing.status == 3);
  CHECK(contains(nothing.err, "empty: no estimates found"));
  CHECK(contains(nothing.err, "expected: [subset/]track/target.wav"));
  CHECK(evaluate(folder.path(), {"true", "gone"}).status == 3);
  const Result other = evaluate(folder.path(), {"true", "mine"});
  CHECK(other.status == 3);
  CHECK(contains(other.err, "no estimate has a reference"));
  CHECK(contains(other.err, "expected: drums, vocals"));
  CHECK(contains(other.err, "found: piano.wav"));
  const Result plain = evaluate(folder.path(), {"synthetic", "mine"});
  CHECK(plain.status == 3);
  CHECK(contains(plain.err, "no references beside the one folder of estimates"));
}

TEST_CASE("a MUSDB stem file is a reference by itself", "[cli]") {
  MSS_REQUIRE_TEST_DATA(data);
  fs::path clip;
  for (const auto& item : fs::recursive_directory_iterator(data / "musdb18_clips")) {
    if (item.path().string().ends_with(".stem.mp4")) clip = item.path();
  }
  REQUIRE(!clip.empty());
  const TempDir folder;
  const std::vector<audio::AudioBuffer> streams = audio::read_streams(clip);
  write_audio(folder / "mine/drums.wav", streams.at(0));
  write_audio(folder / "mine/vocals.wav", streams.at(4));
  const Result result = evaluate(folder.path(), {clip.string(), "mine", "--metrics", "sdr"});
  INFO(result.err);
  INFO(result.out);
  CHECK(result.status == 0);
  CHECK(has_line(result.out, "vocals          ==> SDR: +inf"));
  CHECK(has_line(result.out, "drums           ==> SDR: +-?\\d+\\.\\d{3}"));
}

TEST_CASE("sets of two stems are scored in a tree as in one folder", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer a = noise(1), b = noise(2);
  for (const char* name : {"accompaniment", "other"}) {
    const fs::path root = folder / name;
    write_audio(root / "ds/test/A" / (std::string(name) + ".wav"), b);
    write_audio(root / "ds/test/A/vocals.wav", a);
    write_audio(root / "ds/test/A/mixture.wav", mix(a, b, 1));
    write_audio(root / "est/htdemucs/A/Vocals.wav", mix(a, b, 0.1F));  // 20 dB
    write_audio(root / "est/htdemucs/A/no_vocals.wav", mix(b, a, 0.1F));
    const Result result = evaluate(root, {"ds", "est", "-o", "scores"});
    INFO(name << "\n" << result.err << result.out);
    REQUIRE(result.status == 0);
    CHECK(has_line(result.out, R"(vocals          ==> SDR:  (19\.9|20\.0)\d\d  .*)"));
    CHECK(has_line(result.out, R"(accompaniment   ==> SDR:  (19\.9|20\.0)\d\d  .*)"));
    CHECK(contains(result.err, "'no_vocals' is taken for 'accompaniment'"));
    CHECK(contains(result.err, "taken from htdemucs"));
    const Result oracle =
        call({.arguments = {"separate", "ds/test/A/mixture.wav", "-m", "irm2", "--references", "ds/test/A", "-o", "o"},
              .folder = root});
    REQUIRE(oracle.status == 0);
    const audio::AudioBuffer vocals = audio::read_file(root / "o/mixture/vocals.wav");
    const audio::AudioBuffer whole = mix(a, b, 1);
    float largest = 0;
    for (std::size_t t = 0; t < vocals.channel(0).size(); ++t)
      largest = std::max(largest, std::abs(vocals.channel(0)[t] - whole.channel(0)[t]));
    CHECK(largest > 0.01F);  // the mask is none of ones
    CHECK(fs::exists(root / "o/mixture/accompaniment.wav"));
  }
}

TEST_CASE("medians are over one problem, and silence is named", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer a = noise(1), b = noise(2), c = noise(3);
  for (const char* track : {"A", "B", "C"}) {
    write_audio(folder / "ref" / track / "vocals.wav", a);
    write_audio(folder / "ref" / track / "drums.wav", b);
    write_audio(folder / "ref" / track / "keys.wav", c);
    write_audio(folder / "est" / track / "vocals.wav", mix(a, b, 0.1F));
    write_audio(folder / "est" / track / "drums.wav", mix(b, c, 0.1F));
    write_audio(folder / "est" / track / "keys.wav", mix(c, a, 0.1F));
  }
  fs::remove(folder / "est/B/keys.wav");
  write_audio(folder / "ref/C/drums.wav", mix(b, b, -1));
  const Result result = evaluate(folder.path(), {"ref", "est", "-o", "scores", "--metrics", "sdr"});
  INFO(result.err << result.out);
  REQUIRE(result.status == 0);
  CHECK(contains(result.err, "B: no estimate of keys, where most tracks have all estimates"));
  CHECK(contains(result.err, "C: silent reference: drums"));
  // Tracks A and C are left: vocals 20 dB in both.
  CHECK(has_line(result.out, R"(.*vocals.*(19\.9|20\.0)\d*.*)"));

  const Result silent = evaluate(folder.path(), {"ref/A", "est/A"});
  CHECK(!contains(silent.err, "silent"));
  write_audio(folder / "est/A/keys.wav", mix(c, c, -1));
  CHECK(contains(evaluate(folder.path(), {"ref/A", "est/A"}).err, "A: silent estimate: keys"));
}

TEST_CASE("two sets of estimates below one folder are refused by name", "[cli]") {
  const TempDir folder;
  for (const char* path : {"ref/A/vocals.wav", "ref/A/drums.wav", "est/one/A/vocals.wav", "est/two/A/vocals.wav"}) {
    write_audio(folder / path, noise(4, 44100));
  }
  const Result result = evaluate(folder.path(), {"ref", "est"});
  CHECK(result.status == 3);
  CHECK(contains(result.err, "two folders of estimates for this track"));
  CHECK(contains(result.err, "est/one/A and est/two/A"));
}

TEST_CASE("a folder of estimates called run spares the run's description, and a row has a name", "[cli]") {
  const TempDir folder;
  write_audio(folder / "true/vocals.wav", tones(0));
  write_audio(folder / "run/vocals.wav", tones(1));
  core::write_file_atomic(folder / "run.json", "{}");
  REQUIRE(evaluate(folder.path(), {"true", "run", "-o", ".", "--metrics", "sdr"}).status == 0);
  CHECK(core::read_text_file(folder / "run.json") == "{}");
  CHECK(fs::exists(folder / "run.museval.json"));
  const Result nameless = evaluate(folder.path(), {"true", "run", "--name", ""});
  CHECK(nameless.status == 2);
  CHECK(contains(nameless.err, "a row needs a name"));
}

TEST_CASE("evaluate adds to the records that a folder holds, and refuses what does not fit", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer a = noise(1, 44100), b = noise(2, 44100);
  for (const char* track : {"A", "B"}) {
    write_audio(folder / "ds/test" / track / "vocals.wav", a);
    write_audio(folder / "ds/test" / track / "drums.wav", b);
    write_audio(folder / "ds/test" / track / "mixture.wav", mix(a, b, 1));
    write_audio(folder / "one/test" / track / "vocals.wav", mix(a, b, 0.1F));
    write_audio(folder / "one/test" / track / "drums.wav", mix(b, a, 0.1F));
    write_audio(folder / "two/test" / track / "vocals.wav", mix(a, b, 0.2F));
    write_audio(folder / "two/test" / track / "drums.wav", mix(b, a, 0.2F));
  }
  const auto rows = [&] {
    std::map<std::string, int> out;
    for (const std::string& line : lines(core::read_text_file(folder / "r/records.jsonl")))
      ++out[core::parse_json(line, "r").at("spec").as_string()];
    return out;
  };
  using Rows = std::map<std::string, int>;
  REQUIRE(
      call({.arguments = {"run", "-d", "ds", "-m", "mixture", "-o", "r", "--metrics", "sdr"}, .folder = folder.path()})
          .status == 0);
  REQUIRE(rows() == Rows{{"mixture", 4}});
  // In two batches, beside what is there.
  fs::create_directories(folder / "half/test");
  fs::rename(folder / "one/test/B", folder / "half/test/B");
  CHECK(evaluate(folder.path(), {"ds", "one", "-o", "r", "--name", "m", "--metrics", "sdr"}).status == 0);
  CHECK(rows() == Rows{{"m", 2}, {"mixture", 4}});
  CHECK(evaluate(folder.path(), {"ds", "half", "-o", "r", "--name", "m", "--metrics", "sdr"}).status == 0);
  CHECK(rows() == Rows{{"m", 4}, {"mixture", 4}});
  CHECK(fs::exists(folder / "r/test/A.json"));
  CHECK(fs::exists(folder / "r/test/B.json"));
  // The same again changes nothing; other scores of the row are refused, and nothing is written.
  const std::string before = core::read_text_file(folder / "r/records.jsonl");
  CHECK(evaluate(folder.path(), {"ds", "half", "-o", "r", "--name", "m", "--metrics", "sdr"}).status == 0);
  CHECK(core::read_text_file(folder / "r/records.jsonl") == before);
  const Result refused = evaluate(folder.path(), {"ds", "two", "-o", "r", "--name", "m", "--metrics", "sdr"});
  CHECK(refused.status == 3);
  CHECK(contains(refused.err, "other scores"));
  CHECK(contains(refused.err, "another name"));
  CHECK(core::read_text_file(folder / "r/records.jsonl") == before);
  // Another row's files of museval's stand beside.
  const std::string json = core::read_text_file(folder / "r/test/A.json");
  CHECK(evaluate(folder.path(), {"ds", "two", "-o", "r", "--name", "m2", "--metrics", "sdr"}).status == 0);
  CHECK(rows() == Rows{{"m", 4}, {"m2", 4}, {"mixture", 4}});
  CHECK(core::read_text_file(folder / "r/test/A.json") == json);
  CHECK(fs::exists(folder / "r/m2/test/A.json"));

  // Another song under the name of A.
  write_audio(folder / "ds/test/A/vocals.wav", noise(5, 44100));
  const Result mixed = evaluate(folder.path(), {"ds", "two", "-o", "r", "--name", "late", "--metrics", "sdr"});
  CHECK(mixed.status == 3);
  CHECK(contains(mixed.err, "test/A"));
  CHECK(contains(mixed.err, "--allow-mixed"));
  CHECK(rows().size() == 3);
  CHECK(
      evaluate(folder.path(), {"ds", "two", "-o", "r", "--name", "late", "--metrics", "sdr", "--allow-mixed"}).status ==
      0);
  CHECK(rows().size() == 4);
  const Result report = call({.arguments = {"report", "r", "-o", "t"}, .folder = folder.path()});
  CHECK(report.status == 3);
  CHECK(contains(report.err, "test/A: audio "));
  const Result flagged = call({.arguments = {"report", "r", "-o", "t", "--allow-mixed"}, .folder = folder.path()});
  CHECK(flagged.status == 0);
  CHECK(has_line(flagged.out, "  late .*!.*"));
  CHECK(contains(flagged.out, "! late: other audio than other rows"));
  // The run makes its own row again, and says so.
  const Result again =
      call({.arguments = {"run", "-d", "ds", "-m", "mixture", "-o", "r", "--metrics", "sdr"}, .folder = folder.path()});
  CHECK(again.status == 0);
  CHECK(contains(again.err, "1 result is of other audio than now and made again: A"));
  CHECK(contains(again.err, "in rows that were not asked for now: m, m2"));
}

TEST_CASE("perfect frames are inf on the console and in tables, and rank first", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer a = noise(1, 4 * 8000), b = noise(2, 4 * 8000);
  const auto at_8k = [](const audio::AudioBuffer& x) {
    audio::AudioBuffer out(2, x.samples(), 8000);
    for (int c = 0; c < 2; ++c) std::copy(x.channel(c).begin(), x.channel(c).end(), out.channel(c).begin());
    return out;
  };
  const auto part = [&](const audio::AudioBuffer& x, const audio::AudioBuffer& y) {
    audio::AudioBuffer out = mix(x, y, 0.12F);
    for (int c = 0; c < 2; ++c)
      std::copy(x.channel(c).begin(), x.channel(c).begin() + 3 * 8000, out.channel(c).begin());
    return out;
  };
  const std::vector<std::pair<std::string, std::pair<audio::AudioBuffer, audio::AudioBuffer>>> sets = {
      {"ref", {a, b}},
      {"copy", {a, b}},
      {"mostly", {part(a, b), part(b, a)}},
      {"never", {mix(a, b, 0.1F), mix(b, a, 0.1F)}}};
  for (const auto& [name, stems] : sets) {
    write_audio(folder / name / "vocals.wav", at_8k(stems.first));
    write_audio(folder / name / "drums.wav", at_8k(stems.second));
  }
  const Result copy = evaluate(folder.path(), {"ref", "copy", "-o", "c"});
  REQUIRE(copy.status == 0);
  CHECK(has_line(copy.out, "vocals          ==> SDR:     inf  SIR:     inf  ISR:     inf  SAR:     inf  "));
  CHECK(!contains(copy.out, "nan"));
  CHECK(contains(core::read_text_file(folder / "c/copy.json"), "\"SDR\": NaN"));  // museval's rule
  // Three of four frames are perfect: the median is infinite.
  const Result mostly = evaluate(folder.path(), {"ref", "mostly", "-o", "m"});
  CHECK(has_line(mostly.out, "vocals          ==> SDR:     inf .*"));
  REQUIRE(evaluate(folder.path(), {"ref", "never", "-o", "n"}).status == 0);
  const Result report =
      call({.arguments = {"report", "c", "m", "n", "-o", "t", "--metrics", "SDR,uSDR"}, .folder = folder.path()});
  REQUIRE(report.status == 0);
  std::vector<std::string> order;
  for (const std::string& line : lines(report.out)) {
    for (const char* row : {"copy", "mostly", "never"})
      if (line.starts_with(std::string("  ") + row + " ")) order.emplace_back(row);
  }
  CHECK(order == std::vector<std::string>{"copy", "mostly", "never"});
  const core::Value json = core::parse_json(core::read_text_file(folder / "t/table.json"), "table.json");
  CHECK(contains(core::read_text_file(folder / "t/table.csv"), ",inf,"));
  CHECK(json.at("schema").as_integer() == 2);
}

TEST_CASE("NSDR of MIR-1K and the SDR of torchmetrics", "[cli]") {
  const TempDir folder;
  const audio::AudioBuffer a = noise(1, 44100), b = noise(2, 44100);
  write_audio(folder / "ref/A/vocals.wav", a);
  write_audio(folder / "ref/A/drums.wav", b);
  write_audio(folder / "ref/A/mixture.wav", mix(a, b, 1));
  write_audio(folder / "est/A/vocals.wav", mix(a, b, 0.1F));
  write_audio(folder / "est/A/drums.wav", mix(b, a, 0.1F));
  const Result result = evaluate(folder.path(), {"ref", "est", "-o", "s", "--metrics", "nsdr,gnsdr,torchmetrics"});
  INFO(result.err);
  REQUIRE(result.status == 0);
  const core::Value record =
      core::parse_json(lines(core::read_text_file(folder / "s/records.jsonl")).front(), "record");
  // White noises of one level: 20 dB against 0 dB, but for what 512 taps fit of 44,100 samples (below 0.1 dB).
  CHECK(record.at("scores").at("NSDR").as_real() == Approx(20).margin(0.2));
  CHECK(record.at("scores").at("SDR-torchmetrics").as_real() == Approx(20).margin(0.2));
  CHECK(record.at("scores").find("SIR") == nullptr);
  const Result report =
      call({.arguments = {"report", "s", "-o", "t", "--metrics", "NSDR,GNSDR"}, .folder = folder.path()});
  CHECK(report.status == 0);
  CHECK(contains(core::read_text_file(folder / "t/table.md"), "GNSDR"));
  const Result wrong = evaluate(folder.path(), {"ref", "est", "--metrics", "nsdrr"});
  CHECK(wrong.status == 2);
  CHECK(contains(wrong.err, "nsdr"));
}

TEST_CASE("references with an empty band: a warning, and what helps", "[cli]") {
  // Stems whose upper half is empty down to the rounding of 24 bits, silent around.
  const auto low = [](std::uint32_t stream) {
    audio::AudioBuffer out(2, 3 * 44100, 44100);
    const audio::AudioBuffer source = noise(stream, 3 * 44100);
    std::vector<double> filter(1201);
    for (int k = -600; k <= 600; ++k) {
      const double x = k / 600.0, t = 3.14159265358979 * k;
      filter[static_cast<std::size_t>(k + 600)] = (k == 0 ? 0.5 : std::sin(0.5 * t) / t) *
                                                  std::cyl_bessel_i(0.0, 17.2 * std::sqrt(1 - x * x)) /
                                                  std::cyl_bessel_i(0.0, 17.2);
    }
    for (int c = 0; c < 2; ++c)
      for (int t = 22050; t < 22050 + 66150; ++t) {
        double sum = 0;
        // Every 8th sample of noise, so that the test does not take long.
        for (int k = -600 + ((t + 600) & 7); k <= 600; k += 8) {
          const int at = t - k;
          if (at >= 24000 && at < 86000)
            sum += filter[static_cast<std::size_t>(k + 600)] * source.channel(c)[static_cast<std::size_t>(at)];
        }
        out.channel(c)[static_cast<std::size_t>(t)] = static_cast<float>(4 * sum);
      }
    return out;
  };
  const TempDir folder;
  const audio::AudioBuffer a = low(1), b = low(2);
  for (const auto& [name, format] :
       {std::pair{"fine", audio::SampleFormat::pcm24}, std::pair{"coarse", audio::SampleFormat::pcm16}}) {
    fs::create_directories(folder / name);
    audio::write_file(folder / name / "vocals.wav", a, {.format = format});
    audio::write_file(folder / name / "drums.wav", b, {.format = format});
  }
  write_audio(folder / "est/vocals.wav", mix(mix(a, b, 0.1F), noise(3), 0.002F));
  write_audio(folder / "est/drums.wav", mix(mix(b, a, 0.1F), noise(4), 0.002F));
  const Result fine = evaluate(folder.path(), {"fine", "est", "-o", "f", "--metrics", "all,stable"});
  INFO(fine.err);
  REQUIRE(fine.status == 0);
  CHECK(contains(fine.err, "hang on the last bits of the references"));
  CHECK(contains(fine.err, "16-bit grid"));
  const Result coarse = evaluate(folder.path(), {"coarse", "est", "-o", "g", "--metrics", "all,stable"});
  CHECK(!contains(coarse.err, "hang on the last bits"));
  const core::Value record =
      core::parse_json(lines(core::read_text_file(folder / "f/records.jsonl")).front(), "record");
  CHECK(record.at("ill_conditioned").as_bool());
  CHECK(record.at("condition").as_real() > 1e13);
  CHECK(record.at("scores").find("SIR-stable") != nullptr);
  const Result report = call({.arguments = {"report", "f", "-o", "t"}, .folder = folder.path()});
  CHECK(contains(report.out, "~ ISR, SIR and SAR hang on the last bits"));
}

TEST_CASE("scoring that nobody waits for is refused with the way to allow it", "[cli]") {
  const TempDir folder;
  for (int stem = 0; stem < 100; ++stem) {
    const std::string name = "s" + std::to_string(stem) + ".wav";
    write_audio(folder / "true" / name, tones(stem, 2, 4000));
    write_audio(folder / "mine" / name, tones(stem + 1, 2, 4000));
  }
  const Result refused = evaluate(folder.path(), {"true", "mine"});
  CHECK(refused.status != 0);
  CHECK(contains(refused.err, "hours"));
  CHECK(contains(refused.err, "--allow-long"));
  CHECK(evaluate(folder.path(), {"true", "mine", "--metrics", "sdr"}).status == 0);
}

TEST_CASE("one subset of a tree can be scored alone", "[cli]") {
  const TempDir folder;
  for (const char* track : {"train/a", "test/b"}) {
    for (const char* stem : {"vocals", "drums"}) {
      const audio::AudioBuffer x = tones(stem[0] == 'v' ? 1 : 5, 1, 16000, 8000);
      write_audio(folder / "ref" / track / (std::string(stem) + ".wav"), x);
      write_audio(folder / "est" / track / (std::string(stem) + ".wav"), x);
    }
    write_audio(folder / "ref" / track / "mixture.wav", tones(2, 1, 16000, 8000));
  }
  const auto tracks = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"evaluate", "ref", "est", "--metrics", "sdr", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = call({.arguments = words, .folder = folder.path()});
    std::vector<std::string> out;
    if (result.status != 0) return out;
    const core::Value list = core::parse_json(result.out, "evaluate");
    for (const core::Value& track : list.as_array()) {
      out.push_back(track.at("track").as_string());
    }
    return out;
  };
  CHECK(tracks({}) == std::vector<std::string>{"b", "a"});
  CHECK(tracks({"--subset", "test"}) == std::vector<std::string>{"b"});
  CHECK(tracks({"--subset", "train"}) == std::vector<std::string>{"a"});
  fs::remove_all(folder / "est/test");
  const Result none = call({.arguments = {"evaluate", "ref", "est", "--subset", "test"}, .folder = folder.path()});
  CHECK(none.status == 3);
  CHECK(contains(none.err, "no track of the subset 'test' has estimates"));
}
