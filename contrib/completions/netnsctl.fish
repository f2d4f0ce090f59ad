# Completion of netnsctl, netnsinit and netnsupdate for fish: all words come from netnsctl itself.

function __netnsctl_candidates
    /usr/sbin/netnsctl complete -- (commandline -opc) (commandline -ct) 2>/dev/null
end

for program in netnsctl netnsinit netnsupdate netns-update
    complete -c $program -a '(__netnsctl_candidates)'
end
