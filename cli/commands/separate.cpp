// mssbench separate: audio files in, one file per stem out, in the memory of a few windows.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "audio/file.h"
#include "cli/commands/commands.h"
#include "cli/failure.h"
#include "cli/invocation.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "datasets/stem_folder.h"
#include "harness/builtin_methods.h"
#include "harness/pictures.h"
#include "methods/flags.h"
#include "methods/registry.h"
#include "methods/separator.h"
#include "records/store.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;
using core::ParamType;
using core::Value;

/// The folder below -o that a song's stems go to: its name, or, where that has a meaning in paths ("..wav" and "...wav"
/// leave "." and ".."), that name escaped.
std::string output_name(const fs::path& song) {
  const std::string name = datasets::song_name(song);
  return name.empty() || name == "." || name == ".." ? records::path_component(name) : name;
}

struct Written {
  std::string target;
  fs::path path;
  std::int64_t clipped = 0;
};

/// Streams stems into one writer per target; nothing stands under its final name before finish().
class FileSink final : public methods::StemSink {
 public:
  FileSink(fs::path folder, std::string extension, audio::WriteOptions options, std::vector<fs::path> protect)
      : folder_(std::move(folder)), extension_(std::move(extension)), options_(options), protect_(std::move(protect)) {}

  void begin(const methods::StemFormat& format) override {
    writing([&] {
      core::make_directories(folder_);
      for (const std::string& target : format.targets) {
        const fs::path path = folder_ / (records::path_component(target) + extension_);
        std::error_code ignored;
        for (const fs::path& input : protect_) {
          if (fs::equivalent(path, input, ignored)) {
            throw Error({Code::config, path.string(), "would overwrite an input file", "", "", "choose another -o"});
          }
        }
        outputs_.push_back({target, path, 0});
        writers_.push_back(std::make_unique<audio::Writer>(path, format.channels, format.rate_hz, options_));
      }
    });
  }
  void write(const methods::StemBlock& block) override {
    writing([&] {
      for (std::size_t s = 0; s < writers_.size(); ++s) writers_[s]->write(block.stems[s]);
    });
  }
  /// Closes the files and moves them into place.
  std::vector<Written> finish() {
    return writing([&] {
      for (std::size_t s = 0; s < writers_.size(); ++s) outputs_[s].clipped = writers_[s]->finish();
      return outputs_;
    });
  }

 private:
  fs::path folder_;
  std::string extension_;
  audio::WriteOptions options_;
  std::vector<fs::path> protect_;
  std::vector<Written> outputs_;
  std::vector<std::unique_ptr<audio::Writer>> writers_;
};

/// Progress of one file under the file's name.
class FileProgress final : public core::Progress {
 public:
  FileProgress(core::Progress& out, std::string name) : out_(out), name_(std::move(name)) {}
  void begin(std::string_view, std::int64_t total) override { out_.begin(name_, total); }
  void update(std::int64_t done, std::string_view item) override { out_.update(done, item); }
  void end() override { out_.end(); }

 private:
  core::Progress& out_;
  std::string name_;
};

/// True stems of one song, opened for reading.
struct OpenReferences {
  std::vector<std::unique_ptr<audio::Source>> owned;
  std::vector<fs::path> paths;
  methods::References references;
};

void check_reference(const audio::Source& reference, const fs::path& file, const audio::Source& mixture,
                     const std::string& mixture_name) {
  if (reference.rate_hz() != mixture.rate_hz()) {
    throw Error({Code::dataset, file.string(), "another rate than " + mixture_name,
                 std::to_string(mixture.rate_hz()) + " Hz", std::to_string(reference.rate_hz()) + " Hz", ""});
  }
  if (reference.channels() != mixture.channels()) {
    throw Error({Code::dataset, file.string(), "another number of channels than " + mixture_name,
                 std::to_string(mixture.channels()), std::to_string(reference.channels()), ""});
  }
  if (reference.length() && mixture.length() && *reference.length() != *mixture.length()) {
    throw Error({Code::dataset, file.string(), "another length than " + mixture_name,
                 fmt::format("{} samples", *mixture.length()), fmt::format("{} samples", *reference.length()), ""});
  }
}

