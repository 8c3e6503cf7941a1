#include "checkpoints/pickle.h"

#include <clocale>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::checkpoints;
namespace fs = std::filesystem;

namespace {

std::unique_ptr<const PickleTree> parse(const std::string& bytes, const PickleLimits& limits = {}) {
  const auto source = bytes_in_memory(bytes, "x.pkl");
  return read_pickle(*source, 0, bytes.size(), "the pickle", limits);
}

template <std::size_t n>
std::string bytes(const char (&text)[n]) {
  return std::string(text, n - 1);
}

Error error_of(const std::string& text, const PickleLimits& limits = {}) {
  try {
    parse(text, limits);
  } catch (const Error& e) {
    return e;
  }
  return Error(Code::internal, "", "was read");
}

std::string repeated(const std::string& text, std::size_t n) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("Python's own pickles of every protocol give the same values", "[checkpoints]") {
  for (int protocol = 0; protocol <= 5; ++protocol) {
    CAPTURE(protocol);
    const auto path =
        fs::path(MSSBENCH_TESTS_DIR) / "checkpoints" / "files" / ("plain" + std::to_string(protocol) + ".pkl");
    const auto tree = parse(core::read_text_file(path));
    const PickleValue root = tree->root();
    CHECK(root.find("text")->text() == "Grüße\n\\ \U0001f3b5");
    const PickleValue numbers = *root.find("numbers");
    REQUIRE(numbers.size() == 13);
    const std::int64_t small[] = {0, 1, 255, 256, -1, 65536, 1LL << 31, -(1LL << 31), 1LL << 62};
    for (std::size_t i = 0; i < 9; ++i) CHECK(numbers.element(i).as_integer() == small[i]);
    CHECK(numbers.element(9).is(PickleKind::big_integer));
    CHECK(numbers.element(9).text() == (protocol < 2 ? "1208925819614629174706176" : "0x100000000000000000000"));
    CHECK(numbers.element(10).text() == (protocol < 2 ? "-1208925819614629174706176" : "-0x100000000000000000000"));
    CHECK(numbers.element(11).as_real() == 0.1);
    CHECK(numbers.element(12).as_real() == -1e300);
    const PickleValue flags = *root.find("flags");
    CHECK(flags.is(PickleKind::tuple));
    CHECK(flags.element(0).is(PickleKind::boolean));
    CHECK(flags.element(1).as_integer() == 0);
    CHECK(flags.element(2).is(PickleKind::none));
    CHECK(root.find("bytes")->is(PickleKind::bytes));
    CHECK(root.find("bytes")->text() == bytes("\x00\x7f\x80\xff"));
    CHECK(root.find("set")->is(PickleKind::set));
    CHECK(root.find("set")->element(0).as_integer() == 5);
    CHECK(root.find("frozen")->element(0).as_integer() == 6);
    const PickleValue nested = *root.find("nested");
    for (std::size_t i = 0; i < 5; ++i) {
      CHECK(nested.element(i).is(PickleKind::tuple));
      CHECK(nested.element(i).size() == i);
    }
    CHECK(nested.element(7).find("a")->find("b")->element(0).as_integer() == 1);
    const PickleValue shared = *root.find("shared");
    CHECK(shared.element(0).id() == shared.element(1).id());
    const PickleValue ordered = *root.find("ordered");
    REQUIRE(ordered.is(PickleKind::dict));
    CHECK(ordered.key(0).text() == "z");
    CHECK(ordered.value(1).as_integer() == 2);
  }
}

TEST_CASE("objects of unknown classes are inert values", "[checkpoints]") {
  const PickleLimits any{.unknown_calls = true};
  // REDUCE, NEWOBJ, NEWOBJ_EX, INST and OBJ of a class, with state and appended items.
  const auto reduced = parse(bytes("\x80\x02"
                                   "cvendor\nThing\n(K\x01K\x02tR}(X\x01\x00\x00\x00"
                                   "aK\x03ubK\x04"
                                   "a."),
                             any);
  const PickleValue thing = reduced->root();
  CHECK(thing.is(PickleKind::object));
  CHECK(thing.class_name() == "vendor.Thing");
  CHECK(thing.arguments().size() == 2);
  CHECK(thing.state().find("a")->as_integer() == 3);
  CHECK(thing.element(0).as_integer() == 4);
  CHECK(reduced->globals() == std::vector<std::string>{"vendor.Thing"});
  CHECK(parse("\x80\x02"
              "cvendor\nThing\n)\x81.")
            ->root()
            .class_name() == "vendor.Thing");
  CHECK(parse("\x80\x04\x8c\x06vendor\x8c\x05Thing\x93)}\x92.")->root().class_name() == "vendor.Thing");
  CHECK(parse("(K\x05ivendor\nThing\n.", any)->root().arguments().element(0).as_integer() == 5);
  CHECK(parse("(cvendor\nThing\nK\x05o.", any)->root().arguments().element(0).as_integer() == 5);
  CHECK(parse("ccopy_reg\n_reconstructor\n(cvendor\nThing\nc__builtin__\nobject\nNtR.")->root().class_name() ==
        "vendor.Thing");
  CHECK(parse("P17\n.")->root().arguments().text() == "17");
}

TEST_CASE("what a pickle names is judged by what files of weights need", "[checkpoints]") {
  const std::pair<const char*, const char*> strange[] = {{"os", "system"},
                                                         {"posix", "system"},
                                                         {"subprocess", "Popen"},
                                                         {"builtins", "eval"},
                                                         {"__builtin__", "getattr"},
                                                         {"builtins", "open"},
                                                         {"runpy", "run_path"},
                                                         {"torch.hub", "load"},
                                                         {"torch", "load"},
                                                         {"operator", "attrgetter"},
                                                         {"collections", "abc.sys.modules"},
                                                         {"torch", "nn.os.system"},
                                                         {"torch", "FloatStorage.__reduce__"},
                                                         {"builtins.os", "system"},
                                                         {"", "OrderedDict"},
                                                         // What a list of forbidden names let pass.
                                                         {"torch.utils.collect_env", "run"},
                                                         {"torch.fx.graph", "_exec_with_source"},
                                                         {"torch._inductor.codecache", "compile_file"},
                                                         {"platform", "popen"},
                                                         {"pathlib", "Path.write_text"},
                                                         {"weakref", "finalize"},
                                                         {"functools", "partial"},
                                                         {"vendor.models", "Hyper"}};
  for (const auto& [module, name] : strange) {
    CAPTURE(module, name);
    CHECK_FALSE(known_global(module, name));
    const std::string full = std::string(module) + "." + name;
    const std::string global = std::string("c") + module + "\n" + name + "\n";
    // Named only: listed.
    CHECK(parse("\x80\x02" + global + ".")->unknown() == std::vector<std::string>{full});
    // Called: refused, in each way that a pickle has of calling.
    const Error error = error_of("\x80\x02" + global + ")R.");
    CHECK(error.code() == Code::unsupported);
    CHECK(error.parts().where == "x.pkl");
    CHECK(error.parts().what.find("calls " + full + " at byte ") != std::string::npos);
    const auto text = [](const std::string& s) { return "\x8c" + std::string(1, static_cast<char>(s.size())) + s; };
    CHECK(error_of("\x80\x04" + text(module) + text(name) + "\x93)R.").code() == Code::unsupported);
    CHECK(error_of("(i" + std::string(module) + "\n" + name + "\n.").code() == Code::unsupported);
    CHECK(error_of("(" + global + "o.").code() == Code::unsupported);
  }
  const std::pair<const char*, const char*> known[] = {{"collections", "OrderedDict"},
                                                       {"torch._utils", "_rebuild_tensor_v2"},
                                                       {"torch", "FloatStorage"},
                                                       {"builtins", "set"},
                                                       {"__builtin__", "long"},
                                                       {"demucs.hdemucs", "HDemucs"},
                                                       {"fractions", "Fraction"},
                                                       {"numpy.core.multiarray", "scalar"},
                                                       {"pathlib", "PosixPath"},
                                                       {"argparse", "Namespace"},
                                                       {"omegaconf.dictconfig", "DictConfig"}};
  for (const auto& [module, name] : known) {
    CAPTURE(module, name);
    CHECK(known_global(module, name));
    CHECK(parse(std::string("c") + module + "\n" + name + "\n.")->unknown().empty());
  }
  // A harmless spelling of the same full name does not open the way.
  CHECK(error_of("(ctorch\n_utils._rebuild_tensor_v2\nctorch._utils\n_rebuild_tensor_v2\n0)R0t.").code() ==
        Code::unsupported);
}

TEST_CASE("numbers of protocol 0 do not depend on the locale", "[checkpoints]") {
  const auto number = [](const std::string& text) { return *parse("F" + text + "\n.")->root().as_real(); };
  CHECK(number("1.5") == 1.5);
  CHECK(number("+2.5e-3") == 2.5e-3);
  CHECK(number("1e400") == std::numeric_limits<double>::infinity());
  CHECK(number("-1e400") == -std::numeric_limits<double>::infinity());
  CHECK(number("1e-400") == 0.0);
  CHECK(std::isnan(number("nan")));
  CHECK(number("-inf") == -std::numeric_limits<double>::infinity());
  CHECK(error_of("F1,5\n.").code() == Code::format);
  // A locale with a decimal comma, where the system has one.
  const std::string before = std::setlocale(LC_NUMERIC, nullptr);
  for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"}) {
    if (std::setlocale(LC_NUMERIC, name) != nullptr) break;
  }
  CHECK(number("1.5") == 1.5);
  std::setlocale(LC_NUMERIC, before.c_str());
}

