// The pseudo-random weights and signals of tests/golden/openunmix.json (splitmix64 keyed by FNV-1a of a name), and
// separators made of them.
#pragma once

#include <cmath>
#include <complex>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "methods/filters/register.h"
#include "methods/network_entry.h"
#include "methods/openunmix/separator.h"
#include "methods/registry.h"
#include "methods/weights.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::tests {

/// What `work` throws; the test fails where it throws nothing.
template <class Work>
Error error_of(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  return Error(Code::internal, "", "");
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

namespace umx = methods::openunmix;

inline const core::Value& openunmix_golden() {
  static const core::Value value = core::read_json_file(golden("openunmix.json"));
  return value;
}

class IndexedUniform {
 public:
  explicit IndexedUniform(const std::string& key) : seed_(0xcbf29ce484222325ULL) {
    for (const char c : key) {
      seed_ ^= static_cast<unsigned char>(c);
      seed_ *= 0x100000001b3ULL;
    }
  }
  std::uint64_t seed() const { return seed_; }
  double operator()(std::uint64_t index) const {
    std::uint64_t z = seed_ + (index + 1) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
    return static_cast<double>(z >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t seed_;
};

/// One target's tensors; `prefix` as in the golden file ("vocals/").
inline methods::Arrays golden_arrays(const umx::Configuration& c, const std::string& prefix) {
  methods::Arrays out;
  const methods::Listings listings = umx::family().list(umx::configuration_value(c));
  for (const auto& entry : listings.begin()->second.entries) {
    const std::string& name = entry.name;
    const nn::Shape& shape = entry.parameter.shape;
    double low = 0, high = 1;
    if (name.starts_with("fc")) {
      high = std::sqrt(3.0 / static_cast<double>(shape[1]));
      low = -high;
    } else if (name.starts_with("lstm")) {
      high = 1 / std::sqrt(static_cast<double>(c.hidden / c.directions()));
      low = -high;
    } else if (name.ends_with(".running_var") || name.ends_with(".weight") || name == "output_scale") {
      low = 0.5;
      high = 1.5;
    } else if (name.ends_with(".bias") || name.ends_with(".running_mean")) {
      low = -0.2;
      high = 0.2;
    } else if (name == "input_mean") {
      low = -1;
      high = 0;
    } else if (name == "input_scale") {
      low = 0.2;
    }
    const IndexedUniform u(prefix + name);
    std::vector<float> values(static_cast<std::size_t>(nn::element_count(shape)));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(low + (high - low) * u(i));
    out[name] = checkpoints::LazyTensor::from(std::move(values), shape);
  }
  return out;
}

/// The small network of the golden file.
inline umx::Configuration small_configuration(std::vector<std::string> targets,
                                              umx::Architecture architecture = umx::Architecture::openunmix) {
  umx::Configuration c;
  c.architecture = architecture;
  c.fft_size = 256;
  c.hop_samples = 64;
  c.bins = 129;
  c.max_bin = 93;
  c.hidden = 32;
  c.targets = std::move(targets);
  return c;
}

inline methods::Weights golden_weights(const umx::Configuration& c, const std::string& before = "") {
  methods::Parts parts;
  for (const std::string& target : c.targets) parts[target] = golden_arrays(c, before + target + "/");
  return methods::make_weights(umx::family(), umx::configuration_value(c), std::move(parts), "golden");
}

inline audio::AudioBuffer golden_signal(int channels, std::int64_t samples = 8229, const std::string& name = "signal") {
  audio::AudioBuffer out(channels, samples, 44100);
  for (int c = 0; c < channels; ++c) {
    const IndexedUniform u(name + "/c" + std::to_string(c));
    for (std::int64_t n = 0; n < samples; ++n) {
      const double gain = 0.25 + 0.75 * static_cast<double>(n % 997) / 996;
      const bool gap = name == "signal" && n >= 3000 && n < 3600;
      out.channel(c)[static_cast<std::size_t>(n)] =
          gap ? 0.0F : static_cast<float>(0.5 * (2 * u(static_cast<std::uint64_t>(n)) - 1) * gain);
    }
  }
  return out;
}

inline methods::NetworkRequest small_request(const methods::Weights& weights, std::vector<std::string> targets = {}) {
  methods::SeparatorInfo info;
  info.spec = info.method = "net";
  info.resolved_options = core::Value::object();
  return methods::make_request(weights, std::move(targets), std::move(info));
}

inline std::unique_ptr<methods::Separator> make_small(const methods::Weights& weights,
                                                      const umx::SeparatorOptions& options = {},
                                                      std::vector<std::string> targets = {}) {
  return umx::make_separator(small_request(weights, std::move(targets)), options);
}

/// `weights` with filters behind: "net|wiener:iters=1".
inline std::unique_ptr<methods::Separator> make_small(const methods::Weights& weights, const std::string& spec,
                                                      const umx::SeparatorOptions& options = {}) {
  methods::Registry registry;
  methods::filters::add_filters(registry);
  methods::MethodEntry entry;
  entry.name = "net";
  entry.family = "network";
  entry.summary = "A small network.";
  entry.make = [&weights, &options](const core::Params&, const core::SpecPart&) {
    return make_small(weights, options);
  };
  registry.add(std::move(entry));
  return registry.make(spec);
}

/// The magnitude estimates of all frames: [stem][(c * N + n) * F + k].
class MagnitudeSink final : public methods::StemSink {
 public:
  void begin(const methods::StemFormat& format) override { names = format.targets; }
  void write(const methods::StemBlock&) override {}
  bool wants_magnitudes() const override { return true; }
  void write_magnitudes(const methods::MagnitudeBlock& block) override {
    REQUIRE(block.first_frame == frames);
    channels = block.mixture->channels();
    bins = block.mixture->bins();
    blocks.push_back(block.magnitudes);
    sizes.push_back(block.mixture->frames());
    frames += block.mixture->frames();
  }
  float at(std::size_t stem, int c, std::int64_t n, int k) const {
    std::size_t block = 0;
    while (n >= sizes[block]) n -= sizes[block++];
    return blocks[block][stem][static_cast<std::size_t>((c * sizes[block] + n) * bins + k)];
  }
  std::vector<std::string> names;
  std::vector<std::vector<std::vector<float>>> blocks;
  std::vector<std::int64_t> sizes;
  std::int64_t frames = 0;
  int channels = 0, bins = 0;
};

inline MagnitudeSink magnitudes_of(const methods::Separator& separator, audio::AudioView mixture, int threads = 1) {
  MagnitudeSink sink;
  audio::ViewSource source(mixture);
  methods::Options options;
  options.threads = threads;
  separator.separate(source, sink, options);
  return sink;
}

}  // namespace mss::tests
