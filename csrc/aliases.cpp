// Aliases: other names for fields, such as the name a field had before it was renamed.
//
// A class declares them with `aliases={"old": "new"}`. The class layout keeps those that count in an immutable tuple,
// and we look there only after a name turned out to be no field. Attributes are read through a Python property, which
// tracers can follow. The generated __init__ gets a Python wrapper, for calls that bypass output_vectorcall.
#include "aliases.hpp"

#include "generated.hpp"

#include <vector>

namespace fastoutputs {

static PyObject *aliases_key;  // "__fastoutputs_aliases__", where a class declares them
static PyObject *notice_key;   // "__fastoutputs_alias_used__", beside it: called each time that one of them is used
static PyObject *init_key;

// From Python, see aliases.py.
static PyObject *make_property;  // (old, new) -> property
static PyObject *make_init;      // (generated __init__, {old: new}) -> wrapper
static PyObject *properties;     // (old, new) -> the property that all classes share

// --- what a class declares ------------------------------------------------------------------------

// A copy, as the user's own may change.
static py::dict checked_aliases(PyTypeObject *type, py::handle declared) {
    if (!PyDict_Check(declared.ptr())) {
        type_error(full_name(type) + ": aliases must be a dict of other names to field names, not " +
                   py::repr(declared).cast<std::string>());
    }
    const auto aliases = owned<py::dict>(PyDict_Copy(declared.ptr()));
    for (auto [key, value] : aliases) {
        const auto old = py::reinterpret_borrow<py::object>(key), field = py::reinterpret_borrow<py::object>(value);
        if (!PyUnicode_CheckExact(old.ptr()) || !PyUnicode_CheckExact(field.ptr())) {
            type_error(full_name(type) + ": the alias " + py::repr(old).cast<std::string>() +
                       " must be a str and name a field by a str, not " + py::repr(field).cast<std::string>());
        }
        if (PyUnicode_Compare(old.ptr(), field.ptr()) == 0) {
            type_error(full_name(type) + ": " + py::repr(old).cast<std::string>() + " cannot be an alias of itself");
        }
    }
    return aliases;
}

void declare_aliases(PyTypeObject *type, const py::handle &declared) {
    py::handle(as_object(type)).attr(py::handle(aliases_key)) = checked_aliases(type, declared);
}

struct DeclaredAlias {
    py::object old, field, notice;
};

// Everything that the class and its bases declare, the nearest class first. A notice belongs to the class that declares
// the alias: that of a library's base says nothing about a user's own aliases.
static std::vector<DeclaredAlias> declared_aliases(PyTypeObject *type) {
    std::vector<DeclaredAlias> found;
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *base_type = reinterpret_cast<PyTypeObject *>(base.ptr());
        PyObject *own = own_attribute(base_type, aliases_key);
        if (!own) {
            continue;
        }
        const py::dict declared = checked_aliases(base_type, py::reinterpret_borrow<py::object>(own));
        PyObject *notice = own_attribute(base_type, notice_key);
        auto held = notice ? py::reinterpret_borrow<py::object>(notice) : py::none();
        if (!held.is_none() && !PyCallable_Check(held.ptr())) {
            type_error(full_name(base_type) + ".__fastoutputs_alias_used__ must be callable, not " +
                       py::repr(held).cast<std::string>());
        }
        for (auto [old, field] : declared) {
            found.push_back({py::reinterpret_borrow<py::object>(old), py::reinterpret_borrow<py::object>(field), held});
        }
    }
    return found;
}

// --- the property and the wrapper -----------------------------------------------------------------

void set_alias_functions(PyObject *property, PyObject *init) {
    const ClassesLocked locked;
    Ref old_property(std::exchange(make_property, Py_NewRef(property)));
    Ref old_init(std::exchange(make_init, Py_NewRef(init)));
}

bool is_alias_property(PyObject *attribute) {
    if (!Py_IS_TYPE(attribute, &PyProperty_Type)) {
        return false;
    }
    PyObject *names, *made;
    Py_ssize_t position = 0;
    while (PyDict_Next(properties, &position, &names, &made)) {
        if (made == attribute) {
            return true;
        }
    }
    return false;
}

static py::object property_of(const py::tuple &names) {
    if (PyObject *made = PyDict_GetItemWithError(properties, names.ptr())) {
        return py::reinterpret_borrow<py::object>(made);
    }
    py::object made = py::handle(make_property)(*names);
    if (PyDict_SetItem(properties, names.ptr(), made.ptr()) < 0) {
        throw py::error_already_set();
    }
    return made;
}

