#!/usr/bin/env bash
# The compose demo on a real Docker engine: five nodes are up, every tool is called through the seed, then
# nodes are frozen, cut off and killed while clients go on calling. Every call is answered or fails with a
# clear reason, nobody else notices, and what was lost comes back. Prints how long things took.
# usage: tests/integration/compose.sh     exit code 77: skipped, there is no engine
set -euo pipefail
cd "$(dirname "$0")/../.."
project=meshnode-test-$$
work=$(mktemp -d)
limit=60 # seconds to wait for anything that has no limit of its own

skip() {
  printf '\n!!! SKIPPED, NOT PASSED: tests/integration/compose.sh: %s\n\n' "$1" >&2
  exit 77
}
fail() {
  echo "FAILED: $1" >&2
  exit 1
}
say() { printf '\n== %s\n' "$*"; }
now() { date +%s%3N; }

command -v docker >/dev/null || skip "there is no docker command"
docker info >/dev/null 2>&1 || skip "no Docker engine answers"
if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
elif command -v docker-compose >/dev/null; then
  compose=(docker-compose)
else
  skip "there is neither docker-compose nor docker compose"
fi
docker image inspect debian:bookworm-slim >/dev/null 2>&1 || docker pull -q debian:bookworm-slim >/dev/null 2>&1 ||
  skip "the base image debian:bookworm-slim is neither here nor can it be pulled"

demo() { "${compose[@]}" -f deploy/docker-compose.yml -p "$project" "$@"; }
ctl() { demo exec -T "$1" meshctl "${@:2}"; }

