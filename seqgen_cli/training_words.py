"""What `seqgen train` says of a training before it begins and once it has ended."""

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
    prolong = "" if stopped else " --steps N"
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
            ("draw", f"seqgen generate {run.path} --conditional{newest}"),
            ("go on", f"seqgen train --resume {run.path}{prolong}"),
        ],
    )
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
