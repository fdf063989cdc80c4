"""Prompts: `prompt` is the class; `checks`, `mask_values` and `words` are what it is made with."""

from samkit.prompts.prompt import Prompt, as_prompts

__all__ = ["Prompt", "as_prompts"]
