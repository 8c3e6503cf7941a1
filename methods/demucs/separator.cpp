#include "methods/demucs/separator.h"
#include "methods/demucs/entries.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/text.h"
#include "methods/demucs/family.h"
#include "methods/demucs/runner.h"
#include "methods/kept_source.h"
#include "nn/cpu.h"

namespace mss::methods::demucs {
namespace {

/// Of the kept track in memory, before it goes to a file.
constexpr std::int64_t kTrackBytes = std::int64_t{64} << 20;

struct CpuEngine {
  using L = nn::Cpu;
  using Scope = nn::RunScope;
  static nn::Tensor tensor(const Rows<float>& rows) {
    nn::Tensor x(1, std::ssize(rows.front()), std::ssize(rows));
    for (std::size_t c = 0; c < rows.size(); ++c) {
      float* to = x.data() + c;
      for (const float v : rows[c]) {
        *to = v;
        to += rows.size();
      }
    }
    return x;
  }
  static Rows<float> rows(const nn::Tensor& x) {
    Rows<float> out(static_cast<std::size_t>(x.channels()), std::vector<float>(static_cast<std::size_t>(x.frames())));
    for (std::int64_t t = 0; t < x.frames(); ++t) {
      const float* from = x.row(0, t);
      for (std::size_t c = 0; c < out.size(); ++c) out[c][static_cast<std::size_t>(t)] = from[c];
    }
    return out;
  }
};

/// Mean and unbiased standard deviation of the channels' mean over the whole track; std 0 where nothing varies.
struct Level {
  double mean = 0.0, std = 0.0;
};

template <class Visit>
void for_mono(audio::AudioView block, Visit visit) {
  const int channels = block.channels();
  for (std::int64_t t = 0; t < block.samples(); ++t) {
    double sum = 0.0;
    for (int c = 0; c < channels; ++c) sum += static_cast<double>(block.channel(c)[static_cast<std::size_t>(t)]);
    visit(sum / channels);
  }
}

/// The track at the size that networks were trained on.
class NormalisedSource final : public audio::Source {
 public:
  NormalisedSource(const KeptTrack& track, const Level& level)
      : source_(track), mean_(level.mean), factor_(level.std > 0.0 ? 1.0 / level.std : 0.0) {}
  int channels() const override { return source_.channels(); }
  int rate_hz() const override { return source_.rate_hz(); }
  std::optional<std::int64_t> length() const override { return source_.length(); }
  std::int64_t read(audio::AudioSpan out) override {
    const std::int64_t got = source_.read(out);
    for (int c = 0; c < out.channels(); ++c) {
      for (float& v : out.slice(0, got).channel(c)) {
        v = static_cast<float>((static_cast<double>(v) - mean_) * factor_);
      }
    }
    return got;
  }

