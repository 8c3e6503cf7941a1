// Python's pickle format (protocols 0 to 5) read as a plain tree of values. Nothing is executed.
//
// A pickle is a program for a stack machine: it pushes constants, builds containers, and may name any Python function
// ("GLOBAL os system") and call it ("REDUCE"). That is why loading a foreign pickle in Python can run anything. This
// reader knows the containers and constants, and turns everything else into inert values:
//   global   a class or function by its name "module.name"
//   object   what calling it would have made: callable, arguments, state (BUILD) and items appended later
//   persistent  a persistent id (PyTorch stores tensors' data that way)
// A few harmless standard types become what they are: collections.OrderedDict and defaultdict a dict, set and frozenset
// a set, _codecs.encode(text, 'latin1') and bytearray bytes.
//
// What a pickle names is judged by a list of what files of weights need (known_global): tensors and their storages,
// containers, numbers, plain configuration classes. Everything else is listed (PickleTree::unknown), and a pickle that
// calls such a function is refused, Error(unsupported) with file, name and position, unless the caller asks to read on.
// That is advice to people who would load the file in Python; safety here does not depend on it, because nothing is
// ever called. The list is no proof either: nothing is said to be safe.
//
// Bounds against hostile input: bytes read, values made, references held, nesting of what a caller walks (values may
// share and contain each other; walkers use depth and visit limits). Memory is at most about 150 bytes per value plus
// the text in the pickle itself. Violations are Error(format) with the position.
// Not supported, refused by name: extension registry (EXT1..4) and out-of-band buffers (protocol 5).
//
// Thread-safety: const members may be called at once from several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/byte_source.h"

namespace mss::checkpoints {

struct PickleLimits {
  std::uint64_t bytes = 256ULL << 20;   ///< of one pickle
  std::size_t values = 2'000'000;       ///< nodes of the tree
  std::size_t references = 16'000'000;  ///< elements of all containers, the stack and the memo together
  bool unknown_calls = false;           ///< read on where the pickle calls what is not on the list
};

enum class PickleKind {
  none,
  boolean,
  integer,      ///< fits 64 bits
  big_integer,  ///< text() = "0x…", or "-0x…"
  real,
  string,  ///< as stored; UTF-8 unless an old Python 2 wrote it
  bytes,
  list,
  tuple,
  set,
  dict,
  global,
  object,
  persistent
};
std::string_view kind_name(PickleKind kind) noexcept;

namespace detail {
struct PickleNode {
  PickleKind kind = PickleKind::none;
  std::int64_t integer = 0;  // also boolean
  double real = 0.0;
  std::string text;                  // string, bytes, big_integer, global
  std::vector<std::uint32_t> items;  // elements; dict: key, value, key, value, …; object: what was appended or set
  std::uint32_t callable = 0, arguments = 0, state = 0;  // persistent: the id is `arguments`
};
}  // namespace detail

class PickleTree;

/// A value in a tree, cheap to copy; valid while the tree lives.
class PickleValue {
 public:
  PickleValue(const PickleTree& tree, std::uint32_t id) noexcept : tree_(&tree), id_(id) {}

  PickleKind kind() const noexcept;
  bool is(PickleKind k) const noexcept { return kind() == k; }
  /// The same value is reached on several ways when it is shared; ids tell.
  std::uint32_t id() const noexcept { return id_; }

  std::optional<std::int64_t> as_integer() const noexcept;  ///< integer or boolean
  std::optional<double> as_real() const noexcept;           ///< real or integer
  /// string, bytes, big_integer or the full name of a global; empty for others.
  const std::string& text() const noexcept;

  /// list, tuple, set: elements. dict: pairs. object: values appended or set later.
  std::size_t size() const noexcept;
  PickleValue element(std::size_t i) const;                   ///< list, tuple, set, object
  PickleValue key(std::size_t i) const;                       ///< dict
  PickleValue value(std::size_t i) const;                     ///< dict
  std::optional<PickleValue> find(std::string_view k) const;  ///< dict with string keys; the last one counts

  PickleValue callable() const;   ///< object
  PickleValue arguments() const;  ///< object: usually a tuple; persistent: the id
  PickleValue state() const;      ///< what BUILD set (object, dict); none where nothing did
  /// Full name of the global that an object was made with; "" when it was no global.
  const std::string& class_name() const noexcept;

 private:
  const detail::PickleNode& node() const noexcept;
  PickleValue at(std::size_t i) const;
  const PickleTree* tree_;
  std::uint32_t id_;
};

class PickleTree {
 public:
  PickleValue root() const noexcept { return {*this, root_}; }
  /// Names of the globals that the pickle mentions, sorted, without repetition.
  const std::vector<std::string>& globals() const noexcept { return globals_; }
  /// Those of them that are not on the list of what files of weights need (known_global).
  const std::vector<std::string>& unknown() const noexcept { return unknown_; }
  std::size_t size() const noexcept { return nodes_.size(); }
  /// Offset behind the STOP opcode.
  std::uint64_t end() const noexcept { return end_; }

 private:
  friend class PickleValue;
  friend class PickleMachine;
  std::vector<detail::PickleNode> nodes_;
  std::vector<std::string> globals_, unknown_;
  std::uint32_t root_ = 0;
  std::uint64_t end_ = 0;
};

/// The pickle that starts at `begin` and ends at or before `end`. `part` stands in errors behind the file's name
/// ("data.pkl").
std::unique_ptr<const PickleTree> read_pickle(const ByteSource& source, std::uint64_t begin, std::uint64_t end,
                                              std::string_view part, const PickleLimits& limits = {});

/// Is this on the list of what files of weights need? `module` and `name` as in the pickle; a name that walks through
/// attributes ("nn.os.system") never is.
bool known_global(std::string_view module, std::string_view name);

}  // namespace mss::checkpoints
