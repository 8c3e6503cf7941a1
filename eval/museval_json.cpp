#include "eval/museval_json.h"

#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"

namespace mss::eval {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

const std::vector<double>* find_series(const TargetScores& target, std::string_view metric) {
  for (const FrameSeries& f : target.frames)
    if (f.metric == metric) return &f.values;
  return nullptr;
}

MusevalTarget convert(const TargetScores& target, const Scores& scores) {
  MusevalTarget out;
  out.name = target.target;
  const auto* sdr = find_series(target, "SDR");
  const auto* isr = find_series(target, "ISR");
  const auto* sir = find_series(target, "SIR");
  const auto* sar = find_series(target, "SAR");
  for (std::size_t t = 0; t < static_cast<std::size_t>(scores.frames); ++t) {
    const auto at = [t](const std::vector<double>* v) { return v != nullptr && t < v->size() ? (*v)[t] : kNan; };
    out.frames.push_back({static_cast<double>(t) * scores.hop_s, scores.window_s, at(sdr), at(isr), at(sir), at(sar)});
  }
  return out;
}

/// JSON string as Python's json.dumps writes it (ASCII only).
std::string quoted(std::string_view text, std::string_view where) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      ++i;
      switch (c) {
        case '"':
          out += "\\\"";
          break;
        case '\\':
          out += "\\\\";
          break;
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\t':
          out += "\\t";
          break;
        case '\b':
          out += "\\b";
          break;
        case '\f':
          out += "\\f";
          break;
        default:
          if (c < 0x20) {
            out += fmt::format("\\u{:04x}", c);
          } else {
            out += static_cast<char>(c);
          }
      }
      continue;
    }
    const int length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
    if (length == 0 || i + static_cast<std::size_t>(length) > text.size()) {
      throw Error(Code::invalid_argument, std::string(where), "name is not valid UTF-8");
    }
    std::uint32_t code = c & (0x7fu >> length);
    for (int k = 1; k < length; ++k)
      code = (code << 6) | (static_cast<unsigned char>(text[i + static_cast<std::size_t>(k)]) & 0x3fu);
    i += static_cast<std::size_t>(length);
    if (code >= 0x10000) {
      code -= 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff));
    } else {
      out += fmt::format("\\u{:04x}", code);
    }
  }
  return out + "\"";
}

/// Python's repr of a float: shortest text that reads back, exponents from 1e16 on.
std::string python_float(double x) {
  if (std::isnan(x)) return "NaN";
  if (std::isinf(x)) return x > 0 ? "Infinity" : "-Infinity";
  const double size = std::abs(x);
  if (x == 0 || (size >= 1e-4 && size < 1e16)) {
    std::string text = fmt::format("{}", x);
    // fmt may choose an exponent where Python does not.
    if (text.find('e') != std::string::npos) text = fmt::format("{:.0f}", x);
    if (text.find('.') == std::string::npos) text += ".0";
    return text;
  }
  return core::format_real(x);
}

double metric_value(const core::Value& metrics, std::string_view name, const std::string& where) {
  const core::Value* v = metrics.find(name);
  if (v == nullptr || v->is_null()) return kNan;
  if (!v->is_number()) throw Error(Code::format, where, fmt::format("'{}' is no number", name));
  return v->as_real();
}

