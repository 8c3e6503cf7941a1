// mssbench separate: audio files in, one file per stem out, in the memory of a few windows.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>

#include "audio/file.h"
#include "cli/commands/commands.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "cli/songs.h"
#include "cli/stem_files.h"
#include "core/error.h"
#include "core/isa.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/spec.h"
#include "core/text.h"
#include "datasets/stem_folder.h"
#include "harness/builtin_methods.h"
#include "harness/pictures.h"
#include "methods/flags.h"
#include "methods/registry.h"
#include "methods/separator.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using core::LogLevel;
using core::ParamType;
using core::Value;

/// Progress of one file under the file's name.
class FileProgress final : public core::Progress {
 public:
  FileProgress(core::Progress& out, std::string name) : out_(out), name_(std::move(name)) {}
  void begin(std::string_view, std::int64_t total) override { out_.begin(name_, total); }
  void update(std::int64_t done, std::string_view item) override { out_.update(done, item); }
  void expect(double remaining_s) override { out_.expect(remaining_s); }
  void end() override { out_.end(); }

 private:
  core::Progress& out_;
  std::string name_;
};

struct Request {
  const methods::Separator* separator = nullptr;
  fs::path out, references, pictures;
  std::string spec;                  ///< as given
  std::vector<std::string> targets;  ///< asked for, where they are not the spec's
  std::string two_stems;
  const FileNames* names = nullptr;
  FileSet inputs;  ///< must not be overwritten
  std::string extension;
  audio::WriteOptions write;
  double memory_gb = 0;  ///< 0 = no bound
  double start_s = 0, duration_s = 0;
  int picture_components = 0;

  bool fixed_targets() const { return !separator->info().targets.empty(); }
};

/// The part of a file that was asked for.
std::unique_ptr<audio::Source> open_part(const Request& request, const fs::path& file) {
  std::unique_ptr<audio::Source> source = audio::open_file(file);
  if (request.start_s <= 0 && request.duration_s <= 0) return source;
  const auto samples = [&](double seconds) { return std::llround(seconds * source->rate_hz()); };
  const std::int64_t first = samples(request.start_s);
  const std::int64_t length = request.duration_s > 0 ? std::max<std::int64_t>(1, samples(request.duration_s)) : -1;
  return audio::excerpt(std::move(source), first, length, file.string());
}

/// True stems of one song.
struct TrueStems {
  std::vector<datasets::StemFile> stems;  ///< in order
  std::vector<datasets::StemFile> derived;

  const datasets::StemFile* find(std::string_view name) const {
    for (const auto* files : {&stems, &derived}) {
      for (const datasets::StemFile& file : *files) {
        if (file.name == name) return &file;
      }
    }
    return nullptr;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto* files : {&stems, &derived}) {
      for (const datasets::StemFile& file : *files) out.push_back(file.name);
    }
    return out;
  }
};

void check_reference(const fs::path& file, const fs::path& song) {
  const std::unique_ptr<audio::Source> reference = audio::open_file(file), mixture = audio::open_file(song);
  const auto refuse = [&](const char* what, const std::string& expected, const std::string& found) {
    throw Error({Code::dataset, file.string(), std::string(what) + song.string(), expected, found, ""});
  };
  if (reference->rate_hz() != mixture->rate_hz()) {
    refuse("another rate than ", fmt::format("{} Hz", mixture->rate_hz()), fmt::format("{} Hz", reference->rate_hz()));
  }
  if (reference->channels() != mixture->channels()) {
    refuse("another number of channels than ", std::to_string(mixture->channels()),
           std::to_string(reference->channels()));
  }
  if (reference->length() && mixture->length() && *reference->length() != *mixture->length()) {
    refuse("another length than ", fmt::format("{} samples", *mixture->length()),
           fmt::format("{} samples", *reference->length()));
  }
}

