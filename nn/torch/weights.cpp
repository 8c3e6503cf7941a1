#include <algorithm>
#include <cstring>
#include <map>

#include "core/error.h"
#include "nn/torch/lstm_torch.h"
#include "nn/torch/weights_torch.h"

namespace mss::nn {
namespace {

std::map<std::string, at::Tensor> named_tensors(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> out;
  for (const auto& item : module.named_parameters()) out.emplace(item.key(), item.value());
  for (const auto& item : module.named_buffers()) out.emplace(item.key(), item.value());
  return out;
}

bool is_counter(std::string_view name) { return name.ends_with("num_batches_tracked"); }

template <class Items, class Print>
void append_list(std::string& text, const char* title, const Items& items, std::size_t most, const Print& print) {
  if (items.empty()) return;
  if (!text.empty()) text += "; ";
  text += title;
  const std::size_t shown = std::min(most, items.size());
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? " " : ", ") + print(items[i]);
  if (items.size() > shown) text += c10::str(" and ", items.size() - shown, " more");
}

}  // namespace

std::string LoadReport::summary(std::size_t most) const {
  std::string text;
  append_list(text, "missing:", missing, most, [](const std::string& name) { return name; });
  append_list(text, "unexpected:", unexpected, most, [](const std::string& name) { return name; });
  append_list(text, "other shapes:", mismatched, most, [](const Mismatch& m) {
    return c10::str(m.name, " ", at::IntArrayRef(m.found), " instead of ", at::IntArrayRef(m.expected));
  });
  return text;
}

LoadReport compare_weights(const torch::nn::Module& module, const std::vector<NamedArray>& arrays) {
  LoadReport report;
  const auto tensors = named_tensors(module);
  std::map<std::string_view, const NamedArray*> given;
  for (const NamedArray& array : arrays) given.emplace(array.name, &array);
  for (const auto& [name, tensor] : tensors) {
    const auto found = given.find(name);
    if (found == given.end()) {
      if (!is_counter(name)) report.missing.push_back(name);
    } else if (tensor.sizes() != at::IntArrayRef(found->second->shape)) {
      report.mismatched.push_back({name, tensor.sizes().vec(), found->second->shape});
    }
  }
  for (const auto& [name, array] : given) {
    if (tensors.find(std::string(name)) == tensors.end()) report.unexpected.emplace_back(name);
  }
  return report;
}

void load_weights(torch::nn::Module& module, const std::vector<NamedArray>& arrays, std::string_view where) {
  const LoadReport report = compare_weights(module, arrays);
  if (!report.ok()) {
    throw Error(Code::checkpoint, std::string(where), "these weights belong to another network: " + report.summary());
  }
  const torch::NoGradGuard no_grad;
  auto tensors = named_tensors(module);
  for (const NamedArray& array : arrays) {
    std::int64_t elements = 1;
    for (const std::int64_t size : array.shape) elements *= size;
    MSS_ASSERT(static_cast<std::int64_t>(array.values.size()) == elements);
    // copy_ only reads the source, so the span's constness is kept.
    const at::Tensor source = torch::from_blob(const_cast<float*>(array.values.data()), array.shape, at::kFloat);
    tensors.at(array.name).copy_(source);
  }
}

checkpoints::Tensors save_weights(const torch::nn::Module& module, const std::string& prefix) {
  checkpoints::Tensors out;
  for (const auto& [name, tensor] : named_tensors(module)) {
    const bool counter = tensor.scalar_type() == at::kLong;
    const at::Tensor values = tensor.detach().to(at::kCPU, counter ? at::kLong : at::kFloat).contiguous();
    checkpoints::Tensor saved;
    saved.dtype = counter ? checkpoints::DType::i64 : checkpoints::DType::f32;
    saved.shape = values.sizes().vec();
    saved.bytes.resize(static_cast<std::size_t>(values.numel()) * values.element_size());
    std::memcpy(saved.bytes.data(), values.const_data_ptr(), saved.bytes.size());
    out.emplace(prefix + name, std::move(saved));
  }
  return out;
}

std::int64_t count_parameters(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

std::int64_t count_macs_per_frame(const torch::nn::Module& module) {
  std::int64_t macs = 0;
  for (const auto& item : module.named_modules()) {
    const torch::nn::Module* layer = item.value().get();
    if (dynamic_cast<const torch::nn::LinearImpl*>(layer) != nullptr ||
        dynamic_cast<const torch::nn::LSTMImpl*>(layer) != nullptr || dynamic_cast<const LstmImpl*>(layer) != nullptr) {
      for (const at::Tensor& parameter : layer->parameters(false)) macs += parameter.dim() == 2 ? parameter.numel() : 0;
      continue;
    }
    for (const auto& parameter : layer->named_parameters(false)) {
      if (parameter.value().dim() >= 2) {
        throw Error(Code::unsupported, item.key() + "." + parameter.key(),
                    "the cost of this kind of layer is not known");
      }
    }
  }
  return macs;
}

}  // namespace mss::nn
