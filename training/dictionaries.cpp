#include "training/dictionaries.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "audio/file.h"
#include "audio/stream.h"
#include "core/error.h"
#include "core/isa.h"
#include "core/json.h"
#include "core/text.h"
#include "core/version.h"
#include "methods/nmf/classifier.h"

namespace mss::training {
namespace {

namespace fs = std::filesystem;
using core::Value;

std::string track_label(const datasets::Track& track) { return track.subset + "/" + track.name; }

bool has_stem(const datasets::Track& track, const std::string& target) {
  return std::find(track.stems.begin(), track.stems.end(), target) != track.stems.end();
}

std::vector<std::string> stems_of(const std::vector<datasets::Track>& tracks,
                                  const std::vector<std::string>& preferred) {
  std::vector<std::string> out;
  for (const std::string& stem : preferred) {
    if (std::any_of(tracks.begin(), tracks.end(), [&](const auto& track) { return has_stem(track, stem); })) {
      out.push_back(stem);
    }
  }
  return out;
}

void check_targets(const std::vector<std::string>& wanted, const std::vector<std::string>& known,
                   const std::string& dataset) {
  std::set<std::string> seen;
  for (const std::string& target : wanted) {
    if (std::find(known.begin(), known.end(), target) == known.end()) {
      throw Error({Code::dataset, dataset, "no selected track has the stem '" + target + "'",
                   known.empty() ? "tracks with stems" : "one of " + core::join(known, ", "), "",
                   core::did_you_mean(target, known)});
    }
    if (!seen.insert(target).second) {
      throw Error({Code::config, "targets", "'" + target + "' stands twice", "every target once", "", ""});
    }
  }
}

/// Training takes minutes: what would keep the result from being written shows before.
void check_output(const fs::path& out) {
  if (out.empty()) {
    throw Error({Code::config, "out", "no output file given", "a file name such as songs.safetensors", "", ""});
  }
  if (out.extension() != ".safetensors") {
    throw Error({Code::config, out.string(), "not a name for a dictionary", "the extension .safetensors",
                 "'" + out.extension().string() + "'", "the name without it becomes the dictionary's label"});
  }
  std::error_code ignored;
  if (fs::is_directory(out, ignored)) throw Error({Code::io, out.string(), "is a folder", "a file name", "", ""});
  const fs::path folder = out.parent_path();
  if (!folder.empty() && !fs::is_directory(folder, ignored)) {
    throw Error({Code::io, out.string(), "its folder does not exist", "", "", ""});
  }
}

Value list_value(const std::vector<std::string>& texts) {
  Value out = Value::array();
  for (const std::string& text : texts) out.push_back(text);
  return out;
}

Value selection_value(const datasets::Selection& selection) {
  Value out = Value::object();
  out["subset"] = selection.subset.empty() ? "all" : selection.subset;
  out["split"] = selection.split;
  out["tracks"] = list_value(selection.tracks);
  out["limit"] = selection.limit;
  return out;
}

/// Ends the task on every way out.
class Task {
 public:
  Task(core::Progress& progress, std::int64_t steps) : progress_(progress) { progress_.begin("train nmf", steps); }
  ~Task() { progress_.end(); }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

