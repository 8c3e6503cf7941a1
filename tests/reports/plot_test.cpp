#include "reports/plot.h"

#include <cmath>
#include <cstdio>

#include "core/error.h"
#include "core/file.h"
#include "plots/canvas.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::reports {
namespace {

std::vector<records::Record> rows(const std::vector<std::string>& specs,
                                  const std::vector<std::uint64_t>& seeds = {0}) {
  std::vector<records::Record> out;
  double level = 1;
  for (const std::string& spec : specs) {
    level += 1;
    for (const std::uint64_t seed : seeds) {
      for (int track = 0; track < 12; ++track) {
        for (const char* name : {"vocals", "drums"}) {
          eval::Scores scores;
          scores.scenario = "stems";
          eval::TargetScores target;
          target.target = name;
          target.track = {{"uSDR", level + std::sin(track * level) + 0.1 * static_cast<double>(seed)}};
          scores.targets = {target};
          out.push_back(records::make_record(
              {"songs", "test", "Ch\u00e3o \u6f22 " + std::to_string(track), spec, "stems", seed, name}, scores,
              target));
        }
      }
    }
  }
  return out;
}

}  // namespace

TEST_CASE("every kind of figure is drawn, or says what it lacks", "[reports]") {
  if (!plots::Canvas::available()) {
    std::printf("SKIPPED: built without Cairo\n");
    return;
  }
  const mss::tests::TempDir dir;
  const std::vector<std::string> specs = {"nmf:components=10", "nmf:components=20", "nmf:components=40", "irm2"};
  const Report report = build_report(rows(specs, {1, 2, 3}));
  for (const PlotKind kind :
       {PlotKind::box, PlotKind::scatter, PlotKind::cd, PlotKind::heat, PlotKind::curve, PlotKind::seeds}) {
    PlotOptions options;
    options.kind = kind;
    for (const char* name : {"a.png", "a.svg", "a.pdf"}) {
      CHECK_FALSE(plot(report, options, dir / name).empty());
      CHECK(core::read_text_file(dir / name).size() > 1000);
    }
  }
  PlotOptions options;
  options.kind = PlotKind::curve;
  CHECK(plot(report, options, dir / "a.svg").find("3 values of components, 2 curves") == 0);
  options.parameter = "iterations";
  CHECK_THROWS_AS(plot(report, options, dir / "a.svg"), Error);
  options = {};
  options.targets = {"bass"};
  CHECK_THROWS_AS(plot(report, options, dir / "a.svg"), Error);
  options = {};
  options.scenario = "museval";
  CHECK_THROWS_AS(plot(report, options, dir / "a.svg"), Error);
  options = {};
  options.kind = PlotKind::scatter;
  options.against = "irm3";
  CHECK_THROWS_AS(plot(report, options, dir / "a.svg"), Error);
  options.against = "irm2";
  CHECK(plot(report, options, dir / "a.svg").find("3 rows against irm2") == 0);
  const Report plain = build_report(rows({"repet"}));
  for (const PlotKind kind : {PlotKind::scatter, PlotKind::cd, PlotKind::curve, PlotKind::seeds}) {
    options = {};
    options.kind = kind;
    CHECK_THROWS_AS(plot(plain, options, dir / "b.svg"), Error);
  }
  options = {};
  CHECK_THROWS_AS(plot(plain, options, dir / "b.txt"), Error);
}

}  // namespace mss::reports
