// Keeps the raw dict in step with the row. Nothing else writes the raw dict.
//
// A change is made in this order: first all that can fail, then the swap of the finished parts, then
// the references that were replaced are dropped, since dropping one may run any code.
#include "layout.hpp"
#include "ref.hpp"
#include "rollback.hpp"

namespace fastoutputs {

int next_extra(OutputObject *self, ExtraCursor *cursor, PyObject **key, PyObject **value) {
    const Schema *schema = schema_of(self);
    Py_ssize_t skip = 0;
    if (schema->count > 0) {
        // A field set since may have moved them all: what was passed is found again by counting, since
        // extras keep their order. They are few where there are fields.
        cursor->position = 0;
        skip = cursor->passed;
    }
    while (PyDict_Next(as_object(self), &cursor->position, key, value)) {
        if (PyUnicode_CheckExact(*key) && find_field(schema, *key) >= 0) {
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

// Whether a change of a field must reach the raw dict. An instance that holds items and yet has an
// empty raw dict was made slots-only and stays so.
bool keeps_raw(const OutputObject *self) {
    if (raw_size(self)) {
        return true;
    }
    return schema_of(self)->mirror_dict && !slots_only && count_present(self) == 0;
}

// A new dict of all items as they will be once field `changed` holds value (-1: as they are).
static Items items_in_order(OutputObject *self, Py_ssize_t changed, PyObject *value) {
    const Locked locked(self);
    Items items(PyDict_New());
    if (!items) {
        return items;
    }
    const Schema *schema = schema_of(self);
    PyObject **row = row_of(self, schema);
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        PyObject *item = i == changed ? value : row[i];
        if (item != Py_None && PyDict_SetItem(items.get(), schema->fields[i].name, item) < 0) {
            return Items();
        }
    }
    if (raw_size(self)) {
        ExtraCursor cursor;
        PyObject *key, *extra;
        while (next_extra(self, &cursor, &key, &extra)) {
            Ref held_key = Ref::borrow(key), held = Ref::borrow(extra);  // hashing a key may run any code
            if (PyDict_SetItem(items.get(), key, extra) < 0) {
                return Items();
            }
        }
    }
    return items;
}

#ifdef Py_GIL_DISABLED

// A dict is read without its lock, so the old table must outlive whoever is in it. CPython sees to that when
// it empties a dict that is marked as one that threads share; of `items`, which is ours, only we know.
constexpr std::uint8_t marked_as_shared = 1 << 4;  // _PyGC_BITS_SHARED of pycore_gc.h, in 3.13 and 3.14

void Items::swap_with(OutputObject *self) {
    auto *other = reinterpret_cast<PyDictObject *>(dict_.get());
    PyDictKeysObject *keys = self->raw.ma_keys;
    const Py_ssize_t used = self->raw.ma_used;
    _Py_atomic_store_ptr_release(&self->raw.ma_keys, other->ma_keys);
    _Py_atomic_store_ssize_relaxed(&self->raw.ma_used, other->ma_used);
    other->ma_keys = keys;
    other->ma_used = used;
    dict_.get()->ob_gc_bits |= marked_as_shared;
}

#else

void Items::swap_with(OutputObject *self) {
    auto *other = reinterpret_cast<PyDictObject *>(dict_.get());
    std::swap(self->raw.ma_keys, other->ma_keys);
    std::swap(self->raw.ma_values, other->ma_values);
    std::swap(self->raw.ma_used, other->ma_used);
}

#endif

PyObject *items_as_dict(OutputObject *self) { return items_in_order(self, -1, nullptr).release(); }

// Brings the raw dict of a new output in step with the row.
int fill_raw(OutputObject *self) {
    const Locked locked(self);
    if (raw_size(self)) {  // code run by a factory found the output and set a field
        Items items = items_in_order(self, -1, nullptr);
        if (items) {
            items.swap_with(self);
        }
        return items ? 0 : -1;
    }
    const Schema *schema = schema_of(self);
    PyObject **row = row_of(self, schema);
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        if (row[i] != Py_None && PyDict_SetItem(as_object(self), schema->fields[i].name, row[i]) < 0) {
            PyDict_Clear(as_object(self));  // slots-only is whole, half a raw dict is not
            return -1;
        }
    }
    return 0;
}

static bool is_last_item(const OutputObject *self, Py_ssize_t index) {
    const Schema *schema = schema_of(self);
    PyObject **row = row_of(self, schema);
    for (Py_ssize_t i = index + 1; i < schema->count; i++) {
        if (row[i] != Py_None) {
            return false;
        }
    }
    return !has_extras(self);
}

int store_field(OutputObject *self, Py_ssize_t index, PyObject *value) {
    Items replaced;
    Ref old;
    const Locked locked(self);  // let go before what was replaced is dropped
    const Schema *schema = schema_of(self);
    PyObject **slot = row_of(self, schema) + index;
    PyObject *name = schema->fields[index].name;
    if (keeps_raw(self) && (*slot != Py_None || value != Py_None)) {
        if (value == Py_None) {
            int known = PyDict_Contains(as_object(self), name);
            if (known < 0 || (known && PyDict_DelItem(as_object(self), name) < 0)) {
                return -1;
            }
        } else if (*slot != Py_None || is_last_item(self, index)) {
            if (PyDict_SetItem(as_object(self), name, value) < 0) {
                return -1;
            }
        } else {
            replaced = items_in_order(self, index, value);
            if (!replaced) {
                return -1;
            }
            replaced.swap_with(self);
        }
    }
    old = Ref(exchange_slot(slot, Py_NewRef(value)));
    return 0;
}

int store_extra(OutputObject *self, PyObject *key, PyObject *value) {
    const Locked locked(self);
    if (raw_size(self) || count_present(self) == 0) {
        return PyDict_SetItem(as_object(self), key, value);
    }
    // The first extra key of a slots-only instance: from here on it is in step.
    Items items = items_in_order(self, -1, nullptr);
    if (!items || PyDict_SetItem(items.get(), key, value) < 0) {
        return -1;
    }
    items.swap_with(self);
    return 0;
}

Rollback::Rollback(OutputObject *self) : self_(self) {
    const Locked locked(self);
    const Schema *schema = schema_of(self);
    row_ = Ref(PyTuple_New(schema->count));
    raw_ = Items(row_ ? (raw_size(self) ? items_as_dict(self) : PyDict_New()) : nullptr);
    if (!raw_) {
        return;
    }
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        PyTuple_SET_ITEM(row_.get(), i, Py_NewRef(row_of(self, schema)[i]));
    }
    Ref attributes = Ref::borrow(attributes_of(self));
    attributes_ = Ref(attributes ? PyDict_Copy(attributes.get()) : PyDict_New());
}

int Rollback::fail() {
    Ref replaced;
    const Locked locked(self_);
    raw_.swap_with(self_);
    const Schema *schema = schema_of(self_);
    for (Py_ssize_t i = 0; i < schema->count; i++) {
        PyObject **before = &reinterpret_cast<PyTupleObject *>(row_.get())->ob_item[i];
        *before = exchange_slot(&row_of(self_, schema)[i], *before);
    }
    replaced = Ref(exchange_slot(&attributes_of(self_), attributes_.release()));
    return -1;
}

}  // namespace fastoutputs
