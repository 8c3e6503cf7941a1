#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

namespace mss::tests {
namespace {

using core::Rng;

constexpr std::size_t kLargest = 1 << 16;

std::size_t below(Rng& rng, std::size_t n) { return n == 0 ? 0 : rng.below(static_cast<std::uint32_t>(n)); }

/// From 1 to `most`, mostly few: files with many changes are refused at the first.
std::uint32_t few(Rng& rng, std::uint32_t most) { return 1 + rng.below(1 + rng.below(most)); }

std::string little(std::uint64_t value, std::size_t bytes) {
  std::string out(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(value >> (8 * i));
  return out;
}

std::uint64_t number_at(std::string_view text, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[at + i])) << (8 * i);
  }
  return value;
}

/// Numbers at which arithmetic goes wrong.
std::uint64_t edge(Rng& rng, std::size_t size) {
  const std::array<std::uint64_t, 18> values = {0,          1,          2,          0x7f,       0x80,       0xff,
                                                0x100,      0x7fff,     0x8000,     0xffff,     0x7fffffff, 0x80000000,
                                                0xffffffff, 1ULL << 32, 1ULL << 62, ~0ULL >> 1, 1ULL << 63, ~0ULL};
  switch (rng.below(4)) {
    case 0:
      return size + rng.below(9) - 4;
    case 1:
      return rng.below(64);
    default:
      return values[rng.below(values.size())];
  }
}

void change_bytes(std::string& text, const std::vector<std::string>& seeds, Rng& rng) {
  const std::size_t at = below(rng, text.size() + 1);
  const std::size_t left = text.size() - at;
  switch (rng.below(9)) {
    case 0:
      if (left > 0) text[at] = static_cast<char>(text[at] ^ (1 << rng.below(8)));
      break;
    case 1:
      if (left > 0) text[at] = static_cast<char>(rng.below(256));
      break;
    case 2: {
      const std::string number = little(edge(rng, text.size()), std::size_t{1} << rng.below(4));
      text.replace(at, std::min(left, number.size()), number);
      break;
    }
    case 3:
      text.insert(at, little(edge(rng, text.size()), std::size_t{1} << rng.below(4)));
      break;
    case 4:
      text.erase(at, 1 + below(rng, std::min<std::size_t>(left, 64)));
      break;
    case 5: {
      const std::string part = text.substr(at, 1 + below(rng, std::min<std::size_t>(left, 256)));
      for (std::uint32_t n = 1 + rng.below(4); n > 0; --n) text.insert(at, part);
      break;
    }
    case 6: {
      const std::string& other = seeds[below(rng, seeds.size())];
      const std::size_t from = below(rng, other.size() + 1);
      const std::string part = other.substr(from, 1 + below(rng, std::min<std::size_t>(other.size() - from, 512)));
      text.replace(at, rng.below(2) == 0 ? 0 : std::min(left, part.size()), part);
      break;
    }
    case 7:
      text.resize(at);
      break;
    default: {
      const std::size_t other = below(rng, text.size() + 1), count = 1 + below(rng, 32);
      const std::string a = text.substr(at, count), b = text.substr(other, count);
      text.replace(at, a.size(), b);
      break;
    }
  }
}

std::string opcode(Rng& rng) {
  static const std::vector<std::string> kGlobals = {"ctorch._utils\n_rebuild_tensor_v2\n",
                                                    "ctorch._utils\n_rebuild_tensor_v3\n",
                                                    "ctorch._utils\n_rebuild_tensor\n",
                                                    "ctorch._utils\n_rebuild_parameter\n",
                                                    "ctorch._tensor\n_rebuild_from_type_v2\n",
                                                    "ctorch\nFloatStorage\n",
                                                    "ctorch\nUntypedStorage\n",
                                                    "ctorch\nfloat32\n",
                                                    "ccollections\nOrderedDict\n",
                                                    "cbuiltins\nset\n",
                                                    "c_codecs\nencode\n",
                                                    "cos\nsystem\n",
                                                    "cbuiltins\nbytearray\n",
                                                    "ccopyreg\n_reconstructor\n",
                                                    "cvendor\nThing\n"};
  static const std::string kPlain = "().012NRabdelostu]}\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94Q";
  switch (rng.below(8)) {
    case 0:
      return kGlobals[rng.below(static_cast<std::uint32_t>(kGlobals.size()))];
    case 1:
      return "h" + little(rng.below(16), 1);
    case 2:
      return "q" + little(rng.below(16), 1);
    case 3: {
      const char kinds[] = {'X', 'B', 'T'};
      const std::uint64_t length = rng.below(2) == 0 ? rng.below(8) : edge(rng, 64);
      return kinds[rng.below(3)] + little(length, 4) + std::string(rng.below(8), 'a');
    }
    case 4:
      return "\x8a" + little(rng.below(10), 1) + little(edge(rng, 64), 8);
    case 5:
      return (rng.below(2) == 0 ? "J" : "K") + little(edge(rng, 64), rng.below(2) == 0 ? 4 : 1);
    default:
      return kPlain.substr(rng.below(static_cast<std::uint32_t>(kPlain.size())), 1);
  }
}

