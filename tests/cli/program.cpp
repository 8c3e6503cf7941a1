#include "tests/cli/program.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <regex>
#include <stdexcept>

#include "audio/file.h"
#include "core/file.h"

namespace mss::tests {

Result call(const Call& wanted) {
  const TempDir scratch;
  const fs::path out = scratch / "stdout", err = scratch / "stderr", home = scratch / "home";
  fs::create_directory(home);
  const std::string program = wanted.program.empty() ? MSSBENCH_PROGRAM : wanted.program;
  std::vector<std::string> words = {program};
  words.insert(words.end(), wanted.arguments.begin(), wanted.arguments.end());
  std::vector<std::string> settings = {"HOME=" + home.string(), "LC_ALL=C"};
  // Sanitizers take their options from here.
  for (const char* name : {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "LD_LIBRARY_PATH"}) {
    if (const char* value = std::getenv(name); value != nullptr) settings.push_back(std::string(name) + "=" + value);
  }
  for (const auto& [name, value] : wanted.environment) settings.push_back(name + "=" + value);
  std::vector<char*> argv, envp;
  for (std::string& word : words) argv.push_back(word.data());
  for (std::string& setting : settings) envp.push_back(setting.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  const std::string folder = wanted.folder.empty() ? home.string() : wanted.folder.string();
  const std::string out_name = wanted.standard_output.empty() ? out.string() : wanted.standard_output;

  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) {
    const int out_fd = open(out_name.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err_fd = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int in_fd = open("/dev/null", O_RDONLY);
    if (out_fd < 0 || err_fd < 0 || in_fd < 0 || chdir(folder.c_str()) != 0) _exit(125);
    dup2(in_fd, 0);
    dup2(out_fd, 1);
    dup2(err_fd, 2);
    if (wanted.in_child) wanted.in_child();
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  if (wanted.while_running) wanted.while_running(child);
  int status = 0;
  rusage usage = {};
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) throw std::runtime_error("cannot wait");
  }
  Result result;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.peak_rss_bytes = std::int64_t{1024} * usage.ru_maxrss;
  if (wanted.standard_output.empty()) result.out = core::read_text_file(out);
  result.err = core::read_text_file(err);
  return result;
}

std::vector<std::string> lines(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return out;
}

bool has_line(std::string_view text, const std::string& pattern) {
  const std::regex expression(pattern);
  for (const std::string& line : lines(text)) {
    if (std::regex_match(line, expression)) return true;
  }
  return false;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

audio::AudioBuffer tones(int kind, int channels, std::int64_t samples, int rate_hz) {
  audio::AudioBuffer audio(channels, samples, rate_hz);
  for (int c = 0; c < channels; ++c) {
    const double a = 0.013 * (1 + kind) + 0.001 * c, b = 0.071 / (1 + kind) + 0.002 * c;
    for (std::int64_t t = 0; t < samples; ++t) {
      const double x = 0.2 * std::sin(a * static_cast<double>(t)) + 0.1 * std::sin(b * static_cast<double>(t));
      audio.channel(c)[static_cast<std::size_t>(t)] = static_cast<float>(x);
    }
  }
  return audio;
}

std::string write_audio(const fs::path& path, const audio::AudioBuffer& audio) {
  fs::create_directories(path.parent_path());
  audio::write_file(path, audio);
  return path.string();
}

}  // namespace mss::tests
