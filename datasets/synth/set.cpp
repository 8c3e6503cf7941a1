#include "datasets/synth/set.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include "audio/file.h"
#include "core/error.h"
#include "core/file.h"
#include "core/folder_lock.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/text.h"
#include "datasets/synth/composer.h"
#include "datasets/synth/mixer.h"
#include "datasets/synth/notes.h"
#include "datasets/synth/singer.h"
#include "datasets/synth/songs.h"

namespace mss::datasets::synth {

namespace fs = std::filesystem;
using core::Value;

const std::vector<Preset>& presets() {
  static const std::vector<Preset> list = {
      {"mini", 2, 1, 2, 30, 7}, {"small", 20, 4, 10, 20, 0}, {"full", 86, 14, 50, 30, 0}};
  return list;
}

int activity(const Score& score, std::int64_t begin, std::int64_t samples) {
  constexpr std::int64_t kBlock = kRateHz / 10;
  const auto blocks = static_cast<std::size_t>(samples / kBlock);
  int sum = 0;
  std::vector<char> sounds;
  const auto mark = [&](const auto& notes) {
    sounds.assign(blocks, 0);
    for (const auto& note : notes) {
      const std::int64_t a = std::max<std::int64_t>(0, score.sample(note.start) - begin);
      const std::int64_t b = std::min(samples, score.sample(note.end) - begin);
      for (std::int64_t t = a / kBlock; t * kBlock < b && t < static_cast<std::int64_t>(blocks); ++t) {
        sounds[static_cast<std::size_t>(t)] = 1;
      }
    }
    sum += static_cast<int>(std::count(sounds.begin(), sounds.end(), 1));
  };
  mark(score.syllables);
  mark(score.notes(Part::bass));
  mark(score.notes(Part::drums));
  return sum;
}

namespace {

constexpr const char* kGenerator = "mssbench synth";
constexpr const char* kNote =
    "Synthetic songs. Scores on them rank methods and catch regressions; they are never comparable with MUSDB18's.";
/// Of the folder's files; goes up when their form or the sound of a recipe changes.
constexpr int kSetVersion = kSynthVersion;

struct Job {
  Split split;
  std::uint64_t seed;
  std::string name;  // the song's folder
  std::string place() const { return split == Split::test ? "test" : "train"; }
};

std::vector<Job> jobs_of(const SetOptions& options) {
  std::vector<Job> jobs;
  const Preset& preset = options.preset;
  for (const auto& [split, count] :
       {std::pair{Split::train, preset.train}, {Split::valid, preset.valid}, {Split::test, preset.test}}) {
    for (int i = 0; i < count; ++i) {
      const std::uint64_t seed = first_seed(options.seed, split) + static_cast<std::uint64_t>(i);
      // The style, which is in the name, is the first draw.
      jobs.push_back({split, seed, song_name(compose(seed, split, 1))});
    }
  }
  return jobs;
}

/// What makes two sets the same.
Value recipe_of(const SetOptions& options) {
  Value recipe = Value::object();
  recipe["generator"] = kGenerator;
  recipe["version"] = kSetVersion;
  recipe["preset"] = options.preset.name;
  recipe["seed"] = fmt::format("{}", options.seed);
  recipe["renderer"] = options.renderer->name();
  Value fonts = Value::object();
  for (const Split split : {Split::train, Split::valid, Split::test}) {
    Value list = Value::array();
    for (std::string& font : options.renderer->fonts(split)) list.push_back(std::move(font));
    fonts[split_name(split)] = std::move(list);
  }
  recipe["fonts"] = std::move(fonts);
  recipe["format"] = options.flac ? "flac" : "wav";
  recipe["instruments"] = options.instruments;
  return recipe;
}

double thousandths(double x) { return std::nearbyint(x * 1000) / 1000; }

Value real_or_null(double x) { return std::isfinite(x) ? Value(thousandths(x)) : Value(); }

Value score_facts(const Score& score, std::int64_t begin) {
  Value facts = Value::object();
  facts["style"] = score.style;
  facts["bpm"] = score.bpm;
  facts["key"] = key_text(score);
  Value progressions = Value::object();
  const auto degrees = [](const std::array<int, 4>& list) {
    Value out = Value::array();
    for (const int degree : list) out.push_back(degree);
    return out;
  };
  progressions["verse"] = degrees(score.verse);
  progressions["chorus"] = degrees(score.chorus);
  facts["progressions"] = std::move(progressions);
  Value form = Value::array();
  for (const Section& section : score.sections) {
    Value entry = Value::object();
    entry["section"] = std::string(1, section.letter);
    entry["first_bar"] = section.first_bar;
    entry["bars"] = section.bars;
    const std::int64_t start = score.sample(std::int64_t{section.first_bar} * kTicksPerBar) - begin;
    entry["start_s"] = thousandths(static_cast<double>(start) / kRateHz);
    form.push_back(std::move(entry));
  }
  facts["form"] = std::move(form);
  Value programs = Value::object();
  for (const Part part : kAllParts) {
    if (!score.notes(part).empty()) programs[part_name(part)] = program_text(score.program(part));
  }
  facts["programs"] = std::move(programs);
  Value singer = Value::object();
  const Singer& voice = singer_of(score.split, score.singer);
  singer["number"] = static_cast<std::int64_t>(score.singer);
  singer["centre_midi"] = voice.centre_midi;
  singer["formant_scale"] = voice.formant_scale;
  facts["singer"] = std::move(singer);
  facts["talk"] = score.talk;
  facts["doubles"] = score.doubles;
  facts["harmony"] = score.harmony && !score.talk;
  return facts;
}

/// General MIDI's names of the programs that songs use, for people who condition a method on the instrument.
std::string_view program_name(Part part, Program program) {
  if (part == Part::drums) {
    if (program.acoustic) return program.number == 0 ? "Black Pearl kit" : "Red Zeppelin kit";
    switch (program.number) {
      case 8:
      case 9:
      case 11:
        return "Room kit";
      case 16:
      case 17:
        return "Power kit";
      case 24:
        return "Electronic kit";
      case 25:
        return "TR-808 kit";
      case 33:
        return "Jazz kit";
      default:
        return "Standard kit";
    }
  }
  switch (program.number) {
    case 0:
      return "Acoustic Grand Piano";
    case 1:
      return "Bright Acoustic Piano";
    case 2:
      return "Electric Grand Piano";
    case 4:
      return "Electric Piano 1";
    case 5:
      return "Electric Piano 2";
    case 6:
      return "Harpsichord";
    case 7:
      return "Clavinet";
    case 11:
      return "Vibraphone";
    case 16:
      return "Drawbar Organ";
    case 17:
      return "Percussive Organ";
    case 18:
      return "Rock Organ";
    case 22:
      return "Harmonica";
    case 24:
      return "Acoustic Guitar (nylon)";
    case 25:
      return "Acoustic Guitar (steel)";
    case 26:
      return "Electric Guitar (jazz)";
    case 27:
      return "Electric Guitar (clean)";
    case 28:
      return "Electric Guitar (muted)";
    case 29:
      return "Overdriven Guitar";
    case 30:
      return "Distortion Guitar";
    case 32:
      return "Acoustic Bass";
    case 33:
      return "Electric Bass (finger)";
    case 34:
      return "Electric Bass (pick)";
    case 35:
      return "Fretless Bass";
    case 36:
      return "Slap Bass 1";
    case 37:
      return "Slap Bass 2";
    case 38:
      return "Synth Bass 1";
    case 39:
      return "Synth Bass 2";
    case 48:
      return "String Ensemble 1";
    case 49:
      return "String Ensemble 2";
    case 50:
      return "Synth Strings 1";
    case 51:
      return "Synth Strings 2";
    case 56:
      return "Trumpet";
    case 62:
      return "Synth Brass 1";
    case 65:
      return "Alto Sax";
    case 66:
      return "Tenor Sax";
    case 73:
      return "Flute";
    case 80:
      return "Lead 1 (square)";
    case 81:
      return "Lead 2 (sawtooth)";
    case 89:
      return "Pad 2 (warm)";
    case 90:
      return "Pad 3 (polysynth)";
    case 92:
      return "Pad 5 (bowed)";
    case 95:
      return "Pad 8 (sweep)";
    default:
      return "";
  }
}

/// A folder that is filled under another name and takes its own when it is whole.
class NewFolder {
 public:
  explicit NewFolder(fs::path target) : target_(std::move(target)) {
    temporary_ = target_.parent_path() / fmt::format(".{}.{}.part", target_.filename().string(), ::getpid());
    std::error_code ignored;
    fs::remove_all(temporary_, ignored);
    core::make_directories(temporary_);
  }
  ~NewFolder() {
    std::error_code ignored;
    if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  const fs::path& path() const { return temporary_; }

  void commit() {
    std::error_code error;
    // A folder cannot be replaced in one step: the old one, which was found wanting, makes room first.
    fs::remove_all(target_, error);
    if (!error) fs::rename(temporary_, target_, error);
    if (error) {
      throw Error(
          {Code::io, target_.string(), "cannot put the finished song in place: " + error.message(), "", "", ""});
    }
    temporary_.clear();
  }

 private:
  fs::path target_, temporary_;
};

/// Folders that killed runs left half-written in `folder`.
void remove_parts(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return;
  for (const fs::path& path : core::list_directory(folder)) {
    const std::string name = path.filename().string();
    if (name.starts_with(".Synth ") && name.ends_with(".part")) fs::remove_all(path, error);
  }
}

class SetWriter {
 public:
  explicit SetWriter(const SetOptions& options)
      : options_(options), recipe_(recipe_of(options)), jobs_(jobs_of(options)), results_(jobs_.size()) {}

