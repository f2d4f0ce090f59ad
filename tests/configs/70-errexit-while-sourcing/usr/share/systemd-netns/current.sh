[[ ! -e /run/fail ]]
FAIL=$(cut -d= -f2 /etc/conf.d/netns/default.conf | head -n 1)
[[ $FAIL != script-return ]] || return 1
[[ $FAIL != script ]]
configure_current_up_outside() { echo called; }
