// The networks that the program carries (configs/weights).
#include <algorithm>
#include <fstream>
#include <sstream>

#include "core/hash.h"
#include "core/text.h"
#include "harness/builtin_methods.h"
#include "methods/registry.h"
#include "methods/shipped.h"
#include "methods/weights.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;

namespace {

const methods::NetworkFamily& family_of(const std::string& name) {
  for (const methods::NetworkFamily* family : harness::builtin_methods().families()) {
    if (family->name == name) return *family;
  }
  FAIL("no family " + name);
  std::abort();
}

/// The family whose method carries the label's name.
const methods::NetworkFamily& family_of_label(const std::string& label) {
  const std::string name = label.substr(0, label.rfind('-'));
  return family_of(name == "umx" || name == "xumx" ? "openunmix" : name);
}

}  // namespace

TEST_CASE("the networks that ship are whole, small, named, and of known songs", "[harness]") {
  std::ifstream in(tests::fs::path(MSSBENCH_TESTS_DIR).parent_path() / "configs/weights/README.md");
  std::stringstream card;
  card << in.rdbuf();
  const std::vector<std::string> labels = methods::shipped_weights();
  CHECK(labels ==
        std::vector<std::string>{"bsrnn-tiny", "conv1d-tiny", "demucs-tiny", "dprnn-tiny", "umx-tiny", "xumx-tiny"});
  for (const std::string& label : labels) {
    INFO(label);
    const std::string_view bytes = methods::shipped_weights_bytes(label);
    CHECK(bytes.size() <= 5'000'000);
    const methods::Weights weights = methods::find_weights(family_of_label(label), label);
    CHECK(weights.label == label);
    CHECK(weights.targets().size() == 4);
    // The model card names the file, and the song list of the training stands in the file.
    CHECK(card.str().find(core::sha256_hex(bytes)) != std::string::npos);
    CHECK(card.str().find(weights.name()) != std::string::npos);
    const std::string provenance = weights.provenance.at("training").at("recipe").as_string();
    CHECK(provenance.starts_with(label.substr(0, label.rfind('-')) + "@tiny"));
    // By name and hash, as records have it; another hash is another file.
    CHECK(methods::find_weights(*weights.family, weights.name()).content_hash == weights.content_hash);
    CHECK_THROWS_AS(methods::find_weights(*weights.family, label + "#00000000"), Error);
  }
  CHECK(methods::shipped_weights_bytes("").empty());
  CHECK(methods::shipped_weights_bytes("umx-huge").empty());
}

TEST_CASE("METHOD@tiny is the network that ships, and its recorded spec makes it again", "[harness]") {
  const methods::Registry& registry = harness::builtin_methods();
  for (const char* spec : {"umx@tiny", "xumx@tiny", "demucs@tiny", "bsrnn@tiny", "conv1d@tiny", "dprnn@tiny"}) {
    INFO(spec);
    const methods::SeparatorInfo info = registry.make(spec)->info();
    CHECK(info.weights_label.find("-tiny#") != std::string::npos);
    CHECK(info.parameters > 100'000);
    CHECK(info.spec.find(info.weights_label) != std::string::npos);
    const methods::SeparatorInfo again = registry.make(info.spec)->info();
    CHECK(again.spec == info.spec);
    CHECK(again.weights_sha256 == info.weights_sha256);
  }
}
