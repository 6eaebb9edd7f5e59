package download

import (
	"net"
	"net/http"
)

// Anywhere makes c talk to every address, declared or not.
func (c *Client) Anywhere() {
	if t, ok := c.http.Transport.(*http.Transport); ok {
		t.DialContext = (&net.Dialer{Timeout: c.opts.Connect, Resolver: c.opts.Resolver}).DialContext
	}
}
