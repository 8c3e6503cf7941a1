// The filter behind methods, and the multichannel Wiener oracles.
#include <cmath>
#include <string>

#include "audio/file.h"
#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "methods/filters/register.h"
#include "methods/oracle/oracle.h"
#include "methods/registry.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using audio::AudioBuffer;

namespace {

const methods::Registry& registry() {
  static const methods::Registry value = [] {
    methods::Registry r;
    methods::oracle::add_methods(r);
    methods::filters::add_methods(r);
    methods::filters::add_filters(r);
    return r;
  }();
  return value;
}

struct Song {
  AudioBuffer mixture;
  std::vector<std::string> names;
  std::vector<AudioBuffer> stems;

  methods::StemSet separate(const std::string& spec, int threads = 1) const {
    std::vector<audio::AudioView> views(stems.begin(), stems.end());
    methods::Options options;
    options.threads = threads;
    return registry().make(spec)->separate(mixture, names, views, options);
  }
};

/// Noise bursts at three places in the stereo picture.
Song synthetic(int channels, std::int64_t samples, int rate_hz = 44100) {
  Song song{AudioBuffer(channels, samples, rate_hz), {"vocals", "drums", "bass"}, {}};
  for (std::uint32_t s = 0; s < 3; ++s) {
    core::Rng rng(4, 9, s);
    AudioBuffer stem(channels, samples, rate_hz);
    double low = 0;
    for (std::int64_t t = 0; t < samples; ++t) {
      low += (0.02 + 0.2 * s) * (rng.normal() - low);
      const double gate = (t / 9000 + s) % 3 == 0 ? 0.02 : 0.2;
      for (int c = 0; c < channels; ++c) {
        const double gain = c == 0 ? 1.0 - 0.3 * s : 0.3 + 0.3 * s;
        stem.channel(c)[static_cast<std::size_t>(t)] = static_cast<float>(gate * (gain * low + 0.02 * rng.normal()));
      }
    }
    audio::add_to(song.mixture.span(), stem);
    song.stems.push_back(std::move(stem));
  }
  return song;
}

double sum_error_db(audio::AudioView mixture, const methods::StemSet& stems) {
  double error = 0, energy = 0;
  for (int c = 0; c < mixture.channels(); ++c) {
    for (std::int64_t t = 0; t < mixture.samples(); ++t) {
      const auto at = static_cast<std::size_t>(t);
      double rest = mixture.channel(c)[at];
      energy += rest * rest;
      for (const AudioBuffer& stem : stems.audio) rest -= stem.channel(c)[at];
      error += rest * rest;
    }
  }
  return energy == 0 ? (error == 0 ? -400.0 : 400.0) : 10 * std::log10(error / energy + 1e-40);
}

double sdr_db(audio::AudioView truth, audio::AudioView estimate) {
  double error = 0, energy = 0;
  for (int c = 0; c < truth.channels(); ++c) {
    for (std::size_t t = 0; t < static_cast<std::size_t>(truth.samples()); ++t) {
      const double s = truth.channel(c)[t], e = s - estimate.channel(c)[t];
      energy += s * s;
      error += e * e;
    }
  }
  return 10 * std::log10(energy / error);
}

template <class Call>
core::Error error_of(const Call& call) {
  try {
    call();
  } catch (const core::Error& error) {
    return error;
  }
  FAIL("no error was thrown");
  throw;
}

bool same_bits(const methods::StemSet& a, const methods::StemSet& b) {
  if (a.names != b.names) return false;
  for (std::size_t s = 0; s < a.audio.size(); ++s) {
    for (int c = 0; c < a.audio[s].channels(); ++c) {
      const auto x = a.audio[s].channel(c), y = b.audio[s].channel(c);
      if (!std::equal(x.begin(), x.end(), y.begin(), y.end())) return false;
    }
  }
  return true;
}

/// Every track of the real audio with its stems, decoded.
template <class Use>
void for_each_song(const std::filesystem::path& data, const Use& use) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data / "musdb18_clips")) {
    if (entry.path().extension() != ".mp4") continue;
    std::vector<AudioBuffer> streams = audio::read_streams(entry.path());
    Song song{std::move(streams[0]), {"drums", "bass", "other", "vocals"}, {}};
    for (std::size_t s = 1; s < streams.size(); ++s) song.stems.push_back(std::move(streams[s]));
    use(entry.path().filename().string(), song);
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data / "evr_cc0")) {
    if (entry.path().filename() != "mixture.flac") continue;
    Song song{audio::read_file(entry.path()), {"vocals", "drums", "bass", "other"}, {}};
    for (const auto& name : song.names) {
      song.stems.push_back(audio::read_file(entry.path().parent_path() / (name + ".flac")));
    }
    use(entry.path().parent_path().filename().string(), song);
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data / "mir1k_subset")) {
    if (entry.path().extension() != ".wav") continue;
    const AudioBuffer both = audio::read_file(entry.path());
    Song song{AudioBuffer(1, both.samples(), both.rate_hz()), {"accompaniment", "vocals"}, {}};
    for (int c = 0; c < 2; ++c) {
      AudioBuffer stem(1, both.samples(), both.rate_hz());
      std::copy(both.channel(c).begin(), both.channel(c).end(), stem.channel(0).begin());
      audio::add_to(song.mixture.span(), stem);
      song.stems.push_back(std::move(stem));
    }
    use(entry.path().filename().string(), song);
  }
}

}  // namespace

