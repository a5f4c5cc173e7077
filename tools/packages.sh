# Sourced by run.sh and test.sh: need PACKAGE... installs what is missing of Debian's packages, and
# sets `installed` if there was any.
installed=no
need() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' \
            || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    installed=yes
    echo "installing: ${missing[*]}"
    local get=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends
        -o DPkg::Lock::Timeout=60)
    [ "$(id -u)" = 0 ] || get=(sudo "${get[@]}")
    # The lists of packages may be missing, or name versions that are gone.
    "${get[@]}" install "${missing[@]}" </dev/null >/dev/null 2>&1 \
        || { "${get[@]}" update && "${get[@]}" install "${missing[@]}" </dev/null >/dev/null; }
}

boost=libboost-context1.81-dev
# The 1.74 and 1.81 packages conflict; either will do.
if dpkg-query -W -f='${Status}' libboost-context1.74-dev 2>/dev/null | grep -q 'ok installed'; then
    boost=libboost-context1.74-dev
fi
build_packages=(g++ meson ninja-build pkg-config "$boost" liburing-dev libcli11-dev)
