#include "methods/bsrnn/names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/text.h"
#include "methods/bsrnn/model.h"
#include "nn/trace.h"

namespace mss::methods::bsrnn {
namespace {

/// How a shape of theirs differs from ours.
enum class Form {
  plain,
  conv1d,      ///< (N, I, 1)
  conv2d,      ///< (N, I, 1, 1)
  frame_norm,  ///< (1, C, 1, K) for (C, K)
  stereo_rows  ///< (N, I, 1); with both channels in a vector rows in another order
};

/// Names with places: <k>, <l>, … are whole numbers, <p> is whatever follows.
struct Rule {
  std::string_view ours, theirs;
  Form form = Form::plain;
};

constexpr std::array<Rule, 11> kAmanteur = {{
    {"split.<k>.norm.<p>", "bandsplit.layernorms.<k>.<p>"},
    {"split.<k>.fc.<p>", "bandsplit.fcs.<k>.<p>"},
    {"pairs.<l>.time.norm.<p>", "bandsequence.bsrnn.<l>.0.groupnorm.<p>"},
    {"pairs.<l>.time.lstm.<p>", "bandsequence.bsrnn.<l>.0.rnn.<p>"},
    {"pairs.<l>.time.fc.<p>", "bandsequence.bsrnn.<l>.0.fc.<p>"},
    {"pairs.<l>.band.norm.<p>", "bandsequence.bsrnn.<l>.1.groupnorm.<p>"},
    {"pairs.<l>.band.lstm.<p>", "bandsequence.bsrnn.<l>.1.rnn.<p>"},
    {"pairs.<l>.band.fc.<p>", "bandsequence.bsrnn.<l>.1.fc.<p>"},
    {"masks.0.<k>.norm.<p>", "maskest.layernorms.<k>.<p>"},
    {"masks.0.<k>.hidden.0.<p>", "maskest.mlp.<k>.mlp.0.<p>"},
    {"masks.0.<k>.values.<p>", "maskest.mlp.<k>.mlp.2.<p>"},
}};
constexpr Rule kAmanteurGate = {"masks.0.<k>.gated.<p>", "maskest.mlp.<k>.mlp.3.linear.<p>"};

constexpr std::array<Rule, 33> kMagron = {{
    {"split.<k>.norm.<p>", "BN.<k>.0.<p>"},
    {"split.<k>.fc.weight", "BN.<k>.1.weight", Form::conv1d},
    {"split.<k>.fc.bias", "BN.<k>.1.bias"},
    {"pairs.<l>.time.norm.<p>", "separator.<l>.time_net.norm.<p>"},
    {"pairs.<l>.time.lstm.<p>", "separator.<l>.time_net.main_layer.<p>"},
    {"pairs.<l>.time.fc.<p>", "separator.<l>.time_net.proj.<p>"},
    {"pairs.<l>.band.norm.<p>", "separator.<l>.band_net.norm.<p>"},
    {"pairs.<l>.band.lstm.<p>", "separator.<l>.band_net.main_layer.<p>"},
    {"pairs.<l>.band.fc.<p>", "separator.<l>.band_net.proj.<p>"},
    {"pairs.<l>.tac.transform.<p>", "separator.<l>.tac_module.transform.0.<p>"},
    {"pairs.<l>.tac.average.<p>", "separator.<l>.tac_module.average.0.<p>"},
    {"pairs.<l>.tac.concat.<p>", "separator.<l>.tac_module.concat.0.<p>"},
    {"pairs.<l>.tac.act.weight", "separator.<l>.tac_module.transform.1.weight"},
    {"pairs.<l>.attention.<h>.query.fc.weight", "separator.<l>.attn_block.attn_conv_Q_<h>.0.weight", Form::conv2d},
    {"pairs.<l>.attention.<h>.query.fc.bias", "separator.<l>.attn_block.attn_conv_Q_<h>.0.bias"},
    {"pairs.<l>.attention.<h>.query.act.weight", "separator.<l>.attn_block.attn_conv_Q_<h>.1.weight"},
    {"pairs.<l>.attention.<h>.query.norm.weight", "separator.<l>.attn_block.attn_conv_Q_<h>.2.gamma", Form::frame_norm},
    {"pairs.<l>.attention.<h>.query.norm.bias", "separator.<l>.attn_block.attn_conv_Q_<h>.2.beta", Form::frame_norm},
    {"pairs.<l>.attention.<h>.key.fc.weight", "separator.<l>.attn_block.attn_conv_K_<h>.0.weight", Form::conv2d},
    {"pairs.<l>.attention.<h>.key.fc.bias", "separator.<l>.attn_block.attn_conv_K_<h>.0.bias"},
    {"pairs.<l>.attention.<h>.key.act.weight", "separator.<l>.attn_block.attn_conv_K_<h>.1.weight"},
    {"pairs.<l>.attention.<h>.key.norm.weight", "separator.<l>.attn_block.attn_conv_K_<h>.2.gamma", Form::frame_norm},
    {"pairs.<l>.attention.<h>.key.norm.bias", "separator.<l>.attn_block.attn_conv_K_<h>.2.beta", Form::frame_norm},
    {"pairs.<l>.attention.<h>.value.fc.weight", "separator.<l>.attn_block.attn_conv_V_<h>.0.weight", Form::conv2d},
    {"pairs.<l>.attention.<h>.value.fc.bias", "separator.<l>.attn_block.attn_conv_V_<h>.0.bias"},
    {"pairs.<l>.attention.<h>.value.act.weight", "separator.<l>.attn_block.attn_conv_V_<h>.1.weight"},
    {"pairs.<l>.attention.<h>.value.norm.weight", "separator.<l>.attn_block.attn_conv_V_<h>.2.gamma", Form::frame_norm},
    {"pairs.<l>.attention.<h>.value.norm.bias", "separator.<l>.attn_block.attn_conv_V_<h>.2.beta", Form::frame_norm},
    {"pairs.<l>.attention.output.fc.weight", "separator.<l>.attn_block.attn_concat_proj.0.weight", Form::conv2d},
    {"pairs.<l>.attention.output.fc.bias", "separator.<l>.attn_block.attn_concat_proj.0.bias"},
    {"pairs.<l>.attention.output.act.weight", "separator.<l>.attn_block.attn_concat_proj.1.weight"},
    {"pairs.<l>.attention.output.norm.weight", "separator.<l>.attn_block.attn_concat_proj.2.gamma", Form::frame_norm},
    {"pairs.<l>.attention.output.norm.bias", "separator.<l>.attn_block.attn_concat_proj.2.beta", Form::frame_norm},
}};

constexpr std::array<Rule, 7> kMagronMask = {{
    {"masks.<s>.<k>.norm.<p>", "maskers.<s>.mask.<k>.0.<p>"},
    {"masks.<s>.<k>.hidden.0.weight", "maskers.<s>.mask.<k>.1.weight", Form::conv1d},
    {"masks.<s>.<k>.hidden.0.bias", "maskers.<s>.mask.<k>.1.bias"},
    {"masks.<s>.<k>.hidden.1.weight", "maskers.<s>.mask.<k>.3.weight", Form::conv1d},
    {"masks.<s>.<k>.hidden.1.bias", "maskers.<s>.mask.<k>.3.bias"},
    {"masks.<s>.<k>.gated.weight", "maskers.<s>.mask.<k>.5.weight", Form::stereo_rows},
    {"masks.<s>.<k>.gated.bias", "maskers.<s>.mask.<k>.5.bias", Form::stereo_rows},
}};
constexpr std::array<Rule, 5> kMagronShortMask = {{
    {"masks.<s>.<k>.norm.<p>", "maskers.<s>.mask.<k>.0.<p>"},
    {"masks.<s>.<k>.hidden.0.weight", "maskers.<s>.mask.<k>.1.weight", Form::conv1d},
    {"masks.<s>.<k>.hidden.0.bias", "maskers.<s>.mask.<k>.1.bias"},
    {"masks.<s>.<k>.gated.weight", "maskers.<s>.mask.<k>.3.weight", Form::stereo_rows},
    {"masks.<s>.<k>.gated.bias", "maskers.<s>.mask.<k>.3.bias", Form::stereo_rows},
}};

std::vector<Rule> rules_for(bool amanteur, std::int64_t mask_layers) {
  std::vector<Rule> out;
  if (amanteur) {
    out.assign(kAmanteur.begin(), kAmanteur.end());
    out.push_back(kAmanteurGate);
    return out;
  }
  out.assign(kMagron.begin(), kMagron.end());
  const std::span<const Rule> masks =
      mask_layers == 1 ? std::span<const Rule>(kMagronShortMask) : std::span<const Rule>(kMagronMask);
  out.insert(out.end(), masks.begin(), masks.end());
  return out;
}

using Places = std::map<char, std::string>;

std::optional<Places> match(std::string_view pattern, std::string_view name) {
  Places places;
  while (!pattern.empty()) {
    if (pattern.front() == '<') {
      const char letter = pattern[1];
      pattern.remove_prefix(3);
      std::size_t n = 0;
      if (letter == 'p') {
        n = name.size();
      } else {
        while (n < name.size() && name[n] >= '0' && name[n] <= '9') ++n;
      }
      if (n == 0) return std::nullopt;
      places[letter] = std::string(name.substr(0, n));
      name.remove_prefix(n);
    } else {
      if (name.empty() || name.front() != pattern.front()) return std::nullopt;
      name.remove_prefix(1);
      pattern.remove_prefix(1);
    }
  }
  return name.empty() ? std::optional(places) : std::nullopt;
}

std::string fill(std::string_view pattern, const Places& places) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '<') {
      out += places.at(pattern[i + 1]);
      i += 2;
    } else {
      out += pattern[i];
    }
  }
  return out;
}