void change_pickle(std::string& text, const std::vector<std::string>& seeds, Rng& rng) {
  if (rng.below(3) == 0) {
    change_bytes(text, seeds, rng);
    return;
  }
  std::string inserted;
  for (std::uint32_t n = 1 + rng.below(4); n > 0; --n) inserted += opcode(rng);
  const std::size_t at = below(rng, text.size() + 1);
  text.replace(at, rng.below(2) == 0 ? 0 : std::min(text.size() - at, inserted.size()), inserted);
}

std::string zipped(const std::vector<ZipEntry>& entries, bool wide) {
  std::string out, list;
  for (const ZipEntry& e : entries) {
    const std::uint64_t at = out.size(), bytes = e.data.size();
    const std::string sizes =
        little(0, 4) + little(wide ? 0xffffffff : bytes, 4) + little(wide ? 0xffffffff : bytes, 4);
    const std::string extra =
        wide ? little(1, 2) + little(24, 2) + little(bytes, 8) + little(bytes, 8) + little(at, 8) : "";
    out += std::string("PK\3\4\x2d\0\0\0\0\0\0\0\0\0", 14) + sizes + little(e.name.size(), 2) + little(0, 2) + e.name +
           e.data;
    list += std::string("PK\1\2\x2d\0\x2d\0\0\0\0\0\0\0\0\0", 16) + sizes + little(e.name.size(), 2) +
            little(extra.size(), 2) + std::string(10, '\0') + little(wide ? 0xffffffff : at, 4) + e.name + extra;
  }
  const std::uint64_t begin = out.size();
  out += list;
  if (wide) {
    const std::uint64_t at = out.size();
    out += std::string("PK\6\6", 4) + little(44, 8) + little(45, 2) + little(45, 2) + std::string(8, '\0') +
           little(entries.size(), 8) + little(entries.size(), 8) + little(list.size(), 8) + little(begin, 8);
    out += std::string("PK\6\7", 4) + little(0, 4) + little(at, 8) + little(1, 4);
  }
  return out + std::string("PK\5\6\0\0\0\0", 8) + little(entries.size(), 2) + little(entries.size(), 2) +
         little(list.size(), 4) + little(begin, 4) + little(0, 2);
}

std::string changed_zip(std::vector<ZipEntry> entries, const std::vector<std::string>& seeds, Rng& rng) {
  for (std::uint32_t n = few(rng, 4); n > 0 && !entries.empty(); --n) {
    auto chosen =
        std::find_if(entries.begin(), entries.end(), [](const ZipEntry& e) { return e.name.ends_with("data.pkl"); });
    if (chosen == entries.end() || rng.below(5) == 0) {
      chosen = entries.begin() + static_cast<std::ptrdiff_t>(below(rng, entries.size()));
    }
    switch (rng.below(10)) {
      case 0:
        change_bytes(chosen->name, seeds, rng);
        break;
      case 1:
        entries.erase(chosen);
        break;
      case 2:
        entries.push_back(*chosen);
        if (rng.below(2) == 0) change_bytes(entries.back().name, seeds, rng);
        break;
      default:
        change_pickle(chosen->data, seeds, rng);
    }
  }
  return zipped(entries, rng.below(4) == 0);
}

