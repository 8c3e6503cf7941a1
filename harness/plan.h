// What a run is: a data set, a selection of its tracks, methods, seeds, how to score. Made from command-line options or
// a PLAN.toml.
//
//   [run]
//   dataset = "../musdb18"            # folder (relative to this file), name (musdb18, musdb18hq) or synthetic[:…]
//   subset = "test"                   # test (default) | train | all
//   methods = ["mixture", "nmf", "irm2"]
//   out = "runs/first"                # relative to this file
//
// All keys with their defaults stand in plan_params(). Equal plans give equal records outside `measured`; threads,
// jobs, memory_gb, out, save_estimates, pictures and shards change no number.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/params.h"
#include "core/value.h"
#include "datasets/dataset.h"
#include "eval/scorer.h"

namespace mss::harness {

struct Plan {
  std::string dataset;  ///< as datasets::open takes it
  datasets::Layout layout = datasets::Layout::automatic;
  std::string subset = "test";       ///< "test", "train", "all"; with a split "train" or "valid" read as "train"
  std::string split;                 ///< "", "train", "valid"
  std::vector<std::string> tracks;   ///< names or patterns; empty = all
  std::int64_t limit = 0;            ///< first n tracks; 0 = all
  std::vector<std::string> methods;  ///< spec strings, in any writing
  std::filesystem::path folder;      ///< of the plan file: relative files in spec strings are looked for here first
  /// For methods whose result depends on a seed; the others run once, with seed 0.
  std::vector<std::uint64_t> seeds = {0};
  std::filesystem::path out;  ///< run folder
  bool save_estimates = false;
  bool pictures = false;

  // Scoring: these are part of what a number means, one run folder holds one setting.
  std::string metrics = "all";      ///< as canonical_metrics() gives it
  std::string silence = "museval";  ///< "museval" or "per_source"
  double window_s = 1.0, hop_s = 1.0;
  bool accompaniment = true;  ///< score the scenario "vocals/accompaniment" as well
  bool allow_long = false;    ///< also where scoring one track would take more than an hour; changes no number

  // Resources: change no number.
  int threads = 0;       ///< in all, over the tracks at work; 0 = all processors
  int jobs = 0;          ///< tracks at once at most; 0 = as many as threads (memory permitting)
  double memory_gb = 0;  ///< bound for all tracks at work; 0 = 70 % of what is available at the start
};

/// Groups of metrics, joined by commas, in one writing: "all" (SDR, ISR, SIR, SAR, SDR family) or "sdr" (frame SDR, SDR
/// family), then "stable", "nsdr" (for gnsdr, too) and "torchmetrics" where they are asked for. Throws Error(config)
/// naming `where`.
std::string canonical_metrics(const std::string& text, const std::string& where);

/// The keys of [run] with type, default, range and help: one table for TOML, command line help and docs.
const core::ParamTable& plan_params();

/// Reads `document` (the table [run]; other top-level keys are errors) over `base`. A relative `out`, and a relative
/// `dataset` that is a folder beside the plan or has a slash in it, are taken from `folder`; so are relative files in
/// spec strings (dict=…, weights=…) when the run makes its methods. Throws Error(config) naming `where`, the key and
/// the nearest known one.
Plan plan_from_value(const core::Value& document, std::string_view where, const std::filesystem::path& folder,
                     Plan base = {});
Plan read_plan(const std::filesystem::path& toml_file);
/// Every key of [run] with its value (object, table order).
core::Value to_value(const Plan& plan);
/// Throws Error(config): no data set, no methods, no out, bad ranges or names, the same seed twice.
void check_plan(const Plan& plan);

eval::ScorerOptions scorer_options(const Plan& plan);
datasets::Selection selection(const Plan& plan);

}  // namespace mss::harness
