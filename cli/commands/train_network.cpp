#include "cli/commands/train_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "cli/failure.h"
#include "core/json.h"
#include "core/text.h"
#include "eval/scores.h"
#include "harness/builtin_methods.h"
#include "harness/scoring.h"
#include "training/run.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using core::Value;

/// The scores that validation reports, by the scorer of `run`.
std::vector<training::TargetScore> score_track(const datasets::TrackAudio& track, const methods::StemSet& stems,
                                               int threads, const core::StopToken& stop) {
  eval::ScorerOptions options;
  options.metrics = eval::Metrics::sdr_only;
  options.threads = threads;
  options.stop = stop;
  harness::TrackScorer scorer(track, options);
  std::vector<audio::AudioView> audio;
  for (const audio::AudioBuffer& stem : stems.audio) audio.push_back(stem.view());
  harness::PartialProblems partial;
  partial.add(track.names, stems.names);
  std::vector<std::string> unscored;
  std::vector<training::TargetScore> out;
  for (const eval::Scores& scores : scorer.score(stems.names, audio, partial, unscored)) {
    for (const eval::TargetScores& target : scores.targets) {
      const bool known = std::ranges::any_of(out, [&](const auto& o) { return o.target == target.target; });
      if (known) continue;
      training::TargetScore score{target.target, std::nan(""), std::nan("")};
      for (const eval::TrackValue& value : target.track) {
        if (value.metric == "uSDR") score.usdr = value.value;
      }
      for (const eval::FrameSeries& series : target.frames) {
        if (series.metric == "SDR") score.csdr = eval::nan_median(series.values);
      }
      out.push_back(score);
    }
  }
  return out;
}

/// A recipe's name, its file, or the folder of a run.
std::string recipe_place(const std::string& argument) {
  std::error_code ignored;
  const fs::path inside = fs::path(argument) / "recipe.toml";
  return fs::is_directory(argument, ignored) && fs::exists(inside, ignored) ? inside.string() : argument;
}

training::TrainingRequest make_request(Invocation& invocation, const methods::Registry& registry) {
  const Settings& settings = *invocation.settings;
  training::TrainingRequest out;
  const std::string& what = invocation.arguments.at(0);
  out.recipe = training::read_recipe(recipe_place(what), settings.list("recipe"));
  if (settings.is_set("dataset")) out.recipe.set("data.dataset", settings.text("dataset"));
  if (settings.at("layout").origin != Origin::builtin) out.recipe.set("data.layout", settings.text("layout"));
  if (settings.at("seed").origin != Origin::builtin) out.recipe.set("seed", settings.text("seed"));
  training::check_recipe(out.recipe.recipe, what);
  out.out = settings.is_set("out") ? fs::path(settings.text("out")) : fs::path("runs") / out.recipe.recipe.name;
  std::error_code ignored;
  if (!settings.is_set("out") && settings.flag("resume") && fs::is_directory(what, ignored)) out.out = what;
  out.device = nn::parse_device(settings.text("device"));
  out.threads = invocation.threads();
  out.max_steps = settings.integer("max_steps");
  out.resume = settings.flag("resume");
  out.allow_training_tracks = settings.flag("allow_training_tracks");
  out.command = invocation.command_line;
  out.registry = &registry;
  out.score = [threads = out.threads, stop = invocation.stop](const datasets::TrackAudio& track,
                                                              const methods::StemSet& stems) {
    return score_track(track, stems, threads, stop);
  };
  out.stop = invocation.stop;
  out.progress = &invocation.console->progress();
  out.log = invocation.console->log();
  return out;
}

std::string mebibytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
}

std::string number_or(std::int64_t number, const char* otherwise) {
  return number < 0 ? std::string(otherwise) : fmt::format("{}", number);
}

