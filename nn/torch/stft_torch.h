// The STFT and its inverse as differentiable operators, by the conventions of audio/stft.h (there: formulas, framings,
// scaling). One wrapper with explicit arguments, because torch::stft has two overloads of which one centres and the
// other does not, told apart by the number of arguments only.
//
// Shapes: (…, T) real <-> (…, F, N) complex, F = fft_size / 2 + 1; bins before frames, as torch.stft has it. float32 or
// float64, any device; values equal audio::Stft up to rounding. Framings: none, centered_reflect, centered_zero
// (others: Error(unsupported)). Input shorter than the padding is extended by repeated reflection, as in audio/stft.h.
//
// Windows are made once per specification, type and device. Determinism: framing, reflection and overlap-add are slices,
// flips, concatenations and sums, whose gradients every device adds in one order; by PyTorch's list
// (torch.use_deterministic_algorithms) reflection_pad1d has no deterministic backward on CUDA, so it is not used here.
//
// Thread-safety: the windows that are kept are locked; otherwise functions without state.
#pragma once

#include <cstdint>

#include "audio/stft.h"
#include "nn/torch/libtorch_torch.h"

namespace mss::nn {

/// Throws Error(invalid_argument) for sizes that audio::Stft refuses, for integers and for complex input.
at::Tensor stft(const at::Tensor& x, const audio::StftSpec& spec);

/// Back to exactly `samples` samples; N must be the number of frames of that length (Error(invalid_argument)). Where
/// the summed squared window is below 1e-11 of its maximum the result is 0.
at::Tensor istft(const at::Tensor& spectrum, const audio::StftSpec& spec, std::int64_t samples);

/// Number of frames of `samples` samples.
std::int64_t stft_frames(const audio::StftSpec& spec, std::int64_t samples);

}  // namespace mss::nn
