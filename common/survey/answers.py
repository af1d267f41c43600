"""What people took for real: `make survey-results IN=folder`.

Reads the files of verdicts that a survey's page saved, joins them with the survey's key, and
prints shares with Wilson's intervals. A file that is not one, or not whole, is told and left out:
no JSON, another kind of file, a survey without its key, pictures of another survey, one twice or
one missing, and a person who is there already.
"""

import collections
import dataclasses
import json
import math
import re
import statistics
from pathlib import Path

from common import survey
from common.cli import UserError

LEVEL = 0.95
LARGEST = 1 << 20  # bytes; a file of verdicts on a hundred pictures has twelve thousand
ANSWERS = ("real", "recoloured")


class NotOurs(Exception):
    """Why a file is left out."""


@dataclasses.dataclass(frozen=True)
class Share:
    """`count` of `total`; `interval` is Wilson's."""

    count: int
    total: int

    @property
    def interval(self):
        """(low, high) of Wilson 1927 at `LEVEL`, without a correction for continuity."""
        z = statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
        share, spread = self.count / self.total, z**2 / self.total
        middle = share + spread / 2
        half = z * math.sqrt(share * (1 - share) / self.total + spread / (4 * self.total))
        low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
        # Rounding must not take the ends off 0 and 1.
        return (0.0 if self.count == 0 else low), (1.0 if self.count == self.total else high)

    def __str__(self):
        low, high = self.interval
        return (
            f"{self.count:>5} of {self.total:<5} {self.count / self.total:>8.2%}   "
            f"{low:.2%} to {high:.2%}"
        )


# --- reading ----------------------------------------------------------------------------------


