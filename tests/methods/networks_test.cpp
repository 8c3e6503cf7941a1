// The module of network methods, seen from the program: what is read of it before it is loaded.
#include <elf.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/json.h"
#include "harness/builtin_methods.h"
#include "methods/network_entry.h"
#include "methods/networks.h"
#include "methods/registry.h"
#include "nn/tensor.h"
#include "tests/methods/support.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::methods {
namespace {

using ::mss::tests::TempDir;
using tests::check_error;

/// The smallest file with one named section besides the table of names.
std::string elf_with_section(const std::string& name, const std::string& content) {
  const std::string names = std::string(1, '\0') + ".shstrtab" + '\0' + name + '\0';
  Elf64_Ehdr head{};
  std::memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = ELFCLASS64;
  head.e_shentsize = sizeof(Elf64_Shdr);
  head.e_shnum = 3;
  head.e_shstrndx = 1;
  head.e_shoff = sizeof head + names.size() + content.size();
  Elf64_Shdr sections[3]{};
  sections[1].sh_name = 1;
  sections[1].sh_offset = sizeof head;
  sections[1].sh_size = names.size();
  sections[2].sh_name = 11;
  sections[2].sh_offset = sizeof head + names.size();
  sections[2].sh_size = content.size();
  std::string out(reinterpret_cast<const char*>(&head), sizeof head);
  out += names + content;
  out.append(reinterpret_cast<const char*>(sections), sizeof sections);
  return out;
}

/// The integer number `at` in the order of the document, at any depth.
core::Value* nth_integer(core::Value& value, int& at) {
  if (value.is_integer()) return at-- == 0 ? &value : nullptr;
  if (value.is_array()) {
    for (core::Value& member : value.as_array()) {
      if (core::Value* found = nth_integer(member, at)) return found;
    }
  } else if (value.is_object()) {
    for (auto& [key, member] : value.as_object()) {
      if (core::Value* found = nth_integer(member, at)) return found;
    }
  }
  return nullptr;
}

NetworkModule inspect(const TempDir& folder, const std::string& bytes) {
  const std::filesystem::path file = folder / "module.so";
  std::ofstream(file, std::ios::binary) << bytes;
  return inspect_network_module(file);
}

}  // namespace

TEST_CASE("what a file claims of a network is bounded before the network is listed", "[methods]") {
  const Registry& registry = harness::builtin_methods();
  REQUIRE(registry.networks().size() >= 7);
  for (const auto& network : registry.networks()) {
    const NetworkFamily& family = *network->family;
    const core::Value plain = configured(*network, "", {"vocals", "drums"}, core::Value::object());
    // Refused with an error, or still a network that can be listed at once.
    const auto bounded = [&](const core::Value& configuration, const std::string& what) {
      CAPTURE(network->name, what);
      std::size_t entries = 0;
      try {
        for (const auto& [part, listing] : family.list(family.normalise(configuration, "hostile.safetensors"))) {
          entries += listing.entries.size();
          CHECK(listing.parameters() >= 0);
        }
      } catch (const Error& error) {
        CHECK(error.code() != Code::internal);
      }
      CHECK(entries < 3'000'000);
    };
    bounded(plain, "plain");
    // As written, and without the lists that can be computed from other values.
    core::Value fewer = plain;
    if (core::Value* networks = fewer.find("networks")) {
      for (auto& [part, one] : networks->as_object()) one.as_object().erase("widths");
    }
    for (const core::Value& start : {plain, fewer}) {
      for (int at = 0;; ++at) {
        core::Value changed = start;
        int left = at;
        core::Value* place = nth_integer(changed, left);
        if (place == nullptr) break;
        for (const std::int64_t value :
             {std::int64_t{-1}, std::int64_t{0}, std::int64_t{1024}, std::int64_t{1} << 16, std::int64_t{1} << 24,
              std::int64_t{1} << 32, std::numeric_limits<std::int64_t>::max()}) {
          *place = value;
          bounded(changed, core::dump_json(changed));
        }
      }
    }
    CAPTURE(network->name);
    core::Value many = plain, twice = plain;
    if (core::Value* networks = many.find("networks")) {
      const core::Value one = networks->as_object().begin()->second;
      for (int i = 0; i < 1000; ++i) {
        const std::string target = "t" + std::to_string(i);
        (*networks)[target] = one;
        (*networks)[target]["targets"] = core::Value::Array{target};
      }
      core::Value& targets = *twice.find("networks")->as_object().begin()->second.find("targets");
      targets.push_back(targets.as_array().front());
    } else {
      many["targets"] = core::Value::array();
      for (int i = 0; i < 100'000; ++i) many["targets"].push_back("t" + std::to_string(i));
      twice["targets"].push_back(twice["targets"].as_array().front());
    }
    CHECK_THROWS_AS(family.normalise(many, "hostile.safetensors"), Error);
    CHECK_THROWS_AS(family.normalise(twice, "hostile.safetensors"), Error);
  }
}

TEST_CASE("a module's stamp is read without loading it", "[methods]") {
  const TempDir folder;
  const std::string good = std::string(network_stamp()) + "\n2.15.0\n";
  const NetworkModule module = inspect(folder, elf_with_section(kNetworkStampSection, good));
  CHECK(module.problem.empty());
  CHECK(module.libtorch == "2.15.0");
  CHECK(std::string(network_stamp()).find("headers ") != std::string::npos);
}

TEST_CASE("modules of other builds, other files and broken ones are refused", "[methods]") {
  const TempDir folder;
  const NetworkModule other =
      inspect(folder, elf_with_section(kNetworkStampSection, "mssbench 0.0.1, headers 123, GNU 1\n2.7.0\n"));
  CHECK(other.problem.find("belongs to another build") != std::string::npos);
  CHECK(other.problem.find("headers 123") != std::string::npos);
  CHECK(other.problem.find(std::string(network_stamp())) != std::string::npos);
  CHECK_FALSE(other.hint.empty());
  CHECK(other.libtorch.empty());

  CHECK(inspect(folder, elf_with_section(".other", "x")).problem.find("no network module") != std::string::npos);
  CHECK(inspect(folder, "").problem.find("no network module") != std::string::npos);
  CHECK(inspect_network_module(folder / "absent.so").problem.find("there is no network module") != std::string::npos);
  CHECK_FALSE(inspect_network_module(folder.path()).problem.empty());

  // Every truncation and many a damaged byte: a verdict, never a crash.
  const std::string whole = elf_with_section(kNetworkStampSection, std::string(network_stamp()) + "\n2.15.0\n");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (inspect(folder, whole.substr(0, size)).problem.empty()) FAIL("accepted " << size << " bytes");
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0xFF);
    static_cast<void>(inspect(folder, damaged));
  }
}

