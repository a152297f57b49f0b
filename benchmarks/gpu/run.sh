#!/usr/bin/env bash
# All GPU evidence of the project, in under 8 minutes, into benchmarks/results/<gpu>/*.json.
#
#   benchmarks/gpu/run.sh                       PyTorch: networks, shift forms (needs PyTorch and numpy, nothing else)
#   benchmarks/gpu/run.sh --prepared DIR        and TensorRT, where it is present, on what benchmarks/gpu/prepare.py wrote
#   benchmarks/gpu/run.sh --only tensorrt ...   one of the two, with all of the time
#   benchmarks/gpu/run.sh --device cpu --smoke  a test of the script on a machine without a GPU; its figures mean nothing
#
# PYTHON is the interpreter with PyTorch (python3), TRT_PYTHON the one with TensorRT (PYTHON), OUTPUT the results' folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3} trt_python=${TRT_PYTHON:-${PYTHON:-python3}}
output=${OUTPUT:-$here/../results}
device=cuda smoke='' only='' prepared=''
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=$2; shift ;;
    --smoke) smoke=--smoke ;;
    --only) only=$2; shift ;;
    --prepared) prepared=$2; shift ;;
    *) echo "run.sh: unknown argument $1" >&2; exit 2 ;;
  esac
  shift
done
[ -z "$smoke" ] || output=${OUTPUT:-$(mktemp -d)}  # no made-up figure beside the real ones

# Seconds of each part; a part ends itself within its budget, and is ended where it does not.
networks=190 shift=35 tensorrt=185
case $only in
  torch) networks=350 shift=70 tensorrt=0 ;;
  tensorrt) networks=0 shift=0 tensorrt=440 ;;
  '') [ -n "$prepared" ] || { networks=350; shift=70; tensorrt=0; } ;;
  *) echo "run.sh: --only takes torch or tensorrt" >&2; exit 2 ;;
esac
[ -z "$smoke" ] || { networks=30; shift=20; }

failed=0
part() {  # part SECONDS INTERPRETER SCRIPT ARGUMENTS...
  local seconds=$1 interpreter=$2 script=$3 code=0
  shift 3
  echo "== $script: $seconds s" >&2
  timeout --signal=INT --kill-after=5 "$((seconds + 15))" \
    "$interpreter" "$here/$script" --seconds "$seconds" --output "$output" "$@" || code=$?
  case $code in
    0) ;;
    4) echo "== $script: this machine lacks what it needs" >&2; [ -z "$only" ] || failed=4 ;;
    *) echo "== $script ended with $code; what it had measured is kept" >&2; failed=1 ;;
  esac
}
[ "$networks" = 0 ] || part "$networks" "$python" torch_networks.py --device "$device" $smoke
[ "$shift" = 0 ] || part "$shift" "$python" shift_variants.py --device "$device" $smoke
if [ "$tensorrt" != 0 ] && [ -n "$prepared" ]; then
  part "$tensorrt" "$trt_python" tensorrt_engines.py "$prepared"
elif [ "$only" = tensorrt ]; then
  echo "run.sh: TensorRT needs --prepared DIR, written by benchmarks/gpu/prepare.py" >&2
  exit 2
else
  echo "== no TensorRT evidence: --prepared names no folder" >&2
fi
echo "results in $output"
exit "$failed"
