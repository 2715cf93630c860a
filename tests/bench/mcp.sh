# shellcheck shell=bash disable=SC2154,SC2034
# mcp.sh: what the benchmarks of MCP calls share: the tools, the nodes, the requests as scripts of wrk, one
# measurement. Sourced after lib.sh. A target has a url, a script (lua) and the processes whose time counts
# (pids). Nothing here asserts a time.

port=${BENCH_PORT:-18090} # those after it are used
declare -A url lua pids ports
next_port() { port=$((port + 1)); ports[$1]=$port; }
wants() { case " $targets " in *" $1 "*) ;; *) return 1 ;; esac; }

mcp_begin() { # after getopts: programs, an empty directory, ports
  bin=$(realpath "$build")/bin
  bench_need wrk wrk; bench_need jq jq; bench_need curl curl
  [ -x "$bin/meshnode" ] || bench_fail "no $bin/meshnode: cmake --preset release && cmake --build --preset release"
  bench_begin
  for name in "$@"; do next_port "$name"; done
}

# ---- what is measured ----

start_tool() { # NAME OPTIONS...: the HTTP tool
  local name=$1
  shift
  bench_run "$name" "$bin/mcp-tool-http" --port "${ports[$name]}" "$@"
  pids[$name]=$bench_pid
  bench_wait "$name" grep -q listening "$work/$name.log"
}

pair_half() { :; } # front|back: where that node runs; a script with several hosts says it

start_pair() { # SERVING ENTRY OPTIONS...: node SERVING with these servers, node ENTRY of the same mesh
  local serving=$1 entry=$2
  shift 2
  pair_half back
  bench_node "$serving" "${ports[$serving]}" "$@"
  pids[$serving]=$bench_pid
  pair_half front
  bench_node "$entry" "${ports[$entry]}" --join "$(jq -r '.mesh[0]' "$work/$serving/run.json")" \
    --token "@$work/$serving/join-token"
  pids[$entry]=$bench_pid
}

start_nodes() { # OPTIONS...: node b with these servers, node a of the same mesh; pids[one], pids[two]
  start_pair b a "$@"
  pids[one]=${pids[b]} pids[two]="${pids[a]} ${pids[b]}"
}

wait_for_tools_at() { # NODE TOOL...
  local node=$1 tool
  shift
  for tool in "$@"; do
    bench_wait "$tool on node $node" "$bin/meshctl" --data "$work/$node" tools show "$tool"
  done
}

wait_for_tools() { wait_for_tools_at a "$@"; } # TOOL...

