#!/usr/bin/env bash
# On Debian 12, as root or with sudo: installs what is missing, builds, and runs the tests.
#
#     tools/test.sh          the quick suites, in minutes
#     tools/test.sh --all    also: the other compiler and build types, sanitizers, valgrind,
#                            long suites, formatting, clang-tidy, docs, coverage, packaging
#
# At the end there is a line for each stage with its seconds, then the failed and the skipped tests.
# The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
. tools/packages.sh

all=no
case "${1:-}" in
    "") ;;
    --all) all=yes ;;
    *) echo "usage: tools/test.sh [--all]" >&2; exit 2 ;;
esac

results=build/test-results
rm -rf $results
mkdir -p $results

# stage KIND NAME COMMAND...: runs it and notes what came of it; summary.py explains the kinds. What
# it prints goes to a file, whose end is shown if it failed.
stage() {
    local kind=$1 name=$2 start=$SECONDS verdict=ok
    shift 2
    printf '== %s ... ' "$name"
    "$@" >"$results/$name.log" 2>&1 </dev/null || verdict=FAILED
    echo "$((SECONDS - start)) s, $verdict"
    echo "$((SECONDS - start)) $verdict $kind $name" >>$results/stages
    [ $verdict = FAILED ] || return 0
    # Lines with --PID-- are about Valgrind itself.
    grep -av '^--[0-9]*-- ' "$results/$name.log" | tail -n 60
    return 1
}

# build FOLDER "SETUP OPTIONS" SUITE...: configures build/FOLDER, and builds there what the suites
# need.
build() {
    local folder=build/$1 options=$2 targets
    shift 2
    # shellcheck disable=SC2086  # lists of words
    if [ ! -f "$folder/build.ninja" ]; then meson setup "$folder" $options || return; fi
    targets=$(tools/targets.py "$folder" "$@") || return
    # shellcheck disable=SC2086
    ninja -C "$folder" $targets
}

# suites STAGE FOLDER SUITE... [-- MESON_TEST_OPTION...]: tests of build/FOLDER, some of each suite.
suites() {
    local json=$results/$1.json folder=build/$2 names=() status=0 suite
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do names+=("$1"); shift; done
    [ $# = 0 ] || shift
    rm -f "$folder/meson-logs/test-sh"*
    meson test -C "$folder" --no-rebuild --print-errorlogs --logbase test-sh \
        --num-processes $((2 * $(nproc))) \
        "${names[@]/#/--suite=}" "$@" || status=1
    cat "$folder/meson-logs/test-sh"*.json >"$json"  # a test setup adds its name to the log's
    for suite in "${names[@]}"; do
        grep -Eq "\"name\": \"wire:(unit\+)?$suite(\+reactor)? / " "$json" && continue
        echo "no test of the suite $suite has run"
        status=1
    done
    return $status
}

# tested FOLDER "SETUP OPTIONS" SUITE...: builds and tests.
tested() {
    local folder=$1 options=$2
    shift 2
    stage build "build-$folder" build "$folder" "$options" "$@" \
        && stage tests "test-$folder" suites "test-$folder" "$folder" "$@"
}

formatted() {
    find stack runtime pool io channels tests examples bench -name '*.[ch]pp' -print0 \
        | xargs -0 clang-format --dry-run -Werror
}
linted() {
    run-clang-tidy -quiet -p build/debug '/(stack|runtime|pool|io|channels)(/shm)?/[a-z_]+\.cpp$' \
        2>/dev/null | sed 's/\x1b\[[0-9;]*m//g' | grep -E '(warning|error):' | sort -u
    [ "${PIPESTATUS[0]}" = 0 ]
}
covered() {
    gcovr --root . --filter '(stack|runtime|pool|io|channels)/' build/coverage
}

# Whose libraries and servers the suite `integration` works with.
other_projects=(gdb haproxy libasio-dev libcurl4-openssl-dev libglib2.0-dev libhiredis-dev libpq-dev
    libssl-dev libsystemd-dev libtomlplusplus-dev libuv1-dev nginx-light openssl postgresql
    redis-server systemd)

# To optimise more would only take minutes more to compile.
quick=-Doptimization=1
need "${build_packages[@]}" python3 doctest-dev netcat-openbsd curl wrk redis-tools \
    && { [ $all = no ] || need clang-16 libclang-rt-16-dev clang-format clang-tidy valgrind \
        doxygen cmake gcovr binutils nftables "${other_projects[@]}"; } \
    || { echo "0 passed, 1 failed"; exit 1; }
# What was configured without a package would not notice it.
[ $installed = no ] || rm -rf build/debug build/asan

tested debug "$quick" unit e2e epoll tidy
if [ $all = yes ]; then
    stage build build-debug-all ninja -C build/debug
    stage tests test-debug-long suites test-debug-long debug headers interleave seeds stepped \
        stress hostile integration packaging planted
    stage tests no-io_uring-EPERM suites no-io_uring-EPERM debug unit \
        -- --setup no_io_uring_EPERM
    for error in ENOSYS ENOMEM; do
        stage tests no-io_uring-$error suites no-io_uring-$error debug reactor \
            -- --setup no_io_uring_$error
    done
    stage tests valgrind suites valgrind debug unit -- --setup valgrind
    tested release "--buildtype=release" unit stress e2e epoll hostile
    # The compiler's warnings depend on how it optimises.
    stage build build-release-programs build release "" integration
    CC=clang-16 CXX=clang++-16 tested clang "--buildtype=debug" unit interleave e2e headers
    sanitized="$quick -Db_lundef=false"
    tested asan "-Db_sanitize=address,undefined $sanitized" unit stress e2e epoll integration \
        planted
    tested tsan "-Db_sanitize=thread $sanitized" unit stress planted
    tested coverage "--buildtype=debug -Db_coverage=true -Dexamples=false" unit
    stage check coverage covered && tail -n 2 $results/coverage.log
    stage check clang-format formatted
    stage check clang-tidy linted
    stage check docs ninja -C build/debug docs
fi

echo "== all: $SECONDS s"
python3 tools/summary.py $results
