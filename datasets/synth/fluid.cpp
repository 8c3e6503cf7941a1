#include "datasets/synth/fluid.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "core/error.h"
#include "core/stop.h"
#include "datasets/synth/soundfonts.h"

#if defined(MSS_HAVE_FLUIDSYNTH)
#include <fluidsynth.h>
#endif

namespace mss::datasets::synth {

#if defined(MSS_HAVE_FLUIDSYNTH)

namespace {

struct DeleteSettings {
  void operator()(fluid_settings_t* settings) const { delete_fluid_settings(settings); }
};
struct DeleteSynth {
  void operator()(fluid_synth_t* synth) const { delete_fluid_synth(synth); }
};
using Settings = std::unique_ptr<fluid_settings_t, DeleteSettings>;
using Synth = std::unique_ptr<fluid_synth_t, DeleteSynth>;

Settings make_settings() {
  Settings settings(new_fluid_settings());
  if (!settings) throw Error(Code::resource, "FluidSynth", "no memory for its settings");
  fluid_settings_t* const s = settings.get();
  const auto number = [&](const char* name, double value) { fluid_settings_setnum(s, name, value); };
  const auto integer = [&](const char* name, int value) { fluid_settings_setint(s, name, value); };
  number("synth.sample-rate", kRateHz);
  number("synth.gain", 0.6);
  integer("synth.cpu-cores", 1);
  integer("synth.polyphony", 256);
  integer("synth.reverb.active", 0);
  integer("synth.chorus.active", 0);
  integer("synth.lock-memory", 0);
  integer("synth.dynamic-sample-loading", 1);
  return settings;
}

void silence_log() {
  static const bool done = [] {
    for (const int level : {FLUID_PANIC, FLUID_ERR, FLUID_WARN, FLUID_INFO, FLUID_DBG}) {
      fluid_set_log_function(level, nullptr, nullptr);
    }
    return true;
  }();
  static_cast<void>(done);
}

/// The acoustic kits have their own map: what General MIDI calls toms is a swish hat and a choked crash there.
int acoustic_note(int note) {
  switch (note) {
    case 48:
    case 50:
      return 45;
    case 43:
      return 41;
    default:
      return note;
  }
}

struct Event {
  std::int64_t block;
  int on;  // note-offs come first
  int pitch, velocity;
};

class FluidRenderer : public Renderer {
 public:
  FluidRenderer(const std::vector<Split>& splits, const std::vector<std::filesystem::path>& folders,
                const core::LogFn& log) {
    silence_log();
    for (const Split split : splits) {
      for (const Font font : fonts_of(split)) {
        if (!fonts_.contains(font)) fonts_.emplace(font, find_font(font, folders, log));
      }
    }
  }

  std::string name() const override { return "fluidsynth " + fluidsynth_version(); }

  std::vector<std::string> fonts(Split split) const override {
    std::vector<std::string> list;
    for (const Font font : fonts_of(split)) {
      const FoundFont& found = fonts_.at(font);
      list.push_back(found.path.filename().string() + " " + found.sha256);
    }
    return list;
  }

  KitSound kit_sound(const Score& score) const override {
    switch (font_of(score, Part::drums)) {
      case Font::fluid_r3:
        return KitSound::fluid_r3;
      case Font::timgm6mb:
        return KitSound::timgm6mb;
      default:
        return KitSound::acoustic;
    }
  }

  Stereo render(const Score& score, Part part, std::int64_t samples) const override {
    Stereo out(samples);
    const std::vector<Note>& notes = score.notes(part);
    if (notes.empty()) return out;
    const Program program = score.program(part);
    const bool kit = part == Part::drums && !program.acoustic;
    const int channel = kit ? 9 : 0;
    const FoundFont& font = fonts_.at(font_of(score, part));

    const Settings settings = make_settings();
    const Synth synth(new_fluid_synth(settings.get()));
    if (!synth) throw Error(Code::resource, "FluidSynth", "cannot make a synthesiser");
    const int id = fluid_synth_sfload(synth.get(), font.path.c_str(), 0);
    if (id == FLUID_FAILED) {
      throw Error(
          {Code::format, font.path.string(), "FluidSynth cannot read this soundfont", "a SoundFont 2 file", "", ""});
    }
    const int bank = kit ? 128 : 0, number = program.acoustic ? 0 : program.number;
    if (fluid_synth_program_select(synth.get(), channel, id, bank, number) != FLUID_OK) {
      throw Error({Code::format, font.path.string(), "the soundfont lacks a program",
                   fmt::format("bank {}, program {}", bank, number), "none", ""});
    }

    std::vector<Event> events;
    for (const Note& note : notes) {
      const int pitch = program.acoustic ? acoustic_note(note.pitch) : note.pitch;
      events.push_back({score.sample(note.start) / kHop, 1, pitch, note.velocity});
      events.push_back({score.sample(note.end) / kHop, 0, pitch, 0});
    }
    std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
      return std::tie(a.block, a.on, a.pitch, a.velocity) < std::tie(b.block, b.on, b.pitch, b.velocity);
    });

    const std::int64_t blocks = samples / kHop + 1;
    std::vector<float> left(static_cast<std::size_t>(blocks * kHop)), right(left.size());
    std::int64_t done = 0;  // blocks
    const auto render_to = [&](std::int64_t block) {
      if (block <= done) return;
      core::check_stop();
      const auto at = static_cast<int>(done * kHop);
      if (fluid_synth_write_float(synth.get(), static_cast<int>((block - done) * kHop), left.data(), at, 1,
                                  right.data(), at, 1) != FLUID_OK) {
        throw Error(Code::internal, "FluidSynth", "rendering failed");
      }
      done = block;
    };
    for (const Event& event : events) {
      if (event.block >= blocks) break;
      render_to(event.block);
      if (event.on != 0) {
        fluid_synth_noteon(synth.get(), channel, event.pitch, event.velocity);
      } else {
        fluid_synth_noteoff(synth.get(), channel, event.pitch);
      }
    }
    render_to(blocks);
    for (std::size_t t = 0; t < out.left.size(); ++t) {
      out.left[t] = static_cast<double>(left[t]);
      out.right[t] = static_cast<double>(right[t]);
    }
    return out;
  }

 private:
  std::map<Font, FoundFont> fonts_;
};

}  // namespace

bool have_fluidsynth() noexcept { return true; }
std::string fluidsynth_version() { return fluid_version_str(); }

std::unique_ptr<Renderer> make_fluid_renderer(const std::vector<Split>& splits,
                                              const std::vector<std::filesystem::path>& folders,
                                              const core::LogFn& log) {
  return std::make_unique<FluidRenderer>(splits, folders, log);
}

#else

bool have_fluidsynth() noexcept { return false; }
std::string fluidsynth_version() { return {}; }

std::unique_ptr<Renderer> make_fluid_renderer(const std::vector<Split>&, const std::vector<std::filesystem::path>&,
                                              const core::LogFn&) {
  throw Error(ErrorParts{.code = Code::unsupported,
                         .where = "renderer fluidsynth",
                         .what = "this program was built without FluidSynth",
                         .expected = "a build with libfluidsynth",
                         .found = "",
                         .hint = "install libfluidsynth-dev and build again, or use --renderer builtin"});
}

#endif

}  // namespace mss::datasets::synth
