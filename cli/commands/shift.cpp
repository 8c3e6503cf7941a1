// mssbench shift: how far methods' stems depend on where the track begins.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "audio/file.h"
#include "cli/commands/commands.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "cli/plan_settings.h"
#include "cli/table.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "datasets/dataset.h"
#include "eval/scores.h"
#include "harness/builtin_methods.h"
#include "harness/shift.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using core::ParamType;
using core::Value;

struct Song {
  std::string name;
  std::function<std::unique_ptr<audio::Source>()> open;
};

/// A mixture in memory that owns its samples.
class BufferSource final : public audio::Source {
 public:
  explicit BufferSource(std::shared_ptr<const audio::AudioBuffer> audio) : audio_(std::move(audio)), view_(*audio_) {}
  int channels() const override { return view_.channels(); }
  int rate_hz() const override { return view_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return view_.length(); }
  std::int64_t read(audio::AudioSpan out) override { return view_.read(out); }

 private:
  std::shared_ptr<const audio::AudioBuffer> audio_;
  audio::ViewSource view_;
};

std::vector<Song> songs_of(const Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  std::vector<Song> songs;
  const bool dataset = settings.is_set("dataset");
  if (dataset == !invocation.arguments.empty()) {
    throw Error({Code::config,
                 "shift",
                 dataset ? "files and a data set exclude each other" : "nothing to measure on",
                 "FILE… or -d DATASET",
                 dataset ? "both" : "neither",
                 {}});
  }
  for (const std::string& path : invocation.arguments) {
    songs.push_back({fs::path(path).filename().string(), [path] { return audio::open_file(path); }});
  }
  if (!dataset) return songs;
  const harness::Plan plan = selection_plan(settings, "shift");
  const auto opened = std::make_shared<const datasets::Dataset>(datasets::open(plan.dataset, plan.layout));
  for (const datasets::Track& track : opened->select(harness::selection(plan))) {
    songs.push_back({track.subset + "/" + track.name, [opened, track] {
                       return std::make_unique<BufferSource>(
                           std::make_shared<const audio::AudioBuffer>(opened->load_mixture(track)));
                     }});
  }
  return songs;
}

/// Infinite and undefined numbers have no place in JSON.
Value decibels(double value) { return std::isfinite(value) ? Value(value) : Value(); }

std::string cell(double value) {
  if (std::isnan(value)) return "-";
  return std::isinf(value) ? "equal" : fmt::format("{:.2f}", value);
}

