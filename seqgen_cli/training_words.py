"""What `seqgen train` says of a training before it begins and once it has ended."""

import math
import shlex
from typing import TYPE_CHECKING

from seqgen_cli.options import Shared

if TYPE_CHECKING:
    from seqgen_core.data.store import PreparedData
    from seqgen_core.runs import RunFolder
    from seqgen_core.training.loop import TrainReport


def opening_line(run: "RunFolder") -> str:
    """What is trained, and until when."""
    from seqgen_core.training.schedule import DEFAULT_STEPS

    limits, named = run.settings.train, []
    if limits.steps is not None:
        named.append(f"{limits.steps:,} steps")
    if limits.epochs is not None:
        named.append(f"{limits.epochs:g} epochs")
    if limits.max_time is not None:
        named.append(f"{limits.max_time:,.0f} s")
    until = " or ".join(named) or f"{DEFAULT_STEPS:,} steps (no limit was named)"
    means = [f"on {limits.devices} devices"] if limits.devices > 1 else []
    means += [f"in {limits.precision}"] if limits.precision != "fp32" else []
    how = " ".join(["training a", run.settings.model.kind, *means])
    return f"{run.path}: {how} until {until}; Ctrl-C stops and keeps the work"


def prolonging(run: "RunFolder") -> str:
    """The command that trains an ended run twice as long in all."""
    limit = run.settings.train.max_time
    if limit is not None:
        taken = run.account("last").get("elapsed", 0.0) if run.steps() else 0.0  # limits count from the start
        longer = f"--max-time {math.ceil(max(limit, taken) / 30)}m"
    else:
        longer = f"--steps {2 * max(1, run.status['step'])}"
    return f"seqgen train --resume {shlex.quote(str(run.path))} {longer}"


def show_report(shared: Shared, run: "RunFolder", data: "PreparedData", report: "TrainReport") -> None:
    """How training ended, for people and as JSON."""
    from seqgen_core.evaluation.likelihood import measures

    screen = shared.screen
    uniform, order0 = run.settings.tokens.uniform_bits, run.settings.data.order0_bits
    known = {"uniform": uniform, "order-0": order0}
    held_out = "not measured yet" if data.items("valid") else "not measured: the valid split is empty"
    if report.best_bits is not None:
        named = measures(run.settings.data.codec, report.best_bits)
        figures = ", ".join(f"{value:.4f} {name}" for name, value in named.items())
        held_out = f"{figures} at its best (step {report.best_step:,})"
    stopped = report.status == "interrupted"
    path = shlex.quote(str(run.path))
    # what was learnt since the last validation is in the last checkpoint alone
    newest = " --checkpoint last" if stopped and report.best_step != report.step else ""
    screen.table(
        "",
        ["", ""],
        [
            ("run", str(run.path)),
            ("ended", f"{report.status}: {report.reason}"),
            ("steps", f"{report.step:,} ({report.tokens:,} tokens scored in {report.seconds:.0f} s)"),
            ("held-out", held_out),
            ("yardsticks", ", ".join(f"{name} {bits:.4f}" for name, bits in known.items() if bits is not None)),
            ("draw", f"seqgen generate {path} --conditional{newest}"),
            ("go on", f"seqgen train --resume {path}" if stopped else prolonging(run)),
        ],
    )
    if report.best_bits is not None and order0 is not None and report.best_bits >= order0:
        screen.warn(f"{run.path} knows no more than the histogram (order-0): train longer; `seqgen doctor` says more")
    screen.result(
        {
            "run": run.path,
            "status": report.status,
            "reason": report.reason,
            "step": report.step,
            "seconds": report.seconds,
            "tokens": report.tokens,
            "valid_bits": report.valid_bits,
            "best_bits": report.best_bits,
            "best_step": report.best_step,
            "yardsticks": {"uniform": uniform, "order0": order0},
        }
    )
