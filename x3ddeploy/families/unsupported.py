"""What of MMAction2's has no family here, and why: by a class that the config builds."""

from __future__ import annotations

from collections.abc import Iterable

_TRANSFORMER = "a transformer of video: no family exports its attention and normalisation yet"
_DETECTOR = "a detector of actions in space and time: it takes boxes of persons beside the clip, and no family does"
_LOCALIZER = "a localizer of actions in time: it takes features of a whole video, not clips"
_OTHER_BACKBONE = "on a backbone of another package, whose classes are not built from a config's literals"

_WHY = {
    **dict.fromkeys(
        ("MViT", "SwinTransformer3D", "TimeSformer", "UniFormer", "UniFormerV2", "VisionTransformer"), _TRANSFORMER
    ),
    **dict.fromkeys(("FastRCNN", "AVARoIHead", "AVAFastRCNN"), _DETECTOR),
    **dict.fromkeys(("BMN", "TEM", "PEM", "DRN", "TCANet"), _LOCALIZER),
    "ActivityNetDataset": _LOCALIZER,  # BSN's proposals are made by a config that has data and no model
    "RecognizerAudio": "a recognizer of audio: spectrograms are no input of any family",
    "ResNetTIN": "TIN: its shift by learned offsets is an operator of mmcv's own, which mmcv-lite does not have",
    **dict.fromkeys(
        ("CLIPSimilarity", "VindLURetrieval", "VindLURetrievalMC", "VindLUVQA"), "a network of video and text"
    ),
}
_PACKAGES = ("mmcls.", "mmpretrain.", "mmdet.", "timm.", "torchvision.")


def why_not(classes: Iterable[str]) -> str | None:
    """Why a network of these classes (the recognizer's first) is of no family; None where that is not known here."""
    for name in classes:
        why = _WHY.get(name.removeprefix("mmaction."))
        if why is not None:
            return why
        if name.startswith(_PACKAGES):
            return f"{_OTHER_BACKBONE} ({name})"
    return None
