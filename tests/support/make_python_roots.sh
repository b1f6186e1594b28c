#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the roots that tests/e2e/test_python_versions.py finds: minimal Debian systems with the CPythons of their suites,
# release and debug builds, and what Debian does not have, from its source: free-threaded 3.13, 3.14 and 3.15, and a 3.14 of
# tail calls without symbols (clang 19). One that is there already is left alone. Beside them they have uWSGI, which embeds
# Python, and the profilers that ./dev bench compares with. Root only.
#
# usage: make_python_roots.sh FOLDER
set -euo pipefail

folder=$1
mirror=${AGENT_DEBIAN_MIRROR:-http://deb.debian.org/debian}
made=() missing=()

# make SUITE PACKAGE...: a root with those of the packages that the suite has.
make() {
  local suite=$1 root=$folder/python-$1 list package packages=""
  shift
  if [ -e "$root/complete" ]; then
    made+=("$suite")
    return
  fi
  if ! list=$(curl -sSf --max-time 120 "$mirror/dists/$suite/main/binary-amd64/Packages.xz" | xz -dc); then
    missing+=("$suite")
    return
  fi
  for package; do
    if grep -qx "Package: $package" <<<"$list"; then
      packages+=,$package
    else
      missing+=("$suite/$package")
    fi
  done
  echo "== debootstrap $suite, ${packages#,}" >&2
  rm -rf --one-file-system "$root.part"
  if debootstrap --variant=minbase --include="${packages#,}" "$suite" "$root.part" "$mirror" >"$folder/python-$suite.log" 2>&1
  then
    mv "$root.part" "$root"
    touch "$root/complete"
    made+=("$suite")
  else
    missing+=("$suite, see $folder/python-$suite.log")
  fi
}

# build NAME MINOR SUITE OPTION...: a CPython from the source of the suite's package.
build() {
  local name=$1 minor=$2 suite=$3 prefix=$folder/built-$1 work=$folder/built-$1.part version=nothing
  shift 3
  if [ -x "$prefix/bin/python$minor" ]; then
    made+=("$name")
    return
  fi
  # The newest one that the mirror has: its list may be ahead of it.
  for version in $(curl -sSf --max-time 120 "$mirror/dists/$suite/main/source/Sources.xz" | xz -dc |
    sed -n "s/.* \(python${minor}_[0-9.]*\)\.orig\.tar\.xz$/\1/p" | sort -urV); do
    rm -rf "$work"
    mkdir -p "$work/source" "$work/build"
    curl -sSf --max-time 300 "$mirror/pool/main/p/python$minor/$version.orig.tar.xz" |
      tar xJ -C "$work/source" --strip-components=1 && break
  done
  echo "== building $name from $version" >&2
  if (cd "$work/build" && ../source/configure --prefix="$prefix" OPT="-O2 -DNDEBUG -fwrapv" "$@" &&
    command make -j"$(nproc)" && command make install) >"$folder/built-$name.log" 2>&1 &&
    [ -x "$prefix/bin/python$minor" ]
  then
    made+=("$name")
  else
    missing+=("$name from $version, see $folder/built-$name.log")
  fi
  rm -rf "$work"
}

mkdir -p "$folder"
make bullseye python3.9 python3.9-dbg
make bookworm python3.11 python3.11-dbg uwsgi-core uwsgi-plugin-python3
make trixie python3.13 python3.13-dbg austin
make sid python3.14 python3.14-dbg python3.15 python3.15-dbg samply
build 3.13t 3.13 trixie --disable-gil
build 3.14t 3.14 sid --disable-gil
build 3.15t 3.15 sid --disable-gil
build 3.14-tail-calls 3.14 sid --with-tail-call-interp CC=clang-19 LDFLAGS=-s

echo "roots: ${made[*]:-none}"
if [ ${#missing[@]} -gt 0 ]; then printf 'not to be had: %s\n' "${missing[@]}"; fi
