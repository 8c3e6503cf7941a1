#include <chrono>
#include <cmath>

#include "core/error.h"
#include "core/rng.h"
#include "methods/nmf/dictionary.h"
#include "methods/nmf/mask.h"
#include "tests/nmf/golden.h"
#include "tests/nmf/registry.h"

using namespace mss;
using namespace mss::methods::nmf;
using mss::tests::nmf::registry;

namespace {

/// Tones, decaying clicks and noise with different panning: three stems of `channels` channels.
std::vector<audio::AudioBuffer> stems_of(int channels, std::int64_t samples, int rate_hz = 8000) {
  std::vector<audio::AudioBuffer> stems;
  for (int s = 0; s < 3; ++s) stems.emplace_back(channels, samples, rate_hz);
  core::Rng rng(3, 9);
  double noise = 0;
  for (std::int64_t n = 0; n < samples; ++n) {
    const double time = static_cast<double>(n) / rate_hz;
    const double tone = std::sin(2 * M_PI * (n / 2000 % 2 == 0 ? 220.0 : 330.0) * time);
    noise = 0.3 * noise + 0.7 * (rng.uniform() - 0.5);
    const double click = std::exp(-static_cast<double>(n % 1500) / 120.0) * noise;
    const double high = (n / 3000) % 2 == 0 ? 0.3 * std::sin(2 * M_PI * 1800.0 * time) : 0.0;
    for (int c = 0; c < channels; ++c) {
      const auto at = static_cast<std::size_t>(n);
      stems[0].channel(c)[at] = static_cast<float>(0.3 * tone);
      stems[1].channel(c)[at] = static_cast<float>((c == 0 ? 0.8 : 0.5) * click);
      stems[2].channel(c)[at] = static_cast<float>((c == 0 ? 0.2 : 0.6) * high);
    }
  }
  return stems;
}

audio::AudioBuffer sum_of(const std::vector<audio::AudioBuffer>& stems) {
  audio::AudioBuffer sum(stems[0].view());
  for (std::size_t s = 1; s < stems.size(); ++s) audio::add_to(sum.span(), stems[s].view());
  return sum;
}

const std::vector<std::string> kNames = {"tone", "clicks", "high"};

methods::StemSet separate(const std::string& spec, const audio::AudioBuffer& mixture,
                          const methods::Options& options = {}) {
  return registry().make(spec)->separate(mixture.view(), options);
}

methods::StemSet separate_oracle(const std::string& spec, const std::vector<audio::AudioBuffer>& stems,
                                 methods::Options options = {}) {
  std::vector<audio::AudioView> views;
  for (const auto& stem : stems) views.push_back(stem.view());
  return registry().make(spec)->separate(sum_of(stems).view(), kNames, views, options);
}

double error_db(audio::AudioView estimate, audio::AudioView truth) {
  audio::AudioBuffer difference(truth);
  for (int c = 0; c < truth.channels(); ++c) {
    for (std::size_t n = 0; n < truth.channel(c).size(); ++n) difference.channel(c)[n] -= estimate.channel(c)[n];
  }
  return 10 * std::log10((audio::energy(difference.view()) + 1e-300) / audio::energy(truth));
}

void check_equal(const methods::StemSet& a, const methods::StemSet& b) {
  REQUIRE(a.names == b.names);
  for (std::size_t s = 0; s < a.audio.size(); ++s) {
    for (int c = 0; c < a.audio[s].channels(); ++c) {
      const auto x = a.audio[s].channel(c), y = b.audio[s].channel(c);
      CHECK(std::equal(x.begin(), x.end(), y.begin(), y.end()));
    }
  }
}

Dictionary learned_dictionary(const std::vector<audio::AudioBuffer>& stems) {
  Dictionary d;
  d.rate_hz = 8000;
  d.stft.fft_size = 512;
  d.stft.hop_samples = 128;
  for (std::size_t s = 0; s < stems.size(); ++s) {
    const audio::Stft<float> stft(d.stft);
    const auto x = stft.forward(stems[s].view());
    std::vector<float> v(static_cast<std::size_t>(x.bins() * x.frames()));
    for (std::int64_t n = 0; n < x.frames(); ++n) {
      for (int k = 0; k < x.bins(); ++k) v[static_cast<std::size_t>(k * x.frames() + n)] = std::abs(x.at(0, n)[k]);
    }
    Factors<float> start(x.bins(), x.frames(), 4);
    core::Rng rng(1, 1, static_cast<std::uint32_t>(s));
    for (auto& w : start.w) w = static_cast<float>(rng.uniform(0.1, 1.0));
    for (auto& h : start.h) h = static_cast<float>(rng.uniform(0.1, 1.0));
    FitOptions<float> options;
    options.iterations = 60;
    d.parts.push_back({kNames[s], 4, fit({v.data(), x.bins(), x.frames(), x.frames()}, start, options).factors.w});
  }
  return d;
}

}  // namespace

