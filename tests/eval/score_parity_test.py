"""weft-eval against transformers: the same models, texts and questions, scored by both.

The oracle shares nothing with weft-eval but the files it reads: tokens are AutoTokenizer's, log-probabilities those of
AutoModelForCausalLM, and windows those of tests/testing/rolling_windows.py.
"""
import hashlib
import json
import math
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import unittest

import torch
import transformers

from rolling_windows import rolling_windows

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()

PROGRAMS = pathlib.Path(os.environ["WEFT_BIN"])
CONTEXT = 48
FORMS = ["qwen3", "llama"]  # made by transformers, with large random weights; a third is made by weft-model
BEGIN = 1

SCRIPTS = {
    "latin": "ba de ki lo mu na pe ri so tü vé zå schon über Straße naïve",
    "cyrillic": "ба де ки ло му на пе ри со привіт світ їжак місто",
    "arabic": "سلام عالم كتاب مدينة نهر شمس قمر بيت",
    "devanagari": "नमस्ते दुनिया किताब नदी शहर सूरज घर पानी",
    "han": "世界 你好 山水 天地 日月 人民 大小 中国 学习",
    "hangul": "안녕 세계 도시 강물 하늘 사람 책상 바다",
    "symbols": "🙂 42 3.14 x=y; (a) \"q\" — … €5 \t",
}


def make_text(script, words, seed):
    draw = random.Random(f"{script} {seed}")
    inventory = SCRIPTS[script].split(" ")
    out = []
    for _ in range(words):
        out.append(draw.choice(inventory) + draw.choice(["", "", draw.choice(inventory)]))
        out.append(draw.choice([" ", " ", " ", ", ", ".\n", "  "]))
    return "".join(out)


def run(program, *arguments):
    return subprocess.run([str(PROGRAMS / program), *map(str, arguments)], capture_output=True, timeout=60)


def checked(program, *arguments):
    done = run(program, *arguments)
    if done.returncode != 0:
        raise AssertionError(f"{program} {arguments}: exit {done.returncode}\n{done.stderr.decode()}")
    return done.stdout.decode()


def make_model(folder, tokenizer, form):
    """A model with random weights, large enough that its predictions are far from uniform."""
    shapes = dict(vocab_size=512, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, head_dim=16, max_position_embeddings=CONTEXT, rms_norm_eps=1e-6,
                  bos_token_id=BEGIN, eos_token_id=2, dtype="float32",
                  rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
    torch.manual_seed(1)
    if form == "qwen3":
        model = transformers.Qwen3ForCausalLM(transformers.Qwen3Config(tie_word_embeddings=True, **shapes))
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(tie_word_embeddings=False, **shapes))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(mean=1.0 if "norm" in name else 0.0, std=0.15)
    model.save_pretrained(folder)
    for file in pathlib.Path(tokenizer).iterdir():
        shutil.copy(file, folder)


class Oracle:
    def __init__(self, folder):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def encode(self, text):
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def log_likelihood(self, context, predicted):
        with torch.no_grad():
            logits = self.model(torch.tensor([(context + predicted)[:-1]])).logits[0]
        values = torch.log_softmax(logits.float(), dim=-1)[-len(predicted):]
        return values.gather(1, torch.tensor(predicted)[:, None]).double().sum().item()

    def score_text(self, documents, length=CONTEXT):
        tokens = [self.encode(document) for document in documents]
        total = sum(self.log_likelihood(*pair) for t in tokens for pair in rolling_windows(t, BEGIN, length))
        size = sum(len(document.encode()) for document in documents)
        return {"tokens": sum(map(len, tokens)), "bytes": size, "log_likelihood": total,
                "bits_per_byte": -total / size / math.log(2)}

    def score_choice(self, context, continuation):
        stripped = context.rstrip()
        continuation = context[len(stripped):] + continuation
        before = self.encode(stripped) if stripped else []
        predicted = self.encode(stripped + continuation)[len(before):]
        sequence = ((before or [BEGIN]) + predicted)[-(CONTEXT + 1):]
        return self.log_likelihood(sequence[:-len(predicted)], predicted)


class ParityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        training = cls.path / "training.txt"
        training.write_text("".join(make_text(script, 400, "train") for script in SCRIPTS))
        checked("weft-tokenizer", "train", "--vocabulary", 512, "--out", cls.path / "tokenizer", training)
        cls.oracles = {}
        for form in FORMS:
            make_model(cls.path / form, cls.path / "tokenizer", form)
            cls.oracles[form] = Oracle(cls.path / form)
        checked("weft-model", "init", "--tokenizer", cls.path / "tokenizer", "--out", cls.path / "ours", "--seed", 3,
                "--hidden", 64, "--layers", 2, "--context", CONTEXT)
        cls.oracles["ours"] = Oracle(cls.path / "ours")
        cls.texts = {script: make_text(script, 150, "score") for script in SCRIPTS}
        cls.texts["mixed"] = "".join(make_text(script, 20, "mixed") for script in SCRIPTS)
        cls.texts["short"] = "Grüße, 世界 🙂"
        for name, text in cls.texts.items():
            (cls.path / name).write_text(text)

    def score(self, form, *arguments):
        report = self.path / "report.json"
        checked("weft-eval", "run", "--model", self.path / form, "--json", report, "--threads", 1, *arguments)
        return json.loads(report.read_text())

    def assert_scores(self, score, expected):
        self.assertEqual(score["tokens"], expected["tokens"])
        self.assertEqual(score["bytes"], expected["bytes"])
        self.assertLess(abs(score["log_likelihood"] - expected["log_likelihood"]) / expected["tokens"], 1e-5)
        self.assertLess(abs(score["bits_per_byte"] - expected["bits_per_byte"]), 1e-5)

    def test_texts_score_as_in_transformers(self):
        arguments = [x for name in self.texts for x in ("--text", self.path / name)]
        for form, oracle in self.oracles.items():
            expected = {name: oracle.score_text([text]) for name, text in self.texts.items()}
            self.assertLess(expected["short"]["tokens"], CONTEXT)
            self.assertGreater(expected["latin"]["tokens"], 3 * CONTEXT)
            reports = [self.score(form, *arguments, "--batch", batch) for batch in [1, 5]]
            for report in reports:
                self.assertEqual([text["name"] for text in report["texts"]], list(self.texts))
                for text in report["texts"]:
                    with self.subTest(form=form, text=text["name"], batch=report["settings"]["batch"]):
                        self.assert_scores(text, expected[text["name"]])
                total = {key: sum(e[key] for e in expected.values()) for key in ["tokens", "bytes", "log_likelihood"]}
                total["bits_per_byte"] = -total["log_likelihood"] / total["bytes"] / math.log(2)
                self.assert_scores(report["pooled"], total)
            if form in FORMS:
                # Parity of models that predict nothing, as new ones of ours do, would prove little.
                self.assertGreater(abs(reports[0]["texts"][0]["nats_per_token"] - math.log(512)), 0.2)

    def test_shorter_windows_score_as_in_transformers(self):
        expected = self.oracles["qwen3"].score_text([self.texts["mixed"]], length=17)
        report = self.score("qwen3", "--text", self.path / "mixed", "--context-length", 17)
        self.assertEqual(report["settings"]["context_length"], 17)
        self.assertEqual(report["texts"][0]["windows"], math.ceil(expected["tokens"] / 17))
        self.assert_scores(report["texts"][0], expected)

    def test_documents_between_blank_lines_score_as_in_transformers(self):
        documents = ["\n".join(text.split("\n")[:3]) for text in self.texts.values()]
        documents = [d.replace("\n \n", "\n") for d in documents if d.strip()]
        (self.path / "documents").write_text("\n\n".join(documents) + "\n")
        report = self.score("llama", "--text", f"docs={self.path / 'documents'}", "--documents", "blank-lines")
        text = report["texts"][0]
        self.assertEqual((text["name"], text["documents"]), ("docs", len(documents)))
        self.assert_scores(text, self.oracles["llama"].score_text(documents))

    def test_questions_score_as_in_transformers(self):
        draw = random.Random(5)
        questions = []
        for i in range(60):
            script = draw.choice(list(SCRIPTS))
            prompt = draw.choice(["", "?", *[make_text(script, n, i).rstrip() for n in (3, 9, 40)]])
            choices = [make_text(script, 1 + draw.randrange(3), f"{i} {c}").strip() for c in range(2 + i % 3)]
            ending = " " if prompt and i % 4 == 0 else ""
            questions.append({"prompt": prompt + ending, "choices": choices, "answer": draw.randrange(len(choices))})
        path = self.path / "quiz.jsonl"
        path.write_text("".join(json.dumps(q, ensure_ascii=i % 2 == 0) + "\n" for i, q in enumerate(questions)))
        for form in FORMS:  # "ours" would choose by rounding: its choices are nearly equal
            oracle = self.oracles[form]
            right = right_norm = 0
            for q in questions:
                joined = "" if not q["prompt"] or q["prompt"].endswith(" ") else " "
                sums = [oracle.score_choice(q["prompt"], joined + choice) for choice in q["choices"]]
                norms = [s / len(choice) for s, choice in zip(sums, q["choices"])]
                right += sums.index(max(sums)) == q["answer"]
                right_norm += norms.index(max(norms)) == q["answer"]
            score = self.score(form, "--questions", path)["questions"][0]
            n = len(questions)
            self.assertEqual((score["name"], score["questions"]), ("quiz.jsonl", n))
            self.assertAlmostEqual(score["acc"], right / n)
            self.assertAlmostEqual(score["acc_norm"], right_norm / n)
            self.assertAlmostEqual(score["acc_stderr"], math.sqrt(right / n * (1 - right / n) / (n - 1)))

    def test_the_report_holds_every_promised_key(self):
        (self.path / "one.jsonl").write_text('{"prompt": "a", "choices": ["b", "c"], "answer": 0}')
        printed = checked("weft-eval", "run", "--model", self.path / "qwen3", "--text", self.path / "mixed",
                          "--questions", f"one={self.path / 'one.jsonl'}", "--json", "-")
        report = json.loads(printed)
        scores = {"bits_per_byte", "standard_error", "interval_95", "nats_per_token", "perplexity_per_token",
                  "log_likelihood", "tokens", "bytes", "file_bytes", "documents", "windows", "seconds",
                  "tokens_per_second"}
        self.assertEqual(set(report), {"report_version", "model", "settings", "texts", "pooled", "questions"})
        self.assertEqual(set(report["model"]), {"folder", "architecture", "parameters", "vocabulary_size",
                                                "context_length", "layout_digest", "vector_digest", "tokenizer_sha256"})
        self.assertEqual(set(report["settings"]), {"context_length", "batch", "threads", "device", "documents"})
        self.assertEqual(set(report["texts"][0]), scores | {"name", "path", "sha256"})
        self.assertEqual(set(report["pooled"]), scores)
        self.assertEqual(set(report["questions"][0]), {"name", "path", "sha256", "file_bytes", "questions", "choices",
                                                       "truncated", "acc", "acc_stderr", "acc_norm", "acc_norm_stderr",
                                                       "tokens", "seconds", "tokens_per_second"})
        text = report["texts"][0]
        self.assertEqual(text["sha256"], hashlib.sha256((self.path / "mixed").read_bytes()).hexdigest())
        self.assertEqual(report["model"]["tokenizer_sha256"],
                         hashlib.sha256((self.path / "qwen3/tokenizer.model").read_bytes()).hexdigest())
        self.assertEqual(report["model"]["parameters"], self.oracles["qwen3"].model.num_parameters())
        self.assertLess(text["interval_95"][0], text["bits_per_byte"])
        self.assertGreater(text["interval_95"][1], text["bits_per_byte"])

    def test_tables_name_each_text_and_the_pool(self):
        printed = checked("weft-eval", "run", "--model", self.path / "llama", "--text", self.path / "short", "--text",
                          f"two={self.path / 'mixed'}")
        for words in ["LlamaForCausalLM", "bits/byte", "\nshort ", "\ntwo ", "\npooled ", "- (one window)"]:
            self.assertIn(words, printed)

    def refuse(self, words, *arguments, code=1, model="qwen3"):
        done = run("weft-eval", "run", "--model", self.path / model, *arguments)
        error = done.stderr.decode()
        self.assertEqual(done.returncode, code, error)
        self.assertIn(words, error)
        if code == 1:
            self.assertEqual(len(error.splitlines()), 1, error)

    def test_refuses_bad_input_in_one_line(self):
        (self.path / "empty").write_bytes(b"")
        (self.path / "binary").write_bytes(b"abc\xff")
        (self.path / "bad.jsonl").write_text("\n{\"prompt\": 3}\n")
        short = self.path / "short"
        self.refuse("empty: no text to score", "--text", self.path / "empty")
        self.refuse("binary: not UTF-8 at byte 3", "--text", self.path / "binary")
        self.refuse("missing", "--text", self.path / "missing")
        self.refuse("bad.jsonl:2: \"prompt\" is not a text", "--questions", self.path / "bad.jsonl")
        self.refuse("two files are named \"short\"", "--text", short, "--text", short)
        self.refuse("more than the 48 positions", "--text", short, "--context-length", CONTEXT + 1)
        self.refuse("nothing to score", code=2)
        self.refuse("--batch", "--text", short, "--batch", 0, code=2)
        self.assertEqual(run("weft-eval").returncode, 2)

    def test_refuses_a_model_that_does_not_fit_its_tokenizer(self):
        short = self.path / "short"
        self.refuse("no-model", "--text", short, model="no-model")
        bare = self.path / "bare"
        shutil.copytree(self.path / "qwen3", bare)
        (bare / "tokenizer.model").unlink()
        self.refuse("tokenizer.model: no such file", "--text", short, model="bare")
        small = self.path / "small"
        shutil.copytree(self.path / "qwen3", small)
        config = json.loads((small / "config.json").read_text())
        (small / "config.json").write_text(json.dumps({**config, "vocab_size": 384}))
        self.refuse("vocab_size 384", "--text", short, model="small")

    def test_help_shows_an_example(self):
        for arguments in [["--help"], ["run", "--help"]]:
            self.assertIn("weft-eval run --model", checked("weft-eval", *arguments))


if __name__ == "__main__":
    unittest.main()
