#!/usr/bin/env bash
# Puts together what pack.py made, in FOLDER, where it stays: FOLDER/python is a Python with TensorRT 8.6.
#
#   bash unpack.sh FOLDER
set -euo pipefail
[ $# = 1 ] || { echo "usage: bash unpack.sh FOLDER" >&2; exit 2; }
pieces=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)

# A machine that is still warm from the call before has it already.
if cmp --silent "$pieces/SHA256SUMS" "$folder/PIECES"; then
  echo "TRT_PYTHON=$folder/python"
  exit 0
fi
(cd "$pieces" && sha256sum --quiet --check SHA256SUMS) || { echo "a piece is missing or damaged" >&2; exit 1; }
decompress() {
  if command -v xz >/dev/null; then
    xz --decompress --stdout
  else  # a slim image without xz has a Python with its library
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer, 1 << 20)'
  fi
}
cat "$pieces"/piece.* | decompress | tar --extract --no-same-owner --directory "$folder"
(cd "$folder" && sha256sum --quiet --check SHA256SUMS)

# Libraries that the interpreter is linked with come with it; the user's come after them.
cat >"$folder/python" <<'LAUNCHER'
#!/usr/bin/env bash
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export PYTHONNOUSERSITE=1
exec "$here/bin/python3.10" "$@"
LAUNCHER
chmod +x "$folder/python"
"$folder/python" -c 'import tensorrt; print("TensorRT", tensorrt.__version__, "is ready")'
cp "$pieces/SHA256SUMS" "$folder/PIECES"
echo "TRT_PYTHON=$folder/python"
