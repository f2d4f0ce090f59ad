# shellcheck shell=bash
#
# Completion of netnsctl, netnsinit and netnsupdate for bash: all words come from netnsctl itself.

_netnsctl() {
    local line=${COMP_LINE:0:COMP_POINT} before character candidate
    local -a words
    IFS=$' \t' read -r -a words <<<"$line"
    [[ $line != *[[:blank:]] ]] || words+=('')
    # The shell replaces only what follows the last of the characters at which it breaks words.
    before=''
    for character in @ = :; do
        if [[ $COMP_WORDBREAKS == *$character* && ${words[-1]} == *$character* ]]; then
            local head=${words[-1]%"${words[-1]##*"$character"}"}
            ((${#head} <= ${#before})) || before=$head
        fi
    done
    COMPREPLY=()
    while IFS= read -r candidate; do
        printf -v candidate '%q' "${candidate#"$before"}"
        COMPREPLY+=("$candidate")
    done < <(/usr/sbin/netnsctl complete -- "${words[@]}" 2>/dev/null)
}

complete -o default -F _netnsctl netnsctl netnsinit netnsupdate netns-update
