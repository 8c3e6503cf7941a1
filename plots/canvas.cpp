#include "plots/canvas.h"

#include "core/error.h"

#ifdef MSSBENCH_HAVE_CAIRO
#include <cairo-ft.h>
#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <cairo.h>
#include <fontconfig/fontconfig.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "core/file.h"
#include "core/text.h"
#endif

namespace mss::plots {

#ifdef MSSBENCH_HAVE_CAIRO

namespace {

constexpr double kPixelsPerPoint = 2.5;

/// Faces that have a letter, by letter; fontconfig is asked once for each.
class Faces {
 public:
  cairo_font_face_t* face(char32_t letter, bool bold) {
    const auto key = std::make_pair(letter < 0x80 ? U' ' : letter, bold);
    auto found = faces_.find(key);
    if (found == faces_.end()) found = faces_.emplace(key, match(key.first, bold)).first;
    return found->second;
  }
  ~Faces() {
    for (auto& [key, face] : faces_) cairo_font_face_destroy(face);
  }

 private:
  static cairo_font_face_t* match(char32_t letter, bool bold) {
    FcPattern* pattern = FcPatternCreate();
    FcPatternAddString(pattern, FC_FAMILY, reinterpret_cast<const FcChar8*>("DejaVu Sans"));
    FcPatternAddString(pattern, FC_FAMILY, reinterpret_cast<const FcChar8*>("sans-serif"));
    FcPatternAddInteger(pattern, FC_WEIGHT, bold ? FC_WEIGHT_BOLD : FC_WEIGHT_NORMAL);
    FcCharSet* letters = FcCharSetCreate();
    FcCharSetAddChar(letters, letter);
    FcPatternAddCharSet(pattern, FC_CHARSET, letters);
    FcConfigSubstitute(nullptr, pattern, FcMatchPattern);
    FcDefaultSubstitute(pattern);
    // The best match need not have the letter: the first of the sorted list that does.
    FcResult result = FcResultMatch;
    FcFontSet* set = FcFontSort(nullptr, pattern, FcFalse, nullptr, &result);
    FcPattern* chosen = nullptr;
    for (int i = 0; set != nullptr && i < set->nfont && chosen == nullptr; ++i) {
      FcCharSet* has = nullptr;
      if (FcPatternGetCharSet(set->fonts[i], FC_CHARSET, 0, &has) == FcResultMatch &&
          FcCharSetHasChar(has, letter) == FcTrue) {
        chosen = FcFontRenderPrepare(nullptr, pattern, set->fonts[i]);
      }
    }
    cairo_font_face_t* face =
        chosen != nullptr ? cairo_ft_font_face_create_for_pattern(chosen)
                          : cairo_toy_font_face_create("sans-serif", CAIRO_FONT_SLANT_NORMAL,
                                                       bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    if (chosen != nullptr) FcPatternDestroy(chosen);
    if (set != nullptr) FcFontSetDestroy(set);
    FcCharSetDestroy(letters);
    FcPatternDestroy(pattern);
    return face;
  }

  std::map<std::pair<char32_t, bool>, cairo_font_face_t*> faces_;
};

struct Run {
  std::string text;
  cairo_font_face_t* face = nullptr;
};

/// Letters of one face together. What is no UTF-8 and control characters become a question mark and blanks.
std::vector<Run> runs_of(std::string_view utf8, bool bold, Faces& faces) {
  std::vector<Run> out;
  for (std::size_t i = 0; i < utf8.size();) {
    const auto first = static_cast<unsigned char>(utf8[i]);
    std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    std::string piece(utf8.substr(i, length));
    char32_t letter = first;
    if (length == 1) {
      if (first < 0x20 || first == 0x7F) piece = " ";
    } else if (core::is_utf8(piece) && piece.size() == length) {
      letter = length == 2 ? first & 0x1FU : length == 3 ? first & 0x0FU : first & 0x07U;
      for (std::size_t k = 1; k < length; ++k) letter = letter << 6 | (static_cast<unsigned char>(piece[k]) & 0x3FU);
    } else {
      piece = "?";
      letter = U'?';
      length = 1;
    }
    cairo_font_face_t* face = faces.face(letter, bold);
    // Blanks and punctuation stay with what stands before them.
    if (!out.empty() && (out.back().face == face || piece == " ")) {
      out.back().text += piece;
    } else {
      out.push_back({piece, face});
    }
    i += length;
  }
  return out;
}

/// Advance of the whole line.
double advance_of(cairo_t* context, const std::vector<Run>& runs, double size) {
  double sum = 0;
  for (const Run& run : runs) {
    cairo_set_font_face(context, run.face);
    cairo_set_font_size(context, size);
    cairo_text_extents_t extents;
    cairo_text_extents(context, run.text.c_str(), &extents);
    sum += extents.x_advance;
  }
  return sum;
}

void show(cairo_t* context, const std::vector<Run>& runs, double size) {
  for (const Run& run : runs) {
    cairo_set_font_face(context, run.face);
    cairo_set_font_size(context, size);
    cairo_show_text(context, run.text.c_str());
  }
}

cairo_status_t append(void* closure, const unsigned char* data, unsigned int length) {
  static_cast<std::string*>(closure)->append(reinterpret_cast<const char*>(data), length);
  return CAIRO_STATUS_SUCCESS;
}

/// Cairo numbers surfaces over the life of the process; here they are numbered in order of appearance.
std::string renumbered(const std::string& svg) {
  const std::string_view word = "surface";
  std::string out;
  std::map<std::string, int> numbers;
  for (std::size_t i = 0; i < svg.size();) {
    std::size_t end = i + word.size();
    if (svg.compare(i, word.size(), word) != 0) {
      out += svg[i++];
      continue;
    }
    while (end < svg.size() && svg[end] >= '0' && svg[end] <= '9') ++end;
    const std::string number = svg.substr(i + word.size(), end - i - word.size());
    out += word;
    if (!number.empty()) out += std::to_string(numbers.emplace(number, static_cast<int>(numbers.size())).first->second);
    i = end;
  }
  return out;
}

}  // namespace

struct Canvas::State {
  double width = 0, height = 0;
  cairo_surface_t* surface = nullptr;
  cairo_t* context = nullptr;
  Faces faces;