TrueStems find_references(const Request& request, const Song& song, const core::LogFn& log) {
  fs::path path = request.references / song.name;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) path = request.references;
  datasets::StemFolder folder = datasets::read_stem_folder(path);
  if (folder.defect) throw Error(*folder.defect);
  TrueStems out{folder.stems, folder.derived};
  const auto lacks = [&](const std::string& name) { return out.find(name) == nullptr; };
  if (!request.targets.empty() && !request.fixed_targets()) {  // the caller has named the files
    if (const auto missing = std::ranges::find_if(request.targets, lacks); missing != request.targets.end()) {
      throw Error({Code::dataset, path.string(), "missing stem '" + *missing + "'",
                   *missing + ".wav (or " + datasets::audio_extensions() + ")", core::join(out.names(), ", "),
                   core::did_you_mean(*missing, out.names())});
    }
  } else {
    datasets::name_accompaniment(folder);
    out = {folder.stems, folder.derived};
  }
  for (const auto& [written, name] : folder.taken) {
    core::log(log, LogLevel::info, path.string() + ": '" + written + "' is taken for '" + name + "'");
  }
  if (out.stems.empty()) {
    throw Error({Code::dataset, path.string(), "no stems in the folder of references",
                 "one audio file per stem, such as vocals.wav", "", ""});
  }
  for (const datasets::StemFile& stem : out.stems) check_reference(stem.path, song.file);
  return out;
}

/// What an oracle is given: all stems, because its masks are shares of their sum; or, where a sum of stems is asked for,
/// the signals asked for, which then are the problem.
std::vector<datasets::StemFile> oracle_references(const Request& request, const TrueStems& known) {
  const auto is_stem = [&](const std::string& name) {
    return std::ranges::any_of(known.stems, [&](const datasets::StemFile& file) { return file.name == name; });
  };
  if (std::ranges::all_of(request.targets, is_stem)) return known.stems;
  std::vector<datasets::StemFile> out;
  for (const std::string& name : request.targets) out.push_back(*known.find(name));
  return out;
}

/// The true signal of a stem that was written: a file, or the sum of all others for what is left without one.
harness::OpenSource true_signal(const Request& request, const TrueStems& known, const std::string& target) {
  if (const datasets::StemFile* file = known.find(target); file != nullptr) {
    return [&request, path = file->path] { return open_part(request, path); };
  }
  const std::string left_out = target == "accompaniment" ? "vocals" : target.starts_with("no_") ? target.substr(3) : "";
  if (left_out.empty() || known.find(left_out) == nullptr) return nullptr;
  std::vector<fs::path> files;
  for (const datasets::StemFile& file : known.stems) {
    if (file.name != left_out) files.push_back(file.path);
  }
  if (files.empty()) return nullptr;
  return [&request, files] {
    std::vector<std::unique_ptr<audio::Source>> terms;
    for (const fs::path& file : files) terms.push_back(open_part(request, file));
    return audio::sum(std::move(terms));
  };
}

struct Outcome {
  std::vector<Written> stems;
  std::vector<fs::path> pictures;
  core::Cost cost;  ///< of the separation, reading and writing included
};

/// A bound on memory is kept, or the file is refused before anything is computed. Containers that do not know their
/// length are taken at their word about it.
void require_memory(const Request& request, const audio::Source& mixture, const Song& song) {
  if (request.memory_gb <= 0) return;
  const std::int64_t samples = mixture.expected_length().value_or(0);
  const methods::MemoryNeed need =
      methods::memory_need(request.separator->info(), samples, mixture.channels(), mixture.rate_hz());
  const double gigabytes = static_cast<double>(need.fixed_bytes + need.call_bytes) * 1e-9;
  if (gigabytes <= request.memory_gb) return;
  throw Error({Code::resource, song.given, "needs more memory than it may take with " + request.separator->info().spec,
               fmt::format("at most {:.2f} GB", request.memory_gb), fmt::format("about {:.2f} GB", gigabytes),
               "raise --memory-gb, or give shorter pieces"});
}

std::vector<fs::path> draw_pictures(const Invocation& invocation, const Request& request, const Song& song,
                                    const std::vector<Written>& stems, const TrueStems& known) {
  harness::PictureRequest wanted;
  wanted.song = song.name;
  wanted.spec = request.spec;
  wanted.mixture = [&] { return open_part(request, song.file); };
  for (const Written& stem : stems) {
    wanted.stems.push_back({stem.target, [path = stem.path] { return audio::open_file(path); }});
    if (harness::OpenSource truth = true_signal(request, known, stem.target)) {
      wanted.true_stems.push_back({stem.target, std::move(truth)});
    }
  }
  if (request.separator->info().needs_references) {
    for (const datasets::StemFile& file : oracle_references(request, known)) {
      wanted.references.push_back({file.name, [&request, path = file.path] { return open_part(request, path); }});
    }
  }
  wanted.components = request.picture_components;
  wanted.seed = invocation.seed();
  wanted.threads = invocation.threads();
  wanted.stop = invocation.stop;
  FileProgress progress(invocation.console->progress(), song.file.filename().string() + ": pictures");
  wanted.progress = &progress;
  wanted.log = invocation.console->log();
  return writing([&] {
    return harness::write_pictures(*request.separator, harness::builtin_methods(), wanted,
                                   request.pictures / safe_name(song.name));
  });
}

