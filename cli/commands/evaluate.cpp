// mssbench evaluate: scores of estimates that lie in files, whoever made them.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "audio/file.h"
#include "cli/alignment.h"
#include "cli/commands/commands.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "cli/pairing.h"
#include "cli/plan_settings.h"
#include "core/file.h"
#include "core/json.h"
#include "core/measure.h"
#include "core/parallel.h"
#include "core/text.h"
#include "eval/aggregate.h"
#include "eval/museval_json.h"
#include "eval/scorer.h"
#include "harness/runner.h"
#include "harness/scoring.h"
#include "records/record.h"
#include "records/store.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using audio::AudioBuffer;
using core::LogLevel;
using core::Value;

constexpr const char* kAccompaniment = "accompaniment";

struct Request {
  harness::Plan plan;  ///< how to score
  std::string row, estimates_name;
  fs::path out;
  bool framewise_filters = false, strict = false;
  bool pair_vocals = false;
  bool check_alignment = true;
  bool allow_mixed = false;  ///< into a folder whose records are of other audio or scoring
};

/// What came of one track.
struct Outcome {
  std::vector<eval::Scores> scores;
  std::vector<records::Record> records;
  std::vector<std::string> missing;  ///< references without an estimate
  std::optional<Error> error;
};

/// Estimates of one track, brought to the references' length.
struct Estimates {
  std::vector<std::string> names;
  std::vector<AudioBuffer> audio;
};

std::string with_track(const Pair& pair, const std::string& text) { return pair.track.name + ": " + text; }

Estimates load_estimates(const Pair& pair, const datasets::TrackAudio& references, const core::LogFn& log) {
  Estimates out;
  const AudioBuffer& reference = references.stems.front();
  std::vector<std::string> given;
  for (const datasets::StemFile& file : pair.estimates) given.push_back(file.name);
  for (const auto& [target, path] : pair.estimates) {
    if (!harness::has_reference(target, references.names, given)) {
      if (target != "mixture" && target != "linear_mixture") {
        core::log(log, LogLevel::warning, with_track(pair, path.filename().string() + " has no reference; not scored"));
      }
      continue;
    }
    AudioBuffer audio = audio::read_file(path);
    const auto refuse = [&, &file = path](const char* what, int expected, int found, const char* unit,
                                          const char* hint) {
      throw Error({Code::dataset, file.string(), what, fmt::format("{}{}", expected, unit),
                   fmt::format("{}{}", found, unit), hint});
    };
    if (audio.rate_hz() != reference.rate_hz()) {
      refuse("another sample rate than the references", reference.rate_hz(), audio.rate_hz(), " Hz",
             "resample the estimates to the rate of the references");
    }
    if (audio.channels() != reference.channels()) {
      refuse("another number of channels than the references", reference.channels(), audio.channels(), "", "");
    }
    const audio::SamplePosition bad = audio::find_non_finite(audio);
    if (bad.channel >= 0) {
      throw Error(
          {Code::numeric, path.string(), "a sample is not a number", "finite samples",
           fmt::format("{} at channel {}, sample {}", audio.channel(bad.channel)[static_cast<std::size_t>(bad.sample)],
                       bad.channel, bad.sample),
           ""});
    }
    if (audio.samples() != reference.samples()) {
      const bool shorter = audio.samples() < reference.samples();
      core::log(
          log, LogLevel::warning,
          with_track(pair, fmt::format("{} has {} samples, its reference {}: {} at the end", path.filename().string(),
                                       audio.samples(), reference.samples(), shorter ? "padded with zeros" : "cut")));
      audio.resize(reference.samples());
    }
    out.names.push_back(target);
    out.audio.push_back(std::move(audio));
  }
  if (out.names.empty()) {
    std::vector<std::string> found;
    for (const datasets::StemFile& file : pair.estimates) found.push_back(file.path.filename().string());
    throw Error({Code::dataset, pair.folder.string(), "no estimate has a reference", core::join(references.names, ", "),
                 core::join(found, ", "), ""});
  }
  return out;
}

