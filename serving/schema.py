"""The JSON of the API: an answer to a photo, and facts about the model."""

from typing import Literal

from pydantic import BaseModel, Field

Picture = Literal["photo", "mask", "overlay", "heatmap"]


class ClassProbability(BaseModel):
    """A class and its probability."""

    name: str
    probability: float


class Answer(BaseModel):
    """The prediction for one photo."""

    file: str = Field(description="Name of the uploaded file.")
    width: int = Field(description="Width of the upright photo in pixels.")
    height: int
    answer: str = Field(description="The most probable class, or `unknown` if its probability is below the threshold.")
    label: str = Field(description="The most probable class.")
    probability: float = Field(description="Its probability.")
    threshold: float | None = Field(description="Answers below this probability are `unknown`; null: none are.")
    classes: list[ClassProbability] = Field(description="The most probable classes, at most five, best first.")
    mask_share: float | None = Field(description="Share of the pixels that the mask covers; null without masks.")
    mask_shares: dict[str, float] = Field(description="The share of each mask class, if there are several.")
    pictures: dict[Picture, str] = Field(description="The pictures that were asked for, as data URLs.")
    missing: dict[Picture, str] = Field(description="The reason for each picture that was asked for and is not there.")
    seconds: float = Field(description="Time from the decoding to the last picture.")


class MaskClass(BaseModel):
    """The meaning of one colour of the overlays."""

    name: str
    colour: str


class Score(BaseModel):
    """A recorded score with its 95 % interval."""

    part: str = Field(description="The part of the images that was scored.")
    images: int
    metric: str
    value: float
    low: float
    high: float


class ModelFacts(BaseModel):
    """The served bundle and the limits of the server."""

    name: str = Field(description="Name of the bundle's file or folder.")
    bundle: str = Field(description="SHA-256 of the bundle's record.")
    studies: list[str]
    encoder: str
    classes: list[str]
    masks: list[MaskClass] = Field(description="The structures that masks show; none without masks.")
    heat: list[str] = Field(
        description="Colours of the heat map, from no evidence to most; none if there are no heat maps."
    )
    threshold: float | None
    scores: list[Score]
    licence: str
    max_bytes: int = Field(description="Largest accepted file.")


class Refusal(BaseModel):
    """Why a request has no answer."""

    reason: str
