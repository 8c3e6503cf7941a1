// LaTeX tables that fit the width of a page: their width is reckoned with the widths of Computer Modern's characters.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/escape.h"
#include "core/text.h"
#include "reports/layout.h"

namespace mss::reports {
namespace {

/// Widths of cmr10's characters 32 … 126, in thousandths of the font's size (from its TeX font metric file); where a
/// character stands for another one in TeX ("<", "\"", "_"), near enough to what replaces it.
constexpr short kRoman[95] = {333, 278, 500, 833, 500, 833, 778, 278,  389, 389, 500, 778, 278, 333, 278, 500,
                              500, 500, 500, 500, 500, 500, 500, 500,  500, 500, 278, 278, 778, 778, 778, 472,
                              778, 750, 708, 722, 764, 681, 653, 785,  750, 361, 514, 778, 625, 917, 750, 778,
                              681, 778, 736, 556, 722, 750, 750, 1028, 750, 750, 611, 278, 500, 278, 500, 500,
                              278, 500, 556, 444, 556, 444, 306, 500,  556, 278, 306, 528, 278, 833, 556, 500,
                              556, 528, 392, 394, 389, 556, 528, 722,  528, 528, 444, 500, 278, 500, 500};
constexpr double kTypewriter = 0.525;  ///< cmtt10: every character
constexpr double kMinus = 0.778;       ///< cmsy10
template <class Visit>
void for_letters(std::string_view text, Visit visit) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    const std::string_view piece = text.substr(i, length);
    std::uint32_t point = first;
    if (length > 1 && piece.size() == length && core::is_utf8(piece)) {
      point = length == 2 ? first & 0x1FU : length == 3 ? first & 0x0FU : first & 0x07U;
      for (const char c : piece.substr(1)) point = point << 6 | (static_cast<unsigned char>(c) & 0x3FU);
    } else {
      length = 1;
    }
    visit(text.substr(i, length), point);
    i += length;
  }
}

/// Code points that every LaTeX with pdfTeX knows in its default encoding; others go through a macro (below).
bool is_plain_letter(std::uint32_t point) {
  if (point < 0xA1 || point > 0x17E) return point < 0x80;
  for (const std::uint32_t lacking :
       {0xAB,  0xAD,  0xBB,  0xD0,  0xDE,  0xF0,  0xFE,  0x104, 0x105, 0x110, 0x111, 0x118, 0x119, 0x126,
        0x127, 0x12E, 0x12F, 0x138, 0x13F, 0x140, 0x149, 0x14A, 0x14B, 0x166, 0x167, 0x172, 0x173}) {
    if (point == lacking) return false;
  }
  return true;
}

/// Letters that a macro shows, in pdfTeX as "[U+6F22]".
bool needs_macro(std::string_view letter, std::uint32_t point) {
  return letter.size() > 1 && !is_plain_letter(point) && core::escape_line(letter) == letter;
}

double roman_width(std::string_view text, double size) {
  double sum = 0;
  for_letters(text, [&](std::string_view letter, std::uint32_t point) {
    sum += needs_macro(letter, point) ? 8 * 600 : point >= 32 && point < 127 ? kRoman[point - 32] : 800;
  });
  return sum * size / 1000;
}

double code_width(std::string_view text, double size) {
  double sum = 0;
  for_letters(text, [&](std::string_view letter, std::uint32_t point) {
    // What is a macro in LaTeX may come from another font.
    const bool special =
        point < 127 && std::string_view("\\{}$&#%_~^<>|\"").find(static_cast<char>(point)) != std::string_view::npos;
    sum += needs_macro(letter, point) ? 8 * kTypewriter : special ? 0.78 : kTypewriter;
  });
  return sum * size;
}

/// Of a number, its minus sign in mathematics.
double number_width(std::string_view text, double size) {
  double sum = roman_width(text, size);
  if (text.starts_with("-") || text.starts_with("+")) {
    sum += (kMinus - kRoman[text.front() == '-' ? '-' - 32 : '+' - 32] / 1000.0) * size;
  }
  return sum;
}

/// escape_latex, and letters that pdfTeX does not have shown as their number there (XeTeX and LuaTeX show them).
/// `breakable` allows line breaks behind punctuation, and inside
/// of what is long without any.
std::string latex(std::string_view text, bool breakable = false) {
  std::string out, ascii;
  std::size_t unbroken = 0;
  constexpr std::size_t kLongest = 10;  // letters without a place to break
  const auto flush = [&] {
    std::string escaped = core::escape_latex(ascii);
    out += escaped;
    ascii.clear();
  };
  for_letters(text, [&](std::string_view letter, std::uint32_t point) {
    if (needs_macro(letter, point)) {
      flush();
      out += fmt::format("\\mssbenchletter{{{}}}{{{:04X}}}", letter, point);
      return;
    }
    ascii += letter;
    ++unbroken;
    const bool punctuation = std::string_view(":,|=@-_/+").find(letter) != std::string_view::npos;
    if (breakable && (punctuation || unbroken == kLongest)) {
      flush();
      out += "\\allowbreak{}";
      unbroken = 0;
    }
  });
  flush();
  return out;
}

