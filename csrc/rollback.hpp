// What an output held when a change of several steps began, to be put back whole if a step fails.
#pragma once

#include "layout.hpp"
#include "ref.hpp"

namespace fastoutputs {

class Rollback {
public:
    explicit Rollback(OutputObject *self);
    explicit operator bool() const { return static_cast<bool>(attributes_); }  // false: an error is set
    int fail();  // puts everything back; -1, with the error that stopped the change still set

private:
    OutputObject *self_;
    Ref row_, raw_, attributes_;  // a tuple and two dicts
};

}  // namespace fastoutputs
