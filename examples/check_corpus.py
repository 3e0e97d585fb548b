"""Hold a packed corpus against what a team agreed on; the exit code is 1 where it falls short, so that a CI can ask.

python examples/check_corpus.py ws/shards/cot/... --min-samples 1000 --max-share .4
"""

import argparse
import sys
from collections import Counter

import dmforge as dm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", help="a folder of shards, here or at an address")
    parser.add_argument("--min-samples", type=int, default=1, help="fewer are too few")
    parser.add_argument("--max-share", type=float, default=1.0, help="the largest share that one answer letter may have")
    arguments = parser.parse_args()

    complaints: list[str] = []
    bytes_report = dm.verify(arguments.corpus)
    complaints += [f"damaged: {defect}" for defect in bytes_report.defects[:5]]
    if not bytes_report.defects:
        corpus = dm.Corpus(arguments.corpus)
        if len(corpus) < arguments.min_samples:
            complaints.append(f"{len(corpus)} samples, wanted {arguments.min_samples}")
        letters = Counter(example.sample.answer for example in corpus if example.sample.kind == "mcq")
        for letter, count in letters.most_common(1):
            if count > arguments.max_share * letters.total():
                complaints.append(f"the answer is {letter} in {count} of {letters.total()} questions")
        rules = Counter(defect.rule for defect in dm.lint(arguments.corpus).defects)
        complaints += [f"{count} defects of the rule {rule}" for rule, count in rules.most_common()]

    print("\n".join(complaints) or f"in order: {bytes_report.samples} samples, {bytes_report.bytes} bytes")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
