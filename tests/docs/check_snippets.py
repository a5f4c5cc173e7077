#!/usr/bin/env python3
"""Checks what the documents say that a program can check.

    check_snippets.py SOURCE_DIR [COMPILER FLAG...]
    check_snippets.py --extract SOURCE DOCUMENT
    check_snippets.py --outputs PROGRAM DOCUMENT
    check_snippets.py --self-check [COMPILER]

In README.md, CONTRIBUTING.md and docs/*.md of SOURCE_DIR:
  - a code block after `<!-- file: PATH -->` equals that file;
  - a ```cpp block after `<!-- compile -->` compiles as it stands: COMPILER FLAG... -fsyntax-only is
    run on it. Without a COMPILER nothing is compiled;
  - relative links lead to files, and their anchors to headings;
  - after `<!-- tests -->` each backticked name in the last column of the table that follows is a
    TEST_CASE of tests/*_test.cpp, or `FILE.py: METHOD` of tests/e2e/;
  - the ```cpp block after `<!-- run: NAME -->` is a program, and the next code block, a ```text, is
    what it prints. Only docs/guide.md has such: meson.build of this folder builds and runs them.
Every marker must be of use: one that is followed by something else is an error.

--extract writes all programs of DOCUMENT into one SOURCE; what is made of it runs the program whose
name it is given. --outputs runs PROGRAM for each: the status must be 0, and the output as DOCUMENT
shows it.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

FENCE = re.compile(r"^```(\w*)\s*$")
MARKER = re.compile(r"^<!--\s*(compile|file|run|tests)(?::\s*(\S+))?\s*-->\s*$")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$")
TEST_CASE = re.compile(r'TEST_CASE\(\s*"((?:[^"\\]|\\.)*)"')
TEST_METHOD = re.compile(r"^\s+def (test_\w+)\(", re.MULTILINE)


RUN_IN = "guide.md"


class Document:
    """The lines of a file, split into prose and marked blocks."""

    def __init__(self, path, text):
        self.path = path
        self.prose = []  # (line number, text), code left out
        self.blocks = []  # (line number, marker, argument, language, code); after "run" "output"
        self.tables = []  # (line number, text) of the lines of tables after <!-- tests -->
        self.errors = []
        self._read(text.splitlines())

    def _read(self, lines):
        marker, i = None, 0
        while i < len(lines):
            number, line = i + 1, lines[i]
            fence, found = FENCE.match(line), MARKER.match(line)
            if fence:
                end = next((k for k in range(i + 1, len(lines)) if lines[k].strip() == "```"), None)
                if end is None:
                    return self._error(number, "a code block without an end")
                if not marker and self.blocks and self.blocks[-1][1] == "run":
                    marker = ("output", None)
                if marker and marker[0] != "tests":
                    code = "".join(text + "\n" for text in lines[i + 1:end])
                    self.blocks.append((number, *marker, fence[1], code))
                    marker = None
                i = end
            elif found:
                if marker:
                    self._error(number, "two markers in a row")
                marker = (found[1], found[2])
            elif marker and marker[0] == "tests" and line.startswith("|"):
                self.tables.append((number, line))
                if i + 1 == len(lines) or not lines[i + 1].startswith("|"):
                    marker = None
            elif line.strip() and marker:
                self._error(number, f"something else follows the marker <!-- {marker[0]} -->")
                marker = None
            self.prose.append((number, line))
            i += 1
        if marker:
            self._error(len(lines), f"nothing follows the marker <!-- {marker[0]} -->")

    def _error(self, number, text):
        self.errors.append(f"{self.path}:{number}: {text}")


def anchor_of(heading):
    """The anchor that GitHub and GitLab make of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def headings(path):
    document = Document(path, path.read_text())
    return {anchor_of(m[1]) for _, line in document.prose if (m := HEADING.match(line))}


