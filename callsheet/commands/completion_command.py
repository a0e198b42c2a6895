"""`callsheet completion`: a script for a shell, made from the commands themselves."""

import argparse
from collections.abc import Iterator

from callsheet.commands import output
from callsheet.commands.common import OK, Arguments

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument("shell", choices=SHELLS, help="which shell it is for")
    parser.set_defaults(run=run)


def run(arguments: Arguments) -> int:
    """Print the script."""
    words = dict(words_of(arguments.every_command()))
    output.line({"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell](words))
    return OK


def words_of(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Yield each command, as "schedule ls", with the words that may follow it."""
    verbs: dict[str, argparse.ArgumentParser] = {}
    words: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            verbs = dict(action.choices)
        if action.help == argparse.SUPPRESS:
            continue
        words += [option for option in action.option_strings if option.startswith("--")]
        words += [str(choice) for choice in action.choices or () if not action.option_strings and not verbs]
    yield " ".join(path), [*verbs, *words]
    for name, below in verbs.items():
        yield from words_of(below, (*path, name))


def _bash(words: dict[str, list[str]]) -> str:
    cases = "\n".join(f'        "{path}") words="{" ".join(below)}" ;;' for path, below in words.items())
    return f"""\
# completion of callsheet for bash; made by `callsheet completion bash`
_callsheet() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" path="" words="" word next
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        next="${{path:+$path }}$word"
        case "$next" in
{_known(words, 12)}
        esac
    done
    case "$path" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [[ ${{#COMPREPLY[@]}} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$current"))
}}
complete -F _callsheet callsheet"""


def _known(words: dict[str, list[str]], indent: int) -> str:
    names = "|".join(f'"{path}"' for path in words if path)
    return " " * indent + f'{names}) path="$next" ;;'


def _zsh(words: dict[str, list[str]]) -> str:
    cases = "\n".join(f'        "{path}") found=({" ".join(below)}) ;;' for path, below in words.items())
    return f"""\
#compdef callsheet
# completion of callsheet for zsh; made by `callsheet completion zsh`
_callsheet() {{
    local path_="" word next
    local -a found
    for word in "${{(@)words[2,CURRENT-1]}}"; do
        next="${{path_:+$path_ }}$word"
        case "$next" in
{_known(words, 12).replace('path="', 'path_="')}
        esac
    done
    case "$path_" in
{cases}
    esac
    compadd -- $found || _files
}}
compdef _callsheet callsheet"""


def _fish(words: dict[str, list[str]]) -> str:
    lines = ["# completion of callsheet for fish; made by `callsheet completion fish`", "complete -c callsheet -e"]
    for path, below in words.items():
        verbs = [f"{path} {word}".strip() for word in below if f"{path} {word}".strip() in words]
        seen = " ".join(f"; and __fish_seen_subcommand_from {part}" for part in path.split())
        names = " ".join(verb.rsplit(" ", 1)[-1] for verb in verbs)
        rest = f"; and not __fish_seen_subcommand_from {names}" if names else ""
        condition = (seen + rest).removeprefix("; and ").strip() or "true"
        for word in below:
            option = f"-l {word.removeprefix('--')}" if word.startswith("--") else f"-a {word} -f"
            lines.append(f"complete -c callsheet -n '{condition}' {option}")
    return "\n".join(lines)
