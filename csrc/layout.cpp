// Lays a class out when it is created, and reads what it declares when it is first used.
#include "sealing.hpp"

#include "memory.hpp"
#include "vars.hpp"

#include <algorithm>

namespace fastoutputs {

ClassLayout *no_fields;

static PyTypeObject *layout_type;
constexpr Py_ssize_t slot_size = sizeof(PyObject *);

// --- the object -----------------------------------------------------------------------------------

static py::object new_layout() {
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
    layout->fills_inner_dict = layout->plain_to_tuple = layout->plain_items = true;
    layout->plain_reduce = layout->unpacks_pairs = true;
    PyObject_GC_Track(as_object(layout));
    return py::reinterpret_steal<py::object>(as_object(layout));
}

static int layout_traverse(PyObject *op, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(op));
    for (const Field &field : reinterpret_cast<ClassLayout *>(op)->fields) {
        Py_VISIT(field.initial);
        Py_VISIT(field.factory);
    }
    Py_VISIT(reinterpret_cast<ClassLayout *>(op)->aliases);
    return 0;
}

static int layout_clear(PyObject *op) {
    for (Field &field : reinterpret_cast<ClassLayout *>(op)->fields) {
        Py_CLEAR(field.initial);
        Py_CLEAR(field.factory);
    }
    Py_CLEAR(reinterpret_cast<ClassLayout *>(op)->aliases);
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
                                     no_fields = reinterpret_cast<ClassLayout *>(new_layout().release().ptr());
                                     no_fields->is_sealed = true;
                                     return 0;
                                 })
                       : -1;
}

ClassLayout *own_layout(PyTypeObject *type) { return reinterpret_cast<ClassLayout *>(private_slot(type)); }

// --- when the class is created --------------------------------------------------------------------

static const Place *find_place(const std::vector<Place> &places, py::handle name) {
    for (const Place &place : places) {
        if (place.name == name.ptr() || PyUnicode_Compare(place.name, name.ptr()) == 0) {
            return &place;
        }
    }
    return nullptr;
}

// Names are kept where no code that the collector runs can find them.
using Names = std::vector<py::object>;

static bool contains(const Names &names, py::handle name) {
    return std::any_of(names.begin(), names.end(), [=](const py::object &each) {
        return each.is(name) || (PyUnicode_Check(each.ptr()) && PyUnicode_Compare(each.ptr(), name.ptr()) == 0);
    });
}

py::dict own_annotations(PyTypeObject *type) {
    py::handle cls(as_object(type));
    py::object found;
    if (annotations_are_lazy) {
        py::module_ annotationlib = py::module_::import("annotationlib");
        found = annotationlib.attr("get_annotations")(
            cls, py::arg("format") = annotationlib.attr("Format").attr("FORWARDREF"));
    } else {
        found = py::reinterpret_borrow<py::object>(own_attribute(type, "__annotations__"));
    }
    const bool is_dict = found && PyDict_Check(found.ptr());
    auto annotations = owned<py::dict>(is_dict ? PyDict_Copy(found.ptr()) : PyDict_New());
    PyObject_GC_UnTrack(annotations.ptr());  // likewise
    return annotations;
}

// As @dataclass decides it: ClassVar, InitVar and KW_ONLY make no field. Text is taken by its name alone: where that is
// wrong, the slots are made to fit when the class is first used.
static bool makes_a_field(const py::object &annotation) {
    if (PyUnicode_Check(annotation.ptr())) {
        const char *text = PyUnicode_AsUTF8(annotation.ptr());
        if (!text) {  // surrogates
            PyErr_Clear();
            return true;
        }
        const std::string path(text, std::strcspn(text, "[ "));
        const std::string name = path.substr(path.rfind('.') + 1);
        return name != "ClassVar" && name != "InitVar" && name != "KW_ONLY";
    }
    const py::module_ dataclasses = py::module_::import("dataclasses"), typing = py::module_::import("typing");
    const py::object init_var = dataclasses.attr("InitVar"), class_var = typing.attr("ClassVar");
    return !(annotation.is(init_var) || py::type::handle_of(annotation).is(init_var) || annotation.is(class_var) ||
             typing.attr("get_origin")(annotation).is(class_var) || annotation.is(dataclasses.attr("KW_ONLY")));
}

