// Get and set by attribute, key, index and slice, and the mutators that are refused.
#include "access.hpp"

#include "aliases.hpp"
#include "create.hpp"
#include "storage.hpp"

#include <algorithm>

namespace fastoutputs {

// --- reading -------------------------------------------------------------------------------------

Py_ssize_t output_length(PyObject *op) {
    const Locked locked(op);
    return output_len(as_output(op));
}

// New reference; NULL without an error if the key is absent. Any hashable key, as with a dict.
PyObject *output_get_item(OutputObject *self, PyObject *key) {
    const Locked locked(self);
    if (is_odd_name(key)) {
        Ref plain(PyUnicode_FromObject(key));
        return plain ? output_get_item(self, plain.get()) : nullptr;
    }
    const ClassLayout *layout = layout_of(self);
    if (PyUnicode_CheckExact(key)) {
        Py_ssize_t index = find_field(layout, key);
        if (index >= 0) {
            PyObject *value = value_at(self, layout->place[index].offset);
            return value == Py_None ? nullptr : Py_NewRef(value);
        }
        return inner_size(self) ? Py_XNewRef(PyDict_GetItemWithError(as_object(self), key)) : nullptr;
    }
    if (inner_size(self)) {
        return Py_XNewRef(PyDict_GetItemWithError(as_object(self), key));
    }
    Ref items(items_as_dict(self));  // a key that is no str, and may equal one all the same
    return items ? Py_XNewRef(PyDict_GetItemWithError(items.get(), key)) : nullptr;
}

// As output_get_item, and by an alias, too; *key is then the name of its field. The views do not know aliases.
static PyObject *get_by_any_name(OutputObject *self, Ref *key) {
    PyObject *value = output_get_item(self, key->get());
    if (value || PyErr_Occurred() || !PyUnicode_Check(key->get())) {
        return value;
    }
    Ref field;
    if (use_alias(self, key->get(), true, &field) != 1) {
        return nullptr;
    }
    *key = std::move(field);
    return output_get_item(self, key->get());
}

FASTOUTPUTS_OUT_OF_LINE static int contains_slowly(PyObject *op, PyObject *key) {
    Ref name = Ref::borrow(key), value(get_by_any_name(as_output(op), &name));
    if (value) {
        return 1;
    }
    return PyErr_Occurred() ? -1 : 0;
}

int output_contains(PyObject *op, PyObject *key) {
    const Locked locked(op);
    return PyUnicode_CheckExact(key) && quick_find(as_output(op), key) ? 1 : contains_slowly(op, key);
}

FASTOUTPUTS_OUT_OF_LINE static PyObject *get_slowly(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs < 1 || nargs > 2) {
        PyErr_Format(PyExc_TypeError, "get expected %s argument%s, got %zd", nargs < 1 ? "at least 1" : "at most 2",
                     nargs < 1 ? "" : "s", nargs);
        return nullptr;
    }
    Ref name = Ref::borrow(args[0]);
    PyObject *value = get_by_any_name(as_output(op), &name);
    if (value || PyErr_Occurred()) {
        return value;
    }
    return Py_NewRef(nargs == 2 ? args[1] : Py_None);
}

static PyObject *output_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs) {
    const Locked locked(op);
    PyObject *value = nargs == 1 && PyUnicode_CheckExact(args[0]) ? quick_find(as_output(op), args[0]) : nullptr;
    return value ? Py_NewRef(value) : get_slowly(op, args, nargs);
}

// Puts the present values, counted, into buffer, which has room for layout->count + inner_size(self). Runs no other
// code. Returns how many there are.
static Py_ssize_t collect_values(OutputObject *self, const ClassLayout *layout, PyObject **buffer) {
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        PyObject *value = value_at(self, layout->place[i].offset);
        if (value != Py_None) {
            buffer[n++] = Py_NewRef(value);
        }
    }
    if (inner_size(self) > n) {
        ExtraCursor cursor;
        PyObject *key, *value;
        while (next_extra(self, layout, &cursor, &key, &value)) {
            buffer[n++] = Py_NewRef(value);
        }
    }
    return n;
}

