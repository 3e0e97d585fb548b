"""What a person is told when a teacher refuses: its own words, and what can be changed."""

from __future__ import annotations

from dmforge.generators.teacher.response import Refusal, shown
from dmforge.schemas.errors import DmforgeError

SMALLER = (
    "show less with look_frames, look_tokens, coarse_frames or coarse_tokens in [clips]; "
    "or lower max_output_tokens; or take a teacher that reads more at once"
)
SHORTER = "lower max_output_tokens, or take a teacher that reads more at once"
NO_CREDIT = 402


def said(refusal: Refusal) -> str:
    """A refusal in the provider's words."""
    return f"{refusal.status}: {shown(refusal.words)}" if refusal.status else shown(refusal.words)


def final_error(refusal: Refusal, model: str, url: str, key_name: str) -> DmforgeError:
    """What stops a run: to ask again is no use."""
    status = refusal.status or 0
    hints = {
        401: f"check the key in {key_name}",
        NO_CREDIT: "the account behind the key has no credit left",
        403: f"check that the key in {key_name} may use {model!r}",
        404: f"check the model's name, {model!r}, and the endpoint, {url}",
    }
    if status < 400:
        hint = "give the endpoint's own address as base_url"
    else:
        otherwise = "compare what it says with the settings of the stage; check the model's name and the endpoint"
        hint = hints.get(NO_CREDIT if refusal.hint.no_money else status, otherwise)
    return DmforgeError(f"the teacher refuses with {said(refusal)}", mend=f"{hint}; nothing was lost")


def unreadable(refusal: Refusal, url: str) -> tuple[str, str]:
    """What came instead of a chat completion, and where to look."""
    return f"{url} answers with what is no chat completion: {shown(refusal.words)}", "check base_url: up to and including /v1"


def too_large(refusal: Refusal, model: str, images: int, sent_bytes: int, max_output_tokens: int) -> tuple[str, str]:
    """What was too large, and what to change."""
    size = f"{images} images, {sent_bytes / 1e6:.1f} MB, and up to {max_output_tokens} tokens back"
    return f"the question is too large for {model}: {size}; {said(refusal)}", SMALLER if images else SHORTER
