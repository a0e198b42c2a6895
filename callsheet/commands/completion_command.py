"""`callsheet completion`: a script for a shell, made from the commands themselves."""

import argparse
from collections.abc import Iterator

from attrs import field, frozen

from callsheet.commands import completion_frames, output
from callsheet.commands.common import OK, Arguments

SHELLS = ("bash", "zsh", "fish")
KINDS = ("schedule", "instance", "webhook", "task", "token")  # of things that there are some of in the service
NEW = ("token create", "webhook add")  # name what is not there yet


@frozen
class Place:
    """What may stand behind a command such as "schedule ls": words, and for each option what follows it.

    `names` and what follows an option may be a kind of thing, of which there are some in the service.
    """

    words: list[str] = field(factory=list)
    names: str | None = None
    choices: dict[str, list[str]] = field(factory=dict)
    things: dict[str, str] = field(factory=dict)
    files: list[str] = field(factory=list)
    short: dict[str, str] = field(factory=dict)  # the letter of a long option


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument("shell", choices=SHELLS, help="which shell it is for")
    parser.set_defaults(run=run)


def run(arguments: Arguments) -> int:
    """Print the script."""
    places = dict(places_of(arguments.every_command()))
    output.line({"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell](places))
    return OK


def places_of(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Place]]:
    """Yield each command, as "schedule ls", with what may follow it."""
    verbs: dict[str, argparse.ArgumentParser] = {}
    place = Place(names=_kind_of(path, parser))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            verbs = dict(action.choices)
        elif action.help != argparse.SUPPRESS:
            _add(place, action)
    place.words[:0] = verbs
    yield " ".join(path), place
    for name, below in verbs.items():
        yield from places_of(below, (*path, name))


def _kind_of(path: tuple[str, ...], parser: argparse.ArgumentParser) -> str | None:
    named = any(not action.option_strings and action.dest in ("id", "name") for action in parser._actions)
    return path[0] if path and path[0] in KINDS and named and " ".join(path) not in NEW else None


def _add(place: Place, action: argparse.Action) -> None:
    place.words.extend(option for option in action.option_strings if option.startswith("--"))
    letters = [option[1] for option in action.option_strings if len(option) == 2]
    place.short.update((option, letters[0]) for option in action.option_strings if letters and option[:2] == "--")
    for option in action.option_strings:
        if action.choices:
            place.choices[option] = [str(choice) for choice in action.choices]
        elif option in ("--task", "--schedule"):
            place.things[option] = option.removeprefix("--")
        elif "FILE" in str(action.metavar):
            place.files.append(option)
    if not action.option_strings:
        place.words.extend(str(choice) for choice in action.choices or ())


def _listing(kind: str) -> str:
    return f"callsheet {kind} ls -o name 2>/dev/null"


def _patterns(places: dict[str, Place], kind: str) -> tuple[str, str]:
    """Return the patterns of a `case` for all places that take names of a kind, as words and behind an option."""
    plain = [f'"{path}"' for path, place in places.items() if place.names == kind]
    behind = [
        f'"{path} {option}"' for path, place in places.items() for option, of in place.things.items() if of == kind
    ]
    return "|".join(plain), "|".join(behind)


def _cases(places: dict[str, Place], words: str, listed: str) -> dict[str, str]:
    """Return what goes into the frame of a shell with `case`; `words` and `listed` say how it sets what it offers."""
    known = "|".join(f'"{path}"' for path in places if path)
    behind, named, choices = [], [], dict[str, list[str]]()
    for path, place in places.items():
        for option, given in place.choices.items():
            choices.setdefault(words.format(" ".join(given)), []).append(f'"{path} {option}"')
        choices.setdefault(words.format(""), []).extend(f'"{path} {option}"' for option in place.files)
    for kind in KINDS:
        plain, options = _patterns(places, kind)
        behind += [f"{options}) {listed.format(_listing(kind))} ;;"] if options else []
        named += [f"{plain}) {listed.format(_listing(kind))} ;;"] if plain else []
    behind += [f"{'|'.join(patterns)}) {offer} ;;" for offer, patterns in choices.items() if patterns]
    offered = [f'"{path}") {words.format(" ".join(place.words))} ;;' for path, place in places.items()]
    return {"known": known, "behind": _lines(behind), "words": _lines(offered), "named": _lines(named)}


def _lines(cases: list[str]) -> str:
    return "\n".join(" " * 8 + case for case in cases)


def _bash(places: dict[str, Place]) -> str:
    return _fill(completion_frames.BASH, _cases(places, 'words="{}"', 'words="$words $({})"'))


def _zsh(places: dict[str, Place]) -> str:
    return _fill(completion_frames.ZSH, _cases(places, "found=({})", 'found+=("${{(@f)$({})}}")'))


def _fill(frame: str, parts: dict[str, str]) -> str:
    for name, part in parts.items():
        frame = frame.replace(f"@{name}@", part.strip())
    return frame.rstrip("\n")


def _fish(places: dict[str, Place]) -> str:
    return completion_frames.FISH + "\n".join(
        line for path, place in places.items() for line in _fish_lines(places, path, place)
    )


def _fish_lines(places: dict[str, Place], path: str, place: Place) -> Iterator[str]:
    verbs = [word for word in place.words if f"{path} {word}".strip() in places]
    seen = [f"__fish_seen_subcommand_from {part}" for part in path.split()]
    rest = [f"not __fish_seen_subcommand_from {' '.join(verbs)}"] if verbs else []
    begin = f"complete -c callsheet -n '{'; and '.join(seen + rest) or 'true'}'"
    for word in place.words:
        option = f"-s {place.short[word]} -l " if word in place.short else "-l "
        option += word.removeprefix("--")
        if not word.startswith("--"):
            yield f"{begin} -f -a {word}"
        elif word in place.choices or word in place.things:
            given = " ".join(place.choices.get(word, ())) or f"({_listing(place.things[word])})"
            yield f"{begin} -x {option} -a '{given}'"
        else:
            yield f"{begin} {option}" + (" -r" if word in place.files else "")
    if place.names is not None:
        yield f"{begin} -f -a '({_listing(place.names)})'"