TEST_CASE("networks of the module equal the native ones, and its errors are caught as ours", "[methods]") {
  const Registry& registry = harness::builtin_methods();
  const std::string spec = "umx:model=umxse,random=1", torch = spec + ",engine=libtorch";
  const NetworkModule& module = network_module();
  if (!module.problem.empty()) {
    check_error(Code::unsupported, {"umx", module.problem.c_str(), module.hint.c_str()}, [&] { registry.make(torch); });
    return;
  }
  const audio::AudioBuffer mixture = tests::noise(1, 16000, 16000, 7);
  Options options;
  options.threads = 2;
  const StemSet native = registry.make(spec)->separate(mixture, options);
  const std::unique_ptr<Separator> loaded = registry.make(torch);
  const StemSet found = loaded->separate(mixture, options);
  REQUIRE(found.names == native.names);
  for (std::size_t s = 0; s < native.names.size(); ++s) {
    float worst = 0;
    for (std::size_t t = 0; t < 16000; ++t) {
      worst = std::max(worst, std::abs(found.audio[s].channel(0)[t] - native.audio[s].channel(0)[t]));
    }
    // Both are float32 sums of some hundred terms in another order; the stems reach 1.
    CHECK(worst < 1e-4F);
  }
  check_error(Code::config, {"weights and random"}, [&] { registry.make("umx:weights=x,random=1,engine=libtorch"); });
  CHECK_THROWS_AS(registry.make("umx:weights=/nowhere/at/all,engine=libtorch"), Error);
  CHECK_THROWS_AS(make_network("nonsense", core::Params(), core::SpecPart()), Error);
}

TEST_CASE("networks that see segments hold no more tensors after many batches than after four", "[methods]") {
  class PeakSink final : public StemSink {
   public:
    void begin(const StemFormat&) override {}
    void write(const StemBlock& block) override {
      peaks.push_back(nn::RunScope::peak_bytes());
      begins.push_back(block.begin);
    }
    std::vector<std::int64_t> peaks, begins;
  };
  struct Case {
    const char* spec;
    std::int64_t batch_samples;  ///< of the track that one batch takes
    std::int64_t samples;
  };
  // One thread: with more, what they hold at once depends on which of them is ahead.
  for (const Case& c : {Case{"bsrnn:model=tiny,random=1,chunk=0.1,hop=0.1", 16 * 4410, 16 * 4410 * 12},
                        Case{"demucs@light:random=1,segment=0.2,buffer=4", 6 * 8820, 8820 * 80}}) {
    CAPTURE(c.spec);
    tests::GeneratedSource source(2, 44100, c.samples, true, [](int channel, std::int64_t t) {
      return 0.1F * std::sin(static_cast<float>(t % 4410) * 0.01F * static_cast<float>(1 + channel));
    });
    PeakSink sink;
    Options options;
    options.threads = 1;
    harness::builtin_methods().make(c.spec)->separate(source, sink, options);
    REQUIRE(sink.peaks.size() >= 6);
    // The pool's blocks fit the tensors of any batch after some of them.
    const auto settled = std::ranges::lower_bound(sink.begins, 4 * c.batch_samples) - sink.begins.begin();
    REQUIRE(settled + 1 < std::ssize(sink.peaks));
    CHECK(sink.peaks[static_cast<std::size_t>(settled)] > 0);
    CHECK(sink.peaks.back() == sink.peaks[static_cast<std::size_t>(settled)]);
  }
}

}  // namespace mss::methods