  SetSummary run() {
    check_folder();
    core::make_directories(options_.out);
    const core::FolderLock lock(options_.out, "writes songs into this folder");
    check_folder();
    prepare();
    const auto count = static_cast<std::int64_t>(jobs_.size());
    core::Progress& progress = options_.progress != nullptr ? *options_.progress : core::null_progress();
    progress.begin(fmt::format("synth {}", options_.preset.name), count);
    std::atomic<std::int64_t> done{0};
    core::parallel_for(count, options_.jobs, [&](std::int64_t i) {
      options_.stop.check();
      song(static_cast<std::size_t>(i));
      progress.update(++done, jobs_[static_cast<std::size_t>(i)].name);
    });
    progress.end();
    write_json("split.json", split());
    write_json("manifest.json", manifest(true));
    if (options_.instruments) {
      // Read as a data set of its own.
      Value own = Value::object();
      own["recipe"] = recipe_;
      own["recipe"]["stems"] = "instruments";
      own["note"] = kNote;
      write_json("instruments/split.json", split());
      write_json("instruments/manifest.json", own);
    }
    SetSummary summary;
    summary.songs = static_cast<int>(jobs_.size());
    for (const Result& result : results_) {
      (result.kept ? summary.kept : summary.written) += 1;
      summary.seconds += static_cast<double>(result.samples) / kRateHz;
      summary.bytes += result.bytes;
    }
    return summary;
  }

