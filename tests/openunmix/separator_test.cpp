// The separators as a whole: sizes, the reduction of the extension, blocks, streams, threads, formats, errors, sums.
#include <sys/resource.h>

#include <cmath>

#include "audio/file.h"
#include "core/error.h"
#include "tests/openunmix/support.h"

using namespace mss;
using namespace mss::tests;

namespace {

bool same_bits(const methods::StemSet& a, const methods::StemSet& b) {
  if (a.names != b.names) return false;
  for (std::size_t s = 0; s < a.audio.size(); ++s) {
    for (int c = 0; c < a.audio[s].channels(); ++c) {
      if (!std::ranges::equal(a.audio[s].channel(c), b.audio[s].channel(c))) return false;
    }
  }
  return true;
}

double largest_difference(const methods::StemSet& a, const methods::StemSet& b) {
  double worst = 0;
  REQUIRE(a.names.size() == b.names.size());
  for (std::size_t s = 0; s < a.audio.size(); ++s) {
    const auto other = static_cast<std::size_t>(std::ranges::find(b.names, a.names[s]) - b.names.begin());
    REQUIRE(other < b.names.size());
    for (int c = 0; c < a.audio[s].channels(); ++c) {
      for (std::size_t t = 0; t < a.audio[s].channel(c).size(); ++t) {
        worst = std::max<double>(worst, std::abs(a.audio[s].channel(c)[t] - b.audio[other].channel(c)[t]));
      }
    }
  }
  return worst;
}

methods::Options with_threads(int threads) {
  methods::Options options;
  options.threads = threads;
  return options;
}

/// Yields its audio in pieces of odd sizes, without saying how long it is.
class Trickle final : public audio::Source {
 public:
  explicit Trickle(audio::AudioView audio) : audio_(audio) {}
  int channels() const override { return audio_.channels(); }
  int rate_hz() const override { return audio_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return std::nullopt; }
  std::int64_t read(audio::AudioSpan out) override {
    const std::int64_t n = std::min(out.samples(), audio_.samples() - position_);
    for (int c = 0; c < channels(); ++c) {
      std::ranges::copy(audio_.slice(position_, n).channel(c), out.channel(c).begin());
    }
    position_ += n;
    return n;
  }

 private:
  audio::AudioView audio_;
  std::int64_t position_ = 0;
};

methods::Weights small(umx::Architecture architecture, bool unidirectional = false) {
  umx::Configuration c = small_configuration(architecture == umx::Architecture::openunmix
                                                 ? std::vector<std::string>{"vocals", "drums", "bass", "other"}
                                                 : std::vector<std::string>{"bass", "drums", "vocals", "other"},
                                             architecture);
  c.unidirectional = unidirectional;
  return golden_weights(c);
}

methods::Weights made(const umx::Configuration& c, methods::Parts parts) {
  return methods::make_weights(umx::family(), umx::configuration_value(c), std::move(parts), "made");
}

}  // namespace

TEST_CASE("parameters of the named configurations", "[openunmix]") {
  const auto count = [](const umx::Configuration& c) {
    std::int64_t total = 0;
    for (const auto& [target, listing] : umx::family().list(umx::configuration_value(c))) total += listing.parameters();
    return total;
  };
  using umx::Architecture;
  CHECK(count(umx::named_configuration("umx", Architecture::openunmix)) == 4 * 8893348);
  CHECK(count(umx::named_configuration("umxhq", Architecture::openunmix)) == 35573392);
  CHECK(count(umx::named_configuration("umxl", Architecture::openunmix)) == 4 * 28257188);
  CHECK(count(umx::named_configuration("umxse", Architecture::openunmix)) == 2 * 1583622);
  CHECK(count(umx::named_configuration("umxhq", Architecture::xumx)) == 35573392);
  CHECK(count(umx::named_configuration("umxhq", Architecture::crossskip)) == 38719120);
  CHECK(error_of([] { umx::named_configuration("umxse", Architecture::xumx); }).code() == Code::config);
  CHECK(error_of([] { umx::named_configuration("umxxl", Architecture::openunmix); }).code() == Code::config);
}

TEST_CASE("multiply-accumulates of the named configurations per second", "[openunmix]") {
  // Four networks; per frame fc1, three layers of two directions, fc2, fc3.
  const double frame = 2974.0 * 512 + 3 * 2 * (1024.0 * 512 + 1024 * 256) + 512.0 * 1024 + 4098.0 * 512;
  const umx::Configuration c = umx::named_configuration("umxhq", umx::Architecture::openunmix);
  CHECK(umx::family().macs_per_second(umx::configuration_value(c)) == Approx(4 * frame * 44100 / 1024).epsilon(1e-9));
}

