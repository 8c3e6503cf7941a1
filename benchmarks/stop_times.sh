#!/usr/bin/env bash
# Time from SIGINT or SIGTERM to the end of the process, for every command and every kind of long work.
#
#   benchmarks/stop_times.sh PROGRAM [REGEX]
#
# Each command is started, signalled when it has used some processor seconds, and waited for. REGEX picks commands.
# Columns: processor seconds before the signal; the signal; seconds from it to the end; processor seconds that the process
# used after it; exit status. "done" stands where the command ended by itself before. On a busy machine the seconds to
# the end depend on what else runs, the processor seconds do not. Ends with status 1 where a stop took more than two
# processor seconds, or had another status than 130 (or 0: the work was just done).
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/noise.sh"
program=$(realpath "${1:?usage: stop_times.sh PROGRAM [REGEX]}")
pattern=${2:-.}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
threads=2
ticks=$(getconf CLK_TCK)
failed=0
signal=INT

printf '%-62s %6s %6s %9s %9s %6s\n' command after signal 'to end' processor status
reached() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(b >= a) }'; }
ended() { [[ ! -e /proc/$1 ]] || grep -qs '^State:.*Z' "/proc/$1/status"; }
handles_signals() { [[ $(sed -n 's/^SigCgt:\s*//p' "/proc/$1/status" 2>/dev/null) == *4002 ]]; }
processor_s() {  # of a process and its threads so far
  local fields
  fields=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || { echo 0; return; }
  awk -v t="$ticks" '{ print ($12 + $13) / t }' <<<"$fields"
}
measure() {  # measure AFTER ARGUMENTS…
  local after=$1 name status from to before used
  shift
  name=$*
  [[ $name =~ $pattern ]] || return 0
  "$program" "$@" -q --threads "$threads" >/dev/null 2>error &
  local child=$!
  # A program that a busy machine has not let begin has no handlers yet (and a shell's background jobs ignore SIGINT).
  until ended "$child" || { handles_signals "$child" && reached "$after" "$(processor_s "$child")"; }; do sleep 0.05; done
  if ended "$child"; then
    wait "$child"
    printf '%-62s %6s %6s %9s %9s %6s\n' "${name:0:62}" "$after" "$signal" 'done' '' "$?"
    return
  fi
  before=$(processor_s "$child")
  kill "-$signal" "$child" 2>/dev/null
  from=$(date +%s%N)
  # What the process has used is read until it has gone: its last reading is at most 20 ms old.
  used=$before
  until ended "$child"; do
    to=$(processor_s "$child")
    reached "$used" "$to" && used=$to
    sleep 0.02
  done
  to=$(date +%s%N)
  wait "$child"
  status=$?
  local wall cpu verdict=
  wall=$(awk -v n=$((to - from)) 'BEGIN { printf "%.2f", n / 1e9 }')
  cpu=$(awk -v a="$used" -v b="$before" 'BEGIN { printf "%.2f", a - b }')
  if [[ $status != 130 && $status != 0 ]]; then
    verdict="status: $(head -n 1 error)"
  elif reached 2 "$cpu"; then
    verdict=slow
  fi
  [[ -z $verdict ]] || failed=1
  printf '%-62s %6s %6s %9s %9s %6s %s\n' "${name:0:62}" "$after" "$signal" "$wall" "$cpu" "$status" "$verdict"
}
both() {  # both ARGUMENTS…: SIGINT early, SIGTERM in the midst
  signal=INT measure 1 "$@"
  signal=TERM measure 4 "$@"
}

noise song.wav 240
noise second.wav 1
synthetic=synthetic:songs=6,seconds=30,seed=3

for spec in nmf nmf@cc0 nmfd hpss hpss:passes=2 repet repet-sim 2dft rpca classic-4 'mixture|wiener:iters=20'; do
  both separate song.wav -m "$spec" -o stems
done
both separate second.wav -m nmf:fft=65536,hop=8 -o stems
if [[ "separate song.wav -m irm2 mwf -o stems --references true" =~ $pattern ]]; then
  noise_stems true 240
fi
for spec in irm2 mwf; do both separate song.wav -m "$spec" -o stems --references true; done
for spec in umx:random=1 'umx@official:random=1' xumx:random=1 umx-crossskip:random=1 demucs:random=1 demucs@light:random=1 conv-tasnet:random=1 \
  bsrnn:random=1 conv1d:random=1 dprnn:random=1; do
  both separate song.wav -m "$spec" -o stems
done
if [[ "evaluate references estimates --metrics all,stable" =~ $pattern ]]; then
  mkdir references estimates
  for ((i = 0; i < 60; ++i)); do noise "references/stem$i.wav" 3; noise "estimates/stem$i.wav" 3; done
fi
for after in 2 5 10 20; do measure "$after" evaluate references estimates --metrics all; done
signal=TERM measure 8 evaluate references estimates --metrics all,stable
both run -d "$synthetic" -m nmf,irm2,2dft -o run --save-estimates
rm -rf run
both train nmf -d "$synthetic" --subset test -o dictionary.safetensors
both train nmf-classifier -d "$synthetic" --subset test -o classifier.safetensors
both datasets check "$synthetic"
both synth songs --renderer builtin
both synth sampled --renderer auto
if [[ "synth check set report finished -o page --audio set" =~ $pattern ]]; then
  "$program" synth set --preset mini --renderer builtin -q >/dev/null
  "$program" run -d set -m mixture,irm2 --save-estimates -o finished -q >/dev/null
fi
both synth check set
both shift song.wav -m umx:random=1
both demo -o demo
signal=INT measure 0.3 report finished -o page --audio set
signal=TERM measure 1 report finished -o page --audio set --audio-seconds 0
if "$program" --version | grep -q 'LibTorch [0-9]'; then
  for recipe in umx-tiny demucs-light-tiny bsrnn-tiny conv1d-tiny dprnn-tiny xumx-tiny; do
    for after in 1 4 10; do
      rm -rf trained
      measure "$after" train "$recipe" -d synthetic -o trained
    done
    # Within the first epochs' validation and after a resume.
    signal=TERM measure 20 train "$recipe" -d synthetic -o trained --resume
  done
  # One step takes longer than a stop may.
  for after in 4 10 20; do
    measure "$after" train bsrnn-paper -d "$synthetic" --dry-run
    rm -rf trained
    measure "$after" train bsrnn-paper -d "$synthetic" -o trained --recipe data.batch=1 --recipe data.crop_seconds=2
  done
  both separate song.wav -m umx:random=1,engine=libtorch -o stems
  both separate song.wav -m demucs:random=1,engine=libtorch -o stems
  both separate song.wav -m bsrnn:random=1,engine=libtorch -o stems
fi
exit "$failed"
