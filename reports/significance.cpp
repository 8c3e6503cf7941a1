#include "reports/significance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/escape.h"
#include "eval/statistics.h"
#include "reports/layout.h"

namespace mss::reports {
namespace {

using eval::Statistic;

constexpr std::size_t kAllPairs = 10;  ///< rows up to which every pair is shown

std::string p_text(double p) {
  if (std::isnan(p)) return "–";
  return p < 1e-4 ? fmt::format("{:.0e}", p) : fmt::format("{:.4f}", p);
}

std::string interval_text(double value, const eval::Interval& interval) {
  if (std::isnan(value)) return "–";
  std::string out = decimals(value, 3);
  if (!std::isnan(interval.low)) out += " \\[" + decimals(interval.low, 3) + ", " + decimals(interval.high, 3) + "\\]";
  return out;
}

std::string name_cell(const Row& row) {
  return row.name == row.spec ? core::escape_markdown_code(row.spec, true) : core::escape_markdown(row.name);
}

std::vector<double> finite(const std::vector<double>& values) {
  std::vector<double> out;
  for (const double v : values)
    if (std::isfinite(v)) out.push_back(v);
  return out;
}

std::string rows_table(const Section& section, std::size_t m, std::size_t t, const std::vector<std::size_t>& rows) {
  const bool seeds =
      std::any_of(rows.begin(), rows.end(), [&](std::size_t r) { return section.rows[r].seeds.size() > 1; });
  std::string out = "| row | tracks | mean | median | sd over tracks |" + std::string(seeds ? " sd over seeds |" : "") +
                    "\n|---|---:|---:|---:|---:|" + (seeds ? "---:|" : "") + "\n";
  for (const std::size_t r : rows) {
    const Row& row = section.rows[r];
    const Cell& cell = row.cells[m][t];
    const std::vector<double> values = finite(row.scores[m][t].values);
    out += "| " + name_cell(row) + " | " + std::to_string(cell.tracks) + " | " +
           interval_text(cell.mean, cell.mean_interval) + " | " + interval_text(cell.median, cell.median_interval) +
           " | " + (values.size() > 1 ? decimals(eval::sample_sd(values), 3) : "–") + " |";
    if (seeds) {
      std::vector<double> means;
      for (const std::vector<double>& of_seed : row.scores[m][t].by_seed) {
        const std::vector<double> some = finite(of_seed);
        if (!some.empty()) means.push_back(eval::mean_of(some));
      }
      out += " " + (means.size() > 1 ? decimals(eval::sample_sd(means), 3) : "–") + " |";
    }
    out += "\n";
  }
  return out;
}

struct Pair {
  std::size_t first, second;  ///< places in the table of scores
  eval::PairedComparison compared;
  double conover = NAN, sisec = NAN;
};

/// Friedman over the common tracks, then the pairs.
std::string tests(const Section& section, std::size_t m, std::size_t t, const std::vector<std::size_t>& rows) {
  eval::Table scores;
  for (const std::size_t r : rows) scores.push_back(section.rows[r].scores[m][t].values);
  std::size_t common = 0;
  for (std::size_t track = 0; track < scores.front().size(); ++track) {
    common += std::all_of(scores.begin(), scores.end(), [&](const auto& s) { return std::isfinite(s[track]); }) ? 1 : 0;
  }
  std::string out;
  std::vector<eval::PairTest> conover, sisec;
  if (common >= 2) {
    const eval::RankTest friedman = eval::friedman(scores);
    if (!std::isnan(friedman.statistic) && rows.size() > 2) {
      out += fmt::format("\nFriedman over {} rows and {} tracks: χ² = {:.2f} with {} degrees of freedom, p = {}.\n",
                         rows.size(), friedman.blocks, friedman.statistic, friedman.degrees, p_text(friedman.p));
    }
    conover = eval::conover_friedman(scores);
    sisec = eval::sisec18_conover_kruskal(scores);
  }
  // Which pairs, and the p-values of the rank tests for them.
  // The best method (where there is none, the best row).
  std::size_t best = 0;
  const auto merit = [&](std::size_t k) {
    const Row& row = section.rows[rows[k]];
    return std::make_pair(row.kind == RowKind::method && row.ranked, row.cells[m][t].median);
  };
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (merit(i) > merit(best) || std::isnan(merit(best).second)) best = i;
  }
  const bool all = rows.size() <= kAllPairs;
  std::vector<Pair> pairs;
  std::size_t index = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = i + 1; j < rows.size(); ++j, ++index) {
      if (!all && i != best && j != best) continue;
      Pair pair{i, j, {}, NAN, NAN};
      int both = 0;
      for (std::size_t track = 0; track < scores[i].size(); ++track) {
        both += std::isfinite(scores[i][track]) && std::isfinite(scores[j][track]) ? 1 : 0;
      }
      if (both < 2) continue;
      pair.compared = eval::compare_paired(scores[j], scores[i], {.expanded = true});
      if (!conover.empty()) {
        pair.conover = conover[index].p;
        pair.sisec = sisec[index].p;
      }
      pairs.push_back(std::move(pair));
    }
  }
  if (pairs.empty()) return out + "\nToo few common tracks for a test.\n";
  std::vector<double> wilcoxon, ranks;
  for (const Pair& pair : pairs) {
    wilcoxon.push_back(pair.compared.wilcoxon.p);
    ranks.push_back(std::isnan(pair.conover) ? 1.0 : pair.conover);
  }
  wilcoxon = eval::holm(wilcoxon);
  ranks = eval::holm(ranks);
  out += all ? "\n" : "\nEvery row against the best method.\n\n";
  out +=
      "| row | minus row | tracks | mean difference | median difference | won/tied/lost | Wilcoxon p (Holm) | Conover "
      "p (Holm) "
      "| paired t p | d_z | least difference seen | legacy: z (thesis) p | legacy: Conover–Kruskal (SiSEC 2018) p |\n"
      "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const Pair& pair = pairs[i];
    const eval::PairedComparison& c = pair.compared;
    const std::vector<double> a = finite(scores[pair.second]), b = finite(scores[pair.first]);
    const eval::ZTest z =
        eval::thesis_difference_z(eval::mean_of(a), eval::sample_sd(a), eval::mean_of(b), eval::sample_sd(b),
                                  static_cast<double>(std::min(a.size(), b.size())));
    out += "| " + name_cell(section.rows[rows[pair.first]]) + " | " + name_cell(section.rows[rows[pair.second]]) +
           " | " + std::to_string(c.n) + " | " + interval_text(c.mean, c.mean_interval) + " | " +
           interval_text(c.median, c.median_interval) + " | " + fmt::format("{}/{}/{}", c.wins, c.ties, c.losses) +
           " | " + p_text(wilcoxon[i]) + " | " + (std::isnan(pair.conover) ? "–" : p_text(ranks[i])) + " | " +
           p_text(c.t.p) + " | " + decimals(c.cohen_dz, 2) + " | " + decimals(c.minimum_detectable, 3) + " | " +
           p_text(z.p_one_sided) + " | " + p_text(pair.sisec) + " |\n";
  }
  return out;
}

}  // namespace

