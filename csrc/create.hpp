// Creates outputs.
#pragma once

#include "output.hpp"

namespace fastoutputs {

PyObject *output_vectorcall(PyObject *cls, PyObject *const *args, std::size_t nargsf, PyObject *kwnames);
int output_init(PyObject *op, PyObject *args, PyObject *kwargs);
PyObject *output_post_init(PyObject *op, PyObject *);

constexpr Py_ssize_t most_bound = 256;  // fields and arguments that the compiled constructor binds

}  // namespace fastoutputs
