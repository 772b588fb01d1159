// The type ModelOutput itself: which function of which file stands in which slot.
#include "layout.hpp"
#include "ref.hpp"

namespace fastoutputs {

Runtime runtime;
#ifdef Py_GIL_DISABLED
PyObject *classes_lock;
#endif

static const char model_output_doc[] =
    "The object that a model returns: named fields that read as attributes, as a tuple and as a dict.\n\n"
    "Subclass it with the standard @dataclass decorator. A field that is None is absent from every view\n"
    "but the attribute; order is declared order, extra keys last. `class X(ModelOutput, mirror_dict=False)`\n"
    "leaves the inherited dict storage empty: faster, but invisible to C code that reads a dict directly.\n"
    "`aliases={\"old\": \"new\"}` keeps other names for fields.\n\n"
    "Behaves as transformers.utils.ModelOutput; docs/behaviour.md lists the intended differences.";

static PyMethodDef own_methods[] = {
    {"__init_subclass__", as_method(prepare_subclass), METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "Make a subclass ready; mirror_dict=False chooses slots only for its instances, aliases={...} declares other "
     "names of fields."},
    {nullptr, nullptr, 0, nullptr},
};

#if FASTOUTPUTS_MANAGED_DICT
// Counted from the end of the instance, as CPython does for its own classes.
constexpr Py_ssize_t place_of_dict = -size_for_python - static_cast<Py_ssize_t>(3 * sizeof(PyObject *));
constexpr unsigned long dict_flag = Py_TPFLAGS_MANAGED_DICT;
#else
constexpr Py_ssize_t place_of_dict = offsetof(OutputObject, attributes_in_place);
constexpr unsigned long dict_flag = 0;
#endif

static PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, place_of_dict, READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(OutputObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

static int add_methods(const PyMethodDef *methods) {
    for (; methods->ml_name; methods++) {  // NOLINT(clang-analyzer-security.ArrayBound): the last has no name
        auto *definition = const_cast<PyMethodDef *>(methods);
        Ref method(methods->ml_flags & METH_CLASS ? PyDescr_NewClassMethod(runtime.model_output, definition)
                                                  : PyDescr_NewMethod(runtime.model_output, definition));
        // By setattr, not by the spec: __setattr__ must count as Python's own, or object.__setattr__,
        // which a frozen dataclass calls, would refuse to pass over it.
        if (!method || PyObject_SetAttrString(as_object(runtime.model_output), methods->ml_name, method.get()) < 0) {
            return -1;
        }
    }
    return 0;
}

int prepare_model_output(PyObject *module) {
#ifdef Py_GIL_DISABLED
    classes_lock = PyObject_CallNoArgs(as_object(&PyBaseObject_Type));
    if (!classes_lock) {
        return -1;
    }
#endif
    runtime.no_args = PyTuple_New(0);
    runtime.mutation_error =
        PyErr_NewExceptionWithDoc("fastoutputs.OutputMutationError",
                                  "A dict operation that would delete keys of an output, or change many at once.\n\n"
                                  "A TypeError, so that code which tries and falls back to a plain dict does so.",
                                  PyExc_TypeError, nullptr);
    if (!runtime.no_args || !runtime.mutation_error || prepare_collector() < 0 || prepare_views() < 0 ||
        prepare_attributes() < 0 || prepare_bases() < 0 || prepare_sealing() < 0) {
        return -1;
    }
    PyType_Slot slots[] = {
        {Py_tp_doc, const_cast<char *>(model_output_doc)},
        {Py_tp_alloc, reinterpret_cast<void *>(output_alloc)},
        {Py_tp_init, reinterpret_cast<void *>(output_init)},
        {Py_tp_dealloc, reinterpret_cast<void *>(output_dealloc)},
        {Py_tp_traverse, reinterpret_cast<void *>(output_traverse)},
        {Py_tp_clear, reinterpret_cast<void *>(output_clear)},
        {Py_tp_iter, reinterpret_cast<void *>(output_iter)},
        {Py_tp_repr, reinterpret_cast<void *>(output_repr)},
        {Py_tp_richcompare, reinterpret_cast<void *>(output_richcompare)},
        {Py_tp_hash, reinterpret_cast<void *>(PyObject_HashNotImplemented)},
        {Py_mp_length, reinterpret_cast<void *>(output_length)},
        {Py_sq_length, reinterpret_cast<void *>(output_length)},  // asked for first
        {Py_mp_subscript, reinterpret_cast<void *>(output_subscript)},
        {Py_mp_ass_subscript, reinterpret_cast<void *>(output_ass_subscript)},
        {Py_sq_contains, reinterpret_cast<void *>(output_contains)},
        {Py_nb_or, reinterpret_cast<void *>(output_or)},
        {Py_nb_inplace_or, reinterpret_cast<void *>(output_refuse_in_place_or)},
        {Py_tp_members, members},
        {Py_tp_getset, attribute_getset},
        {0, nullptr},
    };
    PyType_Spec spec = {"fastoutputs.ModelOutput", size_for_python, 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | dict_flag, slots};
    Ref bases(PyTuple_Pack(1, &PyDict_Type));
    runtime.model_output =
        bases ? reinterpret_cast<PyTypeObject *>(PyType_FromSpecWithBases(&spec, bases.get())) : nullptr;
    if (!runtime.model_output || add_methods(own_methods) < 0 || add_methods(access_methods) < 0 ||
        add_methods(view_methods) < 0 || add_methods(copy_methods) < 0) {
        return -1;
    }
    note_own_methods();
    Py_INCREF(runtime.model_output);
    Py_INCREF(runtime.mutation_error);
    if (PyModule_AddObject(module, "ModelOutput", as_object(runtime.model_output)) < 0 ||
        PyModule_AddObject(module, "OutputMutationError", runtime.mutation_error) < 0) {
        return -1;
    }
    return 0;
}

}  // namespace fastoutputs