TEST_CASE("blind nmf yields components that sum to the mixture", "[nmf]") {
  for (const int channels : {1, 2}) {
    const auto mixture = sum_of(stems_of(channels, 20000));
    for (const char* spec :
         {"nmf:components=5,iterations=15,fft=512,hop=128", "nmf:components=3,beta=0,iterations=8,fft=512,hop=256",
          "nmfd:components=3,iterations=6,frames=4,fft=512,hop=128",
          "nmf:components=2,continuity=0.1,fft=256,hop=64,iterations=5",
          "nmf:components=4,sparsity=0.2,alpha=1.5,fft=512,hop=128,iterations=10",
          "nmf:update=toolbox,components=3,fft=512,hop=128,iterations=5,alpha=1",
          "nmf:stereo=ntf,components=4,iterations=10,fft=512,hop=128",
          "nmf:solver=hals,beta=2,components=4,iterations=5,fft=512,hop=128"}) {
      CAPTURE(spec, channels);
      const auto set = separate(spec, mixture);
      REQUIRE(set.names.front() == "component-01");
      CHECK(error_db(sum_of(set.audio).view(), mixture.view()) < -120);
      for (const auto& stem : set.audio) CHECK(audio::energy(stem.view()) > 0);
    }
  }
}

TEST_CASE("nmf gives the same bits for any number of threads, and other ones for another seed", "[nmf]") {
  const auto stems = stems_of(2, 20000);
  const auto mixture = sum_of(stems);
  const std::string spec = "nmf:components=5,iterations=10,fft=512,hop=128";
  methods::Options one, three, other;
  three.threads = 3;
  other.seed = 1;
  check_equal(separate(spec, mixture, one), separate(spec, mixture, three));
  CHECK(error_db(separate(spec, mixture, other).audio[0].view(), separate(spec, mixture, one).audio[0].view()) > -60);
  check_equal(separate_oracle(spec + ",protocol=P4", stems, one), separate_oracle(spec + ",protocol=P4", stems, three));
  check_equal(separate_oracle("nmfd:iterations=5,frames=3,fft=512,hop=128,protocol=P3", stems, one),
              separate_oracle("nmfd:iterations=5,frames=3,fft=512,hop=128,protocol=P3", stems, three));
}

TEST_CASE("oracle protocols take the references' names and beat the mixture", "[nmf]") {
  const auto stems = stems_of(2, 24000);
  const auto mixture = sum_of(stems);
  for (const char* spec : {"nmf:components=12,iterations=40,fft=512,hop=128,protocol=P4",
                           "nmf:components=4,iterations=40,fft=512,hop=128,protocol=P5"}) {
    CAPTURE(spec);
    const auto separator = registry().make(spec);
    CHECK(separator->info().needs_references);
    CHECK(separator->info().is_oracle);
    CHECK(separator->info().is_random);
    CHECK(separator->info().spec == core::to_string(core::parse_spec(registry().canonical(spec))));
    const auto set = separate_oracle(spec, stems);
    CHECK(set.names == kNames);
    CHECK(error_db(sum_of(set.audio).view(), mixture.view()) < -120);
    for (std::size_t s = 0; s < stems.size(); ++s) {
      CAPTURE(s);
      CHECK(error_db(set.audio[s].view(), stems[s].view()) < error_db(mixture.view(), stems[s].view()) - 3.0);
    }
  }
  CHECK_THROWS_AS(separate("nmf:protocol=P4", mixture), Error);
}

