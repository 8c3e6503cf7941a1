#include "training/learner.h"

#include <cstring>

#include "methods/networks.h"

namespace mss::training {

std::unique_ptr<Learner> make_learner(const LearnerSettings& settings) {
  using Entry = Learner* (*)(const LearnerSettings&);
  void* symbol = methods::network_symbol(kLearnerEntryPoint, "training " + settings.architecture);
  Entry entry = nullptr;
  std::memcpy(&entry, &symbol, sizeof entry);
  return std::unique_ptr<Learner>(entry(settings));
}

}  // namespace mss::training
