// What the program says of itself.
#include <algorithm>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

namespace {

/// The names in the help's list of commands.
std::vector<std::string> listed_commands(const std::string& help) {
  std::vector<std::string> out;
  bool inside = false;
  for (const std::string& line : lines(help)) {
    if (line == "Commands:") {
      inside = true;
    } else if (inside && line.empty()) {
      break;
    } else if (inside) {
      out.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return out;
}

std::vector<std::string> commands() {
  const std::vector<std::string> listed = listed_commands(mssbench({"--help"}).out);
  REQUIRE(listed.size() >= 12);
  return listed;
}

}  // namespace

TEST_CASE("version tells version, revision, compiler, instruction set, features and threads", "[cli]") {
  const Result result = mssbench({"--version"});
  CHECK(result.status == 0);
  CHECK(result.err.empty());
  CHECK(has_line(result.out, R"(mssbench \d+\.\d+\.\d+)"));
  CHECK(has_line(result.out, R"(revision: ([0-9a-f]{12}(\+dirty)?|unknown))"));
  CHECK(has_line(result.out, R"(compiler: \S+ [0-9.]+.*)"));
  CHECK(has_line(result.out, R"(instruction set: (baseline|avx2|avx512) \(processor: .*\))"));
  CHECK(has_line(result.out, R"(features: libav (yes|no) .*LibTorch (no \(.*\)|[0-9]+\.[0-9]+\.[0-9]+ .*))"));
  CHECK(has_line(result.out, R"(libraries: FFTW 3\.\d+.*)"));
  CHECK(has_line(result.out, R"(threads: [1-9]\d*)"));
  const core::Value json = core::parse_json(mssbench({"--version", "--json"}).out, "--version --json");
  CHECK(has_line(result.out, "mssbench " + json.at("version").as_string()));
  CHECK((json.at("libtorch").is_string() || json.find("libtorch_problem") != nullptr));
}

TEST_CASE("commands that run no network of LibTorch's do not load it", "[cli]") {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--version"}, {"--help"}, {"methods"}, {"methods", "umx"}}) {
    // The dynamic linker's own log of every file that it opens.
    const Result result = call({.arguments = arguments, .environment = {{"LD_DEBUG", "files"}}});
    CAPTURE(arguments);
    CHECK(result.status == 0);
    CHECK(result.err.find("libc.so") != std::string::npos);
    CHECK(result.err.find("libtorch") == std::string::npos);
    CHECK(result.err.find("libmssbench_networks") == std::string::npos);
  }
}

TEST_CASE("a module of networks that cannot be used is named with the reason, and nothing else suffers", "[cli]") {
  const TempDir folder;
  core::write_file_atomic(folder / "text.so", "not a library");
  const auto environment = [&](const char* name) {
    return std::vector<std::pair<std::string, std::string>>{{"MSSBENCH_NETWORKS", (folder / name).string()}};
  };
  for (const auto& [file, reason] :
       {std::pair{"none.so", "there is no network module"}, std::pair{"text.so", "is no network module of mssbench"}}) {
    CAPTURE(file);
    const Result version = call({.arguments = {"--version"}, .environment = environment(file)});
    CHECK(version.status == 0);
    CHECK(version.out.find("LibTorch no (") != std::string::npos);
    CHECK(version.out.find(reason) != std::string::npos);
    const Result used = call(
        {.arguments = {"run", "-d", "synthetic:songs=1,seconds=1", "-m", "umx:random=1,engine=libtorch", "-o", "r"},
         .environment = environment(file),
         .folder = folder.path()});
    CHECK(used.status != 0);
    CHECK(used.err.find(reason) != std::string::npos);
    CHECK(used.err.find("MSSBENCH_NETWORKS") != std::string::npos);
  }
}

TEST_CASE("MSSBENCH_ISA lowers the instruction set, and an unknown one is a usage error", "[cli]") {
  const Result low = call({.arguments = {"--version"}, .environment = {{"MSSBENCH_ISA", "baseline"}}});
  CHECK(low.status == 0);
  CHECK(has_line(low.out, R"(instruction set: baseline .*)"));
  const Result bad = call({.arguments = {"--version"}, .environment = {{"MSSBENCH_ISA", "mmx"}}});
  CHECK(bad.status == 2);
  CHECK(contains(bad.err, "MSSBENCH_ISA"));
  CHECK(contains(bad.err, "baseline"));
}

TEST_CASE("the program's help lists every command and every exit status", "[cli]") {
  const Result result = mssbench({"--help"});
  CHECK(result.status == 0);
  const std::vector<std::string> listed = listed_commands(result.out);
  for (const char* command : {"separate", "run", "evaluate", "report", "compare", "corpus", "plot", "demo", "methods",
                              "datasets", "merge", "config", "completion", "man", "help"}) {
    INFO(command);
    CHECK(std::find(listed.begin(), listed.end(), command) != listed.end());
  }
  for (const char* status : {"0", "1", "2", "3", "4", "5", "6", "130"}) {
    CHECK(has_line(result.out, std::string("  ") + status + " +\\S.*"));
  }
  CHECK(mssbench({"help"}).out == result.out);
}

TEST_CASE("every command's help has usage, description, defaults and examples", "[cli]") {
  for (const std::string& command : commands()) {
    INFO(command);
    const Result result = mssbench({command, "--help"});
    CHECK(result.status == 0);
    CHECK(result.err.empty());
    CHECK(has_line(result.out, "mssbench " + command + " - .+"));
    CHECK(has_line(result.out, "Usage: mssbench " + command + ".*"));
    CHECK(has_line(result.out, "Examples:"));
    const std::size_t examples = result.out.find("Examples:");
    CHECK(contains(result.out.substr(examples), "mssbench " + command));
    CHECK(contains(result.out, "default auto"));  // --progress
    CHECK(mssbench({"help", command}).out == result.out);
  }
}

TEST_CASE("help wins over missing arguments", "[cli]") {
  CHECK(mssbench({"separate", "-h"}).status == 0);
  CHECK(mssbench({"datasets", "--help"}).status == 0);
}

TEST_CASE("no command is a usage error that shows the help", "[cli]") {
  const Result result = mssbench({});
  CHECK(result.status == 2);
  CHECK(result.out.empty());
  CHECK(has_line(result.err, "mssbench: error: no command given"));
  CHECK(listed_commands(result.err) == commands());
}

TEST_CASE("unknown words come with the nearest known one", "[cli]") {
  struct Case {
    std::vector<std::string> arguments;
    std::string error, hint;
  };
  const std::vector<Case> cases = {
      {{"seperate", "x.wav"}, "unknown command 'seperate'", "did you mean 'separate'?"},
      {{"help", "reprot"}, "unknown command 'reprot'", "did you mean 'report'?"},
      {{"separate", "x.wav", "--thraeds", "2"}, "unknown option '--thraeds'", "did you mean '--threads'?"},
      {{"separate", "x.wav", "--outt=o"}, "unknown option '--outt'", "did you mean '--out'?"},
      {{"separate", "x.wav", "-m", "mixtuer", "-o", "o"}, "mixtuer", "did you mean 'mixture'?"},
      {{"separate", "x.wav", "-m", "nmf:componets=3", "-o", "o"}, "componets", "did you mean 'components'?"},
      {{"separate", "x.wav", "-m", "nmf", "-o", "o", "--format", "pcm42"}, "--format", "did you mean 'pcm"},
      {{"methods", "irm3"}, "unknown method 'irm3'", "did you mean 'irm"},
      {{"datasets", "lisst"}, "bad ACTION", "did you mean 'list'?"},
      {{"methods", "--preset", "musevall"}, "unknown preset 'musevall'", "did you mean 'museval'?"},
      {{"methods", "--set", "treads=2"}, "treads", "did you mean 'threads'?"},
      {{"methods", "--set", "separate.fromat=pcm16"}, "fromat", "did you mean 'format'?"},
      {{"completion", "bsh"}, "bad SHELL", "did you mean 'bash'?"},
  };
  for (const Case& one : cases) {
    const Result result = mssbench(one.arguments);
    INFO(result.err);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    CHECK(contains(result.err, one.error));
    CHECK(contains(result.err, one.hint));
  }
}

TEST_CASE("usage errors name the place and what was expected", "[cli]") {
  struct Case {
    std::vector<std::string> arguments;
    std::string error, expected;
  };
  const std::vector<Case> cases = {
      {{"separate", "x.wav", "-m"}, "mssbench separate: --method needs a value", "mssbench separate --help"},
      {{"separate", "-m", "nmf", "-o", "o"}, "FILE is missing", "  expected: mssbench separate FILE..."},
      {{"separate", "x.wav", "-o", "o"}, "-m SPEC is missing", "mssbench separate --help"},
      {{"methods", "nmf", "irm2"}, "unexpected argument 'irm2'", "  expected: mssbench methods [NAME]"},
      {{"methods", "--threads", "-3"}, "--threads: bad value of 'threads'", "  expected: an integer in [0,4096]"},
      {{"methods", "--threads", "two"}, "--threads: bad value of 'threads'", "  found: 'two'"},
      {{"methods", "--set", "threads"}, "--set: bad setting", "  expected: KEY=VALUE or COMMAND.KEY=VALUE"},
      {{"separate", "x.wav", "-m", "nmf:components", "-o", "o"}, "column 15", "'='"},
      {{"separate", "x.wav", "-m", "nmf:components=0", "-o", "o"}, "components", "an integer in [1,"},
      {{"separate", "x.wav", "-m", "NMF!", "-o", "o"}, "column", "spec string"},
      {{"run", "-m", "mixture", "-o", "r"}, "no data set given", "synthetic"},
      {{"run", "-d", "synthetic", "-o", "r"}, "no methods given", "at least one spec string"},
      {{"run", "-d", "synthetic", "-m", "mixture"}, "no run folder given", "a folder for the results"},
      {{"run", "-d", "synthetic", "-m", "mixture", "-o", "r", "--shard", "3/3"}, "3/3", "expected"},
      {{"datasets", "check"}, "DATASET is missing", "a folder or name"},
  };
  for (const Case& one : cases) {
    const Result result = mssbench(one.arguments);
    INFO(result.err);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    CHECK(contains(result.err, one.error));
    CHECK(contains(result.err, one.expected));
  }
}

TEST_CASE("a file named like a command is a file after a command", "[cli]") {
  const TempDir folder;
  write_audio(folder / "report.wav", tones(0));
  fs::rename(folder / "report.wav", folder / "report");
  const Result result =
      call({.arguments = {"separate", "report", "-m", "mixture", "-o", "out"}, .folder = folder.path()});
  INFO(result.err);
  CHECK(result.status == 0);
  CHECK(fs::exists(folder / "out/report/vocals.wav"));
}

TEST_CASE("methods lists floors, oracles and classical methods with their availability", "[cli]") {
  const Result text = mssbench({"methods"});
  CHECK(text.status == 0);
  CHECK(has_line(text.out, "method +family +available +summary"));
  CHECK(has_line(text.out, "mixture-over-j +floor +yes .*"));
  CHECK(has_line(text.out, "irm2 +oracle +yes .*"));
  CHECK(has_line(text.out, "nmf +classic +yes .*"));
  const Result json = mssbench({"methods", "--json"});
  const core::Value all = core::parse_json(json.out, "methods --json");
  bool found = false;
  for (const core::Value& entry : all.as_array()) {
    CHECK(entry.at("available").as_bool() ==
          (entry.find("unavailable") == nullptr || entry.at("unavailable").is_null()));
    found = found || entry.at("name").as_string() == "silence";
  }
  CHECK(found);
}

TEST_CASE("methods NAME shows every parameter with default, range and meaning", "[cli]") {
  const Result text = mssbench({"methods", "nmf"});
  CHECK(text.status == 0);
  CHECK(has_line(text.out, "parameter +type +default +range +meaning"));
  const core::Value entry = core::parse_json(mssbench({"methods", "nmf", "--json"}).out, "methods nmf --json");
  CHECK(entry.at("family").as_string() == "classic");
  REQUIRE(entry.at("parameters").size() > 3);
  for (const core::Value& param : entry.at("parameters").as_array()) {
    INFO(param.at("name").as_string());
    CHECK(has_line(text.out, param.at("name").as_string() + " +" + param.at("type").as_string() + " .*"));
    CHECK(!param.at("help").as_string().empty());
  }
}

TEST_CASE("docs/cli.md is what the program prints", "[cli]") {
  const Result page = mssbench({"man", "--markdown"});
  REQUIRE(page.status == 0);
  // `mssbench man --markdown > docs/cli.md` renews it.
  CHECK(core::read_text_file(fs::path(MSSBENCH_TESTS_DIR) / ".." / "docs" / "cli.md") == page.out);
}

TEST_CASE("the man page has a section for every command and escapes roff", "[cli]") {
  const Result page = mssbench({"man"});
  REQUIRE(page.status == 0);
  CHECK(lines(page.out).front().starts_with(".TH MSSBENCH 1"));
  for (const std::string& command : commands()) CHECK(has_line(page.out, "\\.SS " + command + " .*"));
  for (const char* section : {"NAME", "SYNOPSIS", "OPTIONS", "ENVIRONMENT", "EXIT STATUS"}) {
    CHECK(has_line(page.out, std::string("\\.SH ") + section));
  }
  // Every line that starts with a dot is one of the macros in use.
  for (const std::string& line : lines(page.out)) {
    if (!line.starts_with('.')) continue;
    const std::string macro = line.substr(0, line.find(' '));
    CHECK((macro == ".TH" || macro == ".SH" || macro == ".SS" || macro == ".PP" || macro == ".TP" || macro == ".B" ||
           macro == ".I" || macro == ".nf" || macro == ".fi"));
  }
}

TEST_CASE("standard output that takes no more is a failure", "[cli]") {
  if (!fs::exists("/dev/full")) {
    WARN("SKIPPED: no /dev/full here");
    return;
  }
  const Result result = call({.arguments = {"methods"}, .standard_output = "/dev/full"});
  CHECK(result.status == 1);
  CHECK(contains(result.err, "standard output: cannot write"));
}
