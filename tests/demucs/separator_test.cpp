// The family's methods as a whole: the authors' files, lengths, streams, threads, memory bounds, shifts, sums, errors.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/rng.h"
#include "methods/demucs/entries.h"
#include "methods/demucs/family.h"
#include "methods/demucs/separator.h"
#include "methods/registry.h"
#include "methods/weights.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

namespace mss::tests {
namespace {

namespace demucs = methods::demucs;

std::string file(const char* name) { return (fs::path(MSSBENCH_TESTS_DIR) / "demucs" / "files" / name).string(); }

const methods::Registry& registry() {
  static const methods::Registry made = [] {
    methods::Registry registry;
    demucs::add_methods(registry);
    return registry;
  }();
  return made;
}

std::unique_ptr<methods::Separator> made(const std::string& spec) { return registry().make(spec); }

audio::AudioBuffer music(int channels, std::int64_t samples, int rate_hz) {
  audio::AudioBuffer out(channels, samples, rate_hz);
  for (int c = 0; c < channels; ++c) {
    core::Rng rng(11, static_cast<std::uint32_t>(c));
    for (std::int64_t t = 0; t < samples; ++t) {
      out.channel(c)[static_cast<std::size_t>(t)] =
          static_cast<float>(0.3 * std::sin(0.03 * static_cast<double>(t)) + rng.uniform(-0.2, 0.2) + 0.05);
    }
  }
  return out;
}

methods::Options with(int threads, std::uint64_t seed = 0) {
  methods::Options options;
  options.threads = threads;
  options.seed = seed;
  return options;
}

bool same_bits(const methods::StemSet& a, const methods::StemSet& b) {
  if (a.names != b.names) return false;
  for (std::size_t s = 0; s < a.audio.size(); ++s) {
    for (int c = 0; c < a.audio[s].channels(); ++c) {
      if (!std::ranges::equal(a.audio[s].channel(c), b.audio[s].channel(c))) return false;
    }
  }
  return true;
}

/// Does not say how long it is.
class Trickle final : public audio::Source {
 public:
  explicit Trickle(audio::AudioView audio) : audio_(audio) {}
  int channels() const override { return audio_.channels(); }
  int rate_hz() const override { return audio_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return std::nullopt; }
  std::int64_t read(audio::AudioSpan out) override {
    const std::int64_t n = std::min<std::int64_t>(out.samples(), audio_.samples() - position_);
    for (int c = 0; c < channels() && n > 0; ++c) {
      std::ranges::copy(audio_.slice(position_, n).channel(c), out.channel(c).begin());
    }
    position_ += n;
    return n;
  }

