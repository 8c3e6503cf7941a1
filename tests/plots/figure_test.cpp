#include "plots/figure.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::plots;

namespace {

Axis axis(double low, double high, Unit unit = Unit::number, AxisScale scale = AxisScale::linear) {
  return {.label = "", .low = low, .high = high, .scale = scale, .unit = unit, .ticks = {}};
}

/// 2 x 3 cells as blocks, linear gray 0 … 1.
Heatmap blocks() {
  Heatmap map;
  map.rows = 2;
  map.columns = 3;
  map.values = {0.0F, 0.2F, 0.4F, 0.6F, 0.8F, 1.0F};
  map.x = axis(-0.5, 2.5, Unit::index);
  map.y = axis(-0.5, 1.5, Unit::index);
  map.level = Level::linear;
  map.colors = ColorMap::gray;
  map.color_bar = false;
  return map;
}

Figure one(std::variant<Heatmap, CurvePanel> panel, int width = 300, int height = 200) {
  Figure figure;
  figure.width = width;
  figure.height = height;
  figure.text_scale = 1;
  figure.cells.push_back({0, 0, std::move(panel)});
  return figure;
}

/// The dark frame around the only panel: the largest rectangle of frame-coloured pixels.
Rect panel_area(const Image& image) {
  const Rgb frame{0x20, 0x20, 0x20};
  int left = image.width(), right = 0, top = image.height(), bottom = 0;
  for (int y = 0; y < image.height(); ++y) {
    int run = 0;
    for (int x = 0; x < image.width(); ++x) {
      run = image.at(x, y) == frame ? run + 1 : 0;
      if (run < image.width() / 2) continue;
      left = std::min(left, x - run + 2);
      right = std::max(right, x);
      top = std::min(top, y + 1);
      bottom = std::max(bottom, y);
    }
  }
  return {left, top, right - left, bottom - top};
}

std::uint8_t gray_at(const Image& image, Rect area, double x, double y) {
  return image.at(area.x + static_cast<int>(x * area.width), area.bottom() - 1 - static_cast<int>(y * area.height)).r;
}

CurvePanel line(std::vector<double> positions, std::vector<double> values) {
  CurvePanel panel;
  panel.curves = {{"a", std::move(positions), std::move(values), Rgb{255, 0, 0}}};
  panel.x = axis(0, 10);
  panel.y = axis(0, 1);
  panel.legend = false;
  return panel;
}

bool has_color(const Image& image, Rgb color) {
  return std::find(image.pixels().begin(), image.pixels().end(), color) != image.pixels().end();
}

template <class Change>
void refuse(Code code, const Change& change) {
  Figure figure = one(blocks());
  std::get<Heatmap>(figure.cells[0].panel).title = "the panel";
  change(figure, std::get<Heatmap>(figure.cells[0].panel));
  try {
    render(figure);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == code);
  }
}

}  // namespace

TEST_CASE("a small matrix is drawn as blocks, row 0 at the bottom", "[plots]") {
  const Image image = render(one(blocks()));
  const Rect area = panel_area(image);
  REQUIRE(area.width > 200);
  REQUIRE(area.height > 150);
  for (int row = 0; row < 2; ++row) {
    for (int column = 0; column < 3; ++column) {
      const int expected = (row * 3 + column) * 51;
      for (const double u : {0.02, 0.5, 0.98}) {
        for (const double v : {0.02, 0.5, 0.98})
          CHECK(gray_at(image, area, (column + u) / 3, (row + v) / 2) == expected);
      }
    }
  }
}

TEST_CASE("decibels run from the floor to the largest value or the reference", "[plots]") {
  Heatmap map = blocks();
  map.level = Level::decibel;
  map.floor_db = -40;
  map.values = {0.0F, 0.001F, 0.01F, 0.1F, 1.0F, 10.0F};
  const Image own = render(one(map));
  const Rect area = panel_area(own);
  const auto level = [&](const Image& image, int cell) {
    return gray_at(image, area, (cell % 3 + 0.5) / 3, (cell / 3 + 0.5) / 2);
  };
  // 0 dB = 10: 0.1 is -40, 1 is -20.
  CHECK(level(own, 0) == 0);
  CHECK(level(own, 2) == 0);
  CHECK(level(own, 3) == 0);
  CHECK(level(own, 4) == 128);
  CHECK(level(own, 5) == 255);
  map.reference = 1.0;
  const Image given = render(one(map));
  CHECK(level(given, 2) == 0);
  CHECK(level(given, 3) == 128);
  CHECK(level(given, 4) == 255);
  CHECK(level(given, 5) == 255);
  map.reference.reset();
  std::fill(map.values.begin(), map.values.end(), 0.0F);
  const Image silent = render(one(map));
  for (int cell = 0; cell < 6; ++cell) CHECK(level(silent, cell) == 0);
}

