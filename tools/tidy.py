#!/usr/bin/env python3
"""Checks the house rules that compilers and formatters do not know.

    tidy.py [ROOT]         prints one line for each violation; exit status 1 if there is any
    tidy.py --self-check   plants one violation of each rule and demands that it is found
"""
import re
import sys
import tempfile
from pathlib import Path

LAYERS = ("stack", "runtime", "pool", "io", "channels")
FOLDERS = LAYERS + ("tests", "examples", "bench", "tools", "docs")
SUFFIXES = {".hpp", ".cpp", ".h", ".c", ".py", ".sh", ".build"}
CPP = {".hpp", ".cpp"}

COLUMNS_MAX = 100
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
COMMENT_REACH = 4  # lines above an access in which its ordering is explained

UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")  # in halves, or this file breaks the rule
SYNCHRONIZING = re.compile(r"\bmemory_order(?:_|::)(?:acquire|release|acq_rel|seq_cst)\b")
EXPLAINED = re.compile(r"//.*(?:Pairs with|\[[A-Z][A-Z0-9]*'*\])")
FOREIGN_INCLUDE = re.compile(r"#\s*include\s*[<\"](?:boost/|liburing|linux/io_uring|sys/epoll)")
BOOST_INCLUDE = re.compile(r"#\s*include\s*[<\"]boost/")
EXCEPTIONS = re.compile(r"\b(?:try|throw|catch)\b")
# Longest first: raw strings, comments, strings, characters.
NOT_CODE = re.compile(
    r'R"(?P<tag>[^()\s]*)\(.*?\)(?P=tag)"|//[^\n]*|/\*.*?\*/'
    r'|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)
SCOPE = re.compile(r"(?:^|[\s>])(?:namespace|class|struct|union|enum|extern)\b"
                   r"(?![^{]*\)\s*(?:const|noexcept|override|final|mutable|\s)*$)")


def code_only(text):
    """`text` with comments and literals blanked and every line kept."""
    return NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def long_functions(code):
    """Yields (first line, lines) of each outermost function body that is too long."""
    code = re.sub(r"^[ \t]*#.*(?:\\\n.*)*", lambda m: re.sub(r"[^\n]", " ", m.group()), code,
                  flags=re.M)
    blocks, head, line, head_line = [], "", 1, 1
    for c in code:
        if c == "{":
            outermost = all(kind == "scope" for kind, _ in blocks)
            if SCOPE.search(head):
                kind = "scope"
            else:
                kind = "function" if outermost and "(" in head else "block"
            blocks.append((kind, head_line))
            head = ""
        elif c == "}":
            if blocks:
                kind, first = blocks.pop()
                if kind == "function" and line - first + 1 > FUNCTION_LINES_MAX:
                    yield first, line - first + 1
            head = ""
        elif c == ";":
            head = ""
        elif head or not c.isspace():
            head_line = head_line if head else line
            head += c
        line += c == "\n"


def check_text(path, lines):
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield number, f"more than {COLUMNS_MAX} columns"
        if UNFINISHED.search(line):
            yield number, "unfinished business belongs in the tracker"
        if line != line.rstrip():
            yield number, "blank at the end of the line"


def check_cpp(path, lines, code, explained):
    for number, line in enumerate(code.splitlines(), 1):
        if "memory_order_consume" in line or "memory_order::consume" in line:
            yield number, "memory_order_consume is banned"
        if explained and SYNCHRONIZING.search(line):
            reach = lines[max(0, number - 1 - COMMENT_REACH):number]
            if not any(EXPLAINED.search(above) for above in reach):
                yield number, f'no comment with "Pairs with" within {COMMENT_REACH} lines above'
    for number, length in long_functions(code):
        yield number, f"function of {length} lines, more than {FUNCTION_LINES_MAX}"


def check_library(path, lines, code, public):
    if len(lines) > FILE_LINES_MAX:
        yield len(lines), f"more than {FILE_LINES_MAX} lines"
    for number, line in enumerate(lines, 1):
        if BOOST_INCLUDE.search(line) and path.name != "context.hpp":
            yield number, "only context.hpp includes Boost"
        if public and FOREIGN_INCLUDE.search(line):
            yield number, "Boost, liburing and epoll stay out of public headers"
    if public:
        for number, line in enumerate(code.splitlines(), 1):
            if EXCEPTIONS.search(line):
                yield number, "no try, throw or catch in public headers"


def check_lists(root):
    """Each source and public header of a layer is named in the layer's meson.build."""
    for layer in LAYERS:
        listed = root / layer / "meson.build"
        text = listed.read_text() if listed.exists() else ""
        for path in sorted((root / layer).glob("*.cpp")) + sorted((root / layer).glob("wire/**/*")):
            name = path.relative_to(root / layer).as_posix()
            if path.is_file() and f"'{name}'" not in text:
                yield listed.relative_to(root), 1, f"does not name {name}"


def check_tree(root):
    """Yields (path, line, sentence) for each violation below `root`."""
    files = [p for folder in FOLDERS for p in sorted((root / folder).rglob("*"))]
    files += sorted(root.glob("meson*"))
    for path in files:
        if path.suffix not in SUFFIXES and path.name != "meson_options.txt":
            continue
        name = path.relative_to(root)
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        found = list(check_text(name, lines))
        if path.suffix in CPP:
            code = code_only(text)
            library = name.parts[0] in LAYERS
            found += check_cpp(name, lines, code, explained=library)
            if library:
                found += check_library(name, lines, code, public=name.parts[1] == "wire")
        yield from ((name, number, sentence) for number, sentence in found)
    yield from check_lists(root)


ACQUIRE = "    x.load(std::memory_order_acquire);\n"
LONG_BODY = "    f();\n" * FUNCTION_LINES_MAX
# file, its text, and what must be said about it; None: nothing.
PLANTED = [
    ("io/a.cpp", "//" + "x" * COLUMNS_MAX + "\n", "columns"),
    ("io/b.cpp", "int a;\n" * (FILE_LINES_MAX + 1), "more than 500 lines"),
    ("io/c.cpp", "void f() {\n" + LONG_BODY + "}\n", "function of 72 lines"),
    ("io/d.cpp", "struct s {\n    int f() const noexcept {\n" + LONG_BODY + "    }\n};\n",
     "function of 72 lines"),
    ("io/e.cpp", "auto f = std::memory_order_consume;\n", "consume"),
    ("io/f.cpp", "// [F] pairs\n" + "\n" * COMMENT_REACH + ACQUIRE, "Pairs with"),
    ("io/g.cpp", "auto s = \"Pairs with\";\n" + ACQUIRE, "Pairs with"),
    ("io/h.cpp", "#include <boost/context/fiber.hpp>\n", "only context.hpp"),
    ("io/wire/i.hpp", "#include <sys/epoll.h>\n", "epoll"),
    ("io/wire/j.hpp", "inline void f() { throw 1; }\n", "throw"),
    ("io/k.cpp", "// TO" "DO: everything\n", "unfinished"),
    ("io/l.cpp", "int a; \n", "blank"),
    ("io/unlisted.cpp", "int a;\n", "does not name unlisted.cpp"),
    ("io/m.cpp", "// [F] acquire: what f() wrote. Pairs with [F'].\n" + ACQUIRE, None),
    ("io/n.cpp", "namespace a {\n" + "int b;\n" * 80 + "}\n", None),
    ("io/o.cpp", "struct alignas(64) s {\n" + "    int b;\n" * 80 + "};\n", None),
    ("io/wire/p.hpp", "// would throw, and \"try\" too\nauto s = \"catch\";\n", None),
    ("io/context.hpp", "#include <boost/context/detail/fcontext.hpp>\n", None),
    ("io/q.cpp", "void f() {\n    g('\"', 1'000, \"//\");\n}\nvoid h() {\n" + "f();\n" * 60 + "}\n",
     None),
]


def self_check():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text, _ in PLANTED:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        listed = [name.removeprefix("io/") for name, _, _ in PLANTED if "unlisted" not in name]
        (root / "io/meson.build").write_text("".join(f"'{name}'\n" for name in listed))
        found = [f"{name}: {sentence}" for name, _, sentence in check_tree(root)]
    wrong = 0
    for name, _, expected in PLANTED:
        said = [f for f in found if f.startswith(name)] + [f for f in found if "unlisted" in name
                                                           and "unlisted" in f]
        right = any(expected in f for f in said) if expected else not said
        if not right:
            print(f"{name}: expected {expected or 'nothing'}, found {said or 'nothing'}")
            wrong += 1
    return wrong


def main(arguments):
    if arguments == ["--self-check"]:
        return 1 if self_check() else 0
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent)
    violations = list(check_tree(root))
    for name, number, sentence in violations:
        print(f"{name}:{number}: {sentence}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
