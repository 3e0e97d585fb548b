"""A server continues rows as exactly as a process of our own, or is refused."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from dmforge.generators.inference.engines.engine_settings import ServerSettings
from dmforge.generators.inference.engines.messages import Generate
from dmforge.generators.inference.engines.open_engine import open_engine
from dmforge.generators.inference.engines.openai import ServerEngine
from dmforge.generators.inference.engines.serve import SERVER
from dmforge.generators.inference.engines.server import START, Server
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.rollout import roll
from dmforge.schemas.errors import InputError
from tests.support.taught import Tinted
from tests.vllm.conftest import quests, serving
from tests.vllm.test_offline import LOOK, ODD, apart, ids

SMALL = ["--host", "127.0.0.1", "--max-model-len", "1024", "--max-num-batched-tokens", "1024", "--dtype", "float32"]
SMALL += ["--max-num-seqs", "4", "--kv-cache-memory-bytes", "4000000", "--enforce-eager"]


@pytest.fixture(scope="module")
def address(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Started as the docs say. It keeps few clips, so that some have to be sent again."""
    line = [sys.executable, "-m", "dmforge.generators.inference.engines.serve", str(checkpoint), *SMALL]
    line += ["--mm-processor-cache-gb", "0.012", "--api-key", "sesame"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with serving(lambda port: [*line, "--port", str(port)], log) as found:
        yield found


@pytest.fixture
def engine(address: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[ServerEngine]:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    engine = open_engine(ServerSettings(kind="openai", base_url=address, rows=4), str(checkpoint))
    assert isinstance(engine, ServerEngine)
    yield engine
    engine.close()


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_tokens_and_stamps_are_those_of_the_engine_in_this_process(
    engine: ServerEngine, here: TransformersEngine, temperature: float
) -> None:
    # every context that comes back is compared with what was to be shown: a stamp that were off would end this
    asked = [quest for footage in (Tinted("red"), Tinted("blue", "red")) for quest in quests(footage, range(6), temperature)]
    asked += quests(ODD, range(2), temperature, forced=LOOK)
    expected, found = roll(here, asked), roll(engine, asked)
    assert ids(found) == ids(expected)
    assert apart(found, expected) < 1e-4
    assert any(len(row.written) == 2 for row in found)
    assert engine.tallies.later.cached


def test_a_server_with_another_key_is_refused(address: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "barley")
    with pytest.raises(InputError, match="refuses the key") as raised:
        open_engine(ServerSettings(kind="openai", base_url=address), str(checkpoint))
    assert "barley" not in str(raised.value)


def test_a_server_without_our_plugin_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", SERVER, "--model", str(checkpoint), *SMALL, "--enable-scale-out"]
    with serving(lambda port: [*line, "--port", str(port)], tmp_path / "log.txt", VLLM_PLUGINS="none") as address:
        settings = ServerSettings(kind="openai", base_url=address, retries=1)
        with pytest.raises(InputError) as raised:
            open_engine(settings, str(checkpoint))
        assert START in str(raised.value)
        # nor does it draw as we do, where no frames are in the way
        server = Server(settings)
        with pytest.raises(InputError, match="draws tokens in its own way"):
            server.ask(Generate((1, 2, 3), (), (0,), 4, 1.0, 0, 0))
        server.close()
