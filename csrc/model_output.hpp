// The type ModelOutput itself.
#pragma once

#include "output.hpp"

namespace fastoutputs {

int prepare_model_output(PyObject *module);

}  // namespace fastoutputs