end() {
  local code=$?
  touch "$work/stop"
  wait
  if [ "$code" -ne 0 ]; then
    for log in "$work"/*.calls; do printf -- '---- %s\n' "$log" && tail -n 20 "$log"; done
    demo logs --no-color --tail=40
  fi
  demo down -v --timeout 10 >/dev/null 2>&1 || true
  rm -rf "$work"
  exit "$code"
}
trap end EXIT

# ---- clients ----

# call TOOL JSON: one stateless request through the seed; prints "START-MS DURATION-MS VERDICT", where the
# verdict is ok, the reason of a clear failure, or "bad" and what came.
call() {
  local begin answer verdict
  begin=$(now)
  answer=$(curl -s --max-time 60 "http://$address/mcp" -H "authorization: Bearer $bearer" \
    -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' \
    -H 'mcp-protocol-version: 2026-07-28' -H 'mcp-method: tools/call' -H "mcp-name: $1" \
    -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'"$1"'","arguments":'"$2"',"_meta":{
      "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}') || true
  verdict=$(jq -r 'if .result then "ok" else .error.data.reason // error end' <<<"$answer" 2>/dev/null) || verdict=""
  case $verdict in
    ok | unavailable | outcome_unknown | not_found) ;;
    *) verdict="bad ${answer:-(no answer)}" ;;
  esac
  echo "$begin $(($(now) - begin)) ${verdict//$'\n'/ }"
}

# A client of SERVER: a new call five times a second, whatever becomes of the one before.
client() {
  while [ ! -e "$work/stop" ]; do
    call "$2" "$3" >>"$work/$1.calls" &
    sleep 0.2
  done
  wait
}

# first SERVER VERDICT SINCE / last ...: when such a call was started, in ms after SINCE
first() { awk -v v="$2" -v t="$3" '$3 == v && $1 >= t {print $1 - t; exit}' "$work/$1.calls"; }
last() { awk -v v="$2" -v t="$3" '$3 == v && $1 >= t {ms = $1 - t} END {print ms}' "$work/$1.calls"; }

# until_first SERVER VERDICT SINCE WHAT: waits for such a call and prints when it was
until_first() {
  local ms
  for _ in $(seq $((limit * 10))); do
    ms=$(first "$1" "$2" "$3")
    if [ -n "$ms" ]; then
      echo "   $4: after $ms ms"
      return
    fi
    sleep 0.1
  done
  fail "$4: not within $limit s"
}

# Nobody else's call failed since SINCE, and none failed without a clear reason.
others_are_well() {
  local server
  for server in "${!tools[@]}"; do
    if grep -m 1 ' bad ' "$work/$server.calls"; then fail "a call of $server failed without a clear reason"; fi
    [ "$server" = "$1" ] && continue
    if awk -v t="$2" '$1 >= t && $3 != "ok"' "$work/$server.calls" | grep -m 1 .; then
      fail "calls of $server failed while only $1 was in trouble"
    fi
  done
  echo "   calls of the others: all well"
}

# trouble SERVER WHAT COMMAND...: carries out the fault; its tool leaves, the others stay. While the node is only suspected,
# calls of its tool wait for the verdict, so it need not be that any of them is refused before.
trouble() {
  local server=$1 unknown
  say "$2"
  began=$(now)
  "${@:3}" >/dev/null 2>&1
  until_first "$server" not_found "$began" "its tools left the list"
  unknown=$(last "$server" outcome_unknown "$began")
  echo "   last new call that still went to it: ${unknown:+after }${unknown:-none}${unknown:+ ms}"
  others_are_well "$server" "$began"
}

# healed SERVER WHAT COMMAND...: its tool is back
healed() {
  local server=$1
  say "$2"
  began=$(now)
  "${@:3}" >/dev/null 2>&1
  until_first "$server" ok "$began" "its tools answer again"
  ctl seed --quiet nodes wait --count 5 --ready --timeout "${limit}s"
  others_are_well "$server" "$began"
}

cut_off() { docker network disconnect "${project}_default" "${ids[$1]}"; }
connect() { docker network connect --alias "$1" "${project}_default" "${ids[$1]}"; }

# ---- the demo ----

declare -A tools=([everything]=everything__echo [files]=files__read_text_file
  [memory]=memory__read_graph [thinking]=thinking__sequentialthinking)
declare -A ids=() # containers, by service
declare -A arguments=([everything]='{"message":"x"}' [files]='{"path":"/srv/files/hello.txt"}' [memory]='{}'
  [thinking]='{"thought":"x","thoughtNumber":1,"totalThoughts":1,"nextThoughtNeeded":false}')

say "building the image"
docker build -f deploy/Dockerfile --target meshnode-demo -t meshnode-demo . >"$work/build.log" 2>&1 ||
  { tail -n 40 "$work/build.log" >&2 && fail "the image does not build"; }
deploy/demo/prepare >/dev/null
bearer=$(cat deploy/demo/secrets/http_token)
export MESHNODE_DEMO_PORT=0 # any that is free

say "starting five nodes"
began=$(now)
demo up -d >/dev/null 2>&1
ctl seed --quiet nodes wait --count 5 --ready --timeout 30s
echo "   all are members: $(($(now) - began)) ms after \`up\`"
address=$(demo port seed 7080)
for node in seed "${!tools[@]}"; do ids[$node]=$(demo ps -q "$node"); done
for server in "${!tools[@]}"; do client "$server" "${tools[$server]}" "${arguments[$server]}" & done
sleep 1
for server in "${!tools[@]}"; do until_first "$server" ok "$began" "${tools[$server]} answers through the seed"; done
for node in "${!ids[@]}"; do
  ctl "$node" --quiet nodes wait --count 5 --ready --timeout "${limit}s"
done
began=$(now)

trouble files "docker pause: the node is frozen, its port still accepts" docker pause "${ids[files]}"
healed files "docker unpause" docker unpause "${ids[files]}"
trouble everything "docker network disconnect" cut_off everything
healed everything "docker network connect" connect everything
trouble memory "docker kill -s KILL" docker kill -s KILL "${ids[memory]}"
healed memory "docker start" docker start "${ids[memory]}"

say "docker kill -s KILL of the seed: the others go on"
touch "$work/stop"
wait
docker kill -s KILL "${ids[seed]}" >/dev/null
for _ in 1 2 3; do ctl files --quiet call everything__echo '{"message":"the seed is away"}' >/dev/null; done
docker start "${ids[seed]}" >/dev/null
ctl seed --quiet nodes wait --count 5 --ready --timeout "${limit}s"

say "what is left behind"
zombies=0
for node in "${!ids[@]}"; do
  found=$(docker exec "${ids[$node]}" sh -c 'cat /proc/[0-9]*/stat' 2>/dev/null | grep -c ') Z ' || true)
  zombies=$((zombies + found))
done
[ "$zombies" -eq 0 ] || fail "there are $zombies zombies"
demo stop --timeout 20 >/dev/null 2>&1
for node in "${!ids[@]}"; do
  code=$(docker inspect -f '{{.State.ExitCode}}' "${ids[$node]}")
  [ "$code" -eq 0 ] || fail "$node stopped with exit code $code"
done
echo "   no zombies; all nodes stopped with exit code 0"

say "compose: passed"
