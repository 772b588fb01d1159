// What an instance answers for __dict__ and __class__, and the field of classes that store attributes
// their own way.
#include "vars.hpp"

#include "rollback.hpp"
#include "storage.hpp"

namespace fastoutputs {

// --- __dict__ ------------------------------------------------------------------------------------
//
// vars(output) shows what the original's instance dict shows: every field, None included, then plain
// attributes. It is a copy that writes through, since the fields live in the row.

struct AttributeDict {
    PyDictObject copy;
    PyObject *output;
};

static PyTypeObject *attribute_dict;

static PyObject *output_of(PyObject *op) { return reinterpret_cast<AttributeDict *>(op)->output; }

static int store_attribute(OutputObject *self, PyObject *name, PyObject *value) {
    const Locked locked(self);
    if (is_odd_name(name)) {
        Ref plain(PyUnicode_FromObject(name));
        return plain ? store_attribute(self, plain.get(), value) : -1;
    }
    const ClassLayout *layout = layout_of(self);
    const Py_ssize_t index = PyUnicode_Check(name) ? find_field(layout, name) : -1;
    if (index >= 0) {
        return store_field(self, layout, index, value);
    }
    Ref attributes(PyObject_GenericGetDict(as_object(self), nullptr));
    return attributes ? PyDict_SetItem(attributes.get(), name, value) : -1;
}

int restore_attributes(OutputObject *self, PyObject *attributes) {
    const Ref copy(PyDict_Copy(attributes));  // storing may change them
    auto store = [=](PyObject *name, PyObject *value) { return store_attribute(self, name, value); };
    return copy ? for_each_item(copy.get(), store) : -1;
}

static PyObject *output_vars(PyObject *op, void *) {
    OutputObject *self = as_output(op);
    const Locked locked(op);
    Ref no_arguments(PyTuple_New(0));
    Ref vars(no_arguments ? PyDict_Type.tp_new(attribute_dict, no_arguments.get(), nullptr) : nullptr);
    if (!vars) {
        return nullptr;
    }
    reinterpret_cast<AttributeDict *>(vars.get())->output = Py_NewRef(op);
    const ClassLayout *layout = layout_of(self);
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        if (PyDict_SetItem(vars.get(), layout->place[i].name, value_at(self, layout->place[i].offset)) < 0) {
            return nullptr;
        }
    }
    Ref attributes = Ref::borrow(attributes_of(self));  // comparing names may replace it
    if (attributes && PyDict_Update(vars.get(), attributes.get()) < 0) {
        return nullptr;
    }
    return vars.release();
}

// output.__dict__ = mapping, as a few libraries do to clone an object.
static int output_set_vars(PyObject *op, PyObject *value, void *) {
    if (!value || !PyDict_Check(value)) {
        PyErr_Format(PyExc_TypeError, "__dict__ of a %s must be set to a dictionary", Py_TYPE(op)->tp_name);
        return -1;
    }
    OutputObject *self = as_output(op);
    const Locked locked(op);
    Rollback before(self);
    if (!before) {
        return -1;
    }
    Ref replaced(exchange_slot(&attributes_of(self), nullptr));
    return restore_attributes(self, value) < 0 ? before.fail() : 0;
}

static int vars_ass_subscript(PyObject *op, PyObject *name, PyObject *value) {
    PyObject *output = output_of(op);
    if (!output) {
        PyErr_SetString(PyExc_TypeError, "this attribute dict belongs to no output");
        return -1;
    }
    OutputObject *self = as_output(output);
    const Locked locked(output);
    if (is_odd_name(name)) {
        Ref plain(PyUnicode_FromObject(name));
        return plain ? vars_ass_subscript(op, plain.get(), value) : -1;
    }
    if (!value && PyUnicode_Check(name) && find_field(layout_of(self), name) >= 0) {
        PyErr_Format(mutation_error, "%s.%U cannot be deleted: set it to None", Py_TYPE(output)->tp_name, name);
        return -1;
    }
    Rollback before(self);
    if (!before) {
        return -1;
    }
    if (value) {
        return store_attribute(self, name, value) < 0 || PyDict_SetItem(op, name, value) < 0 ? before.fail() : 0;
    }
    Ref attributes(PyObject_GenericGetDict(output, nullptr));
    const bool deleted = attributes && PyDict_DelItem(attributes.get(), name) == 0 && PyDict_DelItem(op, name) == 0;
    return deleted ? 0 : before.fail();
}

static PyObject *vars_update(PyObject *op, PyObject *args, PyObject *kwargs) {
    const Ref items(PyObject_Call(as_object(&PyDict_Type), args, kwargs));
    auto set = [=](PyObject *name, PyObject *value) { return vars_ass_subscript(op, name, value); };
    return items && for_each_item(items.get(), set) == 0 ? Py_NewRef(Py_None) : nullptr;
}

static PyObject *vars_in_place_or(PyObject *op, PyObject *other) {
    Ref args(PyTuple_Pack(1, other));
    Ref done(args ? vars_update(op, args.get(), nullptr) : nullptr);
    return done ? Py_NewRef(op) : nullptr;
}

static PyObject *vars_pop(PyObject *op, PyObject *args) {
    PyObject *name, *fallback = nullptr;
    if (!PyArg_UnpackTuple(args, "pop", 1, 2, &name, &fallback)) {
        return nullptr;
    }
    Ref value = Ref::borrow(PyDict_GetItemWithError(op, name));
    if (value) {
        return vars_ass_subscript(op, name, nullptr) < 0 ? nullptr : value.release();
    }
    if (!PyErr_Occurred() && !fallback) {
        PyErr_SetObject(PyExc_KeyError, name);
    }
    return PyErr_Occurred() ? nullptr : Py_NewRef(fallback);
}

