#include "harness/runner.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "audio/file.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/measure.h"
#include "core/parallel.h"
#include "core/spec.h"
#include "core/text.h"
#include "harness/pictures.h"
#include "harness/scoring.h"
#include "harness/training_data.h"
#include "methods/networks.h"
#include "records/store.h"

namespace mss::harness {
namespace {

using core::Value;
namespace fs = std::filesystem;

/// A method of the plan, made.
struct Method {
  std::unique_ptr<methods::Separator> separator;
  std::string spec;   ///< as recorded
  std::string given;  ///< as in the plan
  std::string made;   ///< what it was made from: the plan's spec with files found and the protocol named
};

struct Item {
  std::size_t method = 0;
  records::ItemKey key;
};

/// One track with what is missing on it.
struct Work {
  datasets::Track track;
  std::int64_t bytes = 0;
  std::vector<Item> items;
  PartialProblems partial;  ///< that some method of the plan needs
  std::string fingerprint;  ///< empty = not taken yet
};

/// From what a method makes its results, as records say it.
records::Origin origin_of(const methods::SeparatorInfo& info, const std::string& fingerprint) {
  return {fingerprint, info.weights_sha256, info.resolved_options, {}};
}

/// Fingerprints of tracks that have finished items, to be compared with what those were made from; empty for the
/// others, and where a file cannot be read (loading the track says so).
std::vector<std::string> fingerprints(const datasets::Dataset& dataset, const std::vector<datasets::Track>& tracks,
                                      const std::string& dataset_name,
                                      const std::map<records::ItemKey, records::Origin>& finished, int threads) {
  std::set<std::pair<std::string, std::string>> known;
  for (const auto& [item, origin] : finished)
    if (item.dataset == dataset_name) known.emplace(item.subset, item.track);
  std::vector<std::string> out(tracks.size());
  core::parallel_for(static_cast<std::int64_t>(tracks.size()), threads, [&](std::int64_t i) {
    const datasets::Track& track = tracks[static_cast<std::size_t>(i)];
    if (!known.contains({track.subset, track.name})) return;
    try {
      out[static_cast<std::size_t>(i)] = dataset.sha256(track);
    } catch (const Error& error) {
      if (error.code() == Code::cancelled) throw;
    }
  });
  return out;
}

const core::ParamTable* table_of(const methods::Registry& registry, const std::string& name, bool filter) {
  if (filter) {
    for (const auto& entry : registry.filters()) {
      if (entry.name == name) return &entry.params;
    }
    return nullptr;
  }
  for (const auto& entry : registry.methods()) {
    if (entry.name == name) return &entry.params;
  }
  return nullptr;
}

/// Applies `change(part is the method, value)` to every value of a file parameter.
template <class F>
std::string map_files(std::string_view text, const methods::Registry& registry, F change) {
  core::Spec spec = core::parse_spec(text);
  const auto visit = [&](core::SpecPart& part, bool filter) {
    const core::ParamTable* table = table_of(registry, part.name, filter);
    if (table == nullptr) return;
    for (auto& [name, value] : part.arguments) {
      for (const core::Param& param : *table) {
        if (param.name == name && param.type == core::ParamType::file) value = change(!filter, value);
      }
    }
  };
  visit(spec.method, false);
  for (core::SpecPart& part : spec.filters) visit(part, true);
  return core::to_string(spec);
}

/// Tells the refusals from `first` on, or, where no method is left, throws the first of all: then it is the plan that is
/// wrong, whatever the error's kind.
void tell_refused(const std::vector<RefusedMethod>& refused, std::size_t first, bool none_left,
                  const core::LogFn& log) {
  if (none_left) {
    ErrorParts parts = refused.front().error.parts();
    if (parts.code != Code::unsupported) parts.code = Code::config;
    throw Error(std::move(parts));
  }
  for (std::size_t i = first; i < refused.size(); ++i) {
    core::log(log, core::LogLevel::error, refused[i].spec + " is left out: " + refused[i].error.what());
  }
}

/// Words that mean nothing (unknown names, bad values) are slips of whoever wrote the plan, and stop it; what the machine
/// or the data lack is left out.
bool is_slip(Code code) { return code == Code::config || code == Code::invalid_argument || code == Code::cancelled; }

/// What a run makes of the method that `spec` names, where that is something else.
std::optional<methods::RunPart> run_part(const core::Spec& spec, const methods::Registry& registry) {
  const methods::MethodEntry* entry = registry.method(spec.method.name);
  return entry != nullptr && entry->run_part ? entry->run_part(spec.method) : std::nullopt;
}

std::vector<Method> make_methods(const Plan& plan, const methods::Registry& registry, const core::LogFn& log,
                                 std::vector<RefusedMethod>& refused) {
  std::vector<Method> out;
  std::set<std::string> seen;
  for (const std::string& text : plan.methods) {
    try {
      const std::string found = map_files(text, registry, [&](bool, const std::string& value) {
        std::error_code ignored;
        const fs::path beside = plan.folder / value;
        return !plan.folder.empty() && fs::exists(beside, ignored) ? beside.lexically_normal().string() : value;
      });
      Method method;
      method.given = text;
      method.made = run_spec(found, registry);
      method.separator = registry.make(method.made);
      method.spec = recorded_spec(method.separator->info(), registry);
      if (!seen.insert(method.spec).second) {
        core::log(log, core::LogLevel::warning, "method '" + text + "' stands twice in the plan as " + method.spec);
        continue;
      }
      if (const auto part = run_part(core::parse_spec(found), registry))
        core::log(log, core::LogLevel::info, found + " is run as " + method.made + ", " + part->why);
      out.push_back(std::move(method));
    } catch (const Error& error) {
      if (is_slip(error.code())) throw;
      refused.push_back({text, error});
    }
  }
  tell_refused(refused, 0, out.empty(), log);
  return out;
}

/// What a method yields on a track.
std::vector<std::string> targets_on(const Method& method, const datasets::Dataset& dataset,
                                    const datasets::Track& track) {
  const methods::Separator& separator = *method.separator;
  return separator.targets_for(separator.info().needs_references ? track.stems : dataset.stems());
}

/// Takes out methods none of whose stems is scored on any of the tracks.
void leave_out_strangers(std::vector<Method>& methods, const datasets::Dataset& dataset,
                         const std::vector<datasets::Track>& tracks, const core::LogFn& log,
                         std::vector<RefusedMethod>& refused) {
  const std::size_t before = refused.size();
  std::erase_if(methods, [&](const Method& method) {
    std::vector<std::string> targets;
    for (const datasets::Track& track : tracks) {
      if (track.defect) continue;
      targets = targets_on(method, dataset, track);
      for (const std::string& target : targets) {
        if (has_reference(target, track.stems, targets)) return false;
      }
    }
    if (targets.empty()) return false;  // no track is whole: each says why
    refused.push_back({method.given, Error({Code::config, method.spec, "makes no stem that " + dataset.name() + " has",
                                            "one of " + core::join(dataset.stems(), ", "), core::join(targets, ", "),
                                            "the filter `aggregate` sums stems under new names"})});
    return true;
  });
  tell_refused(refused, before, methods.empty(), log);
}

/// The name of a set that has grown or was mended since the run folder was begun is the one that its records have:
/// "songs#12345678" of run.json for "songs#87654321".
std::string recorded_name(const fs::path& run, const std::string& name, const core::LogFn& log) {
  const fs::path file = run / "run.json";
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return name;
  std::string before;
  try {
    before = core::read_json_file(file).at("identity").at("dataset").at("name").as_string();
  } catch (const Error&) {
    return name;  // opening the run says what is wrong with it
  }
  const auto folder = [](const std::string& text) { return text.substr(0, text.rfind('#')); };
  if (before == name || name.find('#') == std::string::npos || before.find('#') == std::string::npos ||
      folder(before) != folder(name)) {
    return name;
  }
  core::log(log, core::LogLevel::warning,
            name + ": other tracks than when " + run.string() + " was begun; its records keep the name " + before);
  return before;
}

Value identity_value(const Plan& plan, const datasets::Dataset& dataset, const std::string& dataset_name) {
  Value stems = Value::array();
  for (const std::string& stem : dataset.stems()) stems.push_back(stem);
  Value data = Value::object();
  data["name"] = dataset_name;
  data["stems"] = std::move(stems);
  Value scoring = Value::object();
  scoring["metrics"] = canonical_metrics(plan.metrics, "metrics");
  scoring["silence"] = plan.silence;
  scoring["window_s"] = plan.window_s;
  scoring["hop_s"] = plan.hop_s;
  scoring["accompaniment"] = plan.accompaniment;
  Value out = Value::object();
  out["dataset"] = std::move(data);
  out["scoring"] = std::move(scoring);
  return out;
}

Value weights_value(const methods::SeparatorInfo& info) {
  if (info.weights_label.empty() && info.weights_sha256.empty()) return {};
  Value out = Value::object();
  out["label"] = info.weights_label;
  out["sha256"] = info.weights_sha256;
  // What reports say of the training, without the weights at hand.
  for (const auto& [from, to] : {std::pair{"dataset", "trained_on"}, std::pair{"beyond", "trained_beyond"}}) {
    const Value* value = info.provenance.is_object() ? info.provenance.find(from) : nullptr;
    if (value != nullptr && value->is_string()) out[to] = *value;
  }
  return out;
}

/// What a network costs whatever the machine; null where there is none.
Value network_value(const methods::SeparatorInfo& info) {
  if (info.parameters == 0) return {};
  Value out = Value::object();
  out["parameters"] = info.parameters;
  out["macs_per_second"] = info.macs_per_second;
  return out;
}

Value plan_value(const Plan& plan, const std::vector<datasets::Track>& tracks, const std::vector<Method>& methods) {
  Value track_list = Value::array(), method_list = Value::array(), seed_list = Value::array();
  for (const datasets::Track& track : tracks) {
    Value value = Value::object();
    value["subset"] = track.subset;
    value["name"] = track.name;
    value["samples"] = track.samples;
    value["rate_hz"] = track.rate_hz;
    track_list.push_back(std::move(value));
  }
  for (const Method& method : methods) {
    const methods::SeparatorInfo& info = method.separator->info();
    Value value = Value::object();
    value["spec"] = method.spec;
    value["random"] = info.is_random;
    value["oracle"] = info.is_oracle;
    value["floor"] = info.is_floor;
    value["protocol"] = info.protocol;
    value["weights"] = weights_value(info);
    value["options"] = info.resolved_options;
    method_list.push_back(std::move(value));
  }
  for (const std::uint64_t seed : plan.seeds) seed_list.push_back(seed);
  Value out = Value::object();
  out["subset"] = plan.split.empty() ? plan.subset : plan.split;
  out["tracks"] = std::move(track_list);
  out["methods"] = std::move(method_list);
  out["seeds"] = std::move(seed_list);
  return out;
}

std::string seconds_text(double seconds) { return core::format_real(std::round(100 * seconds) / 100) + " s"; }

double thread_cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// CPU time of one piece of work. The process's clock runs for all tracks at work, so it tells nothing beside others;
/// the thread's clock misses the threads that a method starts.
class CpuClock {
 public:
  CpuClock(int threads, int workers) : threads_(threads), workers_(workers), thread_start_(thread_cpu_s()) {}
  Value elapsed() const {
    if (threads_ == 1) return thread_cpu_s() - thread_start_;
    if (workers_ == 1) return process_.elapsed().cpu_s;
    return {};
  }

