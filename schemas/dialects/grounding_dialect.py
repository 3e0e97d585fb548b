"""The dialect `grounding`, of Video-o3: a window at 2 fps with one of three token quotas, one look a turn.

    <think>T1</think>, <grounding>{"temporal_segment": [12, 20], "sampling_strategy": "fine"}</grounding>

and then a user's turn with the clip. Quotas count visual tokens of a whole clip; a strategy is nothing but its quota.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from dmforge.schemas.defects import Rule, window_fault
from dmforge.schemas.dialects.call_numbers import SECONDS, print_call_seconds, read_call_seconds
from dmforge.schemas.dialects.turn_form import TurnForm
from dmforge.schemas.dialects.turn_reader import turn_dialect
from dmforge.schemas.grammar import unsayable
from dmforge.schemas.looks import Look, Window, print_box, print_density

FPS: Final = Fraction(2)
TOKENS_OF_STRATEGY: Final = {"coarse": 2048, "medium": 4096, "fine": 6144}
_STRATEGY_OF_TOKENS: Final = {tokens: strategy for strategy, tokens in TOKENS_OF_STRATEGY.items()}
_EXAMPLE: Final = '{"temporal_segment": [12, 20.5], "sampling_strategy": "fine"}'
_STRATEGIES: Final = ", ".join(map(str, _STRATEGY_OF_TOKENS))
_CALL: Final = re.compile(
    rf'\{{"temporal_segment": \[({SECONDS}), ({SECONDS})\], "sampling_strategy": "({"|".join(TOKENS_OF_STRATEGY)})"\}}'
)


def _print_look(look: Look) -> str:
    if look.fps != FPS:
        hint = "leave the sample out, or train in `span` or `tool`: a look of this dialect has 2 fps"
        raise unsayable("grounding", f"{print_density(look.fps)} fps", hint)
    if look.box is not None:
        hint = "leave the sample out, or train in `span` or `tool`: a look of this dialect has no box"
        raise unsayable("grounding", f"the box {print_box(look.box)}", hint)
    strategy = _STRATEGY_OF_TOKENS.get(look.tokens or 0)
    if strategy is None:
        value = "a look without a token quota" if look.tokens is None else f"a quota of {look.tokens} tokens"
        raise unsayable("grounding", value, f"a look of this dialect has one of these quotas: {_STRATEGIES}")
    start, end = print_call_seconds(look.window.start_cs), print_call_seconds(look.window.end_cs)
    return f'{{"temporal_segment": [{start}, {end}], "sampling_strategy": "{strategy}"}}'


def _read_look(text: str) -> Look | tuple[Rule, str]:
    match = _CALL.fullmatch(text)
    if match is None:
        return "call_not_canonical", f"a call like {_EXAMPLE}"
    start_cs, end_cs = read_call_seconds(match[1]), read_call_seconds(match[2])
    return window_fault(start_cs, end_cs) or Look(Window(start_cs, end_cs), FPS, tokens=TOKENS_OF_STRATEGY[match[3]])


FORM: Final = TurnForm(
    name="grounding",
    look_tag="grounding",
    other_tags=(),
    inside="",
    after_think="\n",
    between_calls="",
    response=("\n<|im_start|>user\n", "", "<|im_end|>\n<|im_start|>assistant\n"),
    response_role="user",
    print_look=_print_look,
    read_look=_read_look,
)
GROUNDING: Final = turn_dialect(FORM)
