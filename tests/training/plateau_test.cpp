// Learning rates and early stopping against the trace of the Python recipe (tests/golden/openunmix.json, "plateau").
#include "training/plateau.h"

#include <limits>

#include "core/error.h"
#include "core/json.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"
#include "training/schedule.h"

namespace mss::training {

TEST_CASE("the learning rate falls and training ends as in the golden trace", "[training]") {
  const core::Value golden = core::read_json_file(tests::golden("openunmix.json")).at("plateau");
  const core::Value::Array& losses = golden.at("val_losses").as_array();
  const core::Value::Array& rates = golden.at("lr_after_each_step").as_array();
  const core::Value::Array& stops = golden.at("early_stopping_patience6_best_bad_stop").as_array();
  Plateau plateau(1e-3, {.factor = golden.at("factor").as_real(),
                         .patience = static_cast<int>(golden.at("patience").as_integer()),
                         .cooldown = static_cast<int>(golden.at("cooldown").as_integer()),
                         .threshold = golden.at("threshold").as_real()});
  Stopping stopping(6, 0);
  REQUIRE(losses.size() == rates.size());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    INFO("epoch " << i);
    // One product per reduction: equal up to the last bit.
    CHECK(plateau.step(losses[i].as_real()) == Approx(rates[i].as_real()).epsilon(1e-15));
    const bool stop = stopping.step(losses[i].as_real());
    const core::Value::Array& expected = stops[i].as_array();
    CHECK(stopping.best() == expected[0].as_real());
    CHECK(stopping.bad() == expected[1].as_integer());
    CHECK(stop == expected[2].as_bool());
  }
}

TEST_CASE("a loss that is not a number ends training and is never better", "[training]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Stopping stopping(3, 0);
  CHECK_FALSE(stopping.step(1.0));
  CHECK(stopping.step(nan));
  Plateau plateau(1.0, {.factor = 0.5, .patience = 0, .cooldown = 0});
  CHECK(plateau.step(2.0) == 1.0);
  CHECK(plateau.step(nan) == 0.5);
  CHECK_THROWS_AS(Stopping(-1, 0), Error);
  CHECK_THROWS_AS(Plateau(1.0, {.factor = 1.0}), Error);
  CHECK_THROWS_AS(Plateau(0.0, {}), Error);
}

}  // namespace mss::training
