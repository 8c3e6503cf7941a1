#include "core/value.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "core/error.h"
#include "core/text.h"

namespace mss::core {
namespace {

[[noreturn]] void wrong_type(std::string_view where, std::string_view expected, const Value& found) {
  throw Error(
      {Code::config, std::string(where), "wrong type", std::string(expected), std::string(found.type_name()), ""});
}

constexpr std::size_t kFewMembers = 32;

}  // namespace

Value::Object::Object(std::initializer_list<Member> members) {
  for (const Member& member : members) emplace_back(member.first, member.second);
}

void Value::Object::index(std::size_t position) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>{}(members_[position].first) & mask;
  while (slots_[slot] != 0) slot = (slot + 1) & mask;
  slots_[slot] = static_cast<std::uint32_t>(position + 1);
}

Value::Member& Value::Object::emplace_back(std::string key, Value value) {
  members_.emplace_back(std::move(key), std::move(value));
  const std::size_t count = members_.size();
  if (count <= kFewMembers) return members_.back();
  if (2 * count > slots_.size()) {
    slots_.assign(std::bit_ceil(4 * count), 0);
    for (std::size_t i = 0; i < count; ++i) index(i);
  } else {
    index(count - 1);
  }
  return members_.back();
}

const Value::Member* Value::Object::find(std::string_view key) const noexcept {
  if (slots_.empty()) {
    for (const Member& member : members_) {
      if (member.first == key) return &member;
    }
    return nullptr;
  }
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t slot = std::hash<std::string_view>{}(key)&mask; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const Member& member = members_[slots_[slot] - 1];
    if (member.first == key) return &member;
  }
  return nullptr;
}

Value::Member* Value::Object::find(std::string_view key) noexcept {
  return const_cast<Member*>(static_cast<const Object*>(this)->find(key));
}

bool Value::Object::erase(std::string_view key) {
  if (std::erase_if(members_, [key](const Member& member) { return member.first == key; }) == 0) return false;
  if (!slots_.empty()) {
    std::ranges::fill(slots_, 0U);
    for (std::size_t i = 0; i < members_.size(); ++i) index(i);
  }
  return true;
}

Value::Value(std::uint64_t i) {
  if (i > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    throw Error({Code::invalid_argument, "", "integer too large", "at most 2^63 - 1", std::to_string(i), ""});
  }
  data_ = static_cast<std::int64_t>(i);
}

std::string_view Value::type_name() const noexcept {
  constexpr std::string_view names[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
  return names[data_.index()];
}

bool Value::as_bool(std::string_view where) const {
  if (const bool* b = std::get_if<bool>(&data_)) return *b;
  wrong_type(where, "boolean", *this);
}

std::int64_t Value::as_integer(std::string_view where) const {
  if (const auto* i = std::get_if<std::int64_t>(&data_)) return *i;
  wrong_type(where, "integer", *this);
}

double Value::as_real(std::string_view where) const {
  if (const auto* d = std::get_if<double>(&data_)) return *d;
  if (const auto* i = std::get_if<std::int64_t>(&data_)) return static_cast<double>(*i);
  wrong_type(where, "number", *this);
}

double Value::as_real_or_nan(std::string_view where) const {
  return is_null() ? std::numeric_limits<double>::quiet_NaN() : as_real(where);
}

const std::string& Value::as_string(std::string_view where) const {
  if (const auto* s = std::get_if<std::string>(&data_)) return *s;
  wrong_type(where, "string", *this);
}

const Value::Array& Value::as_array(std::string_view where) const {
  if (const auto* a = std::get_if<Array>(&data_)) return *a;
  wrong_type(where, "array", *this);
}

const Value::Object& Value::as_object(std::string_view where) const {
  if (const auto* o = std::get_if<Object>(&data_)) return *o;
  wrong_type(where, "object", *this);
}

Value::Array& Value::as_array(std::string_view where) {
  if (auto* a = std::get_if<Array>(&data_)) return *a;
  wrong_type(where, "array", *this);
}

Value::Object& Value::as_object(std::string_view where) {
  if (auto* o = std::get_if<Object>(&data_)) return *o;
  wrong_type(where, "object", *this);
}

const Value* Value::find(std::string_view key) const noexcept {
  const auto* object = std::get_if<Object>(&data_);
  const Member* member = object == nullptr ? nullptr : object->find(key);
  return member == nullptr ? nullptr : &member->second;
}

Value* Value::find(std::string_view key) noexcept {
  return const_cast<Value*>(static_cast<const Value*>(this)->find(key));
}

const Value& Value::at(std::string_view key, std::string_view where) const {
  if (const Value* found = find(key)) return *found;
  throw Error({Code::config, std::string(where), "key missing", "'" + std::string(key) + "'", "", ""});
}

Value& Value::operator[](std::string_view key) {
  if (is_null()) data_ = Object{};
  if (Value* found = find(key)) return *found;
  return as_object(key).emplace_back(std::string(key), Value()).second;
}

void Value::push_back(Value v) {
  if (is_null()) data_ = Array{};
  as_array("push_back").push_back(std::move(v));
}

bool Value::erase(std::string_view key) {
  auto* object = std::get_if<Object>(&data_);
  return object != nullptr && object->erase(key);
}

std::size_t Value::size() const noexcept {
  if (const auto* a = std::get_if<Array>(&data_)) return a->size();
  if (const auto* o = std::get_if<Object>(&data_)) return o->size();
  return 0;
}

bool operator==(const Value& a, const Value& b) {
  if (a.is_real() && b.is_real()) {
    const double x = std::get<double>(a.data_), y = std::get<double>(b.data_);
    return x == y || (std::isnan(x) && std::isnan(y));
  }
  return a.data_ == b.data_;
}

void reject_unknown_keys(const Value& object, const std::vector<std::string>& allowed, std::string_view where) {
  for (const auto& [key, unused] : object.as_object(where)) {
    if (std::find(allowed.begin(), allowed.end(), key) == allowed.end()) {
      const std::string hint = did_you_mean(key, allowed);
      throw Error(
          {Code::config, std::string(where), "unknown key '" + key + "'", "one of " + join(allowed, ", "), "", hint});
    }
  }
}

}  // namespace mss::core