// The fields that @dataclass will find, as far as they can be known before it runs: of the class itself, and of bases
// that have no layout, such as a dataclass used as a mixin.
static Names expected_fields(PyTypeObject *type, const py::dict &annotations) {
    Names names;
    for (py::handle base : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *base_type = reinterpret_cast<PyTypeObject *>(base.ptr());
        if (base_type == type || own_layout(base_type) || !own_attribute(base_type, "__dataclass_fields__")) {
            continue;
        }
        for (py::handle field : py::module_::import("dataclasses").attr("fields")(base)) {
            names.push_back(field.attr("name"));
        }
    }
    for (auto [key, annotation] : annotations) {
        const auto name = py::reinterpret_borrow<py::object>(key);  // over code of the annotation's
        if (makes_a_field(py::reinterpret_borrow<py::object>(annotation))) {
            names.push_back(name);
        }
    }
    return names;
}

// The nearest base that has a layout: all others lie on the way from it to ModelOutput, or CPython would have refused
// the class.
static PyTypeObject *laid_out_base(PyTypeObject *type) {
    PyTypeObject *base = type->tp_base;
    while (!own_layout(base)) {
        base = base->tp_base;
    }
    return base;
}

// What a layout is about to become. It is made whole first, and put in place while no other code can run.
struct Plan {
    std::vector<Place> reserved;
    std::vector<Ref> names;  // of those
    Names added;  // what the class adds behind the slots of its base, in order
    py::object slots;  // a tuple of the same, when it is complete
    Py_ssize_t end;
};

static Plan plan_behind(const std::vector<Place> &reserved, Py_ssize_t end) {
    Plan plan = {reserved, {}, {}, {}, end};
    for (const Place &place : reserved) {
        plan.names.push_back(Ref::borrow(place.name));
    }
    return plan;
}

static void plan_field(Plan &plan, py::handle name) {
    PyObject *interned = Py_NewRef(name.ptr());
    PyUnicode_InternInPlace(&interned);
    plan.names.emplace_back(interned);
    plan.reserved.push_back({interned, plan.end});
    plan.added.push_back(
        owned(PyUnicode_FromFormat("field %U", name.ptr())));  // no name that __slots__ can have: those may be NULL
    plan.end += slot_size;
}

static void plan_fields(Plan &plan, const Names &fields) {
    for (const py::object &name : fields) {
        if (PyUnicode_CheckExact(name.ptr()) && !find_place(plan.reserved, name)) {
            plan_field(plan, name);
        }
    }
    const auto slots = owned<py::tuple>(PyTuple_New(static_cast<Py_ssize_t>(plan.added.size())));
    for (std::size_t i = 0; i < plan.added.size(); i++) {
        slots[i] = plan.added[i];
    }
    plan.slots = slots;
}

// CPython reads the size when it makes an instance or a subclass. It compares the size, and the names of the slots that
// a class adds, before it lets __class__ or __bases__ change. Runs no code, and changes all or nothing.
static void put_in_place(PyTypeObject *type, ClassLayout *layout, Plan &plan) {
    layout->names.reserve(layout->names.size() + plan.names.size() + 1);
    std::move(plan.names.begin(), plan.names.end(), std::back_inserter(layout->names));
    layout->names.emplace_back(std::exchange(slot_names(type), Py_NewRef(plan.slots.ptr())));
    layout->reserved.swap(plan.reserved);
    type->tp_basicsize = plan.end;
    take_over_memory(type);
}

static bool is_yes(int answer) {
    if (answer < 0) {
        throw py::error_already_set();
    }
    return answer > 0;
}

