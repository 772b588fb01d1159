// Whether a method is the one that @dataclass generates, so that compiled code may stand for it.
#include "create.hpp"
#include "sealing.hpp"

#include <algorithm>
#include <vector>

namespace fastoutputs {

static bool same_name(const py::object &left, PyObject *right) { return PyUnicode_Compare(left.ptr(), right) == 0; }

// What a name is found to be in a class and its bases, and which of them has it.
struct Found {
    PyTypeObject *owner = nullptr;
    py::object value;
};

static Found find(PyTypeObject *type, const char *name) {
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *owner = reinterpret_cast<PyTypeObject *>(base.ptr());
        PyObject *value = own_attribute(owner, name);
        if (value && value == lookup(type, name)) {
            return {owner, py::reinterpret_borrow<py::object>(value)};
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

// The code of the generated method, or None. dataclasses makes its methods inside a function of this
// name; before 3.11 code does not know its full name, but stands on the second line of "<string>".
py::object generated_code(py::object method, const char *name) {
    method = without_known_wrapper(std::move(method), name);
    if (!PyFunction_Check(method.ptr())) {
        return py::none();
    }
    py::object code = method.attr("__code__");
    const bool generated = code_has_qualname ? code.attr("co_qualname").cast<std::string>() ==
                                                   std::string("__create_fn__.<locals>.") + name
                                             : code.attr("co_filename").cast<std::string>() == "<string>" &&
                                                   code.attr("co_firstlineno").cast<int>() == 2;
    return generated ? code : py::none();
}

// Whether __eq__ or __repr__ is generated over exactly the fields of the layout.
bool is_generated_over_fields(PyTypeObject *type, const ClassLayout *layout, const char *method, const char *flag) {
    const Found found = find(type, method);
    const py::handle owner(as_object(found.owner));
    if (!owner || attribute_or_none(owner, "__dataclass_fields__").is_none() ||
        generated_code(found.value, method).is_none()) {
        return false;
    }
    py::tuple declared = py::module_::import("dataclasses").attr("fields")(owner);
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

// Whether a parameter of the generated __init__ has the default that the field declares. One that was inherited, or
// taken from another class, may have another.
static bool has_default_of(const Field &field, py::handle given) {
    const py::object of_factory = attribute_or_none(py::module_::import("dataclasses"), "_HAS_DEFAULT_FACTORY");
    return field.factory ? given && given.is(of_factory) : given.ptr() == field.initial;
}

static bool has_defaults_of(const ClassLayout *layout, const py::object &init) {
    const py::object by_position = init.attr("__defaults__"), by_keyword = init.attr("__kwdefaults__");
    const std::size_t most = layout->positional.size();
    const std::size_t optional = by_position.is_none() ? 0 : py::len(by_position);
    std::vector<bool> seen(layout->fields.size());
    for (std::size_t i = 0; i < most; i++) {
        const auto index = static_cast<std::size_t>(layout->positional[i]);
        const bool is_optional = i + optional >= most;
        const py::object given = is_optional ? py::object(by_position[py::int_(i + optional - most)]) : py::object();
        if (!has_default_of(layout->fields[index], given)) {
            return false;
        }
        seen[index] = true;
    }
    for (std::size_t i = 0; i < layout->fields.size(); i++) {
        const py::handle name(layout->place[i].name);
        const bool is_optional = !by_keyword.is_none() && by_keyword.contains(name);
        const py::object given = is_optional ? py::object(by_keyword[name]) : py::object();
        if (!seen[i] && layout->fields[i].is_parameter && !has_default_of(layout->fields[i], given)) {
            return false;
        }
    }
    return true;
}

// Whether output_vectorcall does exactly what calling the class would do.
bool has_compiled_init(PyTypeObject *type, const ClassLayout *layout, bool stores_plainly) {
    if (type->tp_new != PyDict_Type.tp_new || !is_inherited_from_base(type, "__post_init__") ||
        Py_TYPE(type)->tp_call != PyType_Type.tp_call || layout->count == 0 || layout->count > most_bound) {
        return false;
    }
    const Found found = find(type, "__init__");
    if (!found.owner || !(stores_plainly || is_frozen(py::handle(as_object(found.owner))))) {
        return false;
    }
    py::object code = generated_code(found.value, "__init__");
    if (code.is_none()) {
        return false;
    }
    std::vector<PyObject *> parameters;
    parameters.reserve(layout->fields.size());
    for (Py_ssize_t index : layout->positional) {
        parameters.push_back(layout->place[static_cast<std::size_t>(index)].name);
    }
    const std::size_t positional = parameters.size();
    for (std::size_t i = 0; i < layout->fields.size(); i++) {
        const Field &field = layout->fields[i];
        if (field.is_shadowed) {
            return false;
        }
        const bool by_position = std::find(layout->positional.begin(), layout->positional.end(),
                                           static_cast<Py_ssize_t>(i)) != layout->positional.end();
        if (field.is_parameter && !by_position) {
            parameters.push_back(layout->place[i].name);
        }
    }
    py::tuple names = code.attr("co_varnames");
    if (code.attr("co_argcount").cast<std::size_t>() != positional + 1 ||
        code.attr("co_kwonlyargcount").cast<std::size_t>() != parameters.size() - positional) {
        return false;  // an InitVar, or fields added without @dataclass
    }
    for (std::size_t i = 0; i < parameters.size(); i++) {
        if (!same_name(names[i + 1], parameters[i])) {
            return false;
        }
    }
    return has_defaults_of(layout, without_known_wrapper(found.value, "__init__"));
}

}  // namespace fastoutputs
