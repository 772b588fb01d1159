// All that is private to CPython, or differs between its versions. No other file has a version in an #if.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#if PY_VERSION_HEX < 0x030a0000 || PY_VERSION_HEX >= 0x03100000
#error "fastoutputs supports CPython 3.10 to 3.15: see 'To support a new Python' in CONTRIBUTING"
#endif

namespace fastoutputs {

// --- build modes ----------------------------------------------------------------------------------

#ifdef Py_GIL_DISABLED
constexpr bool has_gil = false;
#else
constexpr bool has_gil = true;
#endif

// Free lists are touched only while holding the GIL. Sanitizers and debug builds must see every use after free.
#if defined(FASTOUTPUTS_SANITIZE) || defined(Py_REF_DEBUG) || defined(Py_GIL_DISABLED)
constexpr bool uses_free_lists = false;
#else
constexpr bool uses_free_lists = true;
#endif

// Keeps slow paths out of line, so that the fast path spills no registers; and short ones in line, however many call.
#if defined(_MSC_VER)
#define FASTOUTPUTS_OUT_OF_LINE __declspec(noinline)
#define FASTOUTPUTS_INLINE __forceinline
#else
#define FASTOUTPUTS_OUT_OF_LINE __attribute__((noinline))
#define FASTOUTPUTS_INLINE inline __attribute__((always_inline))
#endif

#if defined(_MSC_VER)
#define FASTOUTPUTS_UNLIKELY(condition) (condition)
#define FASTOUTPUTS_PREFETCH(address)
#else
#define FASTOUTPUTS_UNLIKELY(condition) __builtin_expect(static_cast<bool>(condition), 0)
#define FASTOUTPUTS_PREFETCH(address) __builtin_prefetch(address)
#endif

// Initial-exec, where there is such a thing, keeps the read of a thread-local to one instruction.
#if defined(__ELF__)
#define FASTOUTPUTS_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
#else
#define FASTOUTPUTS_THREAD_LOCAL thread_local
#endif

// State that the GIL lets all threads share.
#ifdef Py_GIL_DISABLED
#define FASTOUTPUTS_PER_THREAD FASTOUTPUTS_THREAD_LOCAL
#else
#define FASTOUTPUTS_PER_THREAD
#endif

// A method of another signature, as a table of methods holds it.
template <typename Function>
PyCFunction as_method(Function *function) noexcept {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

inline PyObject *as_object(void *op) { return static_cast<PyObject *>(op); }

// --- objects --------------------------------------------------------------------------------------

// None is counted before 3.12: many references at once are one addition.
inline void add_none_references([[maybe_unused]] Py_ssize_t n) {
#if defined(Py_REF_DEBUG)
    for (; n > 0; n--) Py_INCREF(Py_None);
    for (; n < 0; n++) Py_DECREF(Py_None);
#elif PY_VERSION_HEX < 0x030c0000
    Py_SET_REFCNT(Py_None, Py_REFCNT(Py_None) + n);
#endif
}

// Of 1 for an object from a free list.
inline void revive(PyObject *op) { Py_SET_REFCNT(op, 1); }

// The hash of a str, or -1 if nobody asked for it yet.
inline Py_hash_t known_hash(PyObject *name) {
#ifdef Py_GIL_DISABLED
    return _Py_atomic_load_ssize_relaxed(&reinterpret_cast<PyASCIIObject *>(name)->hash);
#else
    return reinterpret_cast<PyASCIIObject *>(name)->hash;
#endif
}

// Whether an exact int is small, and if so its value, without a call.
inline bool is_small_int(PyObject *number, Py_ssize_t *value) {
#if PY_VERSION_HEX >= 0x030c0000
    auto *exact = reinterpret_cast<PyLongObject *>(number);
    if (!PyUnstable_Long_IsCompact(exact)) {
        return false;
    }
    *value = PyUnstable_Long_CompactValue(exact);
#else
    const Py_ssize_t size = Py_SIZE(number);
    if (size < -1 || size > 1) {
        return false;
    }
    *value = size * static_cast<Py_ssize_t>(reinterpret_cast<PyLongObject *>(number)->ob_digit[0]);
#endif
    return true;
}

// 3.13 changed the generated __eq__ of dataclasses from a comparison of tuples to one of fields, with a shortcut.
constexpr bool dataclass_eq_compares_fields = PY_VERSION_HEX >= 0x030d0000;

// 3.12 changed the repr of OrderedDict from a list of pairs to a dict.
constexpr bool odict_repr_shows_dict = PY_VERSION_HEX >= 0x030c0000;

// --- instances ------------------------------------------------------------------------------------

// 3.11 specialises a method call on an object without a __dict__ only if it has a "managed dict", a pointer before the
// collector's header. Later versions specialise wherever the pointer is, and inside the instance it costs 8 bytes less.
#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
#define FASTOUTPUTS_MANAGED_DICT 1
constexpr unsigned long dict_flag = Py_TPFLAGS_MANAGED_DICT;
#else
#define FASTOUTPUTS_MANAGED_DICT 0
constexpr unsigned long dict_flag = 0;
#endif

// From 3.15 on, dict.__new__ allocates zeroed memory itself instead of calling tp_alloc, and LOAD_ATTR_SLOT accepts a
// member that reads NULL as None. Before, output_alloc fills every slot with None, so that a slot is never NULL.
#if PY_VERSION_HEX >= 0x030f0000
constexpr bool slots_may_be_null = true;
constexpr int slot_member = T_OBJECT;
#else
constexpr bool slots_may_be_null = false;
constexpr int slot_member = T_OBJECT_EX;
#endif

// From 3.11 on, dict.__new__ starts to track what tp_alloc returns.
constexpr bool alloc_must_track = PY_VERSION_HEX < 0x030b0000;

// --- the inner dict -------------------------------------------------------------------------------

inline Py_ssize_t dict_size(const PyDictObject *dict) { return dict->ma_used; }

inline PyDictKeysObject *no_keys;  // the one empty table that all dicts share which never held anything
inline int prepare_dicts() {
    PyObject *empty = PyDict_New();
    no_keys = empty ? reinterpret_cast<PyDictObject *>(empty)->ma_keys : nullptr;
    Py_XDECREF(empty);
    return empty ? 0 : -1;
}
inline bool is_untouched_dict(const PyDictObject *dict) { return dict->ma_keys == no_keys; }

// Exchanges what two dicts hold; neither is a split table. Cannot fail, runs no code.
inline void swap_dicts(PyDictObject *shared, PyDictObject *owned) {
#ifdef Py_GIL_DISABLED
    // Others read `shared` without its lock, so the old table must outlive whoever is in it. CPython delays the free of
    // a table when it clears a dict that is marked as shared between threads; only we know that `owned` is one now.
    constexpr std::uint8_t marked_as_shared = 1 << 4;  // _PyGC_BITS_SHARED of pycore_gc.h, in 3.13 to 3.15
    PyDictKeysObject *keys = shared->ma_keys;
    const Py_ssize_t used = shared->ma_used;
    _Py_atomic_store_ptr_release(&shared->ma_keys, owned->ma_keys);
    _Py_atomic_store_ssize_relaxed(&shared->ma_used, owned->ma_used);
    owned->ma_keys = keys;
    owned->ma_used = used;
    as_object(owned)->ob_gc_bits |= marked_as_shared;
#else
    std::swap(shared->ma_keys, owned->ma_keys);
    std::swap(shared->ma_values, owned->ma_values);
    std::swap(shared->ma_used, owned->ma_used);
#endif
}

// --- classes --------------------------------------------------------------------------------------

// Names one state of one class for the life of the process: while it stays, neither the class nor a base has changed.
// 0 if there is none. A lookup gives a class one, unless CPython has run out of them (3.12 and later: after 1,000).
inline unsigned int version_tag(PyTypeObject *type) {
#ifdef Py_GIL_DISABLED
    return _Py_atomic_load_uint_relaxed(&type->tp_version_tag);
#else
    return type->tp_version_tag;
#endif
}

// What type.__getattribute__ finds in the class and its bases, past any metaclass. Borrowed; NULL without an error.
inline PyObject *lookup(PyTypeObject *type, PyObject *name) { return _PyType_Lookup(type, name); }

// The class's own dict. Borrowed from the class, which must be a heap type.
inline PyObject *own_dict(PyTypeObject *type) { return type->tp_dict; }

inline bool is_heap_type(PyTypeObject *type) { return type->tp_flags & Py_TPFLAGS_HEAPTYPE; }

// A pointer that CPython keeps in each class and no longer uses itself: it is NULL in a new class, not inherited,
// visited by the collector, released with the class, and out of reach of Python code.
inline PyObject *&private_slot(PyTypeObject *type) { return type->tp_cache; }

// What CPython compares, beside the size, before it lets __class__ change: a tuple of names. One that a class has.
inline PyObject *&slot_names(PyTypeObject *type) { return reinterpret_cast<PyHeapTypeObject *>(type)->ht_slots; }

// A type of ours that Python code can neither instantiate nor subclass.
inline PyTypeObject *internal_type(const char *name, std::size_t size, PyType_Slot *slots,
                                   PyTypeObject *base = &PyBaseObject_Type) {
    PyType_Spec spec = {name, static_cast<int>(size), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    PyObject *bases = PyTuple_Pack(1, base);
    PyObject *type = bases ? PyType_FromSpecWithBases(&spec, bases) : nullptr;
    Py_XDECREF(bases);
    return reinterpret_cast<PyTypeObject *>(type);
}

// Whether code objects know the qualified name of their function.
constexpr bool code_has_qualname = PY_VERSION_HEX >= 0x030b0000;

// Annotations are evaluated when asked for, by annotationlib.
constexpr bool annotations_are_lazy = PY_VERSION_HEX >= 0x030e0000;

// The slots that CPython made for the names in the class's own __slots__, in order; the class's member descriptors
// point at these. Py_SIZE(type) says how many.
inline PyMemberDef *python_slots(PyTypeObject *type) {
    return reinterpret_cast<PyMemberDef *>(reinterpret_cast<char *>(type) + Py_TYPE(type)->tp_basicsize);
}

// The collector's own functions, whatever stands under their names in the module.
struct Collector {
    PyObject *collect, *unfreeze, *get_objects, *get_freeze_count;
};
inline Collector collector;
inline PyObject *collector_function(PyObject *gc, const char *name) {
    PyModuleDef *definition = gc && PyModule_Check(gc) ? PyModule_GetDef(gc) : nullptr;
    for (PyMethodDef *method = definition ? definition->m_methods : nullptr; method && method->ml_name; method++) {
        if (std::strcmp(method->ml_name, name) == 0) {
            return PyCFunction_NewEx(method, gc, nullptr);
        }
    }
    if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_ImportError, "the module gc that was imported is not CPython's: it has no %s", name);
    }
    return nullptr;
}
inline int prepare_collector() {
    PyObject *gc = PyImport_ImportModule("gc");
    collector.collect = collector_function(gc, "collect");
    collector.unfreeze = collector.collect ? collector_function(gc, "unfreeze") : nullptr;
    collector.get_objects = collector.unfreeze ? collector_function(gc, "get_objects") : nullptr;
    collector.get_freeze_count = collector.get_objects ? collector_function(gc, "get_freeze_count") : nullptr;
    Py_XDECREF(gc);
    return collector.get_freeze_count ? 0 : -1;
}

// All objects that the collector lists. While one exists, no Python code runs and no Python object is made; without the
// GIL, each() lets no other thread run. false: no memory, and up to 3.11 with an error set.
class LiveObjects {
public:
    LiveObjects(const LiveObjects &) = delete;
    LiveObjects &operator=(const LiveObjects &) = delete;

#ifdef Py_GIL_DISABLED
    LiveObjects() = default;
    explicit operator bool() const { return true; }

