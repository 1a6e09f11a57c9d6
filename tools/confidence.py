"""Calibrates the confidence of the nets that come with the package.

    python -m tools.confidence [NAME ...]

Writes NAME.confidence.json beside the weights, so that ``netlet predict`` is calibrated where MNIST
is not; run it after ``tools.package_weights`` and ``tools.digit_detector``. Needs MNIST.
"""

from __future__ import annotations

import sys

from netlet import data, nets
from netlet.experiments import calibrate_confidence, load_trained_net
from netlet.experiments.confidence import find_confidence_file


def main() -> None:
    """Calibrate the nets of these names, or every net whose weights come with netlet."""
    mnist = data.load("mnist")
    for name in sys.argv[1:] or nets.list_shipped_weights():
        trained = load_trained_net(name)
        path = find_confidence_file(trained)
        assert path is not None
        confidence = calibrate_confidence(trained, mnist)
        path.write_text(confidence.to_json(), encoding="utf-8")
        print(f"{path}: unsure below {confidence.threshold:.3f}, {confidence.source}")


if __name__ == "__main__":
    main()
