#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/error.h"
#include "nn/torch/stft_torch.h"

namespace mss::nn {
namespace {

Error stft_error(Code code, std::string what) { return Error(code, "nn::stft", std::move(what)); }

std::int64_t padding(const audio::StftSpec& spec) {
  return spec.framing == audio::Framing::none ? 0 : spec.fft_size / 2;
}

/// What all calls with one specification share.
struct Prepared {
  audio::StftSpec spec;
  at::Tensor window;   ///< fft_size values: the window with zeros around it
  double scale = 1.0;  ///< of the forward transform
};

void check(const audio::StftSpec& spec) {
  static_cast<void>(audio::Stft<float>(spec));  // refuses impossible sizes
  if (spec.framing == audio::Framing::scipy || spec.framing == audio::Framing::toolbox) {
    throw stft_error(Code::unsupported, "this framing exists on plain arrays only (audio/stft.h)");
  }
}

std::shared_ptr<const Prepared> prepare(const audio::StftSpec& spec, const at::TensorOptions& options) {
  check(spec);
  // A window that was made for an inference must serve training too.
  const c10::InferenceMode ordinary(false);
  auto out = std::make_shared<Prepared>();
  out->spec = spec;
  const int size = spec.window_samples == 0 ? spec.fft_size : spec.window_samples;
  const std::vector<double> values = audio::make_window<double>(spec.window, size);
  at::Tensor window = torch::zeros({spec.fft_size}, at::kDouble);
  std::copy(values.begin(), values.end(), window.data_ptr<double>() + (spec.fft_size - size) / 2);
  out->window = window.to(options);
  if (spec.scaling != audio::Scaling::none) {
    double sum = 0;
    for (const double value : values) sum += value;
    out->scale = 1.0 / sum;
  }
  return out;
}

/// Made once per specification, type and device.
std::shared_ptr<const Prepared> prepared(const audio::StftSpec& spec, at::ScalarType type, at::Device device) {
  constexpr std::size_t kMost = 64;
  using Key = std::tuple<int, int, int, audio::WindowKind, audio::Framing, audio::Scaling, at::ScalarType, std::string>;
  static std::mutex guard;
  static std::map<Key, std::shared_ptr<const Prepared>> known;
  const Key key{spec.fft_size, spec.hop_samples, spec.window_samples, spec.window, spec.framing, spec.scaling,
                type,          device.str()};
  const std::lock_guard lock(guard);
  const auto found = known.find(key);
  if (found != known.end()) return found->second;
  if (known.size() >= kMost) known.clear();
  return known[key] = prepare(spec, at::TensorOptions().dtype(type).device(device));
}

/// `pad` samples at both ends of (R, T) by reflection without repeating the edge, of short input again and again, as
/// flips and concatenations: reflection_pad1d has no deterministic backward on CUDA.
at::Tensor reflect(const at::Tensor& x, std::int64_t pad) {
  const std::int64_t samples = x.size(1);
  if (samples == 1) return x.expand({x.size(0), 1 + 2 * pad});
  if (samples > pad) {
    return at::cat({x.narrow(1, 1, pad).flip(1), x, x.narrow(1, samples - 1 - pad, pad).flip(1)}, 1);
  }
  // One period: forth, and back without both ends. Sample 0 stands at multiples of it.
  const std::int64_t period = 2 * (samples - 1), before = (pad + period - 1) / period;
  const at::Tensor once = samples == 2 ? x : at::cat({x, x.narrow(1, 1, samples - 2).flip(1)}, 1);
  const std::int64_t copies = before + (samples + pad + period - 1) / period;
  return once.repeat({1, copies}).narrow(1, before * period - pad, samples + 2 * pad);
}

/// Frames (R, N, size) of (R, T), every `hop`: pieces of `hop` samples beside each other. Its gradient is a sum of
/// slices, which every device adds in one order.
at::Tensor cut(const at::Tensor& x, std::int64_t frames, std::int64_t size, std::int64_t hop) {
  const std::int64_t pieces = (size + hop - 1) / hop, length = (frames - 1 + pieces) * hop;
  const at::Tensor fitting =
      x.size(1) >= length ? x.narrow(1, 0, length) : at::constant_pad_nd(x, {0, length - x.size(1)});
  const at::Tensor blocks = fitting.reshape({x.size(0), frames - 1 + pieces, hop});
  std::vector<at::Tensor> beside;
  for (std::int64_t p = 0; p < pieces; ++p) beside.push_back(blocks.narrow(1, p, frames));
  return at::cat(beside, 2).narrow(2, 0, size);
}

/// The reverse: frames (R, N, size) added up to (R, size + (N - 1) hop).
at::Tensor overlap_add(const at::Tensor& x, std::int64_t hop) {
  const std::int64_t rows = x.size(0), frames = x.size(1), size = x.size(2), pieces = (size + hop - 1) / hop;
  const at::Tensor whole = at::constant_pad_nd(x, {0, pieces * hop - size}).reshape({rows, frames, pieces, hop});
  at::Tensor sum;
  for (std::int64_t p = 0; p < pieces; ++p) {
    const at::Tensor placed =
        at::constant_pad_nd(whole.select(2, p).reshape({rows, frames * hop}), {p * hop, (pieces - 1 - p) * hop});
    sum = sum.defined() ? sum + placed : placed;
  }
  return sum.narrow(1, 0, size + (frames - 1) * hop);
}

std::int64_t frames_of(const audio::StftSpec& spec, std::int64_t samples) {
  const std::int64_t length = samples + 2 * padding(spec);
  return samples <= 0 || length < spec.fft_size ? 0 : 1 + (length - spec.fft_size) / spec.hop_samples;
}

}  // namespace

std::int64_t stft_frames(const audio::StftSpec& spec, std::int64_t samples) {
  check(spec);
  return frames_of(spec, samples);
}

at::Tensor stft(const at::Tensor& x, const audio::StftSpec& spec) {
  if (x.dim() < 1 || !(x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble)) {
    throw stft_error(Code::invalid_argument, "the input is no float32 or float64 tensor of at least one dimension");
  }
  const std::shared_ptr<const Prepared> ready = prepared(spec, x.scalar_type(), x.device());
  const std::int64_t samples = x.size(-1);
  const std::int64_t frames = frames_of(spec, samples);
  std::vector<std::int64_t> shape(x.sizes().begin(), x.sizes().end() - 1);
  shape.push_back(spec.bins());
  shape.push_back(frames);
  if (frames == 0 || x.numel() == 0) return torch::empty(shape, x.options().dtype(c10::toComplexType(x.scalar_type())));

  at::Tensor flat = x.reshape({-1, samples});
  const std::int64_t pad = padding(spec);
  if (pad > 0) {
    flat =
        spec.framing == audio::Framing::centered_zero ? at::constant_pad_nd(flat, {pad, pad}, 0) : reflect(flat, pad);
  }
  // Without a gradient to come back the frames are a view, and the product the only copy.
  const bool tracked = at::GradMode::is_enabled() && flat.requires_grad();
  const at::Tensor rows =
      (tracked ? cut(flat, frames, spec.fft_size, spec.hop_samples) : flat.unfold(1, spec.fft_size, spec.hop_samples)) *
      ready->window;
  at::Tensor spectrum = at::fft_rfft(rows, spec.fft_size, 2);
  if (ready->scale != 1.0) spectrum = spectrum * ready->scale;
  return spectrum.transpose(1, 2).reshape(shape);
}

at::Tensor istft(const at::Tensor& spectrum, const audio::StftSpec& spec, std::int64_t samples) {
  if (spectrum.dim() < 2 || !spectrum.is_complex()) {
    throw stft_error(Code::invalid_argument, "the inverse takes a complex tensor of at least two dimensions");
  }
  const auto real = c10::toRealValueType(spectrum.scalar_type());
  const std::shared_ptr<const Prepared> ready = prepared(spec, real, spectrum.device());
  const std::int64_t frames = frames_of(spec, samples);
  if (spectrum.size(-2) != spec.bins() || spectrum.size(-1) != frames) {
    throw stft_error(Code::invalid_argument, c10::str("the inverse to ", samples, " samples takes complex (…, ",
                                                      spec.bins(), ", ", frames, ") and got ", spectrum.sizes()));
  }
  std::vector<std::int64_t> shape(spectrum.sizes().begin(), spectrum.sizes().end() - 2);
  shape.push_back(samples);
  if (frames == 0 || spectrum.numel() == 0) return torch::zeros(shape, spectrum.options().dtype(real));

  const at::Tensor flat = spectrum.reshape({-1, spec.bins(), frames}).transpose(1, 2);
  const at::Tensor& window = ready->window;
  const std::int64_t length = spec.fft_size + (frames - 1) * spec.hop_samples;
  at::Tensor time = overlap_add(at::fft_irfft(flat, spec.fft_size, 2) * window, spec.hop_samples);
  const at::Tensor weight = overlap_add((window * window).expand({1, frames, spec.fft_size}), spec.hop_samples);
  const at::Tensor covered = weight > 1e-11 * weight.max();
  const double scale = 1.0 / ready->scale;
  time = at::where(covered, time * scale / at::where(covered, weight, at::ones_like(weight)), at::zeros_like(time));
  const std::int64_t begin = padding(spec);
  const std::int64_t available = std::min(samples, length - begin);
  time = time.slice(1, begin, begin + available);
  if (available < samples) time = at::constant_pad_nd(time, {0, samples - available}, 0);
  return time.reshape(shape);
}

}  // namespace mss::nn
