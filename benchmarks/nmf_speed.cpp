// Times the library's NMF for benchmarks/peers/nmf/compare.py and prints one JSON object.
//
//   nmf_speed nmf KEY=VALUE…         updates of W and H: bins, frames, components, template_frames, iterations,
//                                    precision (32, 64), order (toolbox, clean), threads, repeats; with data=FOLDER
//                                    V.f64, W.f64 (K x T x R) and H.f64 are read from there (row-major float64) and the
//                                    factors of the last repeat written to W.out and H.out
//   nmf_speed supervised KEY=VALUE…  a whole separation of stereo noise into four stems by a random dictionary, from
//                                    samples to samples: seconds, components (of all stems), iterations, threads,
//                                    repeats
//
// {"seconds": [per repeat], "flops": of the products of one repeat (nmf), "audio_s": (supervised), "isa": …}
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/isa.h"
#include "core/json.h"
#include "core/rng.h"
#include "methods/nmf/dictionary.h"
#include "methods/nmf/nmf.h"
#include "methods/nmf/register.h"

namespace {

namespace fs = std::filesystem;
namespace nmf = mss::methods::nmf;
using mss::core::Value;

/// KEY=VALUE arguments with defaults; what is left at the end was misspelt.
class Arguments {
 public:
  Arguments(int argc, char** argv) {
    for (int i = 2; i < argc; ++i) {
      const std::string text = argv[i];
      const std::size_t equals = text.find('=');
      if (equals == std::string::npos) fail(text, "KEY=VALUE");
      values_[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  std::string text(const std::string& key, const std::string& otherwise) {
    const auto found = values_.extract(key);
    return found.empty() ? otherwise : found.mapped();
  }
  std::int64_t number(const std::string& key, std::int64_t otherwise) {
    const std::string given = text(key, std::to_string(otherwise));
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
    if (error != std::errc() || end != given.data() + given.size() || value < 1)
      fail(key + "=" + given, "a number >= 1");
    return value;
  }
  void done() const {
    if (!values_.empty()) fail(values_.begin()->first, "a known key");
  }

 private:
  [[noreturn]] static void fail(const std::string& what, const std::string& expected) {
    throw mss::Error({mss::Code::config, "nmf_speed", "bad argument", expected, "'" + what + "'", ""});
  }
  std::map<std::string, std::string> values_;
};

template <class F>
double seconds_of(F&& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::vector<double> values_of(const fs::path& folder, const char* name, std::size_t count, std::uint32_t stream) {
  std::vector<double> out(count);
  if (folder.empty()) {
    mss::core::Rng rng(1, stream);
    for (double& x : out) x = 0.05 + rng.uniform();
    return out;
  }
  std::ifstream file(folder / name, std::ios::binary);
  file.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(count * sizeof(double)));
  if (!file || file.peek() != EOF) {
    throw mss::Error(
        {mss::Code::format, (folder / name).string(), "wrong size", std::to_string(count) + " doubles", "", ""});
  }
  return out;
}

template <class T>
void write_values(const fs::path& path, const std::vector<T>& values) {
  const std::vector<double> wide(values.begin(), values.end());
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(wide.data()), static_cast<std::streamsize>(wide.size() * sizeof(double)));
  if (!file.flush()) throw mss::Error(mss::Code::io, path.string(), "cannot be written");
}

template <class T>
Value time_nmf(Arguments& arguments) {
  const std::int64_t bins = arguments.number("bins", 2049), frames = arguments.number("frames", 1292);
  const auto components = static_cast<int>(arguments.number("components", 4));
  const auto length = static_cast<int>(arguments.number("template_frames", 8));
  const bool clean = arguments.text("order", "toolbox") == "clean";
  const std::int64_t repeats = arguments.number("repeats", 3);
  const fs::path folder = arguments.text("data", "");
  nmf::FitOptions<T> options;
  options.iterations = static_cast<int>(arguments.number("iterations", 30));
  options.threads = static_cast<int>(arguments.number("threads", 1));
  options.update = clean ? nmf::Update::clean : length == 1 ? nmf::Update::toolbox_nmf : nmf::Update::toolbox_nmfd;
  arguments.done();
  nmf::Factors<T> start(bins, frames, components, length);
  const auto v = values_of(folder, "V.f64", static_cast<std::size_t>(bins * frames), 1);
  const auto w = values_of(folder, "W.f64", start.w.size(), 2), h = values_of(folder, "H.f64", start.h.size(), 3);
  const std::vector<T> data(v.begin(), v.end());
  start.w.assign(w.begin(), w.end());
  start.h.assign(h.begin(), h.end());
  Value seconds = Value::array();
  nmf::Factors<T> factors;
  for (std::int64_t i = 0; i < repeats; ++i) {
    seconds.push_back(seconds_of([&] {
      factors = nmf::fit<T>({data.data(), bins, frames, frames}, start, options).factors;
    }));
  }
  if (!folder.empty()) {
    write_values(folder / "W.out", factors.w);
    write_values(folder / "H.out", factors.h);
  }
  Value out = Value::object();
  out["seconds"] = std::move(seconds);
  // Model, numerator of W, numerator of H; clean order computes the model twice.
  out["flops"] = (clean ? 8.0 : 6.0) * static_cast<double>(bins) * static_cast<double>(frames) * components * length *
                 options.iterations;
  return out;
}

Value time_supervised(Arguments& arguments) {
  const std::int64_t seconds = arguments.number("seconds", 20), components = arguments.number("components", 200);
  const std::int64_t iterations = arguments.number("iterations", 100), repeats = arguments.number("repeats", 3);
  mss::methods::Options options;
  options.threads = static_cast<int>(arguments.number("threads", 1));
  arguments.done();
  nmf::Dictionary dictionary;
  dictionary.stft.fft_size = 4096;
  dictionary.stft.hop_samples = 1024;
  mss::core::Rng rng(1, 4);
  for (const char* target : {"vocals", "drums", "bass", "other"}) {
    nmf::DictionaryPart part{target, static_cast<int>(components / 4), {}};
    part.w.resize(static_cast<std::size_t>(dictionary.stft.bins() * part.components));
    for (float& x : part.w) x = static_cast<float>(1e-3 + rng.uniform());
    dictionary.parts.push_back(std::move(part));
  }
  const fs::path file = fs::temp_directory_path() / ("nmf_speed-" + std::to_string(getpid()) + ".safetensors");
  nmf::write_dictionary(file, dictionary);
  mss::methods::Registry registry;
  nmf::add_methods(registry);
  const auto separator = registry.make("nmf:dict=" + file.string() + ",iterations=" + std::to_string(iterations));
  fs::remove(file);
  mss::audio::AudioBuffer mixture(2, seconds * 44100, 44100);
  for (int c = 0; c < 2; ++c) {
    for (float& x : mixture.channel(c)) x = static_cast<float>(rng.uniform(-0.5, 0.5));
  }
  Value times = Value::array();
  for (std::int64_t i = 0; i < repeats; ++i) {
    times.push_back(seconds_of([&] { separator->separate(mixture.view(), options); }));
  }
  Value out = Value::object();
  out["seconds"] = std::move(times);
  out["audio_s"] = seconds;
  return out;
}

Value measure(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  Arguments arguments(argc, argv);
  if (what == "supervised") return time_supervised(arguments);
  if (what != "nmf") {
    throw mss::Error({mss::Code::config, "nmf_speed", "nothing to measure", "nmf or supervised", "'" + what + "'", ""});
  }
  return arguments.text("precision", "64") == "32" ? time_nmf<float>(arguments) : time_nmf<double>(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Value out = measure(argc, argv);
    out["isa"] = std::string(mss::core::isa_name(mss::core::active_isa()));
    std::puts(mss::core::dump_json(out).c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
