"""Its hyper-parameters."""

from pydantic import Field

from lightvad.config import MethodSettings


class Settings(MethodSettings):
    """All of them."""

    gap: int = Field(1, ge=1, description="frames between the two that are compared")