 private:
  struct Result {
    bool kept = false;
    std::int64_t samples = 0;
    std::uint64_t bytes = 0;
    Value files;  // name -> SHA-256, below the root
  };

  static std::string meta_name(const Job& job) { return job.place() + "/" + job.name + "/meta.json"; }
  std::string extension() const { return options_.flac ? ".flac" : ".wav"; }

  void write_json(const std::string& name, const Value& value) const {
    core::write_file_atomic(options_.out / name, core::dump_json(value, 1) + "\n");
  }

  fs::path manifest_path() const { return options_.out / "manifest.json"; }

  /// Does the folder hold anything? The lock of a run that was killed does not count.
  bool holds_files() const {
    std::error_code error;
    if (!fs::exists(options_.out, error)) return false;
    if (!fs::is_directory(options_.out, error)) return true;
    return std::ranges::any_of(core::list_directory(options_.out),
                               [](const fs::path& path) { return path.filename() != core::kFolderLockName; });
  }

  /// Refuses a folder that holds something else.
  void check_folder() const {
    std::error_code error;
    if (fs::exists(manifest_path(), error)) {
      if (!fs::is_regular_file(manifest_path(), error)) {
        throw Error({Code::config, manifest_path().string(), "not a regular file", "what mssbench synth wrote", "",
                     "give another folder"});
      }
      const Value old = core::read_json_file(manifest_path());
      const Value* recipe = old.find("recipe");
      if (recipe == nullptr || *recipe != recipe_) {
        throw Error(ErrorParts{.code = Code::config,
                               .where = options_.out.string(),
                               .what = "the folder holds a set of another recipe",
                               .expected = core::dump_json(recipe_),
                               .found = recipe == nullptr ? "no recipe in manifest.json" : core::dump_json(*recipe),
                               .hint = "give another folder, or remove this one"});
      }
    } else if (holds_files()) {
      throw Error(ErrorParts{.code = Code::config,
                             .where = options_.out.string(),
                             .what = "the folder holds other files",
                             .expected = "a new or empty folder, or one that mssbench synth began",
                             .found = "no manifest.json",
                             .hint = "give another folder"});
    }
  }

