// The Python module: names and documentation, no logic.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "aliases.hpp"
#include "create.hpp"
#include "holders.hpp"
#include "model_output.hpp"
#include "replaced.hpp"
#include "sealing.hpp"
#include "slots.hpp"
#include "storage.hpp"

#include <map>
#include <string>

namespace py = pybind11;
namespace fo = fastoutputs;

namespace {

// Not a py::class_: an instance of one made by __new__ alone, as pickle makes it, holds nothing and is read all the
// same.
PyStructSequence_Field layout_fields[] = {
    {"fields", "Field names, in declared order."},
    {"offsets", "Bytes from the start of an instance to the slot of each field."},
    {"mirror_dict", "Whether new instances keep their inner dict in sync."},
    {"compiled_init", "Whether calling the class runs no Python code."},
    {"aliases", "Pairs of an alias that counts in the class and the field that it means."},
    {nullptr, nullptr},
};
PyStructSequence_Desc layout_description = {"fastoutputs._core.Layout", "How instances of a sealed class are laid out.",
                                            layout_fields, 5};
PyTypeObject *layout_type;

// Filled at once: to make what goes in may run the collector, which shows the tuple to any code.
template <typename Item>
py::tuple tuple_of(std::size_t size, Item item) {
    std::vector<py::object> items;
    items.reserve(size);
    for (std::size_t i = 0; i < size; i++) {
        items.push_back(py::reinterpret_borrow<py::object>(item(i)));
    }
    py::tuple tuple(size);
    for (std::size_t i = 0; i < size; i++) {
        tuple[i] = items[i];
    }
    return tuple;
}

py::object layout_of(py::type cls) {
    auto *type = reinterpret_cast<PyTypeObject *>(cls.ptr());
    if (!PyType_IsSubtype(type, fo::model_output)) {
        throw py::type_error("layout() takes a subclass of ModelOutput, not " + py::repr(cls).cast<std::string>());
    }
    const fo::ClassesLocked locked;
    fo::ClassLayout *layout = fo::layout_of_class(type);
    if (!layout) {
        throw py::error_already_set();
    }
    const std::vector<fo::Place> &places = layout->places;
    const py::tuple names = tuple_of(places.size(), [&](std::size_t i) { return py::handle(places[i].name); });
    const py::tuple offsets = tuple_of(places.size(), [&](std::size_t i) { return py::int_(places[i].offset); });
    const auto known = layout->aliases ? py::reinterpret_borrow<py::tuple>(layout->aliases) : py::tuple();
    const py::tuple aliases = tuple_of(known.size(), [&](std::size_t i) {
        const auto alias = py::reinterpret_borrow<py::tuple>(known[i]);
        return py::make_tuple(alias[0], alias[1]);
    });
    const py::object described = fo::owned(PyStructSequence_New(layout_type));
    py::object parts[] = {names, offsets, py::bool_(layout->fills_inner_dict), py::bool_(layout->compiled_init),
                          aliases};
    for (Py_ssize_t i = 0; i < 5; i++) {
        PyStructSequence_SetItem(described.ptr(), i, parts[i].release().ptr());
    }
    return described;
}

void alias_used(py::type cls, const py::str &alias) {
    auto *type = reinterpret_cast<PyTypeObject *>(cls.ptr());
    if (!PyType_IsSubtype(type, fo::model_output)) {
        throw py::type_error("alias_used() takes a subclass of ModelOutput, not " + py::repr(cls).cast<std::string>());
    }
    if (fo::note_alias(type, alias.ptr()) < 0) {
        throw py::error_already_set();
    }
}

bool set_slots_only(bool enabled) {
    bool before = fo::slots_only;
    fo::slots_only = enabled;
    return before;
}

std::map<std::string, std::string> build_info() {
    return {
        {"version", FASTOUTPUTS_VERSION},
        {"python", PY_VERSION},
        {"build_type", FASTOUTPUTS_BUILD_TYPE},
#if defined(__VERSION__)
        {"compiler", __VERSION__},
#elif defined(_MSC_VER)
        {"compiler", "MSVC " + std::to_string(_MSC_VER)},
#endif
#if defined(NDEBUG)
        {"assertions", "off"},
#else
        {"assertions", "on"},
#endif
    };
}

}  // namespace

