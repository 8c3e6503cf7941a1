#include "checkpoints/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace mss::checkpoints {
namespace {

using detail::PickleNode;
using Id = std::uint32_t;

// Fixed nodes: shared by all their uses.
constexpr Id kNone = 0, kFalse = 1, kTrue = 2;

const std::string kEmpty;

/// Text from the file for a message: control characters and bytes that are no UTF-8 as \xNN, at most 80 bytes.
std::string shown(std::string_view text) {
  std::string out;
  const bool utf8 = core::is_utf8(text);
  for (const char c : text.substr(0, 80)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 32 || byte == 127 || (byte > 127 && !utf8) ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  // A cut inside a character would leave half of it.
  while (!out.empty() && !core::is_utf8(out)) out.pop_back();
  return text.size() > 80 ? out + "…" : out;
}

/// Sequential reading with a window of the file in memory.
class Window {
 public:
  Window(const ByteSource& source, std::uint64_t begin, std::uint64_t end) : source_(source), at_(begin), end_(end) {}

  std::uint64_t position() const noexcept { return at_; }
  std::uint64_t left() const noexcept { return end_ - at_; }
  /// The view is valid until the next call. False: fewer bytes are left.
  bool take(std::uint64_t bytes, std::string_view& out) {
    if (bytes > left()) return false;
    load(static_cast<std::size_t>(bytes));
    out = std::string_view(buffer_).substr(static_cast<std::size_t>(at_ - begin_), static_cast<std::size_t>(bytes));
    at_ += bytes;
    return true;
  }
  /// Text up to a line feed, which is taken as well. False: there is none within `limit` bytes.
  bool line(std::size_t limit, std::string_view& out) {
    const std::uint64_t reach = std::min<std::uint64_t>(limit, left());
    std::uint64_t known = 0;
    for (std::uint64_t wanted = std::min<std::uint64_t>(256, reach);; wanted = std::min(reach, wanted * 4)) {
      load(static_cast<std::size_t>(wanted));
      const std::string_view ahead =
          std::string_view(buffer_).substr(static_cast<std::size_t>(at_ - begin_), static_cast<std::size_t>(wanted));
      const auto found = ahead.find('\n', static_cast<std::size_t>(known));
      if (found != std::string_view::npos) {
        out = ahead.substr(0, found);
        at_ += found + 1;
        return true;
      }
      if (wanted == reach) return false;
      known = wanted;
    }
  }

 private:
  void load(std::size_t bytes) {
    if (at_ >= begin_ && at_ - begin_ + bytes <= buffer_.size()) return;
    constexpr std::uint64_t kChunk = 64 << 10;
    const auto count = static_cast<std::size_t>(std::min(std::max<std::uint64_t>(bytes, kChunk), left()));
    buffer_ = source_.read(at_, count);
    begin_ = at_;
  }

  const ByteSource& source_;
  std::string buffer_;
  std::uint64_t begin_ = 0, at_, end_;
};

std::uint64_t little_endian(std::string_view bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 63));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 63));
    out += static_cast<char>(0x80 | (code & 63));
  } else {
    out += static_cast<char>(0xf0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 63));
    out += static_cast<char>(0x80 | ((code >> 6) & 63));
    out += static_cast<char>(0x80 | (code & 63));
  }
}

/// Text of code points below 256 as the bytes they stand for ('latin1'); false for others.
bool latin1(std::string_view text, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      out += text[i];
    } else if ((byte == 0xc2 || byte == 0xc3) && i + 1 < text.size()) {
      out += static_cast<char>(((byte & 3) << 6) | (static_cast<unsigned char>(text[++i]) & 63));
    } else {
      return false;
    }
  }
  return true;
}

// What files of weights need, as "module" and its names. Names that make something run (functions other than PyTorch's
// and NumPy's own rebuilders) have no place here.
struct KnownModule {
  std::string_view module;
  std::vector<std::string_view> names;
};

