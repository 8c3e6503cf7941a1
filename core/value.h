// A plain tree of values: what JSON and TOML documents are to the rest of the project. nlohmann/json and toml++ stay
// inside json.cpp and toml.cpp. Objects keep their insertion order, so that written files are deterministic.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mss::core {

class Value {
 public:
  using Array = std::vector<Value>;
  using Member = std::pair<std::string, Value>;

  /// Members in insertion order. From a few dozen on an index by key is kept, so that documents with many keys are read
  /// in time proportional to their length. Keys must not be changed through the non-const iterators.
  class Object {
   public:
    Object() = default;
    Object(std::initializer_list<Member> members);
    /// Appends; the caller knows that `key` is absent (with two equal keys find() gives the first).
    Member& emplace_back(std::string key, Value value);
    const Member* find(std::string_view key) const noexcept;
    Member* find(std::string_view key) noexcept;
    bool erase(std::string_view key);

    auto begin() const noexcept { return members_.begin(); }
    auto end() const noexcept { return members_.end(); }
    auto begin() noexcept { return members_.begin(); }
    auto end() noexcept { return members_.end(); }
    std::size_t size() const noexcept { return members_.size(); }
    bool empty() const noexcept { return members_.empty(); }
    const Member& operator[](std::size_t i) const { return members_[i]; }
    const Member& front() const { return members_.front(); }
    const Member& back() const { return members_.back(); }
    friend bool operator==(const Object& a, const Object& b) { return a.members_ == b.members_; }

   private:
    void index(std::size_t position);
    std::vector<Member> members_;
    std::vector<std::uint32_t> slots_;  // open addressing: position + 1, 0 = free; empty while there are few members
  };

  Value() = default;  ///< null
  Value(std::nullptr_t) {}
  Value(bool b) : data_(b) {}
  Value(int i) : data_(static_cast<std::int64_t>(i)) {}
  Value(std::int64_t i) : data_(i) {}
  Value(std::uint64_t i);  ///< throws Error(invalid_argument) above 2^63 - 1
  Value(double d) : data_(d) {}
  Value(const char* s) : data_(std::string(s)) {}
  Value(std::string s) : data_(std::move(s)) {}
  Value(std::string_view s) : data_(std::string(s)) {}
  Value(Array a) : data_(std::move(a)) {}
  Value(Object o) : data_(std::move(o)) {}
  static Value array() { return Value(Array{}); }
  static Value object() { return Value(Object{}); }

  bool is_null() const noexcept { return data_.index() == 0; }
  bool is_bool() const noexcept { return data_.index() == 1; }
  bool is_integer() const noexcept { return data_.index() == 2; }
  bool is_real() const noexcept { return data_.index() == 3; }
  bool is_number() const noexcept { return is_integer() || is_real(); }
  bool is_string() const noexcept { return data_.index() == 4; }
  bool is_array() const noexcept { return data_.index() == 5; }
  bool is_object() const noexcept { return data_.index() == 6; }
  /// "null", "boolean", "integer", "number", "string", "array" or "object", for error messages.
  std::string_view type_name() const noexcept;

  // Typed access. `where` names the place in error messages ("plan.toml: run.seed"). All throw Error(config) on a
  // wrong type. as_real() also takes integers; null reads as NaN with as_real_or_nan().
  bool as_bool(std::string_view where = {}) const;
  std::int64_t as_integer(std::string_view where = {}) const;
  double as_real(std::string_view where = {}) const;
  double as_real_or_nan(std::string_view where = {}) const;
  const std::string& as_string(std::string_view where = {}) const;
  const Array& as_array(std::string_view where = {}) const;
  const Object& as_object(std::string_view where = {}) const;
  Array& as_array(std::string_view where = {});
  Object& as_object(std::string_view where = {});

  /// Member of an object, nullptr when absent (or when this is no object).
  const Value* find(std::string_view key) const noexcept;
  Value* find(std::string_view key) noexcept;
  /// Member of an object; throws Error(config) naming key and `where` when absent.
  const Value& at(std::string_view key, std::string_view where = {}) const;
  /// Member of an object, appended as null when absent; null turns into an object first.
  Value& operator[](std::string_view key);
  void push_back(Value v);  ///< null turns into an array first
  bool erase(std::string_view key);
  std::size_t size() const noexcept;  ///< elements of an array, members of an object, else 0

  /// Same type and content; member order counts; NaN equals NaN.
  friend bool operator==(const Value& a, const Value& b);

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> data_;
};

/// Throws Error(config) for a member of `object` not in `allowed`, with the nearest allowed name as hint.
void reject_unknown_keys(const Value& object, const std::vector<std::string>& allowed, std::string_view where);

}  // namespace mss::core
