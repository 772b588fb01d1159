// Prepares a class when it is created, and seals it when it is used.
#pragma once

#include "cpython.hpp"

namespace fastoutputs {

PyObject *prepare_subclass(PyObject *cls, PyObject *args, PyObject *kwargs);  // __init_subclass__
void set_subclass_hook(PyObject *hook);                                       // called with every new subclass
int prepare_sealing();

}  // namespace fastoutputs
