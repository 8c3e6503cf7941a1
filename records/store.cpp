#include "records/store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/isa.h"
#include "core/json.h"
#include "core/measure.h"
#include "core/spec.h"
#include "core/text.h"
#include "core/version.h"

namespace mss::records {
namespace {

using core::Value;
namespace fs = std::filesystem;

constexpr std::size_t kMaxComponentBytes = 200;

std::string shard_name(const Shard& shard) {
  return "shard-" + std::to_string(shard.index) + "-of-" + std::to_string(shard.count);
}

fs::path records_file(const fs::path& run, const Shard& shard) {
  return run / (shard.whole() ? "records.jsonl" : "records." + shard_name(shard) + ".jsonl");
}

/// records.jsonl and all shard files that exist, by name.
std::vector<fs::path> all_records_files(const fs::path& run) {
  std::vector<fs::path> out;
  for (const fs::path& entry : core::list_directory(run)) {
    const std::string name = entry.filename().string();
    if (name == "records.jsonl" || (name.starts_with("records.shard-") && name.ends_with(".jsonl"))) {
      out.push_back(entry);
    }
  }
  return out;
}

ItemKey item_of(const Record& record) {
  return {record.key.subset, record.key.track, record.key.spec, record.key.seed};
}

// A descriptor that closes itself and so gives up its flock.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

[[noreturn]] void fail_io(const fs::path& path, const std::string& what, int error) {
  throw Error(Code::io, path.string(), what + ": " + std::strerror(error));
}

std::string content_of(int descriptor) {
  char buffer[512];
  const ssize_t n = ::pread(descriptor, buffer, sizeof buffer, 0);
  return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string();
}

// --- parts
// ---------------------------------------------------------------------------------------------------------------

// The first line tells how many records follow, so that a file cut at a line end is found out.
std::string part_text(const std::vector<std::string>& lines) {
  std::string text = "{\"part\":1,\"records\":" + std::to_string(lines.size()) + "}\n";
  for (const std::string& line : lines) {
    text += line;
    text += '\n';
  }
  return text;
}

/// nullopt-like: empty when the part is damaged.
std::vector<Record> read_part(const fs::path& file) {
  try {
    const std::string text = core::read_text_file(file);
    const std::size_t end = text.find('\n');
    if (end == std::string::npos || text.back() != '\n') return {};
    const Value head = core::parse_json(std::string_view(text).substr(0, end), file.string());
    std::vector<Record> records = parse_records(std::string_view(text).substr(end + 1), file.string());
    const Value* count = head.find("records");
    if (count == nullptr || count->as_integer() != static_cast<std::int64_t>(records.size())) return {};
    for (const Record& record : records) {
      if (item_of(record) != item_of(records.front())) return {};
    }
    return records;
  } catch (const Error& error) {
    if (error.code() == Code::io) throw;
    return {};
  }
}

std::vector<fs::path> part_files(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  if (!fs::is_directory(folder, error)) return out;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.ends_with(".jsonl") && !name.starts_with(".")) out.push_back(it->path());
  }
  if (error) throw Error(Code::io, folder.string(), "cannot read folder: " + error.message());
  std::sort(out.begin(), out.end());
  return out;
}

// --- run.json
// ------------------------------------------------------------------------------------------------------------

constexpr int kRunSchema = 1;

Value program_value() {
  Value out = Value::object();
  out["version"] = core::version();
  out["revision"] = core::git_revision();
  out["isa"] = core::isa_name(core::active_isa());
  return out;
}

/// Path and texts of the first difference of two trees.
bool first_difference(const Value& a, const Value& b, const std::string& at, std::string& where, std::string& left,
                      std::string& right) {
  if (a == b) return false;
  if (a.is_object() && b.is_object()) {
    for (const Value::Member& member : a.as_object()) {
      const Value* other = b.find(member.first);
      const std::string inner = at.empty() ? member.first : at + "." + member.first;
      if (other == nullptr) {
        where = inner, left = core::dump_json(member.second), right = "nothing";
        return true;
      }
      if (first_difference(member.second, *other, inner, where, left, right)) return true;
    }
  }
  where = at, left = core::dump_json(a), right = core::dump_json(b);
  return true;
}

