#!/usr/bin/env bash
# Every planted bug still fits the source, exactly: one that does not is no check of the tests any more.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0 count=0
for patch in tests/mutants/*.patch tests/attacks/mutants/*.patch; do
  count=$((count + 1))
  patch -s -f -F0 -p0 --dry-run <"$patch" >/dev/null || { echo "$patch no longer fits the source"; bad=1; }
done
python3 tests/mutants/consensus.py --fits || bad=1
[ $bad -eq 0 ] || exit 1
echo "mutants: $count patches and those of consensus.py fit"
