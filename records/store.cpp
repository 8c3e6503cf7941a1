#include "records/store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/isa.h"
#include "core/json.h"
#include "core/measure.h"
#include "core/spec.h"
#include "core/stop.h"
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

constexpr const char* kItemRecords = "item_records";

// A descriptor that closes itself and so gives up its flock.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
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
    for (const Value::Member& member : b.as_object()) {
      if (a.find(member.first) != nullptr) continue;
      where = at.empty() ? member.first : at + "." + member.first;
      left = "nothing", right = core::dump_json(member.second);
      return true;
    }
  }
  where = at, left = core::dump_json(a), right = core::dump_json(b);
  return true;
}

/// What planned_items() relies on; Error(format) with the place of the first breach.
void check_plans(const Value& plans, const fs::path& file) {
  const auto fail = [&](const std::string& place, const std::string& expected, const Value* found) {
    throw Error({Code::format, file.string(), "broken run description: " + place, expected,
                 found == nullptr ? "nothing" : std::string(found->type_name()), ""});
  };
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const Value& plan = plans.as_array()[i];
    const std::string at = "plans[" + std::to_string(i) + "]";
    if (!plan.is_object()) fail(at, "an object", &plan);
    for (const char* key : {"tracks", "methods", "seeds"}) {
      const Value* list = plan.find(key);
      if (list == nullptr || !list->is_array()) fail(at + "." + key, "an array", list);
      for (std::size_t k = 0; k < list->size(); ++k) {
        const Value& element = list->as_array()[k];
        const std::string place = at + "." + key + "[" + std::to_string(k) + "]";
        if (key == std::string_view("seeds")) {
          if (!element.is_integer() || element.as_integer() < 0) fail(place, "an integer from 0", &element);
          continue;
        }
        if (!element.is_object()) fail(place, "an object", &element);
        const bool track = key == std::string_view("tracks");
        const std::vector<const char*> texts =
            track ? std::vector<const char*>{"subset", "name"} : std::vector<const char*>{"spec"};
        for (const char* name : texts) {
          const Value* text = element.find(name);
          if (text == nullptr || !text->is_string()) fail(place + "." + name, "a string", text);
        }
        const Value* random = element.find("random");
        if (!track && (random == nullptr || !random->is_bool())) fail(place + ".random", "a boolean", random);
      }
    }
  }
}

