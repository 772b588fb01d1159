// The Python module: names and documentation, no logic.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "layout.hpp"

#include <map>
#include <string>

namespace py = pybind11;
namespace fo = fastoutputs;

namespace {

// A read-only picture of a sealed class.
struct Layout {
    py::tuple fields;
    Py_ssize_t offset;
    bool mirror_dict;
    bool compiled_init;
};

Layout layout_of(py::type cls) {
    auto *type = reinterpret_cast<PyTypeObject *>(cls.ptr());
    if (!PyType_IsSubtype(type, fo::runtime.model_output)) {
        throw py::type_error("layout() takes a subclass of ModelOutput, not " + py::repr(cls).cast<std::string>());
    }
    fo::Schema *schema = fo::schema_of_class(type);
    if (!schema) {
        throw py::error_already_set();
    }
    py::tuple names(schema->fields.size());
    for (std::size_t i = 0; i < schema->fields.size(); i++) {
        names[i] = py::reinterpret_borrow<py::object>(schema->fields[i].name);
    }
    return Layout{names, schema->row_offset, schema->mirror_dict, schema->compiled_init};
}

bool set_slots_only(bool enabled) {
    bool before = fo::slots_only;
    fo::slots_only = enabled;
    return before;
}

void set_subclass_hook(py::function hook) {
    PyObject *replaced = fo::runtime.subclass_hook;
    fo::runtime.subclass_hook = hook.release().ptr();
    Py_XDECREF(replaced);
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

PYBIND11_MODULE(_core, m) {
    if (!is_main_interpreter()) {
        throw py::import_error(only_main);
    }
    m.doc() = "The compiled container behind fastoutputs.ModelOutput.";
    if (fo::prepare_model_output(m.ptr()) < 0) {
        throw py::error_already_set();
    }
    py::class_<Layout>(m, "Layout", "How instances of a sealed class are laid out.")
        .def_readonly("fields", &Layout::fields, "Field names, in declared order.")
        .def_readonly("offset", &Layout::offset, "Bytes from the start of an instance to its first field slot.")
        .def_readonly("mirror_dict", &Layout::mirror_dict, "Whether new instances keep their dict storage in step.")
        .def_readonly("compiled_init", &Layout::compiled_init, "Whether calling the class runs no Python code.");
    m.def("layout", &layout_of, py::arg("cls"),
          "Seal cls, if it is not yet, and describe its layout. TypeError if cls is no output class.");
    m.def("set_slots_only", &set_slots_only, py::arg("enabled"),
          "Make outputs of this thread without dict storage from now on, or with it; returns what held before.");
    m.def(
        "set_twin", [](const char *name, py::function function) { fo::set_twin(name, function.ptr()); },
        py::arg("name"), py::arg("function"),
        "Let this method of ModelOutput read as a Python function; what the interpreter runs stays compiled.");
    m.def("set_subclass_hook", &set_subclass_hook, py::arg("hook"),
          "Have hook called with each subclass of ModelOutput from now on, before @dataclass has seen it.");
    m.def("build_info", &build_info, "Version, compiler and build mode, for bug reports.");
}

extern "C" PYBIND11_EXPORT PyObject *PyInit__core() {
    if (!is_main_interpreter()) {
        PyErr_SetString(PyExc_ImportError, only_main);
        return nullptr;
    }
    return make_module();
}
