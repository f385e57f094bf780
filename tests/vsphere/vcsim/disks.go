package main

import (
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const datastoreMegabytes = 64 << 20 // all that thick and thin disks together may promise

type file struct {
	megabytes int64
	uuid      string
	busy      bool
}

var files = map[string]*file{}

// Files is the manager of disk files, which remembers sizes and UUIDs.
type Files struct{ simulator.VirtualDiskManager }

// Catalogue is the manager of first class disks.
type Catalogue struct {
	mo.VcenterVStorageObjectManager
	objects   map[string]*types.VStorageObject
	snapshots map[string][]types.VStorageObjectSnapshotInfoVStorageObjectSnapshot
}

var catalogue = &Catalogue{
	objects:   map[string]*types.VStorageObject{},
	snapshots: map[string][]types.VStorageObjectSnapshotInfoVStorageObjectSnapshot{},
}

func room(more int64) types.BaseMethodFault {
	for _, one := range files {
		more += one.megabytes
	}
	if more > datastoreMegabytes {
		return &types.NoDiskSpace{Datastore: "LocalDS_0"}
	}
	return nil
}

// result runs what the simulator does itself, and tells how it ended.
func result(id types.ManagedObjectReference) types.BaseMethodFault {
	if done := simulator.Map.Get(id).(*simulator.Task); done.Info.Error != nil {
		return done.Info.Error.Fault
	}
	return nil
}

// slowly keeps a file locked until the task that makes it is done.
func slowly(made *file, on mo.Reference, name string) types.ManagedObjectReference {
	made.busy = true
	return task(on, name, func() (types.AnyType, types.BaseMethodFault) {
		made.busy = false
		return nil, nil
	})
}

func failed(on mo.Reference, name string, fault types.BaseMethodFault) types.ManagedObjectReference {
	return task(on, name, func() (types.AnyType, types.BaseMethodFault) { return nil, fault })
}

func newUUID() string { return "6000C29" + uuid.New().String()[7:] }

// CreateVirtualDiskTask makes a file, which is there, and locked, as soon as it is begun.
func (m *Files) CreateVirtualDiskTask(ctx *simulator.Context, req *types.CreateVirtualDisk_Task) soap.HasFault {
	answer := func(id types.ManagedObjectReference) soap.HasFault {
		return &methods.CreateVirtualDisk_TaskBody{Res: &types.CreateVirtualDisk_TaskResponse{Returnval: id}}
	}
	megabytes := req.Spec.(*types.FileBackedVirtualDiskSpec).CapacityKb / 1024
	if files[req.Name] == nil {
		if fault := room(megabytes); fault != nil {
			return answer(failed(m, "createVirtualDisk", fault))
		}
	}
	id := m.VirtualDiskManager.CreateVirtualDiskTask(ctx, req).(*methods.CreateVirtualDisk_TaskBody).Res.Returnval
	if result(id) != nil {
		return answer(id)
	}
	files[req.Name] = &file{megabytes: megabytes, uuid: newUUID()}
	return answer(slowly(files[req.Name], m, "createVirtualDisk"))
}

// CopyVirtualDiskTask needs an origin that nobody has open.
func (m *Files) CopyVirtualDiskTask(ctx *simulator.Context, req *types.CopyVirtualDisk_Task) soap.HasFault {
	answer := func(id types.ManagedObjectReference) soap.HasFault {
		return &methods.CopyVirtualDisk_TaskBody{Res: &types.CopyVirtualDisk_TaskResponse{Returnval: id}}
	}
	if locked(req.SourceName, nil) {
		return answer(failed(m, "copyVirtualDisk", &types.FileLocked{}))
	}
	id := m.VirtualDiskManager.CopyVirtualDiskTask(ctx, req).(*methods.CopyVirtualDisk_TaskBody).Res.Returnval
	if result(id) != nil {
		return answer(id)
	}
	files[req.DestName] = &file{megabytes: files[req.SourceName].megabytes, uuid: files[req.SourceName].uuid}
	return answer(slowly(files[req.DestName], m, "copyVirtualDisk"))
}

// MoveVirtualDiskTask renames, and never over another file.
func (m *Files) MoveVirtualDiskTask(ctx *simulator.Context, req *types.MoveVirtualDisk_Task) soap.HasFault {
	if locked(req.SourceName, nil) {
		id := failed(m, "moveVirtualDisk", &types.FileLocked{})
		return &methods.MoveVirtualDisk_TaskBody{Res: &types.MoveVirtualDisk_TaskResponse{Returnval: id}}
	}
	body := m.VirtualDiskManager.MoveVirtualDiskTask(ctx, req)
	if result(body.(*methods.MoveVirtualDisk_TaskBody).Res.Returnval) == nil {
		files[req.DestName] = files[req.SourceName]
		delete(files, req.SourceName)
	}
	return body
}

// DeleteVirtualDiskTask deletes whatever nobody has open, first class or not.
func (m *Files) DeleteVirtualDiskTask(ctx *simulator.Context, req *types.DeleteVirtualDisk_Task) soap.HasFault {
	if locked(req.Name, nil) {
		id := failed(m, "deleteVirtualDisk", &types.FileLocked{})
		return &methods.DeleteVirtualDisk_TaskBody{Res: &types.DeleteVirtualDisk_TaskResponse{Returnval: id}}
	}
	delete(files, req.Name)
	erase(req.Name)
	return m.VirtualDiskManager.DeleteVirtualDiskTask(ctx, req)
}

// QueryVirtualDiskUuid answers in the spelling of ESXi.
func (m *Files) QueryVirtualDiskUuid(ctx *simulator.Context, req *types.QueryVirtualDiskUuid) soap.HasFault {
	found := files[req.Name]
	if found == nil {
		return m.VirtualDiskManager.QueryVirtualDiskUuid(ctx, req)
	}
	digits := strings.ToLower(strings.ReplaceAll(found.uuid, "-", ""))
	spelt := ""
	for i := 0; i < 32; i += 2 {
		spelt += digits[i:i+2] + map[bool]string{true: "-", false: " "}[i == 14]
	}
	return &methods.QueryVirtualDiskUuidBody{Res: &types.QueryVirtualDiskUuidResponse{Returnval: strings.TrimSpace(spelt)}}
}

// SetVirtualDiskUuid takes the same spelling.
func (m *Files) SetVirtualDiskUuid(ctx *simulator.Context, req *types.SetVirtualDiskUuid) soap.HasFault {
	digits := strings.NewReplacer(" ", "", "-", "").Replace(req.Uuid)
	spelt, err := uuid.Parse(digits)
	if err != nil || !strings.HasPrefix(digits, "6000c29") || files[req.Name] == nil {
		return &methods.SetVirtualDiskUuidBody{Fault_: simulator.Fault("", &types.InvalidArgument{InvalidProperty: "uuid"})}
	}
	files[req.Name].uuid = "6000C29" + spelt.String()[7:]
	return m.VirtualDiskManager.SetVirtualDiskUuid(ctx, req)
}

func fileOf(object *types.VStorageObject) string {
	return object.Config.Backing.(*types.BaseConfigInfoDiskFileBackingInfo).FilePath
}

func (m *Catalogue) find(id types.ID, datastore types.ManagedObjectReference) *types.VStorageObject {
	found := m.objects[id.Id]
	if found == nil || found.Config.Backing.(*types.BaseConfigInfoDiskFileBackingInfo).Datastore != datastore {
		return nil
	}
	found.Config.CapacityInMB = files[fileOf(found)].megabytes
	return found
}

func (m *Catalogue) destroy(object *types.VStorageObject) {
	delete(m.objects, object.Config.Id.Id)
	delete(m.snapshots, object.Config.Id.Id)
	delete(files, fileOf(object))
	erase(fileOf(object))
	store := simulator.Map.Get(object.Config.Backing.(*types.BaseConfigInfoDiskFileBackingInfo).Datastore).(*simulator.Datastore)
	center := simulator.Map.Get(*store.Parent).(*simulator.Folder).Parent
	plain := &simulator.VirtualDiskManager{}
	plain.Self = simulator.Map.VirtualDiskManager().Reference()
	plain.DeleteVirtualDiskTask(nil, &types.DeleteVirtualDisk_Task{Name: fileOf(object), Datacenter: center})
}

// RegisterDisk makes a first class disk of a file, once, and then says which one it is.
func (m *Catalogue) RegisterDisk(req *types.RegisterDisk) soap.HasFault {
	body := new(methods.RegisterDiskBody)
	fault := func(fault types.BaseMethodFault) soap.HasFault {
		body.Fault_ = simulator.Fault("", fault)
		return body
	}
	address, err := url.Parse(req.Path)
	if err != nil || address.Query().Get("dcPath") != "DC0" || address.Query().Get("dsName") != "LocalDS_0" {
		return fault(&types.InvalidArgument{InvalidProperty: "path"})
	}
	name := "[LocalDS_0] " + strings.TrimPrefix(address.Path, "/folder/")
	found := files[name]
	if found == nil {
		return fault(&types.FileNotFound{FileFault: types.FileFault{File: name}})
	}
	if found.busy {
		return fault(&types.FileLocked{})
	}
	for id, object := range m.objects {
		if fileOf(object) == name {
			return fault(&types.AlreadyExists{Name: id})
		}
	}
	made := m.add(name, req.Name)
	body.Res = &types.RegisterDiskResponse{Returnval: *made}
	return body
}

// add makes a first class disk of a file.
func (m *Catalogue) add(path string, name string) *types.VStorageObject {
	store := simulator.Map.Any("Datastore").Reference()
	made := types.VStorageObject{Config: types.VStorageObjectConfigInfo{
		BaseConfigInfo: types.BaseConfigInfo{
			Id: types.ID{Id: uuid.New().String()}, Name: name, CreateTime: time.Now(),
			KeepAfterDeleteVm: types.NewBool(false), RelocationDisabled: types.NewBool(false),
			Backing: &types.BaseConfigInfoDiskFileBackingInfo{
				BaseConfigInfoFileBackingInfo: types.BaseConfigInfoFileBackingInfo{
					BaseConfigInfoBackingInfo: types.BaseConfigInfoBackingInfo{Datastore: store},
					FilePath:                  path,
				},
				ProvisioningType: "thin",
			},
		},
		CapacityInMB:    files[path].megabytes,
		ConsumptionType: []string{"disk"},
	}}
	m.objects[made.Config.Id.Id] = &made
	return &made
}

// RetrieveVStorageObject tells of one disk.
func (m *Catalogue) RetrieveVStorageObject(req *types.RetrieveVStorageObject) soap.HasFault {
	body := new(methods.RetrieveVStorageObjectBody)
	if found := m.find(req.Id, req.Datastore); found != nil {
		body.Res = &types.RetrieveVStorageObjectResponse{Returnval: *found}
	} else {
		body.Fault_ = simulator.Fault("", new(types.NotFound))
	}
	return body
}

// SetVStorageObjectControlFlags knows the two flags that matter here.
func (m *Catalogue) SetVStorageObjectControlFlags(req *types.SetVStorageObjectControlFlags) soap.HasFault {
	body := new(methods.SetVStorageObjectControlFlagsBody)
	found := m.find(req.Id, req.Datastore)
	if found == nil {
		body.Fault_ = simulator.Fault("", new(types.NotFound))
		return body
	}
	for _, flag := range req.ControlFlags {
		*map[string]*bool{"keepAfterDeleteVm": found.Config.KeepAfterDeleteVm, "disableRelocation": found.Config.RelocationDisabled}[flag] = true
	}
	body.Res = new(types.SetVStorageObjectControlFlagsResponse)
	return body
}

// DeleteVStorageObjectTask deletes a disk that no machine lists, running or not.
func (m *Catalogue) DeleteVStorageObjectTask(req *types.DeleteVStorageObject_Task) soap.HasFault {
	id := task(m, "deleteDisk", func() (types.AnyType, types.BaseMethodFault) {
		found := m.find(req.Id, req.Datastore)
		if found == nil {
			return nil, &types.NotFound{}
		}
		if len(holders(fileOf(found))) > 0 {
			return nil, &types.InvalidState{}
		}
		m.destroy(found)
		return nil, nil
	})
	return &methods.DeleteVStorageObject_TaskBody{Res: &types.DeleteVStorageObject_TaskResponse{Returnval: id}}
}

// ExtendDiskTask makes a disk larger, in use or not, as vSphere 7.0 U2 does.
func (m *Catalogue) ExtendDiskTask(req *types.ExtendDisk_Task) soap.HasFault {
	id := task(m, "extendDisk", func() (types.AnyType, types.BaseMethodFault) {
		found := m.find(req.Id, req.Datastore)
		if found == nil {
			return nil, &types.NotFound{}
		}
		if len(m.snapshots[req.Id.Id]) > 0 {
			return nil, &types.InvalidState{}
		}
		more := req.NewCapacityInMB - found.Config.CapacityInMB
		if more <= 0 {
			return nil, &types.InvalidArgument{InvalidProperty: "newCapacityInMB"}
		}
		if fault := room(more); fault != nil {
			return nil, fault
		}
		files[fileOf(found)].megabytes = req.NewCapacityInMB
		grow(fileOf(found))
		return nil, nil
	})
	return &methods.ExtendDisk_TaskBody{Res: &types.ExtendDisk_TaskResponse{Returnval: id}}
}