OpenReferences open_references(const fs::path& where, const fs::path& song, const std::vector<std::string>& targets,
                               const audio::Source& mixture, const core::LogFn& log) {
  fs::path path = where / datasets::song_name(song);
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) path = where;
  datasets::StemFolder folder = datasets::read_stem_folder(path);
  if (folder.defect) throw Error(*folder.defect);
  if (targets.empty()) datasets::name_accompaniment(folder);  // else the caller has named the files
  for (const auto& [written, name] : folder.taken) {
    core::log(log, core::LogLevel::info, path.string() + ": '" + written + "' is taken for '" + name + "'");
  }
  std::vector<datasets::StemFile> wanted = folder.stems;
  if (!targets.empty()) {
    wanted.clear();
    std::vector<datasets::StemFile> known = folder.stems;
    known.insert(known.end(), folder.derived.begin(), folder.derived.end());
    std::vector<std::string> names;
    for (const datasets::StemFile& file : known) names.push_back(file.name);
    for (const std::string& name : targets) {
      const auto found = std::find(names.begin(), names.end(), name);
      if (found == names.end()) {
        throw Error({Code::dataset, path.string(), "missing stem '" + name + "'",
                     name + ".wav (or " + datasets::audio_extensions() + ")", core::join(names, ", "),
                     core::did_you_mean(name, names)});
      }
      wanted.push_back(known[static_cast<std::size_t>(found - names.begin())]);
    }
  }
  if (wanted.empty()) {
    throw Error({Code::dataset, path.string(), "no stems in the folder of references",
                 "one audio file per stem, such as vocals.wav", "", ""});
  }
  OpenReferences out;
  for (const datasets::StemFile& stem : wanted) {
    out.owned.push_back(audio::open_file(stem.path));
    check_reference(*out.owned.back(), stem.path, mixture, song.string());
    out.paths.push_back(stem.path);
    out.references.names.push_back(stem.name);
    out.references.sources.push_back(out.owned.back().get());
  }
  return out;
}

struct Request {
  const methods::Separator* separator = nullptr;
  fs::path out, references, pictures;
  std::string spec;  ///< as given
  std::vector<std::string> targets;
  std::string extension;
  audio::WriteOptions write;
  double memory_gb = 0;  ///< 0 = no bound
};

struct Outcome {
  std::vector<Written> stems;
  std::vector<fs::path> pictures;
  core::Cost cost;  ///< of the separation, reading and writing included
};

/// A bound on memory is kept, or the file is refused before anything is computed. Containers that do not know their
/// length are taken at their word about it.
void require_memory(const Request& request, const audio::Source& mixture, const fs::path& song) {
  if (request.memory_gb <= 0) return;
  const std::int64_t samples = mixture.length().value_or(audio::probe(song).samples.value_or(0));
  const methods::MemoryNeed need =
      methods::memory_need(request.separator->info(), samples, mixture.channels(), mixture.rate_hz());
  const double gigabytes = static_cast<double>(need.fixed_bytes + need.call_bytes) * 1e-9;
  if (gigabytes <= request.memory_gb) return;
  throw Error({Code::resource, song.string(),
               "needs more memory than it may take with " + request.separator->info().spec,
               fmt::format("at most {:.2f} GB", request.memory_gb), fmt::format("about {:.2f} GB", gigabytes),
               "raise --memory-gb, or give shorter pieces"});
}

Outcome separate_file(const Invocation& invocation, const Request& request, const fs::path& song) {
  std::error_code ignored;
  if (fs::is_directory(song, ignored)) {
    throw Error({Code::io, song.string(), "is a folder", "an audio file", "", "mssbench run works through data sets"});
  }
  const std::unique_ptr<audio::Source> mixture = audio::open_file(song);
  if (mixture->length() && *mixture->length() == 0) {
    throw Error({Code::format, song.string(), "no samples", "at least 1 sample", "0 samples", ""});
  }
  require_memory(request, *mixture, song);
  methods::Options options;
  options.seed = invocation.seed();
  options.threads = invocation.threads();
  options.targets = request.targets;
  options.stop = invocation.stop;
  FileProgress progress(invocation.console->progress(), song.filename().string());
  options.progress = &progress;
  options.log = invocation.console->log();
  OpenReferences references;
  std::vector<fs::path> protect = {song};
  if (request.separator->info().needs_references) {
    references = open_references(request.references, song, request.targets, *mixture, options.log);
    options.references = &references.references;
    options.targets = references.references.names;
  }
  FileSink sink(request.out / output_name(song), request.extension, request.write, std::move(protect));
  core::Cost cost;
  options.cost = &cost;
  request.separator->separate(*mixture, sink, options);
  Outcome outcome{sink.finish(), {}, cost};
  if (request.pictures.empty()) return outcome;
  harness::PictureRequest wanted;
  wanted.song = output_name(song);
  wanted.spec = request.spec;
  wanted.mixture = [&song] { return audio::open_file(song); };
  for (const Written& stem : outcome.stems)
    wanted.stems.push_back({stem.target, [path = stem.path] { return audio::open_file(path); }});
  for (std::size_t s = 0; s < references.paths.size(); ++s) {
    wanted.references.push_back(
        {references.references.names[s], [path = references.paths[s]] { return audio::open_file(path); }});
  }
  wanted.seed = options.seed;
  wanted.threads = options.threads;
  wanted.stop = options.stop;
  outcome.pictures = harness::write_pictures(*request.separator, wanted, request.pictures / output_name(song));
  return outcome;
}

