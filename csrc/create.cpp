// Binds arguments without building a tuple or a dict of them, fills in defaults, and unpacks a mapping or pairs passed
// as the only argument.
//
// The fast path handles exactly what the dataclass-generated __init__ would do. For anything else we call that
// __init__, so that results and error messages are Python's own.
#include "create.hpp"

#include "access.hpp"
#include "aliases.hpp"
#include "memory.hpp"
#include "storage.hpp"

#include <algorithm>
#include <array>
#include <bitset>

namespace fastoutputs {

// --- the first field -----------------------------------------------------------------------------

// 1 for an array, 0 for anything else, -1 on error.
static int is_array(PyObject *value) {
    // The version tag names one state of one class, so the last answer can be kept by it.
    static Shared<unsigned int> known_array = 0;
    PyTypeObject *type = Py_TYPE(value);
    if (version_tag(type) == known_array && known_array != 0) {
        return 1;
    }
    if (PyUnicode_CheckExact(value) || PyTuple_CheckExact(value) || PyList_CheckExact(value) ||
        PyDict_CheckExact(value)) {
        return 0;
    }
    Ref held = Ref::borrow(as_object(type));  // over code of other modules
    for (const auto &[module_name, type_name] : array_types) {
        Ref name(PyUnicode_FromString(module_name));
        Ref module(name ? PyImport_GetModule(name.get()) : nullptr);
        if (!module) {
            if (PyErr_Occurred()) {
                return -1;
            }
            continue;
        }
        Ref array_type(PyObject_GetAttrString(module.get(), type_name));
        if (!array_type && (!PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError))) {
            return -1;
        }
        if (!array_type || !PyType_Check(array_type.get())) {
            PyErr_Clear();  // a module still being imported, or a stand-in
            continue;
        }
        int found = PyObject_IsInstance(value, array_type.get());
        if (found != 0) {
            if (found > 0) {
                known_array = version_tag(type);
            }
            return found;
        }
    }
    return 0;
}

static bool is_pair(PyObject *element) {
    if (!PyTuple_Check(element) && !PyList_Check(element)) {
        return false;
    }
    return PySequence_Fast_GET_SIZE(element) == 2 && PyUnicode_Check(PySequence_Fast_GET_ITEM(element, 0));
}

static int set_item(OutputObject *self, PyObject *key, PyObject *value) {
    if (Py_TYPE(as_object(self))->tp_as_mapping->mp_ass_subscript != output_ass_subscript) {
        return PyObject_SetItem(as_object(self), key, value);
    }
    return store_item(self, key, value);
}

static int set_pair(OutputObject *self, PyObject *key, PyObject *value) {
    // The original sets the attribute, and then the item unless it is None.
    if ((value == Py_None || layout_of(self)->own_setattr) && PyObject_SetAttr(as_object(self), key, value) < 0) {
        return -1;
    }
    return value == Py_None ? 0 : set_item(self, key, value);
}

