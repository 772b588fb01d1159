// What the files that seal a class tell each other: schema.cpp reads what the class declares, generated.cpp
// whether its methods are those of @dataclass, slots.cpp gives it the compiled slots, and aliases.cpp reads and applies
// its aliases, and sealing.cpp does it all.
//
// Cold code, so pybind11 objects and exceptions are used in these; none leaves through a slot.
#pragma once

#include <pybind11/pybind11.h>

#include "layout.hpp"
#include "ref.hpp"

#include <initializer_list>
#include <new>
#include <string>

namespace py = pybind11;

namespace fastoutputs {

// schema.cpp
extern PyObject *schema_key;  // "__fastoutputs_schema__", in the __dict__ of a sealed class
Schema *new_schema();
void read_fields(Schema *schema, PyTypeObject *type, bool is_new);
void build_table(Schema *schema);
int prepare_schema_type();

// generated.cpp
py::object generated_code(py::object method, const char *name);
bool is_frozen(const py::object &cls);
bool is_generated_over_fields(PyTypeObject *type, const Schema *schema, const char *method, const char *flag);
bool has_compiled_init(PyTypeObject *type, const Schema *schema, bool stores_plainly);

// aliases.cpp
void declare_aliases(PyTypeObject *type, const py::handle &declared);
bool read_aliases(PyTypeObject *type, Schema *schema);  // true if it has changed the class to fit
py::object without_alias_wrapper(const py::object &init);
int prepare_aliases();

// slots.cpp
PyObject *lookup(PyTypeObject *type, const char *name);  // borrowed, or NULL: there is none
bool is_inherited_from_base(PyTypeObject *type, const char *name);
bool are_inherited_from_base(PyTypeObject *type, std::initializer_list<const char *> names);
void take_compiled_slots(PyTypeObject *type);
void install_slots(PyTypeObject *type, const Schema *schema, bool stores_plainly);

[[noreturn]] inline void type_error(const std::string &text) { throw py::type_error(text); }

// The attribute, or None. (That of pybind11 takes any error, such as no memory, for "there is none".)
py::object attribute_or_none(py::handle object, const char *name);
std::string full_name(PyTypeObject *type);

// Runs f, and turns what it throws into a Python error and the value for failure.
template <typename Result, typename Function>
Result guarded(Result failure, Function f) {
    try {
        return f();
    } catch (py::error_already_set &error) {
        error.restore();
    } catch (const py::builtin_exception &error) {
        error.set_error();
    } catch (const std::bad_alloc &) {
        PyErr_NoMemory();
    } catch (const std::exception &error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return failure;
}

}  // namespace fastoutputs
