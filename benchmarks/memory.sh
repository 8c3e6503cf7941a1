#!/usr/bin/env bash
# Peak memory of methods on 2 and on 20 minutes of stereo noise at 44.1 kHz, or on other lengths, beside what the program
# says that they need, and their processor time.
#
#   benchmarks/memory.sh PROGRAM [SPEC…]
#   LENGTHS_S='60 600' benchmarks/memory.sh PROGRAM bsrnn@small:random=1,hop=3
#
# A method whose memory does not depend on the length shows the same figure everywhere. An oracle's true stems are noise of
# their own. The peak is the process's resident high-water mark as the program reports it (separate --json). Files: 10 MB per
# minute in a temporary folder, plus stems and, for oracles, true ones.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/noise.sh"
program=$(realpath "${1:?usage: memory.sh PROGRAM [SPEC...]}")
shift
specs=("$@")
[[ ${#specs[@]} -gt 0 ]] || specs=(silence hpss hpss:passes=2 repet repet-sim 2dft classic-4 nmf nmf@cc0 nmf@cc0-p2)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

read -ra lengths <<<"${LENGTHS_S:-120 1200}"
for length in "${lengths[@]}"; do noise "$length.wav" "$length"; done
oracles=" $("$program" methods | awk '$2 == "oracle" {print $1}' | tr '\n' ' ') "
# references SPEC LENGTH: fills the array truth with what an oracle needs besides the mixture.
references() {
  truth=()
  [[ $oracles == *" ${1%%[:@+]*} "* ]] || return 0
  truth=(--references "true-$2")
  [[ -d true-$2 ]] || noise_stems "true-$2" "$2"
}
number() { sed -n "s/.*\"$1\": *\([0-9.e+-]*\).*/\1/p" | head -n 1; }
printf '%-32s' method
for length in "${lengths[@]}"; do printf ' %14s %8s %14s' "$length s, MB" says 'processor, s'; done
printf '\n'
for spec in "${specs[@]}"; do
  printf '%-32s' "$spec"
  for length in "${lengths[@]}"; do
    references "$spec" "$length"
    # Refused for want of memory, the program says how much it would want.
    says=$({ "$program" separate "$length.wav" -m "$spec" -o stems ${truth[@]+"${truth[@]}"} --threads 2 --memory-gb 0.001 2>&1 || true; } |
      sed -n 's/.*found: *about \([0-9.]*\) GB.*/\1/p' | awk '{printf "%.0f", $1 * 1000}')
    if answer=$("$program" separate "$length.wav" -m "$spec" -o stems ${truth[@]+"${truth[@]}"} --json -q --threads 2 2>error); then
      peak=$(number peak_rss_bytes <<<"$answer" | awk '{printf "%.0f", $1 / 1e6}')
      time=$(number cpu_s <<<"$answer" | awk '{printf "%.1f", $1}')
    else
      peak="status $?"
      time=-
      head -n 1 error >&2
    fi
    rm -rf stems
    printf ' %14s %8s %14s' "$peak" "$says" "$time"
  done
  printf '\n'
done
