#include "harness/plan.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/spec.h"
#include "core/text.h"
#include "core/toml.h"

namespace mss::harness {
namespace {

using core::ParamType;
using core::Value;
namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& where, const std::string& what, const std::string& expected,
                       const std::string& found, const std::string& hint = {}) {
  throw Error({Code::config, where, what, expected, found, hint});
}

void check_choice(const std::string& key, const std::string& value, const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  fail("run." + key, "bad value", "one of " + core::join(choices, ", "), "'" + value + "'",
       core::did_you_mean(value, choices));
}

/// A string, or a list of strings.
std::vector<std::string> strings(const Value& value, const std::string& where) {
  if (value.is_string()) return {value.as_string()};
  std::vector<std::string> out;
  for (const Value& element : value.as_array(where)) out.push_back(element.as_string(where));
  return out;
}

std::vector<std::uint64_t> seeds(const Value& value, const std::string& where) {
  std::vector<std::uint64_t> out;
  const auto add = [&](const Value& element) {
    const std::int64_t seed = element.as_integer(where);
    if (seed < 0) fail(where, "bad seed", "an integer from 0", std::to_string(seed));
    out.push_back(static_cast<std::uint64_t>(seed));
  };
  if (value.is_integer()) {
    add(value);
  } else {
    for (const Value& element : value.as_array(where)) add(element);
  }
  return out;
}

/// Relative folders lie beside the plan; what is no folder there may be a name or a built-in set.
std::string resolve_dataset(const std::string& text, const fs::path& folder) {
  if (text.empty() || text.starts_with("synthetic") || fs::path(text).is_absolute()) return text;
  const fs::path beside = folder / text;
  std::error_code ignored;
  if (fs::is_directory(beside, ignored) || text.find('/') != std::string::npos) {
    return beside.lexically_normal().string();
  }
  return text;
}

}  // namespace

std::string canonical_metrics(const std::string& text, const std::string& where) {
  static const std::vector<std::string> known = {"all", "sdr", "stable", "nsdr", "gnsdr", "torchmetrics"};
  std::vector<std::string> asked;
  for (const std::string& entry : core::split(text, ',')) {
    const std::string name = core::to_lower(std::string(core::trim(entry)));
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      fail(where, "bad value", "one or several of " + core::join(known, ", "), "'" + entry + "'",
           core::did_you_mean(name, known));
    }
    // GNSDR is the mean of NSDR over tracks: the same records.
    asked.push_back(name == "gnsdr" ? "nsdr" : name);
  }
  const auto has = [&](const char* name) { return std::find(asked.begin(), asked.end(), name) != asked.end(); };
  std::vector<std::string> out = {has("all") ? "all" : "sdr"};
  for (const char* name : {"stable", "nsdr", "torchmetrics"})
    if (has(name)) out.emplace_back(name);
  return core::join(out, ",");
}

const core::ParamTable& plan_params() {
  static const core::ParamTable table = {
      {"dataset", ParamType::text, "", "", "", "Folder, name (musdb18, musdb18hq) or synthetic[:songs=…].", ""},
      {"layout", ParamType::choice, "auto", "", "auto|stems|folders|mir1k|synthetic", "How the data set is stored.",
       ""},
      {"subset", ParamType::choice, "test", "", "test|train|all", "Which subset to run over.", ""},
      {"split", ParamType::choice, "", "", "train|valid", "Official part of the training subset.", ""},
      {"tracks", ParamType::text, "", "", "", "Names of tracks, or patterns with * and ? (a list); all when absent.",
       ""},
      {"limit", ParamType::integer, "0", "tracks", "[0,inf)", "First n tracks only; 0 = all.", ""},
      {"methods", ParamType::text, "", "", "", "Spec strings (a list).", ""},
      {"seeds", ParamType::text, "0", "", "", "Seeds of random methods (a list).", ""},
      {"out", ParamType::file, "", "", "", "Run folder.", ""},
      {"save_estimates", ParamType::boolean, "false", "", "", "Write the estimates as WAV files.", ""},
      {"pictures", ParamType::boolean, "false", "", "", "Draw estimates beside true stems as PNG files (RUN/pictures).",
       ""},
      {"metrics", ParamType::text, "all", "", "",
       "all: SDR, ISR, SIR, SAR and the SDR family; sdr: frame SDR and the SDR family. Beside them, joined by commas: "
       "stable (ISR, SIR, SAR that ill-conditioned references do not drive astray), nsdr and gnsdr (MIR-1K's), "
       "torchmetrics (its SDR).",
       ""},
      {"silence", ParamType::choice, "museval", "", "museval|per_source",
       "Which frames count when a source is silent in them.", "museval"},
      {"window_s", ParamType::real, "1", "s", "(0,inf)", "Length of a scoring frame.", "museval"},
      {"hop_s", ParamType::real, "1", "s", "(0,inf)", "Distance of scoring frames.", "museval"},
      {"accompaniment", ParamType::boolean, "true", "", "", "Score vocals against accompaniment as well.", "museval"},
      {"allow_long", ParamType::boolean, "false", "", "",
       "Score tracks also where that would take more than an hour each (many stems).", ""},
      {"threads", ParamType::integer, "0", "", "[0,4096]", "Threads in all; 0 = all processors.", ""},
      {"jobs", ParamType::integer, "0", "", "[0,4096]", "Tracks at once; 0 = as many as threads and memory allow.", ""},
      {"memory_gb", ParamType::real, "0", "GB", "[0,inf)",
       "Memory bound of all tracks at work; 0 = 70 % of what is available.", ""},
  };
  return table;
}