 private:
  KeptSource source_;
  double mean_, factor_;
};

/// For a track of that many samples.
ApplyOptions apply_options(const Configuration& c, const SeparatorOptions& options, std::int64_t samples,
                           std::uint64_t seed) {
  ApplyOptions apply;
  apply.configuration = c;
  apply.split = options.split;
  apply.overlap = options.overlap;
  apply.transition = options.transition;
  apply.shifts = options.shifts;
  apply.longest_shift = c.rate_hz / 2;
  apply.segment_samples = samples;
  if (options.split) {
    apply.segment_samples = c.segment_samples;
    if (options.segment_s > 0.0) {
      apply.segment_samples = std::max<std::int64_t>(1, std::llround(options.segment_s * c.rate_hz));
    }
  }
  const std::int64_t longest = std::min(apply.segment_samples, samples) + (apply.shifts > 0 ? apply.longest_shift : 0);
  // Windows wait for each other to share the weights of the LSTM; Conv-TasNet has none.
  apply.windows_at_once = c.architecture == Architecture::conv_tasnet
                              ? 1
                              : std::clamp<std::int64_t>(options.buffer_bytes / window_bytes(c, longest), 1, 4096);
  apply.offset = drawn_offsets(seed, apply);
  return apply;
}

/// What a track of `samples` at the network's rate needs: weights; the kept track, windows between encoder and decoder,
/// the outermost level of one of them, the stems of a segment.
MemoryNeed memory_of(const Configuration& c, const SeparatorOptions& options, std::int64_t parameters,
                     std::int64_t samples) {
  const ApplyOptions apply = apply_options(c, options, std::max<std::int64_t>(samples, 1), 0);
  const SegmentSpec spec = segments_of(apply);
  const std::int64_t segment = std::min(spec.segment_samples, std::max<std::int64_t>(samples, 1));
  const std::int64_t windows =
      std::min(apply.windows_at_once, (samples / spec.hop_samples + 1) * std::max<std::int64_t>(options.shifts, 1));
  const std::int64_t window =
      valid_length(c, segment + (options.shifts > 0 ? apply.longest_shift : 0)) * (c.resample ? 2 : 1);
  const std::int64_t stems = std::ssize(c.targets) * c.channels;
  const std::int64_t outermost =
      c.architecture == Architecture::conv_tasnet
          ? (2 * stems * c.filters / c.channels + 4 * c.hidden) * window / (c.filter_length / 2)
          : 3 * c.width * window / c.stride + 2 * stems * window;
  const std::int64_t track = samples * c.channels * 4;
  MemoryNeed need;
  need.fixed_bytes = 4 * parameters;
  // An eighth for what lies unused between windows of different sizes.
  need.call_bytes = kShellBytes + std::min(track, kTrackBytes) +
                    windows * (window_bytes(c, segment) + 8 * c.channels * window) / 8 * 9 + 4 * outermost +
                    16 * stems * segment;
  need.file_bytes = std::max<std::int64_t>(track - kTrackBytes, 0);
  return need;
}

class NetworkSeparator final : public Separator {
 public:
  NetworkSeparator(NetworkRequest request, SeparatorOptions options, std::unique_ptr<const Runner> runner)
      : Separator(std::move(request.info)),
        configuration_(configuration_from_value(request.weights.configuration, request.weights.name())),
        options_(std::move(options)),
        wanted_(std::move(request.wanted)),
        runner_(std::move(runner)) {
    info_.is_random = options_.shifts > 0;
    info_.streams = options_.split;
    info_.memory = [c = configuration_, options = options_, parameters = request.weights.parameters()](
                       std::int64_t samples, int, int rate_hz) {
      return memory_of(c, options, parameters, samples * c.rate_hz / std::max(rate_hz, 1));
    };
    if (!options_.residual.empty()) {
      residual_ = std::ranges::find(configuration_.targets, options_.residual) - configuration_.targets.begin();
    }
  }

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    double sum = 0.0;
    const KeptTrack track(mixture, kTrackBytes, context.stop,
                          [&](audio::AudioView block) { for_mono(block, [&](double v) { sum += v; }); });
    const Level level = level_of(track, sum, context.stop);
    NormalisedSource source(track, level);
    const ApplyOptions apply = apply_options(configuration_, options_, track.samples(), context.seed);
    const SegmentSpec spec = segments_of(apply);
    const std::unique_ptr<const Runner::Session> session = runner_->open(context.threads, context.stop);
    separate_in_segments(source, sink, spec, context,
                         [&](std::span<Segment<float>> batch, const EmitRows<float>& emit) {
                           answer(*session, apply, spec, track, level, batch, emit, context);
                         });
  }

  static Level level_of(const KeptTrack& track, double sum, const core::StopToken& stop) {
    Level level;
    const auto n = static_cast<double>(track.samples());
    level.mean = sum / n;
    KeptSource again(track);
    audio::AudioBuffer buffer(track.channels(), std::int64_t{1} << 16, track.rate_hz());
    double squares = 0.0;
    for (;;) {
      stop.check();
      const std::int64_t got = again.read(buffer.span());
      if (got == 0) break;
      for_mono(buffer.view().slice(0, got), [&](double v) { squares += (v - level.mean) * (v - level.mean); });
    }
    if (n > 1.0) level.std = std::sqrt(squares / (n - 1.0));
    return level;
  }

  void answer(const Runner::Session& session, const ApplyOptions& apply, const SegmentSpec& spec,
              const KeptTrack& track, const Level& level, std::span<Segment<float>> batch, const EmitRows<float>& emit,
              Context& context) const {
    const int channels = configuration_.channels;
    const bool varies = level.std > 0.0;
    const auto finish = [&](std::int64_t i, Rows<float> rows) {
      for (auto& row : rows) {
        for (float& v : row) v = static_cast<float>(static_cast<double>(v) * level.std + level.mean);
      }
      if (residual_ >= 0) complete(rows, track, batch[static_cast<std::size_t>(i)].begin);
      Rows<float> kept;
      for (const std::size_t target : wanted_) {
        for (int c = 0; c < channels; ++c) {
          kept.push_back(std::move(rows[target * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)]));
        }
      }
      emit(i, std::move(kept));
    };
    const std::size_t all = configuration_.targets.size() * static_cast<std::size_t>(channels);
    if (!varies) {
      for (std::size_t i = 0; i < batch.size(); ++i) {
        finish(static_cast<std::int64_t>(i),
               Rows<float>(all, std::vector<float>(static_cast<std::size_t>(batch[i].samples), 0.0F)));
      }
      return;
    }
    // Windows come in groups; within the batch, work is counted in windows.
    const std::int64_t total = std::ssize(batch) * std::max<std::int64_t>(apply.shifts, 1);
    const std::int64_t begin = batch.front().begin, span = std::ssize(batch) * spec.hop_samples;
    std::int64_t finished = 0;
    const Network<float> network = [&](std::span<Rows<float>> windows,
                                       const std::function<void(std::int64_t, Rows<float>)>& give) {
      const auto count = static_cast<double>(windows.size());
      session.run(windows, give, [&](double share) {
        if (!context.progress) return;
        const double done = (static_cast<double>(finished) + share * count) / static_cast<double>(total);
        context.progress(begin + static_cast<std::int64_t>(done * static_cast<double>(span)));
      });
      finished += std::ssize(windows);
    };
    apply_network<float>(apply, network, batch, finish);
  }