TEST_CASE("input bins of a bandwidth", "[openunmix]") {
  // The named configurations' max_bin is the number of bins up to 16 kHz.
  for (const core::Value& row : openunmix_golden().at("bandwidth_to_max_bin").as_array()) {
    const auto& r = row.as_array();
    const std::int64_t rate = r[0].as_integer(), fft = r[1].as_integer();
    for (const char* name : {"umxhq", "umxl", "umxse"}) {
      const umx::Configuration c = umx::named_configuration(name, umx::Architecture::openunmix);
      if (c.rate_hz == rate && c.fft_size == fft) CHECK(c.max_bin == r[3].as_integer());
    }
  }
}

TEST_CASE("random weights are a function of their seed, and say what they are", "[openunmix]") {
  const core::Value c = umx::configuration_value(small_configuration({"vocals", "drums"}));
  const auto random = [&](std::uint64_t seed) { return methods::random_weights(umx::family(), c, seed); };
  const methods::Weights a = random(3), b = random(3), other = random(4);
  CHECK(a.content_hash == b.content_hash);
  CHECK(a.content_hash != other.content_hash);
  CHECK(a.label == "random-3");
  CHECK(a.parts.at("vocals").at("fc1.weight").values() != a.parts.at("drums").at("fc1.weight").values());
  const auto separator = make_small(a);
  CHECK(contains(separator->info().weights_label, "random-3#"));
  CHECK(separator->info().weights_sha256 == a.content_hash);
}

TEST_CASE("published weights say what they were trained on", "[openunmix]") {
  const TempDir dir;
  methods::Weights weights =
      methods::random_weights(umx::family(), umx::configuration_value(small_configuration({"vocals"})), 3);
  const auto dataset = [&](const std::string& sha256) {
    weights.provenance = core::Value::object();
    core::Value file = core::Value::object();
    file["sha256"] = sha256;
    weights.provenance["files"] = core::Value::Array{file};
    methods::write_weights(dir / "w.safetensors", weights);
    const core::Value read = methods::read_weights(umx::family(), dir / "w.safetensors").provenance;
    return read.find("dataset") == nullptr ? std::string() : read.at("dataset").as_string();
  };
  CHECK(dataset("b62c91ce" + std::string(56, '0')) == "MUSDB18-HQ");  // umxhq
  CHECK(dataset("c8df74a5" + std::string(56, '0')) == "MUSDB18");     // umx
  CHECK(dataset("bccbd9aa" + std::string(56, '0')).empty());          // umxl: other data
  CHECK(methods::read_weights(umx::family(), dir / "w.safetensors").provenance.at("beyond").as_string() ==
        "private music beyond MUSDB18");
  CHECK(dataset(std::string(64, '0')).empty());
  CHECK(methods::read_weights(umx::family(), dir / "w.safetensors").provenance.find("beyond") == nullptr);
}

TEST_CASE("the extension without its extra columns is four plain networks", "[openunmix]") {
  const methods::Weights whole = small(umx::Architecture::crossskip);
  umx::Configuration c = umx::configuration_from_value(whole.configuration, "test");
  const std::int64_t hidden = c.hidden;
  methods::Parts cut = whole.parts, narrow = whole.parts;
  for (const std::string& target : c.targets) {
    const nn::Shape shape = whole.parts.at(target).at("fc2x.weight").shape;
    std::vector<float> wide = whole.parts.at(target).at("fc2x.weight").values(), first;
    for (std::int64_t r = 0; r < hidden; ++r) {
      for (std::int64_t k = 0; k < shape[1]; ++k) {
        float& w = wide[static_cast<std::size_t>(r * shape[1] + k)];
        if (k < 2 * hidden) {
          first.push_back(w);
        } else {
          w = 0.0F;
        }
      }
    }
    cut[target]["fc2x.weight"] = checkpoints::LazyTensor::from(std::move(wide), shape);
    narrow[target].erase("fc2x.weight");
    narrow[target]["fc2.weight"] = checkpoints::LazyTensor::from(std::move(first), {hidden, 2 * hidden});
  }
  const methods::Weights cross = made(c, std::move(cut));
  c.architecture = umx::Architecture::openunmix;
  const methods::Weights plain = made(c, std::move(narrow));
  const audio::AudioBuffer signal = golden_signal(2);
  CHECK(same_bits(make_small(cross)->separate(signal), make_small(plain)->separate(signal)));
  // With them it is another network.
  CHECK(largest_difference(make_small(small(umx::Architecture::crossskip))->separate(signal),
                           make_small(plain)->separate(signal)) > 1e-3);
}

