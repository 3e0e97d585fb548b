"""Checks that the packages that a training file names are installed, before anything is opened or loaded."""

from __future__ import annotations

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations
from transformers.utils.import_utils import is_flash_attn_2_available

from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.trainers.training_settings import TrainingSettings

TRACKER_GROUPS = ("all", "none")
"""Values of transformers for every installed tracker, and for no tracker."""
NOT_CHECKED = ("flyte", "azure_ml")
"""Trackers whose installation transformers doesn't report: never the first, nor the second where mlflow is installed."""


def require_packages(settings: TrainingSettings) -> None:
    """Refuse trackers and kernels that are not installed."""
    _require_trackers(settings.saving.report_to)
    if settings.model.attention == "flash_attention_2":
        _require_flash_attention(settings.saving.device)


def _require_trackers(tracker_names: tuple[str, ...]) -> None:
    installed_trackers = get_available_reporting_integrations()
    for tracker_name in tracker_names:
        if tracker_name not in (*INTEGRATION_TO_CALLBACK, *TRACKER_GROUPS):
            hint = nearest(tracker_name, list(INTEGRATION_TO_CALLBACK))
            raise InputError(
                f"{tracker_name!r} is no tracker that Hugging Face's Trainer knows", where="[saving] report_to", hint=hint
            )
        if tracker_name not in (*installed_trackers, *TRACKER_GROUPS, *NOT_CHECKED):
            hint = f"pip install {tracker_name.replace('_', '-')}, or take it out: log.jsonl has the same curves"
            raise InputError(f"the package of {tracker_name!r} is not installed", where="[saving] report_to", hint=hint)


def _require_flash_attention(device: str) -> None:
    setting_location, hint = "[model] attention", '"blocks" runs everywhere'
    if device == "cpu":
        raise InputError('"flash_attention_2" needs a GPU, and [saving] device is "cpu"', where=setting_location, hint=hint)
    if not is_flash_attn_2_available():
        hint = f"pip install flash-attn on a machine with such a GPU; {hint}"
        raise InputError('"flash_attention_2" needs the package flash-attn and a GPU for it', where=setting_location, hint=hint)
