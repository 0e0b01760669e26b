"""Holds the tree to the shape that the root README draws: which folder may include which, which may use which third
party, which program links what, and the limits of the house style that a script can check.

    WEFT_SOURCE=. WEFT_BIN=build/dev/bin python3 tests/arrows_test.py
"""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["WEFT_SOURCE"]).resolve()
PROGRAMS = pathlib.Path(os.environ["WEFT_BIN"]).resolve()

# part -> the parts that it may include beside itself. A file belongs to the part with the longest matching path.
ARROWS = {
    "proto": [],
    "kernels": [],
    "model/parameters": ["proto", "kernels"],
    "model/formats": ["proto", "model/parameters"],
    "tokenizer": ["proto"],
    "model": ["model/parameters", "model/formats", "kernels", "tokenizer", "proto"],
    "ops": ["proto", "model/formats", "model/parameters"],
    "coordinator/core": ["proto", "kernels", "model/parameters"],
    "worker/core": ["proto", "kernels", "model/parameters"],
    "coordinator": ["coordinator/core", "model/formats", "model/parameters", "proto", "kernels", "ops"],
    "worker/site": ["proto", "model/parameters"],
    "worker/gate": ["worker/core", "worker/site", "kernels", "model/parameters", "proto", "ops"],
    "worker/training": ["worker/site", "model", "tokenizer", "kernels", "proto", "model/parameters", "model/formats"],
    "eval": ["model", "tokenizer", "proto", "ops", "model/formats", "model/parameters"],
}
EVERYTHING = "tests"  # may include all of the above

# third party -> (what its headers are called, the folders that may include them)
THIRD_PARTIES = {
    "LibTorch": (r"(ATen|torch|c10|caffe2)/", ["model", "worker/training", "eval"]),
    "gRPC": (r"(grpc|grpcpp|grpc\+\+)/|.*\.grpc\.pb\.h$", ["coordinator/server", "worker/gate"]),
    "RocksDB": (r"rocksdb/", ["coordinator/store"]),
    "SentencePiece": (r"sentencepiece", ["tokenizer"]),
    "CUDA and NCCL": (r"(cuda|cublas|nccl)\w*\.h(pp)?$", ["kernels", "model", "worker/training"]),
}
# Third parties' headers that lie in no folder; every other include without one is ours, and lacks its path.
LONE_HEADERS = ["simdjson.h", "httplib.h", "zlib.h", "zstd.h", "sentencepiece_processor.h", "sentencepiece_trainer.h"]
# Parts below an allowed folder that are forbidden nevertheless: they are what small programs link.
WITHOUT_LIBTORCH = ["model/parameters", "model/formats"]

# program -> libraries that must not be among those it loads.
LIBTORCH = r"lib(torch|c10|caffe2)"
GRPC = r"lib(grpc|gpr)"
PROGRAM_LINKS = {
    "weft-tokenizer": [LIBTORCH, GRPC, "librocksdb"],
    "weft-ops": [LIBTORCH, GRPC, "librocksdb"],
    "weft-gate": [LIBTORCH, "librocksdb"],
    "weft-coordinator": [LIBTORCH],
    "weft-worker": [GRPC, "librocksdb"],
    "weft-model": [GRPC, "librocksdb"],
    "weft-eval": [GRPC, "librocksdb"],
}

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70


