// Bytes in a row, filled at the end and taken from the front: what came from a peer, or goes to it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace kv {

/// Allocates only to grow. Once empty it gives back what is more than `keep_max` bytes.
class buffer {
public:
    [[nodiscard]] bool empty() const { return begin_ == end_; }
    [[nodiscard]] std::size_t size() const { return end_ - begin_; }
    [[nodiscard]] std::string_view view() const { return {data_.get() + begin_, size()}; }

    /// Room for at least `n` bytes behind the last one. To be filled, then added.
    std::span<char> room(std::size_t n) {
        if (capacity_ - end_ < n) make_room(n);
        return {data_.get() + end_, capacity_ - end_};
    }
    void add(std::size_t n) { end_ += n; }
    void append(std::string_view text) {
        text.copy(room(text.size()).data(), text.size());
        add(text.size());
    }

    /// Takes `n` bytes from the front.
    void drop(std::size_t n) {
        begin_ += n;
        if (begin_ != end_) return;
        begin_ = end_ = 0;
        if (capacity_ <= keep_max) return;
        data_.reset();
        capacity_ = 0;
    }
    void clear() { drop(size()); }
    /// Takes bytes from the end, so that `size` are left.
    void cut(std::size_t size) { end_ = begin_ + size; }

private:
    static constexpr std::size_t least = 1024, keep_max = 64 * 1024;

    [[gnu::noinline]] void make_room(std::size_t n) {
        const std::size_t held = size();
        if (capacity_ - held >= n) {
            std::memmove(data_.get(), data_.get() + begin_, held);
        } else {
            const std::size_t capacity = std::max({2 * capacity_, held + n, least});
            auto larger = std::make_unique_for_overwrite<char[]>(capacity);
            view().copy(larger.get(), held);
            data_ = std::move(larger);
            capacity_ = capacity;
        }
        begin_ = 0;
        end_ = held;
    }

    std::unique_ptr<char[]> data_;
    std::size_t begin_ = 0, end_ = 0, capacity_ = 0;
};

}  // namespace kv