TEST_CASE("broken pickles are refused with the position", "[checkpoints]") {
  const Error error =
      error_of(bytes("\x80\x02}X\xff\x00\x00\x00"
                     "a."));
  CHECK(error.code() == Code::format);
  CHECK(std::string(error.what()).find("x.pkl: byte 3 of the pickle") == 0);
  for (const std::string& text : std::vector<std::string>{"",
                                                          ".",
                                                          "\x80",
                                                          bytes("\x80\x06N."),
                                                          "N",
                                                          "NN.",
                                                          "(.",
                                                          "(N.",
                                                          "t.",
                                                          "0.",
                                                          "2.",
                                                          "\x85.",
                                                          "R.",
                                                          "NR.",
                                                          "a.",
                                                          "Na.",
                                                          "NNa.",
                                                          "]Ns.",
                                                          "}Ns.",
                                                          "}(Nu.",
                                                          "](Nu.",
                                                          "NNb.",
                                                          "g0\n.",
                                                          bytes("h\x00."),
                                                          bytes("j\x00\x00\x00\x00."),
                                                          "\x94.",
                                                          "p0\n.",
                                                          "q",
                                                          bytes("Nq."),
                                                          "Ix\n.",
                                                          "I\n.",
                                                          "I1",
                                                          "Fabc\n.",
                                                          "F\n.",
                                                          "Sabc\n.",
                                                          "S'abc\n.",
                                                          "S'\\xg0'\n.",
                                                          "V\\u12\n.",
                                                          "V\\U00110000\n.",
                                                          "cos",
                                                          "cvendor\n",
                                                          "cvendor\nx",
                                                          "\x93.",
                                                          "NN\x93.",
                                                          "(o.",
                                                          bytes("\x82\x01."),
                                                          "\x97.",
                                                          "\x98.",
                                                          "\xff.",
                                                          "G1234567",
                                                          bytes("\x8a\x09"
                                                                "12345678."),
                                                          bytes("\x8b\xff\xff\xff\x7f."),
                                                          bytes("\x8b\xff\xff\xff\xff."),
                                                          bytes("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."),
                                                          bytes("\x95\xff\xff\xff\xff\xff\xff\xff\xff."),
                                                          "P1",
                                                          "Q.",
                                                          "ccollections\nOrderedDict\n(]K\x01"
                                                          "atR.",
                                                          "c_codecs\nencode\n(V\\u4e00\nX\x06\0\0\0latin1tR."}) {
    CAPTURE(text);
    const Code code = error_of(text).code();
    CHECK((code == Code::format || code == Code::unsupported));
  }
}

