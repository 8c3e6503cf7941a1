#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/escape.h"
#include "core/json.h"
#include "core/text.h"
#include "reports/compare.h"
#include "reports/layout.h"

namespace mss::reports {
namespace {

using core::Value;
using eval::Verdict;

constexpr int kDigits = 3;

std::string row_of(const Comparison& c) {
  return c.old_spec == c.new_spec ? c.new_spec : c.old_spec + " -> " + c.new_spec;
}

std::string problem_of(const Comparison& c) { return c.dataset + " / " + c.subset + " / " + c.scenario; }

/// "-0.12 [-0.20, -0.05]"
std::string difference(const Comparison& c, const CompareOptions& options) {
  const eval::Judgement& j = c.judgement;
  if (j.tracks == 0) return "-";
  std::string out = signed_decimals(j.estimate(options.statistic), kDigits);
  if (std::isnan(j.interval.low)) return out + " [-]";
  return out + " [" + signed_decimals(j.interval.low, kDigits) + ", " + signed_decimals(j.interval.high, kDigits) + "]";
}

std::string counts(const eval::Judgement& j) { return fmt::format("{}/{}/{}", j.wins, j.ties, j.losses); }

/// "undecided (512 tracks would decide)"
std::string verdict(const Comparison& c) {
  if (c.average) return "not judged";
  const eval::Judgement& j = c.judgement;
  if (j.tracks == 0) return "no common track";
  std::string out(eval::verdict_name(j.verdict));
  if (j.verdict == Verdict::undecided && !std::isnan(j.deciding_tracks)) {
    out += fmt::format(" ({:.0f} tracks would decide)", j.deciding_tracks);
  }
  return out;
}

std::string sentence(const CompareResult& r) {
  const auto part = [&](Verdict v) { return fmt::format("{} {}", r.count(v), eval::verdict_name(v)); };
  return part(Verdict::worse) + ", " + part(Verdict::better) + ", " + part(Verdict::equivalent) + ", " +
         part(Verdict::undecided);
}

std::string method_line(const CompareResult& r) {
  return fmt::format(
      "{} over tracks of the paired difference (new - old) with its 95 % interval; equivalent: 90 % interval inside "
      "±{} dB; "
      "worse and better at 5 % over {} comparisons in all (Holm)",
      r.options.statistic == eval::Statistic::mean ? "Mean" : "Median", core::format_real(r.options.margin), r.family);
}

std::string cost_line(const CostComparison& c) {
  const std::string row = c.old_spec == c.new_spec ? c.new_spec : c.old_spec + " -> " + c.new_spec;
  if (!c.not_compared.empty()) return row + ": time and memory not compared: " + c.not_compared;
  std::string out = row + ": ";
  if (!std::isnan(c.time_ratio)) {
    out += fmt::format("time x{:.3f} [{:.3f}, {:.3f}] over {} tracks{}", c.time_ratio, c.time_interval.low,
                       c.time_interval.high, c.tracks, c.slower ? ", slower" : "");
  }
  if (!std::isnan(c.memory_ratio)) {
    out += fmt::format("{}peak memory x{:.3f}{}", std::isnan(c.time_ratio) ? "" : "; ", c.memory_ratio,
                       c.hungrier ? ", hungrier" : "");
  }
  return out;
}

std::string lost_line(const Comparison& c) {
  std::string out;
  for (const TrackDifference& t : c.most_lost) {
    out += (out.empty() ? "" : "; ") + fmt::format("{} {} ({} to {})", t.track,
                                                   signed_decimals(t.new_value - t.old_value, kDigits),
                                                   decimals(t.old_value, kDigits), decimals(t.new_value, kDigits));
  }
  return out;
}

/// Scatter of seeds, where a side has several; empty else.
std::string seeds_line(const Comparison& c) {
  const auto side = [](const char* name, int seeds, double sd) {
    return std::isnan(sd) ? fmt::format("{} 1 seed", name) : fmt::format("{} {:.3f} over {} seeds", name, sd, seeds);
  };
  if (std::isnan(c.old_seed_sd) && std::isnan(c.new_seed_sd)) return {};
  return c.scenario + " " + c.target + " " + c.metric + ": standard deviation " +
         side("old", c.old_seeds, c.old_seed_sd) + ", " + side("new", c.new_seeds, c.new_seed_sd);
}

/// Comparisons that share a row and problem stand together.
bool same_block(const Comparison& a, const Comparison& b) {
  return a.dataset == b.dataset && a.subset == b.subset && a.scenario == b.scenario && a.old_spec == b.old_spec &&
         a.new_spec == b.new_spec;
}

std::string pad(const std::string& text, std::size_t width, bool right) {
  const std::size_t w = core::display_width(text);
  const std::string blanks(w >= width ? 0 : width - w, ' ');
  return right ? blanks + text : text + blanks;
}

}  // namespace

std::string to_text(const CompareResult& r) {
  std::string out = fmt::format("old: {}\nnew: {}\n", core::escape_line(r.old_name), core::escape_line(r.new_name));
  const Comparison* last = nullptr;
  std::vector<std::vector<std::string>> block;
  const auto flush = [&] {
    if (block.empty()) return;
    std::vector<std::size_t> widths(block.front().size(), 0);
    for (const auto& line : block) {
      for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], core::display_width(line[i]));
    }
    for (const auto& line : block) {
      std::string text = " ";
      for (std::size_t i = 0; i < line.size(); ++i)
        text += " " + pad(line[i], widths[i], i >= 2 && i + 1 < line.size()) + " ";
      out += std::string(text, 0, text.find_last_not_of(' ') + 1) + "\n";
    }
    block.clear();
  };
  for (const Comparison& c : r.comparisons) {
    if (last == nullptr || !same_block(*last, c)) {
      flush();
      out += "\n" + core::escape_line(problem_of(c)) + "\n" + core::escape_line(row_of(c)) + "\n";
      block.push_back({"metric", "target", "old", "new", "difference", "won/tied/lost", "verdict"});
    }
    last = &c;
    block.push_back({core::escape_line(c.metric), core::escape_line(c.target), decimals(c.old_value, kDigits),
                     decimals(c.new_value, kDigits), difference(c, r.options), counts(c.judgement), verdict(c)});
  }
  flush();
  bool first = true;
  for (const Comparison& c : r.comparisons) {
    if (c.average || c.judgement.verdict != Verdict::worse || c.most_lost.empty()) continue;
    if (first) out += "\nlost most:\n";
    first = false;
    out += "  " + core::escape_line(c.scenario + " " + c.target + " " + c.metric + ": " + lost_line(c)) + "\n";
  }
  first = true;
  for (const Comparison& c : r.comparisons) {
    const std::string line = seeds_line(c);
    if (line.empty()) continue;
    if (first) out += "\nseeds (the verdict is about those that were run):\n";
    first = false;
    out += "  " + core::escape_line(line) + "\n";
  }
  if (!r.costs.empty()) out += "\n";
  for (const CostComparison& c : r.costs) out += core::escape_line(cost_line(c)) + "\n";
  if (!r.unpaired.empty()) {
    out += fmt::format("\n{} do not pair:\n", r.unpaired.size());
    for (const std::string& line : r.unpaired) out += "- " + core::escape_line(line) + "\n";
  }
  for (const std::string& note : r.notes) out += "note: " + core::escape_line(note) + "\n";
  out += "\n" + method_line(r) + "\n";
  out += fmt::format("{}: {}\n", outcome_name(r.outcome()), sentence(r));
  return out;
}