// The present values, or those that range(&first, &count) chooses of them. They are collected before the tuple is made,
// as that may run the collector, and the collector any code.
template <typename Range>
static PyObject *values_as_tuple(OutputObject *self, const ClassLayout *layout, Range range) {
    const Py_ssize_t room = layout->count + inner_size(self);
    PyObject *few[64];
    PyObject **values = room <= 64 ? few : PyMem_New(PyObject *, room);
    if (!values) {
        return PyErr_NoMemory();
    }
    const Py_ssize_t found = collect_values(self, layout, values);
    Py_ssize_t first = 0, taken = found;
    range(&first, &taken);
    PyObject *tuple = PyTuple_New(taken);
    if (!tuple) {
        taken = 0;
    }
    for (Py_ssize_t i = 0; i < taken; i++) {
        PyTuple_SET_ITEM(tuple, i, values[first + i]);
    }
    for (Py_ssize_t i = 0; taken < found && i < found; i++) {
        if (i < first || i >= first + taken) {
            Py_DECREF(values[i]);
        }
    }
    if (values != few) {
        PyMem_Free(static_cast<void *>(values));
    }
    return tuple;
}

// An overridden items, keys or __getitem__ has a say in it.
FASTOUTPUTS_OUT_OF_LINE static PyObject *items_as_tuple(PyObject *op) {
    if (Py_EnterRecursiveCall(" in to_tuple")) {  // by a key that is an index
        return nullptr;
    }
    Ref keys(PyObject_CallMethod(op, "keys", nullptr));
    Ref items(keys ? PySequence_List(keys.get()) : nullptr);
    bool is_whole = static_cast<bool>(items);
    for (Py_ssize_t i = 0; is_whole && i < PyList_GET_SIZE(items.get()); i++) {
        const Ref key = Ref::borrow(PyList_GET_ITEM(items.get(), i));  // any code may find the list
        PyObject *value = PyObject_GetItem(op, key.get());
        is_whole = value && PyList_SetItem(items.get(), i, value) == 0;
    }
    Py_LeaveRecursiveCall();
    return is_whole ? PyList_AsTuple(items.get()) : nullptr;
}

PyObject *output_to_tuple(PyObject *op, PyObject *) {
    const Locked locked(op);
    const ClassLayout *layout = current_layout(as_output(op));
    if (!layout) {
        return nullptr;
    }
    return layout->plain_items ? values_as_tuple(as_output(op), layout, [](auto...) {}) : items_as_tuple(op);
}

static PyObject *item_at(OutputObject *self, const ClassLayout *layout, Py_ssize_t index) {
    if (index < 0) {
        index += output_len(self);
    }
    Py_ssize_t passed = 0;
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        PyObject *value = value_at(self, layout->place[i].offset);
        if (value != Py_None && passed++ == index) {
            return Py_NewRef(value);
        }
    }
    if (index >= passed && inner_size(self) > passed) {
        ExtraCursor cursor;
        PyObject *name, *value;
        while (next_extra(self, layout, &cursor, &name, &value)) {
            if (passed++ == index) {
                return Py_NewRef(value);
            }
        }
    }
    PyErr_SetString(PyExc_IndexError, "tuple index out of range");
    return nullptr;
}

// Mostly an index is a small int, whose value needs no call.
static Py_ssize_t as_index(PyObject *key) {
    Py_ssize_t index;
    return PyLong_CheckExact(key) && is_small_int(key, &index) ? index : PyNumber_AsSsize_t(key, PyExc_IndexError);
}

// A slice of step one between small bounds: no code of a user's is asked for them.
static bool is_plain_slice(PyObject *key) {
    if (!PySlice_Check(key)) {
        return false;
    }
    auto *slice = reinterpret_cast<PySliceObject *>(key);
    auto is_plain = [](PyObject *bound) { return bound == Py_None || PyLong_CheckExact(bound); };
    return is_plain(slice->start) && is_plain(slice->stop) && slice->step == Py_None;
}

FASTOUTPUTS_OUT_OF_LINE static PyObject *subscript_by_name(PyObject *op, PyObject *key) {
    Ref name = Ref::borrow(key);
    PyObject *value = get_by_any_name(as_output(op), &name);
    if (!value && !PyErr_Occurred()) {
        PyErr_SetObject(PyExc_KeyError, name.get());
    }
    return value;
}

