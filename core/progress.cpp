#include "core/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "core/json.h"
#include "core/text.h"

namespace mss::core {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// "0:07", "12:34", "1:02:03".
std::string clock_text(double seconds) {
  const auto s = static_cast<long long>(std::llround(std::max(0.0, seconds)));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

/// The front of UTF-8 text, at most `columns` code points.
std::string fit(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  std::string out;
  std::size_t used = 0;
  for (const char c : text) {
    const bool starts = (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
    if (starts && used + 1 >= columns) break;
    used += starts ? 1 : 0;
    out += c;
  }
  return out + "~";
}

class NullProgress final : public Progress {
 public:
  void begin(std::string_view, std::int64_t) override {}
  void update(std::int64_t, std::string_view) override {}
  void end() override {}
};

/// Calls a function at a steady pace, from a thread of its own, until it goes.
class Ticker {
 public:
  Ticker(double interval_s, std::function<void()> tick) {
    thread_ = std::thread([this, interval_s, tick = std::move(tick)] {
      std::unique_lock lock(mutex_);
      while (!stop_.wait_for(lock, std::chrono::duration<double>(interval_s), [this] { return stopped_; })) {
        lock.unlock();
        tick();
        lock.lock();
      }
    });
  }
  ~Ticker() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    stop_.notify_all();
    thread_.join();
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopped_ = false;
  std::thread thread_;
};

/// A ticker, or none where the machine has no thread left: progress is no reason to fail.
std::unique_ptr<Ticker> start_ticker(double interval_s, std::function<void()> tick) {
  try {
    return std::make_unique<Ticker>(interval_s, std::move(tick));
  } catch (const std::system_error&) {
    return nullptr;
  }
}

/// How far a task is, by its steps, or by time where somebody has said how long the rest takes.
class Course {
 public:
  void begin(std::string_view task, std::int64_t total) {
    task_ = task;
    total_ = total;
    done_ = 0;
    item_.clear();
    start_ = Clock::now();
    expected_end_.reset();
    share_ = 0;
  }
  void update(std::int64_t done, std::string_view item) {
    done_ = std::max(done_, done);  // workers report in any order
    item_ = item;
  }
  void expect(double remaining_s) { expected_end_ = elapsed() + std::max(0.0, remaining_s); }

  const std::string& task() const { return task_; }
  const std::string& item() const { return item_; }
  std::int64_t done() const { return done_; }
  std::int64_t total() const { return total_; }
  double elapsed() const { return seconds_since(start_); }
  /// Never falls.
  double share() {
    const bool ended = total_ > 0 && done_ >= total_;
    double now = total_ > 0 ? std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0) : 0.0;
    if (expected_end_ && !ended)
      now = elapsed() / std::max(1e-9, elapsed() + std::max(1.0, *expected_end_ - elapsed()));
    return share_ = ended ? 1.0 : std::max(share_, std::min(now, 0.99));
  }
  std::optional<double> remaining() const {
    if (total_ > 0 && done_ >= total_) return std::nullopt;
    if (expected_end_) return std::max(1.0, *expected_end_ - elapsed());
    if (total_ <= 0 || done_ <= 0) return std::nullopt;
    return elapsed() * static_cast<double>(total_ - done_) / static_cast<double>(done_);
  }

 private:
  std::string task_, item_;
  std::int64_t total_ = 0, done_ = 0;
  Clock::time_point start_;
  std::optional<double> expected_end_;  ///< on the clock of elapsed()
  double share_ = 0;
};

class BarProgress final : public Progress {
 public:
  BarProgress(std::function<void(std::string_view)> write, int columns)
      : write_(std::move(write)), columns_(static_cast<std::size_t>(std::clamp(columns, 20, 200))) {}

  void begin(std::string_view task, std::int64_t total) override {
    ticker_.reset();
    {
      const std::lock_guard lock(mutex_);
      course_.begin(task, total);
      drawn_at_ = -1;
      draw(true);
    }
    ticker_ = start_ticker(0.5, [this] {
      const std::lock_guard lock(mutex_);
      draw(false);
    });
  }
  void update(std::int64_t done, std::string_view item) override {
    const std::lock_guard lock(mutex_);
    course_.update(done, item);
    draw(false);
  }
  void expect(double remaining_s) override {
    const std::lock_guard lock(mutex_);
    course_.expect(remaining_s);
  }
  void end() override {
    ticker_.reset();
    const std::lock_guard lock(mutex_);
    draw(true);
    write_("\n");
  }

 private:
  void draw(bool force) {
    const double elapsed = course_.elapsed();
    if (!force && elapsed - drawn_at_ < 0.1) return;
    drawn_at_ = elapsed;
    const std::string line = progress_line(elapsed);
    const std::size_t width = display_width(line);
    const std::string blanks(width < last_width_ ? last_width_ - width : 0, ' ');
    last_width_ = width;
    write_("\r" + line + blanks);
  }

  /// Share, clock and ETA always; then the item, the task, and the bar as far as there is room.
  std::string progress_line(double elapsed) {
    const bool known = course_.total() > 0;
    std::string facts = known ? fmt::format("{:3.0f}% {}", std::floor(100 * course_.share()), clock_text(elapsed))
                              : fmt::format("{} {}", course_.done(), clock_text(elapsed));
    if (const auto left = course_.remaining()) facts += " ETA " + clock_text(*left);
    const std::size_t room = columns_ - 1 - std::min(columns_ - 1, display_width(facts));
    const std::string &task = course_.task(), &item = course_.item();
    const std::size_t item_least = item.empty() ? 0 : std::min<std::size_t>(display_width(item), 20) + 2;
    const std::size_t task_least = std::min<std::size_t>(display_width(task), 12) + 1;
    std::size_t bar = 0;
    if (known && room > item_least + task_least + 3) {
      constexpr std::size_t kWidest = 24, kNarrowest = 6;
      bar = std::min(kWidest, room - item_least - task_least - 3);
      if (bar < kNarrowest) bar = 0;
    }
    std::string line;
    const std::size_t bar_room = bar > 0 ? bar + 3 : 0;
    if (room >= item_least + bar_room + 4) line = fit(task, room - item_least - bar_room - 1) + " ";
    if (bar > 0) {
      const auto full = static_cast<std::size_t>(course_.share() * static_cast<double>(bar));
      line += "[" + std::string(full, '#') + std::string(bar - full, '.') + "] ";
    }
    line += facts;
    const std::size_t used = display_width(line) + 2;
    if (!item.empty() && used + 4 < columns_) line += "  " + fit(item, columns_ - 1 - used);
    return fit(line, columns_ - 1);
  }

  std::function<void(std::string_view)> write_;
  std::size_t columns_, last_width_ = 0;
  std::mutex mutex_;
  Course course_;
  double drawn_at_ = -1;
  std::unique_ptr<Ticker> ticker_;
};

class LineProgress final : public Progress {
 public:
  LineProgress(std::function<void(std::string_view)> write, double min_interval_s)
      : write_(std::move(write)), min_interval_s_(min_interval_s) {}

  void begin(std::string_view task, std::int64_t total) override {
    ticker_.reset();
    {
      const std::lock_guard lock(mutex_);
      course_.begin(task, total);
      written_at_ = -min_interval_s_;
      pending_ = false;
    }
    const double quiet_s = std::max(kQuietSeconds, min_interval_s_);
    ticker_ = start_ticker(quiet_s / 6, [this, quiet_s] {
      const std::lock_guard lock(mutex_);
      const double elapsed = course_.elapsed();
      if (elapsed - std::max(0.0, written_at_) >= quiet_s) line(elapsed);
    });
  }
  void update(std::int64_t done, std::string_view item) override {
    const std::lock_guard lock(mutex_);
    course_.update(done, item);
    const double elapsed = course_.elapsed();
    if (elapsed - written_at_ < min_interval_s_) {
      pending_ = true;
      return;
    }
    line(elapsed);
  }
  void expect(double remaining_s) override {
    const std::lock_guard lock(mutex_);
    course_.expect(remaining_s);
  }
  void end() override {
    ticker_.reset();
    const std::lock_guard lock(mutex_);
    if (pending_) line(course_.elapsed());
  }

 private:
  static constexpr double kQuietSeconds = 30;

  void line(double elapsed) {
    written_at_ = elapsed;
    pending_ = false;
    const std::string count =
        course_.total() > 0 ? fmt::format("{}/{}", course_.done(), course_.total()) : std::to_string(course_.done());
    const auto left = course_.remaining();
    const std::string eta = left && elapsed >= min_interval_s_ ? ", ETA " + clock_text(*left) : "";
    write_(fmt::format("{} {} ({}{}) {}\n", course_.task(), count, clock_text(elapsed), eta, course_.item()));
  }

  std::function<void(std::string_view)> write_;
  double min_interval_s_, written_at_ = 0;
  std::mutex mutex_;
  Course course_;
  bool pending_ = false;
  std::unique_ptr<Ticker> ticker_;
};

class JsonProgress final : public Progress {
 public:
  explicit JsonProgress(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

  void begin(std::string_view task, std::int64_t total) override {
    const std::lock_guard lock(mutex_);
    task_ = task;
    total_ = total;
    done_ = 0;
    start_ = Clock::now();
    expected_end_.reset();
    emit("begin", "");
  }
  void update(std::int64_t done, std::string_view item) override {
    const std::lock_guard lock(mutex_);
    done_ = std::max(done_, done);  // workers report in any order
    emit("update", item);
  }
  void expect(double remaining_s) override {
    const std::lock_guard lock(mutex_);
    expected_end_ = seconds_since(start_) + std::max(0.0, remaining_s);
  }
  void end() override {
    const std::lock_guard lock(mutex_);
    expected_end_.reset();
    emit("end", "");
  }

 private:
  void emit(const char* event, std::string_view item) {
    Value v = Value::object();
    v["event"] = event;
    v["task"] = task_;
    v["done"] = done_;
    v["total"] = total_;
    if (!item.empty()) v["item"] = item;
    const double elapsed = seconds_since(start_);
    if (expected_end_) v["remaining_s"] = std::round(10 * std::max(0.0, *expected_end_ - elapsed)) / 10;
    v["elapsed_s"] = std::round(1000 * elapsed) / 1000;
    write_(dump_json(v) + "\n");
  }

  std::function<void(std::string_view)> write_;
  std::mutex mutex_;
  std::string task_;
  std::int64_t total_ = 0, done_ = 0;
  Clock::time_point start_;
  std::optional<double> expected_end_;
};

}  // namespace

Progress& null_progress() noexcept {
  static NullProgress progress;
  return progress;
}

std::unique_ptr<Progress> make_bar_progress(std::function<void(std::string_view)> write, int columns) {
  return std::make_unique<BarProgress>(std::move(write), columns);
}

std::unique_ptr<Progress> make_line_progress(std::function<void(std::string_view)> write, double min_interval_s) {
  return std::make_unique<LineProgress>(std::move(write), min_interval_s);
}

std::unique_ptr<Progress> make_json_progress(std::function<void(std::string_view)> write) {
  return std::make_unique<JsonProgress>(std::move(write));
}

}  // namespace mss::core
