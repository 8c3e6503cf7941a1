// What the oracles of SiSEC 2018 share (Stoeter, Liutkus, Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA
// 2018; the published scripts are sigsep-mus-oracle): their transform, SciPy's with a periodic Hann window of the size of
// the Fourier transform, and its two parameters.
#pragma once

#include <cstdint>
#include <string>

#include "audio/stft.h"
#include "core/spec.h"

namespace mss::methods {

inline constexpr const char* kSisec18 = "SiSEC 2018 (Stoeter, Liutkus, Ito 2018), sigsep-mus-oracle";

/// `fft` (2048) and `hop` (1024), in samples.
core::ParamTable sisec18_params();

/// The transform that `values` ask for. Throws Error(config), naming `spec`, where fft is odd or hop more than half of it.
audio::StftSpec sisec18_stft(const core::Params& values, const core::SpecPart& spec);

/// A true stem that ends before the mixture: Error(invalid_argument) with its name and both numbers of samples.
[[noreturn]] void fail_short_reference(const std::string& name, std::int64_t found, std::int64_t expected);

}  // namespace mss::methods
