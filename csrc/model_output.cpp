// The type ModelOutput itself: which function of which file stands in which slot.
#include "model_output.hpp"

#include "access.hpp"
#include "compare_repr.hpp"
#include "copy_pickle.hpp"
#include "create.hpp"
#include "memory.hpp"
#include "sealing.hpp"
#include "slots.hpp"
#include "vars.hpp"
#include "views.hpp"

namespace fastoutputs {

PyTypeObject *model_output;
PyObject *mutation_error;
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

static PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offset_of_dict, READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(OutputObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

static int add_methods(const PyMethodDef *methods) {
    for (; methods->ml_name; methods++) {  // NOLINT(clang-analyzer-security.ArrayBound): the last has no name
        auto *definition = const_cast<PyMethodDef *>(methods);
        Ref method(methods->ml_flags & METH_CLASS ? PyDescr_NewClassMethod(model_output, definition)
                                                  : PyDescr_NewMethod(model_output, definition));
        // By setattr, not by the spec: __setattr__ must count as Python's own, or object.__setattr__,
        // which a frozen dataclass calls, would refuse to pass over it.
        if (!method || PyObject_SetAttrString(as_object(model_output), methods->ml_name, method.get()) < 0) {
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
    mutation_error =
        PyErr_NewExceptionWithDoc("fastoutputs.OutputMutationError",
                                  "A dict operation that would delete keys of an output, or change many at once.\n\n"
                                  "A TypeError, so that code which tries and falls back to a plain dict does so.",
                                  PyExc_TypeError, nullptr);
    if (!mutation_error || prepare_dicts() < 0 || prepare_collector() < 0 || prepare_views() < 0 ||
        prepare_vars() < 0 || prepare_sealing() < 0) {
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
        {Py_tp_getset, vars_getset},
        {0, nullptr},
    };
    PyType_Spec spec = {"fastoutputs.ModelOutput", sizeof(OutputObject), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | dict_flag, slots};
    Ref bases(PyTuple_Pack(1, &PyDict_Type));
    model_output = bases ? reinterpret_cast<PyTypeObject *>(PyType_FromSpecWithBases(&spec, bases.get())) : nullptr;
    if (!model_output) {
        return -1;
    }
    note_compiled_slots();
    if (add_methods(own_methods) < 0 || add_methods(access_methods) < 0 || add_methods(view_methods) < 0 ||
        add_methods(copy_methods) < 0) {
        return -1;
    }
    private_slot(model_output) = Py_NewRef(as_object(no_fields));
    note_own_methods();
    Py_INCREF(model_output);
    Py_INCREF(mutation_error);
    if (PyModule_AddObject(module, "ModelOutput", as_object(model_output)) < 0 ||
        PyModule_AddObject(module, "OutputMutationError", mutation_error) < 0) {
        return -1;
    }
    return 0;
}

}  // namespace fastoutputs
