// The same name in two spellings: "é" as one code point (NFC, what keyboards and Linux give) or as e and an accent (NFD,
// what macOS stores).
//
// Thread-safety: pure.
#pragma once

#include <string>
#include <string_view>

namespace mss::core {

/// `text` with composed letters taken apart, so that two spellings of a name compare equal: Unicode's canonical
/// decomposition of Latin, Greek, Cyrillic, kana and Hangul. Other letters and bytes that are no UTF-8 stay.
std::string decomposed(std::string_view text);

}  // namespace mss::core
