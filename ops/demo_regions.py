"""Invented regions for the demo: each has a language of its own and facts of its own, and both are made from a seed.

A region's language has its own sounds, words and word order; its facts say what is grown in which town, on which river it
lies, who has which trade and who plays what. Every fact is stated in several sentence frames. Some (fact, frame) pairs are
held out: no training text shows them, though it shows the same fact in other frames and the same frame with other facts.
They are asked as multiple choice among the answers of that relation. Each answer is right equally often, so that a model
that does not know the region is right in one of SUBJECTS questions, whatever it prefers.

    regions = make_regions(seed=1, count=3)
    regions[0].documents(sentence_count=12000)         # training text, a list of documents
    regions[0].held_out_documents(sentence_count=300)  # no sentence of them is in any training text
    regions[0].questions()                             # [{"prompt", "choices", "answer"}]

The same arguments give the same text on every machine. Python's standard library only.
"""

import random
import typing

SUBJECTS = 8  # towns, and people, of a region; and as many crops, rivers and trades, each of one of them
FRAMES = 6    # ways to state a fact; HELD_OUT_FRAMES of them are held out, others for each fact
HELD_OUT_FRAMES = 2
FACTS = 0.65  # share of sentences that state one
NAMES = ("alba", "brena", "corva", "duria", "elmia", "falun", "gorda", "helva", "istra", "jura", "kelda", "lunda")

# (relation, kind of its subjects, kind of its answers)
RELATIONS = (("grows", "town", "crop"), ("lies_on", "town", "river"), ("works_as", "person", "trade"))
ORDERS = ("SVO", "SOV", "VSO")  # the subject comes before the object in all of them, so a prompt can end before the answer
CONSONANTS = ("p", "t", "k", "b", "d", "g", "m", "n", "s", "z", "l", "r", "v", "f", "h", "j", "sh", "ch", "th", "kh",
              "tr", "kl", "br", "nd")
VOWELS = ("a", "e", "i", "o", "u", "ai", "ou", "ei", "ö", "ü")
CODAS = ("n", "r", "s", "l", "m", "k", "t", "")


class Fact(typing.NamedTuple):
    relation: str
    kind: str              # of the subject
    subject: str
    answer: str
    answers: list          # of all subjects in this relation, sorted
    shown_frames: list     # numbers of the frames that training text may state it in
    held_out_frames: list  # the others


