"""Samples masked diffusion language models: several tokens per forward pass, from the joint distribution.

>>> import conjoint
>>> model = conjoint.open("models/tiny")
>>> [result] = model.generate("<story>the old", gen_length=34, strategy="balanced", seed=7)
>>> print(result.text)

`open` opens an exported model, `export` exports a checkpoint, `strategies` lists the strategies.
"""

from ._native import Error, Model, Result, Rows, Step, Steps, __version__, export, open, strategies

__all__ = ["Error", "Model", "Result", "Rows", "Step", "Steps", "__version__", "export", "open", "strategies"]
