"""Tables of every kind, made at the top level under the build's seed, and looked into under the invocation's."""

import collections
import contextvars
import dataclasses
import datetime
import enum
import functools
import gc
import random
import re
import sys
import types
import weakref
from decimal import Decimal

CHECKS = {}
PARTS_OF_CODE = ("consts", "names", "name", "qualname", "filename", "linetable", "exceptiontable")
ORDERED_BY_HASH = {f"member {n}" for n in range(20)}
generator, fixed = random.Random(), random.Random(5)
frozen_early = {"put away": {"early on"}}
gc.freeze()


def handler(case):
    if case["case"] == "seeds":
        return {
            "interned": str(hash("handler")),
            "text": str(hash("two words")),
            "bytes": str(hash(b"x")),
            "order": list(ORDERED_BY_HASH),
            "generator": generator.random(),
            "fixed": fixed.random(),
        }
    if case["case"] == "wrong":
        return sorted(name for name, check in CHECKS.items() if not check())
    return everything()


def check(function):
    CHECKS[function.__name__] = function
    return function


def new(text):
    """An equal text that nobody has asked for its hash."""
    return "".join(list(text))


Color, Bits = enum.Enum("Color", {"RED": 1, "BLUE": "blue sky"}), enum.Flag("Bits", "ONE TWO")


@dataclasses.dataclass(frozen=True)
class Person:
    name: str
    tags: frozenset = frozenset()


Pair = collections.namedtuple("Pair", "left right")
Text, Members = type("Text", (str,), {}), type("Members", (frozenset,), {})


class Day(datetime.date):
    def __hash__(self):
        return super().__hash__() ^ 1


class Word:
    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return self.name.lower() == other.name.lower()

    def __hash__(self):
        name = self.name.lower()
        return hash((KIND[Bits.ONE], name if name in KEYWORDS else self.name))


class Curious:
    """Looks into other tables for its hash."""

    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return self.name == other.name

    def __hash__(self):
        return hash((NAMES[self.name], [*LIST_OF_NAMES].index(self.name)))


NAMES = {"some name": "other name", "more": "most"}
LIST_OF_NAMES = ["some name", "more"]
WORDS, KEYWORDS, KIND = {}, {"select"}, {Bits.ONE: "a kind"}
WORDS[Word("SELECT")], WORDS[Word("other one")] = 1, 2
ZONE, ONE_BYTE = datetime.timezone(datetime.timedelta(hours=1), "a zone"), {(7).to_bytes(1, "big"): 1}
NAMES_OF_ZONES = {new("a zone"): 1}
_USED = NAMES_OF_ZONES[ZONE.tzname(None)] + ONE_BYTE[b"\x07..."[:1]]
INNER = frozenset({"alpha beta", "gamma"})
PEOPLE = frozenset({Person("in a frozenset", frozenset({Person("within", INNER)}))})
NESTED = frozenset({frozenset({"a b", "c d"}), frozenset({("x y", frozenset({"deep est"}), PEOPLE)})})
ANY = {
    ("a", ("b c", b"by tes")): 1, 5: 2, "text": 3, INNER: 4, Color.RED: 5, Color.BLUE: 6, b"by tes": 7, None: 8, 1.5: 9,
    datetime.date(2020, 1, 2): 10, datetime.datetime(2020, 1, 2, 3): 11, datetime.time(3): 12,
    datetime.timedelta(4): 13, Person("na me", frozenset({"t 1"})): 14, Text("sub class"): 15, Pair("l l", "r r"): 16,
    Members({"m 1"}): 17, Day(2021, 1, 1): 18, Decimal("1.10"): 19, memoryview(b"vi ew"): 20, Bits.ONE | Bits.TWO: 21,
    NESTED: 22, range(3): 23, slice("s l", None): 24, Curious("some name"): 25, len: 26, Person: 27,
    types.GenericAlias(dict, ("g a",)): 28, (lambda: 0).__code__: 29, ("x y", 1): 30,
}  # fmt: skip
ORDERED = collections.OrderedDict([(("o", 1), 1), ("o two", 2), (Color.BLUE, 3), ("z", 4)])
TEXTS_IN_ORDER = collections.OrderedDict([("o one", 1), ("o two", 2), ("o three", 3)])
SET = {"a b", "c", ("d e",), INNER, Person("q r"), 7, None}
FEW, MANY, MORE = ({f"key {n}": n for n in range(size)} for size in (40, 1_000, 70_000))
MANY_MEMBERS = {f"key {n}" for n in range(3_000)}
for _n in range(30):
    del MANY[f"key {_n}"]
    MANY_MEMBERS.discard(f"key {_n}")


