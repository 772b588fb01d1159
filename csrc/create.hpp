// Creates outputs.
#pragma once

#include "output.hpp"

namespace fastoutputs {

PyObject *output_vectorcall(PyObject *cls, PyObject *const *args, std::size_t nargsf, PyObject *kwnames);
int output_init(PyObject *op, PyObject *args, PyObject *kwargs);
PyObject *output_post_init(PyObject *op, PyObject *);

// Array types by the modules that define them; looked up only if the module is loaded already.
struct ArrayType {
    const char *module, *name;
};
constexpr ArrayType array_types[] = {
    {"torch", "Tensor"}, {"numpy", "ndarray"},  {"tensorflow", "Tensor"},
    {"jax", "Array"},    {"torch.fx", "Proxy"}, {"mlx.core", "array"},
};

constexpr Py_ssize_t most_bound = 256;  // fields and arguments that the compiled constructor binds

}  // namespace fastoutputs
