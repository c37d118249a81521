#!/bin/sh
# Installs Chromium, for the tests of the pages, from the system's packages: by root only. Where a browser is on the PATH, or can't
# be had, nothing happens.
set -eu
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
get() { DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends install chromium fonts-dejavu-core; }
{ [ "$(id -u)" = 0 ] && command -v apt-get && { get || { apt-get -qq update && get; }; }; } >/dev/null 2>&1 || {
    echo "Chromium can't be had here: tests that need it are skipped" >&2
    exit 0
}
