// A ring in memory of the test's, which threads and forked children share.
#pragma once

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cstddef>
#include <span>

#include <wire/shm/ring.hpp>

namespace wire::test {

class ring_memory {
public:
    explicit ring_memory(const shm::ring_options& sizes)
        : size_(shm::ring::storage_size(sizes)),
          begin_(
              ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
        REQUIRE(begin_ != MAP_FAILED);
    }
    ~ring_memory() { ::munmap(begin_, size_); }
    ring_memory(const ring_memory&) = delete;
    ring_memory& operator=(const ring_memory&) = delete;

    [[nodiscard]] std::span<std::byte> bytes() const {
        return {static_cast<std::byte*>(begin_), size_};
    }

private:
    const std::size_t size_;
    void* const begin_;
};

}  // namespace wire::test
