#include "reports/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>

#include "core/error.h"
#include "core/escape.h"
#include "core/text.h"
#include "eval/scores.h"
#include "eval/statistics.h"
#include "plots/axis.h"
#include "plots/canvas.h"
#include "reports/layout.h"

namespace mss::reports {
namespace {

using eval::Statistic;
using plots::Align;
using plots::Canvas;
using plots::Point;
using plots::Rgb;

constexpr Rgb kInk = {0x20, 0x20, 0x20}, kFaint = {0x70, 0x70, 0x70}, kGrid = {0xdd, 0xdd, 0xdd};
constexpr double kText = 9, kTitle = 11, kSmall = 7.5;  ///< pt
constexpr std::size_t kLongestName = 46;                ///< letters; longer ones are cut

struct Box {
  double x = 0, y = 0, width = 0, height = 0;
};

std::vector<double> finite(const std::vector<double>& values) {
  std::vector<double> out;
  for (const double v : values)
    if (std::isfinite(v)) out.push_back(v);
  return out;
}

/// At most `letters` letters, with an ellipsis where something is cut.
std::string cut(const std::string& text, std::size_t letters) {
  std::string name = core::escape_line(text);
  if (core::display_width(name) <= letters) return name;
  std::size_t end = 0;
  for (std::size_t shown = 0; end < name.size() && shown + 1 < letters; ++shown) {
    ++end;
    while (end < name.size() && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U) ++end;
  }
  return name.substr(0, end) + "…";
}

/// With the marks of the row's notes behind it.
std::string label_of(const Row& row) {
  const std::string marks = note_marks(row);
  return cut(row.name, kLongestName) + (marks.empty() ? "" : " (" + marks + ")");
}

double widest_label(Canvas& canvas, const std::vector<const Row*>& rows) {
  double width = 0;
  for (const Row* row : rows) width = std::max(width, canvas.text_width(label_of(*row), kText));
  return width;
}

/// Range of values with a little room.
plots::Axis value_axis(const std::vector<double>& values, const std::string& label) {
  plots::Axis axis;
  axis.label = label;
  axis.low = *std::min_element(values.begin(), values.end());
  axis.high = *std::max_element(values.begin(), values.end());
  const double room = std::max(0.05 * (axis.high - axis.low), 0.1);
  axis.low -= room;
  axis.high += room;
  return axis;
}

void x_axis(Canvas& canvas, const Box& box, const plots::Axis& axis, bool labels = true) {
  for (const plots::Tick& tick : plots::make_ticks(axis, std::max(4, static_cast<int>(box.width / 24)))) {
    const double x = box.x + plots::position_of(axis, tick.value) * box.width;
    canvas.line({x, box.y}, {x, box.y + box.height}, kGrid, 0.5);
    if (labels) canvas.text({x, box.y + box.height + 11}, tick.label, kSmall, kInk, Align::center);
  }
  if (labels) canvas.text({box.x + box.width / 2, box.y + box.height + 23}, axis.label, kText, kInk, Align::center);
}

void y_axis(Canvas& canvas, const Box& box, const plots::Axis& axis) {
  for (const plots::Tick& tick : plots::make_ticks(axis, std::max(4, static_cast<int>(box.height / 24)))) {
    const double y = box.y + box.height - plots::position_of(axis, tick.value) * box.height;
    canvas.line({box.x, y}, {box.x + box.width, y}, kGrid, 0.5);
    canvas.text({box.x - 4, y + 3}, tick.label, kSmall, kInk, Align::end);
  }
  canvas.text({box.x - 30, box.y + box.height / 2}, axis.label, kText, kInk, Align::center, false, true);
}

/// What every kind works on.
struct Scene {
  const Report& report;
  const PlotOptions& options;
  const Section& section;
  std::string metric_label;          ///< "SDR (dB)"
  std::vector<std::size_t> targets;  ///< indices; section.targets.size() is the average
  std::vector<const Row*> rows;      ///< with scores

