// Derivative rules for arrays that other primitives compute. MLX's own way, a custom
// function, cannot infer shapes, so it has no place in a shapeless compile.
#pragma once

#include "config.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"

namespace monoscan {

struct Attachment {
  std::shared_ptr<Rules> rules;
  size_t primals;
  int axis;
  int rank;
};

// Its inputs are the primals, then the values; its outputs are the values.
class Attached : public mx::Primitive {
 public:
  Attached(mx::Stream stream, Attachment attachment) : Primitive(stream), attachment_(std::move(attachment)) {}

  static Arrays make(const Attachment& attachment, Arrays primals, const Arrays& values, mx::Stream stream) {
    std::vector<mx::Shape> shapes;
    std::vector<mx::Dtype> dtypes;
    for (const mx::array& value : values) {
      shapes.push_back(value.shape());
      dtypes.push_back(value.dtype());
    }
    primals.insert(primals.end(), values.begin(), values.end());
    return mx::array::make_arrays(std::move(shapes), dtypes, std::make_shared<Attached>(stream, attachment), primals);
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override { share(inputs, outputs); }
  void eval_gpu(const Arrays& inputs, Arrays& outputs) override { share(inputs, outputs); }

  Arrays vjp(const Arrays& inputs, const Arrays& cotangents, const std::vector<int>& argnums,
             const Arrays& outputs) override {
    nb::gil_scoped_acquire gil;
    std::vector<int> asked = of_primals(argnums);
    Arrays found = call("vjp", asked.size(), primals(inputs), cotangents, asked, outputs);
    Arrays all;
    size_t next = 0;
    for (int i : argnums) {
      all.push_back(is_primal(i) ? found[next++] : mx::zeros_like(inputs[i], stream()));
    }
    return all;
  }

  Arrays jvp(const Arrays& inputs, const Arrays& tangents, const std::vector<int>& argnums) override {
    nb::gil_scoped_acquire gil;
    Arrays own;
    for (size_t i = 0; i < argnums.size(); ++i) {
      if (is_primal(argnums[i])) own.push_back(tangents[i]);
    }
    return call("jvp", inputs.size() - attachment_.primals, primals(inputs), own, of_primals(argnums));
  }

  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    Arrays moved;
    int size = 1;
    for (size_t i = 0; i < inputs.size(); ++i) {
      moved.push_back(axes[i] < 0 ? mx::expand_dims(inputs[i], 0, stream())
                                  : mx::moveaxis(inputs[i], axes[i], 0, stream()));
      size = std::max(size, static_cast<int>(moved.back().shape(0)));
    }
    Arrays values;
    for (size_t i = attachment_.primals; i < moved.size(); ++i) {
      mx::Shape shape = moved[i].shape();
      shape[0] = size;
      values.push_back(mx::broadcast_to(moved[i], shape, stream()));
    }
    Attachment batched{attachment_.rules, attachment_.primals, attachment_.axis + 1, attachment_.rank + 1};
    Arrays outputs = make(batched, primals(moved), values, stream());
    std::vector<int> front(outputs.size(), 0);
    return {std::move(outputs), std::move(front)};
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    std::vector<mx::Shape> shapes;
    for (size_t i = attachment_.primals; i < inputs.size(); ++i) shapes.push_back(inputs[i].shape());
    return shapes;
  }

  const char* name() const override { return "monoscan_rules"; }

 private:
  void share(const Arrays& inputs, Arrays& outputs) const {
    for (size_t i = 0; i < outputs.size(); ++i) outputs[i].copy_shared_buffer(inputs[attachment_.primals + i]);
  }

  bool is_primal(int i) const { return static_cast<size_t>(i) < attachment_.primals; }

  Arrays primals(const Arrays& inputs) const {
    return Arrays(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(attachment_.primals));
  }

  std::vector<int> of_primals(const std::vector<int>& argnums) const {
    std::vector<int> kept;
    for (int i : argnums) {
      if (is_primal(i)) kept.push_back(i);
    }
    return kept;
  }

  template <class... Args> Arrays call(const char* rule, size_t expected, const Args&... args) const {
    nb::object result =
        nb::borrow(attachment_.rules->get())
            .attr(rule)(args..., nb::arg("axis") = attachment_.axis, nb::arg("rank") = attachment_.rank);
    Arrays arrays = nb::cast<Arrays>(result);
    if (arrays.size() == expected) return arrays;
    throw std::runtime_error(std::string("[monoscan] A ") + rule + " rule returned the wrong number of arrays.");
  }

  Attachment attachment_;
};

}  // namespace monoscan
