#!/usr/bin/env bash
# On Debian 12, as root or with sudo: installs what is missing, builds, and runs the echo server.
# Arguments are the echo server's, such as --port 7001.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/packages.sh

need "${build_packages[@]}" netcat-openbsd
# A newer compiler may know more warnings: no reason not to run.
[ -f build/run/build.ninja ] \
    || meson setup build/run --buildtype=release -Dtests=false -Dwerror=false >/dev/null
ninja -C build/run examples/echo_server

host=127.0.0.1 port=7000 path="" option=""
for word in "$@"; do
    case $word in --*=*) option=${word%%=*} word=${word#*=} ;; esac
    case $option in
        --host) host=$word ;;
        --port) port=$word ;;
        --unix) path=$word ;;
    esac
    option=$word
done
to="$host $port"
[ "$port" != 0 ] || to="$host PORT, with the port that is named below"
[ -z "$path" ] || to="-U $path"
echo "Talk to it from another terminal:  printf 'hello\\n' | nc -N $to"
echo "Stop it with Ctrl-C."
exec build/run/examples/echo_server "$@"