 private:
  int threads_, workers_;
  double thread_start_;
  core::Stopwatch process_;
};

/// A track in memory with its references, analysed once per set of targets.
struct LoadedTrack {
  /// `known` is the fingerprint, where it has been taken already.
  LoadedTrack(const datasets::Dataset& dataset, const datasets::Track& track, const std::string& known,
              eval::ScorerOptions options)
      : audio(dataset.load(track)),
        fingerprint(known.empty() ? dataset.sha256(track) : known),
        scorer(audio, std::move(options)) {}

  datasets::TrackAudio audio;
  std::string fingerprint;
  TrackScorer scorer;
};

/// Whatever was thrown, as an Error.
Error as_error(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {Code::resource, "", "out of memory"};
  } catch (const std::exception& error) {
    return {Code::internal, "", error.what()};
  } catch (...) {
    return {Code::internal, "", "unknown exception"};
  }
}

std::int64_t memory_bound(const Plan& plan) {
  if (plan.memory_gb > 0) return static_cast<std::int64_t>(plan.memory_gb * 1e9);
  return static_cast<std::int64_t>(0.7 * static_cast<double>(core::available_memory_bytes()));
}

/// How long the rest of a run takes: methods cost what they have cost so far, per second of audio; those that have not
/// finished anything yet, what the others cost on average.
class Forecast {
 public:
  void add(std::size_t method, double seconds) { waiting_[method] += seconds; }
  /// An item is done; returns how many seconds of work are left, for one worker. A failed one teaches nothing (0 s).
  double finished(std::size_t method, double seconds, double wall_s) {
    waiting_[method] = std::max(0.0, waiting_[method] - seconds);
    if (wall_s > 0) {
      spent_[method].first += seconds;
      spent_[method].second += wall_s;
    }
    double all_seconds = 0, all_wall = 0;
    for (const auto& [known, spent] : spent_) all_seconds += spent.first, all_wall += spent.second;
    double left = 0;
    for (const auto& [each, audio] : waiting_) {
      const auto known = spent_.find(each);
      const auto& [heard, took] = known != spent_.end() ? known->second : std::pair(all_seconds, all_wall);
      if (heard > 0) left += audio * took / heard;
    }
    return left;
  }