def check_links(document):
    for number, line in document.prose:
        for target in LINK.findall(re.sub(r"`[^`]*`", "", line)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (document.path.parent / name) if name else document.path
            if not path.exists():
                yield f"{document.path}:{number}: no such file: {target}"
            elif anchor and path.suffix == ".md" and anchor not in headings(path):
                yield f"{document.path}:{number}: no such heading: {target}"


def check_files(document, root):
    for number, kind, argument, _, code in document.blocks:
        if kind != "file":
            continue
        path = root / (argument or "")
        if not path.is_file():
            yield f"{document.path}:{number}: no such file: {argument}"
        elif path.read_text() != code:
            yield f"{document.path}:{number}: this block differs from {argument}"


def compile_blocks(document, compiler):
    for number, kind, _, language, code in document.blocks:
        if kind != "compile":
            continue
        if language != "cpp":
            yield f"{document.path}:{number}: <!-- compile --> is for ```cpp blocks"
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "snippet.cpp"
            source.write_text(f'#line {number + 1} "{document.path}"\n{code}')
            run = subprocess.run([*compiler, "-fsyntax-only", str(source)], capture_output=True,
                                 text=True)
        if run.returncode != 0:
            yield f"{document.path}:{number}: this block does not compile:\n{run.stderr}"


def programs(document):
    """(program, output) for each block to run, whatever check_programs() says of them."""
    for block, after in zip(document.blocks, [*document.blocks[1:], None]):
        if block[1] == "run":
            yield block, after if after and after[1] == "output" else None


def check_programs(document):
    names = set()
    for (number, _, name, language, _), output in programs(document):
        place = f"{document.path}:{number}"
        if document.path.name != RUN_IN:
            yield f"{place}: only the programs of {RUN_IN} are run"
        if language != "cpp" or not re.fullmatch(r"\w+", name or ""):
            yield f"{place}: <!-- run: NAME --> is for ```cpp blocks"
        if not output or output[3] != "text":
            yield f"{place}: the next code block is no ```text that says what {name} prints"
        if name in names:
            yield f"{place}: the second program with the name {name}"
        names.add(name)


def read_programs(path):
    """The programs of a document that is sound, or the end."""
    document = Document(path, path.read_text())
    if errors := [*document.errors, *check_programs(document)]:
        sys.exit("\n".join(errors))
    return {block[2]: (block, output) for block, output in programs(document)}


def extract(source, path):
    """All programs in one source, to compile the headers once: each in a namespace of its own, with
    the lines of the document, and a main() that calls the one that it is told."""
    found = read_programs(path)
    includes, spaces, calls = set(), [], []
    for name, ((number, *_, code), _) in found.items():
        lines = code.splitlines()
        includes.update(line for line in lines if line.startswith("#include"))
        body = "\n".join("" if line.startswith("#include") else line for line in lines)
        spaces.append(f'namespace step_{name} {{\n#line {number + 1} "{path}"\n{body}\n}}\n')
        calls.append(f'    if (name == "{name}") return step_{name}::main();\n')
    source.write_text("\n".join(sorted(includes)) + "\n#include <string_view>\n\n" + "".join(spaces)
                      + "int main(int, char** argv) {\n    const std::string_view name(argv[1]);\n"
                      + "".join(calls) + "    return 2;\n}\n")


def check_outputs(program, path):
    """What is wrong with the programs' outputs, and how many programs there are."""
    errors, found = [], read_programs(path)
    for name, (_, (number, *_, expected)) in found.items():
        try:
            run = subprocess.run([program.resolve(), name], stdin=subprocess.DEVNULL, text=True,
                                 capture_output=True, timeout=30)
            said, printed, complaint = f"exit status {run.returncode}", run.stdout, run.stderr
            fine = run.returncode == 0 and printed == expected
        except (OSError, subprocess.TimeoutExpired) as error:
            said, printed, complaint, fine = str(error), "", "", False
        if not fine:
            errors.append(f"{path}:{number}: {name}: {said}\n--- shown\n{expected}"
                          f"--- printed\n{printed}--- standard error\n{complaint}")
    return errors, len(found)


def test_names(root):
    names = {m[1] for source in (root / "tests").glob("*_test.cpp")
             for m in TEST_CASE.finditer(source.read_text())}
    return names | {f"{source.name}: {m[1]}" for source in (root / "tests" / "e2e").glob("*.py")
                    for m in TEST_METHOD.finditer(source.read_text())}


def check_tests(document, known):
    for number, line in document.tables:
        last = line.rstrip().rstrip("|").rpartition("|")[2]
        for name in re.findall(r"`([^`]*)`", last):
            if name not in known:
                yield f"{document.path}:{number}: no such test: {name}"


def check(root, compiler):
    paths = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]
    errors, compiled, known = [], 0, test_names(root)
    for path in paths:
        if not path.exists():
            continue
        document = Document(path, path.read_text())
        errors += document.errors
        errors += check_links(document)
        errors += check_files(document, root)
        errors += check_programs(document)
        errors += check_tests(document, known)
        if compiler:
            errors += compile_blocks(document, compiler)
        compiled += sum(kind == "compile" for _, kind, *_ in document.blocks)
    return errors, compiled