/// Changes a text by its tokens; `scale` is what numbers in it may be about.
void change_tokens(std::string& text, const std::vector<std::string>& tokens, const std::vector<std::string>& seeds,
                   std::size_t scale, Rng& rng) {
  for (std::uint32_t n = few(rng, 4); n > 0; --n) {
    const std::size_t at = below(rng, text.size() + 1);
    const std::string& token = tokens[rng.below(static_cast<std::uint32_t>(tokens.size()))];
    switch (rng.below(4)) {
      case 0:
        text.insert(at, token);
        break;
      case 1:
        text.replace(at, std::min(text.size() - at, token.size()), token);
        break;
      case 2: {  // a number becomes another
        const auto digit = text.find_first_of("0123456789", at);
        if (digit == std::string::npos) break;
        const auto end = std::min(text.find_first_not_of("0123456789", digit), text.size());
        text.replace(digit, end - digit, std::to_string(edge(rng, scale)));
        break;
      }
      default:
        change_bytes(text, seeds, rng);
    }
  }
}

const std::vector<std::string>& toml_tokens() {
  static const std::vector<std::string> list = {"[",
                                                "]",
                                                "[[",
                                                "]]",
                                                "{",
                                                "}",
                                                "=",
                                                ".",
                                                ",",
                                                "\"",
                                                "'",
                                                "\"\"\"",
                                                "'''",
                                                "\n",
                                                "#",
                                                "a.b.c",
                                                "a = 1\n",
                                                "[a]\n",
                                                "[[a]]\n",
                                                "{a = 1}",
                                                "[1, 2]",
                                                "true",
                                                "inf",
                                                "-nan",
                                                "1e999",
                                                "0x7fffffffffffffff",
                                                "1979-05-27",
                                                "\\u0000",
                                                "\\U0010ffff",
                                                "\xff",
                                                "\xc3\x28",
                                                "[run]\n",
                                                "methods = [\"mixture\"]\n",
                                                "seeds = [0]\n",
                                                "jobs = -1\n",
                                                "_",
                                                "'' = 0\n"};
  return list;
}

const std::vector<std::string>& json_tokens() {
  static const std::vector<std::string> list = {"{",
                                                "}",
                                                "[",
                                                "]",
                                                ",",
                                                ":",
                                                "\"",
                                                "null",
                                                "true",
                                                "-1",
                                                "0",
                                                "1e999",
                                                "1e-999",
                                                "-0.0",
                                                "NaN",
                                                "-Infinity",
                                                "\"inf\"",
                                                "\\u0000",
                                                "\\ud800",
                                                "\xff",
                                                "\n",
                                                "{}",
                                                "[]",
                                                "\"schema\"",
                                                "\"scores\"",
                                                "\"error\"",
                                                "\"seed\":-1",
                                                "\"frames\"",
                                                "\"targets\"",
                                                "\"metrics\"",
                                                "[[[[[[[[",
                                                "{\"a\":{\"a\":{\"a\":",
                                                "9223372036854775807",
                                                "18446744073709551616",
                                                "\"\""};
  return list;
}

/// Places of names of four letters, as chunks of RIFF and AIFF and boxes of mp4 have them.
std::vector<std::size_t> names_of_four(const std::string& text) {
  std::vector<std::size_t> out;
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ';
  };
  for (std::size_t i = 0; i + 4 <= text.size() && out.size() < 4000; ++i) {
    if (plain(text[i]) && plain(text[i + 1]) && plain(text[i + 2]) && plain(text[i + 3])) out.push_back(i);
  }
  return out;
}

void change_audio(std::string& text, const std::vector<std::string>& seeds, Rng& rng) {
  const std::vector<std::size_t> names = names_of_four(text);
  if (names.empty() || rng.below(4) == 0) {
    change_bytes(text, seeds, rng);
    return;
  }
  const std::size_t at = names[below(rng, names.size())];
  std::string number = little(edge(rng, text.size()), 4);
  if (rng.below(2) == 0) std::reverse(number.begin(), number.end());
  switch (rng.below(6)) {
    case 0:  // the size before an mp4 box's name
      if (at >= 4) text.replace(at - 4, 4, number);
      break;
    case 1:  // the size behind a RIFF chunk's name
      if (at + 8 <= text.size()) text.replace(at + 4, 4, number);
      break;
    case 2:
    case 3: {  // a field of the content
      const std::size_t field = at + 4 + below(rng, 64);
      const std::string part = number.substr(0, std::size_t{1} << rng.below(3));
      if (field + part.size() <= text.size()) text.replace(field, part.size(), part);
      break;
    }
    case 4: {  // a piece again, or gone
      const std::size_t count = 1 + below(rng, 128);
      if (rng.below(2) == 0) {
        text.insert(at, text.substr(at, count));
      } else {
        text.erase(at, count);
      }
      break;
    }
    default: {
      const std::string& other = seeds[below(rng, seeds.size())];
      const std::vector<std::size_t> theirs = names_of_four(other);
      if (!theirs.empty()) text.replace(at, 4, other.substr(theirs[below(rng, theirs.size())], 4));
    }
  }
}