TEST_CASE("P3 is the permutation of the blind components with the largest total SDR", "[nmf]") {
  const auto stems = stems_of(2, 24000);
  const std::string spec = "nmf:components=3,iterations=30,fft=512,hop=128";
  const auto separator = registry().make(spec + ",protocol=P3");
  CHECK(separator->info().needs_references);
  CHECK(separator->info().is_oracle);
  CHECK(separator->info().protocol == "P3");
  for (const std::uint64_t seed : {0, 1, 2}) {
    methods::Options options;
    options.seed = seed;
    const auto components = separate(spec, sum_of(stems), options);
    const auto assigned = separate_oracle(spec + ",protocol=P3", stems, options);
    std::vector<std::size_t> order = {0, 1, 2}, best;
    double best_sum = -1e300;
    do {
      double sum = 0;
      for (std::size_t s = 0; s < 3; ++s) sum -= error_db(components.audio[order[s]].view(), stems[s].view());
      if (sum > best_sum) {
        best_sum = sum;
        best = order;
      }
    } while (std::next_permutation(order.begin(), order.end()));
    for (std::size_t s = 0; s < 3; ++s) {
      const auto x = assigned.audio[s].channel(1), y = components.audio[best[s]].channel(1);
      CHECK(std::equal(x.begin(), x.end(), y.begin(), y.end()));
    }
  }
}

TEST_CASE("P3 with other numbers of components and a silent stem is defined", "[nmf]") {
  auto stems = stems_of(1, 12000);
  for (auto& x : stems[2].channel(0)) x = 0;
  for (const char* components : {"1", "2", "5"}) {
    const auto set =
        separate_oracle(std::string("nmf:iterations=5,fft=512,hop=128,protocol=P3,components=") + components, stems);
    REQUIRE(set.audio.size() == 3);
    for (const auto& stem : set.audio) CHECK(audio::find_non_finite(stem.view()).channel == -1);
  }
}

TEST_CASE("silence, one frame, one sample and no iterations are separated without NaN", "[nmf]") {
  audio::AudioBuffer silence(2, 3000, 8000), sample(1, 1, 8000), clip(2, 100, 8000);
  sample.channel(0)[0] = 0.5F;
  clip.channel(1)[40] = 0.25F;
  for (const char* spec :
       {"nmf:components=40,fft=512,hop=128,iterations=5", "nmfd:components=3,fft=512,hop=128,iterations=4,frames=8",
        "nmf:iterations=0,fft=512,hop=128", "nmf:beta=0,components=4,iterations=4,fft=512,hop=128",
        "nmf:beta=2,components=4,iterations=4,fft=512,hop=128",
        "nmf:beta=0.5,components=4,iterations=4,fft=512,hop=128", "nmfd-toolbox:fft=512,hop=128"}) {
    for (const auto* audio : {&silence, &sample, &clip}) {
      CAPTURE(spec, audio->samples());
      const auto set = separate(spec, *audio);
      for (const auto& stem : set.audio) {
        CHECK(stem.samples() == audio->samples());
        CHECK(audio::find_non_finite(stem.view()).channel == -1);
        if (audio == &silence) CHECK(audio::is_silent(stem.view()));
      }
    }
  }
}

TEST_CASE("scaling the mixture scales the components", "[nmf]") {
  const auto mixture = sum_of(stems_of(2, 12000));
  audio::AudioBuffer quiet(mixture.view());
  for (int c = 0; c < 2; ++c) {
    for (float& x : quiet.channel(c)) x *= 1.0F / 1024;
  }
  const auto a = separate("nmf:components=4,iterations=10,fft=512,hop=128", mixture);
  const auto b = separate("nmf:components=4,iterations=10,fft=512,hop=128", quiet);
  for (std::size_t s = 0; s < 4; ++s) {
    audio::AudioBuffer loud(b.audio[s].view());
    for (int c = 0; c < 2; ++c) {
      for (float& x : loud.channel(c)) x *= 1024;
    }
    CHECK(error_db(loud.view(), a.audio[s].view()) < -100);
  }
}

