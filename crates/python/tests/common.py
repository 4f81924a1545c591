"""The models that the tests open."""

import contextlib
import functools
import pathlib
import shutil
import tempfile

import conjoint

ROOT = pathlib.Path(__file__).resolve().parents[3]
TINY = ROOT / "models" / "tiny"
FIXTURES = ROOT / "tests" / "fixtures"
PROMPT = "<story>the old"


@functools.lru_cache(maxsize=None)
def tiny():
    """The trained model of this repository."""
    return conjoint.open(TINY, threads=1)


@contextlib.contextmanager
def chat_model():
    """The same model with a chat template, which has one variable."""
    with tempfile.TemporaryDirectory() as folder:
        for file in TINY.iterdir():
            shutil.copy(file, folder)
        template = "{% for m in messages %}<story>{{ m.content }}{% endfor %}{{ tail or '' }}"
        (pathlib.Path(folder) / "chat_template.jinja").write_text(template)
        yield conjoint.open(folder, threads=1)
