"""docs/adding-a-model.md and adding-a-codec.md, done as they say: laws hold for what they add, and commands take it."""

from pathlib import Path

from laid_over import lay_over, passed


def test_the_added_model_keeps_the_laws_and_goes_the_whole_road(tmp_path: Path, shared_data: Path) -> None:
    tests = ("fed.py", "tiny.py", "test_laws.py", "test_engine_laws.py", "test_matrix.py", "test_docs.py")
    lay_over(tmp_path, "adding-a-model.md", tests)
    wanted = "(ngram and (test_law_ or mu-law or piano-roll) and not samplernn) or NgramSettings"
    # five laws, one of them twice; an engine's; two roads; the sentences of the settings
    assert passed(tmp_path, wanted, shared_data) >= 9


def test_the_added_codec_keeps_its_laws_and_goes_the_whole_road(tmp_path: Path, shared_data: Path) -> None:
    lay_over(tmp_path, "adding-a-codec.md", ("tiny.py", "audio/test_codec.py", "test_matrix.py"))
    wanted = "test_codec and (every_code or ends or half_a_step or silence) or square-root and sequnet and not plain"
    assert passed(tmp_path, wanted, shared_data) >= 18
