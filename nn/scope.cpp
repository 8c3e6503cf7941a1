#include "nn/scope.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/hash.h"
#include "core/rng.h"
#include "core/stop.h"

namespace mss::nn {
namespace {

std::string to_text(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

template <class Items, class Print>
void append_list(std::string& text, const char* title, const Items& items, std::size_t most, const Print& print) {
  if (items.empty()) return;
  if (!text.empty()) text += "; ";
  text += title;
  const std::size_t shown = std::min(most, items.size());
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? " " : ", ") + print(items[i]);
  if (items.size() > shown) text += " and " + std::to_string(items.size() - shown) + " more";
}

}  // namespace

std::string FitReport::summary(std::size_t most) const {
  std::string text;
  const auto itself = [](const std::string& name) { return name; };
  append_list(text, "missing:", missing, most, itself);
  append_list(text, "unexpected:", unexpected, most, itself);
  append_list(text, "other shapes:", mismatched, most,
              [](const Mismatch& m) { return m.name + " " + to_text(m.found) + " instead of " + to_text(m.expected); });
  return text;
}

ArraySource::ArraySource(std::vector<StoredArray> arrays) {
  for (StoredArray& array : arrays) {
    std::string name = array.name;
    arrays_.insert_or_assign(std::move(name), std::move(array));
  }
}

void ArraySource::fill(const std::string& name, const Parameter& parameter, std::span<float> values) {
  const auto found = arrays_.find(name);
  if (found != arrays_.end() && found->second.shape == parameter.shape) {
    used_.insert(name);
    found->second.read(values);
    return;
  }
  std::ranges::fill(values, 0.0F);
  if (!used_.insert(name).second) return;
  if (found == arrays_.end()) {
    report_.missing.push_back(name);
  } else {
    report_.mismatched.push_back({name, parameter.shape, found->second.shape});
  }
}

FitReport ArraySource::report() const {
  FitReport out = report_;
  for (const auto& [name, array] : arrays_) {
    if (used_.count(name) == 0 && !name.ends_with("num_batches_tracked")) out.unexpected.push_back(name);
  }
  return out;
}

void ArraySource::check(std::string_view where) const {
  const FitReport found = report();
  if (found.ok()) return;
  throw Error({Code::checkpoint, std::string(where), "the tensors do not fit the network",
               "the network's names and shapes", found.summary(), ""});
}

void draw(std::uint64_t seed, const std::string& name, const Parameter& parameter, std::span<float> values) {
  const Init& init = parameter.init;
  if (init.kind == Init::Kind::constant) {
    std::ranges::fill(values, static_cast<float>(init.size));
    return;
  }
  // 96 bits of the name's hash make the stream: parameters do not share one.
  const std::string digest = core::sha256_hex(name);
  const std::uint64_t own = seed ^ std::stoull(digest.substr(0, 16), nullptr, 16);
  const auto stream = static_cast<std::uint32_t>(std::stoul(digest.substr(16, 8), nullptr, 16));
  core::Rng rng(own, stream);
  // The largest matrices hold tens of millions of values: a stop request waits for a block of them at most.
  constexpr std::size_t kBlock = 1 << 16;
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    core::check_stop();
    const std::span<float> block = values.subspan(begin, std::min(kBlock, values.size() - begin));
    if (init.kind == Init::Kind::uniform) {
      for (float& v : block) v = static_cast<float>((2.0 * rng.uniform() - 1.0) * init.size);
    } else {
      for (float& v : block) v = static_cast<float>(rng.normal() * init.size);
    }
  }
}

void RandomSource::fill(const std::string& name, const Parameter& parameter, std::span<float> values) {
  draw(seed_, name, parameter, values);
}

std::vector<float> Scope::get(const Parameter& parameter) const {
  std::vector<float> values(static_cast<std::size_t>(element_count(parameter.shape)));
  source_->fill(name_of(parameter), parameter, values);
  return values;
}

}  // namespace mss::nn
