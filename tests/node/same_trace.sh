#!/usr/bin/env bash
# Two builds of meshsim run the same seeds and must print the same trace hash.
# usage: same_trace.sh MESHSIM OTHER
set -euo pipefail
here=$1 other=$2
seeds=1..5

if [ ! -x "$other" ] || [ "$here" -ef "$other" ]; then
  echo "skipped: there is no other build to compare with at $other"
  exit 77
fi
trace() { "$1" --seeds $seeds | sed -n 's/.*trace hash //p'; }
first=$(trace "$here")
second=$(trace "$other")
echo "seeds $seeds: $first by $here"
echo "seeds $seeds: $second by $other"
[ -n "$first" ] && [ "$first" = "$second" ] && exit 0
echo "FAILED: they differ. If both are built from the same sources, something is not deterministic:"
echo "compare '$here --seed N -v' with '$other --seed N -v'"
exit 1
