// The page that people open: one folder (or one file) of HTML, made from a report and its records.
//
//   OUT/index.html        the page; opens from disk without a network
//   OUT/page/report.css, OUT/page/report.js
//   OUT/page/data/report.js               what all views but the tracks' need
//   OUT/page/data/track-S-T.js            section S, track T: the scores of every frame
//   OUT/page/data/media-M.js              with `audio`, for each track M that has some: waveforms, list of signals, loudness
//   OUT/page/data/audio-M-K.js            signal K: FLAC in base64
//   OUT/page/spectra/M-K.png              its spectrogram
//
// Data are files of JavaScript that hold one call with one JSON value, because browsers let a page on disk load scripts
// but no other files. With `single` all of it stands inside index.html, data as blocks of JSON that are never run. The
// page's Content-Security-Policy lets no other script run, whatever a record says; the page writes text from records as
// text only.
//
// Numbers are those of the report (report.h): cells and their intervals, the tracks' scores, paired differences of all
// rows with 95 % intervals and verdicts adjusted after Holm over the pairs of one table (verdict.h), mean ranks with
// Conover's critical difference (statistics.h); pairs and ranks for the metrics that tables for people show. They are
// written with `digits` + 2 decimals, 4 at least, frames in steps of 0.01 dB (`single`: of the first metric that has some,
// in steps of 0.05 dB). Equal input gives equal bytes.
//
// Audio (`audio`): an excerpt per track, by default the 15 s in which the quietest stem is loudest, at 16 bit; every signal
// is matched to the loudness of its reference by a gain that the player applies, the K-weighted, gated loudness of
// ITU-R BS.1770-4 over the excerpt. Spectrograms: Hann 2048, hop 512, 80 dB below the mixture's largest value.
//
// Errors: Error(io) for the output; Error(dataset) where `audio` is none of the report's data sets; what cannot be had of
// single tracks or estimates is a warning. A stop request (core/stop.h) ends it. Thread-safety: pure but for the files.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/progress.h"
#include "reports/report.h"

namespace mss::reports::html {

struct Options {
  bool single = false;
  std::vector<std::string> audio{};           ///< data sets (datasets::open); empty = no audio
  std::vector<std::filesystem::path> runs{};  ///< folders that may hold estimates (records/store.h)
  std::vector<std::string> audio_tracks{};    ///< globs of track names; empty = all
  double excerpt_s = 15;                      ///< 0 = whole tracks
  /// One sentence for each method and post-filter, by the name that specs have; what they say of rows that this program
  /// separated.
  std::vector<std::pair<std::string, std::string>> about{};
  int threads = 1;
  core::Progress* progress = nullptr;
};

/// Writes the page into `out` and returns what the user should know.
std::vector<std::string> write(const Report& report, const std::vector<records::Record>& records,
                               const Options& options, const std::filesystem::path& out);

}  // namespace mss::reports::html
