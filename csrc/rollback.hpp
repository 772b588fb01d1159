// What an output held before a change.
#pragma once

#include "output.hpp"
#include "ref.hpp"

namespace fastoutputs {

// A dict of our own that takes the place of the inner dict of an output, and then holds what was in there.
class Items {
public:
    explicit Items(PyObject *stolen = nullptr) : dict_(stolen) {}
    Items(Items &&) = default;
    Items &operator=(Items &&) = default;
    ~Items() {
        if (!has_gil && dict_) {
            PyDict_Clear(dict_.get());  // see swap_dicts
        }
    }
    PyObject *get() const { return dict_.get(); }
    PyObject *release() { return dict_.release(); }
    explicit operator bool() const { return static_cast<bool>(dict_); }
    void swap_with(OutputObject *self);  // cannot fail, runs no code

private:
    Ref dict_;
};

// Of a change of several steps: puts everything back if one fails.
class Rollback {
public:
    explicit Rollback(OutputObject *self);
    explicit operator bool() const { return static_cast<bool>(attributes_); }  // false: an error is set
    int fail();  // -1, with the error that stopped the change still set

private:
    OutputObject *self_;
    Ref layout_;
    Items items_;
    InnerDict inner_dict_;
    Ref slots_, attributes_;  // a tuple and a dict
};

}  // namespace fastoutputs
