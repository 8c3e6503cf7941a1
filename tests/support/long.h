// The one switch for tests that take longer than the others: ./run test --long.
#pragma once

#include <cstdlib>

/// Leaves the test case as skipped, saying so, unless long tests are asked for.
#define MSS_REQUIRE_LONG_TESTS()                                                                       \
  if (const char* wanted = std::getenv("MSSBENCH_LONG_TESTS"); wanted == nullptr || *wanted == '\0') { \
    WARN("SKIPPED: a long test; ./run test --long (or MSSBENCH_LONG_TESTS=1) runs it");                \
    return;                                                                                            \
  }