// A closure variable of a wrapper that make_init returned; NULL for any other function.
static py::object held_by_init(const py::object &method, const char *variable) {
    if (!make_init || !PyFunction_Check(method.ptr())) {
        return {};
    }
    PyObject *code = PyFunction_GET_CODE(method.ptr());
    py::tuple constants = py::handle(make_init).attr("__code__").attr("co_consts");
    for (py::handle constant : constants) {
        if (constant.ptr() == code) {
            const auto index = py::handle(code).attr("co_freevars").attr("index")(variable).cast<Py_ssize_t>();
            return py::reinterpret_borrow<py::object>(
                PyCell_GET(PyTuple_GET_ITEM(PyFunction_GET_CLOSURE(method.ptr()), index)));
        }
    }
    return {};
}

py::object without_alias_wrapper(const py::object &init) {
    py::object generated = held_by_init(init, "generated");
    return generated ? generated : init;
}

// Has the generated __init__ of a class take the aliases of its parameters. True if the class changed.
static bool fit_init(PyTypeObject *type, const std::vector<DeclaredAlias> &declared) {
    PyObject *own = own_attribute(type, init_key);
    if (!own) {
        return false;
    }
    auto init = py::reinterpret_borrow<py::object>(own);
    const py::object generated = without_alias_wrapper(init), code = generated_code(as_object(type), init, "__init__");
    if (code.is_none()) {
        return false;
    }
    const auto parameters =
        code.attr("co_argcount").cast<std::size_t>() + code.attr("co_kwonlyargcount").cast<std::size_t>();
    const py::tuple names = py::tuple(code.attr("co_varnames"))[py::slice(1, static_cast<Py_ssize_t>(parameters), 1)];
    py::dict renamed = new_dict();
    for (const DeclaredAlias &alias : declared) {
        if (names.contains(alias.field) && !names.contains(alias.old) && !renamed.contains(alias.old)) {
            renamed[alias.old] = alias.field;
        }
    }
    const py::object before = held_by_init(init, "renamed");
    if (before ? before.equal(renamed) : renamed.empty()) {
        return false;
    }
    set_on(type, init_key, (renamed.empty() ? generated : py::handle(make_init)(generated, renamed)).ptr());
    return true;
}

// Gives the class the properties of its aliases, unless an attribute of the user's has the name, and takes others away.
// True if the class changed.
static bool fit_properties(PyTypeObject *type, const py::tuple &aliases) {
    const py::object field_class = py::module_::import("dataclasses").attr("Field");
    bool changed = false;
    py::dict wanted = new_dict();
    for (py::handle alias : aliases) {
        const auto parts = py::reinterpret_borrow<py::tuple>(alias);
        const py::object old = parts[0], made = property_of(py::make_tuple(old, parts[1]));
        const auto found = py::reinterpret_borrow<py::object>(lookup(type, old.ptr()));
        // A Field is left behind by restore_inherited_defaults where no @dataclass has taken it.
        if (!found || is_alias_property(found.ptr()) || py::type::handle_of(found).is(field_class)) {
            wanted[old] = made;
            if (!found.is(made)) {
                set_on(type, old.ptr(), made.ptr());
                changed = true;
            }
        }
    }
    const py::object own = owned(PyDict_Copy(own_dict(type)));
    const int done = for_each_item(own.ptr(), [&](PyObject *name, PyObject *value) {
        if (is_alias_property(value) && !wanted.contains(py::handle(name))) {
            set_on(type, name, nullptr);
            changed = true;
        }
        return 0;
    });
    return done == 0 && changed;
}

bool read_aliases(PyTypeObject *type, ClassLayout *layout) {
    const std::vector<DeclaredAlias> declared = declared_aliases(type);
    if ((declared.empty() && !layout->aliases) || !make_init) {
        return false;
    }
    const py::object fields = attribute_or_none(py::handle(as_object(type)), "__dataclass_fields__");
    py::dict found = new_dict();
    for (const DeclaredAlias &alias : declared) {
        const Py_ssize_t index = find_field(layout, alias.field.ptr());
        if (index >= 0 && !fields.contains(alias.old) && !found.contains(alias.old)) {
            py::handle field = layout->place[static_cast<std::size_t>(index)].name;  // which is interned
            found[alias.old] = py::make_tuple(alias.old, field, alias.notice);
        }
    }
    py::tuple aliases(py::list(found.attr("values")()));
    Ref replaced;
    if (!found.empty()) {  // known first: should what follows fail, it is done again
        replaced = Ref(std::exchange(layout->aliases, Py_NewRef(aliases.ptr())));
    }
    bool changed = fit_properties(type, aliases);
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *owner = reinterpret_cast<PyTypeObject *>(base.ptr());
        if (PyType_IsSubtype(owner, model_output) && owner != model_output) {
            changed |= fit_init(owner, owner == type ? declared : declared_aliases(owner));
        }
    }
    if (found.empty()) {
        replaced = Ref(std::exchange(layout->aliases, nullptr));
    }
    return changed;
}

// --- use ------------------------------------------------------------------------------------------

static bool same_name(PyObject *left, PyObject *right) {
    return left == right || (PyUnicode_Check(right) && PyUnicode_Compare(left, right) == 0);
}

