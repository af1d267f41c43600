"""The files that a survey's page saved: `make survey-results IN=folder`.

They are joined with the survey's key and counted, with Wilson's intervals. Invalid or incomplete
files are reported and skipped: not JSON, another kind of file, a survey without its key, pictures
of another survey, a repeated or missing picture, or a person who is already counted.
"""

import collections
import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from scipy import stats

from common.cli import UserError, one_line
from common.survey.schema import ANSWERS, KEY, KINDS, OUT, SCHEMA, VERDICTS, Published

LEVEL = 0.95
LARGEST = 1 << 20  # bytes; a file of verdicts on a hundred pictures has twelve thousand


class InvalidFile(Exception):
    """Why a file is skipped."""


@dataclasses.dataclass(frozen=True)
class Share:
    """`count` of `total`."""

    count: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high) of Wilson 1927 at `LEVEL`, without a correction for continuity."""
        test = stats.binomtest(self.count, self.total)
        low, high = test.proportion_ci(LEVEL, method="wilson")
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.count:>5} of {self.total:<5} {self.count / self.total:>8.2%}   "
            f"{low:.2%} to {high:.2%}"
        )


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a survey: "recoloured" or "original", and the name of its file."""

    kind: str
    name: str


@dataclasses.dataclass(frozen=True)
class Key:
    """The content of a key.json.

    model: the colorizer, by name and SHA-256, and the data set. pictures: by the SHA-256 of their
    files in the page.
    """

    survey: str
    model: str
    published: Published | None
    pictures: Mapping[str, Picture]


@dataclasses.dataclass(frozen=True)
class Answers:
    """keys: by survey. verdicts: {survey: {person: {picture: one of `ANSWERS`}}}, surveys with
    verdicts alone. skipped: (path, reason)."""

    keys: Mapping[str, Key]
    verdicts: Mapping[str, Mapping[str, Mapping[str, str]]]
    skipped: list[tuple[Path, str]]


# --- reading ----------------------------------------------------------------------------------


