#include <algorithm>
#include <cmath>

#include "core/escape.h"
#include "core/text.h"
#include "reports/layout.h"

namespace mss::reports {
namespace {

std::string pad_left(const std::string& text, std::size_t width) {
  const std::size_t w = core::display_width(text);
  return w >= width ? text : std::string(width - w, ' ') + text;
}

std::string pad_right(const std::string& text, std::size_t width) {
  const std::size_t w = core::display_width(text);
  return w >= width ? text : text + std::string(width - w, ' ');
}

/// Breaks at spaces so that no line exceeds `width`; later lines are indented.
std::string wrap(const std::string& text, std::size_t width, const std::string& indent) {
  std::string out, line;
  for (const std::string& word : core::split(text, ' ')) {
    if (!line.empty() && core::display_width(line) + 1 + core::display_width(word) > width) {
      out += line + "\n";
      line = indent + word;
    } else {
      line += (line.empty() ? "" : " ") + word;
    }
  }
  return out + line + "\n";
}

struct TextColumn {
  std::string title;
  std::vector<std::string> cells;  ///< per row
  std::size_t width = 0;
  bool is_fact = false;

  void measure() {
    width = core::display_width(title);
    for (const std::string& cell : cells) width = std::max(width, core::display_width(cell));
  }
};

constexpr std::size_t kGap = 2;

std::string_view verdict_sign(const std::string& verdict) {
  return verdict == "better" ? "+" : verdict == "worse" ? "-" : verdict == "equivalent" ? "=" : "?";
}

std::string text_cell(const CellText& cell, bool others) {
  std::string out = cell.value;
  if (others && !cell.other.empty()) out += " (" + cell.other + ")";
  if (!cell.low.empty()) out += cell.low == "-" ? " [-]" : " [" + cell.low + ", " + cell.high + "]";
  if (!cell.verdict.empty()) out += " " + std::string(verdict_sign(cell.verdict));
  if (cell.best) out += "*";
  return out;
}

/// The rows, with the caption above.
std::string text_table(const Report& report, const Layout& layout, std::size_t columns) {
  const Section& section = *layout.section;
  std::size_t longest = 0;
  std::vector<std::string> names;
  for (const Row& row : section.rows) {
    names.push_back("  " + core::escape_line(row.name));
    longest = std::max(longest, core::display_width(names.back()));
  }
  const std::size_t wanted = std::clamp<std::size_t>(longest, 12, 26);
  std::vector<TextColumn> values;
  const auto make = [&](bool others) {
    values.clear();
    for (const TableColumn& column : layout.columns) {
      TextColumn made{core::escape_line(column.title),
                      {},
                      0,
                      column.kind != ColumnKind::score && column.kind != ColumnKind::against};
      if (column.kind == ColumnKind::tracks) made.title = "n";
      if (column.kind == ColumnKind::dropped) made.title = "dropped";
      if (column.kind == ColumnKind::silent) made.title = "silent";
      for (std::size_t r = 0; r < section.rows.size(); ++r) {
        made.cells.push_back(text_cell(cell_text(report, layout, r, column), others));
      }
      made.measure();
      values.push_back(std::move(made));
    }
    const bool noted =
        std::any_of(section.rows.begin(), section.rows.end(), [](const Row& row) { return !row.notes.empty(); });
    if (!layout.differences && (any_below_floor(section) || noted)) {
      TextColumn flag{"", {}, 1, true};
      for (const Row& row : section.rows) flag.cells.push_back((row.below_floor ? "<" : "") + note_marks(row));
      flag.measure();
      const auto place = std::find_if(values.begin(), values.end(), [](const TextColumn& c) { return c.is_fact; });
      values.insert(place, std::move(flag));
    }
  };
  // The widest form that fits: with means, else without.
  make(true);
  std::size_t total = wanted;
  for (const TextColumn& column : values) total += column.width + kGap;
  const bool shortened = total > columns && report.options.means;
  if (shortened) make(false);

  // Blocks of columns that fit beside the names; the facts stay together in the last one where they can.
  std::vector<std::vector<const TextColumn*>> blocks(1);
  std::size_t room = columns > wanted ? columns - wanted : 0, used = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::size_t needed = values[i].width + kGap;
    if (values[i].is_fact && (i == 0 || !values[i - 1].is_fact)) {
      for (std::size_t k = i + 1; k < values.size(); ++k) needed += values[k].width + kGap;
    }
    if (!blocks.back().empty() && used + needed > room) {
      blocks.emplace_back();
      used = 0;
    }
    blocks.back().push_back(&values[i]);
    used += values[i].width + kGap;
  }

