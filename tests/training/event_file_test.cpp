#include "training/event_file.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "core/file.h"
#include "core/text.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/paths.h"

namespace mss::training {
namespace {

namespace fs = std::filesystem;

audio::AudioBuffer little_audio() {
  audio::AudioBuffer out(2, 400, 8000);
  for (std::size_t t = 0; t < 400; ++t) {
    out.channel(0)[t] = 0.5F * std::sin(0.1F * static_cast<float>(t));
    out.channel(1)[t] = 2.0F;  // clips
  }
  return out;
}

fs::path write_events(const fs::path& folder) {
  EventWriter writer(folder);
  writer.scalar("loss/train", 0, 1.5);
  writer.scalar("loss/train", 1000000, 0.25);
  writer.image("spectrogram", 3, plots::Image(20, 10, {10, 200, 30}));
  writer.audio("excerpt", 4, little_audio());
  writer.text("recipe", 0, "seed = 1");
  writer.scalar("loss/train", 2000000, std::numeric_limits<double>::quiet_NaN());
  return writer.path();
}

}  // namespace

TEST_CASE("CRC-32C has its published check value", "[training]") {
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c("") == 0);
  CHECK(masked_crc32c("123456789") == ((0xE3069283u >> 15 | 0xE3069283u << 17) + 0xa282ead8u));
}

TEST_CASE("event files read back as they were written", "[training]") {
  const tests::TempDir scratch;
  const fs::path path = write_events(scratch / "events");
  CHECK(tests::contains(path.filename().string(), "events.out.tfevents."));
  const std::vector<Event> events = read_events(path);
  REQUIRE(events.size() == 7);
  CHECK(events[0].version == "brain.Event:2");
  CHECK(events[1].tag == "loss/train");
  CHECK(events[1].value == 1.5);
  CHECK(events[2].step == 1000000);
  CHECK(events[2].value == 0.25);
  CHECK(events[3].kind == Event::Kind::image);
  CHECK(events[3].bytes == plots::encode_png(plots::Image(20, 10, {10, 200, 30})));
  CHECK(events[4].kind == Event::Kind::audio);
  CHECK(events[4].bytes.size() == 44 + 400 * 2 * 2);
  CHECK(events[4].bytes.substr(0, 4) == "RIFF");
  CHECK(events[4].bytes.substr(46, 2) == "\xff\x7f");  // 2.0 clips to 32767
  CHECK(events[5].kind == Event::Kind::text);
  CHECK(events[5].bytes == "seed = 1");
  CHECK(std::isnan(events[6].value));
  CHECK(events[1].wall_time > 1.6e9);
  // A second writer in one folder has a file of its own.
  const EventWriter again(scratch / "events");
  CHECK(again.path() != path);
}

TEST_CASE("damaged event files are told, cut ones read up to the cut", "[training]") {
  const tests::TempDir scratch;
  const std::string bytes = core::read_text_file(write_events(scratch / "events"));
  const std::size_t count = parse_events(bytes, "x").size();
  std::size_t before = 0;
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    const std::size_t read = parse_events(std::string_view(bytes).substr(0, n), "x").size();
    REQUIRE(read >= before);
    before = read;
  }
  CHECK(before == count);
  for (std::size_t n = 0; n < bytes.size(); n += 7) {
    std::string damaged = bytes;
    damaged[n] = static_cast<char>(damaged[n] ^ 0x20);
    tests::check_error(Code::format, {"damaged.tfevents", "checksum"},
                       [&] { (void)parse_events(damaged, "damaged.tfevents"); });
  }
}

TEST_CASE("TensorBoard's own reader reads the event files", "[training]") {
  const char* python = std::getenv("MSSBENCH_TEST_PYTHON");
  const std::string interpreter = python != nullptr && *python != '\0' ? python : "python3";
  if (std::system(
          (interpreter + " -c 'import tensorboard.backend.event_processing.event_accumulator' 2>/dev/null").c_str()) !=
      0) {
    WARN("SKIPPED: " << interpreter << " has no package tensorboard (MSSBENCH_TEST_PYTHON names another interpreter)");
    return;
  }
  const tests::TempDir scratch;
  const fs::path folder = scratch / "events";
  (void)write_events(folder);
  std::ofstream(scratch / "read.py") << R"(
import sys, io, wave
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "audio": 0, "tensors": 0}); a.Reload()
s = a.Scalars("loss/train")
assert [(e.step, e.value) for e in s[:2]] == [(0, 1.5), (1000000, 0.25)], s
assert len(s) == 3 and s[2].value != s[2].value
i = a.Images("spectrogram"); assert (i[0].width, i[0].height, i[0].step) == (20, 10, 3)
assert i[0].encoded_image_string[:8] == b"\x89PNG\r\n\x1a\n"
w = a.Audio("excerpt")[0]; assert w.content_type == "audio/wav" and w.sample_rate == 8000 and w.length_frames == 400
f = wave.open(io.BytesIO(w.encoded_audio_string)); assert (f.getnchannels(), f.getnframes(), f.getframerate()) == (2, 400, 8000)
t = a.Tensors("recipe/text_summary")[0]; assert t.tensor_proto.string_val[0] == b"seed = 1"
print("READ")
)";
  const std::string command = interpreter + " " + (scratch / "read.py").string() + " " + folder.string() + " > " +
                              (scratch / "out").string() + " 2> " + (scratch / "err").string();
  const int status = std::system(command.c_str());
  INFO(core::read_text_file(scratch / "err"));
  CHECK(status == 0);
  CHECK(tests::contains(core::read_text_file(scratch / "out"), "READ"));
}

TEST_CASE("a log continues behind the step that its run resumes from", "[training]") {
  const tests::TempDir scratch;
  const fs::path path = scratch / "log.csv";
  const std::vector<std::string> columns{"step", "train_loss", "valid_loss", "usdr_vocals", "learning_rate"};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  {
    CsvLog log(path, columns);
    log.row(10, {0.5, nan, nan, 1e-3});
    log.row(20, {0.25, 0.3, 1.5, 1e-3});
    log.row(30, {0.1, nan, nan, 1e-3});
  }
  std::ofstream(path, std::ios::app) << "40,0.0";  // cut off by a kill
  {
    CsvLog log(path, columns, 20);
    log.row(30, {0.2, 0.2, 2.5, 5e-4});
  }
  CHECK(core::read_text_file(path) ==
        "step,train_loss,valid_loss,usdr_vocals,learning_rate\n10,0.5,,,0.001\n20,0.25,0.3,1.5,0.001\n"
        "30,0.2,0.2,2.5,5e-04\n");
  tests::check_error(Code::config, {"other columns"}, [&] { CsvLog(path, {"step", "loss"}, 100); });
  LossCurves curves = read_curves(path);
  CHECK(curves.losses.at("train_loss").size() == 3);
  CHECK(curves.losses.at("valid_loss") == std::vector<std::pair<double, double>>{{20, 0.3}, {30, 0.2}});
  CHECK(curves.scores.at("usdr_vocals").size() == 2);
  CHECK(curves.rates.at("learning_rate").size() == 3);
  curves.title = "umx-tiny";
  write_curves(scratch / "curves.png", curves);
  CHECK(core::read_text_file(scratch / "curves.png").substr(1, 3) == "PNG");
  tests::check_error(Code::invalid_argument, {"no curves"}, [&] { write_curves(scratch / "none.png", {}); });
  std::ofstream(scratch / "other.csv") << "a,b\n1,2\n";
  tests::check_error(Code::format, {"not a training log"}, [&] { (void)read_curves(scratch / "other.csv"); });
}

}  // namespace mss::training
