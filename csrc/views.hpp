// keys(), values(), items() and iteration.
#pragma once

#include "output.hpp"

namespace fastoutputs {

PyObject *output_iter(PyObject *op);
extern PyMethodDef view_methods[];
int prepare_views();

}  // namespace fastoutputs
