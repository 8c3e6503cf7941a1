#include "harness/builtin_methods.h"

#include <utility>

#include "methods/classic/register.h"
#include "methods/filters/register.h"
#include "methods/floors/floors.h"
#include "methods/network_families.h"
#include "methods/nmf/register.h"
#include "methods/oracle/oracle.h"

namespace mss::harness {
namespace {

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
  return registry;
}

}  // namespace

const methods::Registry& builtin_methods() {
  static const methods::Registry registry = make_registry();
  return registry;
}

}  // namespace mss::harness
