// Sealing: reading what a class declares, once, the first time it is used after @dataclass has run.
//
// Cold code, so pybind11 objects and exceptions are used here; none leaves through a slot.
#include <pybind11/pybind11.h>

#include "layout.hpp"
#include "ref.hpp"

#include <algorithm>
#include <map>
#include <new>
#include <string>

namespace py = pybind11;

namespace fastoutputs {

CachedSchema schema_cache[cached_schemas];

static PyObject *schema_key;       // "__fastoutputs_schema__", in the __dict__ of a sealed class
static PyObject *mirror_dict_key;  // "__fastoutputs_mirror_dict__", where a class chose

static PyObject *lookup(PyTypeObject *type, const char *name) {
    auto key = py::reinterpret_steal<py::object>(PyUnicode_InternFromString(name));
    if (!key) {
        throw py::error_already_set();
    }
    return _PyType_Lookup(type, key.ptr());
}

// What ModelOutput had when it was made: a patch of ModelOutput itself is an override, too.
static std::map<std::string, PyObject *> made_with;

static void note_own_method(const char *name) { made_with[name] = Py_XNewRef(lookup(runtime.model_output, name)); }

// What a class, or a base of its, says by an attribute of this name: yes, unless it is False.
static bool is_on(PyTypeObject *type, const char *name) { return lookup(type, name) != Py_False; }

static bool is_inherited_from_base(PyTypeObject *type, const char *name) {
    return lookup(type, name) == made_with.at(name);
}

[[noreturn]] static void type_error(const std::string &text) { throw py::type_error(text); }

// The attribute, or None. (That of pybind11 takes any error, such as no memory, for "there is none".)
static py::object attribute_or_none(py::handle object, const char *name) {
    PyObject *attribute = PyObject_GetAttrString(object.ptr(), name);
    if (!attribute && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        throw py::error_already_set();
    }
    PyErr_Clear();
    return attribute ? py::reinterpret_steal<py::object>(attribute) : py::none();
}

static bool same_name(const py::object &left, PyObject *right) { return PyUnicode_Compare(left.ptr(), right) == 0; }

static std::string full_name(PyTypeObject *type) {
    py::handle cls(as_object(type));
    return py::str(cls.attr("__module__")).cast<std::string>() + "." +
           py::str(cls.attr("__name__")).cast<std::string>();
}

// --- what the dataclass declares -----------------------------------------------------------------

static Schema *new_schema() {
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
    return 0;
}

static int schema_clear(PyObject *op) {
    for (Field &field : reinterpret_cast<Schema *>(op)->fields) {
        Py_CLEAR(field.initial);
        Py_CLEAR(field.factory);
    }
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
static void read_fields(Schema *schema, PyTypeObject *type, bool is_new) {
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
static void build_table(Schema *schema) {
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

// --- whether a method is the one that @dataclass generates -----------------------------------------

static py::object defining_class(PyTypeObject *type, const char *name) {
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        if (base.attr("__dict__").contains(name)) {
            return py::reinterpret_borrow<py::object>(base);
        }
    }
    return py::none();
}

// The code of the generated method, or None. dataclasses makes its methods inside a function of this
// name; before 3.11 code does not know its full name, but stands on the second line of "<string>".
static py::object generated_code(py::object method, const char *name) {
    py::object wrapped = attribute_or_none(method, "__wrapped__");
    if (!wrapped.is_none()) {
        method = std::move(wrapped);  // __repr__ is wrapped against recursion
    }
    if (!PyFunction_Check(method.ptr())) {
        return py::none();
    }
    py::object code = method.attr("__code__");
#if PY_VERSION_HEX >= 0x030b0000
    const std::string expected = std::string("__create_fn__.<locals>.") + name;
    const bool generated = code.attr("co_qualname").cast<std::string>() == expected;
#else
    (void)name;
    const bool generated =
        code.attr("co_filename").cast<std::string>() == "<string>" && code.attr("co_firstlineno").cast<int>() == 2;
#endif
    return generated ? code : py::none();
}

// Whether __eq__ or __repr__ is generated over exactly the fields of the schema.
static bool is_generated_over_fields(PyTypeObject *type, const Schema *schema, const char *method, const char *flag) {
    py::object owner = defining_class(type, method);
    if (owner.is_none() || attribute_or_none(owner, "__dataclass_fields__").is_none() ||
        generated_code(owner.attr("__dict__")[method], method).is_none()) {
        return false;
    }
    py::tuple declared = py::module_::import("dataclasses").attr("fields")(owner);
    if (declared.size() != schema->fields.size()) {
        return false;
    }
    for (std::size_t i = 0; i < declared.size(); i++) {
        py::handle field = declared[i];
        if (!field.attr(flag).cast<bool>() || !same_name(field.attr("name"), schema->fields[i].name)) {
            return false;
        }
    }
    return true;
}

static bool is_frozen(const py::object &cls) {
    py::object parameters = attribute_or_none(cls, "__dataclass_params__");
    return !parameters.is_none() && parameters.attr("frozen").cast<bool>();
}

// Whether output_vectorcall does exactly what calling the class would do.
static bool has_compiled_init(PyTypeObject *type, const Schema *schema, bool stores_plainly) {
    if (type->tp_new != PyDict_Type.tp_new || !is_inherited_from_base(type, "__post_init__") ||
        Py_TYPE(type)->tp_call != PyType_Type.tp_call || schema->count == 0 || schema->count > most_bound) {
        return false;
    }
    py::object owner = defining_class(type, "__init__");
    if (owner.is_none() || !(stores_plainly || is_frozen(owner))) {
        return false;
    }
    py::object code = generated_code(owner.attr("__dict__")["__init__"], "__init__");
    if (code.is_none()) {
        return false;
    }
    std::vector<PyObject *> parameters;
    parameters.reserve(schema->fields.size());
    for (std::uint16_t index : schema->positional) {
        parameters.push_back(schema->fields[index].name);
    }
    const std::size_t positional = parameters.size();
    for (std::size_t i = 0; i < schema->fields.size(); i++) {
        const Field &field = schema->fields[i];
        if (field.is_shadowed) {
            return false;
        }
        const bool by_position =
            std::find(schema->positional.begin(), schema->positional.end(), i) != schema->positional.end();
        if (field.is_parameter && !by_position) {
            parameters.push_back(field.name);
        }
    }
    py::tuple names = code.attr("co_varnames");
    if (code.attr("co_argcount").cast<std::size_t>() != positional + 1 ||
        code.attr("co_kwonlyargcount").cast<std::size_t>() != parameters.size() - positional) {
        return false;  // an InitVar, or fields added without @dataclass
    }
    for (std::size_t i = 0; i < parameters.size(); i++) {
        if (!same_name(names[i + 1], parameters[i])) {
            return false;
        }
    }
    return true;
}

// --- field descriptors ---------------------------------------------------------------------------

// A member descriptor points at its definition for ever, and may outlive its class's schema. So the
// definitions are shared by all classes, one for each name and offset, and never freed.
static PyMemberDef *member_definition(PyObject *name, Py_ssize_t offset) {
    static std::map<std::pair<std::string, Py_ssize_t>, PyMemberDef> definitions;
    auto [found, is_new] = definitions.try_emplace({py::str(py::handle(name)).cast<std::string>(), offset});
    if (is_new) {
        // Read-only to CPython: a store must pass output_setattro, which keeps the raw dict in step.
        found->second = PyMemberDef{found->first.first.c_str(), T_OBJECT_EX, offset, READONLY, nullptr};
    }
    return &found->second;
}

static PyGetSetDef *named_definition(PyObject *name) {
    static std::map<std::string, PyGetSetDef> definitions;
    auto [found, is_new] = definitions.try_emplace(py::str(py::handle(name)).cast<std::string>());
    if (is_new) {
        found->second = field_by_name(name);
    }
    return &found->second;
}

static bool is_member(PyObject *attribute) { return Py_IS_TYPE(attribute, &PyMemberDescr_Type); }

static bool is_field_descriptor(PyObject *attribute) { return is_member(attribute) || is_field_by_name(attribute); }

static Py_ssize_t row_end(const Schema *schema) {
    return schema->row_offset + schema->count * static_cast<Py_ssize_t>(sizeof(PyObject *));
}

// Gives each field a descriptor, unless the class has a data descriptor of its own under the name.
// True if the class changed.
static bool install_fields(PyTypeObject *type, Schema *schema, bool stores_plainly) {
    const bool at_fixed_place = stores_plainly && !schema->fields_move && row_end(schema) <= size_for_python;
    auto is_wanted = at_fixed_place ? is_member : is_field_by_name;
    bool changed = false;
    for (std::size_t i = 0; i < schema->fields.size(); i++) {
        Field &field = schema->fields[i];
        Ref found = Ref::borrow(_PyType_Lookup(type, field.name));
        PyObject *attribute = found.get();
        field.is_shadowed = attribute && attribute != field.initial && !is_field_descriptor(attribute) &&
                            Py_TYPE(attribute)->tp_descr_set;
        PyObject *own = PyDict_GetItemWithError(type->tp_dict, field.name);
        if (field.is_shadowed || (own && schema->version != 0 && is_wanted(own))) {
            continue;
        }
        const Py_ssize_t offset = schema->row_offset + static_cast<Py_ssize_t>(i * sizeof(PyObject *));
        Ref descriptor(at_fixed_place ? PyDescr_NewMember(type, member_definition(field.name, offset))
                                      : PyDescr_NewGetSet(type, named_definition(field.name)));
        if (!descriptor || PyDict_SetItem(type->tp_dict, field.name, descriptor.get()) < 0) {
            throw py::error_already_set();
        }
        changed = true;
    }
    return changed;
}

// --- sealing -------------------------------------------------------------------------------------

static Schema *own_schema(PyTypeObject *type) {
    PyObject *schema = PyDict_GetItemWithError(type->tp_dict, schema_key);
    return schema && Py_IS_TYPE(schema, runtime.schema_type) ? reinterpret_cast<Schema *>(schema) : nullptr;
}

// Whether each field of base lies in instances of sub where it lies in those of base.
static bool keeps_places(const Schema *base, const Schema *sub) {
    for (Py_ssize_t i = 0; i < base->count; i++) {
        PyObject *name = base->fields[static_cast<std::size_t>(i)].name;
        if (base->row_offset != sub->row_offset || find_field(sub, name) != i) {
            return false;
        }
    }
    return true;
}

// A descriptor of a base reads instances of its subclasses, too. If a field lies elsewhere there (after
// __slots__, or with two output bases) or not at all (after a change of bases), the base's descriptors
// have to look for it.
static void fit_bases(PyTypeObject *type, const Schema *schema) {
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *base_type = reinterpret_cast<PyTypeObject *>(base.ptr());
        Schema *other = base_type->tp_flags & Py_TPFLAGS_HEAPTYPE ? own_schema(base_type) : nullptr;
        if (other && !other->fields_move && !keeps_places(other, schema)) {
            other->fields_move = true;
            install_fields(base_type, other, false);
            PyType_Modified(base_type);
        }
    }
}

// Of a class that is used for the first time no base may reach further than it does.
static void fit_to_relatives(PyTypeObject *type, Schema *schema) {
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *base_type = reinterpret_cast<PyTypeObject *>(base.ptr());
        Schema *other = base_type->tp_flags & Py_TPFLAGS_HEAPTYPE ? own_schema(base_type) : nullptr;
        if (other && row_end(other) > row_end(schema)) {
            type_error(full_name(type) + " has fewer fields than its base " + full_name(base_type));
        }
    }
    fit_bases(type, schema);
    py::list pending = py::handle(as_object(type)).attr("__subclasses__")();
    while (!pending.empty()) {
        py::object subclass = pending.attr("pop")();
        Schema *other = own_schema(reinterpret_cast<PyTypeObject *>(subclass.ptr()));
        if (other && row_end(other) < row_end(schema)) {
            type_error(full_name(type) + " changed its fields after its subclass was first used");
        }
        if (other && !keeps_places(schema, other)) {
            schema->fields_move = true;
        }
        pending.attr("extend")(subclass.attr("__subclasses__")());
    }
}

// Tracers look into methods that are Python functions, and into no others. So some attributes of
// ModelOutput are functions that hand over to the compiled ones (see twins.py). CPython fills the slots
// of ModelOutput and of each new class with calls of those, and here they get the compiled ones back.
struct CompiledSlots {
    initproc init;
    getiterfunc iter;
    richcmpfunc compare;
    PyMappingMethods mapping;
    PySequenceMethods sequence;
    binaryfunc inplace_or;
};

static const CompiledSlots &compiled_slots() {
    PyTypeObject *base = runtime.model_output;
    static const CompiledSlots slots = {base->tp_init,        base->tp_iter,         base->tp_richcompare,
                                        *base->tp_as_mapping, *base->tp_as_sequence, base->tp_as_number->nb_inplace_or};
    return slots;
}

static bool are_inherited_from_base(PyTypeObject *type, std::initializer_list<const char *> names) {
    return std::all_of(names.begin(), names.end(), [&](auto name) { return is_inherited_from_base(type, name); });
}

// Written only where it changes, as another thread may be calling it.
template <typename Slot>
static void put(Slot &slot, Slot value) {
    if (slot != value) {
        slot = value;
    }
}

static void take_compiled_slots(PyTypeObject *type) {
    const CompiledSlots &slots = compiled_slots();
    PyMappingMethods *mapping = type->tp_as_mapping;
    PySequenceMethods *sequence = type->tp_as_sequence;
    if (are_inherited_from_base(type, {"__init__"})) {
        put(type->tp_init, slots.init);
    }
    if (are_inherited_from_base(type, {"__iter__"})) {
        put(type->tp_iter, slots.iter);
    }
    if (are_inherited_from_base(type, {"__len__"})) {
        put(mapping->mp_length, slots.mapping.mp_length);
        put(sequence->sq_length, slots.sequence.sq_length);
    }
    if (are_inherited_from_base(type, {"__getitem__"})) {
        put(mapping->mp_subscript, slots.mapping.mp_subscript);
        put(sequence->sq_item, slots.sequence.sq_item);
    }
    if (are_inherited_from_base(type, {"__setitem__", "__delitem__"})) {
        put(mapping->mp_ass_subscript, slots.mapping.mp_ass_subscript);
        put(sequence->sq_ass_item, slots.sequence.sq_ass_item);
    }
    if (are_inherited_from_base(type, {"__contains__"})) {
        put(sequence->sq_contains, slots.sequence.sq_contains);
    }
    if (are_inherited_from_base(type, {"__ior__"})) {
        put(type->tp_as_number->nb_inplace_or, slots.inplace_or);
    }
    if (are_inherited_from_base(type, {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})) {
        put(type->tp_richcompare, slots.compare);
    }
}

void set_twin(const char *name, PyObject *function) {
    const ClassesLocked locked;
    compiled_slots();  // as they are before the first
    py::setattr(as_object(runtime.model_output), name, py::handle(function));
    note_own_method(name);
    take_compiled_slots(runtime.model_output);
}

// Slots that CPython fills with calls back into Python, or with the general form, where the compiled
// one does the same. A later patch of the class makes CPython put its own back.
static void install_slots(PyTypeObject *type, const Schema *schema, bool stores_plainly) {
    put(type->tp_alloc, output_alloc);
    put(type->tp_free, free_for(schema));
    put(type->tp_vectorcall, output_vectorcall);
    if (stores_plainly) {
        put(type->tp_setattro, output_setattro);
    }
    take_compiled_slots(type);
    if (is_generated_over_fields(type, schema, "__eq__", "compare") &&
        are_inherited_from_base(type, {"__ne__", "__lt__", "__le__", "__gt__", "__ge__"})) {
        put(type->tp_richcompare, dataclass_richcompare);
    }
    if (is_generated_over_fields(type, schema, "__repr__", "repr")) {
        put(type->tp_repr, dataclass_repr);
    }
    // Nothing of a subclass's own lies in the instance: our collector slots are all it needs.
    if (type->tp_basicsize == runtime.model_output->tp_basicsize &&
        type->tp_dictoffset == runtime.model_output->tp_dictoffset &&
        type->tp_weaklistoffset == runtime.model_output->tp_weaklistoffset && !type->tp_del) {
        put(type->tp_dealloc, output_dealloc);
        put(type->tp_traverse, output_traverse);
        put(type->tp_clear, output_clear);
    }
}

// Whether the row may be read without asking a method: it is ours, or a field has taken its name.
static bool is_plain(PyTypeObject *type, const Schema *schema, const char *name) {
    py::str key(name);
    return is_inherited_from_base(type, name) || find_field(schema, key.ptr()) >= 0;
}

static unsigned int version_of(PyTypeObject *type) {
    lookup(type, "__init__");  // any lookup gives a class its version tag
    return version_tag(type);
}

// The facts were read off version of type. If that is gone, as another thread has patched the class, they are read
// again at the next use.
static void remember(PyTypeObject *type, Schema *schema, unsigned int version) {
    schema->version = version == version_of(type) ? version : 0;
    if (schema->version != 0) {
        schema_cache[schema->version % cached_schemas] = {schema->version, schema};
    }
}

static Schema *seal_or_throw(PyTypeObject *type) {
    if (type == runtime.model_output) {
        remember(type, runtime.no_fields, version_of(type));
        return runtime.no_fields;
    }
    py::handle cls(as_object(type));
    const bool is_declared = !attribute_or_none(cls, "__dataclass_fields__").is_none();
    if (!is_declared && is_on(type, "__fastoutputs_needs_dataclass__")) {
        type_error(full_name(type) +
                   " is not a dataclass. This is a subclass of ModelOutput and so must use the @dataclass decorator.");
    }
    Schema *schema = own_schema(type);
    Ref held = Ref(as_object(schema ? reinterpret_cast<Schema *>(Py_NewRef(as_object(schema))) : new_schema()));
    const bool is_new = !schema;
    schema = reinterpret_cast<Schema *>(held.get());
    if (is_declared) {
        read_fields(schema, type, is_new);
    }
    if (is_new) {
        constexpr Py_ssize_t slot = sizeof(PyObject *);
        if (type->tp_basicsize != size_for_python) {  // __slots__ come first
            schema->row_offset = (type->tp_basicsize + slot - 1) / slot * slot;
        }
        schema->spare = spare_for(schema);
        build_table(schema);
        fit_to_relatives(type, schema);
        if (watch_bases(type) < 0) {
            throw py::error_already_set();
        }
        // Python code ran so far, and so may another thread: the schema that is there first is the class's for good.
        PyObject *first = PyDict_SetDefault(type->tp_dict, schema_key, held.get());
        if (first && Py_IS_TYPE(first, runtime.schema_type) && first != held.get()) {
            return seal_or_throw(type);
        }
        if (!first || PyDict_SetItem(type->tp_dict, schema_key, held.get()) < 0) {
            throw py::error_already_set();
        }
    }
    const bool stores_plainly =
        is_inherited_from_base(type, "__setattr__") && is_inherited_from_base(type, "__delattr__");
    if (install_fields(type, schema, stores_plainly) || is_new) {
        PyType_Modified(type);
    }
    const unsigned int version = version_of(type);
    PyObject *mirror = _PyType_Lookup(type, mirror_dict_key);
    schema->mirror_dict = mirror != Py_False;
    schema->unpacks_pairs = is_on(type, "__fastoutputs_unpacks_pairs__");
    schema->own_setattr = !stores_plainly && !is_frozen(py::reinterpret_borrow<py::object>(cls));
    schema->plain_to_tuple = is_plain(type, schema, "to_tuple");
    schema->plain_items = is_plain(type, schema, "keys") && is_plain(type, schema, "__getitem__");
    schema->plain_reduce =
        are_inherited_from_base(type, {"__reduce_ex__", "__reduce__", "__getstate__", "__setstate__"});
    schema->compiled_init = has_compiled_init(type, schema, stores_plainly);
    install_slots(type, schema, stores_plainly);
    remember(type, schema, version);
    return schema;
}

// Runs f, and turns what it throws into a Python error and the value for failure.
template <typename Result, typename Function>
static Result guarded(Result failure, Function f) {
    try {
        return f();
    } catch (py::error_already_set &error) {
        error.restore();
    } catch (const py::builtin_exception &error) {
        error.set_error();
    } catch (const std::bad_alloc &) {
        PyErr_NoMemory();
    } catch (const std::exception &error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return failure;
}

Schema *seal(PyTypeObject *type) {
    const ClassesLocked locked;
    return guarded(static_cast<Schema *>(nullptr), [&] { return seal_or_throw(type); });
}

// Called in the middle of `type.__bases__ = ...`, with the new ones in place.
int bases_changed(PyTypeObject *type) {
    const ClassesLocked locked;
    return guarded(-1, [&] {
        py::list pending;
        pending.append(py::handle(as_object(type)));
        while (!pending.empty()) {
            py::object cls = pending.attr("pop")();
            auto *changed = reinterpret_cast<PyTypeObject *>(cls.ptr());
            if (Schema *schema = own_schema(changed)) {
                fit_bases(changed, schema);
                if (watch_bases(changed) < 0) {
                    throw py::error_already_set();
                }
            }
            pending.attr("extend")(cls.attr("__subclasses__")());
        }
        return 0;
    });
}

void note_own_methods() {
    for (const char *name : {"__post_init__", "__setattr__",   "__delattr__", "__init__",     "__iter__",    "__len__",
                             "__getitem__",   "__setitem__",   "__delitem__", "__contains__", "to_tuple",    "keys",
                             "__eq__",        "__ne__",        "__lt__",      "__le__",       "__gt__",      "__ge__",
                             "__ior__",       "__reduce_ex__", "__reduce__",  "__getstate__", "__setstate__"}) {
        note_own_method(name);
    }
}

// --- __init_subclass__ ---------------------------------------------------------------------------

// @dataclass takes the default of a field that is declared again, without one, from the class's
// attribute of that name. A sealed base has a descriptor there, so the base's default is put back first.
static void restore_inherited_defaults(PyTypeObject *type) {
    py::handle cls(as_object(type));
    py::dict own = py::dict(cls.attr("__dict__"));
#if PY_VERSION_HEX >= 0x030e0000
    py::module_ annotationlib = py::module_::import("annotationlib");
    py::dict annotations =
        annotationlib.attr("get_annotations")(cls, py::arg("format") = annotationlib.attr("Format").attr("FORWARDREF"));
#else
    py::dict annotations = own.contains("__annotations__") ? py::dict(own["__annotations__"]) : py::dict();
#endif
    for (auto [name, annotation] : annotations) {
        PyObject *attribute = own.contains(name) ? nullptr : _PyType_Lookup(type, name.ptr());
        if (!attribute || !is_field_descriptor(attribute)) {
            continue;
        }
        py::object fields = attribute_or_none(cls, "__dataclass_fields__");
        if (fields.is_none() || !fields.contains(name)) {
            continue;
        }
        py::module_ dataclasses = py::module_::import("dataclasses");
        py::object initial = fields[name].attr("default");
        cls.attr(py::str(name)) = initial.is(dataclasses.attr("MISSING")) ? dataclasses.attr("field")() : initial;
    }
}

static PyObject *prepare_or_throw(PyTypeObject *type, const py::args &args, const py::kwargs &kwargs) {
    py::handle cls(as_object(type));
    if (kwargs.contains("mirror_dict")) {
        py::object mirror = kwargs.attr("pop")("mirror_dict");
        if (!PyBool_Check(mirror.ptr())) {
            type_error("mirror_dict must be True or False, not " + py::repr(mirror).cast<std::string>());
        }
        cls.attr(py::handle(mirror_dict_key)) = mirror;
    }
    auto next = py::reinterpret_steal<py::object>(
        PyObject_CallFunctionObjArgs(as_object(&PySuper_Type), runtime.model_output, as_object(type), nullptr));
    if (!next) {
        throw py::error_already_set();
    }
    if (type != runtime.model_output && !own_schema(type)) {  // or it is called by hand
        type->tp_free = free_of_unused;
    }
    type->tp_alloc = output_alloc;  // before any other __init_subclass__ can make an instance
    type->tp_vectorcall = output_vectorcall;
    take_compiled_slots(type);
    next.attr("__init_subclass__")(*args, **kwargs);
    restore_inherited_defaults(type);
    if (runtime.subclass_hook) {
        py::reinterpret_borrow<py::object>(runtime.subclass_hook)(cls);
    }
    return Py_NewRef(Py_None);
}

PyObject *prepare_subclass(PyObject *cls, PyObject *args, PyObject *kwargs) {
    const ClassesLocked locked;
    return guarded(static_cast<PyObject *>(nullptr), [&] {
        return prepare_or_throw(reinterpret_cast<PyTypeObject *>(cls), py::reinterpret_borrow<py::args>(args),
                                kwargs ? py::reinterpret_borrow<py::kwargs>(kwargs) : py::kwargs());
    });
}

int prepare_schemas() {
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
    mirror_dict_key = PyUnicode_InternFromString("__fastoutputs_mirror_dict__");
    if (!runtime.schema_type || !schema_key || !mirror_dict_key) {
        return -1;
    }
    runtime.no_fields = guarded(static_cast<Schema *>(nullptr), new_schema);
    return runtime.no_fields ? 0 : -1;
}

}  // namespace fastoutputs