TEST_CASE("the order of the extension's targets is a name, no more", "[openunmix]") {
  // Targets and column blocks permuted together: the same network.
  const methods::Weights cross = small(umx::Architecture::crossskip);
  umx::Configuration c = umx::configuration_from_value(cross.configuration, "test");
  methods::Parts parts = cross.parts;
  const std::vector<std::string> before = c.targets, after = {"other", "vocals", "bass", "drums"};
  const auto hidden = static_cast<std::size_t>(c.hidden);
  const auto others = [](const std::vector<std::string>& order, const std::string& own) {
    std::vector<std::string> out;
    for (const std::string& name : order) {
      if (name != own) out.push_back(name);
    }
    return out;
  };
  for (const std::string& target : before) {
    checkpoints::LazyTensor& array = parts[target]["fc2x.weight"];
    const std::vector<float> old = array.values();
    std::vector<float> values = old;
    const auto from = others(before, target), to = others(after, target);
    for (std::size_t r = 0; r < hidden; ++r) {
      for (std::size_t block = 0; block < 3; ++block) {
        const auto source = static_cast<std::size_t>(std::ranges::find(from, to[block]) - from.begin());
        for (std::size_t k = 0; k < hidden; ++k) {
          values[r * 5 * hidden + (2 + block) * hidden + k] = old[r * 5 * hidden + (2 + source) * hidden + k];
        }
      }
    }
    array = checkpoints::LazyTensor::from(std::move(values), array.shape);
  }
  c.targets = after;
  const methods::Weights turned = made(c, std::move(parts));
  const audio::AudioBuffer signal = golden_signal(2);
  // Sums run in another order.
  CHECK(largest_difference(make_small(cross)->separate(signal), make_small(turned)->separate(signal)) < 2e-6);
}

TEST_CASE("blocks, spilling, streams and threads do not change a bit", "[openunmix]") {
  // 1000 frames: several blocks of every size, the last one not full.
  const audio::AudioBuffer signal = golden_signal(2, 64 * 1000 - 17, "long");
  for (const umx::Architecture architecture :
       {umx::Architecture::openunmix, umx::Architecture::xumx, umx::Architecture::crossskip}) {
    for (const bool unidirectional : {false, true}) {
      if (unidirectional && architecture != umx::Architecture::openunmix) continue;
      CAPTURE(umx::architecture_name(architecture), unidirectional);
      const methods::Weights weights = small(architecture, unidirectional);
      std::vector<std::string> one;
      if (unidirectional) one = {"drums"};
      umx::SeparatorOptions whole;
      whole.block_frames = 96 * 11;  // one block holds everything
      const methods::StemSet expected = make_small(weights, whole, one)->separate(signal);
      struct Way {
        std::int64_t buffer_bytes;
        int block_frames, threads;
      };
      // Four threads and one direction: the products below an LSTM are shared among threads, too.
      for (const Way& way : {Way{0, 96, 2}, Way{300000, 192, 1}, Way{1 << 30, 96, 1}, Way{1 << 30, 192, 4}}) {
        CAPTURE(way.buffer_bytes, way.block_frames, way.threads);
        umx::SeparatorOptions options;
        options.block_frames = way.block_frames;
        options.buffer_bytes = way.buffer_bytes;
        CHECK(same_bits(make_small(weights, options, one)->separate(signal, with_threads(way.threads)), expected));
      }
      const auto separator = make_small(weights, {}, one);
      Trickle source(signal);
      methods::CollectSink sink;
      separator->separate(source, sink, with_threads(2));
      CHECK(same_bits(sink.take(), expected));
    }
  }
  // The same behind the filter, which asks for magnitudes.
  const methods::Weights weights = small(umx::Architecture::openunmix);
  for (const char* spec : {"net|wiener:iters=1,mode=openunmix", "net|wiener:residual=true"}) {
    umx::SeparatorOptions spilled;
    spilled.buffer_bytes = 0;
    spilled.block_frames = 96;
    CHECK(same_bits(make_small(weights, spec, spilled)->separate(signal, with_threads(2)),
                    make_small(weights, spec)->separate(signal)));
  }
}