static PyObject *vars_setdefault(PyObject *op, PyObject *args) {
    PyObject *name, *fallback = Py_None;
    if (!PyArg_UnpackTuple(args, "setdefault", 1, 2, &name, &fallback)) {
        return nullptr;
    }
    PyObject *value = PyDict_GetItemWithError(op, name);
    if (value || PyErr_Occurred()) {
        return Py_XNewRef(value);
    }
    return vars_ass_subscript(op, name, fallback) < 0 ? nullptr : Py_NewRef(fallback);
}

static PyObject *vars_refuse(PyObject *op, PyObject *) {
    PyErr_Format(mutation_error, "the fields of %s cannot be deleted: set them to None",
                 output_of(op) ? Py_TYPE(output_of(op))->tp_name : "an output");
    return nullptr;
}

static int vars_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(output_of(op));
    return PyDict_Type.tp_traverse(op, visit, arg);
}
static int vars_clear(PyObject *op) {
    Py_CLEAR(reinterpret_cast<AttributeDict *>(op)->output);
    return PyDict_Type.tp_clear(op);
}
static void vars_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_TRASHCAN_BEGIN(op, vars_dealloc);
    Py_CLEAR(reinterpret_cast<AttributeDict *>(op)->output);
    PyDict_Type.tp_dealloc(op);
    Py_DECREF(type);
    Py_TRASHCAN_END;
}
// A pickle or a copy of vars(output) is a plain dict.
static PyObject *vars_reduce(PyObject *op, PyObject *) {
    return Py_BuildValue("(O(N))", &PyDict_Type, PyDict_Copy(op));
}

static PyMethodDef vars_methods[] = {
    {"update", as_method(vars_update), METH_VARARGS | METH_KEYWORDS, "Set attributes of the output."},
    {"pop", vars_pop, METH_VARARGS, "Remove a plain attribute of the output and return its value."},
    {"setdefault", vars_setdefault, METH_VARARGS, "The attribute's value, set first if it is absent."},
    {"popitem", vars_refuse, METH_NOARGS, "Refused: fields cannot be deleted."},
    {"clear", vars_refuse, METH_NOARGS, "Refused: fields cannot be deleted."},
    {"__reduce__", vars_reduce, METH_NOARGS, "As a plain dict."},
    {nullptr, nullptr, 0, nullptr},
};

// --- __class__ -----------------------------------------------------------------------------------

static PyObject *output_class(PyObject *op, void *) { return Py_NewRef(as_object(Py_TYPE(op))); }

// As of any object, but for a class that was never used: CPython could not tell yet whether it is laid out the same.
static int output_set_class(PyObject *op, PyObject *value, void *) {
    const Locked locked(op);
    if (value && PyType_Check(value) && PyType_IsSubtype(reinterpret_cast<PyTypeObject *>(value), model_output) &&
        !layout_of_class(reinterpret_cast<PyTypeObject *>(value))) {
        return -1;
    }
    Ref name(PyUnicode_InternFromString("__class__"));
    PyObject *descriptor = name ? lookup(&PyBaseObject_Type, name.get()) : nullptr;
    return descriptor ? Py_TYPE(descriptor)->tp_descr_set(descriptor, op, value) : -1;
}

PyGetSetDef vars_getset[] = {
    {"__dict__", output_vars, output_set_vars, "Every field, None included, and the plain attributes.", nullptr},
    {"__class__", output_class, output_set_class, "The object's class.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// --- field descriptor ----------------------------------------------------------------------------
//
// A class with a __setattr__ of its own (a frozen dataclass has one) may store by
// object.__setattr__, which knows descriptors only. There a field is an attribute with this getter
// and setter, which keeps the inner dict in sync, and not the faster member, which could not.

static Py_ssize_t described_field(PyObject *op, void *name) {
    Py_ssize_t index = find_field(layout_of(as_output(op)), static_cast<PyObject *>(name));
    if (index < 0) {
        PyErr_Format(PyExc_AttributeError, "%s has no field %R", Py_TYPE(op)->tp_name, static_cast<PyObject *>(name));
    }
    return index;
}

PyObject *field_get(PyObject *op, void *name) {
    const Locked locked(op);
    Py_ssize_t index = described_field(op, name);
    return index < 0 ? nullptr : Py_NewRef(value_at(as_output(op), layout_of(as_output(op))->place[index].offset));
}

int field_set(PyObject *op, PyObject *value, void *name) {
    const Locked locked(op);
    Py_ssize_t index = described_field(op, name);
    if (index < 0) {
        return -1;
    }
    if (!value) {
        PyErr_Format(mutation_error, "%s.%U cannot be deleted: set it to None", Py_TYPE(op)->tp_name,
                     static_cast<PyObject *>(name));
        return -1;
    }
    return store_field(as_output(op), layout_of(as_output(op)), index, value);
}

int prepare_vars() {
    PyType_Slot vars_slots[] = {
        {Py_tp_dealloc, reinterpret_cast<void *>(vars_dealloc)},
        {Py_tp_traverse, reinterpret_cast<void *>(vars_traverse)},
        {Py_tp_clear, reinterpret_cast<void *>(vars_clear)},
        {Py_mp_ass_subscript, reinterpret_cast<void *>(vars_ass_subscript)},
        {Py_nb_inplace_or, reinterpret_cast<void *>(vars_in_place_or)},
        {Py_tp_methods, vars_methods},
        {0, nullptr},
    };
    attribute_dict = internal_type("fastoutputs._core.attribute_dict", sizeof(AttributeDict), vars_slots, &PyDict_Type);
    return attribute_dict ? 0 : -1;
}

}  // namespace fastoutputs
