// Options of people's command lines (`--niter 2`, `--shifts 4`) folded into the spec, so that the spec says all and
// stands in records as it ran. A method lists its flags in its MethodEntry (methods/registry.h); `mssbench separate`
// offers those of all methods.
//
// A flag stands for arguments of the method or of a filter. A filter that the spec does not have is added; one that a
// preset brought along (umx@official) takes the flag's value; an argument that the spec itself sets to something else
// is an error that names both.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/params.h"
#include "core/spec.h"

namespace mss::methods {

class Registry;

/// Flags as given: name ("wiener_win_len"), value. Lists are joined with '+'.
using FlagValues = std::vector<std::pair<std::string, std::string>>;

/// The value of one of them, or null.
const std::string* flag_value(const FlagValues& given, std::string_view name);

/// One thing that a flag says of the spec.
struct FlagSetting {
  std::string filter{};  ///< whose argument; empty = the method's
  std::string key{};     ///< the argument; empty = that filter has to be there
  std::string value{};
  core::ParamText with{};  ///< arguments that the filter gets when flags add it
  bool last = false;       ///< a filter that flags add comes behind the spec's filters, not before them
  bool absent = false;     ///< instead: there must be no such filter
};

struct Flag {
  core::Param param;  ///< name, type, range, unit, help, as an option of the program
  std::string placeholder;
  /// What `value` means, given all flags; `where` stands in errors. Throws Error(config).
  std::function<std::vector<FlagSetting>(const std::string& value, const FlagValues& given, std::string_view where)>
      settings;
};

/// Throws Error(config) for a flag that the method does not have, for a value outside of its range, and where spec and
/// flag disagree.
core::Spec fold_flags(const Registry& registry, const core::Spec& spec, const FlagValues& given);

}  // namespace mss::methods
