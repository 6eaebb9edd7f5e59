package faultserver

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Names answers look-ups in a Resolver: addresses, or what goes wrong.
type Names map[string]Name

// A Name is what a look-up of it brings: its addresses, or a code such as RCodeServerFailure.
type Name struct {
	Addresses []string
	Code      dnsmessage.RCode
}

// Resolver returns a resolver that asks a name server in memory. Names that it does not know do not exist.
func (n Names) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go n.serve(theirs)
		return ours, nil
	}}
}

// serve answers questions as over TCP: each message is preceded by its length.
func (n Names) serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 2+65535)
	for {
		if _, err := c.Read(buf[:2]); err != nil {
			return
		}
		size := int(buf[0])<<8 | int(buf[1])
		for got := 0; got < size; {
			k, err := c.Read(buf[got:size])
			if err != nil {
				return
			}
			got += k
		}
		answer, err := n.answer(buf[:size])
		if err != nil {
			return
		}
		if _, err := c.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...)); err != nil {
			return
		}
	}
}

func (n Names) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) == 0 {
		return nil, err
	}
	q := m.Questions[0]
	name, ok := n[strings.TrimSuffix(q.Name.String(), ".")]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	m.RCode = name.Code
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
	}
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 0}
	for _, text := range name.Addresses {
		ip := netip.MustParseAddr(text)
		switch {
		case q.Type == dnsmessage.TypeA && ip.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: ip.As4()}})
		case q.Type == dnsmessage.TypeAAAA && ip.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
		}
	}
	return m.Pack()
}