 private:
  audio::AudioView audio_;
  std::int64_t position_ = 0;
};

const std::vector<std::string> kStems{"drums", "bass", "other", "vocals"};

}  // namespace

TEST_CASE("the authors' files are read: v1, v2, bare, half, Conv-TasNet", "[demucs]") {
  const auto read = [](const char* name) {
    const methods::Weights weights = methods::read_weights(demucs::family(), fs::path(file(name)));
    return std::pair(demucs::configuration_from_value(weights.configuration, name), weights);
  };
  const auto assumed = [](const methods::Weights& weights) {
    std::vector<std::string> out;
    if (const core::Value* list = weights.provenance.find("assumed")) {
      for (const core::Value& name : list->as_array()) out.push_back(name.as_string());
    }
    std::ranges::sort(out);
    return out;
  };
  {
    const auto [c, weights] = read("v2.th");
    CHECK(c.version == 2);
    CHECK(c.width == 2);
    CHECK(c.depth == 3);
    CHECK(c.resample);
    CHECK(c.rate_hz == 8000);
    CHECK(c.segment_samples == 16000);
    CHECK(c.targets == kStems);
    CHECK(c.lstm_layers == 2);
  }
  {
    const auto [c, weights] = read("v2_half.th");
    CHECK_FALSE(c.resample);
    CHECK(c.segment_samples == 16000);
    // The class says what the package does not.
    CHECK(assumed(weights).empty());
    CHECK(c.stride == 4);
  }
  {
    const auto [c, weights] = read("bare.th");
    CHECK(c.version == 2);
    CHECK(c.resample);
    CHECK(c.segment_samples == 1764000);
    CHECK(assumed(weights) == std::vector<std::string>{"rate_hz", "resample", "segment_samples", "stride", "targets"});
    // The same numbers in the older layout.
    CHECK(read("bare_legacy.th").second.content_hash == weights.content_hash);
  }
  {
    const auto [c, weights] = read("v1.th");
    CHECK(c.version == 1);
    CHECK_FALSE(c.resample);
    CHECK(c.width == 2);
    CHECK(c.segment_samples == 441000);
    CHECK(c.targets == kStems);
  }
  CHECK(read("two_stems.th").first.targets == std::vector<std::string>{"speech", "noise"});
  {
    const auto [c, weights] = read("tasnet.th");
    CHECK(c.architecture == demucs::Architecture::conv_tasnet);
    CHECK(c.filters == 8);
    CHECK(c.bottleneck == 6);
    CHECK(c.hidden == 10);
    CHECK(c.blocks == 2);
    CHECK(c.repeats == 2);
    CHECK(c.segment_samples == 8000);
    // What Python gets back has its names and shapes.
    const auto theirs = demucs::family().state_dict(weights, std::nullopt);
    CHECK(theirs.at("separator.network.0.gamma").shape == std::vector<std::int64_t>{1, 8, 1});
    CHECK(theirs.at("separator.network.2.1.1.net.3.net.2.beta").shape == std::vector<std::int64_t>{1, 10, 1});
    CHECK(theirs.at("separator.network.2.1.1.net.1.weight").shape == std::vector<std::int64_t>{1});
  }
}

TEST_CASE("files that the family cannot read say why", "[demucs]") {
  const auto refused = [](const char* name, Code code, std::initializer_list<const char*> parts) {
    INFO(name);
    check_error(code, parts, [&] { methods::read_weights(demucs::family(), fs::path(file(name))); });
  };
  refused("diffq.th", Code::unsupported, {"DiffQ", "diffq.th", "state_dict"});
  refused("diffq_bare.th", Code::unsupported, {"DiffQ"});
  refused("hybrid.th", Code::unsupported, {"v3 or v4", "HDemucs"});
  refused("v3.th", Code::unsupported, {"v3 or v4", "demucs.demucs.Demucs"});
  refused("upsample.th", Code::unsupported, {"upsampl"});
  refused("tasnet_cln.th", Code::unsupported, {"norm_type", "gLN", "cLN"});
  refused("misfit.th", Code::checkpoint, {"missing", "lstm.linear.bias", "surplus", "decoder.1.0.weight"});
  check_error(Code::checkpoint, {"another architecture", "conv-tasnet"},
              [] { made("demucs:weights=" + file("tasnet.th")); });
  check_error(Code::checkpoint, {"another architecture", "demucs"},
              [] { made("conv-tasnet:weights=" + file("v2.th")); });
  check_error(Code::checkpoint, {"not weights of v1"}, [] { made("demucs@v1:weights=" + file("v2.th")); });
  // Half a file, nothing, and another kind of file.
  const TempDir folder;
  std::ifstream whole(file("v2.th"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(whole)), {});
  const auto write = [&](const char* name, const std::string& content) {
    std::ofstream(folder.path() / name, std::ios::binary) << content;
    return (folder.path() / name).string();
  };
  const std::string half = write("half.th", bytes.substr(0, bytes.size() / 2));
  check_error(Code::format, {"half.th"}, [&] { made("demucs:weights=" + half); });
  const std::string empty = write("empty.th", "");
  check_error(Code::format, {"empty.th"}, [&] { made("demucs:weights=" + empty); });
  check_error(Code::checkpoint, {"nowhere"}, [] { made("demucs:weights=/nowhere.th"); });
  check_error(Code::config, {"weights"}, [] { made("demucs"); });
  check_error(Code::config, {"no such target", "vocal"}, [] { made("demucs:targets=vocal,weights=" + file("v2.th")); });
  check_error(Code::config, {"residual", "vocal"}, [] { made("demucs:residual=vocal,weights=" + file("v2.th")); });
  check_error(Code::config, {"split=false"}, [] { made("demucs:segment=2,split=false,weights=" + file("v2.th")); });
  check_error(Code::config, {"overlap", "1"}, [] { made("demucs:overlap=1,weights=" + file("v2.th")); });
}

TEST_CASE("own files of the family give back the same weights", "[demucs]") {
  const TempDir folder;
  for (const char* name : {"v2.th", "v1.th", "v2_half.th", "tasnet.th"}) {
    const methods::Weights weights = methods::read_weights(demucs::family(), fs::path(file(name)));
    const fs::path path = folder.path() / (std::string(name) + ".safetensors");
    methods::write_weights(path, weights);
    const methods::Weights again = methods::read_weights(demucs::family(), path);
    CHECK(again.content_hash == weights.content_hash);
    CHECK(again.configuration == weights.configuration);
    // And what is exported for Python is a bare state dict of the same numbers.
    const fs::path exported = folder.path() / (std::string(name) + ".export.safetensors");
    methods::export_weights(exported, weights);
    if (std::string(name) == "v2.th") {
      CHECK(demucs::configuration_from_value(methods::read_weights(demucs::family(), exported).configuration, name)
                .width == 2);
    }
  }
}

TEST_CASE("stems have the mixture's length, whatever that is", "[demucs]") {
  for (const std::string& spec :
       {"demucs:segment=0.1,weights=" + file("v2.th"), "demucs:split=false,weights=" + file("v2.th"),
        "demucs:segment=0.1,shifts=2,weights=" + file("v2.th"), "demucs:overlap=0,segment=0.1,weights=" + file("v1.th"),
        "conv-tasnet:weights=" + file("tasnet.th")}) {
    const auto separator = made(spec);
    CHECK(separator->info().streams == (spec.find("split=false") == std::string::npos));
    CHECK(separator->info().is_random == (spec.find("shifts") != std::string::npos));
    const int rate = separator->info().rate_hz;
    for (const std::int64_t samples : {1, 2, 19, 21, 799, 800, 801, 1400, 5000}) {
      INFO(spec << ", " << samples << " samples");
      const audio::AudioBuffer mixture = music(2, samples, rate);
      const methods::StemSet stems = separator->separate(mixture, with(2));
      CHECK(stems.names == kStems);
      for (const audio::AudioBuffer& stem : stems.audio) {
        CHECK(stem.samples() == samples);
        CHECK(audio::find_non_finite(stem).channel == -1);
      }
    }
  }
}

TEST_CASE("stems are the same for any threads, memory bound, block and repetition", "[demucs]") {
  const audio::AudioBuffer mixture = music(2, 30000, 8000);
  for (const std::string arguments :
       {"segment=0.5", "segment=0.5,shifts=3", "split=false", "overlap=0.6,segment=0.7,transition=2"}) {
    INFO(arguments);
    const std::string weights = ",weights=" + file("v2.th");
    const methods::StemSet once = made("demucs:" + arguments + weights)->separate(mixture, with(1, 5));
    for (const int threads : {1, 2, 3, 7}) {
      CHECK(same_bits(made("demucs:" + arguments + weights)->separate(mixture, with(threads, 5)), once));
    }
    // One window at a time, and all that a mebibyte holds.
    for (const char* bound : {"0", "1"}) {
      CHECK(same_bits(made("demucs:" + arguments + ",buffer=" + bound + weights)->separate(mixture, with(2, 5)), once));
    }
    Trickle trickle(mixture);
    methods::CollectSink sink;
    made("demucs:" + arguments + weights)->separate(trickle, sink, with(2, 5));
    CHECK(same_bits(sink.take(), once));
  }
}

TEST_CASE("shifts follow the seed and stay near the stems without them", "[demucs]") {
  const audio::AudioBuffer mixture = music(2, 20000, 8000);
  const auto separator = made("demucs:segment=1,shifts=2,weights=" + file("v2.th"));
  const methods::StemSet a = separator->separate(mixture, with(2, 1)), b = separator->separate(mixture, with(2, 2));
  CHECK_FALSE(same_bits(a, b));
  CHECK(same_bits(a, separator->separate(mixture, with(2, 1))));
}

TEST_CASE("one window of the whole track is what split=false says", "[demucs]") {
  // A segment longer than the track is one segment, whose weights are divided out again.
  const audio::AudioBuffer mixture = music(2, 9000, 8000);
  const methods::StemSet whole = made("demucs:split=false,weights=" + file("v2.th"))->separate(mixture, with(1));
  const methods::StemSet one = made("demucs:overlap=0,segment=2,weights=" + file("v2.th"))->separate(mixture, with(1));
  double worst = 0.0;
  for (std::size_t s = 0; s < 4; ++s) {
    for (std::size_t t = 0; t < 9000; ++t) {
      worst = std::max<double>(worst, std::abs(whole.audio[s].channel(1)[t] - one.audio[s].channel(1)[t]));
    }
  }
  CHECK(worst <= 2e-7);
}

TEST_CASE("a residual target makes the stems add up to the mixture; targets choose stems", "[demucs]") {
  const audio::AudioBuffer mixture = music(2, 12000, 8000);
  const std::string weights = ",weights=" + file("v2.th");
  const methods::StemSet plain = made("demucs:segment=0.5" + weights)->separate(mixture, with(2));
  const methods::StemSet stems = made("demucs:residual=other,segment=0.5" + weights)->separate(mixture, with(2));
  double worst = 0.0, before = 0.0;
  for (int c = 0; c < 2; ++c) {
    for (std::size_t t = 0; t < 12000; ++t) {
      double sum = 0.0, other = 0.0;
      for (const audio::AudioBuffer& stem : stems.audio) sum += static_cast<double>(stem.channel(c)[t]);
      for (const audio::AudioBuffer& stem : plain.audio) other += static_cast<double>(stem.channel(c)[t]);
      worst = std::max(worst, std::abs(sum - static_cast<double>(mixture.channel(c)[t])));
      before = std::max(before, std::abs(other - static_cast<double>(mixture.channel(c)[t])));
    }
  }
  CHECK(worst <= 1e-6);
  CHECK(before > 1e-2);
  // The others are untouched.
  CHECK(std::ranges::equal(stems.audio[3].channel(0), plain.audio[3].channel(0)));
  const methods::StemSet two = made("demucs:segment=0.5,targets=vocals+drums" + weights)->separate(mixture, with(2));
  CHECK(two.names == std::vector<std::string>{"vocals", "drums"});
  CHECK(std::ranges::equal(two.audio[0].channel(1), plain.audio[3].channel(1)));
  CHECK(std::ranges::equal(two.audio[1].channel(1), plain.audio[0].channel(1)));
}

TEST_CASE("silence, constants, other rates and channels", "[demucs]") {
  const std::string v2 = "demucs:segment=0.5,weights=" + file("v2.th");
  const auto separator = made(v2);
  // Silence gives silence, where the reference gives NaN; a constant comes back in every stem.
  const methods::StemSet silent = separator->separate(audio::AudioBuffer(2, 9000, 8000), with(2));
  for (const audio::AudioBuffer& stem : silent.audio) CHECK(audio::is_silent(stem));
  audio::AudioBuffer constant(2, 9000, 8000);
  for (int c = 0; c < 2; ++c) std::ranges::fill(constant.channel(c), 0.25F);
  for (const audio::AudioBuffer& stem : separator->separate(constant, with(2)).audio) {
    for (const float v : stem.channel(0)) CHECK(v == Approx(0.25).margin(1e-6));
  }
  // The shell converts what it can.
  const methods::StemSet mono = separator->separate(music(1, 9001, 8000), with(2));
  CHECK(mono.audio[0].channels() == 1);
  CHECK(mono.audio[0].samples() == 9001);
  const methods::StemSet other_rate = separator->separate(music(2, 48001, 48000), with(2));
  CHECK(other_rate.audio[2].samples() == 48001);
  CHECK(other_rate.audio[2].rate_hz() == 48000);
  check_error(Code::unsupported, {"channels"}, [&] { separator->separate(music(3, 9000, 8000), with(2)); });
  check_error(Code::invalid_argument, {"nothing to separate"},
              [&] { separator->separate(audio::AudioBuffer(2, 0, 8000), with(2)); });
  core::StopSource stop;
  stop.request_stop();
  methods::Options options = with(1);
  options.stop = stop.token();
  check_error(Code::cancelled, {}, [&] { separator->separate(music(2, 9000, 8000), options); });
}

TEST_CASE("presets name the papers' models, with random weights too", "[demucs]") {
  const auto light = made("demucs@light:random=3");
  CHECK(light->info().resolved_options.at("configuration").at("depth").as_integer() == 3);
  const audio::AudioBuffer mixture = music(2, 3000, 44100);
  const methods::StemSet a = light->separate(mixture, with(2));
  CHECK(same_bits(a, made("demucs@light:random=3")->separate(mixture, with(1))));
  CHECK_FALSE(same_bits(a, made("demucs@light:random=4")->separate(mixture, with(1))));
  const auto light4 = made("demucs@light4:random=3");
  CHECK(light4->separate(mixture, with(2)).names == kStems);
  CHECK(made("conv-tasnet:random=1")->separate(mixture, with(2)).audio[0].samples() == 3000);
  // v1 is cut without overlap.
  CHECK(registry().canonical("demucs@v1:random=1") == "demucs@v1:random=1");
  const auto& entry = *std::ranges::find(registry().methods(), "demucs", &methods::MethodEntry::name);
  const auto& v1 = *std::ranges::find_if(entry.presets, [](const auto& preset) { return preset.first == "v1"; });
  CHECK(v1.second == core::ParamText{{"model", "v1"}, {"overlap", "0"}});
  CHECK(made("demucs:segment=0.5,weights=" + file("v1.th"))->info().resolved_options.at("overlap").as_real() == 0.25);
}

}  // namespace mss::tests
