// Which of a class's slots are compiled: those of methods that it, and its bases, left as ModelOutput has them.
#include "sealing.hpp"

#include "access.hpp"
#include "compare_repr.hpp"
#include "create.hpp"
#include "memory.hpp"

#include <algorithm>
#include <map>

namespace fastoutputs {

PyObject *lookup(PyTypeObject *type, const char *name) {
    return lookup(type, owned(PyUnicode_InternFromString(name)).ptr());
}

// What ModelOutput had when it was made: a patch of ModelOutput itself is an override, too.
static std::map<std::string, PyObject *> made_with;

static void note_own_method(const char *name) { made_with[name] = Py_XNewRef(lookup(model_output, name)); }

bool is_inherited_from_base(PyTypeObject *type, const char *name) { return lookup(type, name) == made_with.at(name); }

void note_own_methods() {
    for (const char *name : {"__post_init__", "__setattr__",   "__delattr__", "__init__",     "__iter__",    "__len__",
                             "__getitem__",   "__setitem__",   "__delitem__", "__contains__", "to_tuple",    "keys",
                             "__eq__",        "__ne__",        "__lt__",      "__le__",       "__gt__",      "__ge__",
                             "__ior__",       "__reduce_ex__", "__reduce__",  "__getstate__", "__setstate__"}) {
        note_own_method(name);
    }
}

// Tracers look into methods that are Python functions, and into no others. So some attributes of
// ModelOutput are functions that hand over to the compiled ones (see twins.py). CPython fills the slots
// of ModelOutput and of each new class with calls of those, and here they get the compiled ones back.
struct CompiledSlots {
    initproc init;
    getiterfunc iter;
    richcmpfunc compare;
    PyMappingMethods mapping;
    PySequenceMethods sequence;
    binaryfunc inplace_or;
};

static const CompiledSlots &compiled_slots() {
    PyTypeObject *base = model_output;
    static const CompiledSlots slots = {base->tp_init,        base->tp_iter,         base->tp_richcompare,
                                        *base->tp_as_mapping, *base->tp_as_sequence, base->tp_as_number->nb_inplace_or};
    return slots;
}

bool are_inherited_from_base(PyTypeObject *type, std::initializer_list<const char *> names) {
    return std::all_of(names.begin(), names.end(), [&](auto name) { return is_inherited_from_base(type, name); });
}

// Written only where it changes, as another thread may be calling it.
template <typename Slot>
static void put(Slot &slot, Slot value) {
    if (slot != value) {
        slot = value;
    }
}

void take_compiled_slots(PyTypeObject *type) {
    const CompiledSlots &slots = compiled_slots();
    PyMappingMethods *mapping = type->tp_as_mapping;
    PySequenceMethods *sequence = type->tp_as_sequence;
    if (are_inherited_from_base(type, {"__init__"})) {
        put(type->tp_init, slots.init);
    }
    if (are_inherited_from_base(type, {"__iter__"})) {
        put(type->tp_iter, slots.iter);
    }
    if (are_inherited_from_base(type, {"__len__"})) {
        put(mapping->mp_length, slots.mapping.mp_length);
        put(sequence->sq_length, slots.sequence.sq_length);
    }
    if (are_inherited_from_base(type, {"__getitem__"})) {
        put(mapping->mp_subscript, slots.mapping.mp_subscript);
        put(sequence->sq_item, slots.sequence.sq_item);
    }
    if (are_inherited_from_base(type, {"__setitem__", "__delitem__"})) {
        put(mapping->mp_ass_subscript, slots.mapping.mp_ass_subscript);
        put(sequence->sq_ass_item, slots.sequence.sq_ass_item);
    }
    if (are_inherited_from_base(type, {"__contains__"})) {
        put(sequence->sq_contains, slots.sequence.sq_contains);
    }
    if (are_inherited_from_base(type, {"__ior__"})) {
        put(type->tp_as_number->nb_inplace_or, slots.inplace_or);
    }
    if (are_inherited_from_base(type, {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})) {
        put(type->tp_richcompare, slots.compare);
    }
}

void set_twin(const char *name, PyObject *function) {
    const ClassesLocked locked;
    compiled_slots();  // as they are before the first
    py::setattr(as_object(model_output), name, py::handle(function));
    note_own_method(name);
    take_compiled_slots(model_output);
}

// tp_free of a class that was used, and of one that was not. CPython compares this function before it lets __class__
// change. So no object becomes an instance of a class whose fields are not known yet; and none of a class that
// __init_subclass__ has not seen, which frees by PyObject_GC_Del and has NULL in its slots, becomes one of another.
static void free_of_used(void *op) { PyObject_GC_Del(op); }
static void free_of_unused(void *op) {
    static volatile unsigned int calls;
    calls = calls + 1;  // or a linker might fold the two into one
    PyObject_GC_Del(op);
}

void install_slots_of_unused(PyTypeObject *type) {
    if (type->tp_alloc == output_alloc) {
        return;  // __init_subclass__ was called by hand
    }
    put(type->tp_alloc, output_alloc);
    put(type->tp_vectorcall, output_vectorcall);
    put(type->tp_free, static_cast<freefunc>(free_of_unused));
    put(type->tp_dealloc, output_dealloc);
    put(type->tp_traverse, output_traverse);
    put(type->tp_clear, output_clear);
    take_compiled_slots(type);
}

// Slots that CPython fills with calls back into Python, or with the general form, where the compiled one does the same.
// A later patch of the class makes CPython put its own back.
void install_slots(PyTypeObject *type, const ClassLayout *layout, bool stores_plainly) {
    put(type->tp_free, static_cast<freefunc>(free_of_used));
    put(type->tp_vectorcall, output_vectorcall);
    if (stores_plainly) {
        put(type->tp_setattro, output_setattro);
    }
    take_compiled_slots(type);
    if (is_generated_over_fields(type, layout, "__eq__", "compare") &&
        are_inherited_from_base(type, {"__ne__", "__lt__", "__le__", "__gt__", "__ge__"})) {
        put(type->tp_richcompare, dataclass_richcompare);
    }
    if (is_generated_over_fields(type, layout, "__repr__", "repr")) {
        put(type->tp_repr, dataclass_repr);
    }
}

}  // namespace fastoutputs