    // f(op) says whether to go on.
    template <typename Function>
    void each(Function f) {
        PyUnstable_GC_VisitObjects([](PyObject *op, void *arg) -> int { return (*static_cast<Function *>(arg))(op); },
                                   &f);
    }
#else
    explicit operator bool() const { return is_whole_; }

    // f(op) says whether to go on. In an array the next ones can be fetched from memory meanwhile, in the collector's
    // lists they cannot.
    template <typename Function>
    void each(Function f) {
        constexpr std::size_t ahead = 16;
        PyObject *const *objects = begin();
        const std::size_t count = size();
        for (std::size_t i = 0; i < count && f(objects[i]); i++) {
            if (i + ahead < count) {
                FASTOUTPUTS_PREFETCH(objects[i + ahead]);
            }
        }
    }
#if PY_VERSION_HEX >= 0x030c0000
    LiveObjects() {
        PyUnstable_GC_VisitObjects(
            [](PyObject *op, void *arg) -> int {
                auto *self = static_cast<LiveObjects *>(arg);
                try {
                    self->objects_.push_back(op);
                } catch (const std::bad_alloc &) {
                    self->is_whole_ = false;
                }
                return self->is_whole_;
            },
            this);
    }

private:
    PyObject *const *begin() const { return objects_.data(); }
    std::size_t size() const { return objects_.size(); }

