// Whether a method is the one that @dataclass generates, so that compiled code may stand for it.
#include "generated.hpp"

#include "aliases.hpp"
#include "create.hpp"
#include "slots.hpp"

#include <algorithm>
#include <vector>

namespace fastoutputs {

static bool same_name(const py::object &left, PyObject *right) {
    return PyUnicode_Check(left.ptr()) && PyUnicode_Compare(left.ptr(), right) == 0;
}

// What a name is found to be in a class and its bases, and which of them has it.
struct Found {
    py::object owner, value;
};

static Found find(PyTypeObject *type, const char *name) {
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *owner = reinterpret_cast<PyTypeObject *>(base.ptr());
        PyObject *value = own_attribute(owner, name);
        if (value && value == lookup(type, name)) {
            return {py::reinterpret_borrow<py::object>(base), py::reinterpret_borrow<py::object>(value)};
        }
    }
    return {};
}

// Whether a function stands in the file of that one, where dataclasses, or reprlib, makes its guards against recursion.
static bool is_from_file_of(const py::object &method, const char *module, const char *function) {
    return method.attr("__code__")
        .attr("co_filename")
        .equal(py::module_::import(module).attr(function).attr("__code__").attr("co_filename"));
}

// The method without the one wrapper that it is known to have. Anyone else's may do more than the method.
static py::object without_known_wrapper(py::object method, const char *name) {
    const bool is_repr = std::strcmp(name, "__repr__") == 0;
    if (is_repr && PyFunction_Check(method.ptr()) &&
        (is_from_file_of(method, "dataclasses", "field") || is_from_file_of(method, "reprlib", "recursive_repr"))) {
        py::object guarded = attribute_or_none(method, "__wrapped__");
        return guarded.is_none() ? method : guarded;
    }
    return std::strcmp(name, "__init__") == 0 ? without_alias_wrapper(method) : method;
}

// Before 3.11 code does not know its full name. dataclasses compiles it as the second line of "<string>", where anybody
// may write code, a wrapper of the generated method for example. So it must also use nothing but what that does.
static bool looks_generated(py::handle owner, const py::object &method, const py::object &code, const char *name) {
    const auto file = code.attr("co_filename").cast<std::string>();
    if ((file != "<string>" && file != "<dynamic-code>") ||  // the latter: by way of cloudpickle
        code.attr("co_firstlineno").cast<int>() != 2 || code.attr("co_name").cast<std::string>() != name ||
        py::len(method.attr("__dict__")) != 0) {
        return false;
    }
    const py::object fields = attribute_or_none(owner, "__dataclass_fields__");
    const char *const known[] = {"__class__", "__qualname__", "__post_init__", "__setattr__", "NotImplemented"};
    for (py::handle used : py::tuple(code.attr("co_names"))) {
        const auto text = used.cast<std::string>();
        if (std::find(std::begin(known), std::end(known), text) == std::end(known) && !fields.contains(used)) {
            return false;
        }
    }
    for (py::handle free : py::tuple(code.attr("co_freevars"))) {
        const auto text = free.cast<std::string>();
        if (text.rfind("_dflt_", 0) != 0 && text != "_HAS_DEFAULT_FACTORY" && text != "MISSING" &&
            text != "__dataclass_builtins_object__") {
            return false;
        }
    }
    const bool is_repr = std::strcmp(name, "__repr__") == 0;
    for (py::handle constant : py::tuple(code.attr("co_consts"))) {
        const bool is_text = PyUnicode_Check(constant.ptr());
        if (!constant.is_none() && !(is_text && (is_repr || fields.contains(constant)))) {
            return false;
        }
    }
    return true;
}

// The code of the method of owner if it is the generated one, or None. dataclasses makes its methods inside a function
// of this name.
py::object generated_code(py::handle owner, py::object method, const char *name) {
    method = without_known_wrapper(std::move(method), name);
    if (!PyFunction_Check(method.ptr())) {
        return py::none();
    }
    py::object code = method.attr("__code__");
    const bool generated = code_has_qualname ? code.attr("co_qualname").cast<std::string>() ==
                                                   std::string("__create_fn__.<locals>.") + name
                                             : looks_generated(owner, method, code, name);
    return generated ? code : py::none();
}

