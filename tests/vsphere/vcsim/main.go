// A vCenter for tests, on top of govmomi's simulator, that refuses what a real one refuses.
//
// Kept of the vendor's behaviour: a disk file of a powered-on machine is locked against every other
// powered-on machine; a first class disk cannot be deleted while any machine lists it; machines that
// are off may list one disk twice, and then one of them cannot start; a machine whose host does not
// answer keeps its last known state and takes no orders; destroying a machine destroys its disks,
// unless they are first class disks with keepAfterDeleteVm; one change at a time per machine; unit 7
// and 15 disks per controller; nothing without a live session; tasks may take a while (`delay_ms`).
// A copied disk keeps the UUID of its origin here, and so does one made of a snapshot: the worst that a
// vCenter may do. Two snapshots of a disk may have one description, and none of it is enlarged while it
// has any. That a disk with snapshots is written to another file is not kept.
//
// With a hypervisor (`-hypervisor`, see tests/lab) its machines are guests: attaching, detaching and
// growing a disk, and switching the power off and on, happen to them. Then a disk bears the first 16
// digits of its UUID, for QEMU shows no more, and copies are empty.
//
// It cannot tell how long an ESXi host keeps a lock after its death, what a hot-removed disk looks
// like to a guest, or how storage policies, vSAN and storage vMotion behave. Files are empty.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

func main() {
	certificate := flag.String("certificate", "", "where to write the certificate to trust")
	inherits := flag.Int("door", -1, "a listening socket that was inherited, to serve at as well")
	flag.StringVar(&hypervisor, "hypervisor", "", "the socket that takes orders for guests")
	flag.Parse()
	log.SetOutput(io.Discard)

	model := simulator.VPX()
	model.ServiceContent.About.ApiVersion = "7.0.0.0"
	if err := model.Create(); err != nil {
		panic(err)
	}
	defer model.Remove()
	replace(model.ServiceContent)
	model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword("volplug", "s3cret")}
	model.Service.NewServer() // registers the paths; its own listener goes unused

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	listeners := []net.Listener{listener}
	if *inherits >= 0 {
		inherited, err := net.FileListener(os.NewFile(uintptr(*inherits), "door"))
		if err != nil {
			panic(err)
		}
		listeners = append(listeners, inherited)
	}
	pair, text := selfSigned(listeners)
	if err := os.WriteFile(*certificate, text, 0o600); err != nil {
		panic(err)
	}
	server := &http.Server{
		Handler:   &door{inside: model.Service.ServeMux, dead: map[string]bool{}},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
	}
	go func() { // ends with the test that started it
		_, _ = io.Copy(io.Discard, os.Stdin)
		model.Remove()
		os.Exit(0)
	}()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for _, each := range listeners[1:] {
		go func(each net.Listener) { panic(server.ServeTLS(each, "", "")) }(each)
	}
	panic(server.ServeTLS(listener, "", ""))
}

// replace puts the strict objects in the places of the simulator's own.
func replace(content types.ServiceContent) {
	for _, entity := range simulator.Map.All("VirtualMachine") {
		machine := &VM{VirtualMachine: *entity.(*simulator.VirtualMachine)}
		machine.Config.ExtraConfig = append(machine.Config.ExtraConfig,
			&types.OptionValue{Key: "disk.EnableUUID", Value: "TRUE"})
		machines = append(machines, machine)
		simulator.Map.Put(machine)
	}
	index := simulator.Map.Get(*content.SearchIndex).(*simulator.SearchIndex)
	simulator.Map.Put(&Index{*index})
	files := simulator.Map.Get(*content.VirtualDiskManager).(*simulator.VirtualDiskManager)
	simulator.Map.Put(&Files{*files})
	catalogue.Self = *content.VStorageObjectManager
	simulator.Map.Put(catalogue)
}

func selfSigned(listeners []net.Listener) (tls.Certificate, []byte) {
	addresses := []net.IP{}
	for _, each := range listeners {
		addresses = append(addresses, each.Addr().(*net.TCPAddr).IP)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "vcenter.test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           addresses,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, text
}
