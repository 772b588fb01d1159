// What the files tell each other that prepare a class: layout.cpp reads what it declares, generated.cpp whether its
// methods are those of @dataclass, slots.cpp gives it the compiled slots, aliases.cpp reads and applies its aliases,
// and sealing.cpp does it all.
//
// Cold code, so these use pybind11's objects and exceptions; no exception leaves through a slot.
#pragma once

#include <pybind11/pybind11.h>

#include "output.hpp"

#include <initializer_list>
#include <new>
#include <string>

namespace py = pybind11;

namespace fastoutputs {

// layout.cpp
py::dict own_annotations(PyTypeObject *type);
void lay_out(PyTypeObject *type, const py::dict &annotations);                     // when the class is created
void read_fields(PyTypeObject *type, ClassLayout *layout, bool is_dataclass);  // when it is used

// generated.cpp
py::object generated_code(py::object method, const char *name);
bool is_frozen(py::handle cls);
bool is_generated_over_fields(PyTypeObject *type, const ClassLayout *layout, const char *method, const char *flag);
bool has_compiled_init(PyTypeObject *type, const ClassLayout *layout, bool stores_plainly);

// aliases.cpp
void declare_aliases(PyTypeObject *type, const py::handle &declared);
bool read_aliases(PyTypeObject *type, ClassLayout *layout);  // true if it has changed the class to fit
py::object without_alias_wrapper(const py::object &init);
int prepare_aliases();

// slots.cpp
PyObject *lookup(PyTypeObject *type, const char *name);  // borrowed, or NULL: there is none
bool is_inherited_from_base(PyTypeObject *type, const char *name);
bool are_inherited_from_base(PyTypeObject *type, std::initializer_list<const char *> names);
void take_compiled_slots(PyTypeObject *type);
void block_instances(PyTypeObject *type);  // of a class that is being laid out: no instance until it is
void take_over_memory(PyTypeObject *type);  // of its instances; runs no code
void install_slots(PyTypeObject *type, const ClassLayout *layout, bool stores_plainly);
void note_own_methods();                                 // once, before any can be patched
void set_twin(const char *name, PyObject *function);  // throws

// sealing.cpp
PyObject *prepare_subclass(PyObject *cls, PyObject *args, PyObject *kwargs);  // __init_subclass__
void set_subclass_hook(PyObject *hook);                                       // called with every new subclass
int prepare_sealing();

// A new reference, or the error that stands in its place. (Constructors of pybind11 without memory throw another one.)
template <typename Type = py::object>
Type owned(PyObject *made) {
    if (!made) {
        throw py::error_already_set();
    }
    return py::reinterpret_steal<Type>(made);
}
inline py::dict new_dict() { return owned<py::dict>(PyDict_New()); }

[[noreturn]] inline void type_error(const std::string &text) { throw py::type_error(text); }

// The attribute, or None. (That of pybind11 takes any error, such as no memory, for "there is none".)
py::object attribute_or_none(py::handle object, const char *name);
std::string full_name(PyTypeObject *type);
bool is_true(const py::object &value);  // (pybind11 would refuse all but bools)

// What stands in the class itself: borrowed, or NULL.
PyObject *own_attribute(PyTypeObject *type, PyObject *name);
PyObject *own_attribute(PyTypeObject *type, const char *name);

// As `cls.name = value`, past a metaclass; NULL deletes.
void set_on(PyTypeObject *type, PyObject *name, PyObject *value);

// Runs f, and turns what it throws into a Python error and the value for failure.
template <typename Result, typename Function>
Result guarded(Result failure, Function f) {
    try {
        return f();
    } catch (py::error_already_set &error) {
        error.restore();
    } catch (const py::builtin_exception &error) {
        error.set_error();
    } catch (const std::bad_alloc &) {
        PyErr_NoMemory();
    } catch (const std::exception &error) {
        if (!PyErr_Occurred()) {  // as there is where pybind11 got no memory
            PyErr_SetString(PyExc_RuntimeError, error.what());
        }
    }
    return failure;
}

}  // namespace fastoutputs
