// Pitch and tempo of audio: on the fly (Demucs' repitch), and as static copies of whole tracks (the thesis on remixing).
//
// pitch±N   N semitones up or down, same length                                   SoundTouch
// tempoX    X times as fast, same pitch: round(T / X) samples                      SoundTouch
// speedX    resampled: X times as fast, 12 log2(X) semitones higher                audio/resample.h
// shift±S   S seconds of zeros in front, or the first S seconds removed
//
// SoundTouch (LGPL, O. Parviainen) is optional at build time; without it stretch() is Error(unsupported) that says so.
// The output is float and not clipped. Thread-safety: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "audio/buffer.h"

namespace mss::training {

/// Built with SoundTouch?
bool can_stretch() noexcept;

/// Pitch higher by `semitones`, faster by `tempo_percent` (tempo factor 1 + tempo_percent / 100), round(T / factor)
/// samples. `speech`: the setting that soundstretch's -speech makes (sequence 40 ms, seek window 15 ms, overlap 8 ms).
/// Throws Error(unsupported) without SoundTouch, Error(invalid_argument) for |semitones| > 12 or a factor outside
/// [0.5, 2].
audio::AudioBuffer stretch(audio::AudioView audio, double semitones, double tempo_percent, bool speech);

enum class CopyKind { pitch, tempo, speed, shift };
struct StaticCopy {
  CopyKind kind = CopyKind::pitch;
  double value = 0;
};
/// "pitch+2", "tempo0.9", "speed1.1", "shift-1". Throws Error(config) with the form and the limits: |pitch| <= 12, tempo
/// and speed in [0.5, 2], |shift| <= 60.
StaticCopy parse_static_copy(std::string_view name);
audio::AudioBuffer static_copy(audio::AudioView audio, std::string_view name, bool speech);

}  // namespace mss::training