Outcome separate_file(const Invocation& invocation, const Request& request, const Song& song) {
  const core::LogFn log = invocation.console->log();
  const methods::SeparatorInfo& info = request.separator->info();
  const std::unique_ptr<audio::Source> mixture = open_part(request, song.file);
  if (mixture->length() && *mixture->length() == 0) {
    throw Error({Code::format, song.given, "no samples", "at least 1 sample", "0 samples", ""});
  }
  if (invocation.console->verbose()) {
    const auto seconds = [&](std::int64_t samples) { return static_cast<double>(samples) / mixture->rate_hz(); };
    const auto length = mixture->expected_length();
    core::log(log, LogLevel::debug,
              fmt::format("{}: {}, {} channel{} at {} Hz, {}", song.given, audio::probe(song.file).format,
                          mixture->channels(), mixture->channels() == 1 ? "" : "s", mixture->rate_hz(),
                          length ? fmt::format("{:.2f} s", seconds(*length)) : std::string("of unknown length")));
  }
  require_memory(request, *mixture, song);
  audio::require_writable("stem" + request.extension, mixture->channels(), mixture->rate_hz(), request.write);
  methods::Options options;
  options.seed = invocation.seed();
  options.threads = invocation.threads();
  options.targets = request.fixed_targets() ? std::vector<std::string>{} : request.targets;
  options.stop = invocation.stop;
  FileProgress progress(invocation.console->progress(), song.file.filename().string());
  options.progress = &progress;
  options.log = log;
  TrueStems known;
  if (!request.references.empty()) known = find_references(request, song, log);
  std::vector<std::unique_ptr<audio::Source>> owned;
  methods::References references;
  if (info.needs_references) {
    for (const datasets::StemFile& file : oracle_references(request, known)) {
      owned.push_back(open_part(request, file.path));
      references.names.push_back(file.name);
      references.sources.push_back(owned.back().get());
    }
    options.references = &references;
    options.targets = references.names;
  }
  FileSink::Wanted wanted{
      .out = request.out,
      .names = request.names,
      .song = &song,
      .options = request.write,
      .only = request.fixed_targets() || info.needs_references ? request.targets : std::vector<std::string>{},
      .inputs = &request.inputs};
  FileSink files(std::move(wanted));
  TwoStems two(files, request.two_stems, [&] { return open_part(request, song.file); });
  if (!request.two_stems.empty()) {
    const std::vector<std::string> asked = options.targets.empty() ? methods::default_targets() : options.targets;
    (void)TwoStems::names(request.two_stems, request.separator->targets_for(asked), info.spec);
  }
  core::Cost cost;
  options.cost = &cost;
  methods::StemSink& sink = request.two_stems.empty() ? static_cast<methods::StemSink&>(files) : two;
  const std::int64_t samples = request.separator->separate(*mixture, sink, options);
  Outcome outcome{files.finish(), {}, cost};
  core::log(log, LogLevel::debug,
            fmt::format("{}: {:.2f} s of audio in {:.2f} s ({:.2f} s of CPU time), {:.0f} MB at most", song.given,
                        static_cast<double>(samples) / mixture->rate_hz(), cost.wall_s, cost.cpu_s,
                        static_cast<double>(cost.peak_rss_bytes) * 1e-6));
  if (!request.pictures.empty()) {
    outcome.pictures = draw_pictures(invocation, request, song, outcome.stems, known);
  }
  return outcome;
}