  /// Says at once what the folder will hold.
  void prepare() {
    for (const char* place : {"train", "test"}) {
      remove_parts(options_.out / place);
      remove_parts(options_.out / "instruments" / place);
    }
    std::error_code error;
    if (!fs::exists(manifest_path(), error)) write_json("manifest.json", manifest(false));
  }

  Value manifest(bool complete) const {
    Value out = Value::object();
    out["recipe"] = recipe_;
    out["note"] = kNote;
    out["complete"] = complete;
    Value songs = Value::array();
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      Value entry = Value::object();
      entry["name"] = jobs_[i].name;
      entry["split"] = split_name(jobs_[i].split);
      entry["seed"] = fmt::format("{}", jobs_[i].seed);
      if (complete) {
        entry["samples"] = results_[i].samples;
        entry["files"] = results_[i].files;
      }
      songs.push_back(std::move(entry));
    }
    out["songs"] = std::move(songs);
    return out;
  }

  Value split() const {
    Value out = Value::object();
    for (const Split split : {Split::train, Split::valid, Split::test}) {
      Value names = Value::array();
      for (const Job& job : jobs_) {
        if (job.split == split) names.push_back(job.name);
      }
      out[split_name(split)] = std::move(names);
    }
    return out;
  }

  /// Is this song there and whole? Its files' hashes then.
  bool keep(std::size_t i, const fs::path& folder) {
    std::error_code error;
    const fs::path meta_path = folder / "meta.json";
    if (!fs::is_regular_file(meta_path, error)) return false;
    try {
      const Value meta = core::read_json_file(meta_path);
      const Value* recipe = meta.find("recipe");
      const Value* seed = meta.find("seed");
      const Value* files = meta.find("files");
      if (recipe == nullptr || *recipe != recipe_ || seed == nullptr || files == nullptr || !files->is_object()) {
        return false;
      }
      if (seed->as_string() != fmt::format("{}", jobs_[i].seed)) return false;
      // All files of a song, and none elsewhere.
      const std::string own = jobs_[i].place() + "/" + jobs_[i].name + "/";
      const auto lists = [&](const std::string& name) { return files->find(name) != nullptr; };
      bool whole = lists(own + "notes.json") && lists(own + "vocals.json") && lists(own + "song.mid") &&
                   lists(own + "mixture" + extension());
      for (const std::string_view stem : kStemNames) whole = whole && lists(own + std::string(stem) + extension());
      if (options_.instruments) {
        whole = whole && lists("instruments/" + own + "instruments.json") &&
                lists("instruments/" + own + "mixture" + extension());
      }
      for (const auto& [name, hash] : files->as_object()) {
        const std::string_view below = std::string_view(name).substr(name.starts_with("instruments/") ? 12 : 0);
        whole = whole && below.starts_with(own) && below.find('/', own.size()) == std::string_view::npos &&
                below.size() > own.size() && below.substr(own.size()) != "..";
      }
      if (!whole) return false;
      Result result;
      result.files = *files;
      for (const auto& [name, hash] : files->as_object()) {
        core::check_stop();
        const fs::path path = options_.out / name;
        if (!fs::is_regular_file(path, error) || core::sha256_file(path) != hash.as_string()) return false;
        result.bytes += fs::file_size(path, error);
      }
      result.files[meta_name(jobs_[i])] = core::sha256_file(meta_path);
      result.samples = meta.at("samples").as_integer();
      const Preset& preset = options_.preset;
      if (result.samples != std::int64_t{preset.cut_seconds > 0 ? preset.cut_seconds : preset.seconds} * kRateHz) {
        return false;
      }
      result.kept = true;
      results_[i] = std::move(result);
      return true;
    } catch (const Error& problem) {
      if (problem.code() == Code::cancelled) throw;
      return false;  // damaged: made again
    }
  }