  /// The residual target becomes the track minus the others.
  void complete(Rows<float>& rows, const KeptTrack& track, std::int64_t begin) const {
    const auto channels = static_cast<std::size_t>(configuration_.channels), own = static_cast<std::size_t>(residual_);
    audio::AudioBuffer mixture(configuration_.channels, std::ssize(rows.front()), track.rate_hz());
    track.read(begin, mixture.span());
    for (std::size_t c = 0; c < channels; ++c) {
      std::vector<float>& rest = rows[own * channels + c];
      for (std::size_t t = 0; t < rest.size(); ++t) {
        double left = static_cast<double>(mixture.channel(static_cast<int>(c))[t]);
        for (std::size_t s = 0; s < configuration_.targets.size(); ++s) {
          if (s != own) left -= static_cast<double>(rows[s * channels + c][t]);
        }
        rest[t] = static_cast<float>(left);
      }
    }
  }

  Configuration configuration_;
  SeparatorOptions options_;
  std::vector<std::size_t> wanted_;
  std::int64_t residual_ = -1;
  std::unique_ptr<const Runner> runner_;
};

core::ParamTable own_params() {
  using core::Param;
  using core::ParamType;
  const std::string source = "demucs, branch v2, separate.py";
  return {
      Param{.name = "segment",
            .type = ParamType::real,
            .default_value = "",
            .unit = "s",
            .range = "(0,100000]",
            .help = "Length of a segment; without it that of the weights (40 s for the official Demucs models).",
            .source = source},
      Param{.name = "overlap",
            .type = ParamType::real,
            .default_value = "0.25",
            .unit = "",
            .range = "[0,1)",
            .help = "Part of a segment that the next one covers again.",
            .source = source},
      Param{.name = "transition",
            .type = ParamType::real,
            .default_value = "1",
            .unit = "",
            .range = "[1,100]",
            .help = "Power of the triangle that fades segments into each other.",
            .source = source},
      Param{.name = "shifts",
            .type = ParamType::integer,
            .default_value = "0",
            .unit = "",
            .range = "[0,1000]",
            .help = "Number of random shifts by up to half a second whose results are averaged (10 in the paper); "
                    "drawn from the run's seed.",
            .source = source},
      Param{.name = "split",
            .type = ParamType::boolean,
            .default_value = "true",
            .unit = "",
            .range = "",
            .help = "In segments; false: the whole track in one piece, with memory that grows with it.",
            .source = source},
      Param{.name = "residual",
            .type = ParamType::text,
            .default_value = "",
            .unit = "",
            .range = "",
            .help = "A stem that becomes the mixture minus the others, so that the stems add up to the mixture.",
            .source = ""},
      Param{.name = "buffer",
            .type = ParamType::integer,
            .default_value = "1792",
            .unit = "MiB",
            .range = "[0,1048576]",
            .help = "Memory for segments between encoder and decoder; more of them go through the LSTM at once. "
                    "Changes no result.",
            .source = ""},
  };
}

Flag flag(const char* name, const char* placeholder, core::ParamType type, const char* range, const char* help,
          const char* key) {
  return {.param = {.name = name, .type = type, .range = range, .help = help},
          .placeholder = placeholder,
          .settings = [key](const std::string& value, const FlagValues&, std::string_view) {
            return std::vector<FlagSetting>{{.key = key, .value = value}};
          }};
}

