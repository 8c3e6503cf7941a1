// The bash completion, sourced and called as bash would.
#include <algorithm>
#include <fstream>

#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

namespace {

/// The words as bash splits them (`:` and `=` are words of their own), the last one being completed.
std::vector<std::string> complete(const fs::path& folder, const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) {
    list += " '";
    for (const char c : word) list += c == '\'' ? std::string("'\\''") : std::string(1, c);
    list += "'";
  }
  const std::string script = "source script.bash; COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:'; COMP_WORDS=(" + list +
                             "); COMP_CWORD=" + std::to_string(words.size() - 1) +
                             "; _mssbench; printf '%s\\n' \"${COMPREPLY[@]}\"";
  const Result result = call({.arguments = {"--norc", "-c", script}, .folder = folder, .program = "/bin/bash"});
  CHECK(result.status == 0);
  CHECK(result.err.empty());
  std::vector<std::string> out = lines(result.out);
  std::erase(out, "");
  std::sort(out.begin(), out.end());
  return out;
}

bool has(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

TEST_CASE("bash completion offers commands, options, values, methods, data sets and files", "[cli]") {
  if (!fs::exists("/bin/bash")) {
    WARN("SKIPPED: no bash here");
    return;
  }
  const TempDir folder;
  const Result script = mssbench({"completion", "bash"});
  REQUIRE(script.status == 0);
  std::ofstream(folder / "script.bash") << script.out;
  std::ofstream(folder / "song one.wav") << "x";
  std::ofstream(folder / "song two.wav") << "x";
  fs::create_directory(folder / "songs");
  const auto offered = [&](const std::vector<std::string>& words) { return complete(folder.path(), words); };
  using Words = std::vector<std::string>;

  CHECK(offered({"mssbench", "re"}) == Words{"report"});
  const Words commands = offered({"mssbench", ""});
  for (const char* name : {"separate", "run", "evaluate", "demo", "config", "man"}) CHECK(has(commands, name));
  CHECK(has(offered({"mssbench", "--thr"}), "--threads"));
  CHECK(offered({"mssbench", "--threads", "2", "ev"}) == Words{"evaluate"});
  CHECK(offered({"mssbench", "help", "da"}) == Words{"datasets"});

  CHECK(offered({"mssbench", "separate", "--for"}) == Words{"--format"});
  CHECK(offered({"mssbench", "separate", "--format", "pcm"}) == Words{"pcm16", "pcm24"});
  CHECK(offered({"mssbench", "separate", "--format", "=", "pcm1"}) == Words{"pcm16"});
  CHECK(offered({"mssbench", "separate", "song"}) == Words{"song one.wav", "song two.wav", "songs"});
  CHECK(offered({"mssbench", "separate", "-o", "son"}) == Words{"songs"});
  CHECK(offered({"mssbench", "separate", "song one.wav", "--targets", "v"}) == Words{"vocals"});

  const Words methods = offered({"mssbench", "separate", "x.wav", "-m", ""});
  for (const char* name : {"silence", "mixture", "mixture-over-j", "nmf", "irm2"}) CHECK(has(methods, name));
  CHECK(has(methods, "umx"));
  CHECK(has(methods, "demucs"));
  CHECK(has(methods, "bsrnn"));
  CHECK(offered({"mssbench", "run", "--method", "mixture-"}) == Words{"mixture-over-j"});
  // nmf:com<TAB> and nmf:components=3,iter<TAB>: replies start after bash's last break.
  CHECK(offered({"mssbench", "run", "-m", "nmf", ":", "comp"}) == Words{"components="});
  CHECK(offered({"mssbench", "run", "-m", "nmf", ":", "components", "=", "3,iter"}) == Words{"3,iterations="});
  CHECK(has(offered({"mssbench", "run", "-m", "nmf", ":"}), "components="));
  // In quotes bash breaks nothing.
  CHECK(offered({"mssbench", "run", "-m", "'nmf:comp"}) == Words{"nmf:components="});

  CHECK(offered({"mssbench", "run", "-d", "synth"}) == Words{"synthetic"});
  CHECK(offered({"mssbench", "run", "--dataset", "s"}) == Words{"songs", "synthetic"});
  CHECK(offered({"mssbench", "run", "--subset", "t"}) == Words{"test", "train"});
  CHECK(offered({"mssbench", "datasets", "c"}) == Words{"check"});
  CHECK(has(offered({"mssbench", "datasets", "check", ""}), "musdb18hq"));
  CHECK(offered({"mssbench", "methods", "ibm"}) == Words{"ibm", "ibm1", "ibm2"});
  CHECK(has(offered({"mssbench", "report", "r", "--metrics", "SI"}), "SI-SDR"));
  CHECK(offered({"mssbench", "config", "--preset", "m"}) == Words{"museval"});
  CHECK(offered({"mssbench", "completion", ""}) == Words{"bash", "fish", "zsh"});
}

TEST_CASE("zsh and fish are offered every command and option, in scripts that these shells take", "[cli]") {
  const Result zsh = mssbench({"completion", "zsh"}), fish = mssbench({"completion", "fish"});
  REQUIRE(zsh.status == 0);
  REQUIRE(fish.status == 0);
  CHECK(zsh.out.starts_with("#compdef mssbench\n"));
  for (const char* command : {"separate", "run", "evaluate", "report", "completion"}) {
    CHECK(contains(zsh.out, std::string("        ") + command + ")\n"));
    CHECK(contains(fish.out, std::string(" -a ") + command + " -d "));
  }
  CHECK(contains(zsh.out, "--two-stems=["));
  CHECK(contains(zsh.out, ":FORMAT:(float32 pcm16 pcm24 flac mp3 m4a)'"));
  CHECK(has_line(fish.out, "complete -c mssbench -n '__fish_seen_subcommand_from separate' -l two-stems -x .*"));
  CHECK(
      has_line(fish.out, "complete -c mssbench -n '__fish_seen_subcommand_from separate' -l format -x -a 'float32 .*"));
  const TempDir folder;
  for (const auto& [shell, script] : {std::pair("/usr/bin/zsh", zsh.out), std::pair("/usr/bin/fish", fish.out)}) {
    if (!fs::exists(shell)) {
      WARN("SKIPPED: no " << shell);
      continue;
    }
    std::ofstream(folder / "script") << script;
    CHECK(call({.arguments = {"-n", (folder / "script").string()}, .program = shell}).status == 0);
  }
}
