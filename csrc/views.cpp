// keys(), values() and items(): live views over the row, and the iterator that they share.
//
// The iterator walks slots by index, so a field that is set, or set to None, while an output is being
// walked never ends the walk. Only a new extra key does, as a new key does with a dict.
#include "views.hpp"

#include "access.hpp"
#include "memory.hpp"

#include <algorithm>

namespace fastoutputs {

enum class Part : std::uint8_t { key, value, item };

struct ViewObject {
    PyObject_HEAD
    OutputObject *output;
    Part part;
};

struct IteratorObject {
    PyObject_HEAD
    OutputObject *output;  // NULL once exhausted
    bool is_exhausted;  // without the GIL, instead: another thread may be about to lock the output
    Py_ssize_t index;
    Py_ssize_t extras;  // how many there were when the walk came to them
    ExtraCursor cursor;
    Part part;
};

static ViewObject *as_view(PyObject *op) { return reinterpret_cast<ViewObject *>(op); }

static PyTypeObject *keys_view, *values_view, *items_view, *iterator_type;

static FreeList<ViewObject> free_views[3];  // by Part: each keeps its type
static FreeList<IteratorObject> free_iterators;

template <typename Holder>
static Holder *new_holder(FreeList<Holder> &free_list, PyTypeObject *type) {
    Holder *self = free_list.take();
    return self ? self : PyObject_GC_New(Holder, type);
}

template <typename Holder>
static void free_holder(FreeList<Holder> &free_list, PyObject *op) {
    auto *self = reinterpret_cast<Holder *>(op);
    PyObject_GC_UnTrack(op);
    Py_XDECREF(self->output);
    if (free_list.has_room()) {
        free_list.keep(self);
        return;
    }
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

static FreeList<ViewObject> &free_list_of(Part part) { return free_views[static_cast<int>(part)]; }
static void view_dealloc(PyObject *op) { free_holder(free_list_of(as_view(op)->part), op); }
static void iterator_dealloc(PyObject *op) { free_holder(free_iterators, op); }

static PyObject *owner_of(PyObject *op) { return as_object(as_view(op)->output); }

// --- iterator ------------------------------------------------------------------------------------

static PyObject *new_iterator(OutputObject *output, Part part) {
    IteratorObject *self = new_holder(free_iterators, iterator_type);
    if (!self) {
        return nullptr;
    }
    Py_INCREF(output);
    self->output = output;
    self->is_exhausted = false;
    self->index = 0;
    self->cursor = ExtraCursor();
    self->part = part;
    PyObject_GC_Track(self);
    return as_object(self);
}

FASTOUTPUTS_OUT_OF_LINE static PyObject *new_pair(PyObject *key, PyObject *value) {
    Ref first = Ref::borrow(key), second = Ref::borrow(value);  // making the pair may run the collector
    PyObject *pair = PyTuple_New(2);
    if (pair) {
        PyTuple_SET_ITEM(pair, 0, first.release());
        PyTuple_SET_ITEM(pair, 1, second.release());
    }
    return pair;
}

static PyObject *pick(Part part, PyObject *key, PyObject *value) {
    return part == Part::item ? new_pair(key, value) : Py_NewRef(part == Part::key ? key : value);
}

// After the fields.
FASTOUTPUTS_OUT_OF_LINE static PyObject *next_extra_or_end(IteratorObject *self, OutputObject *output,
                                                           const ClassLayout *layout) {
    if (inner_size(output)) {
        const Py_ssize_t extras = inner_size(output) - count_present(output, layout);
        if (self->index <= layout->count) {
            self->index = layout->count + 1;
            self->extras = extras;
        }
        if (extras != self->extras) {
            PyErr_Format(PyExc_RuntimeError, "%s got a new key during iteration", Py_TYPE(output)->tp_name);
            return nullptr;
        }
        PyObject *key, *value;
        if (self->cursor.passed < extras && next_extra(output, layout, &self->cursor, &key, &value)) {
            return pick(self->part, key, value);
        }
    }
    if (has_gil) {
        self->output = nullptr;
        Py_DECREF(output);
    } else {
        self->is_exhausted = true;
    }
    return nullptr;
}

static PyObject *iterator_next(PyObject *op) {
    auto *self = reinterpret_cast<IteratorObject *>(op);
    OutputObject *output = self->output;
    if (!output) {
        return nullptr;
    }
    const Locked locked(output);
    if (!has_gil && self->is_exhausted) {
        return nullptr;
    }
    const ClassLayout *layout = layout_of(output);
    for (Py_ssize_t i = self->index; i < layout->count; i++) {
        PyObject *value = value_at(output, layout->place[i].offset);
        if (value != Py_None) {
            self->index = i + 1;
            return pick(self->part, layout->place[i].name, value);
        }
    }
    return next_extra_or_end(self, output, layout);
}

// Views and iterators own one output each, at the same place.
static int holder_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(as_view(op)->output);
    return 0;
}

PyObject *output_iter(PyObject *op) { return new_iterator(as_output(op), Part::key); }

// --- views ---------------------------------------------------------------------------------------

static PyObject *new_view(PyTypeObject *type, PyObject *op, Part part) {
    ViewObject *self = new_holder(free_list_of(part), type);
    if (!self) {
        return nullptr;
    }
    self->output = as_output(Py_NewRef(op));
    self->part = part;
    PyObject_GC_Track(self);
    return as_object(self);
}

static PyObject *output_keys(PyObject *op, PyObject *) { return new_view(keys_view, op, Part::key); }
static PyObject *output_values(PyObject *op, PyObject *) { return new_view(values_view, op, Part::value); }
static PyObject *output_items(PyObject *op, PyObject *) { return new_view(items_view, op, Part::item); }

static PyObject *view_iter(PyObject *op) { return new_iterator(as_view(op)->output, as_view(op)->part); }
static Py_ssize_t view_length(PyObject *op) { return output_length(owner_of(op)); }

static PyObject *reversed_iter(PyObject *iterable) {
    Ref list(PySequence_List(iterable));
    if (!list || PyList_Reverse(list.get()) < 0) {
        return nullptr;
    }
    return PyObject_GetIter(list.get());
}
static PyObject *reversed_method(PyObject *op, PyObject *) { return reversed_iter(op); }

// As OrderedDict's: an __iter__ of the class's own has no say.
static PyObject *output_reversed(PyObject *op, PyObject *) {
    Ref keys(output_iter(op));
    return keys ? reversed_iter(keys.get()) : nullptr;
}

static PyObject *view_repr(PyObject *op) {
    int seen = Py_ReprEnter(op);
    if (seen != 0) {
        return seen > 0 ? PyUnicode_FromString("...") : nullptr;
    }
    Ref list(PySequence_List(op));
    const char *dot = std::strrchr(Py_TYPE(op)->tp_name, '.');
    PyObject *text = list ? PyUnicode_FromFormat("%s(%R)", dot ? dot + 1 : Py_TYPE(op)->tp_name, list.get()) : nullptr;
    Py_ReprLeave(op);
    return text;
}

static PyObject *view_mapping(PyObject *op, void *) { return PyDictProxy_New(owner_of(op)); }

static int keys_contain(PyObject *op, PyObject *key) {
    Ref value(output_get_item(as_view(op)->output, key));
    return value ? 1 : PyErr_Occurred() ? -1 : 0;
}

static int items_contain(PyObject *op, PyObject *item) {
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) {
        return 0;
    }
    Ref value(output_get_item(as_view(op)->output, PyTuple_GET_ITEM(item, 0)));
    if (!value) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return PyObject_RichCompareBool(value.get(), PyTuple_GET_ITEM(item, 1), Py_EQ);
}

