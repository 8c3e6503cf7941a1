#include "plots/canvas.h"

#include <cstdio>

#include "core/error.h"
#include "core/file.h"
#include "plots/image.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::plots {
namespace {

bool skipped() {
  if (Canvas::available()) return false;
  std::printf("SKIPPED: built without Cairo\n");
  return true;
}

void draw(Canvas& canvas) {
  canvas.rectangle(10, 10, 50, 20, {200, 0, 0}, 0.5);
  canvas.line({0, 0}, {100, 40}, {0, 0, 0}, 1, true);
  canvas.circle({80, 20}, 5, {0, 0, 200});
  canvas.text({50, 35}, "Dvo\u0159\u00e1k \u6f22", 9, {0, 0, 0}, Align::center);
}

}  // namespace

TEST_CASE("a drawing is saved as PNG, SVG and PDF, the same bytes each time", "[plots]") {
  if (skipped()) return;
  const mss::tests::TempDir dir;
  for (const char* name : {"a.png", "a.svg", "a.PDF"}) {
    Canvas first(100, 40), second(100, 40);
    draw(first);
    draw(second);
    first.save(dir / name);
    const std::string bytes = core::read_text_file(dir / name);
    CHECK(bytes.size() > 300);
    second.save(dir / name);
    CHECK(core::read_text_file(dir / name) == bytes);
  }
  CHECK(core::read_text_file(dir / "a.png").substr(1, 3) == "PNG");
  CHECK(core::read_text_file(dir / "a.svg").find("<svg") != std::string::npos);
  CHECK(core::read_text_file(dir / "a.PDF").substr(0, 4) == "%PDF");
  Canvas canvas(100, 40);
  CHECK_THROWS_AS(canvas.save(dir / "a.gif"), Error);
  CHECK_THROWS_AS(canvas.save(dir / "none" / "a.png"), Error);
  CHECK_THROWS_AS(Canvas(0, 10), Error);
  CHECK(canvas.text_width("abc", 9) > canvas.text_width("ab", 9));
  CHECK(canvas.text_width("", 9) == 0);
  // Bytes that are no text do no harm.
  canvas.text({0, 10}, "\xff\xc3\x1b[31m\n", 9, {0, 0, 0});
  canvas.save(dir / "b.svg");
}

TEST_CASE("pictures keep letters that the built-in font lacks", "[plots]") {
  if (skipped()) return;
  const Lettering letters = lettering("\u00d8\u0159", 14);
  REQUIRE(letters.width > 10);
  CHECK(letters.coverage.size() == static_cast<std::size_t>(letters.width) * static_cast<std::size_t>(letters.height));
  double ink = 0;
  for (const float c : letters.coverage) ink += static_cast<double>(c);
  CHECK(ink > 20);
  // Two letters of one width that are drawn unlike each other, in one place.
  Image first(60, 30), second(60, 30);
  first.text(5, 5, "\u00e9", {0, 0, 0}, 2);
  second.text(5, 5, "\u00e8", {0, 0, 0}, 2);
  CHECK(first.pixels() != second.pixels());
  CHECK(line_width("\u00e9\u00e9", 2) > line_width("\u00e9", 2));
  CHECK(line_width("ab", 2) == line_width("ab", 1) * 2);
  Image upwards(30, 60);
  upwards.text_upwards(5, 55, "\u00e9", {0, 0, 0}, 2);
  CHECK(upwards.pixels() != Image(30, 60).pixels());
}

}  // namespace mss::plots
