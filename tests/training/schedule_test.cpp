#include "training/schedule.h"

#include <cmath>
#include <limits>

#include "tests/support/catch.h"
#include "tests/support/errors.h"

namespace mss::training {

TEST_CASE("learning rates follow their formulas", "[training]") {
  ScheduleRecipe step{.kind = ScheduleKind::step, .clock = Clock::epoch, .factor = 0.98, .every = 2};
  // Band-split RNN: times 0.98 every two epochs.
  const Schedule paper(step, 1e-3, 0);
  CHECK(paper.rate(99999, 0) == 1e-3);
  CHECK(paper.rate(0, 1) == 1e-3);
  CHECK(paper.rate(0, 2) == Approx(0.98e-3).epsilon(1e-14));
  CHECK(paper.rate(0, 5) == Approx(0.98 * 0.98e-3).epsilon(1e-14));

  ScheduleRecipe exponential{.kind = ScheduleKind::exponential, .clock = Clock::step, .factor = 0.9, .every = 40};
  CHECK(Schedule(exponential, 2, 0).rate(20, 0) == Approx(2 * std::sqrt(0.9)).epsilon(1e-14));

  ScheduleRecipe cosine{.kind = ScheduleKind::cosine, .clock = Clock::step, .floor = 0.1};
  const Schedule half(cosine, 1.1, 100);
  CHECK(half.rate(0, 0) == 1.1);
  CHECK(half.rate(50, 0) == Approx(0.6).epsilon(1e-14));
  CHECK(half.rate(100, 0) == Approx(0.1).epsilon(1e-14));
  CHECK(half.rate(500, 0) == Approx(0.1).epsilon(1e-14));
  tests::check_error(Code::config, {"cosine"}, [&] { (void)Schedule(cosine, 1, 0); });
}

TEST_CASE("a warm-up leads to the rate, and the schedule counts from its end", "[training]") {
  // amanteur: 0.1^(10 - epoch) for ten epochs, then 0.98 an epoch.
  ScheduleRecipe amanteur{.kind = ScheduleKind::step, .clock = Clock::epoch, .factor = 0.98, .every = 1};
  amanteur.warm_up = WarmUp::exponential;
  amanteur.warm_up_length = 10;
  amanteur.warm_up_factor = 0.1;
  const Schedule a(amanteur, 1e-3, 0);
  CHECK(a.rate(0, 0) == Approx(1e-13).epsilon(1e-12));
  CHECK(a.rate(0, 9) == Approx(1e-4).epsilon(1e-12));
  CHECK(a.rate(0, 10) == 1e-3);
  CHECK(a.rate(0, 12) == Approx(1e-3 * 0.98 * 0.98).epsilon(1e-12));
  ScheduleRecipe linear{.kind = ScheduleKind::constant, .clock = Clock::step};
  linear.warm_up = WarmUp::linear;
  linear.warm_up_length = 4;
  linear.warm_up_factor = 0.2;
  const Schedule l(linear, 1, 0);
  CHECK(l.rate(0, 0) == Approx(0.2));
  CHECK(l.rate(2, 0) == Approx(0.6));
  CHECK(l.rate(4, 0) == 1);
}

TEST_CASE("plateau and early stopping continue from their states as if nothing had happened", "[training]") {
  ScheduleRecipe plateau{.kind = ScheduleKind::plateau, .factor = 0.5, .floor = 0.2, .patience = 1, .cooldown = 0};
  Schedule straight(plateau, 1, 0);
  Stopping stopping(4, 0.01);
  const double values[] = {3, 2, 2.5, 2.5, 1.995, 2.5, 2.5, 2.5, 2.5};
  for (int cut = 0; cut < 9; ++cut) {
    Schedule first(plateau, 1, 0), second(plateau, 1, 0);
    Stopping before(4, 0.01), after(4, 0.01);
    for (int i = 0; i < cut; ++i) {
      first.validated(values[i]);
      (void)before.step(values[i]);
    }
    second.load(first.state());
    after.load(before.state());
    bool stop = false;
    for (int i = cut; i < 9; ++i) {
      second.validated(values[i]);
      stop = after.step(values[i]);
    }
    INFO("cut before " << cut);
    CHECK(second.rate(0, 0) == Approx(0.2));  // 1, 0.5, 0.25, then the floor
    CHECK(stop);
    CHECK(after.best() == 2);  // 1.995 is not better by more than 0.01
    CHECK(after.bad() == 7);
  }
  Stopping never(0, 0);
  CHECK_FALSE(never.step(1));
  for (int i = 0; i < 100; ++i) CHECK_FALSE(never.step(2));
  CHECK(never.step(std::numeric_limits<double>::quiet_NaN()));
  CHECK_FALSE(never.better());
  tests::check_error(Code::checkpoint, {"state"}, [&] { never.load(core::Value::object()); });
  tests::check_error(Code::checkpoint, {"state"}, [&] { straight.load(core::Value::object()); });
}

}  // namespace mss::training