  std::string target_name(std::size_t t) const {
    return t < section.targets.size() ? core::escape_line(section.targets[t]) : "average";
  }
  const std::vector<double>& values(const Row& row, std::size_t t) const { return row.scores.front()[t].values; }
};

[[noreturn]] void lacking(const std::string& what, const std::string& hint = "") {
  throw Error({Code::config, "plot", what, "", "", hint});
}

void headline(Canvas& canvas, const Scene& scene, const std::string& title) {
  canvas.text({10, 17}, title, kTitle, kInk, Align::begin, true);
  canvas.text({10, 30},
              core::escape_line(section_title(scene.section)) + ", " + std::to_string(scene.section.tracks) +
                  (scene.section.tracks == 1 ? " track" : " tracks"),
              kSmall, kFaint);
}

constexpr double kHead = 40;  ///< height of the headline

double measured_names(const std::vector<const Row*>& rows) {
  Canvas probe(10, 10);
  return widest_label(probe, rows);
}

// --- box -----------------------------------------------------------------------------------------------------------

std::string draw_box(const Scene& s, const std::filesystem::path& file) {
  const double names = measured_names(s.rows) + 16, row_height = 15, gap = 14;
  const double panel =
      s.options.width_pt > 0
          ? std::max(60.0, (s.options.width_pt - names - 10) / static_cast<double>(s.targets.size()) - gap)
          : std::max(130.0, 420.0 / static_cast<double>(s.targets.size()));
  const double height = row_height * static_cast<double>(s.rows.size());
  Canvas canvas(names + static_cast<double>(s.targets.size()) * (panel + gap) + 10, kHead + 16 + height + 32);
  headline(canvas, s, s.metric_label + " over tracks");
  for (std::size_t p = 0; p < s.targets.size(); ++p) {
    const std::size_t t = s.targets[p];
    const Box box = {names + static_cast<double>(p) * (panel + gap), kHead + 16, panel, height};
    std::vector<double> all;
    for (const Row* row : s.rows) {
      const std::vector<double> some = finite(s.values(*row, t));
      all.insert(all.end(), some.begin(), some.end());
    }
    canvas.text({box.x + panel / 2, box.y - 5}, s.target_name(t), kText, kInk, Align::center, true);
    if (all.empty()) continue;
    const plots::Axis axis = value_axis(all, s.metric_label);
    x_axis(canvas, box, axis);
    const auto x_of = [&](double v) { return box.x + plots::position_of(axis, v) * box.width; };
    for (std::size_t r = 0; r < s.rows.size(); ++r) {
      const double y = box.y + (static_cast<double>(r) + 0.5) * row_height;
      if (p == 0) canvas.text({names - 8, y + 3}, label_of(*s.rows[r]), kText, kInk, Align::end);
      std::vector<double> values = finite(s.values(*s.rows[r], t));
      if (values.empty()) continue;
      std::sort(values.begin(), values.end());
      const double low = eval::percentile(values, 0.25), high = eval::percentile(values, 0.75),
                   reach = 1.5 * (high - low);
      const double from = *std::lower_bound(values.begin(), values.end(), low - reach);
      const double to = *(std::upper_bound(values.begin(), values.end(), high + reach) - 1);
      const Rgb color = s.rows[r]->kind == RowKind::method   ? plots::line_color(1)
                        : s.rows[r]->kind == RowKind::oracle ? plots::line_color(2)
                                                             : Rgb{0x99, 0x99, 0x99};
      canvas.line({x_of(from), y}, {x_of(to), y}, kInk, 0.8);
      canvas.rectangle(x_of(low), y - 4.5, std::max(0.5, x_of(high) - x_of(low)), 9, color);
      canvas.frame(x_of(low), y - 4.5, std::max(0.5, x_of(high) - x_of(low)), 9, kInk, 0.6);
      canvas.line({x_of(eval::percentile(values, 0.5)), y - 4.5}, {x_of(eval::percentile(values, 0.5)), y + 4.5}, kInk,
                  1.6);
      for (const double v : values)
        if (v < from || v > to) canvas.circle({x_of(v), y}, 1.3, kInk, 0.6);
      canvas.circle({x_of(eval::mean_of(values)), y}, 2.0, {255, 255, 255});
      canvas.circle({x_of(eval::mean_of(values)), y}, 1.3, kInk);
    }
    canvas.frame(box.x, box.y, box.width, box.height, kFaint, 0.6);
  }
  canvas.save(file);
  return fmt::format("{} rows, {} targets: medians, quartiles and tracks beyond, means as points", s.rows.size(),
                     s.targets.size());
}

// --- scatter -------------------------------------------------------------------------------------------------------

std::string draw_scatter(const Scene& s, const std::filesystem::path& file) {
  if (s.rows.size() < 2) lacking("a scatter plot needs two rows");
  const Row* base = nullptr;
  std::vector<std::string> names;
  for (const Row* row : s.rows) {
    names.push_back(row->name);
    if (row->spec == s.options.against || row->name == s.options.against) base = row;
  }
  if (base == nullptr && !s.options.against.empty()) {
    lacking("no row is called '" + s.options.against + "'", core::did_you_mean(s.options.against, names));
  }
  if (base == nullptr) base = s.rows.front();
  std::vector<const Row*> others;
  for (const Row* row : s.rows)
    if (row != base) others.push_back(row);
  constexpr std::size_t kMost = 7;  // colours that can be told apart
  const std::size_t left_out = others.size() > kMost ? others.size() - kMost : 0;
  if (left_out > 0) others.resize(kMost);
  const double panel = 190, gap = 52;
  const auto columns = std::min<std::size_t>(s.targets.size(), 3), lines = (s.targets.size() + columns - 1) / columns;
  const double legend = 13 * static_cast<double>(others.size()) + 10;
  Canvas canvas(44 + static_cast<double>(columns) * (panel + gap),
                kHead + 16 + static_cast<double>(lines) * (panel + gap) + legend);
  headline(canvas, s, s.metric_label + " per track, against " + label_of(*base));
  for (std::size_t p = 0; p < s.targets.size(); ++p) {
    const std::size_t t = s.targets[p];
    const Box box = {44 + static_cast<double>(p % columns) * (panel + gap),
                     kHead + 16 + static_cast<double>(p / columns) * (panel + gap), panel, panel};
    std::vector<double> all = finite(s.values(*base, t));
    for (const Row* row : others) {
      const std::vector<double> some = finite(s.values(*row, t));
      all.insert(all.end(), some.begin(), some.end());
    }
    canvas.text({box.x + panel / 2, box.y - 5}, s.target_name(t), kText, kInk, Align::center, true);
    if (all.empty()) continue;
    plots::Axis axis = value_axis(all, label_of(*base));
    x_axis(canvas, box, axis);
    axis.label = p % columns == 0 ? s.metric_label : "";
    y_axis(canvas, box, axis);
    const auto at = [&](double x, double y) {
      return Point{box.x + plots::position_of(axis, x) * panel, box.y + panel - plots::position_of(axis, y) * panel};
    };
    canvas.line(at(axis.low, axis.low), at(axis.high, axis.high), kFaint, 0.8, true);
    for (std::size_t r = 0; r < others.size(); ++r) {
      const std::vector<double>&x = s.values(*base, t), &y = s.values(*others[r], t);
      for (std::size_t i = 0; i < x.size(); ++i) {
        if (std::isfinite(x[i]) && std::isfinite(y[i])) canvas.circle(at(x[i], y[i]), 2.2, plots::line_color(r), 0.75);
      }
    }
    canvas.frame(box.x, box.y, panel, panel, kFaint, 0.6);
  }
  double y = kHead + 12 + static_cast<double>(lines) * (panel + gap);
  for (std::size_t r = 0; r < others.size(); ++r, y += 13) {
    canvas.circle({50, y - 3}, 3, plots::line_color(r));
    canvas.text({58, y}, label_of(*others[r]), kText, kInk);
  }
  canvas.save(file);
  return fmt::format("{} rows against {}, {} targets; above the diagonal a row is better than it on that track{}",
                     others.size(), base->name, s.targets.size(),
                     left_out > 0 ? fmt::format("; {} more rows are left out (choose with --only)", left_out) : "");
}

// --- critical differences ------------------------------------------------------------------------------------------

std::string draw_cd(const Scene& s, const std::filesystem::path& file) {
  const std::size_t t = s.targets.size() == 1 ? s.targets.front() : s.section.targets.size();
  std::vector<const Row*> rows;
  eval::Table scores;
  for (const Row* row : s.rows) {
    if (!row->ranked || finite(s.values(*row, t)).size() < 2) continue;
    rows.push_back(row);
    scores.push_back(s.values(*row, t));
  }
  if (rows.size() < 2) lacking("a diagram of critical differences needs two rows with scores of " + s.target_name(t));
  // Rank 1 is the best row.
  eval::Table reversed = scores;
  for (auto& of_row : reversed)
    for (double& v : of_row) v = std::isfinite(v) ? -v : NAN;
  const eval::RankTest friedman = eval::friedman(reversed);
  const double critical = eval::conover_critical_difference(reversed);
  std::vector<std::size_t> order(rows.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return friedman.mean_ranks[a] < friedman.mean_ranks[b]; });
  // Bars over the longest runs of rows that are not told apart.
  std::vector<std::pair<std::size_t, std::size_t>> bars;
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::size_t j = i;
    while (j + 1 < order.size() && friedman.mean_ranks[order[j + 1]] - friedman.mean_ranks[order[i]] < critical) ++j;
    if (j > i && (bars.empty() || j > bars.back().second)) bars.emplace_back(i, j);
  }
  const double names = measured_names(rows) + 46, axis_width = 300;
  const std::size_t half = (order.size() + 1) / 2;
  const double top = kHead + 34, bars_height = 8 * static_cast<double>(bars.size()) + 8;
  Canvas canvas(2 * names + axis_width, top + bars_height + 16 * static_cast<double>(half) + 24);
  headline(canvas, s,
           fmt::format("Mean ranks by {}, {}: critical difference {:.2f}", s.metric_label, s.target_name(t), critical));
  const auto x_of = [&](double rank) {
    return names + (rank - 1) / std::max<double>(1, static_cast<double>(rows.size() - 1)) * axis_width;
  };
  canvas.line({x_of(1), top}, {x_of(static_cast<double>(rows.size())), top}, kInk, 1);
  const std::size_t step = std::max<std::size_t>(1, rows.size() / 12);
  for (std::size_t rank = 1; rank <= rows.size(); rank += step) {
    const double x = x_of(static_cast<double>(rank));
    canvas.line({x, top - 4}, {x, top}, kInk, 1);
    canvas.text({x, top - 7}, std::to_string(rank), kSmall, kInk, Align::center);
  }
  canvas.line({x_of(1), top - 20}, {x_of(1 + critical), top - 20}, kInk, 1.5);
  canvas.text({x_of(1 + critical) + 4, top - 17}, "critical difference (Conover, 5 %)", kSmall, kFaint);
  for (std::size_t b = 0; b < bars.size(); ++b) {
    const double y = top + 8 + 8 * static_cast<double>(b);
    canvas.line({x_of(friedman.mean_ranks[order[bars[b].first]]) - 3, y},
                {x_of(friedman.mean_ranks[order[bars[b].second]]) + 3, y}, plots::line_color(1), 3);
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool left = i < half;
    const std::size_t place = left ? i : order.size() - 1 - i;
    const double x = x_of(friedman.mean_ranks[order[i]]);
    const double y = top + bars_height + 16 * (static_cast<double>(place) + 0.7);
    const double end = left ? names - 8 : names + axis_width + 8;
    canvas.polyline({{x, top}, {x, y}, {end, y}}, kInk, 0.7);
    const std::string text = label_of(*rows[order[i]]);
    const std::string rank = fmt::format("{:.2f}", friedman.mean_ranks[order[i]]);
    canvas.text({left ? end - 4 : end + 4, y + 3}, left ? text + "  " + rank : rank + "  " + text, kText, kInk,
                left ? Align::end : Align::begin);
  }
  canvas.save(file);
  return fmt::format("mean ranks of {} rows over {} tracks; rows under one bar are not told apart at 5 % (Conover)",
                     rows.size(), friedman.blocks);
}