TEST_CASE("wiener: spec strings of the filter", "[wiener]") {
  const auto canonical = [](const std::string& spec) { return registry().canonical(spec); };
  CHECK(canonical("irm1|wiener") == "irm1|wiener");
  CHECK(canonical("irm1|wiener:iters=1,mode=clean,window=300,residual=false") == "irm1|wiener");
  CHECK(canonical("irm1 | wiener: iters=2, residual=true") == "irm1|wiener:iters=2,residual=true");
  CHECK(canonical("mwf|wiener|wiener:mode=norbert") == "mwf|wiener|wiener:mode=norbert");
  const auto separator = registry().make("irm1|wiener:residual=true");
  CHECK(separator->targets_for({"a", "b"}) == std::vector<std::string>{"a", "b", "residual"});
  CHECK(separator->info().spec == "irm1|wiener:residual=true");
  const auto refused = [](const std::string& spec) {
    return error_of([&] { registry().make(spec); }).code() == core::Code::config;
  };
  CHECK(refused("irm1|wiener:iters=-1"));
  CHECK(refused("irm1|wiener:mode=fast"));
  CHECK(refused("irm1|wiener:mode=norbert,overlap=10"));
  CHECK(refused("irm1|wiener:overlap=200"));
  CHECK(refused("irm1|wiener:alpha=2,softmask=false"));
  CHECK(refused("irm1|wiener:phase=stems"));
  CHECK(refused("irm1|wiener:input=stems,phase=stems,softmask=true"));
}

TEST_CASE("wiener: the filter's stems add up to the mixture, whatever it is given", "[wiener]") {
  for (const int channels : {1, 2, 3}) {
    const Song song = synthetic(channels, channels == 2 ? 44100 * 9 : 44100 * 2);  // 9 s: two windows
    for (const std::string method : {"irm1", "mwf"}) {
      for (const std::string options : {"wiener", "wiener:residual=true,iters=2", "wiener:input=stems",
                                        "wiener:input=stems,softmask=true,residual=true", "wiener:window=50,overlap=20",
                                        "wiener:iters=0,softmask=false", "wiener:window=0,alpha=2"}) {
        if (channels != 2 && options.find("window") != std::string::npos) continue;
        INFO(channels << " channels, " << method << "|" << options);
        const auto stems = song.separate(method + "|" + options);
        const bool residual = options.find("residual") != std::string::npos;
        REQUIRE(stems.names.size() == (residual ? 4 : 3));
        CHECK(sum_error_db(song.mixture, stems) < -120);
        if (options.find("iters=0") != std::string::npos) continue;
        for (std::size_t s = 0; s < 3; ++s) CHECK(sdr_db(song.stems[s], stems.audio[s]) > 3);
      }
    }
  }
}

