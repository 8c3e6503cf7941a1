#include "core/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>

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

class BarProgress final : public Progress {
 public:
  BarProgress(std::function<void(std::string_view)> write, int columns)
      : write_(std::move(write)), columns_(static_cast<std::size_t>(std::clamp(columns, 40, 200))) {}

  void begin(std::string_view task, std::int64_t total) override {
    const std::lock_guard lock(mutex_);
    task_ = task;
    total_ = total;
    done_ = 0;
    item_.clear();
    start_ = Clock::now();
    drawn_at_ = -1;
    draw(true);
  }
  void update(std::int64_t done, std::string_view item) override {
    const std::lock_guard lock(mutex_);
    done_ = std::max(done_, done);  // workers report in any order
    item_ = item;
    draw(false);
  }
  void end() override {
    const std::lock_guard lock(mutex_);
    draw(true);
    write_("\n");
  }

 private:
  void draw(bool force) {
    const double elapsed = seconds_since(start_);
    if (!force && elapsed - drawn_at_ < 0.1) return;
    drawn_at_ = elapsed;
    std::string head = task_ + " ";
    if (total_ > 0) {
      constexpr std::size_t width = 24;
      const double share = std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
      const auto full = static_cast<std::size_t>(share * width);
      head += "[" + std::string(full, '#') + std::string(width - full, '.') + "]";
      head += fmt::format(" {:3.0f}% {}", 100 * share, clock_text(elapsed));
      if (done_ > 0 && done_ < total_) head += " ETA " + clock_text(elapsed * (1 - share) / share);
    } else {
      head += fmt::format("{} {}", done_, clock_text(elapsed));
    }
    std::string line = fit(item_.empty() ? head : head + "  " + item_, columns_ - 1);
    const std::size_t width = display_width(line);
    if (width < last_width_) line.append(last_width_ - width, ' ');
    last_width_ = width;
    write_("\r" + line);
  }

  std::function<void(std::string_view)> write_;
  std::size_t columns_, last_width_ = 0;
  std::mutex mutex_;
  std::string task_, item_;
  std::int64_t total_ = 0, done_ = 0;
  Clock::time_point start_;
  double drawn_at_ = -1;
};

class LineProgress final : public Progress {
 public:
  LineProgress(std::function<void(std::string_view)> write, double min_interval_s)
      : write_(std::move(write)), min_interval_s_(min_interval_s) {}

  void begin(std::string_view task, std::int64_t total) override {
    const std::lock_guard lock(mutex_);
    task_ = task;
    total_ = total;
    done_ = 0;
    start_ = Clock::now();
    written_at_ = -min_interval_s_;
    pending_ = false;
  }
  void update(std::int64_t done, std::string_view item) override {
    const std::lock_guard lock(mutex_);
    done_ = std::max(done_, done);  // workers report in any order
    item_ = item;
    const double elapsed = seconds_since(start_);
    if (elapsed - written_at_ < min_interval_s_) {
      pending_ = true;
      return;
    }
    line(elapsed);
  }
  void end() override {
    const std::lock_guard lock(mutex_);
    if (pending_) line(seconds_since(start_));
  }

 private:
  void line(double elapsed) {
    written_at_ = elapsed;
    pending_ = false;
    const std::string count = total_ > 0 ? fmt::format("{}/{}", done_, total_) : std::to_string(done_);
    write_(fmt::format("{} {} ({}) {}\n", task_, count, clock_text(elapsed), item_));
  }

  std::function<void(std::string_view)> write_;
  double min_interval_s_, written_at_ = 0;
  std::mutex mutex_;
  std::string task_, item_;
  std::int64_t total_ = 0, done_ = 0;
  bool pending_ = false;
  Clock::time_point start_;
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
    emit("begin", "");
  }
  void update(std::int64_t done, std::string_view item) override {
    const std::lock_guard lock(mutex_);
    done_ = std::max(done_, done);  // workers report in any order
    emit("update", item);
  }
  void end() override {
    const std::lock_guard lock(mutex_);
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
    v["elapsed_s"] = std::round(1000 * seconds_since(start_)) / 1000;
    write_(dump_json(v) + "\n");
  }

  std::function<void(std::string_view)> write_;
  std::mutex mutex_;
  std::string task_;
  std::int64_t total_ = 0, done_ = 0;
  Clock::time_point start_;
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
