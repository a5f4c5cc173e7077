// What shm_producer sends to shm_consumer: numbered records, whose length and bytes tell whether
// they have arrived whole.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

struct numbered {
    std::uint64_t number = 0;  // from 0, without a gap
    std::uint64_t from = 0;    // the process

    [[nodiscard]] std::size_t size() const { return sizeof *this + number % 1000; }

    /// Into size() bytes.
    void write(std::span<std::byte> record) const {
        std::memcpy(record.data(), this, sizeof *this);
        std::ranges::fill(record.subspan(sizeof *this), filling());
    }
    /// Returns whether the record is whole.
    bool read(std::span<const std::byte> record) {
        if (record.size() < sizeof *this) return false;
        std::memcpy(this, record.data(), sizeof *this);
        return record.size() == size() &&
               std::ranges::all_of(record.subspan(sizeof *this),
                                   [this](std::byte b) { return b == filling(); });
    }

private:
    [[nodiscard]] std::byte filling() const { return static_cast<std::byte>(number + from); }
};
