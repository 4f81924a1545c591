"""Files of the scripts in this folder."""

import os
import tempfile


def write(path, content):
    """Writes a file beside its place, then renames it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as aside:
        aside.write(content)
    os.chmod(aside.name, 0o644)
    os.replace(aside.name, path)
