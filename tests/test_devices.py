"""Devices that are there or not, and memory that runs out in words."""

import pytest
import torch

from seqgen_core.devices import choose_device, keep_memory, memory_guard, use_precision, use_threads
from seqgen_core.errors import SeqgenError, UsageError


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(False, False, "cpu"), (True, False, "cuda"), (True, True, "cuda"), (False, True, "mps")],
)
def test_auto_takes_the_quickest_there_is(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == chosen
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"no device '{name}'") as caught:
        choose_device(name)
    assert "--device auto" in caught.value.hint


def test_one_gpu_is_not_two(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda:0").index == 0
    with pytest.raises(UsageError, match="cuda:1"):
        choose_device("cuda:1")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("MPS backend out of memory"),
        MemoryError(),
    ],
)
def test_memory_in_words(error):
    with pytest.raises(SeqgenError, match="memory is used up") as caught, memory_guard("Do less."):
        raise error
    assert caught.value.hint == "Do less."


def test_a_real_allocation_that_fails():
    with pytest.raises(SeqgenError, match="memory is used up"), memory_guard("Do less."):
        torch.empty(2**60)


def test_other_faults_pass_through():
    with pytest.raises(RuntimeError, match=r"^size mismatch$"), memory_guard("Do less."):
        raise RuntimeError("size mismatch")


def test_one_of_several_processes_takes_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert choose_device("auto", 2) == torch.device("cuda", 2)
    assert choose_device("cuda", 3) == torch.device("cuda", 3)
    assert choose_device("cpu", 1) == torch.device("cpu")


def test_ten_bits_only_where_they_are_asked_for():
    use_precision("fp32", torch.device("cpu"))
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(UsageError, match="tf32 is for CUDA"):
        use_precision("tf32", torch.device("cpu"))
    try:
        use_precision("tf32", torch.device("cuda"))
        assert torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        use_precision("fp32", torch.device("cpu"))


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    before, taken = torch.get_num_threads(), []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setattr("os.cpu_count", lambda: 9)
    for wanted, processes in ((0, 1), (0, 4), (0, 100), (3, 4)):
        use_threads(wanted, processes)
    assert taken == [8, 2, 1, 3]
    assert torch.get_num_threads() == before


def test_memory_is_kept_where_the_c_library_can_and_nothing_happens_elsewhere(monkeypatch):
    told = []

    class Library:
        def mallopt(self, what: int, value: int) -> int:
            told.append((what, value))
            return 1

    monkeypatch.setattr("ctypes.CDLL", lambda name: Library())
    monkeypatch.setattr("sys.platform", "linux")
    keep_memory()
    assert told == [(-1, 2**31 - 1), (-3, 2**25)]
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # another C library
    keep_memory()
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("looked for"))
    keep_memory()