TEST_CASE("many cells on one pixel are pooled: power keeps the root mean square, peak the largest", "[plots]") {
  Heatmap map = blocks();
  map.rows = 1;
  map.columns = 40000;
  map.values.assign(40000, 0.0F);
  for (std::size_t i = 0; i < map.values.size(); i += 4) map.values[i] = 1.0F;
  map.x = axis(-0.5, 39999.5);
  map.y = axis(-0.5, 0.5, Unit::index);
  map.low = 0;
  map.high = 1;
  const Image power = render(one(map));
  const Rect area = panel_area(power);
  map.pooling = Pooling::peak;
  const Image peak = render(one(map));
  for (const double x : {0.01, 0.3, 0.77, 0.99}) {
    CHECK(gray_at(power, area, x, 0.5) == Approx(127.5).margin(1.5));
    CHECK(gray_at(peak, area, x, 0.5) == 255);
  }
}

TEST_CASE("on a logarithmic axis a bin stands at its frequency", "[plots]") {
  Heatmap map = blocks();
  map.rows = 513;
  map.columns = 2;
  map.values.assign(1026, 0.0F);
  const double bin_hz = 44100.0 / 1024;
  const int bin = 24;  // 1033.6 Hz
  map.values[2 * bin] = map.values[2 * bin + 1] = 1.0F;
  map.y = axis(30, 22050, Unit::hertz, AxisScale::logarithmic);
  map.y_step = bin_hz;
  map.x = axis(-0.5, 1.5);
  const Image image = render(one(map, 300, 500));
  const Rect area = panel_area(image);
  int brightest = 0, at = 0;
  for (int y = area.y; y < area.bottom(); ++y) {
    const int value = image.at(area.x + area.width / 2, y).r;
    if (value > brightest) {
      brightest = value;
      at = y;
    }
  }
  const double position = (area.bottom() - 0.5 - at) / area.height;
  CHECK(value_at(map.y, position) == Approx(bin * bin_hz).epsilon(0.01));
  CHECK(brightest > 200);
}

TEST_CASE("few cells are interpolated, and what lies beside the matrix stays background", "[plots]") {
  Heatmap map = blocks();
  map.rows = 1;
  map.columns = 2;
  map.values = {0.0F, 1.0F};
  map.x = axis(-3, 4);
  map.y = axis(-0.5, 0.5, Unit::index);
  const Image image = render(one(map, 500, 100));
  const Rect area = panel_area(image);
  const auto at = [&](double x) { return gray_at(image, area, (x + 3) / 7, 0.5); };
  CHECK(at(-2.5) == 0xf2);
  CHECK(at(3.5) == 0xf2);
  CHECK(at(-0.2) == 0);
  CHECK(at(1.2) == 255);
  CHECK(at(0.5) == Approx(128).margin(3));
  CHECK(at(0.25) == Approx(64).margin(3));
}

TEST_CASE("a curve goes through its points", "[plots]") {
  const Image image = render(one(line({0, 5, 10}, {0, 1, 0}), 400, 300));
  const Rect area = panel_area(image);
  const auto red = [&](double x, double y) {
    const Rgb p = image.at(area.x + std::min(area.width - 1, static_cast<int>(x * area.width)),
                           area.bottom() - 1 - std::min(area.height - 1, static_cast<int>(y * area.height)));
    return p.r > 200 && p.g < 140;
  };
  for (const double t : {0.1, 0.25, 0.4}) {
    CHECK(red(t, 2 * t));
    CHECK(red(1 - t, 2 * t));
    CHECK_FALSE(red(t, 2 * t + 0.2));
    CHECK_FALSE(red(t, 2 * t - 0.15));
  }
  CurvePanel sideways = line({0, 5, 10}, {0, 1, 0});
  sideways.orientation = Orientation::sideways;
  std::swap(sideways.x, sideways.y);
  const Image turned = render(one(sideways, 400, 300));
  const Rect place = panel_area(turned);
  const Rgb peak = turned.at(place.right() - 2, place.y + place.height / 2);
  CHECK(peak.r > 200);
  CHECK(peak.g < 160);
  CHECK(turned.pixels() != image.pixels());
}

TEST_CASE("curves with more points than pixels keep their peaks", "[plots]") {
  std::vector<double> x, y;
  for (int i = 0; i < 200000; ++i) {
    x.push_back(i / 20000.0);
    y.push_back(i == 123456 ? 1.0 : 0.0);
  }
  const Image image = render(one(line(x, y), 400, 300));
  const Rect area = panel_area(image);
  bool found = false;
  for (int px = area.x + area.width * 60 / 100; px < area.x + area.width * 64 / 100; ++px) {
    const Rgb p = image.at(px, area.y + area.height / 4);
    found = found || (p.r > 200 && p.g < 160);
  }
  CHECK(found);
}

