#include "reports/html/pairs.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "eval/scores.h"
#include "eval/statistics.h"
#include "eval/verdict.h"
#include "reports/html/page.h"

namespace mss::reports::html {
namespace {

using core::Value;

std::size_t common_tracks(const eval::Table& scores) {
  std::size_t count = 0;
  for (std::size_t t = 0; t < scores.front().size(); ++t) {
    count += std::all_of(scores.begin(), scores.end(), [&](const auto& row) { return std::isfinite(row[t]); }) ? 1 : 0;
  }
  return count;
}

Value ranks_value(const std::vector<std::size_t>& rows, const eval::Table& better_is_less) {
  if (rows.size() < 2 || common_tracks(better_is_less) < 2) return {};
  const eval::RankTest friedman = eval::friedman(better_is_less);
  Value out = Value::object(), names = Value::array(), mean = Value::array();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    names.push_back(static_cast<std::int64_t>(rows[i]));
    mean.push_back(rounded(friedman.mean_ranks[i], 4));
  }
  out["rows"] = std::move(names);
  out["mean"] = std::move(mean);
  out["critical"] = rounded(eval::conover_critical_difference(better_is_less), 4);
  out["statistic"] = rounded(friedman.statistic, 4);
  out["degrees"] = friedman.degrees;
  out["p"] = rounded(friedman.p, 12);
  out["tracks"] = friedman.blocks;
  return out;
}

}  // namespace

Value comparisons(const Report& report, const Section& section, std::size_t metric, int digits, int threads) {
  const bool higher = [&] {
    for (const eval::MetricInfo& info : eval::metrics())
      if (info.id == section.metrics[metric]) return info.higher_is_better;
    return true;
  }();
  if (section.metrics[metric] == "GNSDR") return {};  // its tracks do not count alike
  std::vector<Value> targets(section.targets.size() + 1);
  core::parallel_for(static_cast<std::int64_t>(targets.size()), threads, [&](std::int64_t item) {
    const auto t = static_cast<std::size_t>(item);
    std::vector<std::size_t> rows, ranked;
    for (std::size_t r = 0; r < section.rows.size(); ++r) {
      if (!section.rows[r].ranked) continue;
      const std::vector<double>& values = section.rows[r].scores[metric][t].values;
      const auto finite = std::count_if(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
      if (finite > 0) rows.push_back(r);
      if (finite > 1) ranked.push_back(r);
    }
    std::vector<std::vector<double>> family;
    std::vector<std::pair<std::size_t, std::size_t>> names;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t j = i + 1; j < rows.size(); ++j) {
        std::vector<double> d = eval::differences(section.rows[rows[j]].scores[metric][t].values,
                                                  section.rows[rows[i]].scores[metric][t].values);
        if (!higher)
          for (double& value : d) value = -value;
        family.push_back(std::move(d));
        names.emplace_back(rows[i], rows[j]);
      }
    }
    Value pairs = Value::array();
    if (report.options.compute_intervals && !family.empty()) {
      eval::VerdictOptions options;
      options.margin = report.options.margin;
      options.statistic = report.options.statistic();
      const std::vector<eval::Judgement> judged = eval::judge_family(family, options);
      for (std::size_t k = 0; k < judged.size(); ++k) {
        const eval::Judgement& j = judged[k];
        if (j.tracks == 0) continue;
        Value entry = Value::array();
        entry.push_back(static_cast<std::int64_t>(names[k].first));
        entry.push_back(static_cast<std::int64_t>(names[k].second));
        entry.push_back(j.tracks);
        entry.push_back(rounded(j.estimate(options.statistic), digits));
        entry.push_back(rounded(j.interval.low, digits));
        entry.push_back(rounded(j.interval.high, digits));
        entry.push_back(j.wins);
        entry.push_back(j.ties);
        entry.push_back(j.losses);
        entry.push_back(rounded(j.p_holm, 6));
        entry.push_back(eval::verdict_name(j.verdict));
        pairs.push_back(std::move(entry));
      }
    }
    eval::Table scores;
    for (const std::size_t r : ranked) {
      scores.push_back(section.rows[r].scores[metric][t].values);
      for (double& v : scores.back()) v = std::isfinite(v) ? (higher ? -v : v) : std::nan("");
    }
    Value out = Value::object();
    out["pairs"] = std::move(pairs);
    out["ranks"] = ranks_value(ranked, scores);
    targets[t] = std::move(out);
  });
  return Value(Value::Array(targets.begin(), targets.end()));
}

}  // namespace mss::reports::html