Value read_run_json(const fs::path& file) {
  Value run = core::read_json_file(file);
  const Value* schema = run.find("schema");
  if (schema == nullptr || !schema->is_integer() || schema->as_integer() != kRunSchema ||
      run.find("identity") == nullptr || run.find("plans") == nullptr || !run.at("plans").is_array()) {
    throw Error({Code::format, file.string(), "not a run description", "schema " + std::to_string(kRunSchema),
                 schema == nullptr ? "no field 'schema'" : core::dump_json(*schema), ""});
  }
  if (!run.at("identity").is_object() || run.at("identity").size() == 0) {
    throw Error({Code::format, file.string(), "broken run description: identity", "an object with data set and scoring",
                 run.at("identity").is_object() ? "an empty object" : std::string(run.at("identity").type_name()), ""});
  }
  if (run.find("program") == nullptr) run["program"] = Value::object();
  check_plans(run.at("plans"), file);
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
  const Value* data = run.at("identity").find("dataset");
  const Value* name = data == nullptr ? nullptr : data->find("name");
  const std::string dataset = name != nullptr && name->is_string() ? name->as_string() : std::string();
  for (const Value& plan : run.at("plans").as_array()) {
    for (const Value& track : plan.at("tracks").as_array()) {
      for (const Value& method : plan.at("methods").as_array()) {
        ItemKey item{dataset, track.at("subset").as_string(), track.at("name").as_string(),
                     method.at("spec").as_string(), 0};
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

fs::path picture_folder(const fs::path& run, std::string_view spec, std::uint64_t seed, std::string_view subset,
                        std::string_view track) {
  const fs::path estimates = estimate_path(run, spec, seed, subset, track, "");
  return run / "pictures" / estimates.lexically_relative(run / "estimates");
}

ItemKey item_of(const Record& record) {
  return {record.key.dataset, record.key.subset, record.key.track, record.key.spec, record.key.seed};
}

void count_item(Record& record, std::size_t records) {
  Value& measured = record.body["measured"];
  if (!measured.is_object()) measured = Value::object();
  measured[kItemRecords] = static_cast<std::int64_t>(records);
}

std::set<ItemKey> incomplete_items(const std::vector<Record>& records) {
  std::map<ItemKey, std::pair<std::int64_t, std::int64_t>> counts;  // found, promised
  for (const Record& record : records) {
    auto& [found, promised] = counts[item_of(record)];
    ++found;
    const Value* measured = record.body.find("measured");
    const Value* count = measured == nullptr ? nullptr : measured->find(kItemRecords);
    if (count != nullptr && count->is_integer()) promised = std::max(promised, count->as_integer());
  }
  std::set<ItemKey> out;
  for (const auto& [item, count] : counts) {
    if (count.first < count.second) out.insert(item);
  }
  return out;
}

std::string to_string(const ItemKey& item) {
  return item.subset + "/" + item.track + " | " + item.spec + " | seed " + std::to_string(item.seed);
}

// --- lock
// ----------------------------------------------------------------------------------------------------------------

namespace {

/// Opens and locks `path`, unless its holder removed it in between: then again. No descriptor: another process holds it
/// (`wait` false). `blind` is set where the file system knows no flock.
Descriptor locked_file(const fs::path& path, int how, bool wait, bool& blind) {
  for (;;) {
    Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (file.get() < 0) fail_io(path, "cannot open the run's lock", errno);
    blind = false;
    while (::flock(file.get(), how | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) {
        blind = true;
        break;
      }
      if (!wait) return Descriptor(-1);
      core::check_stop();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    struct stat ours {
    }, current{};
    if (::fstat(file.get(), &ours) == 0 && ::stat(path.c_str(), &current) == 0 && ours.st_ino == current.st_ino &&
        ours.st_dev == current.st_dev) {
      return file;
    }
  }
}

struct Holder {
  std::string host;
  long pid = 0;
};

Holder holder_of(const std::string& content) {
  Holder out;
  const std::string text(core::trim(content));
  const std::size_t space = text.rfind(' ');
  if (space == std::string::npos) return out;
  out.host = text.substr(0, space);
  std::from_chars(text.data() + space + 1, text.data() + text.size(), out.pid);
  return out;
}

[[noreturn]] void fail_in_use(const fs::path& run, const Holder& holder, const std::string& hint) {
  throw Error({Code::io, run.string(), "the run folder is in use", "",
               holder.pid == 0
                   ? "a process that just started"
                   : "process " + std::to_string(holder.pid) + " on " + (holder.host.empty() ? "?" : holder.host),
               hint});
}

/// Throws where the name in a lock that is not held is that of a process which may be at work all the same: on another
/// machine (which cannot be seen from here), or on a file system without flock.
void require_gone(const fs::path& run, const fs::path& path, const std::string& content, bool blind) {
  const Holder holder = holder_of(content);
  if (holder.pid == 0) return;
  if (holder.host != core::host_name()) fail_in_use(run, holder, "if that process is gone, remove " + path.string());
  const bool alive =
      blind && holder.pid != ::getpid() && (::kill(static_cast<pid_t>(holder.pid), 0) == 0 || errno == EPERM);
  if (alive) fail_in_use(run, holder, "wait for it, or give another folder");
}

void sign(int descriptor, const fs::path& path) {
  const std::string self = core::host_name() + " " + std::to_string(::getpid()) + "\n";
  if (::ftruncate(descriptor, 0) == 0 &&
      ::pwrite(descriptor, self.data(), self.size(), 0) == static_cast<ssize_t>(self.size())) {
    return;
  }
  const int error = errno;
  ::unlink(path.c_str());
  fail_io(path, "cannot write the run's lock", error);
}

}  // namespace

// `lock` is held alone by a whole run and shared by shards, of which each holds a lock of its own beside it.
RunLock::RunLock(const fs::path& run, const Shard& shard) : folder_(run / "lock") {
  bool blind = false;
  Descriptor folder = locked_file(folder_, shard.whole() ? LOCK_EX : LOCK_SH, false, blind);
  const std::string hint = "wait for it, or give another folder";
  if (folder.get() < 0) {
    Holder holder;
    if (shard.whole()) {
      for (const fs::path& entry : core::list_directory(run)) {
        if (!entry.filename().string().starts_with("lock.shard-")) continue;
        const Descriptor other(::open(entry.c_str(), O_RDONLY | O_CLOEXEC));
        if (other.get() >= 0) holder = holder_of(content_of(other.get()));
      }
    }
    if (holder.pid == 0) {
      const Descriptor other(::open(folder_.c_str(), O_RDONLY | O_CLOEXEC));
      if (other.get() >= 0) holder = holder_of(content_of(other.get()));
    }
    fail_in_use(run, holder, hint);
  }
  require_gone(run, folder_, content_of(folder.get()), blind);
  if (shard.whole()) {
    sign(folder.get(), folder_);
  } else {
    path_ = run / ("lock." + shard_name(shard));
    Descriptor own = locked_file(path_, LOCK_EX, false, blind);
    if (own.get() < 0) {
      const Descriptor other(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
      fail_in_use(run, other.get() < 0 ? Holder{} : holder_of(content_of(other.get())), hint);
    }
    require_gone(run, path_, content_of(own.get()), blind);
    sign(own.get(), path_);
    descriptor_ = own.release();
  }
  folder_descriptor_ = folder.release();
}

RunLock::~RunLock() {
  if (descriptor_ >= 0) {
    ::unlink(path_.c_str());
    ::close(descriptor_);
  }
  // The last one takes the file along: a whole run, or the shard that nobody shares it with any more.
  if (path_.empty() || ::flock(folder_descriptor_, LOCK_EX | LOCK_NB) == 0) ::unlink(folder_.c_str());
  ::close(folder_descriptor_);
}

// --- store
// ---------------------------------------------------------------------------------------------------------------

struct RunStore::Impl {
  struct Item {
    std::vector<std::pair<RecordKey, std::string>> lines;
    Origin origin;
    bool failed = false;
    bool incomplete = false;  ///< some of its records were lost
    bool own = false;         ///< belongs into this run's or shard's records file
    bool finished() const { return !failed && !incomplete; }
    /// Which of two to keep: whole scores stand before some of them, these before an error.
    int worth() const { return failed ? 0 : incomplete ? 1 : 2; }
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
    } else if (item.worth() > found->second.worth()) {
      item.own = item.own || found->second.own;
      found->second = std::move(item);
    }
  }

  /// Items whose records are not all there do not count as finished.
  void absorb_records(const std::vector<Record>& records, bool own) {
    std::map<ItemKey, Item> grouped;
    const std::set<ItemKey> incomplete = incomplete_items(records);
    for (const Record& record : records) {
      Item& item = grouped[item_of(record)];
      item.lines.emplace_back(record.key, to_json_line(record));
      if (!record.failed()) item.origin = origin_of(record);
      item.failed = item.failed || record.failed();
      item.own = own;
    }
    for (auto& [key, item] : grouped) {
      item.incomplete = incomplete.contains(key);
      absorb(key, std::move(item));
    }
  }

  /// The item's records with these beside them; empty where that changes nothing. See RunStore::add.
  std::vector<Record> joined(const ItemKey& key, const std::vector<Record>& records) const;

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
  bool blind = false;
  const Descriptor guard = locked_file(turn, LOCK_EX, true, blind);
  const struct Removal {
    const fs::path& path;
    ~Removal() { ::unlink(path.c_str()); }  // still held: whoever waits sees that it is gone and makes another
  } removal{turn};
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
  return found != impl_->items.end() && found->second.finished();
}

std::map<ItemKey, Origin> RunStore::origins() const {
  const std::lock_guard lock(impl_->mutex);
  std::map<ItemKey, Origin> out;
  for (const auto& [key, item] : impl_->items)
    if (item.finished()) out.emplace(key, item.origin);
  return out;
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
  for (Record record : records) {
    MSS_ASSERT(item_of(record) == key);
    count_item(record, records.size());
    lines.push_back(to_json_line(record));
    item.lines.emplace_back(record.key, lines.back());
    if (!record.failed()) item.origin = origin_of(record);
    item.failed = item.failed || record.failed();
  }
  const fs::path folder = impl_->parts / path_component(key.subset) / path_component(key.track);
  core::make_directories(folder);
  core::write_file_atomic(folder / (core::spec_slug(key.spec) + "." + std::to_string(key.seed) + "." +
                                    core::sha256_hex(key.dataset).substr(0, 8) + ".jsonl"),
                          part_text(lines));
  const std::lock_guard lock(impl_->mutex);
  impl_->items[key] = std::move(item);
}

std::vector<Record> RunStore::Impl::joined(const ItemKey& key, const std::vector<Record>& records) const {
  std::vector<Record> all;
  const std::lock_guard guard(mutex);
  const auto found = items.find(key);
  if (found == items.end() || found->second.failed) return records;
  if (std::any_of(records.begin(), records.end(), [](const Record& record) { return record.failed(); })) return {};
  for (const auto& [record_key, line] : found->second.lines) all.push_back(parse_record(line, to_string(record_key)));
  // Another program may have made the same scores.
  const auto scores_of = [](const Record& record) {
    Value body = record.body;
    for (const char* name : {"version", "revision", "isa", "measured"}) body.erase(name);
    return body;
  };
  const std::size_t before = all.size();
  for (const Record& record : records) {
    std::size_t same = 0;
    while (same < before && all[same].key != record.key) ++same;
    if (same == before) {
      all.push_back(record);
      continue;
    }
    std::string field, left, right;
    if (!first_difference(scores_of(all[same]), scores_of(record), "", field, left, right)) continue;
    throw Error({Code::dataset, run.string(), "holds other scores of " + to_string(record.key) + ": " + field, left,
                 right, "give the row another name, or use another folder"});
  }
  if (all.size() == before) all.clear();
  return all;
}

void RunStore::check(const ItemKey& key, const std::vector<Record>& records) const { impl_->joined(key, records); }

void RunStore::add(const ItemKey& key, const std::vector<Record>& records) {
  if (const std::vector<Record> all = impl_->joined(key, records); !all.empty()) put(key, all);
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

std::map<ItemKey, Origin> finished_items(const fs::path& run) {
  std::map<ItemKey, Origin> out;
  std::error_code ignored;
  if (!fs::is_directory(run, ignored)) return out;
  RunStore::Impl looked(run, Shard{});
  for (const fs::path& file : all_records_files(run)) looked.absorb_records(read_records(file), false);
  for (const fs::path& file : part_files(run / "parts")) looked.absorb_records(read_part(file), false);
  for (const auto& [key, item] : looked.items) {
    if (item.finished()) out.emplace(key, item.origin);
  }
  return out;
}

// --- merge
// ---------------------------------------------------------------------------------------------------------------

MergeResult merge(const std::vector<fs::path>& given, const fs::path& out, const MergeOptions& options) {
  if (given.empty()) throw Error(Code::config, "merge", "no run folders given");
  std::vector<fs::path> runs = given;
  std::unique_ptr<RunLock> lock;
  std::error_code unknown;
  if (fs::is_directory(out, unknown)) {
    lock = std::make_unique<RunLock>(out, Shard{});  // before its records are read: they stay
    const bool among = std::any_of(given.begin(), given.end(), [&](const fs::path& run) {
      std::error_code ignored;
      return fs::equivalent(run, out, ignored);
    });
    if (!among && !all_records_files(out).empty()) runs.insert(runs.begin(), out);
  }
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
            throw Error({Code::dataset, to_string(record.key), "two records of one key differ",
                         found->second.file.string(), file.string(),
                         "they come from different programs, data or settings: keep them apart"});
          }
          ++result.duplicates;
        }
      }
    }
  }
  std::vector<Record> records;
  std::set<ItemKey> incomplete;
  for (auto& [key, known] : items) {
    std::vector<Record> one;
    for (auto& [record_key, found] : known) one.push_back(found.record);
    for (const ItemKey& item : incomplete_items(one)) {
      incomplete.insert(item);
      result.missing.push_back(to_string(item) + " (some of its records)");
    }
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
  if (!options.allow_mixed) {
    require_unmixed(find_mixed(records), "merge",
                    "keep the runs apart, or do the older ones again; --allow-mixed joins them all the same");
  }
  result.records = static_cast<std::int64_t>(records.size());
  core::make_directories(out);
  if (!lock) lock = std::make_unique<RunLock>(out, Shard{});
  result.file = out / "records.jsonl";
  write_records(result.file, std::move(records));
  if (!merged.is_null()) core::write_file_atomic(out / "run.json", core::dump_json(merged, 2) + "\n");
  return result;
}

}  // namespace mss::records
