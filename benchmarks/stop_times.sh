#!/usr/bin/env bash
# Time from SIGINT to the end of the process, for every kind of long work.
#
#   benchmarks/stop_times.sh PROGRAM
#
# Each command is started, interrupted after a few seconds, and waited for. "done" stands where it ended by itself before.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/noise.sh"
program=$(realpath "${1:?usage: stop_times.sh PROGRAM}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
noise song.wav 240
mkdir references estimates set
for ((i = 0; i < 60; ++i)); do noise "references/stem$i.wav" 3; noise "estimates/stem$i.wav" 3; done
synthetic=synthetic:songs=6,seconds=30,seed=3

printf '%-46s %8s %10s %7s\n' command 'after, s' 'to end, s' status
measure() {  # measure AFTER ARGUMENTS…
  local after=$1 from to status
  shift
  "$program" "$@" -q >/dev/null 2>error &
  local child=$!
  sleep "$after"
  if ! kill -INT "$child" 2>/dev/null; then
    wait "$child"
    status=$?
    printf '%-46s %8s %10s %7s\n' "$(cut -c1-46 <<<"$*")" "$after" 'done' "$status"
    return
  fi
  from=$(date +%s%N)
  wait "$child"
  status=$?
  to=$(date +%s%N)
  printf '%-46s %8s %10s %7s\n' "$(cut -c1-46 <<<"$*")" "$after" "$(awk -v n=$((to - from)) 'BEGIN { printf "%.2f", n / 1e9 }')" "$status"
}
for spec in nmf nmf@cc0 nmfd nmf:fft=65536,hop=1 hpss hpss:passes=2 repet repet-sim 2dft rpca classic-4 'mixture|wiener:iters=20'; do
  for after in 1 3 6; do measure "$after" separate song.wav -m "$spec" -o stems; done
done
for after in 2 5 10 20; do measure "$after" evaluate references estimates --metrics all; done
for after in 1 4; do
  measure "$after" run -d "$synthetic" -m nmf -m irm2 -m 2dft -o "run$after"
  measure "$after" train nmf -d "$synthetic" --subset test -o dictionary.safetensors
  measure "$after" train nmf-classifier -d "$synthetic" --subset test -o classifier.safetensors
  measure "$after" datasets check "$synthetic"
done