 private:
  std::map<std::size_t, double> waiting_;                   ///< seconds of audio
  std::map<std::size_t, std::pair<double, double>> spent_;  ///< seconds of audio, seconds that it took
};

class Runner {
 public:
  Runner(const Plan& plan, const methods::Registry& registry, const RunOptions& options)
      : plan_(plan),
        registry_(registry),
        options_(options),
        progress_(options.progress != nullptr ? *options.progress : core::null_progress()),
        methods_(make_methods(plan, registry, options.log, result_.refused)),
        dataset_(datasets::open(plan.dataset, plan.layout)),
        dataset_name_(recorded_name(plan.out, dataset_.name(), options.log)),
        host_(core::host_name()),
        processor_(core::processor_name()) {}

  RunResult run() {
    const std::vector<datasets::Track> tracks = dataset_.select(selection(plan_));
    check_names(tracks);
    leave_out_strangers(methods_, dataset_, tracks, options_.log, result_.refused);
    for (const std::string& note : dataset_.notes()) core::log(options_.log, core::LogLevel::info, note);
    records::RunStore store(plan_.out, options_.shard);
    store_ = &store;
    for (const std::string& warning : store.open_plan(identity_value(plan_, dataset_, dataset_name_),
                                                      plan_value(plan_, tracks, methods_), options_.command)) {
      core::log(options_.log, core::LogLevel::warning, warning);
    }
    collect(tracks);
    require_space();
    {
      core::ProgressTask task(progress_, "run", result_.items);
      if (result_.reused > 0) task.update(result_.reused, "finished earlier");
      work();
    }
    warn_of_condition();
    warn_of_training();
    store_ = nullptr;
    if (fatal_) std::rethrow_exception(fatal_);
    std::sort(result_.failures.begin(), result_.failures.end(), [](const ItemFailure& a, const ItemFailure& b) {
      return std::tie(a.subset, a.track, a.spec, a.seed) < std::tie(b.subset, b.track, b.spec, b.seed);
    });
    if (!result_.cancelled) result_.records = store.finish();
    return std::move(result_);
  }

 private:
  static void check_names(const std::vector<datasets::Track>& tracks) {
    std::set<std::pair<std::string, std::string>> seen;
    for (const datasets::Track& track : tracks) {
      if (!core::is_utf8(track.name)) {
        throw Error({Code::dataset, track.name, "the track's name cannot be recorded", "UTF-8 text", "other bytes",
                     "rename its file or folder"});
      }
      if (!seen.emplace(track.subset, track.name).second) {
        throw Error(Code::dataset, track.subset + "/" + track.name, "two tracks have this name");
      }
    }
  }

