// The Learner (training/learner.h) on LibTorch.
#pragma once

#include <memory>

#include "nn/torch/trainable_torch.h"
#include "training/learner.h"

namespace mss::training {

/// Throws what learner.h says; Error(unsupported) for an architecture that is not in `table`.
std::unique_ptr<Learner> make_torch_learner(const nn::TrainableTable& table, const LearnerSettings& settings);

}  // namespace mss::training
