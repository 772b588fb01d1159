// Construction: binding arguments without building a tuple or a dict of them, defaults, and the
// hand-over for a mapping or pairs given as the only first field.
//
// Whatever this file does not bind exactly as the generated __init__ would goes to that __init__,
// which then gives the right result or the right error.
#include "layout.hpp"
#include "ref.hpp"

namespace fastoutputs {

FASTOUTPUTS_THREAD_LOCAL bool slots_only = false;

// --- the first field -----------------------------------------------------------------------------

// Array types by the modules that define them; looked up only if the module is loaded already.
static const char *const array_types[][2] = {
    {"torch", "Tensor"}, {"numpy", "ndarray"},  {"tensorflow", "Tensor"},
    {"jax", "Array"},    {"torch.fx", "Proxy"}, {"mlx.core", "array"},
};

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
    PyObject *modules = PyImport_GetModuleDict();
    for (const auto &[module_name, type_name] : array_types) {
        Ref module = Ref::borrow(PyDict_GetItemString(modules, module_name));
        if (!module) {
            continue;
        }
        Ref array_type(PyObject_GetAttrString(module.get(), type_name));
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
    if ((value == Py_None || schema_of(self)->own_setattr) && PyObject_SetAttr(as_object(self), key, value) < 0) {
        return -1;
    }
    return value == Py_None ? 0 : set_item(self, key, value);
}

// Fills the fields from a first field that is a dict or yields pairs; leaves any other as it is.
// Called when the first field is the only one that is there.
static int unpack_first(OutputObject *self) {
    const Locked locked(self);
    Ref first = Ref::borrow(row_of(self)[0]);
    PyTypeObject *type = Py_TYPE(first.get());
    if (!schema_of(self)->unpacks_pairs && !PyDict_Check(first.get())) {
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
    if (store_field(self, 0, Py_None) < 0) {
        return -1;
    }
    for (bool at_start = true;; at_start = false) {
        Ref element(PyIter_Next(iterator.get()));
        if (!element) {
            return PyErr_Occurred() ? -1 : 0;
        }
        if (!is_pair(element.get())) {
            if (at_start) {
                return set_item(self, schema_of(self)->fields[0].name, first.get());
            }
            PyErr_Format(PyExc_ValueError, "Cannot set key/value for %S. It needs to be a tuple (key, value).",
                         element.get());
            return -1;
        }
        Ref key = Ref::borrow(PySequence_Fast_GET_ITEM(element.get(), 0));
        Ref value = Ref::borrow(PySequence_Fast_GET_ITEM(element.get(), 1));
        if (set_pair(self, key.get(), value.get()) < 0) {
            return -1;
        }
    }
}

static bool only_first_is_present(PyObject *const *row, Py_ssize_t count) {
    if (count == 0 || row[0] == Py_None) {
        return false;
    }
    for (Py_ssize_t i = 1; i < count; i++) {
        if (row[i] != Py_None) {
            return false;
        }
    }
    return true;
}

// __post_init__, which a generated __init__ calls last and an override may call by super().
PyObject *output_post_init(PyObject *op, PyObject *) {
    OutputObject *self = as_output(op);
    const Locked locked(op);
    if (!self->schema && !seal(Py_TYPE(op))) {
        return nullptr;
    }
    if (schema_of(self)->count == 0) {
        return PyErr_Format(PyExc_ValueError, "%s has no fields.", Py_TYPE(op)->tp_name);
    }
    if (only_first_is_present(row_of(self), schema_of(self)->count) && unpack_first(self) < 0) {
        return nullptr;
    }
    Py_RETURN_NONE;
}

// --- the constructor -----------------------------------------------------------------------------

// What type.__call__ does, with the defaults of fields that __init__ does not set.
static PyObject *construct_by_init(PyTypeObject *type, Schema *schema, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames) {
    Ref positional(PyTuple_New(nargs));
    Ref keywords(kwnames ? PyDict_New() : nullptr);
    if (!positional || (kwnames && !keywords)) {
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
    for (Py_ssize_t i = 0; schema->fills_defaults && i < schema->count; i++) {
        const Field &field = schema->fields[i];
        if (!field.is_parameter && field.initial && store_field(as_output(made.get()), i, field.initial) < 0) {
            return nullptr;
        }
    }
    if (Py_TYPE(made.get())->tp_init(made.get(), positional.get(), keywords.get()) < 0) {
        return nullptr;
    }
    return made.release();
}

struct Given {
    std::uint64_t bits[most_bound / 64] = {};
    void add(std::size_t i) { bits[i / 64] |= std::uint64_t{1} << (i % 64); }
    bool has(std::size_t i) const { return bits[i / 64] >> (i % 64) & 1; }
};

// Sets what was not given and has a default other than None. Runs factories, which may run any code.
static int fill_defaults(OutputObject *self, const Schema *schema, const Given &given) {
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        const Field &field = schema->fields[i];
        const bool stays_none = !field.factory && (!field.initial || field.initial == Py_None);
        if (stays_none || given.has(static_cast<std::size_t>(i))) {
            continue;
        }
        Ref value = field.factory ? Ref(PyObject_CallNoArgs(field.factory)) : Ref::borrow(field.initial);
        if (!value) {
            return -1;
        }
        Ref replaced(exchange_slot(&row_of(self, schema)[i], value.release()));
    }
    return 0;
}

// For a call with a keyword that names no field: it may be an alias.
FASTOUTPUTS_OUT_OF_LINE static PyObject *construct_by_aliases(PyTypeObject *type, Schema *schema, PyObject *const *args,
                                                              Py_ssize_t nargs, PyObject *kwnames) {
    Ref renamed;
    const int found = rename_keywords(type, schema, kwnames, &renamed);
    if (found < 0) {
        return nullptr;
    }
    return found ? output_vectorcall(as_object(type), args, static_cast<std::size_t>(nargs), renamed.get())
                 : construct_by_init(type, schema, args, nargs, kwnames);
}

PyObject *output_vectorcall(PyObject *cls, PyObject *const *args, std::size_t nargsf, PyObject *kwnames) {
    auto *type = reinterpret_cast<PyTypeObject *>(cls);
    const ClassesLocked locked;
    Schema *schema = schema_of_class(type);
    if (!schema) {
        return nullptr;
    }
    const Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    const Py_ssize_t nkeywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (!schema->compiled_init || nargs > static_cast<Py_ssize_t>(schema->positional.size()) ||
        nkeywords > most_bound) {
        return construct_by_init(type, schema, args, nargs, kwnames);
    }
    // First all names are resolved, so that a wrong call leaves no object behind.
    std::uint16_t target[most_bound];
    Given given;
    for (Py_ssize_t i = 0; i < nargs; i++) {
        given.add(schema->positional[static_cast<std::size_t>(i)]);
    }
    for (Py_ssize_t i = 0; i < nkeywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        Py_ssize_t index = PyUnicode_CheckExact(name) ? find_field(schema, name) : -1;
        const auto field = static_cast<std::size_t>(index);
        if (index < 0 || !(schema->takes_all_fields || schema->fields[field].is_parameter) ||
            (nargs && given.has(field))) {
            return construct_by_aliases(type, schema, args, nargs, kwnames);
        }
        if (schema->fills_defaults) {
            given.add(field);
        }
        target[i] = static_cast<std::uint16_t>(index);
    }
    if (schema->fills_defaults) {
        for (std::size_t i = 0; i < schema->fields.size(); i++) {
            const Field &field = schema->fields[i];
            if (field.is_parameter && !field.initial && !field.factory && !given.has(i)) {
                return construct_by_init(type, schema, args, nargs, kwnames);
            }
        }
    }

    PyObject *op = new_bare_output(type, schema);
    if (!op) {
        return nullptr;
    }
    OutputObject *self = as_output(op);
    PyObject **row = row_of(self, schema);
    for (Py_ssize_t i = 0; i < nargs; i++) {
        row[schema->positional[static_cast<std::size_t>(i)]] = Py_NewRef(args[i]);
    }
    for (Py_ssize_t i = 0; i < nkeywords; i++) {
        row[target[i]] = Py_NewRef(args[nargs + i]);
    }
    add_none_references(schema->count - nargs - nkeywords);
    auto is_in_step = [=] { return raw_size(self) > 0 && raw_size(self) >= count_present(self); };
    const bool is_whole = (!schema->fills_defaults || fill_defaults(self, schema, given) == 0) &&
                          (!only_first_is_present(row, schema->count) || unpack_first(self) == 0) &&
                          (!schema->mirror_dict || slots_only || is_in_step() || fill_raw(self) == 0);
    if (!is_whole) {
        Py_DECREF(op);
        return nullptr;
    }
    return op;
}

// ModelOutput.__init__: of the base itself, and of subclasses whose own __init__ calls super().
int output_init(PyObject *op, PyObject *args, PyObject *kwargs) {
    if (PyTuple_GET_SIZE(args) > 1) {
        PyErr_Format(PyExc_TypeError, "expected at most 1 argument, got %zd", PyTuple_GET_SIZE(args));
        return -1;
    }
    Ref items(PyObject_Call(as_object(&PyDict_Type), args, kwargs));
    PyObject *key, *value;
    Py_ssize_t position = 0;
    while (items && PyDict_Next(items.get(), &position, &key, &value)) {
        if (set_item(as_output(op), key, value) < 0) {
            return -1;
        }
    }
    return items ? 0 : -1;
}

}  // namespace fastoutputs