Plan plan_from_value(const Value& document, std::string_view where, const fs::path& folder, Plan plan) {
  core::reject_unknown_keys(document, {"run"}, where);
  const Value* run = document.find("run");
  if (run == nullptr) {
    throw Error({Code::config, std::string(where), "not a plan", "a table [run]", "none",
                 "[run] holds dataset, methods and out"});
  }
  if (!run->is_object()) fail(std::string(where) + ": run", "wrong type", "a table", std::string(run->type_name()));
  std::vector<std::string> known;
  for (const core::Param& param : plan_params()) known.push_back(param.name);
  core::reject_unknown_keys(*run, known, std::string(where) + ": run");
  for (const Value::Member& member : run->as_object()) {
    const auto& [key, value] = member;
    const std::string at = std::string(where) + ": run." + key;
    if (key == "dataset") {
      plan.dataset = resolve_dataset(value.as_string(at), folder);
    } else if (key == "layout") {
      plan.layout = datasets::parse_layout(value.as_string(at), at);
    } else if (key == "subset") {
      plan.subset = value.as_string(at);
    } else if (key == "split") {
      plan.split = value.as_string(at);
    } else if (key == "tracks") {
      plan.tracks = strings(value, at);
    } else if (key == "limit") {
      plan.limit = value.as_integer(at);
    } else if (key == "methods") {
      plan.methods.clear();
      for (const std::string& text : strings(value, at)) {
        for (std::string& spec : core::split_specs(text)) plan.methods.push_back(std::move(spec));
      }
      plan.folder = folder;
    } else if (key == "seeds") {
      plan.seeds = seeds(value, at);
    } else if (key == "out") {
      const std::string& out = value.as_string(at);
      plan.out = fs::path(out).is_absolute() || out.empty() ? fs::path(out) : (folder / out).lexically_normal();
    } else if (key == "save_estimates") {
      plan.save_estimates = value.as_bool(at);
    } else if (key == "pictures") {
      plan.pictures = value.as_bool(at);
    } else if (key == "metrics") {
      plan.metrics = canonical_metrics(core::join(strings(value, at), ","), at);
    } else if (key == "silence") {
      plan.silence = value.as_string(at);
    } else if (key == "window_s") {
      plan.window_s = value.as_real(at);
    } else if (key == "hop_s") {
      plan.hop_s = value.as_real(at);
    } else if (key == "accompaniment") {
      plan.accompaniment = value.as_bool(at);
    } else if (key == "allow_long") {
      plan.allow_long = value.as_bool(at);
    } else if (key == "threads") {
      plan.threads = static_cast<int>(std::clamp<std::int64_t>(value.as_integer(at), -1, 1 << 20));
    } else if (key == "jobs") {
      plan.jobs = static_cast<int>(std::clamp<std::int64_t>(value.as_integer(at), -1, 1 << 20));
    } else if (key == "memory_gb") {
      plan.memory_gb = value.as_real(at);
    } else {
      throw Error(Code::internal, at, "key of the table is not read");
    }
  }
  return plan;
}