int dry_run(Invocation& invocation, const training::TrainingRequest& request) {
  const training::TrainingPreview found = training::preview(request);
  if (invocation.json()) {
    Value out = Value::object();
    out["recipe"] = training::to_value(request.recipe.recipe);
    Value origin = Value::object();
    for (const auto& [key, from] : request.recipe.origin) origin[key] = training::origin_name(from);
    out["origin"] = std::move(origin);
    out["network"] = found.network;
    out["parameters"] = found.parameters;
    out["state_bytes"] = found.state_bytes;
    out["batch_bytes"] = found.batch_bytes;
    out["step_bytes_estimate"] = found.step_bytes < 0 ? Value() : Value(found.step_bytes);
    out["training_tracks"] = found.training_tracks;
    out["validation_tracks"] = found.validation_tracks;
    out["examples_per_epoch"] = found.examples_per_epoch < 0 ? Value() : Value(found.examples_per_epoch);
    out["steps_per_epoch"] = found.steps_per_epoch < 0 ? Value() : Value(found.steps_per_epoch);
    out["steps"] = found.steps < 0 ? Value() : Value(found.steps);
    out["out"] = request.out.string();
    invocation.console->result(core::dump_json(out, 2) + "\n");
    return kOk;
  }
  std::string text = training::to_toml(request.recipe) + "\n";
  text += fmt::format("# network             {}\n", found.network);
  text += fmt::format("# parameters          {}\n", found.parameters);
  text +=
      fmt::format("# memory              {} for weights, gradients and optimiser; {} for batches; {}\n",
                  mebibytes(found.state_bytes), mebibytes(found.batch_bytes),
                  found.step_bytes < 0 ? "what layers keep comes on top"
                                       : "about " + mebibytes(found.step_bytes) + " for what layers keep (estimate)");
  text += fmt::format("# tracks              {} for training, {} for validation ({})\n", found.training_tracks,
                      found.validation_tracks, found.validation);
  text += fmt::format("# examples            {} an epoch, {:.3g} s each\n",
                      number_or(found.examples_per_epoch, "as many as the audio gives"), found.crop_seconds);
  text += fmt::format("# steps               {} an epoch, {} in all\n", number_or(found.steps_per_epoch, "?"),
                      number_or(found.steps, "until another limit is reached"));
  text += fmt::format("# folder              {}\n", request.out.string());
  for (const std::string& note : found.notes) text += fmt::format("# {}\n", note);
  invocation.console->result(text);
  return kOk;
}

Value to_value(const training::TrainingResult& result) {
  Value out = Value::object();
  out["folder"] = result.folder.string();
  out["ended"] = result.ended;
  out["steps"] = result.steps;
  out["epochs"] = result.epochs;
  out["seconds"] = result.seconds;
  out["examples_per_s"] = result.examples_per_s;
  out["waited_s"] = result.waited_s;
  out["monitor"] = result.monitor;
  out["best"] = std::isnan(result.best) ? Value() : Value(result.best);
  out["best_epoch"] = result.best_epoch;
  Value scores = Value::object();
  for (const auto& [target, score] : result.scores) {
    Value one = Value::object();
    one["uSDR"] = std::isnan(score.usdr) ? Value() : Value(score.usdr);
    one["cSDR"] = std::isnan(score.csdr) ? Value() : Value(score.csdr);
    scores[target] = std::move(one);
  }
  out["scores"] = std::move(scores);
  return out;
}

std::string summary(const training::TrainingResult& r, const std::string& method) {
  std::string out = fmt::format("{}: {} ({} epochs, {:.1f} s, {:.3g} examples/s)\n", r.folder.string(), r.ended,
                                r.epochs, r.seconds, r.examples_per_s);
  if (!std::isnan(r.best)) out += fmt::format("best {} {:.6g} in epoch {}\n", r.monitor, r.best, r.best_epoch);
  for (const auto& [target, score] : r.scores) {
    out += fmt::format("{}: uSDR {:.2f} dB, cSDR {:.2f} dB on the validation tracks\n", target, score.usdr, score.csdr);
  }
  return out + fmt::format("use it: mssbench separate SONG -m {}:weights={} -o stems\n", method, r.folder.string());
}

}  // namespace

int train_network(Invocation& invocation) {
  const methods::Registry& registry = harness::builtin_methods();
  const training::TrainingRequest request = make_request(invocation, registry);
  const Settings& settings = *invocation.settings;
  if (settings.flag("dry_run")) return dry_run(invocation, request);
  if (const std::int64_t count = settings.integer("preview"); count > 0) {
    writing([&] { training::write_examples(request, count, request.out); });
    invocation.console->result(fmt::format("{}: {} examples\n", request.out.string(), count));
    return kOk;
  }
  training::TrainingResult result;
  try {
    result = training::train(request);
  } catch (const Error& error) {
    // A loss that went astray and a full disk are failed runs, not bad input.
    const bool diverged = error.code() == Code::numeric && error.parts().where == "training";
    if (diverged || concerns_output(error, request.out)) throw Failure(kFailed, error);
    throw;
  }
  invocation.console->result(invocation.json() ? core::dump_json(to_value(result), 2) + "\n"
                                               : summary(result, request.recipe.recipe.model.family));
  return kOk;
}

}  // namespace mss::cli
