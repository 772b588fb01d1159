// copy(), pickle and sys.getsizeof.
//
// A pickle means the same to the original, so that a process without fastoutputs reads it. It calls the
// class with one dict of the items: by name, which outlives a change of field order, and as
// torch.load(weights_only=True) allows. Where that would not give the same output back, it calls
// class.__new__ instead, and sets the items one by one and the instance dict.
// Pickles of the original, which call class(*field_values), are read, too.
#include "copy_pickle.hpp"

#include "access.hpp"
#include "replaced.hpp"
#include "rollback.hpp"
#include "storage.hpp"
#include "vars.hpp"

namespace fastoutputs {

static PyObject *copy_of_attributes(OutputObject *self) {
    const Locked locked(self);
    Ref attributes = Ref::borrow(attributes_of(self));
    return attributes ? PyDict_Copy(attributes.get()) : PyDict_New();
}

static PyObject *dict_new(PyTypeObject *type) {
    Ref held = Ref::borrow(as_object(type));
    Ref no_arguments(PyTuple_New(0));
    return no_arguments ? PyDict_Type.tp_new(type, no_arguments.get(), nullptr) : nullptr;
}

// Whether a dict given as the only argument is spread over the fields, by the original too, and nothing else happens.
static bool takes_a_dict(PyTypeObject *type, const ClassLayout *layout) {
    if (type == model_output) {
        return true;
    }
    // What is stored plainly is not frozen: the original cannot unpack a dict there.
    if (!layout->compiled_init || !layout->unpacks_pairs || type->tp_setattro != output_setattro ||
        layout->positional.empty() || layout->positional[0] != 0) {
        return false;
    }
    for (Py_ssize_t i = 1; i < layout->count; i++) {  // with another default the dict would not be alone
        if (layout->fields[i].initial != Py_None) {
            return false;
        }
    }
    return true;
}

static bool holds_none(PyObject *items) {
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(items, &position, &key, &value)) {
        if (value == Py_None) {
            return true;
        }
    }
    return false;
}

// 1 if following outputs from items leads to wanted, else 0; -1 on error.
static int leads_to(PyObject *items, PyObject *wanted) {
    Ref found = hidden(PyList_New(0)), ids = hidden(PySet_New(nullptr));  // each output once
    Ref current = Ref::borrow(items);
    for (Py_ssize_t next = 0; found && ids && current; next++) {
        PyObject *key, *value;
        Py_ssize_t position = 0;
        while (PyDict_Next(current.get(), &position, &key, &value)) {
            if (value == wanted) {
                return 1;
            }
            if (!is_output(value)) {
                continue;
            }
            Ref id(PyLong_FromVoidPtr(value));
            const int is_known = id ? PySet_Contains(ids.get(), id.get()) : -1;
            if (is_known < 0 ||
                (!is_known && (PySet_Add(ids.get(), id.get()) < 0 || PyList_Append(found.get(), value) < 0))) {
                return -1;
            }
        }
        if (next == PyList_GET_SIZE(found.get())) {
            return 0;
        }
        current = hidden(items_as_dict(as_output(PyList_GET_ITEM(found.get(), next))));
    }
    return -1;
}

// The only argument of the constructor that makes this output again; items is a dict of our own.
static PyObject *constructor_dict(OutputObject *self, PyObject *items) {
    const ClassLayout *layout = layout_of(self);
    if (layout->count == 0 || value_at(self, layout->place[0].offset) != Py_None) {
        return Py_NewRef(items);
    }
    // Some releases of transformers leave the dict itself in a first field that the dict does not name.
    Ref name = Ref::borrow(layout->place[0].name), all(PyDict_New());
    const bool named = all && PyDict_SetItem(all.get(), name.get(), Py_None) == 0;
    return named && PyDict_Update(all.get(), items) == 0 ? all.release() : nullptr;
}

// 1 if the class of op has a __getstate__ of its own, else 0; -1 on error.
static int has_getstate(PyObject *op) {
    Ref name(PyUnicode_InternFromString("__getstate__"));
    return name ? lookup(Py_TYPE(op), name.get()) != lookup(&PyBaseObject_Type, name.get()) : -1;
}

// The instance dict as the original has it: all fields, and the plain attributes.
static PyObject *instance_dict(PyObject *op) {
    Ref vars(PyObject_GetAttrString(op, "__dict__"));
    return vars ? PyDict_Copy(vars.get()) : nullptr;
}

