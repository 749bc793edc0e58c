#!/usr/bin/env python3
"""Reports cycles of imports between the files of a crate.

    cycles.py [-v] [SRC]        SRC defaults to ../src; -v also prints every edge

A file depends on another if it names an item that the other defines, in a `use`
or in a path. Items are followed through re-exports to where they are defined. A
`mod` or `pub use` line alone is no dependency; a re-exported name that the same
file mentions elsewhere is one. Code under `#[cfg(test)]` is ignored. Methods are
not followed: a file depends on the types it names.

Exits with 1 if there is a cycle.
"""
import re
import sys
from collections import defaultdict, deque
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)
    |(?P<raw>b?c?r(?P<hash>\#*)".*?"(?P=hash))
    |(?P<string>[bc]?"(?:\\.|[^"\\])*")
    |(?P<char>b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\])')
    |(?P<lifetime>'\w+)
    |(?P<word>(?:r\#)?[A-Za-z_]\w*)
    |(?P<number>\d[\w]*(?:\.\d\w*)?)
    |(?P<sign>::|->|=>|.)""",
    re.X | re.S,
)
ITEMS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
CLOSERS = {"{": "}", "(": ")", "[": "]"}


def tokens(text):
    """Returns (text, line) for everything but comments, strings and characters."""
    found, line = [], 1
    for match in TOKEN.finditer(text):
        if match.lastgroup in ("word", "number", "sign", "lifetime"):
            found.append((match.group().removeprefix("r#"), line))
        elif match.lastgroup != "skip":
            found.append(('""', line))
        line += match.group().count("\n")
    return found


class Module:
    def __init__(self, path, file):
        self.path, self.file = path, file
        self.items = set()  # names defined here, modules not among them
        self.generated = set()  # names in macros and their calls, which may define such items
        self.modules = {}  # name -> Module
        self.uses = []  # (path, name or "*", is a re-export, line)
        self.mentions = []  # (path of names, line, the token after it)


class Crate:
    def __init__(self, src):
        self.src, self.files, self.macros = src, set(), {}
        root = src / ("lib.rs" if (src / "lib.rs").exists() else "main.rs")
        self.root = Module((), root)
        self.parents = {self.root: None}
        self.read(self.root, src)

    def read(self, module, folder):
        self.files.add(module.file)
        self.body(module, folder, tokens(module.file.read_text()))

    def body(self, module, folder, toks):
        """Sorts the tokens of a module's body into items, uses and mentions."""
        at, depth = 0, 0
        while at < len(toks):
            word, line = toks[at]
            if word == "#" and at + 1 < len(toks):
                start = at + 1 + (toks[at + 1][0] == "!")
                end = close(toks, start)
                at = skip_item(toks, end) if is_test(toks[start:end]) else end
                continue
            following = toks[at + 1][0] if at + 1 < len(toks) else ""
            if word == "mod" and is_name(following):
                at = self.module(module, folder, toks, at + 1)
                continue
            if word == "use" and (is_name(following) or following in ("::", "{")):
                end = find(toks, at, ";")
                public = self.is_public(toks, at)
                for path, name in use_tree(toks[at + 1 : end]):
                    module.uses.append((path, name, public, line))
                at = end
                continue
            if word == "macro_rules" and following == "!":
                name = toks[at + 2][0]
                self.macros[name] = module
                end = close(toks, at + 3)
                for (kind, _), (item, _) in zip(toks[at:end], toks[at + 1 : end]):
                    if kind in ITEMS and is_name(item):
                        module.generated.add(item)
                at += 3
                continue
            if depth == 0 and following == "!" and is_name(word):
                end = close(toks, at + 2)
                module.generated |= {it for it, _ in toks[at + 3 : end - 1] if is_name(it)}
            if word in ITEMS and depth == 0 and is_name(following) and following != "fn":
                if not (word == "const" and following in ITEMS | {"unsafe", "async"}):
                    module.items.add(following)
                    at += 2
                    continue
            if word in CLOSERS:
                depth += 1
            elif word in CLOSERS.values():
                depth -= 1
            elif is_name(word) and (at == 0 or toks[at - 1][0] not in ("::", ".", "fn")):
                path, end = [word], at + 1
                while end + 1 < len(toks) and toks[end][0] == "::" and is_name(toks[end + 1][0]):
                    path.append(toks[end + 1][0])
                    end += 2
                after = toks[end][0] if end < len(toks) else ""
                module.mentions.append((path, line, after))
                at = end
                continue
            at += 1

    def module(self, parent, folder, toks, at):
        """Reads the module whose name is at `at`; returns where to go on."""
        name, inline = toks[at][0], toks[at + 1][0] == "{"
        child = parent.modules.get(name)
        if inline:
            end = close(toks, at + 1)
            if child is None:
                child = Module((*parent.path, name), parent.file)
                self.parents[child] = parent
                parent.modules[name] = child
            self.body(child, folder / name, toks[at + 2 : end - 1])
            return end
        files = [folder / f"{name}.rs", folder / name / "mod.rs"]
        file = next((file for file in files if file.exists()), None)
        if file is None:
            sys.exit(f"{parent.file}: no file for `mod {name}`")
        child = Module((*parent.path, name), file)
        self.parents[child] = parent
        parent.modules[name] = child
        self.read(child, folder / name)
        return at + 1

    @staticmethod
    def is_public(toks, at):
        before = toks[at - 1][0] if at else ""
        return before == "pub" or before == ")"

    def resolve(self, module, path, seen=frozenset(), relative=True):
        """Returns the module that defines the item at the end of `path`, or None.

        `relative`: the first name may be one in scope, not only one of `module`'s own.
        """
        key = (module.path, tuple(path))
        if key in seen or not path:
            return None
        seen |= {key}
        first, rest = path[0], path[1:]
        if relative and first in ("crate", "self", "super"):
            target = {"crate": self.root, "self": module, "super": self.parents[module]}[first]
            return target and self.resolve(target, rest, seen, relative=first == "super")
        if rest and first in module.modules:
            return self.resolve(module.modules[first], rest, seen, relative=False)
        if first in module.items:
            return module
        for used, name, _, _ in module.uses:
            if name == first:
                found = self.resolve(module, used + rest, seen)
                if found:
                    return found
        for used, name, _, _ in module.uses:
            if name == "*":
                found = self.resolve(module, used + path, seen)
                if found:
                    return found
        return module if first in module.generated else None

    def edges(self):
        """Returns {file: {file: {(name, line)}}}."""
        edges = defaultdict(lambda: defaultdict(set))

        def add(module, target, path, line):
            if target and target.file != module.file:
                edges[module.file][target.file].add(("::".join(path), line))

        for module in self.parents:
            own = module.items | module.generated
            public = {name for _, name, is_public, _ in module.uses if is_public}
            globbed = any(name == "*" for _, name, _, _ in module.uses)
            for path, name, is_public, line in module.uses:
                if not is_public and name != "*":
                    add(module, self.resolve(module, path), path, line)
            for path, line, after in module.mentions:
                name = path[0]
                if after == "!" and name in self.macros:
                    add(module, self.macros[name], path, line)
                elif len(path) > 1:
                    add(module, self.resolve(module, path), path, line)
                elif name in public or (globbed and name not in own):
                    # A lower-case name alone may be a variable or a field.
                    if name[0].isupper() or after in ("(", "::"):
                        add(module, self.resolve(module, path), path, line)
        return edges


def is_name(word):
    return bool(re.fullmatch(r"[A-Za-z_]\w*", word))


def find(toks, at, word):
    while at < len(toks) and toks[at][0] != word:
        at += 1
    return at


def close(toks, at):
    """Returns the index after the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(toks)):
        depth += toks[index][0] in CLOSERS
        depth -= toks[index][0] in CLOSERS.values()
        if depth == 0:
            return index + 1
    return len(toks)


def is_test(attribute):
    words = [word for word, _ in attribute]
    return words[1:4] == ["cfg", "(", "test"] or words[1:6] == ["cfg", "(", "all", "(", "test"]


def skip_item(toks, at):
    """Returns the index after the item that begins at `at`, its other attributes too."""
    while at < len(toks) and toks[at][0] == "#":
        at = close(toks, at + 1)
    while at < len(toks):
        word = toks[at][0]
        if word in CLOSERS:
            at = close(toks, at)
            if word == "{":
                return at
        elif word == ";":
            return at + 1
        else:
            at += 1
    return at


def use_tree(toks, prefix=()):
    """Returns (path, name in scope) of everything that a `use` brings."""
    words = [word for word, _ in toks]
    if words and words[0] == "::":
        return []  # another crate
    path, at = list(prefix), 0
    while at < len(words):
        word = words[at]
        if word == "{":
            found, depth, start = [], 0, at + 1
            for index in range(at, len(words)):
                depth += words[index] == "{"
                depth -= words[index] == "}"
                if (words[index] == "," and depth == 1) or depth == 0:
                    if index > start:
                        found += use_tree(toks[start:index], path)
                    start = index + 1
                if depth == 0:
                    break
            return found
        if word == "*":
            return [(path, "*")]
        if word == "as":
            return [(path, words[at + 1])]
        if word == "self" and path and prefix:
            pass  # `{self, ...}` is the module itself
        elif word != "::":
            path.append(word)
        at += 1
    return [(path, path[-1])]


def components(edges):
    """Returns the strongly connected components with more than one file."""
    order, seen = [], set()

    def walk(start, following, leave):
        stack = [(start, iter(following(start)))]
        seen.add(start)
        while stack:
            node, rest = stack[-1]
            child = next((child for child in rest if child not in seen), None)
            if child is None:
                stack.pop()
                leave(node)
            else:
                seen.add(child)
                stack.append((child, iter(following(child))))

    back = defaultdict(set)
    for file, targets in edges.items():
        for target in targets:
            back[target].add(file)
    nodes = sorted(set(edges) | set(back))
    for node in nodes:
        if node not in seen:
            walk(node, lambda it: sorted(edges.get(it, ())), order.append)
    seen.clear()
    found = []
    for node in reversed(order):
        if node not in seen:
            group = []
            walk(node, lambda it: sorted(back[it]), group.append)
            if len(group) > 1:
                found.append(sorted(group))
    return found


def shortest(edges, group, start, end):
    """Returns the shortest path from `start` to `end` within a component."""
    previous, queue = {start: None}, deque([start])
    while queue:
        node = queue.popleft()
        if node == end:
            path = []
            while node is not None:
                path.append(node)
                node = previous[node]
            return path[::-1]
        for child in sorted(edges[node]):
            if child in group and child not in previous:
                previous[child] = node
                queue.append(child)
    return []


def main():
    arguments = [it for it in sys.argv[1:] if it != "-v"]
    default = Path(__file__).resolve().parent.parent / "src"
    crate = Crate(Path(arguments[0]) if arguments else default)
    edges = crate.edges()
    name = lambda file: str(file.relative_to(crate.src))

    def show(file, target):
        uses = sorted(edges[file][target], key=lambda use: use[1])
        sample = ", ".join(f"{path} (line {line})" for path, line in uses[:3])
        more = f", {len(uses) - 3} more" if len(uses) > 3 else ""
        print(f"  {name(file)} -> {name(target)}: {sample}{more}")

    if "-v" in sys.argv:
        for file in sorted(edges):
            for target in sorted(edges[file]):
                show(file, target)

    # Every edge of a component is on a cycle: the shortest through each names them all.
    cycles = {}
    groups = components(edges)
    for group in groups:
        for file in group:
            for target in sorted(set(edges[file]) & set(group)):
                path = shortest(edges, set(group), target, file)
                first = path.index(min(path))
                path = path[first:] + path[:first]
                cycles.setdefault(tuple(path))
    for cycle in sorted(cycles, key=lambda it: (len(it), it)):
        print("cycle: " + " -> ".join(name(file) for file in [*cycle, cycle[0]]))
        for file, target in zip(cycle, [*cycle[1:], cycle[0]]):
            show(file, target)
    count = sum(len(targets) for targets in edges.values())
    print(f"{len(crate.files)} files, {count} edges, {len(cycles)} cycles")
    return 1 if cycles else 0


if __name__ == "__main__":
    sys.exit(main())
