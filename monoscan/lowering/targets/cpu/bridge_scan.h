// One fused scan as an MLX primitive.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bridge_geometry.h"
#include "bridge_pool.h"
#include "mlx/backend/common/utils.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"

namespace monoscan {

namespace nb = nanobind;
using Arrays = std::vector<mx::array>;

// Python objects whose last owner may die on MLX's stream thread, which has no GIL: they
// are handed in here and released by the next call that holds it.
class Graveyard {
 public:
  void bury(PyObject* object) {
    std::lock_guard<std::mutex> lock(mutex_);
    objects_.push_back(object);
    any_.store(true, std::memory_order_release);
  }

  void clear() {
    if (!any_.load(std::memory_order_acquire)) return;
    std::vector<PyObject*> objects;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      objects.swap(objects_);
      any_.store(false, std::memory_order_release);
    }
    for (PyObject* object : objects) Py_DECREF(object);
  }

 private:
  std::mutex mutex_;
  std::vector<PyObject*> objects_;
  std::atomic<bool> any_{false};
};

inline Graveyard& graveyard() {
  static Graveyard* yard = new Graveyard();
  return *yard;
}

class Rules {
 public:
  explicit Rules(nb::object rules) : object_(rules.is_none() ? nullptr : rules.release().ptr()) {}
  Rules(const Rules&) = delete;
  Rules& operator=(const Rules&) = delete;
  ~Rules() { clear(); }

  PyObject* get() const { return object_; }
  void clear() {
    if (object_ != nullptr) graveyard().bury(std::exchange(object_, nullptr));
  }

 private:
  PyObject* object_;
};

struct Leaf {
  mx::Dtype dtype;
  mx::Shape event;
};

// What a plan fixes: everything but the arrays and their sizes.
struct Config {
  std::string name;
  ms_schedule_fn schedule;
  ms_task_fn task;
  int axis;
  int rank;
  int elements;
  int captures;
  int inits;
  std::vector<int> event_ndims;  // one per input
  std::vector<Leaf> outputs;
  std::vector<Leaf> carries;
  std::vector<int> donors;  // one per output; -1: none
  std::shared_ptr<Rules> rules;

  // The same scan with one more batch axis in front.
  std::shared_ptr<Config> batched() {
    std::lock_guard<std::mutex> lock(*mutex_);
    if (batched_ == nullptr) {
      batched_ = std::make_shared<Config>(*this);
      batched_->axis += 1;
      batched_->rank += 1;
      batched_->mutex_ = std::make_shared<std::mutex>();
    }
    return batched_;
  }

  bool same(const Config& other) const {
    return schedule == other.schedule && task == other.task && axis == other.axis && rank == other.rank &&
        elements == other.elements && captures == other.captures && inits == other.inits && rules == other.rules;
  }

  mx::Shape batch_shape(const Arrays& inputs) const {
    mx::Shape shape(rank, 1);
    if (inputs.size() != event_ndims.size()) {
      throw fail("takes " + std::to_string(event_ndims.size()) + " arrays; got " + std::to_string(inputs.size()));
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (static_cast<int>(inputs[i].ndim()) != rank + event_ndims[i]) {
        throw fail("needs " + std::to_string(rank + event_ndims[i]) + " axes in array " + std::to_string(i) +
                   "; got " + std::to_string(inputs[i].ndim()));
      }
      for (int d = 0; d < rank; ++d) {
        int size = inputs[i].shape(d);
        bool fits = size == 1 || size == shape[d] || (shape[d] == 1 && (d != axis || static_cast<int>(i) < elements));
        if (!fits) {
          throw fail("cannot broadcast axis " + std::to_string(d) + " of array " + std::to_string(i) + ", of size " +
                     std::to_string(size) + ", to " + std::to_string(shape[d]));
        }
        if (size != 1) shape[d] = size;
      }
    }
    return shape;
  }

  std::vector<mx::Shape> output_shapes(const mx::Shape& batch) const {
    std::vector<mx::Shape> shapes;
    shapes.reserve(outputs.size() + carries.size());
    for (const Leaf& leaf : outputs) {
      shapes.push_back(batch);
      shapes.back().insert(shapes.back().end(), leaf.event.begin(), leaf.event.end());
    }
    for (const Leaf& leaf : carries) {
      shapes.push_back(batch);
      shapes.back().erase(shapes.back().begin() + axis);
      shapes.back().insert(shapes.back().end(), leaf.event.begin(), leaf.event.end());
    }
    return shapes;
  }