/// Reads what museval writes, in one pass and without a tree, keys in any order. Everything else (other members, escapes,
/// duplicates, anything that is no JSON) is left to the general parser, which has the messages: parse() is then false.
class MusevalScanner {
 public:
  explicit MusevalScanner(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool parse(MusevalTrack& track) {
    track.version.clear();
    bool targets = false, version = false;
    const bool read = object([&](std::string_view key) {
      if (key == "targets" && !targets) {
        targets = true;
        return array([&] { return target(track.targets.emplace_back()); });
      }
      if (key != "museval_version" || version) return false;
      version = true;
      std::string_view text;
      if (!string(text)) return false;
      track.version = text;
      return true;
    });
    blanks();
    return read && targets && at_ == end_;
  }

 private:
  bool target(MusevalTarget& out) {
    bool name = false, frames = false;
    return object([&](std::string_view key) {
             if (key == "name" && !name) {
               name = true;
               std::string_view text;
               if (!string(text)) return false;
               out.name = text;
               return true;
             }
             if (key != "frames" || frames) return false;
             frames = true;
             return array([&] { return frame(out.frames.emplace_back()); });
           }) &&
           name && frames;
  }

  bool frame(MusevalFrame& out) {
    out = {kNan, kNan, kNan, kNan, kNan, kNan};
    unsigned seen = 0;
    const auto once = [&](unsigned bit) {
      const bool first = (seen & bit) == 0;
      seen |= bit;
      return first;
    };
    return object([&](std::string_view key) {
             if (key == "time") return once(1) && number(out.time_s);
             if (key == "duration") return once(2) && number(out.duration_s);
             if (key != "metrics" || !once(4)) return false;
             return object([&](std::string_view metric) {
               if (metric == "SDR") return once(8) && number(out.sdr);
               if (metric == "SIR") return once(16) && number(out.sir);
               if (metric == "SAR") return once(32) && number(out.sar);
               return metric == "ISR" && once(64) && number(out.isr);
             });
           }) &&
           (seen & 4) != 0;
  }

  void blanks() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  bool take(char c) {
    blanks();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view text) {
    if (static_cast<std::size_t>(end_ - at_) < text.size() || std::string_view(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }
  /// Printable ASCII without escapes.
  bool string(std::string_view& out) {
    if (!take('"')) return false;
    const char* from = at_;
    while (at_ < end_ && *at_ >= 0x20 && *at_ < 0x7F && *at_ != '"' && *at_ != '\\') ++at_;
    out = std::string_view(from, static_cast<std::size_t>(at_ - from));
    return at_ < end_ && *at_++ == '"';
  }
  template <class Member>
  bool object(Member member) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      std::string_view key;
      if (!string(key) || !take(':') || !member(key)) return false;
    } while (take(','));
    return take('}');
  }
  template <class Element>
  bool array(Element element) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!element()) return false;
    } while (take(','));
    return take(']');
  }
  bool digits() {
    const char* from = at_;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ > from;
  }
  /// A JSON number, NaN or null. Infinities and what overflows are rare enough for the general parser.
  bool number(double& out) {
    blanks();
    if (word("NaN") || word("null")) return true;  // out is NaN already
    const char* from = at_;
    if (at_ < end_ && *at_ == '-') ++at_;
    const char* whole = at_;
    if (!digits() || (*whole == '0' && at_ - whole > 1)) return false;
    if (at_ < end_ && *at_ == '.') {
      ++at_;
      if (!digits()) return false;
    }
    if (at_ < end_ && (*at_ == 'e' || *at_ == 'E')) {
      ++at_;
      if (at_ < end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!digits()) return false;
    }
    const auto [stop, error] = std::from_chars(from, at_, out);
    return error == std::errc() && stop == at_;
  }

  const char *at_, *end_;
};

}  // namespace

std::string five_decimals_text(double x) {
  if (!std::isfinite(x)) return "NaN";
  // The exact binary value correctly rounded, half to even, which is Decimal's rule; independent of the locale.
  char buffer[400];
  const auto [end, unused] = std::to_chars(buffer, buffer + sizeof buffer, x, std::chars_format::fixed, 5);
  return {buffer, end};
}

