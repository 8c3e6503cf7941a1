#include "reports/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "core/error.h"
#include "core/escape.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"

namespace mss::reports {
namespace {

using core::Value;
using records::Record;
using records::RecordKey;

constexpr int kSchema = 1;
constexpr const char* kKind = "mssbench corpus";

std::string text_of(const Value& body, std::string_view name) {
  const Value* value = body.find(name);
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

/// Agreement without distance: equal infinities and undefined values.
bool same(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= tolerance;
}

std::string show(double value) { return std::isnan(value) ? "none" : fmt::format("{:.6f}", value); }

using Item = std::pair<std::string, std::string>;  ///< track, row

Item item_of(const RecordKey& key) {
  return {key.dataset + "/" + key.subset + "/" + key.track,
          key.seed == 0 ? key.spec : key.spec + " (seed " + std::to_string(key.seed) + ")"};
}

}  // namespace

Corpus make_corpus(const std::vector<Record>& records) {
  Corpus out;
  std::set<std::string> versions, revisions, isas;
  std::map<RecordKey, CorpusEntry> entries;
  std::set<Item> scored;
  for (const Record& record : records) {
    CorpusEntry entry;
    entry.key = record.key;
    entry.fingerprint = text_of(record.body, "fingerprint");
    if (record.failed()) {
      entry.error = text_of(record.body.at("error"), "message");
    } else {
      scored.insert(item_of(record.key));
      for (const std::string& id : record.metrics()) entry.scores.emplace_back(id, record.score(id));
    }
    versions.insert(text_of(record.body, "version"));
    revisions.insert(text_of(record.body, "revision"));
    isas.insert(text_of(record.body, "isa"));
    entries.insert_or_assign(record.key, std::move(entry));
  }
  for (auto& [key, entry] : entries) {
    if (!entry.error.empty() && scored.contains(item_of(key))) continue;
    out.entries.push_back(std::move(entry));
  }
  const auto list = [](const std::set<std::string>& set) {
    return core::join(std::vector<std::string>(set.begin(), set.end()), ", ");
  };
  out.version = list(versions);
  out.revision = list(revisions);
  out.isa = list(isas);
  return out;
}

void write_corpus(const std::filesystem::path& file, const Corpus& corpus) {
  Value out = Value::object();
  out["schema"] = kSchema;
  out["kind"] = kKind;
  out["program"]["version"] = corpus.version;
  out["program"]["revision"] = corpus.revision;
  out["program"]["isa"] = corpus.isa;
  Value entries = Value::array();
  for (const CorpusEntry& entry : corpus.entries) {
    Value value = Value::object();
    value["dataset"] = entry.key.dataset;
    value["subset"] = entry.key.subset;
    value["track"] = entry.key.track;
    value["spec"] = entry.key.spec;
    value["scenario"] = entry.key.scenario;
    value["seed"] = entry.key.seed;
    value["target"] = entry.key.target;
    value["fingerprint"] = entry.fingerprint;
    if (!entry.error.empty()) {
      value["error"] = entry.error;
    } else {
      value["scores"] = Value::object();
      for (const auto& [id, score] : entry.scores) value["scores"][id] = records::number_to_value(score);
    }
    entries.push_back(std::move(value));
  }
  out["entries"] = std::move(entries);
  core::write_file_atomic(file, core::dump_json(out, 1) + "\n");
}

Corpus read_corpus(const std::filesystem::path& file) {
  const Value root = core::read_json_file(file);
  const std::string name = file.string();
  const Value* schema = root.find("schema");
  if (text_of(root, "kind") != kKind || schema == nullptr || !schema->is_integer()) {
    throw Error({Code::format, name, "not a corpus file", "what `mssbench corpus save` writes", "", ""});
  }
  if (schema->as_integer() != kSchema) {
    throw Error(
        {Code::format, name, "another schema", std::to_string(kSchema), std::to_string(schema->as_integer()), ""});
  }
  Corpus out;
  if (const Value* program = root.find("program")) {
    out.version = text_of(*program, "version");
    out.revision = text_of(*program, "revision");
    out.isa = text_of(*program, "isa");
  }
  const Value* entries = root.find("entries");
  if (entries == nullptr || !entries->is_array()) throw Error(Code::format, name, "no list 'entries'");
  std::size_t number = 0;
  for (const Value& value : entries->as_array()) {
    const std::string where = fmt::format("{}: entry {}", name, number++);
    CorpusEntry entry;
    const auto text = [&](const char* field) { return value.at(field, where).as_string(where); };
    entry.key = {text("dataset"), text("subset"), text("track"), text("spec"), text("scenario"), 0, text("target")};
    const std::int64_t seed = value.at("seed", where).as_integer(where);
    if (seed < 0) throw Error(Code::format, where, "negative seed");
    entry.key.seed = static_cast<std::uint64_t>(seed);
    entry.fingerprint = text("fingerprint");
    entry.error = text_of(value, "error");
    if (const Value* scores = value.find("scores")) {
      for (const Value::Member& member : scores->as_object(where)) {
        entry.scores.emplace_back(member.first, records::number_from_value(member.second, where));
      }
    }
    out.entries.push_back(std::move(entry));
  }
  return out;
}

int CorpusCheck::count(CorpusChange::Kind kind) const {
  std::set<std::string> names;
  for (const CorpusChange& change : changes)
    if (change.kind == kind) names.insert(change.track);
  return static_cast<int>(names.size());
}

bool CorpusCheck::passed() const {
  return std::none_of(changes.begin(), changes.end(),
                      [](const CorpusChange& c) { return c.kind != CorpusChange::Kind::appeared; });
}

CorpusCheck check_corpus(const Corpus& saved, const Corpus& now, double tolerance) {
  using Kind = CorpusChange::Kind;
  CorpusCheck out;
  std::map<RecordKey, const CorpusEntry*> before, after;
  std::map<Item, std::vector<const CorpusEntry*>> items_before, items_after;
  for (const CorpusEntry& entry : saved.entries) {
    before[entry.key] = &entry;
    items_before[item_of(entry.key)].push_back(&entry);
  }
  for (const CorpusEntry& entry : now.entries) {
    after[entry.key] = &entry;
    items_after[item_of(entry.key)].push_back(&entry);
  }
  std::set<std::string> tracks;
  for (const auto& [item, entries] : items_before) {
    const auto found = items_after.find(item);
    if (found == items_after.end()) {
      out.changes.push_back({Kind::vanished, item.first, item.second, "not in this run"});
      continue;
    }
    tracks.insert(item.first);
    const CorpusEntry &first = *entries.front(), &other = *found->second.front();
    const auto changed = [&](const std::string& what) {
      out.changes.push_back({Kind::changed, item.first, item.second, what});
    };
    if (first.error.empty() != other.error.empty()) {
      changed(other.error.empty() ? "failed when saved, has scores now" : "fails now: " + other.error);
      continue;
    }
    if (!first.fingerprint.empty() && !other.fingerprint.empty() && first.fingerprint != other.fingerprint) {
      changed("other audio (fingerprint " + first.fingerprint.substr(0, 12) + " -> " + other.fingerprint.substr(0, 12) +
              ")");
    }
    for (const CorpusEntry* entry : entries) {
      if (!entry->error.empty()) continue;
      const std::string name = entry->key.scenario + " " + entry->key.target;
      const auto partner = after.find(entry->key);
      if (partner == after.end()) {
        changed(name + ": no score any more");
        continue;
      }
      for (const auto& [id, score] : entry->scores) {
        const auto& scores = partner->second->scores;
        const auto it = std::find_if(scores.begin(), scores.end(), [&id = id](const auto& s) { return s.first == id; });
        if (it == scores.end()) {
          changed(name + " " + id + ": not computed any more");
          continue;
        }
        ++out.scores;
        if (std::isfinite(score) && std::isfinite(it->second)) {
          out.largest_difference = std::max(out.largest_difference, std::abs(score - it->second));
        }
        if (!same(score, it->second, tolerance))
          changed(name + " " + id + " " + show(score) + " -> " + show(it->second));
      }
    }
  }
  for (const auto& [item, entries] : items_after) {
    if (!items_before.contains(item)) {
      out.changes.push_back({Kind::appeared, item.first, item.second, "not in the corpus file"});
    }
  }
  out.tracks = static_cast<int>(tracks.size());
  for (const auto& [name, a, b] :
       {std::tuple<const char*, const std::string&, const std::string&>{"version", saved.version, now.version},
        {"revision", saved.revision, now.revision},
        {"instruction set", saved.isa, now.isa}}) {
    if (a != b) out.notes.push_back(fmt::format("{} differs: {} when saved, {} now", name, a, b));
  }
  return out;
}

std::string to_text(const CorpusCheck& check) {
  using Kind = CorpusChange::Kind;
  std::string out;
  for (const Kind kind : {Kind::changed, Kind::vanished, Kind::appeared}) {
    const int count = check.count(kind);
    if (count == 0) continue;
    const char* name = kind == Kind::changed ? "changed" : kind == Kind::vanished ? "vanished" : "appeared";
    out += fmt::format("{} {} {}:\n", count, count == 1 ? "track" : "tracks", name);
    // A few lines for each track and row; --json has them all.
    constexpr int kLines = 3;
    const CorpusChange* last = nullptr;
    int shown = 0, more = 0;
    const auto flush = [&] {
      if (more > 0) out += fmt::format("    and {} more\n", more);
      more = shown = 0;
    };
    for (const CorpusChange& change : check.changes) {
      if (change.kind != kind) continue;
      if (last == nullptr || last->track != change.track || last->spec != change.spec) {
        flush();
        out += "  " + core::escape_line(change.track + " | " + change.spec) + "\n";
      }
      last = &change;
      if (shown == kLines) {
        ++more;
        continue;
      }
      ++shown;
      out += "    " + core::escape_line(change.what) + "\n";
    }
    flush();
  }
  for (const std::string& note : check.notes) out += "note: " + core::escape_line(note) + "\n";
  out += fmt::format(
      "{}: {} scores of {} tracks compared, largest difference {:.2g} dB; {} tracks changed, {} vanished, {} "
      "appeared\n",
      check.passed() ? "unchanged" : "changed", check.scores, check.tracks, check.largest_difference,
      check.count(Kind::changed), check.count(Kind::vanished), check.count(Kind::appeared));
  return out;
}

Value to_json(const CorpusCheck& check) {
  Value out = Value::object();
  out["passed"] = check.passed();
  out["tracks"] = check.tracks;
  out["scores"] = check.scores;
  out["largest_difference_db"] = check.largest_difference;
  Value changes = Value::array();
  for (const CorpusChange& change : check.changes) {
    Value value = Value::object();
    value["kind"] = change.kind == CorpusChange::Kind::changed    ? "changed"
                    : change.kind == CorpusChange::Kind::appeared ? "appeared"
                                                                  : "vanished";
    value["track"] = change.track;
    value["spec"] = change.spec;
    value["what"] = change.what;
    changes.push_back(std::move(value));
  }
  out["changes"] = std::move(changes);
  Value notes = Value::array();
  for (const std::string& note : check.notes) notes.push_back(note);
  out["notes"] = std::move(notes);
  return out;
}

}  // namespace mss::reports
