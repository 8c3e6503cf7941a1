// Where `separate` writes: one file per stem, below one folder, under names made from a template.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "audio/file.h"
#include "cli/songs.h"
#include "methods/separator.h"

namespace mss::cli {

/// Names of the files of a song's stems below a folder: Demucs' variables {track}, {trackext}, {stem} and {ext} (the
/// extensions without their dots), and {dir}, the name of the folder that the song lies in. What is put in never leads
/// out of the folder (records::path_component).
class FileNames {
 public:
  static constexpr const char* kUsual = "{track}/{stem}.{ext}";
  /// Throws Error(config) naming `place`: unknown variables, "..", absolute paths, no name, another extension than
  /// `extension` (".wav").
  FileNames(std::string text, std::string extension, std::string place);
  std::filesystem::path path(const Song& song, const std::string& stem) const;
  const std::string& text() const noexcept { return text_; }
  bool usual() const noexcept { return text_ == kUsual; }

 private:
  std::string text_, extension_;
};

/// The folder below -o that a song's stems or pictures go to: its name, or, where that has a meaning in paths ("..wav"
/// and "...wav" leave "." and ".."), that name escaped.
std::string safe_name(const std::string& song);

/// Files told apart by what they are, not by how they are named.
class FileSet {
 public:
  void add(const std::filesystem::path& file);  ///< nothing where there is none
  bool contains(const std::filesystem::path& file) const;

 private:
  std::set<std::pair<std::uint64_t, std::uint64_t>> files_;  ///< device, inode
};

struct Written {
  std::string target;
  std::filesystem::path path;
  std::int64_t clipped = 0;
};

/// Streams stems into one writer per target; nothing stands under its final name before finish(), and without it folders
/// that were made for it go again.
class FileSink final : public methods::StemSink {
 public:
  struct Wanted {
    std::filesystem::path out;
    const FileNames* names = nullptr;
    const Song* song = nullptr;
    audio::WriteOptions options;
    std::vector<std::string> only;    ///< targets to write; empty = all
    const FileSet* inputs = nullptr;  ///< files that must not be overwritten
  };
  explicit FileSink(Wanted wanted) : wanted_(std::move(wanted)) {}
  ~FileSink() override;
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  void begin(const methods::StemFormat& format) override;
  void write(const methods::StemBlock& block) override;
  /// Closes the files and moves them into place.
  std::vector<Written> finish();

 private:
  void make_folder(const std::filesystem::path& folder);

  Wanted wanted_;
  std::vector<std::filesystem::path> made_;  ///< folders, outermost first
  std::vector<std::size_t> chosen_;          ///< of the stems that come
  std::vector<Written> outputs_;
  std::vector<std::unique_ptr<audio::Writer>> writers_;
};

/// Passes on two stems: `target` and "no_TARGET", the sum of the others, or, where there are none, what the target leaves
/// of the mixture, which `mixture` opens anew.
class TwoStems final : public methods::StemSink {
 public:
  TwoStems(methods::StemSink& out, std::string target, std::function<std::unique_ptr<audio::Source>()> mixture)
      : out_(out), target_(std::move(target)), open_(std::move(mixture)) {}
  /// The names of the two, of a method that yields `targets`. Throws Error(config) naming `spec` without the target.
  static std::vector<std::string> names(const std::string& target, const std::vector<std::string>& targets,
                                        const std::string& spec);
  void begin(const methods::StemFormat& format) override;
  void write(const methods::StemBlock& block) override;
  void end() override { out_.end(); }

 private:
  methods::StemSink& out_;
  std::string target_;
  std::function<std::unique_ptr<audio::Source>()> open_;
  std::unique_ptr<audio::Source> mixture_;
  std::size_t at_ = 0;  ///< of the target
};

}  // namespace mss::cli
