"""A part of what files state."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a file; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
