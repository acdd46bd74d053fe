// Where sequences begin, as kernels read it: rising, and within the row, whatever was given.
#pragma once

#include <algorithm>
#include <vector>

#include "contract.h"
#include "mlx/array.h"

namespace monoscan {

namespace mx = mlx::core;

class Bounds {
 public:
  // `offsets`: batch axes, and along the scan axis one more than sequences. They may still have to be computed.
  Bounds(const mx::array& offsets, int axis, ms_int steps)
      : from_(offsets.data<int>()),
        shape_(offsets.shape()),
        strides_(offsets.strides()),
        axis_(axis),
        steps_(steps),
        table_(offsets.size()) {}

  ms_int* data() { return table_.data(); }

  // The strides of the table: the bounds of one row are side by side.
  static mx::Strides strides(const mx::Shape& shape, int axis) {
    mx::Strides strides(shape.size(), 0);
    ms_int step = shape[axis];
    for (int d = static_cast<int>(shape.size()); d-- > 0;) {
      if (d == axis || shape[d] == 1) continue;
      strides[d] = step;
      step *= shape[d];
    }
    strides[axis] = 1;
    return strides;
  }

  void read() { walk(0, from_, table_.data(), strides(shape_, axis_)); }

 private:
  void walk(int d, const int* from, ms_int* to, const mx::Strides& steps) const {
    if (d == static_cast<int>(shape_.size())) return row(from, to);
    for (int i = 0; i < (d == axis_ ? 1 : shape_[d]); ++i)
      walk(d + 1, from + i * strides_[d], to + i * steps[d], steps);
  }

  void row(const int* from, ms_int* to) const {
    ms_int most = 0;
    for (int i = 0; i < shape_[axis_]; ++i) {
      most = std::max(most, std::min<ms_int>(from[i * strides_[axis_]], steps_));
      to[i] = most;
    }
  }

  const int* from_;
  mx::Shape shape_;
  mx::Strides strides_;
  int axis_;
  ms_int steps_;
  std::vector<ms_int> table_;
};

}  // namespace monoscan
