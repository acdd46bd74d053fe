// What gradients need in a shapeless compile, where sizes are not known when a function is traced.
#pragma once

#include <vector>

#include "config.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"

namespace monoscan {

// Whether a function is being traced by a shapeless compile: a size is then computed, not known.
inline bool shapeless() {
  static const mx::array* one = new mx::array({0.0f});
  return mx::number_of_elements(*one, {0}, false).has_primitive();
}

// The sum over the axes along which another array has size 1: those of the arrays at hand, not
// of the arrays that were traced. The first axes, which mx.vmap put in front, stay.
class Fit : public mx::Primitive {
 public:
  Fit(mx::Stream stream, int first, int rank) : Primitive(stream), first_(first), rank_(rank) {}

  static mx::array make(const mx::array& array, const mx::array& like, int first, int rank, mx::Stream stream) {
    auto fit = std::make_shared<Fit>(stream, first, rank);
    mx::Shape shape = fit->output_shapes({array, like})[0];
    return mx::array(std::move(shape), array.dtype(), std::move(fit), {array, like});
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    std::vector<int> axes;
    for (int d = first_; d < rank_; ++d) {
      if (inputs[0].shape(d) != outputs[0].shape(d)) axes.push_back(d);
    }
    if (axes.empty()) return outputs[0].copy_shared_buffer(inputs[0]);
    mx::Reduce(stream(), mx::Reduce::Sum, axes).eval_cpu({inputs[0]}, outputs[0]);
  }

  void eval_gpu(const Arrays&, Arrays&) override { throw std::runtime_error("[monoscan] A gradient is on the CPU."); }

  Arrays vjp(const Arrays&, const Arrays&, const std::vector<int>&, const Arrays&) override { throw second(); }
  Arrays jvp(const Arrays&, const Arrays&, const std::vector<int>&) override { throw second(); }

  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    Arrays moved;
    for (size_t i = 0; i < 2; ++i) {
      moved.push_back(axes[i] < 0 ? mx::expand_dims(inputs[i], 0, stream())
                                  : mx::moveaxis(inputs[i], axes[i], 0, stream()));
    }
    if (axes[0] < 0) moved[0] = mx::broadcast_arrays(moved, stream())[0];
    return {{make(moved[0], moved[1], first_ + 1, rank_ + 1, stream())}, {0}};
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    mx::Shape shape = inputs[0].shape();
    for (int d = first_; d < rank_; ++d) {
      if (inputs[1].shape(d) == 1) shape[d] = 1;
    }
    return {shape};
  }

  bool is_equivalent(const mx::Primitive& other) const override {
    const Fit* fit = dynamic_cast<const Fit*>(&other);
    return fit != nullptr && first_ == fit->first_ && rank_ == fit->rank_;
  }

  const char* name() const override { return "monoscan_fit"; }

 private:
  static std::invalid_argument second() {
    return std::invalid_argument(
        "[monoscan] Derivatives of gradients have no place in mx.compile(..., shapeless=True): compile without it.");
  }

  int first_;
  int rank_;
};

inline mx::array fit(const mx::array& array, const mx::array& like, int rank) {
  return Fit::make(array, like, 0, rank, mx::default_stream(mx::Device::cpu));
}

}  // namespace monoscan
