"""The frames of the completion scripts; `@name@` is where completion_command.py puts what the commands are."""

BASH = r"""# completion of callsheet for bash; made by `callsheet completion bash`
_callsheet() {
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" path="" words="" word next
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        next="${path:+$path }$word"
        case "$next" in
            @known@) path="$next" ;;
        esac
    done
    case "$path $previous" in
        @behind@
        *)
            case "$path" in
        @words@
            esac
            [[ $current == -* ]] || case "$path" in
        @named@
            esac
            ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _callsheet callsheet
"""

ZSH = r"""#compdef callsheet
# completion of callsheet for zsh; made by `callsheet completion zsh`
_callsheet() {
    local path_="" word next
    local -a found
    for word in "${(@)words[2,CURRENT-1]}"; do
        next="${path_:+$path_ }$word"
        case "$next" in
            @known@) path_="$next" ;;
        esac
    done
    case "$path_ ${words[CURRENT-1]}" in
        @behind@
        *)
            case "$path_" in
        @words@
            esac
            [[ ${words[CURRENT]} == -* ]] || case "$path_" in
        @named@
            esac
            ;;
    esac
    compadd -- $found || _files
}
compdef _callsheet callsheet
"""

FISH = r"""# completion of callsheet for fish; made by `callsheet completion fish`
complete -c callsheet -e
"""
