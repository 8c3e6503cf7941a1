// Text that comes from outside (names in records, files, tags, command lines) made harmless for the format it is written
// into: one function per format, to be used for every such text. Text of our own needs none of them.
//
// All but escape_terminal yield one line. What cannot be shown becomes visible: a control character (C0, DEL, C1) and
// the characters that reorder or break lines (U+2028, U+2029, U+200E, U+200F, U+202A–202E, U+2066–2069) turn into
// \x1b or \u202e, a byte that is no UTF-8 into \xff.
#pragma once

#include <string>
#include <string_view>

namespace mss::core {

/// One line of plain text: table cells, names in messages.
std::string escape_line(std::string_view text);
/// Several lines for a terminal: like escape_line, but line feeds and tabs stay.
std::string escape_terminal(std::string_view text);

/// Text in Markdown, also in a table's cell; nothing in it is markup, HTML or a link.
std::string escape_markdown(std::string_view text);
/// Inline code in Markdown: the fence is longer than any run of backticks; in a table's cell bars are escaped too.
std::string escape_markdown_code(std::string_view text, bool in_table);
/// Text in LaTeX, also behind a comment sign: no command, no line end.
std::string escape_latex(std::string_view text);
/// A text cell of a CSV file, quoted where necessary (RFC 4180). Spreadsheets take a cell that begins with = + - @ for a
/// formula: an apostrophe is put before it. Numbers of our own are written without this function.
std::string escape_csv(std::string_view text);
/// Text or an attribute's value in HTML, XML and SVG.
std::string escape_html(std::string_view text);

}  // namespace mss::core
