"""Data sets that are known by name: where they lie, under which terms, how they are split, how to go on with them.

Addresses are facts about a publication; what lies there stays with its owners. Checksums are those that the publishers
or widely used loaders state (TensorFlow Datasets, torchaudio, the page of CIFAR-10, the page of MAESTRO), or sums of
files that equal those of a repository at the named commit; where there is none of these, none is given.
"""

import difflib

from seqgen_core.data.datasets import places
from seqgen_core.data.datasets.entry import Dataset, RemoteFile
from seqgen_core.errors import UsageError

_SEQUNET = "https://raw.githubusercontent.com/f90/Seq-U-Net/d2e1c8daad890c87694ddffb5956d117240b46e5"
_CHAR_RNN = "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"
_MNIST = ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist")
_MAESTRO = "https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0"
_NOT_STATED = "not stated"


def _idx(name: str, size: int, sha256: str, content_sha256: str) -> RemoteFile:
    return RemoteFile(name, tuple(f"{base}/{name}" for base in _MNIST), size, sha256, content_sha256=content_sha256)


def _rolls(name: str, title: str, file: str, size: int, sha256: str, train: int, valid: int, test: int) -> Dataset:
    return Dataset(
        name=name,
        description=f"{title} as piano rolls of 88 keys, one frame for each quarter note or so.",
        kind="notes",
        codec="piano-roll",
        licence=_NOT_STATED,
        page="https://arxiv.org/abs/1206.6392",
        splits={"train": train, "valid": valid, "test": test},
        unit="pieces",
        preprocess="--codec piano-roll",
        files=(RemoteFile(file, (f"{_SEQUNET}/poly_music/mdata/{file}",), size, sha256),),
        count=1,
        most_bytes=size,
    )


