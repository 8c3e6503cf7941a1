// Checkpoints of a training run: weights files with the state to go on from (run.h says what they hold).
//
// Thread-safety: free functions.
#pragma once

#include <filesystem>
#include <string>

#include "core/value.h"
#include "methods/weights.h"
#include "training/learner.h"

namespace mss::training {

/// NAMEs of learner.h, "<part>.<name>", to the parts of a set of weights, and back.
methods::Parts parts_of(const methods::NetworkFamily& family, const core::Value& configuration,
                        const checkpoints::LazyTensors& named);
checkpoints::LazyTensors names_of(const methods::Parts& parts);

struct CheckpointText {
  std::string label;  ///< of the weights
  core::Value provenance;
  core::Value state;  ///< of the run, as JSON
};

/// Atomically. Throws Error(io), and Error(numeric) for weights that are not finite.
void write_checkpoint(const std::filesystem::path& path, const Learner& learner, const methods::NetworkFamily& family,
                      const core::Value& configuration, const CheckpointText& text);

struct Checkpoint {
  core::Value configuration, state;
  checkpoints::LazyTensors tensors;  ///< as Learner::state() names them
};
/// Throws Error(io), Error(format), Error(checkpoint) for a file that is no checkpoint.
Checkpoint read_checkpoint(const std::filesystem::path& path, const methods::NetworkFamily& family);

}  // namespace mss::training