/// No two songs may write one file.
void check_names(const std::vector<Song>& songs, const FileNames& names, const fs::path& out) {
  std::map<fs::path, const Song*> seen;
  for (const Song& song : songs) {
    if (song.defect) continue;
    const fs::path path = names.path(song, "vocals");
    const auto [at, fresh] = seen.emplace(path, &song);
    if (fresh) continue;
    throw Error({Code::config, song.given,
                 std::string(names.usual() ? "its stems would go to the same folder as those of "
                                           : "its stems would get the names of those of ") +
                     at->second->given,
                 "one name per file", (out / (names.usual() ? path.parent_path() : path)).string(),
                 song.file.parent_path() == at->second->file.parent_path()
                     ? "--filename '{track}.{trackext}/{stem}.{ext}' names their formats as well"
                     : "--filename '{dir}/{track}/{stem}.{ext}' names their folders as well"});
  }
}

/// The method's spec with the flags written into it that methods have (methods/flags.h). `targets_folded`: --targets is
/// one of them.
core::Spec folded_spec(const Settings& settings, const methods::Registry& registry, bool& targets_folded) {
  const std::string& text = settings.text("method");
  if (const std::vector<std::string> several = core::split_specs(text); several.size() > 1) {
    throw Error({Code::config, "separate", "several methods", "one", core::join(several, " and "),
                 "call it once for each, or `mssbench run` for a table of several"});
  }
  const core::Spec spec = core::parse_spec(text);
  methods::FlagValues given;
  for (const methods::MethodEntry& entry : registry.methods()) {
    for (const methods::Flag& flag : entry.flags) {
      const std::string& name = flag.param.name;
      if (!settings.is_set(name) || methods::flag_value(given, name) != nullptr) continue;
      // --targets is also an option for methods that have no flag of this name.
      if (name == "targets") {
        const bool folds = entry.name == spec.method.name;
        if (folds && !settings.list("targets").empty()) {
          given.emplace_back(name, core::join(settings.list("targets"), "+"));
          targets_folded = true;
        }
      } else {
        given.emplace_back(name, settings.at(name).values.front());
      }
    }
  }
  return methods::fold_flags(registry, spec, given);
}

/// The flags of all methods as options; the first method that has a flag describes it.
void add_flags(std::vector<Option>& options) {
  std::vector<std::string> owners;
  std::vector<Option> flags;
  for (const methods::MethodEntry& entry : harness::builtin_methods().methods()) {
    for (const methods::Flag& flag : entry.flags) {
      const auto same = [&flag](const Option& option) { return option.param.name == flag.param.name; };
      if (std::ranges::any_of(options, same)) continue;
      const auto known = std::ranges::find_if(flags, same);
      if (known != flags.end()) {
        owners[static_cast<std::size_t>(known - flags.begin())] += ", " + entry.name;
        continue;
      }
      flags.push_back({.param = flag.param, .placeholder = flag.placeholder});
      owners.push_back(entry.name);
    }
  }
  for (std::size_t i = 0; i < flags.size(); ++i) {
    flags[i].param.help = fmt::format("{} (an option of {})", flags[i].param.help, owners[i]);
    options.push_back(std::move(flags[i]));
  }
}

struct Format {
  std::string extension;
  audio::WriteOptions write;
};

/// --format, or what Demucs' command line calls it.
Format format_of(const Settings& settings) {
  std::string format = settings.text("format");
  std::string said = settings.at("format").origin != Origin::builtin ? "--format " + format : "";
  for (const char* flag : {"float32", "int16", "mp3"}) {
    if (!settings.flag(flag)) continue;
    const std::string means = flag == std::string_view("int16") ? "pcm16" : flag;
    if (!said.empty() && format != means) {
      throw Error({Code::config, "separate", "the format of the files is said twice",
                   "one of --format, --float32, --int16, --mp3", said + " and --" + flag, ""});
    }
    format = means;
    said = std::string("--") + flag;
  }
  Format out;
  if (settings.flag("flac") && format != "flac") {
    if (format == "mp3" || format == "m4a") {
      throw Error(
          {Code::config, "separate", "the format of the files is said twice", "one of --flac and " + said, "both", ""});
    }
    if (format == "float32" && !said.empty()) {
      throw Error({Code::config, said, "FLAC holds integers only", "pcm16 or pcm24", format, ""});
    }
    out.write.format = format == "pcm16" ? audio::SampleFormat::pcm16 : audio::SampleFormat::pcm24;
    format = "flac";
  } else if (format == "flac" || format == "pcm24") {
    out.write.format = audio::SampleFormat::pcm24;
  } else if (format == "pcm16") {
    out.write.format = audio::SampleFormat::pcm16;
  }
  const bool lossy = format == "mp3" || format == "m4a";
  out.extension = lossy || format == "flac" ? "." + format : ".wav";
  if (settings.integer("bitrate") > 0 && !lossy) {
    throw Error({Code::config, settings.at("bitrate").place, "only mp3 and m4a have a bit rate", "--format mp3 or m4a",
                 format, ""});
  }
  out.write.bitrate_kbps = static_cast<int>(settings.integer("bitrate"));
  return out;
}

