#!/usr/bin/env bash
# Can each network learn a few seconds by heart? Trains on them alone and scores the same seconds, through the program's own
# separation and scores: a network that cannot has a defect between recipe and weights.
#
#   benchmarks/training/overfit.sh PROGRAM [NAME…]      NAME: demucs-light, umx, dprnn, bsrnn (all)
#
# WORK names a folder that is kept, and gone on with, instead of a temporary one; THREADS the number of threads (2).
#
# Expected: demucs-light and bsrnn above 15 dB uSDR; umx and dprnn within 1 dB of the oracle that knows the magnitudes and
# takes the mixture's phase. Two minutes (umx) to an hour and a half (demucs-light) each on one core.
set -euo pipefail
program=$(realpath "$1")
shift
cd "$(dirname "$0")"
work=${WORK:-$(mktemp -d)}
for name in "${@:-demucs-light umx dprnn bsrnn}"; do
  for one in $name; do
    "$program" train "overfit-$one.toml" -o "$work/$one" --threads "${THREADS:-2}" --progress none --resume >"$work/$one.log" 2>&1
    songs=songs=1,seconds=3.1
    case "$one" in
      demucs-light) songs=songs=2,seconds=3.01,seed=3008 ;;
      bsrnn) songs=songs=1,seconds=3 ;;
    esac
    method=${one%%-*}
    # The songs have no training subset, so these are the ones that were learned; the row must say so.
    "$program" run -d "synthetic:$songs" -m "$method:weights=$work/$one" -m mixphase -o "$work/scores-$one" \
      --metrics sdr -q
    "$program" report "$work/scores-$one" -o "$work/report-$one" --allow-training-tracks --metrics uSDR -q >/dev/null
    printf '%s\n' "$one"
    grep -E '^\| `.*\(' "$work/report-$one/table.md" | sort -u
  done
done
