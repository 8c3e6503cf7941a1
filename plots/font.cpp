#include "plots/font.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace mss::plots {
namespace {

// Rows from the top, separated by blanks; rows eight and nine lie below the base line. One line per character, from '
// '.
constexpr std::array<const char*, 95> kShapes = {
    "..... ..... ..... ..... ..... ..... .....",              // space
    "#.... #.... #.... #.... #.... ..... #....",              // !
    "#.#.. #.#.. ..... ..... ..... ..... .....",              // "
    ".#.#. .#.#. ##### .#.#. ##### .#.#. .#.#.",              // #
    "..#.. .#### #.#.. .###. ..#.# ####. ..#..",              // $
    "##..# ##..# ...#. ..#.. .#... #..## #..##",              // %
    ".##.. #..#. #.#.. .#... #.#.# #..#. .##.#",              // &
    "#.... #.... ..... ..... ..... ..... .....",              // '
    "..#.. .#... #.... #.... #.... #.... #.... .#... ..#..",  // (
    "#.... .#... ..#.. ..#.. ..#.. ..#.. ..#.. .#... #....",  // )
    "..... ..#.. #.#.# .###. #.#.# ..#.. .....",              // *
    "..... ..#.. ..#.. ##### ..#.. ..#.. .....",              // +
    "..... ..... ..... ..... ..... ##... ##... .#... #....",  // ,
    "..... ..... ..... ###.. ..... ..... .....",              // -
    "..... ..... ..... ..... ..... ##... ##...",              // .
    "....# ....# ...#. ..#.. .#... #.... #....",              // /
    "..#.. .#.#. #...# #...# #...# .#.#. ..#..",              // 0
    "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",              // 1
    ".###. #...# ....# ...#. ..#.. .#... #####",              // 2
    "##### ...#. ..#.. ...#. ....# #...# .###.",              // 3
    "...#. ..##. .#.#. #..#. ##### ...#. ...#.",              // 4
    "##### #.... ####. ....# ....# #...# .###.",              // 5
    "..##. .#... #.... ####. #...# #...# .###.",              // 6
    "##### ....# ...#. ...#. ..#.. ..#.. ..#..",              // 7
    ".###. #...# #...# .###. #...# #...# .###.",              // 8
    ".###. #...# #...# .#### ....# ...#. .##..",              // 9
    "..... ##... ##... ..... ##... ##... .....",              // :
    "..... ##... ##... ..... ##... ##... .#... #....",        // ;
    "...#. ..#.. .#... #.... .#... ..#.. ...#.",              // <
    "..... ..... ####. ..... ####. ..... .....",              // =
    "#.... .#... ..#.. ...#. ..#.. .#... #....",              // >
    ".###. #...# ....# ...#. ..#.. ..... ..#..",              // ?
    ".###. #...# #.### #.#.# #.### #.... .####",              // @
    "..#.. .#.#. #...# #...# ##### #...# #...#",              // A
    "####. #...# #...# ####. #...# #...# ####.",              // B
    ".###. #...# #.... #.... #.... #...# .###.",              // C
    "###.. #..#. #...# #...# #...# #..#. ###..",              // D
    "##### #.... #.... ####. #.... #.... #####",              // E
    "##### #.... #.... ####. #.... #.... #....",              // F
    ".###. #...# #.... #.### #...# #...# .####",              // G
    "#...# #...# #...# ##### #...# #...# #...#",              // H
    "###.. .#... .#... .#... .#... .#... ###..",              // I
    "...#. ...#. ...#. ...#. ...#. #..#. .##..",              // J
    "#...# #..#. #.#.. ##... #.#.. #..#. #...#",              // K
    "#.... #.... #.... #.... #.... #.... ####.",              // L
    "#...# ##.## #.#.# #.#.# #...# #...# #...#",              // M
    "#...# ##..# ##..# #.#.# #..## #..## #...#",              // N
    ".###. #...# #...# #...# #...# #...# .###.",              // O
    "####. #...# #...# ####. #.... #.... #....",              // P
    ".###. #...# #...# #...# #.#.# #..#. .##.#",              // Q
    "####. #...# #...# ####. #.#.. #..#. #...#",              // R
    ".#### #.... #.... .###. ....# ....# ####.",              // S
    "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#..",              // T
    "#...# #...# #...# #...# #...# #...# .###.",              // U
    "#...# #...# #...# #...# .#.#. .#.#. ..#..",              // V
    "#...# #...# #...# #.#.# #.#.# ##.## #...#",              // W
    "#...# #...# .#.#. ..#.. .#.#. #...# #...#",              // X
    "#...# #...# .#.#. ..#.. ..#.. ..#.. ..#..",              // Y
    "##### ....# ...#. ..#.. .#... #.... #####",              // Z
    "###.. #.... #.... #.... #.... #.... #.... #.... ###..",  // [
    "#.... #.... .#... ..#.. ...#. ....# ....#",              // backslash
    "###.. ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ###..",  // ]
    "..#.. .#.#. #...# ..... ..... ..... .....",              // ^
    "..... ..... ..... ..... ..... ..... ..... #####",        // _
    "#.... .#... ..... ..... ..... ..... .....",              // `
    "..... ..... .###. ....# .#### #...# .####",              // a
    "#.... #.... #.##. ##..# #...# #...# ####.",              // b
    "..... ..... .###. #.... #.... #.... .###.",              // c
    "....# ....# .##.# #..## #...# #...# .####",              // d
    "..... ..... .###. #...# ##### #.... .###.",              // e
    "..##. .#... ####. .#... .#... .#... .#...",              // f
    "..... ..... .#### #...# #...# #..## .##.# ....# .###.",  // g
    "#.... #.... #.##. ##..# #...# #...# #...#",              // h
    "#.... ..... #.... #.... #.... #.... #....",              // i
    "..#.. ..... ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ##...",  // j
    "#.... #.... #..#. #.#.. ##... #.#.. #..#.",              // k
    "#.... #.... #.... #.... #.... #.... .#...",              // l
    "..... ..... ##.#. #.#.# #.#.# #.#.# #.#.#",              // m
    "..... ..... #.##. ##..# #...# #...# #...#",              // n
    "..... ..... .###. #...# #...# #...# .###.",              // o
    "..... ..... ####. #...# #...# ##..# #.##. #.... #....",  // p
    "..... ..... .#### #...# #...# #..## .##.# ....# ....#",  // q
    "..... ..... #.##. ##... #.... #.... #....",              // r
    "..... ..... .#### #.... .###. ....# ####.",              // s
    ".#... .#... ####. .#... .#... .#... ..##.",              // t
    "..... ..... #...# #...# #...# #..## .##.#",              // u
    "..... ..... #...# #...# .#.#. .#.#. ..#..",              // v
    "..... ..... #...# #.#.# #.#.# #.#.# .#.#.",              // w
    "..... ..... #...# .#.#. ..#.. .#.#. #...#",              // x
    "..... ..... #...# #...# #...# #..## .##.# ....# .###.",  // y
    "..... ..... ##### ...#. ..#.. .#... #####",              // z
    "..##. .#... .#... .#... #.... .#... .#... .#... ..##.",  // {
    "#.... #.... #.... #.... #.... #.... #.... #.... #....",  // |
    "##... ..#.. ..#.. ..#.. ...#. ..#.. ..#.. ..#.. ##...",  // }
    "..... ..... .#..# #.#.# #..#. ..... .....",              // ~
};
constexpr const char* kBox = "##### #...# #...# #...# #...# #...# #####";

Glyph parse(const char* shape, int least_columns) {
  Glyph g;
  int row = 0, column = 0;
  for (const char* at = shape; *at != '\0'; ++at) {
    if (*at == ' ') {
      ++row;
      column = 0;
      continue;
    }
    if (*at == '#') {
      g.rows[row] = static_cast<std::uint8_t>(g.rows[row] | (1U << column));
      g.columns = std::max(g.columns, column + 1);
    }
    ++column;
  }
  g.columns = std::max(g.columns, least_columns);
  return g;
}

const std::array<Glyph, 96>& glyphs() {
  static const std::array<Glyph, 96> all = [] {
    std::array<Glyph, 96> out;
    for (std::size_t i = 0; i < kShapes.size(); ++i) {
      const char c = static_cast<char>(' ' + static_cast<int>(i));
      out[i] = parse(kShapes[i], c >= '0' && c <= '9' ? 5 : c == ' ' ? 3 : 1);
    }
    out.back() = parse(kBox, 5);
    return out;
  }();
  return all;
}

/// A bitmap with a border of empty cells on every side.
struct Bitmap {
  int width = 0, height = 0;
  std::vector<char> cells;
  Bitmap(int w, int h) : width(w), height(h), cells(static_cast<std::size_t>(w) * static_cast<std::size_t>(h), 0) {}
  char at(int x, int y) const {
    return x < 0 || y < 0 || x >= width || y >= height
               ? '\0'
               : cells[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)];
  }
  void set(int x, int y, char value) {
    cells[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)] = value;
  }
};

