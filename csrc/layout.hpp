// The class layout: what C++ knows of an output class. Which fields it declares, where each lies in an instance, and
// whether methods are overridden.
//
// There is one for each class, made by __init_subclass__ and released with the class. It stands in a slot of the type
// object that Python code cannot reach (private_slot), never in the class's __dict__. A class in use keeps its layout
// object and the places of its fields for life; only the facts about overrides are read again after a monkeypatch.
#pragma once

#include "cpython.hpp"
#include "lock.hpp"
#include "ref.hpp"

#include <memory>
#include <vector>

namespace fastoutputs {

struct Field {
    PyObject *initial;         // default value or NULL, owned
    PyObject *factory;         // default_factory or NULL, owned
    bool is_parameter;         // taken by __init__
    Shared<bool> is_shadowed;  // the class has a data descriptor of its own under this name
};

// A slot for a field.
struct Place {
    PyObject *name;  // interned str
    Py_ssize_t offset;  // from the start of an instance
};

struct Bucket {
    PyObject *name;  // borrowed from the place
    Py_ssize_t index;
    Py_ssize_t offset;
};

// What the descriptors of a field point at. A descriptor owns its class, and the class owns this.
struct FieldDefinition {
    PyMemberDef member;
    PyGetSetDef by_name;
};

// A descriptor of a field, and what the class itself had in its place.
struct Displaced {
    Ref descriptor, value;
};

struct FreeOutputs;

struct ClassLayout {
    PyObject_HEAD
    std::vector<Place> reserved;  // for the fields of the class and its bases, and maybe others
    std::vector<Ref> names;  // owns those, and the slot_names of before, into which descriptors point
    std::vector<Py_ssize_t> holes;  // offsets of the slots that Python made for names in __slots__, here or in a base
    Py_ssize_t reserved_from;  // offset of the first slot that the class itself has added for a field
    bool is_sealed;  // the class was used; what follows is empty before

    Py_ssize_t count;  // number of fields
    Py_ssize_t field_slots;  // of an instance: all but the holes
    std::vector<Field> fields;  // in declared order
    std::vector<Place> places;  // of the fields
    const Place *place;  // places.data()
    std::vector<Bucket> buckets;  // open addressing by the hash of the name, empty where name is NULL
    const Bucket *table;  // buckets.data()
    std::size_t mask;  // buckets.size() - 1
    std::unique_ptr<FieldDefinition[]> definitions;
    std::vector<Py_ssize_t> positional;  // field index of each positional parameter
    Py_ssize_t most_positional;  // positional.size()
    FreeOutputs *free_list;  // dead instances of the same size, or NULL
    PyObject *aliases;  // a tuple of (alias, field name, notice or None), owned; NULL if there are none
    std::vector<Displaced> displaced;  // by descriptors in the class, and by those that may be put back into it

    Shared<unsigned int> version;  // version_tag of the class for which the facts below were read
    Shared<bool> is_untagged;  // CPython had no tag left for the class: the facts may be out of date
    Shared<bool> fills_inner_dict;  // new instances are dict-backed
    Shared<bool> compiled_init;  // construction by create.cpp is exactly what __init__ does
    Shared<bool> unpacks_pairs;  // passed as the only argument; if false, only a dict is unpacked
    Shared<bool> fills_defaults;  // some absent parameter means more than None
    Shared<bool> takes_all_fields;  // every field is a parameter
    Shared<bool> plain_to_tuple;  // to_tuple is ours
    Shared<bool> plain_items;  // items, keys and __getitem__ are ours: to_tuple may read the slots
    Shared<bool> plain_lookup;  // items is ours: __getitem__ may
    Shared<bool> plain_copy;  // the methods that pickle and copy ask a class for are ours
    Shared<bool> has_methods_behind;  // a class behind ModelOutput has some that super() reaches in the original
    Shared<bool> own_setattr;  // a __setattr__ of the user's, frozen dataclasses aside
};

// The layout of a class that __init_subclass__ has seen, or NULL.
ClassLayout *own_layout(PyTypeObject *type);

// Whether the class was used, and its fields are known. They are not for an output that dict.__new__ made (3.15) of a
// class that was never used; and never for a class that __init_subclass__ has not seen, which seal() refuses.
bool is_sealed(PyTypeObject *type);

// Where a field of this name stands, unless another has taken the bucket.
inline const Bucket &bucket_of(const ClassLayout *layout, PyObject *name) {
    return layout->table[static_cast<std::size_t>(known_hash(name)) & layout->mask];
}

// The field called name, or NULL; its index, or -1. Runs no user code. Names written in code are interned, so
// mostly it is the very same object, which proves the match even if the hash was never computed.
const Bucket *find_bucket_slowly(const ClassLayout *layout, PyObject *name);  // any str: one of a subclass names none
inline const Bucket *find_bucket(const ClassLayout *layout, PyObject *name) {
    const Bucket &bucket = bucket_of(layout, name);
    return bucket.name == name ? &bucket : find_bucket_slowly(layout, name);
}
inline Py_ssize_t find_field(const ClassLayout *layout, PyObject *name) {
    const Bucket *bucket = find_bucket(layout, name);
    return bucket ? bucket->index : -1;
}

// For a class that __init_subclass__ has not seen, and for ModelOutput: no fields.
extern ClassLayout *no_fields;

// The layout of a class that is being used: sealed if it was not, and up to date with monkeypatches. Borrowed from the
// class; NULL with an error set.
ClassLayout *seal(PyTypeObject *type);
inline bool is_current(const ClassLayout *layout, PyTypeObject *type) {
    return layout->version == version_tag(type) && layout->version != 0;
}
inline ClassLayout *layout_of_class(PyTypeObject *type) {
    const ClassesLocked locked;
    auto *layout = reinterpret_cast<ClassLayout *>(private_slot(type));
    return layout && is_current(layout, type) ? layout : seal(type);
}

// When a class is prepared: these throw.
PyObject *new_layout();
void read_fields(PyTypeObject *type, ClassLayout *layout, bool is_dataclass);

int prepare_layout_type();

}  // namespace fastoutputs