def read(folder: str | Path, keys: str | Path = OUT) -> Answers:
    """The answers in all .json files below `folder`, with the keys from there and below `keys`.

    `UserError` where two keys of one survey differ, and where no file of verdicts is valid.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder}. IN is the folder of the files that people saved."
        )
    known: dict[str, Key] = {}
    returned, skipped = [], []
    inside = sorted(folder.rglob("*.json"))
    for path in [*inside, *sorted(set(Path(keys).rglob("*.json")) - set(inside))]:
        try:
            content = _content(path)
            if content["kind"] == KEY:
                key = _key(content)
                if known.setdefault(key.survey, key) != key:
                    raise UserError(
                        f"{path} is another key of the survey {key.survey}. Remove one of them."
                    )
            elif path in inside:
                returned.append((path, content))
        except InvalidFile as error:
            if path in inside:
                skipped.append((path, str(error)))
    verdicts: dict[str, dict[str, Mapping[str, str]]] = collections.defaultdict(dict)
    people: dict[str, Path] = {}
    for path, content in returned:
        try:
            person, chosen = _verdicts(content, known)
            if person in people:
                raise InvalidFile(f"it is of the same person as {people[person].name}")
            people[person] = path
            verdicts[content["survey"]][person] = chosen
        except InvalidFile as error:
            skipped.append((path, str(error)))
    if not verdicts:
        why = "".join(f" {path.name}: {reason}." for path, reason in skipped[:3])
        raise UserError(f"No verdicts can be read from {folder}.{why}")
    return Answers(known, dict(verdicts), sorted(skipped))


def _content(path):
    """The object in a JSON file of a survey."""
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidFile("it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise InvalidFile("it is no JSON") from None
    except OSError as error:
        raise InvalidFile(f"it cannot be read ({error.strerror})") from None
    if not isinstance(content, dict) or content.get("kind") not in (KEY, VERDICTS):
        raise InvalidFile("it is no file of a survey")
    if content.get("schema") != SCHEMA:
        raise InvalidFile("it is of another version")
    if not _is_hex(content.get("survey"), 16):
        raise InvalidFile("it is damaged")
    return content


def _key(content):
    try:
        pictures = {
            picture["sha256"]: Picture(str(picture["kind"]), one_line(picture["name"]))
            for picture in content["pictures"]
        }
        model, published = content["model"], content["published"]
        key = Key(
            content["survey"],
            one_line(f"{model['name']} {model['sha256'][:8]} on {content['data']['name']}"),
            published and Published(float(published["share"]), one_line(published["source"])),
            pictures,
        )
    except (KeyError, TypeError, ValueError):
        raise InvalidFile("it is damaged") from None
    kinds = {picture.kind for picture in pictures.values()}
    if key.published and not 0 <= key.published.share <= 1:
        raise InvalidFile("it is damaged")
    if len(pictures) != len(content["pictures"]) or kinds != set(KINDS):
        raise InvalidFile("it is damaged")
    return key


def _verdicts(content, known):
    """(person, {picture: verdict}) of a file of verdicts."""
    key = known.get(content["survey"])
    if key is None:
        raise InvalidFile(
            f"there is no key of its survey, {content['survey']}; KEY= names its folder"
        )
    given = content.get("verdicts")
    if (
        not _is_hex(content.get("person"), 32)
        or not isinstance(given, list)
        or not all(
            isinstance(each, dict)
            and isinstance(each.get("picture"), str)
            and each.get("verdict") in ANSWERS
            for each in given
        )
    ):
        raise InvalidFile("it is damaged")
    chosen = {each["picture"]: each["verdict"] for each in given}
    if len(chosen) != len(given):
        raise InvalidFile("it has two verdicts on one picture")
    if not chosen.keys() <= key.pictures.keys():
        raise InvalidFile("it has pictures that are not of its survey")
    if len(chosen) != len(key.pictures):
        raise InvalidFile(f"it has {len(chosen)} of {len(key.pictures)} verdicts")
    return content["person"], chosen


def _is_hex(text, digits):
    return isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", text) is not None


# --- counting ---------------------------------------------------------------------------------


def mistaken(answers: Answers, kind: str) -> dict[tuple[str, str], Share]:
    """The share of wrong verdicts on each picture of a kind: {(survey, picture): share}."""
    wrong = {"recoloured": "real", "original": "recoloured"}[kind]
    return {
        (survey, digest): Share(
            sum(chosen[digest] == wrong for chosen in people.values()), len(people)
        )
        for survey, people in answers.verdicts.items()
        for digest, picture in answers.keys[survey].pictures.items()
        if picture.kind == kind
    }


def total(shares: Iterable[Share]) -> Share:
    """Several shares as one."""
    shares = list(shares)
    return Share(sum(share.count for share in shares), sum(share.total for share in shares))


def table(answers: Answers) -> str:
    """The results as text: over all, by model, by picture."""
    people = sum(map(len, answers.verdicts.values()))
    recoloured, originals = (mistaken(answers, kind) for kind in KINDS)
    models: dict[str, dict[tuple[str, str], Share]] = collections.defaultdict(dict)
    for (survey, digest), share in recoloured.items():
        models[answers.keys[survey].model][survey, digest] = share
    sections = {
        "": [
            ("recoloured taken for real", total(recoloured.values())),
            ("originals taken for recoloured", total(originals.values())),
        ],
        "Recoloured taken for real, by model": [
            (model, total(shares.values())) for model, shares in models.items()
        ],
        **{
            f"Recoloured by {model}, taken for real, by picture": _by_picture(answers, shares)
            for model, shares in models.items()
        },
        "Originals taken for recoloured, by picture": _by_picture(answers, originals),
    }
    width = max(len(name) for rows in sections.values() for name, _ in rows)
    lines = [
        f"{people} {'person' if people == 1 else 'people'}, "
        f"{len(recoloured)} recoloured and {len(originals)} original pictures"
    ]
    for title, rows in sections.items():
        lines += ["", *([title] if title else [])]
        lines += [f"  {name:<{width}}  {share}" for name, share in rows]
        if not title:
            keys = (answers.keys[survey] for survey in answers.verdicts)
            published = {key.published for key in keys if key.published}
            lines += [
                f"  published: {each.share:.2%} of the recoloured taken for real ({each.source})"
                for each in sorted(published, key=lambda each: each.share)
            ]
    lines += [
        "",
        f"Intervals are Wilson's, {LEVEL:.0%}, as if all verdicts were independent: those of one "
        "person are not quite.",
    ]
    return "\n".join(lines)


def _by_picture(answers, shares):
    """(name, share), those taken most often first."""
    named = [
        (answers.keys[survey].pictures[digest].name, share)
        for (survey, digest), share in shares.items()
    ]
    return sorted(named, key=lambda each: (-each[1].count / each[1].total, each[0]))
