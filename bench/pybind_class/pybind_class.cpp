// A model output bound the straightforward way: a C++ class with a vector of fields, and py::class_
// around it. It exists to be measured beside the heap type of csrc/: every creation here goes
// through an overload search, a holder and a table of instances, every attribute through a property
// that calls back into that search.

#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

constexpr std::array<const char *, 5> names = {"loss", "logits", "cache", "hidden_states",
                                               "attentions"};

class Output {
public:
    Output(py::object loss, py::object logits, py::object cache, py::object hidden_states,
           py::object attentions) {
        fields_.reserve(names.size());
        for (auto *field : {&loss, &logits, &cache, &hidden_states, &attentions}) {
            fields_.push_back(std::move(*field));
        }
    }

    const py::object &get(std::size_t field) const { return fields_[field]; }
    void set(std::size_t field, py::object value) { fields_[field] = std::move(value); }

    std::size_t size() const {
        std::size_t count = 0;
        for (const auto &field : fields_) {
            count += !field.is_none();
        }
        return count;
    }

    py::object at(py::ssize_t index) const {
        if (index < 0) {
            index += static_cast<py::ssize_t>(size());
        }
        for (const auto &field : fields_) {
            if (!field.is_none() && index-- == 0) {
                return field;
            }
        }
        throw py::index_error("tuple index out of range");
    }

    py::object at(std::string_view key) const {
        for (std::size_t field = 0; field < names.size(); ++field) {
            if (key == names[field] && !fields_[field].is_none()) {
                return fields_[field];
            }
        }
        throw py::key_error(std::string(key));
    }

    py::tuple to_tuple() const {
        py::tuple present(size());
        std::size_t place = 0;
        for (const auto &field : fields_) {
            if (!field.is_none()) {
                present[place++] = field;
            }
        }
        return present;
    }

    py::list keys() const {
        py::list present;
        for (std::size_t field = 0; field < names.size(); ++field) {
            if (!fields_[field].is_none()) {
                present.append(names[field]);
            }
        }
        return present;
    }

private:
    std::vector<py::object> fields_;
};

} // namespace

PYBIND11_MODULE(_core, module) {
    py::class_<Output> output(module, "Output");
    output
        .def(py::init<py::object, py::object, py::object, py::object, py::object>(),
             py::arg(names[0]) = py::none(), py::arg(names[1]) = py::none(),
             py::arg(names[2]) = py::none(), py::arg(names[3]) = py::none(),
             py::arg(names[4]) = py::none())
        .def("__len__", &Output::size)
        .def("__getitem__", [](const Output &self, py::ssize_t index) { return self.at(index); })
        .def("__getitem__", [](const Output &self, std::string_view key) { return self.at(key); })
        .def("__getitem__",
             [](const Output &self, const py::slice &slice) { return py::object(self.to_tuple()[slice]); })
        .def("to_tuple", &Output::to_tuple)
        .def("keys", &Output::keys);
    for (std::size_t field = 0; field < names.size(); ++field) {
        output.def_property(
            names[field], [field](const Output &self) { return self.get(field); },
            [field](Output &self, py::object value) { self.set(field, std::move(value)); });
    }
}
