#include "methods/nmf/shipped.h"

#include <algorithm>

#include "methods/nmf/classifier.h"
#include "methods/nmf/dictionary.h"
#include "methods/nmf/register.h"
#include "methods/registry.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::methods::nmf;

TEST_CASE("what ships is whole, small, and was learned by a committed program", "[nmf]") {
  const std::vector<std::string> targets = {"drums", "bass", "other", "vocals"};
  std::size_t bytes = 0;
  for (const std::string& label : shipped_labels()) {
    INFO(label);
    const std::string_view content = shipped_bytes(label);
    bytes += content.size();
    const bool classifier = label.ends_with("p2");
    const checkpoints::Metadata provenance =
        classifier ? parse_classifier(content, label).provenance : parse_dictionary(content, label).provenance;
    CHECK((classifier ? parse_classifier(content, label).targets : parse_dictionary(content, label).targets()) ==
          targets);
    CHECK(provenance.at("dataset") == (std::string(label) == "cc0" ? "cc0_songs" : "evr_cc0"));
    CHECK(provenance.at("revision").size() == 12);
    CHECK(provenance.at("revision").find("dirty") == std::string::npos);
  }
  CHECK(bytes < 3'000'000);
  CHECK(shipped_bytes("cc1").empty());
  CHECK(parse_dictionary(shipped_bytes("cc0"), "cc0").members == 2);
  CHECK(parse_dictionary(shipped_bytes("cc0"), "cc0").calibration.bands == 6);
}

TEST_CASE("presets find what ships", "[nmf]") {
  methods::Registry registry;
  add_methods(registry);
  const auto info = [&](const char* spec) { return registry.make(spec)->info(); };
  CHECK(info("nmf@cc0").protocol == "P0");
  CHECK(info("nmfd:dict=cc0-nmfd").protocol == "P0");
  CHECK(info("nmf:start=cc0-means").protocol == "P1");
  CHECK(info("nmf@cc0-p2").protocol == "P2");
  CHECK(info("nmfd@cc0-p2").protocol == "P2");
  CHECK(info("nmfd@cc0-p2").resolved_options.at("frames").as_integer() == 8);
  // What is recorded names the content, and can be used again.
  for (const char* spec : {"nmf@cc0", "nmf@cc0-p2", "nmfd@cc0-p2", "nmfd:dict=cc0-nmfd", "nmf:start=cc0-means"}) {
    const std::string recorded = info(spec).spec;
    INFO(recorded);
    CHECK(recorded.find('#') != std::string::npos);
    CHECK(info(recorded.c_str()).spec == recorded);
  }
}
