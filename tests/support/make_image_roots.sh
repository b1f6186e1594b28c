#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the Debian systems that tests/support/podman.py makes base images of: each the smallest one of its suite, with
# Python. One that is there already is left alone. Root only.
#
# usage: make_image_roots.sh FOLDER
set -euo pipefail

folder=$1
mirror=${AGENT_DEBIAN_MIRROR:-http://deb.debian.org/debian}

mkdir -p "$folder"
for suite in bookworm bullseye trixie; do
  root=$folder/image-$suite
  [ ! -e "$root/complete" ] || continue
  echo "== debootstrap $suite" >&2
  rm -rf --one-file-system "$root.part"
  if debootstrap --variant=minbase --include=python3-minimal,ca-certificates "$suite" "$root.part" "$mirror" \
    >"$folder/image-$suite.log" 2>&1
  then
    rm -rf "$root".part/var/cache/apt/archives/*.deb "$root".part/var/lib/apt/lists/*
    # As the images of Python have it.
    ln -s ../../bin/python3 "$root.part/usr/local/bin/python"
    mv "$root.part" "$root"
    touch "$root/complete"
  else
    echo "SKIPPED: the images of $suite, see $folder/image-$suite.log"
  fi
done
