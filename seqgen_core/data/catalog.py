"""Data sets that are known by name: the addresses are facts about a publication, the sound stays with its owners."""

from dataclasses import dataclass
from importlib import resources

from seqgen_core.errors import UsageError

LISTS = "seqgen_core.data"


@dataclass(frozen=True)
class Dataset:
    """A named data set whose recordings lie elsewhere.

    splits: for each split ("train", "test"), the name of a list of addresses in the package's folder `lists`.
    """

    name: str
    description: str
    licence: str
    splits: dict[str, str]

    def addresses(self, split: str) -> list[str]:
        """The addresses of one split, one recording each, in the order of publication."""
        text = resources.files(LISTS).joinpath("lists", self.splits[split]).read_text(encoding="utf-8")
        return [line.strip() for line in text.splitlines() if line.strip()]


CATALOG = {
    dataset.name: dataset
    for dataset in [
        Dataset(
            name="sequnet-piano",
            description="Piano music on YouTube, from the Seq-U-Net paper (Stoller et al. 2019, arXiv:1911.06393).",
            licence="The list is from the paper's repository (MIT); each recording is under its uploader's own terms.",
            splits={"train": "sequnet_piano_train.txt", "test": "sequnet_piano_test.txt"},
        ),
    ]
}


def find_dataset(name: str) -> Dataset:
    """The data set of that name. Raises UsageError, naming those that there are."""
    if name not in CATALOG:
        raise UsageError(
            f"There is no data set {name!r}.",
            f"Data sets: {', '.join(CATALOG)}.",
            "`seqgen download --list-datasets` describes them.",
        )
    return CATALOG[name]
