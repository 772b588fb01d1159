#include "plan.hpp"

#include "slots.hpp"

#include <algorithm>
#include <iterator>

namespace fastoutputs {

constexpr Py_ssize_t slot_size = sizeof(PyObject *);

const Place *find_place(const std::vector<Place> &places, py::handle name) {
    for (const Place &place : places) {
        if (place.name == name.ptr() || PyUnicode_Compare(place.name, name.ptr()) == 0) {
            return &place;
        }
    }
    return nullptr;
}

static bool contains(const Names &names, py::handle name) {
    return std::any_of(names.begin(), names.end(), [=](const py::object &each) {
        return each.is(name) || (PyUnicode_Check(each.ptr()) && PyUnicode_Compare(each.ptr(), name.ptr()) == 0);
    });
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

// A __set_name__, a metaclass or another __init_subclass__ may have made one.
static void refuse_instances(PyTypeObject *type) {
    if (is_yes(has_young_dependents(type))) {
        type_error(full_name(type) +
                   " has an instance or a subclass before it has room for its fields: make none before "
                   "ModelOutput.__init_subclass__ has run");
    }
}

void fit(PyTypeObject *type, ClassLayout *layout, const std::vector<DeclaredField> &declared, PyTypeObject *apart) {
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

// The layout of a class that @dataclass has seen, and that may still be made to fit; or NULL.
static ClassLayout *unfitted_layout(PyTypeObject *type) {
    ClassLayout *layout = is_heap_type(type) ? own_layout(type) : nullptr;
    return layout && !layout->is_sealed && own_attribute(type, "__dataclass_fields__") ? layout : nullptr;
}

// make_dataclass of 3.14 and later adds the annotations after it has created the class; so do some decorators. The
// last moment to make room for such fields of the base is now.
static void fit_base(PyTypeObject *created) {
    PyTypeObject *base = created->tp_base;
    if (ClassLayout *layout = unfitted_layout(base)) {
        fit(base, layout, declared_fields(base), created);
    }
}

// CPython has compared the bases before those fields came: of two, one may bring fields of its own.
static void refuse_other_bases(PyTypeObject *type) {
    for (py::handle other : py::reinterpret_borrow<py::tuple>(type->tp_mro)) {
        auto *base = reinterpret_cast<PyTypeObject *>(other.ptr());
        ClassLayout *layout = base != type && !PyType_IsSubtype(type->tp_base, base) ? unfitted_layout(base) : nullptr;
        if (!layout) {
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
    const auto made = py::reinterpret_steal<py::object>(new_layout());
    auto *layout = reinterpret_cast<ClassLayout *>(made.ptr());
    PyTypeObject *base = laid_out_base(type);
    layout->holes = own_layout(base)->holes;
    for (Py_ssize_t offset = base->tp_basicsize; offset < size_of_base; offset += slot_size) {
        layout->holes.push_back(offset);  // of a base without a layout
    }
    // The slots that the class has for names in __slots__. One named like a field becomes the slot of that field; if a
    // base has one already, the second is not needed.
    Plan plan = plan_behind(own_layout(base)->reserved, size_of_base);
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

}  // namespace fastoutputs
