// Pictures of separations: that the factors drawn are the separation's, and which files appear.
#include "harness/pictures.h"

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "audio/stft.h"
#include "core/file.h"
#include "methods/factor_model.h"
#include "methods/floors/floors.h"
#include "methods/nmf/dictionary.h"
#include "methods/nmf/factorisation.h"
#include "methods/nmf/register.h"
#include "tests/harness/support.h"

using namespace mss;
using namespace mss::harness;
namespace fs = std::filesystem;

namespace {

const methods::Registry& registry() {
  static const methods::Registry filled = [] {
    methods::Registry r;
    methods::nmf::add_methods(r);
    methods::floors::add_methods(r);
    return r;
  }();
  return filled;
}

const std::vector<std::string> kNames = {"tone", "clicks", "high"};

std::vector<audio::AudioBuffer> stems_of(int channels, std::int64_t samples = 12000, int rate_hz = 8000) {
  std::vector<audio::AudioBuffer> stems;
  for (int s = 0; s < 3; ++s) stems.emplace_back(channels, samples, rate_hz);
  core::Rng rng(3, 9);
  for (std::int64_t n = 0; n < samples; ++n) {
    const double time = static_cast<double>(n) / rate_hz;
    const double noise = rng.uniform() - 0.5;
    for (int c = 0; c < channels; ++c) {
      const auto at = static_cast<std::size_t>(n);
      stems[0].channel(c)[at] = static_cast<float>(0.3 * std::sin(2 * M_PI * (n / 2000 % 2 == 0 ? 220 : 330) * time));
      stems[1].channel(c)[at] = static_cast<float>((c == 0 ? 0.8 : 0.5) * std::exp(-(n % 1500) / 120.0) * noise);
      stems[2].channel(c)[at] =
          static_cast<float>((c == 0 ? 0.2 : 0.6) * (n / 3000 % 2) * 0.3 * std::sin(2 * M_PI * 1800 * time));
    }
  }
  return stems;
}

audio::AudioBuffer sum_of(const std::vector<audio::AudioBuffer>& stems) {
  audio::AudioBuffer sum(stems[0].view());
  for (std::size_t s = 1; s < stems.size(); ++s) audio::add_to(sum.span(), stems[s].view());
  return sum;
}

fs::path dictionary_file(const fs::path& folder, int template_frames) {
  methods::nmf::Dictionary d;
  d.rate_hz = 8000;
  d.stft.fft_size = 256;
  d.stft.hop_samples = 64;
  d.template_frames = template_frames;
  core::Rng rng(5, 1);
  for (const std::string& name : kNames) {
    methods::nmf::DictionaryPart part{name, 3, {}};
    for (int i = 0; i < d.stft.bins() * template_frames * 3; ++i)
      part.w.push_back(static_cast<float>(std::pow(rng.uniform(), 6)));
    d.parts.push_back(std::move(part));
  }
  const fs::path path = folder / ("d" + std::to_string(template_frames) + ".safetensors");
  methods::nmf::write_dictionary(path, d);
  return path;
}

struct Separation {
  std::unique_ptr<methods::Separator> separator;
  methods::StemSet stems;
};

Separation separate(const std::string& spec, const std::vector<audio::AudioBuffer>& stems, std::uint64_t seed) {
  Separation out{registry().make(spec), {}};
  methods::Options options;
  options.seed = seed;
  std::vector<audio::AudioView> views;
  for (const auto& stem : stems) views.push_back(stem.view());
  out.stems = out.separator->info().needs_references
                  ? out.separator->separate(sum_of(stems).view(), kNames, views, options)
                  : out.separator->separate(sum_of(stems).view(), options);
  return out;
}

/// What pictures are drawn of.
methods::FactorModel model_of(const std::string& spec, const audio::AudioBuffer& mixture,
                              const std::vector<std::string>& names, const std::vector<audio::AudioView>& references,
                              const methods::Options& options) {
  const auto method = registry().make(spec);
  return registry().method(method->info().method)->factor_model(*method, mixture.view(), names, references, options);
}

/// Largest difference between the stems and the mixture masked with the factors, over the mixture's largest sample.
double mask_error(const std::string& spec, int channels) {
  INFO(spec);
  const auto truth = stems_of(channels);
  const audio::AudioBuffer mixture = sum_of(truth);
  const Separation done = separate(spec, truth, 4);
  methods::Options options;
  options.seed = 4;
  std::vector<audio::AudioView> views;
  for (const auto& stem : truth) views.push_back(stem.view());
  const auto* factoriser = dynamic_cast<const methods::nmf::Factoriser*>(done.separator.get());
  REQUIRE(factoriser != nullptr);
  const methods::nmf::Factorisation factors = factoriser->factorise(mixture.view(), kNames, views, options);
  CHECK(factors.targets == done.stems.names);
  CHECK(factors.channels == (factors.toolbox ? 1 : channels));
  const methods::FactorModel drawn = model_of(spec, mixture, kNames, views, options);
  CHECK(drawn.templates == factors.factors.w);
  CHECK(drawn.activations == factors.factors.h);
  CHECK(drawn.targets == done.stems.names);
  CHECK(std::ssize(drawn.activations) == drawn.components * drawn.channels * drawn.frames);
  CHECK(std::ssize(drawn.templates) == drawn.components * drawn.template_frames * drawn.bins);
  REQUIRE(std::ssize(drawn.target) == drawn.components);
  for (int r = 0; r < drawn.components; ++r) CHECK(drawn.target[static_cast<std::size_t>(r)] == factors.target_of(r));

  const audio::AudioBuffer input = audio::convert_channels(mixture.view(), factors.channels);
  const audio::Stft<float> stft(factors.stft);
  const auto x = stft.forward(input.view());
  REQUIRE(x.frames() == factors.frames);
  std::vector<float> mask;
  double error = 0, peak = 0;
  for (std::size_t s = 0; s < done.stems.names.size(); ++s) {
    audio::Spectrogram<float> y(x.channels(), x.frames(), x.bins());
    for (int c = 0; c < x.channels(); ++c) {
      for (std::int64_t n = 0; n < x.frames(); ++n) {
        methods::nmf::part_masks(factors, c, n, mask);
        for (int p = 0; p < factors.parts(); ++p) {
          if (factors.target[static_cast<std::size_t>(p)] != static_cast<int>(s)) continue;
          for (int k = 0; k < x.bins(); ++k)
            y.at(c, n)[k] += x.at(c, n)[k] * mask[static_cast<std::size_t>(p * x.bins() + k)];
        }
      }
    }
    const audio::AudioBuffer estimate =
        audio::convert_channels(stft.inverse(y, input.samples(), input.rate_hz()).view(), channels);
    for (int c = 0; c < channels; ++c) {
      for (std::size_t i = 0; i < estimate.channel(c).size(); ++i) {
        error = std::max(error, std::abs(static_cast<double>(estimate.channel(c)[i]) -
                                         static_cast<double>(done.stems.audio[s].channel(c)[i])));
        peak = std::max(peak, std::abs(static_cast<double>(mixture.channel(c)[i])));
      }
    }
  }
  return error / peak;
}

PictureRequest request_of(const std::string& spec, const audio::AudioBuffer& mixture, const methods::StemSet& stems,
                          const std::vector<audio::AudioBuffer>& truth) {
  PictureRequest request;
  request.song = "Song";
  request.spec = spec;
  request.seed = 4;
  request.mixture = [&] { return std::make_unique<audio::ViewSource>(mixture.view()); };
  for (std::size_t s = 0; s < stems.names.size(); ++s) {
    request.stems.push_back(
        {stems.names[s], [&stems, s] { return std::make_unique<audio::ViewSource>(stems.audio[s].view()); }});
  }
  for (std::size_t s = 0; s < truth.size(); ++s)
    request.references.push_back(
        {kNames[s], [&truth, s] { return std::make_unique<audio::ViewSource>(truth[s].view()); }});
  return request;
}

std::vector<std::string> names_of(const std::vector<fs::path>& paths) {
  std::vector<std::string> out;
  for (const fs::path& path : paths) out.push_back(path.filename().string());
  return out;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("the factors that are drawn are those of the separation", "[harness]") {
  const mss::tests::TempDir folder;
  const std::string flat = dictionary_file(folder.path(), 1).string(),
                    deep = dictionary_file(folder.path(), 3).string();
  const std::string small = "fft=256,hop=64,iterations=8";
  // Float32 transforms of whole signals against transforms of blocks; the factors themselves are equal bit for bit.
  constexpr double kTolerance = 1e-5;
  for (const int channels : {1, 2}) {
    for (const std::string& spec :
         {"nmf:components=4," + small, "nmf:components=4,sparsity=0.1,beta=0.5,alpha=1.7," + small,
          "nmf:components=3,continuity=1,h=ones," + small, "nmf:components=4,solver=hals,beta=2," + small,
          "nmf:components=4,protocol=P4," + small, "nmf:components=3,protocol=P5," + small, "nmf:protocol=P3," + small,
          "nmfd:components=3,frames=4," + small, "nmfd:components=5,frames=3,protocol=P4," + small,
          "nmfd:frames=4,protocol=P3," + small, "nmfd:components=2,frames=3,protocol=P5," + small,
          "nmf:update=toolbox,mono=true,stft=toolbox,components=3," + small, "nmfd-toolbox:frames=4," + small,
          "nmfd-toolbox:frames=4,protocol=P3," + small, "nmf:dict=" + flat + ",iterations=8",
          "nmf:dict=" + deep + ",iterations=8", "nmf:dict=" + flat + ",iterations=8,free=2,free_target=high",
          "nmf:start=" + flat + ",iterations=8", "nmfd:start=" + flat + ",frames=3,iterations=8"}) {
      CHECK(mask_error(spec, channels) < kTolerance);
    }
  }
  CHECK(mask_error("nmf:components=4,stereo=ntf," + small, 2) < kTolerance);
  // The comparison can tell another seed's factors.
  const auto truth = stems_of(1);
  const audio::AudioBuffer mixture = sum_of(truth);
  methods::Options options;
  const auto templates = [&] { return model_of("nmf:components=4," + small, mixture, {}, {}, options).templates; };
  const std::vector<float> one = templates();
  options.threads = 3;
  CHECK(templates() == one);
  options.seed = 1;
  CHECK(templates() != one);
}

TEST_CASE("methods without templates have no factors, oracles need their references", "[harness]") {
  const audio::AudioBuffer mixture = sum_of(stems_of(1));
  CHECK_FALSE(registry().method("mixture")->factor_model);
  CHECK_THROWS_AS(model_of("nmf:protocol=P4", mixture, {}, {}, {}), Error);
}

TEST_CASE("pictures: one per component and target, and an overview", "[harness]") {
  const mss::tests::TempDir folder;
  const auto truth = stems_of(2);
  const audio::AudioBuffer mixture = sum_of(truth);
  const auto draw = [&](const std::string& spec, const std::string& name) {
    const Separation done = separate(spec, truth, 4);
    return write_pictures(*done.separator, registry(), request_of(spec, mixture, done.stems, truth), folder / name);
  };
  CHECK(names_of(draw("nmf:components=2,fft=256,hop=64,iterations=3", "blind")) ==
        Names{"overview.png", "stems.png", "component-01.png", "component-02.png"});
  const auto grouped = draw("nmfd:components=4,frames=3,fft=256,hop=64,iterations=3,protocol=P4", "grouped");
  CHECK(names_of(grouped) == Names{"overview.png", "stems.png", "target-tone.png", "target-clicks.png",
                                   "target-high.png", "component-01.png", "component-02.png", "component-03.png",
                                   "component-04.png"});
  CHECK(names_of(draw("mixture", "floor")) ==
        Names{"overview.png", "target-vocals.png", "target-drums.png", "target-bass.png", "target-other.png"});
  CHECK(core::list_directory(folder / "grouped").size() == grouped.size());
  std::set<std::string> contents;
  for (const fs::path& path : grouped) {
    const std::string bytes = core::read_text_file(path);
    CHECK(bytes.substr(1, 3) == "PNG");
    contents.insert(bytes);
  }
  CHECK(contents.size() == grouped.size());
  // Drawn again, the bytes are the same.
  for (const fs::path& path : draw("nmfd:components=4,frames=3,fft=256,hop=64,iterations=3,protocol=P4", "again"))
    CHECK(contents.count(core::read_text_file(path)) == 1);
}

TEST_CASE("pictures of silence, of one sample and of odd names", "[harness]") {
  const mss::tests::TempDir folder;
  for (const std::int64_t samples : {1, 5000}) {
    const audio::AudioBuffer silent(1, samples, 8000);
    for (const std::string& spec :
         {std::string("nmf:components=2,fft=256,hop=64,iterations=2"), std::string("mixture")}) {
      const auto separator = registry().make(spec);
      methods::Options options;
      options.targets = {"a/b", "c"};
      const methods::StemSet stems = separator->separate(silent.view(), options);
      const auto paths = write_pictures(*separator, registry(), request_of(spec, silent, stems, {}),
                                        folder / (std::to_string(samples) + spec.substr(0, 3)));
      CHECK(paths.size() == (spec == "mixture" ? 3U : 4U));
      for (const fs::path& path : paths) CHECK(fs::is_regular_file(path));
    }
  }
}

TEST_CASE("pictures refuse stems that do not belong to the mixture and stop on request", "[harness]") {
  const mss::tests::TempDir folder;
  const auto truth = stems_of(1);
  const audio::AudioBuffer mixture = sum_of(truth);
  const auto separator = registry().make("mixture");
  const methods::StemSet good = separator->separate(mixture.view());
  methods::StemSet bad = good;
  bad.audio[1].resize(100);
  CHECK_THROWS_WITH(write_pictures(*separator, registry(), request_of("mixture", mixture, bad, {}), folder.path()),
                    Catch::Contains("drums") && Catch::Contains("length"));
  bad = good;
  bad.audio[2].channel(0)[7] = std::nanf("");
  CHECK_THROWS_WITH(write_pictures(*separator, registry(), request_of("mixture", mixture, bad, {}), folder.path()),
                    Catch::Contains("bass") && Catch::Contains("sample 7"));
  core::StopSource stop;
  stop.request_stop();
  PictureRequest request = request_of("mixture", mixture, good, {});
  request.stop = stop.token();
  try {
    write_pictures(*separator, registry(), request, folder.path());
    FAIL("went on");
  } catch (const Error& error) {
    CHECK(error.code() == Code::cancelled);
  }
}
