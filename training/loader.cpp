#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "training/examples.h"

namespace mss::training {
namespace {

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

struct Loader::State {
  std::shared_ptr<const ExampleSource> source;
  LoaderSettings settings;
  core::StopToken stop;
  std::int64_t per_epoch = 0;

  struct Slot {
    Batch batch;
    std::int64_t left = 0;     ///< examples that are not ready yet
    std::int64_t handed = 0;   ///< examples that workers have taken
    std::exception_ptr error;  ///< of the first example that failed
    std::int64_t error_item = 0;
  };

  std::mutex mutex;
  std::condition_variable work, ready;
  // Batches being made, oldest first. A deque keeps its elements in place while others come and go at its ends.
  std::deque<Slot> slots;
  std::vector<Batch> spare;
  std::int64_t epoch = 0, number = 0;  ///< of the batch that is begun next
  bool finished = false;               ///< no batch is begun any more
  bool quit = false;
  LoaderWaits waits;
  std::vector<std::thread> threads;

  /// Begins the next batch; the lock is held. False where there is none, or no room for it.
  bool begin_batch() {
    if (finished || static_cast<int>(slots.size()) >= settings.queue) return false;
    if (settings.epochs > 0 && epoch >= settings.epoch + settings.epochs) {
      finished = true;
      return false;
    }
    Slot slot;
    if (!spare.empty()) {
      slot.batch = std::move(spare.back());
      spare.pop_back();
    }
    Batch& b = slot.batch;
    b.epoch = epoch;
    b.number = number;
    b.first = number * settings.batch;
    b.count = std::min(settings.batch, source->length() - b.first);
    b.sources = source->sources();
    b.channels = source->channels();
    // Whatever goes wrong here is the reader's error: it must not leave the worker's thread.
    try {
      b.samples = source->samples(b.first);
      // Products of a recipe's numbers may overflow; so much memory no machine has.
      constexpr double kMostFloats = static_cast<double>(std::int64_t{1} << 44);
      const double floats = static_cast<double>(b.count) * static_cast<double>(b.channels) *
                            static_cast<double>(b.samples) * static_cast<double>(b.sources + 1);
      if (!(floats <= kMostFloats)) throw std::bad_alloc();
      const auto mixture = static_cast<std::size_t>(b.count * b.channels * b.samples);
      b.mixture.resize(mixture);
      b.stems.resize(mixture * static_cast<std::size_t>(b.sources));
      if (!source->unlabelled().empty()) {
        b.unlabelled.resize(mixture);
        b.draws.resize(static_cast<std::size_t>(b.count));
      }
      for (std::int64_t i = 1; i < b.count; ++i) {
        if (source->samples(b.first + i) != b.samples) {
          throw Error({Code::invalid_argument, "training batch", "examples of different lengths in one batch",
                       "batches of one", std::to_string(b.count) + " examples", ""});
        }
      }
    } catch (const std::bad_alloc&) {
      slot.error = std::make_exception_ptr(Error({Code::resource, "training batch", "out of memory", "", "",
                                                  "lower data.batch, data.queue_batches or data.crop_seconds"}));
    } catch (...) {
      slot.error = std::current_exception();
    }
    slot.left = slot.error ? 0 : b.count;
    slot.handed = slot.error ? b.count : 0;
    const bool failed = static_cast<bool>(slot.error);
    slots.push_back(std::move(slot));
    if (++number == per_epoch) {
      number = 0;
      ++epoch;
    }
    if (failed) ready.notify_all();
    return true;
  }

  /// The next example to make; the lock is held.
  Slot* take(std::int64_t& item) {
    for (Slot& slot : slots) {
      if (slot.handed < slot.batch.count) {
        item = slot.handed++;
        return &slot;
      }
    }
    return nullptr;
  }

