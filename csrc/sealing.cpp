// Sealing: what is done with a class the first time it is used after @dataclass has run, and again when it has changed.
#include "sealing.hpp"

#include "aliases.hpp"
#include "generated.hpp"
#include "plan.hpp"
#include "slots.hpp"
#include "vars.hpp"

#include <algorithm>
#include <iterator>

namespace fastoutputs {

static PyObject *mirror_dict_key;  // "__fastoutputs_mirror_dict__", where a class chose
static PyObject *subclass_hook;  // or NULL

// What a class, or a base of its, says by an attribute of this name: yes, unless it is False.
static bool is_on(PyTypeObject *type, const char *name) { return lookup(type, name) != Py_False; }

// --- field descriptors ---------------------------------------------------------------------------

// What a field's descriptor points at; NULL for anything else.
static const void *definition_of(PyObject *attribute) {
    if (Py_IS_TYPE(attribute, &PyMemberDescr_Type)) {
        return reinterpret_cast<PyMemberDescrObject *>(attribute)->d_member;
    }
    if (Py_IS_TYPE(attribute, &PyGetSetDescr_Type)) {
        const PyGetSetDef *definition = reinterpret_cast<PyGetSetDescrObject *>(attribute)->d_getset;
        return definition->get == field_get ? definition : nullptr;
    }
    return nullptr;
}

// Whether it is a descriptor that sealing has put into a class, not one that Python made for a name in __slots__.
static bool is_field_descriptor(PyObject *attribute) {
    const void *definition = definition_of(attribute);
    PyTypeObject *owner = definition ? PyDescr_TYPE(attribute) : nullptr;
    const ClassLayout *layout = owner && PyType_IsSubtype(owner, model_output) ? own_layout(owner) : nullptr;
    const Py_ssize_t index = layout ? find_field(layout, PyDescr_NAME(attribute)) : -1;
    if (index < 0) {
        return false;
    }
    const FieldDefinition &ours = layout->definitions[static_cast<std::size_t>(index)];
    return definition == &ours.member || definition == &ours.by_name;
}

py::object declared_value(PyObject *attribute) {
    if (!is_field_descriptor(attribute)) {
        return py::reinterpret_borrow<py::object>(attribute);
    }
    for (const Displaced &each : own_layout(PyDescr_TYPE(attribute))->displaced) {
        if (each.descriptor.get() == attribute) {
            return py::reinterpret_borrow<py::object>(each.value.get());
        }
    }
    return {};
}

// Puts a descriptor in the place of what the class itself has under the name.
static void displace(PyTypeObject *type, ClassLayout *layout, PyObject *name, PyObject *descriptor) {
    PyObject *own = own_attribute(type, name);
    py::object value = own ? declared_value(own) : py::object();
    if (value) {
        layout->displaced.push_back({Ref::borrow(descriptor), Ref(value.release().ptr())});
    }
    set_on(type, name, descriptor);
}

// A class that is patched often has had many descriptors. One that nobody holds cannot be put back into it.
static void forget_lost_descriptors(ClassLayout *layout) {
    std::vector<Displaced> &all = layout->displaced;
    auto is_held = [](const Displaced &each) { return Py_REFCNT(each.descriptor.get()) > 1; };
    const auto first_lost = std::partition(all.begin(), all.end(), is_held);
    const std::vector<Displaced> lost(std::make_move_iterator(first_lost), std::make_move_iterator(all.end()));
    all.erase(first_lost, all.end());  // and then the values go, which may run any code
}

// Gives each field a descriptor, unless the class has a data descriptor of its own under the name. A class that stores
// in its own way gets descriptors with a setter: object.__setattr__, which it may call, knows no other way to the
// field.
static void install_fields(PyTypeObject *type, ClassLayout *layout, bool stores_plainly) {
    std::vector<std::size_t> lacking;
    for (std::size_t i = 0; i < layout->fields.size(); i++) {  // looked up before any is set, which takes a version tag
        Field &field = layout->fields[i];
        PyObject *name = layout->place[i].name;
        Ref found = Ref::borrow(lookup(type, name));
        PyObject *attribute = found.get();
        field.is_shadowed = attribute && attribute != field.initial && !definition_of(attribute) &&
                            Py_TYPE(attribute)->tp_descr_set && !is_alias_property(attribute);
        // One of another class may have come into the class's __dict__.
        PyObject *own = own_attribute(type, name);
        const FieldDefinition &definition = layout->definitions[i];
        const void *wanted = &definition.by_name;
        if (stores_plainly) {
            wanted = &definition.member;
        }
        if (!field.is_shadowed && (!own || definition_of(own) != wanted)) {
            lacking.push_back(i);
        }
    }
    if (!lacking.empty()) {
        forget_lost_descriptors(layout);
    }
    for (std::size_t i : lacking) {
        FieldDefinition &definition = layout->definitions[i];
        const py::object descriptor = owned(stores_plainly ? PyDescr_NewMember(type, &definition.member)
                                                           : PyDescr_NewGetSet(type, &definition.by_name));
        displace(type, layout, layout->place[i].name, descriptor.ptr());
    }
}

// --- sealing -------------------------------------------------------------------------------------

// Whether the row may be read without asking a method: it is ours, or a field has taken its name.
static bool is_plain(PyTypeObject *type, const ClassLayout *layout, const char *name) {
    py::str key(name);
    return is_inherited_from_base(type, name) || find_field(layout, key.ptr()) >= 0;
}

static unsigned int version_of(PyTypeObject *type) {
    lookup(type, "__init__");  // any lookup gives a class its version tag
    return version_tag(type);
}

// The facts were read off version of type. If that is gone, as another thread has patched the class, they are read
// again at the next use.
static void remember(PyTypeObject *type, ClassLayout *layout, unsigned int version) {
    const unsigned int now = version_of(type);
    layout->version = version == now ? version : 0;
    layout->is_untagged = now == 0;
    if (now == 0) {
        layout->compiled_init = false;
    }
}

static void read_overrides(PyTypeObject *type, ClassLayout *layout) {
    layout->has_methods_behind = has_methods_behind(type);
    layout->fills_inner_dict = lookup(type, mirror_dict_key) != Py_False;
    layout->unpacks_pairs = is_on(type, "__fastoutputs_unpacks_pairs__");
    layout->plain_to_tuple = is_plain(type, layout, "to_tuple");
    layout->plain_lookup = is_plain(type, layout, "items");
    layout->plain_items =
        layout->plain_lookup && is_plain(type, layout, "keys") && is_plain(type, layout, "__getitem__");
    layout->plain_copy =
        layout->plain_lookup && !lookup_behind(type, "__setstate__") &&
        are_inherited_from_base(type, {"__reduce_ex__", "__reduce__", "__getstate__", "__setstate__", "__setitem__"});
}

static ClassLayout *seal_or_throw(PyTypeObject *type) {
    ClassLayout *layout = own_layout(type);
    if (!layout) {
        type_error(full_name(type) +
                   " has no room for its fields: an __init_subclass__ on the way to ModelOutput does not call "
                   "super().__init_subclass__(); make it do so");
    }
    if (type == model_output) {
        take_compiled_slots(type);
        remember(type, layout, version_of(type));
        return layout;
    }
    if (layout->is_untagged && version_of(type) == 0) {
        read_overrides(type, layout);  // asked each time, so no more than is needed
        return layout;
    }
    py::handle cls(as_object(type));
    const bool is_dataclass = !attribute_or_none(cls, "__dataclass_fields__").is_none();
    if (!is_dataclass && is_on(type, "__fastoutputs_needs_dataclass__")) {
        type_error(full_name(type) +
                   " is not a dataclass. This is a subclass of ModelOutput and so must use the @dataclass decorator.");
    }
    read_fields(type, layout, is_dataclass);
    const bool stores_plainly = are_inherited_from_base(type, {"__setattr__", "__delattr__"}) &&
                                !lookup_behind(type, "__setattr__") && !lookup_behind(type, "__delattr__");
    install_fields(type, layout, stores_plainly);
    for (int rounds = 0; read_aliases(type, layout); rounds++) {
        // To change the class ran Python code, and so another thread may have declared others.
        if (rounds == 100) {
            type_error(full_name(type) + " does not keep what is set on it for its aliases");
        }
    }
    const unsigned int version = version_of(type);
    read_overrides(type, layout);
    layout->own_setattr = !stores_plainly && !is_frozen(cls);
    layout->compiled_init = has_compiled_init(type, layout, stores_plainly);
    install_slots(type, layout, stores_plainly);
    remember(type, layout, version);
    return layout;
}

ClassLayout *seal(PyTypeObject *type) {
    const ClassesLocked locked;
    Ref held = Ref::borrow(as_object(type));  // over code that may release the last object of the class
    return guarded(static_cast<ClassLayout *>(nullptr), [&] { return seal_or_throw(type); });
}

const ClassLayout *updated_layout(OutputObject *self) {
    return seal(Py_TYPE(as_object(self))) ? layout_of(self)
                                          : nullptr;  // code that ran may have moved it to another class
}

// --- __init_subclass__ ---------------------------------------------------------------------------

// The dict of a used class may become the body of another. It has descriptors where the defaults were.
static void restore_own_defaults(PyTypeObject *type) {
    const py::object own = owned(PyDict_Copy(own_dict(type)));
    const int done = for_each_item(own.ptr(), [=](PyObject *name, PyObject *value) {
        if (is_field_descriptor(value)) {
            set_on(type, name, declared_value(value).ptr());
        }
        return 0;
    });
    is_yes(done);
}

// What the class inherits under this name, had none of its bases been used. NULL: nothing.
static py::object inherited_as_declared(PyTypeObject *type, const py::object &name) {
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        PyObject *own = own_attribute(reinterpret_cast<PyTypeObject *>(base.ptr()), name.ptr());
        py::object found = own && !is_alias_property(own) ? declared_value(own) : py::object();
        if (found) {
            return found;
        }
    }
    return {};
}