TEST_CASE("a dictionary separates its targets as a stream, is named by label and hash, and its path stays usable",
          "[nmf]") {
  const tests::TempDir folder;
  const auto path = folder / "three stems.safetensors";
  const auto stems = stems_of(2, 24000);
  const auto mixture = sum_of(stems);
  write_dictionary(path, learned_dictionary(stems));
  const Dictionary d = read_dictionary(path);
  CHECK(d.targets() == kNames);
  CHECK(d.components() == 12);
  CHECK(d.name() == "three stems#" + d.sha256.substr(0, 8));
  const std::string quoted = "\"" + path.string() + "\"";
  const auto separator = registry().make("nmf:iterations=40,dict=" + quoted);
  const auto& info = separator->info();
  CHECK(info.protocol == "P0");
  CHECK_FALSE(info.needs_references);
  CHECK_FALSE(info.is_random);
  CHECK(info.streams);
  CHECK(info.weights_label == d.name());
  CHECK(info.weights_sha256 == d.sha256);
  CHECK(info.spec == "nmf:iterations=40,dict=\"" + d.name() + "\"");
  CHECK(info.spec.find(folder.path().string()) == std::string::npos);
  CHECK(info.resolved_options.at("dict").as_string() == d.name());
  const auto set = separator->separate(mixture.view());
  CHECK(set.names == kNames);
  CHECK(error_db(sum_of(set.audio).view(), mixture.view()) < -120);
  for (std::size_t s = 0; s < 3; ++s) CHECK(error_db(set.audio[s].view(), stems[s].view()) < -6);

  methods::Options threads;
  threads.threads = 3;
  check_equal(set, separator->separate(mixture.view(), threads));
  check_equal(set, separate("nmf:iterations=40,dict=\"" + path.string() + "#" + d.sha256.substr(0, 8) + "\"", mixture));
  setenv("MSSBENCH_WEIGHTS", folder.path().c_str(), 1);
  check_equal(set, separate(info.spec, mixture));
  unsetenv("MSSBENCH_WEIGHTS");
  CHECK_THROWS_AS(registry().make(info.spec), Error);
  CHECK_THROWS_AS(registry().make("nmf:dict=\"" + path.string() + "#00000000\""), Error);
  CHECK_THROWS_AS(registry().make("nmf:protocol=P4,dict=" + quoted), Error);
  CHECK_THROWS_AS(registry().make("nmf:fft=1024,dict=" + quoted), Error);
}

TEST_CASE("semi-supervised nmf leaves the dictionary as it is and gives free components to their target", "[nmf]") {
  const tests::TempDir folder;
  const auto path = folder / "two.safetensors";
  const auto stems = stems_of(2, 24000);
  const auto mixture = sum_of(stems);
  Dictionary d = learned_dictionary(stems);
  d.parts[2].target = "rest";
  // The third part knows a single bin where the stem has nothing.
  for (std::size_t i = 0; i < d.parts[2].w.size(); ++i) d.parts[2].w[i] = i / 4 == 250 ? 1.0F : 0.0F;
  write_dictionary(path, d);
  const auto supervised = separate("nmf:iterations=60,dict=" + path.string(), mixture);
  const auto semi = separate("nmf:iterations=60,free=4,free_target=rest,dict=" + path.string(), mixture);
  CHECK(semi.names == std::vector<std::string>{"tone", "clicks", "rest"});
  CHECK(error_db(sum_of(semi.audio).view(), mixture.view()) < -120);
  CHECK(error_db(semi.audio[2].view(), stems[2].view()) < error_db(supervised.audio[2].view(), stems[2].view()) - 1.0);
  CHECK_THROWS_AS(registry().make("nmf:free=2"), Error);
  CHECK_THROWS_AS(registry().make("nmf:free=2,free_target=x,dict=" + path.string()), Error);
}

