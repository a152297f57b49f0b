"""The fault list as docs/proof.md shows it. `python tests/support/faults/table.py` prints it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.faults import float_graphs, golden_data, lowered, preprocessing, scales

EXPORT, QUANTIZE, VERIFY, CPP = "`export`", "`quantize`", "`verify`", "C++ self-test"
FAMILIES = {
    "lowered modules": (lowered.LOWERED, EXPORT),
    "float32 graphs, frames in the batch": (float_graphs.FRAMES, f"{EXPORT}; in part {VERIFY}, {CPP}"),
    "float32 graphs, clips of frames": (float_graphs.CLIP, EXPORT),
    "float32 graphs, every form": (float_graphs.EVERY_FORM, f"{EXPORT}; in part {VERIFY}, {CPP}"),
    "FP16 and INT8: one lost bias": (scales.LOST_BIASES, f"{QUANTIZE}, {VERIFY}, {CPP}"),
    "FP16 and INT8: weights": (scales.WEIGHTS, f"{QUANTIZE}, {VERIFY}"),
    "INT8: scales, zero points, pairs": (scales.SCALES, f"{QUANTIZE}, {VERIFY}"),
    "preprocessing graphs": (preprocessing.GRAPHS, f"{EXPORT} with `--preprocess`"),
    "Python's preprocessing": (preprocessing.PYTHON, f"{EXPORT} with `--preprocess`"),
    "golden data": (golden_data.EDITS, f"{VERIFY}; in part {CPP}"),
}


def rows():
    """Lines of the table."""
    total = sum(len(faults) for faults, _ in FAMILIES.values())
    yield "| what is wrong | faults | which | found by |"
    yield "|---|---|---|---|"
    for family, (faults, gates) in FAMILIES.items():
        yield f"| {family} | {len(faults)} | {'; '.join(faults)} | {gates} |"
    yield f"| together | {total} | | |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(rows()) + "\n")
