#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the roots that tests/e2e/test_python_versions.py finds: minimal Debian systems with the CPythons of their suites,
# release and debug builds. One that is there already is left alone. Root only.
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

mkdir -p "$folder"
make bullseye python3.9 python3.9-dbg
make bookworm python3.11 python3.11-dbg
make trixie python3.13 python3.13-dbg python3.13-nogil
make sid python3.14 python3.14-dbg python3.14-nogil python3.15 python3.15-dbg python3.15-nogil

echo "roots: ${made[*]:-none}"
if [ ${#missing[@]} -gt 0 ]; then printf 'not to be had: %s\n' "${missing[@]}"; fi
