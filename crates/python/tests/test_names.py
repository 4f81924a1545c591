"""The list of strategies, and the stubs."""

import ast
import inspect
import pathlib
import unittest

import conjoint
from common import PROMPT, tiny

STUB = pathlib.Path(conjoint.__file__).with_name("__init__.pyi")


class Strategies(unittest.TestCase):
    def test_every_name_is_listed_with_its_parameters(self):
        listed = conjoint.strategies()
        self.assertEqual(list(listed), ["presets", "unmaskers", "schedules", "revisers", "orders", "caches"])
        names = {role: [entry["name"] for entry in entries] for role, entries in listed.items()}
        self.assertEqual(names["presets"], ["quality", "balanced", "fast"])
        for role, name in [
            ("unmaskers", "joint"),
            ("schedules", "per-step"),
            ("revisers", "wino"),
            ("orders", "entropy"),
            ("caches", "dual"),
        ]:
            self.assertIn(name, names[role])
            self.assertEqual(len(set(names[role])), len(names[role]))
        for entries in listed.values():
            for entry in entries:
                self.assertEqual(list(entry), ["name", "usage", "summary"])
                self.assertTrue(all(entry.values()))

    def test_a_preset_is_the_strategy_that_it_names(self):
        for preset in conjoint.strategies()["presets"]:
            by_name, by_usage = (
                tiny().generate(PROMPT, gen_length=16, strategy=strategy)[0] for strategy in (preset["name"], preset["usage"])
            )
            self.assertEqual(by_name.tokens.tolist(), by_usage.tokens.tolist())


class Stubs(unittest.TestCase):
    def setUp(self):
        self.stub = ast.parse(STUB.read_text())
        self.classes = {node.name: node for node in self.stub.body if isinstance(node, ast.ClassDef)}

    def test_signatures_are_those_of_the_stubs(self):
        stubs = {
            node.name: (getattr(conjoint, node.name), node) for node in self.stub.body if isinstance(node, ast.FunctionDef)
        }
        methods = [node for node in self.classes["Model"].body if isinstance(node, ast.FunctionDef) and not node.decorator_list]
        stubs.update({f"Model.{node.name}": (getattr(conjoint.Model, node.name), node) for node in methods})
        self.assertEqual(len(stubs), 3 + 5)
        for name, (function, node) in stubs.items():
            with self.subTest(name):
                parameters = inspect.signature(function).parameters.values()
                found = [
                    (p.name, p.kind is p.KEYWORD_ONLY, None if p.default is p.empty else repr(p.default)) for p in parameters
                ]
                arguments = node.args
                defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
                expected = list(zip(arguments.args, [False] * len(arguments.args), defaults))
                expected += zip(arguments.kwonlyargs, [True] * len(arguments.kwonlyargs), arguments.kw_defaults)
                expected = [(a.arg, keyword, d and repr(ast.literal_eval(d))) for a, keyword, d in expected]
                self.assertEqual(found, expected)

    def test_attributes_are_those_of_the_stubs(self):
        for name, node in self.classes.items():
            if name.startswith("_") or name == "Error":
                continue
            own = getattr(conjoint, name)
            found = {member for member in vars(own) if not member.startswith("_")}
            expected = {child.name for child in node.body if isinstance(child, ast.FunctionDef)}
            self.assertEqual(found, {member for member in expected if not member.startswith("_")})
            for child in node.body:
                if isinstance(child, ast.FunctionDef) and child.decorator_list:
                    docstring = " ".join(ast.get_docstring(child).split())
                    self.assertEqual(" ".join(inspect.getdoc(getattr(own, child.name)).split()), docstring)

    def test_every_argument_is_taken(self):
        for function in (tiny().generate, tiny().steps):
            names = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
            settings = dict.fromkeys(names) | {"gen_length": 4}
            steps = function(PROMPT, **settings)
            self.assertTrue(list(steps))
        folder = "no such folder"
        options = dict.fromkeys(
            p.name for p in inspect.signature(conjoint.export).parameters.values() if p.kind is p.KEYWORD_ONLY
        )
        with self.assertRaises(ValueError):
            conjoint.export(folder, **options)

    def test_public_names_are_documented(self):
        for name in conjoint.__all__:
            if name != "__version__":
                self.assertTrue(inspect.getdoc(getattr(conjoint, name)), name)
        for name in ("generate", "steps", "encode", "decode", "piece"):
            self.assertTrue(inspect.getdoc(getattr(conjoint.Model, name)), name)
        self.assertTrue(STUB.with_name("py.typed").is_file())


if __name__ == "__main__":
    unittest.main()
