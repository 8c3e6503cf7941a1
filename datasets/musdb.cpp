#include <charconv>
#include <unordered_map>

#include "core/error.h"
#include "datasets/dataset.h"
#include "datasets/musdb_csv.h"

namespace mss::datasets {

namespace {

/// One CSV line: fields with commas stand in double quotes, none holds a quote itself.
std::vector<std::string> csv_fields(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

template <class T>
T number(const std::string& text) {
  T value{};
  if (text.empty()) return value;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  MSS_ASSERT(result.ec == std::errc() && result.ptr == text.data() + text.size());
  return value;
}

std::vector<MusdbFact> read_facts() {
  std::vector<MusdbFact> facts;
  for (int i = 1; i < kMusdbCsvLineCount; ++i) {
    const auto f = csv_fields(kMusdbCsvLines[i]);
    MSS_ASSERT(f.size() == 10);
    facts.push_back({.split = f[0],
                     .name = f[1],
                     .genre = f[2],
                     .source = f[3],
                     .license = f[4],
                     .stem_mp4_bytes = number<std::int64_t>(f[5]),
                     .stem_mp4_sha256 = f[6],
                     .seconds = number<double>(f[7]),
                     .sisec18_frames = number<int>(f[8]),
                     .erratum = f[9]});
  }
  return facts;
}

}  // namespace

const std::vector<MusdbFact>& musdb_facts() {
  static const std::vector<MusdbFact> facts = read_facts();
  return facts;
}

const MusdbFact* musdb_fact(std::string_view track_name) {
  static const auto index = [] {
    std::unordered_map<std::string_view, const MusdbFact*> map;
    for (const auto& fact : musdb_facts()) map.emplace(fact.name, &fact);
    return map;
  }();
  const auto found = index.find(track_name);
  return found == index.end() ? nullptr : found->second;
}

}  // namespace mss::datasets
