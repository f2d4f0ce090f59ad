# shellcheck shell=bash
# Functions that act as a container runtime.

# A container, and the namespace of its network.
unshare --net sleep 1000 &
container=$!
netns=/run/container
ln -s "/proc/$container/ns/net" "$netns"
for ((i = 0; i < 200; i++)); do
    [[ $netns -ef /proc/self/ns/net ]] || break
    sleep 0.01
done
trap 'kill $container 2>/dev/null' EXIT

# cni COMMAND [VARIABLE=VALUE...] CONFIGURATION: calls the plugin. `ID` stands for the namespace in what it prints.
cni() {
    local command=$1 configuration=${*: -1} status=0
    set -- "${@:2:$#-2}"
    env "CNI_COMMAND=$command" CNI_CONTAINERID=c1 CNI_IFNAME=eth0 "CNI_NETNS=$netns" CNI_PATH=/usr/lib/plugins \
        "$@" netns-cni <<<"$configuration" >/run/answer || status=$?
    [[ $command != ADD ]] || cp /run/answer /run/result
    sed "s,$netns,NETNS,g; s/\(\(..:\)\{5\}..\)/MAC/g" /run/answer
    return "$status"
}

# Calls CHECK with the result of ADD.
check() {
    cni CHECK "${1%\}}, \"prevResult\": $(</run/result)}"
}

# A configuration with these keys.
network() {
    echo "{\"cniVersion\": \"1.0.0\", \"name\": \"lab\", \"type\": \"netns-cni\", $1}"
}

# The remaining names, links and records.
left() {
    find /run/netns /run/systemd-netns -type f 2>/dev/null
    { ip -br link; nsenter --net="$netns" ip -br link; } | sed '/^lo /d; s/ .*//'
    return 0
}
