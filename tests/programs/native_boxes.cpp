// C++ that loses objects: a class with a table of virtual functions and a vector in it, and one made in a header-like
// inline function. Loaded with ctypes by native_leaks.py.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace boxes {

struct Box {
    std::vector<double> cells;
    std::uintptr_t id;
    Box(std::size_t size, std::uintptr_t id) : cells(size, 1.5), id(id) {}
    virtual ~Box() = default;
    virtual double sum() const;
};

double Box::sum() const {
    double total = 0;
    for (double cell : cells) total += cell;
    return total;
}

inline std::vector<char> *make_text(std::size_t size) { return new std::vector<char>(size, 'x'); }

}  // namespace boxes

namespace {
__attribute__((noinline)) void scrub() {
    volatile char room[8192];
    for (std::size_t i = 0; i < sizeof room; i++) room[i] = 0;
}
}  // namespace

// Two blocks each: hidden[2 * i] the object, hidden[2 * i + 1] the vector's memory.
extern "C" void lose_boxes(std::size_t size, std::size_t count, std::uintptr_t *hidden) {
    for (std::size_t i = 0; i < count; i++) {
        auto *box = new boxes::Box(size, i);
        hidden[2 * i] = ~reinterpret_cast<std::uintptr_t>(box);
        hidden[2 * i + 1] = ~reinterpret_cast<std::uintptr_t>(box->cells.data());
    }
    scrub();
}

extern "C" void lose_texts(std::size_t size, std::size_t count, std::uintptr_t *hidden) {
    for (std::size_t i = 0; i < count; i++) {
        auto *text = boxes::make_text(size);
        hidden[2 * i] = ~reinterpret_cast<std::uintptr_t>(text);
        hidden[2 * i + 1] = ~reinterpret_cast<std::uintptr_t>(text->data());
    }
    scrub();
}
