#!/bin/bash -eu
# SPDX-License-Identifier: Apache-2.0
# As the demo's load generator: the shell is what the agent starts, Python is its child.
python service.py &
child=$!
trap 'kill $child' TERM
wait $child || wait $child