/// Names that the method does not yield are refused before anything is read.
void check_targets(const Settings& settings, const Request& request) {
  const methods::SeparatorInfo& info = request.separator->info();
  if (!request.two_stems.empty()) {
    if (settings.is_set("targets") && !settings.list("targets").empty()) {
      throw Error(
          {Code::config, "separate", "--targets and --two-stems exclude each other", "one of them", "both", ""});
    }
    if (!info.needs_references) {
      (void)TwoStems::names(request.two_stems, request.separator->targets_for(methods::default_targets()), info.spec);
    }
  }
  if (!request.fixed_targets()) return;
  for (const std::string& target : request.targets) {
    if (std::ranges::find(info.targets, target) != info.targets.end()) continue;
    throw Error({Code::config, info.spec, "--targets: the method has no stem '" + target + "'",
                 core::join(info.targets, ", "), "", core::did_you_mean(target, info.targets)});
  }
}

int run_separate(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  Console& console = *invocation.console;
  const methods::Registry& registry = harness::builtin_methods();
  bool targets_folded = false;
  const core::Spec spec = folded_spec(settings, registry, targets_folded);
  const std::unique_ptr<methods::Separator> separator = registry.make(spec);
  const methods::SeparatorInfo& info = separator->info();

  Request request;
  request.separator = separator.get();
  request.out = settings.text("out");
  request.references = settings.text("references");
  request.memory_gb = settings.real("memory_gb");
  request.pictures = settings.text("pictures");
  request.picture_components = static_cast<int>(settings.integer("picture_components"));
  request.spec = core::to_string(spec);
  request.two_stems = settings.text("two_stems");
  if (!targets_folded) request.targets = settings.list("targets");
  request.start_s = settings.real("start");
  request.duration_s = settings.real("duration");
  check_targets(settings, request);
  const Format format = format_of(settings);
  request.extension = format.extension;
  request.write = format.write;
  if (!audio::can_write(request.extension))
    audio::require_writable("stem" + request.extension, 2, 44100, request.write);
  const FileNames names(settings.text("filename"), request.extension, "--filename");
  request.names = &names;
  if (info.needs_references && request.references.empty()) {
    throw Error(
        {Code::config, info.spec, "this method is an oracle: it needs the true stems", "--references DIR", "none", ""});
  }
  if (!info.needs_references && !request.references.empty() && request.pictures.empty()) {
    console.message(LogLevel::warning, "--references: " + info.spec + " takes no references; they are not read");
    request.references.clear();
  }
  const std::vector<Song> songs = songs_of(invocation.arguments);
  for (const Song& song : songs) request.inputs.add(song.file);
  check_names(songs, names, request.out);
  console.message(LogLevel::debug, fmt::format("{}: {}", info.spec, core::dump_json(info.resolved_options)));
  if (!info.weights_label.empty()) console.message(LogLevel::debug, "weights: " + info.weights_label);
  console.message(
      LogLevel::debug,
      fmt::format("{} song{} with {} thread{}, {}", songs.size(), songs.size() == 1 ? "" : "s",
                  core::resolve_threads(invocation.threads()),
                  core::resolve_threads(invocation.threads()) == 1 ? "" : "s", core::isa_name(core::active_isa())));

  Value report = Value::array();
  std::size_t failed = 0;
  int first_status = kOk;
  const auto fail = [&](int status, const Error& error, const Song& song) {
    console.error(error);
    if (failed++ == 0) first_status = status;
    Value entry = Value::object();
    entry["file"] = song.given;
    entry["error"] = error.what();
    report.push_back(std::move(entry));
  };
  for (const Song& song : songs) {
    try {
      invocation.stop.check();
      if (song.defect) throw Error(*song.defect);
      const Outcome outcome = separate_file(invocation, request, song);
      Value entry = Value::object();
      entry["file"] = song.given;
      entry["spec"] = info.spec;
      entry["stems"] = Value::array();
      for (const Written& output : outcome.stems) {
        if (output.clipped > 0) {
          console.message(LogLevel::warning,
                          fmt::format("{}: {} samples beyond full scale were clipped; --format float32 keeps them",
                                      output.path.string(), output.clipped));
        }
        Value stem = Value::object();
        stem["target"] = output.target;
        stem["path"] = output.path.string();
        stem["clipped_samples"] = output.clipped;
        entry["stems"].push_back(std::move(stem));
        if (!invocation.json()) console.result(output.path.string() + "\n");
      }
      entry["measured"] = Value::object();
      entry["measured"]["wall_s"] = outcome.cost.wall_s;
      entry["measured"]["cpu_s"] = outcome.cost.cpu_s;
      entry["measured"]["peak_rss_bytes"] = outcome.cost.peak_rss_bytes;
      if (!outcome.pictures.empty()) {
        entry["pictures"] = Value::array();
        for (const fs::path& picture : outcome.pictures) {
          entry["pictures"].push_back(picture.string());
          if (!invocation.json()) console.result(picture.string() + "\n");
        }
      }
      report.push_back(std::move(entry));
    } catch (const Failure& failure) {
      fail(failure.error().code() == Code::config ? kUsage : failure.status(), failure.error(), song);
    } catch (const Error& error) {
      if (error.code() == Code::cancelled) throw;
      fail(input_status(error.code()), placed(error, song.given), song);
    }
  }
  if (invocation.json()) console.result(core::dump_json(report, 2) + "\n");
  if (failed == 0) return kOk;
  return failed == songs.size() ? first_status : kPartial;
}

}  // namespace

