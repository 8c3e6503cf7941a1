#include <string_view>

#include "core/error.h"
#include "core/json.h"
#include "core/toml.h"
#include "eval/museval_json.h"
#include "harness/plan.h"
#include "records/record.h"
#include "tests/fuzz/targets.h"

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
