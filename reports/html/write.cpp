#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/escape.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/stop.h"
#include "reports/html/page.h"

namespace mss::reports::html {
namespace {

namespace fs = std::filesystem;
using core::Value;

/// JSON that may stand inside a script element, and be a script's argument: no "<" that could end the element or open a
/// comment, no line ends of JavaScript that JSON does not know.
std::string script_json(const Value& value) {
  const std::string json = core::dump_json(value);
  std::string out;
  out.reserve(json.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string_view rest(json.data() + i, json.size() - i);
    if (json[i] == '<') {
      out += "\\u003c";
    } else if (json[i] == '>') {
      out += "\\u003e";
    } else if (json[i] == '&') {
      out += "\\u0026";
    } else if (rest.starts_with("\xe2\x80\xa8") || rest.starts_with("\xe2\x80\xa9")) {
      out += rest[2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out += json[i];
    }
  }
  return out;
}

/// Source of a Content-Security-Policy for an element with this text.
std::string csp_hash(std::string_view text) {
  const std::string hex = core::sha256_hex(text);
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return "'sha256-" + base64(bytes) + "'";
}

bool is_data_name(const std::string& name) {
  for (const char* first : {"report.js", "track-", "media-", "audio-"})
    if (name.starts_with(first)) return true;
  return false;
}

class FolderSink final : public Sink {
 public:
  explicit FolderSink(fs::path out) : out_(std::move(out)) {
    core::make_directories(out_ / "page/data");
    // What an earlier report left there is not of this one; other people's files stay.
    for (const auto& [part, extension] : {std::pair{"page/data", ".js"}, {"page/spectra", ".png"}}) {
      if (!fs::is_directory(out_ / part)) continue;
      for (const fs::path& file : core::list_directory(out_ / part)) {
        const std::string name = file.filename().string();
        const bool ours = extension == std::string(".png") ? name.starts_with("m") : is_data_name(name);
        std::error_code ignored;
        if (ours && file.extension() == extension) fs::remove(file, ignored);
      }
    }
  }

  void data(const std::string& name, const Value& value) override {
    const std::string json = script_json(value), head = "mssbench.data(\"" + name + "\",";
    const std::string_view pieces[] = {head, json, ");\n"};
    core::write_file_atomic(out_ / "page/data" / (name + ".js"), pieces);
  }

  std::string png(const std::string& name, std::string_view bytes) override {
    core::make_directories(out_ / "page/spectra");
    core::write_file_atomic(out_ / "page/spectra" / (name + ".png"), bytes);
    return "page/spectra/" + name + ".png";
  }

 private:
  fs::path out_;
};

class SingleSink final : public Sink {
 public:
  void data(const std::string& name, const Value& value) override {
    blocks += "<script type=\"application/json\" id=\"data-" + name + "\">" + script_json(value) + "</script>\n";
  }
  std::string png(const std::string&, std::string_view bytes) override {
    return "data:image/png;base64," + base64(bytes);
  }

  std::string blocks;
};

/// `text` with every @NAME@ of `values` replaced.
std::string filled(std::string_view text, const std::vector<std::pair<std::string_view, std::string_view>>& values) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    bool found = false;
    for (const auto& [name, value] : values) {
      if (text.compare(i, name.size(), name) != 0) continue;
      out += value;
      i += name.size();
      found = true;
      break;
    }
    if (!found) out += text[i++];
  }
  return out;
}

std::string title_of(const Report& report) {
  std::vector<std::string> names;
  for (const Section& section : report.sections) {
    if (std::find(names.begin(), names.end(), section.dataset) == names.end()) names.push_back(section.dataset);
  }
  std::string out = "Source separation on ";
  for (std::size_t i = 0; i < names.size(); ++i)
    out += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return out;
}

}  // namespace

std::vector<std::string> write(const Report& report, const std::vector<records::Record>& records,
                               const Options& options, const fs::path& out) {
  core::make_directories(out);
  const RecordIndex index(report, records);
  SingleSink single;
  std::optional<FolderSink> folder;
  if (!options.single) folder.emplace(out);
  Sink& sink = options.single ? static_cast<Sink&>(single) : *folder;

  std::vector<std::string> warnings;
  MediaNames media;
  if (!options.audio.empty()) warnings = write_media(report, index, options, sink, out, media);

  Value data = report_data(report, index, options);
  data["single"] = options.single;
  auto& sections = data["sections"].as_array();
  for (std::size_t s = 0; s < report.sections.size(); ++s) {
    auto& tracks = sections[s]["tracks"].as_array();
    for (std::size_t t = 0; t < report.sections[s].track_names.size(); ++t) {
      core::check_stop();
      const std::string id = fmt::format("{}-{}", s, t);
      const Value frames = track_data(report, index, s, t, options.single);
      tracks[t]["frames"] = !frames.is_null();
      const auto found = media.find({s, t});
      tracks[t]["media"] = found == media.end() ? Value() : Value(found->second);
      if (!frames.is_null()) sink.data("track-" + id, frames);
    }
  }
  sink.data("report", data);

  const std::string title = core::escape_html(title_of(report));
  std::string policy, style, scripts;
  if (options.single) {
    policy = fmt::format(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        csp_hash(kPageScript), csp_hash(kPageStyle));
    style = std::string("<style>") + kPageStyle + "</style>";
    scripts = single.blocks + "<script>" + kPageScript + "</script>";
  } else {
    // Not every browser takes a file on disk for 'self'.
    policy =
        "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file:; base-uri 'none'; "
        "form-action 'none'";
    style = "<link rel=\"stylesheet\" href=\"page/report.css\">";
    scripts = "<script src=\"page/report.js\"></script>";
    core::write_file_atomic(out / "page/report.css", kPageStyle);
    core::write_file_atomic(out / "page/report.js", kPageScript);
  }
  core::write_file_atomic(
      out / "index.html",
      filled(kPageTemplate, {{"@TITLE@", title}, {"@POLICY@", policy}, {"@STYLE@", style}, {"@SCRIPTS@", scripts}}));
  return warnings;
}

}  // namespace mss::reports::html
