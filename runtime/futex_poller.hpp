// Where a runtime without I/O sleeps: on a futex.
#pragma once

#include <wire/poller.hpp>
#include "sync.hpp"

namespace wire::detail {

class futex_poller final : public poller {
public:
    void poll(deadline until) override;
    void notify() noexcept override;
    [[nodiscard]] bool armed() const noexcept override { return false; }

private:
    // 1: notified. Protocol: notify() sets it and wakes; poll() sleeps only while it is 0 and
    // clears it afterwards, so a notify() before the sleep is not lost.
    real_sync::word notified_{0};
};

}  // namespace wire::detail
