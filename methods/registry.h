// Name -> factory. The registry is filled explicitly (harness/builtin_methods.h), not by static initialisers, so that a
// static library drops nothing. Methods that a build lacks stay listed as unavailable with the reason.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/params.h"
#include "core/spec.h"
#include "methods/flags.h"
#include "methods/separator.h"

namespace mss::methods {

struct FactorModel;  // methods/factor_model.h

/// What a run makes of the words that name a method.
struct RunPart {
  core::SpecPart part;
  std::string why;  ///< ends the sentence "X is run as Y, …"
};

struct MethodEntry {
  std::string name;
  std::string family;   ///< "floor", "oracle", "classic", "network"
  std::string summary;  ///< one sentence for `mssbench methods`
  core::ParamTable params;
  std::vector<std::pair<std::string, core::ParamText>> presets;  ///< name, values that it sets
  /// Presets that stand for a whole chain: name (one of `presets`), filters as spec text ("wiener:mode=openunmix").
  /// Such a preset is an abbreviation: it is written out before anything else happens, so that the canonical spec, and
  /// with it every record, names parameters and filters.
  std::vector<std::pair<std::string, std::string>> preset_filters;
  /// Options of people's command lines that fold into the spec (methods/flags.h).
  std::vector<Flag> flags;
  /// Arguments of the cheapest object, for methods that cannot be made from their name alone (they need weights).
  core::ParamText example;
  std::string unavailable;  ///< reason; empty = available
  /// `params` are resolved, `spec` is the canonical part. Null for unavailable methods.
  std::function<std::unique_ptr<Separator>(const core::Params& params, const core::SpecPart& spec)> make;
  /// Where a row of a run must say more than the words that people give (components without names that a protocol
  /// names): the part under which runs list it. No value, or a null function: as it stands.
  std::function<std::optional<RunPart>(const core::SpecPart& given)> run_part = {};
  /// For pictures: the factors of method.separate(mixture, names, references, options), computed by the code that
  /// separates, of an object that `make` made. `names` and `references` as there; throws what the separation throws. Null:
  /// a method without such a model.
  std::function<FactorModel(const Separator& method, audio::AudioView mixture, const std::vector<std::string>& names,
                            const std::vector<audio::AudioView>& references, const Options& options)>
      factor_model = {};
};

struct FilterEntry {
  std::string name;
  std::string summary;
  core::ParamTable params;
  std::function<std::unique_ptr<PostFilter>(const core::Params& params, const core::SpecPart& spec)> make;
};

struct NetworkFamily;  // methods/weights.h
struct NetworkMethod;  // methods/network_entry.h

class Registry {
 public:
  void add(MethodEntry entry);  ///< throws Error(internal) for a second entry of one name
  void add(FilterEntry entry);
  /// For import, export and checkpoint. The same family may come several times, with each of its methods; it must
  /// outlive the registry.
  void add(const NetworkFamily& family);
  /// For training.
  void add(std::shared_ptr<const NetworkMethod> network) { networks_.push_back(std::move(network)); }
  const std::vector<MethodEntry>& methods() const noexcept { return methods_; }
  const std::vector<FilterEntry>& filters() const noexcept { return filters_; }
  /// Null where there is none of this name.
  const MethodEntry* method(std::string_view name) const noexcept;
  const std::vector<const NetworkFamily*>& families() const noexcept { return families_; }
  const std::vector<std::shared_ptr<const NetworkMethod>>& networks() const noexcept { return networks_; }

  /// Resolves names, presets and parameters; the canonical spec keeps name and preset and prints the arguments that
  /// differ from the defaults, in table order. Throws Error(config) with the nearest name, Error(unsupported) for
  /// unavailable methods.
  std::unique_ptr<Separator> make(std::string_view spec) const;
  std::unique_ptr<Separator> make(const core::Spec& spec) const;
  /// With a preset that stands for a chain written out (MethodEntry::preset_filters); any other spec as it is.
  core::Spec expanded(const core::Spec& spec) const;
  /// The canonical spec string without building the method (no weights are read).
  std::string canonical(std::string_view spec) const;

 private:
  std::vector<MethodEntry> methods_;
  std::vector<FilterEntry> filters_;
  std::vector<const NetworkFamily*> families_;
  std::vector<std::shared_ptr<const NetworkMethod>> networks_;
};

}  // namespace mss::methods
