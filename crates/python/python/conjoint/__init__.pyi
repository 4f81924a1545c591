"""Samples masked diffusion language models: several tokens per forward pass, from the joint distribution."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Optional, TypedDict, Union, final

import numpy as np
import numpy.typing as npt

__all__ = ["Error", "Model", "Result", "Rows", "Step", "Steps", "__version__", "export", "open", "strategies"]

__version__: str

_Path = Union[str, "os.PathLike[str]"]
_Tokens = Union[Sequence[int], npt.NDArray[np.integer[Any]]]
_Prompt = Union[str, _Tokens, Sequence[Mapping[str, Any]], None]
_Words = Union[str, int, Iterable[Union[str, int]]]

class Error(Exception):
    """A model, a strategy or a file failed. An invalid argument is a ValueError instead."""

class _Entry(TypedDict):
    name: str
    usage: str
    summary: str

@final
class Result:
    """A generated sequence and its cost."""

    @property
    def prompt(self) -> int:
        """Index of the prompt."""
    @property
    def sample(self) -> int:
        """Index of the sample of the prompt."""
    @property
    def stream(self) -> int:
        """The stream of the seed that it was drawn from: prompt * num_samples + sample."""
    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """Given and generated tokens, int64 [T]. Positions after the end hold padding. Empty if the sequence failed."""
    @property
    def prompt_tokens(self) -> int:
        """Number of given tokens before the first generated one."""
    @property
    def end(self) -> int:
        """One past the last token of the text: the length T, or the position after the token that ended it."""
    @property
    def text(self) -> Optional[str]:
        """The whole text up to its end, as the command prints it. None without a tokenizer."""
    @property
    def completion(self) -> Optional[str]:
        """The generated text up to its end, without the token or the text that ended it. None without a tokenizer."""
    @property
    def finish_reason(self) -> Literal["length", "eos", "stop", "error"]:
        """Why it ended: "length", "eos", "stop" or "error"."""
    @property
    def denoiser_calls(self) -> int:
        """Number of full forwards."""
    @property
    def sampler_calls(self) -> int:
        """Number of passes of the sampler layer."""
    @property
    def steps(self) -> int:
        """Number of denoising steps, including those without a forward."""
    @property
    def error(self) -> Optional[str]:
        """The error of a sequence that failed, if others did not. Otherwise None."""

@final
class Rows:
    """The rows of one call of a model: one distribution for each masked position."""

    @property
    def round(self) -> int:
        """0 for the forward, j for the j-th pass of the sampler layer."""
    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """Their positions, from left to right, int64 [n]."""
    @property
    def log_probs(self) -> npt.NDArray[np.float32]:
        """ln p of each token, in nats, before bans, temperature and filters, float32 [n, V]. The mask id has -inf."""

@final
class Step:
    """One denoising step of a sequence.

    The i-th revealed token is `tokens[i]` at `positions[i]`. It was drawn after the call `rounds[i]`, with the probability
    `probabilities[i]` in its filtered row. A replaced token is in `remasked` and in `positions`.
    """

    @property
    def number(self) -> int:
        """Number of the step, from 0."""
    @property
    def canvas(self) -> npt.NDArray[np.int64]:
        """All tokens after the step, int64 [T]. Masked positions hold the mask id."""
    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """Positions that were revealed, in their order, int64 [r]."""
    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """Their tokens, int64 [r]."""
    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Probabilities of these tokens in their filtered rows, float64 [r]."""
    @property
    def rounds(self) -> npt.NDArray[np.int64]:
        """Which call they followed, int64 [r]: 0 is the forward, j the j-th pass of the sampler layer."""
    @property
    def remasked(self) -> npt.NDArray[np.int64]:
        """Positions that were masked again, int64 [m]."""
    @property
    def rows(self) -> list[Rows]:
        """The rows of each call, in order; empty with rows=False, and in a step without a forward."""
    @property
    def denoiser_calls(self) -> int:
        """Number of full forwards in the step."""
    @property
    def sampler_calls(self) -> int:
        """Number of passes of the sampler layer in the step."""

@final
class Steps(Iterator[Step]):
    """An iterator over the denoising steps of one sequence."""

    @property
    def result(self) -> Optional[Result]:
        """The result of the sequence after its last step; None before."""
    def __iter__(self) -> Steps: ...
    def __next__(self) -> Step: ...

