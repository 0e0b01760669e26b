"""The demo's texts: invented regions, and folders of a user's own."""

import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.environ["WEFT_SOURCE"], "ops"))
import demo_regions  # noqa: E402
import demo_text  # noqa: E402


def sentences(documents):
    return {sentence for document in documents for sentence in document.split("\n")}


class RegionsTest(unittest.TestCase):
    def setUp(self):
        self.regions = demo_regions.make_regions(seed=5, count=3)

    def test_the_same_seed_gives_the_same_text(self):
        again = demo_regions.make_regions(seed=5, count=3)
        other = demo_regions.make_regions(seed=6, count=3)
        for one, same, different in zip(self.regions, again, other):
            self.assertEqual(one.documents(300), same.documents(300))
            self.assertEqual(one.questions(), same.questions())
            self.assertNotEqual(one.documents(300), different.documents(300))

    def test_more_regions_do_not_change_the_first_ones(self):
        more = demo_regions.make_regions(seed=5, count=5)
        for one, same in zip(self.regions, more):
            self.assertEqual(one.questions(), same.questions())

    def test_regions_share_no_word(self):
        words = [{word.strip(".").lower() for document in region.documents(5000) for word in document.split()}
                 for region in self.regions]
        self.assertGreater(min(len(w) for w in words), 80)
        for i in range(3):
            for j in range(i):
                self.assertEqual(words[i] & words[j], set())

    def test_nothing_held_out_is_in_the_training_text(self):
        for region in self.regions:
            training = sentences(region.documents(20000))
            held_out = sentences(region.held_out_documents(400))
            asked = {f"{q['prompt']} {q['choices'][q['answer']]}" for q in region.questions()}
            self.assertEqual(training & held_out, set())
            self.assertEqual(training & asked, set())

    def test_every_fact_is_shown_though_not_as_it_is_asked(self):
        for region in self.regions:
            training = sentences(region.documents(20000))
            for fact in region.facts:
                for frame in fact.shown_frames:
                    self.assertIn(" ".join(region._state(fact, frame, fact.answer)), training)
                self.assertEqual(sorted(fact.shown_frames + fact.held_out_frames), list(range(demo_regions.FRAMES)))

    def test_a_model_that_always_prefers_the_same_is_right_by_chance_only(self):
        for region in self.regions:
            questions = region.questions()
            self.assertEqual(len(questions), len(region.facts) * demo_regions.HELD_OUT_FRAMES)
            by_relation = {}
            for fact, question in zip((f for f in region.facts for _ in f.held_out_frames), questions):
                by_relation.setdefault(fact.relation, []).append(question["answer"])
                self.assertEqual(len(question["choices"]), demo_regions.SUBJECTS)
            for answers in by_relation.values():
                for answer in range(demo_regions.SUBJECTS):
                    self.assertEqual(answers.count(answer), demo_regions.HELD_OUT_FRAMES)


class FolderTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        self.data = self.path / "data"

    def add(self, name, text):
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def test_reads_text_and_json_lines_of_any_script(self):
        self.add("Русский/a.txt", "\n\n".join(f"Это предложение номер {i}." for i in range(3000)))
        self.add("hindi/b.jsonl", "".join(json.dumps({"text": f"यह वाक्य संख्या {i} है।"}) + "\n" for i in range(3000)))
        texts = demo_text.read_folder(self.path / "work", self.data)
        self.assertEqual([text.name for text in texts], ["hindi", "site-2"])
        for text in texts:
            lines = (text.training / "text.jsonl").read_text(encoding="utf-8").splitlines()
            training = {json.loads(line)["text"] for line in lines}
            held_out = text.held_out.read_text(encoding="utf-8").split("\n\n")
            self.assertGreater(len(held_out), 100)
            self.assertEqual(training & set(held_out), set())
            self.assertLess(text.sample.stat().st_size, 2 * demo_text.SAMPLE_BYTES)
            self.assertIsNone(text.questions)

    def refused(self, words):
        with self.assertRaises(demo_text.BadText) as raised:
            demo_text.read_folder(self.path / "work", self.data)
        self.assertIn(words, str(raised.exception))

    def test_says_what_is_wrong_with_a_folder(self):
        self.refused("is no folder")
        self.add("one/a.txt", "short\n")
        self.refused("has 1 subfolders")
        self.add("two/a.txt", "short\n")
        self.refused("has 5 bytes of text")
        self.add("one/a.txt", "The same again.\n" * 5000)
        self.refused("every one of them is also in the others")
        self.add("one/b.jsonl", '{"texts": 1}\n')
        self.refused("b.jsonl:1")


if __name__ == "__main__":
    unittest.main()