  void song(std::size_t i) {
    const Job& job = jobs_[i];
    const fs::path folder = options_.out / job.place() / job.name;
    if (keep(i, folder)) return;

    const std::int64_t composed = std::int64_t{options_.preset.seconds} * kRateHz;
    const Score score = compose(job.seed, job.split, composed);
    const Mixed mixed = mix(score, *options_.renderer, composed, options_.instruments);
    std::int64_t begin = 0, samples = composed;
    if (options_.preset.cut_seconds > 0) {
      samples = std::int64_t{options_.preset.cut_seconds} * kRateHz;
      int best = -1;
      for (std::int64_t at = 0; at + samples <= composed; at += kRateHz) {
        const int events = activity(score, at, samples);
        if (events <= best) continue;
        best = events;
        begin = at;
      }
    }

    Result result;
    result.samples = samples;
    result.files = Value::object();
    Value levels = Value::object();
    const auto write_audio = [&](const fs::path& into, const std::string& place, const std::string& name,
                                 const Pcm& pcm) {
      core::check_stop();
      const Pcm cut = slice(pcm, begin, samples);
      const fs::path path = into / (name + extension());
      audio::write_file(path, to_audio(cut), {.format = audio::SampleFormat::pcm16});
      result.files[place + "/" + job.name + "/" + name + extension()] = core::sha256_file(path);
      std::error_code error;
      result.bytes += fs::file_size(path, error);
      return cut;
    };
    const auto write_text = [&](const fs::path& into, const std::string& place, const std::string& name,
                                const std::string& text) {
      core::write_file_atomic(into / name, text);
      result.files[place + "/" + job.name + "/" + name] = core::sha256_hex(text);
    };

    // The instruments first: the song's own folder, with the meta.json that says that all is there, comes last.
    if (options_.instruments) {
      const std::string place = "instruments/" + job.place();
      NewFolder made(options_.out / place / job.name);
      write_audio(made.path(), place, "mixture", mixed.mixture);
      Value identities = Value::object();
      for (const InstrumentStem& instrument : mixed.instruments) {
        write_audio(made.path(), place, instrument.name, instrument.audio);
        Value identity = Value::object();
        identity["stem"] = instrument.stem;
        bool played = false;
        for (const Part part : kAllParts) {
          if (part_name(part) != instrument.name) continue;
          played = true;
          identity["program"] = program_text(score.program(part));
          identity["name"] = program_name(part, score.program(part));
        }
        if (!played) {
          identity["singer"] = static_cast<std::int64_t>(score.singer);
          identity["name"] = fmt::format("{} singer {}", split_name(score.split), score.singer);
        }
        identities[instrument.name] = std::move(identity);
      }
      write_text(made.path(), place, "instruments.json", core::dump_json(identities, 1) + "\n");
      made.commit();
    }

    NewFolder made(folder);
    const auto add_level = [&](std::string_view name, const Pcm& pcm) {
      Value entry = Value::object();
      entry["rms_dbfs"] = real_or_null(level_db(pcm));
      entry["peak"] = peak_of(pcm);
      levels[name] = std::move(entry);
    };
    add_level("mixture", write_audio(made.path(), job.place(), "mixture", mixed.mixture));
    for (std::size_t q = 0; q < kStems; ++q) {
      const std::string name(kStemNames[q]);
      add_level(name, write_audio(made.path(), job.place(), name, mixed.stems[q]));
    }
    write_text(made.path(), job.place(), "notes.json", core::dump_json(notes_table(score, begin, samples)) + "\n");
    write_text(made.path(), job.place(), "vocals.json", core::dump_json(vocals_table(score, begin, samples)) + "\n");
    write_text(made.path(), job.place(), "song.mid", midi_file(score));

    Value meta = Value::object();
    meta["format"] = "MSS1";
    meta["recipe"] = recipe_;
    meta["seed"] = fmt::format("{}", job.seed);
    meta["split"] = split_name(job.split);
    meta["renderer"] = options_.renderer->name();
    meta["samples"] = samples;
    if (options_.preset.cut_seconds > 0) {
      meta["cut"] = Value::Array{begin / kRateHz, samples / kRateHz};
    }
    meta["score"] = score_facts(score, begin);
    meta["score_sha256"] = core::sha256_hex(score_text(score));
    Value draws = Value::object();
    for (const auto& [name, value] : mixed.draws) draws[name] = value;
    meta["mix"] = std::move(draws);
    meta["limiter_db"] = thousandths(mixed.limiter_db);
    meta["guard_db"] = thousandths(mixed.guard_db);
    meta["levels"] = std::move(levels);
    meta["files"] = result.files;
    const std::string text = core::dump_json(meta, 1) + "\n";
    core::write_file_atomic(made.path() / "meta.json", text);
    made.commit();
    result.files[meta_name(job)] = core::sha256_hex(text);
    results_[i] = std::move(result);
  }

