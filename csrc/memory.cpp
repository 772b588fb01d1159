#include "memory.hpp"

namespace fastoutputs {

constexpr Py_ssize_t slot_size = sizeof(PyObject *);
constexpr Py_ssize_t first_slot = (sizeof(OutputObject) + slot_size - 1) / slot_size * slot_size;
static_assert(first_slot == sizeof(OutputObject), "the slots follow OutputObject");

// All slots of an instance, fields and others.
struct Slots {
    PyObject **first, **last;
    PyObject **begin() const { return first; }
    PyObject **end() const { return last; }
};

// What the size of the class says. Only while the instance is new: see slots_of.
static std::uint32_t count_slots(PyTypeObject *type) {
    return static_cast<std::uint32_t>((type->tp_basicsize - first_slot) / slot_size);
}

// An instance that CPython has allocated does not know how many: those of the nearest class with a layout. Behind them
// a class that __init_subclass__ has not seen may have slots of its own, which CPython handles.
static Slots slots_of(const OutputObject *self) {
    std::uint32_t count = self->slot_count;
    if (count == 0) {
        PyTypeObject *type = Py_TYPE(reinterpret_cast<const PyObject *>(self));
        while (!own_layout(type)) {
            type = type->tp_base;
        }
        count = count_slots(type);
    }
    PyObject **first = slot_at(self, first_slot);
    return {first, first + count};
}

static void fill_with_none(OutputObject *self, const ClassLayout *layout, PyTypeObject *type) {
    self->slot_count = count_slots(type);
    for (PyObject *&slot : slots_of(self)) {
        slot = Py_None;
    }
    for (Py_ssize_t offset : layout->holes) {
        *slot_at(self, offset) = nullptr;
    }
}

Py_ssize_t count_field_slots(const ClassLayout *layout, PyTypeObject *type) {
    return static_cast<Py_ssize_t>(count_slots(type)) - static_cast<Py_ssize_t>(layout->holes.size());
}

// --- allocate -------------------------------------------------------------------------------------

// Up to Python 3.14 dict.__new__ calls this, and then makes the inner dict an empty one.
PyObject *output_alloc(PyTypeObject *type, Py_ssize_t) {
    const ClassesLocked locked;
    const ClassLayout *layout = layout_of_class(type);  // its first instance: from now on the size is fixed
    auto *self = layout ? PyObject_GC_New(OutputObject, type) : nullptr;
    if (!self) {
        return nullptr;
    }
    self->inner.ma_used = 0;
    self->weakrefs = nullptr;
    attributes_of(self) = nullptr;
    self->inner_dict = InnerDict::undecided;
    fill_with_none(self, layout, type);
    add_none_references(layout->field_slots);
    if (alloc_must_track) {
        PyObject_GC_Track(self);
    }
    return as_object(self);
}

constexpr Py_ssize_t most_listed_slots = 16;

FreeOutputs *free_list_for(const ClassLayout *layout) {
    static FreeOutputs by_slots[most_listed_slots + 1];
    const Py_ssize_t slots = layout->field_slots;
    return uses_free_lists && layout->holes.empty() && slots <= most_listed_slots ? &by_slots[slots] : nullptr;
}

OutputObject *new_bare_output(PyTypeObject *type, const ClassLayout *layout) {
    OutputObject *self = layout->free_list ? layout->free_list->take() : nullptr;
    if (self) {
        Py_INCREF(type);
        Py_SET_TYPE(as_object(self), type);
        PyObject_GC_Track(as_object(self));
        return self;
    }
    static PyObject *no_arguments = PyTuple_New(0);
    self = no_arguments ? as_output(PyDict_Type.tp_new(type, no_arguments, nullptr)) : nullptr;
    if (self && slots_may_be_null) {
        fill_with_none(self, layout, type);
    } else if (self) {
        add_none_references(-layout->field_slots);
    }
    return self;
}

void fill_null_slots(OutputObject *self) {
    const ClassLayout *layout = layout_of(self);
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        PyObject **slot = slot_at(self, layout->place[i].offset);
        if (!*slot) {
            *slot = Py_NewRef(Py_None);
        }
    }
}

// --- deallocate -----------------------------------------------------------------------------------

static void free_output(PyObject *op) {
    OutputObject *self = as_output(op);
    PyTypeObject *type = Py_TYPE(op);
    // All that is read off the class is read first: releasing contents may run any code.
    FreeOutputs *free_list = layout_of(self)->free_list;
    const Slots slots = slots_of(self);
    // An object whose __del__ was called is marked as finalized for good.
    if (free_list && (type->tp_finalize || PyObject_GC_IsFinalized(op))) {
        free_list = nullptr;
    }
    if (self->weakrefs) {
        PyObject_ClearWeakRefs(op);
    }
    Py_CLEAR(attributes_of(self));
    Py_ssize_t absent = 0;
    for (PyObject *&slot : slots) {
        if (slot == Py_None) {
            absent++;
        } else {
            Py_XDECREF(std::exchange(slot, Py_None));
        }
    }
    add_none_references(-absent);
    if (free_list && free_list->has_room() && !is_untouched_dict(&self->inner)) {
        PyDict_Clear(op);
    }
    if (free_list && free_list->has_room()) {  // asked again: clearing may have run any code
        free_list->keep(self);
    } else {
        PyDict_Type.tp_dealloc(op);  // releases the inner dict and frees the memory
    }
    Py_DECREF(type);
}

void output_dealloc(PyObject *op) {
    if (Py_TYPE(op)->tp_finalize && !PyObject_GC_IsFinalized(op) && PyObject_CallFinalizerFromDealloc(op) < 0) {
        return;  // __del__ brought it back
    }
    PyObject_GC_UnTrack(op);
    // Outputs nest: a long chain of them must not recurse once per link. CPython's trashcan sees to that, but it costs
    // more than all the rest here, so we use it only once there is a nest.
    static FASTOUTPUTS_PER_THREAD int depth = 0;
    if (depth < 16) {
        depth++;
        free_output(op);
        depth--;
        return;
    }
    Py_TRASHCAN_BEGIN(op, output_dealloc);
    free_output(op);
    Py_TRASHCAN_END;
}

// --- collect --------------------------------------------------------------------------------------

int output_traverse(PyObject *op, visitproc visit, void *arg) {
    OutputObject *self = as_output(op);
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(attributes_of(self));
    for (PyObject *slot : slots_of(self)) {
        Py_VISIT(slot);
    }
    return PyDict_Type.tp_traverse(op, visit, arg);
}

int output_clear(PyObject *op) {
    OutputObject *self = as_output(op);
    PyDict_Type.tp_clear(op);
    Py_CLEAR(attributes_of(self));
    for (PyObject *&slot : slots_of(self)) {
        Py_XDECREF(exchange_slot(&slot, Py_NewRef(Py_None)));
    }
    return 0;
}

}  // namespace fastoutputs
