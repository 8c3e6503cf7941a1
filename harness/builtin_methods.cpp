#include "harness/builtin_methods.h"

#include <utility>

#include "methods/classic/register.h"
#include "methods/filters/register.h"
#include "methods/floors/floors.h"
#include "methods/nmf/register.h"
#include "methods/network_families.h"
#include "methods/oracle/oracle.h"

namespace mss::harness {
namespace {

void add_unavailable_network(methods::Registry& registry, const char* name, const char* summary) {
  methods::MethodEntry entry;
  entry.name = name;
  entry.family = "network";
  entry.summary = summary;
  entry.unavailable = "it is a network for LibTorch that this version does not have";
  registry.add(std::move(entry));
}

methods::Registry make_registry() {
  methods::Registry registry;
  methods::floors::add_methods(registry);
  methods::oracle::add_methods(registry);
  methods::filters::add_methods(registry);
  methods::nmf::add_methods(registry);
  methods::classic::add_methods(registry);
  methods::filters::add_filters(registry);
#define MSS_ADD(family) methods::family::add_methods(registry);
  MSS_NETWORK_FAMILIES(MSS_ADD)
#undef MSS_ADD
  add_unavailable_network(registry, "demucs", "Demucs: a U-Net with a bidirectional LSTM on the waveform.");
  return registry;
}

}  // namespace

const methods::Registry& builtin_methods() {
  static const methods::Registry registry = make_registry();
  return registry;
}

}  // namespace mss::harness
