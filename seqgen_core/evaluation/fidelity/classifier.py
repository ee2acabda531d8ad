"""A small classifier of clips, trained on the real training data, to ask whether drawn ones sound or look as labelled.

The classification accuracy score of Ravuri & Vinyals 2019 (arXiv:1905.10887) the other way round: there drawn clips
train and real ones test. One hidden layer on standardised features, with dropout, by AdamW. Axes: N clips, F features.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

HIDDEN = 256
DROPOUT = 0.3
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
BATCHES = (64, 256)  # for little and for much data
MOST_STEPS = 2000  # a few seconds
EPOCHS = 60


class Classifier:
    """Trained when it is built, on features (N, F) and labels (N,) in [0, classes); the seed makes it repeatable."""

    def __init__(
        self, features: NDArray[np.floating], labels: NDArray[np.integer], classes: int, seed: int = 0
    ) -> None:
        import torch
        from torch import nn

        self._mean = features.mean(axis=0)
        spread = features.std(axis=0)
        self._scale = np.where(spread > 1e-6, spread, 1.0)
        inputs, targets = self._standard(features), torch.from_numpy(np.asarray(labels, np.int64))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._net = nn.Sequential(
                nn.Linear(features.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, classes)
            )
            size = min(len(inputs), max(BATCHES[0], min(BATCHES[1], len(inputs) // 100)))
            steps = max(1, min(MOST_STEPS, EPOCHS * -(-len(inputs) // size)))
            optimizer = torch.optim.AdamW(self._net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for _ in range(steps):
                batch = torch.randint(len(inputs), (size,))
                loss = nn.functional.cross_entropy(self._net(inputs[batch]), targets[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        self._net.eval()

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.int64]:
        """The likeliest label (N,) of features (N, F)."""
        import torch

        with torch.inference_mode():
            return self._net(self._standard(features)).argmax(dim=1).numpy()

    def _standard(self, features: NDArray[np.floating]) -> "torch.Tensor":
        import torch

        return torch.from_numpy(((features - self._mean) / self._scale).astype(np.float32))
