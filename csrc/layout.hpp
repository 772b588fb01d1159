// The instance, the schema of its class, and the few inline reads that everything else is built on.
//
// Invariants kept by every file of csrc/:
//  - a slot of the row is never NULL: an absent field holds None, so that the interpreter's
//    specialised slot load never misses;
//  - the row is the truth. The raw dict that the instance inherits is either empty ("slots only") or
//    holds exactly the present items, fields in declared order and then the extra keys ("in step");
//  - extra keys (keys that are no fields) live in the raw dict alone, so an instance with one is in step.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "lock.hpp"
#include "ref.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#if PY_VERSION_HEX >= 0x030f0000
#error "fastoutputs is written for Python 3.10 to 3.14: from 3.15 on, dict.__new__ does not ask a class for memory"
#endif

namespace fastoutputs {

struct Field {
    PyObject *name;         // interned str, owned
    Py_hash_t hash;         // of the name
    PyObject *initial;      // default value or NULL, owned
    PyObject *factory;      // default_factory or NULL, owned
    bool is_parameter;      // taken by __init__
    Shared<bool> is_shadowed;  // the class has a data descriptor of its own under this name
};

struct Bucket {
    PyObject *name;  // borrowed from the field
    Py_ssize_t index;
};

// What a class knows about its fields. One Python object a class, kept in the class's __dict__ and
// by every instance, so that an instance can be read and freed whatever happens to the class.
struct Schema {
    PyObject_HEAD
    Py_ssize_t count;               // number of fields
    Py_ssize_t row_offset;          // of the first slot from the start of the instance
    std::vector<Field> fields;
    std::vector<Bucket> buckets;    // open addressing by name hash, empty where name is NULL
    const Bucket *table;            // buckets.data()
    std::size_t mask;               // buckets.size() - 1
    std::vector<std::uint16_t> positional;  // field index of each positional parameter
    struct SpareOutputs *spare;     // dead instances to be used again, or NULL
    PyObject *aliases;              // a tuple of (alias, field name, notice or None), owned; NULL if there are none
    Shared<unsigned int> version;   // tp_version_tag for which the facts below were read
    Shared<bool> mirror_dict;       // new instances keep the raw dict in step
    Shared<bool> compiled_init;     // construction by create.cpp is exactly what __init__ does
    Shared<bool> unpacks_pairs;     // in a first field that is alone; if false, only a dict is unpacked
    Shared<bool> fills_defaults;    // some absent parameter means more than None
    Shared<bool> takes_all_fields;  // every field is a parameter
    Shared<bool> plain_to_tuple;    // to_tuple is ours
    Shared<bool> plain_items;       // so are keys and __getitem__: to_tuple may read the row
    Shared<bool> plain_reduce;      // what pickle and copy ask a class for is ours
    Shared<bool> own_setattr;       // a __setattr__ of the user's, frozen dataclasses aside
    Shared<bool> fields_move;       // a subclass has one of the fields at another place of the instance
};

// Python 3.11 specialises a method call on an object with no __dict__ yet only if the place for one is
// that of Python's own classes, before the collector's header (a "managed dict"; what lies beside it
// stays NULL). Later versions do so wherever the place is, and inside the instance it costs 8 bytes less.
#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000
#define FASTOUTPUTS_MANAGED_DICT 1
#else
#define FASTOUTPUTS_MANAGED_DICT 0
#endif

struct OutputObject {
    PyDictObject raw;   // what C code sees that reads a dict directly
    Schema *schema;     // owned; NULL only if the class was never prepared (see schema_of)
    PyObject *weakrefs;
#if !FASTOUTPUTS_MANAGED_DICT
    PyObject *attributes_in_place;
#endif
    // The row follows, at schema->row_offset.
};

// What CPython believes an instance to be (tp_basicsize) is longer than the part above by room for this
// many fields. Only an instance that output_alloc did not make is that long: one of a class whose
// __init_subclass__ was never reached. It has no row, and the descriptors of its bases, which read where
// a row would be, must find NULL there, and not what lies behind the instance.
constexpr Py_ssize_t head_room = 64 * sizeof(PyObject *);
constexpr Py_ssize_t size_for_python = sizeof(OutputObject) + head_room;

// The plain attributes of an instance: a dict, or NULL.
inline PyObject *&attributes_of(OutputObject *self) {
#if FASTOUTPUTS_MANAGED_DICT
    return reinterpret_cast<PyObject **>(self)[-3];
#else
    return self->attributes_in_place;
#endif
}

// Keeps the registers that the rest of a function needs from being saved on the short way through it.
#if defined(_MSC_VER)
#define FASTOUTPUTS_OUT_OF_LINE __declspec(noinline)
#else
#define FASTOUTPUTS_OUT_OF_LINE __attribute__((noinline))
#endif

// Outputs made in this thread get no raw dict while this is set. Initial-exec, where there is such a
// thing, keeps the read to one instruction.
#if defined(__ELF__)
#define FASTOUTPUTS_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
#else
#define FASTOUTPUTS_THREAD_LOCAL thread_local
#endif
extern FASTOUTPUTS_THREAD_LOCAL bool slots_only;

// What the GIL lets all threads share.
#ifdef Py_GIL_DISABLED
#define FASTOUTPUTS_PER_THREAD FASTOUTPUTS_THREAD_LOCAL
#else
#define FASTOUTPUTS_PER_THREAD
#endif

constexpr Py_ssize_t most_bound = 256;  // fields and arguments that the compiled constructor binds

// Objects made once, when the module is imported.
struct Runtime {
    PyTypeObject *model_output;
    PyTypeObject *schema_type;
    PyTypeObject *attribute_dict;
    PyTypeObject *keys_view, *values_view, *items_view, *iterator;
    PyObject *mutation_error;
    PyObject *subclass_hook;  // called with every new subclass, or NULL
    Schema *no_fields;      // the schema of ModelOutput itself
    PyObject *no_args;      // the empty tuple
};
extern Runtime runtime;

// A function of another shape than most, as a table of methods holds it.
template <typename Function>
PyCFunction as_method(Function *function) noexcept {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

inline OutputObject *as_output(PyObject *op) { return reinterpret_cast<OutputObject *>(op); }
inline PyObject *as_object(void *op) { return static_cast<PyObject *>(op); }
inline bool is_output(PyObject *op) { return PyObject_TypeCheck(op, runtime.model_output); }

inline const Schema *schema_of(const OutputObject *self) { return self->schema ? self->schema : runtime.no_fields; }

inline PyObject **row_of(const OutputObject *self, const Schema *schema) {
    auto *bytes = reinterpret_cast<char *>(const_cast<OutputObject *>(self));
    return reinterpret_cast<PyObject **>(bytes + schema->row_offset);
}
inline PyObject **row_of(const OutputObject *self) { return row_of(self, schema_of(self)); }

// A str of a subclass, whose hash and equality may run any code, is taken for the plain str by all that writes.
inline bool is_odd_name(PyObject *name) { return !PyUnicode_CheckExact(name) && PyUnicode_Check(name); }

inline Py_ssize_t raw_size(const OutputObject *self) { return self->raw.ma_used; }

// The hash of a str, or -1 where it was never asked for.
inline Py_hash_t known_hash(PyObject *name) {
#ifdef Py_GIL_DISABLED
    return _Py_atomic_load_ssize_relaxed(&reinterpret_cast<PyASCIIObject *>(name)->hash);
#else
    return reinterpret_cast<PyASCIIObject *>(name)->hash;
#endif
}

// Where a field called name stands, unless another has taken the place.
inline const Bucket &bucket_of(const Schema *schema, PyObject *name) {
    return schema->table[static_cast<std::size_t>(known_hash(name)) & schema->mask];
}

// Index of the field called name, an exact str, or -1. Runs no user code. Names written in code are
// interned, so mostly it is the very same object, which proves the match even of a hash not computed yet.
Py_ssize_t find_field_slowly(const Schema *schema, PyObject *name);
inline Py_ssize_t find_field(const Schema *schema, PyObject *name) {
    const Bucket &bucket = bucket_of(schema, name);
    return bucket.name == name ? bucket.index : find_field_slowly(schema, name);
}

// The value of a field by the same object as its name; NULL for any other name and for an absent field.
inline PyObject *quick_find(const OutputObject *self, PyObject *name) {
    const Schema *schema = schema_of(self);
    const Bucket &bucket = bucket_of(schema, name);
    if (bucket.name != name) {
        return nullptr;
    }
    PyObject *value = row_of(self, schema)[bucket.index];
    return value == Py_None ? nullptr : value;
}

// None is counted, too, before Python 3.12; many at once is one addition.
inline void add_none_references([[maybe_unused]] Py_ssize_t n) {
#if defined(Py_REF_DEBUG)
    for (; n > 0; n--) Py_INCREF(Py_None);
    for (; n < 0; n++) Py_DECREF(Py_None);
#elif PY_VERSION_HEX < 0x030c0000
    Py_SET_REFCNT(Py_None, Py_REFCNT(Py_None) + n);
#endif
}

inline Py_ssize_t count_present(const OutputObject *self) {
    const Schema *schema = schema_of(self);
    PyObject **row = row_of(self, schema);
    Py_ssize_t present = 0;
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        present += row[i] != Py_None;
    }
    return present;
}

inline Py_ssize_t output_len(const OutputObject *self) { return raw_size(self) ? raw_size(self) : count_present(self); }

inline bool has_extras(const OutputObject *self) { return raw_size(self) && raw_size(self) > count_present(self); }

// Walks the extra keys in insertion order, over any change of the output on the way.
struct ExtraCursor {
    Py_ssize_t position = 0;  // as PyDict_Next takes it
    Py_ssize_t passed = 0;    // extras given out so far
};
// 1 and borrowed references, or 0 at the end.
int next_extra(OutputObject *self, ExtraCursor *cursor, PyObject **key, PyObject **value);

// Puts the present values, counted, into buffer, which has room for schema->count + raw_size(self). Runs
// no other code. Returns how many there are.
inline Py_ssize_t collect_values(OutputObject *self, const Schema *schema, PyObject **buffer) {
    PyObject **row = row_of(self, schema);
    Py_ssize_t n = 0;
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        if (row[i] != Py_None) {
            buffer[n++] = Py_NewRef(row[i]);
        }
    }
    if (raw_size(self) > n) {
        ExtraCursor cursor;
        PyObject *key, *value;
        while (next_extra(self, &cursor, &key, &value)) {
            buffer[n++] = Py_NewRef(value);
        }
    }
    return n;
}

