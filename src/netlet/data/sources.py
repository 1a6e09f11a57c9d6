"""The public data sets: their files, checksums, mirrors and licenses."""

from __future__ import annotations

from dataclasses import dataclass

from netlet.display import Displayed


@dataclass(frozen=True)
class File:
    """One IDX file of a data set.

    A file is verified by ``md5``, or by ``gz_md5`` if no checksum of its raw content has been
    published.
    """

    name: str  # without .gz
    bytes: int  # of the raw content
    md5: str | None  # of the raw content
    gz_md5: str  # of the .gz that the mirrors serve


@dataclass(frozen=True)
class Part:
    """The files of a split."""

    name: str  # of the split
    images: File
    labels: File
    count: int
    first: int = 0  # index of the first image used; those before it belong to another data set


@dataclass(frozen=True)
class Source(Displayed):
    """A public data set in four IDX files."""

    name: str
    title: str
    folder: str  # torchvision keeps the files under <root>/<folder>/raw
    class_names: tuple[str, ...]
    train: Part
    test: Part
    mirrors: tuple[str, ...]  # URLs to which a file's name and .gz are appended, in order of use
    terms: str  # authors and license
    size: tuple[int, int] = (28, 28)  # H W
    fills_image: bool = False  # the objects do, instead of lying in MNIST's frame

    @property
    def files(self) -> tuple[File, ...]:
        """All four files."""
        return self.train.images, self.train.labels, self.test.images, self.test.labels


_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
_BYTES = {
    _TRAIN_IMAGES: 47_040_016,
    _TRAIN_LABELS: 60_008,
    _TEST_IMAGES: 7_840_016,
    _TEST_LABELS: 10_008,
}


def _parts(checksums: dict[str, tuple[str | None, str]]) -> tuple[Part, Part]:
    """Return train and test for files with MNIST's names and sizes."""
    files = {name: File(name, size, *checksums[name]) for name, size in _BYTES.items()}
    return (
        Part("train", files[_TRAIN_IMAGES], files[_TRAIN_LABELS], 60_000),
        Part("test", files[_TEST_IMAGES], files[_TEST_LABELS], 10_000),
    )


_DIGITS = tuple("0123456789")

_MNIST_TRAIN, _MNIST_TEST = _parts(
    {
        _TRAIN_IMAGES: ("6bbc9ace898e44ae57da46a324031adb", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        _TRAIN_LABELS: ("a25bea736e30d166cdddb491f175f624", "d53e105ee54ea40749a09fcbcd1e9432"),
        _TEST_IMAGES: ("2646ac647ad5339dbf082846283269ea", "9fb629c4189551a2d022fa330f9573f3"),
        _TEST_LABELS: ("27ae3e4e09519cfbb04c329615203637", "ec29112dd5afa0611ce80d1b7f02629c"),
    }
)
MNIST = Source(
    name="mnist",
    title="MNIST, handwritten digits",
    folder="MNIST",
    class_names=_DIGITS,
    train=_MNIST_TRAIN,
    test=_MNIST_TEST,
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    terms="Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0",
)

_FASHION_TRAIN, _FASHION_TEST = _parts(
    {
        _TRAIN_IMAGES: ("f4a8712d7a061bf5bd6d2ca38dc4d50a", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        _TRAIN_LABELS: ("9018921c3c673c538a1fc5bad174d6f9", "25c81989df183df01b3e8a0aad5dffbe"),
        _TEST_IMAGES: ("8181f5470baa50b63fa0f6fddb340f0a", "bef4ecab320f06d8554ea6380940ec79"),
        _TEST_LABELS: ("15d484375f8d13e6eb1aabb0c3f46965", "bb300cfdad3c16e7a12a480ee83cd310"),
    }
)
FASHION_MNIST = Source(
    name="fashion_mnist",
    title="Fashion-MNIST, articles of clothing",
    folder="FashionMNIST",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    train=_FASHION_TRAIN,
    test=_FASHION_TEST,
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    terms="Zalando SE; MIT",
    fills_image=True,
)

_KMNIST_TRAIN, _KMNIST_TEST = _parts(
    {
        _TRAIN_IMAGES: (None, "bdb82020997e1d708af4cf47b453dcf7"),
        _TRAIN_LABELS: (None, "e144d726b3acfaa3e44228e80efcd344"),
        _TEST_IMAGES: (None, "5c965bf0a639b31b8f53240b1b52f4d7"),
        _TEST_LABELS: (None, "7320c461ea6c1c855c0b718fb2a4b134"),
    }
)
KMNIST = Source(
    name="kmnist",
    title="Kuzushiji-MNIST, cursive Japanese characters",
    folder="KMNIST",
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    train=_KMNIST_TRAIN,
    test=_KMNIST_TEST,
    mirrors=(
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        # This mirror has served an earlier version; the checksum rejects it.
        "https://storage.googleapis.com/kuzushiji-mnist/",
    ),
    terms="T. Clanuwat et al., CODH; CC BY-SA 4.0",
)

# QMNIST's first 10,000 test images reconstruct MNIST's test set. The other 50,000 had been lost,
# so nobody has tuned on them: they are an independent test set for any MNIST result.
QMNIST = Source(
    name="qmnist",
    title="QMNIST, MNIST's digits and 50,000 lost test images",
    folder="QMNIST",
    class_names=_DIGITS,
    train=Part(
        "train",
        File(
            "qmnist-train-images-idx3-ubyte", 47_040_016, None, "ed72d4157d28c017586c42bc6afe6370"
        ),
        File("qmnist-train-labels-idx2-int", 1_920_012, None, "0058f8dd561b90ffdd0f734c6a30e5e4"),
        60_000,
    ),
    test=Part(
        "test50k",
        File("qmnist-test-images-idx3-ubyte", 47_040_016, None, "1394631089c404de565df7b7aeaf9412"),
        File("qmnist-test-labels-idx2-int", 1_920_012, None, "5b5b05890a5e13444e108efe57b788aa"),
        60_000,
        first=10_000,
    ),
    mirrors=("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
    terms="C. Yadav, L. Bottou, arXiv:1905.10498; BSD-3-Clause",
)

SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST, KMNIST, QMNIST)}
