#!/usr/bin/env bash
# Disks that lie break a group; the run that shows it is shortened, replayed, and holds without the lie.
# usage: shrink.sh RAFTSIM
set -euo pipefail
sim=$1
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
story=$folder/lie.story

if "$sim" --lying-disks --faults 3 --quiet 2 --seeds 1..200 --shrink "$story" | tee "$folder/out"; then
  echo "FAILED: 200 seeds of disks that lie, and no check has noticed" && exit 1
fi
read -r before after < <(sed -n 's/.* from \([0-9]*\) decisions to \([0-9]*\),.*/\1 \2/p' "$folder/out")
[ "$((2 * after))" -lt "$before" ] || { echo "FAILED: it is not short: $before to $after" && exit 1; }
if "$sim" --lying-disks --replay "$story" >"$folder/again"; then
  echo "FAILED: what was shortened does not fail any more" && exit 1
fi
kind() { sed -n 's/^FAILED seed [0-9]*\( at [0-9.]* s\)\?: \([^:]*\).*/\2/p' "$1"; }
[ "$(kind "$folder/out")" = "$(kind "$folder/again")" ] || { echo "FAILED: it fails otherwise" && exit 1; }
"$sim" --replay "$story"