Bitmap doubled(const Bitmap& in) {
  Bitmap out(in.width * 2, in.height * 2);
  for (int y = 0; y < in.height; ++y) {
    for (int x = 0; x < in.width; ++x) {
      const char e = in.at(x, y), up = in.at(x, y - 1), down = in.at(x, y + 1), left = in.at(x - 1, y),
                 right = in.at(x + 1, y);
      const bool corner = up != down && left != right;
      out.set(2 * x, 2 * y, corner && left == up ? left : e);
      out.set(2 * x + 1, 2 * y, corner && up == right ? right : e);
      out.set(2 * x, 2 * y + 1, corner && left == down ? left : e);
      out.set(2 * x + 1, 2 * y + 1, corner && down == right ? right : e);
    }
  }
  return out;
}

}  // namespace

const Glyph& glyph(char character) noexcept {
  const auto code = static_cast<unsigned char>(character);
  return glyphs()[code >= 0x20 && code < 0x7f ? code - 0x20U : 95U];
}

std::string plain_text(std::string_view utf8) {
  std::string out;
  for (const char c : utf8) {
    const auto code = static_cast<unsigned char>(c);
    if (code >= 0x80) {
      if (code >= 0xc0) out += '?';
    } else {
      out += code < 0x20 || code == 0x7f ? ' ' : c;
    }
  }
  return out;
}