TEST_CASE("wiener: short and silent audio", "[wiener]") {
  for (const std::int64_t samples : {1, 2, 100, 2048, 5000}) {
    const Song song = synthetic(2, samples);
    for (const std::string spec : {"irm2|wiener", "irm2|wiener:input=stems", "irm2|wiener:mode=norbert",
                                   "irm2|wiener:mode=openunmix,residual=true", "mwf", "mwf|wiener"}) {
      INFO(samples << " samples, " << spec);
      const auto stems = song.separate(spec);
      for (const auto& stem : stems.audio) {
        CHECK(stem.samples() == samples);
        CHECK(audio::find_non_finite(stem).channel == -1);
      }
      if (spec.find("mode") == std::string::npos && spec != "mwf") CHECK(sum_error_db(song.mixture, stems) < -120);
    }
  }
  Song silence = synthetic(2, 30000);
  silence.mixture = AudioBuffer(2, 30000, 44100);
  for (auto& stem : silence.stems) stem = silence.mixture;
  for (const std::string spec : {"irm2|wiener", "irm2|wiener:input=stems,residual=true", "mwf", "mwf-sisec18"}) {
    INFO(spec);
    for (const auto& stem : silence.separate(spec).audio) CHECK(audio::is_silent(stem));
  }
}

TEST_CASE("wiener: the filter and the oracles give the same bits for any number of threads", "[wiener]") {
  const Song song = synthetic(2, 44100 * 8);
  for (const std::string spec : {"irm1|wiener:iters=2,residual=true", "irm1|wiener:input=stems", "mwf", "mwf-sisec18",
                                 "irm1|wiener:mode=openunmix"}) {
    INFO(spec);
    CHECK(same_bits(song.separate(spec, 1), song.separate(spec, 3)));
  }
}

TEST_CASE("wiener: what a filter refuses", "[wiener]") {
  Song song = synthetic(2, 30000);
  CHECK(error_of([&] { song.separate("mwf|wiener:input=magnitudes"); }).code() == core::Code::config);
  // Magnitudes are only offered to the filter that stands directly behind the method.
  CHECK(error_of([&] { song.separate("irm1|wiener|wiener:input=magnitudes"); }).code() == core::Code::config);
  CHECK(error_of([&] { song.separate("irm1|wiener:residual=true|wiener:residual=true"); }).code() ==
        core::Code::invalid_argument);
  Song lonely = synthetic(2, 30000);
  lonely.names.resize(1);
  lonely.stems.resize(1);
  CHECK(error_of([&] { lonely.separate("irm1|wiener:mode=openunmix"); }).code() == core::Code::invalid_argument);
  CHECK(lonely.separate("irm1|wiener:mode=openunmix,residual=true").names.size() == 2);
  CHECK(lonely.separate("irm1|wiener:mode=openunmix,iters=0").names.size() == 1);
  CHECK(sum_error_db(lonely.mixture, lonely.separate("irm1|wiener")) < -120);
  CHECK(error_of([&] { synthetic(3, 30000).separate("irm1|wiener:mode=openunmix"); }).code() ==
        core::Code::invalid_argument);
}

TEST_CASE("wiener: the references' modes through the whole chain", "[wiener]") {
  const Song song = synthetic(2, 44100 * 8);
  for (const std::string mode : {"norbert", "openunmix"}) {
    const auto stems = song.separate("irm1|wiener:mode=" + mode);
    for (std::size_t s = 0; s < 3; ++s) CHECK(sdr_db(song.stems[s], stems.audio[s]) > 3);
    // They miss the mixture by their regulariser; the clean mode does not.
    CHECK(sum_error_db(song.mixture, stems) > -120);
  }
}

TEST_CASE("wiener: the oracles' memory does not grow with the song, their temporary file does", "[wiener]") {
  for (const char* spec : {"mwf", "mwf-sisec18"}) {
    const auto need = [&](std::int64_t minutes) {
      return methods::memory_need(registry().make(spec)->info(), minutes * 60 * 44100, 2, 44100);
    };
    CHECK(need(2).call_bytes < std::int64_t{350} << 20);
    CHECK(need(2).file_bytes == 0);
    CHECK(need(60).call_bytes < std::int64_t{640} << 20);
    CHECK(need(60).file_bytes > std::int64_t{5} << 30);
  }
}

