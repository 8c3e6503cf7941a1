#include <chrono>
#include <map>
#include <thread>

#include "core/error.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "training/augment.h"
#include "training/examples.h"

namespace mss::training {
namespace {

/// Examples that say which they are, some of them slow to make.
class NumberedSource final : public ExampleSource {
 public:
  explicit NumberedSource(std::int64_t length, std::int64_t broken = -1) : broken_(broken) {
    stems_ = {"a", "b"};
    channels_ = 1;
    rate_hz_ = 100;
    length_ = length;
  }
  std::int64_t samples(std::int64_t) const override { return 3; }
  void make(std::int64_t epoch, std::int64_t index, ExampleSpan out, core::Value*) const override {
    if (index == broken_) throw Error(Code::numeric, "example " + std::to_string(index), "is broken");
    core::Rng rng = draws(1, epoch, index, Choice::order);
    if (rng.uniform() < 0.3) std::this_thread::sleep_for(std::chrono::microseconds(rng.below(800)));
    for (int i = 0; i < 6; ++i) out.stems[i] = static_cast<float>(epoch * 10000 + index * 10 + i);
    for (int i = 0; i < 3; ++i) out.mixture[i] = out.stems[i] + out.stems[3 + i];
  }
  core::Value provenance() const override { return core::Value::object(); }

 private:
  std::int64_t broken_;
};

/// Examples that no memory holds, and one whose length cannot be told.
class HostileSource final : public ExampleSource {
 public:
  HostileSource() {
    stems_ = {"a", "b"};
    channels_ = 2;
    rate_hz_ = 100;
    length_ = 1'000'000'000'000;
  }
  std::int64_t samples(std::int64_t index) const override {
    if (index > 0) throw Error(Code::numeric, "example " + std::to_string(index), "has no length");
    return 1'000'000'000'000;
  }
  void make(std::int64_t, std::int64_t, ExampleSpan, core::Value*) const override { FAIL("made"); }
  core::Value provenance() const override { return core::Value::object(); }
};

std::vector<Batch> take(std::int64_t length, LoaderSettings settings, int count, bool recycle) {
  Loader loader(std::make_shared<NumberedSource>(length), settings);
  std::vector<Batch> out;
  for (int i = 0; i < count; ++i) {
    std::optional<Batch> batch = loader.next();
    if (!batch) break;
    out.push_back(*batch);
    if (recycle) loader.recycle(std::move(*batch));
  }
  return out;
}

}  // namespace

TEST_CASE("any number of workers gives the same batches in the same order", "[training]") {
  const std::vector<Batch> one = take(23, {.batch = 4, .workers = 1, .queue = 1}, 14, false);
  REQUIRE(one.size() == 14);
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(one[i].epoch == static_cast<std::int64_t>(i / 5));
    CHECK(one[i].number == static_cast<std::int64_t>(i % 5));
    CHECK(one[i].count == 4);
    for (std::int64_t item = 0; item < 4; ++item) {
      const float first = static_cast<float>(one[i].epoch * 10000 + (one[i].first + item) * 10);
      CHECK(one[i].stems[static_cast<std::size_t>(item * 6)] == first);
      CHECK(one[i].mixture[static_cast<std::size_t>(item * 3 + 2)] == 2 * first + 7);
    }
  }
  for (const int workers : {2, 5}) {
    for (const int queue : {1, 3, 8}) {
      const std::vector<Batch> many = take(23, {.batch = 4, .workers = workers, .queue = queue}, 14, queue == 3);
      REQUIRE(many.size() == one.size());
      for (std::size_t i = 0; i < one.size(); ++i) {
        CHECK(many[i].stems == one[i].stems);
        CHECK(many[i].mixture == one[i].mixture);
      }
    }
  }
}

TEST_CASE("a loader starts at any batch, ends where it is told, and keeps a last batch on request", "[training]") {
  const std::vector<Batch> all = take(10, {.batch = 3, .workers = 2, .epochs = 3}, 100, false);
  CHECK(all.size() == 9);
  const std::vector<Batch> later =
      take(10, {.batch = 3, .workers = 3, .epoch = 1, .number = 2, .epochs = 2}, 100, true);
  REQUIRE(later.size() == 4);
  for (std::size_t i = 0; i < later.size(); ++i) CHECK(later[i].stems == all[i + 5].stems);
  const std::vector<Batch> whole = take(10, {.batch = 3, .workers = 2, .keep_last = true, .epochs = 1}, 100, false);
  REQUIRE(whole.size() == 4);
  CHECK(whole.back().count == 1);
  CHECK(whole.back().stems.size() == 6);
  CHECK(Loader::batches_per_epoch(10, 3, true) == 4);
  CHECK(Loader::batches_per_epoch(10, 3, false) == 3);
}

TEST_CASE("a broken example, a stop and bad settings are errors, and threads always end", "[training]") {
  {
    Loader loader(std::make_shared<NumberedSource>(12, 7), {.batch = 3, .workers = 3});
    CHECK(loader.next()->number == 0);
    CHECK(loader.next()->number == 1);
    tests::check_error(Code::numeric, {"example 7"}, [&] { (void)loader.next(); });
    CHECK(loader.next()->number == 3);
  }
  core::StopSource stop;
  Loader loader(std::make_shared<NumberedSource>(1000), {.batch = 2, .workers = 2}, stop.token());
  (void)loader.next();
  stop.request_stop();
  tests::check_error(Code::cancelled, {}, [&] {
    for (int i = 0; i < 100; ++i) (void)loader.next();
  });
  const auto make = [](LoaderSettings settings) { Loader bad(std::make_shared<NumberedSource>(4), settings); };
  tests::check_error(Code::invalid_argument, {"no whole batch", "5"}, [&] { make({.batch = 5}); });
  tests::check_error(Code::invalid_argument, {"workers"}, [&] { make({.batch = 1, .workers = 0}); });
}

TEST_CASE("what goes wrong before the first example of a batch is made is the reader's error", "[training]") {
  Loader endless(std::make_shared<HostileSource>(), {.batch = 1'000'000'000'000, .workers = 2, .queue = 1});
  tests::check_error(Code::resource, {"out of memory", "data.batch"}, [&] { (void)endless.next(); });
  Loader large(std::make_shared<HostileSource>(), {.batch = 1, .workers = 2, .queue = 2});
  tests::check_error(Code::resource, {"out of memory"}, [&] { (void)large.next(); });
  tests::check_error(Code::numeric, {"example 1", "has no length"}, [&] { (void)large.next(); });
}

TEST_CASE("waits are measured and used memory comes back", "[training]") {
  Loader loader(std::make_shared<NumberedSource>(8), {.batch = 4, .workers = 2, .queue = 2});
  std::optional<Batch> batch = loader.next();
  const float* memory = batch->stems.data();
  bool again = false;
  for (int i = 0; i < 20 && !again; ++i) {
    loader.recycle(std::move(*batch));
    batch = loader.next();
    again = batch->stems.data() == memory;
  }
  CHECK(again);
  CHECK(loader.waits().batches >= 2);
  CHECK(loader.waits().waited_s >= 0);
  CHECK(loader.waits().worker_busy_s > 0);
}

}  // namespace mss::training
