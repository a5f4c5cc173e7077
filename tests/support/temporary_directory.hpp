// A place for the files of a test.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace wire::test {

/// A directory that is gone at the end of the block.
class temporary_directory {
public:
    temporary_directory() {
        const auto everybodys = std::filesystem::temp_directory_path();
        std::string pattern = (everybodys / "wire-test-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()));
        where_ = pattern;
    }
    ~temporary_directory() { std::filesystem::remove_all(where_); }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    std::string operator/(const char* name) const { return (where_ / name).string(); }

private:
    std::filesystem::path where_;
};

}  // namespace wire::test