    std::vector<PyObject *> objects_;
    bool is_whole_ = true;
#else
    LiveObjects() : list_(PyObject_CallNoArgs(collector.get_objects)), is_whole_(list_ != nullptr) {}
    ~LiveObjects() { Py_XDECREF(list_); }

private:
    PyObject *const *begin() const { return reinterpret_cast<PyListObject *>(list_)->ob_item; }
    std::size_t size() const { return static_cast<std::size_t>(PyList_GET_SIZE(list_)); }

    PyObject *list_;
    bool is_whole_;
#endif
#endif

public:
    // Those of gc.freeze() are not among them. They can be followed only while nothing changes.
    static bool leaves_some_out() {
        PyObject *count = has_gil ? PyObject_CallNoArgs(collector.get_freeze_count) : nullptr;
        const bool is_any = count && PyObject_IsTrue(count) != 0;
        PyErr_Clear();
        Py_XDECREF(count);
        return is_any;
    }
};

// Whether the size of type matters to op: it is an instance of type, or a class derived from it. Of such a class,
// `apart`, only instances count.
inline bool depends_on(PyObject *op, PyTypeObject *type, PyTypeObject *apart) {
    if (Py_TYPE(op) == type || (apart && Py_TYPE(op) == apart)) {
        return true;
    }
    if (!PyType_Check(op) || op == as_object(type) || op == as_object(apart)) {
        return false;
    }
    auto *derived = reinterpret_cast<PyTypeObject *>(op);
    bool is_derived = PyType_IsSubtype(derived, type);  // by its mro, which may leave a base out
    for (PyTypeObject *base = derived->tp_base; base && !is_derived; base = base->tp_base) {
        is_derived = base == type;
    }
    return is_derived;
}

// Whether a collection is under way: then garbage is in nobody's lists. 1, 0, or -1: an error.
inline int is_collecting() {
    for (int tries = 0; tries < 3; tries++) {  // another collection may have taken the list
        PyObject *ring = PyList_New(1);
        if (!ring) {
            return -1;
        }
        PyList_SET_ITEM(ring, 0, ring);
        PyObject *found = PyObject_CallFunction(collector.collect, "i", 0);
        const bool is_any = found && PyObject_IsTrue(found) == 1;
        Py_XDECREF(found);
        if (!found || is_any) {
            return found ? 0 : -1;
        }
    }
    return 1;
}

// Whether something in the list, which is stolen and may be NULL, depends on type: 1, 0, or -1: an error. No code runs
// between the search and the return.
inline int look_through(PyObject *objects, PyTypeObject *type, PyTypeObject *apart, bool *lists_type) {
    if (!objects) {
        return -1;
    }
    int found = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(objects); i++) {
        PyObject *op = PyList_GET_ITEM(objects, i);
        *lists_type |= op == as_object(type);
        found |= depends_on(op, type, apart);
    }
    Py_DECREF(objects);
    return found;
}