  /// Fills the list of work: this shard's tracks with what is missing on them.
  void collect(const std::vector<datasets::Track>& tracks) {
    std::vector<records::ShardTrack> weights;
    for (const datasets::Track& track : tracks) weights.push_back({track.subset, track.name, track.seconds()});
    const std::vector<int> shard = records::assign_shards(weights, options_.shard.count);
    std::vector<methods::SeparatorInfo> infos;
    for (const Method& method : methods_) infos.push_back(method.separator->info());
    const std::map<records::ItemKey, records::Origin> finished = store_->origins();
    const std::vector<std::string> prints =
        fingerprints(dataset_, tracks, dataset_name_, finished, core::resolve_threads(plan_.threads));
    std::map<records::Aspect, std::pair<std::int64_t, std::vector<std::string>>> redone;  ///< items, tracks or rows
    for (std::size_t t = 0; t < tracks.size(); ++t) {
      if (shard[t] != options_.shard.index) continue;
      Work work{tracks[t], estimate_track_bytes(tracks[t], infos, plan_), {}, {}, prints[t]};
      std::vector<std::vector<std::string>> targets;
      for (const Method& method : methods_) {
        targets.push_back(targets_on(method, dataset_, tracks[t]));
        work.partial.add(tracks[t].stems, targets.back());
      }
      for (std::size_t m = 0; m < methods_.size(); ++m) {
        const bool random = methods_[m].separator->info().is_random;
        const std::vector<std::uint64_t> seeds = random ? plan_.seeds : std::vector<std::uint64_t>{0};
        for (const std::uint64_t seed : seeds) {
          ++result_.items;
          Item item{m, {dataset_name_, tracks[t].subset, tracks[t].name, methods_[m].spec, seed}};
          const auto found = finished.find(item.key);
          const std::vector<records::Aspect> changed =
              found == finished.end() ? std::vector<records::Aspect>{}
                                      : records::differences(found->second, origin_of(infos[m], prints[t]));
          if (!changed.empty()) {
            auto& [count, names] = redone[changed.front()];
            const std::string name = changed.front() == records::Aspect::audio ? tracks[t].name : methods_[m].spec;
            ++count;
            if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
          }
          if (found != finished.end() && changed.empty() && has_estimates(targets[m], item) && has_pictures(item) &&
              has_problems(work.partial, tracks[t], targets[m], item)) {
            ++result_.reused;
          } else {
            require_bound(tracks[t], methods_[m]);
            work.items.push_back(std::move(item));
          }
        }
      }
      if (!work.items.empty()) pending_.push_back(std::move(work));
    }
    for (const auto& [aspect, items] : redone) {
      core::log(options_.log, core::LogLevel::warning,
                std::to_string(items.first) + (items.first == 1 ? " result is" : " results are") + " of other " +
                    std::string(records::aspect_name(aspect)) + " than now and made again: " + listed(items.second));
    }
    warn_of_stale_rows(tracks, prints, finished);
  }

  static std::string listed(const std::vector<std::string>& names) {
    constexpr std::size_t kMost = 5;
    if (names.size() <= kMost) return core::join(names, ", ");
    return core::join({names.begin(), names.begin() + kMost}, ", ") + " and " + std::to_string(names.size() - kMost) +
           " more";
  }

  /// Rows that this plan does not ask for cannot be made again here.
  void warn_of_stale_rows(const std::vector<datasets::Track>& tracks, const std::vector<std::string>& prints,
                          const std::map<records::ItemKey, records::Origin>& finished) const {
    std::map<std::pair<std::string, std::string>, std::string> now;
    for (std::size_t t = 0; t < tracks.size(); ++t) now[{tracks[t].subset, tracks[t].name}] = prints[t];
    std::set<std::string> asked, rows, names;
    for (const Method& method : methods_) asked.insert(method.spec);
    for (const auto& [item, origin] : finished) {
      const auto print = now.find({item.subset, item.track});
      if (item.dataset != dataset_name_ || asked.contains(item.spec) || print == now.end()) continue;
      if (print->second.empty() || origin.fingerprint.empty() || origin.fingerprint == print->second) continue;
      rows.insert(item.spec);
      names.insert(item.track);
    }
    if (rows.empty()) return;
    core::log(options_.log, core::LogLevel::warning,
              plan_.out.string() + " holds results of other audio of " + listed({names.begin(), names.end()}) +
                  " in rows that were not asked for now: " + listed({rows.begin(), rows.end()}) +
                  "; run them again, reports refuse to mix them");
  }

  /// What all methods hold together while the run lasts.
  std::int64_t fixed_bytes() const {
    std::int64_t sum = 0;
    for (const Method& method : methods_)
      sum += methods::memory_need(method.separator->info(), 0, 2, 44100).fixed_bytes;
    return sum;
  }

  /// A bound that was asked for is kept, or the run does not start.
  void require_bound(const datasets::Track& track, const Method& method) const {
    if (plan_.memory_gb <= 0) return;
    const std::int64_t need = estimate_track_bytes(track, {method.separator->info()}, plan_) + fixed_bytes();
    const std::int64_t bound = memory_bound(plan_);
    if (need <= bound) return;
    const auto gigabytes = [](std::int64_t bytes) {
      return core::format_real(std::round(static_cast<double>(bytes) * 1e-7) / 100) + " GB";
    };
    throw Error({Code::resource, track.subset + "/" + track.name,
                 "needs more memory than the run may take with " + method.spec, "at most " + gigabytes(bound),
                 "about " + gigabytes(need), "raise --memory-gb, or leave the method out"});
  }