  State(double w, double h) : width(w), height(h) {
    const cairo_rectangle_t area = {0, 0, w, h};
    surface = cairo_recording_surface_create(CAIRO_CONTENT_COLOR_ALPHA, &area);
    context = cairo_create(surface);
  }
  ~State() {
    cairo_destroy(context);
    cairo_surface_destroy(surface);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void color(Rgb c, double opacity = 1) const {
    cairo_set_source_rgba(context, c.r / 255.0, c.g / 255.0, c.b / 255.0, opacity);
  }
  void path(const std::vector<Point>& points) const {
    for (std::size_t i = 0; i < points.size(); ++i) {
      (i == 0 ? cairo_move_to : cairo_line_to)(context, points[i].x, points[i].y);
    }
  }
};

bool Canvas::available() noexcept { return true; }

Canvas::Canvas(double width_pt, double height_pt) {
  if (!(width_pt >= 1 && width_pt <= 5000 && height_pt >= 1 && height_pt <= 5000)) {
    throw Error({Code::invalid_argument, "drawing", "size out of range", "1 to 5000 pt",
                 std::to_string(width_pt) + " x " + std::to_string(height_pt), ""});
  }
  state_ = std::make_unique<State>(width_pt, height_pt);
  rectangle(0, 0, width_pt, height_pt, {255, 255, 255});
}

double Canvas::width() const noexcept { return state_->width; }
double Canvas::height() const noexcept { return state_->height; }

void Canvas::line(Point from, Point to, Rgb color, double width, bool dashed) {
  const double dash[] = {3, 2};
  cairo_set_dash(state_->context, dash, dashed ? 2 : 0, 0);
  polyline({from, to}, color, width);
  cairo_set_dash(state_->context, dash, 0, 0);
}

void Canvas::polyline(const std::vector<Point>& points, Rgb color, double width) {
  state_->color(color);
  state_->path(points);
  cairo_set_line_width(state_->context, width);
  cairo_set_line_join(state_->context, CAIRO_LINE_JOIN_ROUND);
  cairo_stroke(state_->context);
}

void Canvas::polygon(const std::vector<Point>& points, Rgb fill, double opacity) {
  state_->color(fill, opacity);
  state_->path(points);
  cairo_close_path(state_->context);
  cairo_fill(state_->context);
}

void Canvas::rectangle(double x, double y, double width, double height, Rgb fill, double opacity) {
  state_->color(fill, opacity);
  cairo_rectangle(state_->context, x, y, width, height);
  cairo_fill(state_->context);
}

void Canvas::frame(double x, double y, double width, double height, Rgb color, double line_width) {
  state_->color(color);
  cairo_set_line_width(state_->context, line_width);
  cairo_rectangle(state_->context, x, y, width, height);
  cairo_stroke(state_->context);
}

void Canvas::circle(Point centre, double radius, Rgb fill, double opacity) {
  state_->color(fill, opacity);
  cairo_new_sub_path(state_->context);
  cairo_arc(state_->context, centre.x, centre.y, radius, 0, 2 * M_PI);
  cairo_fill(state_->context);
}

void Canvas::text(Point at, std::string_view utf8, double size_pt, Rgb color, Align align, bool bold, bool upwards) {
  cairo_t* context = state_->context;
  const std::vector<Run> runs = runs_of(utf8, bold, state_->faces);
  const double advance = advance_of(context, runs, size_pt);
  cairo_save(context);
  cairo_translate(context, at.x, at.y);
  if (upwards) cairo_rotate(context, -M_PI / 2);
  cairo_move_to(context, align == Align::begin ? 0 : align == Align::center ? -advance / 2 : -advance, 0);
  state_->color(color);
  show(context, runs, size_pt);
  cairo_restore(context);
  cairo_new_path(context);
}

double Canvas::text_width(std::string_view utf8, double size_pt, bool bold) {
  return advance_of(state_->context, runs_of(utf8, bold, state_->faces), size_pt);
}

void Canvas::save(const std::filesystem::path& path) const {
  const std::string extension = core::to_lower(path.extension().string());
  std::string bytes;
  cairo_surface_t* target = nullptr;
  double scale = 1;
  if (extension == ".png") {
    scale = kPixelsPerPoint;
    target = cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(std::ceil(state_->width * scale)),
                                        static_cast<int>(std::ceil(state_->height * scale)));
  } else if (extension == ".svg") {
    target = cairo_svg_surface_create_for_stream(append, &bytes, state_->width, state_->height);
  } else if (extension == ".pdf") {
    target = cairo_pdf_surface_create_for_stream(append, &bytes, state_->width, state_->height);
    cairo_pdf_surface_set_metadata(target, CAIRO_PDF_METADATA_CREATE_DATE, "2000-01-01T00:00:00Z");
  } else {
    throw Error({Code::config, path.string(), "another format", ".png, .svg or .pdf", extension, ""});
  }
  cairo_t* context = cairo_create(target);
  cairo_set_source_rgb(context, 1, 1, 1);  // the rim that rounding up leaves
  cairo_paint(context);
  cairo_scale(context, scale, scale);
  cairo_set_source_surface(context, state_->surface, 0, 0);
  cairo_paint(context);
  const cairo_status_t drawn = cairo_status(context);
  cairo_destroy(context);
  if (extension == ".png") cairo_surface_write_to_png_stream(target, append, &bytes);
  cairo_surface_finish(target);
  const cairo_status_t finished = cairo_surface_status(target);
  cairo_surface_destroy(target);
  for (const cairo_status_t status : {drawn, finished}) {
    if (status != CAIRO_STATUS_SUCCESS) throw Error(Code::internal, path.string(), cairo_status_to_string(status));
  }
  core::write_file_atomic(path, extension == ".svg" ? renumbered(bytes) : bytes);
}

Lettering lettering(std::string_view utf8, int capital_height) {
  Lettering out;
  if (utf8.empty() || capital_height < 1) return out;
  Faces faces;
  const std::vector<Run> runs = runs_of(utf8, false, faces);
  const double size = capital_height / 0.73;  // capitals of DejaVu Sans
  cairo_surface_t* probe = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
  cairo_t* context = cairo_create(probe);
  out.width = std::max(1, static_cast<int>(std::ceil(advance_of(context, runs, size))));
  cairo_destroy(context);
  cairo_surface_destroy(probe);
  out.ascent = static_cast<int>(std::ceil(1.05 * size));
  out.height = out.ascent + static_cast<int>(std::ceil(0.35 * size));
  cairo_surface_t* surface = cairo_image_surface_create(CAIRO_FORMAT_A8, out.width, out.height);
  context = cairo_create(surface);
  cairo_move_to(context, 0, out.ascent);
  show(context, runs, size);
  cairo_destroy(context);
  cairo_surface_flush(surface);
  const unsigned char* data = cairo_image_surface_get_data(surface);
  const int stride = cairo_image_surface_get_stride(surface);
  for (int row = 0; row < out.height; ++row) {
    for (int column = 0; column < out.width; ++column) {
      out.coverage.push_back(static_cast<float>(data[row * stride + column]) / 255.0F);
    }
  }
  cairo_surface_destroy(surface);
  return out;
}

#else

struct Canvas::State {};
bool Canvas::available() noexcept { return false; }
Canvas::Canvas(double, double) {
  throw Error({Code::unsupported, "drawing", "this build has no Cairo", "", "",
               "install libcairo2-dev and build again (docs/building.md)"});
}
double Canvas::width() const noexcept { return 0; }
double Canvas::height() const noexcept { return 0; }
void Canvas::line(Point, Point, Rgb, double, bool) {}
void Canvas::polyline(const std::vector<Point>&, Rgb, double) {}
void Canvas::polygon(const std::vector<Point>&, Rgb, double) {}
void Canvas::rectangle(double, double, double, double, Rgb, double) {}
void Canvas::frame(double, double, double, double, Rgb, double) {}
void Canvas::circle(Point, double, Rgb, double) {}
void Canvas::text(Point, std::string_view, double, Rgb, Align, bool, bool) {}
double Canvas::text_width(std::string_view, double, bool) { return 0; }
void Canvas::save(const std::filesystem::path&) const {}
Lettering lettering(std::string_view, int) { return {}; }

#endif

Canvas::~Canvas() = default;
Canvas::Canvas(Canvas&&) noexcept = default;
Canvas& Canvas::operator=(Canvas&&) noexcept = default;

}  // namespace mss::plots
