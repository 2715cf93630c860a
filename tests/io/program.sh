#!/usr/bin/env bash
# What users and service managers see of meshnode: exit codes, files, messages, signals.
# usage: program.sh DIRECTORY-OF-PROGRAMS
set -uo pipefail
bin=$1
home=$(mktemp -d /tmp/meshnode-program-XXXXXX)
failed=0
nodes=()
trap 'for p in "${nodes[@]}"; do kill -9 "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$home"' EXIT
unset "${!MESHNODE_@}" NOTIFY_SOCKET
export XDG_CONFIG_HOME=$home/none

fail() { echo "FAIL: $*"; failed=1; }
# expect CODE TEXT COMMAND...: it ends with this code and says this
expect() {
  local code=$1 text=$2 got out
  shift 2
  out=$(timeout 60 "$@" 2>&1)
  got=$?
  [ $got -eq "$code" ] || fail "$* ended with $got instead of $code: $out"
  [[ $out == *"$text"* ]] || fail "$* did not say \"$text\": $out"
}
# start NAME FLAGS...: a node on free ports; its pid is in $pid, its log in $home/NAME.log
start() {
  local name=$1
  shift
  "$bin/meshnode" --name "$name" --data "$home/$name" --listen 127.0.0.1:0 --http 127.0.0.1:0 \
    "$@" >"$home/$name.out" 2>"$home/$name.log" </dev/null &
  pid=$!
  nodes+=("$pid")
  for _ in $(seq 300); do
    [ -s "$home/$name/run.json" ] && return
    kill -0 $pid 2>/dev/null || { fail "$name did not start: $(cat "$home/$name.log")"; return; }
    sleep 0.1
  done
  fail "$name wrote no run.json"
}
# address NAME mesh|http
address() { sed -n "s/.*\"$2\": \[\"\([^\"]*\)\".*/\1/p" "$home/$1/run.json"; }
# wait_for FILE TEXT
wait_for() {
  for _ in $(seq 300); do grep -q "$2" "$1" 2>/dev/null && return; sleep 0.1; done
  fail "$1 never said $2: $(tail -n 3 "$1")"
}
# ends PID CODE
ends() {
  wait "$1"
  local got=$?
  [ $got -eq "$2" ] || fail "a node ended with $got instead of $2"
}

echo "== words and flags"
expect 0 "meshnode " "$bin/meshnode" --version
expect 0 "--listen ADDR:PORT" "$bin/meshnode" --help
expect 0 ".TH MESHNODE 1" "$bin/meshnode" --help-man
expect 0 "mnt1-" "$bin/meshnode" token new
expect 0 "complete" "$bin/meshnode" completion bash
expect 0 "write a unit too" "$bin/meshnode" init --help
expect 2 "unknown command \"frobnicate\"" "$bin/meshnode" frobnicate
expect 2 "did you mean --listen" "$bin/meshnode" --lisen x

# Takes 30 s, so it runs beside the rest.
timeout 60 "$bin/meshnode" --data "$home/patient" --listen 127.0.0.1:0 --http 127.0.0.1:0 \
  --join 127.0.0.1:1 --join-required >"$home/patient.log" 2>&1 &
patient=$!

echo "== configuration"
expect 78 "there is no such file" "$bin/meshnode" --config "$home/no.yaml"
printf 'mesh:\n  lisen: x\n' >"$home/bad.yaml"
expect 78 "bad.yaml:2: unknown key \"mesh.lisen\", did you mean \"mesh.listen\"?" \
  "$bin/meshnode" --config "$home/bad.yaml"
expect 78 "did you mean \"MESHNODE_DEV\"" env MESHNODE_DEF=x "$bin/meshnode"
expect 78 "http.auth.bearer is needed" "$bin/meshnode" --http 0.0.0.0:0 --data "$home/x"
expect 78 "for loopback only" "$bin/meshnode" --dev --listen 0.0.0.0:0 --data "$home/x"
expect 78 "mcp.json: there is no such file" "$bin/meshnode" --servers "$home/mcp.json" --data "$home/x"
expect 78 "server files: write NAME=COMMAND ARGS or NAME=URL" "$bin/meshnode" --server files --data "$home/x"
expect 69 "choose another with --data" "$bin/meshnode" --data /proc/none
expect 78 "names only this node" "$bin/meshnode" --listen 127.0.0.1:7999 --http 127.0.0.1:0 \
  --join 127.0.0.1:7999 --data "$home/alone"
