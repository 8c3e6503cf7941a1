// The headers of LibTorch that this project uses, in one place: a file that includes <torch/torch.h> takes the compiler
// a third longer than one with these. Only .cpp files and headers named *_torch.h include it (docs/architecture.md).
#pragma once

#include <torch/cuda.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/types.h>
