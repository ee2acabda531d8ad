"""Settings of the report: what the page shows, and how much of it is made for the page."""

from pathlib import Path

from pydantic import Field

from seqgen_core.settings.base import Settings
from seqgen_core.settings.durations import Duration
from seqgen_core.settings.train import DEVICE_PATTERN


class ReportSettings(Settings):
    """How a page about runs is made."""

    out: Path = Path("report.html")
    """The page; a page of ours that stands there is replaced, anything else is not."""
    title: str | None = None
    """Heading of the page; without it one that names the models and their data."""
    draw: bool = True
    """Draw clips where a run has none that continue real excerpts, or none from nothing."""
    count: int = Field(3, ge=1, le=100)
    """Clips of each sort that are shown, and drawn where there are none; of images, four times as many."""
    seconds: Duration = Field(3.0, gt=0)
    """Length of the clips of sound that are drawn for the page."""
    evaluate: bool = False
    """Score the whole test split of each run as well, which may take minutes."""
    seed: int = Field(0, ge=0)
    """Seed of what is drawn, and of which real excerpts are shown."""
    device: str = Field("auto", pattern=DEVICE_PATTERN)
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 leaves a core free."""