double five_decimals(double x) {
  if (!std::isfinite(x)) return kNan;
  const std::string text = five_decimals_text(x);
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

MusevalTrack museval_track(const std::vector<Scores>& scores, const MusevalOptions& options) {
  MusevalTrack track;
  if (scores.empty()) return track;
  for (const TargetScores& target : scores.front().targets) {
    if (target.silent_reference) continue;
    if (options.vocals_from_accompaniment_problem && target.target == "vocals" && scores.size() > 1) continue;
    track.targets.push_back(convert(target, scores.front()));
  }
  for (std::size_t p = 1; p < scores.size(); ++p) {
    for (const TargetScores& target : scores[p].targets) {
      if (target.silent_reference) continue;
      if (target.target == "vocals" && !options.vocals_from_accompaniment_problem) continue;
      track.targets.push_back(convert(target, scores[p]));
    }
  }
  return track;
}

std::string to_museval_json(const MusevalTrack& track) {
  std::string out = "{\n  \"targets\": [";
  for (std::size_t j = 0; j < track.targets.size(); ++j) {
    const MusevalTarget& target = track.targets[j];
    out += j == 0 ? "\n" : ",\n";
    out += "    {\n      \"name\": " + quoted(target.name, "museval JSON") + ",\n      \"frames\": [";
    for (std::size_t t = 0; t < target.frames.size(); ++t) {
      const MusevalFrame& f = target.frames[t];
      out += t == 0 ? "\n" : ",\n";
      out += fmt::format(
          "        {{\n          \"time\": {},\n          \"duration\": {},\n          \"metrics\": {{\n"
          "            \"SDR\": {},\n            \"SIR\": {},\n            \"SAR\": {},\n            \"ISR\": {}\n"
          "          }}\n        }}",
          python_float(f.time_s), python_float(f.duration_s), five_decimals_text(f.sdr), five_decimals_text(f.sir),
          five_decimals_text(f.sar), five_decimals_text(f.isr));
    }
    out += target.frames.empty() ? "]\n    }" : "\n      ]\n    }";
  }
  out += track.targets.empty() ? "]" : "\n  ]";
  out += ",\n  \"museval_version\": " + quoted(track.version, "museval JSON") + "\n}";
  return out;
}

void write_museval_json(const std::filesystem::path& path, const MusevalTrack& track) {
  core::write_file_atomic(path, to_museval_json(track));
}

MusevalTrack parse_museval_json(std::string_view text, std::string_view name) {
  if (MusevalTrack scanned; MusevalScanner(text).parse(scanned)) return scanned;
  const std::string file(name);
  const core::Value root = core::parse_json(text, name, {.allow_nan_tokens = true});
  const auto fail = [&](const std::string& what) { return Error(Code::format, file, what); };
  if (!root.is_object()) throw fail("not a museval score file: no object");
  const core::Value* targets = root.find("targets");
  if (targets == nullptr || !targets->is_array()) throw fail("not a museval score file: no list 'targets'");
  MusevalTrack track;
  const core::Value* version = root.find("museval_version");
  track.version = version != nullptr && version->is_string() ? version->as_string() : std::string();
  for (const core::Value& t : targets->as_array()) {
    MusevalTarget target;
    const core::Value* target_name = t.find("name");
    const core::Value* frames = t.find("frames");
    if (target_name == nullptr || !target_name->is_string()) throw fail("target without a name");
    target.name = target_name->as_string();
    if (frames == nullptr || !frames->is_array()) throw fail("target '" + target.name + "' without a list 'frames'");
    for (const core::Value& f : frames->as_array()) {
      const std::string where = fmt::format("{}: target '{}', frame {}", file, target.name, target.frames.size());
      const core::Value* metrics = f.find("metrics");
      if (metrics == nullptr || !metrics->is_object()) throw Error(Code::format, where, "no object 'metrics'");
      target.frames.push_back({metric_value(f, "time", where), metric_value(f, "duration", where),
                               metric_value(*metrics, "SDR", where), metric_value(*metrics, "ISR", where),
                               metric_value(*metrics, "SIR", where), metric_value(*metrics, "SAR", where)});
    }
    track.targets.push_back(std::move(target));
  }
  return track;
}

MusevalTrack read_museval_json(const std::filesystem::path& path) {
  return parse_museval_json(core::read_text_file(path), path.string());
}

}  // namespace mss::eval