// How to make op again by class.__new__ and its state. items is a dict of our own; a class may have an items method of
// its own, too.
static PyObject *bare_and_state(PyObject *op, PyObject *items, bool plain_items) {
    const int own_getstate = has_getstate(op);
    if (own_getstate < 0) {
        return nullptr;
    }
    Ref state(own_getstate ? PyObject_CallMethod(op, "__getstate__", nullptr) : instance_dict(op));
    Ref pairs(state ? PyObject_CallMethod(plain_items ? items : op, "items", nullptr) : nullptr);
    Ref iterator(pairs ? PyObject_GetIter(pairs.get()) : nullptr);
    Ref copyreg(iterator ? PyImport_ImportModule("copyreg") : nullptr);
    Ref new_object(copyreg ? PyObject_GetAttrString(copyreg.get(), "__newobj__") : nullptr);
    return new_object ? Py_BuildValue("(O(O)OOO)", new_object.get(), class_by_name(Py_TYPE(op)), state.get(), Py_None,
                                      iterator.get())
                      : nullptr;
}

static PyObject *output_reduce(PyObject *op, PyObject *) {
    OutputObject *self = as_output(op);
    const Locked locked(op);
    const ClassLayout *layout = current_layout(self);
    const bool by_dict = layout && layout->plain_copy && takes_a_dict(Py_TYPE(op), layout);
    const bool plain_items = layout && layout->plain_lookup;
    Ref items = hidden(layout ? items_as_dict(self) : nullptr);
    if (!items) {
        return nullptr;
    }
    // The constructor would leave out an extra key of None; and what leads back to self must have been made first.
    const bool can_spread = by_dict && !holds_none(items.get());
    const int needs_self = can_spread ? leads_to(items.get(), op) : 0;
    if (needs_self < 0) {
        return nullptr;
    }
    if (can_spread && !needs_self) {
        Ref argument(constructor_dict(self, items.get()));
        Ref attributes(argument ? copy_of_attributes(self) : nullptr);
        if (!attributes || PyDict_GET_SIZE(attributes.get()) == 0) {
            return attributes ? Py_BuildValue("(O(O))", class_by_name(Py_TYPE(op)), argument.get()) : nullptr;
        }
        return Py_BuildValue("(O(O)O)", class_by_name(Py_TYPE(op)), argument.get(), attributes.get());
    }
    return bare_and_state(op, items.get(), plain_items);
}

static int set_items(OutputObject *self, PyObject *items) {
    return for_each_item(items, [=](PyObject *key, PyObject *value) { return store_item(self, key, value); });
}

static PyObject *output_setstate(PyObject *op, PyObject *args) {
    PyObject *state;
    if (!PyArg_UnpackTuple(args, "__setstate__", 1, 1, &state)) {
        return nullptr;
    }
    PyObject *done = call_behind(op, "__setstate__", args);
    if (done || PyErr_Occurred()) {
        return done;
    }
    if (!PyDict_Check(state)) {
        return PyErr_Format(PyExc_TypeError, "the state of a %s is a dict of attributes, not a %s",
                            Py_TYPE(op)->tp_name, Py_TYPE(state)->tp_name);
    }
    const Locked locked(op);
    Rollback before(as_output(op));
    if (!before) {
        return nullptr;
    }
    if (restore_attributes(as_output(op), state) < 0) {
        before.fail();
        return nullptr;
    }
    Py_RETURN_NONE;
}

// As OrderedDict.copy: the items, not the plain attributes. Overrides of the constructor and of `[]` have a say.
static PyObject *output_copy(PyObject *op, PyObject *) {
    OutputObject *self = as_output(op);
    const Locked locked(op);
    const ClassLayout *layout = current_layout(self);
    if (!layout) {
        return nullptr;
    }
    const bool plain_items = layout->plain_items && layout->plain_copy;
    Ref type = Ref::borrow(as_object(Py_TYPE(op)));
    Ref made(layout->compiled_init ? dict_new(Py_TYPE(op)) : PyObject_CallNoArgs(type.get()));
    Ref items(made ? items_as_dict(self) : nullptr);
    if (!items || (plain_items && is_output(made.get()))) {
        return items && set_items(as_output(made.get()), items.get()) == 0 ? made.release() : nullptr;
    }
    const int done = for_each_item(items.get(), [&](PyObject *key, PyObject *) {
        Ref value(PyObject_GetItem(op, key));
        return value ? PyObject_SetItem(made.get(), key, value.get()) : -1;
    });
    return done < 0 ? nullptr : made.release();
}

