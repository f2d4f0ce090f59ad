// libcni VERB NETWORK CONTAINER: calls plugins as the reference implementation of CNI does, which cnitool shows
// and which containerd and CRI-O use. The network namespace is /run/netns/CONTAINER.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
)

func main() {
	verb, network, container := os.Args[1], os.Args[2], os.Args[3]
	list, err := libcni.LoadConfList("/etc/cni/net.d", network)
	check(err)
	cni := libcni.NewCNIConfig(filepath.SplitList(os.Getenv("CNI_PATH")), nil)
	capabilities := map[string]interface{}{}
	if text := os.Getenv("CAPABILITIES"); text != "" {
		check(json.Unmarshal([]byte(text), &capabilities))
	}
	runtime := &libcni.RuntimeConf{
		ContainerID: container, NetNS: "/run/netns/" + container, IfName: "eth0", CapabilityArgs: capabilities,
	}
	switch ctx := context.Background(); verb {
	case "validate":
		found, err := cni.ValidateNetworkList(ctx, list)
		check(err)
		fmt.Println(found)
	case "add":
		result, err := cni.AddNetworkList(ctx, list, runtime)
		check(err)
		text, err := json.Marshal(result)
		check(err)
		fmt.Println(string(text))
	case "check":
		check(cni.CheckNetworkList(ctx, list, runtime))
	case "del":
		check(cni.DelNetworkList(ctx, list, runtime))
	default:
		check(fmt.Errorf("no verb %q", verb))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