/// Their rows of a gated layer in our order: per channel [values, gates] -> all values, all gates.
std::vector<std::int64_t> stereo_rows(std::int64_t rows) {
  const std::int64_t quarter = rows / 4;
  std::vector<std::int64_t> out(static_cast<std::size_t>(rows));
  std::iota(out.begin(), out.end(), 0);
  std::swap_ranges(out.begin() + quarter, out.begin() + 2 * quarter, out.begin() + 2 * quarter);
  return out;
}

/// Theirs -> ours; nothing where the shape is not of that form.
std::optional<nn::Shape> our_shape(nn::Shape shape, Form form) {
  const auto drop = [&](std::size_t ones) {
    for (std::size_t i = 0; i < ones; ++i) {
      if (shape.size() < 2 || shape.back() != 1) return false;
      shape.pop_back();
    }
    return true;
  };
  switch (form) {
    case Form::plain:
      return shape;
    case Form::conv1d:
      return shape.size() == 3 && drop(1) ? std::optional(shape) : std::nullopt;
    case Form::conv2d:
      return shape.size() == 4 && drop(2) ? std::optional(shape) : std::nullopt;
    case Form::frame_norm:
      if (shape.size() != 4 || shape[0] != 1 || shape[2] != 1) return std::nullopt;
      return nn::Shape{shape[1], shape[3]};
    case Form::stereo_rows:
      return shape.size() == 1 || (shape.size() == 3 && drop(1)) ? std::optional(shape) : std::nullopt;
  }
  return std::nullopt;
}