Plan read_plan(const fs::path& toml_file) {
  std::error_code ignored;
  if (!fs::exists(toml_file, ignored)) throw Error(Code::io, toml_file.string(), "no such plan file");
  return plan_from_value(core::read_toml_file(toml_file), toml_file.string(), toml_file.parent_path());
}

Value to_value(const Plan& plan) {
  Value out = Value::object();
  out["dataset"] = plan.dataset;
  out["layout"] = std::string(datasets::layout_name(plan.layout));
  out["subset"] = plan.subset;
  out["split"] = plan.split;
  Value list = Value::array();
  for (const std::string& track : plan.tracks) list.push_back(track);
  out["tracks"] = list;
  out["limit"] = plan.limit;
  list = Value::array();
  for (const std::string& method : plan.methods) list.push_back(method);
  out["methods"] = list;
  list = Value::array();
  for (const std::uint64_t seed : plan.seeds) list.push_back(seed);
  out["seeds"] = list;
  out["out"] = plan.out.string();
  out["save_estimates"] = plan.save_estimates;
  out["pictures"] = plan.pictures;
  out["metrics"] = plan.metrics;
  out["silence"] = plan.silence;
  out["window_s"] = plan.window_s;
  out["hop_s"] = plan.hop_s;
  out["accompaniment"] = plan.accompaniment;
  out["allow_long"] = plan.allow_long;
  out["threads"] = plan.threads;
  out["jobs"] = plan.jobs;
  out["memory_gb"] = plan.memory_gb;
  return out;
}

void check_plan(const Plan& plan) {
  if (plan.dataset.empty()) {
    fail("run.dataset", "no data set given", "a folder, musdb18, musdb18hq or synthetic", "nothing");
  }
  if (plan.methods.empty()) fail("run.methods", "no methods given", "at least one spec string", "nothing");
  if (plan.out.empty()) fail("run.out", "no run folder given", "a folder for the results", "nothing");
  check_choice("subset", plan.subset, {"test", "train", "all"});
  check_choice("split", plan.split, {"", "train", "valid"});
  canonical_metrics(plan.metrics, "run.metrics");
  check_choice("silence", plan.silence, {"museval", "per_source"});
  const auto at_least_zero = [](const char* key, double value) {
    if (!(value >= 0) || std::isinf(value)) {
      fail(std::string("run.") + key, "out of range", "0 or more", std::to_string(value));
    }
  };
  at_least_zero("limit", static_cast<double>(plan.limit));
  at_least_zero("threads", plan.threads);
  at_least_zero("jobs", plan.jobs);
  at_least_zero("memory_gb", plan.memory_gb);
  if (!(plan.window_s > 0) || std::isinf(plan.window_s)) {
    fail("run.window_s", "out of range", "more than 0", std::to_string(plan.window_s));
  }
  if (!(plan.hop_s > 0) || std::isinf(plan.hop_s)) {
    fail("run.hop_s", "out of range", "more than 0", std::to_string(plan.hop_s));
  }
  if (plan.seeds.empty()) fail("run.seeds", "no seed given", "at least one", "an empty list");
  std::vector<std::uint64_t> sorted = plan.seeds;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) fail("run.seeds", "seed given twice", "distinct seeds", std::to_string(*twice));
}

eval::ScorerOptions scorer_options(const Plan& plan) {
  eval::ScorerOptions options;
  const std::vector<std::string> asked = core::split(canonical_metrics(plan.metrics, "metrics"), ',');
  const auto has = [&](const char* name) { return std::find(asked.begin(), asked.end(), name) != asked.end(); };
  options.metrics = has("all") ? eval::Metrics::all : eval::Metrics::sdr_only;
  options.stable = has("stable");
  options.sources_sdr = has("nsdr") || has("torchmetrics");
  options.window_s = plan.window_s;
  options.hop_s = plan.hop_s;
  options.silence = plan.silence == "per_source" ? eval::SilenceRule::per_source : eval::SilenceRule::museval;
  options.accompaniment = plan.accompaniment;
  if (plan.allow_long) options.most_seconds = std::numeric_limits<double>::infinity();
  return options;
}

datasets::Selection selection(const Plan& plan) {
  datasets::Selection out;
  out.split = plan.split;
  out.subset = !plan.split.empty() ? "train" : plan.subset == "all" ? "" : plan.subset;
  out.tracks = plan.tracks;
  out.limit = plan.limit;
  return out;
}

}  // namespace mss::harness
