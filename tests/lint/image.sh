#!/usr/bin/env bash
# What the image is built from (all but what .dockerignore names) configures by itself: where no Docker engine
# runs, nobody else would notice a build file that looks into tests/ or sim/.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
grep -v -e '^#' -e '^$' .dockerignore >"$work/ignored"
git ls-files -z --cached --others --exclude-standard |
  tar -c --anchored --exclude-from="$work/ignored" --null -T - | tar -x -C "$work"
for folder in tests sim; do
  [ ! -e "$work/$folder" ] || { echo "$folder is part of the image's context: see .dockerignore"; exit 1; }
done
options=$(grep -oE -- '-D[A-Z_]+=[^ ]+' deploy/Dockerfile)
cmake -S "$work" -B "$work/build" --preset release $options >"$work/log" 2>&1 || { tail -n 30 "$work/log"; exit 1; }
echo "image: configured from $(find "$work" -path "$work/build" -prune -o -type f -print | wc -l) files with $options"
