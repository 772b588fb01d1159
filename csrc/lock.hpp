// What keeps threads apart where Python has no GIL. Where it has one, all of this is nothing.
//
// Both locks are critical sections of CPython's: a thread that blocks lets them go and takes the innermost
// back, so they cannot deadlock, and what may run Python code may let other threads in, as under the GIL.
// Hence the rule: a function relies on the section that it opened itself, and after any call that may run
// Python code it looks again.
//  - Locked: one object. An output's keeps its slots and its inner dict together; CPython itself takes it to
//    read a slot that changes meanwhile, and in every dict operation, which nests in it at no cost.
//  - ClassesLocked: what is known of classes: their layouts, and what sealing keeps.
// tests/test_threads.py runs without the GIL where there is such a Python.
#pragma once

#include "cpython.hpp"

#ifdef Py_GIL_DISABLED
#include <atomic>
#endif

namespace fastoutputs {

#ifdef Py_GIL_DISABLED

class Locked {
public:
    explicit Locked(PyObject *op) { PyCriticalSection_Begin(&section_, op); }
    explicit Locked(void *op) : Locked(static_cast<PyObject *>(op)) {}
    ~Locked() { PyCriticalSection_End(&section_); }
    Locked(const Locked &) = delete;
    Locked &operator=(const Locked &) = delete;

private:
    PyCriticalSection section_;
};

extern PyObject *classes_lock;  // an object made for its lock
struct ClassesLocked : Locked {
    ClassesLocked() : Locked(classes_lock) {}
};

// A fact that one thread may read while another finds it out anew.
template <typename Value>
class Shared {
public:
    Shared(Value value = Value()) : value_(value) {}
    Shared(const Shared &other) : value_(static_cast<Value>(other)) {}
    Shared &operator=(const Shared &other) { return *this = static_cast<Value>(other); }
    Shared &operator=(Value value) {
        value_.store(value, std::memory_order_relaxed);
        return *this;
    }
    operator Value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<Value> value_;
};

// Puts value, which is stolen, into a slot of an output, which the interpreter may be reading, and gives the old one.
inline PyObject *exchange_slot(PyObject **slot, PyObject *value) {
    PyObject *old = *slot;
    _Py_atomic_store_ptr_release(slot, value);
    return old;
}

#else

struct Locked {
    explicit Locked(void *) {}
};
struct ClassesLocked {
    ClassesLocked() {}  // NOLINT(modernize-use-equals-default): one of its own makes a variable a used one
};
template <typename Value>
using Shared = Value;

inline PyObject *exchange_slot(PyObject **slot, PyObject *value) { return std::exchange(*slot, value); }

#endif

}  // namespace fastoutputs
