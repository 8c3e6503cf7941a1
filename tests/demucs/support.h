// The weights and signals of tests/golden/demucs.json, made by its formulas, and its checksums.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/value.h"
#include "methods/demucs/configuration.h"
#include "methods/segments.h"
#include "nn/scope.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

namespace mss::tests {

namespace demucs = methods::demucs;

inline const core::Value& demucs_golden() {
  static const core::Value value = core::read_json_file(golden("demucs.json"));
  return value;
}

/// u(k, i) of the golden file, in [-1, 1).
inline double hashed(std::uint32_t k, std::uint32_t i) {
  std::uint32_t x = k * 0x9E3779B1U + i + 1U;
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  x ^= x >> 16;
  return 2.0 * static_cast<double>(x) / 4294967296.0 - 1.0;
}

/// (C, T); `key` 1000 for most, 2000 for apply_model.
inline methods::Rows<float> golden_signal(int channels, std::int64_t samples, std::uint32_t key = 1000) {
  methods::Rows<float> out;
  for (int c = 0; c < channels; ++c) {
    std::vector<float> row;
    for (std::int64_t t = 0; t < samples; ++t) {
      const auto phase = static_cast<double>(t * (37 + 11 * c) % 441);
      row.push_back(static_cast<float>(0.5 * (phase / 441.0 - 0.5) + 0.25 * hashed(key + static_cast<std::uint32_t>(c),
                                                                                   static_cast<std::uint32_t>(t))));
    }
    out.push_back(std::move(row));
  }
  return out;
}

/// The golden file's weights, by the place of their names in `keys`. Conv-TasNet's gains and offsets, (1, C, 1) there,
/// are (C) here.
class DemucsSource final : public nn::Source {
 public:
  explicit DemucsSource(const core::Value& keys) {
    for (const core::Value& entry : keys.as_array()) {
      std::string name = entry.as_array()[0].as_string();
      nn::Shape shape;
      for (const core::Value& d : entry.as_array()[1].as_array()) shape.push_back(d.as_integer());
      const auto k = static_cast<std::uint32_t>(tensors_.size());
      const auto ending = [&](const char* from, const char* to) {
        const std::string end = from;
        if (name.ends_with(end)) name = name.substr(0, name.size() - end.size()) + to;
      };
      ending(".gamma", ".weight");
      ending(".beta", ".bias");
      tensors_[name] = {k, shape};
    }
  }
  void fill(const std::string& name, const nn::Parameter& parameter, std::span<float> values) override {
    INFO(name);
    const auto found = tensors_.find(name);
    REQUIRE(found != tensors_.end());
    const auto& [k, shape] = found->second;
    REQUIRE(nn::element_count(shape) == static_cast<std::int64_t>(values.size()));
    if (shape.size() == parameter.shape.size()) CHECK(shape == parameter.shape);
    const double each = static_cast<double>(values.size()) / static_cast<double>(shape[0]);
    const double size = shape.size() >= 2 ? 2.0 / std::sqrt(each) : 0.1;
    for (std::size_t i = 0; i < values.size(); ++i) {
      // One-dimensional weights (slopes of PReLU here) lie around 1.
      const double around = shape.size() == 1 && name.ends_with(".weight") ? 1.0 : 0.0;
      values[i] = static_cast<float>(around + hashed(k, static_cast<std::uint32_t>(i)) * size);
    }
    ++asked_;
  }
  std::size_t names() const { return tensors_.size(); }
  std::size_t asked() const { return asked_; }

 private:
  struct Tensor {
    std::uint32_t k = 0;
    nn::Shape shape;
  };
  std::map<std::string, Tensor> tensors_;
  std::size_t asked_ = 0;
};

/// The configuration of the tiny models: channels 4, depth 3.
inline demucs::Configuration tiny(bool resample) {
  demucs::Configuration c;
  c.width = 4;
  c.depth = 3;
  c.resample = resample;
  return c;
}

/// {shape, sum, sumsq, first, last} of rows (S C rows of T), within `tolerance` per value.
template <class T>
void check_stat(const core::Value& stat, const methods::Rows<T>& rows, double tolerance) {
  std::int64_t count = 1;
  for (const core::Value& d : stat.at("shape").as_array()) count *= d.as_integer();
  std::vector<double> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  REQUIRE(static_cast<std::int64_t>(flat.size()) == count);
  double sum = 0.0, squares = 0.0;
  for (const double v : flat) {
    sum += v;
    squares += v * v;
  }
  const double most = static_cast<double>(count) * tolerance;
  CHECK(std::abs(sum - stat.at("sum").as_real()) <= most);
  CHECK(std::abs(squares - stat.at("sumsq").as_real()) <= 2.0 * most);
  const auto values = [&](const char* key, std::size_t from) {
    const core::Value* list = stat.find(key);
    if (list == nullptr) return;
    // Printed to 12 digits.
    for (std::size_t i = 0; i < list->size(); ++i) {
      CHECK(std::abs(flat[from + i] - list->as_array()[i].as_real()) <= tolerance + 1e-12);
    }
  };
  values("first", 0);
  if (const core::Value* last = stat.find("last"); last != nullptr) values("last", flat.size() - last->size());
}

/// A list [S][C][T] or [S][C][T / every], printed to 10 digits.
template <class T>
void check_values(const core::Value& list, const methods::Rows<T>& rows, std::size_t every, double tolerance) {
  std::size_t r = 0;
  double worst = 0.0;
  for (const core::Value& stem : list.as_array()) {
    for (const core::Value& row : stem.as_array()) {
      REQUIRE(r < rows.size());
      REQUIRE(row.size() == (rows[r].size() + every - 1) / every);
      for (std::size_t i = 0; i < row.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(rows[r][i * every]) - row.as_array()[i].as_real()));
      }
      ++r;
    }
  }
  CHECK(r == rows.size());
  CHECK(worst <= tolerance);
}

}  // namespace mss::tests
