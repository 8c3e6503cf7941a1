#!/usr/bin/env bash
# Peak memory and time of methods on 2 and on 20 minutes of stereo noise at 44.1 kHz.
#
#   benchmarks/memory.sh PROGRAM [SPEC…]
#
# A method whose memory does not depend on the length shows the same figure twice. The peak is the process's resident
# high-water mark as the program reports it (separate --json). Files: 32 MB and 212 MB in a temporary folder, plus stems.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/noise.sh"
program=$(realpath "${1:?usage: memory.sh PROGRAM [SPEC...]}")
shift
specs=("$@")
[[ ${#specs[@]} -gt 0 ]] || specs=(silence hpss hpss:passes=2 repet repet-sim 2dft classic-4 nmf nmf@cc0 nmf@cc0-p2)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

noise 2.wav 120
noise 20.wav 1200
number() { sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p" | head -n 1; }
printf '%-20s %14s %14s %10s %10s\n' method '2 min, MB' '20 min, MB' '2 min, s' '20 min, s'
for spec in "${specs[@]}"; do
  row=$(printf '%-20s' "$spec")
  declare -A peak time
  for minutes in 2 20; do
    if answer=$("$program" separate "$minutes.wav" -m "$spec" -o stems --json -q --threads 2 2>error); then
      peak[$minutes]=$(number peak_rss_bytes <<<"$answer" | awk '{printf "%.0f", $1 / 1e6}')
      time[$minutes]=$(number wall_s <<<"$answer" | awk '{printf "%.1f", $1}')
    else
      peak[$minutes]="status $?"
      time[$minutes]=-
      head -n 1 error >&2
    fi
    rm -rf stems
  done
  printf '%s %14s %14s %10s %10s\n' "$row" "${peak[2]}" "${peak[20]}" "${time[2]}" "${time[20]}"
done
