// ==, != and repr.
#pragma once

#include "output.hpp"

namespace fastoutputs {

PyObject *output_richcompare(PyObject *left, PyObject *right, int op);
PyObject *dataclass_richcompare(PyObject *left, PyObject *right, int op);
PyObject *output_repr(PyObject *op);
PyObject *dataclass_repr(PyObject *op);

}  // namespace fastoutputs
