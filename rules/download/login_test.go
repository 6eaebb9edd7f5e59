package download_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"cbuild/rules/download"
)

// What was given for a place goes there, the longest prefix first, and neither beside it nor along with a redirect.
func TestAuthorize(t *testing.T) {
	var got string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = "other " + r.Header.Get("Authorization") }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		switch r.URL.Path {
		case "/npm/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/npm/beside":
			http.Redirect(w, r, "/x", http.StatusFound)
		case "/npm/below":
			http.Redirect(w, r, "/npm/private/x", http.StatusFound)
		}
	}))
	defer srv.Close()
	host := srv.Listener.Addr().String()
	c := download.New(download.Options{})
	defer c.Close()
	c.Declare(srv.URL) // it is on this machine, and has no TLS
	c.Declare(other.URL)
	c.Authorize(host+"/npm", "Bearer one")
	c.Authorize(host+"/npm/private/", "Bearer two")
	for path, want := range map[string]string{
		"/npm": "Bearer one", "/npm/x": "Bearer one", "/npm/private/x": "Bearer two", "/npmx": "", "/": "", "/other/npm/x": "", "/npm/away": "other ",
		"/npm/beside": "", "/npm/below": "Bearer two",
	} {
		got = "nothing"
		if _, err := c.Bytes(t.Context(), download.Request{URL: srv.URL + path}); err != nil || got != want {
			t.Errorf("%s: sent %q, %v; want %q", path, got, err, want)
		}
	}
	own := map[string]string{"Authorization": "Basic mine"}
	for _, path := range []string{"/npm/x", "/npm/beside"} {
		if _, err := c.Bytes(t.Context(), download.Request{URL: srv.URL + path, Headers: own}); err != nil || got != "Basic mine" {
			t.Errorf("%s: what the user says is not sent: %q, %v", path, got, err)
		}
	}
}