TEST_CASE("files that are no dictionary are refused", "[nmf]") {
  const tests::TempDir folder;
  const auto path = folder / "d.safetensors";
  Dictionary d;
  d.stft.fft_size = 4;
  d.stft.hop_samples = 2;
  d.parts = {{"a", 2, {1, 0, 2, 3, 0, 1}}};
  write_dictionary(path, d);
  CHECK(read_dictionary(path).parts[0].w == std::vector<float>{1.0F / 3, 0, 2.0F / 3, 0.75F, 0, 0.25F});
  const auto change = [&](auto edit) {
    const checkpoints::SafetensorsFile file(path);
    auto tensors = file.read_all();
    auto metadata = file.metadata();
    edit(tensors, metadata);
    const auto other = folder / "e.safetensors";
    checkpoints::write_safetensors(other, tensors, metadata);
    try {
      read_dictionary(other);
    } catch (const Error& e) {
      return e.code();
    }
    return Code::internal;
  };
  using checkpoints::Tensor;
  CHECK(change([](auto&, auto&) {}) == Code::internal);
  CHECK(change([](auto&, auto& m) { m.erase("format"); }) == Code::checkpoint);
  CHECK(change([](auto&, auto& m) { m["version"] = "3"; }) == Code::checkpoint);
  CHECK(change([](auto&, auto& m) { m["fft_size"] = "6"; }) == Code::checkpoint);
  CHECK(change([](auto&, auto& m) { m["hop_samples"] = "-1"; }) == Code::checkpoint);
  CHECK(change([](auto&, auto& m) { m["beta"] = "nan"; }) == Code::checkpoint);
  CHECK(change([](auto&, auto& m) { m["targets"] = "[\"b\"]"; }) == Code::checkpoint);
  CHECK(change([](auto&, auto& m) { m["targets"] = "[\"a\",\"a\"]"; }) == Code::checkpoint);
  CHECK(change([](auto&, auto& m) { m["targets"] = "["; }) == Code::format);
  CHECK(change([](auto& t, auto&) {
          t["templates.a"] = Tensor::from(std::vector<float>{1, 0, -2, 3, 0, 1}, {3, 1, 2});
        }) == Code::checkpoint);
  CHECK(change([](auto& t, auto&) {
          t["templates.a"] = Tensor::from(std::vector<float>{0, 1, 0, 1, 0, 1}, {3, 1, 2});
        }) == Code::checkpoint);
  CHECK(change([](auto& t, auto&) {
          t["templates.a"] = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 1, 2});
        }) == Code::checkpoint);
}

TEST_CASE("a start dictionary makes the separation template-informed", "[nmf]") {
  const tests::TempDir folder;
  const auto path = folder / "classes.safetensors";
  const auto stems = stems_of(2, 24000);
  const auto mixture = sum_of(stems);
  write_dictionary(path, learned_dictionary(stems));
  for (const std::string spec :
       {"nmf:iterations=10,start=", "nmfd:iterations=5,frames=3,start=", "nmfd-toolbox:mono=false,start="}) {
    CAPTURE(spec);
    const auto separator = registry().make(spec + path.string());
    CHECK(separator->info().protocol == "P1");
    CHECK_FALSE(separator->info().is_oracle);
    CHECK(separator->info().spec.find("classes#") != std::string::npos);
    const auto set = separator->separate(mixture.view());
    CHECK(set.names == kNames);
    for (std::size_t s = 0; s < 3; ++s)
      CHECK(error_db(set.audio[s].view(), stems[s].view()) < error_db(mixture.view(), stems[s].view()));
  }
  CHECK_THROWS_AS(registry().make("nmf:protocol=P3,start=" + path.string()), Error);
}

