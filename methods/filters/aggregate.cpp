#include "methods/filters/aggregate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace mss::methods::filters {
namespace {

/// The output stems as indices of the input's.
struct Plan {
  std::vector<std::string> names;
  std::vector<std::vector<std::size_t>> sums;
};

Plan plan_of(const std::vector<AggregateTerm>& terms, const std::vector<std::string>& input, const std::string& where) {
  std::set<std::string> mentioned, names;
  for (const AggregateTerm& term : terms) mentioned.insert(term.stems.begin(), term.stems.end());
  Plan plan;
  const auto add = [&](const std::string& name, const std::vector<std::string>& stems) {
    std::vector<std::size_t> sum;
    for (const std::string& stem : stems) {
      const auto at = std::ranges::find(input, stem);
      if (at == input.end()) {
        throw Error({Code::config, where, "no such stem", fmt::format("{}", fmt::join(input, ", ")), "'" + stem + "'",
                     core::did_you_mean(stem, input)});
      }
      sum.push_back(static_cast<std::size_t>(at - input.begin()));
    }
    if (!names.insert(name).second) {
      throw Error({Code::config, where, "two stems of one name", "different names", "'" + name + "'", {}});
    }
    plan.names.push_back(name);
    plan.sums.push_back(std::move(sum));
  };
  for (const AggregateTerm& term : terms) {
    if (!term.name.empty()) {
      add(term.name, term.stems);
      continue;
    }
    for (const std::string& stem : input) {
      if (!mentioned.contains(stem)) add(stem, {stem});
    }
  }
  return plan;
}

class AggregateSink final : public StemSink {
 public:
  AggregateSink(const std::vector<AggregateTerm>& terms, std::string where, audio::Source& mixture, StemSink& out)
      : terms_(terms), where_(std::move(where)), mixture_(mixture), out_(out) {}

  void begin(const StemFormat& format) override {
    plan_ = plan_of(terms_, format.targets, where_);
    StemFormat own = format;
    own.targets = plan_.names;
    out_.begin(own);
  }

  void write(const StemBlock& block) override {
    const audio::AudioView& shape = block.stems.front();
    std::vector<audio::AudioBuffer> sums(plan_.sums.size());
    StemBlock own{.begin = block.begin, .stems = {}};
    for (std::size_t s = 0; s < sums.size(); ++s) {
      const std::vector<std::size_t>& terms = plan_.sums[s];
      if (terms.size() == 1) {
        own.stems.push_back(block.stems[terms.front()]);
        continue;
      }
      sums[s] = audio::AudioBuffer(block.stems[terms.front()]);
      for (std::size_t i = 1; i < terms.size(); ++i) audio::add_to(sums[s].span(), block.stems[terms[i]]);
      own.stems.push_back(sums[s]);
    }
    drop(shape.samples());
    out_.write(own);
  }

 private:
  /// The mixture's samples that belong to what has passed are of no use here.
  void drop(std::int64_t samples) {
    if (scratch_.samples() < samples) scratch_ = audio::AudioBuffer(mixture_.channels(), samples, mixture_.rate_hz());
    for (std::int64_t done = 0; done < samples;) {
      const std::int64_t n = mixture_.read(scratch_.span().slice(0, samples - done));
      if (n == 0) return;
      done += n;
    }
  }

  const std::vector<AggregateTerm>& terms_;
  std::string where_;
  audio::Source& mixture_;
  StemSink& out_;
  audio::AudioBuffer scratch_;
  Plan plan_;
};

class Aggregate final : public PostFilter {
 public:
  Aggregate(std::vector<AggregateTerm> terms, std::string spec, core::Value options)
      : terms_(std::move(terms)), spec_(std::move(spec)), options_(std::move(options)) {}
  std::string spec() const override { return spec_; }
  core::Value resolved_options() const override { return options_; }
  std::vector<std::string> targets(const std::vector<std::string>& input) const override {
    return plan_of(terms_, input, spec_).names;
  }
  bool wants_magnitudes(const SeparatorInfo&) const override { return false; }
  std::unique_ptr<StemSink> open(const SeparatorInfo& method, audio::Source& mixture, StemSink& out,
                                 Context&) const override {
    return std::make_unique<AggregateSink>(terms_, method.spec + "|" + spec_, mixture, out);
  }

 private:
  std::vector<AggregateTerm> terms_;
  std::string spec_;
  core::Value options_;
};

std::unique_ptr<PostFilter> make(const core::Params& params, const core::SpecPart& part) {
  const std::string where = to_string(part);
  return std::make_unique<Aggregate>(parse_aggregate(params.text("stems"), where), where, params.resolved());
}

}  // namespace

std::vector<AggregateTerm> parse_aggregate(std::string_view text, std::string_view where) {
  const auto bad = [&](std::string what) {
    throw Error({Code::config,
                 std::string(where),
                 std::move(what),
                 "stems=vocals+accompaniment(drums+bass+other)",
                 fmt::format("'{}'", text),
                 {}});
  };
  std::vector<AggregateTerm> terms;
  std::set<std::string> names;
  std::size_t at = 0;
  const auto word = [&] {
    const std::size_t begin = at;
    while (at < text.size() && text[at] != '+' && text[at] != '(' && text[at] != ')') ++at;
    if (at == begin) bad("a name is missing");
    return std::string(text.substr(begin, at - begin));
  };
  while (true) {
    AggregateTerm term;
    term.name = word();
    if (!names.insert(term.name).second) bad("'" + term.name + "' comes twice");
    if (term.name == "*") {
      term.name.clear();
    } else if (at < text.size() && text[at] == '(') {
      do {
        ++at;
        term.stems.push_back(word());
      } while (at < text.size() && text[at] == '+');
      if (at >= text.size() || text[at] != ')') bad("')' is missing");
      ++at;
    } else {
      term.stems.push_back(term.name);
    }
    terms.push_back(std::move(term));
    if (at == text.size()) return terms;
    if (text[at] != '+') bad("'+' is missing between two stems");
    ++at;
  }
}

void add_aggregate(methods::Registry& registry) {
  FilterEntry entry;
  entry.name = "aggregate";
  entry.summary = "Sums of stems under new names, such as the accompaniment.";
  entry.params = {{.name = "stems",
                   .type = core::ParamType::text,
                   .default_value = "*",
                   .unit = "",
                   .range = "",
                   .help = "Stems that come out, joined by +: a name, NAME(STEM+STEM) for a sum, * for all others.",
                   .source = "open-unmix: aggregate"}};
  entry.make = make;
  registry.add(std::move(entry));
}

}  // namespace mss::methods::filters
