// Reads and writes by attribute, key, index and slice.
#pragma once

#include "output.hpp"

namespace fastoutputs {

int output_setattro(PyObject *op, PyObject *name, PyObject *value);
int output_ass_subscript(PyObject *op, PyObject *key, PyObject *value);
PyObject *output_subscript(PyObject *op, PyObject *key);
PyObject *output_get_item(OutputObject *self, PyObject *key);  // new reference, or NULL: error set or absent
PyObject *output_to_tuple(PyObject *op, PyObject *);
int store_item(OutputObject *self, PyObject *key, PyObject *value);
int output_contains(PyObject *op, PyObject *key);
Py_ssize_t output_length(PyObject *op);
PyObject *output_or(PyObject *left, PyObject *right);
PyObject *output_refuse_in_place_or(PyObject *op, PyObject *other);
extern PyMethodDef access_methods[];

}  // namespace fastoutputs
