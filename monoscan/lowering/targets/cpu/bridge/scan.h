// One evaluation of a fused scan.
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config.h"
#include "bounds.h"
#include "geometry.h"
#include "pool.h"
#include "mlx/backend/common/utils.h"

namespace monoscan {

// One evaluation: built when MLX asks for it, run on the stream's thread.
class Run {
 public:
  // Nobody reads the outputs that are not `wanted`.
  Run(std::shared_ptr<const Config> config, const mx::Shape& batch, const Arrays& inputs, Arrays& outputs,
      const std::vector<bool>& wanted)
      : config_(std::move(config)), inits_from_(config_->elements + config_->captures) {
    if (config_->offsets) launch_.sequences = config_->sequences(inputs);
    Geometry geometry(batch, config_->axis, inputs, config_->lengths_at(),
                      config_->uneven ? config_->offsets_at() : config_->lengths_at(), launch_.sequences,
                      config_->columns, config_->strided, sums(batch, inputs), table(inputs));
    if (geometry.beyond())
      throw config_->fail("walks over too many axes that do not merge; reshape some of them into one");
    arrays_.reserve(inputs.size() + outputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) arrays_.push_back(geometry.place(geometry.input(i)));
    for (size_t o = 0; o < outputs.size(); ++o) {
      arrays_.push_back(output(geometry, batch, inputs, outputs, o, wanted[o]));
    }
    copies_ = std::move(geometry.copies);
    buffers_ = std::move(geometry.buffers);
    geometry.fill(launch_);
    launch_.has_init = config_->inits > 0;
    launch_.want_carry = !config_->carries.empty();
    launch_.last_level_cache = last_level_cache();
    launch_.threads = pool().threads();
    launch_.window = config_->window;
    launch_.inputs = arrays_.data();
    launch_.numbers = config_->numbers.data();
    launch_.inits = arrays_.data() + inits_from_;
    launch_.outputs = arrays_.data() + inputs.size();
    launch_.carries = launch_.outputs + config_->outputs.size();
    if (config_->lengths) launch_.lengths = arrays_.data() + config_->lengths_at();
    if (config_->offsets) cut_rows(inputs[config_->offsets_at()]);
    if (config_->lengths || config_->offsets) name_fills();
    config_->schedule(&launch_, &plan_);
    if (plan_.phases < 1) {
      throw config_->fail("was made for rows of another kind than rows of " + std::to_string(launch_.inner));
    }
  }

  void operator()() { run(0); }
  // The same while another thread is on its way into the pool.
  void with_helper() { run(1); }

 private:
  // The strides of that, if there are any.
  std::optional<mx::Strides> table(const Arrays& inputs) const {
    if (!config_->offsets) return std::nullopt;
    return Bounds::strides(inputs[config_->offsets_at()].shape(), config_->axis);
  }
  // Where sequences begin: as many in each row, one after the other, in memory of this launch.
  void cut_rows(const mx::array& offsets) {
    bounds_.emplace(offsets, config_->axis, launch_.n);
    ms_array& place = arrays_[config_->offsets_at()];
    place.data = bounds_->data();
    launch_.bounds = &place;
  }
  void name_fills() {
    for (const std::string& one : config_->identity) fills_.push_back(one.data());
    if (!fills_.empty()) launch_.fills = fills_.data();
  }

  void run(int joining) {
    if (bounds_) bounds_->read();
    for (const Copy& copy : copies_) copy.run();
    std::vector<mx::allocator::Data> unread;
    for (auto [array, bytes] : unread_) {
      unread.push_back(allocate(bytes));
      arrays_[array].data = raw(unread.back());
    }
    Scratch scratch(static_cast<size_t>(plan_.scratch_bytes));
    launch_.scratch = scratch.get();
    for (ms_int phase = 0; phase < plan_.phases; ++phase) {
      ms_int tasks = plan_.tasks[phase];
      if (tasks == 1) {
        config_->task(&launch_, phase, 0);
      } else {
        pool().run(config_->task, &launch_, phase, tasks, joining);
      }
    }
  }

  std::vector<mx::Shape> sums(const mx::Shape& batch, const Arrays& inputs) const {
    std::vector<mx::Shape> found;
    for (size_t o = 0; o < config_->outputs.size(); ++o) {
      if (config_->likes[o] >= 0) found.push_back(config_->output_batch(o, batch, inputs));
    }
    return found;
  }

  ms_array output(const Geometry& geometry, const mx::Shape& batch, const Arrays& inputs, Arrays& outputs, size_t o,
                  bool wanted) {
    mx::array& out = outputs[o];
    bool along = o < config_->outputs.size();
    const Leaf& leaf = along ? config_->outputs[o] : config_->carries[o - config_->outputs.size()];
    Operand operand;
    operand.lanes = product(leaf.event, 0);
    if (along && config_->likes[o] >= 0) {
      operand.steps = geometry.dense(operand.lanes, config_->output_batch(o, batch, inputs));
    } else {
      operand.steps = geometry.dense(operand.lanes, along ? batch[config_->axis] : launch_.sequences);
    }
    if (!wanted) {
      unread_.emplace_back(arrays_.size(), out.nbytes());
      return geometry.place(operand);
    }
    if (!along || !donate(geometry, batch, inputs, operand, out, config_->donors[o])) {
      mx::Strides strides = operand.steps;
      if (!along && !config_->offsets) strides.erase(strides.begin() + config_->axis);
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
  std::vector<mx::allocator::Data> buffers_;
  std::optional<Bounds> bounds_;
  std::vector<const void*> fills_;
  std::vector<std::pair<size_t, size_t>> unread_;  // arrays that nobody reads, and their bytes: memory while it runs
  ms_launch launch_{};
  ms_schedule plan_{};
};

// A scan of no steps has no results, its carry is the init, else the identity, and its sums are zero. No kernel runs.
class Nothing {
 public:
  Nothing(std::shared_ptr<const Config> config, const Arrays& inputs, Arrays& outputs) : config_(std::move(config)) {
    for (mx::array& out : outputs) out.set_data(mx::allocator::malloc(out.nbytes()));
    for (size_t c = 0; c < config_->carries.size(); ++c) {
      mx::array& out = outputs[config_->outputs.size() + c];
      if (c < config_->states()) carry(c, inputs, out);
      else std::memset(out.data<char>(), 0, out.nbytes());
    }
  }

  void operator()() const {
    for (const Copy& copy : copies_) copy.run();
  }

 private:
  void carry(size_t c, const Arrays& inputs, mx::array& out) {
    const Config& config = *config_;
    mx::Strides strides(config.rank, 0);
    mx::Strides event = mx::make_contiguous_strides(config.carries[c].event);
    const char* from = config.inits > 0 ? nullptr : config.identity[c].data();
    if (config.inits > 0) {
      const mx::array& init = inputs[config.elements + config.captures + c];
      for (int d = 0; d < config.rank; ++d) strides[d] = init.shape(d) == 1 ? 0 : init.strides(d);
      event = mx::Strides(init.strides().begin() + config.rank, init.strides().end());
      from = init.data<char>();
    }
    if (!config.offsets) strides.erase(strides.begin() + config.axis);
    strides.insert(strides.end(), event.begin(), event.end());
    copies_.push_back({from, out.itemsize(), std::vector<ms_int>(out.shape().begin(), out.shape().end()),
                       std::vector<ms_int>(strides.begin(), strides.end()), out.data<char>()});
  }

  std::shared_ptr<const Config> config_;
  std::vector<Copy> copies_;
};

}  // namespace monoscan
