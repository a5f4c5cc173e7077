#!/usr/bin/env bash
# On Debian 12, as root or with sudo: installs what is missing, builds, and runs the tests.
#
#     tools/test.sh          the quick suites, in minutes
#     tools/test.sh --all    also: the other compiler and build types, sanitizers, valgrind,
#                            long suites, formatting, clang-tidy, docs, coverage, packaging
#
# Prints seconds for each stage. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
. tools/packages.sh

all=no
case "${1:-}" in
    "") ;;
    --all) all=yes ;;
    *) echo "usage: tools/test.sh [--all]" >&2; exit 2 ;;
esac

logs=()
broken=0    # stages that failed without a failed test
checked=0   # stages that passed and are no Meson tests

# stage NAME COMMAND...: runs it and says how long it took.
stage() {
    local name=$1 start=$SECONDS status=0
    shift
    echo "== $name"
    "$@" || status=$?
    echo "== $name: $((SECONDS - start)) s$([ $status = 0 ] || echo ", FAILED")"
    return $status
}

# check NAME COMMAND...: a stage that counts as one test.
check() {
    if stage "$@"; then checked=$((checked + 1)); else broken=$((broken + 1)); fi
}

# build NAME SETUP_OPTION...: configures and builds in build/NAME.
build() {
    local dir=build/$1
    shift
    { [ -f "$dir/build.ninja" ] || meson setup "$dir" "$@"; } >"$dir.log" 2>&1 \
        && ninja -C "$dir" >>"$dir.log" 2>&1 || { tail -n 40 "$dir.log"; return 1; }
}

# suites NAME LOG SUITE... [-- MESON_TEST_OPTION...]: tests of build/NAME.
suites() {
    local dir=build/$1 log=$2 args=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do args+=(--suite "$1"); shift; done
    [ $# = 0 ] || shift
    rm -f "$dir/meson-logs/$log"*.json
    meson test -C "$dir" --no-rebuild --print-errorlogs --logbase "$log" "${args[@]}" "$@"
    local status=$?
    local file  # a test setup adds its name to the log's
    for file in "$dir/meson-logs/$log"*.json; do
        [ ! -f "$file" ] || logs+=("$file")
    done
    return $status
}

# tested NAME "SETUP OPTIONS" SUITE...: builds and tests.
tested() {
    local name=$1 options=$2
    shift 2
    # shellcheck disable=SC2086  # a list of words
    if ! stage "build $name" build "$name" $options; then broken=$((broken + 1)); return; fi
    local before=${#logs[@]}
    stage "test $name" suites "$name" testlog "$@"
    [ ${#logs[@]} -gt "$before" ] || broken=$((broken + 1))
}

finish() {
    local passed=0 failed=0
    if [ ${#logs[@]} -gt 0 ]; then
        read -r passed failed < <(python3 tools/count_tests.py "${logs[@]}")
    fi
    echo "== all: $SECONDS s"
    failed=$((failed + broken))
    echo "$((passed + checked)) passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

formatted() {
    find stack runtime pool io channels tests examples bench -name '*.[ch]pp' -print0 \
        | xargs -0 clang-format --dry-run -Werror
}
linted() {
    run-clang-tidy -quiet -j2 -p build/debug '/(stack|runtime|pool|io|channels)/[a-z_]+\.cpp$' \
        >build/clang-tidy.log 2>/dev/null \
        || { grep -E '(warning|error):' build/clang-tidy.log; false; }
}
documented() {
    ninja -C build/debug docs >build/docs.log 2>&1 || { tail -n 40 build/docs.log; false; }
}
covered() {
    build coverage --buildtype=debug -Db_coverage=true \
        && suites coverage testlog unit && ninja -C build/coverage coverage-text >/dev/null \
        && tail -n 4 build/coverage/meson-logs/coverage.txt
}

mkdir -p build
need "${build_packages[@]}" doctest-dev python3 netcat-openbsd curl || exit 1
if [ $all = yes ]; then
    need clang-16 libclang-rt-16-dev clang-format clang-tidy valgrind doxygen cmake gcovr \
        binutils || exit 1
fi

tested debug "" unit interleave e2e headers tidy
if [ $all = yes ]; then
    stage "stress, packaging" suites debug long stress packaging planted
    tested release "--buildtype=release" unit interleave stress e2e
    CC=clang-16 CXX=clang++-16 tested clang "" unit interleave e2e headers
    tested asan "-Db_sanitize=address,undefined -Db_lundef=false" unit stress e2e planted
    tested tsan "-Db_sanitize=thread -Db_lundef=false" unit stress planted
    stage "valgrind" suites debug valgrind unit -- --setup valgrind
    check "clang-format" formatted
    check "clang-tidy" linted
    check "docs" documented
    check "coverage" covered
fi
finish
