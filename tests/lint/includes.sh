#!/usr/bin/env bash
# Who may include whom: docs/ARCHITECTURE.md as a test. Prints every include that points the wrong
# way, and every include cycle between files; exits 1 when there is one.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The folders a file of this folder may include from (regular expression over the include path).
allowed() {
  case $1 in
    proto/base/*) echo '^proto/base/' ;;
    proto/*) echo '^proto/' ;;
    crypto/*) echo '^(crypto|proto)/' ;;
    mesh/*) echo '^(mesh|crypto|proto)/' ;;
    consensus/*) echo '^(consensus|crypto|proto)/' ;;
    crdt/*) echo '^(crdt|crypto|proto)/' ;;
    node/core/*) echo '^(node/core|mesh|consensus|crdt|crypto|proto)/' ;;
    node/state/*) echo '^(node/state|mesh|consensus|crdt|crypto|proto)/|^node/(edge|raftlog)\.h$' ;;
    node/json/*) echo '^(node/json|proto/base)/' ;;
    node/mcp/wire/*) echo '^(node/mcp/wire|node/json|crypto|proto)/|^node/edge\.h$' ;;
    node/mcp/names/*) echo '^(node/mcp/(names|wire)|node/json|crypto|proto)/' ;;
    node/mcp/records/*) echo '^(node/mcp/records|crypto|proto)/' ;;
    node/mcp/front/*) echo '^(node/mcp/(front|names|records|wire)|node/json|crypto|proto)/|^node/(edge|guard|mcp/gateway)\.h$' ;;
    node/mcp/upstream/*) echo '^(node/mcp/(upstream|wire)|node/json|crypto|proto)/|^node/edge\.h$' ;;
    node/mcp/gateway.*) echo '^(node/mcp/names|crypto|proto)/|^node/(edge|guard|mcp/gateway)\.h$' ;;
    node/mcp/*) echo '^(node/mcp|node/json|crypto|proto)/|^node/(edge|guard)\.h$' ;;
    node/admin/*) echo '^(node/(admin|json|core|state)|mesh|consensus|crdt|crypto|proto)/|^node/(edge|guard)\.h$' ;;
    node/guard*) echo '^(crypto|proto)/|^node/(edge|guard|guard_internal)\.h$' ;;
    node/raftlog.*) echo '^(consensus|crypto|proto)/|^node/(edge|raftlog)\.h$' ;;
    node/seglog/*) echo '^(node/seglog|proto/base)/|^node/edge\.h$' ;;
    node/edge.*) echo '^proto/base/|^node/edge\.h$' ;;
    node/gather.*) echo '^proto/base/|^node/gather\.h$' ;;
    sim/common/*) echo '^(sim/common|node/seglog|crypto|proto)/|^node/edge\.h$' ;;
    sim/raft/*) echo '^(sim/(raft|common)|consensus|crypto|proto)/' ;;
    sim/bft/*) echo '^(sim/(bft|common)|consensus|crypto|proto)/' ;;
    sim/groups/*) echo '^(sim/(groups|common)|node/seglog|consensus|crypto|proto)/|^node/(edge|raftlog)\.h$' ;;
    sim/mesh/*) echo '^(sim/(mesh|raft|common)|node/(seglog|admin|json|mcp|core|state)|mesh|consensus|crdt|crypto|proto)/|^node/(node|node_mesh|edge|raftlog)\.h$' ;;
    node/node* | sim/*) echo '^(sim|node/(seglog|admin|json|mcp|core|state)|mesh|consensus|crdt|crypto|proto)/|^node/(node|node_inside|node_mesh|gather|edge|raftlog)\.h$' ;;
    node/ctl/*) echo '^(node/ctl|node/json|proto/base)/|^node/io/(fetch|options)\.h$|^consensus/decision\.h$' ;; # to verify offline
    *) echo '' ;; # node/io and tests may use anything
  esac
}

bad=0
files=$(git ls-files '*.c' '*.h' '*.cc')
for file in $files; do
  want=$(allowed "$file")
  includes=$(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file")
  for include in $includes; do
    if [ "${include%/*}" = "$include" ]; then
      echo "$file includes \"$include\": write the path from the root"
      bad=1
    elif [ -n "$want" ] && ! [[ $include =~ $want ]]; then
      echo "$file includes \"$include\", which its folder may not"
      bad=1
    fi
  done
  # Libraries of the outside world stay in node/io, node/ctl and the tests.
  # Of sim/, what runs worlds or steps in a process of their own is none of them.
  case $file in node/io/* | node/ctl/* | tests/* | sim/common/campaign.c | sim/common/shrink.c | sim/raft/raft_memory.c) continue ;; esac
  if grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*<(uv|nng/|rocksdb/|curl/|microhttpd|http_parser|yaml|unistd|pthread|sys/socket|netinet/|time\.h|sys/time)' "$file"; then
    echo "$file is pure: no library of the outside world, no clock, no thread"
    bad=1
  fi
done

# Cycles between files: tsort names them.
if ! for file in $files; do
  sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file" |
    sed "s#^#$file #"
done | tsort >/dev/null 2>/tmp/meshnode-lint-cycles.$$; then
  echo "include cycle:" && cat /tmp/meshnode-lint-cycles.$$
  bad=1
fi
rm -f /tmp/meshnode-lint-cycles.$$
[ $bad -eq 0 ] && echo "includes: $(echo "$files" | wc -w) files, all arrows point down"
exit $bad
