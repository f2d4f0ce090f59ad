# shellcheck shell=bash
# Runs in a booted machine and prints one sample a line: ROW WHO MICROSECONDS. WHO is `ours`, or `baseline`
# for what systemd takes with units of the same shape that run /bin/true.
#
# Arguments: ROUNDS ROW...
set -euo pipefail
rounds=$1 few=$(((rounds + 9) / 10 + 1))
rows=" ${*:2} "

# Samples of both alternate, so that other load affects both.
timed() {
    local begin=${EPOCHREALTIME/./}
    "${@:3}" >/dev/null 2>&1
    echo "$1 $2 $((${EPOCHREALTIME/./} - begin))"
}

wanted() { [[ $rows == *" $1 "* ]]; }

# With all three units, so that systemctl waits until the last of them has stopped.
start_ours() { systemctl start "${@/#/netns-t@}"; }
stop_ours() { systemctl stop "${@/#/netns-t@}" "${@/#/netns_outside-t@}" "${@/#/netns_name@}"; }
start_baseline() { systemctl start "${@/#/baseline@}"; }
stop_baseline() { systemctl stop "${@/#/baseline@}" "${@/#/baseline_outside@}" "${@/#/baseline_name@}"; }
both_ours() { start_ours "$@" && stop_ours "$@"; }
both_baseline() { start_baseline "$@" && stop_baseline "$@"; }

service=$'[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/true\n'
lower=$'StopWhenUnneeded=yes\n'
units=/etc/systemd/system
echo "[Unit]
$lower$service" >$units/baseline_name@.service
echo "[Unit]
Requires=baseline_name@%i.service
After=baseline_name@%i.service network.target
PartOf=baseline@%i.service
$lower$service" >$units/baseline_outside@.service
echo "[Unit]
Requires=baseline_outside@%i.service
After=baseline_outside@%i.service
$service" >$units/baseline@.service
mkdir -p /etc/conf.d/netns
for phase in up_outside up_inside down_inside down_outside; do
    echo "configure_t_$phase() { :; }"
done >/etc/conf.d/netns/t.conf
netnsupdate --daemon-reload >/dev/null
both_ours warm
both_baseline warm

if wanted one; then
    for ((i = 0; i < rounds; i++)); do
        timed one ours both_ours one
        timed one baseline both_baseline one
    done
fi
if wanted hundred; then
    for ((i = 0; i < few; i++)); do
        for who in ours baseline; do
            timed hundred-start "$who" "start_$who" {1..100}
            timed hundred-stop "$who" "stop_$who" {1..100}
        done
    done
fi
if wanted thousand; then
    for ((i = 0; i < few; i++)); do
        timed ten ours start_ours {1..10}
        stop_ours {1..10}
    done
    timed thousand ours start_ours {1..1000}
    stop_ours {1..1000}
fi
counts=()
if wanted pods; then counts+=(250); fi
if wanted thousand-pods; then counts+=(1000); fi
if ((${#counts[@]})); then
    hostname vm-001
    create() { netnsctl pods create --bridge --gateway --template 172.16.0.0/16/20 "$1"; }
    # The first one has netnsupdate write the units.
    { create 1 && netnsctl pods delete; } >/dev/null 2>&1
    for ((i = 0; i < few + 3; i++)); do
        timed pods-create-10 ours create 10
        timed pods-delete-10 ours netnsctl pods delete
    done
    for count in "${counts[@]}"; do
        timed "pods-create-$count" ours create "$count"
        timed "pods-delete-$count" ours netnsctl pods delete
    done
fi
if wanted update; then
    for ((i = 0; i < 200; i++)); do echo ":" >"/etc/conf.d/netns/u$i.conf"; done
    netnsupdate >/dev/null
    for ((i = 0; i < rounds; i++)); do
        timed update-none ours netnsupdate
        timed update-none baseline systemctl reset-failed 'no-such-unit@*'
    done
    mkdir /root/copies
    copies=()
    for ((i = 0; i < 200; i++)); do
        for unit in netns netns_outside; do
            cp "$units/$unit-u$i@.service" "/root/copies/baseline-$unit-u$i@.service"
            copies+=("$units/baseline-$unit-u$i@.service")
        done
    done
    write_and_reload() { cp -t $units /root/copies/* && sync "${copies[@]}" "$units" && systemctl daemon-reload; }
    for ((i = 0; i < few; i++)); do
        netnsupdate --clean >/dev/null
        timed update-new ours netnsupdate
        netnsupdate --clean >/dev/null
        timed update-new baseline write_and_reload
        rm "${copies[@]}"
        systemctl daemon-reload
    done
fi
