package main

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// hypervisor is the socket of tests/lab/hypervisor.py; empty where machines are only names.
var hypervisor string

const (
	patience = time.Minute
	letGo    = 10 * time.Second
	digits   = 16 // of a UUID: all that QEMU can show as the name of a SCSI disk
)

type words map[string]any

// tell gives the hypervisor an order, and returns its answer.
func tell(order string, said words) (any, error) {
	if hypervisor == "" {
		return nil, nil
	}
	connection, err := net.Dial("unix", hypervisor)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(patience))
	said["order"] = order
	var got struct {
		Answer any
		Error  string
	}
	if err := json.NewEncoder(connection).Encode(said); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(connection).Decode(&got); err != nil {
		return nil, err
	}
	if got.Error != "" {
		return nil, errors.New(got.Error)
	}
	return got.Answer, nil
}

// guestName is how the guest will know a disk: its UUID, or as much of that as QEMU can show.
func guestName(uuid string) string {
	if hypervisor == "" {
		return uuid
	}
	return strings.ReplaceAll(uuid, "-", "")[:digits]
}

// plug gives a running guest a disk; the real host fails in the same words if it cannot lock the file.
func plug(machine *VM, name string) types.BaseMethodFault {
	if machine.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
		return nil
	}
	found := files[name]
	if _, err := tell("plug", words{"machine": machine.Config.Uuid, "disk": name, "bus": "scsi",
		"size_bytes": found.megabytes << 20, "serial": guestName(found.uuid)}); err != nil {
		return &types.InvalidState{}
	}
	return nil
}

// unplug takes a disk from a guest, which is not asked: a SCSI disk is simply gone.
func unplug(machine *VM, name string) types.BaseMethodFault {
	said := func() words { return words{"machine": machine.Config.Uuid, "disk": name} }
	if _, err := tell("ask_out", said()); err != nil {
		return &types.InvalidState{}
	}
	for end := time.Now().Add(letGo); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if has, err := tell("has", said()); err == nil && has != true {
			return nil
		}
	}
	return &types.InvalidState{}
}

func grow(name string) {
	_, _ = tell("grow", words{"disk": name, "size_bytes": files[name].megabytes << 20})
}

func erase(name string) { _, _ = tell("delete", words{"disk": name}) }

func cutPower(machine *VM) { _, _ = tell("off", words{"machine": machine.Config.Uuid}) }

func restorePower(machine *VM) { _, _ = tell("on", words{"machine": machine.Config.Uuid}) }