  std::string caption = layout.caption;
  if (shortened) {
    // The clause of what was left out.
    for (const char* clause : {", mean over tracks in brackets", ", median over tracks in brackets"}) {
      if (const auto at = caption.find(clause); at != std::string::npos) caption.erase(at, std::string(clause).size());
    }
  }
  std::string out = wrap(core::escape_line(layout.title) + ": " + caption, columns, "  ") + "\n";
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (b > 0) out += "\n";
    std::size_t width = 0;
    for (const TextColumn* column : blocks[b]) width += column->width + kGap;
    const std::size_t name_width =
        std::clamp<std::size_t>(columns > width ? columns - width : 0, wanted, std::max(wanted, longest));
    const auto line = [&](const std::string& name, auto cell) {
      std::string text = name;
      if (core::display_width(text) > name_width) {  // long names get a line of their own
        out += text + "\n";
        text.clear();
      }
      text = pad_right(text, name_width);
      for (const TextColumn* column : blocks[b])
        text += std::string(kGap, ' ') + pad_left(cell(*column), column->width);
      out += std::string(text, 0, text.find_last_not_of(' ') + 1) + "\n";
    };
    line("", [](const TextColumn& column) { return column.title; });
    std::string group;
    for (std::size_t r = 0; r < section.rows.size(); ++r) {
      if (const std::string title = group_title(section.rows[r]); title != group) {
        group = title;
        out += core::escape_line(title) + "\n";
      }
      line(names[r], [&](const TextColumn& column) { return column.cells[r]; });
    }
  }
  return out;
}

}  // namespace

std::string to_text(const Report& report, int columns) {
  const auto width = static_cast<std::size_t>(std::clamp(columns, 60, 200));
  std::string out = wrap(core::escape_line(program_line(report)), width, "  ");
  for (const Section& section : report.sections) {
    out += "\n" + wrap(core::escape_line(section_title(section)), width, "  ");
    out +=
        wrap("scenario " + core::escape_line(section.scenario) + ": " + scenario_note(section.scenario), width, "  ");
    bool score_shown = false, difference_shown = false, best = false;
    for (const Layout& layout : layouts(report, section)) {
      // The first metric; in the style of SiSEC 2018 every target's table holds it.
      bool& shown = layout.differences ? difference_shown : score_shown;
      if (shown && (layout.differences || report.options.style != Style::sisec18)) continue;
      if (score_shown) out += "\n";
      shown = true;
      out += text_table(report, layout, width);
      for (const TableColumn& column : layout.columns) {
        best = best || (column.kind == ColumnKind::score && !section.best.empty() &&
                        section.best[column.metric][column.target] >= 0);
      }
    }
    if (difference_shown) out += "+ better, - worse, = equivalent, ? undecided\n";
    if (best) {
      out += wrap("* best, and the 95 % interval of its paired difference to the second best excludes 0", width, "  ");
    }
    if (any_below_floor(section)) {
      out += wrap("< average below the floor " + core::escape_line(section.floor), width, "  ");
    }
    if (std::any_of(section.rows.begin(), section.rows.end(), [](const Row& row) { return row.seeds.size() > 1; })) {
      out += wrap("seeds: least..greatest average that a single seed gives", width, "  ");
    }
    if (any_incomplete(section)) out += wrap("n/N tracks: rows over different tracks do not compare", width, "  ");
    if (const std::string silent = silent_line(section); !silent.empty()) {
      out += wrap("silent references, left out: " + core::escape_line(silent), width, "  ");
    }
    if (const std::string silent = silent_estimates_line(section); !silent.empty()) {
      out += wrap("silent estimates, SDR 0 dB by definition: " + core::escape_line(silent), width, "  ");
    }
    for (const std::string& line : note_lines(section)) out += wrap(core::escape_line(line), width, "  ");
    for (const std::string& note : section.remarks) out += wrap("note: " + core::escape_line(note), width, "  ");
    if (!section.errors.empty()) {
      out += std::to_string(section.errors.size()) + " failed:\n";
      for (const std::string& error : section.errors) out += wrap("- " + core::escape_line(error), width, "  ");
    }
  }
  return out;
}

}  // namespace mss::reports
