#include "checkpoints/pickle.h"

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
  // REDUCE, NEWOBJ, NEWOBJ_EX, INST and OBJ of a class, with state and appended items.
  const auto reduced =
      parse(bytes("\x80\x02"
                  "cvendor\nThing\n(K\x01K\x02tR}(X\x01\x00\x00\x00"
                  "aK\x03ubK\x04"
                  "a."));
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
  CHECK(parse("(K\x05ivendor\nThing\n.")->root().arguments().element(0).as_integer() == 5);
  CHECK(parse("(cvendor\nThing\nK\x05o.")->root().arguments().element(0).as_integer() == 5);
  CHECK(parse("ccopy_reg\n_reconstructor\n(cvendor\nThing\nc__builtin__\nobject\nNtR.")->root().class_name() ==
        "vendor.Thing");
  CHECK(parse("P17\n.")->root().arguments().text() == "17");
}

TEST_CASE("globals that have no business in weights are refused with their position", "[checkpoints]") {
  const std::pair<const char*, const char*> refused[] = {{"os", "system"},
                                                         {"posix", "system"},
                                                         {"nt", "popen"},
                                                         {"os.path", "join"},
                                                         {"subprocess", "Popen"},
                                                         {"builtins", "eval"},
                                                         {"__builtin__", "eval"},
                                                         {"builtins", "exec"},
                                                         {"builtins", "getattr"},
                                                         {"builtins", "__import__"},
                                                         {"builtins", "compile"},
                                                         {"builtins", "open"},
                                                         {"sys", "modules"},
                                                         {"runpy", "run_path"},
                                                         {"socket", "create_connection"},
                                                         {"shutil", "rmtree"},
                                                         {"ctypes", "CDLL"},
                                                         {"importlib", "import_module"},
                                                         {"pickle", "loads"},
                                                         {"_pickle", "loads"},
                                                         {"cPickle", "loads"},
                                                         {"marshal", "loads"},
                                                         {"webbrowser", "open"},
                                                         {"urllib.request", "urlopen"},
                                                         {"torch.hub", "load"},
                                                         {"torch", "load"},
                                                         {"operator", "attrgetter"},
                                                         {"types", "FunctionType"},
                                                         {"collections", "abc.sys.modules"},
                                                         {"torch", "nn.os.system"},
                                                         {"builtins", "ValueError.__reduce__"},
                                                         {"builtins.os", "system"},
                                                         {"multiprocessing.util", "spawnv_passfds"}};
  for (const auto& [module, name] : refused) {
    CAPTURE(module, name);
    CHECK(refused_global(module, name).has_value());
    const Error global = error_of(
        "\x80\x02(lK\x01"
        "ac" +
        std::string(module) + "\n" + name + "\n.");
    CHECK(global.code() == Code::unsupported);
    CHECK(global.parts().where == "x.pkl");
    CHECK(global.parts().what.find(std::string("names ") + module + "." + name + " at byte 7 of the pickle") !=
          std::string::npos);
    const auto text = [](const std::string& s) { return "\x8c" + std::string(1, static_cast<char>(s.size())) + s; };
    CHECK(error_of("\x80\x04" + text(module) + text(name) + "\x93.").code() == Code::unsupported);
    CHECK(error_of("(i" + std::string(module) + "\n" + name + "\n.").code() == Code::unsupported);
  }
  const std::pair<const char*, const char*> fine[] = {{"collections", "OrderedDict"},
                                                      {"torch._utils", "_rebuild_tensor_v2"},
                                                      {"torch", "FloatStorage"},
                                                      {"builtins", "set"},
                                                      {"__builtin__", "long"},
                                                      {"builtins", "ValueError"},
                                                      {"demucs.hdemucs", "HDemucs"},
                                                      {"fractions", "Fraction"},
                                                      {"numpy.core.multiarray", "scalar"},
                                                      {"pathlib", "PosixPath"},
                                                      {"functools", "partial"},
                                                      {"model", "Outer.Inner"},
                                                      {"ostinato", "System"},
                                                      {"argparse", "Namespace"},
                                                      {"omegaconf.dictconfig", "DictConfig"}};
  for (const auto& [module, name] : fine) {
    CAPTURE(module, name);
    CHECK_FALSE(refused_global(module, name).has_value());
  }
  // A harmless spelling of the same full name does not open the way.
  CHECK(error_of("(cvendor.os\nsystem\ncvendor\nos.system\nt.").code() == Code::unsupported);
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
  CHECK(error_of("(" + repeated("K\x01", 2000) + "t.", limits).code() == Code::resource);
  CHECK(error_of(bytes("]q\x00(") + repeated(bytes("h\x00"), 4990) + "e.", limits).code() == Code::resource);
  CHECK(error_of(repeated("(", 6000), limits).code() == Code::resource);
  CHECK(error_of("X\x20\x4e" + bytes("\x00\x00") + std::string(20000, 'a') + ".", limits).code() == Code::resource);
  // Text that exists once and is turned into bytes again and again.
  const std::string copies = bytes("c_codecs\nencode\nq\x00(X\xd0\x07\x00\x00") + std::string(2000, 'a') +
                             bytes("X\x06\x00\x00\x00latin1tq\x01") + "0" + repeated(bytes("h\x00h\x01R0"), 8) + "N.";
  CHECK(error_of(copies, limits).code() == Code::resource);
  CHECK(error_of(copies).code() != Code::resource);
  // A list that contains itself is a value like others.
  const auto cycle =
      parse(bytes("]q\x00h\x00"
                  "a."));
  CHECK(cycle->root().element(0).id() == cycle->root().id());
}
