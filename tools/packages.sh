# Sourced by run.sh and test.sh: need PACKAGE... installs what is missing of Debian's packages.
need() {
    local missing=() package sudo=""
    for package in "$@"; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' \
            || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing: ${missing[*]}"
    # An image without package lists knows no candidate.
    apt-cache show "${missing[@]}" >/dev/null 2>&1 || $sudo apt-get -qq update
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        install "${missing[@]}" </dev/null >/dev/null
}

boost=libboost-context1.81-dev
# The 1.74 and 1.81 packages conflict; either will do.
if dpkg-query -W -f='${Status}' libboost-context1.74-dev 2>/dev/null | grep -q 'ok installed'; then
    boost=libboost-context1.74-dev
fi
build_packages=(g++ meson ninja-build pkg-config "$boost" libcli11-dev)