// By any key but the name of a present field.
FASTOUTPUTS_OUT_OF_LINE static PyObject *subscript_slowly(PyObject *op, PyObject *key) {
    if (PyUnicode_Check(key)) {
        return subscript_by_name(op, key);
    }
    OutputObject *self = as_output(op);
    const ClassLayout *layout = current_layout(self);
    if (!layout) {
        return nullptr;
    }
    if (layout->plain_to_tuple && layout->plain_items) {
        if (PyIndex_Check(key)) {
            const Py_ssize_t index = as_index(key);
            // An __index__ may have changed the class.
            return index == -1 && PyErr_Occurred() ? nullptr : item_at(self, layout_of(self), index);
        }
        if (is_plain_slice(key)) {
            Py_ssize_t start, stop, step;
            if (PySlice_Unpack(key, &start, &stop, &step) < 0) {
                return nullptr;
            }
            return values_as_tuple(self, layout, [&](Py_ssize_t *first, Py_ssize_t *count) {
                *count = PySlice_AdjustIndices(*count, &start, &stop, step);
                *first = start;
            });
        }
    }
    Ref tuple(layout->plain_to_tuple ? output_to_tuple(op, nullptr) : PyObject_CallMethod(op, "to_tuple", nullptr));
    return tuple ? PyObject_GetItem(tuple.get(), key) : nullptr;
}

// By name, of a class with an items of its own: what that says.
static PyObject *subscript_by_items(PyObject *op, PyObject *key) {
    Ref pairs(PyObject_CallMethod(op, "items", nullptr));
    Ref items(pairs ? PyObject_CallOneArg(as_object(&PyDict_Type), pairs.get()) : nullptr);
    if (!items) {
        return nullptr;
    }
    Ref field;
    const int has_key = PyDict_Contains(items.get(), key);
    if (has_key < 0 || (has_key == 0 && use_alias(as_output(op), key, true, &field) < 0)) {
        return nullptr;
    }
    return PyObject_GetItem(items.get(), field ? field.get() : key);
}

// Not in the slot of a class with an items of its own.
PyObject *output_subscript(PyObject *op, PyObject *key) {
    const Locked locked(op);
    PyObject *value = PyUnicode_CheckExact(key) ? quick_find(as_output(op), key) : nullptr;
    return value ? Py_NewRef(value) : subscript_slowly(op, key);
}

// --- writing -------------------------------------------------------------------------------------

static PyObject *refuse(PyObject *op, const char *what, const char *remedy) {
    return PyErr_Format(mutation_error, "%s does not support %s: %s", Py_TYPE(op)->tp_name, what, remedy);
}

static const char set_to_none[] =
    "the fields of an output are fixed; set a field to None to take it out of the views, or work on dict(output)";
static const char set_one_by_one[] =
    "set fields one by one (output[name] = value), make a new output with dataclasses.replace(), or work on "
    "dict(output)";

// A property of the class under a field's name has its own way of storing; it goes first, it may refuse.
FASTOUTPUTS_OUT_OF_LINE static int store_shadowed(OutputObject *self, PyObject *name, PyObject *value) {
    if (PyObject_GenericSetAttr(as_object(self), name, value) < 0) {
        return -1;
    }
    const ClassLayout *layout = layout_of(self);  // that may have changed the class
    const Py_ssize_t index = find_field(layout, name);
    return index < 0 ? 0 : store_field(self, layout, index, value);
}

static int store_by_name(OutputObject *self, const ClassLayout *layout, Py_ssize_t index, PyObject *name,
                         PyObject *value) {
    return layout->fields[static_cast<std::size_t>(index)].is_shadowed ? store_shadowed(self, name, value)
                                                                       : store_field(self, layout, index, value);
}

static int store_by_alias(OutputObject *self, PyObject *field, PyObject *value) {
    const ClassLayout *layout = layout_of(self);
    const Py_ssize_t index = find_field(layout, field);
    return index < 0 ? PyObject_GenericSetAttr(as_object(self), field, value)  // the notice has changed the class
                     : store_by_name(self, layout, index, field, value);
}