nn::Shape their_shape(nn::Shape shape, Form form) {
  if (form == Form::conv1d || (form == Form::stereo_rows && shape.size() == 2)) shape.push_back(1);
  if (form == Form::conv2d) shape.insert(shape.end(), {1, 1});
  if (form == Form::frame_norm) return {1, shape.at(0), 1, shape.at(1)};
  return shape;
}

constexpr std::string_view kAmanteurFirst = "bandsplit.fcs.0.weight", kMagronFirst = "BN.0.1.weight";

/// The tensors of one network, by names without prefix.
class Reader {
 public:
  Reader(const Shapes& shapes, std::string_view prefix, const Hints& hints, std::string_view where)
      : prefix_(prefix), hints_(hints), where_(where) {
    for (auto it = shapes.lower_bound(prefix); it != shapes.end() && it->first.starts_with(prefix); ++it)
      shapes_.emplace(it->first.substr(prefix.size()), it->second);
    amanteur_ = shapes_.contains(kAmanteurFirst);
  }

  ForeignNetwork read() {
    refuse_other_networks();
    Configuration& c = out_.configuration;
    c = amanteur_ ? read_amanteur() : read_magron();
    find_scheme();
    check(c);
    rename();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(Code code, std::string what, std::string expected, std::string found,
                           std::string hint = {}) const {
    throw Error({code, std::string(where_), std::move(what), std::move(expected), std::move(found), std::move(hint)});
  }
  const nn::Shape* find(std::string_view name) const {
    const auto at = shapes_.find(name);
    return at == shapes_.end() ? nullptr : &at->second;
  }
  /// Dimension `axis` of a tensor that must be there.
  std::int64_t dimension(const std::string& name, std::size_t axis) const {
    const nn::Shape* shape = find(name);
    if (shape == nullptr) refuse(Code::checkpoint, "a tensor is missing", prefix_ + name, "nothing of this name");
    if (shape->size() <= axis) {
      refuse(Code::checkpoint, fmt::format("tensor '{}{}' has too few dimensions", prefix_, name),
             fmt::format("{} or more", axis + 1), std::to_string(shape->size()));
    }
    return (*shape)[axis];
  }
  /// How many i there are such that the name made of it exists, from 0 on.
  template <class Name>
  std::int64_t count(const Name& name) const {
    std::int64_t n = 0;
    while (find(name(n)) != nullptr) ++n;
    return n;
  }
  bool any(std::string_view beginning) const {
    const auto at = shapes_.lower_bound(beginning);
    return at != shapes_.end() && at->first.starts_with(beginning);
  }

  void refuse_other_networks() const {
    if (any("bandsequence.dptransformers."))
      refuse(Code::unsupported, "a network with transformer blocks", "bottleneck_layer: rnn", "bottleneck_layer: att");
    const std::vector<std::string> blocks =
        amanteur_ ? std::vector<std::string>{"bandsequence.bsrnn.0.0.rnn.", "bandsequence.bsrnn.0.1.rnn."}
                  : std::vector<std::string>{"separator.0.time_net.main_layer.", "separator.0.band_net.main_layer."};
    for (const std::string& block : blocks) {
      if (find(block + "weight_ih_l0") == nullptr)
        refuse(Code::unsupported, "a network without LSTMs", prefix_ + block + "weight_ih_l0",
               "nothing of this name; layers of another kind are not built");
      if (dimension(block + "weight_ih_l0", 0) != 4 * dimension(block + "weight_hh_l0", 1))
        refuse(Code::unsupported, fmt::format("'{}{}weight_ih_l0' is not an LSTM's", prefix_, block),
               "four gates per unit", "another number (GRU: three)");
      if (find(block + "weight_ih_l0_reverse") == nullptr)
        refuse(Code::unsupported, "an LSTM of one direction", "bidirectional: true", "no weight_ih_l0_reverse");
    }
  }

  void set_common(Configuration& c) {
    c.rate_hz = hints_.rate_hz.value_or(44100);
    c.hop_samples = hints_.hop_samples.value_or(512);
    if (!hints_.rate_hz) out_.assumed.emplace_back("rate_hz");
    if (!hints_.hop_samples) out_.assumed.emplace_back("hop_samples");
  }

  /// Widths from the inputs of the bands' projections: `values` numbers per bin, the first of the candidates with which
  /// the bins are those of a transform of a size that is a power of two.
  std::int64_t set_widths(Configuration& c, const std::vector<std::int64_t>& inputs,
                          const std::vector<std::int64_t>& candidates) const {
    const std::int64_t sum = std::accumulate(inputs.begin(), inputs.end(), std::int64_t{0});
    for (const std::int64_t values : candidates) {
      const std::int64_t bins = sum / values;
      const auto uneven = [values](std::int64_t n) { return n % values != 0; };
      const bool fits = hints_.fft_size ? bins == *hints_.fft_size / 2 + 1
                                        : bins > 1 && std::has_single_bit(static_cast<std::uint64_t>(bins - 1));
      if (sum % values != 0 || !fits || std::ranges::any_of(inputs, uneven)) continue;
      for (const std::int64_t n : inputs) c.widths.push_back(n / values);
      c.fft_size = static_cast<int>(2 * (bins - 1));
      return values;
    }
    refuse(Code::checkpoint, "inputs of the bands do not add up to a spectrum",
           hints_.fft_size ? fmt::format("{} bins of 2 or 4 values", *hints_.fft_size / 2 + 1)
                           : "2^n + 1 bins of 2 or 4 values",
           fmt::format("{} values", sum));
  }

  Configuration read_amanteur() {
    Configuration c;
    c.profile = "amanteur";
    set_common(c);
    const auto fc = [](std::int64_t k) { return fmt::format("bandsplit.fcs.{}.weight", k); };
    std::vector<std::int64_t> inputs;
    for (std::int64_t k = 0; k < count(fc); ++k) inputs.push_back(dimension(fc(k), 1));
    c.joint = set_widths(c, inputs, {4, 2}) == 4;
    c.features = dimension(fc(0), 0);
    c.pairs = count([](std::int64_t l) { return fmt::format("bandsequence.bsrnn.{}.0.fc.weight", l); });
    c.lstm_hidden = dimension("bandsequence.bsrnn.0.0.rnn.weight_hh_l0", 1);
    c.mask_hidden = dimension("maskest.mlp.0.mlp.0.weight", 0);
    c.norm_frames = dimension("bandsplit.layernorms.0.weight", 1);
    c.block_groups = c.features;
    c.gate_layer = c.standardise = true;
    c.band_norm = c.mask_norm = BandNorm::element;
    c.rule = BandRule::edge;
    set_targets(c, 1);
    return c;
  }

  Configuration read_magron() {
    Configuration c;
    set_common(c);
    const auto fc = [](std::int64_t k) { return fmt::format("BN.{}.1.weight", k); };
    std::vector<std::int64_t> inputs;
    for (std::int64_t k = 0; k < count(fc); ++k) inputs.push_back(dimension(fc(k), 1));
    // `masks.` in older files.
    const bool one = any("mask.");
    const std::string mask = one ? "mask." : "maskers.0.mask.";
    c.joint = set_widths(c, inputs, {2, 4}) == 4;
    c.features = dimension(fc(0), 0);
    if (dimension("separator.0.time_net.norm.weight", 0) != c.features)
      refuse(Code::unsupported, "heads that split the features", "n_heads: 1",
             fmt::format("blocks of {} of {} features", dimension("separator.0.time_net.norm.weight", 0), c.features));
    c.pairs = count([](std::int64_t l) { return fmt::format("separator.{}.time_net.proj.weight", l); });
    c.lstm_hidden = dimension("separator.0.time_net.main_layer.weight_hh_l0", 1);
    c.mask_hidden = dimension(mask + "0.1.weight", 0);
    c.mask_layers = find(mask + "0.5.weight") != nullptr ? 2 : 1;
    c.profile = c.mask_layers == 2 ? "magron" : "paper";
    c.rule = BandRule::floor;
    c.eps = hints_.eps.value_or(c.mask_layers == 2 ? 1e-7 : 1e-5);
    if (!hints_.eps) out_.assumed.emplace_back("eps");
    c.block_groups = hints_.groups.value_or(1);
    if (!hints_.groups) out_.assumed.emplace_back("block_groups");
    if (any("separator.0.tac_module.")) {
      c.tac_hidden = dimension("separator.0.tac_module.transform.0.weight", 0);
      c.tac_prelu = find("separator.0.tac_module.transform.1.weight") != nullptr;
    }
    c.attention_heads =
        count([](std::int64_t h) { return fmt::format("separator.0.attn_block.attn_conv_Q_{}.0.weight", h); });
    if (c.attention_heads > 0) c.attention_width = dimension("separator.0.attn_block.attn_conv_Q_0.0.weight", 0);
    set_targets(c, one ? 1 : count([](std::int64_t s) { return fmt::format("maskers.{}.mask.0.1.weight", s); }));
    return c;
  }

  void set_targets(Configuration& c, std::int64_t masks) {
    const auto said = static_cast<std::int64_t>(hints_.targets.size());
    if (said == masks || (said == masks + 1 && masks > 1)) {
      c.targets = hints_.targets;
      c.subtract_last = said > masks;
    } else if (said > 0) {
      refuse(Code::checkpoint, "targets do not fit the masks",
             fmt::format("{} of {} masks", masks == 1 ? "one" : fmt::format("{} or {}", masks, masks + 1), masks),
             fmt::format("{}", fmt::join(hints_.targets, ", ")));
    } else if (masks == 1) {
      // Which name: after the bands are known.
      c.targets = {hints_.target};
    } else if (masks == 3 || masks == 4) {
      c.targets = {"vocals", "bass", "drums", "other"};
      c.subtract_last = masks == 3;
      out_.assumed.emplace_back("targets");
    } else {
      refuse(Code::checkpoint, "nothing says the targets of this network", "hyper_parameters that name them",
             fmt::format("{} masks", masks));
    }
  }

  void find_scheme() {
    Configuration& c = out_.configuration;
    c.scheme = "custom";
    for (const BandRule rule : {c.rule, c.rule == BandRule::edge ? BandRule::floor : BandRule::edge}) {
      for (const BandScheme& scheme : band_schemes()) {
        if (c.scheme != "custom" || scheme.bands() != c.bands()) continue;
        try {
          if (band_widths(scheme.name, rule, c.rate_hz, c.fft_size) != c.widths) continue;
        } catch (const Error&) {
          continue;  // a scheme that is too fine for this transform
        }
        c.scheme = scheme.name;
        c.rule = rule;
      }
    }
    if (c.targets.size() == 1 && c.targets[0].empty()) {
      if (c.scheme != "bass" && c.scheme != "drums") {
        refuse(Code::checkpoint, "nothing says which target this network separates", "a name",
               fmt::format("bands {}", c.scheme), "target=vocals says it, or a file named vocals.ckpt");
      }
      c.targets = {c.scheme};
      out_.assumed.emplace_back("targets");
    }
  }

  void rename() {
    const Configuration& c = out_.configuration;
    const std::vector<Rule> rules = rules_for(amanteur_, c.mask_layers);
    for (const auto& [theirs, shape] : shapes_) {
      if (theirs.ends_with("transf.window") || theirs.ends_with("num_batches_tracked")) {
        out_.ignored.push_back(prefix_ + theirs);
        continue;
      }
      std::string name = theirs;
      if (!amanteur_ && name.starts_with("mask.")) name = "maskers.0." + name;
      // PReLU is one layer under three names.
      const bool copy =
          !amanteur_ && (name.ends_with("tac_module.average.1.weight") || name.ends_with("tac_module.concat.1.weight"));
      if (copy) {
        const std::string first = name.substr(0, name.find("tac_module.")) + "tac_module.transform.1.weight";
        if (find(first) != nullptr) {
          out_.copies.emplace_back(prefix_ + first, prefix_ + theirs);
          continue;
        }
      }
      ForeignTensor tensor{prefix_ + theirs, shape, {}};
      std::string ours = theirs;
      for (const Rule& rule : rules) {
        const auto places = match(rule.theirs, name);
        if (!places) continue;
        ours = fill(rule.ours, *places);
        // Another form: the shape stays theirs, and whoever compares says so.
        if (const auto formed = our_shape(shape, rule.form)) tensor.shape = *formed;
        if (rule.form == Form::stereo_rows && c.joint && !shape.empty() && shape[0] % 4 == 0)
          tensor.rows = stereo_rows(shape[0]);
        break;
      }
      out_.tensors.insert_or_assign(ours, std::move(tensor));
    }
  }

  std::string prefix_;
  const Hints& hints_;
  std::string_view where_;
  Shapes shapes_;
  bool amanteur_ = false;
  ForeignNetwork out_;
};

}  // namespace

