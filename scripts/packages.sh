#!/usr/bin/env bash
# Sourced by the other scripts: `need PACKAGE...` installs the Debian packages that are missing (as root, or by sudo).
build_packages=(g++ cmake ninja-build pkg-config libjansson-dev libpcre2-dev libutf8proc-dev libdnnl-dev libeigen3-dev libcli11-dev nlohmann-json3-dev)
test_packages=(doctest-dev libbenchmark-dev python3)
clang_packages=(clang-14 libclang-rt-14-dev libomp-14-dev)

need() {
  if ! command -v dpkg-query >/dev/null; then
    echo "This is no Debian: the packages or their like are taken to be there: $*"
    return 0
  fi
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local as=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "These Debian packages are missing, and there is neither root nor sudo to install them: ${missing[*]}" >&2; return 1; }
    as=(sudo)
  fi
  echo "== installing ${missing[*]}"
  "${as[@]}" apt-get -q update </dev/null
  "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" </dev/null
}
