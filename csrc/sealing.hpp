// Prepares a class when it is created, and seals it when it is used.
#pragma once

#include "python.hpp"

namespace fastoutputs {

PyObject *prepare_subclass(PyObject *cls, PyObject *args, PyObject *kwargs);  // __init_subclass__
void set_subclass_hook(PyObject *hook);                                       // called with every new subclass
int prepare_sealing();

// What a class was declared with where it has this attribute now. Sealing puts descriptors of fields into a class, so
// for one of those it is what that has displaced, or an empty object: nothing.
py::object declared_value(PyObject *attribute);

}  // namespace fastoutputs
