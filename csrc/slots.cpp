// Which of a class's slots are compiled: those of methods that it, and its bases, left as ModelOutput has them.
#include "slots.hpp"

#include "access.hpp"
#include "compare_repr.hpp"
#include "create.hpp"
#include "generated.hpp"
#include "memory.hpp"

#include <algorithm>
#include <map>

namespace fastoutputs {

// What ModelOutput had when it was made: a patch of ModelOutput itself is an override, too.
static std::map<std::string, PyObject *> made_with;

static void note_own_method(const char *name) { made_with[name] = Py_XNewRef(lookup(model_output, name)); }

bool is_inherited_from_base(PyTypeObject *type, const char *name) { return lookup(type, name) == made_with.at(name); }

PyObject *lookup_behind(PyTypeObject *type, const char *name) {
    const auto mro = py::reinterpret_borrow<py::tuple>(type->tp_mro);
    const py::object key = owned(PyUnicode_InternFromString(name));
    bool is_behind = false;
    for (py::handle base : mro) {
        PyObject *found = is_behind ? own_attribute(reinterpret_cast<PyTypeObject *>(base.ptr()), key.ptr()) : nullptr;
        if (found) {
            return found;
        }
        is_behind |= base.ptr() == as_object(model_output);
    }
    return nullptr;
}

bool has_methods_behind(PyTypeObject *type) {
    const auto names = {"__setattr__", "__delattr__", "__copy__", "__deepcopy__", "__setstate__"};
    return std::any_of(names.begin(), names.end(), [=](auto name) { return lookup_behind(type, name); });
}

PyObject *call_behind(PyObject *op, const char *name, PyObject *args) {
    const ClassLayout *layout = current_layout(as_output(op));
    if (!layout || !layout->has_methods_behind) {
        return nullptr;
    }
    return guarded(static_cast<PyObject *>(nullptr), [&]() -> PyObject * {
        PyTypeObject *type = Py_TYPE(op);
        PyObject *found = lookup_behind(type, name);
        if (!found) {
            return nullptr;
        }
        Ref method = Ref::borrow(found);
        const descrgetfunc bind = Py_TYPE(found)->tp_descr_get;
        Ref bound = bind ? Ref(bind(found, op, as_object(type))) : std::move(method);
        return bound ? PyObject_Call(bound.get(), args, nullptr) : nullptr;
    });
}

// Tracers look into methods that are Python functions, and into no others. So some attributes of
// ModelOutput are functions that hand over to the compiled ones (see twins.py). CPython fills the slots
// of ModelOutput and of each new class with calls of those, and here they get the compiled ones back.
struct CompiledSlot {
    std::size_t offset;  // in a class
    std::initializer_list<const char *> methods;
    std::uintptr_t function = 0;  // of ModelOutput, as it was made
    std::uintptr_t general = 0;   // CPython's own, which calls the method
};

static CompiledSlot compiled_slots[] = {
    {offsetof(PyHeapTypeObject, ht_type.tp_init), {"__init__"}},
    {offsetof(PyHeapTypeObject, ht_type.tp_iter), {"__iter__"}},
    {offsetof(PyHeapTypeObject, ht_type.tp_richcompare), {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}},
    {offsetof(PyHeapTypeObject, as_mapping.mp_length), {"__len__"}},
    {offsetof(PyHeapTypeObject, as_sequence.sq_length), {"__len__"}},
    {offsetof(PyHeapTypeObject, as_mapping.mp_subscript), {"__getitem__", "items"}},
    {offsetof(PyHeapTypeObject, as_sequence.sq_item), {"__getitem__", "items"}},
    {offsetof(PyHeapTypeObject, as_mapping.mp_ass_subscript), {"__setitem__", "__delitem__"}},
    {offsetof(PyHeapTypeObject, as_sequence.sq_ass_item), {"__setitem__", "__delitem__"}},
    {offsetof(PyHeapTypeObject, as_sequence.sq_contains), {"__contains__"}},
    {offsetof(PyHeapTypeObject, as_number.nb_inplace_or), {"__ior__"}},
};

static void *slot_at(PyTypeObject *type, std::size_t offset) { return reinterpret_cast<char *>(type) + offset; }

bool are_inherited_from_base(PyTypeObject *type, std::initializer_list<const char *> names) {
    return std::all_of(names.begin(), names.end(), [&](auto name) { return is_inherited_from_base(type, name); });
}

// A slot is written only where it changes, as another thread may be calling it; so it is in put(), below.
void take_compiled_slots(PyTypeObject *type) {
    for (const CompiledSlot &slot : compiled_slots) {
        void *own = slot_at(type, slot.offset);
        const bool is_compiled = std::memcmp(own, &slot.function, sizeof slot.function) == 0;
        const bool is_inherited = are_inherited_from_base(type, slot.methods);
        if (is_inherited != is_compiled && (is_inherited || slot.general)) {
            std::memcpy(own, is_inherited ? &slot.function : &slot.general, sizeof slot.function);
        }
    }
}

void note_compiled_slots() {
    for (CompiledSlot &slot : compiled_slots) {
        std::memcpy(&slot.function, slot_at(model_output, slot.offset), sizeof slot.function);
    }
}

void note_own_methods() {
    for (const char *name :
         {"__post_init__", "__setattr__",   "__delattr__",  "__getattribute__", "__init__", "__iter__", "__len__",
          "__getitem__",   "__setitem__",   "__delitem__",  "__contains__",     "to_tuple", "keys",     "items",
          "__eq__",        "__ne__",        "__lt__",       "__le__",           "__gt__",   "__ge__",   "__ior__",
          "__reduce__",    "__reduce_ex__", "__getstate__", "__setstate__"}) {
        note_own_method(name);
    }
    take_compiled_slots(model_output);
}

void set_twin(const char *name, PyObject *function) {
    const ClassesLocked locked;
    py::setattr(as_object(model_output), name, py::handle(function));
    for (CompiledSlot &slot : compiled_slots) {
        if (std::strcmp(name, *slot.methods.begin()) == 0) {
            std::memcpy(&slot.general, slot_at(model_output, slot.offset), sizeof slot.general);
        }
    }
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

template <typename Slot>
static void put(Slot &slot, Slot value) {
    if (slot != value) {
        slot = value;
    }
}

void block_instances(PyTypeObject *type) {
    put(type->tp_alloc, output_alloc);
    put(type->tp_vectorcall, output_vectorcall);
    take_compiled_slots(type);
}

void take_over_memory(PyTypeObject *type) {
    put(type->tp_free, static_cast<freefunc>(free_of_unused));
    put(type->tp_dealloc, output_dealloc);
    put(type->tp_traverse, output_traverse);
    put(type->tp_clear, output_clear);
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