/// Stems without a single sample that is not 0 have scores by definition only.
void warn_silence(const Pair& pair, const datasets::TrackAudio& references, const Estimates& estimates,
                  const core::LogFn& log) {
  const auto silent = [](const std::vector<std::string>& names, const std::vector<AudioBuffer>& audio) {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (audio::is_silent(audio[i])) out.push_back(names[i]);
    }
    return core::join(out, ", ");
  };
  if (const std::string names = silent(references.names, references.stems); !names.empty()) {
    core::log(log, LogLevel::warning, with_track(pair, "silent reference: " + names + "; without a score"));
  }
  if (const std::string names = silent(estimates.names, estimates.audio); !names.empty()) {
    core::log(log, LogLevel::warning,
              with_track(pair, "silent estimate: " + names + "; its scores are what the definitions say of silence"));
  }
}

void warn_alignment(const Pair& pair, const std::string& target, audio::AudioView reference,
                    const AudioBuffer& estimate, const core::LogFn& log) {
  const Alignment found = compare_alignment(reference, estimate);
  const auto warn = [&](const std::string& text) {
    core::log(log, LogLevel::warning, with_track(pair, target + ": the estimate " + text));
  };
  if (found.lag_samples != 0) {
    warn(fmt::format(
        "is {} samples ({:.1f} ms) {}; the part that its reference does not explain would fall by {:.1f} dB",
        std::abs(found.lag_samples), 1000.0 * static_cast<double>(std::abs(found.lag_samples)) / reference.rate_hz(),
        found.lag_samples > 0 ? "late" : "early", found.lag_benefit_db));
  }
  if (found.gain_db != 0) warn(fmt::format("has a constant gain of {:+.1f} dB", found.gain_db));
  if (found.inverted) warn("has inverted polarity");
}

Value stem_list(const std::vector<std::string>& names) {
  Value out = Value::array();
  for (const std::string& name : names) out.push_back(name);
  return out;
}

/// References whose spectrum is empty in places, so that the filters are at the mercy of the last bits.
void warn_condition(const Pair& pair, const std::vector<eval::Scores>& scores, const core::LogFn& log) {
  double worst = 0;
  for (const eval::Scores& problem : scores)
    if (problem.ill_conditioned()) worst = std::max(worst, problem.condition);
  if (worst == 0) return;
  core::log(log, LogLevel::warning,
            with_track(pair, fmt::format("ISR, SIR and SAR hang on the last bits of the references (condition {:.0e}: "
                                         "their spectrum is empty in places). References on the 16-bit grid settle "
                                         "them; --metrics all,stable gives variants that do not depend on it",
                                         worst)));
}

/// What a record says of its row: nothing is known of the method.
void add_row_facts(Value& body, const Pairing& pairing) {
  body["oracle"] = false;
  body["floor"] = false;
  body["random"] = false;
  body["protocol"] = "";
  body["options"] = Value::object();
  body["weights"] = Value();
  body["dataset_stems"] = stem_list(pairing.stems);
}

eval::ScorerOptions scoring_options(const Request& request, const Invocation& invocation, int threads) {
  eval::ScorerOptions options = harness::scorer_options(request.plan);
  options.framewise_filters = request.framewise_filters;
  options.strict = request.strict;
  options.threads = threads;
  options.stop = invocation.stop;
  options.cache_bytes = 0;  // one estimate: nothing to keep spectra for
  return options;
}

/// References that no estimate was scored against, where the estimates are some of the stems only.
std::vector<std::string> missing(const std::vector<std::string>& references, const std::vector<eval::Scores>& scores) {
  for (const eval::Scores& problem : scores) {
    if (problem.scenario == "stems" || problem.scenario == "vocals/accompaniment") return {};
  }
  std::vector<std::string> out = references;
  for (const eval::Scores& problem : scores) {
    for (const eval::TargetScores& target : problem.targets) std::erase(out, target.target);
  }
  return out;
}

