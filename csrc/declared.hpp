// What a class declares: its annotations when it is created, its fields when @dataclass has run.
#pragma once

#include "python.hpp"

#include <vector>

namespace fastoutputs {

// Names are kept where no code that the collector runs can find them.
using Names = std::vector<py::object>;

py::dict own_annotations(PyTypeObject *type);

// The fields that @dataclass will find, as far as they can be known before it runs: of the class itself, and of bases
// that have no layout, such as a dataclass used as a mixin.
Names expected_fields(PyTypeObject *type, const py::dict &annotations);

struct DeclaredField {
    py::object name, initial, factory;  // a factory or default may be MISSING
    bool is_parameter, by_position;
};

std::vector<DeclaredField> declared_fields(PyTypeObject *type);

// Whether a default or factory is MISSING. A pickle by value brings another instance of it.
bool is_missing(py::handle value);

}  // namespace fastoutputs
