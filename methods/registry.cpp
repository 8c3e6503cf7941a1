#include "methods/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/text.h"
#include "methods/weights.h"

namespace mss::methods {
namespace {

template <class Entry>
const Entry* find(const std::vector<Entry>& entries, std::string_view name) {
  const auto it = std::ranges::find_if(entries, [name](const Entry& e) { return e.name == name; });
  return it == entries.end() ? nullptr : &*it;
}

template <class Entry>
std::vector<std::string> names_of(const std::vector<Entry>& entries) {
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.push_back(entry.name);
  return names;
}

/// One part resolved: its parameters and its canonical form.
struct Resolved {
  core::Params params;
  core::SpecPart part;
};

/// A preset is another set of defaults, so that a canonical spec prints what differs from the preset.
core::ParamTable with_defaults(core::ParamTable table, const core::ParamText& values, std::string_view where) {
  for (const auto& [name, value] : values) {
    const auto it = std::ranges::find_if(table, [&name](const core::Param& p) { return p.name == name; });
    if (it == table.end()) {
      throw Error(Code::internal, std::string(where), fmt::format("the preset sets an unknown parameter '{}'", name));
    }
    it->default_value = value;
  }
  return table;
}

Resolved resolve(const core::ParamTable& table, const core::SpecPart& part) {
  Resolved out;
  out.params = core::Params::resolve(table, part.arguments, part.name);
  out.part = core::SpecPart{.name = part.name, .preset = part.preset, .arguments = out.params.non_default()};
  return out;
}

Resolved resolve_method(const MethodEntry& entry, const core::SpecPart& part) {
  if (part.preset.empty()) return resolve(entry.params, part);
  std::vector<std::string> known;
  for (const auto& [name, values] : entry.presets) {
    if (name == part.preset) return resolve(with_defaults(entry.params, values, entry.name), part);
    known.push_back(name);
  }
  throw Error({.code = Code::config,
               .where = entry.name,
               .what = "unknown preset",
               .expected = known.empty() ? "no preset: this method has none" : core::join(known, ", "),
               .found = fmt::format("'{}'", part.preset),
               .hint = core::did_you_mean(part.preset, known)});
}

const MethodEntry& find_method(const Registry& registry, const core::SpecPart& part) {
  if (const MethodEntry* entry = registry.method(part.name)) {
    if (entry->unavailable.empty()) return *entry;
    throw Error({.code = Code::unsupported,
                 .where = entry->name,
                 .what = "this build does not have the method: " + entry->unavailable,
                 .expected = {},
                 .found = {},
                 .hint = {}});
  }
  std::string hint = core::did_you_mean(part.name, names_of(registry.methods()));
  if (find(registry.filters(), part.name) != nullptr) {
    hint = fmt::format("'{0}' is a post-filter: write METHOD|{0}", part.name);
  }
  if (hint.empty()) hint = "`mssbench methods` lists them";
  throw Error({.code = Code::config,
               .where = part.name,
               .what = "unknown method",
               .expected = {},
               .found = {},
               .hint = std::move(hint)});
}

/// Writes out a preset that stands for a chain: its values become arguments where none is given, its filters come
/// first.
core::Spec expand_preset(const Registry& registry, core::Spec spec) {
  const MethodEntry* entry = registry.method(spec.method.name);
  if (entry == nullptr || spec.method.preset.empty()) return spec;
  const auto named = [&spec](const auto& pair) { return pair.first == spec.method.preset; };
  const auto chain = std::ranges::find_if(entry->preset_filters, named);
  if (chain == entry->preset_filters.end()) return spec;
  const auto values = std::ranges::find_if(entry->presets, named);
  for (const auto& [key, value] : values->second) {
    const auto same = [&key = key](const auto& argument) { return argument.first == key; };
    if (std::ranges::none_of(spec.method.arguments, same)) spec.method.arguments.emplace_back(key, value);
  }
  const core::Spec filters = core::parse_spec(entry->name + "|" + chain->second);
  spec.filters.insert(spec.filters.begin(), filters.filters.begin(), filters.filters.end());
  spec.method.preset.clear();
  return spec;
}

const FilterEntry& find_filter(const Registry& registry, const core::SpecPart& part) {
  const FilterEntry* entry = find(registry.filters(), part.name);
  if (entry == nullptr) {
    std::string hint = core::did_you_mean(part.name, names_of(registry.filters()));
    if (registry.method(part.name) != nullptr) {
      hint = fmt::format("'{}' is a method: it stands first, before any '|'", part.name);
    }
    if (hint.empty()) hint = "`mssbench methods` lists them";
    throw Error({.code = Code::config,
                 .where = part.name,
                 .what = "unknown post-filter",
                 .expected = {},
                 .found = {},
                 .hint = std::move(hint)});
  }
  if (!part.preset.empty()) {
    throw Error({.code = Code::config,
                 .where = part.name,
                 .what = "a post-filter has no presets",
                 .expected = {},
                 .found = fmt::format("'@{}'", part.preset),
                 .hint = {}});
  }
  return *entry;
}

}  // namespace

void Registry::add(MethodEntry entry) {
  if (find(methods_, entry.name) != nullptr) {
    throw Error(Code::internal, entry.name, "a second method of this name was registered");
  }
  // Names that a spec string cannot hold, or defaults outside their own range, should fail here and not at a user's
  // desk.
  to_string(core::SpecPart{.name = entry.name, .preset = {}, .arguments = {}});
  core::Params::resolve(entry.params, {}, entry.name);
  for (const auto& [name, values] : entry.presets) {
    to_string(core::SpecPart{.name = entry.name, .preset = name, .arguments = values});
    core::Params::resolve(with_defaults(entry.params, values, entry.name), {}, entry.name);
  }
  for (const auto& [name, filters] : entry.preset_filters) {
    MSS_ASSERT(std::ranges::any_of(entry.presets, [&name = name](const auto& preset) { return preset.first == name; }));
    core::parse_spec(entry.name + "|" + filters);
  }
  MSS_ASSERT(entry.unavailable.empty() == static_cast<bool>(entry.make));
  methods_.push_back(std::move(entry));
}

void Registry::add(FilterEntry entry) {
  if (find(filters_, entry.name) != nullptr) {
    throw Error(Code::internal, entry.name, "a second post-filter of this name was registered");
  }
  to_string(core::SpecPart{.name = entry.name, .preset = {}, .arguments = {}});
  core::Params::resolve(entry.params, {}, entry.name);
  MSS_ASSERT(static_cast<bool>(entry.make));
  filters_.push_back(std::move(entry));
}

void Registry::add(const NetworkFamily& family) {
  if (std::ranges::find(families_, &family) != families_.end()) return;
  for (const NetworkFamily* other : families_) {
    if (other->name == family.name) {
      throw Error(Code::internal, family.name, "a second family of networks of this name was registered");
    }
  }
  MSS_ASSERT(family.normalise && family.list && family.sizes && family.timing && family.macs_per_second &&
             family.recognises && family.import && family.state_dict);
  families_.push_back(&family);
}

const MethodEntry* Registry::method(std::string_view name) const noexcept { return find(methods_, name); }

core::Spec Registry::expanded(const core::Spec& spec) const { return expand_preset(*this, spec); }

std::unique_ptr<Separator> Registry::make(std::string_view spec) const { return make(core::parse_spec(spec)); }

std::unique_ptr<Separator> Registry::make(const core::Spec& given) const {
  const core::Spec spec = expand_preset(*this, given);
  const MethodEntry& entry = find_method(*this, spec.method);
  const Resolved method = resolve_method(entry, spec.method);
  // The filters are resolved before the method is built: a typing error there should not wait for weights to load.
  std::vector<std::unique_ptr<PostFilter>> filters;
  for (const core::SpecPart& part : spec.filters) {
    const FilterEntry& filter = find_filter(*this, part);
    const Resolved resolved = resolve(filter.params, part);
    filters.push_back(filter.make(resolved.params, resolved.part));
    MSS_ASSERT(filters.back() != nullptr);
  }
  auto made = entry.make(method.params, method.part);
  MSS_ASSERT(made != nullptr && made->info().method == entry.name && !made->info().spec.empty());
  return compose(std::move(made), std::move(filters));
}

std::string Registry::canonical(std::string_view text) const {
  core::Spec spec = expand_preset(*this, core::parse_spec(text));
  spec.method = resolve_method(find_method(*this, spec.method), spec.method).part;
  for (core::SpecPart& part : spec.filters) part = resolve(find_filter(*this, part).params, part).part;
  return to_string(spec);
}

}  // namespace mss::methods
