"""Which batches a model is trained on: windows that stand alone, whole images, or windows that carry the state on."""

from seqgen_core.data.carried import CarriedWindows
from seqgen_core.data.store import PreparedData
from seqgen_core.data.windows import Windows, WindowSource
from seqgen_core.errors import UsageError
from seqgen_core.models.base import CausalModel
from seqgen_core.settings.train import TrainSettings


def training_windows(model: CausalModel, data: PreparedData, settings: TrainSettings) -> WindowSource:
    """The batches that the settings ask for.

    A recurrent model carries its state unless the settings say otherwise; a model of images takes whole images.
    Raises UsageError where the state cannot be carried or a recording lacks the label that the model is to be told,
    SeqgenError where there is nothing to train on.
    """
    items = data.items("train")
    bare = sum(item.label is None for item in (*items, *data.items("valid")))
    if model.classes and bare:
        raise UsageError(
            f"model.classes = {model.classes}, but {bare:,} of the recordings in {data.path} have no label.",
            hint="Prepare the data with a label for each, or set model.classes=0.",
        )
    carry = settings.carry if settings.carry is not None else model.receptive_field is None
    batch_size, seed = settings.batch_size, settings.seed
    if model.longest is not None:
        if settings.carry:
            raise UsageError(
                "train.carry = true means nothing for a model of images: each is taken whole.",
                hint="Leave it out, or set carry=none.",
            )
        return Windows(data, items, window=model.longest - 1, context=0, batch_size=batch_size, seed=seed)
    if not carry:
        reach = model.receptive_field or 1
        context = settings.context if settings.context is not None else reach - 1
        return Windows(data, items, window=settings.window, context=context, batch_size=batch_size, seed=seed)
    if settings.window % model.period:
        near = max(1, round(settings.window / model.period)) * model.period
        raise UsageError(
            f"train.window = {settings.window} is no multiple of {model.period}, the model's period, so its state"
            " cannot be carried from window to window.",
            hint=f"Set window={near}.",
        )
    return CarriedWindows(data, items, window=settings.window, batch_size=batch_size, seed=seed)
