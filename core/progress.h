// Progress and log sinks. Libraries report through these and never print. All sinks are thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace mss::core {

class Progress {
 public:
  virtual ~Progress() = default;
  /// A task of `total` steps begins (0 = unknown). Tasks do not nest.
  virtual void begin(std::string_view task, std::int64_t total) = 0;
  /// `done` steps of the task are finished; `item` names the latest ("track 'X': nmf"). A smaller number than before
  /// changes nothing: progress never steps back.
  virtual void update(std::int64_t done, std::string_view item) = 0;
  /// About how many seconds are left from now on, from whoever knows better than done / total: steps of different cost.
  virtual void expect(double remaining_s) { (void)remaining_s; }
  virtual void end() = 0;
};

/// One task, ended also where an exception leaves it.
class ProgressTask {
 public:
  ProgressTask(Progress& progress, std::string_view task, std::int64_t total) : progress_(progress) {
    progress_.begin(task, total);
  }
  ~ProgressTask() { progress_.end(); }
  ProgressTask(const ProgressTask&) = delete;
  ProgressTask& operator=(const ProgressTask&) = delete;
  void update(std::int64_t done, std::string_view item) { progress_.update(done, item); }

 private:
  Progress& progress_;
};

/// Swallows everything.
Progress& null_progress() noexcept;
/// A bar with clock and ETA, redrawn at most ten times a second and at least every half a second, whether anything
/// happens or not; for terminals. Narrow ones lose the bar first, then part of the names. `write` gets the bytes to emit,
/// also from a thread of the bar's own.
std::unique_ptr<Progress> make_bar_progress(std::function<void(std::string_view)> write, int columns);
/// One plain line per update, at most one per `min_interval_s` (the first and last always), and one in every half a minute
/// in which nothing happens; for log files. `write` is called from a thread of its own as well.
std::unique_ptr<Progress> make_line_progress(std::function<void(std::string_view)> write, double min_interval_s);
/// {"event":"begin|update|end","task":…,"done":…,"total":…,"item":…,"remaining_s":…,"elapsed_s":…} per line; for programs.
std::unique_ptr<Progress> make_json_progress(std::function<void(std::string_view)> write);

enum class LogLevel { debug, info, warning, error };

/// A message sink. An empty function swallows everything.
using LogFn = std::function<void(LogLevel, std::string_view message)>;

inline void log(const LogFn& sink, LogLevel level, std::string_view message) {
  if (sink) sink(level, message);
}

}  // namespace mss::core
