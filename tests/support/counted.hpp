// A value that counts its objects, also when several threads have some. It can only be moved.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace wire::test {

template <std::size_t Alignment = alignof(void*)>
class alignas(Alignment) counted {
public:
    explicit counted(int id) noexcept : id_(id) { begin(); }
    counted(counted&& other) noexcept : id_(std::exchange(other.id_, moved_from)) { begin(); }
    counted& operator=(counted&&) = delete;
    ~counted() {
        if (self_ != this) ++mistreated;
        self_ = nullptr;
        --live;
    }

    static constexpr int moved_from = -1;
    [[nodiscard]] int id() const noexcept { return id_; }

    static inline std::atomic<int> live{0};        // objects
    static inline std::atomic<int> mistreated{0};  // destroyed twice, or where none was made
    static inline std::atomic<int> misaligned{0};

private:
    void begin() noexcept {
        ++live;
        if (reinterpret_cast<std::size_t>(this) % Alignment != 0) ++misaligned;
    }
    int id_;
    // Volatile, or the last store to an object that dies would be left out.
    const counted* volatile self_ = this;
};

/// Whether all that were made have been destroyed, once, and stood where they may.
template <class T>
bool all_well() {
    return T::live == 0 && T::mistreated == 0 && T::misaligned == 0;
}

}  // namespace wire::test