std::vector<Flag> flags() {
  using core::ParamType;
  std::vector<Flag> out = {
      flag("shifts", "N", ParamType::integer, "[0,1000]", "Random shifts to average over: folds into the spec.",
           "shifts"),
      flag("overlap", "SHARE", ParamType::real, "[0,1)", "Overlap of the segments: folds into the spec.", "overlap"),
      flag("segment", "SECONDS", ParamType::real, "(0,100000]", "Length of the segments: folds into the spec.",
           "segment")};
  out.push_back({.param = {.name = "no_split",
                           .type = ParamType::boolean,
                           .help = "The whole track in one piece: folds into the spec as split=false."},
                 .placeholder = "",
                 .settings = [](const std::string& value, const FlagValues&, std::string_view) {
                   return std::vector<FlagSetting>{{.key = "split", .value = value == "true" ? "false" : "true"}};
                 }});
  return out;
}

NetworkMethod method(const char* name, const char* summary, Architecture architecture,
                     const std::vector<const char*>& models, const char* random_model) {
  NetworkMethod out;
  out.name = name;
  out.summary = summary;
  out.family = &family();
  out.architecture = architecture_name(architecture);
  for (const char* model : models) out.models.emplace_back(model, configuration_value(named_configuration(model)));
  out.random_model = random_model;
  out.source = "demucs, branches v1 and v2";
  out.params = own_params();
  out.flags = flags();
  out.make = [](NetworkRequest request) { return make_separator(std::move(request)); };
  return out;
}

}  // namespace

std::int64_t window_bytes(const Configuration& c, std::int64_t samples) {
  if (c.architecture == Architecture::conv_tasnet)
    return std::max<std::int64_t>(1, std::int64_t{8} * c.channels * samples);
  const std::vector<std::int64_t> levels = encoder_lengths(c, valid_length(c, samples));
  std::int64_t values = 0;
  for (std::int64_t i = 0; i < c.depth; ++i) values += levels[static_cast<std::size_t>(i + 1)] * level_channels(c, i);
  // Around the LSTM: its input, and output of one layer after another.
  values += 5 * levels.back() * level_channels(c, c.depth - 1);
  return std::int64_t{4} * std::max<std::int64_t>(values, 1);
}

SeparatorOptions separator_options(const NetworkRequest& request) {
  const core::Params& params = request.params;
  SeparatorOptions options;
  if (params.is_set("segment")) options.segment_s = params.real("segment");
  options.overlap = params.real("overlap");
  options.transition = params.real("transition");
  options.shifts = params.integer("shifts");
  options.split = params.boolean("split");
  options.residual = params.text("residual");
  options.buffer_bytes = params.integer("buffer") << 20;
  if (!options.split && params.is_given("segment")) {
    throw Error(
        {Code::config, request.info.spec, "split=false has no segments", "one of split=false and segment", "both", {}});
  }
  const std::vector<std::string> known = request.weights.targets();
  if (!options.residual.empty() && std::ranges::find(known, options.residual) == known.end()) {
    throw Error({Code::config, request.info.spec, "the network has no such target for residual",
                 core::join(known, ", "), "'" + options.residual + "'", core::did_you_mean(options.residual, known)});
  }
  return options;
}

std::unique_ptr<Separator> make_separator(NetworkRequest request, std::unique_ptr<const Runner> runner) {
  SeparatorOptions options = separator_options(request);
  return std::make_unique<NetworkSeparator>(std::move(request), std::move(options), std::move(runner));
}

std::unique_ptr<Separator> make_separator(NetworkRequest request) {
  const Configuration c = configuration_from_value(request.weights.configuration, request.weights.name());
  nn::ArraySource source = request.weights.source();
  auto runner = std::make_unique<const RunnerOn<CpuEngine>>(CpuEngine{}, nn::Scope(source), c);
  source.check(request.weights.name());
  return make_separator(std::move(request), std::move(runner));
}

const std::vector<NetworkMethod>& network_methods() {
  static const std::vector<NetworkMethod> methods = [] {
    NetworkMethod demucs =
        method("demucs",
               "Demucs v1 and v2: a U-Net with an LSTM on the waveform, with the light model and the "
               "one with a decoder per target.",
               Architecture::demucs, {"v2", "v1", "light", "light4"}, "v2");
    NetworkMethod tasnet =
        method("conv-tasnet", "Conv-TasNet for music: masks from dilated convolutions on a learnt basis.",
               Architecture::conv_tasnet, {"x10"}, "x10");
    // Its own command line cuts without overlap.
    demucs.example = {{"model", "light"}, {"random", "1"}};
    demucs.presets = {{"v1", {{"overlap", "0"}}}};
    return std::vector<NetworkMethod>{std::move(demucs), std::move(tasnet)};
  }();
  return methods;
}

void add_methods(Registry& registry) {
  for (const NetworkMethod& each : network_methods()) add_network(registry, each);
}

}  // namespace mss::methods::demucs
