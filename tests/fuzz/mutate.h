// Mutations that know the formats, for a fuzzer that needs no compiler support. Every mutant is a function of (seed,
// execution number) alone, so that a finding is repeated by its number.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/rng.h"

namespace mss::tests {

enum class Grammar { safetensors, pytorch, pickle, toml, json, audio };

/// One to eight changes of a seed. Bytes are flipped, overwritten with numbers that are at edges, inserted, removed,
/// repeated, or taken from another seed. Beyond that:
///   safetensors  changes inside the JSON header (tokens, numbers), with the length before it kept right half of the
///                time
///   pytorch      a zip archive is taken apart, one entry (mostly data.pkl) changed, and put together again with right
///                sizes; the legacy layout's pickles are changed like plain ones
///   pickle       whole opcodes are inserted
///   toml, json   tokens are inserted or put in place of others, numbers become others
///   audio        sizes of chunks and boxes (the four bytes beside a name of four letters) and fields behind them become
///                numbers at edges; names are exchanged, pieces repeated or removed
std::string mutant(Grammar grammar, const std::vector<std::string>& seeds, core::Rng& rng);

struct ZipEntry {
  std::string name, data;
};
/// The entries of an intact archive without compression; nothing when it is none.
std::optional<std::vector<ZipEntry>> unzipped(const std::string& text);

}  // namespace mss::tests
