// Names: from a host and a service to addresses, and to a connection.
#pragma once

#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include <wire/address.hpp>
#include <wire/deadline.hpp>
#include <wire/result.hpp>
#include <wire/stream.hpp>

namespace wire::io {

/// The errors of getaddrinfo(3), EAI_NONAME and so on, with the texts of gai_strerror(3).
[[nodiscard]] WIRE_API const std::error_category& name_category() noexcept;

/// Why a name could not be resolved, or what was to be done with it has failed.
struct name_failure {
    int gai;   ///< EAI_NONAME and so on; 0: `code` tells
    int code;  ///< an errno
};

/// A result whose error may also be one of a name. As a plain result<T> it fails with EHOSTUNREACH
/// then; value() throws that.
template <class T>
class [[nodiscard]] resolved : public result<T> {
public:
    using result<T>::result;
    resolved(name_failure why) noexcept : result<T>(failure{why.code}), gai_(why.gai) {}

    /// The error in name_category() or in the system category; a default std::error_code if there
    /// is a value.
    [[nodiscard]] std::error_code error() const noexcept {
        return gai_ == 0 ? result<T>::error() : std::error_code(gai_, name_category());
    }
    /// For a failure that is passed on.
    [[nodiscard]] name_failure why() const noexcept { return {gai_, this->code()}; }

private:
    int gai_ = 0;
};

/// The addresses of a host and a service ("example.org", "https"; "::1", "8080"), for streams, best
/// first, as getaddrinfo(3) finds and orders them. Fails with its errors, with ETIMEDOUT, ECANCELED
/// or ENOMEM.
///
/// A look-up that is under way at the deadline is left alone, and keeps one of the reactor's
/// helpers (see offload()) until the system's resolver gives up. Call from a wire of a runtime with
/// a reactor. Throws std::bad_alloc.
WIRE_API resolved<std::vector<address>> resolve(std::string_view host, std::string_view service,
                                                deadline until = never);

/// Connects to the first of several addresses that answers, as RFC 8305 ("Happy Eyeballs") says:
/// IPv6 and IPv4 take turns, beginning with the first; the next one is tried when one has failed,
/// or 250 ms after the last; what is late is given up and closed. Each try is a wire.
///
/// Fails with the error of the first address if none answers, with ETIMEDOUT, ECANCELED, or EINVAL
/// (no address). Call from a wire. Throws std::bad_alloc, and std::system_error if there is no
/// stack for a wire.
WIRE_API result<stream> connect_any(std::span<const address> to, deadline until = never);

/// Connects to a host by name: resolve() and connect_any() under one deadline, with the errors of
/// both.
WIRE_API resolved<stream> connect(std::string_view host, std::string_view service,
                                  deadline until = never);

}  // namespace wire::io