class Thing:
    def __init__(self):
        self.alpha, self.beta = 1, 2


Slotted = type("Slotted", (), {"__slots__": ("alpha", "beta")})


THINGS = [Thing() for _ in range(3)]
vars(THINGS[1])["gamma ray"] = 3
COUNTED = collections.Counter("hello world")
GROUPED = collections.defaultdict(list, {"x y": [1]})
CHAINED = collections.ChainMap({"in front": 1}, {"be hind": 2})
PERSON = Person("weak ly", frozenset({"w x"}))
WEAK_SET, WEAK_KEYS = weakref.WeakSet([Thing, PERSON]), weakref.WeakKeyDictionary({Thing: 1, PERSON: 2})
WEAK_VALUES = weakref.WeakValueDictionary({"weak value": PERSON})
REFERENCES = {weakref.ref(PERSON): 1}
LISTED = {f"key {n}": n for n in range(3)}
VIEW, ITERATOR = MANY.keys(), iter(LISTED.items())
FIRST_OF_ITERATOR = next(ITERATOR)
PROXY = types.MappingProxyType({"by proxy": 1})
VARIABLE = contextvars.ContextVar("a variable")
VARIABLE.set("its value")
CONTEXT, PATTERNS = contextvars.copy_context(), {re.compile("a b"): 1, re.compile(b"c d"): 2}
ENUMS = enum.Enum("ENUMS", {"ONE": "value one", "TWO": "value two"})


def _failure():
    try:
        inside = {"in a frame": {("key of", "a frame")}}
        raise ValueError(inside)
    except ValueError as error:
        return error


FAILURE = _failure()


def _generate():
    for key in LISTED:
        yield key, None


SUSPENDED = _generate()
next(SUSPENDED)


@functools.lru_cache(maxsize=8)
def bounded(one, two="some text"):
    return [one, two]


@functools.cache
def unbounded(one):
    return [one]


@functools.singledispatch
def dispatched(_one):
    return "object"


dispatched.register(str, lambda _one: "str")
bounded("one"), bounded("two", "thr ee"), bounded(Color.RED)
unbounded("un bounded"), unbounded(("t u", 1)), dispatched("")


@check
def keys_of_every_kind():
    looked_up = [
        ANY[(new("a"), (new("b c"), bytes(bytearray(b"by tes"))))], ANY[5], ANY[new("text")],
        ANY[frozenset({new("gamma"), new("alpha beta")})], ANY[Color(1)], ANY[Color("blue sky")],
        ANY[bytes(bytearray(b"by tes"))], ANY[None], ANY[1.5], ANY[datetime.date(2020, 1, 2)],
        ANY[datetime.datetime(2020, 1, 2, 3)], ANY[datetime.time(3)], ANY[datetime.timedelta(4)],
        ANY[Person(new("na me"), frozenset({new("t 1")}))], ANY[new("sub class")], ANY[(new("l l"), new("r r"))],
        ANY[frozenset({new("m 1")})], ANY[Day(2021, 1, 1)], ANY[Decimal("1.1")], ANY[b"vi ew"], ANY[Bits(3)],
        ANY[new_nested()], ANY[range(3)], ANY[slice(new("s l"), None)], ANY[Curious(new("some name"))], ANY[len],
        ANY[Person], ANY[types.GenericAlias(dict, (new("g a"),))],
    ]  # fmt: skip
    return looked_up == list(range(1, 29)) and (new("x y"), 1) in ANY and new("no thing") not in ANY