// @dataclass takes the default of a field that is declared again, without one, from the class's
// attribute of that name. A base that was used has a descriptor there, so what that displaced is put back first. It
// may also have the property of an alias there, which is no default at all.
static void restore_inherited_defaults(PyTypeObject *type, const py::dict &annotations) {
    const py::handle own(own_dict(type));
    for (auto [key, annotation] : annotations) {
        const auto name = py::reinterpret_borrow<py::object>(key);
        if (!PyUnicode_CheckExact(name.ptr())) {
            continue;
        }
        PyObject *attribute = own.contains(name) ? nullptr : lookup(type, name.ptr());
        if (!attribute || !(is_alias_property(attribute) || is_field_descriptor(attribute))) {
            continue;
        }
        py::object initial = inherited_as_declared(type, name);
        if (!initial) {
            initial = py::module_::import("dataclasses").attr("field")();
        }
        set_on(type, name.ptr(), initial.ptr());
    }
}

// A plain class before ModelOutput brings the __dict__ of any object, which knows no fields. (type refuses to set it.)
static void restore_vars(PyTypeObject *type) {
    const py::object name = owned(PyUnicode_InternFromString("__dict__"));
    PyObject *ours = own_attribute(model_output, name.ptr()), *found = lookup(type, name.ptr());
    if (found != ours && Py_IS_TYPE(found, &PyGetSetDescr_Type)) {
        is_yes(PyDict_SetItem(own_dict(type), name.ptr(), ours));
        PyType_Modified(type);
    }
}

