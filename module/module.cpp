// The loadable module of network methods (methods/networks.h tells how it is found and loaded).
#include "audio/fftw_mutex.h"
#include "methods/network_families.h"
#include "methods/network_stamp_values.h"
#include "methods/networks.h"
#include "training/torch/learner_entry.h"

namespace {

/// Read by the program before it loads this file.
__attribute__((used, section(".mssbench"))) const char kStamp[] = MSS_NETWORK_STAMP "\n" MSSBENCH_LIBTORCH "\n";

mss::methods::NetworkTable make_table() {
  mss::methods::NetworkTable table;
#define MSS_ADD(family) mss::methods::family::add_networks(table);
  MSS_NETWORK_FAMILIES(MSS_ADD)
#undef MSS_ADD
  return table;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const mss::methods::NetworkTable& mssbench_networks(
    const mss::methods::NetworkHost& host) {
  mss::audio::share_fftw_planner_mutex(host.fftw_planner);
  static const mss::methods::NetworkTable table = make_table();
  return table;
}

extern "C" __attribute__((visibility("default"))) mss::training::Learner* mssbench_learner(
    const mss::training::LearnerSettings& settings) {
#define MSS_ADD(family) mss::methods::family::add_trainables,
  return mss::training::make_learner_of({MSS_NETWORK_FAMILIES(MSS_ADD)}, settings).release();
#undef MSS_ADD
}
