"""Prompts: `prompt` and `concept` have the classes; `checks` turns values into their arrays."""

from samkit.prompts.concept import Concept, as_concepts
from samkit.prompts.prompt import Prompt, as_prompts

__all__ = ["Concept", "Prompt", "as_concepts", "as_prompts"]
