// The Python face of the bridge. Compiled once on the user's machine, against the
// installed MLX, as recipe.py says.

#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "attach.h"
#include "fit.h"
#include "opaque.h"
#include "pairs.h"
#include "primitive.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace monoscan {

using LeafSpec = std::pair<mx::Dtype, std::vector<int>>;

class Launch {
 public:
  Launch(std::string name, uintptr_t schedule, uintptr_t task, int axis, int rank, int elements, int captures,
         int inits, bool whole, int columns, bool strided, int window, int sums, bool lengths, bool offsets,
         bool uneven, const std::vector<std::vector<int>>& events, const std::vector<LeafSpec>& outputs,
         const std::vector<LeafSpec>& carries, std::vector<int> donors, std::vector<int> likes,
         const nb::bytes& numbers, const std::vector<nb::bytes>& identity, nb::object rules, std::string label)
      : config_(std::make_shared<Config>()) {
    graveyard().clear();
    Config& c = *config_;
    c.name = std::move(name);
    c.label = label.empty() ? c.name : std::move(label);
    c.schedule = reinterpret_cast<ms_schedule_fn>(schedule);
    c.task = reinterpret_cast<ms_task_fn>(task);
    c.axis = axis;
    c.rank = rank;
    c.elements = elements;
    c.captures = captures;
    c.inits = inits;
    c.whole = whole;
    c.columns = columns;
    c.strided = strided;
    c.window = window;
    c.sums = sums;
    c.lengths = lengths;
    c.offsets = offsets;
    c.uneven = uneven;
    for (const auto& event : events) c.events.emplace_back(event.begin(), event.end());
    c.outputs = leaves(outputs);
    c.carries = leaves(carries);
    c.donors = donors.empty() ? std::vector<int>(c.outputs.size(), -1) : std::move(donors);
    c.likes = likes.empty() ? std::vector<int>(c.outputs.size(), -1) : std::move(likes);
    c.numbers.resize(numbers.size() / sizeof(ms_int));
    std::copy_n(numbers.c_str(), numbers.size(), reinterpret_cast<char*>(c.numbers.data()));
    for (const nb::bytes& one : identity) c.identity.emplace_back(one.c_str(), one.size());
    c.rules = std::make_shared<Rules>(std::move(rules));
    check();
  }

  Arrays operator()(const Arrays& arrays, mx::StreamOrDevice where) const {
    graveyard().clear();
    mx::Stream stream = mx::to_stream(where, mx::Device::cpu);
    if (stream.device != mx::Device::cpu) throw config_->fail("was compiled for the CPU; got a GPU stream");
    // An array of an earlier evaluation is marked available when it is next looked at: here,
    // so that the scan may start early.
    for (const mx::array& input : arrays) {
      if (input.status() == mx::array::Status::evaluated) input.is_available();
    }
    return Scan::make(config_, arrays, stream);
  }

  const Config& config() const { return *config_; }
  std::shared_ptr<Rules>& rules() { return config_->rules; }

 private:
  static std::vector<Leaf> leaves(const std::vector<LeafSpec>& specs) {
    std::vector<Leaf> result;
    for (const auto& [dtype, event] : specs) result.push_back({dtype, mx::Shape(event.begin(), event.end())});
    return result;
  }

  void check() const {
    const Config& c = *config_;
    size_t inputs = c.events.size();
    if (c.schedule == nullptr || c.task == nullptr) throw c.fail("needs the addresses of a kernel");
    if (c.axis < 0 || c.axis >= c.rank) throw c.fail("needs its scan axis among its batch axes");
    if (c.elements < 1 || c.offsets_at() + (c.offsets ? 1 : 0) != inputs) {
      throw c.fail("needs one event shape for each element leaf, capture and init, and of lengths and offsets");
    }
    if (c.outputs.empty() && c.carries.empty()) throw c.fail("needs at least one output or carry");
    bool bounded = c.lengths || c.offsets;  // what stands there is needed without carries, too
    if (!c.identity.empty() && !bounded && c.identity.size() != c.carries.size())
      throw c.fail("needs an identity for each carry");
    if (c.sums < 0 || static_cast<size_t>(c.sums) > c.carries.size()) throw c.fail("has no more sums than carries");
    if (c.inits > 0 && static_cast<size_t>(c.inits) < c.states()) throw c.fail("needs an init for each carry");
    if (c.donors.size() != c.outputs.size()) throw c.fail("needs one donor (or -1) for each output");
    if (c.likes.size() != c.outputs.size()) throw c.fail("needs one input (or -1) whose axes each output has");
    for (int like : c.likes) {
      if (like < -1 || like >= c.elements + c.captures) throw c.fail("sums outputs to elements and captures only");
    }
    for (int donor : c.donors) {
      if (donor < -1 || donor >= c.elements) throw c.fail("can take the buffers of element leaves only");
    }
  }

