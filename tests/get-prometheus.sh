#!/bin/sh
# Puts Prometheus, promtool and amtool into a folder, from the system's packages: nothing is installed, nothing is started, and no
# root is needed where the lists of packages are there already. Where they are on the PATH, or can't be had, nothing happens.
set -eu
folder=${1:?name a folder}
has() { command -v "$1" >/dev/null; }
if { has prometheus && has promtool && has amtool; } || ! has apt-get || ! has dpkg-deb; then
    exit 0
fi
get() { apt-get -qq download prometheus prometheus-alertmanager; }
mkdir -p "$folder"
cd "$folder"
{ get || { [ "$(id -u)" = 0 ] && apt-get -qq update && get; }; } >/dev/null 2>&1 || {
    echo "Prometheus can't be had here: tests that need it are skipped" >&2
    exit 0
}
for package in *.deb; do
    dpkg-deb --extract "$package" .
    rm "$package"
done