expect 0 "flag --name" "$bin/meshnode" check --name n9
"$bin/meshnode" token new >"$home/secret" 2>/dev/null
printf 'mesh:\n  token: "${file:%s}"\n' "$home/secret" >"$home/secret.yaml"
chmod 640 "$home/secret"
expect 0 "secret.yaml:2: mesh.token: others may read $home/secret (mode 0640)" \
  "$bin/meshnode" check --config "$home/secret.yaml"
chmod 600 "$home/secret"
"$bin/meshnode" check --config "$home/secret.yaml" 2>&1 | grep -q "others may read\|mnt1" &&
  fail "a secret of our own is complained about, or shown"
expect 0 "meshnode.yaml written" "$bin/meshnode" init --dir "$home/init"
expect 0 "meshnode.yaml:" "$bin/meshnode" check --config "$home/init/meshnode.yaml"
expect 0 "is there already" "$bin/meshnode" init --dir "$home/init"

echo "== identity"
mkdir -m 700 "$home/loose" && head -c 32 /dev/zero >"$home/loose/identity.key"
chmod 644 "$home/loose/identity.key"
expect 77 "others may read it" "$bin/meshnode" --data "$home/loose" --listen 127.0.0.1:0 --http 127.0.0.1:0

mkdir -m 755 "$home/shared" && touch "$home/shared/file"
expect 77 "holds other things" "$bin/meshnode" --data "$home/shared" --listen 127.0.0.1:0 --http 127.0.0.1:0
[ "$(stat -c %a "$home/shared")" = 755 ] || fail "somebody else's directory was closed to others"

echo "== a new mesh"
start n1
n1=$pid
wait_for "$home/n1.log" "event=node.ready"
wait_for "$home/n1.log" "NEW MESH"
token=$(cat "$home/n1/join-token")
grep -q "$token" "$home/n1.log" && fail "the token is in the log"
[ "$(stat -c %a "$home/n1/join-token" "$home/n1/root.key" "$home/n1/identity.key" | sort -u)" = 600 ] ||
  fail "secrets can be read by others"
# The sanitizers make mlock() do nothing.
if ! grep -qE 'lib(a|t)san|__[at]san_init' "$bin/meshnode"; then
  grep -q "VmLck:.* 0 kB" "/proc/$n1/status" && fail "the keys can be swapped out"
fi
[ "$(stat -c %a "$home/n1")" = 700 ] || fail "the data directory can be entered by others"
expect 69 "in use by process $n1" "$bin/meshnode" --data "$home/n1" --listen 127.0.0.1:0 --http 127.0.0.1:0
expect 69 "in use by process $n1 (meshnode); choose another with --http" \
  "$bin/meshnode" --data "$home/x" --listen 127.0.0.1:0 --http "$(address n1 http)"
expect 69 "in use by process $n1 (meshnode); choose another with --listen" \
  "$bin/meshnode" --data "$home/x" --listen "$(address n1 mesh)" --http 127.0.0.1:0

echo "== joining"
start n2 --join "$(address n1 mesh)" --token "$token"
n2=$pid
wait_for "$home/n2.log" "event=node.ready"
tr '\0' ' ' <"/proc/$n2/cmdline" | grep -q mnt1 && fail "the token can be read in the process table"
grep -q "use --token @FILE" "$home/n2.log" || fail "no hint about the token in argv"
wrong=$("$bin/meshnode" token new 2>/dev/null)
expect 77 "refused by the mesh: mesh_mismatch" "$bin/meshnode" --name n3 --data "$home/n3" --listen 127.0.0.1:0 --http 127.0.0.1:0 \
  --join "$(address n1 mesh)" --token "$wrong"
expect 78 "mistyped" "$bin/meshnode" --data "$home/x" --join a:1 \
  --token "${token%????}aaaa"