  std::shared_ptr<Config> config_;
};

Arrays attach(const Arrays& primals, const Arrays& values, nb::object rules, int axis, int rank) {
  graveyard().clear();
  Attachment attachment{std::make_shared<Rules>(std::move(rules)), primals.size(), axis, rank};
  return Attached::make(attachment, primals, values, mx::default_stream(mx::default_device()));
}

// Whether an array is one zero, spread out: what MLX hands a rule as the cotangent of an
// output that no loss reads. Nothing that is still to be computed or traced counts.
bool is_zero(const mx::array& array) {
  const mx::array* x = &array;
  while (x->has_primitive() && !x->inputs().empty()) {
    const std::string name = x->primitive().name();
    if (name != "Full" && name != "Broadcast" && name != "AsType" && name != "monoscan_pairs") return false;
    x = &x->inputs()[0];  // in a shapeless trace more of them follow, for the shape alone
  }
  if (x->has_primitive() || x->size() != 1 || !x->is_available()) return false;
  const char* bytes = x->data<char>();
  return std::all_of(bytes, bytes + x->itemsize(), [](char byte) { return byte == 0; });
}

// Rules may lead back to the plan that owns the launch: let Python's collector see the
// edge, as long as no primitive in flight shares it.
int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  std::shared_ptr<Rules>& rules = nb::inst_ptr<Launch>(self)->rules();
  if (rules.use_count() == 1) Py_VISIT(rules->get());
  return 0;
}

int clear(PyObject* self) {
  nb::inst_ptr<Launch>(self)->rules()->clear();
  return 0;
}

PyType_Slot launch_slots[] = {
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)}, {Py_tp_clear, reinterpret_cast<void*>(clear)}, {0, nullptr}};

}  // namespace monoscan

NB_MODULE(_monoscan_bridge, m) {
  using monoscan::Launch;
  nb::class_<Launch>(m, "Launch", nb::type_slots(monoscan::launch_slots))
      .def(nb::init<std::string, uintptr_t, uintptr_t, int, int, int, int, int, bool, int, bool, int, int, bool, bool,
                    bool, const std::vector<std::vector<int>>&, const std::vector<monoscan::LeafSpec>&,
                    const std::vector<monoscan::LeafSpec>&, std::vector<int>, std::vector<int>, const nb::bytes&,
                    const std::vector<nb::bytes>&, nb::object, std::string>(),
           "name"_a, nb::kw_only(), "schedule"_a, "task"_a, "axis"_a, "rank"_a, "elements"_a, "captures"_a = 0,
           "inits"_a = 0, "whole"_a = true, "columns"_a = 0, "strided"_a = false, "window"_a = 0, "sums"_a = 0,
           "lengths"_a = false, "offsets"_a = false, "uneven"_a = false, "events"_a, "outputs"_a,
           "carries"_a = std::vector<monoscan::LeafSpec>(), "donors"_a = std::vector<int>(),
           "likes"_a = std::vector<int>(), "numbers"_a = nb::bytes("", 0), "identity"_a = std::vector<nb::bytes>(),
           "rules"_a = nb::none(), "label"_a = "")
      .def("__call__", &Launch::operator(), "arrays"_a, "stream"_a = nb::none())
      .def_prop_ro("name", [](const Launch& l) { return l.config().name; })
      .def_prop_ro("axis", [](const Launch& l) { return l.config().axis; })
      .def_prop_ro("rank", [](const Launch& l) { return l.config().rank; });
  m.def("attach", &monoscan::attach, "primals"_a, "values"_a, "rules"_a, nb::kw_only(), "axis"_a, "rank"_a);
  m.def("is_zero", &monoscan::is_zero, "array"_a);
  m.def("fit", &monoscan::fit, "array"_a, "like"_a, nb::kw_only(), "rank"_a);
  m.def("pairs", &monoscan::pairs, "array"_a);
  m.def("from_pairs", &monoscan::from_pairs, "array"_a);
  m.def("opaque", &monoscan::Opaque::around, "output"_a);
  m.def("shapeless", &monoscan::shapeless);
  m.def("threads", [] { return monoscan::pool().threads(); });
  m.def(
      "set_threads",
      [](int n) {
        if (n < 1) throw std::invalid_argument("[monoscan] The number of threads must be at least 1.");
        monoscan::pool().set_threads(n);
      },
      "n"_a);
  // How many phases were handed to the pool so far, for tests and measurements.
  m.def("dispatched", [] { return monoscan::pool().dispatched(); });
  m.def("last_level_cache", [] { return monoscan::last_level_cache(); });
  // False if nanobind's internals are not those that MLX registered its types in.
  m.def("shares_types", [] { return nb::type<mlx::core::array>().is_valid(); });
}