  std::invalid_argument fail(const std::string& what) const {
    return std::invalid_argument("[monoscan] " + name + " " + what + ".");
  }

 private:
  std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
  std::shared_ptr<Config> batched_;
};

// One evaluation: built when MLX asks for it, run on the stream's thread.
class Run {
 public:
  Run(std::shared_ptr<const Config> config, const mx::Shape& batch, const Arrays& inputs, Arrays& outputs)
      : config_(std::move(config)), inits_from_(config_->elements + config_->captures) {
    Geometry geometry(batch, config_->axis, inputs, config_->elements);
    arrays_.reserve(inputs.size() + outputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) arrays_.push_back(geometry.place(geometry.input(i)));
    for (size_t o = 0; o < outputs.size(); ++o) arrays_.push_back(output(geometry, batch, inputs, outputs, o));
    copies_ = std::move(geometry.copies);
    geometry.fill(launch_);
    launch_.has_init = config_->inits > 0;
    launch_.want_carry = !config_->carries.empty();
    launch_.last_level_cache = last_level_cache();
    launch_.inputs = arrays_.data();
    launch_.inits = arrays_.data() + inits_from_;
    launch_.outputs = arrays_.data() + inputs.size();
    launch_.carries = launch_.outputs + config_->outputs.size();
  }

  void operator()() { run(0); }
  // The same while another thread is on its way into the pool.
  void with_helper() { run(1); }

 private:
  void run(int joining) {
    for (const Copy& copy : copies_) copy.run();
    ms_schedule plan{};
    config_->schedule(&launch_, &plan);
    Scratch scratch(static_cast<size_t>(plan.scratch_bytes));
    launch_.scratch = scratch.get();
    for (ms_int phase = 0; phase < plan.phases; ++phase) {
      ms_int tasks = plan.tasks[phase];
      if (tasks == 1) {
        config_->task(&launch_, phase, 0);
      } else {
        pool().run(config_->task, &launch_, phase, tasks, joining);
      }
    }
  }

  ms_array output(const Geometry& geometry, const mx::Shape& batch, const Arrays& inputs, Arrays& outputs, size_t o) {
    mx::array& out = outputs[o];
    bool along = o < config_->outputs.size();
    const Leaf& leaf = along ? config_->outputs[o] : config_->carries[o - config_->outputs.size()];
    Operand operand;
    operand.along = along;
    operand.lanes = product(leaf.event, 0);
    operand.steps = geometry.dense(operand.lanes, along);
    if (!along || !donate(geometry, batch, inputs, operand, out, config_->donors[o])) {
      mx::Strides strides = operand.steps;
      if (!along) strides.erase(strides.begin() + config_->axis);
      mx::Strides event = mx::make_contiguous_strides(leaf.event);
      strides.insert(strides.end(), event.begin(), event.end());
      auto [size, rows, columns] = mx::check_contiguity(out.shape(), strides);
      out.set_data(allocate(out.nbytes()), out.size(), std::move(strides), {true, rows, columns});
    }
    operand.data = out.data<char>();
    return geometry.place(operand);
  }

  // Lets the output take the buffer of an input that nobody else needs.
  static bool donate(const Geometry& geometry, const mx::Shape& batch, const Arrays& inputs, const Operand& operand,
                     mx::array& out, int donor) {
    if (donor < 0) return false;
    const mx::array& in = inputs[donor];
    const Operand& source = geometry.input(donor);
    if (in.dtype() != out.dtype() || in.size() != out.size() || source.lanes != operand.lanes) return false;
    if (source.lanes != 1 && source.lane != 1) return false;
    if (source.data != in.data<char>() || !mx::is_donatable(in, out)) return false;
    for (size_t d = 0; d < batch.size(); ++d) {
      if (batch[d] != 1 && source.steps[d] != operand.steps[d]) return false;
    }
    out.copy_shared_buffer(in);
    return true;
  }

  std::shared_ptr<const Config> config_;
  size_t inits_from_;
  std::vector<ms_array> arrays_;
  std::vector<Copy> copies_;
  ms_launch launch_{};
};

}  // namespace monoscan
