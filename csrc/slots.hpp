// Which of a class's slots are compiled.
#pragma once

#include "python.hpp"

#include <initializer_list>

namespace fastoutputs {

struct ClassLayout;

bool is_inherited_from_base(PyTypeObject *type, const char *name);
bool are_inherited_from_base(PyTypeObject *type, std::initializer_list<const char *> names);

// Of methods that the original does not have, or hands on by super(): that of a class behind ModelOutput, or NULL.
PyObject *lookup_behind(PyTypeObject *type, const char *name);
bool has_methods_behind(PyTypeObject *type);

void take_compiled_slots(PyTypeObject *type);
void block_instances(PyTypeObject *type);  // of a class that is being laid out: no instance until it is
void take_over_memory(PyTypeObject *type);  // of its instances; runs no code
void install_slots(PyTypeObject *type, const ClassLayout *layout, bool stores_plainly);
void note_compiled_slots();  // once, of the new type
void note_own_methods();     // once, before any can be patched
void set_twin(const char *name, PyObject *function);  // throws

}  // namespace fastoutputs
