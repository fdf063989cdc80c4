"""Prompts: `prompt` has the class; `checks` turns values from outside into its arrays."""

from samkit.prompts.prompt import Prompt, as_prompts

__all__ = ["Prompt", "as_prompts"]
