// The search behind install(): which objects refer to one of some others.
//
// Each object tells the collector what it refers to (tp_traverse). We ask every object in the same way, and compare the
// pointers with a small hash table. That runs no Python code and makes no Python object, so the heap stands still.
//
// The first pass asks immutable objects only: which refer to a target, and which refer to each other. From these edges
// we know all immutable holders, however deep they are nested. The second pass asks all other objects for the targets
// and for those.
#include "holders.hpp"

#include "ref.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace fastoutputs {

namespace {

// Maps pointers to small numbers: open addressing, at most half full.
class Pointers {
public:
    Pointers() : slots_(64) {}

    static constexpr unsigned absent = ~0U;

    unsigned find(const void *key) const {
        for (std::size_t i = start(key);; i = (i + 1) & (slots_.size() - 1)) {
            if (slots_[i].key == key) {
                return slots_[i].value;
            }
            if (!slots_[i].key) {
                return absent;
            }
        }
    }
    bool has(const void *key) const { return find(key) != absent; }

    // Whether it was not there before.
    bool add(const void *key, unsigned value = 0) {
        if (has(key)) {
            return false;
        }
        if (2 * (size_ + 1) > slots_.size()) {
            std::vector<Slot> old(2 * slots_.size());
            old.swap(slots_);
            shift_--;
            for (const Slot &slot : old) {
                if (slot.key) {
                    place(slot);
                }
            }
        }
        place({key, value});
        size_++;
        return true;
    }

protected:
    static std::uint64_t mixed(const void *key) {
        return reinterpret_cast<std::uintptr_t>(key) * UINT64_C(0x9E3779B97F4A7C15);
    }

private:
    struct Slot {
        const void *key = nullptr;
        unsigned value = 0;
    };

    std::size_t start(const void *key) const { return static_cast<std::size_t>(mixed(key) >> shift_); }
    void place(const Slot &slot) {
        std::size_t i = start(slot.key);
        while (slots_[i].key) {
            i = (i + 1) & (slots_.size() - 1);
        }
        slots_[i] = slot;
    }

    std::vector<Slot> slots_;
    std::size_t size_ = 0;
    unsigned shift_ = 64 - 6;
};

// Pointers that are mostly not there: one bit says so of nearly all, and the bits stay in the fastest cache.
class Targets : private Pointers {
public:
    Targets() : bits_(std::size_t{1} << (bit_count - 6)) {}

    bool has(const void *key) const {
        const std::uint64_t bit = mixed(key) >> (64 - bit_count);
        return FASTOUTPUTS_UNLIKELY((bits_[bit >> 6] >> (bit & 63)) & 1) && Pointers::has(key);
    }
    bool add(const void *key) {
        const std::uint64_t bit = mixed(key) >> (64 - bit_count);
        bits_[bit >> 6] |= std::uint64_t{1} << (bit & 63);
        return Pointers::add(key);
    }

private:
    static constexpr unsigned bit_count = 16;  // 8 KB
    std::vector<std::uint64_t> bits_;
};

class Search {
public:
    Search(const py::list &targets, const py::dict &kinds) : hidden_(targets.ptr()) {
        for (py::handle target : targets) {
            targets_.add(target.ptr());
            if (PyType_Check(target.ptr())) {
                classes_.add(target.ptr());
            }
        }
        for (auto [type, kind] : kinds) {
            if (!PyType_Check(type.ptr())) {
                throw py::type_error("holders() takes kinds by type");
            }
            given_.emplace_back(reinterpret_cast<PyTypeObject *>(type.ptr()), py::cast<unsigned>(kind));
        }
    }
    Search(const Search &) = delete;
    Search &operator=(const Search &) = delete;
    ~Search() {
        for (PyObject *op : found_) {
            Py_DECREF(op);
        }
        release_edges();
    }

    void run() {
        const bool has_frozen = LiveObjects::leaves_some_out();
        LiveObjects objects;
        if (!objects) {
            PyErr_Clear();
            throw std::bad_alloc();
        }
        const std::vector<PyObject *> frozen = has_frozen ? find_frozen(objects) : no_objects();
        pass(objects, frozen);
        find_immutable_holders();
        is_second_ = true;
        pass(objects, frozen);
    }