echo "== a token file that is still to come"
start_late() {
  "$bin/meshnode" --name n4 --data "$home/n4" --listen 127.0.0.1:0 --http 127.0.0.1:0 \
    --join "$(address n1 mesh)" --token "@$home/late" >/dev/null 2>"$home/n4.log" </dev/null &
  pid=$!
  nodes+=("$pid")
}
start_late
wait_for "$home/n4.log" "waiting for a token"
kill "$pid"
ends "$pid" 0
start_late
wait_for "$home/n4.log" "waiting for a token"
echo "$token" >"$home/late"
wait_for "$home/n4.log" "event=node.ready"
kill -9 "$pid"

echo "== restart after kill -9"
kill -9 "$n2"
wait "$n2" 2>/dev/null
start n2 --token "@$home/mistyped" # no longer needed, but that it is not there is said
n2=$pid
wait_for "$home/n2.log" "event=node.ready"
grep -q "no token in $home/mistyped: a member needs none" "$home/n2.log" || fail "a token file that is not there is passed over"

echo "== the bridge"
answer=$(printf '%s\n' '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}' \
  '{"jsonrpc":"2.0","method":"notifications/initialized"}' \
  '{"jsonrpc":"2.0","id":2,"method":"ping"}' | timeout 20 "$bin/meshnode" mcp --data "$home/n2")
[ "$(wc -l <<<"$answer")" = 2 ] || fail "the bridge answered: $answer"
[[ $answer == *'"id":2,"result":{}'* ]] || fail "the bridge answered: $answer"
expect 69 "no node runs there; start it: meshnode --data $home/nobody" "$bin/meshnode" mcp --data "$home/nobody"
expect 2 "not a URL" "$bin/meshnode" mcp --server nonsense
answer=$(echo '{"jsonrpc":"2.0","id":1,"method":"ping"}' |
  timeout 20 "$bin/meshnode" mcp --server http://127.0.0.1:1)
[[ $answer == *"is it running?"* ]] || fail "the bridge answered: $answer"

echo "== reload and stop"
kill -HUP "$n2"
wait_for "$home/n2.log" "event=config.reload"
kill -TERM "$n2"
ends "$n2" 0
grep -q "event=node.stopping" "$home/n2.log" || fail "no word about stopping"
[ -e "$home/n2/run.json" ] && fail "run.json outlived its node"
kill -INT "$n1"
ends "$n1" 0

echo "== a node whose store or key is gone does not found another mesh over it"
cp -a "$home/n1" "$home/no-store" && rm -r "$home/no-store/store"
expect 77 "root.key belongs to a mesh founded here" \
  "$bin/meshnode" --data "$home/no-store" --listen 127.0.0.1:0 --http 127.0.0.1:0
cmp -s "$home/n1/root.key" "$home/no-store/root.key" || fail "the root key was written over"
cp -a "$home/n1" "$home/no-key" && rm "$home/no-key/identity.key"
expect 77 "another identity.key" "$bin/meshnode" --data "$home/no-key" --listen 127.0.0.1:0 --http 127.0.0.1:0
cmp -s "$home/n1/root.key" "$home/no-key/root.key" || fail "the root key was written over"

echo "== a token made before its mesh"
"$bin/meshnode" token new 2>/dev/null >"$home/made"
start n5 --bootstrap --token "@$home/made"
wait_for "$home/n5.log" "NEW MESH .*--token @$home/made"
kill -9 "$pid"

echo "== a disk that is full"
if [ "$(id -u)" = 0 ] && mkdir "$home/disk" && mount -t tmpfs -o size=128k none "$home/disk" 2>/dev/null; then
  expect 69 "the disk is full" "$bin/meshnode" --data "$home/disk/n" --listen 127.0.0.1:0 --http 127.0.0.1:0
  umount "$home/disk"
else
  echo "SKIPPED: needs root"
fi

echo "== a store that is damaged"
for file in "$home"/n2/store/MANIFEST-*; do echo garbage >"$file"; done
expect 69 "store" "$bin/meshnode" --data "$home/n2" --listen 127.0.0.1:0 --http 127.0.0.1:0

echo "== joining was required"
ends "$patient" 75
grep -q "joining is required" "$home/patient.log" || fail "no reason: $(tail -n 2 "$home/patient.log")"

[ $failed -eq 0 ] && echo "all as promised"
exit $failed
