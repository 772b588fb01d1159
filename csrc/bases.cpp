// Telling when a class gets other bases.
//
// `Sub.__bases__ = ...` may put a class above one that has instances already, whose rows are shorter
// than the field descriptors of that class reach. CPython asks nobody about it, but it takes Sub out of
// the registers of subclasses that its old bases keep. They hold weak references; for a class that was
// used they hold one of ours, which notices when it is dropped.
#include "layout.hpp"
#include "ref.hpp"

namespace fastoutputs {

static PyTypeObject *entry_type;

static bool is_output_class(PyObject *cls) {
    return PyType_Check(cls) && PyType_IsSubtype(reinterpret_cast<PyTypeObject *>(cls), runtime.model_output);
}

// One per class and base; absent for a moment while the bases are being changed.
static int enter(PyTypeObject *base, PyObject *cls) {
    if (!base->tp_subclasses && !(base->tp_subclasses = PyDict_New())) {
        return -1;
    }
    // NOLINTNEXTLINE(readability-redundant-casting): a void * from 3.12 on
    auto *entries = static_cast<PyObject *>(base->tp_subclasses);
    Ref key(PyLong_FromVoidPtr(cls));
    PyObject *entry = key ? PyDict_GetItemWithError(entries, key.get()) : nullptr;
    if (entry ? Py_IS_TYPE(entry, entry_type) : PyErr_Occurred() != nullptr) {
        return entry ? 0 : -1;
    }
    Ref ours(PyObject_CallOneArg(as_object(entry_type), cls));
    return ours ? PyDict_SetItem(entries, key.get(), ours.get()) : -1;
}

int watch_bases(PyTypeObject *type) {
    Ref order = Ref::borrow(type->tp_mro);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(order.get()); i++) {
        PyObject *cls = PyTuple_GET_ITEM(order.get(), i);
        if (!is_output_class(cls) || cls == as_object(runtime.model_output)) {
            continue;
        }
        Ref bases = Ref::borrow(reinterpret_cast<PyTypeObject *>(cls)->tp_bases);
        for (Py_ssize_t j = 0; j < PyTuple_GET_SIZE(bases.get()); j++) {
            PyObject *base = PyTuple_GET_ITEM(bases.get(), j);
            if (is_output_class(base) && enter(reinterpret_cast<PyTypeObject *>(base), cls) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static void entry_dealloc(PyObject *op) {
    PyTypeObject *type = Py_TYPE(op);
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *cls;  // NULL if it is dying
    Ref changed(PyWeakref_GetRef(op, &cls) > 0 ? cls : nullptr);
#else
    PyObject *cls = reinterpret_cast<PyWeakReference *>(op)->wr_object;
    Ref changed = Ref::borrow(cls != Py_None && Py_REFCNT(cls) > 0 ? cls : nullptr);  // or it is dying
#endif
    _PyWeakref_RefType.tp_dealloc(op);
    Py_DECREF(type);
    if (changed) {
        PyObject *error_type, *error, *traceback;
        PyErr_Fetch(&error_type, &error, &traceback);
        if (bases_changed(reinterpret_cast<PyTypeObject *>(changed.get())) < 0) {
            PyErr_WriteUnraisable(changed.get());
        }
        PyErr_Restore(error_type, error, traceback);
    }
}

int prepare_bases() {
    PyType_Slot slots[] = {
        {Py_tp_dealloc, reinterpret_cast<void *>(entry_dealloc)},
        {0, nullptr},
    };
    PyType_Spec spec = {"fastoutputs._core.subclass_entry", sizeof(PyWeakReference), 0, Py_TPFLAGS_DEFAULT, slots};
    Ref bases(PyTuple_Pack(1, &_PyWeakref_RefType));
    entry_type = bases ? reinterpret_cast<PyTypeObject *>(PyType_FromSpecWithBases(&spec, bases.get())) : nullptr;
    return entry_type ? 0 : -1;
}

}  // namespace fastoutputs