FASTOUTPUTS_OUT_OF_LINE static int set_other_attribute(PyObject *op, PyObject *name, PyObject *value) {
    OutputObject *self = as_output(op);
    if (!is_sealed(Py_TYPE(op))) {
        return seal(Py_TYPE(op)) ? output_setattro(op, name, value) : -1;
    }
    Ref field;
    const int is_alias = value ? use_alias(self, name, false, &field) : 0;
    if (is_alias != 0) {
        return is_alias < 0 ? -1 : store_by_alias(self, field.get(), value);
    }
    return PyObject_GenericSetAttr(op, name, value);
}

FASTOUTPUTS_OUT_OF_LINE static int set_by_odd_name(PyObject *op, PyObject *name, PyObject *value) {
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "attribute name must be string, not '%.200s'", Py_TYPE(name)->tp_name);
        return -1;
    }
    Ref plain(PyUnicode_FromObject(name));
    return plain ? output_setattro(op, plain.get(), value) : -1;
}

// tp_setattro: also the one behind ModelOutput.__setattr__, so that an override can call super().
int output_setattro(PyObject *op, PyObject *name, PyObject *value) {
    const Locked locked(op);
    OutputObject *self = as_output(op);
    if (!PyUnicode_CheckExact(name)) {
        return set_by_odd_name(op, name, value);
    }
    const ClassLayout *layout = layout_of(self);
    const Py_ssize_t index = find_field(layout, name);
    if (index < 0) {
        return set_other_attribute(op, name, value);
    }
    if (!value) {
        PyErr_Format(mutation_error, "%s.%U cannot be deleted: set it to None", Py_TYPE(op)->tp_name, name);
        return -1;
    }
    return store_by_name(self, layout, index, name, value);
}

// out[key] = value for a key that is no field: a key and an attribute.
static int store_extra_item(OutputObject *self, PyObject *key, PyObject *value) {
    const bool had_items = inner_size(self) > 0;
    Ref old(had_items ? Py_XNewRef(PyDict_GetItemWithError(as_object(self), key)) : nullptr);
    if ((!old && PyErr_Occurred()) || store_extra(self, key, value) < 0) {
        return -1;
    }
    if (PyObject_GenericSetAttr(as_object(self), key, value) == 0) {
        return 0;
    }
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (!had_items) {
        PyDict_Clear(as_object(self));
    } else if ((old ? PyDict_SetItem(as_object(self), key, old.get()) : PyDict_DelItem(as_object(self), key)) < 0) {
        PyErr_Clear();
    }
    PyErr_Restore(type, error, traceback);
    return -1;
}

FASTOUTPUTS_OUT_OF_LINE static int store_other_key(OutputObject *self, PyObject *key, PyObject *value) {
    Ref field;
    switch (use_alias(self, key, true, &field)) {
    case 0:
        return store_extra_item(self, key, value);
    case 1:
        return store_by_alias(self, field.get(), value);
    case 2:
        return store_extra(self, key, value);  // the attribute of this name is the alias's
    default:
        return -1;
    }
}

int store_item(OutputObject *self, PyObject *key, PyObject *value) {
    const Locked locked(self);
    if (!PyUnicode_Check(key)) {
        PyErr_Format(PyExc_TypeError, "attribute name must be string, not '%.200s'", Py_TYPE(key)->tp_name);
        return -1;
    }
    if (!is_sealed(Py_TYPE(as_object(self))) && !seal(Py_TYPE(as_object(self)))) {
        return -1;
    }
    if (is_odd_name(key)) {
        Ref plain(PyUnicode_FromObject(key));
        return plain ? store_item(self, plain.get(), value) : -1;
    }
    const ClassLayout *layout = layout_of(self);
    const Py_ssize_t index = find_field(layout, key);
    return index < 0 ? store_other_key(self, key, value) : store_by_name(self, layout, index, key, value);
}

int output_ass_subscript(PyObject *op, PyObject *key, PyObject *value) {
    if (!value) {
        refuse(op, "`del output[key]`", set_to_none);
        return -1;
    }
    return store_item(as_output(op), key, value);
}