// --- heat ----------------------------------------------------------------------------------------------------------

std::string draw_heat(const Scene& s, const std::filesystem::path& file) {
  const std::size_t t = s.targets.size() == 1 ? s.targets.front() : s.section.targets.size();
  std::vector<std::size_t> tracks;
  std::vector<double> mean(s.section.track_names.size(), NAN), all;
  for (std::size_t i = 0; i < mean.size(); ++i) {
    std::vector<double> some;
    for (const Row* row : s.rows) {
      const double v = s.values(*row, t)[i];
      if (std::isfinite(v)) some.push_back(v);
    }
    if (some.empty()) continue;
    mean[i] = eval::mean_of(some);
    tracks.push_back(i);
    all.insert(all.end(), some.begin(), some.end());
  }
  if (all.empty()) lacking("no scores of " + s.target_name(t));
  std::stable_sort(tracks.begin(), tracks.end(), [&](std::size_t a, std::size_t b) { return mean[a] > mean[b]; });
  std::sort(all.begin(), all.end());
  // Colours from the 2nd to the 98th percentile: one silent track must not make all others look alike.
  const double low = eval::percentile(all, 0.02), high = std::max(eval::percentile(all, 0.98), low + 1e-9);
  const auto short_name = [](const std::string& text) { return cut(text, 30); };
  Canvas probe(10, 10);
  double track_names = 0;
  for (const std::size_t i : tracks) {
    track_names = std::max(track_names, probe.text_width(short_name(s.section.track_names[i]), kSmall));
  }
  const double names = std::max(60.0, track_names + 12), cell_height = 10;
  const double cell_width = std::clamp(360.0 / static_cast<double>(s.rows.size()), 22.0, 60.0);
  const double row_labels = measured_names(s.rows) + 12;
  const Box box = {names, kHead + 4, cell_width * static_cast<double>(s.rows.size()),
                   cell_height * static_cast<double>(tracks.size())};
  Canvas canvas(names + box.width + 70, box.y + box.height + row_labels + 10);
  headline(canvas, s, s.metric_label + ", " + s.target_name(t));
  for (std::size_t k = 0; k < tracks.size(); ++k) {
    const double y = box.y + cell_height * static_cast<double>(k);
    canvas.text({names - 5, y + cell_height - 2.5}, short_name(s.section.track_names[tracks[k]]), kSmall, kInk,
                Align::end);
    for (std::size_t r = 0; r < s.rows.size(); ++r) {
      const double v = s.values(*s.rows[r], t)[tracks[k]], x = box.x + cell_width * static_cast<double>(r);
      if (!std::isfinite(v)) continue;
      const double level = (v - low) / (high - low);
      canvas.rectangle(x, y, cell_width + 0.3, cell_height + 0.3, plots::color_at(plots::ColorMap::viridis, level));
      const Rgb ink = level < 0.55 ? Rgb{255, 255, 255} : kInk;
      canvas.text({x + cell_width / 2, y + cell_height - 2.5}, decimals(v, 1), 6, ink, Align::center);
    }
  }
  for (std::size_t r = 0; r < s.rows.size(); ++r) {
    canvas.text({box.x + cell_width * (static_cast<double>(r) + 0.5) + 3, box.y + box.height + 6}, label_of(*s.rows[r]),
                kText, kInk, Align::end, false, true);
  }
  canvas.frame(box.x, box.y, box.width, box.height, kFaint, 0.6);
  const double bar_x = box.x + box.width + 14, bar_height = std::clamp(box.height, 40.0, 200.0);
  for (int i = 0; i < 100; ++i) {
    canvas.rectangle(bar_x, box.y + bar_height * (1 - (i + 1) / 100.0), 10, bar_height / 100 + 0.4,
                     plots::color_at(plots::ColorMap::viridis, (i + 0.5) / 100));
  }
  canvas.text({bar_x + 14, box.y + 6}, decimals(high, 1), kSmall, kInk);
  canvas.text({bar_x + 14, box.y + bar_height}, decimals(low, 1), kSmall, kInk);
  canvas.save(file);
  return fmt::format(
      "{} tracks by {} rows, tracks by their mean from above; colours from the 2nd to the 98th percentile",
      tracks.size(), s.rows.size());
}

