// The object, and how it is filled when its class is first used.
#include "layout.hpp"

#include "memory.hpp"
#include "plan.hpp"
#include "vars.hpp"

#include <algorithm>

namespace fastoutputs {

ClassLayout *no_fields;

static PyTypeObject *layout_type;

PyObject *new_layout() {
    auto *layout = PyObject_GC_New(ClassLayout, layout_type);
    if (!layout) {
        throw py::error_already_set();
    }
    // Value-initialised behind the object's header: all counts, pointers and facts are zero.
    const PyObject header = layout->ob_base;
    new (layout) ClassLayout();
    layout->ob_base = header;
    layout->buckets.assign(1, Bucket{nullptr, -1, 0});
    layout->table = layout->buckets.data();
    layout->fills_inner_dict = layout->unpacks_pairs = true;
    layout->plain_to_tuple = layout->plain_lookup = layout->plain_items = layout->plain_copy = true;
    PyObject_GC_Track(as_object(layout));
    return as_object(layout);
}

static int layout_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    for (const Field &field : reinterpret_cast<ClassLayout *>(op)->fields) {
        Py_VISIT(field.initial);
        Py_VISIT(field.factory);
    }
    Py_VISIT(reinterpret_cast<ClassLayout *>(op)->aliases);
    for (const Displaced &each : reinterpret_cast<ClassLayout *>(op)->displaced) {
        Py_VISIT(each.descriptor.get());
        Py_VISIT(each.value.get());
    }
    return 0;
}

static int layout_clear(PyObject *op) {
    for (Field &field : reinterpret_cast<ClassLayout *>(op)->fields) {
        Py_CLEAR(field.initial);
        Py_CLEAR(field.factory);
    }
    Py_CLEAR(reinterpret_cast<ClassLayout *>(op)->aliases);
    std::vector<Displaced> dropped;
    dropped.swap(reinterpret_cast<ClassLayout *>(op)->displaced);
    return 0;
}

