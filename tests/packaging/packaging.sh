#!/usr/bin/env bash
# Installs the build into a temporary folder and builds and runs program.cpp there as users would:
# pkg-config with the shared and the static library, CMake, and Meson with wire as a subproject.
#
#     packaging.sh SOURCE_DIR BUILD_DIR
set -euo pipefail

source_dir=$1
build_dir=$2
here=$(cd "$(dirname "$0")" && pwd)
CXX=${CXX:-c++}

for tool in meson pkg-config cmake nm; do
    command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "FAILED: $*"
    exit 1
}

# expect WAY COMMAND...: the command must print what program.cpp promises.
expect() {
    local way=$1 output
    shift
    output=$("$@") || fail "$way: exit status $?"
    [ "$output" = $'first\nsecond' ] || fail "$way printed: $output"
    echo "ok: $way"
}

meson install -C "$build_dir" --no-rebuild --destdir "$work/root" >install.log \
    || { cat install.log; fail "meson install"; }
pc=$(find root -name wire.pc)
libdir=$work/$(dirname "$(dirname "$pc")")
prefix=$(sed -n 's/^prefix=//p' "$pc")
pkg() {
    PKG_CONFIG_PATH=$libdir/pkgconfig \
        pkg-config --define-variable=prefix="$work/root$prefix" "$@" wire
}

# Only names of namespace wire leave the shared library.
nm -D --defined-only -C "$libdir/libwire.so" | cut -d' ' -f3- >symbols
grep -q '^wire::yield()$' symbols || fail "libwire.so does not export wire::yield()"
ours='^(wire::|(typeinfo|typeinfo name|vtable|construction vtable|VTT|guard variable) for wire::'
ours+='|(non-)?virtual thunk to wire::)'
foreign=$(grep -Ev "$ours" symbols || true)
[ -z "$foreign" ] || fail "libwire.so exports: $foreign"
! readelf -d "$libdir/libwire.so" | grep -q boost || fail "libwire.so needs Boost at run time"
[[ $(readelf -d "$libdir/libwire.so") == *NODELETE* ]] || fail "dlclose() would unload libwire.so"
echo "ok: exported symbols"

# Only what belongs to users is installed.
expected='/include/wire/([a-z_]+/){0,2}[a-z_]+\.hpp$|/libwire\.(a|so[.0-9]*)$|/bin/wire-ring$'
expected+='|/pkgconfig/wire\.pc$|/cmake/wire/wireConfig(Version)?\.cmake$'
expected+='|/share/wire/wire_gdb(/[a-z_]+)?\.py$|/gdb/auto-load/.*/libwire\.so\.[.0-9]+-gdb\.py$'
strays=$(cd root && find . -type f | grep -Ev "$expected" || true)
[ -z "$strays" ] || fail "installed too: $strays"
pkg --cflags | grep -q -e -fstack-clash-protection || fail "wire.pc lacks -fstack-clash-protection"

warnings="-std=c++20 -Wall -Wextra -Werror"
# Unquoted: these are lists of words.
$CXX $warnings "$here/program.cpp" $(pkg --cflags --libs) -o shared
LD_LIBRARY_PATH=$libdir expect "pkg-config, shared" ./shared
readelf -d shared | grep -q 'libwire\.so' || fail "the shared program does not use libwire.so"

$CXX $warnings -fno-exceptions "$here/program.cpp" $(pkg --cflags) \
    -Wl,-Bstatic $(pkg --static --libs) -Wl,-Bdynamic -o static
expect "pkg-config, static" ./static
! readelf -d static | grep -q 'libwire' || fail "the static program still uses libwire.so"

mkdir cmake
cat >cmake/CMakeLists.txt <<END
cmake_minimum_required(VERSION 3.20)
project(user CXX)
find_package(wire 0.1 REQUIRED)
add_executable(program $here/program.cpp)
target_link_libraries(program wire::wire)
END
for static in OFF ON; do
    cmake -G Ninja -S cmake -B "cmake-$static" -DCMAKE_PREFIX_PATH="$work/root$prefix" \
        -DWIRE_STATIC=$static >cmake.log 2>&1 && cmake --build "cmake-$static" >>cmake.log 2>&1 \
        || { cat cmake.log; fail "CMake"; }
    expect "CMake, WIRE_STATIC=$static" "cmake-$static/program"
done

mkdir -p user/subprojects
ln -s "$source_dir" user/subprojects/wire
cp "$here/program.cpp" user
cat >user/meson.build <<'END'
project('user', 'cpp', default_options: ['cpp_std=c++20'])
executable('program', 'program.cpp', dependencies: dependency('wire', version: '>=0.1'))
END
{ PKG_CONFIG_PATH='' meson setup user/build user --wrap-mode=forcefallback \
    && meson compile -C user/build -j2; } >meson.log 2>&1 \
    || { cat meson.log; fail "Meson subproject"; }
expect "Meson subproject" user/build/program