// --- curve ---------------------------------------------------------------------------------------------------------

/// name=value pairs of a spec that are numbers, and the spec with the value of `name` blanked.
std::map<std::string, double> numbers_in(const std::string& spec) {
  std::map<std::string, double> out;
  std::string key, value;
  bool in_value = false;
  const auto flush = [&] {
    if (in_value && !key.empty()) {
      char* end = nullptr;
      const double number = std::strtod(value.c_str(), &end);
      if (end != value.c_str() && *end == '\0' && std::isfinite(number)) out[key] = number;
    }
    key.clear();
    value.clear();
    in_value = false;
  };
  for (const char c : spec) {
    if (c == '|' || c == ',' || c == ':') {
      flush();
    } else if (c == '=' && !in_value) {
      in_value = true;
    } else {
      (in_value ? value : key) += c;
    }
  }
  flush();
  return out;
}

std::string without(const std::string& spec, const std::string& parameter) {
  const std::size_t at = spec.find(parameter + "=");
  if (at == std::string::npos) return spec;
  const std::size_t from = at + parameter.size() + 1, to = spec.find_first_of(",|", from);
  return spec.substr(0, from) + (to == std::string::npos ? "" : spec.substr(to));
}

std::string draw_curve(const Scene& s, const std::filesystem::path& file) {
  // The parameter whose value alone tells most rows apart.
  std::map<std::string, std::map<std::string, std::map<double, const Row*>>> found;  // parameter, rest, value
  for (const Row* row : s.rows) {
    for (const auto& [name, value] : numbers_in(row->spec)) found[name][without(row->spec, name)][value] = row;
  }
  std::string parameter;
  const std::map<double, const Row*>* curve = nullptr;
  for (const auto& [name, families] : found) {
    if (!s.options.parameter.empty() && name != s.options.parameter) continue;
    for (const auto& [rest, points] : families) {
      if (points.size() < 2 || (curve != nullptr && points.size() <= curve->size())) continue;
      curve = &points;
      parameter = name;
    }
  }
  if (curve == nullptr) {
    lacking(s.options.parameter.empty() ? "no two rows differ in one numeric parameter alone"
                                        : "no two rows differ in the parameter '" + s.options.parameter + "' alone",
            "a curve needs rows such as nmf:components=20 and nmf:components=40 (and the parameter in both specs)");
  }
  const Statistic statistic = s.report.options.statistic();
  const double width = s.options.width_pt > 0 ? s.options.width_pt : 420, height = 230;
  const Box box = {50, kHead + 6, width - 150, height};
  Canvas canvas(width, kHead + height + 40);
  headline(canvas, s, s.metric_label + " over " + parameter);
  std::vector<double> values, places;
  for (const auto& [place, row] : *curve) {
    places.push_back(place);
    for (const std::size_t t : s.targets) {
      const Cell& cell = row->cells.front()[t];
      for (const double v : {cell.value(statistic), cell.interval(statistic).low, cell.interval(statistic).high})
        if (std::isfinite(v)) values.push_back(v);
    }
  }
  if (values.empty()) lacking("the rows have no scores");
  plots::Axis x = value_axis(places, parameter), y = value_axis(values, s.metric_label);
  if (places.front() > 0 && places.back() / places.front() >= 20) {
    x.scale = plots::AxisScale::logarithmic;
    x.low = places.front() / 1.1;
    x.high = places.back() * 1.1;
  }
  x_axis(canvas, box, x);
  y_axis(canvas, box, y);
  const auto at = [&](double place, double value) {
    return Point{box.x + plots::position_of(x, place) * box.width,
                 box.y + box.height - plots::position_of(y, value) * box.height};
  };
  for (std::size_t p = 0; p < s.targets.size(); ++p) {
    const Rgb color = plots::line_color(p);
    std::vector<Point> line, upper, lower;
    for (const auto& [place, row] : *curve) {
      const Cell& cell = row->cells.front()[s.targets[p]];
      if (!std::isfinite(cell.value(statistic))) continue;
      line.push_back(at(place, cell.value(statistic)));
      if (std::isfinite(cell.interval(statistic).low)) {
        lower.push_back(at(place, cell.interval(statistic).low));
        upper.push_back(at(place, cell.interval(statistic).high));
      }
    }
    std::vector<Point> band = upper;
    band.insert(band.end(), lower.rbegin(), lower.rend());
    if (band.size() > 3) canvas.polygon(band, color, 0.15);
    if (!line.empty()) canvas.polyline(line, color, 1.4);
    for (const Point& point : line) canvas.circle(point, 2.2, color);
    const double legend = box.y + 10 + 14 * static_cast<double>(p);
    canvas.line({box.x + box.width + 10, legend - 3}, {box.x + box.width + 26, legend - 3}, color, 1.6);
    canvas.text({box.x + box.width + 30, legend}, s.target_name(s.targets[p]), kText, kInk);
  }
  canvas.frame(box.x, box.y, box.width, box.height, kFaint, 0.6);
  canvas.save(file);
  return fmt::format("{} values of {}, {} curves with 95 % intervals over tracks", curve->size(), parameter,
                     s.targets.size());
}

