// From shapes and strides to the index space of a kernel: (outer..., scan axis, inner).
//
// 1. An *order* of the batch axes is chosen: the natural one, unless another input's own
//    memory order leaves fewer bytes to read across the grain. Outputs are laid out in it.
//    What is behind the scan axis stays there: kernels are rendered for one kind of inner.
// 2. Axes behind the scan axis collapse into `inner` as far as every array allows; the
//    others, collapsed where possible, become `outer`. Axes of size 1 are dropped. A kernel for
//    few columns gets no more: inputs that are views may collapse further than their shapes say.
// 3. An input is copied only if its stride along the innermost axis is neither 0 nor one
//    element and the kernel does not copy tiles of it, or if its event has no single lane stride.
//    Along the scan axis any stride will do.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <vector>

#include "memory.h"
#include "mlx/array.h"

namespace monoscan {

using Dims = std::vector<int>;
using Steps = mx::Strides;

// An array as the kernel will see it: `steps` has one stride per batch axis, 0 to broadcast.
struct Operand {
  char* data = nullptr;
  size_t itemsize = 0;
  ms_int lanes = 1;
  ms_int lane = 1;
  Steps steps;
  ms_int extent = 0;  // along the scan axis
};

inline ms_int product(const mx::Shape& shape, size_t from) {
  ms_int size = 1;
  for (size_t i = from; i < shape.size(); ++i) size *= shape[i];
  return size;
}

class Geometry {
 public:
  // `inner` gets as many `columns` at most, 0: any. `strided`: the kernel reads columns any distance apart. `sums`: the
  // batch axes of outputs that have not all of them. The inputs from `bounds` on are no arrays of elements; those from
  // `even` on are the same in all columns of `inner`. `table`: the strides of the last of them, which is read from
  // elsewhere.
  Geometry(mx::Shape sizes, int axis, const std::vector<mx::array>& inputs, size_t bounds, size_t even,
           ms_int sequences, ms_int columns, bool strided, std::vector<mx::Shape> sums, std::optional<Steps> table)
      : sizes_(std::move(sizes)),
        axis_(axis),
        rank_(static_cast<int>(sizes_.size())),
        even_(even),
        sequences_(sequences),
        columns_(columns),
        sums_(std::move(sums)) {
    operands_.reserve(2 * inputs.size() + 4);
    for (const mx::array& input : inputs) operands_.push_back(read(input));
    if (table) operands_.back().steps = *table;
    order_ = best_order();
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (i >= bounds) continue;  // they are read one by one
      if ((!strided && across(operands_[i], order_)) || !uniform(inputs[i])) copy(inputs[i], operands_[i]);
    }
    cut();
  }

  std::vector<Copy> copies;
  std::vector<mx::allocator::Data> buffers;  // where they go

  // Strides, one per batch axis, of a dense array in the chosen order.
  Steps dense(ms_int lanes, ms_int extent) const {
    return dense(lanes, extent, [&](int d) { return extent > 0 || d != axis_; });
  }
  // The same of an array that has these batch axes alone.
  Steps dense(ms_int lanes, const mx::Shape& own) const {
    return dense(lanes, own[axis_], [&](int d) { return own[d] != 1; });
  }

  const Operand& input(size_t i) const { return operands_[i]; }

  // The axes that no kernel of this contract walks over.
  int beyond() const { return std::max(0, static_cast<int>(outer_.size()) - MS_MAX_OUTER); }

  void fill(ms_launch& launch) const {
    launch.n = sizes_[axis_];
    launch.inner = inner_.empty() ? 1 : extent(inner_);
    launch.outer_ndim = static_cast<ms_int>(outer_.size());
    launch.outer_size = 1;
    for (size_t i = 0; i < outer_.size(); ++i) {
      launch.outer_shape[i] = extent(outer_[i]);
      launch.outer_size *= launch.outer_shape[i];
    }
  }

  ms_array place(const Operand& operand) const {
    ms_array array{};
    array.data = operand.data;
    array.lane = operand.lane;
    array.axis = operand.steps[axis_];
    array.inner = inner_.empty() ? 0 : operand.steps[inner_.back()];
    for (size_t i = 0; i < outer_.size(); ++i) array.outer[i] = operand.steps[outer_[i].back()];
    return array;
  }

 private:
  Operand read(const mx::array& input) const {
    Operand operand;
    operand.extent = input.shape(axis_);
    operand.data = const_cast<char*>(input.data<char>());
    operand.itemsize = input.itemsize();
    operand.lanes = product(input.shape(), rank_);
    operand.steps = Steps(rank_, 0);
    for (int d = 0; d < rank_; ++d) {
      if (input.shape(d) != 1) operand.steps[d] = input.strides(d);
    }
    for (int d = static_cast<int>(input.ndim()) - 1; d >= rank_; --d) {
      if (input.shape(d) != 1) {
        operand.lane = input.strides(d);
        break;
      }
    }
    return operand;
  }

  // Whether one stride walks through all lanes of the event.
  bool uniform(const mx::array& input) const {
    std::optional<ms_int> expected;
    for (int d = static_cast<int>(input.ndim()) - 1; d >= rank_; --d) {
      if (input.shape(d) == 1) continue;
      if (expected.has_value() && input.strides(d) != *expected) return false;
      expected = input.strides(d) * input.shape(d);
    }
    return true;
  }

