#include "methods/floors/floors.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace mss::methods::floors {
namespace {

enum class Kind { silence, mixture, mixture_over_j };

class Floor final : public Separator {
 public:
  Floor(Kind kind, SeparatorInfo info) : Separator(std::move(info)), kind_(kind) {}

 private:
  void do_separate(audio::Source& mixture, StemSink& sink, Context& context) const override {
    constexpr std::int64_t kBlock = 16384;
    sink.begin({.targets = context.targets,
                .channels = mixture.channels(),
                .rate_hz = mixture.rate_hz(),
                .samples = mixture.length().value_or(-1)});
    const auto stems = static_cast<float>(context.targets.size());
    audio::AudioBuffer buffer(mixture.channels(), kBlock, mixture.rate_hz());
    std::int64_t begin = 0;
    while (const std::int64_t n = mixture.read(buffer.span())) {
      const audio::AudioSpan block = buffer.span().slice(0, n);
      for (int c = 0; c < block.channels(); ++c) {
        const auto x = block.channel(c);
        if (kind_ == Kind::silence) std::ranges::fill(x, 0.0F);
        if (kind_ == Kind::mixture_over_j) {
          for (float& v : x) v /= stems;
        }
      }
      // One block stands for every stem: they are the same samples.
      sink.write({.begin = begin, .stems = std::vector<audio::AudioView>(context.targets.size(), block)});
      begin += n;
    }
  }

  Kind kind_;
};

void add(Registry& registry, Kind kind, const char* name, const char* summary) {
  MethodEntry entry;
  entry.name = name;
  entry.family = "floor";
  entry.summary = summary;
  entry.make = [kind](const core::Params& params, const core::SpecPart& spec) -> std::unique_ptr<Separator> {
    SeparatorInfo info;
    info.spec = to_string(spec);
    info.method = spec.name;
    info.is_floor = true;
    info.resolved_options = params.resolved();
    return std::make_unique<Floor>(kind, std::move(info));
  };
  registry.add(std::move(entry));
}

}  // namespace

void add_methods(Registry& registry) {
  add(registry, Kind::silence, "silence", "Floor: every stem is silent (0 dB SDR by definition).");
  add(registry, Kind::mixture, "mixture", "Floor: every stem is the mixture, unscaled (the input score).");
  add(registry, Kind::mixture_over_j, "mixture-over-j",
      "Floor: every stem is the mixture divided by the number of stems.");
}

}  // namespace mss::methods::floors