def sources(root):
    """Our C++ files, as (path from the root, lines)."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f != "build" and not f.startswith("."))
        for name in sorted(names):
            if name.endswith((".h", ".cc", ".cu", ".cuh")):
                path = pathlib.Path(folder, name)
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8").splitlines()


def includes(lines):
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(2), match.group(1) == '"'


def inside(path, folder):
    return path.startswith(folder + "/")


def part_of(path):
    """The part that a file (or an include by path from the root) belongs to; None: none of ours."""
    matching = [part for part in [*ARROWS, EVERYTHING] if inside(path, part)]
    return max(matching, key=len, default=None)


def arrow_violations(path, lines):
    """Includes of ours that the table does not allow."""
    part = part_of(path)
    if part is None:
        return [f"{path}: lies in none of the folders that the table knows"]
    found = []
    for number, included, quoted in includes(lines):
        target = part_of(included)
        if quoted and "/" not in included and included not in LONE_HEADERS:
            found.append(f'{path}:{number}: includes "{included}" without its path from the root')
        elif target and part != EVERYTHING and target != part and target not in ARROWS[part]:
            found.append(f"{path}:{number}: {part} may not include {target} ({included})")
    return found


def third_party_violations(path, lines):
    found = []
    for number, included, _ in includes(lines):
        for name, (pattern, folders) in THIRD_PARTIES.items():
            if part_of(included) and name != "gRPC" or not re.match(pattern, included):
                continue
            allowed = any(inside(path, folder) for folder in folders + [EVERYTHING])
            if name == "LibTorch" and part_of(path) in WITHOUT_LIBTORCH:
                allowed = False
            if not allowed:
                found.append(f"{path}:{number}: {name} may be included only in {', '.join(folders)} ({included})")
    return found


def sentencepiece_files(root):
    """Its public header defines absl::string_view of its own, so one file alone, tests included, may see it."""
    pattern = THIRD_PARTIES["SentencePiece"][0]
    return [path for path, lines in sources(root) if any(re.match(pattern, i) for _, i, _ in includes(lines))]


def functions(lines):
    """(first line, last line) of each function, as clang-format lays them out: at the left margin, in a class, in a class
    of a class. Blocks inside functions come too: they are shorter."""
    starts = {}
    for number, line in enumerate(lines, 1):
        indentation = len(line) - len(line.lstrip())
        if indentation not in (0, 2, 4):
            continue
        if line.strip() == "}" and indentation in starts:
            yield starts.pop(indentation), number
        elif re.match(r" *[A-Za-z_\[~]", line) and not line.startswith(("namespace", "template")):
            starts[indentation] = number


def limit_violations(path, lines):
    found = []
    if len(lines) > FILE_LINES_MAX:
        found.append(f"{path}: {len(lines)} lines, at most {FILE_LINES_MAX}: split it")
    for first, last in functions(lines):
        if last - first + 1 > FUNCTION_LINES_MAX:
            found.append(f"{path}:{first}: a function of {last - first + 1} lines, at most {FUNCTION_LINES_MAX}")
    if path.endswith(".h"):
        guard = "WEFT_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"
        if f"#ifndef {guard}" not in lines:
            found.append(f"{path}: its header guard is not {guard}")
        if not lines or not lines[0].startswith("//"):
            found.append(f"{path}: does not open with what it is")
    return found


def loaded_libraries(program):
    """The shared libraries that a program loads, those of its libraries included."""
    out = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True, timeout=30).stdout
    return [line.split()[0] for line in out.splitlines() if line.strip()]


def forbidden_links(libraries, patterns):
    return [library for library in libraries for pattern in patterns if re.match(pattern, os.path.basename(library))]


class Tree(unittest.TestCase):
    maxDiff = None

    def check(self, violations):
        files = list(sources(SOURCE))
        self.assertGreater(len(files), 50, "the sources were not found")
        found = [v for path, lines in files for v in violations(path, lines)]
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_folders_include_only_what_the_table_allows(self):
        self.check(arrow_violations)

    def test_third_parties_are_used_only_where_they_belong(self):
        self.check(third_party_violations)

    def test_one_file_includes_sentencepiece(self):
        found = sentencepiece_files(SOURCE)
        self.assertEqual(len(found), 1, found)

    def test_files_and_functions_keep_the_limits(self):
        self.check(limit_violations)

    def test_programs_link_only_what_they_may(self):
        for name, patterns in PROGRAM_LINKS.items():
            with self.subTest(program=name):
                program = PROGRAMS / name
                self.assertTrue(program.exists(), f"{program} is not built")
                libraries = loaded_libraries(program)
                self.assertTrue(any("libc.so" in library for library in libraries), libraries)
                self.assertEqual(forbidden_links(libraries, patterns), [])


class ArrowsThemselves(unittest.TestCase):
    """What the checks above are worth: each is fed what it must refuse, and what it must let pass."""

    def check(self, violations, path, include, refused):
        found = violations(path, ["// what it is", f"#include {include}"])
        self.assertEqual(bool(found), refused, (path, include, found))
        if refused:
            self.assertIn(f"{path}:2: ", found[0])

    def test_the_table_names_only_parts(self):
        for part, targets in ARROWS.items():
            for target in targets:
                self.assertIn(target, ARROWS, part)

    def test_no_arrow_leads_back(self):
        """Arrows form no circle, so that 'nothing calls back up' holds whatever the table becomes."""
        def below(part, seen=()):
            self.assertNotIn(part, seen, f"a circle: {' -> '.join([*seen, part])}")
            for target in ARROWS[part]:
                below(target, [*seen, part])
        for part in ARROWS:
            below(part)

    def test_refuses_arrows_that_the_table_does_not_have(self):
        for path, include, refused in [
                ("proto/a.cc", '"kernels/vector_ops.h"', True),
                ("kernels/a.cc", '"proto/check.h"', True),
                ("model/parameters/a.h", '"model/transformer.h"', True),
                ("model/formats/a.cc", '"model/parameters/b.h"', False),
                ("model/a.cc", '"model/formats/b.h"', False),
                ("coordinator/core/a.cc", '"coordinator/store/b.h"', True),
                ("coordinator/store/a.cc", '"coordinator/core/b.h"', False),
                ("worker/gate/a.cc", '"tokenizer/tokenizer.h"', True),
                ("worker/gate/a.cc", '"worker/training/b.h"', True),
                ("worker/training/a.cc", '"worker/gate/b.h"', True),
                ("worker/training/a.cc", '"ops/log.h"', True),
                ("tokenizer/a.cc", '"tokenizer/b.h"', False),
                ("tokenizer/a.cc", "<eval/b.h>", True),
                ("tests/eval/a.cc", '"worker/gate/b.h"', False),
                ("eval/a.cc", '"tests/model/b.h"', True),
                ("eval/a.cc", '"b.h"', True),
                ("eval/a.cc", '"simdjson.h"', False),
                ("eval/a.cc", '"absl/status/status.h"', False),
                ("eval/a.cc", "<vector>", False)]:
            self.check(arrow_violations, path, include, refused)
        self.assertTrue(arrow_violations("elsewhere/a.cc", []))

    def test_refuses_third_parties_where_they_do_not_belong(self):
        for path, include, refused in [
                ("worker/gate/a.cc", "<ATen/ATen.h>", True),
                ("worker/training/a.cc", "<torch/csrc/autograd/variable.h>", False),
                ("model/a.cc", '"ATen/core/Tensor.h"', False),
                ("model/formats/a.cc", '"c10/util/BFloat16.h"', True),
                ("worker/training/a.cc", '"grpcpp/grpcpp.h"', True),
                ("ops/a.cc", '"proto/coordinator.grpc.pb.h"', True),
                ("worker/gate/a.cc", '"proto/coordinator.grpc.pb.h"', False),
                ("coordinator/server/a.cc", "<grpcpp/server.h>", False),
                ("coordinator/a.cc", "<grpcpp/server.h>", True),
                ("coordinator/store/a.cc", '"rocksdb/db.h"', False),
                ("coordinator/server/a.cc", '"rocksdb/db.h"', True),
                ("eval/a.cc", "<sentencepiece_processor.h>", True),
                ("tokenizer/a.cc", "<sentencepiece_processor.h>", False),
                ("tokenizer/a.cc", '"tokenizer/sentencepiece_tokenizer.h"', False),
                ("worker/gate/a.cc", "<cuda_runtime.h>", True),
                ("kernels/a.cu", "<cuda_runtime.h>", False),
                ("tests/x/a.cc", "<grpcpp/grpcpp.h>", False)]:
            self.check(third_party_violations, path, include, refused)

    def test_finds_the_files_and_a_second_user_of_sentencepiece(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path in ["tokenizer/a.cc", "tests/tokenizer/b.cc", "build/dev/c.cc", ".git/d.cc", "tokenizer/e.py"]:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text("#include <sentencepiece_processor.h>\n")
            self.assertEqual(sentencepiece_files(root), ["tests/tokenizer/b.cc", "tokenizer/a.cc"])

    def test_refuses_what_is_too_long(self):
        def function(body_lines):
            return ["absl::Status Long(int a,", "                  int b) {", *["  a += b;"] * body_lines, "}"]
        self.assertEqual(limit_violations("eval/a.cc", function(FUNCTION_LINES_MAX - 3)), [])
        self.assertEqual(limit_violations("eval/a.cc", ["int x;", "", *function(FUNCTION_LINES_MAX - 2)]),
                         ["eval/a.cc:3: a function of 71 lines, at most 70"])
        for depth in (1, 2):
            member = ["  " * depth + line for line in function(FUNCTION_LINES_MAX - 2)]
            self.assertEqual(limit_violations("eval/a.cc", ["class A {", " public:", *member, "};"]),
                             ["eval/a.cc:3: a function of 71 lines, at most 70"])
        self.assertEqual(limit_violations("eval/a.cc", ["int x;"] * FILE_LINES_MAX), [])
        self.assertEqual(len(limit_violations("eval/a.cc", ["int x;"] * (FILE_LINES_MAX + 1))), 1)

    def test_refuses_a_header_of_another_name_or_without_a_word(self):
        good = ["// What it is.", "#ifndef WEFT_EVAL_A_B_H_"]
        self.assertEqual(limit_violations("eval/a_b.h", good), [])
        self.assertEqual(len(limit_violations("eval/other.h", good)), 1)
        self.assertEqual(len(limit_violations("eval/a_b.h", good[1:])), 1)

    def test_refuses_a_forbidden_library(self):
        self.assertEqual(forbidden_links(["libtorch_cpu.so", "libc.so.6"], [LIBTORCH, GRPC]), ["libtorch_cpu.so"])
        self.assertEqual(forbidden_links(["/x/libgrpc++.so.1.51", "libgpr.so.29"], [GRPC]),
                         ["/x/libgrpc++.so.1.51", "libgpr.so.29"])
        self.assertEqual(forbidden_links(["libprotobuf.so.32", "libc.so.6"], [LIBTORCH, GRPC]), [])


if __name__ == "__main__":
    unittest.main()
