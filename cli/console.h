// The only place of the program that writes to the terminal: results to standard output, messages and progress to
// standard error.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/progress.h"

namespace mss::cli {

enum class ProgressStyle { automatic, bar, plain, json, none };

class Console {
 public:
  /// verbosity: -1 errors only, 0 warnings and information, 1 details.
  Console(int verbosity, ProgressStyle style);

  /// Writes a result. Throws Failure (status 1) when standard output takes no more.
  void result(std::string_view text);
  /// Throws Failure (status 1) when something written could not be delivered.
  void flush();

  void error(const Error& error);
  void message(core::LogLevel level, std::string_view text);
  core::LogFn log();
  core::Progress& progress() { return *progress_; }
  bool quiet() const noexcept { return verbosity_ < 0; }
  bool verbose() const noexcept { return verbosity_ > 0; }
  /// Columns of the terminal on standard output; 100 where there is none.
  static int columns();

 private:
  void write_error_stream(std::string_view text);  // the lock is held

  int verbosity_;
  std::mutex mutex_;
  bool bar_open_ = false;
  std::unique_ptr<core::Progress> progress_;
};

/// "mssbench: error: WHERE: WHAT", then one line each for what was expected, what was found, and the hint.
std::string format_error(const Error& error);

}  // namespace mss::cli
