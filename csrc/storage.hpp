// Writes fields and extra keys, and keeps the inner dict in sync. Nothing else writes the inner dict.
#pragma once

#include "output.hpp"

namespace fastoutputs {

// Outputs made in this thread are slots-only while this is set.
extern FASTOUTPUTS_THREAD_LOCAL bool slots_only;

// Of a new output that is to be dict-backed.
int fill_inner_dict(OutputObject *self, const ClassLayout *layout);
PyObject *items_as_dict(OutputObject *self);  // all items, in a new plain dict
// layout is that of self, which has index from it. Code that the end of the old value runs may change the class.
int store_field(OutputObject *self, const ClassLayout *layout, Py_ssize_t index, PyObject *value);
int store_extra(OutputObject *self, PyObject *key, PyObject *value);

}  // namespace fastoutputs