std::string changed_safetensors(const std::string& seed, const std::vector<std::string>& seeds, Rng& rng) {
  const std::uint64_t length = seed.size() < 8 ? 0 : number_at(seed, 0, 8);
  std::string header = seed.size() < 8 || length > seed.size() - 8 ? seed : seed.substr(8, length);
  const std::string data = seed.size() < 8 || length > seed.size() - 8 ? "" : seed.substr(8 + length);
  static const std::vector<std::string> kTokens = {"{",
                                                   "}",
                                                   "[",
                                                   "]",
                                                   ",",
                                                   ":",
                                                   "\"",
                                                   "null",
                                                   "true",
                                                   "-1",
                                                   "0",
                                                   "1",
                                                   "1e9",
                                                   "2147483648",
                                                   "\"F32\"",
                                                   "\"BOOL\"",
                                                   "\"dtype\"",
                                                   "\"shape\"",
                                                   "[]",
                                                   "{}",
                                                   "9223372036854775807",
                                                   "18446744073709551616",
                                                   "4611686018427387904",
                                                   "\"data_offsets\"",
                                                   "\"__metadata__\"",
                                                   "\\u0000",
                                                   "\xff",
                                                   "\xed\xa0\x80",
                                                   " ",
                                                   "\"F16\"",
                                                   "[0,0]",
                                                   "0.5",
                                                   "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"};
  change_tokens(header, kTokens, seeds, data.size(), rng);
  std::string body = data;
  if (rng.below(4) == 0) change_bytes(body, seeds, rng);
  return little(rng.below(8) == 0 ? edge(rng, header.size()) : header.size(), 8) + header + body;
}

}  // namespace

std::optional<std::vector<ZipEntry>> unzipped(const std::string& text) {
  const auto end = text.rfind(std::string_view("PK\5\6", 4));
  if (!text.starts_with("PK\3\4") || end == std::string::npos || text.size() - end < 22) return std::nullopt;
  std::uint64_t at = number_at(text, end + 16, 4);
  const std::uint64_t count = number_at(text, end + 10, 2);
  std::vector<ZipEntry> out;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (at > text.size() || text.size() - at < 46) return std::nullopt;
    const std::uint64_t bytes = number_at(text, at + 24, 4), name = number_at(text, at + 28, 2),
                        local = number_at(text, at + 42, 4);
    if (text.size() - at - 46 < name || local > text.size() || text.size() - local < 30) return std::nullopt;
    const std::uint64_t begin = local + 30 + number_at(text, local + 26, 2) + number_at(text, local + 28, 2);
    if (begin > text.size() || bytes > text.size() - begin) return std::nullopt;
    out.push_back({text.substr(at + 46, name), text.substr(begin, bytes)});
    at += 46 + name + number_at(text, at + 30, 2) + number_at(text, at + 32, 2);
  }
  return out;
}

std::string mutant(Grammar grammar, const std::vector<std::string>& seeds, Rng& rng) {
  const std::string& seed = seeds[below(rng, seeds.size())];
  std::string out = seed;
  if (rng.below(4) == 0) {
    for (std::uint32_t n = few(rng, 8); n > 0; --n) change_bytes(out, seeds, rng);
  } else if (grammar == Grammar::safetensors) {
    out = changed_safetensors(seed, seeds, rng);
  } else if (grammar == Grammar::toml || grammar == Grammar::json) {
    change_tokens(out, grammar == Grammar::toml ? toml_tokens() : json_tokens(), seeds, out.size(), rng);
  } else if (grammar == Grammar::audio) {
    for (std::uint32_t n = few(rng, 4); n > 0; --n) change_audio(out, seeds, rng);
  } else if (auto entries = unzipped(seed); grammar == Grammar::pytorch && entries) {
    out = changed_zip(std::move(*entries), seeds, rng);
  } else {
    for (std::uint32_t n = few(rng, 6); n > 0; --n) change_pickle(out, seeds, rng);
  }
  if (out.size() > kLargest) out.resize(kLargest);
  return out;
}

}  // namespace mss::tests
