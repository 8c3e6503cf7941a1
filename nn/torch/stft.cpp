#include <vector>

#include "core/error.h"
#include "nn/torch/stft_torch.h"

namespace mss::nn {
namespace {

Error stft_error(Code code, std::string what) { return Error(code, "nn::stft", std::move(what)); }

void check(const audio::StftSpec& spec) {
  static_cast<void>(audio::Stft<float>(spec));  // refuses impossible sizes
  if (spec.framing == audio::Framing::scipy || spec.framing == audio::Framing::toolbox) {
    throw stft_error(Code::unsupported, "this framing exists on plain arrays only (audio/stft.h)");
  }
}

std::int64_t padding(const audio::StftSpec& spec) {
  return spec.framing == audio::Framing::none ? 0 : spec.fft_size / 2;
}

/// fft_size values: the window with zeros around it, times the spectrum's scale for the forward transform.
at::Tensor window_of(const audio::StftSpec& spec, const at::TensorOptions& options) {
  const int size = spec.window_samples == 0 ? spec.fft_size : spec.window_samples;
  const std::vector<double> values = audio::make_window<double>(spec.window, size);
  at::Tensor window = torch::zeros({spec.fft_size}, at::kDouble);
  std::copy(values.begin(), values.end(), window.data_ptr<double>() + (spec.fft_size - size) / 2);
  return window.to(options);
}

double scale_of(const audio::StftSpec& spec) {
  if (spec.scaling == audio::Scaling::none) return 1.0;
  const int size = spec.window_samples == 0 ? spec.fft_size : spec.window_samples;
  double sum = 0;
  for (const double value : audio::make_window<double>(spec.window, size)) sum += value;
  return 1.0 / sum;
}

/// Positions 0 … T-1 for -pad … T+pad-1, by repeated reflection at the edges without repeating them.
at::Tensor reflected_positions(std::int64_t samples, std::int64_t pad) {
  at::Tensor positions = torch::empty({samples + 2 * pad}, at::kLong);
  std::int64_t* out = positions.data_ptr<std::int64_t>();
  const std::int64_t period = samples > 1 ? 2 * (samples - 1) : 1;
  for (std::int64_t i = -pad; i < samples + pad; ++i) {
    const std::int64_t phase = ((i % period) + period) % period;
    out[i + pad] = phase < samples ? phase : period - phase;
  }
  return positions;
}

}  // namespace

std::int64_t stft_frames(const audio::StftSpec& spec, std::int64_t samples) {
  check(spec);
  const std::int64_t length = samples + 2 * padding(spec);
  return samples <= 0 || length < spec.fft_size ? 0 : 1 + (length - spec.fft_size) / spec.hop_samples;
}

at::Tensor stft(const at::Tensor& x, const audio::StftSpec& spec) {
  check(spec);
  if (x.dim() < 1 || !(x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble)) {
    throw stft_error(Code::invalid_argument, "the input is no float32 or float64 tensor of at least one dimension");
  }
  const std::int64_t samples = x.size(-1);
  const std::int64_t frames = stft_frames(spec, samples);
  std::vector<std::int64_t> shape(x.sizes().begin(), x.sizes().end() - 1);
  shape.push_back(spec.bins());
  shape.push_back(frames);
  if (frames == 0 || x.numel() == 0) return torch::empty(shape, x.options().dtype(c10::toComplexType(x.scalar_type())));

  at::Tensor flat = x.reshape({-1, samples});
  const std::int64_t pad = padding(spec);
  if (pad > 0 && spec.framing == audio::Framing::centered_zero) {
    flat = at::constant_pad_nd(flat, {pad, pad}, 0);
  } else if (pad > 0 && samples > pad) {
    flat = at::reflection_pad1d(flat, {pad, pad});
  } else if (pad > 0) {
    flat = flat.index_select(1, reflected_positions(samples, pad).to(x.device()));
  }
  const at::Tensor window = window_of(spec, x.options());
  at::Tensor spectrum = at::stft(flat, /*n_fft=*/spec.fft_size, /*hop_length=*/spec.hop_samples,
                                 /*win_length=*/spec.fft_size, /*window=*/window, /*center=*/false,
                                 /*pad_mode=*/"reflect", /*normalized=*/false, /*onesided=*/true,
                                 /*return_complex=*/true);
  if (spec.scaling != audio::Scaling::none) spectrum = spectrum * scale_of(spec);
  return spectrum.reshape(shape);
}

at::Tensor istft(const at::Tensor& spectrum, const audio::StftSpec& spec, std::int64_t samples) {
  check(spec);
  const std::int64_t frames = stft_frames(spec, samples);
  if (spectrum.dim() < 2 || !spectrum.is_complex() || spectrum.size(-2) != spec.bins() || spectrum.size(-1) != frames) {
    throw stft_error(Code::invalid_argument, c10::str("the inverse to ", samples, " samples takes complex (…, ",
                                                      spec.bins(), ", ", frames, ") and got ", spectrum.sizes()));
  }
  std::vector<std::int64_t> shape(spectrum.sizes().begin(), spectrum.sizes().end() - 2);
  shape.push_back(samples);
  const auto real = c10::toRealValueType(spectrum.scalar_type());
  if (frames == 0 || spectrum.numel() == 0) return torch::zeros(shape, spectrum.options().dtype(real));

  const at::Tensor flat = spectrum.reshape({-1, spec.bins(), frames});
  const at::Tensor window = window_of(spec, flat.options().dtype(real)).unsqueeze(-1);
  const std::int64_t length = spec.fft_size + (frames - 1) * spec.hop_samples;
  // Overlap-add: col2im of one-row images.
  const auto overlap_add = [&](const at::Tensor& columns) {
    return at::col2im(columns, {1, length}, {1, spec.fft_size}, {1, 1}, {0, 0}, {1, spec.hop_samples})
        .reshape({columns.size(0), length});
  };
  at::Tensor time = overlap_add(at::fft_irfft(flat, spec.fft_size, 1) * window);
  const at::Tensor weight = overlap_add((window * window).expand({1, spec.fft_size, frames}).contiguous());
  const at::Tensor covered = weight > 1e-11 * weight.max();
  const double scale = 1.0 / scale_of(spec);
  time = at::where(covered, time * scale / at::where(covered, weight, at::ones_like(weight)), at::zeros_like(time));
  const std::int64_t begin = padding(spec);
  const std::int64_t available = std::min(samples, length - begin);
  time = time.slice(1, begin, begin + available);
  if (available < samples) time = at::constant_pad_nd(time, {0, samples - available}, 0);
  return time.reshape(shape);
}

}  // namespace mss::nn
