#include "core/escape.h"

#include "tests/support/catch.h"

using namespace mss::core;

TEST_CASE("what a terminal would obey becomes visible", "[core]") {
  CHECK(escape_line("AC/DC – Ünï") == "AC/DC – Ünï");
  CHECK(escape_line("a\x1b[2J\nb\t\x7f") == "a\\x1b[2J\\x0ab\\x09\\x7f");
  CHECK(escape_line("a\xc2\x9b"
                    "31mb") == "a\\u009b31mb");  // C1: CSI in one character
  CHECK(escape_line("a\xe2\x80\xae"
                    "gpj.exe") == "a\\u202egpj.exe");  // right-to-left override
  CHECK(escape_line("a\xff\xc3") == "a\\xff\\xc3");
  CHECK(escape_line(std::string("\0", 1)) == "\\x00");
  CHECK(escape_terminal("a\n\tb\r\x1b") == "a\n\tb\\x0d\\x1b");
}

TEST_CASE("Markdown, LaTeX, CSV and HTML take text as text", "[core]") {
  CHECK(escape_markdown("[a](b) <c> *d* | e\nf &amp; ![x]") ==
        "\\[a\\](b) \\<c\\> \\*d\\* \\| e\\\\x0af \\&amp; \\!\\[x\\]");
  CHECK(escape_markdown_code("a|b", true) == "`a\\|b`");
  CHECK(escape_markdown_code("a``b", false) == "``` a``b ```");
  CHECK(escape_latex("1\n\\input{/etc/passwd}") == "1\\textbackslash{}x0a\\textbackslash{}input\\{/etc/passwd\\}");
  CHECK(escape_latex("50% & $x_1$ ~^ \"<|>\"") ==
        "50\\% \\& \\$x\\_1\\$ \\textasciitilde{}\\textasciicircum{} "
        "\\char34{}\\textless{}\\textbar{}\\textgreater{}\\char34{}");
  for (const char* formula : {"=1+1", "+1", "-1", "@SUM(A1)"}) CHECK(escape_csv(formula) == "'" + std::string(formula));
  CHECK(escape_csv("a=b") == "a=b");
  CHECK(escape_csv("=cmd|' /C calc'!A0,\"x\"") == "\"'=cmd|' /C calc'!A0,\"\"x\"\"\"");
  CHECK(escape_csv("a\r\nb;c") == "\"a\\x0d\\x0ab;c\"");
  CHECK(escape_csv("") == "");
  CHECK(escape_html("<a href=\"x\" onclick='y'>&") == "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;");
}