std::string to_markdown(const CompareResult& r) {
  const Outcome outcome = r.outcome();
  const char* sign = outcome == Outcome::worse || outcome == Outcome::costlier ? "❌"
                     : outcome == Outcome::unpaired                            ? "⚠️"
                     : outcome == Outcome::undecided                           ? "❔"
                                                                               : "✅";
  std::string out = fmt::format("## {} Separation quality: {}\n\n{}. {} against {}.\n", sign, outcome_name(outcome),
                                sentence(r), core::escape_markdown(r.new_name), core::escape_markdown(r.old_name));
  const Comparison* last = nullptr;
  for (const Comparison& c : r.comparisons) {
    if (last == nullptr || !same_block(*last, c)) {
      out += "\n### " + core::escape_markdown(problem_of(c)) + "\n\n" + core::escape_markdown_code(row_of(c), false) +
             "\n\n| metric | target | old | new | difference | won/tied/lost | verdict |\n"
             "|---|---|---:|---:|---:|---:|---|\n";
    }
    last = &c;
    const bool loud = !c.average && c.judgement.verdict == Verdict::worse;
    std::string says = verdict(c);
    if (loud) says = "**" + says + "**";
    out += "| " + core::escape_markdown(c.metric) + " | " + core::escape_markdown(c.target) + " | " +
           decimals(c.old_value, kDigits) + " | " + decimals(c.new_value, kDigits) + " | " +
           core::escape_markdown(difference(c, r.options)) + " | " + counts(c.judgement) + " | " + says + " |\n";
  }
  bool first = true;
  for (const Comparison& c : r.comparisons) {
    if (c.average || c.judgement.verdict != Verdict::worse || c.most_lost.empty()) continue;
    if (first) out += "\nTracks that lost most:\n\n";
    first = false;
    out += "- " + core::escape_markdown(c.scenario + " " + c.target + " " + c.metric + ": " + lost_line(c)) + "\n";
  }
  first = true;
  for (const Comparison& c : r.comparisons) {
    const std::string line = seeds_line(c);
    if (line.empty()) continue;
    if (first) out += "\nSeeds (the verdict is about those that were run):\n\n";
    first = false;
    out += "- " + core::escape_markdown(line) + "\n";
  }
  if (!r.costs.empty()) out += "\n";
  for (const CostComparison& c : r.costs) out += "- " + core::escape_markdown(cost_line(c)) + "\n";
  if (!r.unpaired.empty()) {
    out += fmt::format("\n{} do not pair:\n\n", r.unpaired.size());
    for (const std::string& line : r.unpaired) out += "- " + core::escape_markdown(line) + "\n";
  }
  for (const std::string& note : r.notes) out += "\nNote: " + core::escape_markdown(note) + "\n";
  return out + "\n" + method_line(r) + ".\n";
}

