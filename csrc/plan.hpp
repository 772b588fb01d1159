// Lays a class out when it is created, and makes it fit when it turns out to declare other fields.
#pragma once

#include "declared.hpp"
#include "layout.hpp"

namespace fastoutputs {

void lay_out(PyTypeObject *type, const py::dict &annotations);

// Gives the class exactly the slots that its fields need, which may differ from what was expected when it was created.
// Nothing may depend on its size but `apart`, a class in creation, whose own slots move with it.
void fit(PyTypeObject *type, ClassLayout *layout, const std::vector<DeclaredField> &declared,
         PyTypeObject *apart = nullptr);

const Place *find_place(const std::vector<Place> &places, py::handle name);  // or NULL

}  // namespace fastoutputs