// Fills the fields from first, what the first field reads as, if it is a dict or yields pairs. Called when the first
// field is the only one that is there. 1 if it has stored something; 0: it leaves all as it is; -1: error.
static int unpack_first(OutputObject *self, PyObject *value) {
    const Locked locked(self);
    const ClassLayout *layout = layout_of(self);
    Ref held = hold(layout);  // over all that the first field may do
    Ref first = Ref::borrow(value);
    PyTypeObject *type = Py_TYPE(first.get());
    if (!layout->unpacks_pairs && !PyDict_Check(first.get())) {
        return 0;
    }
    if (!type->tp_iter && !PySequence_Check(first.get())) {
        return 0;
    }
    int array = is_array(first.get());
    if (array != 0) {
        return array > 0 ? 0 : -1;
    }
    Ref pairs =
        PyDict_Check(first.get()) ? Ref(PyObject_CallMethod(first.get(), "items", nullptr)) : Ref::borrow(first.get());
    Ref iterator(pairs ? PyObject_GetIter(pairs.get()) : nullptr);
    if (!iterator) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            return 0;
        }
        return -1;
    }
    if (store_field(self, layout, 0, Py_None) < 0) {
        return -1;
    }
    for (bool at_start = true;; at_start = false) {
        Ref element(PyIter_Next(iterator.get()));
        if (!element) {
            return PyErr_Occurred() ? -1 : 1;
        }
        if (!is_pair(element.get())) {
            if (at_start) {
                return set_item(self, layout->place[0].name, first.get()) < 0 ? -1 : 1;
            }
            PyErr_Format(PyExc_ValueError, "Cannot set key/value for %S. It needs to be a tuple (key, value).",
                         element.get());
            return -1;
        }
        Ref key = Ref::borrow(PySequence_Fast_GET_ITEM(element.get(), 0));
        Ref pair_value = Ref::borrow(PySequence_Fast_GET_ITEM(element.get(), 1));
        if (set_pair(self, key.get(), pair_value.get()) < 0) {
            return -1;
        }
    }
}

static bool only_first_is_present(const OutputObject *self, const ClassLayout *layout) {
    if (layout->count == 0 || value_at(self, layout->place[0].offset) == Py_None) {
        return false;
    }
    for (Py_ssize_t i = 1; i < layout->count; i++) {
        if (value_at(self, layout->place[i].offset) != Py_None) {
            return false;
        }
    }
    return true;
}

// A class that reads or sets items in its own way has each present one set by that, as the original does. first is what
// the first field reads as, or NULL.
static int set_each_item(OutputObject *self, PyObject *name, PyObject *first) {
    Ref items(items_as_dict(self));
    if (items && first && PyDict_SetItem(items.get(), name, first) < 0) {
        return -1;
    }
    auto set = [=](PyObject *key, PyObject *value) { return PyObject_SetItem(as_object(self), key, value); };
    return items ? for_each_item(items.get(), set) : -1;
}

// __post_init__, which a generated __init__ calls last and an override may call by super().
PyObject *output_post_init(PyObject *op, PyObject *) {
    OutputObject *self = as_output(op);
    const Locked locked(op);
    if (!current_layout(self)) {
        return nullptr;
    }
    const ClassLayout *layout = layout_of(self);
    if (layout->count == 0) {
        return PyErr_Format(PyExc_ValueError, "%s has no fields.", Py_TYPE(op)->tp_name);
    }
    const bool is_alone = only_first_is_present(self, layout);
    const bool reads_plainly = Py_TYPE(op)->tp_getattro == PyObject_GenericGetAttr;
    Ref name = Ref::borrow(layout->place[0].name);
    Ref first =
        reads_plainly ? Ref::borrow(value_at(self, layout->place[0].offset)) : Ref(PyObject_GetAttr(op, name.get()));
    const int stored = !first ? -1 : is_alone ? unpack_first(self, first.get()) : 0;
    if (stored < 0) {
        return nullptr;
    }
    const bool is_plain = reads_plainly && Py_TYPE(op)->tp_as_mapping->mp_ass_subscript == output_ass_subscript;
    if (stored == 0 && !is_plain && set_each_item(self, name.get(), is_alone ? first.get() : nullptr) < 0) {
        return nullptr;
    }
    Py_RETURN_NONE;
}

// --- the constructor -----------------------------------------------------------------------------

// Before __init__: fields that are no parameters get their defaults, which the class attribute would give otherwise.
static int fill_other_defaults(OutputObject *self) {
    const ClassLayout *layout = layout_of(self);
    Ref held = Ref::borrow(as_object(Py_TYPE(as_object(self))));
    for (Py_ssize_t i = 0; layout->fills_defaults && i < layout->count; i++) {
        const Field &field = layout->fields[static_cast<std::size_t>(i)];
        Ref initial = Ref::borrow(field.is_parameter ? nullptr : field.initial);
        if (initial && store_field(self, layout, i, initial.get()) < 0) {
            return -1;
        }
    }
    return 0;
}

