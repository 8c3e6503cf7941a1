// FluidSynth (LGPL-2.1+, linked dynamically, optional at build time) as renderer of the composed songs: sampled
// instruments from soundfonts.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "core/progress.h"
#include "datasets/synth/renderer.h"

namespace mss::datasets::synth {

bool have_fluidsynth() noexcept;  ///< was the program built with it?
/// "2.3.1", empty without it.
std::string fluidsynth_version();

/// A renderer for songs of these splits; finds their soundfonts (datasets/synth/soundfonts.h) in `folders` first.
/// Every part of every song is played by a synthesiser of its own: one that was reset gives other bits than a fresh one.
/// Throws Error(unsupported) in a build without FluidSynth, Error(config) for a missing soundfont; render() throws
/// Error(format) for a font that cannot be read or lacks a program.
std::unique_ptr<Renderer> make_fluid_renderer(const std::vector<Split>& splits,
                                              const std::vector<std::filesystem::path>& folders,
                                              const core::LogFn& log = {});

}  // namespace mss::datasets::synth