Outcome evaluate_pair(const Invocation& invocation, const Request& request, const Pairing& pairing, const Pair& pair,
                      int threads, int jobs) {
  Outcome out;
  const std::string started = core::utc_timestamp();
  const core::Stopwatch watch;
  records::RecordKey key{pairing.dataset, pair.track.subset, pair.track.name, request.row, "", 0, ""};
  const auto measured = [&] {
    Value value = Value::object();
    value["wall_s"] = Value();  // of the separation, which happened elsewhere
    value["cpu_s"] = Value();
    value["rtf"] = Value();
    value["scoring_wall_s"] = watch.elapsed().wall_s;
    value["peak_rss_bytes"] = core::peak_rss_bytes();
    value["threads"] = threads;
    value["jobs"] = jobs;
    value["host"] = core::host_name();
    value["processor"] = core::processor_name();
    value["started_utc"] = started;
    value["command"] = invocation.command_line;
    return value;
  };
  try {
    const core::LogFn log = invocation.console->log();
    const datasets::TrackAudio references = load_references(pairing, pair);
    const Estimates estimates = load_estimates(pair, references, log);
    invocation.stop.check();
    warn_silence(pair, references, estimates, log);
    harness::TrackScorer scorer(references, scoring_options(request, invocation, threads));
    if (request.check_alignment) {
      for (std::size_t i = 0; i < estimates.names.size(); ++i) {
        const std::string& name = estimates.names[i];
        if (!harness::has_reference(name, references.names, {name})) continue;  // one term of a sum
        warn_alignment(pair, name, scorer.reference(name), estimates.audio[i], log);
      }
    }
    const std::vector<audio::AudioView> views(estimates.audio.begin(), estimates.audio.end());
    std::vector<std::string> unscored;
    out.scores = scorer.score(estimates.names, views, {}, unscored);
    out.missing = missing(references.names, out.scores);
    warn_condition(pair, out.scores, log);
    const std::string fingerprint = references_sha256(pairing, pair);
    const AudioBuffer& reference = references.stems.front();
    for (const eval::Scores& problem : out.scores) {
      for (const eval::TargetScores& target : problem.targets) {
        key.scenario = problem.scenario;
        key.target = target.target;
        records::Record record = records::make_record(key, problem, target);
        add_row_facts(record.body, pairing);
        record.body["unscored_targets"] = Value::array();
        record.body["fingerprint"] = fingerprint;
        record.body["training_data"] = "";  // nothing is known of the method
        record.body["samples"] = reference.samples();
        record.body["rate_hz"] = reference.rate_hz();
        record.body["channels"] = reference.channels();
        record.body["erratum"] = pair.track.erratum;
        record.body["measured"] = measured();
        out.records.push_back(std::move(record));
      }
    }
  } catch (const Error& error) {
    if (error.code() == Code::cancelled) throw;
    out.error = placed(error, pair.track.name);
    out.scores.clear();
    key.scenario.clear();
    key.target.clear();
    records::Record record = records::make_error_record(key, *out.error);
    add_row_facts(record.body, pairing);
    record.body["measured"] = measured();
    out.records.assign(1, std::move(record));
  }
  return out;
}

