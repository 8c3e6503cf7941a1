// Bad input of every kind, to every command that can meet it: the message names file, expected and found, and the exit
// status is the right one.
#include <fcntl.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>

#include "audio/file.h"
#include "core/file.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"

using namespace mss;
using namespace mss::tests;

namespace {

void truncate_to(const fs::path& path, double part) {
  fs::resize_file(path, static_cast<std::uintmax_t>(part * static_cast<double>(fs::file_size(path))));
}

/// A data set of two songs in folders, as MUSDB18-HQ has them; `change` may spoil the second one.
void write_dataset(const fs::path& root, const std::function<void(const fs::path& track)>& change = {}) {
  for (const char* name : {"Alpha - One", "Beta - Two"}) {
    const fs::path track = root / "test" / name;
    audio::AudioBuffer mixture(2, 44100, 44100);
    int kind = name[0] == 'A' ? 1 : 2;
    for (const char* stem : {"drums", "bass", "other", "vocals"}) {
      write_audio(track / (std::string(stem) + ".wav"), tones(kind));
      audio::add_to(mixture.span(), tones(kind));
      kind += 2;
    }
    write_audio(track / "mixture.wav", mixture);
  }
  if (change) change(root / "test" / "Beta - Two");
}

Result run_over(const fs::path& folder, const std::string& dataset = "set") {
  return call(
      {.arguments = {"run", "-d", dataset, "-m", "mixture", "--metrics", "sdr", "-o", "runs"}, .folder = folder});
}

Result separate(const fs::path& folder, const std::string& file) {
  return call({.arguments = {"separate", file, "-m", "mixture", "-o", "o"}, .folder = folder});
}

/// In the child: become a user without rights.
void become_nobody() {
  if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) _exit(126);
}

}  // namespace

TEST_CASE("truncated wav", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  truncate_to(folder / "song.wav", 0.5);
  const Result result = separate(folder.path(), "song.wav");
  CHECK(result.status == 3);
  CHECK(has_line(result.err, "mssbench: error: song\\.wav: .*truncated.*"));
  CHECK(has_line(result.err, "  expected: 44100 samples"));
  CHECK(has_line(result.err, "  found: 2\\d{4} samples"));
  CHECK(!fs::exists(folder / "o/song/vocals.wav"));

  write_dataset(folder / "set", [](const fs::path& track) { truncate_to(track / "bass.wav", 0.5); });
  const Result run = run_over(folder.path());
  CHECK(run.status == 6);
  CHECK(contains(run.err, "Beta - Two"));
  CHECK(contains(run.err, "bass.wav"));
  CHECK(contains(run.err, "44100"));
  CHECK(!contains(run.err, "Alpha - One: mixture: "));  // the other track is scored
}

TEST_CASE("truncated mp4", "[cli]") {
  MSS_REQUIRE_TEST_DATA(data);
  const fs::path clip = data / "musdb18_clips/train/Music Delta - 80s Rock.stem.mp4";
  fs::path found = clip;
  if (!fs::exists(found)) {
    found.clear();
    for (const auto& item : fs::recursive_directory_iterator(data / "musdb18_clips")) {
      if (item.path().string().ends_with(".stem.mp4")) found = item.path();
    }
  }
  REQUIRE(!found.empty());
  const TempDir folder;
  fs::create_directories(folder / "set/test");
  fs::copy_file(found, folder / "set/test/Song.stem.mp4");
  fs::permissions(folder / "set/test/Song.stem.mp4", fs::perms::owner_all);
  truncate_to(folder / "set/test/Song.stem.mp4", 0.4);
  const Result one = separate(folder.path(), "set/test/Song.stem.mp4");
  CHECK(one.status == 3);
  CHECK(contains(one.err, "mssbench: error: set/test/Song.stem.mp4: "));
  const Result run = run_over(folder.path());
  CHECK(run.status == 3);  // the only track failed for its input
  CHECK(contains(run.err, "Song.stem.mp4"));
}

