package download

import (
	"net/netip"
	"testing"
)

func TestPublicAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "93.184.216.34": true, "2606:4700::1111": true, "64:ff9b::101:101": true, "2002:101:101::1": true, "172.32.0.1": true, "100.128.0.1": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "127.0.0.1": false, "127.255.255.254": false, "100.64.0.1": false, "100.100.100.200": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.192": false, "192.168.0.1": false, "198.18.0.1": false, "224.0.0.1": false,
		"240.0.0.1": false, "255.255.255.255": false, "::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false,
		"fec0::1": false, "ff02::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:1.1.1.1": true, "64:ff9b::7f00:1": false,
		"64:ff9b::a9fe:a9fe": false, "2002:7f00:1::": false, "2002:a00:1::": false, "::127.0.0.1": false, "64:ff9b:1::1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("public(%s) = %v", text, got)
		}
	}
}

func TestDeclaredHosts(t *testing.T) {
	c := New(Options{})
	for _, address := range []string{"http://127.0.0.1:8080/x", "https://Nexus.corp", "localhost:9000", "http://me:secret@[::1]:70/", "10.0.0.1", "", ":", "http://", "no such host:x"} {
		c.Declare(address)
	}
	for at, want := range map[[2]string]bool{
		{"127.0.0.1", "8080"}: true, {"127.0.0.1", "8081"}: false, {"127.0.0.1", "80"}: false, {"nexus.corp", "443"}: true, {"nexus.corp.", "80"}: true, {"NEXUS.corp", ""}: true,
		{"nexus.corp", "8080"}: false, {"localhost", "9000"}: true, {"localhost", "80"}: false, {"::1", "70"}: true, {"10.0.0.1", "443"}: true, {"10.0.0.2", "443"}: false,
	} {
		if got := c.declared.has(at[0], at[1]); got != want {
			t.Errorf("%v: %v", at, got)
		}
	}
}
