// A value that can only be moved, and notices when that is done wrongly.
#pragma once

#include <utility>

namespace wire::test {

class parcel {
public:
    explicit parcel(int id) noexcept : id_(id) { ++live; }
    parcel(parcel&& other) noexcept : id_(std::exchange(other.id_, 0)) {
        ++live;
        other.look();
    }
    parcel& operator=(parcel&&) = delete;
    ~parcel() {
        look();
        self_ = nullptr;
        --live;
    }

    /// 0: moved from.
    [[nodiscard]] int id() const noexcept { return id_; }
    /// For planted defects.
    [[nodiscard]] parcel twin() const noexcept { return parcel(id_); }

    static inline int live = 0;        // objects
    static inline int mistreated = 0;  // destroyed twice, used after that, or copied byte by byte

private:
    void look() const noexcept {
        if (self_ != this) ++mistreated;
    }
    int id_;
    // Volatile, or the last store to an object that dies would be left out.
    const parcel* volatile self_ = this;
};

}  // namespace wire::test
