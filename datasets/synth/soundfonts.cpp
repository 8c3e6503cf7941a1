#include "datasets/synth/soundfonts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/text.h"

namespace mss::datasets::synth {

namespace fs = std::filesystem;

const FontFacts& facts_of(Font font) {
  static constexpr std::array<FontFacts, kFonts> kFacts = {
      {{Font::fluid_r3, "FluidR3_GM.sf2", "fluid-soundfont-gm", 148398306, "74594e8f4250680a"},
       {Font::timgm6mb, "TimGM6mb.sf2", "timgm6mb-soundfont", 5969788, "c5378b62028c920c"},
       {Font::black_pearl, "Black_Pearl_4_LV2.sf2", "avldrums.lv2-soundfont", 19448282, "3bc27deb1b9d6a91"},
       {Font::red_zeppelin, "Red_Zeppelin_4_LV2.sf2", "avldrums.lv2-soundfont", 26571984, "e8710b899ece8f83"}}};
  return kFacts[static_cast<std::size_t>(font)];
}

std::vector<Font> fonts_of(Split split) {
  if (split == Split::test) return {Font::timgm6mb, Font::black_pearl, Font::red_zeppelin};
  return {Font::fluid_r3};
}

Font font_of(const Score& score, Part part) {
  if (score.split != Split::test) return Font::fluid_r3;
  const Program program = score.program(part);
  if (!program.acoustic) return Font::timgm6mb;
  return program.number == 0 ? Font::black_pearl : Font::red_zeppelin;
}

namespace {

std::vector<fs::path> search_folders(const std::vector<fs::path>& folders) {
  std::vector<fs::path> all = folders;
  const auto add_list = [&](const char* list, const fs::path& below) {
    for (const std::string& part : core::split(list, ':')) {
      if (!part.empty()) all.push_back(below.empty() ? fs::path(part) : fs::path(part) / below);
    }
  };
  if (const char* own = std::getenv("MSSBENCH_SOUNDFONTS")) add_list(own, {});
  const char* data = std::getenv("XDG_DATA_DIRS");
  if (data != nullptr && *data != '\0') add_list(data, "sounds/sf2");
  add_list("/usr/local/share:/usr/share", "sounds/sf2");
  return all;
}

std::vector<fs::path> soundfonts_in(const fs::path& place) {
  std::error_code error;
  if (fs::is_regular_file(place, error)) return {place};
  std::vector<fs::path> files;
  if (!fs::is_directory(place, error)) return files;
  for (const fs::path& path : core::list_directory(place)) {
    if (core::to_lower(path.extension().string()) == ".sf2" && fs::is_regular_file(path, error)) files.push_back(path);
  }
  return files;
}

std::optional<FoundFont> look_for(const FontFacts& facts, const std::vector<fs::path>& places) {
  std::optional<fs::path> of_that_name;
  for (const fs::path& place : places) {
    for (const fs::path& file : soundfonts_in(place)) {
      std::error_code error;
      if (!of_that_name && file.filename().string() == facts.file) of_that_name = file;
      if (fs::file_size(file, error) != facts.bytes || error) continue;
      std::string hash = core::sha256_file(file);
      if (hash.starts_with(facts.sha256)) return FoundFont{file, std::move(hash), true};
    }
  }
  if (!of_that_name) return std::nullopt;
  return FoundFont{*of_that_name, core::sha256_file(*of_that_name), false};
}

}  // namespace

FoundFont find_font(Font font, const std::vector<fs::path>& folders, const core::LogFn& log) {
  const FontFacts& facts = facts_of(font);
  const std::vector<fs::path> places = search_folders(folders);
  std::optional<FoundFont> found = look_for(facts, places);
  if (!found) {
    std::vector<std::string> names;
    for (const fs::path& place : places) names.push_back(place.string());
    throw Error(ErrorParts{.code = Code::config,
                           .where = std::string(facts.file),
                           .what = "the soundfont is not to be found",
                           .expected = fmt::format("in one of {}", core::join(names, ", ")),
                           .found = "no file of that name or content",
                           .hint = fmt::format("Debian's package {} has it (apt-get install {}); --renderer builtin "
                                               "needs no soundfont",
                                               facts.package, facts.package)});
  }
  if (!found->published) {
    core::log(
        log, core::LogLevel::warning,
        fmt::format("{}: SHA-256 {}…, the published file has {}…; songs made with it are recorded with its hash and "
                    "are not the published ones",
                    found->path.string(), found->sha256.substr(0, 16), facts.sha256));
  }
  return std::move(*found);
}

std::string missing_package(const std::vector<Split>& splits, const std::vector<fs::path>& folders) {
  const std::vector<fs::path> places = search_folders(folders);
  for (const Split split : splits) {
    for (const Font font : fonts_of(split)) {
      if (!look_for(facts_of(font), places)) return std::string(facts_of(font).package);
    }
  }
  return {};
}

}  // namespace mss::datasets::synth