std::string number(const std::string& text) {
  if (text == "-") return "--";
  if (text == "inf") return "$\\infty$";
  if (text == "-inf") return "$-\\infty$";
  if (text.starts_with("-") || text.starts_with("+")) return "$" + text.substr(0, 1) + "$" + text.substr(1);
  return text;
}

std::string script(const std::string& text) { return text == "inf" ? "\\infty" : text == "-inf" ? "-\\infty" : text; }

/// One way of setting a table. `size` is the font size whose cmr10 widths are those of the font used: small fonts are
/// relatively wider, so that 8 pt count as 8.5. `script` is the width of a script's character against one of the text.
struct Form {
  bool others = true;  ///< the mean beside the median
  double size = 10, script = 0.80;
  double gap = 6;  ///< \tabcolsep, pt
  const char* command = "";
};

std::string verdict_sign(const std::string& verdict) {
  return verdict == "better"       ? " $\\uparrow$"
         : verdict == "worse"      ? " $\\downarrow$"
         : verdict == "equivalent" ? " $\\approx$"
         : verdict == "undecided"  ? " ?"
                                   : "";
}

std::string latex_cell(const CellText& cell, const Form& form) {
  std::string value = number(cell.value);
  if (cell.best) value = "\\textbf{" + value + "}";
  if (!cell.low.empty() && cell.low != "-") value += "$_{" + script(cell.low) + "}^{" + script(cell.high) + "}$";
  if (form.others && !cell.other.empty()) value += " (" + number(cell.other) + ")";
  return value + verdict_sign(cell.verdict);
}

double cell_width(const CellText& cell, const Form& form) {
  double width = number_width(cell.value, form.size) * (cell.best ? 1.15 : 1.0);
  if (!cell.low.empty() && cell.low != "-") {
    width += std::max(number_width(cell.low, form.size), number_width(cell.high, form.size)) * form.script + 0.5;
  }
  if (form.others && !cell.other.empty()) width += roman_width(" ()", form.size) + number_width(cell.other, form.size);
  if (!cell.verdict.empty()) width += 1.4 * form.size;
  return width;
}

double name_width(const Row& row, double size) {
  const std::string notes = note_marks(row);
  const double arrow =
      (row.below_floor ? 0.85 * size : 0) + (notes.empty() ? 0 : roman_width(" (" + notes + ")", size));
  return arrow + (row.name == row.spec ? code_width(row.name, size) : roman_width(row.name, size));
}

/// How one table is set: the form, and the width of the column of names (0 = natural).
struct Fit {
  Form form;
  double names = 0;
  double total = 0;
  bool fits = false;
};

Fit fit(const Report& report, const Layout& layout, const std::vector<TableColumn>& columns) {
  const Section& section = *layout.section;
  const double allowed = report.options.latex_width_pt;
  constexpr double kLeastName = 64;  // a broken spec is still readable
  std::vector<Form> forms;
  for (const bool others : {true, false}) {
    if (others && (!report.options.means || layout.differences)) continue;
    forms.push_back({others, 10, 0.80, 6, ""});
    forms.push_back({others, 10, 0.80, 3.5, ""});
  }
  forms.push_back({false, 9.25, 0.80, 3.5, "\\small "});
  forms.push_back({false, 8.5, 0.87, 3, "\\footnotesize "});
  forms.push_back({false, 8.0, 0.86, 2, "\\scriptsize "});
  Fit best;
  for (const Form& form : forms) {
    double numbers = 0;
    for (const TableColumn& column : columns) {
      double width = roman_width(column.title, form.size);
      for (std::size_t r = 0; r < section.rows.size(); ++r) {
        width = std::max(width, cell_width(cell_text(report, layout, r, column), form));
      }
      numbers += width + 2 * form.gap;
    }
    double natural = roman_width("method", form.size);
    for (const Row& row : section.rows) natural = std::max(natural, name_width(row, form.size));
    const double room = allowed - numbers - form.gap;  // @{} at the outer edges
    best.form = form;
    best.names = natural <= room - 1 ? 0 : std::max(room - 1, kLeastName);
    best.total = numbers + form.gap + (best.names > 0 ? best.names : natural);
    best.fits = best.total <= allowed;
    if (best.fits) break;
  }
  return best;
}

std::string name_text(const Row& row, double width) {
  std::string mark = row.below_floor ? " $\\downarrow$" : "";
  if (!row.notes.empty()) mark += " (" + latex(note_marks(row)) + ")";
  const bool code = row.name == row.spec;
  const std::string text = latex(row.name, width > 0);
  const std::string name = (code ? "\\texttt{" + text + "}" : text) + mark;
  if (width <= 0) return name;
  return fmt::format("\\parbox[t]{{{:.0f}pt}}{{\\raggedright\\hangindent=6pt {}\\strut}}", std::floor(width), name);
}

