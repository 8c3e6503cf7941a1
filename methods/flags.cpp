#include "methods/flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/text.h"
#include "methods/registry.h"

namespace mss::methods {
namespace {

/// "wiener_win_len" -> "--wiener-win-len".
std::string option_text(std::string name) {
  std::ranges::replace(name, '_', '-');
  return "--" + name;
}

const std::string* argument(const core::SpecPart& part, std::string_view key) {
  for (const auto& [name, value] : part.arguments) {
    if (name == key) return &value;
  }
  return nullptr;
}

void set_argument(core::SpecPart& part, const std::string& key, const std::string& value) {
  for (auto& [name, old] : part.arguments) {
    if (name == key) {
      old = value;
      return;
    }
  }
  part.arguments.emplace_back(key, value);
}

core::SpecPart* find_filter(core::Spec& spec, std::string_view name) {
  const auto at = std::ranges::find_if(spec.filters, [name](const core::SpecPart& part) { return part.name == name; });
  return at == spec.filters.end() ? nullptr : &*at;
}

class Folder {
 public:
  Folder(const Registry& registry, core::Spec given) : given_(std::move(given)), spec_(registry.expanded(given_)) {}

  void apply(const std::string& flag, const std::string& value, const FlagSetting& setting) {
    const std::string option = fmt::format("{} {}", option_text(flag), value);
    if (setting.filter.empty()) {
      if (const std::string* said = argument(given_.method, setting.key))
        disagree(option, given_.method.name, setting, *said);
      set_argument(spec_.method, setting.key, setting.value);
      return;
    }
    core::SpecPart* said = find_filter(given_, setting.filter);
    if (setting.absent) {
      if (said != nullptr) refuse(option, core::to_string(*said));
      std::erase_if(spec_.filters, [&](const core::SpecPart& part) { return part.name == setting.filter; });
      return;
    }
    core::SpecPart* part = find_filter(spec_, setting.filter);
    if (part == nullptr) {
      const auto place = setting.last ? spec_.filters.end() : spec_.filters.begin() + added_;
      part = &*spec_.filters.insert(place, {.name = setting.filter, .preset = {}, .arguments = setting.with});
      if (!setting.last) ++added_;
    }
    if (setting.key.empty()) return;
    const std::string* old = said == nullptr ? nullptr : argument(*said, setting.key);
    if (old != nullptr) disagree(option, setting.filter, setting, *old);
    set_argument(*part, setting.key, setting.value);
  }

  core::Spec take() { return std::move(spec_); }

 private:
  [[noreturn]] void refuse(const std::string& option, const std::string& said) const {
    throw Error({Code::config, core::to_string(given_), fmt::format("{} and '{}' in the spec disagree", option, said),
                 "", "", "leave one of them out"});
  }
  void disagree(const std::string& option, const std::string& name, const FlagSetting& setting,
                const std::string& said) const {
    if (said != setting.value) refuse(option, fmt::format("{}:{}={}", name, setting.key, said));
  }

  core::Spec given_, spec_;
  std::ptrdiff_t added_ = 0;  ///< filters that stand first because flags added them
};

}  // namespace

const std::string* flag_value(const FlagValues& given, std::string_view name) {
  for (const auto& [key, value] : given) {
    if (key == name) return &value;
  }
  return nullptr;
}

core::Spec fold_flags(const Registry& registry, const core::Spec& spec, const FlagValues& given) {
  if (given.empty()) return spec;
  const std::string where = core::to_string(spec);
  const auto entry =
      std::ranges::find_if(registry.methods(), [&](const MethodEntry& e) { return e.name == spec.method.name; });
  const std::vector<Flag> none;
  const std::vector<Flag>& flags = entry == registry.methods().end() ? none : entry->flags;
  for (const auto& [name, value] : given) {
    const auto is_it = [&name = name](const Flag& flag) { return flag.param.name == name; };
    if (std::ranges::any_of(flags, is_it)) continue;
    std::vector<std::string> owners;
    for (const MethodEntry& other : registry.methods()) {
      if (std::ranges::any_of(other.flags, is_it)) owners.push_back(other.name);
    }
    throw Error({Code::config, where, fmt::format("{} has no option {}", spec.method.name, option_text(name)),
                 owners.empty() ? "" : "a method that has it: " + core::join(owners, ", "), "",
                 "parameters and filters stand in the spec: METHOD:NAME=VALUE|FILTER:NAME=VALUE"});
  }
  Folder folder(registry, spec);
  for (const Flag& flag : flags) {
    const std::string* value = flag_value(given, flag.param.name);
    if (value == nullptr) continue;
    core::Params::resolve({flag.param}, {{flag.param.name, *value}}, where);
    for (const FlagSetting& setting : flag.settings(*value, given, where)) {
      folder.apply(flag.param.name, *value, setting);
    }
  }
  return folder.take();
}

}  // namespace mss::methods
