"""Clips of text: what is written reads as the tokens say."""

import numpy as np
import pytest

from seqgen_core.generation.rendering import renderer_for
from seqgen_core.settings.codec import TextCodecSettings

CHARACTERS = TextCodecSettings(vocabulary=("\n", " ", "a", "é"))
WORDS = TextCodecSettings(kind="words", vocabulary=("<eos>", "the", "cat"))


@pytest.mark.parametrize(
    ("settings", "tokens", "text"),
    [(CHARACTERS, [2, 3, 0, 0, 1, 2], "aé\n\n a"), (WORDS, [0, 1, 2, 0, 1], "\nthe cat\nthe")],
)
def test_the_file_holds_the_text(tmp_path, settings, tokens, text):
    renderer = renderer_for(settings)
    assert renderer.write(np.array(tokens), tmp_path / "clip-000.1") == {"text": "clip-000.1.txt"}
    assert (tmp_path / "clip-000.1.txt").read_bytes() == text.encode()
    shown = renderer.preview(np.array(tokens), "clip-0")
    assert (shown.name, shown.kind, shown.value) == ("clip-0", "text", text)


def test_the_sheet_has_the_beginning_on_one_line(tmp_path):
    renderer = renderer_for(CHARACTERS)
    assert renderer.measures(np.array([2, 3, 0, 0, 1, 2])) == {"beginning": "aé a"}
    beginning = renderer.measures(np.full(100, 2))["beginning"]
    assert beginning == "a" * 59 + "…"
    assert renderer.finish(tmp_path, [np.array([2])]) == {}
    assert not list(tmp_path.iterdir())
