// Kernels that MLX makes of text have no rule for mx.vmap, and MLX maps what a custom
// function holds although that has a rule of its own, which makes the kernel anew for the
// batch. Here is a rule whose results nobody reads.
#pragma once

#include "config.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"

namespace monoscan {

// Another primitive, which is all that it runs.
class Opaque : public mx::Primitive {
 public:
  Opaque(std::shared_ptr<mx::Primitive> inner, std::vector<mx::Shape> shapes, std::vector<mx::Dtype> dtypes)
      : Primitive(inner->stream()), inner_(std::move(inner)), shapes_(std::move(shapes)), dtypes_(std::move(dtypes)) {}

  // All outputs of a primitive again, in order.
  static Arrays around(const mx::array& output) {
    std::vector<mx::Shape> shapes;
    std::vector<mx::Dtype> dtypes;
    for (const mx::array& each : output.outputs()) {
      shapes.push_back(each.shape());
      dtypes.push_back(each.dtype());
    }
    return make(output.primitive_ptr(), std::move(shapes), std::move(dtypes), output.inputs());
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override { inner_->eval_cpu(inputs, outputs); }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override { inner_->eval_gpu(inputs, outputs); }

  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    auto mapped = std::find_if(axes.begin(), axes.end(), [](int axis) { return axis >= 0; });
    if (mapped == axes.end()) return {make(inner_, shapes_, dtypes_, inputs), std::vector<int>(shapes_.size(), -1)};
    int size = inputs[mapped - axes.begin()].shape(*mapped);
    Arrays unread;
    for (size_t i = 0; i < shapes_.size(); ++i) {
      mx::Shape shape = shapes_[i];
      shape.insert(shape.begin(), size);
      unread.push_back(mx::zeros(shape, dtypes_[i], stream()));
    }
    return {std::move(unread), std::vector<int>(shapes_.size(), 0)};
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override { return inner_->output_shapes(inputs); }

  const char* name() const override { return "monoscan_kernel"; }

 private:
  static Arrays make(std::shared_ptr<mx::Primitive> inner, std::vector<mx::Shape> shapes, std::vector<mx::Dtype> dtypes,
                     const Arrays& inputs) {
    auto opaque = std::make_shared<Opaque>(std::move(inner), shapes, dtypes);
    return mx::array::make_arrays(std::move(shapes), dtypes, opaque, inputs);
  }

  std::shared_ptr<mx::Primitive> inner_;
  std::vector<mx::Shape> shapes_;
  std::vector<mx::Dtype> dtypes_;
};

}  // namespace monoscan