  const SetOptions& options_;
  Value recipe_;
  std::vector<Job> jobs_;
  std::vector<Result> results_;
};

}  // namespace

SetSummary write_set(const SetOptions& options) {
  MSS_ASSERT(options.renderer != nullptr);
  return SetWriter(options).run();
}

std::string set_name_of(const fs::path& root) {
  std::error_code error;
  if (!fs::is_regular_file(root / "manifest.json", error)) return {};
  try {
    const Value manifest = core::read_json_file(root / "manifest.json");
    const Value* recipe = manifest.find("recipe");
    if (recipe == nullptr || recipe->at("generator").as_string() != kGenerator) return {};
    const Value* stems = recipe->find("stems");
    // The name stands in records and tables as it is: words of the kind that write_set() writes, nothing else.
    const auto word = [](std::string text) {
      constexpr std::size_t kLongest = 64;
      const bool plain = std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
      });
      if (!plain || text.empty() || text.size() > kLongest) throw Error(Code::format, "manifest.json", "no word");
      return text;
    };
    return fmt::format("synthetic-v{}:preset={},seed={},renderer={}{}", recipe->at("version").as_integer(),
                       word(recipe->at("preset").as_string()), word(recipe->at("seed").as_string()),
                       word(core::split(recipe->at("renderer").as_string(), ' ').front()),
                       stems != nullptr ? ",stems=" + word(stems->as_string()) : std::string());
  } catch (const Error&) {
    return {};  // somebody else's manifest
  }
}

std::vector<std::string> validation_songs(const fs::path& root) {
  std::vector<std::string> names;
  if (set_name_of(root).empty()) return names;
  std::error_code error;
  if (!fs::is_regular_file(root / "split.json", error)) return names;
  try {
    const Value split = core::read_json_file(root / "split.json");
    for (const Value& name : split.at("valid").as_array()) names.push_back(name.as_string());
  } catch (const Error&) {
    names.clear();
  }
  return names;
}

}  // namespace mss::datasets::synth