void check_folders(const std::vector<std::string>& songs, const fs::path& out) {
  std::map<std::string, std::string> seen;
  for (const std::string& song : songs) {
    const auto [at, fresh] = seen.emplace(output_name(song), song);
    if (!fresh) {
      throw Error({Code::config, song, "its stems would go to the same folder as those of " + at->second,
                   "one name per file", (out / at->first).string(), "separate them into different folders"});
    }
  }
}

/// The method's spec with the flags written into it that methods have (methods/flags.h).
core::Spec folded_spec(const Settings& settings, const methods::Registry& registry) {
  const core::Spec spec = core::parse_spec(settings.text("method"));
  methods::FlagValues given;
  for (const methods::MethodEntry& entry : registry.methods()) {
    for (const methods::Flag& flag : entry.flags) {
      const std::string& name = flag.param.name;
      if (!settings.is_set(name) || methods::flag_value(given, name) != nullptr) continue;
      // --targets is also an option for methods that have no flag of this name.
      if (name == "targets") {
        const bool folds = entry.name == spec.method.name;
        if (folds && !settings.list("targets").empty())
          given.emplace_back(name, core::join(settings.list("targets"), "+"));
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

/// --format, or what Demucs' command line calls it.
std::string format_of(const Settings& settings) {
  std::string format = settings.text("format");
  const bool float32 = settings.flag("float32"), int16 = settings.flag("int16");
  const bool said = settings.at("format").origin != Origin::builtin;
  for (const auto& [flag, means] : {std::pair{float32, "float32"}, std::pair{int16, "pcm16"}}) {
    if (!flag) continue;
    if ((float32 && int16) || (said && format != means)) {
      throw Error({Code::config, "separate", "the format of the files is said twice",
                   "one of --format, --float32, --int16",
                   float32 && int16 ? "--float32 and --int16"
                                    : fmt::format("--format {} and --{}", format, float32 ? "float32" : "int16"),
                   ""});
    }
    format = means;
  }
  return format;
}

int run_separate(Invocation& invocation) {
  const Settings& settings = *invocation.settings;
  const methods::Registry& registry = harness::builtin_methods();
  const core::Spec spec = folded_spec(settings, registry);
  const std::unique_ptr<methods::Separator> separator = registry.make(spec);

  Request request;
  request.separator = separator.get();
  request.out = settings.text("out");
  request.references = settings.text("references");
  request.memory_gb = settings.real("memory_gb");
  request.pictures = settings.text("pictures");
  request.spec = core::to_string(spec);
  request.targets = settings.list("targets");
  request.extension = settings.flag("flac") ? ".flac" : ".wav";
  std::string format = format_of(settings);
  if (settings.flag("flac") && format == "float32") {
    if (settings.at("format").origin != Origin::builtin || settings.flag("float32")) {
      throw Error({Code::config, settings.flag("float32") ? "--float32" : settings.at("format").place,
                   "FLAC holds integers only", "pcm16 or pcm24", format, ""});
    }
    format = "pcm24";
  }
  request.write.format = format == "pcm16"   ? audio::SampleFormat::pcm16
                         : format == "pcm24" ? audio::SampleFormat::pcm24
                                             : audio::SampleFormat::float32;
  if (separator->info().needs_references && request.references.empty()) {
    throw Error({Code::config, separator->info().spec, "this method is an oracle: it needs the true stems",
                 "--references DIR", "none", ""});
  }
  if (!separator->info().needs_references && !request.references.empty()) {
    invocation.console->message(core::LogLevel::warning,
                                "--references: " + separator->info().spec + " takes no references; they are not read");
  }
  check_folders(invocation.arguments, request.out);

  Value report = Value::array();
  std::size_t failed = 0;
  int first_status = kOk;
  const auto fail = [&](int status, const Error& error, const std::string& song) {
    invocation.console->error(error);
    if (failed++ == 0) first_status = status;
    Value entry = Value::object();
    entry["file"] = song;
    entry["error"] = error.what();
    report.push_back(std::move(entry));
  };
  for (const std::string& song : invocation.arguments) {
    try {
      invocation.stop.check();
      const Outcome outcome = separate_file(invocation, request, song);
      Value entry = Value::object();
      entry["file"] = song;
      entry["spec"] = separator->info().spec;
      entry["stems"] = Value::array();
      for (const Written& output : outcome.stems) {
        if (output.clipped > 0) {
          invocation.console->message(core::LogLevel::warning,
                                      fmt::format("{}: {} samples beyond full scale were clipped; --format float32 "
                                                  "keeps them",
                                                  output.path.string(), output.clipped));
        }
        Value stem = Value::object();
        stem["target"] = output.target;
        stem["path"] = output.path.string();
        stem["clipped_samples"] = output.clipped;
        entry["stems"].push_back(std::move(stem));
        if (!invocation.json()) invocation.console->result(output.path.string() + "\n");
      }
      entry["measured"] = Value::object();
      entry["measured"]["wall_s"] = outcome.cost.wall_s;
      entry["measured"]["cpu_s"] = outcome.cost.cpu_s;
      entry["measured"]["peak_rss_bytes"] = outcome.cost.peak_rss_bytes;
      if (!outcome.pictures.empty()) {
        entry["pictures"] = Value::array();
        for (const fs::path& picture : outcome.pictures) {
          entry["pictures"].push_back(picture.string());
          if (!invocation.json()) invocation.console->result(picture.string() + "\n");
        }
      }
      report.push_back(std::move(entry));
    } catch (const Failure& failure) {
      fail(failure.error().code() == Code::config ? kUsage : failure.status(), failure.error(), song);
    } catch (const Error& error) {
      if (error.code() == Code::cancelled) throw;
      fail(input_status(error.code()), placed(error, song), song);
    }
  }
  if (invocation.json()) invocation.console->result(core::dump_json(report, 2) + "\n");
  if (failed == 0) return kOk;
  return failed == invocation.arguments.size() ? first_status : kPartial;
}

}  // namespace

Command separate_command() {
  Command command = {
      .name = "separate",
      .summary = "split audio files into stems",
      .description =
          "Separates every FILE with one method and writes a file per stem to DIR/<name of the file>/<stem>.wav, as "
          "long as the file, at its rate and channels, never rescaled. Files stream through; methods that look at the "
          "whole song say how much memory they take for it (mssbench methods NAME). Stems appear under their names "
          "only when the whole file is done, over earlier "
          "ones. "
          "The paths written are printed.\n\n"
          "A file that fails does not stop the others.",
      .arguments = {{.name = "FILE",
                     .help = "Audio to separate: wav, flac, mp3, ogg, aiff, m4a, mp4 (the first stream of a stem.mp4).",
                     .least = 1,
                     .most = -1,
                     .complete = Complete::file}},
      .options = {{.param = {.name = "method", .help = "Method, as a spec string."},
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
                             .help = "Folder of the true stems, or of one such folder per file (named like it), for "
                                     "oracles."},
                   .placeholder = "DIR",
                   .complete = Complete::directory},
                  {.param = {.name = "targets",
                             .help = "Stems asked for from methods that have none of their own (floors, oracles); "
                                     "without it vocals, drums, bass, other, or what the references hold. For "
                                     "networks the stems to compute: folded into the spec."},
                   .placeholder = "NAME",
                   .list = true,
                   .complete = Complete::target},
                  {.param = {.name = "format",
                             .type = ParamType::choice,
                             .default_value = "float32",
                             .range = "float32|pcm16|pcm24",
                             .help = "Samples of the files; integer formats clip, with a warning. FLAC takes pcm24 "
                                     "where float32 was not asked for."},
                   .placeholder = "FORMAT",
                   .complete = Complete::choice},
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
                             .help = "Write FLAC files instead of WAV."}},
                  {.param = {.name = "memory_gb",
                             .type = ParamType::real,
                             .default_value = "0",
                             .unit = "GB",
                             .range = "[0,inf)",
                             .help =
                                 "Most memory for the separation; a file that needs more with this method is refused "
                                 "before anything is computed. 0: no bound."},
                   .placeholder = "GB"},
                  {.param = {.name = "pictures",
                             .type = ParamType::file,
                             .help = "Draw PNG pictures into DIR/<name of the file>/: spectrograms of mixture and "
                                     "stems; for NMF methods templates and activations too, one picture per component "
                                     "and target (the factors are computed a second time)."},
                   .placeholder = "DIR",
                   .complete = Complete::directory}},
      .examples = {{"mssbench separate song.wav -m nmf -o stems", "components of a song, in stems/song/"},
                   {"mssbench separate *.flac -m nmf:components=24 -o stems --format pcm16",
                    "16-bit files, several songs"},
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