std::string table(const Report& report, const Layout& layout, std::vector<std::string>* warnings) {
  const Section& section = *layout.section;
  // Counts of what was dropped or silent belong to the other formats; a page has no room for them.
  std::vector<TableColumn> columns;
  for (const TableColumn& column : layout.columns) {
    if (column.kind != ColumnKind::dropped && column.kind != ColumnKind::silent && column.kind != ColumnKind::failed) {
      columns.push_back(column);
    }
  }
  const Fit fitted = fit(report, layout, columns);
  std::string out = "\n";
  std::string caption = layout.caption;
  if (!fitted.form.others && report.options.means && !layout.differences) {
    for (const char* clause : {", mean over tracks in brackets", ", median over tracks in brackets"}) {
      if (const auto at = caption.find(clause); at != std::string::npos) caption.erase(at, std::string(clause).size());
    }
  }
  const bool has_interval = report.options.intervals || layout.differences;
  if (const auto at = caption.find("95 % interval"); has_interval && at != std::string::npos) {
    const std::string_view rest = layout.differences ? "95 % interval" : "95 % interval over tracks";
    caption.insert(at + rest.size(), " (ends as sub- and superscript)");
  }
  if (layout.differences) {
    if (const auto at = caption.find(", tracks won/tied/lost"); at != std::string::npos) {
      caption.erase(at, std::string(", tracks won/tied/lost").size());
    }
    caption += "; $\\uparrow$ better, $\\downarrow$ worse, $\\approx$ equivalent, ? undecided";
  }
  const auto escaped_caption = [&] {
    std::string text;
    for (const char c : caption) {  // our own words, but for the signs of per cent and the plus-minus
      if (c == '%') text += '\\';
      text += c;
    }
    for (std::string::size_type at = 0; (at = text.find("±", at)) != std::string::npos;) text.replace(at, 2, "$\\pm$");
    return text;
  };
  for (const std::string& note : section.remarks) out += "% " + note + "\n";
  if (!section.remarks.empty()) caption += "; synthetic songs, not comparable with MUSDB18";
  if (!fitted.fits) {
    const std::string advice = fmt::format(
        "{}: about {:.0f} pt wide, {:.0f} pt are there; narrower: {}--round 1, --names with short names, "
        "--only with fewer rows, fewer targets, or a wider page with --width",
        layout.label, fitted.total, report.options.latex_width_pt,
        report.options.intervals ? "without --intervals, " : "");
    out += "% " + advice + "\n";
    if (warnings != nullptr) warnings->push_back(advice);
  }
  out += "\\begin{table}\n  \\centering\n  \\setlength{\\belowcaptionskip}{5pt}\n  \\caption{" +
         latex(section_title(section)) + ": " + latex(layout.title) + ", " + escaped_caption();
  bool best = false;
  for (const TableColumn& column : columns) {
    best = best || (column.kind == ColumnKind::score && !section.best.empty() &&
                    section.best[column.metric][column.target] >= 0);
  }
  out += ".";
  if (best) out += " Bold: best, 95\\,\\% interval of the paired difference to the second best without 0.";
  if (any_below_floor(section) && !layout.differences) {
    out += " $\\downarrow$: average below \\texttt{" + latex(section.floor) + "}.";
  }
  if (!layout.differences)
    for (const std::string& line : note_lines(section)) out += " " + latex(line) + ".";
  out += "}\n  \\label{" + layout.label + "}\n";
  out += std::string("  ") + fitted.form.command + fmt::format("\\setlength{{\\tabcolsep}}{{{}pt}}\n", fitted.form.gap);
  out += "  \\begin{tabular}{@{}l" + std::string(columns.size(), 'r') + "@{}}\n    \\toprule\n    method";
  for (const TableColumn& column : columns) out += " & " + latex(column.title);
  out += " \\\\\n    \\midrule\n";
  std::string group;
  for (std::size_t r = 0; r < section.rows.size(); ++r) {
    const Row& row = section.rows[r];
    if (const std::string title = group_title(row); title != group) {
      if (!group.empty()) out += "    \\midrule\n";
      group = title;
      out +=
          "    \\multicolumn{" + std::to_string(columns.size() + 1) + "}{@{}l@{}}{\\emph{" + latex(title) + "}} \\\\\n";
    }
    out += "    " + name_text(row, fitted.names);
    for (const TableColumn& column : columns) {
      out += " & " + latex_cell(cell_text(report, layout, r, column), fitted.form);
    }
    out += " \\\\\n";
  }
  return out + "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n";
}

}  // namespace

std::string to_latex(const Report& report, std::vector<std::string>* warnings) {
  std::string out = "% " + core::escape_line(program_line(report)) + "\n";
  for (const std::string& command : report.commands) out += "% " + core::escape_line(command) + "\n";
  out +=
      "% needs \\usepackage{booktabs}\n"
      "% Letters that pdfTeX lacks in its default encoding: shown by XeTeX and LuaTeX, by number in pdfTeX.\n"
      "\\providecommand{\\mssbenchletter}[2]{\\ifdefined\\Umathchar#1\\else[U+#2]\\fi}\n";
  for (const Section& section : report.sections) {
    for (const Layout& layout : layouts(report, section)) out += table(report, layout, warnings);
  }
  return out;
}

}  // namespace mss::reports
