// Which edges of _core a run takes, in the form that libFuzzer reads: one counter of 8 bits each.
//
// GCC has a callback for every basic block, but not the counters that Clang keeps. An edge is the pair of
// a block and the one before; its counter is found by hash, so a few edges share one.
#include <cstddef>
#include <cstdint>

constexpr std::size_t size = 1 << 16;

extern "C" {

__attribute__((visibility("default"))) std::uint8_t fastoutputs_edges[size];
__attribute__((visibility("default"))) extern const std::size_t fastoutputs_edges_size = size;

__attribute__((no_sanitize_coverage, no_sanitize("address", "undefined"))) void __sanitizer_cov_trace_pc() {
    static std::uintptr_t before;
    // From a place in this module, so that an edge has the same number in every process.
    auto here = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) -
                reinterpret_cast<std::uintptr_t>(&fastoutputs_edges);
    here = (here * 0x9e3779b97f4a7c15u) >> 48;
    fastoutputs_edges[(here ^ before) % size]++;
    before = here >> 1;
}
}