// A __set_name__, a metaclass or another __init_subclass__ may have made one.
static void refuse_instances(PyTypeObject *type) {
    if (is_yes(has_young_dependents(type))) {
        type_error(full_name(type) +
                   " has an instance or a subclass before it has room for its fields: make none before "
                   "ModelOutput.__init_subclass__ has run");
    }
}

struct DeclaredField {
    py::object name, initial, factory;  // a factory or default may be MISSING
    bool is_parameter, by_position;
};

bool is_true(const py::object &value) { return is_yes(PyObject_IsTrue(value.ptr())); }

static std::vector<DeclaredField> declared_fields(PyTypeObject *type) {
    std::vector<DeclaredField> found;
    for (py::handle field : py::module_::import("dataclasses").attr("fields")(py::handle(as_object(type)))) {
        py::object name = field.attr("name");
        if (!PyUnicode_CheckExact(name.ptr())) {
            type_error(full_name(type) + " has a field whose name is no str: " + py::repr(name).cast<std::string>());
        }
        PyObject *interned = name.release().ptr();
        PyUnicode_InternInPlace(&interned);
        name = py::reinterpret_steal<py::object>(interned);
        const bool is_parameter = is_true(field.attr("init"));
        found.push_back({name, field.attr("default"), field.attr("default_factory"), is_parameter,
                         is_parameter && !is_true(field.attr("kw_only"))});
    }
    return found;
}

// Gives the class exactly the slots that its fields need, which may differ from what was expected when it was created.
// Nothing may depend on its size but `apart`, a class in creation, whose own slots move with it.
static void fit(PyTypeObject *type, ClassLayout *layout, const std::vector<DeclaredField> &declared,
                PyTypeObject *apart = nullptr) {
    Names names;
    const DeclaredField *missing = nullptr;
    for (const DeclaredField &field : declared) {
        names.push_back(field.name);
        missing = missing || find_place(layout->reserved, field.name) ? missing : &field;
    }
    auto is_own = [=](const Place &place) { return place.offset >= layout->reserved_from; };
    auto is_surplus = [&](const Place &place) { return is_own(place) && !contains(names, place.name); };
    if (!missing && std::none_of(layout->reserved.begin(), layout->reserved.end(), is_surplus)) {
        return;
    }
    std::vector<Place> kept = layout->reserved;
    kept.erase(std::remove_if(kept.begin(), kept.end(), is_own), kept.end());
    Plan plan = plan_behind(kept, layout->reserved_from);
    const auto before = py::reinterpret_borrow<py::tuple>(slot_names(type));
    for (Py_ssize_t i = 0; i < (layout->reserved_from - type->tp_base->tp_basicsize) / slot_size; i++) {
        plan.added.push_back(before[static_cast<std::size_t>(i)]);
    }
    plan_fields(plan, names);
    const bool has_any = is_yes(has_dependents(type, apart));
    if (layout->is_sealed || (apart && own_layout(apart))) {
        return;  // Python code has used the class meanwhile, or laid out the other
    }
    if (slot_names(type) != before.ptr()) {
        type_error(full_name(type) + " was laid out anew by code that ran while it was laid out");
    }
    if (!has_any) {
        const Py_ssize_t growth = plan.end - type->tp_basicsize;
        put_in_place(type, layout, plan);
        if (apart) {
            for (Py_ssize_t i = 0; i < Py_SIZE(apart); i++) {
                python_slots(apart)[i].offset += growth;
            }
            apart->tp_basicsize += growth;
        }
    } else if (missing) {
        type_error(full_name(type) + " got the field '" + missing->name.cast<std::string>() +
                   "' after a subclass or an instance was made: declare it in the body of the class");
    }
}

// make_dataclass of 3.14 and later adds the annotations after it has created the class; so do some decorators. The
// last moment to make room for such fields of the base is now.
static void fit_base(PyTypeObject *created) {
    PyTypeObject *base = created->tp_base;
    ClassLayout *layout = own_layout(base);
    if (!layout || layout->is_sealed || !own_attribute(base, "__dataclass_fields__")) {
        return;
    }
    fit(base, layout, declared_fields(base), created);
}

