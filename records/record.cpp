#include "records/record.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/file.h"
#include "core/isa.h"
#include "core/json.h"
#include "core/text.h"
#include "core/version.h"

namespace mss::records {
namespace {

using core::Value;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Value key_object(const RecordKey& key) {
  Value body = Value::object();
  body["schema"] = kRecordSchema;
  body["dataset"] = key.dataset;
  body["subset"] = key.subset;
  body["track"] = key.track;
  body["spec"] = key.spec;
  body["scenario"] = key.scenario;
  body["seed"] = key.seed;
  body["target"] = key.target;
  return body;
}

void add_program(Value& body) {
  body["version"] = core::version();
  body["revision"] = core::git_revision();
  body["isa"] = core::isa_name(core::active_isa());
}

std::string text_field(const Value& body, std::string_view name, std::string_view where) {
  const Value* field = body.find(name);
  if (field == nullptr || !field->is_string()) {
    throw Error({Code::format, std::string(where), "not a result record", "a string in '" + std::string(name) + "'",
                 field == nullptr ? "no such field" : std::string(field->type_name()), ""});
  }
  return field->as_string();
}

double lookup(const Value& body, std::string_view object, std::string_view metric) {
  const Value* values = body.find(object);
  const Value* value = values == nullptr ? nullptr : values->find(metric);
  return value == nullptr ? kNan : number_from_value(*value, std::string(object) + "." + std::string(metric));
}

/// Schema 1 left infinite frames out of medians and means; where there are any, these are made again.
void upgrade(Record& record) {
  Value& body = record.body;
  body["schema"] = kRecordSchema;
  Value* scores = body.find("scores");
  Value* means = body.find("mean");
  const Value* frames = body.find("frames");
  const Value* values = frames == nullptr ? nullptr : frames->find("values");
  if (scores == nullptr || !scores->is_object() || values == nullptr || !values->is_object()) return;
  for (const Value::Member& member : values->as_object()) {
    const std::vector<double> series = record.frames(member.first);
    if (std::none_of(series.begin(), series.end(), [](double v) { return std::isinf(v); })) continue;
    const double median = eval::nan_median(series), before = record.score(member.first);
    (*scores)[member.first] = number_to_value(median);
    if (means != nullptr && means->is_object()) (*means)[member.first] = number_to_value(eval::nan_mean(series));
    if (member.first != "SDR") continue;
    if (scores->find("cSDR") != nullptr) (*scores)["cSDR"] = number_to_value(median);
    // cSDR less that of the mixture, which had no infinite frame.
    if (const double improvement = record.score("cSDRi"); !std::isnan(improvement))
      (*scores)["cSDRi"] = number_to_value(median - (before - improvement));
  }
}

double three_digits(double value) {
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 2);
  return std::round(value / unit) * unit;
}

/// The frame-wise and whole-track metrics of a problem, from all its targets, in order of appearance: a silent target
/// has none itself.
struct MetricIds {
  std::vector<std::string> framewise, track;
};

MetricIds metric_ids(const eval::Scores& scores, const eval::TargetScores& own) {
  MetricIds ids;
  const auto add = [](std::vector<std::string>& list, const std::string& id) {
    if (std::find(list.begin(), list.end(), id) == list.end()) list.push_back(id);
  };
  const auto collect = [&](const eval::TargetScores& target) {
    for (const eval::FrameSeries& series : target.frames) add(ids.framewise, series.metric);
    for (const eval::TrackValue& value : target.track) add(ids.track, value.metric);
  };
  collect(own);
  if (own.silent_reference) {
    for (const eval::TargetScores& target : scores.targets) collect(target);
    if (ids.framewise.empty()) add(ids.framewise, "SDR");
  }
  return ids;
}

}  // namespace

Value number_to_value(double number) {
  if (std::isnan(number)) return {};
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  return number;
}

double number_from_value(const Value& value, std::string_view where) {
  if (value.is_null()) return kNan;
  if (value.is_number()) return value.as_real(where);
  if (value.is_string()) {
    if (value.as_string() == "inf") return kInfinity;
    if (value.as_string() == "-inf") return -kInfinity;
  }
  throw Error({Code::format, std::string(where), "not a metric value", "a number, null, \"inf\" or \"-inf\"",
               value.is_string() ? "\"" + value.as_string() + "\"" : std::string(value.type_name()), ""});
}

double Record::score(std::string_view metric) const { return lookup(body, "scores", metric); }

double Record::mean(std::string_view metric) const {
  const Value* means = body.find("mean");
  if (means != nullptr && means->find(metric) != nullptr) return lookup(body, "mean", metric);
  return score(metric);
}

