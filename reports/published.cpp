#include "reports/published.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "core/escape.h"
#include "core/json.h"
#include "core/text.h"

namespace mss::reports {

extern const char* const kPublishedCsv;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// RFC 4180: quotes, doubled quotes inside them, LF line ends.
std::vector<std::vector<std::string>> parse_csv(std::string_view text) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        rows.back().back() += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        rows.back().back() += text[++i];
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      rows.back().emplace_back();
    } else if (c == '\n') {
      rows.push_back({""});
    } else {
      rows.back().back() += c;
    }
  }
  if (rows.back().size() < 2) rows.pop_back();
  return rows;
}

double real(const std::string& text) { return text.empty() ? kNan : std::strtod(text.c_str(), nullptr); }

std::vector<PublishedRow> parse_rows() {
  const auto table = parse_csv(kPublishedCsv);
  std::vector<PublishedRow> out;
  for (std::size_t i = 1; i < table.size(); ++i) {
    const std::vector<std::string>& field = table[i];
    PublishedRow row;
    row.method = field[0];
    row.year = field[1];
    row.extra_data = field[2];
    row.vocals = real(field[3]);
    row.drums = real(field[4]);
    row.bass = real(field[5]);
    row.other = real(field[6]);
    row.average_printed = real(field[7]);
    row.average = (row.vocals + row.drums + row.bass + row.other) / 4;
    row.metric = field[8];
    row.test_set = field[9];
    row.parameters = field[10];
    row.source = field[11];
    row.second_hand = field[12] != "read";
    if (std::abs(row.average - row.average_printed) > 0.011) {
      row.flags.push_back(
          fmt::format("prints an average of {:.2f}, its columns give {:.2f}", row.average_printed, row.average));
    }
    if (!field[13].empty()) row.flags.push_back(field[13]);
    out.push_back(std::move(row));
  }
  return out;
}

bool differs(double a, double b) { return std::isnan(a) != std::isnan(b) || std::abs(a - b) > 0.011; }

std::vector<PublishedGroup> make_groups() {
  std::map<std::pair<std::string, std::string>, PublishedGroup> groups;
  for (PublishedRow& row : parse_rows()) {
    PublishedGroup& group = groups[{row.metric, row.test_set}];
    group.metric = row.metric;
    group.test_set = row.test_set;
    group.rows.push_back(std::move(row));
  }
  std::vector<PublishedGroup> out;
  for (auto& [key, group] : groups) {
    for (PublishedRow& row : group.rows) {
      for (const PublishedRow& other : group.rows) {
        if (&other == &row || other.method != row.method || other.extra_data != row.extra_data) continue;
        if (differs(row.vocals, other.vocals) || differs(row.drums, other.drums) || differs(row.bass, other.bass) ||
            differs(row.other, other.other)) {
          row.flags.push_back("another source has other numbers for it: " + other.source);
        }
      }
    }
    const auto key_of = [](const PublishedRow& row) {
      const double low = -std::numeric_limits<double>::infinity();
      return std::make_pair(std::isnan(row.ranking()) ? low : row.ranking(), std::isnan(row.vocals) ? low : row.vocals);
    };
    std::stable_sort(group.rows.begin(), group.rows.end(),
                     [&](const PublishedRow& a, const PublishedRow& b) { return key_of(a) > key_of(b); });
    out.push_back(std::move(group));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const PublishedGroup& a, const PublishedGroup& b) { return a.rows.size() > b.rows.size(); });
  return out;
}

std::string score(double value) { return std::isnan(value) ? std::string() : fmt::format("{:.2f}", value); }

std::string average_text(const PublishedRow& row) {
  return std::isnan(row.average_printed) && !std::isnan(row.average) ? score(row.average) + "*"
                                                                     : score(row.average_printed);
}

std::string flags_text(const PublishedRow& row) {
  std::string out = core::join(row.flags, "; ");
  if (row.second_hand) out += (out.empty() ? "" : "; ") + std::string("second-hand");
  return out;
}

std::string flag_sign(const PublishedRow& row) { return row.flags.empty() ? "" : "!"; }

}  // namespace

const std::vector<PublishedGroup>& published_groups() {
  static const std::vector<PublishedGroup> groups = make_groups();
  return groups;
}

std::vector<const PublishedGroup*> published_groups_for(const std::string& metric) {
  std::vector<const PublishedGroup*> out;
  for (const PublishedGroup& group : published_groups()) {
    const bool fits = metric == "SDR"    ? group.metric.starts_with("cSDR median of track medians")
                      : metric == "uSDR" ? group.metric.starts_with("uSDR mean over tracks")
                                         : false;
    if (fits) out.push_back(&group);
  }
  return out;
}

std::string published_markdown(const std::vector<const PublishedGroup*>& groups) {
  if (groups.empty()) return {};
  std::string out =
      "\n## Published results\n\nPrinted by others, not measured here: other code, other frames, often other data. "
      "Tables "
      "do not mix metrics, aggregations or test sets. \\*: our average of the printed columns.\n";
  for (const PublishedGroup* group : groups) {
    out += "\n### " + core::escape_markdown(group->metric) + ", " + core::escape_markdown(group->test_set) + "\n\n";
    out +=
        "| method | year | data beyond MUSDB18 | vocals | drums | bass | other | average | source | remarks |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---|---|\n";
    for (const PublishedRow& row : group->rows) {
      out += "| " + core::escape_markdown(row.method) + " | " + row.year + " | " +
             core::escape_markdown(row.extra_data) + " | " + score(row.vocals) + " | " + score(row.drums) + " | " +
             score(row.bass) + " | " + score(row.other) + " | " + core::escape_markdown(average_text(row)) + " | " +
             core::escape_markdown(row.source) + " | " + core::escape_markdown(flags_text(row)) + " |\n";
    }
  }
  return out;
}

