// The headers of LibTorch that this project uses, in one place: a file that includes <torch/torch.h> takes the compiler
// a third longer than one with these. Only .cpp files and headers named *_torch.h include it (docs/architecture.md).
// Files that do must not use fmt: LibTorch's folder of headers has another version of it, which is found first and has
// no library.
#pragma once

#include <torch/cuda.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/types.h>
