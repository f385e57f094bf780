package main

import (
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type snapshot = types.VStorageObjectSnapshotInfoVStorageObjectSnapshot

// VStorageObjectCreateSnapshotTask takes one more snapshot, whatever there is already.
func (m *Catalogue) VStorageObjectCreateSnapshotTask(req *types.VStorageObjectCreateSnapshot_Task) soap.HasFault {
	id := task(m, "createSnapshot", func() (types.AnyType, types.BaseMethodFault) {
		if m.find(req.Id, req.Datastore) == nil {
			return nil, &types.NotFound{}
		}
		made := snapshot{Id: &types.ID{Id: uuid.New().String()}, CreateTime: time.Now(), Description: req.Description}
		m.snapshots[req.Id.Id] = append(m.snapshots[req.Id.Id], made)
		return *made.Id, nil
	})
	return &methods.VStorageObjectCreateSnapshot_TaskBody{
		Res: &types.VStorageObjectCreateSnapshot_TaskResponse{Returnval: id}}
}

// RetrieveSnapshotInfo lists them.
func (m *Catalogue) RetrieveSnapshotInfo(req *types.RetrieveSnapshotInfo) soap.HasFault {
	body := new(methods.RetrieveSnapshotInfoBody)
	if m.find(req.Id, req.Datastore) == nil {
		body.Fault_ = simulator.Fault("", new(types.NotFound))
		return body
	}
	body.Res = &types.RetrieveSnapshotInfoResponse{
		Returnval: types.VStorageObjectSnapshotInfo{Snapshots: m.snapshots[req.Id.Id]}}
	return body
}

func (m *Catalogue) at(disk types.ID, id types.ID) int {
	for i, one := range m.snapshots[disk.Id] {
		if one.Id.Id == id.Id {
			return i
		}
	}
	return -1
}

// DeleteSnapshotTask deletes one.
func (m *Catalogue) DeleteSnapshotTask(req *types.DeleteSnapshot_Task) soap.HasFault {
	id := task(m, "deleteSnapshot", func() (types.AnyType, types.BaseMethodFault) {
		i := m.at(req.Id, req.SnapshotId)
		if m.find(req.Id, req.Datastore) == nil || i < 0 {
			return nil, &types.NotFound{}
		}
		kept := m.snapshots[req.Id.Id]
		m.snapshots[req.Id.Id] = append(append([]snapshot{}, kept[:i]...), kept[i+1:]...)
		return nil, nil
	})
	return &methods.DeleteSnapshot_TaskBody{Res: &types.DeleteSnapshot_TaskResponse{Returnval: id}}
}

// CreateDiskFromSnapshotTask makes a whole disk, whose file is there, and locked, once that is begun.
func (m *Catalogue) CreateDiskFromSnapshotTask(ctx *simulator.Context, req *types.CreateDiskFromSnapshot_Task) soap.HasFault {
	answer := func(id types.ManagedObjectReference) soap.HasFault {
		return &methods.CreateDiskFromSnapshot_TaskBody{
			Res: &types.CreateDiskFromSnapshot_TaskResponse{Returnval: id}}
	}
	found := m.find(req.Id, req.Datastore)
	if found == nil || m.at(req.Id, req.SnapshotId) < 0 {
		return answer(failed(m, "createDiskFromSnapshot", &types.NotFound{}))
	}
	name, origin := "[LocalDS_0] "+req.Path, files[fileOf(found)]
	if files[name] != nil {
		return answer(failed(m, "createDiskFromSnapshot", &types.FileAlreadyExists{}))
	}
	if fault := room(origin.megabytes); fault != nil {
		return answer(failed(m, "createDiskFromSnapshot", fault))
	}
	store := simulator.Map.Get(req.Datastore).(*simulator.Datastore)
	center := simulator.Map.Get(*store.Parent).(*simulator.Folder).Parent
	plain := &simulator.VirtualDiskManager{}
	plain.Self = simulator.Map.VirtualDiskManager().Reference()
	copied := plain.CopyVirtualDiskTask(ctx, &types.CopyVirtualDisk_Task{
		SourceName: fileOf(found), SourceDatacenter: center, DestName: name, DestDatacenter: center,
	}).(*methods.CopyVirtualDisk_TaskBody).Res.Returnval
	if fault := result(copied); fault != nil {
		return answer(failed(m, "createDiskFromSnapshot", fault))
	}
	files[name] = &file{megabytes: origin.megabytes, uuid: origin.uuid, busy: true}
	return answer(task(m, "createDiskFromSnapshot", func() (types.AnyType, types.BaseMethodFault) {
		files[name].busy = false
		return *m.add(name, req.Name), nil
	}))
}
