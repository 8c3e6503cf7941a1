#include "training/event_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/text.h"
#include "plots/figure.h"

namespace mss::training {
namespace {

const std::array<std::uint32_t, 256>& crc_table() {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> out{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? 0x82F63B78u ^ (c >> 1) : c >> 1;
      out[i] = c;
    }
    return out;
  }();
  return table;
}

template <class T>
std::string little_endian(T value) {
  std::string out(sizeof value, '\0');
  for (std::size_t i = 0; i < sizeof value; ++i) out[i] = static_cast<char>((value >> (8 * i)) & 0xff);
  return out;
}

template <class T>
T read_little_endian(std::string_view bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value |= static_cast<T>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return value;
}

// Protobuf's wire format: a key (field << 3 | type) and a value; type 0 varint, 1 eight bytes, 2 length and bytes, 5 four
// bytes.
std::string varint(std::uint64_t value) {
  std::string out;
  while (value >= 0x80) {
    out += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  return out + static_cast<char>(value);
}
std::string key(int field, int type) {
  return varint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(type));
}
std::string integer_field(int field, std::int64_t value) {
  return key(field, 0) + varint(static_cast<std::uint64_t>(value));
}
std::string double_field(int field, double value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return key(field, 1) + little_endian(bits);
}
std::string float_field(int field, double value) {
  const auto narrow = static_cast<float>(value);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &narrow, sizeof bits);
  return key(field, 5) + little_endian(bits);
}
std::string bytes_field(int field, std::string_view bytes) {
  return key(field, 2) + varint(bytes.size()) + std::string(bytes);
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string event(double time, std::int64_t step, const std::string& value) {
  return double_field(1, time) + integer_field(2, step) + bytes_field(5, bytes_field(1, value));
}

/// A message of the wire format, field by field. Throws where it is damaged.
class Fields {
 public:
  explicit Fields(std::string_view message) : left_(message) {}
  int field = 0, type = 0;
  std::uint64_t number = 0;  ///< types 0, 1, 5
  std::string_view bytes;    ///< type 2

  bool next() {
    if (left_.empty()) return false;
    const std::uint64_t k = read_varint();
    field = static_cast<int>(std::min<std::uint64_t>(k >> 3, std::numeric_limits<int>::max()));
    type = static_cast<int>(k & 7);
    switch (type) {
      case 0:
        number = read_varint();
        break;
      case 1:
        number = read_little_endian<std::uint64_t>(take(8));
        break;
      case 2:
        bytes = take(read_varint());
        break;
      case 5:
        number = read_little_endian<std::uint32_t>(take(4));
        break;
      default:
        damaged();
    }
    return true;
  }

  [[noreturn]] static void damaged() {
    throw Error(Code::format, "event", "a damaged message: not protobuf's wire format");
  }

 private:
  std::string_view take(std::uint64_t n) {
    if (n > left_.size()) damaged();
    const std::string_view out = left_.substr(0, static_cast<std::size_t>(n));
    left_.remove_prefix(static_cast<std::size_t>(n));
    return out;
  }
  std::uint64_t read_varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    damaged();
  }
  std::string_view left_;
};

