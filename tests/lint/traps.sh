#!/usr/bin/env bash
# Every test that docs/TRAPS.md names is one: START_TEST(name), or a file of tests/integration.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0
names=$(grep '^|' docs/TRAPS.md | awk -F'|' '{print $(NF-1)}' | grep -o '`[^`]*`' | tr -d '`' | sort -u)
[ "$(wc -w <<<"$names")" -gt 30 ] || { echo "docs/TRAPS.md: hardly a test is named"; exit 1; }
for name in $names; do
  case $name in
    *.mjs) [ -e "tests/integration/$name" ] && continue ;;
    *) grep -rqs "START_TEST($name)" tests/mcp tests/json tests/core && continue ;;
  esac
  echo "docs/TRAPS.md names $name, which is no test"
  bad=1
done
exit $bad