TEST_CASE("0 samples", "[cli]") {
  const TempDir folder;
  write_audio(folder / "empty.wav", audio::AudioBuffer(2, 0, 44100));
  const Result result = separate(folder.path(), "empty.wav");
  CHECK(result.status == 3);
  CHECK(has_line(result.err, "mssbench: error: empty\\.wav: no samples"));
  CHECK(has_line(result.err, "  expected: at least 1 sample"));
  CHECK(has_line(result.err, "  found: 0 samples"));

  write_dataset(folder / "set", [](const fs::path& track) {
    for (const auto& item : fs::directory_iterator(track)) write_audio(item.path(), audio::AudioBuffer(2, 0, 44100));
  });
  const Result run = run_over(folder.path());
  CHECK(run.status == 6);
  CHECK(contains(run.err, "mixture.wav"));
  CHECK(contains(run.err, "at least one sample"));
}

TEST_CASE("NaN", "[cli]") {
  const TempDir folder;
  audio::AudioBuffer song = tones(1);
  song.channel(1)[30000] = std::nanf("");
  write_audio(folder / "song.wav", song);
  const Result result = separate(folder.path(), "song.wav");
  CHECK(result.status == 3);
  CHECK(has_line(result.err, "mssbench: error: song\\.wav: .*channel 1, sample 30000.*"));
  CHECK(has_line(result.err, "  expected: finite samples"));
  CHECK(has_line(result.err, "  found: NaN"));

  write_dataset(folder / "set", [&](const fs::path& track) { write_audio(track / "vocals.wav", song); });
  const Result run = run_over(folder.path());
  CHECK(run.status == 6);
  CHECK(contains(run.err, "vocals.wav"));
  CHECK(contains(run.err, "sample 30000"));
}

TEST_CASE("not audio at all", "[cli]") {
  const TempDir folder;
  std::ofstream(folder / "notes.wav") << "these are notes about a song, and no song\n";
  const Result result = separate(folder.path(), "notes.wav");
  CHECK(result.status == 3);
  CHECK(contains(result.err, "mssbench: error: notes.wav: "));
}

TEST_CASE("mono and 8 kHz are taken as they are", "[cli]") {
  const TempDir folder;
  write_audio(folder / "phone.wav", tones(1, 1, 8001, 8000));
  const Result result = separate(folder.path(), "phone.wav");
  CHECK(result.status == 0);
  CHECK(audio::same_shape(audio::read_file(folder / "o/phone/vocals.wav"), tones(1, 1, 8001, 8000)));

  write_dataset(folder / "set", [](const fs::path& track) { write_audio(track / "other.wav", tones(5, 1)); });
  const Result mono = run_over(folder.path());
  CHECK(mono.status == 6);
  CHECK(contains(mono.err, "other.wav"));
  CHECK(contains(mono.err, "expected 44100 samples, 2 channels"));
  CHECK(contains(mono.err, "found 44100 samples, 1 channels"));

  const fs::path slow = folder / "slow";
  write_dataset(slow / "set", [](const fs::path& track) { write_audio(track / "other.wav", tones(5, 2, 8000, 8000)); });
  const Result rate = run_over(slow);
  CHECK(rate.status == 6);
  CHECK(contains(rate.err, "44100 Hz"));
  CHECK(contains(rate.err, "8000 Hz"));
}

TEST_CASE("stems of unequal length", "[cli]") {
  const TempDir folder;
  write_dataset(folder / "set", [](const fs::path& track) { write_audio(track / "drums.wav", tones(5, 2, 44000)); });
  const Result run = run_over(folder.path());
  CHECK(run.status == 6);
  CHECK(contains(run.err, "drums.wav"));
  CHECK(contains(run.err, "expected 44100 samples"));
  CHECK(contains(run.err, "found 44000 samples"));
  const Result check = call({.arguments = {"datasets", "check", "set"}, .folder = folder.path()});
  CHECK(check.status == 3);
  CHECK(has_line(check.out, "error: Beta - Two: unreadable: .*drums\\.wav.*44000.*"));
}

