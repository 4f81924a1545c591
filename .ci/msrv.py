"""Checks that no dependency in Cargo.lock needs a newer Rust than the crate that depends on it declares."""

import json
import subprocess
import sys


def version(text):
    return tuple(int(part) for part in text.split("."))[:2]


command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
members = set(metadata["workspace_members"])


def dependencies(root):
    """All packages that `root` is built or tested from, on any platform and with any feature."""
    found, ahead = {root}, [root]
    while ahead:
        node = ahead.pop()
        for dependency in nodes[node]["deps"]:
            # Of a dependency its own tests are not built.
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            if dependency["pkg"] not in found and (node == root or kinds != {"dev"}):
                found.add(dependency["pkg"])
                ahead.append(dependency["pkg"])
    return found


problems = []
for member in sorted(members):
    own = packages[member]["rust_version"]
    for package in (packages[found] for found in dependencies(member)):
        needed = package["rust_version"]
        if needed and version(needed) > version(own):
            problems.append(f"{packages[member]['name']} declares Rust {own}, {package['name']} {package['version']} needs {needed}")
print("\n".join(sorted(problems)) or f"{len(members)} crates: no dependency needs a newer Rust than declared")
sys.exit(bool(problems))
