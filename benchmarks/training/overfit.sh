#!/usr/bin/env bash
# Can each network learn a few seconds by heart? Trains on them alone and scores the same seconds, through the program's own
# separation and scores: a network that cannot has a defect between recipe and weights.
#
#   benchmarks/training/overfit.sh PROGRAM [NAME…]      NAME: demucs-light, umx, dprnn, bsrnn (all)
#
# Expected: demucs-light and bsrnn above 15 dB uSDR; umx and dprnn within 1 dB of the oracle that knows the magnitudes and
# takes the mixture's phase. Half an hour to an hour each on two cores.
set -euo pipefail
program=$(realpath "$1")
shift
cd "$(dirname "$0")"
work=${WORK:-$(mktemp -d)}
for name in "${@:-demucs-light umx dprnn bsrnn}"; do
  for one in $name; do
    "$program" train "overfit-$one.toml" -o "$work/$one" --threads 2 --progress none --resume >"$work/$one.log" 2>&1
    songs=1
    [ "$one" = demucs-light ] && songs=2
    method=${one%%-*}
    "$program" run -d "synthetic:songs=$songs,seconds=3.1" -m "$method:weights=$work/$one" -m "mixphase" \
      -o "$work/scores-$one" --metrics sdr >/dev/null 2>&1 || true
    "$program" report "$work/scores-$one"
  done
done
