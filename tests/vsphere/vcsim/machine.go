package main

import (
	"sync"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// One lock for all, held by the door around every call: this vCenter need not be fast.
var mu sync.Mutex
var machines []*VM
var delay time.Duration

// VM embeds by value, for the simulator's views look inside by reflection.
type VM struct {
	simulator.VirtualMachine
	changing bool
}

// Index finds every machine of a UUID, which the simulator cannot.
type Index struct{ simulator.SearchIndex }

type work = func() (types.AnyType, types.BaseMethodFault)

// task does the work at once, or after the delay, when others can see it run.
func task(on mo.Reference, name string, do work) types.ManagedObjectReference {
	made := simulator.CreateTask(on, name, func(*simulator.Task) (types.AnyType, types.BaseMethodFault) { return do() })
	if delay == 0 {
		return made.Run()
	}
	made.Info.State = types.TaskInfoStateRunning
	machine, _ := on.(*VM)
	if machine != nil {
		machine.changing = true
		machine.RecentTask = append(machine.RecentTask, made.Self)
	}
	go func() {
		time.Sleep(delay)
		mu.Lock()
		defer mu.Unlock()
		simulator.Map.WithLock(on, func() { made.Run() })
		if machine != nil {
			machine.changing = false
		}
	}()
	return made.Self
}

// refusal is what a machine says to every order that it cannot take now.
func (v *VM) refusal() types.BaseMethodFault {
	if v.Runtime.ConnectionState != types.VirtualMachineConnectionStateConnected {
		return &types.HostNotConnected{}
	}
	if v.changing {
		return &types.TaskInProgress{Task: v.RecentTask[len(v.RecentTask)-1]}
	}
	return nil
}

func (v *VM) disks() (found []*types.VirtualDisk) {
	for _, device := range v.Config.Hardware.Device {
		if disk, ok := device.(*types.VirtualDisk); ok {
			found = append(found, disk)
		}
	}
	return
}

func path(disk *types.VirtualDisk) string {
	return disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).FileName
}

func holders(file string) (found []*VM) {
	for _, machine := range machines {
		for _, disk := range machine.disks() {
			if path(disk) == file {
				found = append(found, machine)
			}
		}
	}
	return
}

// locked says whether a running machine other than this one has the file open.
func locked(file string, but *VM) bool {
	for _, holder := range holders(file) {
		if holder != but && holder.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff {
			return true
		}
	}
	return files[file] != nil && files[file].busy
}

func (v *VM) change(ctx *simulator.Context, operation string, device types.BaseVirtualDevice) types.BaseMethodFault {
	change := &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperation(operation), Device: device}
	spec := types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{change}}
	body := v.VirtualMachine.ReconfigVMTask(ctx, &types.ReconfigVM_Task{This: v.Self, Spec: spec})
	done := simulator.Map.Get(body.(*methods.ReconfigVM_TaskBody).Res.Returnval).(*simulator.Task)
	if done.Info.Error != nil {
		return done.Info.Error.Fault
	}
	return nil
}

// ReconfigVMTask is only used for controllers; disks come and go by AttachDisk and DetachDisk.
func (v *VM) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	refused := v.refusal()
	controllers := 0
	for _, device := range v.Config.Hardware.Device {
		if _, ok := device.(types.BaseVirtualSCSIController); ok {
			controllers++
		}
	}
	for _, change := range req.Spec.DeviceChange {
		device := change.GetVirtualDeviceConfigSpec().Device
		if _, ok := device.(*types.VirtualDisk); ok {
			refused = &types.NotSupported{}
		}
		if _, ok := device.(types.BaseVirtualSCSIController); ok && controllers >= 4 {
			refused = &types.TooManyDevices{}
		}
	}
	if refused != nil {
		id := task(v, "reconfigVm", func() (types.AnyType, types.BaseMethodFault) { return nil, refused })
		return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: id}}
	}
	return v.VirtualMachine.ReconfigVMTask(ctx, req)
}