int run_shift(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  std::vector<std::int64_t> shifts;
  for (const std::string& text : settings.list("samples")) {
    const core::Params parsed = core::Params::resolve(
        {{.name = "samples", .type = ParamType::integer, .range = "[1,1000000000]"}}, {{"samples", text}}, "--samples");
    shifts.push_back(parsed.integer("samples"));
  }
  const std::vector<Song> songs = songs_of(invocation);
  std::vector<std::unique_ptr<methods::Separator>> separators;
  for (const std::string& spec : settings.list("method")) separators.push_back(harness::builtin_methods().make(spec));

  methods::Options options;
  options.seed = invocation.seed();
  options.threads = invocation.threads();
  options.stop = invocation.stop;
  options.progress = &invocation.console->progress();
  options.log = invocation.console->log();

  Value report = Value::object();
  report["measure"] = "SDR of shifted-back stems against unshifted ones, dB";
  report["seed"] = static_cast<std::int64_t>(options.seed);
  report["samples"] = Value::array();
  for (const std::int64_t shift : shifts) report["samples"].push_back(shift);
  report["methods"] = Value::array();
  std::string text;
  std::size_t failed = 0, done = 0;
  int status = kOk;
  for (const auto& separator : separators) {
    Value method = Value::object();
    method["spec"] = separator->info().spec;
    method["tracks"] = Value::array();
    std::vector<std::string> stems;
    std::map<std::string, std::map<std::int64_t, std::vector<double>>> all;
    for (const Song& song : songs) {
      Value entry = Value::object();
      entry["track"] = song.name;
      try {
        invocation.stop.check();
        const harness::ShiftScores scores = harness::measure_shifts(*separator, song.open, shifts, options);
        entry["shifts"] = Value::array();
        for (const harness::ShiftScore& score : scores.shifts) {
          Value row = Value::object();
          row["samples"] = score.shift_samples;
          row["sdr_db"] = Value::object();
          row["equal"] = Value::array();
          for (std::size_t s = 0; s < scores.stems.size(); ++s) {
            const std::string& stem = scores.stems[s];
            row["sdr_db"][stem] = decibels(score.sdr_db[s]);
            if (std::isinf(score.sdr_db[s])) row["equal"].push_back(stem);
            if (std::ranges::find(stems, stem) == stems.end()) stems.push_back(stem);
            all[stem][score.shift_samples].push_back(score.sdr_db[s]);
          }
          entry["shifts"].push_back(std::move(row));
        }
        ++done;
      } catch (const Error& error) {
        if (error.code() == Code::cancelled) throw;
        invocation.console->error(error);
        if (failed++ == 0) status = exit_code(error.code());
        entry["error"] = error.what();
      }
      method["tracks"].push_back(std::move(entry));
    }
    method["median"] = Value::object();
    std::vector<std::string> header{"shift"};
    header.insert(header.end(), stems.begin(), stems.end());
    TextTable table(header);
    for (const std::int64_t shift : shifts) {
      std::vector<std::string> row{fmt::format("{}", shift)};
      for (const std::string& stem : stems) row.push_back(cell(eval::nan_median(all[stem][shift])));
      table.add(std::move(row));
    }
    for (const std::string& stem : stems) {
      method["median"][stem] = Value::object();
      for (const std::int64_t shift : shifts) {
        method["median"][stem][fmt::format("{}", shift)] = decibels(eval::nan_median(all[stem][shift]));
      }
    }
    text += fmt::format("{}{}\nSDR in dB of stems shifted back, against unshifted ones{}\n\n{}",
                        text.empty() ? "" : "\n", separator->info().spec,
                        songs.size() > 1 ? fmt::format("; median over {} tracks", songs.size()) : "", table.text(200));
    report["methods"].push_back(std::move(method));
  }
  const std::string json = core::dump_json(report, 2) + "\n";
  if (settings.is_set("out")) {
    const fs::path out = settings.text("out");
    core::make_directories(out);
    core::write_file_atomic(out / "shift.json", json);
    core::write_file_atomic(out / "shift.txt", text);
  }
  invocation.console->result(invocation.json() ? json : text);
  if (failed == 0) return kOk;
  return done > 0 ? kPartial : status;
}

}  // namespace

Command shift_command() {
  core::Param dataset = plan_param("dataset");
  return {
      .name = "shift",
      .summary = "measure how stems depend on where the track begins",
      .description =
          "Separates every track as it is and again behind N zeros, shifts the second stems back, and prints the SDR "
          "between the two: 10 log10(sum y^2 / sum (y - y_N)^2) per stem, over the whole track. Higher is better; "
          "'equal' means the same bits. A convolutional network is equivariant for multiples of its strides at most; "
          "demucs:shifts=N averages over random ones.\n\n"
          "With -o the numbers of every track go to shift.json, the tables to shift.txt.",
      .arguments =
          {{.name = "FILE", .help = "Audio to separate; or -d.", .least = 0, .most = -1, .complete = Complete::file}},
      .options =
          {{.param = {.name = "method", .help = "Method, as a spec string; several make several tables."},
            .letter = 'm',
            .placeholder = "SPEC",
            .list = true,
            .separator = '\0',
            .required = true,
            .complete = Complete::spec},
           {.param = {.name = "samples", .default_value = "1,16,64,1024", .help = "Shifts."},
            .placeholder = "N",
            .list = true},
           {.param = {.name = "out", .type = ParamType::file, .help = "Folder for shift.json and shift.txt."},
            .letter = 'o',
            .placeholder = "DIR",
            .complete = Complete::directory},
           {.param = dataset, .letter = 'd', .placeholder = "DATASET", .complete = Complete::dataset},
           {.param = plan_param("layout"), .placeholder = "NAME", .complete = Complete::choice},
           {.param = plan_param("subset"), .placeholder = "NAME", .complete = Complete::choice},
           {.param = plan_param("split"), .placeholder = "NAME", .complete = Complete::choice},
           {.param = plan_param("tracks"), .flag = "track", .placeholder = "TRACK", .list = true, .separator = ';'},
           {.param = plan_param("limit"), .placeholder = "N"}},
      .examples =
          {{"mssbench shift song.wav -m demucs:weights=demucs.th -m demucs:shifts=10,weights=demucs.th -o shift",
            "what ten random shifts are worth"},
           {"mssbench shift -d musdb18 --limit 5 -m umx:weights=umxhq --samples 1,512,1024 -o shift",
            "five songs of the test set, multiples of the hop and others"}},
      .run = run_shift};
}

}  // namespace mss::cli
