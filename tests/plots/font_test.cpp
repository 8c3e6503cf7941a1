#include "plots/font.h"

#include <set>
#include <string>
#include <vector>

#include "plots/image.h"
#include "tests/support/catch.h"

using namespace mss::plots;

TEST_CASE("every printable ASCII character has a glyph of its own", "[plots]") {
  std::set<std::vector<int>> shapes;
  const Glyph& box = glyph('\x7f');
  for (char c = '!'; c < '\x7f'; ++c) {
    INFO(c);
    const Glyph& g = glyph(c);
    REQUIRE(g.columns >= 1);
    REQUIRE(g.columns <= 5);
    std::vector<int> rows(g.rows, g.rows + kGlyphRows);
    int ink = 0;
    for (const int row : rows) {
      CHECK(row < (1 << g.columns));
      ink += row;
    }
    CHECK(ink > 0);
    CHECK(shapes.insert(rows).second);
    CHECK(rows != std::vector<int>(box.rows, box.rows + kGlyphRows));
  }
  CHECK(shapes.size() == 94);
  for (const int row : glyph(' ').rows) CHECK(row == 0);
  for (char c = '0'; c <= '9'; ++c) CHECK(glyph(c).columns == 5);
  // Capitals and digits stand on the base line, in full height.
  for (const char c : std::string("ABCDEFGHIJKLMNOPRSTUVWXYZ0123456789")) {
    INFO(c);
    CHECK(glyph(c).rows[0] != 0);
    CHECK(glyph(c).rows[kGlyphAscent - 1] != 0);
    CHECK(glyph(c).rows[kGlyphAscent] == 0);
  }
}

TEST_CASE("text outside ASCII and control characters are replaced, one for one", "[plots]") {
  CHECK(plain_text("Mot\xc3\xb6rhead\n\x01 ok") == "Mot?rhead   ok");
  CHECK(plain_text("") == "");
  CHECK(glyph('\xff').columns == glyph('\x7f').columns);
}

TEST_CASE("text is as wide as its glyphs at every scale", "[plots]") {
  CHECK(text_width("") == 0);
  CHECK(text_width("00") == 11);
  CHECK(text_width("00", 3) == 33);
  Image image(80, 40);
  image.text(10, 8, "H", {0, 0, 0}, 3);
  int left = 80, right = 0, top = 40, bottom = 0;
  for (int y = 0; y < 40; ++y) {
    for (int x = 0; x < 80; ++x) {
      if (image.at(x, y) == Rgb{255, 255, 255}) continue;
      left = std::min(left, x);
      right = std::max(right, x + 1);
      top = std::min(top, y);
      bottom = std::max(bottom, y + 1);
    }
  }
  CHECK(left == 10);
  CHECK(right == 10 + text_width("H", 3));
  CHECK(top == 8);
  CHECK(bottom == 8 + kGlyphAscent * 3);
}

TEST_CASE("scale 1 shows the cells, larger scales keep ink and level", "[plots]") {
  const Glyph& g = glyph('A');
  const auto bare = glyph_coverage(g, 1);
  for (int y = 0; y < kGlyphRows; ++y) {
    for (int x = 0; x < g.columns; ++x)
      CHECK(bare[static_cast<std::size_t>(y * g.columns + x)] == static_cast<float>((g.rows[y] >> x) & 1));
  }
  double ink = 0;
  for (const float c : bare) ink += static_cast<double>(c);
  for (const int scale : {2, 3, 4, 7}) {
    double smooth = 0;
    for (const float c : glyph_coverage(g, scale)) {
      CHECK(c >= 0);
      CHECK(c <= 1);
      smooth += static_cast<double>(c);
    }
    CHECK(smooth / (scale * scale) == Approx(ink).epsilon(0.2));
  }
}

TEST_CASE("text read upwards is text turned left", "[plots]") {
  Image flat(60, 20), up(20, 60);
  flat.text(5, 4, "Rq2", {0, 0, 0}, 2);
  up.text_upwards(4, 54, "Rq2", {0, 0, 0}, 2);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 54; ++x) CHECK((flat.at(x, y) == up.at(y, 58 - x)));
  }
}
