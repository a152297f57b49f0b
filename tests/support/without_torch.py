"""Run what x3ddeploy can do without PyTorch in the Python that runs this, and say what that leaves untested.

    python without_torch.py BUNDLE CALIB_FOLDER

For Pythons for which PyTorch is not at hand: PyTorch is hidden where it is installed. One JSON document on stdout.
"""

import contextlib
import importlib
import io
import json
import pkgutil
import sys
import warnings
from pathlib import Path

# Extras; what needs one of them is not tested here. Any other module that is missing is a fault.
MAY_BE_ABSENT = {"torch", "mmaction", "mmengine", "mmcv", "openvino", "onnxruntime", "av", "cv2", "matplotlib"}


class _Hidden:
    """In `sys.meta_path`: PyTorch cannot be found."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name="torch")


def modules():
    """Import every module of x3ddeploy: names of those that were, and of those that wait for a package."""
    import x3ddeploy

    imported: list[str] = []
    waiting: dict[str, list[str]] = {}
    for found in pkgutil.walk_packages(x3ddeploy.__path__, "x3ddeploy."):
        if found.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in MAY_BE_ABSENT:
                raise
            waiting.setdefault(package, []).append(found.name)
        else:
            imported.append(found.name)
    return imported, waiting


def said(*arguments):
    """Exit code and standard output of a command, run in this process."""
    from x3ddeploy.cli.main import run

    output, sys.argv = io.StringIO(), ["x3ddeploy", *arguments]
    with contextlib.redirect_stdout(output):
        try:
            run()
        except SystemExit as end:
            return end.code or 0, output.getvalue()
    return 0, output.getvalue()


def main(bundle, calib):
    sys.meta_path.insert(0, _Hidden())
    warnings.simplefilter("error", SyntaxWarning)
    imported, waiting = modules()

    import onnx

    from x3ddeploy.bundle import Bundle
    from x3ddeploy.calibration.recipe import read_recipe
    from x3ddeploy.cli.main import VERBS

    opened = Bundle.open(bundle)
    for path in opened.path.glob("*.onnx"):
        onnx.load(path)
    recipes = [read_recipe(path) for path in sorted(calib.glob("*.toml"))]
    assert recipes, calib
    for verb in VERBS:
        code, text = said(*{"data": ("data", "check")}.get(verb, (verb,)), "--help")
        assert code == 0, (verb, code)
        assert "--json" in text, verb
    code, _ = said("triton", str(bundle), "-o", str(bundle.parent / "repository"), "--json")
    assert code == 0, code
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code, text = said("doctor", "--json")
    assert json.loads(text)["core_works"] is False  # PyTorch is missing, and the doctor says so
    report = {"python": sys.version.split()[0], "imported": imported, "not_tested": waiting, "recipes": len(recipes)}
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
