// The Open-Unmix family in the registry: names, parameters, presets, and how they become separators.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/spec.h"
#include "methods/networks.h"
#include "methods/registry.h"
#include "methods/separator.h"

namespace mss::methods::openunmix {

/// umx, xumx and umx-crossskip. They run on kernels of our own; only engine=libtorch loads the module of network
/// methods (methods/networks.h).
void add_methods(Registry& registry);

/// For the loadable module (network_torch.cpp): engine=libtorch of all of them.
void add_networks(NetworkTable& table);

/// Is this the name of one of them?
bool is_family(std::string_view method);

struct Weights;

/// What a spec asks for: its weights read (or drawn), checked against the method's architecture and the preset's
/// configuration. Used by both engines.
struct Request {
  SeparatorInfo info;  ///< spec with the weights' name instead of their path; method, resolved options
  std::vector<std::string> targets;
  std::int64_t buffer_bytes = 0;
};
Weights resolve_weights(const core::Params& params, const core::SpecPart& part, Request& request);

/// The options of the Python package's command line.
struct Flags {
  std::optional<std::int64_t> niter = {}, wiener_win_len = {};
  std::optional<std::string> residual = {};  ///< name of the residual stem
  std::vector<std::string> targets = {};
  std::optional<std::string> aggregate = {};  ///< JSON: {"NAME": ["STEM", …], …}
  bool any() const { return niter || wiener_win_len || residual || !targets.empty() || aggregate; }
};

/// Writes them into the spec, so that the spec says all: targets become the method's `targets`; niter (1 where another
/// flag needs the filter, as in the package), the residual and the window become a filter `wiener:mode=openunmix`;
/// aggregate (and a residual of another name than "residual") becomes a filter `aggregate`. A spec that has filters, or
/// sets what a flag sets, is not mixed with flags: Error(config). So are flags for a method of another family.
core::Spec fold_flags(core::Spec spec, const Flags& flags);

}  // namespace mss::methods::openunmix