start_nginx() { # before the tool, and by itself
  local answer='{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hello"}],"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"mcp-tool","version":"1.0.0"}}}}'
  bench_need nginx nginx-light
  cat >"$work/nginx.conf" <<CONF
worker_processes 1; daemon off; master_process off; pid $work/nginx.pid; error_log stderr error;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 100000000; client_body_temp_path $work/n1; proxy_temp_path $work/n2;
  fastcgi_temp_path $work/n3; uwsgi_temp_path $work/n4; scgi_temp_path $work/n5;
  upstream tool { server 127.0.0.1:${ports[tool]}; keepalive 128; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${ports[nginx]};
    location / { proxy_pass http://tool; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
  server {
    listen 127.0.0.1:${ports[nginx-self]};
    location / { default_type application/json; return 200 '$answer'; }
  }
}
CONF
  bench_run nginx nginx -c "$work/nginx.conf" -p "$work"
  pids[nginx]=$bench_pid
}

start_haproxy() { # before the tool
  bench_need haproxy haproxy
  cat >"$work/haproxy.cfg" <<CONF
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend clients
  bind 127.0.0.1:${ports[haproxy]}
  default_backend tools
backend tools
  server tool 127.0.0.1:${ports[tool]}
CONF
  bench_run haproxy haproxy -f "$work/haproxy.cfg"
  pids[haproxy]=$bench_pid
}

# ---- the requests ----

echo_arguments='{"text":"hello"}'
modern='"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}'
write_modern() { # SCRIPT METHOD [TOOL [ARGUMENTS [MORE-META]]]
  local params="" name=""
  if [ -n "${3:-}" ]; then
    params="\"name\":\"$3\",\"arguments\":${4:-$echo_arguments},"
    name="wrk.headers[\"Mcp-Name\"] = \"$3\""
  fi
  cat >"$work/$1.lua" <<LUA
wrk.method = "POST"
wrk.body = '{"jsonrpc":"2.0","id":1,"method":"$2","params":{$params"_meta":{$modern${5:-}}}}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json, text/event-stream"
wrk.headers["MCP-Protocol-Version"] = "2026-07-28"
wrk.headers["Mcp-Method"] = "$2"
$name
$(bench_lua_end)
LUA
}

post() { # URL BODY [CURL OPTIONS...]
  local to=$1 body=$2
  shift 2
  curl -sS --max-time 5 -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    "$@" --data "$body" "$to"
}

# Opens a session and writes the script of its calls; every one has an id of its own.
session() { # NAME [REVISION]
  local revision=${2:-2025-06-18}
  local initialize='{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"'$revision'","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}'
  local id
  id=$(post "${url[$1]}" "$initialize" -o /dev/null -D - | tr -d '\r' |
    awk 'tolower($1) == "mcp-session-id:" { print $2 }')
  [ -n "$id" ] || return 1
  local headers=(-H "Mcp-Session-Id: $id" -H "MCP-Protocol-Version: $revision")
  post "${url[$1]}" '{"jsonrpc":"2.0","method":"notifications/initialized"}' "${headers[@]}" || return 1
  cat >"$work/session-$1.lua" <<LUA
local id = 0
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json, text/event-stream"
wrk.headers["Mcp-Session-Id"] = "$id"
wrk.headers["MCP-Protocol-Version"] = "$revision"
request = function()
  id = id + 1
  return wrk.format("POST", nil, nil, '{"jsonrpc":"2.0","id":' .. id ..
    ',"method":"tools/call","params":{"name":"echo","arguments":$echo_arguments}}')
end
$(bench_lua_end)
LUA
  lua[$1]=session-$1
}

# ---- measuring ----

# What wrk does not look at: one answer is what it should be. The script's lines say what to send.
check() { # TARGET [PATTERN]
  local script=$work/${lua[$1]}.lua headers=() header body
  while read -r header; do headers+=(-H "$header"); done < <(sed -nE 's/^ *wrk.headers\["(.*)"\] = "(.*)"$/\1: \2/p' "$script")
  body=$(sed -nE "s/^wrk.body = '(.*)'$/\1/p" "$script")
  [ -n "$body" ] || body='{"jsonrpc":"2.0","id":"check","method":"tools/call","params":{"name":"echo","arguments":'$echo_arguments'}}'
  "${bench_place[@]}" curl -sS --max-time 5 "${headers[@]}" --data "$body" "${url[$1]}" >"$work/answer" && grep -Eq "${2:-\"text\":\"hello\"|\"supportedVersions\"}" "$work/answer" && return
  head -c 2000 "$work/answer" >&2
  bench_fail "$1: this is not the answer"
}

load() { # TARGET CONNECTIONS: what bench_wrk prints; other clients take its place
  bench_wrk "$2" "$seconds" "$work/${lua[$1]}.lua" "${url[$1]}"
}

measure() { # TARGET CONNECTIONS
  local before tool_before cpu result calls errors
  before=$(bench_cpu ${pids[$1]})
  tool_before=$(bench_cpu -n mcp-tool-stdio ${pids[$1]})
  result=$(load "$1" "$2")
  cpu=$(($(bench_cpu ${pids[$1]}) - before - ($(bench_cpu -n mcp-tool-stdio ${pids[$1]}) - tool_before)))
  read -r rate p50 p99 calls errors <<<"$result"
  [ "$errors" = 0 ] || echo "$1 with $2 connections: $errors of $calls calls failed" >&2
  awk -v key="$1/$2" -v rate="$rate" -v p50="$p50" -v p99="$p99" -v cpu="$cpu" -v calls="$calls" \
    'BEGIN { printf "%s %d %d %d %.1f\n", key, rate, p50, p99, cpu / 1000 / calls }' >>"$work/results"
}

measure_all() { # in turn, round by round: $targets, $connections, $rounds
  for c in $connections; do
    for _ in $(seq "$rounds"); do
      for name in $targets; do measure "$name" "$c"; done
    done
  done
}

# Medians as tables, one per number of connections, each followed by ratios. Those come from stdin, a line
# each: CONNECTIONS rate|p50|cpu ONE OTHER AIM...
report() {
  bench_medians "$work/results" >"$work/medians"
  awk -v connections="$connections" -v targets="$targets" '
    part == 1 { at[$1, ++ratios[$1]] = $0; next }
    { rate[$1] = $2; p50[$1] = $3; cpu[$1] = $5
      line[$1] = sprintf("%9d %8d %8d %8.1f   (%d-%d)", $2, $3, $4, $5, $6, $7) }
    function value(what, key) { return what == "p50" ? p50[key] : what == "cpu" ? cpu[key] : rate[key] }
    function ratio(text, c,    w, n, aim, i, one, other) {
      n = split(text, w, " ")
      one = value(w[2], w[3] "/" c); other = value(w[2], w[4] "/" c)
      for (i = 5; i <= n; i++) aim = aim " " w[i]
      if (one > 0 && other > 0)
        printf "  %-42s %6.2f  %s\n", w[3] " / " w[4] (w[2] == "rate" ? "" : " (" w[2] ")"), one / other, aim }
    END {
      n = split(connections, cs, " "); m = split(targets, names, " ")
      for (i = 1; i <= n; i++) {
        c = cs[i]
        printf "\n%d connections: calls/s, p50 us, p99 us, CPU us per call, (least-most calls/s)\n", c
        for (j = 1; j <= m; j++) printf "  %-13s%s\n", names[j], line[names[j] "/" c]
        for (j = 1; j <= ratios[c]; j++) ratio(at[c, j], c)
      } }' part=1 - part=2 "$work/medians"
}
