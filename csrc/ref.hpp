// An owning pointer for paths that are not hot: the reference is dropped wherever the scope is left.
#pragma once

#include "cpython.hpp"

namespace fastoutputs {

class Ref {
public:
    explicit Ref(PyObject *stolen = nullptr) : object_(stolen) {}
    static Ref borrow(PyObject *object) { return Ref(Py_XNewRef(object)); }
    Ref(Ref &&other) noexcept : object_(other.release()) {}
    Ref &operator=(Ref &&other) noexcept {
        PyObject *old = object_;
        object_ = other.release();
        Py_XDECREF(old);
        return *this;
    }
    Ref(const Ref &) = delete;
    Ref &operator=(const Ref &) = delete;
    ~Ref() { Py_XDECREF(object_); }

    PyObject *get() const { return object_; }
    PyObject *release() {
        PyObject *object = object_;
        object_ = nullptr;
        return object;
    }
    explicit operator bool() const { return object_ != nullptr; }

private:
    PyObject *object_;
};

// f(key, value) for each item of a dict that any code may find, and change, meanwhile. -1: f was.
template <typename Function>
int for_each_item(PyObject *dict, Function f) {
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(dict, &position, &key, &value)) {
        const Ref held_key = Ref::borrow(key), held_value = Ref::borrow(value);
        if (f(key, value) < 0) {
            return -1;
        }
    }
    return 0;
}

// A container of our own that is walked while any code may run: the collector shows it to nobody.
inline Ref hidden(PyObject *made) {
    if (made) {
        PyObject_GC_UnTrack(made);
    }
    return Ref(made);
}

}  // namespace fastoutputs