  // Whether a kernel whose innermost axis is the last of `order` must not read it in place.
  bool across(const Operand& operand, const Dims& order) const {
    return order.back() != axis_ && against(operand, order.back());
  }

  bool against(const Operand& operand, int d) const {
    return operand.steps[d] != 0 && operand.steps[d] != operand.lanes;
  }

  ms_int cost(const Dims& order) const {
    ms_int bytes = 0;
    for (const Operand& operand : operands_) {
      if (against(operand, order.back())) bytes += footprint(operand);
    }
    return bytes;
  }

  ms_int footprint(const Operand& operand) const {
    ms_int bytes = operand.lanes * static_cast<ms_int>(operand.itemsize);
    for (int d = 0; d < rank_; ++d) bytes *= operand.steps[d] == 0 ? 1 : d == axis_ ? operand.extent : sizes_[d];
    return bytes;
  }

  Dims best_order() const {
    Dims natural;
    for (int d = 0; d < rank_; ++d) {
      if (d == axis_ || sizes_[d] != 1) natural.push_back(d);
    }
    Dims best = natural;
    ms_int least = cost(natural);
    for (size_t i = 0; i < operands_.size() && least > 0; ++i) {
      Dims order = natural;
      std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return rank_of(i, a) > rank_of(i, b); });
      if (behind(order) != behind(natural)) continue;
      ms_int bytes = cost(order);
      if (bytes < least) {
        least = bytes;
        best = order;
      }
    }
    return best;
  }

  Dims behind(const Dims& order) const { return Dims(std::find(order.begin(), order.end(), axis_), order.end()); }

  // Sorts axes from the outermost in memory; those an input broadcasts along come first.
  ms_int rank_of(size_t i, int d) const {
    ms_int step = std::llabs(operands_[i].steps[d]);
    return step == 0 ? INT64_MAX : step;
  }

  template <typename Has> Steps dense(ms_int lanes, ms_int extent, Has has) const {
    Steps steps(rank_, 0);
    ms_int step = lanes;
    for (auto d = order_.rbegin(); d != order_.rend(); ++d) {
      if (!has(*d)) continue;
      steps[*d] = step;
      step *= *d == axis_ ? extent : sizes_[*d];
    }
    return steps;
  }

  void copy(const mx::array& input, Operand& operand) {
    auto has = [&](int d) { return operand.steps[d] != 0; };
    std::vector<ms_int> shape, strides;
    for (int d : order_) {
      if (!has(d)) continue;
      shape.push_back(input.shape(d));
      strides.push_back(operand.steps[d]);
    }
    for (size_t d = rank_; d < input.ndim(); ++d) {
      shape.push_back(input.shape(static_cast<int>(d)));
      strides.push_back(input.strides(static_cast<int>(d)));
    }
    size_t items = 1;
    for (ms_int size : shape) items *= static_cast<size_t>(size);
    buffers.push_back(allocate(items * operand.itemsize));
    const char* from = std::exchange(operand.data, raw(buffers.back()));
    copies.push_back({from, operand.itemsize, std::move(shape), std::move(strides), operand.data});
    operand.lane = 1;
    operand.steps = dense(operand.lanes, operand.extent, has);
  }

  // Cuts the order at the scan axis into collapsed groups of axes.
  void cut() {
    inner_.clear();
    outer_.clear();
    auto place = std::find(order_.begin(), order_.end(), axis_);
    Dims rest(order_.begin(), place);
    Dims behind(place + 1, order_.end());
    while (!behind.empty() && even(behind.back()) && (inner_.empty() || joins(behind.back()))) {
      inner_.insert(inner_.begin(), behind.back());
      behind.pop_back();
    }
    rest.insert(rest.end(), behind.begin(), behind.end());
    for (int d : rest) {
      if (!outer_.empty() && collapses(outer_.back().back(), d)) {
        outer_.back().push_back(d);
      } else {
        outer_.push_back({d});
      }
    }
  }

  // Whether what is to be the same in all columns is the same along an axis.
  bool even(int d) const {
    auto same = [&](const Operand& o) { return o.steps[d] == 0; };
    return std::all_of(operands_.begin() + static_cast<std::ptrdiff_t>(even_), operands_.end(), same);
  }

  // Whether an axis joins those behind it in `inner`.
  bool joins(int d) const {
    return collapses(d, inner_.front()) && (columns_ == 0 || extent(inner_) * sizes_[d] <= columns_);
  }

  bool collapses(int a, int b) const {
    auto joined = [&](const Steps& steps) { return steps[a] == steps[b] * sizes_[b]; };
    return joined(dense(1, sizes_[axis_])) && joined(dense(1, sequences_)) &&
           std::all_of(sums_.begin(), sums_.end(), [&](const mx::Shape& own) { return joined(dense(1, own)); }) &&
           std::all_of(operands_.begin(), operands_.end(), [&](const Operand& o) { return joined(o.steps); });
  }

  ms_int extent(const Dims& group) const {
    ms_int size = 1;
    for (int d : group) size *= sizes_[d];
    return size;
  }

  mx::Shape sizes_;
  int axis_;
  int rank_;
  size_t even_;
  ms_int sequences_;
  ms_int columns_;
  std::vector<mx::Shape> sums_;
  std::vector<Operand> operands_;
  Dims order_;
  Dims inner_;
  std::vector<Dims> outer_;
};

}  // namespace monoscan
