"""Settings of training: what is read, how the weights move, what is measured and kept."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from seqgen_core.settings.automatic import AUTO, AutomaticCount, AutomaticRate
from seqgen_core.settings.base import Settings
from seqgen_core.settings.durations import Duration

Device = str
"""auto, cpu, cuda, cuda:N or mps."""
DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:\d+)?)$"
AUTOMATIC = ("batch_size", "learning_rate")
"""Settings that can be AUTO; those of a run never are."""


class TrainSettings(Settings):
    """How a model is trained."""

    data: Path = Path("data/prepared")
    """Prepared data folder to train on."""
    runs: Path = Path("runs")
    """Folder in which new runs are made, as <time>-<model>."""
    steps: int | None = Field(None, ge=1)
    """Stop after this many steps in all."""
    epochs: float | None = Field(None, gt=0)
    """Stop after this many passes over the training data."""
    max_time: Duration | None = Field(None, gt=0)
    """Stop after this much time in all, validations included but for the last: seconds, or 90s, 10m, 1h30m."""
    batch_size: AutomaticCount = 8
    """Windows per step, on all devices together; auto tries how many fit in memory and still make it faster."""
    accumulate: int = Field(1, ge=1)
    """Parts in which each device computes its share of a batch, one after another: less memory, the same gradient."""
    window: int = Field(8192, ge=1)
    """Tokens scored in each window; models of images take whole images."""
    context: int | None = Field(None, ge=0)
    """Tokens given before each window, not scored; without it the whole receptive field. Not used with carry."""
    carry: bool | None = None
    """Carry the state from window to window of a recording (truncated back-propagation); unset: recurrent models do."""
    learning_rate: AutomaticRate = 1e-3
    """Adam's step size after the warm-up; auto finds it by a range test over up to 100 steps."""
    warmup_steps: int = Field(50, ge=0)
    """Steps over which the learning rate rises from zero."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """Course of the learning rate after the warm-up, over whichever of steps, epochs and max_time ends first."""
    final_learning_rate: float = Field(0.05, ge=0, le=1)
    """Where cosine and linear schedules end, as a share of learning_rate."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Adam's decay of the mean gradient."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Adam's decay of the squared gradient."""
    epsilon: float = Field(1e-8, gt=0)
    """Adam's term that keeps its division finite."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay per step and unit of learning rate."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Longest gradient in the L2 norm; longer ones are shortened. 'none' turns it off."""
    ema: float = Field(0.999, ge=0, lt=1)
    """Decay of the moving average of the weights that evaluation and generation use; 0 keeps none."""
    validate_every: int = Field(500, ge=1)
    """Steps between validations, each of which also writes a checkpoint."""
    save_every: Duration = Field(300.0, gt=0)
    """Longest training time between checkpoints: seconds, or 90s, 10m; what a power cut can cost."""
    validate_tokens: int = Field(500_000, ge=0)
    """Most tokens scored per validation: whole recordings, the last of them cut; 0 scores the whole split."""
    patience: int | None = Field(None, ge=1)
    """Stop early after this many validations in a row without a better one."""
    keep: int = Field(1, ge=0)
    """Older checkpoints kept besides the best and the last; one at least, to go back to where the last is damaged."""
    sample_every: int = Field(0, ge=0)
    """Steps between drawing samples during training; 0 draws them with each validation's new best."""
    sample_count: int = Field(1, ge=0)
    """Samples drawn each time; 0 draws none."""
    sample_length: Duration = Field(1.0, gt=0)
    """Length of such a sample in seconds of sound or notes; texts have 200 tokens, images are whole."""
    log_every: int = Field(10, ge=1)
    """Steps between lines in metrics.jsonl."""
    tensorboard: bool = True
    """Write TensorBoard events into the run."""
    stats: bool = False
    """Also log norms and histograms of weights and gradients at each validation."""
    device: str = Field("auto", pattern=DEVICE_PATTERN)
    """auto, cpu, cuda, cuda:N or mps."""
    devices: int = Field(1, ge=1)
    """Devices of this machine to train on together, a process for each; torchrun says it for several machines."""
    shard: bool = False
    """Cut weights, gradients and the optimiser's tensors over the devices (FSDP2), for models too large for one."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Arithmetic of products: fp32; bf16, with weights kept in fp32; or tf32 on CUDA."""
    compile: bool = False
    """Compile the training step by torch.compile, which takes a minute; for GPUs."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 takes one for each core but one, since a core that is busy otherwise holds all of them up."""
    seed: int = Field(0, ge=0)
    """Seed of the initial weights, the windows and their order."""

    def settled(self, like: "TrainSettings") -> "TrainSettings":
        """These settings with those of others where they are auto."""
        automatic = {name: getattr(like, name) for name in AUTOMATIC if getattr(self, name) == AUTO}
        return self.model_copy(update=automatic)
