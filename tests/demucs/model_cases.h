// The golden numbers of the models, over any layer set: `Engine` makes a model's tensors from rows and back.
//
//   struct Engine {
//     using L = …; using Sample = float or double;
//     explicit Engine(nn::Source&);                            // weights
//     L::Scope scope();
//     static L::Tensor tensor(const Rows<Sample>&);            // (1, T, C)
//     static Rows<Sample> rows(const L::Tensor&);              // of the first item
//   };
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "methods/demucs/apply.h"
#include "methods/demucs/initial.h"
#include "methods/demucs/model.h"
#include "methods/demucs/tasnet.h"
#include "tests/demucs/support.h"

namespace mss::tests {

template <class Sample>
methods::Rows<Sample> widened(const methods::Rows<float>& rows) {
  methods::Rows<Sample> out;
  for (const auto& row : rows) out.emplace_back(row.begin(), row.end());
  return out;
}

/// Forward passes with all stages, and every option. `tolerance` per value.
template <class Engine>
void check_forward(double tolerance) {
  using L = typename Engine::L;
  using Sample = typename Engine::Sample;
  for (const bool resample : {true, false}) {
    const core::Value& g = demucs_golden().at("demucs_v2").at(resample ? "resample_on" : "resample_off");
    DemucsSource source(g.at("keys"));
    Engine engine(source);
    const demucs::Demucs<L> model(engine.scope(), tiny(resample));
    CHECK(source.asked() == source.names());
    const std::int64_t length = g.at("input_length").as_integer();
    const auto x = Engine::tensor(widened<Sample>(golden_signal(2, length)));
    auto encoded = model.encode(x);
    const core::Value& stages = g.at("stages");
    for (std::size_t i = 0; i < 3; ++i) {
      INFO("encoder " << i);
      check_stat(stages.at("encoder." + std::to_string(i)), Engine::rows(encoded.levels[i]), tolerance);
    }
    auto y = model.recur({encoded.levels.back()}).front();
    check_stat(stages.at("lstm"), Engine::rows(y), tolerance);
    for (std::int64_t j = 0; j < 3; ++j) {
      INFO("decoder " << j);
      y = model.decode_level(0, j, y, encoded.levels[static_cast<std::size_t>(2 - j)]);
      check_stat(stages.at("decoder." + std::to_string(j)), Engine::rows(y), tolerance);
    }
    check_values(g.at("output"), Engine::rows(model.forward(x)), 1, tolerance);
  }
  const std::vector<std::pair<std::string, void (*)(demucs::Configuration&)>> options = {
      {"option_glu_off", [](demucs::Configuration& c) { c.glu = false; }},
      {"option_rewrite_off", [](demucs::Configuration& c) { c.rewrite = false; }},
      {"option_context_1", [](demucs::Configuration& c) { c.context = 1; }},
      {"option_lstm_layers_0", [](demucs::Configuration& c) { c.lstm_layers = 0; }},
      {"option_lstm_layers_1", [](demucs::Configuration& c) { c.lstm_layers = 1; }},
      {"option_growth_1.5", [](demucs::Configuration& c) { c.growth = 1.5; }},
      {"resample_off_normalize_on", [](demucs::Configuration& c) { c.normalize = true; }},
  };
  for (const auto& [name, set] : options) {
    INFO(name);
    const core::Value& g = demucs_golden().at("demucs_v2").at(name);
    const bool normalize = name == "resample_off_normalize_on";
    demucs::Configuration c = tiny(false);
    set(c);
    DemucsSource source(normalize ? demucs_golden().at("demucs_v2").at("resample_off").at("keys") : g.at("keys"));
    Engine engine(source);
    const demucs::Demucs<L> model(engine.scope(), c);
    CHECK(source.asked() == source.names());
    const std::int64_t length = g.at("input_length").as_integer();
    methods::Rows<float> x = golden_signal(2, length);
    if (normalize) {
      for (auto& row : x) {
        for (float& v : row) v = 3.0F * v + 0.5F;
      }
    }
    check_stat(g.at("stat"), Engine::rows(model.forward(Engine::tensor(widened<Sample>(x)))), tolerance);
  }
}

/// Whole, in segments, shifted. The reference's weights of the transition are float32 (2e-8), its sinc kernels too
/// (1e-6 by the golden file's own word).
template <class Engine>
void check_apply(double tolerance) {
  using L = typename Engine::L;
  using Sample = typename Engine::Sample;
  for (const bool resample : {false, true}) {
    const core::Value& g = demucs_golden().at("apply_model").at(resample ? "resample_on" : "resample_off");
    DemucsSource source(demucs_golden().at("demucs_v2").at(resample ? "resample_on" : "resample_off").at("keys"));
    Engine engine(source);
    const demucs::Demucs<L> model(engine.scope(), tiny(resample));
    const methods::Rows<Sample> track = widened<Sample>(golden_signal(2, 3000, 2000));

    const auto apply = [&](demucs::ApplyOptions options) {
      options.configuration = model.configuration();
      options.segment_samples = options.split ? 1200 : 3000;
      options.longest_shift = 50;
      const demucs::Network<Sample> network =
          [&](std::span<methods::Rows<Sample>> windows,
              const std::function<void(std::int64_t, methods::Rows<Sample>)>& emit) {
            std::int64_t i = 0;
            for (const auto& window : windows) emit(i++, Engine::rows(model.forward(Engine::tensor(window))));
          };
      std::size_t at = 0;
      methods::Rows<Sample> out(8);
      methods::run_segments<Sample>(
          demucs::segments_of(options), 2, 8,
          [&](std::span<Sample* const> rows, std::int64_t count) {
            const auto n = std::min(static_cast<std::size_t>(count), track[0].size() - at);
            for (std::size_t c = 0; c < 2; ++c)
              std::copy_n(track[c].begin() + static_cast<std::ptrdiff_t>(at), n, rows[c]);
            at += n;
            return static_cast<std::int64_t>(n);
          },
          [&](std::span<methods::Segment<Sample>> batch, const methods::EmitRows<Sample>& emit) {
            demucs::apply_network<Sample>(options, network, batch, emit);
          },
          [&](std::int64_t, const methods::Rows<Sample>& rows) {
            for (std::size_t r = 0; r < rows.size(); ++r) out[r].insert(out[r].end(), rows[r].begin(), rows[r].end());
          });
      return out;
    };
    const auto check = [&](const char* name, const methods::Rows<Sample>& rows, double reference) {
      INFO(name);
      const double most = std::max({tolerance, reference, resample ? 1e-6 : 0.0});
      check_stat(g.at(name).at("stat"), rows, most);
      check_values(g.at(name).at("sample_every_150"), rows, 150, most);
    };
    for (const std::int64_t batch : {1, 3}) {
      const auto with = [batch](bool split, double overlap, double power, std::int64_t shifts) {
        demucs::ApplyOptions o;
        o.split = split;
        o.overlap = overlap;
        o.transition = power;
        o.shifts = shifts;
        o.windows_at_once = batch;
        return o;
      };
      check("whole", apply(with(false, 0.25, 1, 0)), 0);
      check("split_overlap_0.25_power_1", apply(with(true, 0.25, 1, 0)), 5e-8);
      check("split_overlap_0.25_power_2", apply(with(true, 0.25, 2, 0)), 5e-8);
      check("split_overlap_0.5_power_1", apply(with(true, 0.5, 1, 0)), 5e-8);
      check("split_overlap_0_power_1", apply(with(true, 0, 1, 0)), 5e-8);
      demucs::ApplyOptions shifted = with(false, 0.25, 1, 2);
      shifted.offset = [](std::int64_t, std::int64_t k) {
        return std::vector<std::int64_t>{7, 33}[static_cast<std::size_t>(k)];
      };
      check("shifts_2_offsets_7_33", apply(shifted), 0);
      demucs::ApplyOptions both = with(true, 0.25, 1, 2);
      both.offset = [](std::int64_t i, std::int64_t k) {
        return std::vector<std::int64_t>{7, 33, 1, 50, 0, 12, 3, 44}[static_cast<std::size_t>(2 * i + k)];
      };
      check("split_then_shifts_2_offsets_in_order_7_33_1_50_0_12_3_44", apply(both), 5e-8);
    }
  }
}

template <class Engine>
void check_tasnet(double tolerance) {
  using L = typename Engine::L;
  using Sample = typename Engine::Sample;
  const core::Value& g = demucs_golden().at("conv_tasnet_music");
  demucs::Configuration c = demucs::named_configuration("x10");
  c.filters = c.bottleneck = 16;
  c.hidden = 32;
  c.blocks = 3;
  c.repeats = 2;
  DemucsSource source(g.at("keys"));
  Engine engine(source);
  const demucs::ConvTasNet<L> model(engine.scope(), c);
  CHECK(source.asked() == source.names());
  const auto rows = Engine::rows(model.forward(Engine::tensor(widened<Sample>(golden_signal(2, 2000)))));
  const core::Value& out = g.at("output");
  std::vector<double> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  const auto every = static_cast<std::size_t>(out.at("every").as_integer());
  const core::Value::Array& samples = out.at("samples").as_array();
  REQUIRE(samples.size() == (flat.size() + every - 1) / every);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    CHECK(std::abs(flat[i * every] - samples[i].as_real()) <= tolerance);
  }
  double sum = 0.0, squares = 0.0;
  for (const double v : flat) {
    sum += v;
    squares += v * v;
  }
  const double most = static_cast<double>(flat.size()) * tolerance;
  CHECK(std::abs(sum - out.at("sum").as_real()) <= most);
  CHECK(std::abs(squares - out.at("sumsq").as_real()) <= 2 * most);
}

