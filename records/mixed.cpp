#include "records/mixed.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "core/json.h"
#include "core/text.h"

namespace mss::records {
namespace {

using core::Value;

std::string text_of(const Value& body, std::string_view name) {
  const Value* value = body.find(name);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

void add_sorted(std::vector<std::string>& list, const std::string& text) {
  const auto at = std::lower_bound(list.begin(), list.end(), text);
  if (at == list.end() || *at != text) list.insert(at, text);
}

/// Keys that all of these objects have, with a value that is not the same everywhere.
std::set<std::string> differing_keys(const std::vector<const Value*>& objects) {
  std::map<std::string, std::pair<std::size_t, std::set<std::string>>> values;
  for (const Value* object : objects) {
    for (const Value::Member& member : object->as_object()) {
      auto& [count, texts] = values[member.first];
      ++count;
      texts.insert(core::dump_json(member.second));
    }
  }
  std::set<std::string> out;
  for (const auto& [key, seen] : values)
    if (seen.first == objects.size() && seen.second.size() > 1) out.insert(key);
  return out;
}

std::string restricted(const Value& object, const std::set<std::string>& keys) {
  Value out = Value::object();
  for (const Value::Member& member : object.as_object())
    if (keys.contains(member.first)) out[member.first] = member.second;
  return core::dump_json(out);
}

/// An object that says how the record was scored, whatever is known of it.
Value scoring_of(const Record& record) {
  Value out = Value::object();
  if (const Value* frames = record.body.find("frames"); frames != nullptr && frames->is_object()) {
    for (const char* key : {"window_s", "hop_s"})
      if (const Value* value = frames->find(key)) out[key] = *value;
  }
  if (const Value* scoring = record.body.find("scoring"); scoring != nullptr && scoring->is_object()) {
    for (const Value::Member& member : scoring->as_object()) out[member.first] = member.second;
  }
  return out;
}

const Value* options_of(const Record& record) {
  const Value* options = record.body.find("options");
  return options != nullptr && options->is_object() && options->size() > 0 ? options : nullptr;
}

/// What a side is counted by: rows for what belongs to a track, tracks for what belongs to a row.
std::size_t weight(Aspect aspect, const Mixed::Side& side) {
  return aspect == Aspect::audio || aspect == Aspect::scoring ? side.specs.size() : side.tracks.size();
}

void add(Mixed& mixed, const std::string& value, const Record& record) {
  auto side = std::find_if(mixed.sides.begin(), mixed.sides.end(), [&](const auto& s) { return s.value == value; });
  if (side == mixed.sides.end()) side = mixed.sides.insert(mixed.sides.end(), {value, {}, {}, {}});
  side->records.push_back(&record);
  add_sorted(side->specs, record.key.spec);
  add_sorted(side->tracks, record.key.subset + "/" + record.key.track);
}

std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 4;
  if (names.size() <= kMost) return core::join(names, ", ");
  return core::join({names.begin(), names.begin() + kMost}, ", ") + " and " + std::to_string(names.size() - kMost) +
         " more";
}

}  // namespace

std::string_view aspect_name(Aspect aspect) noexcept {
  switch (aspect) {
    case Aspect::audio:
      return "audio";
    case Aspect::weights:
      return "weights";
    case Aspect::options:
      return "options";
    case Aspect::scoring:
      return "scoring";
  }
  return "audio";
}

bool Mixed::has_majority() const { return sides.size() > 1 && weight(aspect, sides[0]) > weight(aspect, sides[1]); }

std::vector<Mixed> find_mixed(const std::vector<const Record*>& records) {
  using Place = std::tuple<Aspect, std::string, std::string, std::string>;  // three names, by aspect
  std::map<Place, Mixed> found;
  std::map<std::string, std::vector<const Record*>> by_spec;
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<std::pair<const Record*, Value>>> by_section;
  for (const Record* record : records) {
    if (record->failed()) continue;
    const RecordKey& key = record->key;
    if (const std::string print = text_of(record->body, "fingerprint"); !print.empty()) {
      Mixed& mixed = found[{Aspect::audio, key.dataset, key.subset, key.track}];
      mixed.aspect = Aspect::audio;
      mixed.dataset = key.dataset;
      mixed.subset = key.subset;
      mixed.track = key.track;
      add(mixed, print, *record);
    }
    if (const Value* weights = record->body.find("weights"); weights != nullptr && weights->is_object()) {
      if (const std::string hash = text_of(*weights, "sha256"); !hash.empty()) {
        Mixed& mixed = found[{Aspect::weights, key.spec, "", ""}];
        mixed.aspect = Aspect::weights;
        mixed.spec = key.spec;
        add(mixed, hash, *record);
      }
    }
    if (options_of(*record) != nullptr) by_spec[key.spec].push_back(record);
    by_section[{key.dataset, key.subset, key.scenario}].emplace_back(record, scoring_of(*record));
  }
  for (const auto& [spec, list] : by_spec) {
    std::vector<const Value*> objects;
    for (const Record* record : list) objects.push_back(options_of(*record));
    const std::set<std::string> keys = differing_keys(objects);
    if (keys.empty()) continue;
    Mixed& mixed = found[{Aspect::options, spec, "", ""}];
    mixed.aspect = Aspect::options;
    mixed.spec = spec;
    for (const Record* record : list) add(mixed, restricted(*options_of(*record), keys), *record);
  }
  for (const auto& [section, list] : by_section) {
    std::vector<const Value*> objects;
    for (const auto& [record, scoring] : list)
      if (scoring.size() > 0) objects.push_back(&scoring);
    const std::set<std::string> keys = differing_keys(objects);
    if (keys.empty()) continue;
    const auto& [dataset, subset, scenario] = section;
    Mixed& mixed = found[{Aspect::scoring, dataset, subset, scenario}];
    mixed.aspect = Aspect::scoring;
    mixed.dataset = dataset;
    mixed.subset = subset;
    mixed.scenario = scenario;
    for (const auto& [record, scoring] : list)
      if (scoring.size() > 0) add(mixed, restricted(scoring, keys), *record);
  }
  std::vector<Mixed> out;
  for (auto& [place, mixed] : found) {
    if (mixed.sides.size() < 2) continue;
    std::sort(mixed.sides.begin(), mixed.sides.end(), [&](const Mixed::Side& a, const Mixed::Side& b) {
      const std::size_t left = weight(mixed.aspect, a), right = weight(mixed.aspect, b);
      return left != right ? left > right : a.value < b.value;
    });
    out.push_back(std::move(mixed));
  }
  return out;
}

std::vector<Mixed> find_mixed(const std::vector<Record>& records) {
  std::vector<const Record*> pointers;
  for (const Record& record : records) pointers.push_back(&record);
  return find_mixed(pointers);
}

std::string to_string(const Mixed& mixed) {
  const bool of_track = mixed.aspect == Aspect::audio;
  std::string out = of_track                          ? mixed.subset + "/" + mixed.track
                    : mixed.aspect == Aspect::scoring ? mixed.subset + " / " + mixed.scenario
                                                      : mixed.spec;
  out += ": " + std::string(aspect_name(mixed.aspect)) + " ";
  const bool hash = of_track || mixed.aspect == Aspect::weights;
  for (std::size_t i = 0; i < mixed.sides.size(); ++i) {
    const Mixed::Side& side = mixed.sides[i];
    const bool of_rows = of_track || mixed.aspect == Aspect::scoring;
    out += (i > 0 ? ", " : "") + (hash ? side.value.substr(0, 8) : side.value) + " in " +
           listed(of_rows ? side.specs : side.tracks);
  }
  return out;
}

void require_unmixed(const std::vector<Mixed>& mixed, const std::string& where, const std::string& hint) {
  if (mixed.empty()) return;
  std::vector<std::string> lines;
  constexpr std::size_t kMost = 8;
  for (const Mixed& one : mixed) {
    if (lines.size() == kMost) {
      lines.push_back("and " + std::to_string(mixed.size() - kMost) + " more");
      break;
    }
    lines.push_back(to_string(one));
  }
  const bool audio = mixed.front().aspect == Aspect::audio;
  throw Error({Code::dataset, where,
               audio ? "the records are of different audio under one name" : "the records do not belong together",
               "one origin for each name", core::join(lines, "; "), hint});
}

Origin origin_of(const Record& record) {
  Origin out;
  out.fingerprint = text_of(record.body, "fingerprint");
  if (const Value* weights = record.body.find("weights"); weights != nullptr && weights->is_object())
    out.weights_sha256 = text_of(*weights, "sha256");
  if (const Value* options = options_of(record)) out.options = *options;
  out.scoring = scoring_of(record);
  return out;
}

std::vector<Aspect> differences(const Origin& a, const Origin& b) {
  std::vector<Aspect> out;
  const auto differ = [](const std::string& x, const std::string& y) { return !x.empty() && !y.empty() && x != y; };
  if (differ(a.fingerprint, b.fingerprint)) out.push_back(Aspect::audio);
  if (differ(a.weights_sha256, b.weights_sha256)) out.push_back(Aspect::weights);
  if (a.options.is_object() && b.options.is_object() && !differing_keys({&a.options, &b.options}).empty())
    out.push_back(Aspect::options);
  if (a.scoring.is_object() && b.scoring.is_object() && !differing_keys({&a.scoring, &b.scoring}).empty())
    out.push_back(Aspect::scoring);
  return out;
}

}  // namespace mss::records
