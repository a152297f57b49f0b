# Two commands do all the set-up: `make demo` runs the main job end to end, `make test` passes the tests.
# VENV and PYTHON can be given: `make test VENV=/tmp/venv PYTHON=python3.12`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ONNXRUNTIME := $(abspath $(VENV))/onnxruntime

.PHONY: demo test check families bindings ray pythons bench cpp cpp-fuzz clean

# The whole way on data that it makes: of twelve synthetic people nine train the network and three judge it, first with the
# data set's keypoints, then with those that a pose network, trained on pictures of others, finds in the bare videos.
demo: MODELS = --pose demo/pose/pose.onnx --detector demo/pose/detector.onnx
demo: $(INSTALLED)
	mkdir -p demo
	$(BIN)/x3ddeploy synth demo/synth --together 4 --overwrite
	cd demo && $(abspath $(BIN))/x3ddeploy train ../configs/synth.py --work-dir run
	$(BIN)/x3ddeploy export demo/run/best.pth -o demo/deploy --labels demo/synth/labels.txt --preprocess --overwrite
	$(BIN)/x3ddeploy quantize demo/deploy --calib demo/synth
	$(BIN)/x3ddeploy verify demo/deploy
	$(BIN)/x3ddeploy eval demo/deploy --data demo/synth --split xsub_val
	$(BIN)/x3ddeploy bench demo/deploy
	$(BIN)/x3ddeploy synth demo/people --pictures 2000 --subjects 100 --seed 1 --overwrite
	cd demo && $(abspath $(BIN))/x3ddeploy train ../configs/pose_network.py --work-dir pose
	$(BIN)/x3ddeploy pose demo/synth/videos/S001C00?P01[0-2]*.mp4 $(MODELS) --annotations demo/synth/annotations.pkl -o demo/estimated.pkl
	$(BIN)/x3ddeploy eval demo/deploy --data demo/estimated.pkl --videos demo/synth/videos --split xsub_val --runtime onnxruntime --precision fp32 --against demo/deploy/eval.json -o demo/estimated
	$(BIN)/x3ddeploy predict demo/synth/together $(MODELS) --bundle demo/deploy --each-person
	$(BIN)/x3ddeploy predict demo/synth/together/T001*.mp4 $(MODELS) --bundle demo/deploy --each-person --window 24 --stride 2 --html demo/page.html

# Neighbours share what a module sets up, so they stay together (worksteal). TIMES=FILE: each test's processor time, as JSON.
test: check $(ONNXRUNTIME)/include
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal $(if $(TIMES),--cpu-times=$(TIMES))

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every network of MMAction2's that is known, from the configs of its wheel: exported, compared, built. And a minute's
# training of the pose network, which must find two people in bare video.
families: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal -m families

# Predicting and evaluating on a Ray cluster of this machine, with workers killed in the middle: two minutes.
ray: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,ray]'
	$(BIN)/python -m pytest -m ray

# Classes and signatures of TensorRT 8.6, 10 and 11, and of PyNvVideoCodec, from their wheels on PyPI, held against what is
# used of them; of their libraries none is needed. 8.6's wheel is 819 MB, and is read by a Python 3.10.
bindings: $(INSTALLED)
	$(BIN)/python -m pip download --quiet --no-deps -d build/bindings 'tensorrt-cu12-bindings==10.16.1.11'
	$(BIN)/python -m pip download --quiet --no-deps -d build/bindings 'tensorrt-cu13-bindings==11.4.0.106'
	$(BIN)/python -m pip download --quiet --no-deps -d build/bindings --only-binary=:all: --python-version 3.10 --platform manylinux_2_17_x86_64 'tensorrt==8.6.0'
	$(BIN)/python -m pip download --quiet --no-deps -d build/bindings 'pynvvideocodec==2.2.4'
	$(BIN)/python -m pytest -rA tests/engines/test_wheel_contract.py tests/data/test_decoders.py