// Whether __eq__ or __repr__ is generated over exactly the fields of the layout.
bool is_generated_over_fields(PyTypeObject *type, const ClassLayout *layout, const char *method, const char *flag) {
    const Found found = find(type, method);
    if (!found.owner || attribute_or_none(found.owner, "__dataclass_fields__").is_none() ||
        generated_code(found.owner, found.value, method).is_none()) {
        return false;
    }
    py::tuple declared = py::module_::import("dataclasses").attr("fields")(found.owner);
    if (declared.size() != layout->fields.size()) {
        return false;
    }
    for (std::size_t i = 0; i < declared.size(); i++) {
        py::handle field = declared[i];
        if (!is_true(field.attr(flag)) || !same_name(field.attr("name"), layout->place[i].name)) {
            return false;
        }
    }
    return true;
}

bool is_frozen(py::handle cls) {
    py::object parameters = attribute_or_none(cls, "__dataclass_params__");
    return !parameters.is_none() && parameters.attr("frozen").cast<bool>();
}

// Whether output_vectorcall does exactly what calling the class would do.
bool has_compiled_init(PyTypeObject *type, const ClassLayout *layout, bool stores_plainly) {
    if (type->tp_new != PyDict_Type.tp_new ||
        !are_inherited_from_base(type, {"__post_init__", "__setitem__", "__getattribute__"}) ||
        Py_TYPE(type)->tp_call != PyType_Type.tp_call || layout->count == 0 || layout->count > most_bound) {
        return false;
    }
    const Found found = find(type, "__init__");
    if (!found.owner || !(stores_plainly || is_frozen(found.owner))) {
        return false;
    }
    py::object code = generated_code(found.owner, found.value, "__init__");
    if (code.is_none()) {
        return false;
    }
    std::vector<Py_ssize_t> parameters = layout->positional;  // in their order; a copy, as what follows runs any code
    const std::size_t positional = parameters.size();
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        const Field &field = layout->fields[static_cast<std::size_t>(i)];
        if (field.is_shadowed) {
            return false;
        }
        if (field.is_parameter && std::find(parameters.begin(), parameters.end(), i) == parameters.end()) {
            parameters.push_back(i);
        }
    }
    const py::tuple names = code.attr("co_varnames");
    if (code.attr("co_argcount").cast<std::size_t>() != positional + 1 ||
        code.attr("co_kwonlyargcount").cast<std::size_t>() != parameters.size() - positional) {
        return false;  // an InitVar, or fields added without @dataclass
    }
    // A default that was inherited, or taken from another class, may be another than the field declares.
    const py::object init = without_known_wrapper(found.value, "__init__");
    const py::object by_position = init.attr("__defaults__"), by_keyword = init.attr("__kwdefaults__");
    const py::object of_factory =  // as MISSING, it may be another instance
        py::type::of(attribute_or_none(py::module_::import("dataclasses"), "_HAS_DEFAULT_FACTORY"));
    const std::size_t required = positional - (by_position.is_none() ? 0 : py::len(by_position));
    for (std::size_t i = 0; i < parameters.size(); i++) {
        const py::handle name(layout->place[parameters[i]].name);
        py::object given;  // NULL: none
        if (i < positional && i >= required) {
            given = by_position[py::int_(i - required)];
        } else if (i >= positional && !by_keyword.is_none() && by_keyword.contains(name)) {
            given = by_keyword[name];
        }
        const Field &field = layout->fields[static_cast<std::size_t>(parameters[i])];
        const bool is_default =
            field.factory ? given && py::type::handle_of(given).is(of_factory) : given.ptr() == field.initial;
        if (!same_name(names[i + 1], name.ptr()) || !is_default) {
            return false;
        }
    }
    return true;
}

}  // namespace fastoutputs