Command separate_command() {
  Command command = {
      .name = "separate",
      .summary = "split audio files into stems",
      .description =
          "Separates every song with one method and writes a file per stem to DIR/<name of the file>/<stem>.wav, as "
          "long as the song, at its rate and channels, never rescaled. A folder stands for the songs in it and in the "
          "folders below; a folder with a mixture and its stems is one song, named like the folder. Files stream "
          "through; methods that look at the "
          "whole song say how much memory they take for it (mssbench methods NAME). Stems appear under their names "
          "only when the whole file is done, over earlier "
          "ones. "
          "The paths written are printed.\n\n"
          "A file that fails does not stop the others.",
      .arguments = {{.name = "FILE",
                     .help = "Audio to separate: wav, flac, mp3, ogg, aiff, m4a, mp4 (the first stream of a stem.mp4), "
                             "…; or a folder.",
                     .least = 1,
                     .most = -1,
                     .complete = Complete::file}},
      .options =
          {{.param = {.name = "method", .help = "Method, as a spec string."},
            .letter = 'm',
            .placeholder = "SPEC",
            .separator = '\0',
            .required = true,
            .complete = Complete::spec},
           {.param = {.name = "out", .type = ParamType::file, .help = "Folder for the stems."},
            .letter = 'o',
            .placeholder = "DIR",
            .required = true,
            .complete = Complete::directory},
           {.param = {.name = "references",
                      .type = ParamType::file,
                      .help = "Folder of the true stems, or of one such folder per song (named like it): for "
                              "oracles, and for pictures, which show them beside the estimates."},
            .placeholder = "DIR",
            .complete = Complete::directory},
           {.param = {.name = "targets",
                      .help = "Stems to write; all without it. Methods that have none of their own (floors) yield "
                              "those asked for, without it vocals, drums, bass, other. Networks compute only "
                              "these: folded into the spec."},
            .placeholder = "NAME",
            .list = true,
            .complete = Complete::target},
           {.param = {.name = "two_stems",
                      .help = "Write NAME and no_NAME: the sum of the method's other stems, or, where NAME is its "
                              "only one, what NAME leaves of the mixture."},
            .placeholder = "NAME",
            .complete = Complete::target},
           {.param = {.name = "start",
                      .type = ParamType::real,
                      .default_value = "0",
                      .unit = "s",
                      .range = "[0,inf)",
                      .help = "Separate from this time of the song on."},
            .placeholder = "SECONDS"},
           {.param = {.name = "duration",
                      .type = ParamType::real,
                      .default_value = "0",
                      .unit = "s",
                      .range = "[0,inf)",
                      .help = "Separate this much of the song; 0: to its end."},
            .placeholder = "SECONDS"},
           {.param = {.name = "filename",
                      .default_value = FileNames::kUsual,
                      .help = "Names of the files below DIR: {track} the song, {trackext} its file's extension, "
                              "{stem}, {ext} the extension of what is written, {dir} the folder that the song "
                              "lies in."},
            .placeholder = "TEMPLATE"},
           {.param = {.name = "format",
                      .type = ParamType::choice,
                      .default_value = "float32",
                      .range = "float32|pcm16|pcm24|flac|mp3|m4a",
                      .help = "What is written: WAV as float32, pcm16 or pcm24, FLAC with 24 bit, MP3 or AAC (where "
                              "libavcodec has the encoder). All but float32 clip, with a warning."},
            .placeholder = "FORMAT",
            .complete = Complete::choice},
           {.param = {.name = "bitrate",
                      .type = ParamType::integer,
                      .default_value = "0",
                      .unit = "kbit/s",
                      .range = "[0,1024]",
                      .help = "Bit rate of mp3 and m4a; 0: 320 and 256."},
            .placeholder = "N"},
           {.param = {.name = "float32",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "--format float32, as Demucs' command line calls it."},
            .setting = false},
           {.param = {.name = "int16",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "--format pcm16, as Demucs' command line calls it. Stems are not rescaled: what "
                              "is beyond full scale is clipped, with a warning."},
            .setting = false},
           {.param = {.name = "flac",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "Write FLAC files instead of WAV: 24 bit, with --format pcm16 16."}},
           {.param = {.name = "mp3",
                      .type = ParamType::boolean,
                      .default_value = "false",
                      .help = "--format mp3, as Demucs' command line calls it."},
            .setting = false},
           {.param = {.name = "memory_gb",
                      .type = ParamType::real,
                      .default_value = "0",
                      .unit = "GB",
                      .range = "[0,inf)",
                      .help = "Most memory for the separation; a file that needs more with this method is refused "
                              "before anything is computed. 0: no bound."},
            .placeholder = "GB"},
           {.param = {.name = "pictures",
                      .type = ParamType::file,
                      .help = "Draw PNG pictures into DIR/<name of the song>/: spectrograms of mixture and stems, "
                              "beside the true stems where --references gives them; for NMF methods templates "
                              "and activations too, one picture per target (the factors are computed a second "
                              "time)."},
            .placeholder = "DIR",
            .complete = Complete::directory},
           {.param = {.name = "picture_components",
                      .type = ParamType::integer,
                      .default_value = "16",
                      .range = "[0,100000]",
                      .help = "At most so many pictures of single NMF components, the loudest ones."},
            .placeholder = "N"}},
      .examples = {{"mssbench separate song.wav -m nmf@cc0 -o stems", "four stems of a song, in stems/song/"},
                   {"mssbench separate songs/ -m repet-sim -o karaoke --two-stems vocals --format mp3",
                    "all songs in a folder, as vocals.mp3 and no_vocals.mp3"},
                   {"mssbench separate a/mixture.wav b/mixture.wav -m nmf@cc0 -o stems --filename '{dir}/{stem}.{ext}'",
                    "stems/a/vocals.wav, …"},
                   {"mssbench separate song.flac -m nmf:components=24 -o parts --start 60 --duration 30",
                    "24 components of half a minute"},
                   {"mssbench separate song.wav -m nmfd:components=8 -o stems --pictures pictures",
                    "with pictures of templates, activations and spectrograms"},
                   {"mssbench separate song.wav -m umx@official:weights=umxhq -o stems",
                    "Open-Unmix as its package runs it, weights from the folder umxhq"},
                   {"mssbench separate song.wav -m demucs:weights=demucs-e07c671f.th --shifts 4 -o stems",
                    "Demucs, averaged over four random shifts"},
                   {"mssbench separate mix.wav -m irm2 -o oracle --references true_stems",
                    "the best that a ratio mask can do, from the true stems"}},
      .run = run_separate};
  add_flags(command.options);
  return command;
}

}  // namespace mss::cli