TEST_CASE("hostile pickles meet their limits", "[checkpoints]") {
  PickleLimits limits;
  limits.values = 1000;
  limits.references = 5000;
  limits.bytes = 10'000;
  CHECK(error_of("(" + repeated("K\x01", 2000) + "t.", limits).code() == Code::format);
  CHECK(error_of(bytes("]q\x00(") + repeated(bytes("h\x00"), 4990) + "e.", limits).code() == Code::format);
  CHECK(error_of(repeated("(", 6000), limits).code() == Code::format);
  CHECK(error_of("X\x20\x4e" + bytes("\x00\x00") + std::string(20000, 'a') + ".", limits).code() == Code::format);
  // Text that exists once and is turned into bytes again and again.
  const std::string copies = bytes("c_codecs\nencode\nq\x00(X\xd0\x07\x00\x00") + std::string(2000, 'a') +
                             bytes("X\x06\x00\x00\x00latin1tq\x01") + "0" + repeated(bytes("h\x00h\x01R0"), 8) + "0N.";
  CHECK(error_of(copies, limits).code() == Code::format);
  CHECK(error_of(copies).code() != Code::format);
  // A list that contains itself is a value like others.
  const auto cycle =
      parse(bytes("]q\x00h\x00"
                  "a."));
  CHECK(cycle->root().element(0).id() == cycle->root().id());
}
