"""The cuda engine: a step program laid out over all multiprocessors of a GPU, and blocks of tokens drawn by one launch.

Axes: B clips, N tokens of a block, F features.
"""

import numpy as np
import torch
from torch import Tensor

from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.generation.engines.cuda.layout import lay_out
from seqgen_core.generation.engines.cuda.machine import Gpu, Machine, problem
from seqgen_core.generation.engines.cuda.source import Control, HeadKind, Job, Variant
from seqgen_core.generation.engines.cuda.tables import FORMS, Op
from seqgen_core.generation.sampling import Filters
from seqgen_core.models.heads import BernoulliHead, LogisticMixtureHead
from seqgen_core.models.heads.mixture import LOOSEST_LOG_SCALE
from seqgen_core.models.steps.program import Start, StepProgram, begin_slot
from seqgen_core.models.tokens import NOTHING

BLOCK = 4096
"""Tokens of a clip that one launch draws, at most."""
HEARD_NUMBERS = 2**24
"""Outputs that gather on the device before they are copied, at most, where given tokens are scored."""


class CudaEngine:
    """Steps and samples B clips of one program at once, in one kernel on a CUDA device.

    weights: fp32 (exact) or bf16. machine: where the kernel runs, in place of the device.
    Raises UsageError where there is no such device or no such weights, SeqgenError where the program does not fit.
    Not measured on a GPU yet.
    """

    name = "cuda"

    def __init__(
        self,
        program: StepProgram,
        clips: int,
        filters: Filters,
        device: torch.device | None = None,
        *,
        weights: str = "fp32",
        machine: Machine | None = None,
    ) -> None:
        if weights not in FORMS:
            raise UsageError(f"The cuda engine has no {weights} weights.", f"One of {', '.join(FORMS)}.")
        if machine is None:
            found = problem() if device is None or device.type == "cuda" else f"the device is {device}"
            if found is not None:
                raise UsageError(
                    f"The cuda engine does not work here: {found}.", hint="--engine auto takes what works."
                )
            machine = Gpu(device or torch.device("cuda"))
        self.program, self.clips, self._device = program, clips, machine.device
        head, spec = program.head, program.tokens
        kind, mixtures, weighed = HeadKind.CATEGORICAL, 0, head.size
        filtered = filters.temperature != 0 and (filters.top_k > 0 or filters.top_p < 1)
        if isinstance(head, BernoulliHead):
            kind = HeadKind.BERNOULLI
        elif isinstance(head, LogisticMixtureHead):
            kind, mixtures = HeadKind.MIXTURE, head.mixtures
            weighed = spec.values if filtered else mixtures
        work = 8 * weighed + (12 * (1 << (weighed - 1).bit_length()) if filtered else 0)
        self.layout = lay_out(program, clips, machine.grid, weights, work)
        layout, places = self.layout, self.layout.places
        vectors = np.unique(layout.operations[:, :, Op.VECTORS])
        self._kernel = machine.load(Variant(FORMS[weights], kind, tuple(vectors[vectors > 0].tolist())))

        self._most = {"draw": BLOCK, "score": max(1, min(BLOCK, HEARD_NUMBERS // (clips * head.size)))}
        self._places = max(1, int(np.prod(spec.shape)))
        self._tensors = {
            "operations": self._put(layout.operations),
            "tables": self._put(layout.tables),
            "set_of": self._put(layout.set_of),
            "weights": self._put(layout.weights),
            "chunks": self._put(layout.chunks),
            "residents": self._put(layout.residents),
            "store": self._zeros(layout.values, torch.float32),
            "positions": self._zeros(len(layout.order), torch.int32),
            "codes": self._zeros(clips * program.taps * self._places, torch.int32),
            "control": self._zeros(Control.SIZE, torch.int32),
        }
        work_bytes = -(-work // 16) * 16
        if work > places["exchange_at"] - places["inputs_at"]:
            self._tensors["work"] = self._zeros(clips * work_bytes, torch.uint8)
        self._job = Job(
            clips=clips,
            period=layout.period,
            taps=program.taps,
            places=self._places,
            features=program.features,
            draws=head.draws,
            outputs=layout.order.index(program.outputs),
            slot_count=len(layout.order),
            form=FORMS[weights],
            input_numbers=layout.input_numbers,
            weighed=weighed,
            work_bytes=work_bytes,
            head=kind,
            size=head.size,
            values=spec.values,
            mixtures=mixtures,
            top_k=filters.top_k,
            temperature=filters.temperature,
            top_p=filters.top_p,
            least_log_scale=head.least_log_scale if isinstance(head, LogisticMixtureHead) else 0.0,
            loosest_log_scale=LOOSEST_LOG_SCALE,
            **places,
            **self._pointers(self._tensors),
        )

    def begin(self, start: Start, outputs: Tensor) -> None:
        """Take over after a prime: its state, and the outputs (B, head.size) that predict the next token."""
        program, layout, clips = self.program, self.layout, self.clips
        store = torch.zeros(layout.values)
        for slot, (place, stride, kept, channels) in zip(layout.order, layout.slots.tolist(), strict=True):
            values = begin_slot(slot, kept, start, clips)  # (B, kept, C)
            if slot is program.outputs:
                values[:, -1] = outputs.detach().to("cpu", torch.float32)
            store[place : place + clips * kept * stride].view(clips, kept, stride)[:, :, :channels] = values
        codes = torch.full((clips, program.taps, self._places), NOTHING, dtype=torch.int32)
        if program.codes is not None:
            before = program.codes(start)[:, -program.taps :].cpu()
            codes[:, program.taps - before.shape[1] :] = before.reshape(*before.shape[:2], -1)
        self._tensors["store"].copy_(store)
        self._tensors["codes"].copy_(codes.flatten())
        self._tensors["positions"].copy_(torch.from_numpy(layout.slots[:, 2] - 1))
        self._job.phase = program.clock(start) % layout.period
        self._job.newest_code, self._job.pending = program.taps - 1, 0

    def draw(self, uniforms: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw N tokens of every clip by uniforms float64 (B, N, draws): int64 (B, N, *shape), and bits (B, N).

        told: features float32 (B, N, F) of these steps; those of step n tell of the token drawn at step n.
        Raises SeqgenError where outputs are not finite.
        """
        return self._run("draw", np.asarray(uniforms, np.float64), told)[:2]

    def score(self, forced: np.ndarray, told: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Hear given tokens int64 (B, N, *shape): outputs float32 (B, N, head.size) that predicted them; bits (B, N).

        told: as for `draw`. Raises SeqgenError where outputs are not finite.
        """
        _, bits, heard = self._run("score", np.asarray(forced, np.int32), told)
        return heard, bits

    def _run(self, mode: str, given: np.ndarray, told: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """given: the uniforms, or the tokens to hear. Returns tokens, bits and, when scoring, outputs."""
        size = self.program.head.size
        pieces: list[list[np.ndarray]] = [[], [], []]
        for first in range(0, given.shape[1], self._most[mode]):
            block = slice(first, first + self._most[mode])
            steps = given[:, block].shape[1]
            tensors = {
                "uniforms" if mode == "draw" else "forced": self._put(given[:, block]),
                "tokens": self._zeros(self.clips * steps * self._places, torch.int32),
                "bits": self._zeros(self.clips * steps, torch.float64),
            }
            if mode == "score":
                tensors["heard"] = self._zeros(self.clips * steps * size, torch.float32)
            if told is not None:
                tensors["told"] = self._put(np.asarray(told[:, block], np.float32))
            self._launch(steps, tensors)
            pieces[0].append(tensors["tokens"].cpu().numpy().reshape(self.clips, steps, self._places))
            pieces[1].append(tensors["bits"].cpu().numpy().reshape(self.clips, steps))
            heard = tensors["heard"].cpu().numpy() if mode == "score" else np.zeros(0, np.float32)
            pieces[2].append(heard.reshape(self.clips, -1, size))
        tokens, bits, heard = (np.concatenate(gathered, axis=1) for gathered in pieces)
        if int(self._tensors["control"][Control.SPOILT]):
            raise SeqgenError("The model's outputs are not finite.", hint="Take an earlier checkpoint.")
        return tokens.astype(np.int64).reshape(*tokens.shape[:2], *self.program.tokens.shape), bits, heard

    def _launch(self, steps: int, tensors: dict[str, Tensor]) -> None:
        job, taps = self._job, self.program.taps
        for name in ("uniforms", "forced", "tokens", "bits", "heard", "told"):
            setattr(job, name, tensors[name].data_ptr() if name in tensors else None)
        job.steps = steps
        self._tensors["control"].zero_()
        self._kernel(job)
        job.phase = (job.phase + steps - (not job.pending)) % self.layout.period
        job.newest_code = (job.newest_code + steps) % taps
        job.pending = 1

    def _put(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self._device)

    def _zeros(self, count: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(count, dtype=dtype, device=self._device)

    @staticmethod
    def _pointers(tensors: dict[str, Tensor]) -> dict[str, int]:
        return {name: tensor.data_ptr() for name, tensor in tensors.items()}
