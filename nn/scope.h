// Weights by name. A Scope is a place in a set of named arrays: `weights / "encoder.0" / "conv"` is the place whose
// arrays are called "encoder.0.conv.<parameter>". Layers pull what they need from their scope, in the order of
// parameters() (nn/parameters.h); where the values come from is the business of the Source behind it: a file
// (ArraySource), a generator of initial values (RandomSource).
//
// A model is therefore checked against a file by being constructed: report() afterwards tells which arrays were
// missing, had other shapes, or were never asked for. Names and shapes without any values come from the layer set Trace
// (nn/trace.h).
//
// Thread-safety: a Source is used by one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nn/parameters.h"

namespace mss::nn {

/// Where values come from. fill() gets the full name and the parameter's shape and writes element_count(shape) values
/// in C order.
class Source {
 public:
  virtual ~Source() = default;
  virtual void fill(const std::string& name, const Parameter& parameter, std::span<float> values) = 0;
};

/// One array of a checkpoint, C order; the values are the caller's.
struct StoredArray {
  std::string name;
  Shape shape;
  std::function<void(std::span<float>)> read;  ///< writes the values
};

/// What does not fit between a checkpoint and a network.
struct FitReport {
  struct Mismatch {
    std::string name;
    Shape expected, found;
  };
  std::vector<std::string> missing;     ///< in the network, not in the checkpoint
  std::vector<std::string> unexpected;  ///< in the checkpoint, not in the network
  std::vector<Mismatch> mismatched;

  bool ok() const noexcept { return missing.empty() && unexpected.empty() && mismatched.empty(); }
  /// "missing: a, b and 3 more; unexpected: …; other shapes: fc1.weight [512, 2974] instead of [256, 513]": the first
  /// `most` of each kind.
  std::string summary(std::size_t most = 3) const;
};

/// Values from named arrays. What is missing or has another shape is filled with zeros and reported, so that one
/// construction finds every mismatch.
class ArraySource final : public Source {
 public:
  explicit ArraySource(std::vector<StoredArray> arrays);
  void fill(const std::string& name, const Parameter& parameter, std::span<float> values) override;
  /// Arrays whose names end in num_batches_tracked, counters of batch normalisation that inference does not read, count
  /// as expected.
  FitReport report() const;
  /// Throws Error(checkpoint) naming `where` with the report's summary unless everything fitted.
  void check(std::string_view where) const;

 private:
  std::map<std::string, StoredArray, std::less<>> arrays_;
  std::set<std::string, std::less<>> used_;
  FitReport report_;
};

/// Initial values: a pure function of (seed, name, shape), never of the order in which layers ask.
class RandomSource final : public Source {
 public:
  explicit RandomSource(std::uint64_t seed) : seed_(seed) {}
  void fill(const std::string& name, const Parameter& parameter, std::span<float> values) override;

 private:
  std::uint64_t seed_;
};

/// The same values for whoever asks: draws `parameter` called `name` under `seed`.
void draw(std::uint64_t seed, const std::string& name, const Parameter& parameter, std::span<float> values);

/// A place in a set of weights, for the layer set Cpu.
class Scope {
 public:
  explicit Scope(Source& source, std::string path = "") : source_(&source), path_(std::move(path)) {}
  Scope operator/(std::string_view name) const {
    return Scope(*source_, path_.empty() ? std::string(name) : path_ + "." + std::string(name));
  }
  std::vector<float> get(const Parameter& parameter) const;
  const std::string& path() const noexcept { return path_; }
  std::string name_of(const Parameter& parameter) const {
    return path_.empty() ? parameter.name : path_ + "." + parameter.name;
  }

 private:
  Source* source_;
  std::string path_;
};

}  // namespace mss::nn
