#include "cli/console.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cli/failure.h"
#include "core/escape.h"

namespace mss::cli {
namespace {

// Where the program's own messages go. Descriptor 2, unless that was turned away from libraries that print to it.
int g_error_stream = STDERR_FILENO;

/// libmpg123 and others write notes of their own to descriptor 2, where a program that reads our JSON, or a user who
/// asked for silence, does not want them. The program's own messages keep the old descriptor.
void keep_libraries_quiet() {
  if (g_error_stream != STDERR_FILENO) return;
  const int own = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (own >= 0 && nowhere >= 0 && ::dup2(nowhere, STDERR_FILENO) >= 0) g_error_stream = own;
  if (nowhere >= 0) ::close(nowhere);
}

ProgressStyle choose(ProgressStyle style) {
  if (style != ProgressStyle::automatic) return style;
  return isatty(g_error_stream) ? ProgressStyle::bar : ProgressStyle::plain;
}

int stream_columns(int descriptor) {
  winsize size = {};
  if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 0;
}

[[noreturn]] void throw_output_error() {
  throw Failure(kFailed, Error({Code::io, "standard output", "cannot write", "", std::strerror(errno), ""}));
}

}  // namespace

Console::Console(int verbosity, ProgressStyle style) : verbosity_(verbosity) {
  const ProgressStyle chosen = verbosity < 0 && style == ProgressStyle::automatic ? ProgressStyle::none : choose(style);
  const auto write = [this](std::string_view text) {
    const std::lock_guard lock(mutex_);
    write_error_stream(core::escape_terminal(text));
  };
  // The bar's own bytes (a carriage return, the line) are made here, so only item names need cleaning.
  const auto write_bar = [this](std::string_view text) {
    const std::lock_guard lock(mutex_);
    const bool restart = text.starts_with('\r');
    const std::string body = core::escape_terminal(restart ? text.substr(1) : text);
    write_error_stream(restart ? "\r" + body : body);
    bar_open_ = !text.ends_with('\n');
  };
  if (verbosity < 0 || chosen == ProgressStyle::json) keep_libraries_quiet();
  switch (chosen) {
    case ProgressStyle::bar: {
      const int width = stream_columns(g_error_stream);
      progress_ = core::make_bar_progress(write_bar, width > 0 ? width : 80);
      break;
    }
    case ProgressStyle::json:
      progress_ = core::make_json_progress(write);
      break;
    case ProgressStyle::plain:
      progress_ = core::make_line_progress(write, 5.0);
      break;
    default:
      progress_ = core::make_line_progress([](std::string_view) {}, 3600);
  }
}

void Console::write_error_stream(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(g_error_stream, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nowhere to say it
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

void Console::result(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (bar_open_) {
    write_error_stream("\r\x1b[K");
    bar_open_ = false;
  }
  // A pipe gets paths and names as they are; a terminal would obey what stands in them.
  std::string shown;
  if (isatty(STDOUT_FILENO) != 0) text = shown = core::escape_terminal(text);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) throw_output_error();
}

void Console::flush() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw_output_error();
}

void Console::error(const Error& error) {
  const std::lock_guard lock(mutex_);
  std::fflush(stdout);
  write_error_stream((bar_open_ ? "\r\x1b[K" : "") + format_error(error));
  bar_open_ = false;
}

void Console::message(core::LogLevel level, std::string_view text) {
  const int needed = level == core::LogLevel::debug ? 1 : level == core::LogLevel::error ? -1 : 0;
  if (verbosity_ < needed) return;
  const char* tag = level == core::LogLevel::warning ? "warning: " : level == core::LogLevel::error ? "error: " : "";
  const std::lock_guard lock(mutex_);
  write_error_stream(fmt::format("{}mssbench: {}{}\n", bar_open_ ? "\r\x1b[K" : "", tag, core::escape_terminal(text)));
  bar_open_ = false;
}

core::LogFn Console::log() {
  return [this](core::LogLevel level, std::string_view text) { message(level, text); };
}

int Console::columns() {
  const int width = stream_columns(STDOUT_FILENO);
  return width > 0 ? std::clamp(width, 60, 200) : 100;
}

std::string format_error(const Error& error) {
  const ErrorParts& parts = error.parts();
  std::string text = "mssbench: error: ";
  if (!parts.where.empty()) text += parts.where + ": ";
  text += parts.what.empty() ? std::string(core::code_name(parts.code)) + " error" : parts.what;
  text += '\n';
  if (!parts.expected.empty()) text += "  expected: " + parts.expected + "\n";
  if (!parts.found.empty()) text += "  found: " + parts.found + "\n";
  if (!parts.hint.empty()) text += "  hint: " + parts.hint + "\n";
  return core::escape_terminal(text);
}

}  // namespace mss::cli
