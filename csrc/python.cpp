#include "python.hpp"

namespace fastoutputs {

bool is_yes(int answer) {
    if (answer < 0) {
        throw py::error_already_set();
    }
    return answer > 0;
}

bool is_true(const py::object &value) { return is_yes(PyObject_IsTrue(value.ptr())); }

py::object attribute_or_none(py::handle object, const char *name) {
    PyObject *attribute = PyObject_GetAttrString(object.ptr(), name);
    if (!attribute && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        throw py::error_already_set();
    }
    PyErr_Clear();
    return attribute ? py::reinterpret_steal<py::object>(attribute) : py::none();
}

std::string full_name(PyTypeObject *type) {
    py::handle cls(as_object(type));
    return py::str(cls.attr("__module__")).cast<std::string>() + "." +
           py::str(cls.attr("__name__")).cast<std::string>();
}

PyObject *own_attribute(PyTypeObject *type, PyObject *name) {
    PyObject *found = is_heap_type(type) ? PyDict_GetItemWithError(own_dict(type), name) : nullptr;
    if (!found && PyErr_Occurred()) {
        throw py::error_already_set();
    }
    return found;
}

PyObject *own_attribute(PyTypeObject *type, const char *name) {
    return own_attribute(type, owned(PyUnicode_InternFromString(name)).ptr());
}

void set_on(PyTypeObject *type, PyObject *name, PyObject *value) {
    if (PyType_Type.tp_setattro(as_object(type), name, value) < 0) {
        if (value && PyErr_ExceptionMatches(PyExc_AttributeError) && !lookup(Py_TYPE(as_object(type)), name)) {
            PyErr_NoMemory();  // of which 3.14 says that there is no such attribute
        }
        throw py::error_already_set();
    }
}

PyObject *lookup(PyTypeObject *type, const char *name) {
    return lookup(type, owned(PyUnicode_InternFromString(name)).ptr());
}

}  // namespace fastoutputs