// What the module copy does with a class that has no __copy__ or __deepcopy__. memo: None for a shallow copy.
static PyObject *copy_by_reduce(PyObject *op, PyObject *memo, PyObject *reducer, PyObject *copy) {
    Ref reduced;
    {
        const KeepsClass kept;
        reduced = Ref(reducer ? PyObject_CallOneArg(reducer, op) : PyObject_CallMethod(op, "__reduce_ex__", "i", 4));
    }
    if (!reduced || PyUnicode_Check(reduced.get())) {
        return reduced ? Py_NewRef(op) : nullptr;
    }
    Ref reconstruct(PyObject_GetAttrString(copy, "_reconstruct"));
    Ref first(reconstruct ? PyTuple_Pack(2, op, memo) : nullptr);
    Ref args(first ? PySequence_Concat(first.get(), reduced.get()) : nullptr);
    return args ? PyObject_CallObject(reconstruct.get(), args.get()) : nullptr;
}

// Each value becomes its deep copy; items is a dict of our own.
static int deepen(PyObject *items, PyObject *deepcopy, PyObject *memo) {
    return for_each_item(items, [=](PyObject *key, PyObject *value) {
        const Ref twin(PyObject_CallFunctionObjArgs(deepcopy, value, memo, nullptr));
        return twin ? PyDict_SetItem(items, key, twin.get()) : -1;
    });
}

// Items and attributes, even where an item and the attribute of its name differ. memo: None for a shallow copy.
static PyObject *copy_or_deepcopy(PyObject *op, PyObject *memo) {
    OutputObject *self = as_output(op);
    const ClassLayout *layout = current_layout(self);
    Ref held = layout ? hold(layout) : Ref();  // over code of other modules
    Ref copy(layout ? PyImport_ImportModule("copy") : nullptr);
    Ref reducers(copy ? PyObject_GetAttrString(copy.get(), "dispatch_table") : nullptr);
    if (!reducers) {
        return nullptr;
    }
    Ref reducer(PyObject_GetItem(reducers.get(), as_object(Py_TYPE(op))));
    if (!reducer && !PyErr_ExceptionMatches(PyExc_KeyError)) {
        return nullptr;
    }
    PyErr_Clear();
    if (reducer || !layout->plain_copy) {
        return copy_by_reduce(op, memo, reducer.get(), copy.get());
    }
    Ref items(items_as_dict(self)), attributes(items ? copy_of_attributes(self) : nullptr);
    Ref made(attributes ? dict_new(Py_TYPE(op)) : nullptr);
    if (!made) {
        return nullptr;
    }
    if (memo != Py_None) {
        Ref deepcopy(PyObject_GetAttrString(copy.get(), "deepcopy"));
        Ref id(deepcopy ? PyLong_FromVoidPtr(op) : nullptr);
        if (!id || PyObject_SetItem(memo, id.get(), made.get()) < 0) {
            return nullptr;
        }
        if (deepen(items.get(), deepcopy.get(), memo) < 0 || deepen(attributes.get(), deepcopy.get(), memo) < 0) {
            return nullptr;
        }
    }
    OutputObject *twin = as_output(made.get());
    const bool filled = set_items(twin, items.get()) == 0 && restore_attributes(twin, attributes.get()) == 0;
    return filled ? made.release() : nullptr;
}

static PyObject *output_dunder_copy(PyObject *op, PyObject *args) {
    if (!PyArg_UnpackTuple(args, "__copy__", 0, 0)) {
        return nullptr;
    }
    PyObject *copy = call_behind(op, "__copy__", args);
    return copy || PyErr_Occurred() ? copy : copy_or_deepcopy(op, Py_None);
}

static PyObject *output_dunder_deepcopy(PyObject *op, PyObject *args) {
    PyObject *memo;
    if (!PyArg_UnpackTuple(args, "__deepcopy__", 1, 1, &memo)) {
        return nullptr;
    }
    PyObject *copy = call_behind(op, "__deepcopy__", args);
    return copy || PyErr_Occurred() ? copy : copy_or_deepcopy(op, memo);
}

PyMethodDef copy_methods[] = {
    {"copy", output_copy, METH_NOARGS, "copy($self, /)\n--\n\nA new output of the same class with the same items."},
    {"__copy__", output_dunder_copy, METH_VARARGS, "For copy.copy: a new output with the same items and attributes."},
    {"__deepcopy__", output_dunder_deepcopy, METH_VARARGS, "For copy.deepcopy: a new output of deep copies."},
    {"__reduce__", output_reduce, METH_NOARGS, "For pickle and copy: how to make it again, here or with the original."},
    {"__setstate__", output_setstate, METH_VARARGS, "Take an instance dict."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace fastoutputs
