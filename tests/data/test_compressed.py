"""Compressed keypoints are what MMAction2's DecompressPose makes of them."""

import numpy as np
import pytest
from support.action_data import write_annotations

from x3ddeploy.data.annotations import read_annotations
from x3ddeploy.data.compressed import decompressed
from x3ddeploy.errors import DataError


def compressed(persons, **more):
    """Frame after frame as many persons as are said; every third frame of the video shows nobody."""
    frames = np.repeat([index + index // 2 for index in range(len(persons))], persons).astype(np.int16)
    rows = np.random.default_rng(0).uniform(0, 100, (len(frames), 17, 3)).astype(np.float16)
    return {"frame_dir": "a", "label": 1, "img_shape": (96, 128), "total_frames": 40, "frame_inds": frames,
            "keypoint": rows, **more}  # fmt: skip


@pytest.mark.parametrize(
    "item",
    [compressed([1, 2, 1, 3]), compressed([12, 1, 11, 2]), compressed([2, 1, 2], anno_inds=np.array([0, 2, 4]))],
    ids=["few", "more than ten", "chosen rows"],
)
def test_they_are_those_of_mmaction(tmp_path, item):
    pytest.importorskip("mmaction")
    from x3ddeploy.mmaction_compat import import_everything

    import_everything()
    from mmaction.datasets.transforms import DecompressPose

    theirs = DecompressPose().transform(dict(item))
    path = write_annotations(tmp_path / "a.pkl", [item], {"val": ["a"]})
    (sample,) = read_annotations(path).split("val")
    assert (sample.frames, sample.squeezed) == (theirs["total_frames"], True)
    np.testing.assert_array_equal(sample.keypoints, theirs["keypoint"])
    np.testing.assert_array_equal(sample.scores, theirs["keypoint_score"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frame_inds": np.array([3, 2, 1, 0])}, "do not ascend"),
        ({"frame_inds": np.array([0, 1])}, "the frame of each"),
        ({"frame_inds": np.zeros(4)}, "the frame of each"),
        ({"keypoint": np.zeros((4, 17, 2), np.float16)}, "x, y and score"),
        ({"anno_inds": np.array([9])}, "anno_inds"),
        ({"anno_inds": np.array([0.5])}, "no rows"),
    ],
)
def test_another_form_is_refused(tmp_path, change, said):
    item = {**compressed([1, 1, 1, 1]), **change}
    with pytest.raises(ValueError, match=said):
        decompressed(item)
    with pytest.raises(DataError, match="1 of 1 annotations"):
        read_annotations(write_annotations(tmp_path / "a.pkl", [item], {"val": ["a"]}))
