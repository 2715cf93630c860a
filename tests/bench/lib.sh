# shellcheck shell=bash disable=SC2154
# lib.sh: what the benchmarks share: processes that end with the script, their CPU time and memory, runs of
# wrk, tables of medians. Sourced, not run. Nothing here asserts a time.

bench_fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

bench_need() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null || bench_fail "needs $1: apt-get install $2"
}

# Sets $work, an empty directory; it and all processes of bench_run are gone when the script ends.
bench_begin() {
  work=$(mktemp -d)
  bench_pids=()
  trap bench_end EXIT
}

bench_end() {
  local pid
  trap - EXIT
  for pid in "${bench_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${bench_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}

# Where what is started next runs: a prefix of its command (ip netns exec NAME), and its address.
bench_place=()
bench_address=127.0.0.1

bench_run() { # LOG COMMAND...: in the background; its id is $bench_pid
  local log=$1
  shift
  "${bench_place[@]}" "$@" >"$work/$log.log" 2>&1 </dev/null &
  bench_pid=$!
  bench_pids+=("$bench_pid")
}

bench_stop() { # PID
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

bench_wait() { # WHAT COMMAND...: until it succeeds, at most 20 s
  local what=$1
  shift
  for _ in $(seq 400); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.05
  done
  tail -n 5 "$work"/*.log >&2
  bench_fail "$what did not come up"
}

bench_node() { # NAME HTTP-PORT OPTIONS...: a node with data in $work/NAME; its id is $bench_pid
  local name=$1 http=$2
  shift 2
  bench_run "$name" "$bin/meshnode" --name "$name" --data "$work/$name" --listen "$bench_address:0" \
    --http "127.0.0.1:$http" --log-level warn "$@"
  bench_wait "node $name" test -e "$work/$name/run.json"
}

bench_tree() { # PID...: these and all their descendants
  ps -e -o pid=,ppid= | awk -v roots="$*" '
    { parent[$1] = $2 }
    END { n = split(roots, r, " "); for (i = 1; i <= n; i++) wanted[r[i]] = 1
      for (p in parent) { q = p; while (q > 1 && !(q in wanted)) q = parent[q]; if (q in wanted) print p } }'
}

# Processor time in ns of the trees of these processes; with NAME only of the programs so called.
bench_cpu() { # [-n NAME] PID...
  local name="" pid
  if [ "$1" = -n ]; then name=$2; shift 2; fi
  for pid in $(bench_tree "$@"); do
    if [ -z "$name" ] || [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ]; then
      cat "/proc/$pid"/task/*/schedstat 2>/dev/null || true
    fi
  done | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

bench_rss() { # PID...: of the trees, in KiB
  local pid
  for pid in $(bench_tree "$@"); do grep VmRSS "/proc/$pid/status" 2>/dev/null || true; done |
    awk '{ sum += $2 } END { print sum + 0 }'
}

# One run of wrk: "REQUESTS/S P50-US P99-US REQUESTS ERRORS". The script has no response function: that
# would make wrk the bound.
bench_wrk() { # CONNECTIONS SECONDS SCRIPT URL
  "${bench_place[@]}" wrk -t1 -c"$1" -d"$2s" --latency -s "$3" "$4" | awk '/^RESULT/ { print $2, $3, $4, $5, $6 }'
}

bench_lua_end() { # appended to every script
  cat <<'LUA'
done = function(summary, latency)
  local e = summary.errors
  print(string.format("RESULT %.0f %.0f %.0f %d %d", summary.requests / summary.duration * 1e6,
    latency:percentile(50), latency:percentile(99), summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout))
end
LUA
}

# Rows "KEY VALUE..." of a file as medians per key, with (least-most) of the first value; the keys in the
# order in which they first came.
bench_medians() { # FILE
  awk '
    function sorted(list, out,    n, i, j, t) {
      n = split(list, out, " ")
      for (i = 2; i <= n; i++) for (j = i; j > 1 && out[j] + 0 < out[j - 1] + 0; j--) {
        t = out[j]; out[j] = out[j - 1]; out[j - 1] = t }
      return n }
    { if (!($1 in rows)) key[++keys] = $1
      rows[$1]++; if (NF > columns) columns = NF
      for (c = 2; c <= NF; c++) value[$1, c] = value[$1, c] " " $c }
    END { for (k = 1; k <= keys; k++) { printf "%s", key[k]
        for (c = 2; c <= columns; c++) { n = sorted(value[key[k], c], v); printf " %s", v[int((n + 1) / 2)]
          if (c == 2) { low = v[1]; high = v[n] } }
        printf " %s %s\n", low, high } }' "$1"
}
