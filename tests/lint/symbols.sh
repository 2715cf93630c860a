#!/usr/bin/env bash
# What the pure archives may need from outside: their own names, mem*/str*, libsodium without its own
# randomness and allocator, protobuf-c, PCRE2, the JSON shim. An unresolved clock_gettime, printf or rand in
# a core is a failing test, not an opinion. usage: symbols.sh ARCHIVE...
set -euo pipefail

own='mn_|pb_|meshnode__|call_|edge_|proto_|envelope_|frame_'
libc='mem(cpy|move|set|cmp|chr)|str(len|cmp|ncmp|chr|rchr|nlen|str|spn|cspn)|__memcpy_chk|__memmove_chk|__memset_chk|__stack_chk_fail|__strlen_chk|log2?|exp2?|sqrt|bsearch'
tools='__asan_.*|__ubsan_.*|__tsan_.*|__sanitizer_.*|_GLOBAL_OFFSET_TABLE_|__start_mn_probes|__stop_mn_probes'
sodium='crypto_.*|sodium_(memzero|memcmp|pad|unpad|base642bin|bin2base64|increment|is_zero|bin2hex|hex2bin|add|sub|compare)'
protobufc='protobuf_c_.*'
regex='pcre2_.*_8'
arithmetic='__u(mod|div)ti3' # of 128 bits, from the compiler
shim='_ZN8simdjson25get_active_implementationEv'

allowed="^($libc|$tools|$sodium|$protobufc|$regex|$arithmetic|$shim)$"
defined=$(mktemp) && trap 'rm -f "$defined"' EXIT
# Everything that any of the archives (or base, whose job is to wrap libc) defines is our own.
nm --defined-only --format=posix "$@" 2>/dev/null | awk 'NF >= 2 {print $1}' | sort -u >"$defined"

bad=0
for archive in "$@"; do
  case $archive in *libmn_base.a) continue ;; esac
  while read -r symbol; do
    [[ $symbol =~ $allowed ]] && continue
    echo "$(basename "$archive") needs $symbol"
    bad=1
  done < <(nm --undefined-only --format=posix "$archive" 2>/dev/null | awk 'NF >= 2 {print $1}' |
           sort -u | comm -23 - "$defined")
done
[ $bad -eq 0 ] && echo "symbols: $# archives need nothing impure"
exit $bad
