// Private to reports/html/: the parts that write() puts together.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/value.h"
#include "reports/html/html.h"

namespace mss::reports::html {

// Files of assets/, built in by CMake.
extern const char* const kPageTemplate;
extern const char* const kPageStyle;
extern const char* const kPageScript;

/// Value of the page's number: `decimals` after the point, null for NaN, "inf" and "-inf".
core::Value rounded(double value, int decimals);

/// The records of a report's cells.
class RecordIndex {
 public:
  RecordIndex(const Report& report, const std::vector<records::Record>& records);
  /// By (section, row, track), each with its target; all seeds.
  const std::vector<const records::Record*>& of(std::size_t section, std::size_t row, std::size_t track) const;
  /// Any record of a row that was scored; nullptr where it only failed.
  const records::Record* any(std::size_t section, std::size_t row) const;
  /// Failures of a section.
  const std::vector<const records::Record*>& failures(std::size_t section) const { return failures_[section]; }
  /// Any record of a track, nullptr where nothing was scored.
  const records::Record* of_track(std::size_t section, std::size_t track) const;

 private:
  std::vector<std::vector<std::vector<std::vector<const records::Record*>>>> cells_;
  std::vector<std::vector<const records::Record*>> failures_;
};

/// What all views but the tracks' need.
core::Value report_data(const Report& report, const RecordIndex& index, const Options& options);
/// The frames of one track; null where no row has any. `short_form`: of the first metric that has some, in steps of 0.05
/// dB instead of 0.01.
core::Value track_data(const Report& report, const RecordIndex& index, std::size_t section, std::size_t track,
                       bool short_form);
/// Values in three letters of base64's alphabet each (most significant first): 2^17 + value / 0.01, 0 for NaN; in the
/// short form in two: 2^11 + value / 0.05. What does not fit becomes the nearest that does.
std::string packed(const std::vector<double>& values, bool short_form);

/// Files of the page by their path below OUT, or (single) blocks of data by their name.
class Sink {
 public:
  virtual ~Sink() = default;
  /// A value that the page loads by this name ("report", "track-0-3").
  virtual void data(const std::string& name, const core::Value& value) = 0;
  /// A picture; returns the address under which the page finds it.
  virtual std::string png(const std::string& name, std::string_view bytes) = 0;
};

/// Excerpts, waveforms and spectrograms. `media` gets the name of its data by (section, track). `scratch` is a folder for
/// a file that is removed again. Returns warnings.
using MediaNames = std::map<std::pair<std::size_t, std::size_t>, std::string>;
std::vector<std::string> write_media(const Report& report, const RecordIndex& index, const Options& options, Sink& sink,
                                     const std::filesystem::path& scratch, MediaNames& media);

std::string base64(std::string_view bytes);

}  // namespace mss::reports::html
