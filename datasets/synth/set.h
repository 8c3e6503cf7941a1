// `mssbench synth`: a folder of composed songs that looks like MUSDB18-HQ.
//
//   ROOT/manifest.json                  recipe and songs with the SHA-256 of every file
//   ROOT/split.json                     names of the songs of train, valid and test
//   ROOT/train/NAME/, ROOT/test/NAME/   mixture, drums, bass, other, vocals (.wav or .flac, 16 bit, 44.1 kHz, stereo),
//                                       meta.json, notes.json, vocals.json, song.mid; the validation songs lie in train/
//   ROOT/instruments/…                  with `instruments`: the same songs with one stem per instrument, as a data set of
//                                       its own (mixture, stems, instruments.json)
//
// A song's folder appears whole or not at all. What is there already and whole (its recipe and hashes match) is kept, so
// that a run that was stopped goes on; the files have the same bytes for any number of jobs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/stop.h"
#include "core/value.h"
#include "datasets/synth/renderer.h"
#include "datasets/synth/score.h"

namespace mss::datasets::synth {

struct Preset {
  std::string name;
  int train = 0, valid = 0, test = 0;  ///< songs
  int seconds = 0;                     ///< length of a composed song
  int cut_seconds = 0;                 ///< 0: whole songs, else the most eventful excerpt of this length
};
/// mini (2/1/2 songs, 7 s cut from 30 s), small (20/4/10, 20 s), full (86/14/50, 30 s).
const std::vector<Preset>& presets();

struct SetOptions {
  std::filesystem::path out;
  Preset preset;
  std::uint64_t seed = 1;
  const Renderer* renderer = nullptr;
  bool flac = false;
  bool instruments = false;
  int jobs = 1;  ///< songs at once, each in at most 0.4 GB of memory; 0 = all processors
  core::Progress* progress = nullptr;
  core::StopToken stop{};
  core::LogFn log{};
};

struct SetSummary {
  int songs = 0, written = 0, kept = 0;
  double seconds = 0;  ///< of all songs
  std::uint64_t bytes = 0;
};

/// Writes the set. Throws Error(config) where `out` holds a set of another recipe or other files, Error(io) for a full
/// disk, Error(cancelled) on a stop; finished songs stay in either case.
SetSummary write_set(const SetOptions& options);

/// What a folder's manifest.json says, where it is one of ours: "synthetic-v2:preset=small,seed=1,renderer=…". Empty for
/// any other folder.
std::string set_name_of(const std::filesystem::path& root);
/// Names of the validation songs of split.json; empty where there is none of ours.
std::vector<std::string> validation_songs(const std::filesystem::path& root);

/// 100-ms blocks of [begin, begin + samples) in which a voice, a bass and a drum sound, added over the three.
int activity(const Score& score, std::int64_t begin, std::int64_t samples);

}  // namespace mss::datasets::synth
