#!/bin/sh
# Installs the price service from a release (`make release`, the folder dist) on Debian 13, for the
# container file and for machines without containers.
#
#   install.sh build DIST          /opt/repricer, with what Debian needs to make it
#   install.sh runtime             what the service needs of Debian, and its user and folders
#   install.sh venv DIST PREFIX    the Python environment alone; any system with Python 3.11 or newer
set -eu

EXTRAS=serve,postgres
ID=10001

packages() {
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "$@" > /dev/null
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
}

environment() {
    "${PYTHON:-python3}" -m venv "$2"
    wheel=$(ls "$1"/repricer-*.whl)
    "$2/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check \
        --constraint "$1/constraints.txt" "repricer[$EXTRAS] @ file://$(realpath "$wheel")"
    # A service installs nothing.
    "$2/bin/python" -m pip uninstall --quiet --yes setuptools pip
}

case "${1-}" in
build)
    packages python3-venv
    environment "$2" /opt/repricer
    ;;
runtime)
    packages python3-minimal libpython3-stdlib
    groupadd --gid "$ID" repricer
    useradd --uid "$ID" --gid "$ID" --no-create-home --home-dir /var/lib/repricer --shell /usr/sbin/nologin repricer
    install --directory --owner "$ID" --group "$ID" --mode 750 /var/lib/repricer
    ;;
venv)
    environment "$2" "$3"
    ;;
*)
    sed -n 's/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
