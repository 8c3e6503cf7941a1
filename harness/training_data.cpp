#include "harness/training_data.h"

#include <cmath>

#include "core/unicode.h"

namespace mss::harness {
namespace {

using core::Value;

constexpr double kSameSeconds = 0.5, kTableSeconds = 1.0;  // the table's lengths are within 0.5 s themselves

std::string text_of(const Value& object, std::string_view name) {
  const Value* value = object.is_object() ? object.find(name) : nullptr;
  return value != nullptr && value->is_string() ? value->as_string() : std::string();
}

/// NaN where the entry does not say.
double seconds_of(const Value& entry) {
  if (!entry.is_object()) return NAN;
  const Value* seconds = entry.find("seconds");
  if (seconds != nullptr && seconds->is_number()) return seconds->as_real();
  const Value *samples = entry.find("samples"), *rate = entry.find("rate_hz");
  if (samples == nullptr || rate == nullptr || !samples->is_number() || !rate->is_number()) return NAN;
  return rate->as_real() > 0 ? samples->as_real() / rate->as_real() : NAN;
}

bool is_musdb(std::string_view dataset) { return dataset == "MUSDB18" || dataset == "MUSDB18-HQ"; }

bool same_length(double seconds, const datasets::Track& track, double tolerance) {
  return std::abs(seconds - track.seconds()) <= tolerance;
}

}  // namespace

std::string_view trained_on_name(TrainedOn how) noexcept {
  return how == TrainedOn::fingerprint ? "fingerprint" : how == TrainedOn::name ? "name" : "";
}

TrainedOn trained_on(const Value& provenance, const datasets::Track& track, std::string_view fingerprint) {
  if (!provenance.is_object()) return TrainedOn::no;
  const std::string name = core::decomposed(track.name);
  const Value* tracks = provenance.find("tracks");
  TrainedOn out = TrainedOn::no;
  if (tracks != nullptr && tracks->is_array()) {
    for (const Value& entry : tracks->as_array()) {
      const std::string hash = text_of(entry, "sha256");
      if (!hash.empty() && hash == fingerprint) return TrainedOn::fingerprint;
      std::string known = entry.is_string() ? entry.as_string() : text_of(entry, "name");
      if (known.empty()) known = text_of(entry, "track");
      for (const char* subset : {"train/", "test/", "valid/"}) {
        if (entry.is_string() || entry.find("name") == nullptr) {
          if (known.starts_with(subset)) known.erase(0, std::string_view(subset).size());
        }
      }
      if (core::decomposed(known) != name) continue;
      const double seconds = seconds_of(entry);
      const datasets::MusdbFact* fact = datasets::musdb_fact(known);
      const bool same = !std::isnan(seconds) ? same_length(seconds, track, kSameSeconds)
                        : fact != nullptr    ? same_length(fact->seconds, track, kTableSeconds)
                                             : hash.empty();
      if (same) out = TrainedOn::name;
    }
    return out;
  }
  if (!is_musdb(text_of(provenance, "dataset"))) return out;
  for (const datasets::MusdbFact& fact : datasets::musdb_facts()) {
    if (fact.split != "test" && core::decomposed(std::string(fact.name)) == name &&
        same_length(fact.seconds, track, kTableSeconds))
      return TrainedOn::name;
  }
  return out;
}

}  // namespace mss::harness