_ENTRIES = [
    Dataset(
        name="sequnet-piano",
        description="Piano music on YouTube, from the Seq-U-Net paper (Stoller et al. 2019, arXiv:1911.06393).",
        kind="sound",
        codec="mu-law",
        licence="each recording's own",
        page="https://github.com/f90/Seq-U-Net",
        splits={"train": 253, "test": 24},
        unit="recordings",
        preprocess="--codec mu-law",
        place=places.recording,
        trees=("sequnet_piano",),
        lists={"train": "sequnet_piano_train.txt", "test": "sequnet_piano_test.txt"},
    ),
    Dataset(
        name="fsdd",
        description="Free Spoken Digit Dataset 1.0.10: six speakers, 50 times each digit, 8 kHz.",
        kind="sound",
        codec="mu-law",
        licence="CC BY-SA 4.0",
        page="https://github.com/Jakobovski/free-spoken-digit-dataset",
        splits={"train": 2_700, "test": 300},
        unit="recordings",
        preprocess="--codec mu-law --rate 8000 --labels '{label}_{}_{}.wav'",
        files=(
            RemoteFile(
                "free-spoken-digit-dataset-1.0.10.tar.gz",
                ("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",),
            ),
        ),
        trees=("free-spoken-digit-dataset-1.0.10", "free-spoken-digit-dataset", "recordings"),
        place=places.fsdd,
        count=3000,
        most_bytes=21_128_848,
        tree_sha256="bfb4c741c8910a2782f6245d6e8dc37455131a66c5e02db4682b5a7934fc9288",
    ),
    Dataset(
        name="vctk",
        description="CSTR VCTK Corpus 0.92: English sentences read by 110 speakers, 48 kHz; the first microphone.",
        kind="sound",
        codec="mu-law",
        licence="CC BY 4.0",
        page="https://doi.org/10.7488/ds/2645",
        splits={"all": 110},
        unit="speakers",
        preprocess="--codec mu-law --labels folder",
        files=(
            RemoteFile(
                "VCTK-Corpus-0.92.zip",
                (
                    "https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
                    "https://datashare.ed.ac.uk/server/api/core/bitstreams/535f4286-e54c-4038-838c-a02285e32cb2/content",
                ),
                11_747_302_977,
                md5="8a6ba2946b36fcbef0212cad601f4bfa",
            ),
        ),
        trees=("VCTK-Corpus-0.92", "wav48_silence_trimmed"),
        place=places.vctk,
        most_bytes=11_747_302_977,  # FLAC does not grow when it is unpacked, and half of it is kept
        most_members=300_000,
    ),
    Dataset(
        name="ljspeech",
        description="The LJ Speech Dataset 1.1: sentences read by one speaker, 24 hours, 22.05 kHz.",
        kind="sound",
        codec="mu-law",
        licence="public domain",
        page="https://keithito.com/LJ-Speech-Dataset/",
        splits={"all": 13_100},
        unit="sentences",
        preprocess="--codec mu-law",
        files=(
            RemoteFile(
                "LJSpeech-1.1.tar.bz2",
                ("https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",),
                2_748_572_632,
                "be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
            ),
        ),
        trees=("LJSpeech-1.1",),
        place=places.ending(".wav"),
        count=13_100,
        most_bytes=3_801_111_440,
    ),
    Dataset(
        name="mnist",
        description="Handwritten digits, grey, 28 x 28 (LeCun, Cortes, Burges).",
        kind="images",
        codec="pixels",
        licence="CC BY-SA 3.0, as Keras states",
        page="http://yann.lecun.com/exdb/mnist/",
        splits={"train": 60_000, "test": 10_000},
        unit="images",
        preprocess="--codec pixels",
        files=(
            _idx(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            _idx(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            _idx(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            _idx(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        place=places.named(train__="train", t10k__="test"),
        count=4,
        most_bytes=54_950_048,
    ),
    Dataset(
        name="cifar10",
        description="Photographs of ten classes, colour, 32 x 32 (Krizhevsky 2009); the binary version.",
        kind="images",
        codec="pixels",
        licence=_NOT_STATED,
        page="https://www.cs.toronto.edu/~kriz/cifar.html",
        splits={"train": 50_000, "test": 10_000},
        unit="images",
        preprocess="--codec pixels",
        files=(
            RemoteFile(
                "cifar-10-binary.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                "c32a1d4ab5d03f1284b67883e8d87530",
            ),
        ),
        trees=("cifar-10-batches-bin",),
        place=places.named(data_batch_="train", test_batch="test", **{"batches.meta.txt": None}),
        count=7,
        most_bytes=184_390_000,
    ),
    Dataset(
        name="penn-treebank",
        description="Wall Street Journal text of the Penn Treebank, in Mikolov's version with 10,000 words.",
        kind="text",
        codec="characters",
        licence="that of the LDC; not to be passed on",
        page="https://catalog.ldc.upenn.edu/LDC99T42",
        splits={"train": 887_521, "valid": 70_390, "test": 78_669},
        unit="words",
        preprocess="--codec characters",
        files=tuple(
            RemoteFile(name, (f"{_SEQUNET}/word_cnn/data/penn/{name}",), size, sha256)
            for name, size, sha256 in (
                ("train.txt", 5_101_618, "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
                ("valid.txt", 399_782, "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
                ("test.txt", 449_945, "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
            )
        ),
        place=places.named(train="train", valid="valid", test="test"),
        count=3,
        most_bytes=5_951_345,
    ),
    Dataset(
        name="tinyshakespeare",
        description="A megabyte of Shakespeare's plays, from char-rnn (Karpathy 2015).",
        kind="text",
        codec="characters",
        licence="public domain",
        page="https://github.com/karpathy/char-rnn",
        splits={"all": 1_115_394},
        unit="characters",
        preprocess="--codec characters",
        files=(
            RemoteFile(
                "tinyshakespeare.txt",
                (f"{_CHAR_RNN}/data/tinyshakespeare/input.txt",),
                1_115_394,
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
        count=1,
        most_bytes=1_115_394,
    ),
    _rolls(
        *("jsb-chorales", "Bach's chorales", "JSB_Chorales.mat", 96_095),
        *("ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4", 229, 76, 77),
    ),
    _rolls(
        *("nottingham", "Folk tunes with chords", "Nottingham.mat", 371_688),
        *("d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea", 694, 173, 170),
    ),
    _rolls(
        *("musedata", "Orchestral and piano classics", "MuseData.mat", 947_219),
        *("e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff", 524, 135, 124),
    ),
    _rolls(
        *("piano-midi", "Classical piano pieces", "Piano_midi.mat", 223_732),
        *("990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34", 87, 12, 25),
    ),
    Dataset(
        name="beethoven-sonatas",
        description="Beethoven's piano sonatas from archive.org in clips of 8 s, 16 kHz (SampleRNN, SaShiMi).",
        kind="sound",
        codec="mu-law",
        licence=_NOT_STATED,
        page="https://huggingface.co/datasets/krandiash/beethoven",
        splits={"train": 3_808, "valid": 260, "test": 260},
        unit="clips",
        preprocess="--codec mu-law",
        files=(
            RemoteFile(
                "beethoven.zip",
                ("https://huggingface.co/datasets/krandiash/beethoven/resolve/main/beethoven.zip",),
            ),
        ),
        trees=("beethoven",),
        place=places.beethoven,
        count=4328,
        most_bytes=1_120_000_000,  # 4,328 clips of 8 s, 16,000 samples a second, 2 bytes a sample, and their headers
    ),
    Dataset(
        name="maestro",
        description="MAESTRO 3.0.0: piano performances of a competition, the MIDI files alone (arXiv:1810.12247).",
        kind="notes",
        codec="piano-roll",
        licence="CC BY-NC-SA 4.0",
        page="https://magenta.withgoogle.com/datasets/maestro",
        splits={"train": 962, "valid": 137, "test": 177},
        unit="performances",
        preprocess="--codec piano-roll",
        files=(
            RemoteFile(
                "maestro-v3.0.0-midi.zip",
                (f"{_MAESTRO}/maestro-v3.0.0-midi.zip",),
                58_416_533,
                "70470ee253295c8d2c71e6d9d4a815189e35c89624b76d22fce5a019d5dde12c",
            ),
        ),
        trees=("maestro-v3.0.0",),
        place=places.ending(".midi", ".csv"),
        table=("maestro-v3.0.0.csv", "midi_filename", "split"),
        count=1276,
        most_bytes=300_000_000,
    ),
]

CATALOG = {dataset.name: dataset for dataset in _ENTRIES}
"""Every data set by its name."""


def find_dataset(name: str) -> Dataset:
    """The data set of that name. Raises UsageError, naming the nearest one and those that there are."""
    if name in CATALOG:
        return CATALOG[name]
    close = difflib.get_close_matches(name.lower(), CATALOG, n=1) or [
        known for known in CATALOG if name.lower() in known
    ]
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    raise UsageError(
        f"There is no data set {name!r}{meant}.",
        f"Data sets: {', '.join(CATALOG)}.",
        "`seqgen download --list-datasets` describes them.",
    )
