"""The discretised mixture of logistics: a smooth density over ordered codes, integrated over each code's step.

Source: Salimans et al. 2017 (PixelCNN++, arXiv:1701.05517, section 2.1) for 8-bit colour; van den Oord et al. 2017
(Parallel WaveNet, arXiv:1711.10433, section 2.1) for 16-bit sound. Code c of V stands for 2c / (V - 1) - 1; the first
code's step reaches down to minus infinity and the last one's up to infinity, so the probabilities sum to one.
Changed: colours of a pixel depend on one another through the network, not through the means.
Axes: B batch, V codes, M logistics.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from seqgen_core.errors import ShapeError
from seqgen_core.models.heads.categorical import draw_from_weights

FINEST_STEPS = 0.1  # of one code: a narrower logistic puts everything on one code already
LOOSEST_LOG_SCALE = 10.0  # a wider logistic puts everything on the two ends already, and its density fades to nothing
CODES_AT_ONCE = 2**24  # numbers of a table over codes and logistics that is laid out at a time


class LogisticMixtureHead:
    """Outputs (..., 3 M): M unnormalised log-weights, then M means, then M logarithms of scales."""

    draws = 2

    def __init__(self, values: int, mixtures: int) -> None:
        self.values, self.mixtures = values, mixtures
        self.size = 3 * mixtures
        self.half_step = 1 / (values - 1)
        self.least_log_scale = math.log(FINEST_STEPS * 2 * self.half_step)

    @torch.no_grad()
    def begin(self, weight: Tensor, bias: Tensor | None) -> None:
        """Quiet weights; means spread over the middle of the range, each logistic about a seventh of it wide."""
        weight.mul_(0.1)
        if bias is not None:
            means = torch.linspace(-0.5, 0.5, self.mixtures + 2)[1:-1]
            bias.copy_(torch.cat([torch.zeros(self.mixtures), means, torch.full((self.mixtures,), -2.0)]))

    def bits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log2 p of targets int64 (...) under outputs (..., 3 M), in float32, or float64 where outputs are."""
        if outputs.shape[:-1] != targets.shape or outputs.shape[-1] != self.size:
            raise ShapeError(
                f"outputs {tuple(outputs.shape)} for targets {tuple(targets.shape)}; wanted {self.size} per target"
            )
        log_weights, means, log_scales = self._parts(outputs)
        return -self._log_probability(log_weights, means, log_scales, targets) / math.log(2)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Probability of every code (..., V)."""
        parts = [part[..., None, :] for part in self._parts(outputs)]
        codes = torch.arange(self.values, device=outputs.device)
        shape = (*outputs.shape[:-1], self.values)
        pieces = [
            self._log_probability(*parts, piece.expand(*outputs.shape[:-1], len(piece))).exp()
            for piece in codes.split(max(1, CODES_AT_ONCE * self.values // max(1, math.prod(shape) * self.mixtures)))
        ]
        return torch.cat(pieces, dim=-1)

    def mode(self, outputs: Tensor) -> Tensor:
        """The likeliest of the codes nearest to the means: where the density peaks, in almost all cases.

        The first and last code, which gather all that lies beyond them, count only where a mean is there: of a wide
        logistic over many codes they would be likelier than any other.
        """
        parts = [part[..., None, :] for part in self._parts(outputs)]
        codes = self._nearest(parts[1][..., 0, :])  # (..., M)
        best = self._log_probability(*parts, codes).argmax(dim=-1, keepdim=True)
        return codes.gather(-1, best)[..., 0]

    def sample(
        self, outputs: Tensor, uniforms: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
    ) -> Tensor:
        """A logistic by the first uniform, a place in it by the second, rounded to the nearest code; in float64.

        temperature divides the log-weights and multiplies the scales; 0 takes the mode. With top_k or top_p the
        probabilities of all codes are laid out and the first uniform picks one.
        Raises ShapeError where the shapes differ or, on the CPU, an output is not finite.
        """
        if outputs.dim() != 2 or outputs.shape[1] != self.size or uniforms.shape != (outputs.shape[0], 2):
            raise ShapeError(
                f"outputs {tuple(outputs.shape)} and uniforms {tuple(uniforms.shape)}; wanted (B, {self.size}), (B, 2)"
            )
        device = outputs.device
        if device.type == "mps":  # has no float64
            outputs, uniforms = outputs.cpu(), uniforms.cpu()
        if outputs.device.type == "cpu" and not bool(outputs.isfinite().all()):
            raise ShapeError(f"outputs {tuple(outputs.shape)} hold NaN or infinities; wanted finite numbers")
        if temperature == 0:
            return self.mode(outputs).to(device)
        uniforms = uniforms.double()
        log_weights, means, log_scales = self._parts(outputs.double())
        cooled = torch.cat([log_weights / temperature, means, log_scales + math.log(temperature)], dim=1)
        if top_k or top_p < 1:
            return draw_from_weights(self.probabilities(cooled), uniforms[:, 0], top_k, top_p).to(device)
        chosen = draw_from_weights((log_weights / temperature).softmax(dim=1), uniforms[:, 0])[:, None]
        mean, scale = means.gather(1, chosen)[:, 0], log_scales.gather(1, chosen)[:, 0].exp() * temperature
        place = uniforms[:, 1].clamp(1e-300, 1 - 2**-53)
        return self._nearest(mean + scale * (place.log() - torch.log1p(-place))).to(device)

    def _parts(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights that sum to one, means, log-scales: each (..., M)."""
        fine = outputs if outputs.dtype == torch.float64 else outputs.float()
        weights, means, log_scales = fine.split(self.mixtures, dim=-1)
        return weights.log_softmax(dim=-1), means, log_scales.clamp(self.least_log_scale, LOOSEST_LOG_SCALE)

    def _nearest(self, x: Tensor) -> Tensor:
        return ((x.double() + 1) / 2 * (self.values - 1)).add(0.5).floor().clamp(0, self.values - 1).long()

    def _log_probability(self, log_weights: Tensor, means: Tensor, log_scales: Tensor, codes: Tensor) -> Tensor:
        """Natural logarithm (...) of the probability of codes (...) under parts (..., M)."""
        # An integer until the end, so that float32 is fine about zero, where most of sound is.
        places = (2 * codes - (self.values - 1)).to(means.dtype) * self.half_step
        centred = places[..., None] - means  # (..., M)
        sharpness = torch.exp(-log_scales)
        above, below = (centred + self.half_step) * sharpness, (centred - self.half_step) * sharpness
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): no difference of nearly equal numbers
        inside = F.logsigmoid(above) + F.logsigmoid(-below)
        inside = inside + torch.log(-torch.expm1(-2 * self.half_step * sharpness))
        first, last = (codes == 0)[..., None], (codes == self.values - 1)[..., None]
        steps = torch.where(first, F.logsigmoid(above), torch.where(last, F.logsigmoid(-below), inside))
        return torch.logsumexp(log_weights + steps, dim=-1)
