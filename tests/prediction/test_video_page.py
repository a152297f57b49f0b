"""A video's page: what it shows is what was predicted, it loads the video alone, and names from files stay text."""

import base64
import hashlib
import html.parser
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from x3ddeploy.data.annotations import Annotation
from x3ddeploy.data.people import People
from x3ddeploy.data.video import VideoInfo
from x3ddeploy.prediction.overlay import nearest_window
from x3ddeploy.prediction.page import address, page_data, render_page, write_page
from x3ddeploy.prediction.predict import OpenedVideo, Prediction
from x3ddeploy.prediction.windows import Window, sliding_windows

FRAMES, HEIGHT, WIDTH = 20, 60, 80
EVIL = "</script><script>alert(1)</script><!--\u2028\u202e\x1b[31m'\"&"
NAMES = ["sit", "stand", EVIL, "wave", *[f"class {index}" for index in range(4, 12)]]


def opened(name="clip.mp4", fps=Fraction(10), persons=2):
    """Each joint of a person in a place of its own; the first person's last joint is lost, at a score of 0.1."""
    grid = np.arange(persons * FRAMES * 17, dtype=np.float32).reshape(persons, FRAMES, 17, 1)
    positions = np.concatenate([1 + grid % (WIDTH - 2), 1 + grid % (HEIGHT - 2)], -1)
    scores = np.ones(positions.shape[:3], np.float32)
    scores[0, :, 16] = 0.1
    annotation = Annotation("k", 0, (HEIGHT, WIDTH), FRAMES, positions, scores)
    return OpenedVideo(Path(name), VideoInfo(FRAMES, HEIGHT, WIDTH, fps), annotation)


def predictions(video, winners, length=8, stride=4, person=None, notes=()):
    """One a window, won by a class at 0.6; -1 where nobody was seen."""
    made = []
    for window, winner in zip(sliding_windows(FRAMES, length, stride), winners, strict=True):
        scores = np.full(len(NAMES), 0.4 / (len(NAMES) - 1))
        scores[winner] = 0.6
        people = People(0 if winner < 0 else 8, 8, seen=winner >= 0)
        made.append(Prediction(video.path, window, video.info.fps, people, notes, {"all": scores}, NAMES, person))
    return made


