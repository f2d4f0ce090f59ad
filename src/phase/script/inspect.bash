# shellcheck shell=bash disable=SC2154,SC2317 # it follows gate.bash; the files call functions
#
# Sources the files of an instance as driver.bash does, in a sandbox, and reports what they define.
# No function that configures anything is called.
#
# Arguments: CHECK COUNT FILE[COUNT] NSTYPE NSNAME up outside
#   CHECK   'yes': also check the values, by the type's function _NSTYPE_check
#
# The report goes to stdout, as words that end with NUL:
#   sourcing FILE
#   set NAME COUNT VALUE[COUNT]    a variable that the files set
#   function NAME LINE FILE
#   gate FAULT                     of NETNS_WAIT and the like
#   unconfigured VALUE             what NO_CONFIG_REQUIRED holds
#   named NAME COUNT VALUE[COUNT]  a variable after _NSTYPE_names has given those unset their default
#   value STATUS TEXT              the result of _NSTYPE_check, and what it prints
#   end

set -e
BASH_ARGV0=netnsinit
exec {__netns_report}>&1 1>/dev/null

__netns_say() {
    builtin printf '%s\0' "$@" >&"$__netns_report"
}

# gate.bash reports faults by it.
__netns_tell() {
    __netns_say gate "$1"
}

assert_non_empty() {
    if (($# == 0)); then
        printf 'Usage: assert_non_empty VARIABLE\n' >&2
    elif [[ -z ${!1+set} ]]; then
        printf 'Variable %s is not set!\n' "$1" >&2
    elif [[ -z ${!1} ]]; then
        printf 'Variable %s is empty!\n' "$1" >&2
    else
        return 0
    fi
    exit 1
}

# The variables that have been set since the start.
__netns_say_variables() {
    local __netns_name __netns_values
    for __netns_name in $(compgen -v); do
        [[ $__netns_name == __netns_* || -n ${__netns_known[$__netns_name]-} ]] && continue
        __netns_values="${__netns_name}[@]"
        set -- "${!__netns_values}"
        __netns_say "$__netns_word" "$__netns_name" "$#" "$@"
    done
}

__netns_say_functions() {
    local __netns_name __netns_line __netns_path
    shopt -s extdebug
    for __netns_name in $(compgen -A function); do
        [[ $__netns_name != __netns_* && $__netns_name != assert_non_empty ]] || continue
        IFS=' ' read -r _ __netns_line __netns_path < <(declare -F -- "$__netns_name")
        __netns_say function "$__netns_name" "$__netns_line" "$__netns_path"
    done
}

__netns_main() {
    local __netns_check=$1 __netns_count=$2 __netns_file __netns_name __netns_output
    local -a __netns_files=("${@:3:__netns_count}")
    local -A __netns_known=()
    shift $((2 + __netns_count))
    # shellcheck disable=SC2034 # for the files and their functions
    NSTYPE=$1 NSNAME=$2 UPDOWN=$3 INOUT=$4
    for __netns_name in $(compgen -v) REPLY BASH_REMATCH OPTARG PIPESTATUS; do
        __netns_known[$__netns_name]=yes
    done
    for __netns_file in "${__netns_files[@]}"; do
        __netns_say sourcing "$__netns_file"
        # shellcheck disable=SC1090
        source "$__netns_file" "$@" || :
    done
    # Undo what the files may have set for the shell.
    {
        set +eux -f
        trap - ERR EXIT DEBUG RETURN
        shopt -u nullglob failglob
        IFS=$' \t\n'
    } 2>/dev/null
    __netns_word='set'
    __netns_say_variables
    (__netns_say_functions)
    (__netns_check_gate)
    __netns_say unconfigured "${NO_CONFIG_REQUIRED-}"
    set +f
    if declare -F -- "_${NSTYPE}_names" >/dev/null; then
        "_${NSTYPE}_names" >/dev/null
    fi
    set -f
    __netns_word=named
    __netns_say_variables
    set +f
    if [[ $__netns_check == yes ]] && declare -F -- "_${NSTYPE}_check" >/dev/null; then
        # Do not wait for links that do not exist yet.
        # shellcheck disable=SC2034
        NETNS_LINK_TIMEOUT=0
        __netns_output=$(
            set -e
            "_${NSTYPE}_check" 2>&1 >/dev/null
        )
        __netns_say value "$?" "$__netns_output"
    fi
    __netns_say end
    builtin exit 0
}

__netns_main "$@"
