# shellcheck shell=bash disable=SC2154,SC2317 # driver.bash evaluates it when it needs it
#
# What driver.bash needs when a command fails, or the configuration is refused. It is parsed with the
# options that the files have set.

# Adds to the report: how many words follow, this process, the stage, its file or function, and the
# place of a failure if there was one. A failure to do so only costs detail in a message.
__netns_tell() {
    # A child of a function may outlive netnsinit, and must not write where that once was.
    [[ $BASHPID == "$$" && -n $__netns_stage ]] || return 0
    builtin printf '%s\0' "$((3 + $#))" "$$" "$__netns_stage" "$__netns_subject" "$@" >>"$__netns_report" || :
}

# Ends the run for assert_non_empty.
__netns_refuse_empty() {
    if (($# == 0)); then
        builtin printf 'Usage: assert_non_empty VARIABLE\n' >&2
    elif [[ -z ${!1+set} ]]; then
        builtin printf 'Variable %s is not set!\n' "$1" >&2
    else
        builtin printf 'Variable %s is empty!\n' "$1" >&2
    fi
    [[ -z ${__netns_blames-} ]] || __netns_blame 1 "assert_non_empty $*"
    builtin exit 1
}

# Reports that a command failed, and the innermost place that is not one of our own functions.
__netns_blame() {
    local - __netns_frame=1
    builtin set +x
    while [[ ${FUNCNAME[__netns_frame]} == @(assert_non_empty|exit|__netns_!(main)) ]]; do
        ((__netns_frame += 1))
    done
    if [[ ${FUNCNAME[__netns_frame]} != __netns_main ]]; then
        __netns_tell_place "$1" "$2" \
            "${BASH_SOURCE[__netns_frame]}" "${BASH_LINENO[__netns_frame - 1]}"
    elif [[ $__netns_stage == calling ]]; then
        __netns_blame_function "$1"
    else
        __netns_tell
    fi
    # Errexit would end the run here as well, but have bash complain about its own variables
    # ("pop_var_context").
    if [[ $__netns_stage == sourcing && $- == *e* ]]; then builtin exit "$1"; fi
}

# Reports that the function as a whole gave a status that no command in it was reported for: by
# `return`, or because its last line is a condition that does not hold.
__netns_blame_function() {
    local __netns_line __netns_path
    [[ ${__netns_told-} != "$1" ]] || return 0
    IFS=' ' builtin read -r _ __netns_line __netns_path \
        < <(builtin shopt -s extdebug; builtin declare -F -- "$__netns_subject") || return 0
    __netns_tell_place "$1" 'returned by the function that begins here' \
        "$__netns_path" "$__netns_line"
}

__netns_tell_place() {
    __netns_told=$1
    __netns_tell "$@"
}

# Ends the run for `exit`.
__netns_exit() {
    # A trap on EXIT may pass on the status of the command that has ended the run.
    if [[ $1 == 0 && $__netns_stage == sourcing ]]; then
        __netns_tell
    elif [[ $1 != 0 && ! ($- == *e* && ${__netns_told-} == "$1") ]]; then
        __netns_blame "$1" "exit $1"
    fi
    builtin exit "$1"
}

# Ends the run because of what the configuration holds, for netns_reject of the type library.
#   __netns_fault VARIABLE TEXT    TEXT is for the reader, and VARIABLE may be empty
# Does nothing where that cannot be reported: in a subshell, or before the function was called.
__netns_tell_fault() {
    [[ $BASHPID == "$$" && $__netns_stage == calling ]] || return 0
    __netns_stage=fault
    __netns_tell "$@"
    # Traps on EXIT may fail too, which does not change the reason.
    __netns_stage=''
    builtin exit 6
}

# Ends the run if bash cannot parse the file that has failed, with the options that it has come to, of
# which extglob counts.
__netns_require_syntax() {
    local __netns_extglob=+O
    ! builtin shopt -q extglob || __netns_extglob=-O
    if ! "$BASH" "$__netns_extglob" extglob -n "$__netns_subject" 2>/dev/null; then
        __netns_enter syntax "$__netns_subject"
        builtin exit 6
    fi
}