const std::vector<KnownModule>& known_modules() {
  static const std::vector<std::string_view> plain_types = {
      "set", "frozenset", "list",      "dict",   "tuple", "int",   "float",  "bool", "complex",
      "str", "bytes",     "bytearray", "object", "slice", "range", "xrange", "long", "unicode"};
  static const std::vector<std::string_view> array_makers = {"_reconstruct", "scalar"};
  static const std::vector<std::string_view> copyreg = {"_reconstructor", "__newobj__"};
  static const std::vector<KnownModule> list = {
      {"builtins", plain_types},
      {"__builtin__", plain_types},
      {"collections", {"OrderedDict", "defaultdict", "Counter"}},
      {"copyreg", copyreg},
      {"copy_reg", copyreg},
      {"_codecs", {"encode"}},
      {"fractions", {"Fraction"}},
      {"decimal", {"Decimal"}},
      {"datetime", {"datetime", "date", "time", "timedelta"}},
      {"uuid", {"UUID"}},
      {"types", {"SimpleNamespace"}},
      {"argparse", {"Namespace"}},
      {"typing", {"Any"}},
      {"pathlib", {"Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"}},
      {"torch",
       {"FloatStorage",
        "DoubleStorage",
        "HalfStorage",
        "BFloat16Storage",
        "LongStorage",
        "IntStorage",
        "ShortStorage",
        "CharStorage",
        "ByteStorage",
        "BoolStorage",
        "ComplexFloatStorage",
        "ComplexDoubleStorage",
        "QInt8Storage",
        "QUInt8Storage",
        "QInt32Storage",
        "UntypedStorage",
        "Size",
        "device",
        "Tensor",
        "float32",
        "float64",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
        "complex32",
        "complex64",
        "complex128",
        "qint8",
        "quint8",
        "qint32",
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
        "strided",
        "sparse_coo",
        "sparse_csr",
        "per_tensor_affine",
        "per_channel_affine"}},
      {"torch.storage", {"UntypedStorage", "TypedStorage", "_UntypedStorage", "_TypedStorage"}},
      {"torch.serialization", {"_get_layout"}},
      {"torch.nn.parameter", {"Parameter", "Buffer"}},
      {"torch._tensor", {"_rebuild_from_type", "_rebuild_from_type_v2"}},
      {"torch._utils",
       {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
        "_rebuild_parameter_with_state", "_rebuild_qtensor", "_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor",
        "_rebuild_nested_tensor", "_rebuild_meta_tensor_no_storage", "_rebuild_device_tensor_from_numpy",
        "_rebuild_device_tensor_from_cpu_tensor"}},
      {"torch.nn.modules.container", {"Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}},
      {"torch.nn.modules.linear", {"Linear", "Bilinear", "Identity", "NonDynamicallyQuantizableLinear"}},
      {"torch.nn.modules.conv",
       {"Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"}},
      {"torch.nn.modules.rnn", {"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"}},
      {"torch.nn.modules.batchnorm", {"BatchNorm1d", "BatchNorm2d", "BatchNorm3d"}},
      {"torch.nn.modules.instancenorm", {"InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"}},
      {"torch.nn.modules.normalization", {"LayerNorm", "GroupNorm", "RMSNorm", "LocalResponseNorm"}},
      {"torch.nn.modules.activation", {"ReLU",        "ReLU6",   "LeakyReLU",  "PReLU",    "ELU",
                                       "SELU",        "CELU",    "GELU",       "GLU",      "SiLU",
                                       "Mish",        "Tanh",    "Sigmoid",    "Hardtanh", "Hardswish",
                                       "Hardsigmoid", "Softmax", "LogSoftmax", "Softplus", "MultiheadAttention"}},
      {"torch.nn.modules.dropout", {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d"}},
      {"torch.nn.modules.pooling",
       {"MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d"}},
      {"torch.nn.modules.padding",
       {"ConstantPad1d", "ConstantPad2d", "ZeroPad2d", "ReflectionPad1d", "ReflectionPad2d", "ReplicationPad1d"}},
      {"torch.nn.modules.sparse", {"Embedding", "EmbeddingBag"}},
      {"torch.nn.modules.transformer",
       {"Transformer", "TransformerEncoder", "TransformerDecoder", "TransformerEncoderLayer",
        "TransformerDecoderLayer"}},
      {"torch.nn.modules.flatten", {"Flatten", "Unflatten"}},
      {"torch.nn.modules.upsampling", {"Upsample"}},
      {"numpy",
       {"dtype", "ndarray", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
        "uint32", "uint64", "bool_", "str_", "bytes_"}},
      {"numpy.core.multiarray", array_makers},
      {"numpy._core.multiarray", array_makers},
      {"numpy.dtypes",
       {"Float16DType", "Float32DType", "Float64DType", "Int8DType", "Int16DType", "Int32DType", "Int64DType",
        "UInt8DType", "BoolDType"}},
      {"omegaconf.dictconfig", {"DictConfig"}},
      {"omegaconf.listconfig", {"ListConfig"}},
      {"omegaconf.base", {"ContainerMetadata", "Metadata"}},
      {"omegaconf.nodes",
       {"AnyNode", "StringNode", "IntegerNode", "FloatNode", "BooleanNode", "EnumNode", "BytesNode", "PathNode"}},
      {"demucs.model", {"Demucs"}},
      {"demucs.demucs", {"Demucs"}},
      {"demucs.hdemucs", {"HDemucs"}},
      {"demucs.htdemucs", {"HTDemucs"}},
      {"demucs.tasnet", {"ConvTasNet"}},
      {"demucs.tasnet_v2", {"ConvTasNet"}},
      {"openunmix.model", {"OpenUnmix", "Separator"}}};
  return list;
}

}  // namespace

bool known_global(std::string_view module, std::string_view name) {
  const auto at = std::ranges::find(known_modules(), module, &KnownModule::module);
  return at != known_modules().end() && std::ranges::find(at->names, name) != at->names.end();
}

std::string_view kind_name(PickleKind kind) noexcept {
  constexpr std::array<std::string_view, 14> kNames = {"None",   "boolean", "integer", "integer",      "number",
                                                       "string", "bytes",   "list",    "tuple",        "set",
                                                       "dict",   "global",  "object",  "persistent id"};
  return kNames[static_cast<std::size_t>(kind)];
}

const PickleNode& PickleValue::node() const noexcept { return tree_->nodes_[id_]; }
PickleKind PickleValue::kind() const noexcept { return node().kind; }
const std::string& PickleValue::text() const noexcept { return node().text; }

std::optional<std::int64_t> PickleValue::as_integer() const noexcept {
  if (kind() != PickleKind::integer && kind() != PickleKind::boolean) return std::nullopt;
  return node().integer;
}

std::optional<double> PickleValue::as_real() const noexcept {
  if (kind() == PickleKind::real) return node().real;
  if (kind() == PickleKind::integer) return static_cast<double>(node().integer);
  return std::nullopt;
}

std::size_t PickleValue::size() const noexcept {
  return kind() == PickleKind::dict ? node().items.size() / 2 : node().items.size();
}

PickleValue PickleValue::at(std::size_t i) const {
  MSS_ASSERT(i < node().items.size());
  return {*tree_, node().items[i]};
}

PickleValue PickleValue::element(std::size_t i) const { return at(i); }
PickleValue PickleValue::key(std::size_t i) const { return at(2 * i); }
PickleValue PickleValue::value(std::size_t i) const { return at(2 * i + 1); }

std::optional<PickleValue> PickleValue::find(std::string_view k) const {
  if (kind() != PickleKind::dict) return std::nullopt;
  for (std::size_t i = size(); i-- > 0;) {
    const PickleValue candidate = key(i);
    if (candidate.kind() == PickleKind::string && candidate.text() == k) return value(i);
  }
  return std::nullopt;
}

PickleValue PickleValue::callable() const { return {*tree_, node().callable}; }
PickleValue PickleValue::arguments() const { return {*tree_, node().arguments}; }
PickleValue PickleValue::state() const { return {*tree_, node().state}; }

const std::string& PickleValue::class_name() const noexcept {
  if (kind() != PickleKind::object) return kEmpty;
  const PickleNode& made_by = tree_->nodes_[node().callable];
  return made_by.kind == PickleKind::global ? made_by.text : kEmpty;
}

/// The stack machine. Every opcode is at least one byte and makes at most one value, so that the limits on values and
/// references bound memory whatever the file says.
class PickleMachine {
 public:
  PickleMachine(const ByteSource& source, std::uint64_t begin, std::uint64_t end, std::string_view part,
                const PickleLimits& limits)
      : source_(source),
        window_(source, begin, std::min(end, begin + std::min(limits.bytes, end - begin))),
        begin_(begin),
        part_(part),
        limits_(limits),
        cut_(end - begin > limits.bytes) {
    tree_ = std::make_unique<PickleTree>();
    tree_->nodes_.resize(3);
    for (const Id id : {kFalse, kTrue}) {
      tree_->nodes_[id].kind = PickleKind::boolean;
      tree_->nodes_[id].integer = id == kTrue;
    }
  }

  std::unique_ptr<const PickleTree> run() {
    for (;;) {
      at_ = window_.position();
      if (step(static_cast<unsigned char>(take(1)[0]))) break;
    }
    tree_->end_ = window_.position();
    for (const auto& [unused, id] : globals_) tree_->globals_.push_back(node(id).text);
    std::ranges::sort(tree_->globals_);
    tree_->globals_.erase(std::unique(tree_->globals_.begin(), tree_->globals_.end()), tree_->globals_.end());
    tree_->unknown_.assign(unknown_names_.begin(), unknown_names_.end());
    return std::move(tree_);
  }

 private:
  [[noreturn]] void fail(std::string what, std::string expected = {}, std::string found = {},
                         Code code = Code::format) const {
    throw Error({code,
                 source_.name(),
                 fmt::format("byte {} of {}: {}", at_ - begin_, part_, what),
                 std::move(expected),
                 std::move(found),
                 {}});
  }

  std::string_view take(std::uint64_t bytes) {
    std::string_view out;
    if (!window_.take(bytes, out)) {
      if (cut_) fail("the pickle is too large", fmt::format("at most {} bytes", limits_.bytes), "more", Code::format);
      fail("the pickle ends too early", fmt::format("{} more bytes", bytes), fmt::format("{}", window_.left()));
    }
    return out;
  }

  std::string_view line() {
    std::string_view out;
    if (!window_.line(1 << 20, out)) fail("a line of text does not end");
    return out;
  }

  Id make(PickleKind kind) {
    if (tree_->nodes_.size() >= limits_.values) {
      fail("too many values", fmt::format("at most {}", limits_.values), "more", Code::format);
    }
    tree_->nodes_.emplace_back().kind = kind;
    return static_cast<Id>(tree_->nodes_.size() - 1);
  }

  PickleNode& node(Id id) { return tree_->nodes_[id]; }

  void count_reference() {
    if (++references_ > limits_.references) {
      fail("too many references", fmt::format("at most {}", limits_.references), "more", Code::format);
    }
  }

  void push(Id id) {
    count_reference();
    stack_.push_back(id);
  }

  Id pop() {
    if (stack_.size() <= floor()) fail("the stack is empty");
    const Id id = stack_.back();
    stack_.pop_back();
    return id;
  }

  Id top() {
    if (stack_.size() <= floor()) fail("the stack is empty");
    return stack_.back();
  }

  std::size_t floor() const noexcept { return marks_.empty() ? 0 : marks_.back(); }

  std::vector<Id> pop_mark() {
    if (marks_.empty()) fail("there is no MARK");
    std::vector<Id> out(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return out;
  }

  void push_text(PickleKind kind, std::string_view text) {
    const Id id = make(kind);
    node(id).text = text;
    push(id);
  }

  void push_integer(std::int64_t value) {
    const Id id = make(PickleKind::integer);
    node(id).integer = value;
    push(id);
  }

  void push_real(double value) {
    const Id id = make(PickleKind::real);
    node(id).real = value;
    push(id);
  }

  void push_container(PickleKind kind, std::vector<Id> items) {
    const Id id = make(kind);
    node(id).items = std::move(items);
    push(id);
  }

  /// Two's complement, little-endian, any length.
  void push_long(std::string_view bytes) {
    if (bytes.size() <= 8) {
      std::uint64_t value = little_endian(bytes);
      if (!bytes.empty() && bytes.size() < 8 && (bytes.back() & 0x80) != 0)
        value |= ~std::uint64_t{0} << (8 * bytes.size());
      push_integer(std::bit_cast<std::int64_t>(value));
      return;
    }
    const bool negative = (bytes.back() & 0x80) != 0;
    std::string magnitude(bytes);
    if (negative) {
      unsigned carry = 1;
      for (char& c : magnitude) {
        const unsigned sum = (static_cast<unsigned char>(c) ^ 0xffU) + carry;
        c = static_cast<char>(sum & 0xff);
        carry = sum >> 8;
      }
    }
    std::string text = negative ? "-0x" : "0x";
    bool leading = true;
    for (std::size_t i = magnitude.size(); i-- > 0;) {
      const auto byte = static_cast<unsigned char>(magnitude[i]);
      if (leading && byte == 0 && i > 0) continue;
      text += leading ? fmt::format("{:x}", byte) : fmt::format("{:02x}", byte);
      leading = false;
    }
    push_text(PickleKind::big_integer, text);
  }

  void push_decimal(std::string_view text) {
    std::string digits(core::trim(text));
    if (!digits.empty() && (digits.back() == 'L' || digits.back() == 'l')) digits.pop_back();
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (code == std::errc() && end == digits.data() + digits.size()) {
      push_integer(value);
    } else if (code == std::errc::result_out_of_range && end == digits.data() + digits.size() && digits.size() < 4096) {
      push_text(PickleKind::big_integer, digits);
    } else {
      fail("no decimal number", "digits", "'" + shown(text) + "'");
    }
  }

  /// A quoted Python literal of protocol 0: 'text' with backslash escapes.
  std::string unquoted(std::string_view text) {
    text = core::trim(text);
    if (text.size() < 2 || (text.front() != '\'' && text.front() != '"') || text.back() != text.front()) {
      fail("a string without quotes", "'…'", shown(text));
    }
    text = text.substr(1, text.size() - 2);
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\' || i + 1 == text.size()) {
        out += text[i];
        continue;
      }
      switch (text[++i]) {
        case 'n':
          out += '\n';
          break;
        case 't':
          out += '\t';
          break;
        case 'r':
          out += '\r';
          break;
        case 'x': {
          const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
          const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
          if (high < 0 || low < 0) fail("a broken escape in a string", "\\xNN", shown(text));
          out += static_cast<char>(high * 16 + low);
          i += 2;
          break;
        }
        default:
          out += text[i];
      }
    }
    return out;
  }

  /// Protocol 0's UNICODE: raw-unicode-escape, i.e. latin1 with \uNNNN and \UNNNNNNNN.
  std::string raw_unicode(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool escape = text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 'u' || text[i + 1] == 'U');
      if (!escape) {
        append_utf8(out, static_cast<unsigned char>(text[i]));
        continue;
      }
      const std::size_t digits = text[i + 1] == 'u' ? 4 : 8;
      std::uint32_t code = 0;
      for (std::size_t d = 0; d < digits; ++d) {
        const int value = i + 2 + d < text.size() ? hex_digit(text[i + 2 + d]) : -1;
        if (value < 0) fail("a broken escape in a string", "\\uNNNN", shown(text));
        code = code << 4 | static_cast<std::uint32_t>(value);
      }
      if (code > 0x10ffff) fail("a broken escape in a string", "a code point", shown(text));
      append_utf8(out, code);
      i += 1 + digits;
    }
    return out;
  }

  Id make_global(std::string_view module, std::string_view name) {
    if (module.size() > 4096 || name.size() > 4096) fail("a global with an impossibly long name");
    const std::string full = fmt::format("{}.{}", module, name);
    // Not by the full name: the judgement depends on where the module's name ends.
    std::string key = fmt::format("{}\n{}", module, name);
    const auto known = globals_.find(key);
    if (known != globals_.end()) return known->second;
    count_copy(2 * full.size());
    const Id id = make(PickleKind::global);
    node(id).text = full;
    globals_.emplace(std::move(key), id);
    if (!known_global(module, name)) {
      unknown_.insert(id);
      unknown_names_.insert(full);
    }
    return id;
  }

  void push_global(std::string_view module, std::string_view name) { push(make_global(module, name)); }

  /// A file of weights calls nothing but what it needs to be put together again.
  void require_known_call(Id callable) const {
    if (limits_.unknown_calls || !unknown_.contains(callable)) return;
    throw Error({Code::unsupported, source_.name(),
                 fmt::format("refused: the file calls {} at byte {} of {}", shown(tree_->nodes_[callable].text),
                             at_ - begin_, part_),
                 "tensors, containers and plain configuration", "a Python function that weights do not need",
                 "do not load it in Python; 'mssbench checkpoint' lists everything that it names"});
  }

  /// What calling `callable` with `arguments` makes: a container for the few harmless types, else an inert object.
  void push_call(Id callable, Id arguments) {
    const std::string name = node(callable).kind == PickleKind::global ? node(callable).text : std::string();
    const PickleNode& args = node(arguments);
    const auto argument = [&](std::size_t i) { return args.items[i]; };
    const bool is_tuple = args.kind == PickleKind::tuple;
    const std::size_t count = is_tuple ? args.items.size() : 0;
    if (is_tuple && (name == "collections.OrderedDict" || name == "collections.defaultdict")) {
      std::vector<Id> items;
      // OrderedDict([[key, value], …]), as Python 2 wrote it.
      if (name == "collections.OrderedDict" && count == 1 && node(argument(0)).kind == PickleKind::list) {
        for (const Id pair : std::vector<Id>(node(argument(0)).items)) {
          const PickleNode& p = node(pair);
          if ((p.kind != PickleKind::list && p.kind != PickleKind::tuple) || p.items.size() != 2) {
            fail("an OrderedDict of something else than pairs");
          }
          count_reference();
          count_reference();
          items.insert(items.end(), p.items.begin(), p.items.end());
        }
      }
      push_container(PickleKind::dict, std::move(items));
      return;
    }
    const bool is_set = name == "builtins.set" || name == "__builtin__.set" || name == "builtins.frozenset" ||
                        name == "__builtin__.frozenset";
    if (is_set && (count == 0 || (count == 1 && (node(argument(0)).kind == PickleKind::list ||
                                                 node(argument(0)).kind == PickleKind::tuple)))) {
      std::vector<Id> items = count == 0 ? std::vector<Id>() : std::vector<Id>(node(argument(0)).items);
      for (std::size_t i = 0; i < items.size(); ++i) count_reference();
      push_container(PickleKind::set, std::move(items));
      return;
    }
    if (name == "_codecs.encode" && count == 2 && node(argument(0)).kind == PickleKind::string &&
        node(argument(1)).text == "latin1") {
      std::string bytes;
      if (!latin1(node(argument(0)).text, bytes)) fail("bytes that are not latin1");
      push_copy(PickleKind::bytes, bytes);
      return;
    }
    if ((name == "builtins.bytearray" || name == "__builtin__.bytearray" || name == "builtins.bytes") && count <= 1 &&
        (count == 0 || node(argument(0)).kind == PickleKind::bytes)) {
      push_copy(PickleKind::bytes, count == 0 ? std::string() : node(argument(0)).text);
      return;
    }
    // copyreg's constructors carry the class as their first argument.
    const bool by_copyreg = name == "copyreg._reconstructor" || name == "copy_reg._reconstructor" ||
                            name == "copyreg.__newobj__" || name == "copy_reg.__newobj__";
    const Id made_by = by_copyreg && count > 0 && node(argument(0)).kind == PickleKind::global ? argument(0) : callable;
    const Id id = make(PickleKind::object);
    node(id).callable = made_by;
    node(id).arguments = arguments;
    push(id);
  }

  /// Text copied from a value that exists already: a short call could copy a long text again and again.
  void push_copy(PickleKind kind, const std::string& text) {
    count_copy(text.size());
    push_text(kind, std::string(text));
  }

  void count_copy(std::size_t bytes) {
    copied_ += bytes;
    if (copied_ > limits_.bytes) {
      fail("too much text", fmt::format("at most {} bytes", limits_.bytes), "more", Code::format);
    }
  }

  void append(Id to, const std::vector<Id>& items, bool pairs) {
    PickleNode& container = node(to);
    const bool fits = pairs ? container.kind == PickleKind::dict || container.kind == PickleKind::object
                            : container.kind == PickleKind::list || container.kind == PickleKind::set ||
                                  container.kind == PickleKind::object;
    if (!fits) {
      fail(pairs ? "items set in something that holds none" : "elements appended to something that holds none",
           pairs ? "a dict or an object" : "a list, a set or an object", std::string(kind_name(container.kind)));
    }
    if (pairs && items.size() % 2 != 0) fail("a key without value");
    for (std::size_t i = 0; i < items.size(); ++i) count_reference();
    container.items.insert(container.items.end(), items.begin(), items.end());
  }

  void put(std::uint64_t index) {
    const Id id = top();
    if (memo_.insert_or_assign(index, id).second) count_reference();
  }

  void get(std::uint64_t index) {
    const auto it = memo_.find(index);
    if (it == memo_.end()) fail(fmt::format("memo {} is empty", index));
    push(it->second);
  }

  std::uint64_t memo_index(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size())
      fail("no memo index", "digits", "'" + shown(text) + "'");
    return value;
  }

  Id tuple_of(std::vector<Id> items) {
    for (std::size_t i = 0; i < items.size(); ++i) count_reference();
    const Id id = make(PickleKind::tuple);
    node(id).items = std::move(items);
    return id;
  }

  /// One opcode; true at the end.
  bool step(unsigned char opcode) {
    switch (opcode) {
      case 0x80: {  // PROTO
        const auto version = static_cast<unsigned char>(take(1)[0]);
        if (version > 5) fail("unknown pickle protocol", "0 to 5", fmt::format("{}", version), Code::unsupported);
        return false;
      }
      case 0x95: {  // FRAME
        const std::uint64_t bytes = little_endian(take(8));
        if (bytes > window_.left() && !cut_) {
          fail("a frame beyond the end", fmt::format("at most {} bytes", window_.left()), fmt::format("{}", bytes));
        }
        return false;
      }
      case '.':  // STOP
        if (!marks_.empty() || stack_.size() != 1) fail("the pickle ends with other than one value");
        tree_->root_ = stack_.back();
        return true;
      case '(':  // MARK
        count_reference();
        marks_.push_back(stack_.size());
        return false;
      case '0':  // POP; also takes a MARK off
        if (!marks_.empty() && stack_.size() == marks_.back()) {
          marks_.pop_back();
        } else {
          pop();
        }
        return false;
      case '1':  // POP_MARK
        pop_mark();
        return false;
      case '2':  // DUP
        push(top());
        return false;

      case 'N':
        push(kNone);
        return false;
      case 0x88:
        push(kTrue);
        return false;
      case 0x89:
        push(kFalse);
        return false;
      case 'I': {  // INT; "01" and "00" are booleans
        const std::string_view text = line();
        if (text == "01" || text == "00") {
          push(text == "01" ? kTrue : kFalse);
        } else {
          push_decimal(text);
        }
        return false;
      }
      case 'L':
        push_decimal(line());
        return false;
      case 'J':
        push_integer(static_cast<std::int32_t>(static_cast<std::uint32_t>(little_endian(take(4)))));
        return false;
      case 'K':
        push_integer(static_cast<std::int64_t>(little_endian(take(1))));
        return false;
      case 'M':
        push_integer(static_cast<std::int64_t>(little_endian(take(2))));
        return false;
      case 0x8a: {  // LONG1
        const std::uint64_t bytes = little_endian(take(1));
        push_long(take(bytes));
        return false;
      }
      case 0x8b: {  // LONG4
        const std::uint64_t bytes = little_endian(take(4));
        if (bytes > 4096) fail("an integer of impossible length", "at most 4096 bytes", fmt::format("{}", bytes));
        push_long(take(bytes));
        return false;
      }
      case 'F': {
        // Not strtod, which reads a decimal point in the words of the process's locale.
        const std::string text(line());
        const char* const begin = text.data() + (text.starts_with('+') ? 1 : 0);
        double value = 0;
        const auto [end, code] = std::from_chars(begin, text.data() + text.size(), value);
        if (code == std::errc::result_out_of_range) {
          // Too large or too small for a double: Python reads infinity and zero.
          const std::size_t exponent = text.find_first_of("eE");
          const bool tiny = exponent != std::string::npos && text.compare(exponent + 1, 1, "-") == 0;
          value = std::copysign(tiny ? 0.0 : std::numeric_limits<double>::infinity(), text.front() == '-' ? -1.0 : 1.0);
        } else if (code != std::errc() || end != text.data() + text.size()) {
          fail("no number", "a decimal number", "'" + shown(text) + "'");
        }
        push_real(value);
        return false;
      }
      case 'G': {  // BINFLOAT, big-endian
        std::string bytes(take(8));
        std::ranges::reverse(bytes);
        push_real(std::bit_cast<double>(little_endian(bytes)));
        return false;
      }

      case 'S':
        push_text(PickleKind::string, unquoted(line()));
        return false;
      case 'T':
        return text_of(PickleKind::string, 4);
      case 'U':
        return text_of(PickleKind::string, 1);
      case 'V':
        push_text(PickleKind::string, raw_unicode(line()));
        return false;
      case 'X':
        return text_of(PickleKind::string, 4);
      case 0x8c:
        return text_of(PickleKind::string, 1);
      case 0x8d:
        return text_of(PickleKind::string, 8);
      case 'B':
        return text_of(PickleKind::bytes, 4);
      case 'C':
        return text_of(PickleKind::bytes, 1);
      case 0x8e:
      case 0x96:  // BYTEARRAY8
        return text_of(PickleKind::bytes, 8);

      case ']':
        push(make(PickleKind::list));
        return false;
      case '}':
        push(make(PickleKind::dict));
        return false;
      case ')':
        push(make(PickleKind::tuple));
        return false;
      case 0x8f:
        push(make(PickleKind::set));
        return false;
      case 'l':
        push_marked(PickleKind::list);
        return false;
      case 't':
        push_marked(PickleKind::tuple);
        return false;
      case 0x91:
        push_marked(PickleKind::set);
        return false;
      case 'd': {
        const std::vector<Id> items = pop_mark();
        const Id id = make(PickleKind::dict);
        append(id, items, true);
        push(id);
        return false;
      }
      case 0x85:
      case 0x86:
      case 0x87: {
        std::vector<Id> items(opcode - 0x84);
        for (std::size_t i = items.size(); i-- > 0;) items[i] = pop();
        push(tuple_of(std::move(items)));
        return false;
      }
      case 'a': {
        const Id item = pop();
        append(top(), {item}, false);
        return false;
      }
      case 'e':
      case 0x90: {
        const std::vector<Id> items = pop_mark();
        append(top(), items, false);
        return false;
      }
      case 's': {
        const Id value = pop();
        const Id key = pop();
        append(top(), {key, value}, true);
        return false;
      }
      case 'u': {
        const std::vector<Id> items = pop_mark();
        append(top(), items, true);
        return false;
      }

      case 'p':
        put(memo_index(line()));
        return false;
      case 'q':
        put(little_endian(take(1)));
        return false;
      case 'r':
        put(little_endian(take(4)));
        return false;
      case 0x94:
        put(memo_.size());
        return false;
      case 'g':
        get(memo_index(line()));
        return false;
      case 'h':
        get(little_endian(take(1)));
        return false;
      case 'j':
        get(little_endian(take(4)));
        return false;

      case 'c': {
        const std::string module(line());
        const std::string name(line());
        push_global(module, name);
        return false;
      }
      case 0x93: {  // STACK_GLOBAL
        const Id name = pop();
        const Id module = pop();
        if (node(name).kind != PickleKind::string || node(module).kind != PickleKind::string) {
          fail("a global whose name is no text");
        }
        push_global(std::string(node(module).text), std::string(node(name).text));
        return false;
      }
      case 'R': {
        const Id arguments = pop();
        const Id callable = pop();
        require_known_call(callable);
        push_call(callable, arguments);
        return false;
      }
      case 0x81: {  // NEWOBJ
        const Id arguments = pop();
        const Id type = pop();
        push_call(type, arguments);
        return false;
      }
      case 0x92: {  // NEWOBJ_EX: class, positional, keywords
        const Id keywords = pop();
        const Id arguments = pop();
        const Id type = pop();
        const bool plain = node(keywords).kind == PickleKind::dict && node(keywords).items.empty();
        push_call(type, plain ? arguments : tuple_of({arguments, keywords}));
        return false;
      }
      case 'i': {  // INST: like GLOBAL and OBJ
        const std::string module(line());
        const std::string name(line());
        const Id type = make_global(module, name);
        require_known_call(type);
        push_call(type, tuple_of(pop_mark()));
        return false;
      }
      case 'o': {  // OBJ: MARK class arguments…
        std::vector<Id> items = pop_mark();
        if (items.empty()) fail("an object without class");
        const Id type = items.front();
        items.erase(items.begin());
        require_known_call(type);
        push_call(type, tuple_of(std::move(items)));
        return false;
      }
      case 'b': {  // BUILD
        const Id state = pop();
        PickleNode& built = node(top());
        switch (built.kind) {
          case PickleKind::object:
          case PickleKind::dict:
          case PickleKind::list:
          case PickleKind::set:
            built.state = state;
            return false;
          default:
            fail("state given to something that has none", "an object", std::string(kind_name(built.kind)));
        }
      }

      case 'P': {
        const Id text = make(PickleKind::string);
        node(text).text = line();
        push_persistent(text);
        return false;
      }
      case 'Q':
        push_persistent(pop());
        return false;

      case 0x82:
      case 0x83:
      case 0x84:
        fail("the pickle uses Python's extension registry, which can stand for any function", "", "",
             Code::unsupported);
      case 0x97:
      case 0x98:
        fail("the pickle keeps data outside itself (protocol 5 buffers)", "", "", Code::unsupported);
      default:
        fail("no pickle opcode", "", fmt::format("byte 0x{:02x}", opcode));
    }
  }

  bool text_of(PickleKind kind, std::uint64_t length_bytes) {
    const std::uint64_t bytes = little_endian(take(length_bytes));
    push_text(kind, take(bytes));
    return false;
  }

  void push_marked(PickleKind kind) {
    std::vector<Id> items = pop_mark();
    for (std::size_t i = 0; i < items.size(); ++i) count_reference();
    push_container(kind, std::move(items));
  }

  void push_persistent(Id id) {
    const Id made = make(PickleKind::persistent);
    node(made).arguments = id;
    push(made);
  }

  const ByteSource& source_;
  Window window_;
  std::uint64_t begin_;
  std::string part_;
  PickleLimits limits_;
  bool cut_;

  std::unique_ptr<PickleTree> tree_;
  std::vector<Id> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Id> memo_;
  std::map<std::string, Id> globals_;
  std::set<Id> unknown_;  // globals that are not on the list
  std::set<std::string> unknown_names_;
  std::size_t references_ = 0;
  std::uint64_t copied_ = 0;
  std::uint64_t at_ = 0;
};

std::unique_ptr<const PickleTree> read_pickle(const ByteSource& source, std::uint64_t begin, std::uint64_t end,
                                              std::string_view part, const PickleLimits& limits) {
  if (begin > end || end > source.size()) {
    throw Error({Code::format, source.name(), fmt::format("{} lies outside the file", part), "",
                 fmt::format("bytes {} to {} of {}", begin, end, source.size()), ""});
  }
  return PickleMachine(source, begin, end, part, limits).run();
}

}  // namespace mss::checkpoints
