#!/bin/sh
# Sees to the real services that the tests talk to. What is missing is installed where that is
# possible (root on Debian or Ubuntu); elsewhere it is named, with its package.
set -eu

missing=""

need() { # need PROGRAM PACKAGE [MORE PLACES]
    program=$1 package=$2
    shift 2
    command -v "$program" >/dev/null 2>&1 && return
    for place in "$@"; do
        [ -x "$place" ] && return
    done
    missing="$missing $package"
}

need git git
need initdb postgresql /usr/lib/postgresql/*/bin/initdb
need chromium chromium /usr/bin/chromium-browser /usr/bin/google-chrome
need prometheus prometheus
need prometheus-alertmanager prometheus-alertmanager
need sshd openssh-server /usr/sbin/sshd
need ssh openssh-client
need node nodejs
need npm npm
need kubectl kubernetes-client
need wrk wrk

[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the tests:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # one word for each package
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
    exit 0
fi

echo "The tests need these packages, which are not installed:$missing" >&2
echo "On Debian or Ubuntu: sudo apt-get install$missing" >&2
exit 1
