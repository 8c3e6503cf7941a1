// The methods of methods/nmf, registered.
#pragma once

#include "methods/nmf/register.h"
#include "methods/registry.h"

namespace mss::tests::nmf {

inline const methods::Registry& registry() {
  static const methods::Registry filled = [] {
    methods::Registry r;
    methods::nmf::add_methods(r);
    return r;
  }();
  return filled;
}

}  // namespace mss::tests::nmf
