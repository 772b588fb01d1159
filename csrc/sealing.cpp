// Sealing: what is done with a class the first time it is used after @dataclass has run, and again when it has changed.
#include "sealing.hpp"

#include <map>

namespace fastoutputs {

CachedSchema schema_cache[cached_schemas];

static PyObject *mirror_dict_key;  // "__fastoutputs_mirror_dict__", where a class chose

// What a class, or a base of its, says by an attribute of this name: yes, unless it is False.
static bool is_on(PyTypeObject *type, const char *name) { return lookup(type, name) != Py_False; }

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
                            Py_TYPE(attribute)->tp_descr_set && !is_alias_property(attribute);
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
    while (read_aliases(type, schema)) {
        // To change the class ran Python code, and so another thread may have declared others.
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

// --- __init_subclass__ ---------------------------------------------------------------------------

// @dataclass takes the default of a field that is declared again, without one, from the class's
// attribute of that name. A sealed base has a descriptor there, so the base's default is put back first. It may also
// have the property of an alias there, which is no default at all.
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
        const bool is_alias = attribute && is_alias_property(attribute);
        if (!attribute || !(is_alias || is_field_descriptor(attribute))) {
            continue;
        }
        py::module_ dataclasses = py::module_::import("dataclasses");
        if (is_alias) {
            cls.attr(py::str(name)) = dataclasses.attr("field")();
            continue;
        }
        py::object fields = attribute_or_none(cls, "__dataclass_fields__");
        if (fields.is_none() || !fields.contains(name)) {
            continue;
        }
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
    if (kwargs.contains("aliases")) {
        declare_aliases(type, py::object(kwargs.attr("pop")("aliases")));
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

int prepare_sealing() {
    mirror_dict_key = PyUnicode_InternFromString("__fastoutputs_mirror_dict__");
    return mirror_dict_key && prepare_aliases() == 0 ? prepare_schema_type() : -1;
}

}  // namespace fastoutputs
