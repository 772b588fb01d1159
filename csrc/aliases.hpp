// Uses of aliases: other names of fields. Each use calls the notice of the class, which may run any code.
#pragma once

#include "output.hpp"
#include "python.hpp"

namespace fastoutputs {

// For a str that names no field. 1: *field is the name of the field; 0: no alias; -1: an error; 2: as a key, it was an
// extra key before it became an alias, and stays one.
int use_alias(OutputObject *self, PyObject *name, bool as_key, Ref *field);
int rename_keywords(PyTypeObject *type, const ClassLayout *layout, PyObject *given, Ref *renamed);
int note_alias(PyTypeObject *type, PyObject *old);  // calls the notice alone
void set_alias_functions(PyObject *property, PyObject *init);
bool is_alias_property(PyObject *attribute);

// When a class is prepared: these throw.
void declare_aliases(PyTypeObject *type, const py::handle &declared);
bool read_aliases(PyTypeObject *type, ClassLayout *layout);  // true if it has changed the class to fit
py::object without_alias_wrapper(const py::object &init);
int prepare_aliases();

}  // namespace fastoutputs
