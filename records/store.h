// The run folder.
//
//   RUN/run.json         what the run is: data set, scoring, plans, program (deterministic outside `measured`)
//   RUN/records.jsonl    all records, sorted; RUN/records.shard-I-of-N.jsonl in a sharded run
//   RUN/parts/WHO/SUBSET/TRACK/SLUG.SEED.DATASET.jsonl
//                        finished (track, spec, seed), one small file each, while the run is at work; WHO is `run` or
//                        `shard-I-of-N`, DATASET a hash of the data set's name
//   RUN/estimates/SLUG/SUBSET/TRACK/TARGET.wav
//                        with save_estimates
//   RUN/lock, RUN/lock.shard-I-of-N      who is at work: a whole run alone, or shards beside each other
//
// A part is written under a temporary name, flushed and renamed: a process killed at any moment loses the item in work
// and nothing else. At the end parts and earlier records are merged and the parts removed. Where an item is found
// twice, scored records stand before an error, and parts before earlier records. Every record says how many records its
// item has (`measured.item_records`), so that an item of which some were lost counts as missing; what is left of it
// stays until the item is done again.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "records/mixed.h"
#include "records/record.h"
#include "records/shard.h"

namespace mss::records {

/// A name as one path component. Injective: bytes that have a meaning in paths (/ \ control characters, % itself, a
/// leading dot or tilde) become %XX; results above 200 bytes are cut and end in "%~" and 16 digits of their SHA-256.
/// The empty name becomes "%".
std::string path_component(std::string_view name);

/// <RUN>/estimates/<slug>/<subset>/<track>[/<target>.wav]; the folder for an empty target. `seed` is appended to the
/// slug (".seed-7") when it is not 0.
std::filesystem::path estimate_path(const std::filesystem::path& run, std::string_view spec, std::uint64_t seed,
                                    std::string_view subset, std::string_view track, std::string_view target);

/// <RUN>/pictures/<slug>/<subset>/<track>, with the slug of estimate_path.
std::filesystem::path picture_folder(const std::filesystem::path& run, std::string_view spec, std::uint64_t seed,
                                     std::string_view subset, std::string_view track);

/// (data set, track, spec, seed): the unit that is done or not.
struct ItemKey {
  std::string dataset, subset, track, spec;
  std::uint64_t seed = 0;
  auto operator<=>(const ItemKey&) const = default;
};
std::string to_string(const ItemKey& item);  ///< "subset/track | spec | seed N"
ItemKey item_of(const Record& record);
/// Writes into the record how many its item has.
void count_item(Record& record, std::size_t records);
/// Items of which fewer records are among these than their records say. (Records of older programs say nothing.)
std::set<ItemKey> incomplete_items(const std::vector<Record>& records);

/// Use of a run folder by one process: a whole run has it alone, shards share it but each is there once. Through
/// flock(2) on files that name host and process and go when the last holder does. The lock of a process that died is
/// taken over; one that another machine left behind is not, because its process cannot be seen from here. Throws
/// Error(io) naming the holder.
class RunLock {
 public:
  RunLock(const std::filesystem::path& run, const Shard& shard);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  std::filesystem::path folder_, path_;  // path_: of a shard
  int folder_descriptor_ = -1, descriptor_ = -1;
};

/// Records of one run folder, as they come to be. Thread-safe.
class RunStore {
 public:
  /// Makes the folder, locks it, loads what is finished. Damaged parts are removed (their items count as missing).
  RunStore(std::filesystem::path run, Shard shard);
  ~RunStore();
  RunStore(const RunStore&) = delete;
  RunStore& operator=(const RunStore&) = delete;

  /// Compares with RUN/run.json, or writes it. `identity` (data set, scoring) must be equal: throws Error(config)
  /// naming the first difference. `plan` is added to the list of plans if it is new. Returns warnings (another version
  /// or instruction set made the earlier records).
  std::vector<std::string> open_plan(const core::Value& identity, const core::Value& plan, std::string_view command);

  bool finished(const ItemKey& item) const;  ///< has records without error
  /// From what finished items were made.
  std::map<ItemKey, Origin> origins() const;
  /// Scenarios of the item's records.
  std::vector<std::string> scenarios(const ItemKey& item) const;
  void put(const ItemKey& item, const std::vector<Record>& records);
  /// Adds records beside those of the item that are here: new keys come in, a key that is here stays as it is, and a
  /// failure counts only where nothing was scored. Throws Error(dataset), and changes nothing, where a key that is here
  /// has other scores (anything but `measured` and the program that made it), naming the key and the first difference.
  void add(const ItemKey& item, const std::vector<Record>& records);
  /// Would add() take them? Throws as it does.
  void check(const ItemKey& item, const std::vector<Record>& records) const;
  /// Merges, writes the records file, removes this run's or shard's parts. Returns the file.
  std::filesystem::path finish();

 private:
  friend std::map<ItemKey, Origin> finished_items(const std::filesystem::path& run);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Items of a run folder that are finished, whoever finished them, and from what they were made; looks only, and takes
/// no lock. Empty where the folder does not exist.
std::map<ItemKey, Origin> finished_items(const std::filesystem::path& run);

struct MergeResult {
  std::filesystem::path file;
  std::int64_t records = 0;
  std::int64_t duplicates = 0;       ///< records found more than once, equal outside `measured`
  std::vector<std::string> missing;  ///< items that the plans of run.json ask for and no record answers, or not all
  std::vector<std::string> failed;   ///< items whose record is an error
};

struct MergeOptions {
  bool allow_mixed = false;  ///< records of one name from different audio, weights, options or scoring (mixed.h)
};

/// Merges the records of run folders (all records files and shard files in each) into out/records.jsonl, with run.json.
/// Equal records (outside `measured`) count once; scored records supersede an error of the same item. Records that
/// `out` holds already stay, as if it stood first among `runs`, of which it may be one; it is locked meanwhile.
/// Throws Error(dataset) for two records of one key that differ, naming key and files, and for records that must not
/// stand together (mixed.h), naming the tracks; Error(config) for runs of another data set or scoring. Missing items do
/// not prevent the merge.
MergeResult merge(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out,
                  const MergeOptions& options = {});

}  // namespace mss::records