int text_width(std::string_view text, int scale) noexcept {
  int cells = 0;
  for (const char c : text) cells += glyph(c).columns + 1;
  return cells == 0 ? 0 : (cells - 1) * scale;
}

std::vector<float> glyph_coverage(const Glyph& g, int scale) {
  const int width = g.columns * scale, height = kGlyphRows * scale;
  std::vector<float> out(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), 0.0F);
  Bitmap bits(g.columns, kGlyphRows);
  for (int y = 0; y < kGlyphRows; ++y) {
    for (int x = 0; x < g.columns; ++x) bits.set(x, y, static_cast<char>((g.rows[y] >> x) & 1));
  }
  if (scale > 1) bits = doubled(doubled(bits));
  const int factor = scale > 1 ? 4 : 1;
  // Every output pixel is the mean of 4 x 4 samples of the smoothed bitmap.
  constexpr int kSamples = 4;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      int ink = 0;
      for (int j = 0; j < kSamples; ++j) {
        for (int i = 0; i < kSamples; ++i) {
          ink += bits.at((2 * (x * kSamples + i) + 1) * factor / (2 * kSamples * scale),
                         (2 * (y * kSamples + j) + 1) * factor / (2 * kSamples * scale));
        }
      }
      out[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)] =
          static_cast<float>(ink) / (kSamples * kSamples);
    }
  }
  return out;
}

}  // namespace mss::plots
