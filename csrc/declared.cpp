#include "declared.hpp"

#include "layout.hpp"

namespace fastoutputs {

py::dict own_annotations(PyTypeObject *type) {
    py::handle cls(as_object(type));
    py::object found;
    if (annotations_are_lazy) {
        py::module_ annotationlib = py::module_::import("annotationlib");
        found = annotationlib.attr("get_annotations")(
            cls, py::arg("format") = annotationlib.attr("Format").attr("FORWARDREF"));
    } else {
        found = py::reinterpret_borrow<py::object>(own_attribute(type, "__annotations__"));
    }
    const bool is_dict = found && PyDict_Check(found.ptr());
    auto annotations = owned<py::dict>(is_dict ? PyDict_Copy(found.ptr()) : PyDict_New());
    PyObject_GC_UnTrack(annotations.ptr());  // as Names: no code that the collector runs can find them
    return annotations;
}

// As @dataclass decides it: ClassVar, InitVar and KW_ONLY make no field. Text is taken by its name alone: where that is
// wrong, the slots are made to fit when the class is first used.
static bool makes_a_field(const py::object &annotation) {
    if (PyUnicode_Check(annotation.ptr())) {
        const char *text = PyUnicode_AsUTF8(annotation.ptr());
        if (!text) {  // surrogates
            PyErr_Clear();
            return true;
        }
        const std::string path(text, std::strcspn(text, "[ "));
        const std::string name = path.substr(path.rfind('.') + 1);
        return name != "ClassVar" && name != "InitVar" && name != "KW_ONLY";
    }
    const py::module_ dataclasses = py::module_::import("dataclasses"), typing = py::module_::import("typing");
    const py::object init_var = dataclasses.attr("InitVar"), class_var = typing.attr("ClassVar");
    return !(annotation.is(init_var) || py::type::handle_of(annotation).is(init_var) || annotation.is(class_var) ||
             typing.attr("get_origin")(annotation).is(class_var) || annotation.is(dataclasses.attr("KW_ONLY")));
}

Names expected_fields(PyTypeObject *type, const py::dict &annotations) {
    Names names;
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *base_type = reinterpret_cast<PyTypeObject *>(base.ptr());
        if (base_type == type || own_layout(base_type) || !own_attribute(base_type, "__dataclass_fields__")) {
            continue;
        }
        for (py::handle field : py::module_::import("dataclasses").attr("fields")(base)) {
            names.push_back(field.attr("name"));
        }
    }
    for (auto [key, annotation] : annotations) {
        const auto name = py::reinterpret_borrow<py::object>(key);  // over code of the annotation's
        if (makes_a_field(py::reinterpret_borrow<py::object>(annotation))) {
            names.push_back(name);
        }
    }
    return names;
}

bool is_missing(py::handle value) {
    return py::type::handle_of(value).is(py::type::handle_of(py::module_::import("dataclasses").attr("MISSING")));
}

std::vector<DeclaredField> declared_fields(PyTypeObject *type) {
    std::vector<DeclaredField> found;
    for (py::handle field : py::module_::import("dataclasses").attr("fields")(py::handle(as_object(type)))) {
        py::object name = field.attr("name");
        if (!PyUnicode_CheckExact(name.ptr())) {
            type_error(full_name(type) + " has a field whose name is no str: " + py::repr(name).cast<std::string>());
        }
        PyObject *interned = name.release().ptr();
        PyUnicode_InternInPlace(&interned);
        name = py::reinterpret_steal<py::object>(interned);
        const bool is_parameter = is_true(field.attr("init"));
        found.push_back({name, field.attr("default"), field.attr("default_factory"), is_parameter,
                         is_parameter && !is_true(field.attr("kw_only"))});
    }
    return found;
}

}  // namespace fastoutputs
