"""docs/adding-a-model.md and adding-a-codec.md, done as they say: laws hold for what they add, and commands take it."""

from pathlib import Path

from laid_over import lay_over, passed

TESTS = (
    *("fed.py", "tiny.py", "test_laws.py", "test_engine_laws.py", "test_matrix.py", "test_docs.py"),
    "audio/test_codec.py",
)
MODEL = "(ngram and (test_law_ or mu-law or piano-roll) and not samplernn) or NgramSettings"
CODEC = "(test_codec and (every_code or ends or half_a_step or silence)) or (square-root and ngram)"


def test_the_added_model_and_codec_keep_the_laws_and_go_the_whole_road(tmp_path: Path, shared_data: Path) -> None:
    lay_over(tmp_path, "adding-a-model.md", TESTS)
    lay_over(tmp_path, "adding-a-codec.md", TESTS)
    # five laws, one of them twice; an engine's; the settings' sentences; the codec's laws, and of each the roads
    assert passed(tmp_path, f"{MODEL} or {CODEC}", shared_data) >= 9 + 42