/// v1 is v2 without resampling, up to the input's factor 1 / (1 + 1e-5).
template <class Engine>
void check_first_version(double tolerance) {
  using L = typename Engine::L;
  using Sample = typename Engine::Sample;
  DemucsSource source(demucs_golden().at("demucs_v2").at("resample_off").at("keys"));
  Engine engine(source);
  demucs::Configuration second = tiny(false), first = second;
  first.version = 1;
  const demucs::Demucs<L> v2(engine.scope(), second), v1(engine.scope(), first);
  methods::Rows<Sample> x = widened<Sample>(golden_signal(2, 468)), scaled = x;
  for (auto& row : scaled) {
    for (Sample& v : row) v = static_cast<Sample>(v * (1.0 + 1e-5));
  }
  const auto a = Engine::rows(v1.forward(Engine::tensor(x))), b = Engine::rows(v2.forward(Engine::tensor(scaled)));
  REQUIRE(a.size() == b.size());
  double worst = 0.0, other = 0.0;
  const auto c = Engine::rows(v2.forward(Engine::tensor(x)));
  for (std::size_t r = 0; r < a.size(); ++r) {
    REQUIRE(a[r].size() == b[r].size());
    for (std::size_t t = 0; t < a[r].size(); ++t) {
      worst = std::max(worst, std::abs(static_cast<double>(a[r][t]) - static_cast<double>(b[r][t])));
      other = std::max(other, std::abs(static_cast<double>(a[r][t]) - static_cast<double>(c[r][t])));
    }
  }
  CHECK(worst <= tolerance);
  CHECK(other > 1e-7);  // the factor is there
}

}  // namespace mss::tests