std::vector<double> Record::frames(std::string_view metric) const {
  const Value* object = body.find("frames");
  const Value* values = object == nullptr ? nullptr : object->find("values");
  const Value* series = values == nullptr ? nullptr : values->find(metric);
  std::vector<double> out;
  if (series == nullptr || !series->is_array()) return out;
  out.reserve(series->size());
  for (const Value& value : series->as_array())
    out.push_back(number_from_value(value, "frames.values." + std::string(metric)));
  return out;
}

std::vector<std::string> Record::metrics() const {
  std::vector<std::string> out;
  const Value* scores = body.find("scores");
  if (scores == nullptr || !scores->is_object()) return out;
  for (const Value::Member& member : scores->as_object()) out.push_back(member.first);
  return out;
}

double Record::number(std::string_view name) const {
  const Value* value = body.find(name);
  return value != nullptr && value->is_number() ? value->as_real() : kNan;
}

std::string Record::text(std::string_view name) const {
  const Value* value = body.find(name);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

bool Record::failed() const {
  const Value* error = body.find("error");
  return error != nullptr && error->is_object();
}

bool Record::flag(std::string_view name) const {
  const Value* value = body.find(name);
  return value != nullptr && value->is_bool() && value->as_bool();
}

Record make_record(RecordKey key, const eval::Scores& scores, const eval::TargetScores& target) {
  Value body = key_object(key);
  const MetricIds ids = metric_ids(scores, target);
  Value aggregates = Value::object(), means = Value::object(), values = Value::object();
  for (const std::string& id : ids.framewise) {
    const auto series = std::find_if(target.frames.begin(), target.frames.end(),
                                     [&](const eval::FrameSeries& s) { return s.metric == id; });
    if (series == target.frames.end()) {
      aggregates[id] = Value();
      means[id] = Value();
      continue;
    }
    aggregates[id] = number_to_value(eval::nan_median(series->values));
    means[id] = number_to_value(eval::nan_mean(series->values));
    Value::Array list;
    list.reserve(series->values.size());
    for (double value : series->values) list.push_back(number_to_value(value));
    values[id] = std::move(list);
  }
  for (const std::string& id : ids.track) {
    const auto value = std::find_if(target.track.begin(), target.track.end(),
                                    [&](const eval::TrackValue& v) { return v.metric == id; });
    aggregates[id] = value == target.track.end() ? Value() : number_to_value(value->value);
  }
  for (const eval::TrackValue& value : scores.joint)
    aggregates[value.metric] = target.silent_reference ? Value() : number_to_value(value.value);
  Value dropped = Value::object();
  dropped["total"] = target.dropped.total;
  dropped["silent_reference"] = target.dropped.silent_reference;
  dropped["silent_estimate"] = target.dropped.silent_estimate;
  dropped["anti_phase"] = target.dropped.anti_phase;
  Value frames = Value::object();
  frames["window_s"] = scores.window_s;
  frames["hop_s"] = scores.hop_s;
  frames["count"] = scores.frames;
  frames["dropped"] = std::move(dropped);
  frames["values"] = std::move(values);
  body["scores"] = std::move(aggregates);
  body["mean"] = std::move(means);
  body["frames"] = std::move(frames);
  Value scoring = Value::object();
  scoring["silence"] = scores.silence;
  scoring["filters"] = scores.filters;
  body["scoring"] = std::move(scoring);
  // Three digits: it is an estimate.
  body["condition"] = std::isnan(scores.condition) ? Value() : Value(three_digits(scores.condition));
  body["ill_conditioned"] = scores.ill_conditioned();
  body["silent_reference"] = target.silent_reference;
  body["silent_estimate"] = target.silent_estimate;
  add_program(body);
  return {std::move(key), std::move(body)};
}

Record make_error_record(RecordKey key, const core::Error& error) {
  key.scenario.clear();
  key.target.clear();
  Value body = key_object(key);
  const core::ErrorParts& parts = error.parts();
  Value object = Value::object();
  object["code"] = core::code_name(error.code());
  object["message"] = std::string(error.what());
  object["where"] = parts.where;
  object["what"] = parts.what;
  object["expected"] = parts.expected;
  object["found"] = parts.found;
  object["hint"] = parts.hint;
  body["error"] = std::move(object);
  add_program(body);
  return {std::move(key), std::move(body)};
}

std::string to_json_line(const Record& record, bool with_measured) {
  if (with_measured || record.body.find("measured") == nullptr) return core::dump_json(record.body);
  Value body = record.body;
  body.erase("measured");
  return core::dump_json(body);
}

Record parse_record(std::string_view line, std::string_view where) {
  Record record;
  record.body = core::parse_json(line, where);
  if (!record.body.is_object()) {
    throw Error({Code::format, std::string(where), "not a result record", "a JSON object",
                 std::string(record.body.type_name()), ""});
  }
  const Value* schema = record.body.find("schema");
  if (schema == nullptr || !schema->is_integer() || schema->as_integer() < kOldestRecordSchema ||
      schema->as_integer() > kRecordSchema) {
    throw Error({Code::format, std::string(where), "unknown record schema",
                 std::to_string(kOldestRecordSchema) + " to " + std::to_string(kRecordSchema),
                 schema == nullptr ? "no field 'schema'" : core::dump_json(*schema),
                 "records of a newer program need that program"});
  }
  const bool is_old = schema->as_integer() < kRecordSchema;
  RecordKey& key = record.key;
  key.dataset = text_field(record.body, "dataset", where);
  key.subset = text_field(record.body, "subset", where);
  key.track = text_field(record.body, "track", where);
  key.spec = text_field(record.body, "spec", where);
  key.scenario = text_field(record.body, "scenario", where);
  key.target = text_field(record.body, "target", where);
  const Value* seed = record.body.find("seed");
  if (seed == nullptr || !seed->is_integer() || seed->as_integer() < 0) {
    throw Error({Code::format, std::string(where), "not a result record", "an integer from 0 in 'seed'",
                 seed == nullptr ? "no such field" : core::dump_json(*seed), ""});
  }
  key.seed = static_cast<std::uint64_t>(seed->as_integer());
  const Value* scores = record.body.find("scores");
  if (!record.failed() && (scores == nullptr || !scores->is_object())) {
    throw Error(Code::format, std::string(where), "not a result record: neither 'scores' nor 'error'");
  }
  if (is_old) upgrade(record);
  return record;
}

std::vector<Record> parse_records(std::string_view text, std::string_view name) {
  std::vector<Record> records;
  std::int64_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    const std::string_view line = core::trim(text.substr(0, end));
    if (!line.empty()) records.push_back(parse_record(line, std::string(name) + ":" + std::to_string(number)));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return records;
}

std::string to_string(const RecordKey& key) {
  std::string out = key.dataset + "/" + key.subset + "/" + key.track + " | " + key.spec;
  if (!key.scenario.empty()) out += " | " + key.scenario;
  out += " | seed " + std::to_string(key.seed);
  if (!key.target.empty()) out += " | " + key.target;
  return out;
}

std::vector<Record> read_records(const std::filesystem::path& file_or_folder) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  fs::path file = file_or_folder;
  if (fs::is_directory(file_or_folder, ignored)) {
    file = file_or_folder / "records.jsonl";
    if (!fs::exists(file, ignored)) {
      std::string hint = "a run folder holds records.jsonl once its run has finished";
      for (const fs::path& entry : core::list_directory(file_or_folder)) {
        const std::string name = entry.filename().string();
        if (name.starts_with("records.shard-")) hint = "it holds shards: merge them with 'mssbench merge'";
        if (name == "parts") hint = "its run was interrupted: start the same run again to finish it";
      }
      throw Error({Code::io, file_or_folder.string(), "no records.jsonl", "", "", hint});
    }
  } else if (!fs::exists(file_or_folder, ignored)) {
    throw Error(Code::io, file_or_folder.string(), "no such file or folder");
  }
  return unique_records(parse_records(core::read_text_file(file), file.string()), file.string());
}

std::vector<Record> unique_records(std::vector<Record> records, std::string_view name) {
  std::map<RecordKey, std::size_t> seen;
  std::vector<Record> out;
  for (Record& record : records) {
    const auto [at, fresh] = seen.emplace(record.key, out.size());
    if (fresh) {
      out.push_back(std::move(record));
    } else if (to_json_line(out[at->second], false) != to_json_line(record, false)) {
      throw Error({Code::format, std::string(name), "two records of one key differ", "one record, or equal ones",
                   to_string(record.key), ""});
    }
  }
  return out;
}

void write_records(const std::filesystem::path& file, std::vector<Record> records) {
  std::stable_sort(records.begin(), records.end(), [](const Record& a, const Record& b) { return a.key < b.key; });
  std::string text;
  for (const Record& record : records) {
    text += to_json_line(record);
    text += '\n';
  }
  core::write_file_atomic(file, text);
}

}  // namespace mss::records