 private:
  core::Progress& progress_;
};

}  // namespace

std::int64_t training_bytes(const NmfTraining& training, const std::vector<datasets::Track>& tracks) {
  const methods::nmf::TrainOptions& o = training.options;
  const std::int64_t bins = o.stft.bins();
  std::int64_t longest = 0;  // values of one stem
  for (const datasets::Track& track : tracks)
    longest = std::max(longest, track.samples * std::max<std::int64_t>(1, track.channels));
  const std::int64_t track_frames = longest / o.stft.hop_samples + 2;
  const std::int64_t frames = training.classifier ? track_frames : o.max_frames;
  std::int64_t bytes = (std::int64_t{96} << 20) + frames * (10 * bins + 12 * std::int64_t{o.components}) + 8 * longest;
  if (o.calibrate) bytes += 4 * (5 * longest + 5 * track_frames * bins * 2);
  return bytes;
}

NmfTrained train_nmf(const NmfTraining& training) {
  if (training.dataset.empty()) {
    throw Error({Code::config, "dataset", "no data set given", "a folder, musdb18, musdb18hq or synthetic", "", ""});
  }
  check_output(training.out);
  const datasets::Dataset dataset = datasets::open(training.dataset, training.layout);
  const std::vector<datasets::Track> tracks = dataset.select(training.selection);
  const std::vector<std::string> known = stems_of(tracks, dataset.stems());
  const std::vector<std::string> targets = training.targets.empty() ? known : training.targets;
  check_targets(targets, known, dataset.name());
  if (targets.empty()) {
    throw Error(
        {Code::dataset, dataset.name(), "the selected tracks have no stems", "isolated stems to learn from", "", ""});
  }

  if (const double need = static_cast<double>(training_bytes(training, tracks)) * 1e-9;
      training.memory_gb > 0 && need > training.memory_gb) {
    throw Error({Code::resource, dataset.name(), "training needs more memory than it may take",
                 fmt::format("at most {:.2f} GB", training.memory_gb), fmt::format("about {:.2f} GB", need),
                 "raise --memory-gb, or lower --max-frames"});
  }

  NmfTrained result;
  Value track_list = Value::array();
  for (const datasets::Track& track : tracks) {
    training.options.stop.check();
    result.tracks.push_back(track_label(track));
    Value entry = Value::object();
    entry["subset"] = track.subset;
    entry["name"] = track.name;
    entry["sha256"] = dataset.sha256(track);
    entry["samples"] = track.samples;
    entry["rate_hz"] = track.rate_hz;
    track_list.push_back(std::move(entry));
  }

  std::vector<methods::nmf::TrainTrack> sources;
  for (const datasets::Track& track : tracks) {
    sources.push_back(
        {track_label(track), [&, label = track_label(track)](const std::string& target) {
           audio::AudioBuffer stem = dataset.load_stem(track, target);
           if (stem.empty() || audio::is_silent(stem)) {
             std::vector<std::string>& without = result.without[target];
             if (std::ranges::find(without, label) == without.end()) {  // stems are loaded more than once
               without.push_back(label);
               core::log(training.log, core::LogLevel::info,
                         fmt::format("{}: {} {}, left out", label, target, stem.empty() ? "is missing" : "is silent"));
             }
             return audio::AudioBuffer();
           }
           return stem;
         }});
  }

  core::Progress& progress = training.progress != nullptr ? *training.progress : core::null_progress();
  methods::nmf::TrainOptions options = training.options;
  options.progress = [&](std::int64_t done, std::int64_t, const std::string& target) { progress.update(done, target); };
  const auto loads = static_cast<std::int64_t>(tracks.size());
  const std::int64_t steps =
      training.classifier ? loads * options.members
                          : methods::nmf::training_steps(loads, static_cast<std::int64_t>(targets.size()), options);
  methods::nmf::Dictionary dictionary;
  methods::nmf::Classifier classifier;
  {
    const Task task(progress, steps);
    if (training.classifier) {
      classifier = methods::nmf::train_classifier(sources, targets, options);
    } else {
      dictionary = methods::nmf::train_dictionary(sources, targets, options);
    }
  }

  checkpoints::Metadata& provenance = training.classifier ? classifier.provenance : dictionary.provenance;
  provenance["dataset"] = dataset.name();
  provenance["selection"] = core::dump_json(selection_value(training.selection));
  provenance["tracks"] = core::dump_json(track_list);
  provenance["revision"] = core::git_revision();
  provenance["instruction_set"] = std::string(core::isa_name(core::active_isa()));
  result.file = training.out;
  result.targets = targets;
  if (training.classifier) {
    methods::nmf::write_classifier(training.out, classifier);
    const methods::nmf::Classifier written = methods::nmf::read_classifier(training.out);
    result.name = written.name();
    result.sha256 = written.sha256;
    result.components.assign(targets.size(), written.components);
  } else {
    Value without = Value::object();
    for (const auto& [target, labels] : result.without) without[target] = list_value(labels);
    provenance["without"] = core::dump_json(without);
    provenance["max_frames"] = fmt::format("{}", options.max_frames);
    provenance["template_frames"] = fmt::format("{}", options.template_frames);
    methods::nmf::write_dictionary(training.out, dictionary);
    const methods::nmf::Dictionary written = methods::nmf::read_dictionary(training.out);
    result.name = written.name();
    result.sha256 = written.sha256;
    result.components.assign(targets.size(), 0);
    for (std::size_t i = 0; i < written.parts.size(); ++i)
      result.components[i % targets.size()] += written.parts[i].components;
  }
  result.bytes = fs::file_size(training.out);
  return result;
}

}  // namespace mss::training
