// Allocates, traverses, clears and frees outputs.
#pragma once

#include "output.hpp"

namespace fastoutputs {

// Dead objects, untracked, kept for reuse: an output, a view or an iterator mostly dies just before the next is made.
template <typename Object, int most = 8>
class FreeList {
public:
    Object *take() {
        if (!uses_free_lists || count_ == 0) {
            return nullptr;
        }
        Object *object = kept_[--count_];
        revive(as_object(object));
        return object;
    }
    bool has_room() const { return uses_free_lists && count_ < most; }
    void keep(Object *dead) { kept_[count_++] = dead; }  // if there is room

private:
    Object *kept_[most];
    int count_;
};

struct FreeOutputs : FreeList<OutputObject> {};

// For the class layout.
Py_ssize_t count_field_slots(const ClassLayout *layout, PyTypeObject *type);
FreeOutputs *free_list_for(const ClassLayout *layout);  // the one for outputs of this size; NULL if there is none

// Slots of tp_basicsize, tp_alloc and the collector, for every output class.
PyObject *output_alloc(PyTypeObject *type, Py_ssize_t items);
void output_dealloc(PyObject *op);
int output_traverse(PyObject *op, visitproc visit, void *arg);
int output_clear(PyObject *op);

// A new, empty output. Its slots hold None without owning it: the caller fills some, then calls add_none_references
// for the others, and runs no other code in between.
OutputObject *new_bare_output(PyTypeObject *type, const ClassLayout *layout);

// From 3.15 on, slots of an output that dict.__new__ made are NULL until something is set.
void fill_null_slots(OutputObject *self);

}  // namespace fastoutputs
