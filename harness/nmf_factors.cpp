#include "harness/nmf_factors.h"

#include <memory>
#include <utility>

#include "core/error.h"
#include "core/spec.h"
#include "methods/nmf/register.h"
#include "methods/registry.h"

namespace mss::harness {

std::optional<NmfFactors> nmf_factors(const methods::SeparatorInfo& info, const FactorsRequest& request) {
  if (info.method != "nmf" && info.method != "nmfd" && info.method != "nmfd-toolbox") return std::nullopt;
  // From the text that was given: what the separator says names a dictionary by label and hash, not where it is.
  core::Spec spec = core::parse_spec(request.spec);
  spec.filters.clear();
  methods::Registry registry;
  methods::nmf::add_methods(registry);
  const std::unique_ptr<methods::Separator> method = registry.make(spec);
  const auto* factoriser = dynamic_cast<const methods::nmf::Factoriser*>(method.get());
  MSS_ASSERT(factoriser != nullptr);
  methods::Options options;
  options.seed = request.seed;
  options.threads = request.threads;
  options.stop = request.stop;
  NmfFactors out = factoriser->factorise(request.mixture, request.reference_names, request.references, options);
  if (out.targets.empty()) out.targets = info.targets;
  return out;
}

}  // namespace mss::harness
