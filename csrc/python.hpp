// What cold code uses of Python: pybind11's objects, exceptions for errors, and what a class says of itself.
//
// No exception leaves through a slot.
#pragma once

#include <pybind11/pybind11.h>

#include "cpython.hpp"

#include <new>
#include <string>

namespace py = pybind11;

namespace fastoutputs {

// A new reference, or the error that stands in its place. (Constructors of pybind11 without memory throw another one.)
template <typename Type = py::object>
Type owned(PyObject *made) {
    if (!made) {
        throw py::error_already_set();
    }
    return py::reinterpret_steal<Type>(made);
}
inline py::dict new_dict() { return owned<py::dict>(PyDict_New()); }

[[noreturn]] inline void type_error(const std::string &text) { throw py::type_error(text); }

// The attribute, or None. (That of pybind11 takes any error, such as no memory, for "there is none".)
py::object attribute_or_none(py::handle object, const char *name);
std::string full_name(PyTypeObject *type);
bool is_yes(int answer);                // of the C API; -1 is an error
bool is_true(const py::object &value);  // (pybind11 would refuse all but bools)

// What is found in the class and its bases: borrowed, or NULL: there is none.
PyObject *lookup(PyTypeObject *type, const char *name);

// What stands in the class itself: borrowed, or NULL.
PyObject *own_attribute(PyTypeObject *type, PyObject *name);
PyObject *own_attribute(PyTypeObject *type, const char *name);

// As `cls.name = value`, past a metaclass; NULL deletes.
void set_on(PyTypeObject *type, PyObject *name, PyObject *value);

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
        if (!PyErr_Occurred()) {  // as there is where pybind11 got no memory
            PyErr_SetString(PyExc_RuntimeError, error.what());
        }
    }
    return failure;
}

}  // namespace fastoutputs