TEST_CASE("wiener: oracles with several channels, silent and rank-one references", "[wiener]") {
  for (const int channels : {1, 2, 3}) {
    const Song song = synthetic(channels, 60000);
    INFO(channels);
    const auto stems = song.separate("mwf");
    CHECK(sum_error_db(song.mixture, stems) < -120);
    for (std::size_t s = 0; s < 3; ++s) CHECK(sdr_db(song.stems[s], stems.audio[s]) > (channels == 1 ? 4 : 8));
  }
  Song song = synthetic(2, 60000);
  song.stems[1] = AudioBuffer(2, 60000, 44100);
  // Amplitude panning: covariances of rank one, where the published code divides zero by zero.
  for (std::size_t t = 0; t < 60000; ++t) song.stems[2].channel(1)[t] = 0.5F * song.stems[2].channel(0)[t];
  for (int c = 0; c < 2; ++c) {
    for (std::size_t t = 0; t < 60000; ++t) {
      song.mixture.channel(c)[t] = song.stems[0].channel(c)[t] + song.stems[2].channel(c)[t];
    }
  }
  for (const std::string spec : {"mwf", "mwf:covariance=energy"}) {
    const auto stems = song.separate(spec);
    CHECK(audio::is_silent(stems.audio[1]));
    CHECK(sum_error_db(song.mixture, stems) < -120);
    CHECK(sdr_db(song.stems[0], stems.audio[0]) > 8);
    CHECK(sdr_db(song.stems[2], stems.audio[2]) > 8);
  }
}

TEST_CASE("wiener: clean stems add up to the mixture on all real audio", "[wiener]") {
  MSS_REQUIRE_TEST_DATA(data);
  int songs = 0;
  for_each_song(data, [&](const std::string& name, const Song& song) {
    ++songs;
    for (const std::string spec : {"irm1|wiener", "mixphase|wiener:residual=true", "irm1|wiener:input=stems"}) {
      if (song.mixture.channels() == 1 && spec != "irm1|wiener") continue;
      INFO(name << ", " << spec);
      CHECK(sum_error_db(song.mixture, song.separate(spec)) < -120);
    }
  });
  CHECK(songs == 35);
}

TEST_CASE("wiener: the multichannel Wiener oracles of SiSEC 2018 on the real excerpt", "[wiener]") {
  MSS_REQUIRE_TEST_DATA(data);
  const std::vector<AudioBuffer> streams =
      audio::read_streams(data / "musdb18_clips" / "train" / "Music Delta - 80s Rock.stem.mp4");
  // Streams: mixture, drums, bass, other, vocals; the golden file's order is vocals, drums, bass, other.
  const Song song{streams[0], {"vocals", "drums", "bass", "other"}, {streams[4], streams[1], streams[2], streams[3]}};
  const core::Value golden = core::read_json_file(tests::golden("bsseval.json"));
  const struct {
    const char *spec, *key;
  } cases[] = {{"mwf-sisec18", "MWF"},
               {"mwf:reg=2.220446049250313e-16,inverse_eps=2.220446049250313e-16", "MWF_trace_fixed"}};
  for (const auto& [spec, key] : cases) {
    INFO(spec);
    const auto stems = song.separate(spec);
    const core::Value& expected = golden.at("real_excerpt").at("oracles").at(key);
    const auto& sdr = expected.at("targets4").at("SDR").as_array();
    const auto& energy = expected.at("energy").as_array();
    const auto& first = expected.at("est_first_samples_4000_vocals").as_array();
    for (std::size_t s = 0; s < 4; ++s) {
      for (std::size_t frame = 0; frame < 6; ++frame) {
        const auto part = [&](audio::AudioView all) {
          return all.slice(static_cast<std::int64_t>(frame) * 44100, 44100);
        };
        // The published gains are complex64, ours complex128: below 1e-4 dB.
        CHECK(sdr_db(part(song.stems[s]), part(stems.audio[s])) ==
              Approx(sdr[s].as_array()[frame].as_real()).margin(1e-4));
      }
      CHECK(audio::energy(stems.audio[s]) == Approx(energy[s].as_real()).epsilon(1e-4));
    }
    for (std::size_t t = 0; t < first.size(); ++t) {
      for (std::size_t c = 0; c < 2; ++c) {
        CHECK(stems.audio[0].channel(static_cast<int>(c))[4000 + t] ==
              Approx(first[t].as_array()[c].as_real()).margin(1e-6));
      }
    }
  }
}