static PyObject *prepare_or_throw(PyTypeObject *type, PyObject *args, const py::dict &kwargs) {
    py::handle cls(as_object(type));
    if (!type->tp_mro) {
        type_error("__init_subclass__ was called for " + full_name(type) + " inside mro(), before it has any bases");
    }
    const py::dict annotations = own_annotations(type);
    lay_out(type, annotations);
    restore_vars(type);
    restore_own_defaults(type);
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
    const py::object next =
        owned(PyObject_CallFunctionObjArgs(as_object(&PySuper_Type), model_output, as_object(type), nullptr));
    owned(PyObject_Call(py::object(next.attr("__init_subclass__")).ptr(), args, kwargs.ptr()));
    restore_inherited_defaults(type, annotations);
    if (subclass_hook) {
        py::reinterpret_borrow<py::object>(subclass_hook)(cls);
    }
    return Py_NewRef(Py_None);
}

void set_subclass_hook(PyObject *hook) {
    const ClassesLocked locked;
    Ref replaced(std::exchange(subclass_hook, Py_NewRef(hook)));
}

PyObject *prepare_subclass(PyObject *cls, PyObject *args, PyObject *kwargs) {
    const ClassesLocked locked;
    return guarded(static_cast<PyObject *>(nullptr), [&] {
        return prepare_or_throw(reinterpret_cast<PyTypeObject *>(cls), args,
                                kwargs ? py::reinterpret_borrow<py::dict>(kwargs) : new_dict());
    });
}

int prepare_sealing() {
    mirror_dict_key = PyUnicode_InternFromString("__fastoutputs_mirror_dict__");
    return mirror_dict_key && prepare_aliases() == 0 ? prepare_layout_type() : -1;
}

}  // namespace fastoutputs
