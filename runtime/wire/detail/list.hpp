// An intrusive doubly linked list: no allocation, O(1) removal from the middle.
#pragma once

namespace wire::detail {

/// A place in one list. Unlinked when both pointers are null.
struct link {
    link* next = nullptr;
    link* prev = nullptr;

    link() = default;
    link(const link&) = delete;
    link& operator=(const link&) = delete;

    [[nodiscard]] bool linked() const noexcept { return next != nullptr; }

    /// Takes this element out of the list it is in.
    void unlink() noexcept {
        prev->next = next;
        next->prev = prev;
        next = prev = nullptr;
    }
};

/// A FIFO of elements that derive from link; it owns none of them.
template <class T>
class list {
public:
    list() noexcept { head_.next = head_.prev = &head_; }

    [[nodiscard]] bool empty() const noexcept { return head_.next == &head_; }
    [[nodiscard]] T& front() noexcept { return *static_cast<T*>(head_.next); }

    void push_back(T& element) noexcept { insert(*head_.prev, &element); }
    void push_front(T& element) noexcept { insert(head_, &element); }

    /// The element after `at`; nullptr at the end. `at` == nullptr asks for the first.
    [[nodiscard]] T* next(T* at) const noexcept {
        link* const l = at ? static_cast<link*>(at)->next : head_.next;
        return l == &head_ ? nullptr : static_cast<T*>(l);
    }

private:
    static void insert(link& before, link* l) noexcept {
        // Elements are often local variables that leave the list in their destructor. GCC 12 takes
        // the stores below for dangling pointers unless it loses sight of where `l` comes from.
        asm("" : "+r"(l));
        l->prev = &before;
        l->next = before.next;
        before.next->prev = l;
        before.next = l;
    }

    link head_;
};

}  // namespace wire::detail