double as_double(std::uint64_t bits) {
  double value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
double as_float(std::uint64_t bits) {
  const auto narrow = static_cast<std::uint32_t>(bits);
  float value = 0;
  std::memcpy(&value, &narrow, sizeof value);
  return static_cast<double>(value);
}

/// The bytes of field 4 of an Image or Audio message, of field 8 of a string tensor.
std::string inner_bytes(std::string_view message, int wanted) {
  Fields f(message);
  std::string out;
  while (f.next()) {
    if (f.field == wanted && f.type == 2) out = std::string(f.bytes);
  }
  return out;
}

Event parse_event(std::string_view payload) {
  Event out;
  Fields f(payload);
  while (f.next()) {
    if (f.field == 1 && f.type == 1) out.wall_time = as_double(f.number);
    if (f.field == 2 && f.type == 0) out.step = static_cast<std::int64_t>(f.number);
    if (f.field == 3 && f.type == 2) out.version = std::string(f.bytes);
    if (f.field != 5 || f.type != 2) continue;
    Fields summary(f.bytes);
    while (summary.next()) {
      if (summary.field != 1 || summary.type != 2) continue;
      Fields value(summary.bytes);
      while (value.next()) {
        if (value.field == 1 && value.type == 2) out.tag = std::string(value.bytes);
        if (value.field == 2 && value.type == 5) {
          out.kind = Event::Kind::scalar;
          out.value = as_float(value.number);
        }
        if (value.type != 2) continue;
        if (value.field == 4) {
          out.kind = Event::Kind::image;
          out.bytes = inner_bytes(value.bytes, 4);
        } else if (value.field == 6) {
          out.kind = Event::Kind::audio;
          out.bytes = inner_bytes(value.bytes, 4);
        } else if (value.field == 8) {
          out.kind = Event::Kind::text;
          out.bytes = inner_bytes(value.bytes, 8);
        }
      }
    }
  }
  return out;
}

std::string wav_of(audio::AudioView audio) {
  const auto channels = static_cast<std::uint32_t>(audio.channels());
  const auto samples = static_cast<std::uint32_t>(audio.samples());
  const auto rate = static_cast<std::uint32_t>(audio.rate_hz());
  const std::uint32_t bytes = samples * channels * 2;
  std::string out = "RIFF" + little_endian<std::uint32_t>(36 + bytes) + "WAVEfmt " + little_endian<std::uint32_t>(16) +
                    little_endian<std::uint16_t>(1) + little_endian(static_cast<std::uint16_t>(channels)) +
                    little_endian(rate) + little_endian<std::uint32_t>(rate * channels * 2) +
                    little_endian(static_cast<std::uint16_t>(channels * 2)) + little_endian<std::uint16_t>(16) +
                    "data" + little_endian(bytes);
  out.reserve(out.size() + bytes);
  for (std::uint32_t t = 0; t < samples; ++t) {
    for (std::uint32_t c = 0; c < channels; ++c) {
      const float x = std::clamp(audio.channel(static_cast<int>(c))[t] * 32768.0F, -32768.0F, 32767.0F);
      const auto word = static_cast<std::uint16_t>(static_cast<std::int16_t>(std::lrint(std::isnan(x) ? 0.0F : x)));
      out += static_cast<char>(word & 0xff);
      out += static_cast<char>(word >> 8);
    }
  }
  return out;
}

void check_written(std::ostream& file, const std::filesystem::path& path) {
  if (!file) throw Error(Code::io, path.string(), std::string("cannot write: ") + std::strerror(errno));
}

double number_of(const std::string& text) {
  double value = std::numeric_limits<double>::quiet_NaN();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) noexcept {
  std::uint32_t c = 0xffffffffu;
  for (const char byte : bytes) c = crc_table()[(c ^ static_cast<unsigned char>(byte)) & 0xff] ^ (c >> 8);
  return c ^ 0xffffffffu;
}

std::uint32_t masked_crc32c(std::string_view bytes) noexcept {
  const std::uint32_t c = crc32c(bytes);
  return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

EventWriter::EventWriter(const std::filesystem::path& folder) {
  core::make_directories(folder);
  static std::atomic<int> count{0};
  const double now = wall_time();
  path_ = folder / ("events.out.tfevents." + std::to_string(static_cast<std::int64_t>(now)) + ".mssbench." +
                    std::to_string(::getpid()) + "." + std::to_string(count++));
  file_.open(path_, std::ios::binary | std::ios::trunc);
  if (!file_) throw Error(Code::io, path_.string(), std::string("cannot create: ") + std::strerror(errno));
  record(double_field(1, now) + bytes_field(3, "brain.Event:2"));
  flush();
}

void EventWriter::record(std::string_view payload) {
  const std::string length = little_endian(static_cast<std::uint64_t>(payload.size()));
  const std::string head = length + little_endian(masked_crc32c(length));
  const std::string tail = little_endian(masked_crc32c(payload));
  file_.write(head.data(), static_cast<std::streamsize>(head.size()));
  file_.write(payload.data(), static_cast<std::streamsize>(payload.size()));
  file_.write(tail.data(), static_cast<std::streamsize>(tail.size()));
  check_written(file_, path_);
}

void EventWriter::scalar(std::string_view tag, std::int64_t step, double value) {
  record(event(wall_time(), step, bytes_field(1, tag) + float_field(2, value)));
}

void EventWriter::image(std::string_view tag, std::int64_t step, const plots::Image& image) {
  const std::string message = integer_field(1, image.height()) + integer_field(2, image.width()) + integer_field(3, 3) +
                              bytes_field(4, plots::encode_png(image));
  record(event(wall_time(), step, bytes_field(1, tag) + bytes_field(4, message)));
  flush();
}

void EventWriter::audio(std::string_view tag, std::int64_t step, audio::AudioView audio) {
  const std::string message = float_field(1, audio.rate_hz()) + integer_field(2, audio.channels()) +
                              integer_field(3, audio.samples()) + bytes_field(4, wav_of(audio)) +
                              bytes_field(5, "audio/wav");
  record(event(wall_time(), step, bytes_field(1, tag) + bytes_field(6, message)));
  flush();
}

void EventWriter::text(std::string_view tag, std::int64_t step, std::string_view text) {
  // A tensor of one string (TensorProto: 1 dtype = 7, 2 shape { 2 dim { 1 size = 1 } }, 8 string_val) for the plugin
  // "text" (SummaryMetadata: 1 plugin_data { 1 plugin_name }).
  const std::string shape = bytes_field(2, integer_field(1, 1));
  const std::string tensor = integer_field(1, 7) + bytes_field(2, shape) + bytes_field(8, text);
  const std::string metadata = bytes_field(1, bytes_field(1, "text"));
  record(event(wall_time(), step,
               bytes_field(1, std::string(tag) + "/text_summary") + bytes_field(9, metadata) + bytes_field(8, tensor)));
  flush();
}

void EventWriter::flush() {
  file_.flush();
  check_written(file_, path_);
}

std::vector<Event> parse_events(std::string_view bytes, std::string_view name) {
  std::vector<Event> out;
  const auto damaged = [&](std::size_t at, const std::string& what) {
    throw Error({Code::format, std::string(name), what + " at byte " + std::to_string(at), "a record of an event file",
                 "", ""});
  };
  constexpr std::size_t kHead = 12, kTail = 4;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::string_view left = bytes.substr(at);
    if (left.size() < kHead) break;  // the writer was stopped here
    if (read_little_endian<std::uint32_t>(left.substr(8)) != masked_crc32c(left.substr(0, 8))) {
      damaged(at, "wrong checksum of a length");
    }
    const auto length = read_little_endian<std::uint64_t>(left);
    if (length > left.size() - kHead || left.size() - kHead - static_cast<std::size_t>(length) < kTail) break;
    const std::string_view payload = left.substr(kHead, static_cast<std::size_t>(length));
    if (read_little_endian<std::uint32_t>(left.substr(kHead + payload.size())) != masked_crc32c(payload)) {
      damaged(at, "wrong checksum");
    }
    try {
      out.push_back(parse_event(payload));
    } catch (const Error&) {
      damaged(at, "a damaged message");
    }
    at += kHead + payload.size() + kTail;
  }
  return out;
}

std::vector<Event> read_events(const std::filesystem::path& path) {
  return parse_events(core::read_text_file(path), path.string());
}

CsvLog::CsvLog(std::filesystem::path path, std::vector<std::string> columns, std::int64_t last_step)
    : path_(std::move(path)), columns_(columns.size()) {
  if (columns.empty() || columns.front() != "step") {
    throw Error(Code::invalid_argument, path_.string(), "the first column of a log is 'step'");
  }
  const std::string header = core::join(columns, ",");
  std::string kept = header + "\n";
  std::error_code error;
  if (std::filesystem::exists(path_, error)) {
    const std::vector<std::string> lines = core::split(core::read_text_file(path_), '\n');
    if (!lines.empty() && !lines.front().empty() && lines.front() != header) {
      throw Error({Code::config, path_.string(), "a log with other columns", header, lines.front(),
                   "move the file away, or resume with the program that wrote it"});
    }
    for (std::size_t i = 1; i < lines.size(); ++i) {
      const std::vector<std::string> cells = core::split(lines[i], ',');
      // A line that was cut off is none.
      if (cells.size() != columns_ || i + 1 == lines.size()) continue;
      if (number_of(cells.front()) <= static_cast<double>(last_step)) kept += lines[i] + "\n";
    }
  }
  core::write_file_atomic(path_, kept);
  file_.open(path_, std::ios::binary | std::ios::app);
  if (!file_) throw Error(Code::io, path_.string(), std::string("cannot open: ") + std::strerror(errno));
}

void CsvLog::row(std::int64_t step, const std::vector<double>& values) {
  MSS_ASSERT(values.size() + 1 == columns_);
  std::string line = std::to_string(step);
  for (const double value : values) line += "," + (std::isnan(value) ? std::string() : core::format_real(value));
  line += "\n";
  file_.write(line.data(), static_cast<std::streamsize>(line.size()));
  file_.flush();
  check_written(file_, path_);
}

LossCurves read_curves(const std::filesystem::path& csv) {
  LossCurves out;
  const std::vector<std::string> lines = core::split(core::read_text_file(csv), '\n');
  if (lines.empty() || !lines.front().starts_with("step")) {
    throw Error({Code::format, csv.string(), "not a training log", "a header that starts with 'step'",
                 lines.empty() ? "nothing" : lines.front(), ""});
  }
  const std::vector<std::string> names = core::split(lines.front(), ',');
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = core::split(lines[i], ',');
    if (cells.size() != names.size()) continue;
    const double step = number_of(cells.front());
    for (std::size_t c = 1; c < names.size(); ++c) {
      const double value = number_of(cells[c]);
      if (std::isnan(value) || std::isnan(step)) continue;
      const std::string& name = names[c];
      if (name.find("loss") != std::string::npos) {
        out.losses[name].emplace_back(step, value);
      } else if (name.starts_with("usdr") || name.starts_with("csdr")) {
        out.scores[name].emplace_back(step, value);
      } else if (name == "learning_rate") {
        out.rates[name].emplace_back(step, value);
      }
    }
  }
  return out;
}