std::string to_junit(const CompareResult& r) {
  const auto xml = [](const std::string& text) { return core::escape_html(text); };
  std::string cases;
  int tests = 0, failures = 0, skipped = 0, errors = 0;
  const auto add = [&](const std::string& class_name, const std::string& name, const std::string& body) {
    ++tests;
    cases += "    <testcase classname=\"" + xml(class_name) + "\" name=\"" + xml(name) + "\"" +
             (body.empty() ? std::string("/>\n") : ">\n      " + body + "\n    </testcase>\n");
  };
  for (const Comparison& c : r.comparisons) {
    if (c.average) continue;
    const std::string says = difference(c, r.options) + " dB, " + verdict(c);
    const bool fails =
        c.judgement.verdict == Verdict::worse || (r.options.strict && c.judgement.verdict == Verdict::undecided);
    std::string body;
    if (fails) {
      ++failures;
      body = "<failure message=\"" + xml(says) + "\">" + xml(lost_line(c)) + "</failure>";
    } else if (c.judgement.verdict == Verdict::undecided) {
      ++skipped;
      body = "<skipped message=\"" + xml(says) + "\"/>";
    } else {
      body = "<system-out>" + xml(says) + "</system-out>";
    }
    add(row_of(c) + " | " + problem_of(c), c.metric + " " + c.target, body);
  }
  for (const CostComparison& c : r.costs) {
    const std::string row = c.old_spec == c.new_spec ? c.new_spec : c.old_spec + " -> " + c.new_spec;
    std::string body;
    if (!c.not_compared.empty()) {
      ++skipped;
      body = "<skipped message=\"" + xml(c.not_compared) + "\"/>";
    } else if (c.slower || c.hungrier) {
      ++failures;
      body = "<failure message=\"" + xml(cost_line(c)) + "\"/>";
    } else {
      body = "<system-out>" + xml(cost_line(c)) + "</system-out>";
    }
    add(row, "time and memory", body);
  }
  for (const std::string& line : r.unpaired) {
    std::string body;
    if (r.options.allow_missing) {
      ++skipped;
      body = "<skipped message=\"" + xml(line) + "\"/>";
    } else {
      ++errors;
      body = "<error message=\"" + xml(line) + "\"/>";
    }
    add("pairing", line, body);
  }
  return fmt::format(
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"mssbench compare\" "
             "tests=\"{}\" "
             "failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
             tests, failures, errors, skipped) +
         cases + "  </testsuite>\n</testsuites>\n";
}

