#!/usr/bin/env bash
# Training on a device, in one go (8 minutes at most on a machine with a GPU, without the build): build against LibTorch's
# CUDA half, then check.py.
#
#   benchmarks/device/run.sh [--device cuda|cpu] [--demucs FOLDER] [--python PYTHON] [--out FILE.json]
#
# --device cpu (the default where there is no GPU) uses the build of `./run build` and small networks, to see that the script
# works. PYTHON needs torch of LibTorch's version, numpy and the packages of ../peers/training/requirements.txt; FOLDER holds
# the package demucs of branch v2 of facebookresearch/demucs.
set -euo pipefail
cd "$(dirname "$0")/../.."

device=cpu
command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1 && device=cuda
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --device) device=$2; shift 2 ;;
    *) arguments+=("$1"); shift ;;
  esac
done

preset=release
[ "$device" = cpu ] || preset=cuda
cmake --preset "$preset" >/dev/null
cmake --build "build/$preset" --target training_steps mssbench mssbench_networks
exec "${PYTHON:-python3}" benchmarks/device/check.py --device "$device" --build "build/$preset" "${arguments[@]}"