TEST_CASE("targets: a choice of stems, and what it computes", "[openunmix]") {
  const audio::AudioBuffer signal = golden_signal(2);
  for (const umx::Architecture architecture :
       {umx::Architecture::openunmix, umx::Architecture::xumx, umx::Architecture::crossskip}) {
    const methods::Weights weights = small(architecture);
    const methods::StemSet all = make_small(weights)->separate(signal);
    const std::vector<std::string> wanted = {"other", "drums"};
    const auto separator = make_small(weights, {}, wanted);
    CHECK(separator->info().targets == wanted);
    const methods::StemSet some = separator->separate(signal);
    CHECK(some.names == wanted);
    for (std::size_t s = 0; s < 2; ++s) {
      const auto at = static_cast<std::size_t>(std::ranges::find(all.names, some.names[s]) - all.names.begin());
      for (int c = 0; c < 2; ++c) CHECK(std::ranges::equal(some.audio[s].channel(c), all.audio[at].channel(c)));
    }
  }
  const Error error = error_of([&] { make_small(small(umx::Architecture::openunmix), {}, {"vocal"}); });
  CHECK(error.code() == Code::config);
  CHECK(contains(error.what(), "vocals"));
}

TEST_CASE("formats: other rates, mono, more channels, short and silent input", "[openunmix]") {
  const methods::Weights weights = small(umx::Architecture::openunmix);
  const auto separator = make_small(weights);
  CHECK(separator->info().rate_hz == 44100);
  CHECK(separator->info().channels == 2);
  CHECK(separator->info().offers_magnitudes);
  {
    // 48 kHz is converted to the network's rate and back.
    audio::AudioBuffer fast(2, 9000, 48000);
    for (int c = 0; c < 2; ++c) std::ranges::copy(golden_signal(2, 9000, "fast").channel(c), fast.channel(c).begin());
    const methods::StemSet stems = separator->separate(fast);
    for (const audio::AudioBuffer& stem : stems.audio) {
      CHECK(audio::same_shape(stem, fast));
      CHECK_FALSE(audio::is_silent(stem));
    }
  }
  {
    // Mono input goes to both channels of a stereo network; their mean comes back.
    const audio::AudioBuffer mono = golden_signal(1);
    audio::AudioBuffer both(2, mono.samples(), mono.rate_hz());
    for (int c = 0; c < 2; ++c) std::ranges::copy(mono.channel(0), both.channel(c).begin());
    const methods::StemSet one = separator->separate(mono), two = separator->separate(both);
    for (std::size_t s = 0; s < one.audio.size(); ++s) {
      REQUIRE(one.audio[s].channels() == 1);
      double worst = 0;
      for (std::size_t t = 0; t < one.audio[s].channel(0).size(); ++t) {
        const double mean = (two.audio[s].channel(0)[t] + two.audio[s].channel(1)[t]) / 2.0;
        worst = std::max(worst, std::abs(one.audio[s].channel(0)[t] - mean));
      }
      CHECK(worst < 1e-6);
    }
  }
  CHECK(error_of([&] { separator->separate(golden_signal(3)); }).code() == Code::unsupported);
  for (const std::int64_t samples : {1, 2, 63, 64, 127, 128, 129, 300}) {
    CAPTURE(samples);
    const methods::StemSet stems = separator->separate(golden_signal(2, samples, "short"));
    for (const audio::AudioBuffer& stem : stems.audio) CHECK(stem.samples() == samples);
  }
  for (const audio::AudioBuffer& stem : separator->separate(audio::AudioBuffer(2, 5000, 44100)).audio) {
    CHECK(audio::is_silent(stem));
  }
}

