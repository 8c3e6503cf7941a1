#include <algorithm>

#include "core/file.h"
#include "core/json.h"
#include "reports/published.h"
#include "reports/report.h"
#include "reports/significance.h"

namespace mss::reports {

void write_tables(Report& report, const std::filesystem::path& out) {
  std::string markdown = to_markdown(report), latex = to_latex(report, &report.warnings);
  core::Value json = to_json(report);
  core::make_directories(out);
  if (report.options.published) {
    std::vector<const PublishedGroup*> groups;
    std::vector<std::string> done;
    for (const Section& section : report.sections) {
      for (const std::size_t m : shown_metrics(report, section)) {
        if (std::find(done.begin(), done.end(), section.metrics[m]) != done.end()) continue;
        done.push_back(section.metrics[m]);
        for (const PublishedGroup* group : published_groups_for(section.metrics[m])) groups.push_back(group);
      }
    }
    markdown += published_markdown(groups);
    latex += published_latex(groups);
    json["published"] = published_json();
    core::write_file_atomic(out / "published.csv", published_csv());
  }
  core::write_file_atomic(out / "table.md", markdown);
  core::write_file_atomic(out / "table.csv", to_csv(report));
  core::write_file_atomic(out / "tracks.csv", to_tracks_csv(report));
  core::write_file_atomic(out / "table.tex", latex);
  core::write_file_atomic(out / "table.json", core::dump_json(json, 2) + "\n");
  core::write_file_atomic(out / "stats.md", significance_markdown(report));
}

}  // namespace mss::reports