  void worker() {
    const core::StopScope scope(stop);
    std::unique_lock lock(mutex);
    while (!quit) {
      std::int64_t item = 0;
      Slot* slot = take(item);
      if (slot == nullptr) {
        if (begin_batch()) {
          work.notify_all();
          continue;
        }
        work.wait(lock);
        continue;
      }
      Batch& b = slot->batch;
      const bool skip = static_cast<bool>(slot->error);  // the batch is lost already
      lock.unlock();
      std::exception_ptr error;
      const double start = now_s();
      if (!skip) {
        try {
          stop.check();
          const std::int64_t plane = b.channels * b.samples;
          ExampleSpan out{b.stems.data() + item * b.sources * plane, b.mixture.data() + item * plane};
          if (!b.draws.empty()) {
            out.unlabelled = b.unlabelled.data() + item * plane;
            out.draw = &b.draws[static_cast<std::size_t>(item)];
          }
          source->make(b.epoch, b.first + item, out);
        } catch (...) {
          error = std::current_exception();
        }
      }
      const double busy = now_s() - start;
      lock.lock();
      waits.worker_busy_s += busy;
      if (error && (!slot->error || item < slot->error_item)) {
        slot->error = error;
        slot->error_item = item;
      }
      if (--slot->left == 0) ready.notify_all();
    }
  }

  void end() {
    {
      const std::scoped_lock lock(mutex);
      quit = true;
    }
    work.notify_all();
    ready.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }
};

std::int64_t Loader::batches_per_epoch(std::int64_t examples, std::int64_t batch, bool keep_last) noexcept {
  return keep_last ? (examples + batch - 1) / batch : examples / batch;
}

Loader::Loader(std::shared_ptr<const ExampleSource> source, const LoaderSettings& settings, core::StopToken stop)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  const bool fine = source && settings.batch >= 1 && settings.workers >= 1 && settings.queue >= 1 &&
                    settings.epoch >= 0 && settings.number >= 0 && settings.epochs >= 0;
  if (!fine) {
    throw Error(Code::invalid_argument, "training loader",
                "batch, workers and queue must be at least 1, epoch and number at least 0");
  }
  s.source = std::move(source);
  s.settings = settings;
  s.stop = std::move(stop);
  s.per_epoch = batches_per_epoch(s.source->length(), settings.batch, settings.keep_last);
  if (s.per_epoch < 1) {
    throw Error({Code::invalid_argument, "training loader", "an epoch has no whole batch",
                 "at least " + std::to_string(settings.batch) + " examples", std::to_string(s.source->length()),
                 "lower data.batch or raise data.examples_per_epoch"});
  }
  s.epoch = settings.epoch + settings.number / s.per_epoch;
  s.number = settings.number % s.per_epoch;
  try {
    for (int i = 0; i < settings.workers; ++i) s.threads.emplace_back([&s] { s.worker(); });
  } catch (const std::system_error& error) {
    s.end();
    throw Error({Code::resource, "training loader", std::string("the system gives no more threads: ") + error.what(),
                 std::to_string(settings.workers) + " threads", "", "lower data.workers"});
  }
}

Loader::~Loader() { state_->end(); }

std::int64_t Loader::batches_per_epoch() const noexcept { return state_->per_epoch; }

std::optional<Batch> Loader::next() {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  const double start = now_s();
  while (true) {
    s.stop.check();
    if (!s.slots.empty() && s.slots.front().left == 0) break;
    if (s.slots.empty() && s.finished) return std::nullopt;
    // A stop request notifies nobody.
    s.ready.wait_for(lock, std::chrono::milliseconds(100));
  }
  s.waits.waited_s += now_s() - start;
  State::Slot slot = std::move(s.slots.front());
  s.slots.pop_front();
  s.work.notify_all();
  if (slot.error) std::rethrow_exception(slot.error);
  ++s.waits.batches;
  return std::move(slot.batch);
}

void Loader::recycle(Batch&& batch) {
  const std::scoped_lock lock(state_->mutex);
  // As many as can be in use at once; more would only be kept.
  if (static_cast<int>(state_->spare.size()) <= state_->settings.queue) state_->spare.push_back(std::move(batch));
}

LoaderWaits Loader::waits() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->waits;
}

}  // namespace mss::training