    // Drops what the search needed, and hands the holders over.
    py::list take() {
        auto list = owned<py::list>(PyList_New(0));
        for (PyObject *op : found_) {
            if (!parts_.has(op) && op != hidden_ && PyList_Append(list.ptr(), op) < 0) {
                throw py::error_already_set();
            }
        }
        return list;
    }
    Py_ssize_t instances() const { return instances_; }

private:
    struct Edge {
        PyObject *from, *to;
        bool operator<(const Edge &other) const { return from < other.from; }
    };

    static std::vector<PyObject *> no_objects() { return {}; }

    // No exception may cross the interpreter's code in between: f answers whether to go on, and a lack of memory ends
    // it.
    template <typename Function>
    bool without_exception(Function f) {
        try {
            f();
        } catch (const std::bad_alloc &) {
            no_memory_ = true;
        }
        return !no_memory_;
    }

    void pass(LiveObjects &objects, const std::vector<PyObject *> &frozen) {
        const auto look = [this](PyObject *op) { return without_exception([&] { look_at(op); }); };
        objects.each(look);
        for (PyObject *op : frozen) {
            if (!look(op)) {
                break;
            }
        }
        if (no_memory_) {
            throw std::bad_alloc();
        }
    }

    unsigned kind_of(PyTypeObject *type) {
        unsigned kind = kinds_.find(type);
        if (kind == Pointers::absent) {
            kind = ordinary;
            for (const auto &[base, its_kind] : given_) {
                if (type == base || PyType_IsSubtype(type, base)) {
                    kind |= its_kind;
                }
            }
            kinds_.add(type, kind);
        }
        return kind;
    }

    void look_at(PyObject *op) {
        PyTypeObject *type = Py_TYPE(op);
        const unsigned kind = kind_of(type);
        if (static_cast<bool>(kind & immutable) == is_second_ || (kind & ignored) || !type->tp_traverse) {
            return;
        }
        current_ = op;
        is_holder_ = false;
        if (kind != ordinary) {
            look_closely(op, kind);
        } else if (PyList_CheckExact(op)) {
            for (Py_ssize_t i = 0; i < PyList_GET_SIZE(op) && !is_holder_; i++) {
                is_holder_ = targets_.has(PyList_GET_ITEM(op, i));
            }
        } else {
            if (classes_.has(type)) {
                instances_++;
            }
            type->tp_traverse(op, &Search::visit, this);
        }
        if (is_holder_) {
            add_holder(op);
            if (kind & immutable) {
                immutable_holders_.push_back(op);
            }
        }
    }

    void add_holder(PyObject *op) {
        found_.push_back(nullptr);
        found_.back() = Py_NewRef(op);
    }

    void look_closely(PyObject *op, unsigned kind) {
        current_kind_ = kind;
        dicts_.clear();
        Py_TYPE(op)->tp_traverse(op, &Search::visit_closely, this);
        for (PyObject *dict : dicts_) {
            const bool before = std::exchange(is_holder_, false);
            current_kind_ = kind & ~static_cast<unsigned>(owns_its_dict);
            PyDict_Type.tp_traverse(dict, &Search::visit_closely, this);
            if (is_holder_) {
                parts_.add(dict);
            }
            is_holder_ = is_holder_ || before;
        }
    }

    bool is_target(PyObject *op) const { return targets_.has(op) && op != as_object(Py_TYPE(current_)); }

    static int visit(PyObject *referent, void *arg) {
        auto *self = static_cast<Search *>(arg);
        return self->is_holder_ = self->is_target(referent);
    }

    static int visit_closely(PyObject *referent, void *arg) {
        auto *self = static_cast<Search *>(arg);
        self->is_holder_ = self->is_holder_ || self->is_target(referent);
        return !self->without_exception([&] {
            const unsigned kind = self->current_kind_;
            if ((kind & owns_its_dict) && PyDict_CheckExact(referent)) {
                self->dicts_.push_back(referent);
            } else if ((kind & immutable) && (self->kind_of(Py_TYPE(referent)) & immutable)) {
                self->edges_.push_back({referent, self->current_});
                if (!has_gil) {  // other threads run before the edges are followed
                    Py_INCREF(referent);
                    Py_INCREF(self->current_);
                }
            }
        });
    }