// slots.cpp
void note_own_methods();  // once, before any can be patched
void set_twin(const char *name, PyObject *function);  // throws

// sealing.cpp
Schema *seal(PyTypeObject *type);  // borrowed; NULL with an error set
PyObject *prepare_subclass(PyObject *cls, PyObject *args, PyObject *kwargs);  // __init_subclass__
int bases_changed(PyTypeObject *type);
int prepare_sealing();

// bases.cpp
int watch_bases(PyTypeObject *type);  // from here on bases_changed is called when it, or a base, gets others
int prepare_bases();

// Schemas by version tag. A tag belongs to one state of one class for the life of the process, so a
// hit proves at once which class it is and that neither it nor a base has changed since.
struct CachedSchema {
    unsigned int version;
    Schema *schema;  // borrowed from the class
};
constexpr std::size_t cached_schemas = 1024;
extern CachedSchema schema_cache[cached_schemas];

inline Schema *schema_of_class(PyTypeObject *type) {
    const ClassesLocked locked;
    const CachedSchema &entry = schema_cache[version_tag(type) % cached_schemas];
    if (entry.version == version_tag(type) && entry.version != 0) {
        return entry.schema;
    }
    return seal(type);
}

// Whether the facts of schema were read off type as it is now.
inline bool is_current(PyTypeObject *type, const Schema *schema) {
    return schema->version == version_tag(type) && schema->version != 0;
}

