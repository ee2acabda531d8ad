"""Which batch size is taken: searched on machines made up, measured on this one, and never one that does not fit."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import make_images, make_run

from seqgen_core import models
from seqgen_core.errors import SeqgenError, UsageError
from seqgen_core.training import fitting, measuring
from seqgen_core.training.feeding import training_windows
from seqgen_core.training.fitting import fit_batch, search, seconds_for
from seqgen_core.training.learner import Stepped
from seqgen_core.training.measuring import Measured, steps

MIB = 2**20


class Machine:
    """Takes `base` MiB and `each` for a window; speed grows with the windows at once up to `enough` of them."""

    def __init__(self, base=100, each=10, enough=math.inf, room=math.inf):
        self.base, self.each, self.enough, self.room, self.tried = base, each, enough, room, []

    def __call__(self, rows):
        self.tried.append(rows)
        taken = self.base + self.each * rows
        if taken > self.room:
            return None
        return Measured(rows, self.base * MIB, int(taken * MIB), 100 * min(rows, self.enough), 0.001)


class Told:
    """A listener that keeps what it is told."""

    def __init__(self):
        self.lines, self.sizes = [], []

    def begin(self, *task): ...

    def end(self): ...

    def update(self, done, **figures):
        self.sizes.append(done)

    def say(self, line):
        self.lines.append(line)

    def warn(self, line): ...


@given(each=st.floats(0.1, 60), room=st.integers(200, 5000), most=st.integers(1, 1000), foresee=st.booleans())
def test_where_more_is_always_faster_nearly_all_that_fit_are_taken(each, room, most, foresee):
    machine = Machine(each=each, room=room)
    fit = search(machine, most, room * MIB, 60, foresee=foresee)
    largest = min(most, int((room - 100) / each))
    assert fit.rows <= largest
    assert fit.exact
    assert fit.rows + max(1, fit.rows // 8) >= min(most, largest)
    assert fit.rows in machine.tried  # what is taken was run
    if foresee:
        assert all(100 + each * rows <= room + 1 for rows in machine.tried)


def test_sizes_are_doubled_then_halved_between():
    machine = Machine(room=500)
    assert search(machine, 1000, 500 * MIB, 60, foresee=False).rows == 40
    assert machine.tried == [1, 2, 4, 8, 16, 32, 64, 48, 40, 44]


def test_where_more_is_no_faster_the_smallest_is_taken():
    machine = Machine(enough=4)
    fit = search(machine, 1000, 2100 * MIB, 60)
    assert machine.tried == [1, 2, 4, 8, 16]
    assert (fit.rows, fit.largest, fit.exact) == (4, 200, False)
    assert fit.per_window == 10 * MIB


def test_never_more_than_the_data_have():
    assert search(Machine(), 13, 5000 * MIB, 60).rows == 13
    assert search(Machine(), 1, 5000 * MIB, 60).rows == 1


def test_no_size_is_begun_once_the_time_is_over():
    machine = Machine()
    fit = search(machine, 1000, 1100 * MIB, 0)
    assert machine.tried == [1]
    assert (fit.rows, fit.largest, fit.exact) == (1, 100, False)


@pytest.mark.parametrize("foresee", [True, False])
def test_not_one_window_fits(foresee):
    with pytest.raises(SeqgenError, match="Not one window") as caught:
        search(Machine(room=100), 9, 100 * MIB, 60, foresee=foresee)
    assert "train.window" in caught.value.hint


def test_time_for_finding_out():
    assert [seconds_for(limit) for limit in (None, 10, 300, 86400)] == [60, 20, 30, 60]


@pytest.mark.parametrize(
    ("machine", "most", "devices", "parts", "said"),
    [
        (Machine(enough=4), 1000, 1, 1, "batch size 4: more are no faster than 400 tokens/s; a window takes 10.0 MiB,"
                                        " about 194 fit into 2.0 GiB"),
        (Machine(each=100), 1000, 1, 1, "batch size 18: as many as fit; a window takes 100.0 MiB, 18 fit into 2.0 GiB"),
        (Machine(), 8, 1, 1, "batch size 8: as many as the data have; a window takes 10.0 MiB, all 8 of the data fit"),
        (Machine(enough=2), 1000, 3, 4, "batch size 24 (2 at once on each of 3 devices): more are no faster than 200"
                                        " tokens/s; a window takes 10.0 MiB, about 194 fit into 2.0 GiB"),
    ],
)  # fmt: skip
def test_one_line_tells_of_it(machine, most, devices, parts, said):
    fit = search(machine, most, 2048 * MIB, 60)
    assert fitting._sentence(fit, fit.rows * devices * parts, devices, parts) == said


def settings_of(tmp_path, data, model="wavenet", **train):
    return make_run(tmp_path / "run", data, model, **train).settings


@pytest.mark.parametrize(("model", "carry"), [("wavenet", False), ("samplernn", True), ("pixelcnn", False)])
def test_the_heaviest_batches(tmp_path, tiny_data, model, carry):
    data = make_images(tmp_path / "images") if model == "pixelcnn" else tiny_data
    settings = settings_of(tmp_path, data, model, batch_size=3)
    windows = training_windows(models.build(settings.model, settings.tokens), data, settings.train)
    heaviest = windows.heaviest()
    most = max(batch.inputs[0].size * len(batch.inputs) for batch in map(windows.batch, range(windows.steps_per_epoch)))
    assert max(batch.inputs[0].size * len(batch.inputs) for batch in heaviest) == most
    if carry:
        assert not heaviest[1].fresh.all()
    elif model == "wavenet":
        head, body = heaviest
        assert (head.mask.sum(axis=1)[0], body.mask.shape) == (32 + 7, (3, 32))
    assert windows.most >= 7


def test_more_windows_than_there_are_change_nothing(tmp_path, tiny_data):
    settings = settings_of(tmp_path, tiny_data, batch_size=500)
    windows = training_windows(models.build(settings.model, settings.tokens), tiny_data, settings.train)
    assert max(len(batch.inputs) for batch in windows.heaviest()) == windows.most


@pytest.mark.parametrize("model", ["wavenet", "samplernn", "pixelcnn"])
def test_real_steps_are_measured(tmp_path, tiny_data, model):
    data = make_images(tmp_path / "images") if model == "pixelcnn" else tiny_data
    one = steps(lambda said: None, settings_of(tmp_path, data, model), 2)
    assert one.rows == 2
    assert 0 < one.base <= one.peak
    assert one.speed > 0
    assert one.seconds > 0


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("x"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_runs_out_is_no_fit(tmp_path, tiny_data, monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(measuring.Learner, "step", fail)
    assert steps(lambda said: None, settings_of(tmp_path, tiny_data), 2) is None


def test_another_failure_is_told(tmp_path, tiny_data, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(measuring.Learner, "step", fail)
    with pytest.raises(RuntimeError, match="mat1"):
        steps(lambda said: None, settings_of(tmp_path, tiny_data), 2)


class Gpu:
    """Stands for torch.cuda: a GPU of 1,000 MiB, 800 of them free, and a learner that takes 50 for each window."""

    def __init__(self, monkeypatch):
        self.cap, self.taken, self.emptied = math.inf, 0, 0
        for name in ("empty_cache", "reset_peak_memory_stats", "max_memory_allocated", "mem_get_info"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", self.limit)
        monkeypatch.setattr(fitting, "choose_device", lambda wanted: torch.device("cuda"))
        monkeypatch.setattr(measuring, "_learner", self.learner)

    def empty_cache(self):
        self.emptied += 1

    def reset_peak_memory_stats(self):
        self.taken = 0

    def max_memory_allocated(self):
        return self.taken

    def mem_get_info(self, device):
        return 800 * MIB, 1000 * MIB

    def limit(self, share, device):
        self.cap = share * 1000 * MIB

    def learner(self, settings, rows):
        gpu = self

        class Learner:
            device = torch.device("cuda")

            def __enter__(self):
                return self

            def __exit__(self, *details): ...

            def step(self, number, rate):
                gpu.taken = rows * 50 * MIB
                if gpu.taken > gpu.cap:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return Stepped(1.0, 1.0, rows * 1000)

        return Learner()


def test_on_a_gpu_the_largest_that_does_not_run_out_is_found(tmp_path, tiny_data, monkeypatch):
    gpu = Gpu(monkeypatch)
    monkeypatch.setattr(fitting, "_gained", lambda tried: True)  # the clock shall have no say
    told = []
    fit = fitting._search(told.append, settings_of(tmp_path, tiny_data), 100, 0, 600)
    assert gpu.cap == pytest.approx(640 * MIB)
    assert fit.largest == 12  # 12 × 50 MiB of 640
    assert [one.rows for one in told] == [1, 2, 4, 8, 12]
    assert gpu.emptied >= len(told)


def test_a_model_that_is_cut_over_devices_is_refused(tmp_path, tiny_data):
    with pytest.raises(UsageError, match=r"train.shard = true"):
        fit_batch(settings_of(tmp_path, tiny_data, shard=True), 2, 2, 60, Told())


def test_devices_whose_memory_is_not_told_are_refused(tmp_path, tiny_data, monkeypatch):
    monkeypatch.setattr(fitting, "choose_device", lambda wanted: torch.device("mps"))
    with pytest.raises(UsageError, match="memory of mps"):
        fit_batch(settings_of(tmp_path, tiny_data), 1, 1, 60, Told())


@pytest.mark.parametrize(("local", "room"), [(1, 8192 - 512), (4, 2048 - 512), (32, 0)])
def test_processes_of_one_machine_share_its_memory_and_threads(tmp_path, tiny_data, monkeypatch, local, room):
    monkeypatch.setattr(fitting.memory, "available", lambda: 10240 * MIB)
    asked = []

    def apart(function, settings, *others, told):
        asked.extend((settings.train.threads, *others))
        return search(Machine(enough=4), 20, 8192 * MIB, 60)

    monkeypatch.setattr(fitting, "apart", apart)
    monkeypatch.setattr("os.cpu_count", lambda: 9)
    settings = settings_of(tmp_path, tiny_data, threads=0, accumulate=2)
    windows = fitting._windows(settings)
    assert fit_batch(settings, 2 * local, local, 7.0, Told()) == min(windows, 4 * 2 * 2 * local)
    assert asked == [max(1, 8 // local), math.ceil(windows / (2 * 2 * local)), room * MIB, 7.0]


def test_on_this_machine_in_processes_of_their_own(tmp_path, tiny_data):
    """Two processes, four parts each: what is taken is a multiple, and no more than the data have."""
    told, before = Told(), torch.get_rng_state()
    size = fit_batch(settings_of(tmp_path, tiny_data, accumulate=2), 2, 2, 2, told)
    assert told.sizes[0] == 1
    assert told.sizes == sorted(told.sizes)
    assert 4 <= size <= 50
    (line,) = told.lines
    assert line.startswith(f"batch size {size} (")
    assert "on each of 2 devices" in line
    assert torch.equal(torch.get_rng_state(), before)
