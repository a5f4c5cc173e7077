// What other threads put into a runtime's inbox.
#pragma once

namespace wire::detail {

class scheduler;

/// What lies in an inbox. The owner calls run() on its own thread, with nullptr for `on` if the
/// runtime ends without opening it; the node may be freed in it. One that starts a wire may throw;
/// it is called again later then.
struct inbox_node {
    using callback = void (*)(inbox_node& self, scheduler* on);
    explicit inbox_node(callback r, bool starts = false) noexcept : run(r), starts_wire(starts) {}

    callback run;
    const bool starts_wire;
    inbox_node* next = nullptr;  // written by the producer before the push, then by the owner
};

}  // namespace wire::detail
