#!/usr/bin/env bash
# clang-format ends style talk; this adds what it cannot see: long lines, long files, and words that
# say a piece is unfinished.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0
mapfile -t files < <(git ls-files '*.c' '*.h')
clang-format --dry-run --Werror "${files[@]}" || bad=1
for file in "${files[@]}"; do
  lines=$(wc -l <"$file")
  if [ "$lines" -gt 800 ] && [[ $file != tests/* ]]; then
    echo "$file: $lines lines; look for the second idea"
    bad=1
  fi
done
if grep -nE '\b(TODO|FIXME|XXX|HACK)\b' "${files[@]}"; then
  echo "unfinished work does not land"
  bad=1
fi
[ $bad -eq 0 ] && echo "format: ${#files[@]} files"
exit $bad