// (alias, field, notice), borrowed from aliases, or NULL.
static PyObject *find_alias(PyObject *aliases, PyObject *name) {
    for (Py_ssize_t i = 0; aliases && i < PyTuple_GET_SIZE(aliases); i++) {
        PyObject *alias = PyTuple_GET_ITEM(aliases, i);
        if (same_name(PyTuple_GET_ITEM(alias, 0), name)) {
            return alias;
        }
    }
    return nullptr;
}

// Runs any code. The caller owns alias, and type.
static int notify(PyTypeObject *type, PyObject *alias) {
    PyObject *notice = PyTuple_GET_ITEM(alias, 2);
    if (notice == Py_None) {
        return 0;
    }
    Ref done(PyObject_CallFunctionObjArgs(notice, as_object(type), PyTuple_GET_ITEM(alias, 0),
                                          PyTuple_GET_ITEM(alias, 1), nullptr));
    return done ? 0 : -1;
}

int use_alias(OutputObject *self, PyObject *name, bool as_key, Ref *field) {
    if (layout_of(self)->count == 0) {
        return 0;
    }
    Ref aliases, type = Ref::borrow(as_object(Py_TYPE(as_object(self))));
    {
        const ClassesLocked locked;
        const ClassLayout *layout = current_layout(self);
        if (!layout) {
            return -1;
        }
        aliases = Ref::borrow(layout->aliases);
    }
    PyObject *alias = find_alias(aliases.get(), name);
    if (!alias) {
        return 0;
    }
    if (as_key && inner_size(self)) {
        const int is_extra = PyDict_Contains(as_object(self), name);
        if (is_extra != 0) {
            return is_extra < 0 ? -1 : 2;
        }
    }
    *field = Ref::borrow(PyTuple_GET_ITEM(alias, 1));
    return notify(reinterpret_cast<PyTypeObject *>(type.get()), alias) < 0 ? -1 : 1;
}

int note_alias(PyTypeObject *type, PyObject *old) {
    Ref aliases;
    {
        const ClassesLocked locked;
        const ClassLayout *layout = layout_of_class(type);
        if (!layout) {
            return -1;
        }
        aliases = Ref::borrow(layout->aliases);
    }
    PyObject *alias = find_alias(aliases.get(), old);
    return alias ? notify(type, alias) : 0;
}

static Py_ssize_t index_of(PyObject *names, PyObject *name) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
        if (same_name(name, PyTuple_GET_ITEM(names, i))) {
            return i;
        }
    }
    return -1;
}

static PyObject *with_name(PyObject *names, Py_ssize_t index, PyObject *name) {
    PyObject *changed = PyTuple_New(PyTuple_GET_SIZE(names));
    for (Py_ssize_t i = 0; changed && i < PyTuple_GET_SIZE(names); i++) {
        PyTuple_SET_ITEM(changed, i, Py_NewRef(i == index ? name : PyTuple_GET_ITEM(names, i)));
    }
    return changed;
}

int rename_keywords(PyTypeObject *type, const ClassLayout *layout, PyObject *given, Ref *renamed) {
    Ref aliases = Ref::borrow(layout->aliases);
    for (Py_ssize_t i = 0; aliases && i < PyTuple_GET_SIZE(aliases.get()); i++) {
        PyObject *alias = PyTuple_GET_ITEM(aliases.get(), i);
        PyObject *old = PyTuple_GET_ITEM(alias, 0), *field = PyTuple_GET_ITEM(alias, 1);
        const Py_ssize_t index = index_of(given, old);
        if (index < 0) {
            continue;
        }
        if (index_of(given, field) >= 0) {
            PyErr_Format(PyExc_ValueError, "You cannot specify both `%U` and `%U`. use `%U` only.", field, old, field);
            return -1;
        }
        if (*renamed && index_of(renamed->get(), field) >= 0) {
            *renamed = Ref();  // two aliases of one field: the generated __init__ refuses the second
            return 0;
        }
        *renamed = Ref(with_name(*renamed ? renamed->get() : given, index, field));
        if (!*renamed) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; *renamed && i < PyTuple_GET_SIZE(aliases.get()); i++) {
        PyObject *alias = PyTuple_GET_ITEM(aliases.get(), i);
        if (index_of(given, PyTuple_GET_ITEM(alias, 0)) >= 0 && notify(type, alias) < 0) {
            return -1;
        }
    }
    return *renamed ? 1 : 0;
}

int prepare_aliases() {
    aliases_key = PyUnicode_InternFromString("__fastoutputs_aliases__");
    notice_key = PyUnicode_InternFromString("__fastoutputs_alias_used__");
    init_key = PyUnicode_InternFromString("__init__");
    properties = PyDict_New();
    return aliases_key && notice_key && init_key && properties ? 0 : -1;
}

}  // namespace fastoutputs
