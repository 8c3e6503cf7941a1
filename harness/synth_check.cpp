#include "harness/synth_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <complex>
#include <limits>
#include <map>
#include <optional>
#include <span>

#include "audio/file.h"
#include "audio/stft.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/measure.h"
#include "core/parallel.h"
#include "core/text.h"
#include "datasets/check.h"
#include "datasets/dataset.h"
#include "datasets/synth/composer.h"
#include "datasets/synth/math.h"
#include "datasets/synth/mixer.h"
#include "datasets/synth/notes.h"
#include "datasets/synth/set.h"
#include "datasets/synth/signal.h"
#include "datasets/synth/singer.h"
#include "datasets/synth/soundfonts.h"
#include "eval/scores.h"
#include "harness/scoring.h"

namespace mss::harness {

namespace fs = std::filesystem;
namespace synth = datasets::synth;
using core::Value;
using synth::Split;

namespace {

constexpr std::size_t kFiles = 5;  // mixture, drums, bass, other, vocals
constexpr std::array<const char*, kFiles> kFileNames = {"mixture", "drums", "bass", "other", "vocals"};
constexpr std::size_t kBands = 9;
constexpr std::array<double, kBands + 1> kBandEdgesHz = {20, 60, 120, 250, 500, 1000, 2000, 4000, 8000, 12000};
constexpr std::array<const char*, kBands> kBandNames = {"20-60", "60-120", "120-250", "250-500", "500-1k",
                                                        "1-2k",  "2-4k",   "4-8k",    "8-12k"};
using Bands = std::array<double, kBands>;

// Two MUSDB18 clips ("Music Delta - 80s Rock", "The Easton Ellises - Falcon 69") and the second prototype's sets, in the
// order of kFileNames (spec of the generator, section 11; the numbers before its last change of pitch).
constexpr std::array<std::array<Bands, 2>, kFiles> kRealBands = {{
    {{{-7.4, -7.6, -8.9, -9.2, -8.5, -9.2, -9.1, -21.5, -30.8},
      {-10.2, -6.2, -9.2, -6.2, -7.8, -11.1, -13.2, -19.6, -24.7}}},
    {{{-1.9, -5.5, -15.7, -17.2, -19.8, -25.2, -20.7, -23.0, -30.7},
      {-5.4, -3.9, -8.0, -13.6, -17.9, -18.6, -15.8, -15.6, -19.6}}},
    {{{-18.1, -2.6, -4.8, -12.1, -14.3, -23.2, -29.2, -51.6, -77.7},
      {-13.5, -4.2, -7.8, -6.0, -8.8, -18.2, -18.7, -32.5, -43.8}}},
    {{{-57, -37.7, -16.1, -12.9, -12.1, -5.4, -2.5, -17.6, -62},
      {-52, -24.3, -10.1, -4.1, -7.1, -7.1, -9.4, -22.5, -34.9}}},
    {{{-49, -44, -8.2, -6.3, -5.3, -7.1, -9.6, -20.9, -28.4},
      {-61, -42, -16.0, -5.1, -3.6, -8.2, -12.1, -19.6, -29.1}}},
}};
constexpr std::array<std::array<Bands, 2>, kFiles> kPrototypeBands = {{
    {{{-12.5, -7.2, -7.1, -8.5, -7.9, -11.7, -10.0, -18.1, -26.2},
      {-9.4, -6.0, -7.9, -7.6, -9.0, -11.9, -13.5, -20.2, -27.7}}},
    {{{-9.4, -4.0, -5.9, -14.7, -15.6, -16.9, -14.1, -15.6, -22.8},
      {-9.5, -2.9, -7.8, -15.8, -18.4, -17.0, -15.1, -18.5, -24.8}}},
    {{{-11.8, -5.9, -4.2, -10.1, -14.9, -20.4, -32.5, -48.1, -72.4},
      {-6.4, -5.1, -8.1, -10.4, -15.9, -24.7, -34.0, -50.1, -76.1}}},
    {{{-45, -27.5, -15.8, -8.4, -8.0, -9.9, -5.8, -17.1, -35.4},
      {-42, -26.6, -6.9, -4.7, -8.0, -8.4, -12.1, -21.1, -41.5}}},
    {{{-48, -40, -19.9, -5.7, -3.6, -8.5, -11.1, -22.3, -28.4},
      {-47, -33, -12.5, -4.9, -4.6, -9.1, -10.7, -21.9, -26.9}}},
}};

struct GoldenLoudness {
  Split split;
  std::uint64_t seed;
  bool builtin;
  std::array<double, 5> level_dbfs;  // the prototype's: drums, bass, other, vocals, mixture
  int prototype_peak;
  int peak;  // ours; two of four lie a little beside the prototype's (docs/synthetic.md)
};
constexpr std::array<GoldenLoudness, 4> kGoldenLoudness = {
    {{Split::train, 1, false, {-19.271, -20.848, -24.417, -22.721, -15.444}, 29874, 29875},
     {Split::train, 1000, false, {-21.312, -23.626, -23.725, -23.100, -16.832}, 26062, 26061},
     {Split::test, 101, false, {-21.740, -20.416, -21.736, -21.296, -15.248}, 27762, 27275},
     {Split::train, 1, true, {-19.038, -21.028, -24.493, -22.890, -15.442}, 27975, 27963}}};

struct Separability {
  double mixture = 0, ratio = 0, binary = 0, nmf = 0;
  std::array<double, 4> ratio_stems{};
};

struct SongFacts {
  std::string name;
  Split split = Split::train;
  std::uint64_t seed = 0;
  bool cut = false;
  std::int64_t cut_begin_samples = 0;
  bool sums = false, finite = false, edges = false, all_active = false;
  int peak = 0, mixture_peak = 0;
  std::array<Bands, kFiles> bands{};
  std::array<double, kFiles> level_dbfs{}, crest_db{}, left_right{};
  double gated_dbfs = 0, limiter_db = 0, pauses = 0, score_pauses = 0, correlation = 0;
  std::optional<Separability> separability;
};

double mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return x.empty() ? std::nan("") : sum / static_cast<double>(x.size());
}

double db(double power) { return power > 0 ? 10 * std::log10(power) : -std::numeric_limits<double>::infinity(); }

Bands band_levels(audio::AudioView audio) {
  const audio::StftSpec spec{.fft_size = 4096, .hop_samples = 2048, .framing = audio::Framing::none};
  const audio::Spectrogram<double> x = audio::Stft<double>(spec).forward(audio);
  std::vector<double> power(static_cast<std::size_t>(x.bins()), 0.0);
  for (int c = 0; c < x.channels(); ++c) {
    for (std::int64_t n = 0; n < x.frames(); ++n) {
      const std::complex<double>* frame = x.at(c, n);
      for (std::size_t k = 0; k < power.size(); ++k) power[k] += std::norm(frame[k]);
    }
  }
  double total = 0;
  for (const double p : power) total += p;
  Bands levels{};
  for (std::size_t b = 0; b < kBands; ++b) {
    double sum = 0;
    for (std::size_t k = 0; k < power.size(); ++k) {
      const double hz = static_cast<double>(k) * synth::kRateHz / 4096;
      if (hz >= kBandEdgesHz[b] && hz < kBandEdgesHz[b + 1]) sum += power[k];
    }
    levels[b] = total > 0 ? db(sum / total) : -std::numeric_limits<double>::infinity();
  }
  return levels;
}

/// Mean squares of whole tenths of a second, both channels.
std::vector<double> tenths(audio::AudioView audio) {
  std::vector<double> blocks;
  constexpr std::int64_t kBlock = synth::kRateHz / 10;
  for (std::int64_t t = 0; t + kBlock <= audio.samples(); t += kBlock) {
    blocks.push_back(audio::energy(audio.slice(t, kBlock)) / static_cast<double>(kBlock * audio.channels()));
  }
  return blocks;
}

double gated(const std::vector<double>& blocks) {
  const double loudest = blocks.empty() ? 0 : *std::ranges::max_element(blocks);
  std::vector<double> kept;
  for (const double b : blocks) {
    if (b > 1e-4 * loudest) kept.push_back(b);
  }
  return loudest < 1e-9 ? 0 : mean(kept);
}

/// Share of tenths of a second that lie more than 30 dB below the gated level.
double pauses(const std::vector<double>& blocks) {
  const double limit = gated(blocks) * 1e-3;
  return static_cast<double>(std::ranges::count_if(blocks, [&](double b) { return b < limit || b <= 0; })) /
         static_cast<double>(std::max<std::size_t>(1, blocks.size()));
}

std::vector<double> mono(audio::AudioView audio) {
  std::vector<double> out(static_cast<std::size_t>(audio.samples()));
  for (int c = 0; c < audio.channels(); ++c) {
    const auto channel = audio.channel(c);
    for (std::size_t t = 0; t < out.size(); ++t) out[t] += static_cast<double>(channel[t]);
  }
  return out;
}

double correlation(std::span<const double> a, std::span<const double> b) {
  double aa = 0, bb = 0, ab = 0;
  for (std::size_t t = 0; t < a.size(); ++t) {
    aa += a[t] * a[t];
    bb += b[t] * b[t];
    ab += a[t] * b[t];
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

datasets::TrackAudio excerpt(const datasets::TrackAudio& track, std::int64_t begin, std::int64_t samples) {
  datasets::TrackAudio out;
  out.mixture = audio::AudioBuffer(track.mixture.view().slice(begin, samples));
  out.names = track.names;
  for (const auto& stem : track.stems) out.stems.emplace_back(stem.view().slice(begin, samples));
  return out;
}

/// The seven seconds in which the stems are most active: whole second at which the most tenths of a second of all stems
/// lie within 30 dB of their stem's level.
datasets::TrackAudio most_active(const datasets::TrackAudio& track) {
  const std::int64_t length = std::int64_t{7} * synth::kRateHz;
  if (track.mixture.samples() <= length) return excerpt(track, 0, track.mixture.samples());
  std::vector<int> active(static_cast<std::size_t>(track.mixture.samples() * 10 / synth::kRateHz), 0);
  for (const auto& stem : track.stems) {
    const std::vector<double> blocks = tenths(stem);
    const double limit = gated(blocks) * 1e-3;
    for (std::size_t i = 0; i < blocks.size(); ++i) active[i] += blocks[i] > limit ? 1 : 0;
  }
  int best = -1;
  std::int64_t begin = 0;
  for (std::int64_t s = 0; s * synth::kRateHz + length <= track.mixture.samples(); ++s) {
    int sum = 0;
    for (std::size_t i = 0; i < 70; ++i) sum += active[static_cast<std::size_t>(10 * s) + i];
    if (sum <= best) continue;
    best = sum;
    begin = s * synth::kRateHz;
  }
  return excerpt(track, begin, length);
}

/// Every bin of the mixture to the stem that is loudest in it.
std::vector<audio::AudioBuffer> by_dominant_stem(const datasets::TrackAudio& track) {
  const audio::Stft<float> stft({.fft_size = 4096, .hop_samples = 1024, .framing = audio::Framing::centered_reflect});
  const audio::Spectrogram<float> mixture = stft.forward(track.mixture);
  std::vector<audio::Spectrogram<float>> stems;
  for (const auto& stem : track.stems) stems.push_back(stft.forward(stem));
  for (std::size_t i = 0; i < mixture.data().size(); ++i) {
    std::size_t loudest = 0;
    for (std::size_t q = 1; q < stems.size(); ++q) {
      if (std::norm(stems[q].data()[i]) > std::norm(stems[loudest].data()[i])) loudest = q;
    }
    for (std::size_t q = 0; q < stems.size(); ++q) stems[q].data()[i] = q == loudest ? mixture.data()[i] : 0.0F;
  }
  std::vector<audio::AudioBuffer> out;
  for (const auto& stem : stems) out.push_back(stft.inverse(stem, track.mixture.samples(), track.mixture.rate_hz()));
  return out;
}

class Checker {
 public:
  explicit Checker(const SynthCheckOptions& options) : options_(options), set_(datasets::open(options.root.string())) {
    const fs::path manifest_path = options.root / "manifest.json";
    const bool named = !synth::set_name_of(options.root).empty();  // then it is a regular file that can be read
    const Value manifest = named ? core::read_json_file(manifest_path) : Value::object();
    if (!named || !manifest.at("complete", manifest_path.string()).as_bool(manifest_path.string())) {
      throw Error(ErrorParts{.code = Code::dataset,
                             .where = options.root.string(),
                             .what = "no finished set of composed songs",
                             .expected = "a manifest.json of mssbench synth that says complete",
                             .found = "",
                             .hint = "mssbench synth " + options.root.string() + " goes on where it was stopped"});
    }
    recipe_ = manifest.at("recipe");
    renderer_name_ = core::split(recipe_.at("renderer").as_string(), ' ').front();
    const std::string preset = recipe_.at("preset").as_string();
    const auto known = std::ranges::find(synth::presets(), preset, &synth::Preset::name);
    if (known == synth::presets().end() || (renderer_name_ != "builtin" && renderer_name_ != "fluidsynth")) {
      throw Error({Code::dataset, manifest_path.string(), "no recipe of this program",
                   "preset mini, small or full, and renderer builtin or fluidsynth",
                   "preset '" + preset + "' and renderer '" + renderer_name_ + "'", ""});
    }
    preset_ = &*known;
    if (set_.tracks().empty()) throw Error(Code::dataset, options.root.string(), "the set has no songs");
  }

  std::vector<SynthFinding> run() {
    measure();
    golden();
    exact();
    again();
    separability();
    spectra();
    levels();
    voice_pauses();
    correlations();
    pitch();
    speed();
    fonts();
    std::ranges::stable_sort(findings_, [](const auto& a, const auto& b) { return a.test < b.test; });
    return std::move(findings_);
  }

 private:
  bool builtin() const { return renderer_name_ == "builtin"; }

  void add(int test, std::string what, std::string found, std::string wanted, std::string prototype, Verdict verdict) {
    findings_.push_back({test, std::move(what), std::move(found), std::move(wanted), std::move(prototype), verdict});
  }
  static Verdict judge(bool good) { return good ? Verdict::pass : Verdict::fail; }

  std::vector<const SongFacts*> songs_of(Split split) const {
    std::vector<const SongFacts*> out;
    for (const SongFacts& song : songs_) {
      if (song.split == split) out.push_back(&song);
    }
    return out;
  }
  /// May means over this split be judged?
  bool whole(Split split) const { return recipe_.at("preset").as_string() != "mini" || songs_of(split).size() >= 12; }
  template <class F>
  double mean_over(Split split, const F& value) const {
    std::vector<double> values;
    for (const SongFacts* song : songs_of(split)) values.push_back(value(*song));
    return mean(values);
  }
  /// A mean over train and over test, each against low … high.
  template <class F>
  void add_means(int test, const std::string& what, double low, double high,
                 const std::array<std::string, 2>& prototype, int digits, const F& value) {
    for (const Split split : {Split::train, Split::test}) {
      const double found = mean_over(split, value);
      add(test, fmt::format("{}, {}", what, synth::split_name(split)), fmt::format("{:.{}f}", found, digits),
          fmt::format("{:.{}f} … {:.{}f}", low, digits, high, digits), prototype[split == Split::test ? 1 : 0],
          whole(split) ? judge(found >= low && found <= high) : Verdict::none);
    }
  }

  // -------------------------------------------------------------------------------------------------------------------

  void measure() {
    const auto& tracks = set_.tracks();
    songs_.resize(tracks.size());
    // Separability of the first twelve songs of each split.
    std::array<int, 3> chosen{};
    std::vector<char> separate(tracks.size());
    for (std::size_t i = 0; i < tracks.size(); ++i) {
      SongFacts& song = songs_[i];
      song.name = tracks[i].name;
      read_meta(folder_of(tracks[i]) / "meta.json", song);
      separate[i] = song.split != Split::valid && chosen[static_cast<std::size_t>(song.split)]++ < 12;
    }
    core::Progress& progress = options_.progress != nullptr ? *options_.progress : core::null_progress();
    progress.begin("synth check", static_cast<std::int64_t>(tracks.size()));
    std::atomic<std::int64_t> done{0};
    core::parallel_for(static_cast<std::int64_t>(tracks.size()), options_.threads, [&](std::int64_t item) {
      options_.stop.check();
      const auto i = static_cast<std::size_t>(item);
      const datasets::TrackAudio audio = set_.load(tracks[i]);
      measure_song(audio, songs_[i]);
      if (separate[i]) songs_[i].separability = separability_of(most_active(audio));
      progress.update(++done, tracks[i].name);
    });
    progress.end();
  }

  static fs::path folder_of(const datasets::Track& track) {
    if (track.defect) throw Error(*track.defect);
    if (track.files.empty()) throw Error(Code::dataset, track.name, "the song has no files");
    return track.files.front().parent_path();
  }

  /// What the song's own file says of it. Anybody can have changed it: every value is checked here.
  void read_meta(const fs::path& path, SongFacts& song) const {
    const std::string where = path.string();
    const auto bad = [&](const std::string& what, const std::string& expected, const std::string& found) {
      throw Error({Code::dataset, where, what, expected, found, "mssbench synth writes the song again"});
    };
    std::error_code error;
    if (!fs::is_regular_file(path, error)) bad("no regular file", "what mssbench synth wrote about the song", "");
    const Value meta = core::read_json_file(path);
    const std::string split = meta.at("split", where).as_string(where);
    if (split != "train" && split != "valid" && split != "test") bad("unknown split", "train, valid or test", split);
    song.split = split == "train" ? Split::train : split == "valid" ? Split::valid : Split::test;
    const std::string seed = meta.at("seed", where).as_string(where);
    const auto [end, status] = std::from_chars(seed.data(), seed.data() + seed.size(), song.seed);
    if (status != std::errc() || end != seed.data() + seed.size()) bad("'seed' is no number", "digits", seed);
    song.limiter_db = meta.at("limiter_db", where).as_real(where);
    const Value* cut = meta.find("cut");
    song.cut = cut != nullptr;
    if (!song.cut) return;
    const Value::Array& ends = cut->as_array(where);
    const std::int64_t most = preset_->seconds;
    if (ends.size() != 2 || ends.front().as_integer(where) < 0 || ends.front().as_integer(where) > most) {
      bad("'cut' is no excerpt", fmt::format("[second, seconds] within {} s", most), core::dump_json(*cut));
    }
    song.cut_begin_samples = ends.front().as_integer(where) * synth::kRateHz;
  }

  /// The measurements rely on this form; another one is a damaged song.
  static void check_form(const std::string& name, const datasets::TrackAudio& audio) {
    const auto good = [&](const audio::AudioBuffer& file) {
      return file.channels() == 2 && file.rate_hz() == synth::kRateHz && file.samples() == audio.mixture.samples();
    };
    bool fine = good(audio.mixture) && audio.mixture.samples() >= synth::kRateHz;
    for (std::size_t q = 1; q < kFiles; ++q) fine = fine && std::ranges::count(audio.names, kFileNames[q]) == 1;
    for (const audio::AudioBuffer& stem : audio.stems) fine = fine && good(stem);
    if (fine) return;
    throw Error({Code::dataset, name, "no song of mssbench synth",
                 "mixture, drums, bass, other and vocals, stereo at 44100 Hz, of one length of a second or more",
                 fmt::format("{}; {} channels at {} Hz, {} samples", core::join(audio.names, ", "),
                             audio.mixture.channels(), audio.mixture.rate_hz(), audio.mixture.samples()),
                 "mssbench synth writes the song again"});
  }

  static void measure_song(const datasets::TrackAudio& audio, SongFacts& song) {
    check_form(song.name, audio);
    std::array<const audio::AudioBuffer*, kFiles> files{&audio.mixture};
    for (std::size_t q = 1; q < kFiles; ++q) {
      const auto at = std::ranges::find(audio.names, kFileNames[q]);
      files[q] = &audio.stems[static_cast<std::size_t>(at - audio.names.begin())];
    }
    song.sums = datasets::sum_residual_db(audio) == -std::numeric_limits<double>::infinity();
    song.finite = song.edges = song.all_active = true;
    std::vector<std::vector<double>> monos;
    for (std::size_t q = 0; q < kFiles; ++q) {
      const audio::AudioBuffer& file = *files[q];
      song.finite = song.finite && audio::find_non_finite(file).channel < 0;
      double peak = 0;
      for (int c = 0; c < file.channels(); ++c) {
        for (const float x : file.channel(c)) peak = std::max(peak, std::abs(static_cast<double>(x)));
        song.edges = song.edges && file.channel(c).front() == 0 && file.channel(c).back() == 0;
      }
      const int level = static_cast<int>(std::lround(peak * 32768));
      song.peak = std::max(song.peak, level);
      if (q == 0) song.mixture_peak = level;
      const double power = audio::energy(file) / static_cast<double>(file.samples() * file.channels());
      song.level_dbfs[q] = db(power);
      song.crest_db[q] = 20 * std::log10(peak) - song.level_dbfs[q];
      song.bands[q] = band_levels(file);
      std::vector<double> left(file.channel(0).begin(), file.channel(0).end());
      std::vector<double> right(file.channel(1).begin(), file.channel(1).end());
      song.left_right[q] = correlation(left, right);
      if (q > 0) {
        song.all_active = song.all_active && power > 0;
        monos.push_back(mono(file));
      }
    }
    const std::vector<double> blocks = tenths(*files[0]);
    song.gated_dbfs = db(gated(blocks));
    song.pauses = pauses(tenths(*files[4]));
    for (std::size_t a = 0; a < monos.size(); ++a) {
      for (std::size_t b = a + 1; b < monos.size(); ++b) {
        song.correlation = std::max(song.correlation, std::abs(correlation(monos[a], monos[b])));
      }
    }
    // From the score: blocks without a sung note.
    const std::int64_t samples = audio.mixture.samples();
    const synth::Score score = synth::compose(song.seed, song.split, samples);
    const auto count = static_cast<std::size_t>(samples * 10 / synth::kRateHz);
    std::vector<char> sung(count, 0);
    constexpr std::int64_t kBlock = synth::kRateHz / 10;
    for (const synth::Syllable& s : score.syllables) {
      const std::int64_t end = std::min(samples, score.sample(s.end));
      for (std::int64_t b = score.sample(s.start) / kBlock; b * kBlock < end && b < static_cast<std::int64_t>(count);
           ++b) {
        sung[static_cast<std::size_t>(b)] = 1;
      }
    }
    song.score_pauses = 1 - static_cast<double>(std::ranges::count(sung, 1)) / static_cast<double>(count);
  }

  Separability separability_of(const datasets::TrackAudio& track) const {
    eval::ScorerOptions scoring;
    scoring.metrics = eval::Metrics::sdr_only;
    scoring.accompaniment = false;
    scoring.threads = 1;
    TrackScorer scorer(track, scoring);
    const auto scored = [&](const std::vector<std::string>& names, const std::vector<audio::AudioBuffer>& estimates) {
      std::vector<audio::AudioView> views;
      for (const auto& stem : estimates) views.push_back(stem);
      std::vector<std::string> unscored;
      const std::vector<eval::Scores> scores = scorer.score(names, views, {}, unscored);
      std::map<std::string, double> out;
      for (const eval::TargetScores& target : scores.front().targets) {
        for (const eval::FrameSeries& series : target.frames) {
          if (series.metric == "SDR") out[target.target] = eval::nan_median(series.values);
        }
      }
      return out;
    };
    const auto medians = [&](const std::string& spec) {
      methods::Options options;
      options.threads = 1;
      options.stop = options_.stop;
      options.targets = track.names;
      std::vector<audio::AudioView> references;
      for (const auto& stem : track.stems) references.push_back(stem);
      const methods::StemSet stems =
          options_.methods->make(spec)->separate(track.mixture, track.names, references, options);
      return scored(stems.names, stems.audio);
    };
    const auto over_stems = [](const std::map<std::string, double>& values) {
      std::vector<double> list;
      for (const auto& [name, value] : values) {
        if (!std::isnan(value)) list.push_back(value);
      }
      return mean(list);
    };
    Separability result;
    const auto ratio = medians(options_.ideal_ratio_mask);
    result.ratio = over_stems(ratio);
    for (std::size_t q = 0; q < 4; ++q)
      result.ratio_stems[q] = ratio.contains(kFileNames[q + 1]) ? ratio.at(kFileNames[q + 1]) : std::nan("");
    result.mixture = over_stems(medians(options_.mixture));
    result.binary = over_stems(scored(track.names, by_dominant_stem(track)));
    result.nmf = over_stems(medians(options_.clustered_nmf));
    return result;
  }

  // -------------------------------------------------------------------------------------------------------------------
  // The tests

  void golden() {
    const auto philox = core::philox4x32({0, 0, 0, 0}, 0);
    add(1, "Philox4x32-10, zero counter and key", fmt::format("{:08x} {:08x}", philox[0], philox[1]),
        "6627e8d5 e169c58d", "", judge(philox[0] == 0x6627e8d5U && philox[1] == 0xe169c58dU));
    struct GoldenSplit {
      Split split;
      int songs;
      const char* sha256;
    };
    for (const GoldenSplit& golden :
         {GoldenSplit{Split::train, 86, "4f81bb53f717dea9d9e57018e97d8958d21ec86e63bd14243319cad7332624e1"},
          GoldenSplit{Split::valid, 14, "0da3218ffa95cba211443745618cd8d36472f1b020d55c966f76e421c10aa48f"},
          GoldenSplit{Split::test, 50, "c4e57a371340ae62c17aea5ef9da7115d0d8a0010cefe5f5a4ce176dea2faa5c"}}) {
      std::vector<std::string> hashes;
      for (int i = 0; i < golden.songs; ++i) {
        hashes.push_back(core::sha256_hex(synth::score_text(synth::compose(
            synth::first_seed(1, golden.split) + static_cast<std::uint64_t>(i), golden.split, 30 * synth::kRateHz))));
      }
      const std::string found = core::sha256_hex(core::join(hashes, "\n"));
      add(1, fmt::format("scores of the {} default {} songs", golden.songs, synth::split_name(golden.split)),
          found.substr(0, 16), std::string(golden.sha256).substr(0, 16), "", judge(found == golden.sha256));
    }
    if (options_.rendered_again == 0) return;
    for (const GoldenLoudness& song : kGoldenLoudness) {
      if (song.builtin != builtin()) continue;
      const std::int64_t samples = 30 * synth::kRateHz;
      const synth::Mixed mixed = synth::mix(synth::compose(song.seed, song.split, samples), renderer(), samples, false);
      double worst = 0;
      for (std::size_t q = 0; q < 5; ++q) {
        const synth::Pcm& pcm = q < 4 ? mixed.stems[q] : mixed.mixture;
        worst = std::max(worst, std::abs(synth::level_db(pcm) - song.level_dbfs[q]));
      }
      const int peak = synth::peak_of(mixed.mixture);
      add(1, fmt::format("levels of {} {}, largest difference, dB", synth::split_name(song.split), song.seed),
          fmt::format("{:.4f}", worst), "<= 0.01", "0", judge(worst <= 0.01));
      add(1, fmt::format("mixture peak of {} {}", synth::split_name(song.split), song.seed), std::to_string(peak),
          fmt::format("{} ± 2", song.peak), std::to_string(song.prototype_peak),
          judge(std::abs(peak - song.peak) <= 2));
    }
  }

  void exact() {
    const auto count = [&](const auto& good) {
      const auto n = static_cast<std::size_t>(std::ranges::count_if(songs_, good));
      return std::pair{fmt::format("{} of {} songs", n, songs_.size()), judge(n == songs_.size())};
    };
    const auto row = [&](const std::string& what, const auto& good) {
      const auto [found, verdict] = count(good);
      add(2, what, found, "all", "all", verdict);
    };
    row("stems add up to the mixture exactly", [](const SongFacts& s) { return s.sums; });
    row("no NaN or infinity", [](const SongFacts& s) { return s.finite; });
    if (!songs_.front().cut) row("first and last samples are 0", [](const SongFacts& s) { return s.edges; });
    const int peak = std::ranges::max(songs_, {}, &SongFacts::peak).peak;
    const int mixture = std::ranges::max(songs_, {}, &SongFacts::mixture_peak).mixture_peak;
    add(2, "largest peak of any file", std::to_string(peak), "<= 32112", "", judge(peak <= 32112));
    add(2, "largest peak of a mixture", std::to_string(mixture), "<= 31460", "", judge(mixture <= 31460));
  }

  void again() {
    const int count = std::min(options_.rendered_again, static_cast<int>(songs_.size()));
    if (count == 0) return;
    int equal = 0;
    double cpu = 0, seconds = 0;
    const std::string extension = recipe_.at("format").as_string() == "flac" ? ".flac" : ".wav";
    const synth::Preset& preset = *preset_;
    for (int n = 0; n < count; ++n) {
      // Backwards through the set, so that the order is another one.
      const std::size_t i =
          songs_.size() - 1 - static_cast<std::size_t>(n) * songs_.size() / static_cast<std::size_t>(count);
      const SongFacts& song = songs_[i];
      options_.stop.check();
      const std::int64_t composed = std::int64_t{preset.seconds} * synth::kRateHz;
      const core::Stopwatch watch;
      const synth::Mixed mixed =
          synth::mix(synth::compose(song.seed, song.split, composed), renderer(), composed, false);
      cpu += watch.elapsed().cpu_s;  // nothing else runs by now
      seconds += preset.seconds;
      const fs::path folder = folder_of(set_.tracks()[i]);
      const std::int64_t begin = song.cut_begin_samples;
      bool same = true;
      for (std::size_t q = 0; q < kFiles; ++q) {
        const audio::AudioBuffer file = audio::read_file(folder / (std::string(kFileNames[q]) + extension));
        if (file.channels() != 2 || begin + file.samples() > composed) {
          same = false;
          continue;
        }
        const audio::AudioBuffer made =
            synth::to_audio(synth::slice(q == 0 ? mixed.mixture : mixed.stems[q - 1], begin, file.samples()));
        for (int c = 0; c < 2; ++c) same = same && std::ranges::equal(file.channel(c), made.channel(c));
      }
      equal += same ? 1 : 0;
    }
    add(3, "songs that are the same when rendered again", fmt::format("{} of {}", equal, count), "all", "all",
        judge(equal == count));
    real_time_ = seconds / cpu;
  }

  void separability() {
    const auto value = [](double Separability::*member) {
      return
          [member](const SongFacts& song) { return song.separability ? (*song.separability).*member : std::nan(""); };
    };
    const auto means = [&](Split split, double Separability::*member) {
      std::vector<double> values;
      for (const SongFacts* song : songs_of(split)) {
        if (const double x = value(member)(*song); !std::isnan(x)) values.push_back(x);
      }
      return mean(values);
    };
    for (const Split split : {Split::train, Split::test}) {
      const bool train = split == Split::train, judged = whole(split);
      const std::string of = fmt::format(", {}", synth::split_name(split));
      const double mixture = means(split, &Separability::mixture), ratio = means(split, &Separability::ratio);
      const double binary = means(split, &Separability::binary), nmf = means(split, &Separability::nmf);
      const auto verdict = [&](bool good) { return judged ? judge(good) : Verdict::none; };
      add(4, "mixture, dB" + of, fmt::format("{:.2f}", mixture), "-4.95 ± 0.35",
          builtin() ? "-4.90" : (train ? "-5.15 (real -4.97)" : "-5.04"), verdict(std::abs(mixture + 4.95) <= 0.35));
      const double wanted = train ? 9.9 : 8.6;
      add(4, "ideal ratio mask, dB" + of, fmt::format("{:.2f}", ratio), fmt::format("{} ± 0.8", wanted),
          builtin() ? "9.80" : (train ? "9.90 (real 10.27)" : "8.66"),
          builtin() ? Verdict::none : verdict(std::abs(ratio - wanted) <= 0.8));
      std::array<double, 4> stems{};
      for (std::size_t q = 0; q < 4; ++q) {
        std::vector<double> values;
        for (const SongFacts* song : songs_of(split)) {
          if (song->separability && !std::isnan(song->separability->ratio_stems[q]))
            values.push_back(song->separability->ratio_stems[q]);
        }
        stems[q] = mean(values);
      }
      add(4, "  of drums, bass, other, vocals" + of,
          fmt::format("{:.1f} {:.1f} {:.1f} {:.1f}", stems[0], stems[1], stems[2], stems[3]), "",
          builtin() ? "9.3 8.2 8.6 13.2" : (train ? "10.9 8.7 8.3 11.5" : "9.0 7.4 7.1 11.2"), Verdict::none);
      add(4, "ideal binary mask below the ratio mask, dB" + of, fmt::format("{:.2f}", ratio - binary), "0.2 … 0.7",
          builtin() ? "0.28" : (train ? "0.37" : "0.50"), verdict(ratio - binary >= 0.2 && ratio - binary <= 0.7));
      add(4, "NMF clustered by the true stems, dB" + of, fmt::format("{:.2f}", nmf), builtin() ? "" : "1.8 … 3.8",
          builtin() ? "0.53" : (train ? "2.96 (real 2.50)" : "2.30"),
          builtin() ? Verdict::none : verdict(nmf >= 1.8 && nmf <= 3.8));
    }
  }

  void spectra() {
    for (const Split split : {Split::train, Split::test}) {
      const std::size_t column = split == Split::test ? 1 : 0;
      for (std::size_t q = 0; q < kFiles; ++q) {
        const bool near_mean = q == 0 || q == 4;
        const std::size_t first = q == 4 ? 3 : 1, last = q == 2 ? 5 : 7;
        double worst = 0;
        std::size_t worst_band = first;
        std::string all;
        for (std::size_t b = 0; b < kBands; ++b) {
          const double level = mean_over(split, [&](const SongFacts& song) { return song.bands[q][b]; });
          all += fmt::format("{}{:.1f}", b == 0 ? "" : " ", level);
          if (b < first || b > last) continue;
          const double one = kRealBands[q][0][b], two = kRealBands[q][1][b];
          double off = 0;
          if (near_mean) {
            off = std::abs(level - 0.5 * (one + two)) - 4;
          } else {
            const double low = std::min(one, two), high = std::max(one, two);
            off = std::max(level - high, low < -40 ? -1e9 : low - level) - 6;
          }
          if (b == first || off > worst) {
            worst = off;
            worst_band = b;
          }
        }
        std::string prototype;
        for (std::size_t b = 0; b < kBands; ++b) {
          prototype += fmt::format("{}{:.1f}", b == 0 ? "" : " ", kPrototypeBands[q][column][b]);
        }
        add(5, fmt::format("bands of {}, {}, dB", kFileNames[q], synth::split_name(split)), all,
            fmt::format("{} Hz within {} dB of the real clips{}; nearest to its limit {} Hz: {:.1f} dB {}",
                        q == 4   ? "250-8k"
                        : q == 2 ? "60-2k"
                                 : "60-8k",
                        near_mean ? 4 : 6, near_mean ? "' mean" : "", kBandNames[worst_band], std::abs(worst),
                        worst > 0 ? "beyond" : "left"),
            prototype, whole(split) ? judge(worst <= 0) : Verdict::none);
      }
    }
  }

  void levels() {
    const auto crest = [](std::size_t q) { return [q](const SongFacts& song) { return song.crest_db[q]; }; };
    add_means(6, "crest factor of the mixture, dB", 13.2, 15.2, {"14.6", "14.3"}, 1, crest(0));
    add_means(6, "crest factor of drums, dB", 15, 18, {"16.8", "15.5"}, 1, crest(1));
    add_means(6, "crest factor of bass, dB", 8.5, 12, {"9.4", "9.3"}, 1, crest(2));
    add_means(6, "crest factor of other, dB", 12.5, 15, {"14.0", "14.3"}, 1, crest(3));
    add_means(6, "crest factor of vocals, dB", 12.5, 15, {"13.5", "14.0"}, 1, crest(4));
    add_means(6, "gated level of the mixture, dBFS", -16.3, -14.3, {"", ""}, 1,
              [](const SongFacts& s) { return s.gated_dbfs; });
    add_means(6, "RMS of the mixture, dBFS", -18, -13, {"-15.6", "-15.1"}, 1,
              [](const SongFacts& s) { return s.level_dbfs[0]; });
    double deepest = 0;
    for (const SongFacts& song : songs_) deepest = std::min(deepest, song.limiter_db);
    add(6, "deepest reduction of the limiter, dB", fmt::format("{:.2f}", -deepest), "< 6", "", judge(-deepest < 6));
    for (const Split split : {Split::train, Split::test}) {
      std::string found, prototype = split == Split::train ? ".86 .98 1.00 .56 .86" : ".90 .99 1.00 .66 .89";
      for (std::size_t q = 0; q < kFiles; ++q) {
        found += fmt::format("{}{:.2f}", q == 0 ? "" : " ",
                             mean_over(split, [&](const SongFacts& s) { return s.left_right[q]; }));
      }
      add(6, fmt::format("left/right correlation (mixture, stems), {}", synth::split_name(split)), found, "", prototype,
          Verdict::none);
    }
  }

  void voice_pauses() {
    std::vector<double> audible, scored;
    for (const SongFacts& song : songs_) {
      audible.push_back(song.pauses);
      scored.push_back(song.score_pauses);
    }
    const bool judged = whole(Split::train);
    const double a = mean(audible), s = mean(scored);
    add(7, "silent share of the vocals", fmt::format("{:.3f}", a), ".15 … .35", ".234 (32 songs), .170 (20 songs)",
        judged ? judge(a >= .15 && a <= .35) : Verdict::none);
    const auto [least, most] = std::ranges::minmax(scored);
    add(7, "share without a sung note, from this set's scores", fmt::format("{:.3f} ({:.2f} … {:.2f})", s, least, most),
        "", "", Verdict::none);
    // The prototype's figure is of whole 30-s songs.
    std::vector<double> shares;
    for (const Split split : {Split::train, Split::valid, Split::test}) {
      const int songs = split == Split::train ? 86 : split == Split::valid ? 14 : 50;
      for (int i = 0; i < songs; ++i) {
        const std::int64_t samples = 30 * synth::kRateHz;
        const synth::Score score =
            synth::compose(synth::first_seed(1, split) + static_cast<std::uint64_t>(i), split, samples);
        std::vector<char> sung(300, 0);
        for (const synth::Syllable& syllable : score.syllables) {
          const std::int64_t end = std::min(samples, score.sample(syllable.end));
          for (std::int64_t b = score.sample(syllable.start) / 4410; b * 4410 < end && b < 300; ++b)
            sung[static_cast<std::size_t>(b)] = 1;
        }
        shares.push_back(1 - static_cast<double>(std::ranges::count(sung, 1)) / 300.0);
      }
    }
    const auto [low, high] = std::ranges::minmax(shares);
    add(7, "share without a sung note, the 150 default scores",
        fmt::format("{:.3f} ({:.2f} … {:.2f})", mean(shares), low, high), ".25 ± .03 (.02 … .49)", ".25 (.02 … .49)",
        judge(std::abs(mean(shares) - .25) <= .03 && low >= .015 && high < .495));
    const auto active = std::ranges::count_if(songs_, &SongFacts::all_active);
    add(7, "songs with all four stems", fmt::format("{} of {}", active, songs_.size()), "all", "all",
        judge(active == static_cast<std::ptrdiff_t>(songs_.size())));
  }

  void correlations() {
    std::vector<double> values;
    for (const SongFacts& song : songs_) values.push_back(song.correlation);
    add(8, "largest correlation between stems",
        fmt::format("{:.3f} (mean {:.3f})", std::ranges::max(values), mean(values)), "< .10", ".050 (mean .013)",
        judge(std::ranges::max(values) < .10));
  }

  void pitch() {
    std::vector<std::uint64_t> train, test;
    for (std::uint64_t i = 0; i < 40; ++i) train.push_back(1000 + i);
    for (std::uint64_t i = 0; i < 20; ++i) test.push_back(3000 + i);
    std::vector<double> all = pitch_deviations(Split::train, train);
    const std::vector<double> more = pitch_deviations(Split::test, test);
    all.insert(all.end(), more.begin(), more.end());
    std::ranges::sort(all);
    const double q1 = eval::percentile(all, .25), q2 = eval::percentile(all, .5), q3 = eval::percentile(all, .75);
    add(9, "wander of the singer's pitch, quartiles, cents",
        fmt::format("{:.1f} / {:.1f} / {:.1f} ({} windows)", q1, q2, q3, all.size()), "13.2 / 16.6 / 21.7 ± 1",
        "13.2 / 16.6 / 21.7 (2839 windows; 17 real singers 11.8 / 21.0 / 35.0)",
        judge(std::abs(q1 - 13.2) <= 1 && std::abs(q2 - 16.6) <= 1 && std::abs(q3 - 21.7) <= 1));
  }

  void speed() {
    if (!real_time_) return;
    add(10, "seconds of song per second of processor", fmt::format("{:.1f}", *real_time_), ">= 4", "3.7",
        judge(*real_time_ >= 4));
  }

  void fonts() {
    if (builtin()) {
      add(11, "renderer", "builtin: no fonts", "", "", Verdict::none);
      return;
    }
    int published = 0, fonts = 0;
    for (const Split split : {Split::train, Split::test}) {
      const auto& list = recipe_.at("fonts").at(synth::split_name(split)).as_array();
      const auto& wanted = synth::fonts_of(split);
      for (std::size_t i = 0; i < list.size(); ++i) {
        const std::string& entry = list[i].as_string();
        const std::string hash = entry.substr(entry.rfind(' ') + 1);
        ++fonts;
        if (i >= wanted.size()) continue;
        published += hash.starts_with(synth::facts_of(wanted[i]).sha256) ? 1 : 0;
      }
    }
    add(11, "renderer and fonts",
        fmt::format("{}, {} of {} fonts are the published ones", recipe_.at("renderer").as_string(), published, fonts),
        "fluidsynth 2.3.1, all", "fluidsynth 2.3.1", judge(published == fonts));
  }

  const synth::Renderer& renderer() {
    if (!renderer_) renderer_ = options_.make_renderer(renderer_name_);
    return *renderer_;
  }

  const SynthCheckOptions& options_;
  datasets::Dataset set_;
  Value recipe_;
  std::string renderer_name_;
  const synth::Preset* preset_ = nullptr;
  std::unique_ptr<synth::Renderer> renderer_;
  std::vector<SongFacts> songs_;
  std::vector<SynthFinding> findings_;
  std::optional<double> real_time_;
};

}  // namespace

std::vector<double> pitch_deviations(Split split, const std::vector<std::uint64_t>& seeds) {
  constexpr std::int64_t kSamples = std::int64_t{30} * synth::kRateHz;
  constexpr std::size_t kStep = 441, kWindow = 41, kHop = 10;  // samples; steps of 10 ms
  std::vector<double> deviations;
  for (const std::uint64_t seed : seeds) {
    const synth::Score score = synth::compose(seed, split, kSamples);
    if (score.talk) continue;
    const synth::PitchTrack track =
        synth::pitch_track(synth::Draws(seed), synth::takes_of(score).front().take, kSamples);
    std::vector<double> cents, amplitude;
    for (std::size_t t = 0; t < static_cast<std::size_t>(kSamples); t += kStep) {
      const std::size_t j = t / static_cast<std::size_t>(synth::kHop);
      const double u =
          static_cast<double>(t % static_cast<std::size_t>(synth::kHop)) / static_cast<double>(synth::kHop);
      cents.push_back(track.cents[j] + u * (track.cents[j + 1] - track.cents[j]));
      amplitude.push_back(track.amplitude[j] + u * (track.amplitude[j + 1] - track.amplitude[j]));
    }
    for (std::size_t begin = 0; begin + kWindow <= cents.size(); begin += kHop) {
      bool voiced = true;
      for (std::size_t i = begin; i < begin + kWindow; ++i) {
        voiced = voiced && amplitude[i] > .1 && (i == begin || std::abs(cents[i] - cents[i - 1]) <= 80);
      }
      if (!voiced) continue;
      // Without the straight line through the window.
      double sum = 0, slope = 0, norm = 0;
      const double centre = (kWindow - 1) / 2.0;
      for (std::size_t i = 0; i < kWindow; ++i) {
        const double x = static_cast<double>(i) - centre;
        sum += cents[begin + i];
        slope += x * cents[begin + i];
        norm += x * x;
      }
      const double level = sum / kWindow;
      slope /= norm;
      double square = 0;
      for (std::size_t i = 0; i < kWindow; ++i) {
        const double rest = cents[begin + i] - level - slope * (static_cast<double>(i) - centre);
        square += rest * rest;
      }
      deviations.push_back(std::sqrt(square / kWindow));
    }
  }
  std::ranges::sort(deviations);
  return deviations;
}

std::vector<SynthFinding> check_synth(const SynthCheckOptions& options) {
  MSS_ASSERT(options.methods != nullptr);
  return Checker(options).run();
}

}  // namespace mss::harness
