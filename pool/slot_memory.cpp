#include <wire/detail/slot_memory.hpp>

#include <memory>
#include <new>

#include <wire/assert.hpp>

namespace wire::detail {
namespace {

constexpr std::size_t slots_max = std::size_t{1} << 31;

std::uint32_t checked(std::size_t capacity) noexcept {
    WIRE_ASSERT(capacity > 0, "a capacity is at least 1");
    WIRE_ASSERT(capacity <= slots_max, "a capacity is at most 2^31");
    return static_cast<std::uint32_t>(capacity);
}

void* allocate(const slot_shape& shape, std::size_t n) {
    // What is too large for that is too large for any memory.
    const std::size_t most = static_cast<std::size_t>(-1) / 4 / n;
    if (shape.size > most) throw std::bad_alloc();
    return ::operator new(shape.space_for(n), std::align_val_t(shape.alignment));
}

std::uint32_t fitting(const slot_shape& shape, std::size_t space) noexcept {
    // What is larger than the space may be too large to reckon with.
    std::size_t n = shape.size > space ? 0 : space / (shape.size + 2 * sizeof(std::uint32_t));
    while (n > 0 && shape.space_for(n) > space) --n;
    WIRE_ASSERT(n > 0, "the storage has no room for one element: see storage_size()");
    return checked(n);
}

}  // namespace

slot_memory::slot_memory(slot_shape shape, std::size_t capacity)
    : shape_(shape),
      slots_(checked(capacity)),
      own_(allocate(shape, capacity)),
      first_(static_cast<std::byte*>(own_)) {}

slot_memory::slot_memory(slot_shape shape, std::span<std::byte> storage) noexcept : shape_(shape) {
    void* at = storage.data();
    std::size_t space = storage.size();
    if (!std::align(shape.alignment, 1, at, space)) space = 0;
    slots_ = fitting(shape, space);
    first_ = static_cast<std::byte*>(at);
}

slot_memory::~slot_memory() {
    if (own_) ::operator delete(own_, std::align_val_t(shape_.alignment));
}

}  // namespace wire::detail
