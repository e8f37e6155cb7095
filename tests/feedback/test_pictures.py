"""Pictures that leave the pages: files that need no other."""

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from feedback import pictures
from feedback.plots import Curve

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
LINES = st.lists(st.tuples(st.integers(0, 500), NUMBERS), max_size=10)
TITLES = st.text(max_size=20).map(lambda text: "".join(letter for letter in text if letter.isprintable()))


@given(st.lists(st.builds(Curve, TITLES, LINES, others=st.lists(LINES, max_size=2)), max_size=5))
def test_a_picture_is_well_formed_and_holds_every_curve_under_its_title(curves: list[Curve]) -> None:
    drawn = ElementTree.fromstring(pictures.curves(curves, ["<one>", "other"]))
    titles = [text.text or "" for text in drawn.iter(f"{SVG}text") if text.get("class") == "title"]
    assert titles == [one.title for one in curves]
    lines = [line.get("class") for line in drawn.iter(f"{SVG}polyline")]
    assert lines.count("curve") == sum(bool(one.points) for one in curves)
    assert len(lines) == sum(bool(line) for one in curves for line in (one.points, *one.others))


def test_a_picture_brings_every_colour_that_it_names_and_fetches_nothing() -> None:
    text = pictures.curves([Curve("Loss", [(1, 2.0), (2, 1.0)], level=2.0, others=[[(1, 1.5)]])])
    named, brought = set(re.findall(r"var\((--[\w-]+)\)", text)), set(re.findall(r"(--[\w-]+):", text))
    assert named
    assert named <= brought
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    shown = {part.get("class") for part in ElementTree.fromstring(text).iter()}
    assert {"curve", "curve other o0", "level", "grid", "ground"} <= shown