// Looks through all objects; slow.
inline int find_dependent(PyTypeObject *type, PyTypeObject *apart) {
    // Frozen objects are not listed. Nothing but the work of the next collections depends on it.
    PyObject *unfrozen = PyObject_CallNoArgs(collector.unfreeze);
    if (!unfrozen) {
        return -1;
    }
    Py_DECREF(unfrozen);
    bool lists_type = false;
    return look_through(PyObject_CallNoArgs(collector.get_objects), type, apart, &lists_type);
}

// As find_dependent, garbage left out: a class that was refused is in a cycle. In a collection, when garbage cannot be
// seen, it counts.
inline int has_dependents(PyTypeObject *type, PyTypeObject *apart) {
    const int collecting = is_collecting();
    const int found = collecting == 0 ? find_dependent(type, apart) : collecting;
    if (collecting != 0 || found <= 0) {
        return found;
    }
    PyObject *collected = PyObject_CallNoArgs(collector.collect);
    if (!collected) {
        return -1;
    }
    Py_DECREF(collected);
    return find_dependent(type, apart);
}

// As has_dependents, for a class that was just created: as long as it is in the youngest generation, its instances are.
inline int has_young_dependents(PyTypeObject *type) {
    bool is_young = false;
    const int found = look_through(PyObject_CallFunction(collector.get_objects, "i", 0), type, nullptr, &is_young);
    return found < 0 ? -1 : is_young && !found ? 0 : has_dependents(type, nullptr);
}

}  // namespace fastoutputs