// The schema with its facts about overrides brought up to date, should the class have been patched. NULL: error.
inline const Schema *current_schema(OutputObject *self) {
    PyTypeObject *type = Py_TYPE(as_object(self));
    const Schema *schema = schema_of(self);
    return is_current(type, schema) ? schema : schema_of_class(type);
}

// collector.cpp
PyObject *output_alloc(PyTypeObject *type, Py_ssize_t items);
// A new, empty instance whose slots hold None without owning it: the caller fills some, then calls
// add_none_references for the others, and runs no other code in between.
PyObject *new_bare_output(PyTypeObject *type, Schema *schema);
void output_dealloc(PyObject *op);
int output_traverse(PyObject *op, visitproc visit, void *arg);
int output_clear(PyObject *op);
SpareOutputs *spare_for(const Schema *schema);
freefunc free_for(const Schema *schema);  // tp_free of a class with this schema
void free_of_unused(void *memory);        // tp_free of a class that has none yet
int prepare_collector();

// aliases.cpp: other names of fields. Each use calls the notice of the class, which may run any code. 1: *field is the
// name of the field; 0: no alias; -1: an error; 2: as a key, it was an extra key before it became an alias, and stays
// one.
int use_alias(OutputObject *self, PyObject *name, bool as_key, Ref *field);  // name: a str, and no field
int rename_keywords(PyTypeObject *type, const Schema *schema, PyObject *given, Ref *renamed);
int note_alias(PyTypeObject *type, PyObject *old);               // calls the notice alone
void set_alias_functions(PyObject *property, PyObject *init);
bool is_alias_property(PyObject *attribute);

