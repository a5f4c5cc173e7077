// Making a ring, and becoming the consumer of one.
#pragma once

#include <string>

#include <wire/shm/detail/attach.hpp>
#include <wire/shm/ring.hpp>

namespace wire::shm::detail {

/// What a ring is called, and whether that is to be removed at the end.
struct ring_name {
    enum class kind : unsigned char { none, shared, file };
    kind what = kind::none;
    std::string text;
    bool is_removed = false;

    void remove() const noexcept;
    /// Unless it is by now the name of something else than what `fd` refers to.
    void remove_if_of(int fd) const noexcept;
};

/// Where shm_open(3) has the file of that name.
std::string path_in_shm(const std::string& name);
/// Whether that is the name of what `fd` refers to.
bool leads_to(const std::string& path, int fd) noexcept;

/// Throw std::system_error.
attached_ring make_named(const ring_name& name, const ring_options& options);
attached_ring make_anonymous(const ring_options& options);
attached_ring make_in(std::span<std::byte> memory, const ring_options& options);
[[noreturn]] void refuse(const refusal& no, const std::string& what);

}  // namespace wire::shm::detail
