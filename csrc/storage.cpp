// A change is made in this order: first all that can fail, then the swap of the finished parts, then the release of
// what was replaced, since that may run any code.
#include "storage.hpp"

#include "memory.hpp"
#include "rollback.hpp"

namespace fastoutputs {

FASTOUTPUTS_THREAD_LOCAL bool slots_only = false;

int next_extra(OutputObject *self, const ClassLayout *layout, ExtraCursor *cursor, PyObject **key, PyObject **value) {
    Py_ssize_t skip = 0;
    if (layout->count > 0) {
        // A field set since may have moved them all: what was passed is found again by counting, since
        // extras keep their order. They are few where there are fields.
        cursor->position = 0;
        skip = cursor->passed;
    }
    while (PyDict_Next(as_object(self), &cursor->position, key, value)) {
        if (PyUnicode_CheckExact(*key) && find_field(layout, *key) >= 0) {
            continue;
        }
        if (skip-- > 0) {
            continue;
        }
        cursor->passed++;
        return 1;
    }
    return 0;
}

// Of an output that is not known to be dict-backed. Tracers write extra keys into the inner dict itself.
FASTOUTPUTS_OUT_OF_LINE static bool becomes_dict_backed(OutputObject *self, const ClassLayout *layout) {
    if (slots_may_be_null) {
        fill_null_slots(self);
    }
    const bool decides = self->inner_dict == InnerDict::undecided;
    const bool is_filled = inner_size(self) || (decides && layout->fills_inner_dict && !slots_only);
    self->inner_dict = is_filled ? InnerDict::filled : InnerDict::unused;
    return is_filled;
}

// Whether the inner dict of an output that is about to hold something is to be filled.
static bool is_dict_backed(OutputObject *self, const ClassLayout *layout) {
    return self->inner_dict == InnerDict::filled || becomes_dict_backed(self, layout);
}

// A new dict of all items as they will be once field `changed` holds value (-1: as they are).
static Items items_in_order(OutputObject *self, Py_ssize_t changed, PyObject *value) {
    const Locked locked(self);
    Items items(PyDict_New());
    const ClassLayout *layout = layout_of(self);
    Ref kept = hold(layout);  // hashing a key may change the class
    for (Py_ssize_t i = 0; items && i < layout->count; i++) {
        PyObject *item = i == changed ? value : value_at(self, layout->place[i].offset);
        if (item != Py_None && PyDict_SetItem(items.get(), layout->place[i].name, item) < 0) {
            return Items();
        }
    }
    ExtraCursor cursor;
    PyObject *key, *extra;
    while (items && inner_size(self) && next_extra(self, layout, &cursor, &key, &extra)) {
        Ref held_key = Ref::borrow(key), held = Ref::borrow(extra);  // hashing a key may run any code
        if (PyDict_SetItem(items.get(), key, extra) < 0) {
            return Items();
        }
    }
    return items;
}

void Items::swap_with(OutputObject *self) { swap_dicts(&self->inner, reinterpret_cast<PyDictObject *>(dict_.get())); }

PyObject *items_as_dict(OutputObject *self) { return items_in_order(self, -1, nullptr).release(); }

int fill_inner_dict(OutputObject *self, const ClassLayout *layout) {
    const Locked locked(self);
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        PyObject *value = value_at(self, layout->place[i].offset);
        if (value != Py_None && PyDict_SetItem(as_object(self), layout->place[i].name, value) < 0) {
            PyDict_Clear(as_object(self));  // a slots-only output is whole, half a dict is not
            self->inner_dict = InnerDict::unused;
            return -1;
        }
    }
    return 0;
}

// Whether no other item comes after the field, should it get a value.
static bool is_last_item(const OutputObject *self, const ClassLayout *layout, Py_ssize_t index) {
    Py_ssize_t before = 0;
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        const bool is_present = value_at(self, layout->place[i].offset) != Py_None;
        if (is_present && i > index) {
            return false;
        }
        before += is_present;
    }
    return inner_size(self) == before;  // no extra keys
}

static int remove_from_inner_dict(OutputObject *self, PyObject *name) {
    Ref held = Ref::borrow(name);  // comparing keys may change the class
    const int known = PyDict_Contains(as_object(self), name);
    return known > 0 ? PyDict_DelItem(as_object(self), name) : known;
}

int store_field(OutputObject *self, const ClassLayout *layout, Py_ssize_t index, PyObject *value) {
    Items replaced;
    Ref old;
    const Locked locked(self);  // released before what was replaced
    const Py_ssize_t offset = layout->place[index].offset;
    const bool was_present = value_at(self, offset) != Py_None, is_present = value != Py_None;
    if ((was_present || is_present) && is_dict_backed(self, layout)) {
        PyObject *name = layout->place[index].name;
        // In order, an item that is not the last means a new dict. So does an empty one, if somebody has cleared it.
        const bool in_place = is_present && (was_present ? inner_size(self) > 0 : is_last_item(self, layout, index));
        if (!is_present ? remove_from_inner_dict(self, name) < 0
                        : in_place && PyDict_SetItem(as_object(self), name, value) < 0) {
            return -1;
        }
        if (is_present && !in_place) {
            replaced = items_in_order(self, index, value);
            if (!replaced) {
                return -1;
            }
            replaced.swap_with(self);
        }
    }
    old = Ref(exchange_slot(slot_at(self, offset), Py_NewRef(value)));
    return 0;
}

int store_extra(OutputObject *self, PyObject *key, PyObject *value) {
    const Locked locked(self);
    const ClassLayout *layout = layout_of(self);
    if (inner_size(self) || count_present(self, layout) == 0) {
        is_dict_backed(self, layout);
        if (PyDict_SetItem(as_object(self), key, value) < 0) {
            return -1;
        }
    } else {  // the first extra key of a slots-only output: from here on it is dict-backed
        Items items = items_in_order(self, -1, nullptr);
        if (!items || PyDict_SetItem(items.get(), key, value) < 0) {
            return -1;
        }
        items.swap_with(self);
    }
    self->inner_dict = InnerDict::filled;
    return 0;
}

Rollback::Rollback(OutputObject *self) : self_(self), layout_(hold(layout_of(self))) {
    const Locked locked(self);
    const auto *layout = reinterpret_cast<const ClassLayout *>(layout_.get());
    inner_dict_ = self->inner_dict;
    items_ = Items(inner_size(self) ? items_as_dict(self) : PyDict_New());
    slots_ = Ref(items_ ? PyTuple_New(layout->count) : nullptr);  // last, as code that runs could find it empty
    if (!slots_) {
        return;
    }
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        PyTuple_SET_ITEM(slots_.get(), i, Py_NewRef(value_at(self, layout->place[i].offset)));
    }
    Ref attributes = Ref::borrow(attributes_of(self));
    attributes_ = Ref(attributes ? PyDict_Copy(attributes.get()) : PyDict_New());
}

int Rollback::fail() {
    Ref replaced;
    const Locked locked(self_);
    items_.swap_with(self_);
    self_->inner_dict = inner_dict_;
    const auto *layout = reinterpret_cast<const ClassLayout *>(layout_.get());
    for (Py_ssize_t i = 0; i < layout->count; i++) {
        PyObject **before = &reinterpret_cast<PyTupleObject *>(slots_.get())->ob_item[i];
        *before = exchange_slot(slot_at(self_, layout->place[i].offset), *before);
    }
    replaced = Ref(exchange_slot(&attributes_of(self_), attributes_.release()));
    return -1;
}

}  // namespace fastoutputs
