#!/usr/bin/env bash
# On Debian 12, as root or with sudo: installs what is missing, builds, and runs the echo server.
# Arguments are the echo server's, such as --port 7001.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/packages.sh

need "${build_packages[@]}"
[ -f build/run/build.ninja ] || meson setup build/run --buildtype=release -Dtests=false >/dev/null
ninja -C build/run examples/echo_server

echo "Talk to it from another terminal:  printf 'hello\\n' | nc -N 127.0.0.1 7000"
echo "Stop it with Ctrl-C."
exec build/run/examples/echo_server "$@"
