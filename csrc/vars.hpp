// The __dict__ and __class__ of an output, and the field descriptor of classes with a __setattr__ of their own.
#pragma once

#include "output.hpp"

namespace fastoutputs {

extern PyGetSetDef vars_getset[];
PyObject *field_get(PyObject *op, void *name);
int field_set(PyObject *op, PyObject *value, void *name);
int restore_attributes(OutputObject *self, PyObject *attributes);
int prepare_vars();

}  // namespace fastoutputs
