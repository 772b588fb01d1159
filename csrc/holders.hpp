// The search behind install(): which objects refer to one of some others.
#pragma once

#include "python.hpp"

#include <cstdint>
#include <utility>

namespace fastoutputs {

// How the search takes the instances of a type, and of the types derived from it.
enum Kind : std::uint8_t {
    ordinary = 0,
    immutable = 1,      // cannot change, so whoever refers to such a holder counts as a holder, too
    owns_its_dict = 2,  // a dict that it refers to is a part of it, and not a holder of its own
    ignored = 4,        // not looked at
};

// Every object that refers to one of the targets, or to an immutable holder; and how many instances the targets have.
// That an object refers to its own type does not count. Runs no Python code while it searches.
std::pair<py::list, Py_ssize_t> holders(const py::list &targets, const py::dict &kinds);

// Gives a dict, or an instance of a class derived from dict or OrderedDict, other items in the place of those that it
// has before. No bytecode runs in between, so that Ctrl-C leaves it whole, and no method of the class.
void refill(const py::dict &dict, const py::dict &items, const py::dict &before);

}  // namespace fastoutputs
