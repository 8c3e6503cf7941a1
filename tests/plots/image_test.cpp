#include "plots/image.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::plots;

namespace {

/// Decodes with libpng; no pixels if it refuses.
std::vector<Rgb> decode(const std::string& bytes, int& width, int& height) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) == 0) return {};
  png.format = PNG_FORMAT_RGB;
  width = static_cast<int>(png.width);
  height = static_cast<int>(png.height);
  std::vector<Rgb> pixels(static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
  if (png_image_finish_read(&png, nullptr, pixels.data(), 0, nullptr) == 0) return {};
  return pixels;
}

Image coloured(int width, int height) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x)
      image.set(
          x, y,
          {static_cast<std::uint8_t>(7 * x + y), static_cast<std::uint8_t>(x * y), static_cast<std::uint8_t>(y * 31)});
  }
  return image;
}

/// Types of the chunks in order.
std::vector<std::string> chunks(const std::string& png) {
  std::vector<std::string> out;
  for (std::size_t at = 8; at + 12 <= png.size();) {
    std::uint32_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) size = (size << 8) | static_cast<unsigned char>(png[at + i]);
    out.push_back(png.substr(at + 4, 4));
    at += 12 + size;
  }
  return out;
}

}  // namespace

TEST_CASE("a PNG decodes to the pixels that were written", "[plots]") {
  for (const auto& [width, height] : {std::pair{1, 1}, {2, 3}, {257, 129}, {1, kLargestSide}, {kLargestSide, 1}}) {
    const Image image = coloured(width, height);
    int w = 0, h = 0;
    const std::vector<Rgb> pixels = decode(encode_png(image), w, h);
    CHECK(w == width);
    CHECK(h == height);
    CHECK((pixels == image.pixels()));
  }
}

TEST_CASE("equal pictures have equal bytes, without time or text", "[plots]") {
  const std::string first = encode_png(coloured(90, 50)), second = encode_png(coloured(90, 50));
  CHECK(first == second);
  Image other = coloured(90, 50);
  other.set(5, 5, {1, 2, 3});
  CHECK(encode_png(other) != first);
  const auto types = chunks(first);
  CHECK(types.front() == "IHDR");
  CHECK(types.back() == "IEND");
  for (const char* unwanted : {"tIME", "tEXt", "zTXt", "iTXt"})
    CHECK(std::find(types.begin(), types.end(), unwanted) == types.end());
}

TEST_CASE("files are written atomically, and failures name the path", "[plots]") {
  const tests::TempDir folder;
  write_png(folder / "a.png", coloured(20, 10));
  CHECK(core::read_text_file(folder / "a.png") == encode_png(coloured(20, 10)));
  CHECK(core::list_directory(folder.path()).size() == 1);
  CHECK_THROWS_WITH(write_png(folder / "missing" / "a.png", coloured(2, 2)), Catch::Contains("missing"));
}

TEST_CASE("sizes are bounded", "[plots]") {
  CHECK_THROWS_AS(Image(0, 5), Error);
  CHECK_THROWS_AS(Image(5, -1), Error);
  CHECK_THROWS_AS(Image(kLargestSide + 1, 1), Error);
  CHECK_THROWS_AS(Image(kLargestSide, kLargestSide), Error);
  CHECK_THROWS_AS(Image(2, 2).at(2, 0), Error);
}

TEST_CASE("what is drawn outside is cut off", "[plots]") {
  Image image(10, 10);
  image.fill({-5, -5, 7, 7}, {255, 0, 0});
  image.fill({8, 8, 100, 100}, {0, 0, 255});
  image.text(-20, -16, "some text", {0, 0, 0}, 2);
  image.set(10, 3, {0, 0, 0});
  image.blend(-1, 3, {0, 0, 0}, 1);
  image.polyline({{-1e9, -1e9}, {1e9, 1e9}}, {0, 255, 0}, 1, image.bounds());
  CHECK((image.at(5, 5) == Rgb{0, 255, 0}));
  CHECK((image.at(9, 5) == Rgb{255, 255, 255}));
  CHECK((image.at(9, 8) != Rgb{255, 255, 255}));
}

TEST_CASE("lines cover their width once, also where they cross themselves", "[plots]") {
  Image image(40, 40);
  image.polyline({{5, 20}, {35, 20}}, {0, 0, 0}, 2, image.bounds());
  CHECK((image.at(20, 19) == Rgb{0, 0, 0}));
  CHECK((image.at(20, 20) == Rgb{0, 0, 0}));
  CHECK((image.at(20, 17) == Rgb{255, 255, 255}));
  CHECK((image.at(20, 22) == Rgb{255, 255, 255}));
  Image once(40, 40), twice(40, 40);
  once.polyline({{5, 5}, {35, 30}}, {0, 0, 0}, 1.5, once.bounds());
  twice.polyline({{5, 5}, {35, 30}, {5, 5}}, {0, 0, 0}, 1.5, twice.bounds());
  CHECK((once.pixels() == twice.pixels()));
  // The ink of a line is its length times its width.
  double ink = 0;
  for (const Rgb& p : once.pixels()) ink += 1 - p.r / 255.0;
  CHECK(ink == Approx(1.5 * std::hypot(30, 25)).epsilon(0.06));
  Image clipped(40, 40);
  clipped.polyline({{0, 20}, {40, 20}}, {0, 0, 0}, 3, {10, 10, 5, 20});
  CHECK((clipped.at(9, 20) == Rgb{255, 255, 255}));
  CHECK((clipped.at(10, 20) == Rgb{0, 0, 0}));
  CHECK((clipped.at(15, 20) == Rgb{255, 255, 255}));
}

TEST_CASE("colour maps run from dark to light", "[plots]") {
  const auto lightness = [](Rgb c) { return 0.2126 * c.r + 0.7152 * c.g + 0.0722 * c.b; };
  for (const ColorMap map : {ColorMap::viridis, ColorMap::magma, ColorMap::gray}) {
    double before = -1;
    for (int i = 0; i <= 200; ++i) {
      const double now = lightness(color_at(map, i / 200.0));
      CHECK(now >= before - 1.0);
      before = now;
    }
    CHECK((color_at(map, -3) == color_at(map, 0)));
    CHECK((color_at(map, 7) == color_at(map, 1)));
    CHECK((color_at(map, std::nan("")) == color_at(map, 0)));
    CHECK(lightness(color_at(map, 1)) - lightness(color_at(map, 0)) > 150);
  }
  CHECK((color_at(ColorMap::viridis, 0) == Rgb{0x44, 0x01, 0x54}));
  CHECK((color_at(ColorMap::viridis, 1) == Rgb{0xfd, 0xe7, 0x25}));
  CHECK((color_at(ColorMap::gray, 0.5) == Rgb{128, 128, 128}));
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < i; ++j) CHECK((line_color(i) != line_color(j)));
  }
  CHECK((line_color(8) == line_color(0)));
}
