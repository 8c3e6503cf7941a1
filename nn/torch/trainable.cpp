#include <ATen/autocast_mode.h>
#include <torch/autograd.h>

#include <string>

#include "core/error.h"
#include "nn/torch/trainable_torch.h"

namespace mss::nn {
namespace {

class Recomputed final : public torch::autograd::Function<Recomputed> {
 public:
  using Body = std::function<at::Tensor(const at::Tensor&)>;

  // Leaf tensors inside of f want gradients even where x does not, which LibTorch cannot know: x is made to want them
  // by recomputed().
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, Body body) {
    context->save_for_backward({x});
    auto kept = std::make_shared<Kept>();
    kept->body = std::move(body);
    kept->autocast = at::autocast::is_autocast_enabled(x.device().type());
    context->saved_data["body"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(std::move(kept)));
    const torch::NoGradGuard no_grad;
    return static_cast<Holder*>(context->saved_data["body"].toCapsule().get())->kept->body(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const at::Tensor x = context->get_saved_variables()[0].detach().requires_grad_(true);
    const auto capsule = context->saved_data["body"].toCapsule();
    const Kept& kept = *static_cast<Holder*>(capsule.get())->kept;
    at::Tensor y;
    {
      const torch::AutoGradMode with_gradients(true);
      const AutocastScope autocast(kept.autocast, x.device());
      y = kept.body(x);
    }
    torch::autograd::backward({y}, {gradients[0]});
    return {x.grad(), at::Tensor()};
  }

 private:
  struct Kept {
    Body body;
    bool autocast = false;
  };
  struct Holder : torch::CustomClassHolder {
    explicit Holder(std::shared_ptr<Kept> k) : kept(std::move(k)) {}
    std::shared_ptr<Kept> kept;
  };
};

}  // namespace

const TrainableTable::Make& TrainableTable::find(std::string_view architecture) const {
  std::string known;
  for (const auto& [name, make] : architectures) {
    if (name == architecture) return make;
    known += (known.empty() ? "" : ", ") + name;
  }
  throw Error({Code::unsupported, "training", "no network of this architecture can be trained", known,
               std::string(architecture), ""});
}

AutocastScope::AutocastScope(bool on, at::Device device) : on_(on), device_(device.type()) {
  if (!on_) return;
  before_ = at::autocast::is_autocast_enabled(device_);
  type_before_ = at::autocast::get_autocast_dtype(device_);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  at::autocast::increment_nesting();
}

AutocastScope::~AutocastScope() {
  if (!on_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, before_);
  at::autocast::set_autocast_dtype(device_, type_before_);
}

at::Tensor recomputed(const std::function<at::Tensor(const at::Tensor&)>& f, const at::Tensor& x) {
  if (!at::GradMode::is_enabled()) return f(x);
  const at::Tensor wanted = x.requires_grad() ? x : x.detach().requires_grad_(true);
  return Recomputed::apply(wanted, Recomputed::Body(f));
}

}  // namespace mss::nn