Value to_json(const CompareResult& r) {
  const auto number = [](double value) { return records::number_to_value(value); };
  const auto interval = [&](const eval::Interval& i) {
    if (std::isnan(i.low)) return Value();
    Value out = Value::array();
    out.push_back(number(i.low));
    out.push_back(number(i.high));
    return out;
  };
  const auto strings = [](const std::vector<std::string>& list) {
    Value out = Value::array();
    for (const std::string& text : list) out.push_back(text);
    return out;
  };
  Value out = Value::object();
  out["schema"] = 1;
  out["old"] = r.old_name;
  out["new"] = r.new_name;
  out["outcome"] = outcome_name(r.outcome());
  out["margin_db"] = r.options.margin;
  out["statistic"] = r.options.statistic == eval::Statistic::mean ? "mean" : "median";
  out["family"] = r.family;
  Value comparisons = Value::array();
  for (const Comparison& c : r.comparisons) {
    const eval::Judgement& j = c.judgement;
    Value entry = Value::object();
    entry["dataset"] = c.dataset;
    entry["subset"] = c.subset;
    entry["scenario"] = c.scenario;
    entry["old_spec"] = c.old_spec;
    entry["new_spec"] = c.new_spec;
    entry["metric"] = c.metric;
    entry["target"] = c.target;
    entry["judged"] = !c.average;
    entry["old"] = number(c.old_value);
    entry["new"] = number(c.new_value);
    entry["old_seeds"] = c.old_seeds;
    entry["new_seeds"] = c.new_seeds;
    entry["old_seed_sd"] = number(c.old_seed_sd);
    entry["new_seed_sd"] = number(c.new_seed_sd);
    entry["mean_difference"] = number(j.mean);
    entry["median_difference"] = number(j.median);
    entry["sd"] = number(j.sd);
    entry["interval"] = interval(j.interval);
    entry["equivalence_interval"] = interval(j.equivalence_interval);
    entry["tracks"] = j.tracks;
    entry["missing"] = j.missing;
    entry["wins"] = j.wins;
    entry["ties"] = j.ties;
    entry["losses"] = j.losses;
    entry["p"] = j.p;
    entry["p_holm"] = c.average ? Value() : Value(j.p_holm);
    entry["verdict"] = c.average ? Value() : Value(eval::verdict_name(j.verdict));
    entry["deciding_tracks"] = number(j.deciding_tracks);
    Value lost = Value::array();
    for (const TrackDifference& t : c.most_lost) {
      Value track = Value::object();
      track["track"] = t.track;
      track["old"] = number(t.old_value);
      track["new"] = number(t.new_value);
      lost.push_back(std::move(track));
    }
    entry["most_lost"] = std::move(lost);
    comparisons.push_back(std::move(entry));
  }
  out["comparisons"] = std::move(comparisons);
  Value costs = Value::array();
  for (const CostComparison& c : r.costs) {
    Value entry = Value::object();
    entry["old_spec"] = c.old_spec;
    entry["new_spec"] = c.new_spec;
    entry["not_compared"] = c.not_compared.empty() ? Value() : Value(c.not_compared);
    entry["tracks"] = c.tracks;
    entry["time_ratio"] = number(c.time_ratio);
    entry["time_interval"] = interval(c.time_interval);
    entry["memory_ratio"] = number(c.memory_ratio);
    entry["slower"] = c.slower;
    entry["hungrier"] = c.hungrier;
    costs.push_back(std::move(entry));
  }
  out["costs"] = std::move(costs);
  out["unpaired"] = strings(r.unpaired);
  out["notes"] = strings(r.notes);
  return out;
}

}  // namespace mss::reports
