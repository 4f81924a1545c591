"""Fails if files of a crate import each other in a circle.

    python3 .ci/circles.py

An import counts for the file that defines the item, not for a `mod.rs` that re-exports it. A parent module and its own
children do not count as a circle: a child may use what its `mod.rs` defines.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
# docs/design.md has the reasons.
ALLOWED = [("core", {"observation", "order", "schedule"})]
DEFINED = re.compile(
    r"^(?:pub(?:\([a-z ]+\))? )?(?:const |unsafe |async )*(?:fn|struct|enum|trait|type|const|static|macro_rules!) (\w+)", re.M
)


def statements(text):
    """The paths of `use` declarations outside of test modules, without `{}`."""
    text = re.sub(r"//.*", "", text.split("#[cfg(test)]\nmod ")[0])
    for declaration in re.findall(r"^\s*(?:pub(?:\([a-z ]+\))? )?use ([^;]+);", text, re.M):
        yield from expand(" ".join(declaration.split()))
    for path in re.findall(r"\b((?:crate|super)(?:::\w+)+)", re.sub(r"^\s*(?:pub(?:\([a-z ]+\))? )?use [^;]+;", "", text, flags=re.M)):
        yield path


def expand(path):
    if "{" not in path:
        yield path.split(" as ")[0].strip()
        return
    head, rest = path.split("{", 1)
    rest, depth, part = rest.rsplit("}", 1)[0], 0, ""
    for c in rest + ",":
        if c == "," and depth == 0:
            if part.strip():
                yield from expand(head.strip() + part.strip())
            part = ""
            continue
        depth += (c == "{") - (c == "}")
        part += c


class Crate:
    def __init__(self, source):
        self.files = {}
        for file in sorted(source.rglob("*.rs")):
            parts = list(file.relative_to(source).with_suffix("").parts)
            if parts[-1] in ("lib", "mod", "main"):
                parts.pop()
            if "tests" in parts or any(part.endswith("_tests") for part in parts) or "testing" in parts:
                continue
            self.files[tuple(parts)] = file.read_text()
        self.defined = {m: set(DEFINED.findall(text)) for m, text in self.files.items()}

    def absolute(self, module, path):
        parts = path.split("::")
        if parts[0] == "crate":
            return parts[1:]
        base = list(module)
        if parts[0] == "self":
            return base + parts[1:]
        while parts[0] == "super":
            base, parts = base[:-1], parts[1:]
            if not parts:
                return base
            if parts[0] != "super":
                return base + parts
        child = tuple(base + [parts[0]])
        return base + parts if child in self.files else None

    def resolve(self, path, seen=()):
        """The module that defines the item of a path from the root."""
        path = tuple(path)
        if path in seen:
            return None
        if path in self.files:
            return path
        module, name = path[:-1], path[-1] if path else None
        if module not in self.files:
            return self.resolve(module, (*seen, path)) if module else None
        if name in self.defined[module]:
            return module
        for used in statements(self.files[module]):
            if used.split("::")[-1] == name or used.endswith("::*"):
                target = self.absolute(module, used)
                if target is None:
                    continue
                if target[-1] == "*":
                    target = target[:-1] + [name]
                found = self.resolve(target, (*seen, path))
                if found is not None and (found == module or name in self.defined.get(found, ()) or found[-1:] == (name,)):
                    return found
        return module

    def graph(self):
        graph = {module: set() for module in self.files}
        for module, text in self.files.items():
            for used in statements(text):
                path = self.absolute(module, used)
                target = self.resolve(path) if path else None
                if target is not None and target != module and not self.related(module, target):
                    graph[module].add(target)
        return graph

    @staticmethod
    def related(one, other):
        """Whether one is the parent of the other, or the root."""
        return not one or not other or one[:-1] == other or other[:-1] == one


def circles(graph):
    """Strongly connected components of more than one file (Tarjan)."""
    index, low, stack, on, found, counter = {}, {}, [], set(), [], [0]

    def visit(v):
        index[v] = low[v] = counter[0]
        counter[0] += 1
        stack.append(v)
        on.add(v)
        for w in graph[v]:
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in on:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            group = []
            while True:
                w = stack.pop()
                on.remove(w)
                group.append(w)
                if w == v:
                    break
            if len(group) > 1:
                found.append(sorted(group))

    for v in graph:
        if v not in index:
            visit(v)
    return found


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    bad = 0
    for source in sorted(root.glob("crates/*/src")):
        crate = Crate(source)
        graph = crate.graph()
        for group in circles(graph):
            if (source.parent.name, {"::".join(module) for module in group}) in ALLOWED:
                continue
            bad += 1
            print(f"{source.parent.name}: " + ", ".join("::".join(m) for m in group))
            for m in group:
                for t in sorted(graph[m] & set(group)):
                    print(f"    {'::'.join(m)} -> {'::'.join(t)}")
    sys.exit(bad > 0)


sys.setrecursionlimit(10_000)
main()