// All of csrc/ keeps one state for the process, so it serves one interpreter. Asked before pybind11 does
// anything, which up to 3.11 would wait for ever in another one; and when the module is filled, since
// later versions may call PyInit in the main interpreter for another one.
static bool is_main_interpreter() { return PyInterpreterState_Get() == PyInterpreterState_Main(); }
static const char only_main[] = "module fastoutputs._core does not support loading in subinterpreters";

#undef PYBIND11_PLUGIN_IMPL
#define PYBIND11_PLUGIN_IMPL(name) static PyObject *make_module()

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    if (!is_main_interpreter()) {
        throw py::import_error(only_main);
    }
    m.doc() = "The compiled container behind fastoutputs.ModelOutput.";
    layout_type = PyStructSequence_NewType(&layout_description);
    if (!layout_type || fo::prepare_model_output(m.ptr()) < 0) {
        throw py::error_already_set();
    }
    m.add_object("Layout", reinterpret_cast<PyObject *>(layout_type));
    m.def("layout", &layout_of, py::arg("cls"),
          "Seal cls, if it is not yet, and describe its layout. TypeError if cls is no output class.");
    m.def("set_slots_only", &set_slots_only, py::arg("enabled"),
          "Make outputs of this thread without dict storage from now on, or with it; returns what held before.");
    m.def(
        "set_twin", [](const char *name, py::function function) { fo::set_twin(name, function.ptr()); },
        py::arg("name"), py::arg("function"),
        "Let this method of ModelOutput read as a Python function; what the interpreter runs stays compiled.");
    m.def(
        "is_sealed",
        [](py::type cls) {
            auto *type = reinterpret_cast<PyTypeObject *>(cls.ptr());
            return PyType_IsSubtype(type, fo::model_output) && fo::is_sealed(type);
        },
        py::arg("cls"), "Whether cls is an output class that was used.");
    m.def(
        "set_subclass_hook", [](py::function hook) { fo::set_subclass_hook(hook.ptr()); }, py::arg("hook"),
        "Have hook called with each subclass of ModelOutput from now on, before @dataclass has seen it.");
    m.def("alias_used", &alias_used, py::arg("cls"), py::arg("alias"),
          "Call what cls has to be told when an alias of it is used, if it has anything.");
    m.def(
        "set_alias_functions",
        [](py::function property, py::function init) { fo::set_alias_functions(property.ptr(), init.ptr()); },
        py::arg("property"), py::arg("init"),
        "Have these make the property of an alias, and the wrapper of an __init__ that takes aliases.");
    m.def(
        "is_alias_property", [](py::handle value) { return fo::is_alias_property(value.ptr()); }, py::arg("value"),
        "Whether this is a property that was put into a class for an alias.");
    m.def(
        "declared_value",
        [](const py::object &attribute, const py::object &missing) {
            const py::object declared = fo::declared_value(attribute.ptr());
            return declared ? declared : missing;
        },
        py::arg("attribute"), py::arg("missing"),
        "What a class was declared with where it has this attribute now: it, or what a field's descriptor displaced.");
    py::list array_types;
    for (const auto &[module_name, type_name] : fo::array_types) {
        array_types.append(py::make_tuple(module_name, type_name));
    }
    m.attr("array_types") = py::tuple(array_types);
    m.def("holders", &fo::holders, py::arg("targets"), py::arg("kinds"),
          "Every object that refers to one of the targets, or to an immutable object that does; and how many instances "
          "the targets have. kinds says which types are immutable (1), own their dicts (2) or are ignored (4).");
    m.def(
        "refill", &fo::refill, py::arg("dict"), py::arg("items"), py::arg("before"),
        "Give a dict, or an OrderedDict, these items in the place of those it has, in one step and past its methods.");
    m.def(
        "set_replaced",
        [](const py::dict &named, const py::dict &families) { fo::set_replaced(named.ptr(), families.ptr()); },
        py::arg("named"), py::arg("families"),
        "Look up in these dicts what class the name of a class means now, and which classes are compared as one.");
    m.def("build_info", &build_info, "Version, compiler and build mode, for bug reports.");
}

// NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the name that Python asks for
extern "C" PYBIND11_EXPORT PyObject *PyInit__core() {
    if (!is_main_interpreter()) {
        PyErr_SetString(PyExc_ImportError, only_main);
        return nullptr;
    }
    return make_module();
}
