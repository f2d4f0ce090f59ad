# shellcheck shell=bash
#
# NSTYPE nft: the packet filter of the namespace.
#
# netns-variables: NFT_AUTO_SAVE
# netns-programs: nft nsenter ip

# shellcheck disable=SC2034 # read by netnsinit: there is a default
NO_CONFIG_REQUIRED=yes

# shellcheck source=contrib/types/types.bash
source /usr/share/systemd-netns/types.bash

# The program that closes and opens the namespace.
_nft_guard=(/usr/share/systemd-netns/nft-guard .)
[[ $INOUT == inside ]] || _nft_guard[1]=$NSNAME

# A configuration can replace any of the four functions, so they must not be responsible for closing the
# namespace. This file is sourced before any configuration, in each phase: it closes the namespace here, and
# opens it at the end of `up inside`, if rules were loaded. The units do the same, in case the configuration
# sets its own EXIT trap.
_nft_settle() {
    local status=$?
    { set +eEx; trap - ERR; } 2>/dev/null
    if [[ $_nft_phase == up* && $_nft_loaded == no ]]; then
        "${_nft_guard[@]}" record "$_nft_newest"
    fi
    if [[ $_nft_phase$status == upinside0 ]]; then
        "${_nft_guard[@]}" open || builtin exit "$?"
    else
        "${_nft_guard[@]}" check "${_nft_tables-}"
    fi
}

_nft_phase=$UPDOWN$INOUT
# Check that `up` has begun: `netnsctl check` also sources this file, and must not close anything.
if [[ $UPDOWN == up && -e $netns_state/$INOUT.begun ]]; then
    if [[ $INOUT == outside ]]; then "${_nft_guard[@]}" close; else "${_nft_guard[@]}" resume; fi
    _nft_loaded=no _nft_newest=$("${_nft_guard[@]}" newest)
    trap _nft_settle EXIT
elif [[ $UPDOWN == down && ($INOUT == inside || -e /run/netns/$NSNAME) ]]; then
    # Without a record, the shell package has loaded the rules.
    [[ -e $netns_state ]] || "${_nft_guard[@]}" adopt
    _nft_tables=$("${_nft_guard[@]}" names)
    trap _nft_settle EXIT
fi

# Sets _nft_rules, the file with the rules of this namespace.
_nft_find_rules() {
    for _nft_rules in "/etc/conf.d/netns/nft-$NSNAME.rules" /etc/conf.d/netns/nft.rules \
        /usr/share/systemd-netns/nft.rules; do
        # A broken link is an error, not a missing file.
        [[ ! -e $_nft_rules && ! -L $_nft_rules ]] || return 0
    done
}

# Whether nft would accept these commands and the rules, in one transaction.
#   _nft_accepts BEFORE [AFTER]
_nft_accepts() {
    printf '%s\ninclude "%s"\n%s\n' "$1" "$_nft_rules" "${2-}" | nft -c -f - &>/dev/null
}

# Prints a line `table FAMILY NAME` for each existing table that the rules define.
_nft_defined_tables() {
    local table
    while read -r table; do
        # 'create' after the rules fails only if they define the table.
        if ! _nft_accepts "delete $table" "create $table" && _nft_accepts "delete $table"; then
            echo "$table"
        fi
    done < <(nft list tables | grep -v ' netns_closed$')
}

configure_nft_up_outside() {
    _nft_loaded=nothing
    netns_is_on NFT_AUTO_SAVE || :
}

# The rules are checked here, not outside, so that netns-nft@NSNAME itself fails.
configure_nft_up_inside() {
    local errors status=0
    local -a tables
    _nft_find_rules
    # nft accepts a pattern or a directory for any number of files, including none.
    if [[ ! -f $_nft_rules || ! -r $_nft_rules ]]; then
        errors="$_nft_rules cannot be read" status=1
    elif [[ $_nft_rules == *[\"\\*?[]* ]]; then
        errors="$_nft_rules: nft cannot include a file of this name" status=1
    else
        # Replace the tables of the file, and no others.
        mapfile -t tables < <(_nft_defined_tables)
        errors=$({
            printf '%s\n' "${tables[@]/#/delete }"
            printf 'include "%s"\n' "$_nft_rules"
        } | nft -f - 2>&1) || status=$?
        # The first line of nft's message with the position and the error.
        errors=$(grep -m 1 Error <<<"$errors" || echo "$_nft_rules: ${errors%%$'\n'*}")
        # nft reports an error at the end of the file for our line that includes it.
        [[ $errors != /dev/stdin:* ]] || errors="$_nft_rules: ${errors#* }"
    fi
    if ((status)); then
        echo "$errors: only loopback works in $NSNAME until its rules are loaded" >&2
        exit 6
    fi
    _nft_loaded=yes
    _nft_defined_tables | "${_nft_guard[@]}" keep
    "${_nft_guard[@]}" open
    echo "loaded $_nft_rules in $NSNAME"
}

# The rules stay loaded, because another type may still use the namespace.
configure_nft_down_inside() {
    if netns_is_on NFT_AUTO_SAVE; then
        /usr/sbin/netns-nft-save --here "$NSNAME"
    fi
}
