// Whether a method is the one that @dataclass generates.
#pragma once

#include "layout.hpp"
#include "python.hpp"

namespace fastoutputs {

py::object generated_code(py::handle owner, py::object method, const char *name);
bool is_frozen(py::handle cls);
bool is_generated_over_fields(PyTypeObject *type, const ClassLayout *layout, const char *method, const char *flag);
bool has_compiled_init(PyTypeObject *type, const ClassLayout *layout, bool stores_plainly);

}  // namespace fastoutputs
