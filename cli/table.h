// Plain-text tables for the terminal.
#pragma once

#include <string>
#include <vector>

namespace mss::cli {

/// Columns are as wide as their cells; the last one is wrapped to what is left of the terminal.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  /// As many cells as the header has.
  void add(std::vector<std::string> row);
  std::string text(int columns) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// "3:07" or "1:02:03".
std::string clock_time(double seconds);

}  // namespace mss::cli
