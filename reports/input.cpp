#include "reports/input.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/parallel.h"
#include "core/text.h"
#include "eval/museval_json.h"

namespace mss::reports {
namespace {

namespace fs = std::filesystem;
using core::Value;
using records::Record;

/// One file of museval and what its place says.
struct MusevalFile {
  fs::path path;
  std::string row, subset, track;
};

std::string name_of(const fs::path& folder) {
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(folder, ignored);
  return whole.filename().string();
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    out.push_back(it->path());
  if (error) throw Error(Code::io, folder.string(), "cannot be listed: " + error.message());
  std::sort(out.begin(), out.end());
  return out;
}

bool is_json_file(const fs::path& path) {
  const std::string name = path.filename().string();
  return path.extension() == ".json" && !name.starts_with('.') && fs::is_regular_file(path);
}

/// TRACK.json and SUBSET/TRACK.json below one row's folder.
std::vector<MusevalFile> files_of_row(const fs::path& folder) {
  std::vector<MusevalFile> out;
  const std::string row = name_of(folder);
  for (const fs::path& entry : sorted_entries(folder)) {
    if (is_json_file(entry)) {
      out.push_back({entry, row, "test", entry.stem().string()});
    } else if (const std::string subset = entry.filename().string();
               fs::is_directory(entry) && (subset == "test" || subset == "train" || subset == "valid")) {
      for (const fs::path& file : sorted_entries(entry)) {
        if (is_json_file(file)) out.push_back({file, row, subset, file.stem().string()});
      }
    }
  }
  return out;
}

std::vector<MusevalFile> museval_files(const fs::path& source) {
  if (fs::is_regular_file(source)) {
    fs::path folder = fs::absolute(source).parent_path();
    std::string subset = "test";
    if (const std::string name = folder.filename().string(); name == "test" || name == "train" || name == "valid") {
      subset = name;
      folder = folder.parent_path();
    }
    return {{source, folder.filename().string(), subset, source.stem().string()}};
  }
  std::vector<MusevalFile> out = files_of_row(source);
  if (!out.empty()) return out;
  for (const fs::path& entry : sorted_entries(source)) {
    if (!fs::is_directory(entry)) continue;
    std::vector<MusevalFile> more = files_of_row(entry);
    out.insert(out.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return out;
}

std::vector<Record> read_museval(const MusevalFile& file, const InputOptions& options) {
  const eval::MusevalTrack track = eval::read_museval_json(file.path);
  static const std::vector<std::string> oracles = {"IBM1", "IBM2", "IRM1", "IRM2", "MWF"};
  const bool is_oracle = std::find(oracles.begin(), oracles.end(), file.row) != oracles.end();
  std::vector<Record> out;
  for (const eval::MusevalTarget& target : track.targets) {
    eval::Scores scores;
    scores.scenario = "museval";
    scores.frames = static_cast<std::int64_t>(target.frames.size());
    eval::TargetScores own;
    own.target = target.name;
    scores.targets = {own};
    Record record = records::make_record(
        {options.museval_dataset, file.subset, file.track, file.row, "museval", 0, target.name}, scores, own);
    Value& body = record.body;
    Value aggregates = Value::object(), means = Value::object(), undefined = Value::object();
    const auto add = [&](const char* metric, double eval::MusevalFrame::*member) {
      std::vector<double> values;
      values.reserve(target.frames.size());
      for (const eval::MusevalFrame& frame : target.frames) values.push_back(frame.*member);
      aggregates[metric] = records::number_to_value(eval::nan_median(values));
      means[metric] = records::number_to_value(eval::nan_mean(values));
      undefined[metric] = static_cast<std::int64_t>(
          std::count_if(values.begin(), values.end(), [](double v) { return std::isnan(v); }));
    };
    add("SDR", &eval::MusevalFrame::sdr);
    add("SIR", &eval::MusevalFrame::sir);
    add("SAR", &eval::MusevalFrame::sar);
    add("ISR", &eval::MusevalFrame::isr);
    body["scores"] = std::move(aggregates);
    body["mean"] = std::move(means);
    Value frames = Value::object();
    frames["count"] = scores.frames;
    frames["undefined"] = std::move(undefined);
    body["frames"] = std::move(frames);
    // These scores are not this program's.
    body["version"] = "import of museval " + (track.version.empty() ? std::string("(no version)") : track.version);
    body["revision"] = "";
    body["isa"] = "";
    body["oracle"] = is_oracle;
    body["floor"] = file.row == "MIX";
    out.push_back(std::move(record));
  }
  return out;
}

bool is_records(const fs::path& source) {
  if (fs::is_directory(source)) {
    if (fs::exists(source / "records.jsonl") || fs::exists(source / "run.json")) return true;
    for (const fs::path& entry : sorted_entries(source)) {
      if (entry.extension() == ".jsonl") return true;
    }
    return false;
  }
  return source.extension() != ".json";
}

}  // namespace

std::vector<Record> read_source(const std::string& source, const InputOptions& options) {
  std::string place = source, spec;
  std::error_code ignored;
  // A folder's own name may hold a #.
  for (std::size_t at = source.rfind('#'); !fs::exists(place, ignored) && at != std::string::npos && at > 0;
       at = source.rfind('#', at - 1)) {
    if (fs::exists(source.substr(0, at), ignored)) {
      place = source.substr(0, at);
      spec = source.substr(at + 1);
    }
  }
  if (!fs::exists(place, ignored)) {
    throw Error(
        {Code::io, place, "no such file or folder", "RUN, RUN#SPEC or a folder of museval's JSON files", "", ""});
  }
  std::vector<Record> out;
  if (is_records(place)) {
    out = records::read_records(place);
  } else {
    const std::vector<MusevalFile> files = museval_files(place);
    if (files.empty()) {
      throw Error({Code::dataset, place, "holds neither records nor museval's files",
                   "records.jsonl, or [SUBSET/]TRACK.json, or folders of those", "", ""});
    }
    std::vector<std::vector<Record>> read(files.size());
    core::parallel_for(static_cast<std::int64_t>(files.size()), options.threads, [&](std::int64_t i) {
      read[static_cast<std::size_t>(i)] = read_museval(files[static_cast<std::size_t>(i)], options);
    });
    for (std::vector<Record>& some : read)
      out.insert(out.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
  }
  if (!spec.empty()) {
    std::vector<std::string> specs;
    for (const Record& record : out)
      if (std::find(specs.begin(), specs.end(), record.key.spec) == specs.end()) specs.push_back(record.key.spec);
    std::erase_if(out, [&](const Record& record) { return record.key.spec != spec; });
    if (out.empty()) {
      throw Error({Code::config, place, "no row has the spec '" + spec + "'", "one of " + core::join(specs, "  "), "",
                   core::did_you_mean(spec, specs)});
    }
  }
  if (out.empty()) throw Error(Code::dataset, place, "holds no records");
  return out;
}

std::vector<Record> read_sources(const std::vector<std::string>& sources, const InputOptions& options) {
  std::vector<Record> out;
  for (const std::string& source : sources) {
    std::vector<Record> more = read_source(source, options);
    out.insert(out.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return out;
}

}  // namespace mss::reports
