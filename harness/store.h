// The run folder.
//
//   RUN/run.json                         what the run is: plan, methods, tracks, scoring, program (deterministic
//   outside `measured`) RUN/records.jsonl                    all records, sorted; RUN/records.shard-I-of-N.jsonl in a
//   sharded run RUN/parts/SUBSET/TRACK/SLUG.SEED.jsonl   finished (track, spec, seed), one small file each, while the
//   run is at work RUN/estimates/SLUG/SUBSET/TRACK/TARGET.wav   with save_estimates RUN/lock, RUN/lock.shard-I-of-N who
//   is at work
//
// A part is written under a temporary name, flushed and renamed: a process killed at any moment loses the item in work
// and nothing else. At the end parts and earlier records are merged and the parts removed; a part supersedes an earlier
// record of its item.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/record.h"
#include "harness/shard.h"

namespace mss::harness {

/// A name as one path component. Injective: bytes that have a meaning in paths (/ \ control characters, % itself, a
/// leading dot) become %XX; names above 200 bytes end in "%~" and 16 digits of their SHA-256. The empty name becomes
/// "%".
std::string path_component(std::string_view name);

/// <RUN>/estimates/<slug>/<subset>/<track>/<target>.wav
std::filesystem::path estimate_path(const std::filesystem::path& run, std::string_view spec, std::string_view subset,
                                    std::string_view track, std::string_view target);

/// (track, spec, seed): the unit that is done or not.
struct ItemKey {
  std::string subset, track, spec;
  std::uint64_t seed = 0;
  auto operator<=>(const ItemKey&) const = default;
};

/// Exclusive use of a run folder (or of one shard of it) by one process. The lock of a process that died is taken over.
/// Throws Error(io) naming host and process of the holder.
class RunLock {
 public:
  RunLock(const std::filesystem::path& run, const Shard& shard);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
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
  void put(const ItemKey& item, const std::vector<Record>& records);
  /// Merges, writes the records file, removes this shard's parts. Returns the file.
  std::filesystem::path finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct MergeResult {
  std::int64_t records = 0, duplicates = 0;
  std::vector<std::string>
      missing;  ///< "subset/track | spec | seed" that the plans of run.json ask for and no record answers
  std::vector<std::string> failed;  ///< the same for records with an error
};

/// Merges the records of run folders (all records files and shard files in each) into out/records.jsonl, with run.json.
/// Equal records (outside `measured`) count once; two that differ are Error(config) naming key and files; scored
/// records supersede an error record of the same item. `out` may be one of `runs`. Missing items do not prevent the
/// merge.
MergeResult merge(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out);

}  // namespace mss::harness