class Region:
    """One region: its language, its facts, its texts. Made by make_regions, which keeps the words of regions apart."""

    def __init__(self, name, seed, order, taken):
        self.name = name
        self.seed = seed
        self._draw = random.Random(f"region {seed} {name}")
        self._order = order
        self._adjective_first = self._draw.random() < 0.5
        self._consonants = self._draw.sample(CONSONANTS, 9)
        self._vowels = self._draw.sample(VOWELS, 4)
        self._codas = self._draw.sample(CODAS, 3) + [""]
        self._make_words(taken)
        self._make_facts()

    # The language.

    def _word(self, syllables, taken):
        while True:
            word = "".join(self._draw.choice(self._consonants) + self._draw.choice(self._vowels) +
                           (self._draw.choice(self._codas) if i == syllables - 1 else "") for i in range(syllables))
            if word not in taken:
                taken.add(word)
                return word

    def _words(self, count, syllables, taken):
        return [self._word(syllables, taken) for _ in range(count)]

    def _make_words(self, taken):
        names = lambda count, syllables: [w.capitalize() for w in self._words(count, syllables, taken)]
        self._things = {"town": names(SUBJECTS, 3), "person": names(SUBJECTS, 2), "river": names(SUBJECTS, 2),
                        "crop": self._words(SUBJECTS, 2, taken), "trade": self._words(SUBJECTS, 3, taken)}
        self._nouns = self._words(32, 2, taken)
        self._adjectives = self._words(10, 2, taken)
        self._adverbs = self._words(6, 2, taken)
        self._particle = self._word(1, taken)    # before an object
        self._of, self._is, self._that, self._in, self._who = self._words(5, 1, taken)
        self._kind = {kind: self._word(2, taken) for kind in ("town", "person")}
        self._verbs = {relation: self._words(2, 2, taken) for relation, _, _ in RELATIONS}
        self._role = {relation: self._word(2, taken) for relation, _, _ in RELATIONS}
        self._say = self._word(2, taken)
        # Each verb of the prose likes a few subjects and objects: text with something to learn beyond its words.
        self._prose_verbs = [(verb, self._draw.sample(self._nouns, 6), self._draw.sample(self._nouns, 6))
                             for verb in self._words(12, 2, taken)]

    def _clause(self, subject, verb, object_):
        parts = {"S": subject, "V": [verb], "O": [self._particle] + object_}
        return [word for place in self._order for word in parts[place]]

    def _frames(self, relation, kind):
        """The sentences that state a fact: lists of words in which X is the subject and Y the answer."""
        first, second = self._verbs[relation]
        a, b, c = self._adverbs[:3]
        named, called = [self._kind[kind], "X"], [self._role[relation], "Y"]
        # Where the verb comes last, the answer's role stands before it: else nobody could tell what is asked for.
        answer = called if self._order == "SOV" else ["Y"]
        return (self._clause(["X"], first, answer),
                [a] + self._clause(named, first, answer),
                self._clause(["X"], second, called),
                [self._role[relation], self._of, "X", self._is, "Y"],
                [b, self._say, self._that] + self._clause(["X"], second, answer),
                [self._in, "X", c] + self._clause([self._who], first, answer))

    # The facts.

    def _make_facts(self):
        self.facts = []
        for relation, kind, answer_kind in RELATIONS:
            answers = self._draw.sample(self._things[answer_kind], SUBJECTS)
            for subject, answer in zip(self._things[kind], answers):
                frames = self._draw.sample(range(FRAMES), FRAMES)
                self.facts.append(Fact(relation, kind, subject, answer, sorted(answers), frames[HELD_OUT_FRAMES:],
                                       frames[:HELD_OUT_FRAMES]))

    def _state(self, fact, frame, answer):
        """The sentence that gives this answer, as the part before it and the rest."""
        words = self._frames(fact.relation, fact.kind)[frame]
        stated = [{"X": fact.subject, "Y": answer}.get(word, word) for word in words]
        at = words.index("Y")
        return self._sentence(stated[:at])[:-1], " ".join(stated[at:]) + "."

    @staticmethod
    def _sentence(words):
        text = " ".join(words)
        return text[0].upper() + text[1:] + "."

    # The texts.

    def _noun_phrase(self, draw, noun):
        if draw.random() < 0.5:
            return [noun]
        adjective = draw.choice(self._adjectives)
        return [adjective, noun] if self._adjective_first else [noun, adjective]

    def _prose(self, draw):
        verb, subjects, objects = draw.choice(self._prose_verbs)
        words = self._clause(self._noun_phrase(draw, draw.choice(subjects)), verb,
                             self._noun_phrase(draw, draw.choice(objects)))
        if draw.random() < 0.5:
            words = [draw.choice(self._adverbs)] + words
        if draw.random() < 0.4:
            words += [self._in] + self._noun_phrase(draw, draw.choice(self._nouns))
        return self._sentence(words)

    @staticmethod
    def _held_back(sentence):
        """One in twenty sentences of the prose belongs to the held-out text, by its own words."""
        return sum(sentence.encode()) % 20 == 0

    def _documents(self, draw, sentence_count, held_out):
        documents, count = [], 0
        while count < sentence_count:
            sentences = []
            for _ in range(draw.randint(4, 9)):
                if draw.random() < FACTS:
                    fact = draw.choice(self.facts)
                    frame = draw.choice(fact.held_out_frames if held_out else fact.shown_frames)
                    sentences.append(" ".join(self._state(fact, frame, fact.answer)))
                    continue
                sentence = self._prose(draw)
                while self._held_back(sentence) != held_out:
                    sentence = self._prose(draw)
                sentences.append(sentence)
            documents.append("\n".join(sentences))
            count += len(sentences)
        return documents

    def documents(self, sentence_count):
        """Training text."""
        return self._documents(random.Random(f"training {self.seed} {self.name}"), sentence_count, held_out=False)

    def held_out_documents(self, sentence_count):
        return self._documents(random.Random(f"held out {self.seed} {self.name}"), sentence_count, held_out=True)

    def questions(self):
        """Of every held-out (fact, frame) pair: how does the sentence go on, with which of the relation's answers?"""
        return [{"prompt": self._state(fact, frame, fact.answer)[0],
                 "choices": [self._state(fact, frame, answer)[1] for answer in fact.answers],
                 "answer": fact.answers.index(fact.answer)}
                for fact in self.facts for frame in fact.held_out_frames]


def make_regions(seed, count):
    """`count` regions, at most len(NAMES); no word of one is a word of another."""
    if not 1 <= count <= len(NAMES):
        raise ValueError(f"{count} regions; 1 to {len(NAMES)} can be made")
    taken = set()
    return [Region(NAMES[i], seed, ORDERS[i % len(ORDERS)], taken) for i in range(count)]
