package download

import (
	"net/url"
	"strings"
	"sync"
)

// logins are what to send as Authorization, by host and path.
type logins struct {
	mu    sync.RWMutex
	value map[string]string // guarded by mu; by prefix, as Authorize takes it
}

// Authorize sends value as the header Authorization with all requests for addresses beneath prefix: a host, perhaps with a port and a
// path. It is sent nowhere else, neither to where that host leads nor shown. It goes over http only if the host was declared.
func (c *Client) Authorize(prefix, value string) {
	c.logins.mu.Lock()
	defer c.logins.mu.Unlock()
	if c.logins.value == nil {
		c.logins.value = map[string]string{}
	}
	c.logins.value[strings.TrimSuffix(prefix, "/")+"/"] = value
}

// of returns what to send to u: what was given for the longest prefix.
func (l *logins) of(u *url.URL) (best string) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	longest := 0
	address := u.Host + u.Path + "/"
	for prefix, value := range l.value {
		if strings.HasPrefix(address, prefix) && len(prefix) > longest {
			longest, best = len(prefix), value
		}
	}
	return best
}