TEST_CASE("fill, legend, labels and titles show", "[plots]") {
  CurvePanel panel = line({0, 10}, {0.5, 0.5});
  const Image bare = render(one(panel));
  panel.filled = true;
  CHECK(has_color(render(one(panel)), mix({255, 255, 255}, {255, 0, 0}, 0.25)));
  CHECK_FALSE(has_color(bare, mix({255, 255, 255}, {255, 0, 0}, 0.25)));
  panel.filled = false;
  panel.legend = true;
  CHECK(render(one(panel)).pixels() != bare.pixels());
  const auto area_of = [](const Figure& figure) { return panel_area(render(figure)); };
  Figure figure = one(line({0, 10}, {0.5, 0.5}));
  const Rect before = area_of(figure);
  figure.title = "title";
  figure.note = "note";
  const Rect after = area_of(figure);
  CHECK(after.height < before.height - 15);
  std::get<CurvePanel>(figure.cells[0].panel).y.label = "level";
  CHECK(area_of(figure).x > after.x);
}

TEST_CASE("panels of one column line up", "[plots]") {
  Figure figure;
  figure.width = 500;
  figure.height = 400;
  figure.text_scale = 1;
  figure.row_weights = {1, 1};
  Heatmap map = blocks();
  map.y.label = "component";
  map.color_bar = true;
  figure.cells.push_back({0, 0, line({0, 10}, {0, 0})});
  figure.cells.push_back({1, 0, map});
  const Image image = render(figure);
  // Both frames have their left edge in the same column of pixels.
  int columns = 0;
  for (int x = 0; x < image.width() / 2; ++x) {
    int dark = 0;
    for (int y = 0; y < image.height(); ++y) dark += image.at(x, y) == Rgb{0x20, 0x20, 0x20} ? 1 : 0;
    if (dark > 250) ++columns;
  }
  CHECK(columns == 1);
}

TEST_CASE("equal figures give equal pixels", "[plots]") {
  CHECK((render(one(blocks())).pixels() == render(one(blocks())).pixels()));
}

TEST_CASE("bad matrices and figures are refused", "[plots]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  refuse(Code::numeric, [&](Figure&, Heatmap& m) { m.values[4] = nan; });
  refuse(Code::numeric, [&](Figure&, Heatmap& m) { m.values[4] = infinity; });
  refuse(Code::invalid_argument, [](Figure&, Heatmap& m) { m.rows = 0; });
  refuse(Code::invalid_argument, [](Figure&, Heatmap& m) { m.values.clear(); });
  refuse(Code::invalid_argument, [](Figure&, Heatmap& m) { m.columns = std::int64_t{1} << 62; });
  refuse(Code::invalid_argument, [](Figure&, Heatmap& m) { m.x_step = 0; });
  refuse(Code::invalid_argument, [](Figure&, Heatmap& m) { m.x.high = m.x.low; });
  refuse(Code::invalid_argument, [](Figure&, Heatmap& m) {
    m.level = Level::decibel;
    m.values[0] = -1;
  });
  refuse(Code::invalid_argument, [](Figure&, Heatmap& m) {
    m.level = Level::decibel;
    m.floor_db = 0;
  });
  refuse(Code::invalid_argument, [](Figure&, Heatmap& m) { m.reference = 0; });
  refuse(Code::invalid_argument, [](Figure&, Heatmap& m) { m.low = m.high = 3; });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.cells.clear(); });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.cells[0].column = 1; });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.cells.push_back({0, 0, blocks()}); });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.row_weights = {0}; });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.text_scale = 0; });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.width = 20; });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.height = 3; });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.width = kLargestSide + 1; });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.cells[0].panel = CurvePanel{}; });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.cells[0].panel = line({1, 2}, {1}); });
  refuse(Code::invalid_argument, [](Figure& f, Heatmap&) { f.cells[0].panel = line({2, 1}, {1, 1}); });
  refuse(Code::numeric, [](Figure& f, Heatmap&) { f.cells[0].panel = line({1, 2}, {1, std::nan("")}); });
}

TEST_CASE("value axes hold their values", "[plots]") {
  CHECK(value_axis("a", {1, 3, 2}).low == 0);
  CHECK(value_axis("a", {1, 3, 2}).high > 3);
  CHECK(value_axis("a", {-1, 1}).low < -1);
  CHECK(value_axis("a", {}).high > value_axis("a", {}).low);
  CHECK(value_axis("a", {0, 0}).high == Approx(1.05));
}
