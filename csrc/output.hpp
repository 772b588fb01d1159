// An output, and the inline reads that everything else is built on.
//
// Invariants that every file of csrc/ keeps:
//  - From the end of OutputObject to tp_basicsize an instance holds nothing but slots, each an owned reference or NULL:
//    one for each field, as __slots__ would make it, and those that users declare by __slots__ themselves.
//  - An absent field holds None. On Python 3.15 and later it holds NULL until C++ has touched the output.
//  - The slots are the truth. The inner dict is empty ("slots-only"), or holds exactly the present items, fields in
//    declared order and then the extra keys ("dict-backed").
//  - Extra keys, those that are no fields, live in the inner dict alone: an output with one is dict-backed.
#pragma once

#include "cpython.hpp"
#include "layout.hpp"
#include "ref.hpp"

namespace fastoutputs {

enum class InnerDict : std::uint8_t {
    undecided,  // nothing was ever set: the first change decides
    filled,
    unused,
};

struct OutputObject {
    PyDictObject inner;  // what C code sees that reads a dict directly
    PyObject *weakrefs;
#if !FASTOUTPUTS_MANAGED_DICT
    PyObject *attributes_in_place;
#endif
    InnerDict inner_dict;
    std::uint32_t slot_count;  // of all slots that follow; 0 if CPython allocated the instance by itself
};

#if FASTOUTPUTS_MANAGED_DICT
// Counted from the end of the instance, as CPython does for its own classes.
constexpr Py_ssize_t offset_of_dict = -static_cast<Py_ssize_t>(sizeof(OutputObject) + 3 * sizeof(PyObject *));
#else
constexpr Py_ssize_t offset_of_dict = offsetof(OutputObject, attributes_in_place);
#endif

// The type ModelOutput, of model_output.cpp.
extern PyTypeObject *model_output;
extern PyObject *mutation_error;  // OutputMutationError

inline OutputObject *as_output(PyObject *op) { return reinterpret_cast<OutputObject *>(op); }
inline bool is_output(PyObject *op) { return PyObject_TypeCheck(op, model_output); }

// The plain attributes of an instance: a dict, or NULL.
inline PyObject *&attributes_of(OutputObject *self) {
#if FASTOUTPUTS_MANAGED_DICT
    return reinterpret_cast<PyObject **>(self)[-3];
#else
    return self->attributes_in_place;
#endif
}

inline const ClassLayout *layout_of(const OutputObject *self) {
    PyObject *layout = private_slot(Py_TYPE(reinterpret_cast<const PyObject *>(self)));
    return layout ? reinterpret_cast<const ClassLayout *>(layout) : no_fields;
}

// The layout with its facts about overrides brought up to date. NULL: error.
const ClassLayout *updated_layout(OutputObject *self);
FASTOUTPUTS_INLINE const ClassLayout *current_layout(OutputObject *self) {
    PyTypeObject *type = Py_TYPE(as_object(self));
    const ClassLayout *layout = layout_of(self);
    return is_current(layout, type) ? layout : updated_layout(self);
}

// Calls the method of that name of a class behind ModelOutput, if there is one: its result, or NULL with an error.
// Where there is none, NULL without.
PyObject *call_behind(PyObject *op, const char *name, PyObject *args);

// Over code that may change the class of an output: a reference that keeps its layout.
inline Ref hold(const ClassLayout *layout) { return Ref::borrow(as_object(const_cast<ClassLayout *>(layout))); }

inline PyObject **slot_at(const OutputObject *self, Py_ssize_t offset) {
    return reinterpret_cast<PyObject **>(reinterpret_cast<char *>(const_cast<OutputObject *>(self)) + offset);
}

// What a slot of a field holds: borrowed, never NULL.
inline PyObject *value_at(const OutputObject *self, Py_ssize_t offset) {
    PyObject *value = *slot_at(self, offset);
    return slots_may_be_null && !value ? Py_None : value;
}

// Writers convert instances of str subclasses to exact str first: their __hash__ and __eq__ can run any code.
inline bool is_odd_name(PyObject *name) { return !PyUnicode_CheckExact(name) && PyUnicode_Check(name); }

inline Py_ssize_t inner_size(const OutputObject *self) { return dict_size(&self->inner); }

// The value of a field by the same object as its name; NULL for any other name and for an absent field.
inline PyObject *quick_find(const OutputObject *self, PyObject *name) {
    const Bucket &bucket = bucket_of(layout_of(self), name);
    if (bucket.name != name) {
        return nullptr;
    }
    PyObject *value = value_at(self, bucket.offset);
    return value == Py_None ? nullptr : value;
}

inline Py_ssize_t count_present(const OutputObject *self, const ClassLayout *layout) {
    Py_ssize_t present = 0;
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        present += value_at(self, layout->place[i].offset) != Py_None;
    }
    return present;
}

inline Py_ssize_t output_len(const OutputObject *self) {
    return inner_size(self) ? inner_size(self) : count_present(self, layout_of(self));
}

// Walks the extra keys in insertion order, over any change of the output on the way.
struct ExtraCursor {
    Py_ssize_t position = 0;  // as PyDict_Next takes it
    Py_ssize_t passed = 0;  // extras given out so far
};
// 1 and borrowed references, or 0 at the end.
int next_extra(OutputObject *self, const ClassLayout *layout, ExtraCursor *cursor, PyObject **key, PyObject **value);

}  // namespace fastoutputs
