#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "eval/scores.h"
#include "reports/report.h"

namespace mss::reports {
namespace {

using core::Value;

/// What Markdown and LaTeX show of many metrics.
const std::vector<std::string>& main_metrics() {
  static const std::vector<std::string> list = {"SDR", "ISR", "SIR", "SAR", "SI-SDR", "uSDR"};
  return list;
}

const eval::MetricInfo* metric_info(const std::string& id) {
  for (const eval::MetricInfo& info : eval::metrics()) {
    if (info.id == id) return &info;
  }
  return nullptr;
}

std::string unit_of(const std::string& id) {
  const eval::MetricInfo* info = metric_info(id);
  return info == nullptr ? std::string() : info->unit;
}

/// Indices of the metrics that a table shows.
std::vector<std::size_t> shown_metrics(const Report& report, const Section& section) {
  std::vector<std::size_t> out;
  for (std::size_t m = 0; m < section.metrics.size(); ++m) {
    const bool is_main =
        std::find(main_metrics().begin(), main_metrics().end(), section.metrics[m]) != main_metrics().end();
    if (report.metrics_chosen || is_main) out.push_back(m);
  }
  if (out.empty()) {
    for (std::size_t m = 0; m < section.metrics.size(); ++m) out.push_back(m);
  }
  return out;
}

/// Two decimals; "-" for no value; no "-0.00".
std::string decimals(double value) {
  if (std::isnan(value)) return "-";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{:.2f}", value);
  return text == "-0.00" ? "0.00" : text;
}

std::string with_mean(const Cell& cell) {
  return std::isnan(cell.median) ? "-" : decimals(cell.median) + " (" + decimals(cell.mean) + ")";
}

bool has_spread(const Cell& cell) { return !std::isnan(cell.spread_low); }

/// Share of frames without a value, over the row's targets; empty for metrics without frames.
std::string dropped_share(const Cell& average) {
  if (average.frames == 0) return "";
  return fmt::format("{:.1f}%",
                     100.0 * static_cast<double>(average.dropped_frames) / static_cast<double>(average.frames));
}

std::string tracks_text(const Row& row, const Section& section) {
  const int scored = row.tracks;
  return scored == section.tracks ? std::to_string(scored) : fmt::format("{}/{}", scored, section.tracks);
}

std::string section_title(const Section& section) {
  return section.dataset + " / " + section.subset + " / " + section.scenario;
}

/// Heading of the group a row stands in.
std::string group_title(const Row& row) {
  switch (row.kind) {
    case RowKind::floor:
      return "floors";
    case RowKind::oracle:
      return row.protocol.empty() ? "oracles (know the true stems)"
                                  : "oracles, protocol " + row.protocol + " (knows the true stems)";
    default:
      return "methods";
  }
}

std::string program_line(const Report& report) {
  std::string line = "mssbench " + core::join(report.versions, ", ");
  line += " (revision " + core::join(report.revisions, ", ") + "; " + core::join(report.isas, ", ") + ")";
  return line;
}

bool any_below_floor(const Section& section) {
  return std::any_of(section.rows.begin(), section.rows.end(), [](const Row& row) { return row.below_floor; });
}

bool any_incomplete(const Section& section) {
  return std::any_of(section.rows.begin(), section.rows.end(),
                     [&](const Row& row) { return row.tracks != section.tracks; });
}

bool any_spread(const Section& section, std::size_t metric) {
  return std::any_of(section.rows.begin(), section.rows.end(),
                     [&](const Row& row) { return has_spread(row.cells[metric].back()); });
}

std::string aggregation(const Section& section, std::size_t metric, bool means = true) {
  const bool framewise = std::any_of(section.rows.begin(), section.rows.end(),
                                     [&](const Row& row) { return row.cells[metric].back().frames > 0; });
  const std::string tracks = section.tracks == 1 ? "1 track" : std::to_string(section.tracks) + " tracks";
  return "median over " + tracks + (framewise ? " of medians over frames" : "") +
         (means ? ", mean over tracks in brackets" : "");
}

/// Per target, how many (row, track) were left out because the reference is silent; from the row that has most.
std::string silent_line(const Section& section) {
  std::string out;
  if (section.metrics.empty()) return out;
  for (std::size_t t = 0; t < section.targets.size(); ++t) {
    int most = 0;
    for (const Row& row : section.rows) most = std::max(most, row.cells.front()[t].silent_references);
    if (most == 0) continue;
    out += (out.empty() ? "" : ", ") + section.targets[t] + " in " + std::to_string(most) +
           (most == 1 ? " track" : " tracks");
  }
  return out;
}

std::string silent_estimates_line(const Section& section) {
  std::string out;
  if (section.metrics.empty()) return out;
  for (const Row& row : section.rows) {
    const int count = row.cells.front().back().silent_estimates;
    if (count > 0) out += (out.empty() ? "" : ", ") + row.spec + " (" + std::to_string(count) + ")";
  }
  return out;
}

// --- escaping
// ------------------------------------------------------------------------------------------------------------

std::string markdown(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' || c == '\r') {
      out += ' ';
      continue;
    }
    if (std::string_view("\\`*_{}[]<>#|~").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// Inline code. Inside tables a bar must be escaped even in code; backticks need a longer fence.
std::string markdown_code(std::string_view text, bool in_table) {
  std::string body;
  std::size_t run = 0, longest = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
    if (c == '|' && in_table) body += '\\';
    body += c == '\n' || c == '\r' ? ' ' : c;
  }
  const std::string fence(longest + 1, '`');
  const std::string pad = longest > 0 ? " " : "";
  return fence + pad + body + pad + fence;
}

std::string latex(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\textbackslash{}";
        break;
      case '{':
        out += "\\{";
        break;
      case '}':
        out += "\\}";
        break;
      case '$':
        out += "\\$";
        break;
      case '&':
        out += "\\&";
        break;
      case '#':
        out += "\\#";
        break;
      case '%':
        out += "\\%";
        break;
      case '_':
        out += "\\_";
        break;
      case '~':
        out += "\\textasciitilde{}";
        break;
      case '^':
        out += "\\textasciicircum{}";
        break;
      case '<':
        out += "\\textless{}";
        break;
      case '>':
        out += "\\textgreater{}";
        break;
      case '|':
        out += "\\textbar{}";
        break;
      case '"':
        out += "\\char34{}";
        break;
      case '\n':
      case '\r':
        out += ' ';
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string latex_number(const std::string& text) {
  if (text == "-") return "--";
  if (text == "inf") return "$\\infty$";
  if (text == "-inf") return "$-\\infty$";
  return text.starts_with("-") ? "$-$" + text.substr(1) : text;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

/// Full precision; empty for no value.
std::string csv_number(double value) { return std::isnan(value) ? "" : core::format_real(value); }

std::string seeds_text(const Row& row) {
  std::string out;
  for (const std::uint64_t seed : row.seeds) out += (out.empty() ? "" : " ") + std::to_string(seed);
  return out;
}

// --- text
// ----------------------------------------------------------------------------------------------------------------

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

  void measure() {
    width = core::display_width(title);
    for (const std::string& cell : cells) width = std::max(width, core::display_width(cell));
  }
};

constexpr std::size_t kGap = 2;

/// The rows, with the caption above.
std::string text_table(const Section& section, std::size_t metric, std::size_t columns) {
  // The widest form that fits: with means, else without.
  std::size_t longest = 0;
  for (const Row& row : section.rows) longest = std::max(longest, core::display_width(row.spec) + 2);
  const std::size_t wanted = std::clamp<std::size_t>(longest, 12, 26);
  std::vector<TextColumn> values, facts;
  const auto make_values = [&](bool means) {
    values.clear();
    for (std::size_t t = 0; t <= section.targets.size(); ++t) {
      TextColumn column{t < section.targets.size() ? section.targets[t] : "avg", {}, 0};
      for (const Row& row : section.rows) {
        const Cell& cell = row.cells[metric][t];
        column.cells.push_back(means ? with_mean(cell) : decimals(cell.median));
      }
      column.measure();
      values.push_back(std::move(column));
    }
  };
  TextColumn flag{"", {}, 0}, tracks{"n", {}, 0}, dropped{"dropped", {}, 0}, spread{"seeds", {}, 0};
  for (const Row& row : section.rows) {
    const Cell& average = row.cells[metric].back();
    flag.cells.push_back(row.below_floor ? "<" : "");
    tracks.cells.push_back(tracks_text(row, section));
    dropped.cells.push_back(dropped_share(average));
    spread.cells.push_back(has_spread(average) ? decimals(average.spread_low) + ".." + decimals(average.spread_high)
                                               : "");
  }
  if (any_below_floor(section)) facts.push_back(flag);
  if (any_spread(section, metric)) facts.push_back(spread);
  facts.push_back(tracks);
  if (std::any_of(dropped.cells.begin(), dropped.cells.end(), [](const std::string& c) { return !c.empty(); })) {
    facts.push_back(dropped);
  }
  std::size_t facts_width = 0;
  for (TextColumn& column : facts) {
    column.measure();
    facts_width += column.width + kGap;
  }
  const auto total = [&] {
    std::size_t width = facts_width;
    for (const TextColumn& column : values) width += column.width + kGap;
    return width;
  };
  make_values(true);
  const bool means = wanted + total() <= columns;
  if (!means) make_values(false);

  // Blocks of value columns that fit beside the names; the facts stand in the last one.
  std::vector<std::vector<const TextColumn*>> blocks;
  std::size_t room = columns > wanted ? columns - wanted : 0, used = 0;
  blocks.emplace_back();
  const auto add = [&](const TextColumn& column, std::size_t needed) {
    if (!blocks.back().empty() && used + needed > room) {
      blocks.emplace_back();
      used = 0;
    }
    blocks.back().push_back(&column);
    used += column.width + kGap;
  };
  for (const TextColumn& column : values) add(column, column.width + kGap);
  for (std::size_t i = 0; i < facts.size(); ++i) {
    std::size_t rest = 0;
    for (std::size_t k = i; k < facts.size(); ++k) rest += facts[k].width + kGap;
    add(facts[i], i == 0 ? rest : facts[i].width + kGap);
  }

  const std::string unit = unit_of(section.metrics[metric]);
  std::string out =
      wrap(section.metrics[metric] + (unit.empty() ? "" : " in " + unit) + ", " + aggregation(section, metric, means),
           columns, "  ") +
      "\n";
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    if (b > 0) out += "\n";
    std::size_t width = 0;
    for (const TextColumn* column : blocks[b]) width += column->width + kGap;
    const std::size_t names =
        std::clamp<std::size_t>(columns > width ? columns - width : 0, wanted, std::max(wanted, longest));
    const auto line = [&](const std::string& name, auto cell) {
      std::string text = name;
      if (core::display_width(text) > names) {  // long names get a line of their own
        out += text + "\n";
        text.clear();
      }
      text = pad_right(text, names);
      for (const TextColumn* column : blocks[b])
        text += std::string(kGap, ' ') + pad_left(cell(*column), column->width);
      out += std::string(text, 0, text.find_last_not_of(' ') + 1) + "\n";
    };
    line("", [](const TextColumn& column) { return column.title; });
    std::string group;
    for (std::size_t r = 0; r < section.rows.size(); ++r) {
      if (const std::string title = group_title(section.rows[r]); title != group) {
        group = title;
        out += title + "\n";
      }
      line("  " + section.rows[r].spec, [&](const TextColumn& column) { return column.cells[r]; });
    }
  }
  return out;
}

}  // namespace

std::string to_text(const Report& report, int columns) {
  const auto width = static_cast<std::size_t>(std::clamp(columns, 60, 200));
  std::string out = wrap(program_line(report), width, "  ");
  for (const Section& section : report.sections) {
    out += "\n" + wrap(section_title(section), width, "  ");
    if (!section.metrics.empty()) out += text_table(section, 0, width);
    if (any_below_floor(section)) out += wrap("< average below the floor " + section.floor, width, "  ");
    if (!section.metrics.empty() && any_spread(section, 0)) {
      out += wrap("seeds: least..greatest average that a single seed gives", width, "  ");
    }
    if (any_incomplete(section)) out += wrap("n/N tracks: rows over different tracks do not compare", width, "  ");
    if (const std::string silent = silent_line(section); !silent.empty()) {
      out += wrap("silent references, left out: " + silent, width, "  ");
    }
    if (const std::string silent = silent_estimates_line(section); !silent.empty()) {
      out += wrap("silent estimates, SDR 0 dB by definition: " + silent, width, "  ");
    }
    if (!section.errors.empty()) {
      out += std::to_string(section.errors.size()) + " failed:\n";
      for (const std::string& error : section.errors) out += wrap("- " + error, width, "  ");
    }
  }
  return out;
}

std::string to_markdown(const Report& report) {
  std::string out =
      "# Results\n\n" + markdown(program_line(report)) + "; " + std::to_string(report.records) + " records.\n";
  if (!report.commands.empty()) {
    out += "\nCommands:\n\n";
    for (const std::string& command : report.commands) out += "- " + markdown_code(command, false) + "\n";
  }
  for (const Section& section : report.sections) {
    out += "\n## " + markdown(section_title(section)) + "\n";
    for (const std::size_t m : shown_metrics(report, section)) {
      const std::string& metric = section.metrics[m];
      const std::string unit = unit_of(metric);
      out += "\n### " + markdown(metric) + (unit.empty() ? "" : " (" + unit + ")") + "\n\n";
      std::string caption = aggregation(section, m);
      caption[0] = 'M';
      out += caption;
      if (any_spread(section, m)) out += ", least and greatest median over seeds in square brackets";
      out += ".\n\n| method |";
      for (const std::string& target : section.targets) out += " " + markdown(target) + " |";
      out += " avg | tracks | failed | frames dropped | silent references |\n|---|";
      for (std::size_t t = 0; t < section.targets.size() + 1; ++t) out += "---:|";
      out += "---:|---:|---:|---:|\n";
      std::string group;
      for (const Row& row : section.rows) {
        if (const std::string title = group_title(row); title != group) {
          group = title;
          out += "| **" + markdown(title) + "** |";
          for (std::size_t t = 0; t < section.targets.size() + 5; ++t) out += " |";
          out += "\n";
        }
        out += "| " + markdown_code(row.spec, true) + (row.below_floor ? " ↓" : "") + " |";
        for (const Cell& cell : row.cells[m]) {
          out += " " + with_mean(cell);
          if (has_spread(cell)) out += " \\[" + decimals(cell.spread_low) + ", " + decimals(cell.spread_high) + "\\]";
          out += " |";
        }
        const Cell& average = row.cells[m].back();
        out += " " + tracks_text(row, section) + " | " + std::to_string(row.failed_tracks) + " | ";
        out += average.frames == 0 ? "" : fmt::format("{} of {}", average.dropped_frames, average.frames);
        out += " | " + std::to_string(average.silent_references) + " |\n";
      }
      if (any_below_floor(section)) {
        out += "\n↓ average of " + markdown(section.metrics.front()) + " below the floor " +
               markdown_code(section.floor, false) + ".\n";
      }
      if (any_incomplete(section)) out += "\nRows over different tracks do not compare.\n";
    }
    if (const std::string silent = silent_line(section); !silent.empty()) {
      out += "\nReferences that are silent over the whole track are left out: " + markdown(silent) + ".\n";
    }
    if (const std::string silent = silent_estimates_line(section); !silent.empty()) {
      out +=
          "\nEstimates that are silent over the whole track score SDR 0 dB by definition: " + markdown(silent) + ".\n";
    }
    if (!section.errors.empty()) {
      out += "\n### Failed\n\n";
      for (const std::string& error : section.errors) out += "- " + markdown(error) + "\n";
    }
    const bool timed = std::any_of(section.rows.begin(), section.rows.end(),
                                   [](const Row& row) { return !std::isnan(row.realtime_factor); });
    if (timed) {
      out +=
          "\n### Time\n\nSeparation time over duration, median over tracks; differs from run to run.\n\n| method | "
          "time / "
          "duration |\n|---|---:|\n";
      for (const Row& row : section.rows) {
        out += "| " + markdown_code(row.spec, true) + " | ";
        out += std::isnan(row.realtime_factor) ? "-" : fmt::format("{:.3g}", row.realtime_factor);
        out += " |\n";
      }
    }
  }
  bool defined = false;
  std::vector<std::string> done;
  for (const Section& section : report.sections) {
    for (const std::size_t m : shown_metrics(report, section)) {
      const std::string& id = section.metrics[m];
      const eval::MetricInfo* info = metric_info(id);
      if (info == nullptr || std::find(done.begin(), done.end(), id) != done.end()) continue;
      if (!defined) out += "\n## Metrics\n\n";
      defined = true;
      done.push_back(id);
      out += "- **" + markdown(id) + "**: " + markdown(info->definition) + "\n";
    }
  }
  return out;
}

std::string to_csv(const Report& report) {
  std::string out =
      "dataset,subset,scenario,spec,kind,protocol,seeds,target,metric,unit,median,mean,spread_low,spread_high,tracks,"
      "failed_tracks,frames,dropped_frames,silent_references,silent_estimates,below_floor,version,revision,isa\n";
  for (const Section& section : report.sections) {
    for (const Row& row : section.rows) {
      for (std::size_t t = 0; t <= section.targets.size(); ++t) {
        for (std::size_t m = 0; m < section.metrics.size(); ++m) {
          const Cell& cell = row.cells[m][t];
          const std::vector<std::string> fields = {section.dataset,
                                                   section.subset,
                                                   section.scenario,
                                                   row.spec,
                                                   std::string(kind_name(row.kind)),
                                                   row.protocol,
                                                   seeds_text(row),
                                                   t < section.targets.size() ? section.targets[t] : "avg",
                                                   section.metrics[m],
                                                   unit_of(section.metrics[m]),
                                                   csv_number(cell.median),
                                                   csv_number(cell.mean),
                                                   csv_number(cell.spread_low),
                                                   csv_number(cell.spread_high),
                                                   std::to_string(cell.tracks),
                                                   std::to_string(row.failed_tracks),
                                                   std::to_string(cell.frames),
                                                   std::to_string(cell.dropped_frames),
                                                   std::to_string(cell.silent_references),
                                                   std::to_string(cell.silent_estimates),
                                                   row.below_floor ? "true" : "false",
                                                   core::join(report.versions, " "),
                                                   core::join(report.revisions, " "),
                                                   core::join(report.isas, " ")};
          for (std::size_t i = 0; i < fields.size(); ++i) out += (i == 0 ? "" : ",") + csv_field(fields[i]);
          out += "\n";
        }
      }
    }
  }
  return out;
}

std::string to_latex(const Report& report) {
  std::string out = "% " + program_line(report) + "\n";
  for (const std::string& command : report.commands) {
    std::string line = command;
    std::replace(line.begin(), line.end(), '\n', ' ');
    out += "% " + line + "\n";
  }
  out += "% needs \\usepackage{booktabs}\n";
  for (const Section& section : report.sections) {
    for (const std::size_t m : shown_metrics(report, section)) {
      const std::string& metric = section.metrics[m];
      const std::string unit = unit_of(metric);
      const std::size_t columns = section.targets.size() + 3;
      out += "\n\\begin{table}\n  \\centering\n  \\caption{" + latex(section_title(section)) + ": " + latex(metric);
      if (!unit.empty()) out += " in " + latex(unit);
      out += ", " + latex(aggregation(section, m)) + ".";
      if (any_below_floor(section)) out += " $\\downarrow$: average below \\texttt{" + latex(section.floor) + "}.";
      out += "}\n  \\begin{tabular}{l" + std::string(columns - 1, 'r') + "}\n    \\toprule\n    method";
      for (const std::string& target : section.targets) out += " & " + latex(target);
      out += " & avg & tracks \\\\\n    \\midrule\n";
      std::string group;
      for (const Row& row : section.rows) {
        if (const std::string title = group_title(row); title != group) {
          if (!group.empty()) out += "    \\midrule\n";
          group = title;
          out += "    \\multicolumn{" + std::to_string(columns) + "}{l}{\\emph{" + latex(title) + "}} \\\\\n";
        }
        out += "    \\texttt{" + latex(row.spec) + "}" + (row.below_floor ? " $\\downarrow$" : "");
        for (const Cell& cell : row.cells[m]) {
          out += " & " + latex_number(decimals(cell.median));
          if (!std::isnan(cell.median)) out += " (" + latex_number(decimals(cell.mean)) + ")";
        }
        out += " & " + tracks_text(row, section) + " \\\\\n";
      }
      out += "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n";
    }
  }
  return out;
}

Value to_json(const Report& report) {
  const auto strings = [](const std::vector<std::string>& list) {
    Value out = Value::array();
    for (const std::string& text : list) out.push_back(text);
    return out;
  };
  const auto cell_value = [](const Cell& cell) {
    Value out = Value::object();
    out["median"] = records::number_to_value(cell.median);
    out["mean"] = records::number_to_value(cell.mean);
    out["spread_low"] = records::number_to_value(cell.spread_low);
    out["spread_high"] = records::number_to_value(cell.spread_high);
    out["tracks"] = cell.tracks;
    out["frames"] = cell.frames;
    out["dropped_frames"] = cell.dropped_frames;
    out["silent_references"] = cell.silent_references;
    out["silent_estimates"] = cell.silent_estimates;
    return out;
  };
  Value out = Value::object();
  out["schema"] = kTableSchema;
  out["versions"] = strings(report.versions);
  out["revisions"] = strings(report.revisions);
  out["isas"] = strings(report.isas);
  out["commands"] = strings(report.commands);
  out["records"] = report.records;
  Value sections = Value::array();
  for (const Section& section : report.sections) {
    Value value = Value::object();
    value["dataset"] = section.dataset;
    value["subset"] = section.subset;
    value["scenario"] = section.scenario;
    value["tracks"] = section.tracks;
    value["metrics"] = strings(section.metrics);
    value["targets"] = strings(section.targets);
    value["floor"] = section.floor.empty() ? Value() : Value(section.floor);
    Value rows = Value::array();
    for (const Row& row : section.rows) {
      Value entry = Value::object();
      entry["spec"] = row.spec;
      entry["kind"] = kind_name(row.kind);
      entry["protocol"] = row.protocol;
      Value seeds = Value::array();
      for (const std::uint64_t seed : row.seeds) seeds.push_back(seed);
      entry["seeds"] = std::move(seeds);
      entry["tracks"] = row.tracks;
      entry["failed_tracks"] = row.failed_tracks;
      entry["below_floor"] = row.below_floor;
      entry["realtime_factor"] = records::number_to_value(row.realtime_factor);
      Value metrics = Value::object();
      for (std::size_t m = 0; m < section.metrics.size(); ++m) {
        Value targets = Value::object();
        for (std::size_t t = 0; t < section.targets.size(); ++t) {
          targets[section.targets[t]] = cell_value(row.cells[m][t]);
        }
        Value both = Value::object();
        both["targets"] = std::move(targets);
        both["average"] = cell_value(row.cells[m].back());
        metrics[section.metrics[m]] = std::move(both);
      }
      entry["metrics"] = std::move(metrics);
      rows.push_back(std::move(entry));
    }
    value["rows"] = std::move(rows);
    value["errors"] = strings(section.errors);
    sections.push_back(std::move(value));
  }
  out["sections"] = std::move(sections);
  return out;
}

Report write_report(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& out,
                    const ReportOptions& options) {
  std::vector<records::Record> records;
  for (const std::filesystem::path& run : runs) {
    std::vector<records::Record> more = records::read_records(run);
    records.insert(records.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  Report report = build_report(records, options);
  core::make_directories(out);
  core::write_file_atomic(out / "table.md", to_markdown(report));
  core::write_file_atomic(out / "table.csv", to_csv(report));
  core::write_file_atomic(out / "table.tex", to_latex(report));
  core::write_file_atomic(out / "table.json", core::dump_json(to_json(report), 2) + "\n");
  return report;
}

}  // namespace mss::reports