// --- seeds ---------------------------------------------------------------------------------------------------------

std::string draw_seeds(const Scene& s, const std::filesystem::path& file) {
  std::vector<const Row*> rows;
  for (const Row* row : s.rows)
    if (row->seeds.size() > 1) rows.push_back(row);
  if (rows.empty()) lacking("no row has two seeds", "run with several: mssbench run --seeds 1,2,3");
  const Statistic statistic = s.report.options.statistic();
  const auto of_seed = [&](const Row& row, std::size_t t, std::size_t k) {
    // The average's cell averages the targets' statistics, not the statistic of averages.
    std::vector<double> parts;
    for (std::size_t i = 0; i < s.section.targets.size(); ++i) {
      if (t < s.section.targets.size() ? i != t : !s.section.averaged[i]) continue;
      const std::vector<double> some = finite(row.scores.front()[i].by_seed[k]);
      if (!some.empty()) parts.push_back(eval::estimate_of(some, statistic));
    }
    return parts.empty() ? NAN : eval::mean_of(parts);
  };
  const double names = measured_names(rows) + 16,
               panel = std::max(120.0, 420.0 / static_cast<double>(s.targets.size()));
  const double row_height = 18, gap = 14, height = row_height * static_cast<double>(rows.size());
  Canvas canvas(names + static_cast<double>(s.targets.size()) * (panel + gap) + 10, kHead + 16 + height + 32);
  headline(canvas, s, s.metric_label + " of single seeds");
  for (std::size_t p = 0; p < s.targets.size(); ++p) {
    const std::size_t t = s.targets[p];
    const Box box = {names + static_cast<double>(p) * (panel + gap), kHead + 16, panel, height};
    std::vector<double> all;
    for (const Row* row : rows)
      for (std::size_t k = 0; k < row->seeds.size(); ++k)
        if (const double v = of_seed(*row, t, k); std::isfinite(v)) all.push_back(v);
    canvas.text({box.x + panel / 2, box.y - 5}, s.target_name(t), kText, kInk, Align::center, true);
    if (all.empty()) continue;
    const plots::Axis axis = value_axis(all, s.metric_label);
    x_axis(canvas, box, axis);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const double y = box.y + (static_cast<double>(r) + 0.5) * row_height;
      if (p == 0) canvas.text({names - 8, y + 3}, label_of(*rows[r]), kText, kInk, Align::end);
      std::vector<double> values;
      for (std::size_t k = 0; k < rows[r]->seeds.size(); ++k) {
        const double v = of_seed(*rows[r], t, k);
        if (!std::isfinite(v)) continue;
        values.push_back(v);
        canvas.circle({box.x + plots::position_of(axis, v) * panel, y}, 3, plots::line_color(r % 7), 0.7);
      }
      if (values.empty()) continue;
      const double x = box.x + plots::position_of(axis, eval::mean_of(values)) * panel;
      canvas.line({x, y - 6}, {x, y + 6}, kInk, 1.4);
    }
    canvas.frame(box.x, box.y, box.width, box.height, kFaint, 0.6);
  }
  canvas.save(file);
  return fmt::format("{} rows with several seeds: one point per seed, their mean as a line", rows.size());
}

}  // namespace