// What type.__call__ does.
static PyObject *construct_by_init(PyTypeObject *type, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    Ref keywords(kwnames ? PyDict_New() : nullptr);
    Ref positional(keywords || !kwnames ? PyTuple_New(nargs) : nullptr);
    if (!positional) {
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        PyTuple_SET_ITEM(positional.get(), i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(keywords.get(), PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0) {
            return nullptr;
        }
    }
    Ref made(type->tp_new(type, positional.get(), keywords.get()));
    if (!made || !PyObject_TypeCheck(made.get(), type)) {
        return made.release();  // a __new__ of the user's may return anything
    }
    if (fill_other_defaults(as_output(made.get())) < 0) {
        return nullptr;
    }
    const initproc init = Py_TYPE(made.get())->tp_init;
    return init && init(made.get(), positional.get(), keywords.get()) < 0 ? nullptr : made.release();
}

// A keyword came twice, as it does where somebody builds a call by hand. `distinct` values are in their slots.
FASTOUTPUTS_OUT_OF_LINE static PyObject *refuse_repeated(OutputObject *self, const ClassLayout *layout,
                                                         Py_ssize_t offset, Py_ssize_t distinct) {
    add_none_references(layout->field_slots - distinct);
    auto is_repeated = [=](const Place &place) { return place.offset == offset; };
    PyErr_Format(PyExc_TypeError, "%s.__init__() got multiple values for argument '%U'",
                 Py_TYPE(as_object(self))->tp_name,
                 std::find_if(layout->places.begin(), layout->places.end(), is_repeated)->name);
    Py_DECREF(self);
    return nullptr;
}

// A new output with these values, each at its offset. Whatever else may run Python code was done before, so that nobody
// finds an output that is half made.
static PyObject *assemble(PyTypeObject *type, const ClassLayout *layout, PyObject *const *values,
                          const Py_ssize_t *offsets, Py_ssize_t count) {
    OutputObject *self = new_bare_output(type, layout);
    if (!self) {
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject **slot = slot_at(self, offsets[i]);
        if (*slot != Py_None) {
            return refuse_repeated(self, layout, offsets[i], i);
        }
        *slot = Py_NewRef(values[i]);
    }
    add_none_references(layout->field_slots - count);
    self->inner_dict = layout->fills_inner_dict && !slots_only ? InnerDict::filled : InnerDict::unused;
    const bool is_whole =
        (!only_first_is_present(self, layout) || unpack_first(self, value_at(self, layout->place[0].offset)) >= 0) &&
        (self->inner_dict != InnerDict::filled || inner_size(self) || fill_inner_dict(self, layout) == 0);
    if (!is_whole) {
        Py_DECREF(self);
        return nullptr;
    }
    return as_object(self);
}

// Which fields got an argument.
using Given = std::bitset<most_bound>;

static bool lacks_a_required_field(const ClassLayout *layout, const Given &given) {
    for (std::size_t i = 0; i < layout->fields.size(); i++) {
        const Field &field = layout->fields[i];
        if (field.is_parameter && !field.initial && !field.factory && !given[i]) {
            return true;
        }
    }
    return false;
}

// With the values of fields that got no argument and have a default other than None. offsets has room for them.
FASTOUTPUTS_OUT_OF_LINE static PyObject *assemble_with_defaults(PyTypeObject *type, const ClassLayout *layout,
                                                                PyObject *const *args, Py_ssize_t *offsets,
                                                                Py_ssize_t count, const Given &given) {
    std::array<PyObject *, most_bound> values;
    Ref held = Ref::borrow(as_object(type));  // over factories
    Ref defaults = hidden(PyList_New(0));     // owns the new ones
    if (!defaults) {
        return nullptr;
    }
    std::copy(args, args + count, values.begin());
    for (std::size_t i = 0; i < layout->fields.size(); i++) {
        const Field &field = layout->fields[i];
        Ref factory = Ref::borrow(field.factory), initial = Ref::borrow(field.initial);
        if (given[i] || (!factory && (!initial || initial.get() == Py_None))) {
            continue;
        }
        Ref value = factory ? Ref(PyObject_CallNoArgs(factory.get())) : std::move(initial);
        if (!value || PyList_Append(defaults.get(), value.get()) < 0) {
            return nullptr;
        }
        values[static_cast<std::size_t>(count)] = value.get();
        offsets[count++] = layout->place[i].offset;
    }
    return assemble(type, layout, values.data(), offsets, count);
}

// For a call with a keyword that names no field: it may be an alias.
FASTOUTPUTS_OUT_OF_LINE static PyObject *construct_by_aliases(PyTypeObject *type, const ClassLayout *layout,
                                                              PyObject *const *args, Py_ssize_t nargs,
                                                              PyObject *kwnames) {
    Ref renamed;
    const int found = rename_keywords(type, layout, kwnames, &renamed);
    if (found < 0) {
        return nullptr;
    }
    return found ? output_vectorcall(as_object(type), args, static_cast<std::size_t>(nargs), renamed.get())
                 : construct_by_init(type, args, nargs, kwnames);
}

PyObject *output_vectorcall(PyObject *cls, PyObject *const *args, std::size_t nargsf, PyObject *kwnames) {
    auto *type = reinterpret_cast<PyTypeObject *>(cls);
    const ClassesLocked locked;
    const ClassLayout *layout = layout_of_class(type);
    if (!layout) {
        return nullptr;
    }
    const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    const Py_ssize_t nkeywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (!layout->compiled_init || nargs > layout->most_positional || nargs + nkeywords > layout->count) {
        return construct_by_init(type, args, nargs, kwnames);
    }
    // First all names are resolved: a wrong call leaves no object behind, and code that the allocation runs may change
    // the class.
    Py_ssize_t offsets[most_bound];
    Given given;
    for (Py_ssize_t i = 0; i < nargs; i++) {
        const Py_ssize_t index = layout->positional[static_cast<std::size_t>(i)];
        offsets[i] = layout->place[index].offset;
        given[static_cast<std::size_t>(index)] = true;
    }
    for (Py_ssize_t i = 0; i < nkeywords; i++) {
        const Bucket *bucket = find_bucket(layout, PyTuple_GET_ITEM(kwnames, i));
        const auto field = static_cast<std::size_t>(bucket ? bucket->index : 0);
        if (!bucket || !(layout->takes_all_fields || layout->fields[field].is_parameter) ||
            ((nargs || layout->fills_defaults) && given[field])) {
            return construct_by_aliases(type, layout, args, nargs, kwnames);
        }
        if (layout->fills_defaults) {
            given[field] = true;
        }
        offsets[nargs + i] = bucket->offset;
    }
    if (!layout->fills_defaults) {
        return assemble(type, layout, args, offsets, nargs + nkeywords);
    }
    if (lacks_a_required_field(layout, given)) {
        return construct_by_init(type, args, nargs, kwnames);
    }
    return assemble_with_defaults(type, layout, args, offsets, nargs + nkeywords, given);
}

// ModelOutput.__init__: of the base itself, and of subclasses whose own __init__ calls super().
int output_init(PyObject *op, PyObject *args, PyObject *kwargs) {
    if (PyTuple_GET_SIZE(args) > 1) {
        PyErr_Format(PyExc_TypeError, "expected at most 1 argument, got %zd", PyTuple_GET_SIZE(args));
        return -1;
    }
    if (!current_layout(as_output(op))) {  // 3.15 has made it without output_alloc
        return -1;
    }
    Ref items(PyObject_Call(as_object(&PyDict_Type), args, kwargs));
    auto set = [=](PyObject *key, PyObject *value) { return set_item(as_output(op), key, value); };
    return items ? for_each_item(items.get(), set) : -1;
}

}  // namespace fastoutputs
