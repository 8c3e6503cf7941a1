#include "datasets/synth/notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace mss::datasets::synth {

using core::Value;

std::string score_text(const Score& score) {
  std::string text = fmt::format("MSS1 {} {} {} {} {} {}\n", score.seed, split_name(score.split), score.style,
                                 score.bpm, score.key, score.minor ? 1 : 0);
  for (const Part part : kAllParts) {
    for (const Note& note : score.notes(part)) {
      text += fmt::format("{} {} {} {} {}\n", part_letter(part), note.start, note.end, note.pitch, note.velocity);
    }
  }
  for (const Syllable& s : score.syllables) {
    const std::string_view consonant = kConsonants[s.consonant];
    text += fmt::format("V {} {} {} {} {}\n", s.start, s.end, s.pitch, kVowels[s.vowel],
                        consonant.empty() ? std::string_view("-") : consonant);
  }
  return text;
}

namespace {

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>((value >> shift) & 0xFFU));
}

void append_variable_length(std::string& out, std::uint64_t value) {
  std::string reversed(1, static_cast<char>(value & 0x7FU));
  while ((value >>= 7U) != 0) reversed.push_back(static_cast<char>((value & 0x7FU) | 0x80U));
  out.append(reversed.rbegin(), reversed.rend());
}

std::string bytes_of(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

/// At one tick: program, note off, lyric, note on; then pitch; then the bytes.
struct Event {
  std::int64_t tick;
  int rank;
  int pitch;
  std::string bytes;
};

std::string track_chunk(std::vector<Event> events) {
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::tie(a.tick, a.rank, a.pitch, a.bytes) < std::tie(b.tick, b.rank, b.pitch, b.bytes);
  });
  std::string body;
  std::int64_t now = 0;
  for (const Event& event : events) {
    append_variable_length(body, static_cast<std::uint64_t>(event.tick - now));
    body += event.bytes;
    now = event.tick;
  }
  append_variable_length(body, 0);
  body += bytes_of({0xFF, 0x2F, 0});
  std::string chunk = "MTrk";
  append_big_endian(chunk, body.size(), 4);
  return chunk + body;
}

constexpr std::array<int, kParts> kChannels = {9, 0, 1, 2, 3, 4};
constexpr int kVoiceChannel = 5, kVoiceVelocity = 90;

void add_note(std::vector<Event>& events, int channel, std::int64_t start, std::int64_t end, int pitch, int velocity) {
  events.push_back({start, 3, pitch, bytes_of({0x90 | channel, pitch, velocity})});
  events.push_back({end, 1, pitch, bytes_of({0x80 | channel, pitch, 64})});
}

struct Span {
  std::int64_t start, end;
  bool sounds;
};
Span cut(std::int64_t start, std::int64_t end, std::int64_t begin, std::int64_t samples) {
  const std::int64_t a = std::max<std::int64_t>(0, start - begin), b = std::min(samples, end - begin);
  return {a, b, a < b};
}

}  // namespace

std::string midi_file(const Score& score) {
  std::vector<std::string> chunks;
  std::vector<Event> tempo;
  const auto quarter_us = static_cast<std::uint64_t>(60000000 / score.bpm);
  std::string set_tempo = bytes_of({0xFF, 0x51, 3});
  append_big_endian(set_tempo, quarter_us, 3);
  tempo.push_back({0, 0, 0, set_tempo});
  tempo.push_back({0, 1, 0, bytes_of({0xFF, 0x58, 4, 4, 2, 0x18, 8})});
  chunks.push_back(track_chunk(std::move(tempo)));
  for (const Part part : kAllParts) {
    if (score.notes(part).empty()) continue;
    const int channel = kChannels[static_cast<std::size_t>(part)];
    const Program program = score.program(part);
    std::vector<Event> events = {{0, 0, 0, bytes_of({0xC0 | channel, program.acoustic ? 0 : program.number})}};
    for (const Note& note : score.notes(part)) {
      add_note(events, channel, note.start, note.end, note.pitch, note.velocity);
    }
    chunks.push_back(track_chunk(std::move(events)));
  }
  if (!score.syllables.empty()) {
    std::vector<Event> events;
    for (const Syllable& s : score.syllables) {
      std::string lyric = bytes_of({0xFF, 5});
      const std::string text = std::string(kConsonants[s.consonant]) + std::string(kVowels[s.vowel]);
      append_variable_length(lyric, text.size());
      events.push_back({s.start, 2, s.pitch, lyric + text});
      add_note(events, kVoiceChannel, s.start, s.end, s.pitch, kVoiceVelocity);
    }
    chunks.push_back(track_chunk(std::move(events)));
  }
  std::string file = "MThd";
  append_big_endian(file, 6, 4);
  append_big_endian(file, 1, 2);
  append_big_endian(file, chunks.size(), 2);
  append_big_endian(file, kTicksPerQuarter, 2);
  for (const std::string& chunk : chunks) file += chunk;
  return file;
}

Value notes_table(const Score& score, std::int64_t begin, std::int64_t samples) {
  Value table = Value::object();
  for (const Part part : kAllParts) {
    Value list = Value::array();
    for (const Note& note : score.notes(part)) {
      const Span span = cut(score.sample(note.start), score.sample(note.end), begin, samples);
      if (!span.sounds) continue;
      list.push_back(Value::Array{span.start, span.end, note.pitch, note.velocity});
    }
    table[part_name(part)] = std::move(list);
  }
  for (const auto& [name, ticks] : {std::pair{"beats", kTicksPerQuarter}, std::pair{"downbeats", kTicksPerBar}}) {
    Value list = Value::array();
    for (std::int64_t tick = 0; score.sample(tick) < begin + samples; tick += ticks) {
      if (score.sample(tick) >= begin) list.push_back(score.sample(tick) - begin);
    }
    table[name] = std::move(list);
  }
  return table;
}

Value vocals_table(const Score& score, std::int64_t begin, std::int64_t samples) {
  Value table = Value::array();
  for (const Syllable& s : score.syllables) {
    const Span span = cut(score.sample(s.start), score.sample(s.end), begin, samples);
    if (!span.sounds) continue;
    table.push_back(Value::Array{span.start, span.end, s.pitch, kConsonants[s.consonant], kVowels[s.vowel],
                                 std::string(1, score.sections[s.section].letter)});
  }
  return table;
}

}  // namespace mss::datasets::synth