  /// Estimates that are kept as float32 have to fit on the disk.
  void require_space() const {
    if (!plan_.save_estimates) return;
    double needed = 0;
    for (const Work& work : pending_) {
      const double signal = 4.0 * static_cast<double>(work.track.samples) * work.track.channels;
      for (const Item& item : work.items) {
        needed += signal * static_cast<double>(targets_on(methods_[item.method], dataset_, work.track).size());
      }
    }
    std::error_code error;
    const fs::space_info space = fs::space(plan_.out, error);
    if (error || needed <= static_cast<double>(space.available)) return;
    const auto size = [](double bytes) {
      return bytes < 1e9 ? core::format_real(std::round(bytes * 1e-5) / 10) + " MB"
                         : core::format_real(std::round(bytes * 1e-7) / 100) + " GB";
    };
    throw Error({Code::resource, plan_.out.string(), "no room for the estimates", size(needed) + " for what is missing",
                 size(static_cast<double>(space.available)) + " free",
                 "leave out --save-estimates, or give a folder on another disk"});
  }

  bool has_estimates(const std::vector<std::string>& targets, const Item& item) const {
    if (!plan_.save_estimates) return true;
    return std::all_of(targets.begin(), targets.end(), [&](const std::string& target) {
      std::error_code ignored;
      return fs::exists(
          records::estimate_path(plan_.out, item.key.spec, item.key.seed, item.key.subset, item.key.track, target),
          ignored);
    });
  }

  fs::path picture_folder(const Item& item) const {
    return records::picture_folder(plan_.out, item.key.spec, item.key.seed, item.key.subset, item.key.track);
  }

  bool has_pictures(const Item& item) const {
    std::error_code ignored;
    return !plan_.pictures || fs::exists(picture_folder(item) / "overview.png", ignored);
  }

  /// A method that came later may ask for problems that earlier rows have not been scored in.
  bool has_problems(const PartialProblems& partial, const datasets::Track& track,
                    const std::vector<std::string>& targets, const Item& item) const {
    const std::vector<std::string> done = store_->scenarios(item.key);
    for (const std::string& scenario : partial.scenarios(track.stems, targets)) {
      if (scenario == "vocals/accompaniment" && !plan_.accompaniment) continue;
      if (std::find(done.begin(), done.end(), scenario) == done.end()) return false;
    }
    return true;
  }