TEST_CASE("missing stem", "[cli]") {
  const TempDir folder;
  write_dataset(folder / "set", [](const fs::path& track) { fs::remove(track / "bass.wav"); });
  const Result run = run_over(folder.path());
  CHECK(run.status == 6);
  CHECK(contains(run.err, "Beta - Two"));
  CHECK(contains(run.err, "lacks the stem 'bass'"));
  CHECK(contains(run.err, "expected drums, bass, other, vocals"));
}

TEST_CASE("no such data set, plan or record file", "[cli]") {
  const TempDir folder;
  const Result dataset = run_over(folder.path(), "syntetic");
  CHECK(dataset.status == 3);
  CHECK(contains(dataset.err, "did you mean 'synthetic'?"));
  CHECK(call({.arguments = {"datasets", "list", "nowhere"}, .folder = folder.path()}).status == 3);
  const Result plan = call({.arguments = {"run", "no.toml"}, .folder = folder.path()});
  CHECK(plan.status == 3);
  CHECK(contains(plan.err, "no.toml: no such plan file"));
  const Result report = call({.arguments = {"report", "no-run", "-o", "r"}, .folder = folder.path()});
  CHECK(report.status == 3);
  CHECK(contains(report.err, "no-run"));
  fs::create_directory(folder / "damaged");
  std::ofstream(folder / "damaged/records.jsonl") << "{\"schema\":1,\n";
  const Result damaged = call({.arguments = {"report", "damaged", "-o", "r"}, .folder = folder.path()});
  CHECK(damaged.status == 3);
  CHECK(contains(damaged.err, "damaged/records.jsonl"));
}

TEST_CASE("unknown key in a plan", "[cli]") {
  const TempDir folder;
  std::ofstream(folder / "plan.toml") << "[run]\ndataset = \"synthetic\"\nmethod = [\"mixture\"]\nout = \"r\"\n";
  const Result result = call({.arguments = {"run", "plan.toml"}, .folder = folder.path()});
  CHECK(result.status == 2);
  CHECK(contains(result.err, "plan.toml"));
  CHECK(contains(result.err, "'method'"));
  CHECK(contains(result.err, "did you mean 'methods'?"));
}

TEST_CASE("unknown method and malformed spec in a run stop it before any work", "[cli]") {
  const TempDir folder;
  const auto run = [&](const std::string& spec) {
    return call({.arguments = {"run", "-d", "synthetic:songs=1,seconds=1", "-m", "mixture", "-m", spec, "-o", "r"},
                 .folder = folder.path()});
  };
  const Result unknown = run("iirm2");
  CHECK(unknown.status == 2);
  CHECK(contains(unknown.err, "did you mean 'irm2'?"));
  const Result malformed = run("nmf:components=");
  CHECK(malformed.status == 2);
  CHECK(contains(malformed.err, "column 16"));
  const Result lacking = run("bsrnn");
  CHECK(lacking.status == 2);
  CHECK(contains(lacking.err, "bsrnn"));
  CHECK(contains(lacking.err, "needs weights"));
  CHECK(!fs::exists(folder / "r/records.jsonl"));
}

