#!/usr/bin/env bash
# Each signature tag stands exactly once in the list of crypto/sign.h.
set -euo pipefail
cd "$(dirname "$0")/../.."
tags=$(grep -oE '^ *X\([A-Z_]+, *"[a-z*-]+"' crypto/sign.h | grep -oE '"[^"]+"' | sort)
[ -n "$tags" ] || { echo "no tags found in crypto/sign.h"; exit 1; }
twice=$(echo "$tags" | uniq -d)
[ -z "$twice" ] || { echo "tags listed twice: $twice"; exit 1; }
# No signature is made past the tagged function.
if git grep -nE 'crypto_sign_(ed25519_)?detached *\(' -- '*.c' ':!crypto/sign.c' ':!tests/'; then
  echo "sign through crypto/sign.h, with a tag"
  exit 1
fi
echo "tags: $(echo "$tags" | wc -l) distinct"