std::vector<std::string> network_prefixes(const Shapes& shapes) {
  std::vector<std::string> out;
  for (const auto& [name, shape] : shapes) {
    for (const std::string_view first : {kAmanteurFirst, kMagronFirst}) {
      if (!name.ends_with(first)) continue;
      const std::string prefix = name.substr(0, name.size() - first.size());
      if (prefix.empty() || prefix.back() == '.' || prefix.back() == '/') out.push_back(prefix);
    }
  }
  return out;
}

ForeignNetwork read_names(const Shapes& shapes, std::string_view prefix, const Hints& hints, std::string_view where) {
  return Reader(shapes, prefix, hints, where).read();
}

std::map<std::string, ForeignTensor> write_names(const Configuration& c) {
  const auto refuse = [](std::string what, std::string expected, std::string found) {
    throw Error({Code::unsupported, "bsrnn", std::move(what), std::move(expected), std::move(found), {}});
  };
  if (c.gate_layer ? c.mask_layers != 1 || c.masks() != 1 || c.tac_hidden > 0 || c.attention_heads > 0
                   : c.mask_layers > 2 || c.band_norm == BandNorm::element || c.mask_norm == BandNorm::element) {
    refuse("no other program has names for this network", "a network of a profile", c.profile);
  }
  nn::Listing listing;
  const BandSplitRnn<nn::Trace> model(nn::Trace::Scope(listing), c);
  const std::vector<Rule> rules = rules_for(c.gate_layer, c.mask_layers);
  std::map<std::string, ForeignTensor> out;
  for (const nn::Listing::Entry& entry : listing.entries) {
    bool found = false;
    for (const Rule& rule : rules) {
      const auto places = match(rule.ours, entry.name);
      if (!places) continue;
      ForeignTensor tensor{fill(rule.theirs, *places), their_shape(entry.parameter.shape, rule.form), {}};
      // The exchange of the inner quarters is its own inverse.
      if (rule.form == Form::stereo_rows && c.joint) tensor.rows = stereo_rows(entry.parameter.shape[0]);
      out.emplace(entry.name, std::move(tensor));
      found = true;
      break;
    }
    if (!found) refuse("a tensor has no name there", "a network of a profile", entry.name);
  }
  return out;
}

}  // namespace mss::methods::bsrnn
