// Allocate, traverse, clear, deallocate.
//
// CPython knows nothing of the row (tp_basicsize is the same, whatever the fields), so that the base
// layout of all output classes is one and the same: classes with two output bases work, whatever was
// used first. The price is that __class__ assignment must be guarded (attributes.cpp), and so must a
// change of bases (bases.cpp).
#include "layout.hpp"
#include "ref.hpp"

#include <algorithm>
#include <utility>

namespace fastoutputs {

// Never seen by Python: it only tells the allocator "this base size plus n pointers". The public
// PyObject_GC_NewVar is the one call that takes a size per instance on every version.
static PyTypeObject room_for_row;

// What all dicts share that hold nothing, and never did.
static PyDictKeysObject *keys_of_empty;

int prepare_collector() {
    Ref empty(PyDict_New());
    if (!empty) {
        return -1;
    }
    keys_of_empty = reinterpret_cast<PyDictObject *>(empty.get())->ma_keys;
    static const PyVarObject never_freed[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
    room_for_row.ob_base = never_freed[0];
    Py_SET_TYPE(&room_for_row, &PyType_Type);
    room_for_row.tp_name = "fastoutputs._core.room_for_row";
    room_for_row.tp_basicsize = sizeof(OutputObject);
    room_for_row.tp_itemsize = sizeof(PyObject *);
    room_for_row.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC;
#if FASTOUTPUTS_MANAGED_DICT
    room_for_row.tp_flags |= Py_TPFLAGS_MANAGED_DICT;
#endif
    return 0;
}

// Set while new_bare_output calls dict.__new__, which calls output_alloc.
static FASTOUTPUTS_PER_THREAD Schema *schema_at_hand;

// tp_alloc of every output class; dict.__new__ calls it, and then makes the raw dict an empty one.
PyObject *output_alloc(PyTypeObject *type, Py_ssize_t) {
    const ClassesLocked locked;
    Schema *schema = schema_at_hand;
    const bool owns_none = !schema;
    schema_at_hand = nullptr;
    if (!schema && !(schema = schema_of_class(type))) {
        return nullptr;
    }
    constexpr Py_ssize_t slot = sizeof(PyObject *), base = sizeof(OutputObject);
    auto *self = PyObject_GC_NewVar(OutputObject, &room_for_row, (schema->row_offset - base) / slot + schema->count);
    if (!self) {
        return nullptr;
    }
    Py_INCREF(type);
    Py_SET_TYPE(as_object(self), type);
    self->raw.ma_used = 0;
    self->schema = reinterpret_cast<Schema *>(Py_NewRef(as_object(schema)));
    attributes_of(self) = nullptr;
    self->weakrefs = nullptr;
    if (schema->row_offset != base) {  // __slots__ of a subclass
        std::memset(self + 1, 0, static_cast<std::size_t>(schema->row_offset - base));
    }
    PyObject **row = row_of(self, schema);
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        row[i] = Py_None;
    }
    if (owns_none) {
        add_none_references(schema->count);
    }
#if PY_VERSION_HEX < 0x030b0000
    PyObject_GC_Track(self);  // later versions of dict.__new__ do it
#endif
    return as_object(self);
}

// A few dead instances of each size are kept for the next ones, untracked, with their raw dict empty and
// None, not counted, in every slot: an output mostly dies just before the next is made. Bounded, only
// touched while holding the GIL, and left out where a sanitizer should see every use after free.
#if defined(FASTOUTPUTS_SANITIZE) || defined(Py_REF_DEBUG) || defined(Py_GIL_DISABLED)
constexpr bool keeps_spares = false;
#else
constexpr bool keeps_spares = true;
#endif
constexpr Py_ssize_t most_spare_slots = 16;

struct SpareOutputs {
    static constexpr int most = 8;
    PyObject *kept[most];
    int count;
};
static SpareOutputs spare_by_count[most_spare_slots + 1];

SpareOutputs *spare_for(const Schema *schema) {
    const bool plain = schema->row_offset == sizeof(OutputObject) && schema->count <= most_spare_slots;
    return keeps_spares && plain ? &spare_by_count[schema->count] : nullptr;
}

PyObject *new_bare_output(PyTypeObject *type, Schema *schema) {
    SpareOutputs *spare = schema->spare;
    if (!spare || spare->count == 0 || type->tp_alloc != output_alloc) {
        schema_at_hand = schema;
        return PyDict_Type.tp_new(type, runtime.no_args, nullptr);
    }
    PyObject *op = spare->kept[--spare->count];
    OutputObject *self = as_output(op);
    Py_SET_REFCNT(op, 1);
    Py_INCREF(type);
    Py_SET_TYPE(op, type);
    self->schema = reinterpret_cast<Schema *>(Py_NewRef(as_object(schema)));
    PyObject_GC_Track(op);
    return op;
}

// What CPython compares before it lets __class__ change, or __bases__ in part, is tp_basicsize, which
// knows no row, and tp_free. So each length of a row has a tp_free of its own, and a class whose descriptors
// reach further than an instance is refused, however the change is asked for.
constexpr std::size_t rows_told_apart = 256;
static FASTOUTPUTS_PER_THREAD volatile std::size_t
    last_freed;  // written so that no linker folds the functions into one

template <std::size_t slots>
static void free_row(void *memory) {
    last_freed = slots;
    PyObject_GC_Del(memory);
}

template <std::size_t... slots>
static freefunc free_row_of(std::size_t count, std::index_sequence<slots...>) {
    static const freefunc by_count[] = {free_row<slots>...};
    return by_count[std::min(count, sizeof...(slots) - 1)];
}

void free_of_unused(void *memory) { free_row<rows_told_apart>(memory); }

freefunc free_for(const Schema *schema) {
    const auto end =
        static_cast<std::size_t>(schema->row_offset) + static_cast<std::size_t>(schema->count) * sizeof(PyObject *);
    return free_row_of((end - sizeof(OutputObject)) / sizeof(PyObject *), std::make_index_sequence<rows_told_apart>());
}

static void drop_contents(OutputObject *self) {
    if (self->weakrefs) {
        PyObject_ClearWeakRefs(as_object(self));
    }
    Py_CLEAR(attributes_of(self));
    if (const Schema *schema = self->schema) {
        PyObject **row = row_of(self, schema);
        Py_ssize_t absent = 0;
        for (Py_ssize_t i = 0; i < schema->count; i++) {
            if (row[i] == Py_None) {
                absent++;
            } else {
                Py_XDECREF(std::exchange(row[i], Py_None));
            }
        }
        add_none_references(-absent);
    }
}

static void free_output(PyObject *op) {
    OutputObject *self = as_output(op);
    PyTypeObject *type = Py_TYPE(op);
    drop_contents(self);
    Schema *schema = self->schema;
    // One whose __del__ was called is marked as finalized for good.
    const bool has_finalizer = type->tp_finalize || PyObject_GC_IsFinalized(op);
    SpareOutputs *spare = schema && !has_finalizer ? schema->spare : nullptr;
    if (spare && spare->count < SpareOutputs::most && self->raw.ma_keys != keys_of_empty) {
        PyDict_Clear(op);
    }
    if (spare && spare->count < SpareOutputs::most) {  // looked at again: clearing may have run any code
        self->weakrefs = nullptr;
        spare->kept[spare->count++] = op;
    } else {
        PyDict_Type.tp_dealloc(op);  // drops the raw dict and frees the memory
    }
    Py_XDECREF(schema);
    Py_DECREF(type);
}

void output_dealloc(PyObject *op) {
    if (Py_TYPE(op)->tp_finalize && !PyObject_GC_IsFinalized(op) && PyObject_CallFinalizerFromDealloc(op) < 0) {
        return;  // __del__ brought it back
    }
    PyObject_GC_UnTrack(op);
    // Outputs nest: a long chain of them must not recurse once per link. CPython's trashcan sees to
    // that, but costs more than all the rest here, so it is asked only where there is a nest at all.
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

int output_traverse(PyObject *op, visitproc visit, void *arg) {
    OutputObject *self = as_output(op);
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->schema);
    Py_VISIT(attributes_of(self));
    if (self->schema) {
        PyObject **row = row_of(self, self->schema);
        for (Py_ssize_t i = 0; i < self->schema->count; i++) {
            Py_VISIT(row[i]);
        }
    }
    return PyDict_Type.tp_traverse(op, visit, arg);
}

int output_clear(PyObject *op) {
    OutputObject *self = as_output(op);
    PyDict_Type.tp_clear(op);
    Py_CLEAR(attributes_of(self));
    const Schema *schema = schema_of(self);
    PyObject **row = row_of(self, schema);
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        Py_DECREF(exchange_slot(&row[i], Py_NewRef(Py_None)));
    }
    return 0;
}

}  // namespace fastoutputs
