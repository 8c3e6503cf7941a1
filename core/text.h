// Small text helpers that error messages and tables share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mss::core {

/// The candidate with the smallest edit distance (Damerau-Levenshtein, case-insensitive), or "" when even the best is
/// further than max(2, length/3).
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
/// "did you mean 'X'?" or "" (see nearest).
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text) noexcept;
std::string to_lower(std::string_view text);
/// Does all of `text` match a pattern of a shell: * any run of characters, ? one byte; nothing else is special.
bool matches_glob(std::string_view text, std::string_view pattern) noexcept;
/// Valid UTF-8? (Names in records must be.)
bool is_utf8(std::string_view text) noexcept;
/// Number of terminal columns of UTF-8 text, counting each code point as one.
std::size_t display_width(std::string_view text) noexcept;

}  // namespace mss::core
