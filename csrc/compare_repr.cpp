// ==, != and repr: the container's own, and compiled forms of what @dataclass generates.
#include "compare_repr.hpp"

#include "replaced.hpp"
#include "storage.hpp"

namespace fastoutputs {

static PyObject *plain_dict(PyObject *op) { return is_output(op) ? items_as_dict(as_output(op)) : Py_NewRef(op); }

// As OrderedDict: items are compared, and their order too if the other side keeps one.
PyObject *output_richcompare(PyObject *left, PyObject *right, int op) {
    if ((op != Py_EQ && op != Py_NE) || !PyDict_Check(right)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    Ref left_items(plain_dict(left));
    Ref right_items(left_items ? plain_dict(right) : nullptr);
    if (!right_items) {
        return nullptr;
    }
    Ref equal(PyDict_Type.tp_richcompare(left_items.get(), right_items.get(), Py_EQ));
    if (!equal) {
        return nullptr;
    }
    bool same = equal.get() == Py_True;
    if (same && (is_output(right) || PyODict_Check(right))) {
        Ref left_keys(PySequence_List(left_items.get()));
        Ref right_keys(left_keys ? PySequence_List(is_output(right) ? right_items.get() : right) : nullptr);
        int in_order = right_keys ? PyObject_RichCompareBool(left_keys.get(), right_keys.get(), Py_EQ) : -1;
        if (in_order < 0) {
            return nullptr;
        }
        same = in_order;
    }
    return PyBool_FromLong(op == Py_EQ ? same : !same);
}

// What a generated method reads: an attribute, which need not be what is in the slot.
static Ref read_field(OutputObject *self, const ClassLayout *layout, Py_ssize_t index) {
    const Locked locked(self);
    const bool is_plain = Py_TYPE(as_object(self))->tp_getattro == PyObject_GenericGetAttr &&
                          !layout->fields[static_cast<std::size_t>(index)].is_shadowed;
    const Place &place = layout->place[index];
    return is_plain ? Ref::borrow(value_at(self, place.offset)) : Ref(PyObject_GetAttr(as_object(self), place.name));
}

// self is other or self.a == other.a and self.b == other.b and ...: the last result as it is.
static PyObject *compare_fields(OutputObject *left, OutputObject *right, const ClassLayout *layout) {
    if (left == right) {
        Py_RETURN_TRUE;
    }
    Ref result(Py_NewRef(Py_True));
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        Ref a = read_field(left, layout, i), b = a ? read_field(right, layout, i) : Ref();
        result = Ref(b ? PyObject_RichCompare(a.get(), b.get(), Py_EQ) : nullptr);
        const int equal = !result ? -1 : i + 1 < layout->count ? PyObject_IsTrue(result.get()) : 1;
        if (equal <= 0) {
            return equal < 0 ? nullptr : result.release();
        }
    }
    return result.release();
}

static Ref fields_as_tuple(OutputObject *self, const ClassLayout *layout) {
    Ref values = hidden(PyList_New(0));
    for (Py_ssize_t i = 0; values && i < layout->count; i++) {
        Ref value = read_field(self, layout, i);
        if (!value || PyList_Append(values.get(), value.get()) < 0) {
            return Ref();
        }
    }
    return Ref(values ? PyList_AsTuple(values.get()) : nullptr);
}

// The generated __eq__ of this Python version. Both are of one class.
static PyObject *dataclass_eq(OutputObject *left, OutputObject *right) {
    const Locked locked(left);
    const ClassLayout *layout = current_layout(left);
    if (!layout) {
        return nullptr;
    }
    Ref held = hold(layout);  // comparing may change the class
    if (dataclass_eq_compares_fields) {
        return compare_fields(left, right, layout);
    }
    // (self.a, self.b, ...) == (other.a, other.b, ...)
    Ref a = fields_as_tuple(left, layout), b = fields_as_tuple(right, layout);
    return a && b ? PyObject_RichCompare(a.get(), b.get(), Py_EQ) : nullptr;
}

// An output made before install() and one made since, or the other way round: as if both were of one class. Only the
// left one need be ours.
static PyObject *eq_in_family(OutputObject *left, PyObject *right) {
    const Locked locked(left);
    const ClassLayout *layout = current_layout(left);
    if (!layout) {
        return nullptr;
    }
    Ref held = hold(layout);
    Ref a = fields_as_tuple(left, layout), values = hidden(a ? PyList_New(0) : nullptr);
    for (Py_ssize_t i = 0; values && i < layout->count; i++) {
        Ref value(PyObject_GetAttr(right, layout->place[i].name));
        if (!value || PyList_Append(values.get(), value.get()) < 0) {
            return nullptr;
        }
    }
    Ref b(values ? PyList_AsTuple(values.get()) : nullptr);
    return b ? PyObject_RichCompare(a.get(), b.get(), Py_EQ) : nullptr;
}

// tp_richcompare of classes whose __eq__ is the generated one. Their != stays the container's.
PyObject *dataclass_richcompare(PyObject *left, PyObject *right, int op) {
    if (op != Py_EQ) {
        return output_richcompare(left, right, op);
    }
    if (Py_TYPE(left) != Py_TYPE(right)) {
        if (are_of_one_family(Py_TYPE(left), Py_TYPE(right))) {
            return eq_in_family(as_output(left), right);
        }
        // The generated __eq__ leaves it to the other side. A dict would read our inner dict, so it is asked
        // here, where a slots-only output has its items, too.
        const richcmpfunc compare = Py_TYPE(right)->tp_richcompare;
        if (compare == PyDict_Type.tp_richcompare || compare == PyODict_Type.tp_richcompare) {
            Ref items(plain_dict(left));
            return items ? compare(right, items.get(), Py_EQ) : nullptr;
        }
        Py_RETURN_NOTIMPLEMENTED;
    }
    return dataclass_eq(as_output(left), as_output(right));
}

static PyObject *class_name(PyObject *op, const char *which) {
    Ref name(PyObject_GetAttrString(as_object(Py_TYPE(op)), which));
    return name ? PyObject_Str(name.get()) : nullptr;  // a metaclass may give anything
}

// As OrderedDict of the running Python writes it: the present items.
PyObject *output_repr(PyObject *op) {
    Ref name(class_name(op, "__name__"));
    int seen = name ? Py_ReprEnter(op) : -1;
    if (seen != 0) {
        return seen > 0 ? PyUnicode_FromString("...") : nullptr;
    }
    PyObject *text = nullptr;
    if (output_len(as_output(op)) == 0) {
        text = PyUnicode_FromFormat("%U()", name.get());
    } else {
        Ref items(odict_repr_shows_dict ? plain_dict(op) : PyMapping_Items(op));
        text = items ? PyUnicode_FromFormat("%U(%R)", name.get(), items.get()) : nullptr;
    }
    Py_ReprLeave(op);
    return text;
}

// The generated __repr__: every field, None included.
PyObject *dataclass_repr(PyObject *op) {
    OutputObject *self = as_output(op);
    int seen = Py_ReprEnter(op);
    if (seen != 0) {
        return seen > 0 ? PyUnicode_FromString("...") : nullptr;
    }
    const Locked locked(op);
    const ClassLayout *layout = current_layout(self);
    Ref held = layout ? hold(layout) : Ref();  // a repr may change the class
    Ref parts(layout ? PyList_New(0) : nullptr);
    Ref comma(PyUnicode_FromString(", "));
    bool whole = parts && comma;
    for (Py_ssize_t i = 0; whole && i < layout->count; i++) {
        Ref value = read_field(self, layout, i);
        Ref shown(value ? PyObject_Repr(value.get()) : nullptr);  // not by %R: a deep nest would take twice the stack
        Ref part(shown ? PyUnicode_FromFormat("%U=%U", layout->place[i].name, shown.get()) : nullptr);
        whole = part && PyList_Append(parts.get(), part.get()) == 0;
    }
    Ref inside(whole ? PyUnicode_Join(comma.get(), parts.get()) : nullptr);
    Ref name(inside ? class_name(op, "__qualname__") : nullptr);
    PyObject *text = name ? PyUnicode_FromFormat("%U(%U)", name.get(), inside.get()) : nullptr;
    Py_ReprLeave(op);
    return text;
}

}  // namespace fastoutputs
