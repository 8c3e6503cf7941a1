#include "training/stretch.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "audio/resample.h"
#include "core/error.h"
#include "core/isa.h"
#include "core/json.h"

#if MSSBENCH_HAVE_SOUNDTOUCH
#include <soundtouch/SoundTouch.h>
#endif

namespace mss::training {

#if MSSBENCH_HAVE_SOUNDTOUCH
namespace {
// Debian's libSoundTouch is linked with -ffast-math: merely loading it flushes denormals in the whole program. Nothing of
// ours may depend on whether it is there. Objects of a program are made after its libraries have started.
[[maybe_unused]] const bool denormals_kept = (core::keep_denormals(), true);
}  // namespace
#endif

bool can_stretch() noexcept { return MSSBENCH_HAVE_SOUNDTOUCH != 0; }

audio::AudioBuffer stretch(audio::AudioView audio, double semitones, double tempo_percent, bool speech) {
  const double factor = 1 + tempo_percent / 100;
  if (!(std::abs(semitones) <= 12) || !(factor >= 0.5 && factor <= 2)) {
    throw Error({Code::invalid_argument, "pitch and tempo", "out of range", "at most 12 semitones, a tempo of 0.5 to 2",
                 core::format_real(semitones) + " semitones, tempo " + core::format_real(factor), ""});
  }
#if MSSBENCH_HAVE_SOUNDTOUCH
  const std::int64_t wanted = std::llround(static_cast<double>(audio.samples()) / factor);
  audio::AudioBuffer out(audio.channels(), wanted, audio.rate_hz());
  if (audio.empty()) return out;
  soundtouch::SoundTouch touch;
  touch.setSampleRate(static_cast<unsigned>(audio.rate_hz()));
  touch.setChannels(static_cast<unsigned>(audio.channels()));
  touch.setPitchSemiTones(semitones);
  touch.setTempo(factor);
  if (speech) {
    touch.setSetting(SETTING_SEQUENCE_MS, 40);
    touch.setSetting(SETTING_SEEKWINDOW_MS, 15);
    touch.setSetting(SETTING_OVERLAP_MS, 8);
  }
  const auto channels = static_cast<std::size_t>(audio.channels());
  constexpr std::int64_t kBlock = 4096;
  std::vector<float> block(static_cast<std::size_t>(kBlock) * channels);
  std::int64_t done = 0;
  const auto take = [&] {
    while (true) {
      const std::int64_t n = touch.receiveSamples(block.data(), static_cast<unsigned>(kBlock));
      if (n == 0) return;
      for (std::int64_t i = 0; i < n && done < wanted; ++i, ++done) {
        for (std::size_t c = 0; c < channels; ++c) {
          out.channel(static_cast<int>(c))[static_cast<std::size_t>(done)] =
              block[static_cast<std::size_t>(i) * channels + c];
        }
      }
    }
  };
  for (std::int64_t begin = 0; begin < audio.samples(); begin += kBlock) {
    const std::int64_t n = std::min(kBlock, audio.samples() - begin);
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::size_t c = 0; c < channels; ++c) {
        block[static_cast<std::size_t>(i) * channels + c] =
            audio.channel(static_cast<int>(c))[static_cast<std::size_t>(begin + i)];
      }
    }
    touch.putSamples(block.data(), static_cast<unsigned>(n));
    take();
  }
  touch.flush();
  take();
  return out;
#else
  (void)audio;
  (void)speech;
  throw Error({Code::unsupported, "pitch and tempo", "this build has no SoundTouch", "", "",
               "install libsoundtouch-dev and build again, or set augment.stretch.probability to 0"});
#endif
}

StaticCopy parse_static_copy(std::string_view name) {
  const auto fail = [&] {
    throw Error({Code::config, "augment.stretch.static_copies", "no such copy",
                 "pitch+2, pitch-2 (|n| <= 12), tempo0.9, speed1.1 (0.5 to 2), shift+1, shift-1 (|s| <= 60)",
                 "'" + std::string(name) + "'", ""});
  };
  const auto number = [&](std::string_view text) {
    if (text.starts_with('+')) text.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || text.empty()) fail();
    return value;
  };
  constexpr std::size_t kWord = 5;
  const std::string_view word = name.substr(0, std::min(kWord, name.size())), rest = name.substr(word.size());
  StaticCopy out;
  if (word == "pitch") {
    out.kind = CopyKind::pitch;
  } else if (word == "tempo") {
    out.kind = CopyKind::tempo;
  } else if (word == "speed") {
    out.kind = CopyKind::speed;
  } else if (word == "shift") {
    out.kind = CopyKind::shift;
  } else {
    fail();
  }
  out.value = number(rest);
  const bool factor = out.kind == CopyKind::tempo || out.kind == CopyKind::speed;
  const double limit = out.kind == CopyKind::pitch ? 12 : 60;
  if (factor ? !(out.value >= 0.5 && out.value <= 2) : !(std::abs(out.value) <= limit)) fail();
  return out;
}

audio::AudioBuffer static_copy(audio::AudioView audio, std::string_view name, bool speech) {
  const StaticCopy copy = parse_static_copy(name);
  switch (copy.kind) {
    case CopyKind::pitch:
      return stretch(audio, copy.value, 0, speech);
    case CopyKind::tempo:
      return stretch(audio, 0, 100 * (copy.value - 1), speech);
    case CopyKind::speed: {
      // The samples are taken for ones of a rate X times as high and brought back to the true rate.
      const int faster = static_cast<int>(std::lround(audio.rate_hz() * copy.value));
      audio::AudioBuffer as(audio.channels(), audio.samples(), faster);
      for (int c = 0; c < audio.channels(); ++c) std::ranges::copy(audio.channel(c), as.channel(c).begin());
      return audio::resample(as, audio.rate_hz());
    }
    case CopyKind::shift: {
      const std::int64_t by = std::llround(copy.value * audio.rate_hz());
      audio::AudioBuffer out(audio.channels(), std::max<std::int64_t>(audio.samples() + by, 1), audio.rate_hz());
      for (int c = 0; c < audio.channels(); ++c) {
        const std::span<const float> from = audio.channel(c);
        const std::span<float> to = out.channel(c);
        for (std::int64_t t = std::max<std::int64_t>(0, by); t < out.samples(); ++t) {
          if (t - by < audio.samples()) to[static_cast<std::size_t>(t)] = from[static_cast<std::size_t>(t - by)];
        }
      }
      return out;
    }
  }
  return audio::AudioBuffer(audio);
}

}  // namespace mss::training
