// The primitive: MLX's side of a fused scan.
#pragma once

#include "head_start.h"
#include "scan.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"

namespace monoscan {

// Beyond this, waking a thread is a small part of the whole, and async_eval is to return.
constexpr size_t kHeadStartBytes = size_t{1} << 24;

// Keeps the stream's thread from going back to sleep while the caller queues what follows:
// a task that queues itself lets all others through.
inline void stay_awake(mx::Stream stream, Spin spin) {
  if (spin.again()) mx::scheduler::enqueue(stream, [stream, spin] { stay_awake(stream, spin); });
}

class Scan : public mx::Primitive {
 public:
  Scan(mx::Stream stream, std::shared_ptr<Config> config) : Primitive(stream), config_(std::move(config)) {}

  static Arrays make(const std::shared_ptr<Config>& config, const Arrays& inputs, mx::Stream stream) {
    std::vector<mx::Dtype> dtypes;
    dtypes.reserve(config->outputs.size() + config->carries.size());
    for (const Leaf& leaf : config->outputs) dtypes.push_back(leaf.dtype);
    for (const Leaf& leaf : config->carries) dtypes.push_back(leaf.dtype);
    auto shapes = config->output_shapes(config->batch_shape(inputs), inputs);
    return mx::array::make_arrays(std::move(shapes), dtypes, std::make_shared<Scan>(stream, config), inputs);
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    mx::Shape batch = config_->batch_shape(inputs);
    bool empty = true;
    for (const mx::array& out : outputs) empty = empty && out.size() == 0;
    if (empty) {
      for (mx::array& out : outputs) out.set_data(mx::allocator::malloc(0));
      return;
    }
    mx::cpu::CommandEncoder& encoder = mx::cpu::get_command_encoder(stream());
    if (batch[config_->axis] == 0) return encoder.dispatch(Nothing(config_, inputs, outputs));
    std::vector<bool> wanted = release_siblings(inputs, outputs);
    bool early = may_start_early(inputs, outputs);  // before any buffer is donated
    auto run = std::make_shared<Run>(config_, batch, inputs, outputs, wanted);
    if (!early) return encoder.dispatch([run = std::move(run)] { (*run)(); });
    auto start = std::make_shared<HeadStart>();
    encoder.dispatch([start, stream = stream()] {
      start->join();
      stay_awake(stream, Spin(std::chrono::microseconds(12)));
    });
    start->lead([&] { run->with_helper(); });
  }

  void eval_gpu(const Arrays&, Arrays&) override { throw config_->fail("was compiled for the CPU"); }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums,
             const Arrays& outputs) override {
    nb::gil_scoped_acquire gil;
    nb::object rule = find("vjp");
    nb::object result =
        rule(primals, cotangents, argnums, outputs, nb::arg("axis") = config_->axis, nb::arg("rank") = config_->rank);
    return checked(result, argnums.size(), "vjp");
  }

  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) override {
    nb::gil_scoped_acquire gil;
    nb::object rule = find("jvp");
    nb::object result =
        rule(primals, tangents, argnums, nb::arg("axis") = config_->axis, nb::arg("rank") = config_->rank);
    return checked(result, config_->outputs.size() + config_->carries.size(), "jvp");
  }

  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    Arrays moved;
    moved.reserve(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      moved.push_back(axes[i] < 0 ? mx::expand_dims(inputs[i], 0, stream())
                                  : mx::moveaxis(inputs[i], axes[i], 0, stream()));
    }
    Arrays outputs = make(config_->batched(), moved, stream());
    std::vector<int> front(outputs.size(), 0);
    return {std::move(outputs), std::move(front)};
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    return config_->output_shapes(config_->batch_shape(inputs), inputs);
  }

  bool is_equivalent(const mx::Primitive& other) const override {
    const Scan* scan = dynamic_cast<const Scan*>(&other);
    return scan != nullptr && (scan->config_ == config_ || scan->config_->same(*config_));
  }

  const char* name() const override { return config_->name.c_str(); }

 private:
  // Whether the calling thread may run the scan: nothing that it reads is still to be computed.
  static bool may_start_early(const Arrays& inputs, const Arrays& outputs) {
    size_t bytes = 0;
    for (const mx::array& in : inputs) bytes += in.nbytes();
    for (const mx::array& out : outputs) bytes += out.nbytes();
    return bytes <= kHeadStartBytes && pool().threads() > 1 &&
           std::all_of(inputs.begin(), inputs.end(),
                       [](const mx::array& in) { return in.status() == mx::array::Status::available; });
  }

  // Each output of a primitive holds its own references to the inputs, so with two outputs
  // none would ever be donatable. MLX drops them right after this evaluation in any case,
  // unless a transformation is still looking at the graph. An output that is held by its
  // siblings alone is nobody's: it leaves their company, and the answer says so.
  static std::vector<bool> release_siblings(const Arrays& inputs, Arrays& outputs) {
    std::vector<bool> wanted(outputs.size(), true);
    bool ours = false;
    for (const mx::array& out : outputs) {
      if (out.is_tracer()) return wanted;
      ours = ours || &out.inputs() == &inputs;
    }
    if (!ours || outputs.size() == 1) return wanted;
    for (mx::array& out : outputs) {
      if (&out.inputs() != &inputs) out.inputs().clear();
      out.siblings().clear();
    }
    Arrays kept;
    for (size_t o = 0; o < outputs.size(); ++o) {
      outputs[o].set_data(mx::allocator::malloc(0));  // what is donatable has data that nobody shares
      wanted[o] = &outputs[o].inputs() == &inputs || !outputs[o].is_donatable();
      if (wanted[o]) kept.push_back(outputs[o]);
    }
    for (size_t o = 0; o < kept.size(); ++o) {
      Arrays siblings = kept;
      siblings.erase(siblings.begin() + static_cast<std::ptrdiff_t>(o));
      kept[o].set_siblings(std::move(siblings), static_cast<uint16_t>(o));
    }
    return wanted;
  }

  nb::object find(const char* rule) const {
    PyObject* rules = config_->rules->get();
    if (rules == nullptr) throw config_->fail(std::string("has no ") + rule + " rule, so no gradient");
    return nb::borrow(rules).attr(rule);
  }

  Arrays checked(const nb::object& result, size_t expected, const char* rule) const {
    Arrays arrays = nb::cast<Arrays>(result);
    if (arrays.size() == expected) return arrays;
    throw config_->fail(std::string("needs ") + std::to_string(expected) + " arrays from its " + rule + " rule; got " +
                        std::to_string(arrays.size()));
  }

  std::shared_ptr<Config> config_;
};

}  // namespace monoscan
