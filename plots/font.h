// The built-in font: printable ASCII, capitals 5 x 7 cells, two cells more for descenders, drawn for this project.
//
// Advances are proportional; digits share one. At scale s a cell is s x s pixels, and its stair-cased diagonals are
// smoothed: the bitmap is doubled twice with the Scale2x rule (A. Mazzoleni, AdvanceMAME, 2001: a corner of a cell
// takes the colour of its two outer neighbours where these agree) and averaged down to the scale. Scale 1 shows the
// bare cells.
//
// Thread-safety: pure functions on constant data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mss::plots {

constexpr int kGlyphRows = 9;    ///< of cells: 7 above the base line, 2 below
constexpr int kGlyphAscent = 7;  ///< rows above the base line
constexpr int kLargestTextScale = 16;

/// Ink of one character as cells: bit c (from the left, least significant first) of rows[r].
struct Glyph {
  std::uint8_t rows[kGlyphRows] = {};
  int columns = 0;  ///< width of the ink, 1 … 5; the advance is one more
};

/// Characters outside printable ASCII show as a hollow box.
const Glyph& glyph(char character) noexcept;

/// Text without surprises for this font: a UTF-8 sequence outside ASCII becomes one '?', control characters spaces.
std::string plain_text(std::string_view utf8);

/// Width in pixels of a line of text that has gone through plain_text; 0 for no text.
int text_width(std::string_view text, int scale = 1) noexcept;

/// Coverage of one glyph, (kGlyphRows * scale) rows of (columns * scale) values in [0, 1].
std::vector<float> glyph_coverage(const Glyph& glyph, int scale);

}  // namespace mss::plots