  void work() {
    if (pending_.empty()) return;
    const int total = core::resolve_threads(plan_.threads);
    const int jobs = plan_.jobs > 0 ? plan_.jobs : total;
    workers_ = static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(jobs), pending_.size()));
    threads_each_ = std::max(1, total / workers_);
    bound_ = memory_bound(plan_) - fixed_bytes();
    started_.assign(pending_.size(), false);
    for (const Work& work : pending_) {
      for (const Item& item : work.items) forecast_.add(item.method, work.track.seconds());
    }
    // Threads of our own instead of parallel_for: a worker may have to wait for memory that another one gives back.
    std::vector<std::thread> threads;
    try {
      for (int i = 1; i < workers_; ++i) threads.emplace_back([this] { worker(); });
    } catch (const std::system_error& error) {
      const std::lock_guard lock(mutex_);
      fatal_ = std::make_exception_ptr(Error({Code::resource, "", "cannot start threads: " + error.code().message(),
                                              std::to_string(workers_) + " tracks at once",
                                              std::to_string(threads.size() + 1), "ask for fewer with --jobs"}));
    }
    worker();
    for (std::thread& thread : threads) thread.join();
  }

  void worker() {
    const core::StopScope scope(options_.stop);
    std::unique_lock lock(mutex_);
    for (;;) {
      if (stopping()) return;
      const std::optional<std::size_t> next = next_work();
      if (!next) {
        if (std::all_of(started_.begin(), started_.end(), [](bool started) { return started; })) return;
        freed_.wait(lock);
        continue;
      }
      Work& work = pending_[*next];
      started_[*next] = true;
      bytes_at_work_ += work.bytes;
      ++at_work_;
      lock.unlock();
      std::exception_ptr fatal;
      try {
        process(work);
      } catch (...) {
        fatal = std::current_exception();
      }
      lock.lock();
      if (fatal && !fatal_) fatal_ = fatal;
      bytes_at_work_ -= work.bytes;
      --at_work_;
      freed_.notify_all();
    }
  }

  /// The first track that fits beside those at work; any when none is at work. Under the lock.
  std::optional<std::size_t> next_work() const {
    for (std::size_t i = 0; i < pending_.size(); ++i) {
      if (!started_[i] && (at_work_ == 0 || bytes_at_work_ + pending_[i].bytes <= bound_)) return i;
    }
    return std::nullopt;
  }

  bool stopping() {
    if (options_.stop.stop_requested()) result_.cancelled = true;
    return result_.cancelled || fatal_ != nullptr;
  }

  void process(Work& work) {
    std::optional<LoadedTrack> loaded;
    eval::ScorerOptions scoring = scorer_options(plan_);
    scoring.threads = threads_each_;
    scoring.stop = options_.stop;
    std::exception_ptr load_failure;
    bool said = false;
    try {
      loaded.emplace(dataset_, work.track, work.fingerprint, std::move(scoring));
    } catch (...) {
      load_failure = std::current_exception();
    }
    for (const Item& item : work.items) {
      {
        const std::lock_guard lock(mutex_);
        if (stopping()) return;
      }
      std::vector<records::Record> records;
      std::optional<Error> failure;
      const std::string started = core::utc_timestamp();
      const core::Stopwatch watch;
      const CpuClock cpu(threads_each_, workers_);
      try {
        if (load_failure) std::rethrow_exception(load_failure);
        records = separate_and_score(*loaded, work, item, started);
      } catch (const FatalError& fatal) {
        std::rethrow_exception(fatal.cause);
      } catch (...) {
        failure = as_error(std::current_exception());
        if (failure->code() == Code::cancelled && options_.stop.stop_requested()) return;
      }
      if (failure) {
        records::Record record = records::make_error_record(record_key(item, "", ""), *failure);
        add_method_facts(record.body, item);
        Value measured = Value::object();
        measured["wall_s"] = watch.elapsed().wall_s;
        measured["cpu_s"] = cpu.elapsed();
        add_measured(measured, started);
        record.body["measured"] = std::move(measured);
        records.assign(1, std::move(record));
      }
      store_->put(item.key, records);
      // A track that cannot be read is one fault, however many methods wait for it.
      finish_item(work.track, item, failure, load_failure && said, watch.elapsed().wall_s);
      said = true;
    }
  }

  void finish_item(const datasets::Track& track, const Item& item, const std::optional<Error>& failure, bool said,
                   double wall_s) {
    const std::string name = item.key.track + ": " + item.key.spec;
    std::int64_t steps = 0;
    double remaining_s = 0;
    {
      const std::lock_guard lock(mutex_);
      if (failure) {
        result_.failures.push_back(
            {item.key.subset, item.key.track, item.key.spec, item.key.seed, failure->code(), failure->what()});
      } else {
        ++result_.done;
      }
      steps = result_.reused + result_.done + static_cast<std::int64_t>(result_.failures.size());
      remaining_s = forecast_.finished(item.method, track.seconds(), failure ? 0.0 : wall_s) / workers_;
    }
    if (failure && !said) core::log(options_.log, core::LogLevel::error, name + ": " + failure->what());
    progress_.expect(remaining_s);
    progress_.update(steps, name);
  }

  records::RecordKey record_key(const Item& item, std::string scenario, std::string target) const {
    return {dataset_name_,       item.key.subset, item.key.track,   item.key.spec,
            std::move(scenario), item.key.seed,   std::move(target)};
  }

  void add_method_facts(Value& body, const Item& item) const {
    const methods::SeparatorInfo& info = methods_[item.method].separator->info();
    body["oracle"] = info.is_oracle;
    body["floor"] = info.is_floor;
    body["random"] = info.is_random;
    body["protocol"] = info.protocol;
    body["options"] = info.resolved_options;
    body["weights"] = weights_value(info);
    body["network"] = network_value(info);
    Value stems = Value::array();
    for (const std::string& stem : dataset_.stems()) stems.push_back(stem);
    body["dataset_stems"] = std::move(stems);
  }

  void add_measured(Value& measured, const std::string& started) const {
    measured["peak_rss_bytes"] = core::peak_rss_bytes();
    measured["threads"] = threads_each_;
    measured["jobs"] = workers_;
    measured["host"] = host_;
    measured["processor"] = processor_;
    // What engine=libtorch of the networks ran on, or would have.
    if (const auto& module = methods::network_module(); module.problem.empty()) measured["libtorch"] = module.libtorch;
    measured["started_utc"] = started;
    measured["command"] = options_.command;
  }

  /// A failure that is not the track's or the method's: a disk that is full ends the run.
  struct FatalError {
    std::exception_ptr cause;
  };

  std::vector<records::Record> separate_and_score(LoadedTrack& loaded, const Work& work, const Item& item,
                                                  const std::string& started) {
    const datasets::TrackAudio& audio = loaded.audio;
    const methods::Separator& separator = *methods_[item.method].separator;
    methods::Options options;
    options.seed = item.key.seed;
    options.threads = threads_each_;
    options.targets = dataset_.stems();
    options.stop = options_.stop;
    options.log = options_.log;
    core::Cost cost;
    options.cost = &cost;
    const CpuClock cpu(threads_each_, workers_);
    methods::StemSet stems;
    if (separator.info().needs_references) {
      std::vector<audio::AudioView> references(audio.stems.begin(), audio.stems.end());
      stems = separator.separate(audio.mixture, audio.names, references, options);
    } else {
      stems = separator.separate(audio.mixture, options);
    }
    const Value separation_cpu = cpu.elapsed();
    if (plan_.save_estimates) {
      try {
        save(stems, item);
      } catch (...) {
        throw FatalError{std::current_exception()};
      }
    }
    const TrainedOn trained = trained_on(separator.info().provenance, work.track, loaded.fingerprint);
    if (trained != TrainedOn::no) note_training(item, trained);
    const core::Stopwatch scoring;
    std::vector<std::string> unscored;
    const std::vector<audio::AudioView> views(stems.audio.begin(), stems.audio.end());
    const std::vector<eval::Scores> scores = loaded.scorer.score(stems.names, views, work.partial, unscored);
    const core::Cost scoring_cost = scoring.elapsed();
    if (std::any_of(scores.begin(), scores.end(),
                    [](const eval::Scores& problem) { return problem.ill_conditioned(); })) {
      const std::lock_guard lock(mutex_);
      ill_conditioned_.insert(item.key.track);
    }
    core::log(options_.log, core::LogLevel::debug,
              item.key.track + ": " + item.key.spec + ": separated in " + seconds_text(cost.wall_s) + ", scored in " +
                  seconds_text(scoring_cost.wall_s));

    if (plan_.pictures) {
      try {
        draw(loaded, stems, item);
      } catch (const Error& error) {
        if (error.code() != Code::io) throw;
        throw FatalError{std::current_exception()};
      }
    }

    std::vector<records::Record> records;
    for (const eval::Scores& problem : scores) {
      for (const eval::TargetScores& target : problem.targets) {
        records::Record record =
            records::make_record(record_key(item, problem.scenario, target.target), problem, target);
        Value& body = record.body;
        add_method_facts(body, item);
        Value list = Value::array();
        for (const std::string& name : unscored) list.push_back(name);
        body["unscored_targets"] = std::move(list);
        body["fingerprint"] = loaded.fingerprint;
        body["training_data"] = trained_on_name(trained);
        body["samples"] = audio.mixture.samples();
        body["rate_hz"] = audio.mixture.rate_hz();
        body["channels"] = audio.mixture.channels();
        body["erratum"] = work.track.erratum;
        Value measured = Value::object();
        measured["wall_s"] = cost.wall_s;
        measured["cpu_s"] = separation_cpu;
        measured["rtf"] = cost.wall_s / audio.mixture.seconds();
        measured["scoring_wall_s"] = scoring_cost.wall_s;
        add_measured(measured, started);
        body["measured"] = std::move(measured);
        records.push_back(std::move(record));
      }
    }
    return records;
  }

  void note_training(const Item& item, TrainedOn how) {
    const std::lock_guard lock(mutex_);
    trained_[{item.key.spec, how}].insert(item.key.track);
  }

  void warn_of_condition() const {
    if (ill_conditioned_.empty()) return;
    core::log(options_.log, core::LogLevel::warning,
              "ISR, SIR and SAR hang on the last bits of the references, whose spectrum is empty in places: " +
                  listed({ill_conditioned_.begin(), ill_conditioned_.end()}) +
                  ". References on the 16-bit grid settle them; --metrics all,stable gives variants that do not depend "
                  "on it");
  }

  void warn_of_training() const {
    for (const auto& [row, tracks] : trained_) {
      core::log(options_.log, core::LogLevel::warning,
                row.first + " was trained on " + std::to_string(tracks.size()) +
                    (tracks.size() == 1 ? " track" : " tracks") + " that it was run on" +
                    (row.second == TrainedOn::name ? ", by name and length" : "") + ": " +
                    listed({tracks.begin(), tracks.end()}) + "; reports leave the row out of rankings");
    }
  }

  /// Estimates beside the true stems (harness/pictures.h).
  void draw(LoadedTrack& loaded, const methods::StemSet& stems, const Item& item) const {
    const Method& method = methods_[item.method];
    const auto open = [](audio::AudioView view) -> OpenSource {
      return [view] { return std::make_unique<audio::ViewSource>(view); };
    };
    PictureRequest request;
    request.song = item.key.track;
    request.spec = method.made;
    request.mixture = open(loaded.audio.mixture);
    for (std::size_t i = 0; i < stems.names.size(); ++i) {
      request.stems.push_back({stems.names[i], open(stems.audio[i])});
      if (has_reference(stems.names[i], loaded.audio.names, {stems.names[i]})) {
        request.true_stems.push_back({stems.names[i], open(loaded.scorer.reference(stems.names[i]))});
      }
    }
    if (method.separator->info().needs_references) {
      for (std::size_t i = 0; i < loaded.audio.names.size(); ++i) {
        request.references.push_back({loaded.audio.names[i], open(loaded.audio.stems[i])});
      }
    }
    request.seed = item.key.seed;
    request.threads = threads_each_;
    request.stop = options_.stop;
    write_pictures(*method.separator, registry_, request, picture_folder(item));
  }

  void save(const methods::StemSet& stems, const Item& item) const {
    const records::ItemKey& key = item.key;
    const fs::path folder = records::estimate_path(plan_.out, key.spec, key.seed, key.subset, key.track, "");
    core::make_directories(folder);
    core::remove_dead_temporaries(folder);  // of a run that was killed
    for (std::size_t i = 0; i < stems.names.size(); ++i) {
      audio::write_file(records::estimate_path(plan_.out, key.spec, key.seed, key.subset, key.track, stems.names[i]),
                        stems.audio[i]);
    }
  }

  const Plan& plan_;
  const methods::Registry& registry_;
  const RunOptions& options_;
  core::Progress& progress_;
  RunResult result_;  ///< guarded by mutex_ while workers run
  std::vector<Method> methods_;
  datasets::Dataset dataset_;
  std::string dataset_name_, host_, processor_;
  records::RunStore* store_ = nullptr;

  std::vector<Work> pending_;
  int workers_ = 1, threads_each_ = 1;
  std::int64_t bound_ = 0;

  std::mutex mutex_;  ///< guards what follows
  std::condition_variable freed_;
  std::vector<bool> started_;
  std::int64_t bytes_at_work_ = 0;
  int at_work_ = 0;
  std::exception_ptr fatal_;
  std::map<std::pair<std::string, TrainedOn>, std::set<std::string>> trained_;  ///< row: tracks
  std::set<std::string> ill_conditioned_;                                       ///< tracks
  Forecast forecast_;
};

}  // namespace

