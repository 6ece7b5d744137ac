#!/usr/bin/env bash
# What keeps the stack from working: on this machine, and in the stack itself. Each finding says what to do. Ends with 1 if there is one.
set -uo pipefail
cd "$(dirname "$0")/.."

findings=0
fine() { printf '  ok    %s\n' "$1"; }
wrong() { printf '  WRONG %s\n        -> %s\n' "$1" "$2"; findings=$((findings + 1)); }
done_() {
  if ((findings > 0)); then echo "$findings to put right."; exit 1; fi
  echo "Nothing is wrong."
  exit 0
}
newer() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; } # is $1 at least $2?

echo "This machine:"
for tool in go git make; do
  if command -v "$tool" >/dev/null; then fine "$tool"; else wrong "$tool is not installed" "install it; make test, demo and run need it"; fi
done
for tool in kind kubectl tilt; do # no findings: all else works without
  if command -v "$tool" >/dev/null; then fine "$tool"; else printf '  -     %s is not installed: only a cluster on this machine needs it (make kind, tilt up)\n' "$tool"; fi
done
if ! command -v docker >/dev/null; then
  wrong "docker is not installed" "install Docker Engine or Docker Desktop; without it make demo, run and test work all the same"
  done_
fi
engine=$(docker version --format '{{.Server.Version}}' 2>/dev/null)
if [ -z "$engine" ]; then
  wrong "no Docker engine answers" "start it (systemctl start docker, or Docker Desktop), or set DOCKER_HOST; if it runs, are you in the group docker?"
  done_
fi
if newer "$engine" 25.0; then fine "Docker engine $engine"; else
  wrong "Docker engine $engine is old" "install 25.0 or newer: Compose refuses start_interval, by which starting containers are asked every second, on an older one"
fi
compose=$(docker compose version --short 2>/dev/null)
if [ -z "$compose" ]; then
  wrong "docker compose is not installed" "install the plugin docker-compose-v2 (docker-compose 1.29 cannot read this file)"
  done_
fi
if newer "${compose#v}" 2.24.4; then fine "Compose $compose"; else wrong "Compose $compose is old" "install 2.24.4 or newer"; fi
if problem=$(docker compose --profile '*' config --quiet 2>&1); then fine "docker-compose.yml and .env"; else wrong "docker-compose.yml: $problem" "compare .env with .env.example"; fi
memory=$(docker info --format '{{.MemTotal}}' 2>/dev/null)
if [ "${memory:-0}" -ge $((2 << 30)) ]; then fine "memory: $((memory >> 20)) MiB"; else
  wrong "the engine has $((${memory:-0} >> 20)) MiB of memory" "give it 2 GiB (Docker Desktop: Settings, Resources)"
fi

running=$(docker compose --profile '*' ps --all --format '{{.Name}} {{.Service}} {{.State}} {{.Health}} {{.ExitCode}} {{.ID}}' 2>/dev/null)
if [ -z "$running" ]; then
  for port in "${HTTP_PORT:-8080}" "${GRAFANA_PORT:-3000}" "${PROMETHEUS_PORT:-9090}"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      wrong "port $port is taken" "stop who has it, or set HTTP_PORT, GRAFANA_PORT or PROMETHEUS_PORT (in .env)"
    else fine "port $port is free"; fi
  done
  echo "The stack does not run: make up starts it."
  done_
fi

echo "The stack:"
while read -r name service state rest; do
  # Health is empty where there is no check.
  set -- $rest
  health= code= id=
  case $# in 3) health=$1 code=$2 id=$3 ;; 2) code=$1 id=$2 ;; esac
  killed=$(docker inspect --format '{{.State.OOMKilled}}' "$id" 2>/dev/null)
  if [ "$killed" = true ]; then
    wrong "$name was killed: out of memory" "raise its limit in docker-compose.yml (deploy.resources.limits.memory), or ask make footprint who needs so much"
  elif [ "$state" = exited ] && [ "$code" = 0 ]; then fine "$name has done its work"
  elif [ "$state" = exited ] && [ "$service" = seed ] || [ "$state" = exited ] && [ "$service" = migrate ]; then
    wrong "$name ended with $code" "docker compose logs $service; after a change of passwords: make down VOLUMES=1, since the database keeps the old ones"
  elif [ "$state" = exited ] || [ "$state" = restarting ] || [ "$state" = dead ]; then
    wrong "$name is $state, code $code" "docker compose logs $service"
  elif [ "$state" = created ]; then
    wrong "$name waits for others" "look at the findings about them; then make up"
  elif [ "$health" = unhealthy ]; then
    last=$(docker inspect --format '{{with .State.Health}}{{range .Log}}{{.Output}}{{"\n"}}{{end}}{{end}}' "$id" | grep -v '^$' | tail -n 1)
    wrong "$name is unhealthy: ${last:-its check said nothing}" "docker compose logs $service; docker compose restart $service"
  elif [ "$health" = starting ]; then wrong "$name is starting" "wait some seconds and ask again"
  else fine "$name"; fi
done <<<"$running"

if up=$(docker compose exec -T prometheus promtool query instant http://127.0.0.1:9090 'up == 0' 2>/dev/null); then
  if [ -z "$up" ]; then fine "Prometheus reaches all it scrapes"; else
    while read -r line; do
      job=$(sed -n 's/.*job="\([^"]*\)".*/\1/p' <<<"$line")
      wrong "Prometheus does not reach ${job:-$line}" "docker compose ps; docker compose logs ${job:-}"
    done <<<"$up"
  fi
fi
done_
