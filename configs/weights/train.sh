#!/usr/bin/env bash
# Trains the networks of this folder from nothing but composed songs and a CC0 album.
#
#   git clone https://github.com/ichbinsoftware/everythingisremixed album
#   configs/weights/train.sh album work [umx xumx demucs bsrnn conv1d dprnn]     # all without names
#
# Songs, runs and finished files (work/NAME-tiny.safetensors) go to `work`; what is there is kept, and a run that was stopped
# goes on. Two runs at once, one thread each: every run takes its time on one core, and equal program, instruction set
# and songs give equal bytes. Needs ffmpeg, Python with numpy, the soundfont package fluid-soundfont-gm, and a program
# with FluidSynth and LibTorch: MSSBENCH names it (mssbench), PYTHON the interpreter (python3).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if (($# < 2)); then sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; fi
album=$1 work=$2
shift 2
names=("$@")
((${#names[@]})) || names=(demucs bsrnn umx xumx conv1d dprnn)
program=${MSSBENCH:-mssbench}
python=${PYTHON:-python3}

mkdir -p "$work"
# What is missing is said before the songs take their minutes.
if [[ ! -d $work/tinysongs ]]; then
  for tool in ffmpeg "$program" "$python"; do
    command -v "$tool" >/dev/null || { printf 'train.sh: %s is not installed\n' "$tool" >&2; exit 1; }
  done
  "$python" -c 'import numpy' 2>/dev/null || { printf 'train.sh: %s has no numpy; PYTHON=FILE names one that has\n' "$python" >&2; exit 1; }
  [[ -d $work/cc0 || -d $album/src ]] || { printf 'train.sh: %s is not the album: no folder src in it\n' "$album" >&2; exit 1; }
fi
if [[ ! -d $work/tinysongs ]]; then
  "$program" synth "$work/synth" --preset full
  if [[ ! -d $work/cc0 ]]; then
    "$python" "$here/../dictionaries/cc0_songs.py" "$album" "$work/cc0.part"
    mv "$work/cc0.part" "$work/cc0"
  fi
  rm -rf "$work/tinysongs.part"
  "$python" "$here/songs.py" "$work/synth" "$work/cc0" "$work/tinysongs.part"
  mv "$work/tinysongs.part" "$work/tinysongs"
fi

# stage RECIPE [ARGUMENT...]: a run of that name, begun or gone on with.
stage() {
  local recipe=$1 run=$work/runs/$1 resume=()
  shift
  [[ -d $run ]] && resume=(--resume)
  "$program" train "$here/$recipe.toml" -d "$work/tinysongs" -o "$run" --threads 1 "$@" "${resume[@]}" >"$work/$recipe.log" 2>&1 ||
    { tail -n 5 "$work/$recipe.log" >&2; return 1; }
}

train() {
  local name=$1 last=$1 family=$1
  [[ -e $work/$name-tiny.safetensors ]] && return
  [[ $name == umx || $name == xumx ]] && family=openunmix
  stage "$name" || return
  if [[ -e $here/${name}2.toml ]]; then
    last=${name}2
    stage "$last" --recipe "model.weights=$work/runs/$name" || return
  fi
  "$program" import "$family" "$work/runs/$last" -o "$work/$name-tiny.safetensors" --label "$name-tiny" --float16
}
mkdir -p "$work/runs"
status=0
for name in "${names[@]}"; do
  while (($(jobs -rp | wc -l) >= 2)); do wait -n || status=1; done
  train "$name" &
done
while (($(jobs -rp | wc -l))); do wait -n || status=1; done
exit $status