/// museval's view of the scores, in the order in which it evaluates: vocals first, accompaniment last.
eval::MusevalTrack museval_view(const std::vector<eval::Scores>& scores, bool pair_vocals) {
  eval::MusevalTrack track = eval::museval_track(scores, {.vocals_from_accompaniment_problem = pair_vocals});
  const std::vector<std::string> order = {"vocals", "drums", "bass", "other"};
  const auto rank = [&](const eval::MusevalTarget& target) {
    const auto at = std::find(order.begin(), order.end(), target.name);
    return at != order.end() ? at - order.begin() : target.name == kAccompaniment ? 6 : 5;
  };
  std::stable_sort(track.targets.begin(), track.targets.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return track;
}

/// One track for --json: scenario, target, metric, value.
Value score_value(const Pair& pair, const Outcome& outcome) {
  Value out = Value::object();
  out["subset"] = pair.track.subset;
  out["track"] = pair.track.name;
  if (outcome.error) {
    out["error"] = std::string(outcome.error->what());
    return out;
  }
  out["scores"] = Value::object();
  for (const records::Record& record : outcome.records) {
    out["scores"][record.key.scenario][record.key.target] = record.body.at("scores");
  }
  return out;
}

fs::path json_path(const Request& request, const Pairing& pairing, const Pair& pair, const fs::path& root) {
  if (pairing.plain) {
    // A run folder keeps its description under this name.
    const bool taken = request.estimates_name == "run";
    return root / (records::path_component(request.estimates_name) + (taken ? ".museval.json" : ".json"));
  }
  return root / pair.track.subset / (records::path_component(pair.track.name) + ".json");
}

/// Where museval's files go: into the folder itself, beside those of another row into a folder of the row's name, which
/// `report` reads as one of several.
fs::path json_root(const Request& request, const Pairing& pairing, const records::RunStore& store) {
  const std::map<records::ItemKey, records::Origin> there = store.origins();
  const bool others =
      std::any_of(there.begin(), there.end(), [&](const auto& entry) { return entry.first.spec != request.row; });
  std::error_code ignored;
  const bool taken = std::any_of(pairing.pairs.begin(), pairing.pairs.end(), [&](const Pair& pair) {
    return fs::exists(json_path(request, pairing, pair, request.out), ignored);
  });
  return others && taken ? request.out / records::path_component(request.row) : request.out;
}

/// Tracks at once: as many as threads, as long as their memory is there.
int jobs_for(const Pairing& pairing, const harness::Plan& plan, int threads) {
  std::int64_t hungriest = 1;
  for (const Pair& pair : pairing.pairs)
    hungriest = std::max(hungriest, harness::estimate_track_bytes(pair.track, {}, plan));
  const auto bound = plan.memory_gb > 0
                         ? static_cast<std::int64_t>(plan.memory_gb * 1e9)
                         : static_cast<std::int64_t>(0.7 * static_cast<double>(core::available_memory_bytes()));
  const auto fitting = std::max<std::int64_t>(1, bound / hungriest);
  return static_cast<int>(
      std::min({fitting, static_cast<std::int64_t>(threads), static_cast<std::int64_t>(pairing.pairs.size())}));
}

Request make_request(const Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  Request request;
  request.plan.metrics = harness::canonical_metrics(
      settings.text("metrics"), settings.is_set("metrics") ? settings.at("metrics").place : std::string("--metrics"));
  request.plan.silence = settings.text("silence");
  request.plan.window_s = settings.real("window_s");
  request.plan.hop_s = settings.real("hop_s");
  request.plan.accompaniment = settings.flag("accompaniment");
  request.plan.memory_gb = settings.real("memory_gb");
  request.plan.allow_long = settings.flag("allow_long");
  request.framewise_filters = settings.text("mode") == "v3";
  request.strict = settings.flag("strict");
  request.pair_vocals = settings.flag("museval_vocals");
  request.check_alignment = settings.flag("alignment");
  request.allow_mixed = settings.flag("allow_mixed");
  request.out = settings.text("out");
  std::error_code ignored;
  const fs::path estimates = fs::weakly_canonical(invocation.arguments[1], ignored);
  request.estimates_name = estimates.filename().empty() ? "estimates" : estimates.filename().string();
  request.row = settings.is_set("name") ? settings.text("name") : request.estimates_name;
  if (core::trim(request.row).empty()) {
    throw Error({Code::config, settings.is_set("name") ? settings.at("name").place : std::string("--name"),
                 "a row needs a name", "some text", "'" + request.row + "'", ""});
  }
  return request;
}

/// What most tracks lack (nothing, as a rule): the medians are over these tracks.
std::vector<std::string> most_frequent_missing(const std::vector<Outcome>& outcomes) {
  std::map<std::vector<std::string>, int> counts;
  for (const Outcome& outcome : outcomes) {
    if (!outcome.error) ++counts[outcome.missing];
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? std::vector<std::string>{} : most->first;
}

std::string left_out_text(const std::vector<std::string>& missing, const std::vector<std::string>& usual) {
  const auto text = [](const std::vector<std::string>& names) {
    return names.empty() ? std::string("all estimates") : "no estimate of " + core::join(names, ", ");
  };
  return text(missing) + ", where most tracks have " + text(usual) +
         "; scored as a problem of its own, not in the medians";
}

/// How these scores are made, as records say it (records::Origin).
Value scoring_value(const Request& request) {
  Value out = Value::object();
  out["window_s"] = request.plan.window_s;
  out["hop_s"] = request.plan.hop_s;
  out["silence"] = request.plan.silence;
  out["filters"] = request.framewise_filters ? "v3" : "v4";
  return out;
}

/// Tracks of which the folder holds records that must not stand beside these; found before anything is scored.
void require_same_origin(const Request& request, const Pairing& pairing, const records::RunStore& store, int threads) {
  std::map<std::string, std::vector<std::pair<std::string, records::Origin>>> known;  ///< "subset/track": row, origin
  for (const auto& [item, origin] : store.origins())
    if (item.dataset == pairing.dataset) known[item.subset + "/" + item.track].emplace_back(item.spec, origin);
  std::vector<std::string> found(pairing.pairs.size());
  core::parallel_for(static_cast<std::int64_t>(pairing.pairs.size()), threads, [&](std::int64_t i) {
    const Pair& pair = pairing.pairs[static_cast<std::size_t>(i)];
    const std::string track = pair.track.subset + "/" + pair.track.name;
    const auto rows = known.find(track);
    if (rows == known.end()) return;
    const records::Origin now{references_sha256(pairing, pair), "", {}, scoring_value(request)};
    for (const auto& [row, origin] : rows->second) {
      const std::vector<records::Aspect> differ = records::differences(origin, now);
      if (differ.empty()) continue;
      found[static_cast<std::size_t>(i)] =
          track + " (other " + std::string(records::aspect_name(differ.front())) + " in " + row + ")";
      return;
    }
  });
  std::erase(found, "");
  if (found.empty()) return;
  const std::string more = found.size() > 8 ? fmt::format(" and {} more", found.size() - 8) : "";
  if (found.size() > 8) found.resize(8);
  throw Error({Code::dataset, request.out.string(), "holds records of other audio or another scoring",
               "the references of its records", core::join(found, ", ") + more,
               "use another folder; --allow-mixed adds the row all the same"});
}

/// Leaves the tracks of one subset ("all" leaves all).
void keep_subset(Pairing& pairing, const std::string& subset) {
  if (subset == "all") return;
  std::set<std::string> known;
  for (const Pair& pair : pairing.pairs) known.insert(pair.track.subset);
  std::erase_if(pairing.pairs, [&](const Pair& pair) { return pair.track.subset != subset; });
  std::erase_if(pairing.without_estimates, [&](const std::string& track) { return !track.starts_with(subset + "/"); });
  if (!pairing.pairs.empty()) return;
  throw Error({Code::dataset, pairing.dataset, "no track of the subset '" + subset + "' has estimates",
               "tracks of " + subset, "tracks of " + core::join({known.begin(), known.end()}, " and "), ""});
}

int run_evaluate(Invocation& invocation) {
  const Request request = make_request(invocation);
  Console& console = *invocation.console;
  Pairing pairing = pair_up(invocation.arguments[0], invocation.arguments[1]);
  keep_subset(pairing, invocation.settings->text("subset"));
  for (const std::string& note : pairing.notes) console.message(LogLevel::info, note);
  for (const std::string& folder : pairing.without_references) {
    console.message(LogLevel::warning, folder + ": no track of the references is named like this; not scored");
  }
  if (!pairing.without_estimates.empty()) {
    console.message(
        LogLevel::warning,
        fmt::format("{} of {} tracks have no estimates (the first is '{}')", pairing.without_estimates.size(),
                    pairing.without_estimates.size() + pairing.pairs.size(), pairing.without_estimates.front()));
  }

  const int threads = core::resolve_threads(invocation.threads());
  const int jobs = jobs_for(pairing, request.plan, threads);
  std::optional<records::RunStore> store;
  if (!request.out.empty()) {
    try {
      store.emplace(request.out, records::Shard{});
    } catch (const Error& error) {
      if (concerns_output(error, request.out)) throw Failure(kFailed, error);
      throw;
    }
    if (!request.allow_mixed) require_same_origin(request, pairing, *store, threads);
  }
  std::vector<Outcome> outcomes(pairing.pairs.size());
  std::atomic<std::int64_t> done{0};
  core::Progress& progress = console.progress();
  progress.begin("evaluate", static_cast<std::int64_t>(pairing.pairs.size()));
  core::parallel_for(static_cast<std::int64_t>(pairing.pairs.size()), jobs, [&](std::int64_t i) {
    const Pair& pair = pairing.pairs[static_cast<std::size_t>(i)];
    Outcome& outcome = outcomes[static_cast<std::size_t>(i)];
    outcome = evaluate_pair(invocation, request, pairing, pair, std::max(1, threads / jobs), jobs);
    // A row that has other scores already is not worth going on.
    if (store && !outcome.records.empty()) store->check(records::item_of(outcome.records.front()), outcome.records);
    progress.update(++done, pair.track.name);
  });
  progress.end();

  if (store) {
    writing([&] {
      const fs::path root = json_root(request, pairing, *store);
      for (std::size_t i = 0; i < outcomes.size(); ++i) {
        if (!outcomes[i].records.empty())
          store->add(records::item_of(outcomes[i].records.front()), outcomes[i].records);
        if (outcomes[i].error) continue;
        const fs::path path = json_path(request, pairing, pairing.pairs[i], root);
        core::make_directories(path.parent_path());
        eval::write_museval_json(path, museval_view(outcomes[i].scores, request.pair_vocals));
      }
      store->finish();
    });
  }
  std::vector<eval::MusevalTrack> scored;
  Value list = Value::array();
  int first_status = kOk;
  const std::vector<std::string> usual_missing = most_frequent_missing(outcomes);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    list.push_back(score_value(pairing.pairs[i], outcomes[i]));
    if (!outcomes[i].error) {
      // Medians are over one problem: a track that lacks an estimate is another one than its neighbours.
      if (outcomes[i].missing == usual_missing) {
        scored.push_back(museval_view(outcomes[i].scores, request.pair_vocals));
      } else {
        console.message(LogLevel::warning,
                        with_track(pairing.pairs[i], left_out_text(outcomes[i].missing, usual_missing)));
      }
      continue;
    }
    console.error(*outcomes[i].error);
    if (first_status == kOk) first_status = input_status(outcomes[i].error->code());
  }
  if (invocation.json()) {
    console.result(core::dump_json(list, 2) + "\n");
  } else if (!scored.empty()) {
    // museval's lines, but a perfect frame is a value and not a missing one.
    constexpr auto kMedian = eval::Average::median;
    const bool sdr_only = scoring_options(request, invocation, 1).metrics == eval::Metrics::sdr_only;
    if (scored.size() > 1)
      console.message(LogLevel::info, "as museval prints it, its spelling of 'Aggrated' included:");
    console.result(
        scored.size() == 1
            ? eval::museval_table(eval::aggregate_track(scored.front(), kMedian, eval::Infinities::values), sdr_only)
            : eval::museval_heading() +
                  eval::museval_table(eval::aggregate_tracks(scored, kMedian, kMedian, eval::Infinities::values),
                                      sdr_only));
    if (!request.out.empty()) console.result("records: " + (request.out / "records.jsonl").string() + "\n");
  }
  if (first_status == kOk) return kOk;
  return scored.empty() ? first_status : kPartial;
}

}  // namespace

