"""The settings of a new run that are auto: found out before its folder is made."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqgen_core.progress import Progress
from seqgen_core.settings.automatic import AUTO
from seqgen_core.settings.presets import load_preset
from seqgen_core.settings.train import TrainSettings

if TYPE_CHECKING:
    from seqgen_core.runs import RunFolder
    from seqgen_core.settings.run import RunSettings
    from seqgen_core.training.distributed import Place
    from seqgen_core.training.range_test import RangeTest


@dataclass(frozen=True)
class Fitted:
    """A run's settings with numbers in place of auto, and the range test where there was one."""

    settings: "RunSettings"
    range_test: "RangeTest | None" = None

    def write_account(self, run: "RunFolder") -> None:
        """The range test's figures and picture, into the run's folder."""
        if self.range_test is None:
            return
        import json

        from seqgen_core.files import write_bytes_atomically, write_text_atomically
        from seqgen_core.training import range_plot

        used = self.settings.train.learning_rate
        account = {"used": used, **self.range_test.account()}
        write_text_atomically(run.path / "range-test.json", json.dumps(account, indent=1) + "\n")
        write_bytes_atomically(run.path / "range-test.png", range_plot.draw(self.range_test, used))


def fit(settings: "RunSettings", place: "Place | None", preset: str | None, progress: Progress) -> Fitted:
    """Find out what is auto: first the batch size, then the learning rate at that batch size.

    place: among the processes that torchrun started, else this program will start train.devices. preset: its learning
    rate, else the default one, is taken with a warning where a range test tells none.
    Raises SeqgenError and UsageError as fit_batch and range_test do, or where there are not so many devices.
    """
    training = settings.train
    if AUTO not in (training.batch_size, training.learning_rate):
        return Fitted(settings)

    from seqgen_core.training import fitting, range_test
    from seqgen_core.training.distributed import check_devices

    if place is None:
        check_devices(training.devices, training.device)
    devices = training.devices if place is None else place.size
    seconds = fitting.seconds_for(training.max_time)
    if training.batch_size == AUTO:
        size = fitting.fit_batch(settings, devices, devices if place is None else place.local_size, seconds, progress)
        settings = _with(settings, batch_size=size)
    if training.learning_rate != AUTO:
        return Fitted(settings)
    test = range_test.range_test(settings, devices, seconds, progress)
    rate = test.chosen
    if rate is None:
        preset_rate = load_preset(preset)["train"].get("learning_rate") if preset is not None else None
        rate = preset_rate or TrainSettings().learning_rate
        whose = f"that of {preset}" if preset_rate else "the default"
        progress.warn(f"{test.trouble} in the range test; learning rate {rate:g}, {whose}, is taken")
    else:
        progress.say(
            f"learning rate {rate:g}: a third of {test.lowest:.2g}, where the loss was lowest in a range test of"
            f" {len(test.rates)} steps ({test.seconds:.0f} s, range-test.png)"
        )
    return Fitted(_with(settings, learning_rate=rate), test)


def _with(settings: "RunSettings", **changes: float) -> "RunSettings":
    return settings.model_copy(update={"train": settings.train.model_copy(update=changes)})