TEST_CASE("a network of one channel takes any number of channels", "[openunmix]") {
  umx::Configuration c = small_configuration({"speech", "noise"});
  c.channels = 1;
  const methods::Weights weights = golden_weights(c, "mono_");
  const auto separator = make_small(weights);
  CHECK(separator->info().channels == 0);
  const audio::AudioBuffer stereo = golden_signal(2);
  const MagnitudeSink found = magnitudes_of(*separator, stereo);
  // It sees the mean of the channels' magnitudes, and gives all channels the same estimate.
  const audio::Stft<float> stft({.fft_size = 256, .hop_samples = 64});
  const audio::Spectrogram<float> x = stft.forward(stereo);
  const auto& expected = openunmix_golden().at("mono_norm");
  double sum = 0, first = 0;
  bool same = true;
  for (std::int64_t n = 0; n < found.frames; ++n) {
    for (int k = 0; k < found.bins; ++k) {
      const double mean = (std::abs(x.at(0, n)[k]) + std::abs(x.at(1, n)[k])) / 2.0;
      sum += mean;
      if (n == 0 && k == 0) first = mean;
      same = same && found.at(0, 0, n, k) == found.at(0, 1, n, k);
    }
  }
  CHECK(same);
  CHECK(sum == Approx(expected.at("sum").as_real()).epsilon(1e-6));
  CHECK(first == Approx(expected.at("first").as_array()[0].as_real()).epsilon(1e-5));
  // A silent channel stays silent; the other's stems have its phase.
  audio::AudioBuffer left = stereo;
  std::ranges::fill(left.channel(1), 0.0F);
  for (const audio::AudioBuffer& stem : separator->separate(left).audio) {
    CHECK(std::ranges::all_of(stem.channel(1), [](float v) { return v == 0.0F; }));
    CHECK(std::ranges::any_of(stem.channel(0), [](float v) { return v != 0.0F; }));
  }
  for (const int channels : {1, 2, 3}) {
    const audio::AudioBuffer signal = golden_signal(channels);
    for (const audio::AudioBuffer& stem : separator->separate(signal).audio) CHECK(audio::same_shape(stem, signal));
  }
}

TEST_CASE("a mask times the mixture is what comes out without a filter", "[openunmix]") {
  const methods::Weights weights = small(umx::Architecture::openunmix);
  const audio::AudioBuffer signal = golden_signal(2);
  const methods::StemSet direct = make_small(weights)->separate(signal);
  const methods::StemSet filtered = make_small(weights, "net|wiener:iters=0,mode=openunmix")->separate(signal);
  CHECK(largest_difference(direct, filtered) < 1e-6);
}

TEST_CASE("weights that do not fit are refused with the first mismatches", "[openunmix]") {
  const methods::Weights weights = small(umx::Architecture::openunmix);
  methods::Parts parts = weights.parts;
  parts["drums"].erase("bn2.bias");
  parts["bass"]["fc1.weight"].shape[1] = 5;
  parts["bass"]["extra"] = checkpoints::LazyTensor::from(std::vector<float>{0.0F}, {1});
  const Error error =
      error_of([&] { made(umx::configuration_from_value(weights.configuration, "test"), std::move(parts)); });
  CHECK(error.code() == Code::checkpoint);
  for (const char* part : {"drums/bn2.bias", "bass/fc1.weight", "bass/extra"}) CHECK(contains(error.what(), part));
}

TEST_CASE("a call is cancelled between blocks", "[openunmix]") {
  const methods::Weights weights = small(umx::Architecture::openunmix);
  core::StopSource stop;
  methods::Options options;
  options.stop = stop.token();
  stop.request_stop();
  CHECK(error_of([&] { make_small(weights)->separate(golden_signal(2), options); }).code() == Code::cancelled);
}

TEST_CASE("on music the clean filter's stems and residual add up to the mixture", "[openunmix]") {
  MSS_REQUIRE_TEST_DATA(data);
  std::filesystem::path song;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data / "evr_cc0" / "test")) {
    if (entry.path().filename() == "mixture.flac" && (song.empty() || entry.path() < song)) song = entry.path();
  }
  REQUIRE_FALSE(song.empty());
  const auto source = audio::open_file(song);
  audio::AudioBuffer mixture(source->channels(), 8 * source->rate_hz(), source->rate_hz());
  REQUIRE(source->read(mixture.span()) == mixture.samples());
  // Small networks on the STFT of the official ones.
  umx::Configuration c = umx::named_configuration("umxhq", umx::Architecture::openunmix);
  c.hidden = 32;
  const methods::Weights weights = methods::random_weights(umx::family(), umx::configuration_value(c), 5);
  for (const char* spec : {"net|wiener:residual=true", "net|wiener:iters=2,residual=true", "net|wiener"}) {
    CAPTURE(spec);
    const methods::StemSet stems = make_small(weights, spec)->separate(mixture, with_threads(2));
    double error = 0, energy = 0;
    for (int channel = 0; channel < mixture.channels(); ++channel) {
      for (std::size_t t = 0; t < mixture.channel(channel).size(); ++t) {
        double rest = mixture.channel(channel)[t];
        energy += rest * rest;
        for (const audio::AudioBuffer& stem : stems.audio) rest -= stem.channel(channel)[t];
        error += rest * rest;
      }
    }
    REQUIRE(energy > 0);
    CHECK(10 * std::log10(error / energy + 1e-40) < -120);
  }
}
