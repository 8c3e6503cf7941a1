// Every method and post-filter that this program knows. Filled by explicit calls, not by static initialisers, so that a
// static library drops nothing; methods that this build lacks are listed as unavailable with the reason.
#pragma once

#include "methods/registry.h"

namespace mss::harness {

/// Built once, on first use; read-only and shared by all threads afterwards.
const methods::Registry& builtin_methods();

}  // namespace mss::harness
