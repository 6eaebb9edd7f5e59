package download

import (
	"context"
	"net"
	"net/http"
)

// Anywhere makes c talk to every address, declared or not.
func (c *Client) Anywhere() {
	if t, ok := c.http.Transport.(*http.Transport); ok {
		t.DialContext = (&net.Dialer{Timeout: c.opts.Connect, Resolver: c.opts.Resolver}).DialContext
	}
}

// Dial makes c connect by dial.
func (c *Client) Dial(dial func(context.Context, string, string) (net.Conn, error)) {
	t := c.http.Transport.(*http.Transport)
	t.Proxy, t.DialContext = nil, dial
}