def new_nested():
    within = frozenset({Person(new("within"), frozenset({new("gamma"), new("alpha beta")}))})
    people = frozenset({Person(new("in a frozenset"), within)})
    return frozenset(
        {frozenset({new("c d"), new("a b")}), frozenset({(new("x y"), frozenset({new("deep est")}), people)})}
    )


@check
def frozensets_in_frozensets():
    return (
        new_nested() == NESTED
        and hash(new_nested()) == hash(NESTED)
        and all(one in NESTED for one in new_nested())
    )


@check
def members():
    asked = ["a b", "c", ("d e",), frozenset(INNER), Person("q r"), 7, None]
    return (
        all(one in SET for one in asked)
        and new("z") not in SET
        and sorted(map(str, SET)) == sorted(map(str, asked))
    )


@check
def sets_shrink_and_grow():
    there = all((new(f"key {n}") in MANY_MEMBERS) == (n >= 30) for n in range(3_000))
    MANY_MEMBERS.update(f"more {n}" for n in range(5_000))
    for n in range(30, 3_000):
        MANY_MEMBERS.remove(new(f"key {n}"))
    return there and {f"more {n}" for n in range(5_000)} == MANY_MEMBERS


@check
def dicts_of_all_sizes_shrink_and_grow():
    right = all(FEW[new(f"key {n}")] == n for n in range(40)) and all(
        MORE[f"key {n}"] == n for n in range(70_000)
    )
    right &= list(MANY) == [f"key {n}" for n in range(30, 1_000)] and new("key 7") not in MANY
    for one in (FEW, MANY):
        one.update((f"more {n}", n) for n in range(3_000))
        for n in range(30, 40):
            del one[new(f"key {n}")]
        right &= all(new(key) in one and one[new(key)] == value for key, value in list(one.items()))
        right &= all(new(key) in one.copy() for key in one)
    return right


@check
def ordered_dicts():
    right = ORDERED[("o", 1)] == 1 and ORDERED[new("o two")] == 2
    ORDERED.move_to_end(("o", 1))
    right &= list(ORDERED) == ["o two", Color.BLUE, "z", ("o", 1)] and ORDERED.popitem(last=False) == (
        "o two",
        2,
    )
    del ORDERED[Color.BLUE]
    TEXTS_IN_ORDER.move_to_end(new("o one"))
    del TEXTS_IN_ORDER[new("o two")]
    return (
        right
        and list(ORDERED.copy().items()) == [("z", 4), (("o", 1), 1)]
        and list(TEXTS_IN_ORDER) == ["o three", "o one"]
    )


@check
def attributes():
    one, other = THINGS[0], Thing()
    other.delta, slotted = 4, Slotted()
    setattr(slotted, new("alpha"), 5)
    return (
        getattr(one, new("alpha")) == 1 and vars(one)[new("beta")] == 2 and vars(THINGS[1])[new("gamma ray")] == 3
        and getattr(other, new("beta")) == 2 and other.delta == 4 and slotted.alpha == 5
        and not hasattr(one, new("delta")) and new("alpha") in Slotted.__dict__
    )  # fmt: skip


@check
def other_mappings():
    return (
        COUNTED[new("l")] == 3 and GROUPED[new("x y")] == [1] and CHAINED[new("be hind")] == 2
        and PROXY[new("by proxy")] == 1 and new("key 50") in VIEW and frozen_early[new("put away")] == {new("early on")}
    )  # fmt: skip