func (v *VM) attach(ctx *simulator.Context, req *types.AttachDisk_Task) types.BaseMethodFault {
	found := catalogue.find(req.DiskId, req.Datastore)
	if found == nil {
		return &types.NotFound{}
	}
	file := fileOf(found)
	for _, holder := range holders(file) {
		if holder == v {
			return &types.InvalidState{}
		}
	}
	if v.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff && locked(file, v) {
		return &types.InvalidState{} // what AttachDisk says of a file that it failed to lock
	}
	devices := object.VirtualDeviceList(v.Config.Hardware.Device)
	controller, ok := devices.FindByKey(req.ControllerKey).(types.BaseVirtualController)
	if !ok {
		return &types.InvalidController{}
	}
	taken := map[int32]bool{7: true}
	for _, disk := range v.disks() {
		if disk.ControllerKey == req.ControllerKey {
			taken[*disk.UnitNumber] = true
		}
	}
	unit := int32(0)
	for taken[unit] {
		unit++
	}
	if unit > 15 {
		return &types.TooManyDevices{}
	}
	disk := devices.CreateDisk(controller, req.Datastore, file)
	disk.Key, disk.UnitNumber = 0, &unit
	disk.VDiskId, disk.CapacityInKB = &req.DiskId, files[file].megabytes*1024
	disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).Uuid = guestName(files[file].uuid)
	if fault := plug(v, file); fault != nil {
		return fault
	}
	return v.change(ctx, "add", disk)
}

// AttachDiskTask gives the machine a first class disk, if nobody runs with it.
func (v *VM) AttachDiskTask(ctx *simulator.Context, req *types.AttachDisk_Task) soap.HasFault {
	refused := v.refusal()
	id := task(v, "attachDisk", func() (types.AnyType, types.BaseMethodFault) {
		if refused != nil {
			return nil, refused
		}
		return nil, v.attach(ctx, req)
	})
	return &methods.AttachDisk_TaskBody{Res: &types.AttachDisk_TaskResponse{Returnval: id}}
}

// DetachDiskTask takes it away again.
func (v *VM) DetachDiskTask(ctx *simulator.Context, req *types.DetachDisk_Task) soap.HasFault {
	refused := v.refusal()
	id := task(v, "detachDisk", func() (types.AnyType, types.BaseMethodFault) {
		if refused != nil {
			return nil, refused
		}
		for _, disk := range v.disks() {
			if disk.VDiskId != nil && disk.VDiskId.Id == req.DiskId.Id {
				if fault := unplug(v, path(disk)); fault != nil {
					return nil, fault
				}
				return nil, v.change(ctx, "remove", disk)
			}
		}
		return nil, &types.NotFound{}
	})
	return &methods.DetachDisk_TaskBody{Res: &types.DetachDisk_TaskResponse{Returnval: id}}
}

// PowerOffVMTask needs a host that answers.
func (v *VM) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	if refused := v.refusal(); refused != nil {
		id := task(v, "powerOff", func() (types.AnyType, types.BaseMethodFault) { return nil, refused })
		return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: id}}
	}
	cutPower(v)
	return v.VirtualMachine.PowerOffVMTask(ctx, req)
}

// PowerOnVMTask fails when another running machine has one of the disks.
func (v *VM) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	for _, disk := range v.disks() {
		if locked(path(disk), v) {
			fault := &types.GenericVmConfigFault{Reason: "Failed to lock the file"}
			id := task(v, "powerOn", func() (types.AnyType, types.BaseMethodFault) { return nil, fault })
			return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: id}}
		}
	}
	restorePower(v)
	return v.VirtualMachine.PowerOnVMTask(ctx, req)
}

// DestroyTask takes the machine's disks along, but for first class ones that are to be kept.
func (v *VM) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	cutPower(v)
	for _, disk := range v.disks() {
		if disk.VDiskId != nil {
			_ = v.change(ctx, "remove", disk)
			if found := catalogue.objects[disk.VDiskId.Id]; found != nil && !*found.Config.KeepAfterDeleteVm {
				catalogue.destroy(found)
			}
		}
	}
	for i, machine := range machines {
		if machine == v {
			machines = append(machines[:i:i], machines[i+1:]...)
		}
	}
	return v.VirtualMachine.DestroyTask(ctx, req)
}

// FindAllByUuid lists every machine with that BIOS UUID.
func (i *Index) FindAllByUuid(req *types.FindAllByUuid) soap.HasFault {
	body := &methods.FindAllByUuidBody{Res: new(types.FindAllByUuidResponse)}
	for _, machine := range machines {
		if machine.Config.Uuid == req.Uuid {
			body.Res.Returnval = append(body.Res.Returnval, machine.Self)
		}
	}
	return body
}