Value read_run_json(const fs::path& file) {
  Value run = core::read_json_file(file);
  const Value* schema = run.find("schema");
  if (schema == nullptr || !schema->is_integer() || schema->as_integer() != kRunSchema ||
      run.find("identity") == nullptr || run.find("plans") == nullptr || !run.at("plans").is_array()) {
    throw Error({Code::format, file.string(), "not a run description", "schema " + std::to_string(kRunSchema),
                 schema == nullptr ? "no field 'schema'" : core::dump_json(*schema), ""});
  }
  return run;
}

void require_same_identity(const Value& existing, const Value& wanted, const std::string& where,
                           const std::string& hint) {
  std::string field, left, right;
  if (!first_difference(existing, wanted, "", field, left, right)) return;
  throw Error({Code::config, where, "the run has another " + field, left, right, hint});
}

void add_unique(Value& list, const Value& element) {
  if (!list.is_array()) list = Value::array();
  for (const Value& existing : list.as_array()) {
    if (existing == element) return;
  }
  list.push_back(element);
}

std::vector<ItemKey> planned_items(const Value& run) {
  std::set<ItemKey> items;
  for (const Value& plan : run.at("plans").as_array()) {
    for (const Value& track : plan.at("tracks").as_array()) {
      for (const Value& method : plan.at("methods").as_array()) {
        ItemKey item{track.at("subset").as_string(), track.at("name").as_string(), method.at("spec").as_string(), 0};
        if (!method.at("random").as_bool()) {
          items.insert(item);
          continue;
        }
        for (const Value& seed : plan.at("seeds").as_array()) {
          item.seed = static_cast<std::uint64_t>(seed.as_integer());
          items.insert(item);
        }
      }
    }
  }
  return {items.begin(), items.end()};
}

}  // namespace

std::string path_component(std::string_view name) {
  if (name.empty()) return "%";
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    const bool special = byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\' || byte == '%' ||
                         (i == 0 && (byte == '.' || byte == '~'));
    if (special) {
      constexpr char digits[] = "0123456789ABCDEF";
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += name[i];
    }
  }
  if (out.size() <= kMaxComponentBytes) return out;
  const std::string mark = "%~" + core::sha256_hex(name).substr(0, 16);
  std::size_t keep = kMaxComponentBytes - mark.size();
  while (keep > 0 && (static_cast<unsigned char>(out[keep]) & 0xC0) == 0x80) --keep;  // not inside a UTF-8 sequence
  return out.substr(0, keep) + mark;
}

fs::path estimate_path(const fs::path& run, std::string_view spec, std::uint64_t seed, std::string_view subset,
                       std::string_view track, std::string_view target) {
  std::string slug = core::spec_slug(spec);
  if (seed != 0) slug += ".seed-" + std::to_string(seed);
  fs::path folder = run / "estimates" / slug / path_component(subset) / path_component(track);
  return target.empty() ? folder : folder / (path_component(target) + ".wav");
}

std::string to_string(const ItemKey& item) {
  return item.subset + "/" + item.track + " | " + item.spec + " | seed " + std::to_string(item.seed);
}

// --- lock
// ----------------------------------------------------------------------------------------------------------------