    // Follows the edges from the immutable holders to all that hold those.
    void find_immutable_holders() {
        std::sort(edges_.begin(), edges_.end());
        for (PyObject *holder : immutable_holders_) {
            targets_.add(holder);
        }
        for (std::size_t next = 0; next < immutable_holders_.size(); next++) {  // it grows meanwhile
            const Edge from{immutable_holders_[next], nullptr};
            for (auto edge = std::lower_bound(edges_.begin(), edges_.end(), from);
                 edge != edges_.end() && edge->from == from.from; ++edge) {
                if (targets_.add(edge->to)) {
                    immutable_holders_.push_back(edge->to);
                    add_holder(edge->to);
                }
            }
        }
        release_edges();
    }

    void release_edges() {
        const std::vector<Edge> edges = std::exchange(edges_, {});
        for (std::size_t i = 0; !has_gil && i < edges.size(); i++) {
            Py_DECREF(edges[i].from);
            Py_DECREF(edges[i].to);
        }
    }

    // What gc.freeze() has set aside is listed nowhere: we follow references to it from all that is listed.
    std::vector<PyObject *> find_frozen(LiveObjects &objects) {
        std::vector<PyObject *> frozen;
        Walk walk{this, {}, &frozen};
        walk.seen.add(hidden_);
        const auto note = [&](PyObject *op) { return without_exception([&] { walk.seen.add(op); }); };
        const auto follow = [&](PyObject *op) {
            if (Py_TYPE(op)->tp_traverse) {
                Py_TYPE(op)->tp_traverse(op, &Search::visit_on_the_way, &walk);
            }
            return !no_memory_;
        };
        objects.each(note);
        visit_on_the_way(PyImport_GetModuleDict(), &walk);
        objects.each(follow);
        for (std::size_t next = 0; next < frozen.size() && !no_memory_; next++) {
            follow(frozen[next]);
        }
        if (no_memory_) {
            throw std::bad_alloc();
        }
        return frozen;
    }

    struct Walk {
        Search *search;
        Pointers seen;
        std::vector<PyObject *> *frozen;
    };
    static int visit_on_the_way(PyObject *referent, void *arg) {
        auto *walk = static_cast<Walk *>(arg);
        return !walk->search->without_exception([&] {
            if (PyObject_GC_IsTracked(referent) && walk->seen.add(referent)) {
                walk->frozen->push_back(referent);
            }
        });
    }

    PyObject *hidden_;  // the caller's list of targets
    std::vector<std::pair<PyTypeObject *, unsigned>> given_;
    Pointers kinds_;  // of each type seen
    Targets targets_;  // and in the second pass the immutable holders
    Targets classes_;  // the targets that have instances
    Pointers parts_;  // dicts that are a part of a holder
    std::vector<PyObject *> found_;  // holders, owned
    std::vector<PyObject *> immutable_holders_;
    std::vector<Edge> edges_;  // from an immutable object to an immutable one that refers to it
    Py_ssize_t instances_ = 0;
    bool is_second_ = false, no_memory_ = false;

    // Of the object that is looked at.
    PyObject *current_ = nullptr;
    unsigned current_kind_ = ordinary;
    bool is_holder_ = false;
    std::vector<PyObject *> dicts_;
};

}  // namespace

std::pair<py::list, Py_ssize_t> holders(const py::list &targets, const py::dict &kinds) {
    Search search(targets, kinds);
    search.run();
    return {search.take(), search.instances()};
}

// `before` has the keys that the dict has.
static bool put_items(PyObject *dict, PyObject *items, PyObject *before) {
    if (!PyODict_Check(dict)) {
        PyDict_Clear(dict);
        return PyDict_Update(dict, items) == 0;
    }
    const auto remove = [=](PyObject *key, PyObject *) { return PyODict_DelItem(dict, key); };
    const auto put = [=](PyObject *key, PyObject *value) { return PyODict_SetItem(dict, key, value); };
    return for_each_item(before, remove) == 0 && for_each_item(items, put) == 0;
}

void refill(const py::dict &dict, const py::dict &items, const py::dict &before) {
    if (!put_items(dict.ptr(), items.ptr(), before.ptr())) {
        {
            const py::error_scope kept;  // as from the __eq__ of a key
            if (!put_items(dict.ptr(), before.ptr(), before.ptr())) {
                PyErr_Clear();
            }
        }
        throw py::error_already_set();
    }
}

}  // namespace fastoutputs
