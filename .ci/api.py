#!/usr/bin/env python3
"""Lists the public API of the crate by module, and checks it.

    api.py [RUSTDOC_JSON]        without a file, cargo makes it, with all features

Prints every public item, one a line, then the crates whose types are in its
signatures, fields and impls. Exits with 1 if
- one of these crates is not in ALLOWED;
- one in REEXPORTED is not re-exported at the crate's root;
- an item is more than two clicks from the front page: its module, then itself. A
  module in another one is one click away if the front page's text links to it;
- a signature names a type of this crate that has no public path.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Users name their types to call this crate, so their versions have to be at hand.
REEXPORTED = {"bytes", "http", "jiff", "reqwest", "serde_json", "url"}
ALLOWED = REEXPORTED | {
    "std", "core", "alloc",
    "futures_core", "serde", "serde_core", "tokio",
}
CLICKS = 2
ROOT = Path(__file__).resolve().parent.parent


def rustdoc_json():
    """Has cargo make the JSON, and returns its path."""
    with tempfile.TemporaryDirectory() as folder:
        # The variable for rustdoc alone: build scripts that see it would all run again.
        rustdoc = Path(folder) / "rustdoc"
        real = os.environ.get("RUSTDOC", "rustdoc")
        rustdoc.write_text(f'#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec "{real}" "$@"\n')
        rustdoc.chmod(0o755)
        environment = {**os.environ, "RUSTDOC": str(rustdoc)}
        target = json.loads(subprocess.check_output(
            ["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT,
        ))["target_directory"]
        environment["CARGO_TARGET_DIR"] = target
        subprocess.run(
            ["cargo", "rustdoc", "--quiet", "--lib", "--all-features", "--",
             "-Z", "unstable-options", "--output-format", "json"],
            cwd=ROOT, env=environment, check=True,
        )
    return Path(target) / "doc" / "machine_images.json"


class Api:
    def __init__(self, crate):
        self.index, self.paths = crate["index"], crate["paths"]
        self.crates = {key: value["name"] for key, value in crate["external_crates"].items()}
        self.root = self.index[str(crate["root"])]
        self.items = {}  # public path -> kind
        self.linked = []  # public paths of modules that the front page's text links to
        self.reached = set()  # ids of items with a public path
        self.named = {}  # id of another item -> a public path whose signature names it
        self.reexports = set()  # crates re-exported at the root
        self.module(self.root, self.root["name"])

    def module(self, module, path):
        """Visits what a module shows: its own items and what it re-exports."""
        self.reached.add(str(module["id"]))
        if module["id"] in self.root["links"].values():
            self.linked.append(path)
        for key in module["inner"]["module"]["items"]:
            item = self.index[str(key)]
            if item["visibility"] != "public":
                continue
            kind, inner = kind_of(item)
            if kind in ("use", "import"):
                self.reexport(inner, path)
            elif kind == "module":
                self.add(f"{path}::{item['name']}", kind)
                self.module(item, f"{path}::{item['name']}")
            else:
                self.item(item, f"{path}::{item['name']}")

    def reexport(self, use, path):
        target = self.index.get(str(use.get("id")))
        if target is None:
            self.add(f"{path}::{use['name']}", "re-export")
            if path == self.root["name"]:
                self.reexports.add(use["source"].split("::")[0])
        elif not use.get("is_glob"):
            # What a private module has is documented where it is re-exported.
            name = f"{path}::{use['name']}"
            if kind_of(target)[0] == "module":
                self.add(name, "module")
                self.module(target, name)
            else:
                self.item(target, name)
        else:
            self.module(target, path)

    def item(self, item, path):
        kind, inner = kind_of(item)
        self.add(path, kind)
        self.reached.add(str(item["id"]))
        self.walk(inner, path)
        # Fields, variants and the items of traits are as public as what they are in.
        for part in self.parts(inner):
            part_kind, part_inner = kind_of(part)
            if part["visibility"] in ("public", "default"):
                name = f"{path}::{part['name']}"
                self.add(name, part_kind.replace("struct_", ""))
                self.walk(part_inner, name)
                for field in self.parts(part_inner):
                    self.walk(kind_of(field)[1], name)
        for key in inner.get("impls", []) if isinstance(inner, dict) else []:
            if implementation := self.index.get(str(key)):
                self.implementation(kind_of(implementation)[1], path)

    def implementation(self, implementation, path):
        if implementation.get("blanket_impl") or implementation.get("is_synthetic"):
            return  # by the compiler or by another crate
        for key in ("trait", "for", "generics"):
            self.walk(implementation.get(key), path)
        for key in implementation["items"]:
            method = self.index[str(key)]
            kind, inner = kind_of(method)
            if implementation.get("trait"):
                self.walk(inner, path)  # of a trait's methods, the associated types matter
            elif method["visibility"] == "public":
                name = f"{path}::{method['name']}"
                self.add(name, "method" if kind == "function" else kind)
                self.walk(inner, name)

    def parts(self, inner):
        """Returns the items below an item that are not in impls: fields, variants, trait items."""
        found = []
        for key, value in inner.items() if isinstance(inner, dict) else []:
            if key in ("fields", "variants", "items"):
                found += value
            elif key == "kind" and isinstance(value, dict):
                for shape in value.values():
                    found += shape.get("fields", []) if isinstance(shape, dict) else shape
        return [self.index[str(key)] for key in found if key is not None and str(key) in self.index]

    def walk(self, value, path):
        """Notes every type and trait that a signature names, however deep."""
        if isinstance(value, list):
            for part in value:
                self.walk(part, path)
        elif isinstance(value, dict):
            key = str(value.get("id"))
            if key in self.paths and ("path" in value or "name" in value):
                self.named.setdefault(key, path)
            for name, part in value.items():
                if name not in ("impls", "variants", "items"):
                    self.walk(part, path)

    def add(self, path, kind):
        self.items[path] = kind

    def foreign(self):
        """Returns {crate: (one of its types, where it is named)}."""
        found = {}
        for key, path in sorted(self.named.items(), key=lambda entry: entry[1]):
            summary = self.paths[key]
            if summary["crate_id"] != 0:
                crate = self.crates[str(summary["crate_id"])]
                found.setdefault(crate, ("::".join(summary["path"]), path))
        return found

    def clicks(self, path):
        """Returns how many clicks an item is from the front page."""
        direct = [linked for linked in self.linked if path.startswith(f"{linked}::")]
        return min([1 + path[len(linked):].count("::") for linked in direct] + [path.count("::")])

    def problems(self):
        root = self.root["name"]
        foreign = self.foreign()
        for crate, (type_, path) in foreign.items():
            if crate not in ALLOWED:
                yield f"{path} names {type_}: {crate} is not among the crates allowed in the API"
            elif crate in REEXPORTED and crate not in self.reexports:
                yield f"{path} names {type_}, but {root} does not re-export {crate}"
        parts = ("field", "variant", "method", "function", "assoc_const", "assoc_type")
        for path, kind in self.items.items():
            owner = path.rpartition("::")[0]
            is_part = kind in parts and self.items.get(owner, "module") != "module"
            if not is_part and self.clicks(path) > CLICKS:
                yield f"{path} is more than {CLICKS} clicks from the front page"
        for key, path in self.named.items():
            summary = self.paths[key]
            if summary["crate_id"] == 0 and key not in self.reached:
                yield f"{path} names {'::'.join(summary['path'])}, which has no public path"


def kind_of(item):
    """Returns the kind of an item and what it has."""
    return next(iter(item["inner"].items()))


def main():
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else rustdoc_json()
    api = Api(json.loads(file.read_text()))
    for path, kind in sorted(api.items.items()):
        print(f"{kind:<13} {path}")
    print("\nTypes of other crates in the API:")
    for crate, (type_, path) in sorted(api.foreign().items()):
        print(f"{crate:<13} {type_}, as in {path}")
    if len(api.items) < 100:
        sys.exit(f"only {len(api.items)} items: is the format of the JSON another one?")
    problems = sorted(set(api.problems()))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
