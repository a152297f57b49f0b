#!/bin/sh
# onnxruntime_root.sh PYTHON FOLDER: what the C++ runtime is built with ONNX Runtime from. Its wheel has the library and no
# headers; Debian has these from release 13 on, as a package of 85 kB that is unpacked here and not installed.
set -e
python=$1 folder=$2
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $keyring ] || { echo "no headers of ONNX Runtime: they are taken from Debian's packages"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
echo "deb [signed-by=$keyring] http://deb.debian.org/debian trixie main" > "$work/sources.list"
cd "$work"
set -- -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists" \
  -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none
apt-get "$@" update
apt-get "$@" download libonnxruntime-dev
dpkg-deb -x libonnxruntime-dev_*.deb unpacked
library=$("$python" -c 'import importlib.util as i; print(i.find_spec("onnxruntime").submodule_search_locations[0])')/capi
mkdir -p "$folder/lib"
ln -sf "$library"/libonnxruntime.so.*.* "$folder/lib/libonnxruntime.so.1"
ln -sf libonnxruntime.so.1 "$folder/lib/libonnxruntime.so"
rm -rf "$folder/include"
mv unpacked/usr/include "$folder/include"
