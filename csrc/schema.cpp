// What a class declares, as its schema keeps it: fields, defaults, parameters, and the table of their names.
#include "sealing.hpp"

#include <algorithm>

namespace fastoutputs {

PyObject *schema_key;

py::object attribute_or_none(py::handle object, const char *name) {
    PyObject *attribute = PyObject_GetAttrString(object.ptr(), name);
    if (!attribute && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        throw py::error_already_set();
    }
    PyErr_Clear();
    return attribute ? py::reinterpret_steal<py::object>(attribute) : py::none();
}

std::string full_name(PyTypeObject *type) {
    py::handle cls(as_object(type));
    return py::str(cls.attr("__module__")).cast<std::string>() + "." +
           py::str(cls.attr("__name__")).cast<std::string>();
}

Schema *new_schema() {
    Schema *schema = PyObject_GC_New(Schema, runtime.schema_type);
    if (!schema) {
        throw py::error_already_set();
    }
    new (&schema->fields) std::vector<Field>();
    new (&schema->buckets) std::vector<Bucket>(1, Bucket{nullptr, -1});
    schema->table = schema->buckets.data();
    schema->mask = 0;
    new (&schema->positional) std::vector<std::uint16_t>();
    schema->count = 0;
    schema->row_offset = sizeof(OutputObject);
    schema->spare = nullptr;
    schema->aliases = nullptr;
    schema->version = 0;
    schema->mirror_dict = true;
    schema->compiled_init = schema->fills_defaults = schema->takes_all_fields = false;
    schema->own_setattr = schema->fields_move = false;
    schema->plain_to_tuple = schema->plain_items = schema->plain_reduce = schema->unpacks_pairs = true;
    PyObject_GC_Track(as_object(schema));
    return schema;
}

static int schema_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    for (const Field &field : reinterpret_cast<Schema *>(op)->fields) {
        Py_VISIT(field.initial);
        Py_VISIT(field.factory);
    }
    Py_VISIT(reinterpret_cast<Schema *>(op)->aliases);
    return 0;
}

static int schema_clear(PyObject *op) {
    for (Field &field : reinterpret_cast<Schema *>(op)->fields) {
        Py_CLEAR(field.initial);
        Py_CLEAR(field.factory);
    }
    Py_CLEAR(reinterpret_cast<Schema *>(op)->aliases);
    return 0;
}

static void schema_dealloc(PyObject *op) {
    auto *schema = reinterpret_cast<Schema *>(op);
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    schema_clear(op);
    for (Field &field : schema->fields) {
        Py_DECREF(field.name);
    }
    schema->fields.~vector();
    schema->buckets.~vector();
    schema->positional.~vector();
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

static PyObject *owned_unless_missing(const py::object &value, const py::handle &missing) {
    return value.is(missing) ? nullptr : Py_NewRef(value.ptr());
}

// Reads defaults and parameters anew; names must be those that schema has, unless it is new.
void read_fields(Schema *schema, PyTypeObject *type, bool is_new) {
    py::module_ dataclasses = py::module_::import("dataclasses");
    py::handle missing = dataclasses.attr("MISSING");
    py::tuple declared = dataclasses.attr("fields")(py::handle(as_object(type)));
    if (!is_new && declared.size() != schema->fields.size()) {
        type_error(full_name(type) + " changed its fields after its first use: declare a subclass instead");
    }
    std::vector<std::uint16_t> positional;
    bool fills_defaults = false, takes_all_fields = true;
    for (std::size_t i = 0; i < declared.size(); i++) {
        py::handle declaration = declared[i];
        PyObject *name = py::str(declaration.attr("name")).release().ptr();
        PyUnicode_InternInPlace(&name);
        if (name == schema_key) {
            Py_DECREF(name);
            type_error(full_name(type) +
                       " cannot have a field called __fastoutputs_schema__: its layout is kept there");
        }
        if (is_new) {
            schema->fields.push_back(Field{name, PyObject_Hash(name), nullptr, nullptr, true, false});
            schema->count = static_cast<Py_ssize_t>(schema->fields.size());
        } else {
            Py_DECREF(name);
            if (schema->fields[i].name != name) {
                type_error(full_name(type) + " changed its fields after its first use: declare a subclass instead");
            }
        }
        Field &field = schema->fields[i];
        py::object initial = declaration.attr("default"), factory = declaration.attr("default_factory");
        Ref old_initial(field.initial), old_factory(field.factory);
        field.initial = owned_unless_missing(initial, missing);
        field.factory = owned_unless_missing(factory, missing);
        field.is_parameter = declaration.attr("init").cast<bool>();
        fills_defaults |= field.initial != Py_None;
        takes_all_fields &= field.is_parameter;
        if (field.is_parameter && !declaration.attr("kw_only").cast<bool>()) {
            positional.push_back(static_cast<std::uint16_t>(i));
        }
    }
    schema->positional = std::move(positional);
    schema->fills_defaults = fills_defaults;
    schema->takes_all_fields = takes_all_fields;
}

static void build_table(Schema *schema, std::size_t size) {
    schema->buckets.assign(size, Bucket{nullptr, -1});
    schema->table = schema->buckets.data();
    schema->mask = size - 1;
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        const Field &field = schema->fields[static_cast<std::size_t>(i)];
        std::size_t at = static_cast<std::size_t>(field.hash) & schema->mask;
        while (schema->buckets[at].name) {
            at = (at + 1) & schema->mask;
        }
        schema->buckets[at] = Bucket{field.name, i};
    }
}

// A larger table, within reason, where two fields would want one place: the second is found more slowly.
void build_table(Schema *schema) {
    const std::size_t enough = 2 * schema->fields.size(), most = 16 * enough;
    auto has_its_place = [&](const Field &field) { return bucket_of(schema, field.name).name == field.name; };
    for (std::size_t size = 1;; size *= 2) {
        if (size < enough) {
            continue;
        }
        build_table(schema, size);
        if (size >= most || std::all_of(schema->fields.begin(), schema->fields.end(), has_its_place)) {
            return;
        }
    }
}

Py_ssize_t find_field_slowly(const Schema *schema, PyObject *name) {
    Py_hash_t hash = known_hash(name);
    if (hash == -1) {
        hash = PyObject_Hash(name);
    }
    for (auto i = static_cast<std::size_t>(hash);; i++) {
        const Bucket &bucket = schema->table[i & schema->mask];
        if (!bucket.name) {
            return -1;
        }
        if (bucket.name == name || (known_hash(bucket.name) == hash && PyUnicode_Compare(bucket.name, name) == 0)) {
            return bucket.index;
        }
    }
}

int prepare_schema_type() {
    PyType_Slot slots[] = {
        {Py_tp_dealloc, reinterpret_cast<void *>(schema_dealloc)},
        {Py_tp_traverse, reinterpret_cast<void *>(schema_traverse)},
        {Py_tp_clear, reinterpret_cast<void *>(schema_clear)},
        {0, nullptr},
    };
    PyType_Spec spec = {"fastoutputs._core.sealed_schema", sizeof(Schema), 0,
                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    runtime.schema_type = reinterpret_cast<PyTypeObject *>(PyType_FromSpec(&spec));
    schema_key = PyUnicode_InternFromString("__fastoutputs_schema__");
    if (!runtime.schema_type || !schema_key) {
        return -1;
    }
    runtime.no_fields = guarded(static_cast<Schema *>(nullptr), new_schema);
    return runtime.no_fields ? 0 : -1;
}

}  // namespace fastoutputs
