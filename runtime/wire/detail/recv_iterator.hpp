// The iterator of what is received from: channels and bridges.
#pragma once

#include <cstddef>
#include <iterator>

#include <wire/result.hpp>

namespace wire::detail {

/// Receives with every step: an input iterator. Its end is any error of recv().
template <class From, class T>
class recv_iterator {
public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    explicit recv_iterator(From& from) : from_(&from), got_(from.recv()) {}
    T& operator*() const noexcept { return *got_; }
    T* operator->() const noexcept { return &*got_; }
    recv_iterator& operator++() {
        got_ = from_->recv();
        return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const recv_iterator& at, std::default_sentinel_t) noexcept {
        return !at.got_;
    }

private:
    From* from_;
    mutable result<T> got_;
};

}  // namespace wire::detail
