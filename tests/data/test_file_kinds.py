"""Files that are none, that never end, or that name others: told at once, whoever reads them."""

import os
from pathlib import Path

import numpy as np
import pytest
from support.action_data import annotation, moving_picture, write_annotations, write_video

from x3ddeploy.data.annotations import read_annotations
from x3ddeploy.data.arrays import read_arrays
from x3ddeploy.data.sources import open_source
from x3ddeploy.data.video import probe, read_frames
from x3ddeploy.errors import DataError
from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS
from x3ddeploy.prediction.coco_keypoints import read_coco_keypoints
from x3ddeploy.prediction.keypoints import read_npz_keypoints
from x3ddeploy.prediction.pickled_keypoints import PickledKeypoints

READERS = [probe, read_annotations, PickledKeypoints.read, read_npz_keypoints, read_coco_keypoints,
           lambda path: read_arrays(path, 1 << 20)]  # fmt: skip

CONTRACT = two_stream_contract(PRESETS["tiny"], (1, 1), None, {})


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_pipes_and_devices_are_not_waited_for(tmp_path, reader, kind):
    path = tmp_path / "x"
    {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
    }[kind]()
    with pytest.raises(DataError, match=f"{path}"):
        reader(path)


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mp4\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile 'clip.mp4'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 X/1\n",
    "mpd": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1"><BaseURL>clip.mp4</BaseURL></Representation></AdaptationSet></Period>'
    "</MPD>",
}


@pytest.mark.parametrize("suffix", ["mp4", None])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_is_no_video(tmp_path, kind, suffix):
    write_video(tmp_path / "clip.mp4", moving_picture(8))
    path = tmp_path / f"list.{suffix or kind}"
    path.write_text(PLAYLISTS[kind])
    with pytest.raises(DataError, match=r"list\."):
        probe(path)


def test_a_name_that_looks_like_an_address_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "plain.mp4", moving_picture(8))
    Path("plain.mp4").rename("concat:a|b")
    assert probe(Path("concat:a|b")).frames == 8


def test_a_video_whose_frames_change_their_size_is_told(tmp_path):
    """Two raw MPEG-2 streams one after the other are one stream that changes."""
    parts = [write_video(tmp_path / f"{height}.mpg", moving_picture(12, height, 128), codec="mpeg2video")
             for height in (96, 64)]  # fmt: skip
    path = tmp_path / "both.mpg"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(DataError, match=r"both\.mpg"):
        read_frames(path, range(20))


@pytest.mark.parametrize("claim", [10**9, 20_000_000])
def test_a_video_that_claims_frames_that_it_does_not_hold_is_told(tmp_path, claim):
    data = bytearray(write_video(tmp_path / "a.mp4", moving_picture(8)).read_bytes())
    place = data.index(b"stsz") + 8
    data[place : place + 8] = (100).to_bytes(4, "big") + claim.to_bytes(4, "big")
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.mp4"):
        probe(tmp_path / "a.mp4")


def test_annotations_do_not_lead_out_of_the_videos_by_a_link(tmp_path):
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "secret.mp4", moving_picture())
    (tmp_path / "videos" / "clip.mp4").symlink_to(tmp_path / "secret.mp4")
    write_annotations(tmp_path / "annotations.pkl", [annotation("clip")], {"val": ["clip"]})
    with pytest.raises(DataError, match="leads out of the folder"):
        open_source(tmp_path, CONTRACT).load(0)
    assert np.isfinite(open_source(tmp_path, CONTRACT, videos=_copied(tmp_path)).load(0).inputs["imgs"]).all()


def _copied(folder):
    (folder / "real").mkdir()
    (folder / "real" / "clip.mp4").write_bytes((folder / "secret.mp4").read_bytes())
    (folder / "link").symlink_to(folder / "real")
    return folder / "link"