std::string significance_markdown(const Report& report) {
  std::string out =
      "# Statistics\n\n"
      "The unit is the track: one score per row and track (with several seeds their mean). Intervals are 95 % BCa "
      "intervals "
      "over tracks. Differences are paired per track. Holm's adjustment is over the pairs of one table; several tables "
      "(targets, metrics) are several families, so declare which one counts before looking, and call the others "
      "exploratory.\n\n"
      "*Least difference seen*: what these tracks would have shown with 80 % power in a two-sided paired t-test.\n\n"
      "The *legacy* columns repeat tests that have been published, for comparison only. *z (thesis)*: the means as if "
      "they came "
      "from different tracks, one-sided, normal; here with the number of tracks (the thesis counted chunks, which "
      "makes almost "
      "anything significant). *Conover–Kruskal (SiSEC 2018)*: ranks over all tracks and rows together, as if every row "
      "had been "
      "scored on tracks of its own, without any adjustment. Both ignore that the tracks are the same and miss what "
      "pairing "
      "shows.\n";
  for (const Section& section : report.sections) {
    if (section.metrics.empty()) continue;
    out += "\n## " + core::escape_markdown(section_title(section)) + "\n";
    for (const std::string& note : section.remarks) out += "\nNote: " + core::escape_markdown(note) + "\n";
    for (const std::size_t m : shown_metrics(report, section)) {
      for (std::size_t t = 0; t <= section.targets.size(); ++t) {
        if (t == section.targets.size() && section.targets.size() < 2) continue;
        std::vector<std::size_t> rows;
        for (std::size_t r = 0; r < section.rows.size(); ++r) {
          if (section.rows[r].cells[m][t].tracks > 0) rows.push_back(r);
        }
        if (rows.empty()) continue;
        out += "\n### " + core::escape_markdown(section.metrics[m]) + ", " +
               (t < section.targets.size() ? core::escape_markdown(section.targets[t])
                                           : std::string("average over targets")) +
               "\n\n" + rows_table(section, m, t, rows);
        std::erase_if(rows, [&](std::size_t r) { return !section.rows[r].ranked; });
        if (rows.size() > 1) out += tests(section, m, t, rows);
      }
    }
  }
  return out;
}

}  // namespace mss::reports