RunResult run(const Plan& plan, const methods::Registry& registry, const RunOptions& options) {
  check_plan(plan);
  return Runner(plan, registry, options).run();
}

Preview preview(const Plan& plan, const methods::Registry& registry, const RunOptions& options) {
  check_plan(plan);
  std::vector<RefusedMethod> refused;
  std::vector<Method> methods = make_methods(plan, registry, options.log, refused);
  const datasets::Dataset dataset = datasets::open(plan.dataset, plan.layout);
  const std::vector<datasets::Track> tracks = dataset.select(selection(plan));
  leave_out_strangers(methods, dataset, tracks, options.log, refused);
  const std::map<records::ItemKey, records::Origin> finished = records::finished_items(plan.out);
  const std::string dataset_name = recorded_name(plan.out, dataset.name(), {});
  const std::vector<std::string> prints =
      fingerprints(dataset, tracks, dataset_name, finished, core::resolve_threads(plan.threads));
  std::vector<records::ShardTrack> weights;
  for (const datasets::Track& track : tracks) weights.push_back({track.subset, track.name, track.seconds()});
  const std::vector<int> shard = records::assign_shards(weights, options.shard.count);
  std::vector<methods::SeparatorInfo> infos;
  Preview out;
  out.dataset = dataset.name();
  for (const Method& method : methods) {
    infos.push_back(method.separator->info());
    out.rows.push_back({method.spec, 0, 0});
  }
  for (std::size_t t = 0; t < tracks.size(); ++t) {
    if (shard[t] != options.shard.index) continue;
    ++out.tracks;
    out.seconds += tracks[t].seconds();
    out.largest_track_bytes = std::max(out.largest_track_bytes, estimate_track_bytes(tracks[t], infos, plan));
    for (std::size_t m = 0; m < methods.size(); ++m) {
      for (const std::uint64_t seed : infos[m].is_random ? plan.seeds : std::vector<std::uint64_t>{0}) {
        ++out.rows[m].items;
        const auto found = finished.find({dataset_name, tracks[t].subset, tracks[t].name, methods[m].spec, seed});
        const bool same =
            found != finished.end() && records::differences(found->second, origin_of(infos[m], prints[t])).empty();
        out.rows[m].finished += same ? 1 : 0;
      }
    }
  }
  for (const Preview::Row& row : out.rows) {
    out.items += row.items;
    out.finished += row.finished;
  }
  out.bound_bytes = memory_bound(plan);
  const std::int64_t threads = core::resolve_threads(plan.threads), wanted = plan.jobs > 0 ? plan.jobs : threads;
  const std::int64_t fit = out.largest_track_bytes > 0 ? out.bound_bytes / out.largest_track_bytes : wanted;
  out.jobs = static_cast<int>(std::max<std::int64_t>(1, std::min({wanted, fit, out.tracks})));
  return out;
}