static PyObject *output_dunder_getitem(PyObject *op, PyObject *key) {
    const Locked locked(op);
    const ClassLayout *layout = current_layout(as_output(op));
    if (!layout) {
        return nullptr;
    }
    return layout->plain_lookup || !PyUnicode_Check(key) ? output_subscript(op, key) : subscript_by_items(op, key);
}

static PyObject *output_dunder_setattr(PyObject *op, PyObject *args) {
    PyObject *name, *value;
    if (!PyArg_UnpackTuple(args, "__setattr__", 2, 2, &name, &value)) {
        return nullptr;
    }
    PyObject *done = call_behind(op, "__setattr__", args);
    if (done || PyErr_Occurred() || output_setattro(op, name, value) < 0) {
        return done;
    }
    Py_RETURN_NONE;
}

static PyObject *output_dunder_delattr(PyObject *op, PyObject *args) {
    PyObject *name;
    if (!PyArg_UnpackTuple(args, "__delattr__", 1, 1, &name)) {
        return nullptr;
    }
    PyObject *done = call_behind(op, "__delattr__", args);
    if (done || PyErr_Occurred() || output_setattro(op, name, nullptr) < 0) {
        return done;
    }
    Py_RETURN_NONE;
}

// --- `|` and what is refused -----------------------------------------------------------------------

// As OrderedDict: a new output of the output's class, filled from the left, then from the right.
PyObject *output_or(PyObject *left, PyObject *right) {
    if (!PyDict_Check(left) || !PyDict_Check(right)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    Ref type = Ref::borrow(as_object(Py_TYPE(is_output(left) ? left : right)));
    Ref merged(PyObject_CallOneArg(type.get(), left));
    Ref items(merged ? PyDict_New() : nullptr);
    if (!items || PyDict_Update(items.get(), right) < 0) {
        return nullptr;
    }
    auto set = [&](PyObject *key, PyObject *value) { return PyObject_SetItem(merged.get(), key, value); };
    return for_each_item(items.get(), set) < 0 ? nullptr : merged.release();
}

PyObject *output_refuse_in_place_or(PyObject *op, PyObject *) { return refuse(op, "`|=`", set_one_by_one); }
static PyObject *refuse_pop(PyObject *op, PyObject *, PyObject *) { return refuse(op, "`pop`", set_to_none); }
static PyObject *refuse_popitem(PyObject *op, PyObject *, PyObject *) { return refuse(op, "`popitem`", set_to_none); }
static PyObject *refuse_clear(PyObject *op, PyObject *, PyObject *) { return refuse(op, "`clear`", set_to_none); }
static PyObject *refuse_update(PyObject *op, PyObject *, PyObject *) { return refuse(op, "`update`", set_one_by_one); }
static PyObject *refuse_setdefault(PyObject *op, PyObject *, PyObject *) {
    return refuse(op, "`setdefault`", set_one_by_one);
}

static const char refusal_doc[] = "Refused with OutputMutationError, which says what to do instead.";

PyMethodDef access_methods[] = {
    {"__post_init__", output_post_init, METH_NOARGS,
     "Fill the fields from the first one, if it is a mapping or an iterable of pairs and the only one given."},
    {"__getitem__", output_dunder_getitem, METH_O, "Implement self[key]."},
    {"__setattr__", output_dunder_setattr, METH_VARARGS, "Implement setattr(self, name, value)."},
    {"__delattr__", output_dunder_delattr, METH_VARARGS, "Implement delattr(self, name)."},
    {"get", as_method(output_get), METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\nThe value of a present field or extra key, else default."},
    {"to_tuple", output_to_tuple, METH_NOARGS,
     "to_tuple($self, /)\n--\n\nAll values that are not None, in declared order, extra keys last."},
    {"pop", as_method(refuse_pop), METH_VARARGS | METH_KEYWORDS, refusal_doc},
    {"popitem", as_method(refuse_popitem), METH_VARARGS | METH_KEYWORDS, refusal_doc},
    {"clear", as_method(refuse_clear), METH_VARARGS | METH_KEYWORDS, refusal_doc},
    {"update", as_method(refuse_update), METH_VARARGS | METH_KEYWORDS, refusal_doc},
    {"setdefault", as_method(refuse_setdefault), METH_VARARGS | METH_KEYWORDS, refusal_doc},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace fastoutputs
