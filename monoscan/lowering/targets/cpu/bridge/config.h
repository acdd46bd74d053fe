// What a plan fixes, and the shapes that follow from it; and Python's rules, on threads without a GIL.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "contract.h"
#include "mlx/array.h"

namespace monoscan {

namespace mx = mlx::core;
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
  std::string label;  // what messages call it
  ms_schedule_fn schedule;
  ms_task_fn task;
  int axis;
  int rank;
  int elements;
  int captures;
  int inits;
  bool whole;
  int columns;                    // the most that the kernel takes beside each other; 0: any number
  bool strided;                   // it reads columns any distance apart
  int window;                     // steps that a window holds; 0: a scan
  int sums;                       // how many carries, the last, are sums over the steps
  bool lengths;                   // behind the inits stand how many steps of each sequence count,
  bool offsets;                   // and behind those where sequences begin
  bool uneven;                    // columns beside each other may end apart
  std::vector<mx::Shape> events;  // one per input
  std::vector<Leaf> outputs;
  std::vector<Leaf> carries;
  std::vector<int> donors;      // one per output; -1: none
  std::vector<int> likes;       // one per output: the input whose batch axes it has, summed over the others; -1: all
  int mapped = 0;               // batch axes that vmap put in front: every output has them in full
  std::vector<ms_int> numbers;  // the table that the kernel reads, 8 bytes an entry
  std::vector<std::string> identity;  // the bytes of one element, one per carry; none if there is no identity
  std::shared_ptr<Rules> rules;

  // How many carries hold the last state.
  size_t states() const { return carries.size() - static_cast<size_t>(sums); }

  size_t lengths_at() const { return static_cast<size_t>(elements + captures + inits); }
  size_t offsets_at() const { return lengths_at() + (lengths ? 1 : 0); }
  // How many sequences a row holds, if it is cut into any.
  int sequences(const Arrays& inputs) const { return inputs[offsets_at()].shape(axis) - 1; }

  // The same scan with one more batch axis in front.
  std::shared_ptr<Config> batched() {
    std::lock_guard<std::mutex> lock(*mutex_);
    if (batched_ == nullptr) {
      batched_ = std::make_shared<Config>(*this);
      batched_->axis += 1;
      batched_->rank += 1;
      batched_->mapped += 1;
      batched_->mutex_ = std::make_shared<std::mutex>();
    }
    return batched_;
  }

  bool same(const Config& other) const {
    return schedule == other.schedule && task == other.task && axis == other.axis && rank == other.rank &&
           elements == other.elements && captures == other.captures && inits == other.inits && window == other.window &&
           lengths == other.lengths && offsets == other.offsets && numbers == other.numbers && likes == other.likes &&
           rules == other.rules;
  }

  // The broadcast shape of all batch axes. In a shapeless compile nothing else has looked at the arrays.
  mx::Shape batch_shape(const Arrays& inputs) const {
    mx::Shape shape(rank, 1);
    if (inputs.size() != events.size()) {
      throw fail("takes " + std::to_string(events.size()) + " arrays; got " + std::to_string(inputs.size()));
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      check_axes(inputs[i], i);
      for (int d = 0; d < rank; ++d) {
        int size = inputs[i].shape(d);
        if (d == axis && offsets && i >= static_cast<size_t>(elements + captures)) {
          check_sequences(inputs, i);
          continue;
        }
        if (!fits(i, d, size, shape[d], inputs[0].shape(d))) {
          throw fail("cannot broadcast axis " + std::to_string(d) + " of array " + std::to_string(i) + ", of size " +
                     std::to_string(size) + ", to " + std::to_string(shape[d]));
        }
        if (size != 1) shape[d] = size;
      }
    }
    if (shape[axis] == 0 && states() > 0 && inits == 0 && identity.empty()) {
      throw fail("has no identity, and the fold of an empty axis is the identity. Give init=");
    }
    return shape;
  }

  // The batch axes of an output.
  mx::Shape output_batch(size_t o, const mx::Shape& batch, const Arrays& inputs) const {
    if (likes[o] < 0) return batch;
    const mx::Shape& like = inputs[likes[o]].shape();
    mx::Shape own(batch.begin(), batch.begin() + mapped);
    own.insert(own.end(), like.begin() + mapped, like.begin() + rank);
    return own;
  }

  std::vector<mx::Shape> output_shapes(const mx::Shape& batch, const Arrays& inputs) const {
    std::vector<mx::Shape> shapes;
    shapes.reserve(outputs.size() + carries.size());
    for (size_t o = 0; o < outputs.size(); ++o) {
      shapes.push_back(output_batch(o, batch, inputs));
      shapes.back().insert(shapes.back().end(), outputs[o].event.begin(), outputs[o].event.end());
    }
    for (const Leaf& leaf : carries) {
      shapes.push_back(batch);
      if (offsets) shapes.back()[axis] = sequences(inputs);
      else shapes.back().erase(shapes.back().begin() + axis);
      shapes.back().insert(shapes.back().end(), leaf.event.begin(), leaf.event.end());
    }
    return shapes;
  }

  std::invalid_argument fail(const std::string& what) const {
    return std::invalid_argument("[monoscan] " + label + " " + what + ".");
  }

 private:
  // Whether a size stands beside the others. Along the scan axis elements alone have more than 1.
  bool fits(size_t i, int d, int size, int others, int first) const {
    if (d != axis) return size == 1 || others == 1 || size == others;
    if (static_cast<int>(i) >= elements) return size == 1;
    return whole ? size == first : size == 1 || others == 1 || size == others;
  }

  // Inits and lengths have one of each sequence, or one for all; of offsets there is one more.
  void check_sequences(const Arrays& inputs, size_t i) const {
    const int size = inputs[i].shape(axis);
    if (i == offsets_at() ? size < 1 : size != 1 && size != sequences(inputs)) {
      throw fail("needs one of each of " + std::to_string(sequences(inputs)) + " sequences in array " +
                 std::to_string(i) + "; got " + std::to_string(size));
    }
  }

  // What a kernel is made for: so many batch axes, and elements of this very shape.
  void check_axes(const mx::array& input, size_t i) const {
    const mx::Shape& event = events[i];
    if (i >= lengths_at() && input.dtype() != mx::int32) throw fail("takes lengths and offsets of int32");
    int wanted = rank + static_cast<int>(event.size());
    if (static_cast<int>(input.ndim()) != wanted) {
      throw fail("needs " + std::to_string(wanted) + " axes in array " + std::to_string(i) + "; got " +
                 std::to_string(input.ndim()));
    }
    if (!std::equal(event.begin(), event.end(), input.shape().begin() + rank)) {
      throw fail("was made for elements of another shape than those of array " + std::to_string(i) +
                 ": event axes are fixed where a function is traced");
    }
  }

  std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
  std::shared_ptr<Config> batched_;
};

}  // namespace monoscan