TEST_CASE("nmfd-toolbox is mono and repeats the window bug on request", "[nmf]") {
  const auto mixture = sum_of(stems_of(2, 24000));
  const auto clean = separate("nmfd-toolbox:fft=512,hop=128", mixture);
  const auto bug = separate("nmfd-toolbox:fft=512,hop=128,window_bug=true", mixture);
  REQUIRE(clean.audio.size() == 4);
  for (std::size_t s = 0; s < 4; ++s) {
    const auto left = clean.audio[s].channel(0), right = clean.audio[s].channel(1);
    CHECK(std::equal(left.begin(), left.end(), right.begin(), right.end()));
    const double ratio = std::sqrt(audio::energy(bug.audio[s].view()) / audio::energy(clean.audio[s].view()));
    CHECK(ratio == Approx(s % 2 == 1 ? 1.497 : 1.0).margin(5e-3));
  }
  // Away from the edges the components sum to the mean of the channels.
  const auto sum = sum_of(clean.audio);
  for (std::size_t n = 600; n < 23000; ++n) {
    const float mean = 0.5F * (mixture.channel(0)[n] + mixture.channel(1)[n]);
    REQUIRE(sum.channel(0)[n] == Approx(mean).margin(2e-5));
  }
  CHECK_THROWS_AS(registry().make("nmf:window_bug=true"), Error);
  CHECK_THROWS_AS(registry().make("nmfd-toolbox:window_bug=true,protocol=P4"), Error);
  CHECK_THROWS_AS(registry().make("nmf:solver=hals"), Error);
  CHECK_THROWS_AS(registry().make("nmf:stereo=ntf,frames=2"), Error);
}

TEST_CASE("in a run, blind rows name their protocol", "[nmf]") {
  const auto name = [](const char* text) {
    core::Spec spec = core::parse_spec(text);
    if (auto part = registry().method(spec.method.name)->run_part(spec.method)) {
      CHECK(part->why.find("oracle") != std::string::npos);
      spec.method = part->part;
    }
    return core::to_string(spec);
  };
  CHECK(name("nmf") == "nmf:protocol=P4");
  CHECK(name("nmf:components=60|wiener") == "nmf:components=60,protocol=P4|wiener");
  CHECK(name("nmf:protocol=none") == "nmf:protocol=P4");
  CHECK(name("nmf:protocol=P3") == "nmf:protocol=P3");
  CHECK(name("nmf:dict=x") == "nmf:dict=x");
  CHECK(name("nmfd") == "nmfd:protocol=P3");
  CHECK(name("nmfd-toolbox") == "nmfd-toolbox:protocol=P3");
  CHECK(name("nmf@cc0") == "nmf@cc0");
}

TEST_CASE("the best assignment is the best of all", "[nmf]") {
  core::Rng rng(11, 2);
  for (const auto& [rows, columns] : std::vector<std::pair<int, int>>{{1, 1}, {4, 4}, {3, 5}, {5, 3}, {2, 6}, {6, 2}}) {
    for (int trial = 0; trial < 30; ++trial) {
      std::vector<double> weight;
      for (int i = 0; i < rows * columns; ++i) weight.push_back(std::floor(rng.uniform(-9.0, 9.0)));
      const auto chosen = best_assignment(weight, rows, columns);
      double total = 0;
      std::vector<int> uses(static_cast<std::size_t>(columns), 0);
      int assigned = 0;
      for (int r = 0; r < rows; ++r) {
        const int c = chosen[static_cast<std::size_t>(r)];
        if (c < 0) continue;
        ++assigned;
        CHECK(++uses[static_cast<std::size_t>(c)] == 1);
        total += weight[static_cast<std::size_t>(r * columns + c)];
      }
      CHECK(assigned == std::min(rows, columns));
      // All injective maps of the smaller side, by brute force over permutations of the larger.
      const int large = std::max(rows, columns), small = std::min(rows, columns);
      std::vector<int> order(static_cast<std::size_t>(large));
      for (int i = 0; i < large; ++i) order[static_cast<std::size_t>(i)] = i;
      double best = -1e300;
      do {
        double sum = 0;
        for (int i = 0; i < small; ++i) {
          const int j = order[static_cast<std::size_t>(i)];
          sum += rows <= columns ? weight[static_cast<std::size_t>(i * columns + j)]
                                 : weight[static_cast<std::size_t>(j * columns + i)];
        }
        best = std::max(best, sum);
      } while (std::next_permutation(order.begin(), order.end()));
      CHECK(total == best);
    }
  }
}
