// copy(), copy.copy, copy.deepcopy and pickle.
#pragma once

#include "output.hpp"

namespace fastoutputs {

extern PyMethodDef copy_methods[];

}  // namespace fastoutputs