def read(folder, keys=survey.OUT):
    """(keys, answers, left out) of all .json files below two folders.

    keys: {survey: the key, its pictures as {hash: kind and name}}. answers: {survey: {person:
    {hash: verdict}}}. left out: a list of (path, reason). `UserError` where two keys of one survey
    differ, and where no file of verdicts is left.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder}. IN is the folder of the files that people saved."
        )
    known, verdicts, left_out = {}, [], []
    inside = sorted(folder.rglob("*.json"))
    for path in [*inside, *sorted(set(Path(keys).rglob("*.json")) - set(inside))]:
        try:
            content = _content(path)
            if content["kind"] == survey.KEY:
                key = _key(content)
                if known.setdefault(key["survey"], key) != key:
                    raise UserError(
                        f"{path} is another key of the survey {key['survey']}. Take "
                        "one of them away."
                    )
            elif path in inside:
                verdicts.append((path, content))
        except NotOurs as error:
            if path in inside:
                left_out.append((path, str(error)))
    answers, seen = collections.defaultdict(dict), {}
    for path, content in verdicts:
        try:
            person, chosen = _verdicts(content, known)
            if person in seen:
                raise NotOurs(f"it is of the same person as {seen[person].name}")
            seen[person] = path
            answers[content["survey"]][person] = chosen
        except NotOurs as error:
            left_out.append((path, str(error)))
    if not answers:
        why = "".join(f" {path.name}: {reason}." for path, reason in left_out[:3])
        raise UserError(f"No verdicts can be read from {folder}.{why}")
    return known, dict(answers), sorted(left_out)


def _content(path):
    """The object in a JSON file that says it is of a survey."""
    try:
        if path.stat().st_size > LARGEST:
            raise NotOurs("it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise NotOurs("it is no JSON") from None
    except OSError as error:
        raise NotOurs(f"it cannot be read ({error.strerror})") from None
    if not isinstance(content, dict) or content.get("kind") not in (survey.KEY, survey.VERDICTS):
        raise NotOurs("it is no file of a survey")
    if content.get("schema") != survey.SCHEMA:
        raise NotOurs("it is of another version")
    if not _is_hex(content.get("survey"), 16):
        raise NotOurs("it is damaged")
    return content


def _key(content):
    try:
        pictures = {
            picture["sha256"]: {"kind": picture["kind"], "name": str(picture["name"])}
            for picture in content["pictures"]
        }
        published = content["published"]
        key = {
            "survey": content["survey"],
            "model": str(content["model"]["name"]),
            "sha256": str(content["model"]["sha256"]),
            "data": str(content["data"]["name"]),
            "published": published and (float(published["share"]), str(published["source"])),
            "pictures": pictures,
        }
    except (KeyError, TypeError, ValueError):
        raise NotOurs("it is damaged") from None
    if len(pictures) != len(content["pictures"]) or {
        picture["kind"] for picture in pictures.values()
    } != set(survey.KINDS):
        raise NotOurs("it is damaged")
    return key


def _verdicts(content, known):
    """(person, {hash: verdict}) of a file of verdicts."""
    key = known.get(content["survey"])
    if key is None:
        raise NotOurs(f"there is no key of its survey, {content['survey']}; KEY= names its folder")
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
        raise NotOurs("it is damaged")
    chosen = {each["picture"]: each["verdict"] for each in given}
    if len(chosen) != len(given):
        raise NotOurs("it has two verdicts on one picture")
    if not chosen.keys() <= key["pictures"].keys():
        raise NotOurs("it has pictures that are not of its survey")
    if len(chosen) != len(key["pictures"]):
        raise NotOurs(f"it has {len(chosen)} of {len(key['pictures'])} verdicts")
    return content["person"], chosen


def _is_hex(text, digits):
    return isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", text) is not None


# --- what it says -----------------------------------------------------------------------------


def fooled(keys, answers, kind):
    """The verdicts on pictures of a kind that were wrong: {(survey, hash): `Share`}."""
    wrong = {"recoloured": "real", "original": "recoloured"}[kind]
    return {
        (name, digest): Share(
            sum(chosen[digest] == wrong for chosen in people.values()), len(people)
        )
        for name, people in answers.items()
        for digest, picture in keys[name]["pictures"].items()
        if picture["kind"] == kind
    }


def total(shares):
    """The `Share` of several together."""
    shares = list(shares)
    return Share(sum(share.count for share in shares), sum(share.total for share in shares))


def table(keys, answers):
    """The results as text: over all, by model, by picture."""
    people = sum(map(len, answers.values()))
    recoloured, originals = (fooled(keys, answers, kind) for kind in survey.KINDS)
    models = collections.defaultdict(dict)
    for (name, digest), share in recoloured.items():
        key = keys[name]
        models[f"{key['model']} {key['sha256'][:8]} on {key['data']}"][name, digest] = share
    lines = [
        ("recoloured taken for real", total(recoloured.values())),
        ("originals taken for recoloured", total(originals.values())),
    ]
    published = {keys[name]["published"] for name in answers} - {None}
    sections = [
        ("", lines),
        (
            "Recoloured taken for real, by model",
            [(title, total(shares.values())) for title, shares in models.items()],
        ),
    ]
    sections += [
        (f"{title}, by picture", _by_picture(keys, shares))
        for title, shares in [
            (f"Recoloured by {model}, taken for real", shares) for model, shares in models.items()
        ]
    ]
    sections.append(("Originals taken for recoloured, by picture", _by_picture(keys, originals)))
    width = max(len(name) for _, rows in sections for name, _ in rows)
    text = [
        f"{people} {'person' if people == 1 else 'people'}, "
        f"{len(recoloured)} recoloured and {len(originals)} original pictures"
    ]
    for title, rows in sections:
        text += [
            "",
            *([title] if title else []),
            *(f"  {name:<{width}}  {share}" for name, share in rows),
        ]
        if not title:
            text += [
                f"  published: {share:.2%} of the recoloured taken for real ({source})"
                for share, source in sorted(published)
            ]
    return "\n".join(
        [
            *text,
            "",
            f"Intervals are Wilson's, {LEVEL:.0%}, as if all verdicts were "
            "independent: those of one person are not quite.",
        ]
    )


def _by_picture(keys, shares):
    """(name, share), those taken most often first."""
    named = [
        (keys[name]["pictures"][digest]["name"], share) for (name, digest), share in shares.items()
    ]
    return sorted(named, key=lambda each: (-each[1].count / each[1].total, each[0]))