void write_curves(const std::filesystem::path& png, const LossCurves& curves) {
  plots::Figure figure;
  figure.title = curves.title;
  figure.note = curves.note;
  figure.row_weights.clear();
  double last = 1;
  for (const auto* group : {&curves.losses, &curves.scores, &curves.rates}) {
    for (const auto& [unused, points] : *group) {
      for (const auto& [step, value] : points) last = std::max(last, step);
    }
  }
  const auto panel = [&](const auto& group, const std::string& label, plots::Unit unit, double weight,
                         bool logarithmic) {
    plots::CurvePanel out;
    std::vector<double> all;
    for (const auto& [name, points] : group) {
      plots::Curve curve{.name = name, .positions = {}, .values = {}, .color = {}};
      for (const auto& [step, value] : points) {
        if (!std::isfinite(value)) continue;
        curve.positions.push_back(step);
        curve.values.push_back(value);
        all.push_back(value);
      }
      if (!curve.positions.empty()) out.curves.push_back(std::move(curve));
    }
    if (out.curves.empty()) return;
    out.x = {.label = "step",
             .low = 0,
             .high = last,
             .scale = plots::AxisScale::linear,
             .unit = plots::Unit::number,
             .show_labels = true,
             .ticks = {}};
    const auto [low, high] = std::minmax_element(all.begin(), all.end());
    if (logarithmic && *low > 0) {
      out.y = {.label = label,
               .low = *low / 1.1,
               .high = *high * 1.1,
               .scale = plots::AxisScale::logarithmic,
               .unit = unit,
               .show_labels = true,
               .ticks = {}};
    } else {
      out.y = plots::value_axis(label, all, unit);
    }
    figure.cells.push_back({static_cast<int>(figure.row_weights.size()), 0, std::move(out)});
    figure.row_weights.push_back(weight);
  };
  panel(curves.losses, "loss", plots::Unit::number, 3, true);
  panel(curves.scores, "dB", plots::Unit::decibel, 2, false);
  panel(curves.rates, "learning rate", plots::Unit::number, 1, true);
  if (figure.cells.empty()) {
    throw Error({Code::invalid_argument, png.string(), "no curves to draw", "at least one value", "none", ""});
  }
  plots::write_png(png, plots::render(figure));
}

}  // namespace mss::training