@check
def frames_contexts_and_patterns():
    inside = FAILURE.__traceback__.tb_frame.f_locals["inside"]
    return (
        (new("key of"), new("a frame")) in inside[new("in a frame")] and inside is FAILURE.args[0]
        and CONTEXT[VARIABLE] == "its value" and CONTEXT.run(VARIABLE.get) == "its value"
        and PATTERNS[re.compile(new("a b"))] == 1 and PATTERNS[re.compile(bytes(bytearray(b"c d")))] == 2
        and ENUMS(new("value two")) is ENUMS.TWO and ENUMS[new("ONE")] is ENUMS.ONE
    )  # fmt: skip


@check
def weak_ones():
    equal = Person(new("weak ly"), frozenset({new("w x")}))
    return (
        Thing in WEAK_SET and equal in WEAK_SET and WEAK_KEYS[Thing] == 1 and WEAK_KEYS[equal] == 2
        and WEAK_VALUES[new("weak value")] is PERSON and REFERENCES[weakref.ref(equal)] == 1
    )  # fmt: skip


@check
def caches():
    before = bounded.cache_info().hits, unbounded.cache_info().hits
    bounded(new("one")), bounded(new("two"), new("thr ee")), bounded(Color(1))
    unbounded(new("un bounded")), unbounded((new("t u"), 1))
    right = (bounded.cache_info().hits, unbounded.cache_info().hits) == (before[0] + 3, before[1] + 2)
    for n in range(20):  # which has the oldest go
        bounded(n)
    bounded(new("one"))
    return (
        right and bounded.cache_info().currsize == 8 and dispatched("") == "str" and dispatched(1) == "object"
    )


@check
def iterators_go_on():
    if FIRST_OF_ITERATOR != ("key 0", 0) or next(ITERATOR) != ("key 1", 1):
        return False
    return next(SUSPENDED) == ("key 1", None)


@check
def interned_texts():
    return (
        sys.intern(new("handler")) is sys.intern("handler")
        and sys.intern(new("__init__")) is type.__init__.__name__
    )


@check
def what_no_traverse_shows():
    return NAMES_OF_ZONES.get(ZONE.tzname(None)) == 1 and ONE_BYTE.get(b"\x07 and more"[:1]) == 1


@check
def hashes_that_look_elsewhere():
    return WORDS[Word(new("select"))] == 1 and WORDS[Word(new("other one"))] == 2


def everything():
    """Whatever there is: each key is found, and everything that can be asked has the hash of an equal one."""
    gc.unfreeze()
    seen, waiting, wrong = {}, gc.get_objects(), []
    while waiting:
        one = waiting.pop()
        if id(one) in seen or one is seen or one is waiting:
            continue
        seen[id(one)] = one
        waiting += gc.get_referents(one)
        if isinstance(one, types.CodeType):
            names = (
                "co_consts",
                "co_names",
                "co_name",
                "co_qualname",
                "co_filename",
                "co_linetable",
                "co_exceptiontable",
            )
            waiting += [getattr(one, name) for name in names]
        elif isinstance(one, type):
            waiting += [one.__name__, one.__qualname__]
    kinds = collections.Counter()
    for one in list(seen.values()):
        kinds[type(one).__name__] += 1
        if one is not seen and not all(is_right(one)):
            wrong.append(f"{type(one).__name__} {one!r}"[:80])
    return {
        "wrong": wrong,
        "kinds": {name: kinds[name] for name in ("str", "dict", "set", "frozenset", "tuple", "bytes")},
    }


def is_right(one):
    if isinstance(one, dict):
        yield from (dict.__contains__(one, key) for key in list(dict.keys(one)))
    elif isinstance(one, (set, frozenset)):
        yield from (member in one for member in list(one))
        yield not isinstance(one, frozenset) or hash(one) == hash(frozenset(list(one)))
    elif type(one) is str and len(one) > 1:
        yield hash(new(one)) == hash(one)
    elif type(one) is bytes and one:
        yield hash(bytes(bytearray(one))) == hash(one)
    elif type(one) is tuple:
        try:
            yield hash((*one,)) == hash(one)
        except TypeError:
            return
