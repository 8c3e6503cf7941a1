// How the loadable module makes learners, without LibTorch's headers.
#pragma once

#include <memory>
#include <vector>

#include "training/learner.h"

namespace mss::nn {
struct TrainableTable;  // nn/torch/trainable_torch.h
}

namespace mss::training {

/// What families of networks add to the table of what can be trained (methods/FAMILY/entries.h).
using AddTrainables = void (*)(nn::TrainableTable& table);

/// make_torch_learner (learner_torch.h) over these families.
std::unique_ptr<Learner> make_learner_of(const std::vector<AddTrainables>& families, const LearnerSettings& settings);

}  // namespace mss::training
