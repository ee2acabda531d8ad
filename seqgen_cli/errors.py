"""From an exception to what a person reads: one line of cause, one of what was wanted, one of what to do."""

import contextlib
import errno
import json
import os
import time
from pathlib import Path

from seqgen_core.errors import SeqgenError, UsageError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def explain(error: BaseException) -> SeqgenError:
    """The same failure as a SeqgenError, whose exit_code the program ends with."""
    if isinstance(error, SeqgenError):
        return error
    if isinstance(error, BrokenPipeError):
        return SeqgenError("The reader of the output went away.")
    if isinstance(error, OSError):
        return _explain_os_error(error)
    if isinstance(error, MemoryError):
        return SeqgenError("Memory is used up.", hint="Lower batch_size or window.")
    if isinstance(error, ModuleNotFoundError):
        return SeqgenError(
            f"The Python package {error.name} is missing.", hint="Install seqgen again: `pip install -e .`"
        )
    summary = " ".join(str(error).split())[:300]
    return SeqgenError(
        f"Internal fault: {type(error).__name__}: {summary}",
        hint="Run the command again with --debug for the whole trace, and report it.",
    )


def _explain_os_error(error: OSError) -> SeqgenError:
    place = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        return SeqgenError(f"{place}no space is left on the disk.", hint="Free some space and run the command again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SeqgenError(f"{place}{reason}.", hint="Choose another folder or change its permissions.")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return UsageError(f"{place}{reason}.")
    return SeqgenError(f"{place}{reason}.")


def tell_torchrun(error: SeqgenError) -> None:
    """Leave the cause where torchrun looks for it: its own trace, which no process of it can prevent, then says it.

    The form is that of torch.distributed.elastic.multiprocessing.errors.
    """
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        told = "\n".join(line for line in (f"error: {error.got}", error.wanted, error.hint) if line)
        account = {"message": {"message": told, "extraInfo": {"timestamp": str(int(time.time()))}}}
        with contextlib.suppress(OSError):
            Path(file).write_text(json.dumps(account), encoding="utf-8")
