package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"cbuild/cas/local"
)

func (c *cli) serveCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "serve", Short: "Show builds in a browser, while they run and afterwards",
		Long: `serve prints an address and shows there what builds of this workspace do, whoever runs them: the report while its rows come in, what runs and
what is waited for; and the reports, results and logs of earlier builds. It only looks: it can be started and ended at any time, and goes on
when a build is interrupted and resumed.

It listens on this machine alone, and answers only to who has the address, in which there is a secret.`,
		Example: "  cbuild serve\n  cbuild serve --listen localhost:8080", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.serve(address) },
	}
	cmd.Flags().StringVar(&address, "listen", "localhost:0", "listen at `HOST:PORT` of this machine; port 0 is any that is free")
	return cmd
}

// serve shows builds until a signal ends it.
func (c *cli) serve(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !isLoopback(host) {
		return usagef("--listen %s: want localhost:PORT or 127.0.0.1:PORT: what builds do is shown to nobody else", address)
	}
	h, root, err := c.openHistory()
	if err != nil {
		return err
	}
	defer h.Close()
	dir, err := c.liveDir(root)
	if err != nil {
		return err
	}
	return c.withStore(func(store *local.Local) error {
		past := &past{store: store, history: h}
		s := &server{past: past, follower: newFollower(dir, past), secret: newSecret(), root: root}
		return s.run(c, address)
	})
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// newSecret is what the address of the pages begins with.
func newSecret() string {
	var b [16]byte
	rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// server shows the builds of a workspace.
type server struct {
	past     *past
	follower *follower
	secret   string
	root     string
}

// run serves until a signal ends it.
func (s *server) run(c *cli, address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(caught)
	var listening net.ListenConfig
	socket, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return usagef("--listen: %w", err)
	}
	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: time.Minute, BaseContext: func(net.Listener) context.Context { return ctx }}
	var serving sync.WaitGroup
	serving.Go(func() { _ = web.Serve(socket) }) // it ends when it is closed
	serving.Go(func() { s.follower.follow(ctx) })
	_, err = fmt.Fprintf(c.stdout, "http://%s/%s/\n", socket.Addr(), s.secret)
	if err == nil {
		<-ctx.Done()
	}
	stop()
	err = errors.Join(err, web.Close())
	serving.Wait()
	if err == nil {
		err = &statusError{status: exitInterrupt}
		if <-caught == syscall.SIGTERM {
			err = &statusError{status: exitTerminate}
		}
	}
	return err
}

// handler answers to those who know the secret, and only under a name of this machine: a page from elsewhere could else have its own name
// stand for this machine.
func (s *server) handler() http.Handler {
	to := routes{http.NewServeMux(), "/" + s.secret}
	to.get("/{$}", s.overview)
	s.follower.routes(to)
	s.past.routes(to)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLoopback(strings.Trim(host, "[]")) || !strings.HasPrefix(r.URL.Path+"/", to.base+"/") {
			http.Error(w, "The address is the one that cbuild serve printed.", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'") // what is a page of ours says so
		to.mux.ServeHTTP(w, r)
	})
}

// routes are addresses below the secret. They hold it themselves: where one is almost right, the server sends the browser on to it.
type routes struct {
	mux  *http.ServeMux
	base string
}

func (to routes) get(path string, handler http.HandlerFunc) {
	to.mux.HandleFunc("GET "+to.base+path, handler)
}

// ourPage makes an answer a page with a policy of its own, which may stand in no frame.
func ourPage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
}

// plainText makes an answer a text, whatever is in it.
func plainText(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
}
