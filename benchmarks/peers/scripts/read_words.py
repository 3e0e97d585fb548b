"""Reads the text in pictures by RapidOCR, with the models that its package ships: a JSON list of strings for each picture.

Run in an environment of its own: `python read_words.py PICTURE...`.
"""

import json
import sys

from rapidocr_onnxruntime import RapidOCR  # pyright: ignore[reportMissingImports]


def main() -> None:
    engine = RapidOCR()
    for path in sys.argv[1:]:
        boxes, _ = engine(path)
        print(json.dumps([text for _, text, _ in boxes or ()]), flush=True)


if __name__ == "__main__":
    main()
