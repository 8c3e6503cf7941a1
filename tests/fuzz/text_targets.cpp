#include <string_view>

#include "core/error.h"
#include "core/json.h"
#include "core/toml.h"
#include "eval/museval_json.h"
#include "harness/builtin_methods.h"
#include "harness/plan.h"
#include "methods/network_entry.h"
#include "methods/registry.h"
#include "records/record.h"
#include "tests/fuzz/targets.h"
#include "training/event_file.h"
#include "training/recipe.h"

using namespace mss;
using tests::promise;

namespace {

std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

template <class Read>
int read_text(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    ++tests::refused_inputs;
    promise(!error.parts().where.empty(), "an error names the file");
    promise(error.code() != Code::internal, "no defect of our own");
  }
  return 0;
}

}  // namespace

int mssbench_fuzz_toml(const std::uint8_t* data, std::size_t size) {
  return read_text([&] {
    const core::Value document = core::parse_toml(text_of(data, size), "fuzz.toml");
    promise(document.is_object(), "a document is a table");
    const harness::Plan plan = harness::plan_from_value(document, "fuzz.toml", "/folder");
    promise(!harness::to_value(plan).is_null(), "a plan can be written");
    harness::check_plan(plan);
  });
}

int mssbench_fuzz_recipe(const std::uint8_t* data, std::size_t size) {
  return read_text([&] {
    const training::ResolvedRecipe recipe = training::parse_recipe(text_of(data, size), "fuzz.toml");
    const training::ResolvedRecipe again = training::parse_recipe(training::to_toml(recipe), "fuzz.toml");
    promise(again.recipe == recipe.recipe, "a resolved recipe parses back to itself");
  });
}

int mssbench_fuzz_events(const std::uint8_t* data, std::size_t size) {
  return read_text([&] {
    // Nearly every mutant ends at a checksum; so the bytes are also the message of a record whose checksums are right.
    const auto number = [](std::uint64_t value, int bytes) {
      std::string out;
      for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
      return out;
    };
    const std::string message(text_of(data, size)), length = number(size, 8);
    const std::string record =
        length + number(training::masked_crc32c(length), 4) + message + number(training::masked_crc32c(message), 4);
    for (const std::string& file : {record, message}) {
      for (const training::Event& event : training::parse_events(file, "fuzz.tfevents")) {
        promise(event.bytes.size() <= size && event.tag.size() <= size, "an event holds no more than its file");
      }
    }
  });
}

int mssbench_fuzz_records(const std::uint8_t* data, std::size_t size) {
  return read_text([&] {
    for (const records::Record& record : records::parse_records(text_of(data, size), "fuzz.jsonl")) {
      for (const std::string& metric : record.metrics()) {
        (void)record.score(metric);
        (void)record.mean(metric);
        (void)record.frames(metric);
      }
      const std::string line = records::to_json_line(record);
      promise(line.find('\n') == std::string::npos, "a record is one line");
      promise(records::to_json_line(records::parse_record(line, "again")) == line, "what was written is read again");
    }
  });
}

int mssbench_fuzz_museval(const std::uint8_t* data, std::size_t size) {
  return read_text([&] {
    const eval::MusevalTrack track = eval::parse_museval_json(text_of(data, size), "fuzz.json");
    const std::string once = eval::to_museval_json(track);
    promise(eval::to_museval_json(eval::parse_museval_json(once, "again")) == once, "what was written is read again");
  });
}

int mssbench_fuzz_configuration(const std::uint8_t* data, std::size_t size) {
  return read_text([&] {
    const core::Value configuration = core::parse_json(text_of(data, size), "fuzz.configuration");
    // Every family is asked: a file says itself which one it is for. It is refused where all of them refuse.
    bool accepted = false;
    const methods::NetworkFamily* before = nullptr;
    for (const auto& network : harness::builtin_methods().networks()) {
      const methods::NetworkFamily& family = *network->family;
      if (&family == before) continue;
      before = &family;
      try {
        const core::Value whole = family.normalise(configuration, "fuzz.configuration");
        promise(family.normalise(whole, "again") == whole, "what is normalised stays as it is");
        std::size_t entries = 0;
        for (const auto& [part, listing] : family.list(whole)) {
          entries += listing.entries.size();
          promise(listing.parameters() >= 0, "numbers of parameters do not overflow");
        }
        promise(entries < 3'000'000, "a network is listed in bounded memory");
        accepted = true;
      } catch (const Error& error) {
        promise(error.code() != Code::internal, "no defect of our own");
      }
    }
    if (!accepted) throw Error(Code::checkpoint, "fuzz.configuration", "no network's");
  });
}
