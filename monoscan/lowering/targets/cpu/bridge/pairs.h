// Complex arrays as arrays of their parts, along a last axis of size 2, and back: the same memory under another dtype.
// MLX's own view has neither derivatives nor a place in a shapeless compile.
#pragma once

#include "config.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"

namespace monoscan {

class Pairs : public mx::Primitive {
 public:
  Pairs(mx::Stream stream, bool split) : Primitive(stream), split_(split) {}

  static mx::array make(const mx::array& array, bool split, mx::Stream stream) {
    auto pairs = std::make_shared<Pairs>(stream, split);
    mx::array input = split ? array : mx::contiguous(array, false, stream);  // parts lie side by side
    mx::Shape shape = pairs->output_shapes({input})[0];
    return mx::array(std::move(shape), split ? mx::float32 : mx::complex64, std::move(pairs), {std::move(input)});
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override { share(inputs[0], outputs[0]); }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override { share(inputs[0], outputs[0]); }

  Arrays vjp(const Arrays&, const Arrays& cotangents, const std::vector<int>&, const Arrays&) override {
    return {make(cotangents[0], !split_, stream())};  // dL/da + i dL/db, the gradient in MLX, is that of the parts
  }

  Arrays jvp(const Arrays&, const Arrays& tangents, const std::vector<int>&) override {
    return {make(tangents[0], split_, stream())};
  }

  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    return {{make(mx::moveaxis(inputs[0], axes[0], 0, stream()), split_, stream())}, {0}};
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    mx::Shape shape = inputs[0].shape();
    if (split_) shape.push_back(2);
    else shape.pop_back();
    return {shape};
  }

  bool is_equivalent(const mx::Primitive& other) const override {
    const Pairs* pairs = dynamic_cast<const Pairs*>(&other);
    return pairs != nullptr && split_ == pairs->split_;
  }

  const char* name() const override { return "monoscan_pairs"; }

 private:
  void share(const mx::array& in, mx::array& out) const {
    mx::Strides strides = in.strides();
    if (!split_) strides.pop_back();
    for (auto& stride : strides) stride = split_ ? stride * 2 : stride / 2;
    if (split_) strides.push_back(1);
    auto flags = in.flags();
    flags.col_contiguous = flags.row_contiguous && out.ndim() <= 1;
    out.copy_shared_buffer(in, strides, flags, split_ ? in.data_size() * 2 : in.data_size() / 2);
  }

  bool split_;
};

inline mx::array pairs(const mx::array& array) {
  return Pairs::make(array, true, mx::default_stream(mx::default_device()));
}
inline mx::array from_pairs(const mx::array& array) {
  return Pairs::make(array, false, mx::default_stream(mx::default_device()));
}

}  // namespace monoscan
