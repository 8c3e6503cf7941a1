#include "cli/stem_files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "cli/failure.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "records/store.h"

namespace mss::cli {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string>& variables() {
  static const std::vector<std::string> names = {"track", "trackext", "stem", "ext", "dir"};
  return names;
}

/// Calls `put` with every variable of the template, and appends what it gives in its place.
template <class F>
std::string expanded(const std::string& text, const std::string& place, F put) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '{') {
      out += text[at++];
      continue;
    }
    const std::size_t end = text.find('}', at);
    const std::string name = text.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    if (end == std::string::npos || std::ranges::find(variables(), name) == variables().end()) {
      throw Error({Code::config, place, "unknown variable '{" + name + (end == std::string::npos ? "'" : "}'"),
                   "{" + core::join(variables(), "}, {") + "}", "'" + text + "'",
                   core::did_you_mean(name, variables())});
    }
    out += put(name);
    at = end + 1;
  }
  return out;
}

std::string folder_name(const fs::path& file) {
  std::error_code ignored;
  return fs::weakly_canonical(file, ignored).parent_path().filename().string();
}

}  // namespace

std::string safe_name(const std::string& song) {
  return song.empty() || song == "." || song == ".." ? records::path_component(song) : song;
}

FileNames::FileNames(std::string text, std::string extension, std::string place)
    : text_(std::move(text)), extension_(std::move(extension)) {
  const std::string tried = expanded(
      text_, place, [&](const std::string& name) { return name == "ext" ? extension_.substr(1) : std::string("x"); });
  const fs::path path = tried;
  const auto refuse = [&](const std::string& what, const std::string& expected) {
    throw Error({Code::config, place, what, expected, "'" + text_ + "'", ""});
  };
  if (path.is_absolute()) refuse("an absolute path", "a path below the folder -o");
  for (const fs::path& part : path) {
    if (part == "..") refuse("a path that leads out of the folder -o", "a path without ..");
  }
  if (!path.has_filename()) refuse("no name of a file", std::string("such as ") + kUsual);
  if (path.extension() != extension_) refuse("another extension than the format's", "a name that ends in .{ext}");
}

fs::path FileNames::path(const Song& song, const std::string& stem) const {
  return fs::path(expanded(text_, "",
                           [&](const std::string& name) -> std::string {
                             if (name == "track") return safe_name(song.name);
                             if (name == "stem") return records::path_component(stem);
                             if (name == "ext") return extension_.substr(1);
                             if (name == "dir") return safe_name(folder_name(song.file));
                             const std::string own = song.file.extension().string();
                             return own.empty() ? own : own.substr(1);
                           }))
      .lexically_normal();
}

void FileSet::add(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) == 0) files_.emplace(status.st_dev, status.st_ino);
}

bool FileSet::contains(const fs::path& file) const {
  struct stat status {};
  return ::stat(file.c_str(), &status) == 0 && files_.contains({status.st_dev, status.st_ino});
}

// ---- FileSink

FileSink::~FileSink() {
  writers_.clear();  // temporary files go first
  std::error_code ignored;
  // Only where they are still empty.
  for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder) fs::remove(*folder, ignored);
}

void FileSink::make_folder(const fs::path& folder) {
  std::vector<fs::path> missing;
  std::error_code ignored;
  for (fs::path at = folder; !at.empty() && !fs::exists(at, ignored); at = at.parent_path()) missing.push_back(at);
  core::make_directories(folder);
  made_.insert(made_.end(), missing.rbegin(), missing.rend());
}

void FileSink::begin(const methods::StemFormat& format) {
  writing([&] {
    for (std::size_t s = 0; s < format.targets.size(); ++s) {
      const std::string& target = format.targets[s];
      if (!wanted_.only.empty() && std::ranges::find(wanted_.only, target) == wanted_.only.end()) continue;
      const fs::path path = wanted_.out / wanted_.names->path(*wanted_.song, target);
      for (const Written& other : outputs_) {
        if (other.path != path) continue;
        throw Error({Code::config, "--filename", "two stems of one name", "a template with {stem}",
                     "'" + wanted_.names->text() + "'", ""});
      }
      if (wanted_.inputs != nullptr && wanted_.inputs->contains(path)) {
        throw Error({Code::config, path.string(), "would overwrite an input file", "", "", "choose another -o"});
      }
      make_folder(path.parent_path());
      chosen_.push_back(s);
      outputs_.push_back({target, path, 0});
      writers_.push_back(std::make_unique<audio::Writer>(path, format.channels, format.rate_hz, wanted_.options));
    }
  });
}

void FileSink::write(const methods::StemBlock& block) {
  writing([&] {
    for (std::size_t i = 0; i < writers_.size(); ++i) writers_[i]->write(block.stems[chosen_[i]]);
  });
}

std::vector<Written> FileSink::finish() {
  return writing([&] {
    for (std::size_t i = 0; i < writers_.size(); ++i) outputs_[i].clipped = writers_[i]->finish();
    made_.clear();
    return outputs_;
  });
}

// ---- TwoStems

std::vector<std::string> TwoStems::names(const std::string& target, const std::vector<std::string>& targets,
                                         const std::string& spec) {
  if (std::ranges::find(targets, target) == targets.end()) {
    throw Error({Code::config, spec, "--two-stems: the method has no stem '" + target + "'", core::join(targets, ", "),
                 "", core::did_you_mean(target, targets)});
  }
  return {target, "no_" + target};
}

void TwoStems::begin(const methods::StemFormat& format) {
  at_ = static_cast<std::size_t>(std::ranges::find(format.targets, target_) - format.targets.begin());
  MSS_ASSERT(at_ < format.targets.size());
  methods::StemFormat two = format;
  two.targets = names(target_, format.targets, "");
  if (format.targets.size() == 1) mixture_ = open_();
  out_.begin(two);
}

void TwoStems::write(const methods::StemBlock& block) {
  const audio::AudioView target = block.stems[at_];
  audio::AudioBuffer rest(target.channels(), target.samples(), target.rate_hz());
  if (mixture_ == nullptr) {
    for (std::size_t s = 0; s < block.stems.size(); ++s) {
      if (s != at_) audio::add_to(rest.span(), block.stems[s]);
    }
  } else {
    for (std::int64_t done = 0; done < target.samples();) {
      const std::int64_t n = mixture_->read(rest.span().slice(done, target.samples() - done));
      MSS_ASSERT(n > 0);  // stems are as long as the mixture
      done += n;
    }
    for (int c = 0; c < target.channels(); ++c) {
      const auto left = rest.channel(c);
      const auto taken = target.channel(c);
      for (std::size_t i = 0; i < left.size(); ++i) left[i] -= taken[i];
    }
  }
  out_.write({.begin = block.begin, .stems = {target, rest.view()}});
}

}  // namespace mss::cli