// CPython has compared the bases before those fields came: of two, one may bring fields of its own.
static void refuse_other_bases(PyTypeObject *type) {
    for (py::handle other : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *base = reinterpret_cast<PyTypeObject *>(other.ptr());
        ClassLayout *layout = is_heap_type(base) && base != type ? own_layout(base) : nullptr;
        if (!layout || layout->is_sealed || PyType_IsSubtype(type->tp_base, base) ||
            !own_attribute(base, "__dataclass_fields__")) {
            continue;
        }
        for (const DeclaredField &field : declared_fields(base)) {
            if (!find_place(layout->reserved, field.name)) {
                type_error("multiple bases have instance lay-out conflict: " + full_name(type->tp_base) + " and " +
                           full_name(base));
            }
        }
    }
}

void lay_out(PyTypeObject *type, const py::dict &annotations) {
    if (own_layout(type)) {
        return;  // __init_subclass__ was called by hand
    }
    refuse_instances(type);
    block_instances(type);
    fit_base(type);
    refuse_other_bases(type);
    PyTypeObject *direct_base = type->tp_base;
    const Py_ssize_t size_of_base = direct_base->tp_basicsize;
    const Names fields = expected_fields(type, annotations);
    const py::object made = new_layout();
    auto *layout = reinterpret_cast<ClassLayout *>(made.ptr());
    PyTypeObject *base = laid_out_base(type);
    layout->holes = own_layout(base)->holes;
    for (Py_ssize_t offset = base->tp_basicsize; offset < type->tp_base->tp_basicsize; offset += slot_size) {
        layout->holes.push_back(offset);  // of a base without a layout
    }
    // The slots that the class has for names in __slots__. One named like a field becomes the slot of that field; if a
    // base has one already, the second is not needed.
    Plan plan = plan_behind(own_layout(base)->reserved, type->tp_base->tp_basicsize);
    std::vector<Py_ssize_t> offsets;
    for (Py_ssize_t i = 0; i < Py_SIZE(type); i++) {
        const py::str name(python_slots(type)[i].name);
        const Place *place = find_place(plan.reserved, name);
        offsets.push_back(place ? place->offset : plan.end);
        if (place) {
            continue;
        }
        if (contains(fields, name)) {
            plan_field(plan, name);
        } else {
            layout->holes.push_back(plan.end);
            plan.added.push_back(name);
            plan.end += slot_size;
        }
    }
    layout->reserved_from = plan.end;
    plan_fields(plan, fields);
    refuse_instances(type);
    if (own_layout(type)) {
        return;  // by hand, by code that ran meanwhile
    }
    if (type->tp_base != direct_base || direct_base->tp_basicsize != size_of_base) {
        type_error(full_name(type) + " changed its bases while it was created");
    }
    put_in_place(type, layout, plan);
    for (std::size_t i = 0; i < offsets.size(); i++) {
        PyMemberDef &slot = python_slots(type)[i];
        slot.offset = offsets[i];
        if (std::find(layout->holes.begin(), layout->holes.end(), slot.offset) == layout->holes.end()) {
            slot.flags |= READONLY;  // a field: its descriptor must not write past the inner dict, nor delete
        }
    }
    private_slot(type) = Py_NewRef(made.ptr());
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

static PyObject *owned_unless_missing(const py::object &value, const py::handle &missing) {
    return value.is(missing) ? nullptr : Py_NewRef(value.ptr());
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
    const py::object missing = py::module_::import("dataclasses").attr("MISSING");
    std::vector<Ref> replaced(2 * declared.size());
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
        replaced[2 * i] = Ref(std::exchange(field.initial, owned_unless_missing(declared[i].initial, missing)));
        replaced[2 * i + 1] = Ref(std::exchange(field.factory, owned_unless_missing(declared[i].factory, missing)));
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
