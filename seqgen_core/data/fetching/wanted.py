"""What a run is asked for: addresses, lists and named data sets, each address once, with its split."""

from dataclasses import dataclass, replace

from seqgen_core.data.catalog import find_dataset
from seqgen_core.data.fetching.lists import read_list_file
from seqgen_core.data.fetching.sources import Split
from seqgen_core.errors import UsageError
from seqgen_core.progress import Progress
from seqgen_core.settings.download import DownloadSettings


@dataclass(frozen=True)
class Item:
    """One address to fetch. depth: how many lists it was found through."""

    url: str
    split: Split | None = None
    title: str | None = None
    listed_in: str | None = None
    depth: int = 0


def gather(settings: DownloadSettings, progress: Progress) -> list[Item]:
    """The items asked for, each address once; one that is for the test as well is for the test only."""
    train: Split | None = "train" if settings.test_lists else None
    wanted = [Item(url.strip()) for url in settings.urls if url.strip()]
    for path in settings.lists:
        wanted += [Item(entry.url, train, entry.title, str(path)) for entry in read_list_file(path)]
    for path in settings.test_lists:
        wanted += [Item(entry.url, "test", entry.title, str(path)) for entry in read_list_file(path)]
    if settings.dataset is not None:
        dataset = find_dataset(settings.dataset)
        for split in ("train", "test"):
            wanted += [Item(url, split, listed_in=dataset.name) for url in dataset.addresses(split)]
    if not wanted:
        raise UsageError(
            "There is nothing to download.",
            "Give addresses, --list FILE or --dataset NAME, or name them under [download] in seqgen.toml.",
            "For example: `seqgen download --dataset sequnet-piano`.",
        )
    items: dict[str, Item] = {}
    for item in wanted:
        merge(items, item, progress)
    return list(items.values())


def merge(items: dict[str, Item], item: Item, progress: Progress) -> bool:
    """Add an item unless its address is known; True where it is new. A test item makes the known one a test item."""
    known = items.get(item.url)
    if known is None:
        items[item.url] = item
        return True
    if {known.split, item.split} == {"train", "test"}:
        progress.warn(f"{item.url} stands in the train list and in the test list; it is used for the test only")
    if "test" in (known.split, item.split):
        items[item.url] = replace(known, split="test")
    elif known.split is None:
        items[item.url] = replace(known, split=item.split)
    return False