std::string published_text(const std::vector<const PublishedGroup*>& groups, int columns) {
  std::string out;
  const auto width = static_cast<std::size_t>(std::clamp(columns, 60, 200));
  for (const PublishedGroup* group : groups) {
    out += "\npublished: " + group->metric + ", " + group->test_set + "\n";
    const std::size_t names = width - 5 * 8 - 2;
    out += std::string(names, ' ') + "  vocals   drums    bass   other     avg\n";
    for (const PublishedRow& row : group->rows) {
      std::string name = "  " + row.method + (row.extra_data == "none" ? "" : " (+ data)");
      if (core::display_width(name) > names) name = name.substr(0, names - 3) + "...";
      out += name + std::string(names - std::min(names, core::display_width(name)), ' ');
      std::string line;
      for (const double value : {row.vocals, row.drums, row.bass, row.other})
        line += fmt::format("{:>8}", score(value));
      line += fmt::format("{:>8}{:>2}", average_text(row), flag_sign(row));
      out += std::string(line, 0, line.find_last_not_of(' ') + 1) + "\n";
    }
  }
  if (!out.empty()) out += "* our average of the printed columns; ! see the remarks in table.md\n";
  return out;
}

std::string published_latex(const std::vector<const PublishedGroup*>& groups) {
  std::string out;
  int number = 0;
  for (const PublishedGroup* group : groups) {
    out += "\n\\begin{table}\n  \\centering\n  \\setlength{\\belowcaptionskip}{5pt}\n  \\caption{Published: " +
           core::escape_latex(group->metric) + ", " + core::escape_latex(group->test_set) +
           ". Printed by others, not measured here. $^{+}$: data beyond MUSDB18's; $^{*}$: our average of the printed "
           "columns; $^{!}$: see the remarks in published.csv.}\n  \\label{tab:published-" +
           std::to_string(++number) +
           "}\n  \\footnotesize\\setlength{\\tabcolsep}{3pt}\n  \\begin{tabular}{@{}lrrrrr@{}}\n    \\toprule\n"
           "    method & vocals & drums & bass & other & avg \\\\\n    \\midrule\n";
    for (const PublishedRow& row : group->rows) {
      out += "    \\parbox[t]{190pt}{\\raggedright\\hangindent=6pt " + core::escape_latex(row.method) +
             (row.extra_data == "none" ? "" : "$^{+}$") + (row.flags.empty() ? "" : "$^{!}$") + "\\strut}";
      for (const double value : {row.vocals, row.drums, row.bass, row.other}) out += " & " + score(value);
      const std::string average = average_text(row);
      out += " & " + (average.ends_with('*') ? average.substr(0, average.size() - 1) + "$^{*}$" : average) + " \\\\\n";
    }
    out += "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n";
  }
  return out;
}

std::string published_csv() {
  std::string out =
      "method,year,extra_data,vocals,drums,bass,other,average_printed,average,metric,test_set,parameters,source,"
      "second_hand,flags\n";
  const auto number = [](double value) { return std::isnan(value) ? std::string() : core::format_real(value); };
  for (const PublishedGroup& group : published_groups()) {
    for (const PublishedRow& row : group.rows) {
      out += core::escape_csv(row.method) + "," + row.year + "," + core::escape_csv(row.extra_data);
      for (const double value : {row.vocals, row.drums, row.bass, row.other, row.average_printed})
        out += "," + number(value);
      out += "," + score(row.average) + "," + core::escape_csv(row.metric) + "," + core::escape_csv(row.test_set) +
             "," + core::escape_csv(row.parameters) + "," + core::escape_csv(row.source) + "," +
             (row.second_hand ? "true" : "false") + "," + core::escape_csv(core::join(row.flags, "; ")) + "\n";
    }
  }
  return out;
}

core::Value published_json() {
  core::Value out = core::Value::array();
  const auto number = [](double value) { return std::isnan(value) ? core::Value() : core::Value(value); };
  for (const PublishedGroup& group : published_groups()) {
    core::Value entry = core::Value::object();
    entry["metric"] = group.metric;
    entry["test_set"] = group.test_set;
    core::Value rows = core::Value::array();
    for (const PublishedRow& row : group.rows) {
      core::Value value = core::Value::object();
      value["method"] = row.method;
      value["year"] = row.year;
      value["extra_data"] = row.extra_data;
      value["vocals"] = number(row.vocals);
      value["drums"] = number(row.drums);
      value["bass"] = number(row.bass);
      value["other"] = number(row.other);
      value["average_printed"] = number(row.average_printed);
      value["average"] = number(row.average);
      value["parameters"] = row.parameters;
      value["source"] = row.source;
      value["second_hand"] = row.second_hand;
      core::Value flags = core::Value::array();
      for (const std::string& flag : row.flags) flags.push_back(flag);
      value["flags"] = std::move(flags);
      rows.push_back(std::move(value));
    }
    entry["rows"] = std::move(rows);
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace mss::reports