std::string plot(const Report& report, const PlotOptions& options, const std::filesystem::path& file) {
  const Section* section = nullptr;
  std::vector<std::string> scenarios;
  for (const Section& candidate : report.sections) {
    scenarios.push_back(candidate.scenario);
    if (!options.scenario.empty() && candidate.scenario != options.scenario) continue;
    if (!candidate.metrics.empty() && section == nullptr) section = &candidate;
  }
  if (section == nullptr) {
    lacking(options.scenario.empty() ? "the records hold no scores"
                                     : "no section has the scenario '" + options.scenario + "'",
            core::did_you_mean(options.scenario, scenarios));
  }
  const std::string unit = unit_of(section->metrics.front());
  Scene scene = {report, options, *section, section->metrics.front() + (unit.empty() ? "" : " (" + unit + ")"), {}, {}};
  for (const Row& row : section->rows)
    if (row.tracks > 0) scene.rows.push_back(&row);
  for (const std::string& name : options.targets) {
    const auto found = std::find(section->targets.begin(), section->targets.end(), name);
    if (found == section->targets.end() && name != "avg" && name != "average") {
      throw Error({Code::config, "plot", "no target '" + name + "'",
                   "one of " + core::join(section->targets, ", ") + ", avg", "",
                   core::did_you_mean(name, section->targets)});
    }
    scene.targets.push_back(static_cast<std::size_t>(found - section->targets.begin()));
  }
  if (scene.targets.empty()) {
    for (std::size_t t = 0; t < section->targets.size(); ++t) scene.targets.push_back(t);
  }
  if (scene.rows.empty()) lacking("no row has scores");
  switch (options.kind) {
    case PlotKind::box:
      return draw_box(scene, file);
    case PlotKind::scatter:
      return draw_scatter(scene, file);
    case PlotKind::cd:
      return draw_cd(scene, file);
    case PlotKind::heat:
      return draw_heat(scene, file);
    case PlotKind::curve:
      return draw_curve(scene, file);
    case PlotKind::seeds:
      return draw_seeds(scene, file);
  }
  return {};
}

}  // namespace mss::reports