RunLock::RunLock(const fs::path& run, const Shard& shard)
    : path_(run / (shard.whole() ? "lock" : "lock." + shard_name(shard))) {
  const std::string self = core::host_name() + " " + std::to_string(::getpid()) + "\n";
  for (;;) {
    Descriptor file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (file.get() < 0) fail_io(path_, "cannot open the run's lock", errno);
    const bool locked = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
    const bool held = !locked && errno == EWOULDBLOCK;
    // A file system without flock: only the process id tells.
    const bool blind = !locked && !held;
    if (!held) {
      // The holder may have removed the file between our open and our lock.
      struct stat ours {
      }, current{};
      if (::fstat(file.get(), &ours) != 0 || ::stat(path_.c_str(), &current) != 0 || ours.st_ino != current.st_ino ||
          ours.st_dev != current.st_dev) {
        continue;
      }
    }
    const std::string content(core::trim(content_of(file.get())));
    const std::size_t space = content.rfind(' ');
    const std::string host = content.substr(0, space == std::string::npos ? 0 : space);
    long pid = 0;
    if (space != std::string::npos) std::from_chars(content.data() + space + 1, content.data() + content.size(), pid);
    const bool elsewhere = !host.empty() && host != core::host_name();
    const bool alive = !elsewhere && blind && pid > 0 && pid != ::getpid() &&
                       (::kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM);
    if (held || elsewhere || alive) {
      throw Error({Code::io, path_.parent_path().string(), "the run folder is in use", "",
                   content.empty() ? "a process that just started"
                                   : "process " + std::to_string(pid) + " on " + (host.empty() ? "?" : host),
                   elsewhere && !held ? "if that process is gone, remove " + path_.string()
                                      : "wait for it, or give another folder"});
    }
    if (::ftruncate(file.get(), 0) != 0 ||
        ::pwrite(file.get(), self.data(), self.size(), 0) != static_cast<ssize_t>(self.size())) {
      const int error = errno;
      ::unlink(path_.c_str());
      fail_io(path_, "cannot write the run's lock", error);
    }
    descriptor_ = file.release();
    return;
  }
}

RunLock::~RunLock() {
  ::unlink(path_.c_str());
  ::close(descriptor_);
}

// --- store
// ---------------------------------------------------------------------------------------------------------------

struct RunStore::Impl {
  struct Item {
    std::vector<std::pair<RecordKey, std::string>> lines;
    bool failed = false;
    bool own = false;  ///< belongs into this run's or shard's records file
  };

  Impl(fs::path folder, Shard which)
      : run(std::move(folder)),
        shard(which),
        parts(run / "parts" / (shard.whole() ? std::string("run") : shard_name(shard))) {}

  /// Takes an item's records unless better ones are here; see the rule in store.h.
  void absorb(const ItemKey& key, Item item) {
    const auto found = items.find(key);
    if (found == items.end()) {
      items.emplace(key, std::move(item));
    } else if (found->second.failed && !item.failed) {
      item.own = item.own || found->second.own;
      found->second = std::move(item);
    }
  }

  void absorb_records(const std::vector<Record>& records, bool own) {
    std::map<ItemKey, Item> grouped;
    for (const Record& record : records) {
      Item& item = grouped[item_of(record)];
      item.lines.emplace_back(record.key, to_json_line(record));
      item.failed = item.failed || record.failed();
      item.own = own;
    }
    for (auto& [key, item] : grouped) absorb(key, std::move(item));
  }

  void absorb_parts(const fs::path& folder, bool own) {
    for (const fs::path& file : part_files(folder)) {
      const std::vector<Record> records = read_part(file);
      if (records.empty()) {
        std::error_code ignored;
        if (own) fs::remove(file, ignored);
        continue;
      }
      absorb_records(records, own);
    }
  }

  fs::path run;
  Shard shard;
  fs::path parts;
  std::unique_ptr<RunLock> lock;
  mutable std::mutex mutex;
  std::map<ItemKey, Item> items;
};

RunStore::RunStore(fs::path run, Shard shard) : impl_(std::make_unique<Impl>(std::move(run), shard)) {
  Impl& impl = *impl_;
  core::make_directories(impl.run);
  impl.lock = std::make_unique<RunLock>(impl.run, shard);
  const fs::path own_file = records_file(impl.run, shard);
  core::remove_dead_temporaries(impl.run);
  impl.absorb_parts(impl.parts, true);
  std::error_code ignored;
  if (fs::exists(own_file, ignored)) impl.absorb_records(read_records(own_file), true);
  // What other shards, or a run with another cut, have finished need not be done again.
  for (const fs::path& file : all_records_files(impl.run)) {
    if (file != own_file) impl.absorb_records(read_records(file), shard.whole());
  }
  if (shard.whole() && fs::is_directory(impl.run / "parts", ignored)) {
    for (const fs::path& folder : core::list_directory(impl.run / "parts")) {
      if (folder != impl.parts) {
        for (const fs::path& file : part_files(folder)) impl.absorb_records(read_part(file), true);
      }
    }
  }
}