# The Pythons that are declared, as far as they are found: what takes no PyTorch runs in each, and the rest is named.
pythons: $(INSTALLED)
	mkdir -p build/pythons
	$(BIN)/python -m x3ddeploy.demo --preset tiny build/pythons/tiny.pth
	$(BIN)/x3ddeploy export build/pythons/tiny.pth -o build/pythons/deploy --overwrite
	$(BIN)/python tests/support/pythons.py build/pythons/deploy

# The figures in README.md and docs/, measured again on this machine: the better part of an hour.
bench: $(INSTALLED)
	$(BIN)/python benchmarks/guard.py
	$(BIN)/python benchmarks/plain_export.py
	$(BIN)/python benchmarks/lowering_findings.py
	$(BIN)/python benchmarks/bench_targets.py
	$(BIN)/python benchmarks/int8_speed.py
	$(BIN)/python benchmarks/int8_methods.py
	$(BIN)/python benchmarks/calibration_memory.py

# The C++ runtime with OpenVINO and ONNX Runtime, its tests and x3ddeploy_cli, in build/cpp. Needs a C++17 compiler (Debian: g++).
cpp: $(INSTALLED) $(ONNXRUNTIME)/include
	PATH="$(abspath $(BIN)):$$PATH" cmake -S cpp -B build/cpp -DX3DDEPLOY_BUILD_TESTS=ON -DX3DDEPLOY_ONNXRUNTIME_ROOT=$(ONNXRUNTIME) -DOpenVINO_DIR="$$($(BIN)/python -c 'import openvino; print(openvino.__path__[0])')/cmake"
	$(BIN)/cmake --build build/cpp --parallel
	$(BIN)/ctest --test-dir build/cpp --output-on-failure

# Debian keeps venv's pip in a package of its own (python3-venv); where it is missing, virtualenv brings one.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(PYTHON) -m pip install --quiet --target $(VENV)-virtualenv virtualenv && PYTHONPATH=$(VENV)-virtualenv $(PYTHON) -m virtualenv --quiet $(VENV) && rm -rf $(VENV)-virtualenv; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# The runtime's tests, many mutated manifests, and calls of streams, pools and the C interface, under the address and
# undefined-behaviour sanitizers with all of their checks; `make test` has the cheaper ones, and the thread sanitizer.
FUZZ_RUNS ?= 100000
cpp-fuzz: $(INSTALLED)
	PATH="$(abspath $(BIN)):$$PATH" cmake -S cpp -B build/fuzz -DX3DDEPLOY_SANITIZE=address,undefined -DX3DDEPLOY_BUILD_FUZZERS=ON -DX3DDEPLOY_BUILD_TESTS=ON -DX3DDEPLOY_BUILD_EXAMPLES=OFF -DX3DDEPLOY_OPENVINO=OFF -DX3DDEPLOY_TENSORRT=OFF -DX3DDEPLOY_ONNXRUNTIME=OFF
	$(BIN)/cmake --build build/fuzz --parallel
	$(BIN)/ctest --test-dir build/fuzz --output-on-failure
	$(BIN)/python -m x3ddeploy.demo --preset tiny build/fuzz/tiny.pth
	$(BIN)/x3ddeploy export build/fuzz/tiny.pth -o build/fuzz/deploy --overwrite
	build/fuzz/fuzz/x3ddeploy_fuzz_manifest build/fuzz/deploy/manifest.json $(FUZZ_RUNS)
	head -c 1000 /dev/urandom > build/fuzz/seed
	build/fuzz/fuzz/x3ddeploy_fuzz_streams build/fuzz/seed $(FUZZ_RUNS)

# Where its headers are not to be had that is said, and the C++ runtime is built and tested without it.
$(ONNXRUNTIME)/include: $(INSTALLED) tests/support/onnxruntime_root.sh
	-tests/support/onnxruntime_root.sh "$(abspath $(BIN))/python" $(ONNXRUNTIME) && touch $@

clean:
	rm -rf $(VENV) demo build .mypy_cache .pytest_cache .ruff_cache
