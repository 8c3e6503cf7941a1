// What turns a part's notes into sound: the built-in synthesiser, which needs nothing, or FluidSynth with soundfonts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "datasets/synth/score.h"
#include "datasets/synth/signal.h"

namespace mss::datasets::synth {

/// What the mixer must know of a drum kit's sound: the soundfonts differ in how bright their cymbals are.
enum class KitSound { fluid_r3, timgm6mb, acoustic };

class Renderer {
 public:
  virtual ~Renderer() = default;
  /// "builtin" or "fluidsynth 2.3.1": recorded with every song, and songs of different renderers are different data.
  virtual std::string name() const = 0;
  /// The files that a song of this split reads, "NAME sha256"; nothing for the built-in synthesiser.
  virtual std::vector<std::string> fonts(Split split) const = 0;
  virtual KitSound kit_sound(const Score& score) const = 0;
  /// `samples` samples of a part; silence for a part without notes. Thread-safe. Throws Error(cancelled) on a stop
  /// request of the thread (core/stop.h).
  virtual Stereo render(const Score& score, Part part, std::int64_t samples) const = 0;
};

/// Additive and frequency-modulation synthesis of every instrument. The same bits on every machine.
std::unique_ptr<Renderer> make_builtin_renderer();

}  // namespace mss::datasets::synth
