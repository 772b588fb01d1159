// What install() and uninstall() tell of classes, for the outputs that were made before.
#pragma once

#include "cpython.hpp"

namespace fastoutputs {

// Two dicts, which the caller goes on to fill: a class -> the class that its name means now, where that is another one;
// and a class -> a token that classes with the same fields and name share. Kept for good.
void set_replaced(PyObject *named, PyObject *families);

// What pickles have to call the class of an output. Borrowed; lives as long as the class is in the dict.
PyObject *class_by_name(PyTypeObject *type);

// While this thread copies: a copy is of the class that the output is of.
class KeepsClass {
public:
    KeepsClass();
    ~KeepsClass();
    KeepsClass(const KeepsClass &) = delete;
    KeepsClass &operator=(const KeepsClass &) = delete;

private:
    bool before_;
};

bool are_of_one_family(PyTypeObject *one, PyTypeObject *other);

}  // namespace fastoutputs
