#include "replaced.hpp"

#include <utility>

namespace fastoutputs {

static PyObject *classes_by_name, *family_of_class;
static FASTOUTPUTS_THREAD_LOCAL bool keeps_class;

void set_replaced(PyObject *named, PyObject *families) {
    Py_XDECREF(std::exchange(classes_by_name, Py_NewRef(named)));
    Py_XDECREF(std::exchange(family_of_class, Py_NewRef(families)));
}

static PyObject *find(PyObject *dict, PyTypeObject *type) {
    PyObject *found = dict && PyDict_GET_SIZE(dict) > 0 ? PyDict_GetItemWithError(dict, as_object(type)) : nullptr;
    if (!found) {
        PyErr_Clear();  // of the __hash__ of a metaclass
    }
    return found;
}

PyObject *class_by_name(PyTypeObject *type) {
    PyObject *found = keeps_class ? nullptr : find(classes_by_name, type);
    return found ? found : as_object(type);
}

KeepsClass::KeepsClass() : before_(std::exchange(keeps_class, true)) {}
KeepsClass::~KeepsClass() { keeps_class = before_; }

bool are_of_one_family(PyTypeObject *one, PyTypeObject *other) {
    PyObject *family = find(family_of_class, one);
    return family && family == find(family_of_class, other);
}

}  // namespace fastoutputs