@final
class Model:
    """An open model, made by `conjoint.open`.

    Calls release the interpreter's lock, so that several models run in several threads at once.
    """

    @property
    def path(self) -> Path:
        """The folder of the model."""
    @property
    def vocab_size(self) -> int:
        """Number of token ids V."""
    @property
    def mask_id(self) -> int:
        """The id of the mask."""
    @property
    def eos_id(self) -> Optional[int]:
        """The id that ends a sequence, or None. `eos_ids` lists all."""
    @property
    def eos_ids(self) -> list[int]:
        """All ids that end a sequence."""
    @property
    def pad_id(self) -> Optional[int]:
        """The id of the padding, or None."""
    @property
    def bos_id(self) -> Optional[int]:
        """The id that begins a sequence, or None."""
    @property
    def max_length(self) -> Optional[int]:
        """The largest number of positions of a sequence, or None."""
    @property
    def attention_block(self) -> Optional[int]:
        """The length of the attention blocks of a block-causal model, or None."""
    @property
    def has_sampler_layer(self) -> bool:
        """Whether the export has a sampler layer."""
    @property
    def has_tokenizer(self) -> bool:
        """Whether the folder has a tokenizer that can be used."""
    def encode(self, text: str, *, literal: bool = False, add_special_tokens: bool = False) -> npt.NDArray[np.int64]:
        """Encodes a text. Returns token ids, int64 [n]."""
    def decode(self, tokens: Iterable[int]) -> str:
        """Decodes token ids, special tokens included."""
    def piece(self, token: int) -> str:
        """The text of one token within a text, with its leading space."""
    def generate(
        self,
        prompts: Union[_Prompt, Iterable[_Prompt]],
        *,
        gen_length: Optional[int] = None,
        strategy: str = "exact",
        schedule: Optional[str] = None,
        revise: Optional[str] = None,
        order: Optional[str] = None,
        order_temperature: Optional[float] = None,
        block_length: Optional[int] = None,
        open_next_block: Optional[float] = None,
        temperature: float = 1.0,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        min_p: Optional[float] = None,
        ban: Optional[_Words] = None,
        eos_penalty: Optional[float] = None,
        min_length: Optional[int] = None,
        repetition_penalty: Optional[float] = None,
        cfg_scale: float = 0.0,
        sampler: Optional[_Path] = None,
        scorer: Optional[str] = None,
        stop_at_eos: bool = False,
        eos: Optional[_Words] = None,
        stop: Optional[_Words] = None,
        infill: bool = False,
        literal: bool = False,
        add_special_tokens: bool = True,
        template_args: Optional[dict[str, Any]] = None,
        seed: int = 0,
        num_samples: int = 1,
        batch_size: int = 16,
    ) -> list[Result]:
        """Generates sequences: all samples of the first prompt, then those of the next."""
    def steps(
        self,
        prompt: _Prompt,
        *,
        gen_length: Optional[int] = None,
        strategy: str = "exact",
        schedule: Optional[str] = None,
        revise: Optional[str] = None,
        order: Optional[str] = None,
        order_temperature: Optional[float] = None,
        block_length: Optional[int] = None,
        open_next_block: Optional[float] = None,
        temperature: float = 1.0,
        top_k: Optional[int] = None,
        top_p: Optional[float] = None,
        min_p: Optional[float] = None,
        ban: Optional[_Words] = None,
        eos_penalty: Optional[float] = None,
        min_length: Optional[int] = None,
        repetition_penalty: Optional[float] = None,
        cfg_scale: float = 0.0,
        sampler: Optional[_Path] = None,
        scorer: Optional[str] = None,
        stop_at_eos: bool = False,
        eos: Optional[_Words] = None,
        stop: Optional[_Words] = None,
        infill: bool = False,
        literal: bool = False,
        add_special_tokens: bool = True,
        template_args: Optional[dict[str, Any]] = None,
        seed: int = 0,
        stream: int = 0,
        rows: bool = True,
    ) -> Steps:
        """Generates one sequence step by step."""

def open(
    path: _Path,
    *,
    device: Literal["cpu", "cuda", "tensorrt"] = "cpu",
    threads: Optional[int] = None,
    cache: Optional[str] = None,
    head: Literal["auto", "dense", "condensed"] = "auto",
    ignore_memory: bool = False,
) -> Model:
    """Opens an exported model."""

def export(
    checkpoint: _Path,
    out: Optional[_Path] = None,
    *,
    sampler: Optional[_Path] = None,
    passes: Optional[Literal["sequence", "rows"]] = None,
    quantize: Optional[Literal["int8", "int4"]] = None,
    portable: bool = False,
    shift: Optional[bool] = None,
    attention_block: Optional[int] = None,
    ignore_keys: Optional[Iterable[str]] = None,
    mask_id: Union[str, int, None] = None,
    eos: Optional[_Words] = None,
    head_top: int = 64,
) -> Path:
    """Exports a Hugging Face checkpoint to ONNX graphs. Returns the folder of the export."""

def strategies() -> dict[str, list[_Entry]]:
    """Lists the names of all strategies and their parts, by "presets", "unmaskers", "schedules", "revisers", "orders", "caches"."""
