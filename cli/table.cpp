#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/text.h"

namespace mss::cli {

TextTable::TextTable(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void TextTable::add(std::vector<std::string> row) {
  MSS_ASSERT(row.size() == rows_.front().size());
  rows_.push_back(std::move(row));
}

std::string TextTable::text(int columns) const {
  const std::size_t count = rows_.front().size();
  std::vector<std::size_t> width(count, 0);
  std::size_t left = 0;
  for (std::size_t c = 0; c + 1 < count; ++c) {
    for (const auto& row : rows_) width[c] = std::max(width[c], core::display_width(row[c]));
    left += width[c] + 2;
  }
  const std::size_t last =
      std::max<std::size_t>(24, static_cast<std::size_t>(std::max(columns, 0)) -
                                    std::min<std::size_t>(left, static_cast<std::size_t>(std::max(columns, 0))));
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t c = 0; c + 1 < count; ++c) {
      line += row[c] + std::string(width[c] - core::display_width(row[c]) + 2, ' ');
    }
    std::string piece;
    for (const std::string& word : core::split(row.back(), ' ')) {
      if (!piece.empty() && core::display_width(piece) + 1 + core::display_width(word) > last) {
        out += line + piece + "\n";
        line.assign(left, ' ');
        piece.clear();
      }
      piece += (piece.empty() ? "" : " ") + word;
    }
    line += piece;
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string clock_time(double seconds) {
  const auto s = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

}  // namespace mss::cli
