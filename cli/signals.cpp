#include "cli/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "cli/exit_code.h"

namespace mss::cli {
namespace {

core::StopSource& stop_source() {
  static core::StopSource source;
  return source;
}
std::atomic<int> g_requests{0};

extern "C" void handle_stop_signal(int) {
  if (g_requests.fetch_add(1) > 0) _exit(kInterrupted);
  stop_source().request_stop();
  constexpr char kNote[] = "\nmssbench: stopping; what is finished is kept; press Ctrl-C again to end at once\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kNote, sizeof kNote - 1);
}

}  // namespace

void ignore_write_signals() {
  // A pipe whose reader has gone and a file-size limit are errors of the write, with a message and a status, not
  // deaths.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

core::StopToken install_signal_handlers() {
  core::StopToken token = stop_source().token();  // built before a handler can need it
  struct sigaction action = {};
  action.sa_handler = handle_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return token;
}

}  // namespace mss::cli