static void layout_dealloc(PyObject *op) {
    auto *layout = reinterpret_cast<ClassLayout *>(op);
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    layout_clear(op);
    layout->~ClassLayout();
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

int prepare_layout_type() {
    PyType_Slot slots[] = {
        {Py_tp_dealloc, reinterpret_cast<void *>(layout_dealloc)},
        {Py_tp_traverse, reinterpret_cast<void *>(layout_traverse)},
        {Py_tp_clear, reinterpret_cast<void *>(layout_clear)},
        {0, nullptr},
    };
    layout_type = internal_type("fastoutputs._core.class_layout", sizeof(ClassLayout), slots);
    return layout_type ? guarded(-1,
                                 [] {
                                     no_fields = reinterpret_cast<ClassLayout *>(new_layout());
                                     no_fields->is_sealed = true;
                                     return 0;
                                 })
                       : -1;
}

ClassLayout *own_layout(PyTypeObject *type) { return reinterpret_cast<ClassLayout *>(private_slot(type)); }

bool is_sealed(PyTypeObject *type) {
    const ClassLayout *layout = own_layout(type);
    return layout && layout->is_sealed;
}

// --- when the class is first used -----------------------------------------------------------------

static void type_changed(PyTypeObject *type) {
    type_error(full_name(type) + " changed its fields after its first use: declare a subclass instead");
}

static void build_table(std::vector<Bucket> &buckets, const std::vector<Place> &places, std::size_t size) {
    buckets.assign(size, Bucket{nullptr, -1, 0});
    for (std::size_t i = 0; i < places.size(); i++) {
        std::size_t at = static_cast<std::size_t>(known_hash(places[i].name)) & (size - 1);
        while (buckets[at].name) {
            at = (at + 1) & (size - 1);
        }
        buckets[at] = Bucket{places[i].name, static_cast<Py_ssize_t>(i), places[i].offset};
    }
}

// A larger table, within reason, where two fields would want one bucket: the second is found more slowly.
static std::vector<Bucket> table_for(const std::vector<Place> &places) {
    std::vector<Bucket> buckets;
    const std::size_t enough = 2 * places.size(), most = 16 * enough;
    for (std::size_t size = 1;; size *= 2) {
        if (size < enough) {
            continue;
        }
        build_table(buckets, places, size);
        auto has_its_bucket = [&](const Place &place) {
            return buckets[static_cast<std::size_t>(known_hash(place.name)) & (size - 1)].name == place.name;
        };
        if (size >= most || std::all_of(places.begin(), places.end(), has_its_bucket)) {
            return buckets;
        }
    }
}

static std::unique_ptr<FieldDefinition[]> definitions_for(const std::vector<Place> &places) {
    std::unique_ptr<FieldDefinition[]> definitions(new FieldDefinition[places.size()]);
    for (std::size_t i = 0; i < places.size(); i++) {
        const char *text = PyUnicode_AsUTF8(places[i].name);
        if (!text) {
            throw py::error_already_set();
        }
        // Read-only to CPython: a store must pass output_setattro, which keeps the inner dict in sync.
        definitions[i].member = {text, slot_member, places[i].offset, READONLY, nullptr};
        definitions[i].by_name = {text, field_get, field_set, nullptr, places[i].name};
    }
    return definitions;
}

// From here on the class has these fields, at these places, for good.
static void take_fields(PyTypeObject *type, ClassLayout *layout, const std::vector<DeclaredField> &declared) {
    std::vector<Place> places;
    for (const DeclaredField &field : declared) {
        const Place *place = find_place(layout->reserved, field.name);
        auto is_same = [=](const Place &other) { return other.offset == place->offset; };
        if (!place || std::any_of(places.begin(), places.end(), is_same)) {
            type_error(full_name(type) + " declares the field '" + field.name.cast<std::string>() + "' twice");
        }
        PyObject_Hash(place->name);  // from now on it is known
        places.push_back(*place);
    }
    std::vector<Field> fields(places.size());
    std::vector<Bucket> buckets = table_for(places);
    std::unique_ptr<FieldDefinition[]> definitions = definitions_for(places);
    layout->fields = std::move(fields);  // nothing fails from here on
    layout->places = std::move(places);
    layout->place = layout->places.data();
    layout->buckets = std::move(buckets);
    layout->table = layout->buckets.data();
    layout->mask = layout->buckets.size() - 1;
    layout->definitions = std::move(definitions);
    layout->count = static_cast<Py_ssize_t>(layout->fields.size());
    layout->field_slots = count_field_slots(layout, type);
    layout->free_list = free_list_for(layout);
    layout->is_sealed = true;
}

static PyObject *owned_unless_missing(const py::object &value) {
    return is_missing(value) ? nullptr : Py_NewRef(value.ptr());
}

void read_fields(PyTypeObject *type, ClassLayout *layout, bool is_dataclass) {
    const std::vector<DeclaredField> declared = is_dataclass ? declared_fields(type) : std::vector<DeclaredField>();
    if (!layout->is_sealed) {
        fit(type, layout, declared);
        if (!layout->is_sealed) {  // or Python code used the class meanwhile
            take_fields(type, layout, declared);
        }
    }
    if (declared.size() != layout->fields.size()) {
        type_changed(type);
    }
    std::vector<Ref> replaced;
    for (const DeclaredField &field : declared) {  // asked for first, as it may run code
        replaced.emplace_back(owned_unless_missing(field.initial));
        replaced.emplace_back(owned_unless_missing(field.factory));
    }
    std::vector<Py_ssize_t> positional;
    bool fills_defaults = false, takes_all_fields = true;
    for (std::size_t i = 0; i < declared.size(); i++) {
        if (layout->place[i].name != declared[i].name.ptr()) {
            type_changed(type);
        }
        if (declared[i].by_position) {
            positional.push_back(static_cast<Py_ssize_t>(i));
        }
    }
    for (std::size_t i = 0; i < declared.size(); i++) {
        Field &field = layout->fields[i];
        replaced[2 * i] = Ref(std::exchange(field.initial, replaced[2 * i].release()));
        replaced[2 * i + 1] = Ref(std::exchange(field.factory, replaced[2 * i + 1].release()));
        field.is_parameter = declared[i].is_parameter;
        fills_defaults |= field.initial != Py_None;
        takes_all_fields &= field.is_parameter;
    }
    layout->positional = std::move(positional);
    layout->most_positional = static_cast<Py_ssize_t>(layout->positional.size());
    layout->fills_defaults = fills_defaults;
    layout->takes_all_fields = takes_all_fields;
}

const Bucket *find_bucket_slowly(const ClassLayout *layout, PyObject *name) {
    if (!PyUnicode_CheckExact(name)) {
        return nullptr;
    }
    Py_hash_t hash = known_hash(name);
    if (hash == -1) {
        hash = PyObject_Hash(name);
    }
    for (auto i = static_cast<std::size_t>(hash);; i++) {
        const Bucket &bucket = layout->table[i & layout->mask];
        if (!bucket.name) {
            return nullptr;
        }
        if (bucket.name == name || (known_hash(bucket.name) == hash && PyUnicode_Compare(bucket.name, name) == 0)) {
            return &bucket;
        }
    }
}

}  // namespace fastoutputs
