#!/usr/bin/env bash
# Scores of the networks of this folder beside floors, oracles and dictionaries, as the tables of README.md.
#
#   configs/weights/scores.sh SYNTH_SMALL CC0 CLIPS WORK [SPEC...]
#
# SYNTH_SMALL: what `mssbench synth SYNTH_SMALL --preset small` wrote; CC0: the CC0 album's test excerpts; CLIPS: the two
# MUSDB18 clips; SPEC: further rows. MSSBENCH names the program (mssbench).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if (($# < 4)); then sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; fi
songs=$1 cc0=$2 clips=$3 work=$4
shift 4
program=${MSSBENCH:-mssbench}
rows=(-m mixture-over-j -m irm2 -m nmf@cc0 -m nmfd:dict=cc0-nmfd)
for name in umx xumx demucs bsrnn conv1d dprnn; do rows+=(-m "$name@tiny"); done
for spec in "$@"; do rows+=(-m "$spec"); done
"$program" run -d "$songs" --subset test --metrics sdr "${rows[@]}" -o "$work/synth" >&2
"$program" run -d "$cc0" --subset test --metrics sdr "${rows[@]}" -o "$work/cc0" >&2
"$program" run -d "$clips" --subset all --metrics sdr "${rows[@]}" -o "$work/clips" >&2
"$program" report "$work/synth" "$work/cc0" "$work/clips" -o "$work/report" --intervals >"$work/report.txt"
python3 "$here/scores.py" "$work/report/table.csv"