Command evaluate_command() {
  return {
      .name = "evaluate",
      .summary = "score estimates that lie in files",
      .description =
          "Scores separated stems, whoever made them, against the true ones: BSS Eval v4 (SDR, ISR, SIR, SAR) and the "
          "SDR family. Prints museval's lines, in museval's spelling ('Aggrated'); with -o writes museval's JSON, "
          "<DIR>/<subset>/<track>.json, and all "
          "scores with full digits as records.jsonl, so that `report DIR` puts the row into a table. Records that DIR "
          "holds "
          "already stay, as in a run's folder; a row that has other scores already is refused (status 3).\n\n"
          "Trees: REFERENCES is a data set or a tree of stems, ESTIMATES holds folders named like its tracks, at any "
          "depth (TRACK/, test/TRACK/, MODEL/TRACK/). Two plain folders with one file per target are one track; the "
          "JSON "
          "is then named after the folder of estimates (run.museval.json for one called run), and REFERENCES may be a "
          "stem.mp4. Names and formats of other "
          "programs are understood (Vocals.WAV, Song_vocals.flac, no_vocals.mp3, ...); what was taken for what is "
          "said.\n\n"
          "Another sample rate is an error. Another length is padded or cut at the end, as museval does, with a "
          "warning; so is a constant lag or gain of an estimate reported, which museval keeps quiet about. A track "
          "that "
          "fails does not stop the others.",
      .arguments = {{.name = "REFERENCES",
                     .help = "Data set with the true stems, or a folder with one file per target.",
                     .least = 1,
                     .most = 1,
                     .complete = Complete::dataset},
                    {.name = "ESTIMATES",
                     .help = "Tree or folder of separated stems.",
                     .least = 1,
                     .most = 1,
                     .complete = Complete::directory}},
      .options =
          {{.param = {.name = "out", .type = core::ParamType::file, .help = "Folder for JSON files and records."},
            .letter = 'o',
            .placeholder = "DIR",
            .complete = Complete::directory},
           {.param = {.name = "name",
                      .help = "Name of the row in records and tables; without it the name of the folder of "
                              "estimates."},
            .placeholder = "ROW"},
           {.param = {.name = "subset",
                      .type = core::ParamType::choice,
                      .default_value = "all",
                      .range = "test|train|all",
                      .help = "Which subset of the references to score; all: whatever has estimates."},
            .placeholder = "NAME",
            .complete = Complete::choice},
           {.param = plan_param("metrics"), .placeholder = "NAMES"},
           {.param = {.name = "mode",
                      .type = core::ParamType::choice,
                      .default_value = "v4",
                      .range = "v4|v3",
                      .help = "BSS Eval v4: distortion filters of the whole track; v3: filters of every frame."},
            .placeholder = "NAME",
            .complete = Complete::choice},
           {.param = plan_param("silence"), .placeholder = "NAME", .complete = Complete::choice},
           {.param = plan_param("window_s"), .flag = "window", .placeholder = "SECONDS"},
           {.param = plan_param("hop_s"), .flag = "hop", .placeholder = "SECONDS"},
           {.param = plan_param("accompaniment")},
           {.param = plan_param("allow_long")},
           {.param = {.name = "strict",
                      .type = core::ParamType::boolean,
                      .default_value = "false",
                      .help = "Fail, as museval does, for a reference or estimate that is silent all along."}},
           {.param = {.name = "museval_vocals",
                      .type = core::ParamType::boolean,
                      .default_value = "false",
                      .help = "In JSON and lines take the vocals' scores from the problem of vocals and "
                              "accompaniment, as museval does when an accompaniment is supplied."}},
           {.param = {.name = "alignment",
                      .type = core::ParamType::boolean,
                      .default_value = "true",
                      .help = "Look for a constant lag, gain or inverted polarity of the estimates."}},
           {.param = {.name = "allow_mixed",
                      .type = core::ParamType::boolean,
                      .default_value = "false",
                      .help = "With -o: add the row also where the folder's records are of other audio or another "
                              "scoring under the same names; reports flag the rows."}},
           {.param = plan_param("memory_gb"), .placeholder = "GB"}},
      .examples = {{"mssbench evaluate musdb18hq estimates/umx -o scores/umx --name umx",
                    "a tree, as museval's command"},
                   {"mssbench evaluate true_stems separated", "one song in two folders, on the terminal only"},
                   {"mssbench report scores/umx runs/first -o report", "estimates made elsewhere beside a run"}},
      .run = run_evaluate};
}

}  // namespace mss::cli