def planted_outputs(folder):
    """What is missed of programs that do not what is shown."""
    block = "<!-- run: p -->\n```cpp\n```\nIt prints\n```text\n{}```\n"
    for name, script, shown, expected in (
            ("good", "echo a; echo b", "a\nb\n", None), ("silent", ":", "", None),
            ("other", "echo c", "a\n", "--- printed\nc"), ("fails", "exit 3", "", "status 3"),
            ("longer", "echo a; echo b", "a\n", "--- printed\na\nb"),
            ("gone", None, "", "No such")):
        path = folder / name / RUN_IN
        path.parent.mkdir()
        path.write_text(block.format(shown))
        if script:
            (path.parent / "p").write_text(f"#!/bin/sh\n{script}\n")
            (path.parent / "p").chmod(0o755)
        errors, count = check_outputs(path.parent / "p", path)
        if count != 1 or bool(errors) != bool(expected) or (errors and expected not in errors[0]):
            yield f"planted the output «{name}», found {errors}"


def self_check(compiler):
    """Every kind of mistake must be found."""
    program, output = "<!-- run: x -->\n```cpp\nint x;\n```\n", "```text\na\n```\n"
    planted = {
        "no such file: gone.md": "[a](gone.md)\n",
        "no such heading": "# One\n[a](#two)\n",
        "differs from": "<!-- file: same.txt -->\n```\nother\n```\n",
        "does not compile": "<!-- compile -->\n```cpp\nint main() { return x; }\n```\n",
        "is for ```cpp": "<!-- compile -->\n```sh\nls\n```\n",
        "something else follows": "<!-- compile -->\ntext\n",
        "nothing follows": "<!-- compile -->\n",
        "without an end": "```cpp\nint x;\n",
        "is no ```text": program + "text\n" + output.replace("text", "sh"),
        "that says what x prints": program + "text\n",
        "<!-- run: NAME -->": program.replace("cpp", "sh") + output,
        "is for ```cpp blocks": program.replace(": x", "") + output,
        "the second program": (program + output) * 2,
        "no such test": "<!-- tests -->\n| `x` | `a: b` |\n| `x` | `a: c` |\n",
    }
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "docs").mkdir()
        (root / "tests").mkdir()
        (root / "same.txt").write_text("same\n")
        (root / "tests" / "a_test.cpp").write_text('TEST_CASE("a: b") {}\n')
        (root / "README.md").write_text(
            "# One, two\n[a](#one-two) [b](same.txt) `[c](x)`\n"
            "<!-- file: same.txt -->\n```\nsame\n```\n"
            "<!-- compile -->\n```cpp\nint main() {}\n```\n<!-- tests -->\n| `a: b` |\n")
        fine, _ = check(root, compiler)
        missed = [f"said of a good document: {e}" for e in fine]
        for message, text in planted.items():
            (root / "docs" / RUN_IN).write_text(text)
            errors, _ = check(root, compiler)
            if len(errors) != 1 or message not in errors[0]:
                missed.append(f"planted «{message}», found {errors}")
        missed += planted_outputs(root)
        (root / "docs" / RUN_IN).unlink()
        (root / "docs" / "a.md").write_text(program + output)
        if not any("are run" in error for error in check(root, compiler)[0]):
            missed.append(f"planted a program outside {RUN_IN}")
    return missed


def main():
    if sys.argv[1:2] == ["--self-check"]:
        errors, what = self_check(sys.argv[2:] or ["c++"]), "every planted mistake is found"
    elif sys.argv[1:2] == ["--extract"]:
        return extract(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    elif sys.argv[1:2] == ["--outputs"]:
        errors, count = check_outputs(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
        what = f"{count} programs print what is shown"
    elif len(sys.argv) < 2:
        sys.exit(__doc__)
    else:
        errors, compiled = check(pathlib.Path(sys.argv[1]), sys.argv[2:])
        what = f"the documents are sound; {compiled if sys.argv[2:] else 'no'} blocks compiled"
    print("\n".join(errors) or what)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