std::int64_t estimate_track_bytes(const datasets::Track& track, const std::vector<methods::SeparatorInfo>& methods,
                                  const Plan& plan) {
  const std::int64_t stems = std::max<std::int64_t>(1, static_cast<std::int64_t>(track.stems.size()));
  const std::int64_t values = track.samples * std::max(1, track.channels);  // of one signal
  // Mixture, references and the accompaniment; estimates, which exist twice for a moment while a method's blocks are
  // put together.
  const std::int64_t audio = 4 * values * (2 + stems) + 2 * 4 * values * (1 + stems);
  // The scorer works in blocks; what it keeps per reference is small beside the audio.
  // Ill-conditioned references take their factor in 106 bits (eval/extended.h).
  const std::int64_t inputs = stems * std::max(1, track.channels);
  const std::int64_t factor = inputs <= 16 ? 10 * inputs * inputs * 512 * 512 : 0;
  const std::int64_t scorer =
      !plan.metrics.starts_with("sdr") ? (std::int64_t{128} << 20) + 4 * values + factor : std::int64_t{64} << 20;
  std::int64_t hungriest = 0;
  for (const methods::SeparatorInfo& info : methods) {
    const methods::MemoryNeed need =
        methods::memory_need(info, track.samples, track.channels, track.rate_hz, static_cast<int>(stems));
    hungriest = std::max(hungriest, need.call_bytes);
  }
  return audio + scorer + hungriest;
}

std::string run_spec(std::string_view spec, const methods::Registry& registry) {
  core::Spec parsed = core::parse_spec(spec);
  if (auto part = run_part(parsed, registry)) parsed.method = std::move(part->part);
  return registry.canonical(core::to_string(parsed));
}

std::string recorded_spec(const methods::SeparatorInfo& info, const methods::Registry& registry) {
  return map_files(info.spec, registry, [&](bool method, const std::string& value) -> std::string {
    std::error_code ignored;
    const fs::path path(value);
    if (!fs::exists(path, ignored)) return path.filename().string();  // the method has named it by label itself
    if (method && !info.weights_label.empty()) return info.weights_label;
    if (!fs::is_regular_file(path, ignored)) return path.filename().string();
    return path.stem().string() + "#" + core::sha256_file(path).substr(0, 8);
  });
}

}  // namespace mss::harness
