// Records compared, for the tests of the record, the run folder and the runner.
#pragma once

#include <filesystem>
#include <string>

#include "records/record.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

namespace mss::records::tests {

namespace fs = std::filesystem;
using mss::tests::contains;
using mss::tests::error_of;

/// The file without what may differ between equal runs.
inline std::string comparable(const fs::path& records) {
  std::string out;
  for (const Record& record : read_records(records)) out += to_json_line(record, false) + "\n";
  return out;
}

}  // namespace mss::records::tests
