"""Error messages for a person when a teacher refuses: the provider's words, and a hint what to change."""

from __future__ import annotations

from dmforge.generators.teacher.response import TeacherRefusal, shown
from dmforge.schemas.errors import DmforgeError

SMALLER = (
    "say what the endpoint takes with max_images or max_request_mb in [teacher]; or show less with look_frames, look_tokens, "
    "coarse_frames or coarse_tokens in [clips]; or lower max_output_tokens; or take a teacher that reads more at once"
)
SHORTER = "lower max_output_tokens, or take a teacher that reads more at once"
NO_CREDIT = 402


def refusal_text(refusal: TeacherRefusal) -> str:
    """A refusal as text: status and the provider's message."""
    return f"{refusal.status}: {shown(refusal.words)}" if refusal.status else shown(refusal.words)


def final_error(refusal: TeacherRefusal, model: str, url: str, api_key_env: str) -> DmforgeError:
    """The error that stops a run, since asking again is no use."""
    http_status = refusal.status or 0
    hint_by_status = {
        401: f"check the key in {api_key_env}",
        NO_CREDIT: "the account behind the key has no credit left",
        403: f"check that the key in {api_key_env} may use {model!r}",
        404: f"check the model's name, {model!r}, and the endpoint, {url}",
    }
    if http_status < 400:
        hint = "give the endpoint's own address as base_url"
    else:
        general_hint = "compare what it says with the settings of the stage; check the model's name and the endpoint"
        hint = hint_by_status.get(NO_CREDIT if refusal.hint.no_money else http_status, general_hint)
    return DmforgeError(f"the teacher refuses with {refusal_text(refusal)}", hint=f"{hint}; nothing was lost")


def unreadable(refusal: TeacherRefusal, url: str) -> tuple[str, str]:
    """Message and hint for a response that is no chat completion."""
    return f"{url} answers with what is no chat completion: {shown(refusal.words)}", "check base_url: up to and including /v1"


def too_large(
    refusal: TeacherRefusal, model: str, image_count: int, sent_bytes: int, max_output_tokens: int
) -> tuple[str, str]:
    """Message and hint for a question that is too large."""
    size_text = f"{image_count} images, {sent_bytes / 1e6:.1f} MB, and up to {max_output_tokens} tokens back"
    return f"the question is too large for {model}: {size_text}; {refusal_text(refusal)}", SMALLER if image_count else SHORTER