class Page(html.parser.HTMLParser):
    """What a browser finds in the page: tags, scripts and styles, the text beside them, and addresses."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.policy, self.inside = [], [], "", None
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        assert not [name for name in found if name.startswith("on") or name == "style"]
        self.addresses += [found[name] for name in ("src", "href", "srcset", "poster", "data") if name in found]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]
        self.inside = tag
        if tag in self.blocks:
            self.blocks[tag].append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside in self.blocks:
            self.blocks[self.inside][-1] += data
        else:
            self.text += data


@pytest.fixture(scope="module")
def evil_page():
    video = opened(f"{EVIL}.mp4".replace("/", "|"))
    made = predictions(video, [0, 2, 2, 1], notes=(EVIL,))
    return render_page(video, made, "a%20b.mp4"), made


def test_it_loads_the_video_alone_and_its_policy_says_so(evil_page):
    page = Page(evil_page[0])
    assert page.addresses == ["a%20b.mp4"]
    assert page.tags.count("video") == 1
    assert not {"link", "img", "iframe", "object", "base"} & set(page.tags)
    (style,) = page.blocks["style"]
    assert not re.search(r"@import|url\(", style)
    assert "default-src 'none'" in page.policy
    assert "unsafe" not in page.policy
    for kind, text in (("script", page.blocks["script"][1]), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page.policy


def test_names_from_files_are_text_and_no_markup(evil_page):
    text, made = evil_page
    page = Page(text)
    assert len(page.blocks["script"]) == 2
    assert "alert" not in page.blocks["script"][1]
    assert json.loads(page.blocks["script"][0]) == json.loads(json.dumps(page_data(opened(), made)))
    assert "<" not in page.blocks["script"][0]
    assert page.text.count("alert(1)") >= 4  # the title, the heading, the note, the rows of the table
    assert not set(text + "".join(json.loads(page.blocks["script"][0])["names"])) & set("\x1b\u202e\u2028")


def test_the_script_takes_no_markup_from_the_data(evil_page):
    script = Page(evil_page[0]).blocks["script"][1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)


def test_it_has_light_and_dark_colours_a_narrow_form_and_roles(evil_page):
    text, _ = evil_page
    assert "prefers-color-scheme: dark" in text
    assert "max-width: 620px" in text
    used = set(re.findall(r"var\((--(?!tone)\w+)", text))
    light, dark = (set(re.findall(r"(--\w+):", block)) for block in re.findall(r":root \{(.*?)\n *\}", text, re.DOTALL))
    assert used <= light
    assert light == dark
    assert re.search(r'id="plot" role="slider" tabindex="0" aria-label', text)
    # What the script looks for is there.
    for name in set(re.findall(r'\bat\("(\w+)"\)', text)):
        assert text.count(f'id="{name}"') == 1, name


def test_windows_hold_the_scores_of_the_curves_and_a_row_is_a_person():
    video = opened()
    made = [*predictions(video, [0, 0, 1, 3], person=0), *predictions(video, [1, 1, 1, 0], person=1)]
    data = page_data(video, made)
    assert (data["frames"], data["fps"], data["curves"]) == (FRAMES, 10, 6)
    assert data["names"][:3] == ["stand", "sit", "wave"]  # won 4, 3 and 1 windows
    assert [row["person"] for row in data["rows"]] == [0, 1]
    first = data["rows"][0]["windows"]
    assert [entry[:4] for entry in first] == [[0, 8, 1, 0.6], [4, 12, 1, 0.6], [8, 16, 0, 0.6], [12, 20, 2, 0.6]]
    assert first[0][4] == [0.0364, 0.6, *[0.0364] * 4]


def test_a_class_beyond_the_curves_that_wins_a_window_still_has_its_name():
    video = opened()
    made = predictions(video, [*range(10)], length=2, stride=2)
    data = page_data(video, made)
    shown = [data["names"][entry[2]] for entry in data["rows"][0]["windows"]]
    assert shown[0] == "sit"
    assert shown[3:] == NAMES[3:10]
    assert data["curves"] == 6


@pytest.mark.parametrize("person", [None, 1])
@pytest.mark.parametrize(("length", "stride"), [(8, 3), (8, 4), (5, 2), (3, 6), (None, None), (1, 1)])
def test_each_frame_shows_the_window_that_an_annotated_video_shows(length, stride, person):
    video = opened()
    made = predictions(video, [0] * len(sliding_windows(FRAMES, length, stride)), length, stride, person)
    made = [entry for number, entry in enumerate(made) if person is None or number != 1 or len(made) == 1]
    (row,) = page_data(video, made)["rows"]
    for frame in range(FRAMES):
        expected = nearest_window(made, frame)
        found = [made[number] for start, end, number in row["spans"] if start <= frame < end]
        assert found == ([] if expected is None else [expected]), frame


def test_where_nobody_was_seen_there_is_no_class():
    video = opened()
    data = page_data(video, predictions(video, [0, -1, 0, 0]))
    assert data["rows"][0]["windows"][1] == [4, 12, -1, 0, []]
    assert data["curves"] == 6
    nobody = page_data(video, predictions(video, [-1] * 4))
    assert (nobody["names"], nobody["curves"]) == ([], 0)
    assert "no person" in Page(render_page(video, predictions(video, [-1] * 4), "v.mp4")).text
    assert page_data(video, [])["rows"] == []


def test_joints_are_where_the_keypoints_are_and_lost_ones_are_not():
    video = opened()
    packed = page_data(video, predictions(video, [0] * 4))["skeletons"]
    joints = np.frombuffer(base64.b64decode(packed["data"]), "<i2").reshape(FRAMES, 2, 17, 2)
    positions = video.annotation.keypoints.transpose(1, 0, 2, 3)
    assert (joints[:, 0, 16] == -(2**15)).all()
    found = joints / 10_000 * (WIDTH, HEIGHT) - 0.5
    np.testing.assert_allclose(found[:, :, :16], positions[:, :, :16], atol=0.005)
    assert len(packed["limbs"]) == 16
    far = replace(video.annotation, keypoints=video.annotation.keypoints * 1e9)
    data = page_data(replace(video, annotation=far), predictions(video, [0] * 4))
    assert np.frombuffer(base64.b64decode(data["skeletons"]["data"]), "<i2").max() == 2**15 - 1


def test_a_video_without_keypoints_or_a_frame_rate_has_a_page():
    video = replace(opened(fps=None), annotation=None)
    data = page_data(video, predictions(video, [0] * 4))
    assert (data["fps"], data["skeletons"]) == (None, None)
    assert "0-7" in Page(render_page(video, predictions(video, [0] * 4), "v.mp4")).text


@pytest.mark.parametrize("name", ["a b.mp4", "a:b#1?x=%41.mp4", "q\"uo'te.mp4", "\u00e4.mp4"])
def test_the_video_is_named_by_its_place(tmp_path, name):
    (tmp_path / "pages").mkdir()
    video = replace(opened(), path=tmp_path / "videos" / name)
    page = tmp_path / "pages" / "page.html"
    write_page(video, predictions(video, [0] * 4), page)
    (found,) = Page(page.read_text()).addresses
    assert not set(found) & set(":#?\"' <>")
    assert unquote(found) == f"../videos/{name}"
    assert address(tmp_path / "a:b.mp4", page.parent.parent / "page.html") == "a%3Ab.mp4"


def test_one_window_over_the_whole_video_is_one_span():
    video = opened()
    (row,) = page_data(video, predictions(video, [0], None, None))["rows"]
    assert row["spans"] == [[0, FRAMES, 0]]
    assert Window(*row["windows"][0][:2]) == Window(0, FRAMES)
