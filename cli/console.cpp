#include "cli/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cli/failure.h"

namespace mss::cli {
namespace {

ProgressStyle choose(ProgressStyle style) {
  if (style != ProgressStyle::automatic) return style;
  return isatty(STDERR_FILENO) ? ProgressStyle::bar : ProgressStyle::plain;
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
    write_error_stream(printable(text));
  };
  // The bar's own bytes (a carriage return, the line) are made here, so only item names need cleaning.
  const auto write_bar = [this](std::string_view text) {
    const std::lock_guard lock(mutex_);
    const bool restart = text.starts_with('\r');
    const std::string body = printable(restart ? text.substr(1) : text);
    write_error_stream(restart ? "\r" + body : body);
    bar_open_ = !text.ends_with('\n');
  };
  switch (chosen) {
    case ProgressStyle::bar: {
      const int width = stream_columns(STDERR_FILENO);
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
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void Console::result(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (bar_open_) {
    write_error_stream("\r\x1b[K");
    bar_open_ = false;
  }
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
  write_error_stream(fmt::format("{}mssbench: {}{}\n", bar_open_ ? "\r\x1b[K" : "", tag, printable(text)));
  bar_open_ = false;
}

core::LogFn Console::log() {
  return [this](core::LogLevel level, std::string_view text) { message(level, text); };
}

int Console::columns() {
  const int width = stream_columns(STDOUT_FILENO);
  return width > 0 ? std::clamp(width, 60, 200) : 100;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
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
  return printable(text);
}

}  // namespace mss::cli
