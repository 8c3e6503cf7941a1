#include "plots/axis.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::plots;

namespace {

Axis axis(double low, double high, AxisScale scale = AxisScale::linear, Unit unit = Unit::number) {
  return {.label = "x", .low = low, .high = high, .scale = scale, .unit = unit, .ticks = {}};
}

std::vector<std::string> labels(const Axis& a, int most) {
  std::vector<std::string> out;
  for (const Tick& tick : make_ticks(a, most)) out.push_back(tick.label);
  return out;
}

using Labels = std::vector<std::string>;

}  // namespace

TEST_CASE("linear ticks are round and written with as many decimals as they need", "[plots]") {
  CHECK(labels(axis(0, 10), 6) == Labels{"0", "2", "4", "6", "8", "10"});
  CHECK(labels(axis(0, 1), 6) == Labels{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(labels(axis(-80, 0, AxisScale::linear, Unit::decibel), 6) == Labels{"-80", "-60", "-40", "-20", "0"});
  CHECK(labels(axis(-0.3, 0.3), 4) == Labels{"-0.2", "0.0", "0.2"});
  CHECK(labels(axis(0, 3, AxisScale::linear, Unit::index), 10) == Labels{"0", "1", "2", "3"});
}

TEST_CASE("times above two minutes are written as a clock", "[plots]") {
  CHECK(labels(axis(0, 180, AxisScale::linear, Unit::seconds), 8) ==
        Labels{"0:00", "0:30", "1:00", "1:30", "2:00", "2:30", "3:00"});
  CHECK(labels(axis(0, 7300, AxisScale::linear, Unit::seconds), 5) == Labels{"0:00", "50:00", "100:00"});
  CHECK(labels(axis(0, 15, AxisScale::linear, Unit::seconds), 4) == Labels{"0", "5", "10", "15"});
}

TEST_CASE("frequencies on a logarithmic axis are 1, 2 and 5 times powers of ten", "[plots]") {
  const Axis a = axis(30, 22050, AxisScale::logarithmic, Unit::hertz);
  CHECK(labels(a, 12) == Labels{"50", "100", "200", "500", "1k", "2k", "5k", "10k", "20k"});
  CHECK(labels(a, 4) == Labels{"100", "1k", "10k"});
  CHECK(labels(a, 2) == Labels{"100", "10k"});
  // Less than an octave without a round number inside falls back to linear ticks.
  CHECK(labels(axis(210, 480, AxisScale::logarithmic, Unit::hertz), 4) == Labels{"300", "400"});
}

TEST_CASE("ticks lie inside, ascend and are never more than asked for, whatever the range", "[plots]") {
  for (const double low : {-1e9, -3.7, 0.0, 1e-9, 0.013, 7.0, 1e12}) {
    for (const double width : {1e-6, 0.3, 1.0, 999.0, 1e7}) {
      if (low + width <= low) continue;
      for (const Unit unit : {Unit::number, Unit::index, Unit::seconds, Unit::hertz}) {
        for (const int most : {1, 2, 3, 7, 40}) {
          const Axis a = axis(low, low + width, AxisScale::linear, unit);
          const auto ticks = make_ticks(a, most);
          INFO(low << " + " << width << " most " << most);
          CHECK(static_cast<int>(ticks.size()) <= most);
          double before = -std::numeric_limits<double>::infinity();
          for (const Tick& tick : ticks) {
            CHECK(tick.value > before);
            CHECK(position_of(a, tick.value) >= -1e-6);
            CHECK(position_of(a, tick.value) <= 1 + 1e-6);
            CHECK(!tick.label.empty());
            before = tick.value;
          }
        }
      }
    }
  }
  for (const double high : {1e-3, 2.0, 1e4, 1e300}) {
    for (const int most : {2, 5, 20}) {
      const auto ticks = make_ticks(axis(high * 1e-5, high, AxisScale::logarithmic), most);
      CHECK(ticks.size() >= 1);
      CHECK(static_cast<int>(ticks.size()) <= most);
    }
  }
}

TEST_CASE("positions and values are inverse to each other", "[plots]") {
  for (const Axis& a : {axis(-3, 9), axis(30, 22050, AxisScale::logarithmic)}) {
    CHECK(position_of(a, a.low) == Approx(0).margin(1e-12));
    CHECK(position_of(a, a.high) == Approx(1));
    for (const double p : {0.0, 0.25, 0.5, 0.9, 1.0}) CHECK(position_of(a, value_at(a, p)) == Approx(p).margin(1e-12));
  }
  CHECK(value_at(axis(10, 1000, AxisScale::logarithmic), 0.5) == Approx(100));
  CHECK(position_of(axis(1, 10, AxisScale::logarithmic), 0) == -std::numeric_limits<double>::infinity());
}

TEST_CASE("axes out of order are refused", "[plots]") {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(make_ticks(axis(1, 1), 5), Error);
  CHECK_THROWS_AS(make_ticks(axis(2, 1), 5), Error);
  CHECK_THROWS_AS(make_ticks(axis(nan, 1), 5), Error);
  CHECK_THROWS_AS(make_ticks(axis(0, infinity), 5), Error);
  CHECK_THROWS_AS(make_ticks(axis(0, 1, AxisScale::logarithmic), 5), Error);
}
