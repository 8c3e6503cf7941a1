// What a piece of work cost: the figures in a record's `measured` object.
#pragma once

#include <cstdint>
#include <string>

namespace mss::core {

struct Cost {
  double wall_s = 0;
  double cpu_s = 0;                 ///< user and system time of the whole process
  std::int64_t peak_rss_bytes = 0;  ///< the process's high-water mark at the end (not a difference)
};

/// Starts at construction. CPU time is that of the whole process (all threads) since then.
class Stopwatch {
 public:
  Stopwatch();
  Cost elapsed() const;

 private:
  double wall_, cpu_;
};

std::int64_t peak_rss_bytes();          ///< 0 where the system does not tell
std::int64_t available_memory_bytes();  ///< of the machine or this process's cgroup, whichever is less
std::string host_name();
std::string processor_name();
/// UTC, "2031-01-31T12:34:56Z".
std::string utc_timestamp();

}  // namespace mss::core