RunStore::~RunStore() = default;

std::vector<std::string> RunStore::open_plan(const Value& identity, const Value& plan, std::string_view command) {
  const fs::path file = impl_->run / "run.json";
  // Shards that start at the same moment take turns; where the file system has no flock, the last one wins with the
  // same content.
  const fs::path turn = impl_->run / ".run.json.lock";
  const Descriptor guard(::open(turn.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (guard.get() >= 0) ::flock(guard.get(), LOCK_EX);
  std::vector<std::string> warnings;
  std::error_code ignored;
  const bool exists = fs::exists(file, ignored);
  Value run;
  if (exists) {
    run = read_run_json(file);
    require_same_identity(run.at("identity"), identity, file.string(),
                          "use another run folder, or the settings of this one");
    const Value now = program_value();
    std::string field, left, right;
    if (first_difference(run.at("program"), now, "", field, left, right)) {
      warnings.push_back("earlier records in " + impl_->run.string() + " were made with " + field + " " + left +
                         ", this program has " + right);
    }
  } else {
    run["schema"] = kRunSchema;
    run["program"] = program_value();
    run["identity"] = identity;
    run["plans"] = Value::array();
    Value measured = Value::object();
    measured["started_utc"] = core::utc_timestamp();
    measured["host"] = core::host_name();
    measured["processor"] = core::processor_name();
    measured["commands"] = Value::array();
    run["measured"] = std::move(measured);
  }
  const Value before = run;
  add_unique(run["plans"], plan);
  if (!command.empty()) add_unique(run["measured"]["commands"], command);
  if (!exists || !(run == before)) core::write_file_atomic(file, core::dump_json(run, 2) + "\n");
  return warnings;
}

bool RunStore::finished(const ItemKey& item) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->items.find(item);
  return found != impl_->items.end() && !found->second.failed;
}

std::vector<std::string> RunStore::scenarios(const ItemKey& item) const {
  const std::lock_guard lock(impl_->mutex);
  std::set<std::string> names;
  if (const auto found = impl_->items.find(item); found != impl_->items.end()) {
    for (const auto& [key, line] : found->second.lines) names.insert(key.scenario);
  }
  return {names.begin(), names.end()};
}

void RunStore::put(const ItemKey& key, const std::vector<Record>& records) {
  MSS_ASSERT(!records.empty());
  Impl::Item item;
  item.own = true;
  std::vector<std::string> lines;
  for (const Record& record : records) {
    MSS_ASSERT(item_of(record) == key);
    lines.push_back(to_json_line(record));
    item.lines.emplace_back(record.key, lines.back());
    item.failed = item.failed || record.failed();
  }
  const fs::path folder = impl_->parts / path_component(key.subset) / path_component(key.track);
  core::make_directories(folder);
  core::write_file_atomic(folder / (core::spec_slug(key.spec) + "." + std::to_string(key.seed) + ".jsonl"),
                          part_text(lines));
  const std::lock_guard lock(impl_->mutex);
  impl_->items[key] = std::move(item);
}

fs::path RunStore::finish() {
  const std::lock_guard lock(impl_->mutex);
  std::vector<std::pair<RecordKey, std::string>> lines;
  for (const auto& [key, item] : impl_->items) {
    if (item.own) lines.insert(lines.end(), item.lines.begin(), item.lines.end());
  }
  std::stable_sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (const auto& [key, line] : lines) {
    text += line;
    text += '\n';
  }
  const fs::path file = records_file(impl_->run, impl_->shard);
  core::write_file_atomic(file, text);
  std::error_code error;
  fs::remove_all(impl_->parts, error);
  if (error) throw Error(Code::io, impl_->parts.string(), "cannot remove: " + error.message());
  fs::remove(impl_->run / "parts", error);  // only when empty: other shards may be at work
  return file;
}

// --- merge
// ---------------------------------------------------------------------------------------------------------------

MergeResult merge(const std::vector<fs::path>& runs, const fs::path& out) {
  if (runs.empty()) throw Error(Code::config, "merge", "no run folders given");
  struct Found {
    Record record;
    fs::path file;
  };
  std::map<ItemKey, std::map<RecordKey, Found>> items;
  MergeResult result;
  Value merged;
  fs::path merged_from;
  for (const fs::path& run : runs) {
    std::error_code ignored;
    if (!fs::is_directory(run, ignored)) throw Error(Code::io, run.string(), "no such run folder");
    const fs::path description = run / "run.json";
    if (fs::exists(description, ignored)) {
      const Value value = read_run_json(description);
      if (merged.is_null()) {
        merged = value;
        merged_from = description;
      } else {
        require_same_identity(
            merged.at("identity"), value.at("identity"), description.string(),
            "only runs over one data set and one scoring can be merged (" + merged_from.string() + " is the other)");
        for (const Value& plan : value.at("plans").as_array()) add_unique(merged["plans"], plan);
        if (const Value* measured = value.find("measured")) {
          if (const Value* commands = measured->find("commands")) {
            for (const Value& command : commands->as_array()) add_unique(merged["measured"]["commands"], command);
          }
        }
      }
    }
    const std::vector<fs::path> files = all_records_files(run);
    if (files.empty()) {
      throw Error({Code::io, run.string(), "no records to merge", "records.jsonl or records.shard-….jsonl", "",
                   "start the same run again to finish it"});
    }
    for (const fs::path& file : files) {
      std::map<ItemKey, std::vector<Record>> grouped;
      for (Record& record : read_records(file)) grouped[item_of(record)].push_back(std::move(record));
      for (auto& [key, records] : grouped) {
        auto& known = items[key];
        const bool failed = std::any_of(records.begin(), records.end(), [](const Record& r) { return r.failed(); });
        const bool known_failed =
            std::any_of(known.begin(), known.end(), [](const auto& entry) { return entry.second.record.failed(); });
        if (!known.empty() && failed) {
          result.duplicates += known_failed ? static_cast<std::int64_t>(records.size()) : 0;
          continue;
        }
        if (known_failed) known.clear();
        for (Record& record : records) {
          const auto found = known.find(record.key);
          if (found == known.end()) {
            const RecordKey record_key = record.key;
            known.emplace(record_key, Found{std::move(record), file});
            continue;
          }
          if (to_json_line(found->second.record, false) != to_json_line(record, false)) {
            throw Error({Code::config, to_string(record.key), "two records of one key differ",
                         found->second.file.string(), file.string(),
                         "they come from different programs, data or settings: keep them apart"});
          }
          ++result.duplicates;
        }
      }
    }
  }
  std::vector<Record> records;
  for (auto& [key, known] : items) {
    for (auto& [record_key, found] : known) {
      if (found.record.failed()) result.failed.push_back(to_string(key));
      records.push_back(std::move(found.record));
    }
  }
  if (!merged.is_null()) {
    for (const ItemKey& item : planned_items(merged)) {
      if (items.find(item) == items.end()) result.missing.push_back(to_string(item));
    }
  }
  result.records = static_cast<std::int64_t>(records.size());
  core::make_directories(out);
  const RunLock lock(out, Shard{});
  result.file = out / "records.jsonl";
  write_records(result.file, std::move(records));
  if (!merged.is_null()) core::write_file_atomic(out / "run.json", core::dump_json(merged, 2) + "\n");
  return result;
}

}  // namespace mss::records
