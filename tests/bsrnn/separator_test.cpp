// Chunks and their joining: a network that changes nothing returns the track, amanteur's way shows its ripple.
#include <cmath>

#include "core/error.h"
#include "methods/bsrnn/entries.h"
#include "methods/bsrnn/family.h"
#include "methods/bsrnn/separator.h"
#include "methods/segments.h"
#include "methods/weights.h"
#include "nn/trace.h"
#include "tests/audio/support.h"
#include "tests/bsrnn/support.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;
using namespace mss::methods;
using bsrnn::Configuration;

namespace {

Configuration small(std::string_view profile, const std::vector<std::string>& targets) {
  Configuration c = bsrnn::profile_configuration(profile, targets, "small");
  c.rate_hz = 8000;
  c.fft_size = 256;
  c.hop_samples = 64;
  c.scheme = "custom";
  c.widths = {9, 20, 100};
  c.features = 4;
  if (c.block_groups > 1) c.block_groups = 4;
  c.pairs = 1;
  c.lstm_hidden = 3;
  c.mask_hidden = 5;
  if (c.norm_frames > 0) c.norm_frames = 51;
  return c;
}

/// Every mask is `gain`: all weights 0 but the gated layers' biases.
Weights constant_weights(const Configuration& c, float gain) {
  Parts parts;
  const core::Value value = bsrnn::set_value({c}, "test");
  for (const auto& [part, listing] : bsrnn::family().list(value)) {
    for (const nn::Listing::Entry& entry : listing.entries) {
      std::vector<float> values(static_cast<std::size_t>(nn::element_count(entry.parameter.shape)), 0.0F);
      if (entry.name.ends_with("gated.bias")) {
        const std::size_t half = values.size() / 2, channel = half / static_cast<std::size_t>(c.item_channels());
        for (std::size_t i = 0; i < half; ++i) {
          values[i] = i % channel < channel / 2 ? gain : 0.0F;  // real parts
          values[half + i] = 100.0F;                            // open gates
        }
      }
      parts[part][entry.name] = checkpoints::LazyTensor::from(std::move(values), entry.parameter.shape);
    }
  }
  return make_weights(bsrnn::family(), value, std::move(parts), "constant");
}

audio::AudioBuffer noise(std::int64_t samples, int rate) {
  audio::AudioBuffer x(2, samples, rate);
  KeyedUniform u("track");
  for (int c = 0; c < 2; ++c) {
    for (float& v : x.channel(c)) v = static_cast<float>(u() - 0.5);
  }
  return x;
}

double sdr_db(const audio::AudioBuffer& x, const audio::AudioBuffer& y) {
  double signal = 0, error = 0;
  for (int c = 0; c < x.channels(); ++c) {
    for (std::size_t t = 0; t < x.channel(c).size(); ++t) {
      const double d = static_cast<double>(x.channel(c)[t]) - static_cast<double>(y.channel(c)[t]);
      signal += static_cast<double>(x.channel(c)[t]) * static_cast<double>(x.channel(c)[t]);
      error += d * d;
    }
  }
  return 10 * std::log10(signal / error);
}

Options with_threads(int threads) {
  Options options;
  options.threads = threads;
  return options;
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a network that changes nothing returns the track in every setting", "[bsrnn]") {
  Registry registry;
  bsrnn::add_methods(registry);
  const TempDir folder;
  for (const char* profile : {"paper", "authors", "amanteur", "magron"}) {
    const std::string path = (folder / (std::string(profile) + ".safetensors")).string();
    write_weights(path, constant_weights(small(profile, {"vocals"}), 1.0F));
    std::vector<std::string> settings = {""};
    for (const char* hop : {"0.4", "0.2", "0.1", "0.15"}) {
      for (const char* window : {"none", "hann", "linear"}) {
        const bool fixed = std::string_view(profile) == "amanteur";
        settings.push_back(std::string(",hop=") + hop + ",window=" + window + (fixed ? "" : ",chunk=0.4"));
      }
    }
    for (const std::string& setting : settings) {
      INFO(profile << setting);
      const auto separator = registry.make("bsrnn:weights=" + path + setting);
      for (const std::int64_t samples : {3201, 9000, 700, 1}) {
        const audio::AudioBuffer x = noise(samples, 8000);
        const StemSet stems = separator->separate(x.view());
        REQUIRE(stems.names == std::vector<std::string>{"vocals", "accompaniment"});
        // One sample is one value over and over for the transform.
        if (samples > 1) CHECK(sdr_db(x, stems.audio[0]) > 90);
        float rest = 0;
        for (const float v : stems.audio[1].channel(0)) rest = std::max(rest, std::abs(v));
        CHECK(rest < 2e-4F);
      }
    }
  }
}

TEST_CASE("chunks of every profile join without a trace in float64", "[bsrnn]") {
  const std::string where = "test";
  for (const char* profile : {"paper", "authors", "amanteur", "magron"}) {
    const Configuration c = bsrnn::profile_configuration(profile, {"vocals"});
    for (const double hop : {0.0, 0.5, 1.5, 2.9}) {
      for (const char* window : {"", "none", "hann", "linear"}) {
        const bsrnn::ChunkPlan plan = bsrnn::plan_chunks_of(c, 0, hop, window, false, where);
        SegmentSpec spec{.segment_samples = plan.chunk_samples, .hop_samples = plan.hop_samples, .batch = 3};
        if (plan.window != audio::ChunkWindow::rectangular)
          spec.weights = segment_weights({plan.chunk_samples, plan.hop_samples, plan.window});
        std::vector<double> x(400'003), y(x.size());
        KeyedUniform u("signal");
        for (double& v : x) v = u() - 0.5;
        std::int64_t read = 0;
        const std::int64_t length = run_segments<double>(
            spec, 1, 1,
            [&](std::span<double* const> rows, std::int64_t count) {
              const std::int64_t n = std::min(count, std::ssize(x) - read);
              std::copy_n(x.begin() + read, n, rows[0]);
              read += n;
              return n;
            },
            [](std::span<Segment<double>> batch, const EmitRows<double>& emit) {
              for (std::size_t i = 0; i < batch.size(); ++i)
                emit(static_cast<std::int64_t>(i), std::move(batch[i].audio));
            },
            [&](std::int64_t begin, const Rows<double>& rows) {
              std::copy(rows[0].begin(), rows[0].end(), y.begin() + begin);
            });
        CHECK(length == std::ssize(x));
        double signal = 0, error = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
          signal += x[i] * x[i];
          error += (x[i] - y[i]) * (x[i] - y[i]);
        }
        CHECK(error <= signal * 1e-12);
      }
    }
  }
}

TEST_CASE("what profiles do by themselves", "[bsrnn]") {
  const auto plan = [](const char* profile, double chunk, double hop, const char* window, bool compat) {
    return bsrnn::plan_chunks_of(bsrnn::profile_configuration(profile, {"vocals"}), chunk, hop, window, compat, "row");
  };
  CHECK(plan("paper", 0, 0, "", false).chunk_samples == 132300);
  CHECK(plan("paper", 0, 0, "", false).hop_samples == 66150);
  CHECK(plan("authors", 0, 0.5, "", false).hop_samples == 22050);
  CHECK(plan("amanteur", 0, 0, "", false).chunk_samples == 134144);
  CHECK(plan("magron", 0, 0, "", false).chunk_samples == 12 * 44100);
  CHECK(plan("magron", 0, 0, "", false).window == audio::ChunkWindow::linear_fade);
  const bsrnn::ChunkPlan compat = plan("amanteur", 0, 0, "", true);
  CHECK(compat.chunk_samples == golden_bsrnn().at("ola_ripple").at("chunk_samples").as_integer());
  CHECK(compat.hop_samples == golden_bsrnn().at("ola_ripple").at("hop_samples").as_integer());
  CHECK(contains(message_of([&] { plan("paper", 0, 0, "", true); }), "no defects"));
  CHECK(contains(message_of([&] { plan("amanteur", 0, 0, "hann", true); }), "window"));
  CHECK(contains(message_of([&] { plan("paper", 1, 2, "", false); }), "longer than the chunk"));
  CHECK(contains(message_of([&] { plan("amanteur", 6, 1, "", false); }), "263 frames"));
  CHECK(contains(message_of([&] { plan("paper", 0.01, 0.01, "", false); }), "transform"));
}

TEST_CASE("amanteur's own overlap-add has a ripple of two gains, in compat only", "[bsrnn]") {
  const core::Value& golden = golden_bsrnn().at("ola_ripple");
  Configuration c = bsrnn::profile_configuration("amanteur", {"vocals"});
  c.features = c.block_groups = 1;
  c.pairs = c.lstm_hidden = c.mask_hidden = 1;
  c.scheme = "custom";
  c.widths.assign(20, 50);  // narrow bands: the gate layers are cheap
  c.widths.push_back(25);
  const TempDir folder;
  const std::string path = (folder / "identity.safetensors").string();
  write_weights(path, constant_weights(c, 1.0F));
  Registry registry;
  bsrnn::add_methods(registry);
  const auto separator = registry.make("bsrnn:weights=" + path + ",compat=true,residual=none");
  CHECK(separator->info().resolved_options.at("compat").as_bool());
  const audio::AudioBuffer x = noise(60 * 44100, 44100);
  const StemSet stems = separator->separate(x.view(), with_threads(1));
  CHECK(std::abs(sdr_db(x, stems.audio[0]) - golden.at("sdr_ceiling_db_60s").as_real()) < 0.05);
  const double low = golden.at("gain_values").as_array()[0].as_real(),
               high = golden.at("gain_values").as_array()[1].as_real();
  std::int64_t lows = 0, others = 0;
  for (std::size_t t = 0; t < x.channel(0).size(); ++t) {
    const double in = static_cast<double>(x.channel(0)[t]), out = static_cast<double>(stems.audio[0].channel(0)[t]);
    if (std::abs(out - low * in) < 1e-4) {
      ++lows;
    } else if (!(std::abs(out - high * in) < 1e-4)) {
      ++others;
    }
  }
  CHECK(others == 0);
  // Near 0 both gains fit.
  CHECK(std::abs(static_cast<double>(lows) / (60 * 44100.0) - golden.at("share_of_time").as_array()[0].as_real()) <
        0.005);
}

TEST_CASE("the result depends on neither threads nor channels' number nor who else is in the batch", "[bsrnn]") {
  const TempDir folder;
  Registry registry;
  bsrnn::add_methods(registry);
  for (const char* profile : {"paper", "amanteur", "magron"}) {
    INFO(profile);
    Configuration c = small(profile, {"vocals"});
    if (std::string_view(profile) == "magron") {
      c.tac_hidden = 6;
      c.attention_heads = 2;
      c.attention_width = 2;
    }
    const std::string path = (folder / (std::string(profile) + ".safetensors")).string();
    write_weights(path, random_weights(bsrnn::family(), bsrnn::set_value({c}, "test"), 5));
    const auto separator =
        registry.make("bsrnn:weights=" + path + (c.norm_frames > 0 ? "" : ",chunk=0.4") + ",hop=0.2");
    CHECK(separator->info().channels == (c.couples_channels() ? 2 : 0));
    const audio::AudioBuffer x = noise(20000, 8000);
    const StemSet once = separator->separate(x.view(), with_threads(1));
    CHECK(sdr_db(x, once.audio[0]) < 20);
    for (const int threads : {2, 3}) {
      const StemSet again = separator->separate(x.view(), with_threads(threads));
      for (std::size_t s = 0; s < 2; ++s) {
        for (int ch = 0; ch < 2; ++ch) CHECK(std::ranges::equal(again.audio[s].channel(ch), once.audio[s].channel(ch)));
      }
    }
    if (c.couples_channels()) continue;
    const StemSet mono = separator->separate(x.view().slice(0, 20000), {});
    const audio::AudioView left(x.channel(0).data(), 1, 20000, 20000, 8000);
    const StemSet alone = separator->separate(left, {});
    CHECK(std::ranges::equal(alone.audio[0].channel(0), mono.audio[0].channel(0)));
  }
}

TEST_CASE("the entry names profile, chunk and hop in the row, and refuses what excludes each other", "[bsrnn]") {
  Registry registry;
  bsrnn::add_methods(registry);
  const auto separator = registry.make("bsrnn@score:model=tiny,random=1");
  const core::Value& options = separator->info().resolved_options;
  CHECK(options.at("profile").as_string() == "paper");
  CHECK(options.at("hop").as_real() == 0.5);
  CHECK(options.at("chunk").as_real() == 3.0);
  CHECK(options.at("window").as_string() == "none");
  CHECK_FALSE(options.at("compat").as_bool());
  CHECK(separator->info().targets == std::vector<std::string>{"vocals", "accompaniment"});
  CHECK(registry.make("bsrnn@fast:model=tiny,random=1")->info().resolved_options.at("hop").as_real() == 1.5);
  CHECK(contains(message_of([&] { registry.make("bsrnn"); }), "needs weights"));
  CHECK(contains(message_of([&] { registry.make("bsrnn:random=1,weights=x"); }), "exclude"));
  CHECK(contains(message_of([&] { registry.make("bsrnn:model=tiny,random=1,target=bass"); }), "target"));
  CHECK(contains(message_of([&] { registry.make("bsrnn:model=tiny,random=1,compat=true"); }), "no defects"));
  CHECK(contains(message_of([&] { registry.make("bsrnn:weights=/nowhere/at.all"); }), "no such weights"));
}

TEST_CASE("projection=true makes the masks of profile authors sum to 1", "[bsrnn]") {
  const TempDir folder;
  Registry registry;
  bsrnn::add_methods(registry);
  // Four masks of 1: each loses (4 - 1) / 4.
  const Configuration c = small("authors", {"vocals", "bass", "drums", "other"});
  const std::string path = (folder / "authors.safetensors").string();
  write_weights(path, constant_weights(c, 1));
  const audio::AudioBuffer x = noise(8000, 8000);
  for (const bool projected : {false, true}) {
    const std::string spec =
        "bsrnn:weights=" + path + ",chunk=0.4,hop=0.2,projection=" + (projected ? "true" : "false");
    const auto separator = registry.make(spec);
    CHECK(separator->info().resolved_options.at("projection").as_bool() == projected);
    for (const audio::AudioBuffer& stem : separator->separate(x.view(), {}).audio) {
      audio::AudioBuffer wanted = x;
      for (int ch = 0; ch < 2; ++ch) {
        for (float& value : wanted.channel(ch)) value *= projected ? 0.25F : 1.0F;
      }
      CHECK(sdr_db(wanted, stem) > 90);
    }
  }
  write_weights(folder / "paper.safetensors", constant_weights(small("paper", {"vocals", "bass"}), 1));
  CHECK(contains(message_of([&] {
                   registry.make("bsrnn:weights=" + (folder / "paper.safetensors").string() + ",projection=true");
                 }),
                 "profile authors"));
}