// Whether container has every element (wanted = 1), or none of them (0).
static int has_all(PyObject *container, PyObject *elements, int wanted) {
    Ref iterator(PyObject_GetIter(elements));
    if (!iterator) {
        return -1;
    }
    while (PyObject *element = PyIter_Next(iterator.get())) {
        Ref held(element);
        const int found = PySequence_Contains(container, element);
        if (found != wanted) {
            return found < 0 ? -1 : 0;
        }
    }
    return PyErr_Occurred() ? -1 : 1;
}

static bool is_set_like(PyObject *op) {
    return PyAnySet_Check(op) || PyDictKeys_Check(op) || PyDictItems_Check(op) || Py_IS_TYPE(op, keys_view) ||
           Py_IS_TYPE(op, items_view);
}

static PyObject *view_richcompare(PyObject *left, PyObject *right, int op) {
    if (!is_set_like(right)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    Py_ssize_t left_size = PyObject_Size(left), right_size = PyObject_Size(right);
    if (left_size < 0 || right_size < 0) {
        return nullptr;
    }
    int holds = 0;
    switch (op) {
    case Py_EQ:
    case Py_NE:
        holds = left_size == right_size ? has_all(right, left, 1) : 0;
        break;
    case Py_LT:
    case Py_LE:
        holds = left_size + (op == Py_LT) <= right_size ? has_all(right, left, 1) : 0;
        break;
    default:
        holds = left_size >= right_size + (op == Py_GT) ? has_all(left, right, 1) : 0;
    }
    return holds < 0 ? nullptr : PyBool_FromLong(op == Py_NE ? !holds : holds);
}

// Set operations give plain sets, as those of dict views do.
static PyObject *combine(PyObject *left, PyObject *right, const char *method) {
    Ref result(PySet_New(left));
    Ref done(result ? PyObject_CallMethod(result.get(), method, "O", right) : nullptr);
    return done ? result.release() : nullptr;
}
static PyObject *view_and(PyObject *left, PyObject *right) { return combine(left, right, "intersection_update"); }
static PyObject *view_or(PyObject *left, PyObject *right) { return combine(left, right, "update"); }
static PyObject *view_sub(PyObject *left, PyObject *right) { return combine(left, right, "difference_update"); }
static PyObject *view_xor(PyObject *left, PyObject *right) {
    return combine(left, right, "symmetric_difference_update");
}

static PyObject *view_isdisjoint(PyObject *op, PyObject *other) {
    const int holds = has_all(op, other, 0);
    return holds < 0 ? nullptr : PyBool_FromLong(holds);
}

// --- types ---------------------------------------------------------------------------------------

PyMethodDef view_methods[] = {
    {"keys", output_keys, METH_NOARGS, "keys($self, /)\n--\n\nA live view of the present keys, in declared order."},
    {"values", output_values, METH_NOARGS, "values($self, /)\n--\n\nA live view of the values that are not None."},
    {"items", output_items, METH_NOARGS, "items($self, /)\n--\n\nA live view of the present (key, value) pairs."},
    {"__reversed__", output_reversed, METH_NOARGS, "The present keys, last first."},
    {nullptr, nullptr, 0, nullptr},
};

static PyMethodDef set_like_methods[] = {
    {"__reversed__", reversed_method, METH_NOARGS, "The view's elements, last first."},
    {"isdisjoint", view_isdisjoint, METH_O, "Whether the view and an iterable have no element in common."},
    {nullptr, nullptr, 0, nullptr},
};
static PyMethodDef values_methods[] = {
    {"__reversed__", reversed_method, METH_NOARGS, "The values, last first."},
    {nullptr, nullptr, 0, nullptr},
};
static PyGetSetDef view_getset[] = {
    {"mapping", view_mapping, nullptr, "A read-only proxy of the output.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

template <typename Function>
static PyType_Slot slot(int id, Function *function) {
    return {id, reinterpret_cast<void *>(function)};
}

static PyTypeObject *set_like_view(const char *name, int (*contains)(PyObject *, PyObject *)) {
    PyType_Slot slots[] = {
        slot(Py_tp_dealloc, view_dealloc),
        slot(Py_tp_traverse, holder_traverse),
        slot(Py_tp_iter, view_iter),
        slot(Py_tp_repr, view_repr),
        slot(Py_tp_hash, PyObject_HashNotImplemented),
        slot(Py_tp_richcompare, view_richcompare),
        slot(Py_sq_length, view_length),
        slot(Py_sq_contains, contains),
        slot(Py_nb_and, view_and),
        slot(Py_nb_or, view_or),
        slot(Py_nb_subtract, view_sub),
        slot(Py_nb_xor, view_xor),
        {Py_tp_methods, set_like_methods},
        {Py_tp_getset, view_getset},
        {0, nullptr},
    };
    return internal_type(name, sizeof(ViewObject), slots);
}

// isinstance(out.keys(), collections.abc.KeysView), as for the views of a dict.
static int register_abc(const char *abc, PyTypeObject *view) {
    Ref module(PyImport_ImportModule("collections.abc"));
    Ref cls(module ? PyObject_GetAttrString(module.get(), abc) : nullptr);
    Ref done(cls ? PyObject_CallMethod(cls.get(), "register", "O", view) : nullptr);
    return done ? 0 : -1;
}

int prepare_views() {
    keys_view = set_like_view("fastoutputs._core.output_keys", keys_contain);
    items_view = set_like_view("fastoutputs._core.output_items", items_contain);

    PyType_Slot values_slots[] = {
        slot(Py_tp_dealloc, view_dealloc), slot(Py_tp_traverse, holder_traverse),
        slot(Py_tp_iter, view_iter),       slot(Py_tp_repr, view_repr),
        slot(Py_sq_length, view_length),   {Py_tp_methods, values_methods},
        {Py_tp_getset, view_getset},       {0, nullptr},
    };
    values_view = internal_type("fastoutputs._core.output_values", sizeof(ViewObject), values_slots);

    PyType_Slot iterator_slots[] = {
        slot(Py_tp_dealloc, iterator_dealloc),
        slot(Py_tp_traverse, holder_traverse),
        slot(Py_tp_iter, PyObject_SelfIter),
        slot(Py_tp_iternext, iterator_next),
        {0, nullptr},
    };
    iterator_type = internal_type("fastoutputs._core.output_iterator", sizeof(IteratorObject), iterator_slots);

    const bool is_ready = keys_view && values_view && items_view && iterator_type &&
                          register_abc("KeysView", keys_view) == 0 && register_abc("ValuesView", values_view) == 0 &&
                          register_abc("ItemsView", items_view) == 0;
    return is_ready ? 0 : -1;
}

}  // namespace fastoutputs
