"""Runs on the command line that are billed: what the server says that it has answered, and what that costs."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from typer.testing import CliRunner

from dmforge import cli

CANARY = "sk-canary-5b1d"


def dmforge(*words: object, code: int = 0, as_json: bool = False) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if as_json or "--json" in words else done.stderr.replace("\n", " ")


def bill(url: str) -> dict[str, Any]:
    """What the server says that it has answered."""
    with httpx2.Client(trust_env=False) as client:
        return client.get(url.removesuffix("/v1") + "/asked").json()["usage"]


def usd(used: dict[str, Any]) -> float:
    return (used["prompt_tokens"] * 1.0 + used["completion_tokens"] * 4.0) / 1_000_000