// create.cpp
PyObject *output_vectorcall(PyObject *cls, PyObject *const *args, std::size_t nargsf, PyObject *kwnames);
int output_init(PyObject *op, PyObject *args, PyObject *kwargs);
PyObject *output_post_init(PyObject *op, PyObject *);

// mirror.cpp: the only writers of the raw dict
bool keeps_raw(const OutputObject *self);
int fill_raw(OutputObject *self);
PyObject *items_as_dict(OutputObject *self);  // all items, in a new plain dict
int store_field(OutputObject *self, Py_ssize_t index, PyObject *value);
int store_extra(OutputObject *self, PyObject *key, PyObject *value);

// access.cpp
int output_setattro(PyObject *op, PyObject *name, PyObject *value);
int output_ass_subscript(PyObject *op, PyObject *key, PyObject *value);
PyObject *output_subscript(PyObject *op, PyObject *key);
PyObject *output_get_item(OutputObject *self, PyObject *key);  // new reference, or NULL: error set or absent
PyObject *output_to_tuple(PyObject *op, PyObject *);
int store_item(OutputObject *self, PyObject *key, PyObject *value);
extern PyMethodDef access_methods[];
int output_contains(PyObject *op, PyObject *key);
Py_ssize_t output_length(PyObject *op);
PyObject *output_or(PyObject *left, PyObject *right);
PyObject *output_refuse_in_place_or(PyObject *op, PyObject *other);

// attributes.cpp
extern PyGetSetDef attribute_getset[];
int prepare_attributes();
PyGetSetDef field_by_name(PyObject *name);  // finds the field in any class; to be kept for ever
bool is_field_by_name(PyObject *descriptor);
int restore_attributes(OutputObject *self, PyObject *attributes);

// views.cpp
PyObject *output_iter(PyObject *op);
extern PyMethodDef view_methods[];
int prepare_views();

// compare_repr.cpp
PyObject *output_richcompare(PyObject *left, PyObject *right, int op);
PyObject *dataclass_richcompare(PyObject *left, PyObject *right, int op);
PyObject *output_repr(PyObject *op);
PyObject *dataclass_repr(PyObject *op);

// copy_pickle.cpp
extern PyMethodDef copy_methods[];

// model_output.cpp
int prepare_model_output(PyObject *module);

}  // namespace fastoutputs
