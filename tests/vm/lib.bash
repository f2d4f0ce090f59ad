# For the guest's test scripts:  . "${BASH_SOURCE%/*}/lib.bash"
# shellcheck shell=bash
set -euo pipefail

# show MARK WORD...: shows a command as it could be typed.
show() {
	printf '%s' "$1"
	printf ' %q' "${@:2}"
	echo
}

fail() {
	echo "FAILED: expected: $*"
	exit 1
}

# check 'what is expected' CMD...: CMD must succeed.
check() {
	local what=$1 status=0
	shift
	show '$' "$@"
	"$@" || status=$?
	((status == 0)) || fail "$what (exit status $status)"
}

# refute 'what is expected' CMD...: CMD must fail of its own will, not for want of CMD or by a signal.
refute() {
	local what=$1 status=0
	shift
	show '$ !' "$@"
	"$@" || status=$?
	((status != 0)) || fail "$what (exit status 0)"
	((status < 126)) || fail "$what (exit status $status: the command did not run, or was killed)"
}

# eventually SECONDS CMD...: CMD must succeed within SECONDS; what its last try wrote is shown.
eventually() {
	local seconds=$1 out status=0 end
	shift
	end=$(($(centiseconds) + seconds * 100))
	show "$ within $seconds s:" "$@"
	until out=$("$@" 2>&1); do
		status=$?
		if (($(centiseconds) >= end)); then
			echo "$out"
			fail "success within $seconds s (exit status $status)"
		fi
		sleep 0.1
	done
	[[ ! $out ]] || echo "$out"
}

# Since the boot: a test may set the clock.
centiseconds() {
	local now
	read -r now _ </proc/uptime
	echo $((10#${now/./}))
}

# power_cut: has QEMU killed, if the script has a line "# vm: disk". Does not return.
power_cut() {
	local marker
	marker=$(sed -n 's/^marker=//p' /var/lib/netns-vm/plan)
	printf '%s cut %s\n' "$marker" "${0##*/}"
	sleep infinity
}
