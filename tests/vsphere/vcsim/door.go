package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

var named = regexp.MustCompile(`Body>\s*<(\w+)`)

// trouble is what a test asks for: the next calls of a method, or of any, meet it.
type trouble struct {
	Method, Kind string
	Times        int
}

// order is what a test tells the simulator behind the back of every client.
type order struct {
	Trouble                                     *trouble
	Delay_ms                                    *int
	Machine, Power, Connection, Uuid, Disk_uuid string
	Expire                                      bool
}

// door stands before the simulator: it counts calls, minds sessions and makes trouble.
type door struct {
	inside   http.Handler
	mu       sync.Mutex
	calls    []string
	troubles []*trouble
	live     string
	dead     map[string]bool
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/test" {
		d.test(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	found := named.FindSubmatch(body)
	if found == nil {
		d.inside.ServeHTTP(w, r)
		return
	}
	method := string(found[1])
	cookie, err := r.Cookie("vmware_soap_session")
	d.mu.Lock()
	d.calls = append(d.calls, method)
	kind := d.next(method)
	authenticated := err == nil && cookie.Value != "" && !d.dead[cookie.Value]
	if kind == "expired" && err == nil {
		d.dead[cookie.Value] = true
		authenticated = false
	}
	if !authenticated {
		r.Header.Del("Cookie")
	} else {
		d.live = cookie.Value
	}
	d.mu.Unlock()
	if !authenticated && method != "RetrieveServiceContent" && method != "Login" {
		fault(w, "NotAuthenticated")
		return
	}
	d.answer(w, r, kind)
}

func (d *door) next(method string) string {
	for _, one := range d.troubles {
		if one.Times > 0 && (one.Method == method || one.Method == "") {
			one.Times--
			return one.Kind
		}
	}
	return ""
}

func (d *door) answer(w http.ResponseWriter, r *http.Request, kind string) {
	switch kind {
	case "", "expired":
		d.pass(w, r)
	case "503", "429", "500":
		http.Error(w, "trouble", map[string]int{"503": 503, "429": 429, "500": 500}[kind])
	case "lost": // done, but nobody hears of it
		d.pass(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case "reset":
		panic(http.ErrAbortHandler)
	case "silent":
		<-r.Context().Done()
	default:
		fault(w, kind)
	}
}

func (d *door) pass(w http.ResponseWriter, r *http.Request) {
	mu.Lock()
	defer mu.Unlock()
	d.inside.ServeHTTP(w, r)
}

func fault(w http.ResponseWriter, name string) {
	w.WriteHeader(http.StatusInternalServerError)
	fields := ""
	if name == "NotAuthenticated" || name == "NoPermission" {
		fields = `<object type="Folder">group-d1</object><privilegeId>VirtualMachine.Interact.PowerOff</privilegeId>`
	}
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope
 xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<soapenv:Body><soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>%[1]s</faultstring><detail>
<%[1]sFault xmlns="urn:vim25" xsi:type="%[1]s">%[2]s</%[1]sFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>`, name, fields)
}

// test obeys an order, and tells all that there is.
func (d *door) test(w http.ResponseWriter, r *http.Request) {
	var given order
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	mu.Lock()
	defer mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.obey(given)
	_ = json.NewEncoder(w).Encode(d.state())
}

func (d *door) obey(given order) {
	if given.Trouble != nil {
		d.troubles = append(d.troubles, given.Trouble)
	}
	if given.Delay_ms != nil {
		delay = time.Duration(*given.Delay_ms) * time.Millisecond
	}
	if given.Expire {
		d.dead[d.live] = true
	}
	for _, machine := range machines {
		if machine.Name != given.Machine {
			continue
		}
		if given.Power != "" {
			simulator.Map.Update(machine, []types.PropertyChange{
				{Name: "runtime.powerState", Val: types.VirtualMachinePowerState(given.Power)}})
		}
		if given.Connection != "" {
			machine.Runtime.ConnectionState = types.VirtualMachineConnectionState(given.Connection)
		}
		if given.Uuid != "" {
			machine.Config.Uuid = given.Uuid
		}
		if given.Disk_uuid != "" {
			for _, option := range machine.Config.ExtraConfig {
				if option.GetOptionValue().Key == "disk.EnableUUID" {
					option.GetOptionValue().Value = given.Disk_uuid
				}
			}
		}
	}
}

func (d *door) state() map[string]any {
	disks, shown, vms := map[string]any{}, map[string]int64{}, map[string]any{}
	for id, object := range catalogue.objects {
		held := []string{}
		for _, machine := range holders(fileOf(object)) {
			held = append(held, machine.Name)
		}
		disks[id] = map[string]any{"file": fileOf(object), "name": object.Config.Name, "held_by": held, "snapshots": len(catalogue.snapshots[id]),
			"kept": *object.Config.KeepAfterDeleteVm && *object.Config.RelocationDisabled}
	}
	for name, one := range files {
		shown[name] = one.megabytes
	}
	for _, machine := range machines {
		vms[machine.Name] = map[string]any{"uuid": machine.Config.Uuid, "power": machine.Runtime.PowerState,
			"disks": len(machine.disks())}
	}
	return map[string]any{"disks": disks, "files": shown, "machines": vms, "calls": d.calls}
}