TEST_CASE("unreadable directory, as a user without rights", "[cli]") {
  const TempDir folder;
  write_dataset(folder / "set");
  write_audio(folder / "locked/song.wav", tones(1));
  fs::create_directory(folder / "o");
  fs::permissions(folder.path(), static_cast<fs::perms>(0755));
  fs::permissions(folder / "o", static_cast<fs::perms>(0777));
  fs::permissions(folder / "set/test", fs::perms::none);
  fs::permissions(folder / "locked", fs::perms::none);
  Call wanted{.folder = folder.path()};
  if (geteuid() == 0) wanted.in_child = become_nobody;
  wanted.arguments = {"--version"};
  const Result possible = call(wanted);
  const auto restore = [&] {
    fs::permissions(folder / "set/test", fs::perms::owner_all);
    fs::permissions(folder / "locked", fs::perms::owner_all);
  };
  if (possible.status == 126 || possible.status == 127) {
    restore();
    WARN("SKIPPED: an unprivileged user cannot start the program here");
    return;
  }
  wanted.arguments = {"run", "-d", "set", "-m", "mixture", "-o", "o/run"};
  const Result run = call(wanted);
  wanted.arguments = {"separate", "locked/song.wav", "-m", "mixture", "-o", "o"};
  const Result song = call(wanted);
  wanted.arguments = {"evaluate", "set", "locked"};
  const Result evaluate = call(wanted);
  fs::permissions(folder / "o", static_cast<fs::perms>(0555));
  fs::permissions(folder / "locked", static_cast<fs::perms>(0755));
  fs::permissions(folder / "locked/song.wav", static_cast<fs::perms>(0644));
  wanted.arguments = {"separate", "locked/song.wav", "-m", "mixture", "-o", "o"};
  const Result output = call(wanted);
  restore();
  CHECK(run.status == 3);
  CHECK(contains(run.err, "set/test"));
  CHECK(contains(run.err, "Permission denied"));
  CHECK(song.status == 3);
  CHECK(contains(song.err, "locked/song.wav"));
  CHECK(contains(song.err, "Permission denied"));
  CHECK(evaluate.status == 3);
  CHECK(contains(evaluate.err, "locked"));
  CHECK(output.status == 1);  // it is the output that cannot be written
  CHECK(contains(output.err, "o/song"));
}

TEST_CASE("full disk", "[cli]") {
  const TempDir folder;
  const fs::path disk = folder / "disk";
  fs::create_directory(disk);
  if (geteuid() != 0 || mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=256k") != 0) {
    WARN("SKIPPED: a small tmpfs cannot be mounted here");
    return;
  }
  write_audio(folder / "song.wav", tones(1));  // 344 KB a stem
  const Result separated =
      call({.arguments = {"separate", "song.wav", "-m", "mixture", "-o", "disk"}, .folder = folder.path()});
  std::size_t left = 0;
  for (const auto& item : fs::recursive_directory_iterator(disk)) left += item.is_regular_file() ? 1 : 0;
  const Result run = call({.arguments = {"run", "-d", "synthetic:songs=1,seconds=2", "-m", "mixture", "-o", "disk/run",
                                         "--save-estimates", "--metrics", "sdr"},
                           .folder = folder.path()});
  const std::string filler(250000, 'x');
  std::ofstream(disk / "filler") << filler;
  const Result records = call(
      {.arguments = {"run", "-d", "synthetic:songs=1,seconds=2", "-m", "mixture", "-o", "disk/run", "--metrics", "sdr"},
       .folder = folder.path()});
  umount2(disk.c_str(), MNT_DETACH);
  CHECK(separated.status == 1);
  CHECK(contains(separated.err, "disk/song/"));
  CHECK(contains(separated.err, "No space left on device"));
  CHECK(left == 0);
  // Estimates that do not fit are known before anything is separated: four of 2 s in stereo are 2.8 MB.
  CHECK(run.status == 1);
  CHECK(contains(run.err, "disk/run: no room for the estimates"));
  CHECK(contains(run.err, "expected: 2.8 MB for what is missing"));
  CHECK(records.status == 1);
  CHECK(contains(records.err, "No space left on device"));
}

TEST_CASE("a limit on file size is met like a full disk", "[cli]") {
  const TempDir folder;
  write_audio(folder / "song.wav", tones(1));
  const Result result =
      call({.arguments = {"separate", "song.wav", "-m", "mixture", "-o", "o"}, .folder = folder.path(), .in_child = [] {
              const rlimit limit{100000, 100000};
              setrlimit(RLIMIT_FSIZE, &limit);
              std::signal(SIGXFSZ, SIG_IGN);
            }});
  CHECK(result.status == 1);
  CHECK(contains(result.err, "o/song/"));
  CHECK(contains(result.err, "File too large"));
  CHECK(!fs::exists(folder / "o"));
}

TEST_CASE("file names cannot drive the terminal", "[cli]") {
  const Result result = mssbench({"separate", "evil\x1b[31m.wav", "-m", "mixture", "-o", "o"});
  CHECK(result.status == 3);
  CHECK(!contains(result.err, "\x1b"));
  CHECK(contains(result.err, "evil\\x1b[31m.wav"));
}
