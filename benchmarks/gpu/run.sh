#!/usr/bin/env bash
# All GPU evidence of the project, in three calls of under ten minutes, into benchmarks/results/<gpu>/*.json.
#
#   benchmarks/gpu/run.sh --plan                what travels, which calls, how many seconds: before a GPU is asked for
#   benchmarks/gpu/run.sh --call 1              PyTorch alone (needs PyTorch and numpy, nothing else)
#   benchmarks/gpu/run.sh --call 2 --prepared DIR    and TensorRT, on what benchmarks/gpu/prepare.py wrote
#   benchmarks/gpu/run.sh --device cpu --smoke  a test of the scripts on a machine without a GPU; its figures mean nothing
#
# More in benchmarks/gpu/calls.py and docs/offline-gpu-host.md.
exec "${PYTHON:-python3}" "$(dirname "$0")/calls.py" "$@"
