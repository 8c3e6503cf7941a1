// What a run writes to be watched: TensorBoard event files, a CSV log, a picture of its curves.
//
// Event files (events.out.tfevents.*) are records of
//   u64 length | u32 masked CRC-32C of it | payload | u32 masked CRC-32C of the payload      (little endian)
// with mask(c) = (c >> 15 | c << 17) + 0xa282ead8 and a payload in protobuf's wire format, message tensorflow.Event:
//   1 wall_time (double), 2 step (int64), 3 file_version ("brain.Event:2", first record), 5 Summary { 1 Value { 1 tag,
//   2 simple_value, 4 Image { 1 height 2 width 3 colorspace 4 png }, 6 Audio { 1 rate 2 channels 3 frames 4 wav 5 type } } }
// Each writer has a file of its own; TensorBoard reads all files of a folder, so a resumed run adds one.
//
// Thread-safety: each object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "audio/buffer.h"
#include "plots/image.h"

namespace mss::training {

/// CRC-32C (Castagnoli, reflected 0x82F63B78): "123456789" -> 0xE3069283.
std::uint32_t crc32c(std::string_view bytes) noexcept;
std::uint32_t masked_crc32c(std::string_view bytes) noexcept;

class EventWriter {
 public:
  /// Makes FOLDER/events.out.tfevents.SECONDS.mssbench.PID.N and writes the version record. Throws Error(io).
  explicit EventWriter(const std::filesystem::path& folder);
  const std::filesystem::path& path() const noexcept { return path_; }
  void scalar(std::string_view tag, std::int64_t step, double value);
  void image(std::string_view tag, std::int64_t step, const plots::Image& image);
  /// 16-bit wav inside.
  void audio(std::string_view tag, std::int64_t step, audio::AudioView audio);
  void text(std::string_view tag, std::int64_t step, std::string_view text);
  /// Makes what was written visible; called by the destructor and after each image or audio. Throws Error(io).
  void flush();

 private:
  void record(std::string_view payload);
  std::filesystem::path path_;
  std::ofstream file_;
};

/// What our reader gives back (tests, `mssbench train --resume`).
struct Event {
  double wall_time = 0;
  std::int64_t step = 0;
  std::string version;  ///< first record
  std::string tag;
  enum class Kind { none, scalar, image, audio, text } kind = Kind::none;
  double value = 0;   ///< scalar
  std::string bytes;  ///< png, wav, text
};
/// Throws Error(format) for a wrong checksum or a damaged message, with the offset; a file that ends in the middle of
/// its last record gives the records before it.
std::vector<Event> read_events(const std::filesystem::path& path);
std::vector<Event> parse_events(std::string_view bytes, std::string_view name);

/// A CSV log with fixed columns. The first column is "step" (integer).
class CsvLog {
 public:
  /// Opens or makes the file. Rows of an existing file whose step is greater than `last_step` are dropped: what a run
  /// did behind its last checkpoint is done again. Throws Error(config) for other columns, Error(io).
  CsvLog(std::filesystem::path path, std::vector<std::string> columns, std::int64_t last_step = -1);
  /// One row, on disk when it returns; NaN is an empty field. `values` has one number per column after the first.
  void row(std::int64_t step, const std::vector<double>& values);

 private:
  std::filesystem::path path_;
  std::size_t columns_;
  std::ofstream file_;
};

/// One curve per name, (step, value) pairs; NaN is left out.
struct LossCurves {
  std::string title;
  std::string note;
  std::map<std::string, std::vector<std::pair<double, double>>> losses;  ///< upper panel, logarithmic where positive
  std::map<std::string, std::vector<std::pair<double, double>>> scores;  ///< second panel (dB), where there are any
  std::map<std::string, std::vector<std::pair<double, double>>> rates;   ///< last panel: learning rate
};
/// Columns "step", "train_loss", "epoch_loss", "valid_loss", "ema_loss", "learning_rate", "usdr…", "csdr…" of a CsvLog's file.
LossCurves read_curves(const std::filesystem::path& csv);
void write_curves(const std::filesystem::path& png, const LossCurves& curves);

}  // namespace mss::training
