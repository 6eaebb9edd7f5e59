package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cbuild/engine"
	"cbuild/internal/checkout"
	"cbuild/internal/sandbox"
)

// TestSuiteInClassFull runs all tests of this package again in class full: as whoever runs them and, if that is root, as somebody else.
func TestSuiteInClassFull(t *testing.T) {
	if classFull {
		t.Skip("SKIPPED: this is that suite")
	}
	suite := func(t *testing.T, program string, who *syscall.SysProcAttr, tests string) {
		t.Parallel()
		cmd := exec.Command(program, "-test.timeout=12m", "-test.run="+tests, "-test.short="+fmt.Sprint(testing.Short()))
		cmd.Env = append(os.Environ(), "CBUILD_SANDBOX_CLASS=full", "TMPDIR="+filepath.Dir(program), "CBUILD_TEST_LOOK="+filepath.Join(filepath.Dir(program), "look"))
		cmd.Dir = filepath.Dir(program)
		cmd.SysProcAttr = who
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	dir, err := os.MkdirTemp("", "cbuild-full-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checkout.Remove(dir) })
	buildLook(t, filepath.Join(dir, "look"))
	program := filepath.Join(dir, "test")
	data, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, data, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Run("as myself", func(t *testing.T) { suite(t, program, nil, "") })
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	t.Run("as somebody else", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("SKIPPED: only root can be somebody else")
		}
		suite(t, program, &syscall.SysProcAttr{Credential: nobody}, "")
	})
	t.Run("as root of a container", func(t *testing.T) {
		uid, gid := os.Getuid(), os.Getgid()
		if uid == 0 {
			uid, gid = int(nobody.Uid), int(nobody.Gid)
		}
		suite(t, program, &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER, Credential: &syscall.Credential{NoSetGroups: true},
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
		}, "WhatABoxShows|Escapes|Parallel|RunsDirectory|Unsearchable|WaysOfInputs|InputsInside|System")
	})
}

func fullOnly(t *testing.T) *world {
	t.Helper()
	if !classFull {
		t.Skip("SKIPPED: class full only, see TestSuiteInClassFull")
	}
	return newWorld(t)
}

// What a command sees of the machine is its system, and what was declared.
func TestWhatABoxShows(t *testing.T) {
	w := fullOnly(t)
	tool := engine.Artifact{Kind: engine.TreeKind, Digest: w.tree(map[string]string{"bin/x*": "#!/bin/sh\necho tool\n"}).Digest}
	for script, want := range map[string]string{
		"pwd; echo ~":                             "/build/work\n/tmp\n",
		"id -u; id -g; hostname; whoami":          "1000\n1000\ncbuild\nbuild\n",
		"ls -A /root /home /run /var /.cbuild/*":  "/.cbuild/input:\n\n/.cbuild/memory:\n\n/.cbuild/none:\n\n/.cbuild/run:\n\n/.cbuild/tree:\n\n/home:\n\n/root:\n\n/run:\n\n/var:\ntmp\n",
		"ls -A /tmp /build":                       "/build:\nscript\nwork\n\n/tmp:\n",
		"cut -d: -f3 /proc/self/cgroup | sort -u": "/\n",
		"cat /proc/keys":                          "",
		"tr '\\0' ' ' < /proc/1/cmdline":          "cbuild-sandbox offline ",
		"find / -path /usr -prune -o -path /proc -prune -o -path /dev -prune -o -path /build -prune -o ! -type l -writable -print": "/tmp\n",
		"echo $0":                     "/build/script\n",
		"/tools/0/bin/x; ls /tools/0": "tool\nbin\n",
		"cat /etc/hostname 2>/dev/null || echo -":                                   "-\n",
		"cat /proc/net/route | wc -l":                                               "1\n",
		"ls /proc/self/fd | wc -l":                                                  "4\n",
		"grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status":                        "NoNewPrivs:\t1\nSeccomp:\t2\n",
		"grep -cE '^Cap(Inh|Prm|Eff|Bnd|Amb):.0000000000000000$' /proc/self/status": "5\n",
		"umask": "0022\n",
	} {
		c := sh(script)
		c.Tools = []engine.Artifact{tool}
		if got := w.passes(c); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// What lies below /usr and is not the system's can be hidden.
func TestHiddenBelowUsr(t *testing.T) {
	w := fullOnly(t)
	dir, err := os.MkdirTemp("/usr/local", "cbuild-test-")
	if err != nil {
		t.Skipf("SKIPPED: only root can make a directory there: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "f"), []byte("seen"), 0o644), os.Symlink(dir, link)); err != nil {
		t.Fatal(err)
	}
	if got := w.passes(sh("cat " + dir + "/f")); got != "seen" {
		t.Errorf("not hidden: %q", got)
	}
	x, err := sandbox.Open(t.Context(), w.store, w.tools, t.TempDir(), link, "/usr/local", "/usr", "/", "/no/such")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	r, err := x.Execute(t.Context(), sh("ls -A "+dir+" /usr/local | grep -cx bin; ls -A "+dir))
	if err != nil || r.Status != engine.Pass || w.read(r.Stdout) != "1\n" {
		t.Errorf("%+v, %v: %q %s", r, err, w.read(r.Stdout), w.read(r.Log))
	}
}

// Whatever a command tries, it does not get at what is not its own.
func TestEscapes(t *testing.T) {
	w := fullOnly(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret"), 0o644); err != nil {
		t.Fatal(err)
	}
	tool := engine.Artifact{Kind: engine.TreeKind, Digest: w.tree(map[string]string{"f": "tool"}).Digest}
	// Each of these must fail: the script ends with "held" only then.
	for _, attempt := range []string{
		"cat " + secret, "cat /etc/shadow", "ls " + w.dir, "cat /proc/1/environ", "ls /proc/1/fd/", "ls /proc/1/root/", "ls /proc/1/cwd/",
		"cat /proc/1/maps", "readlink /proc/1/exe",
		"touch /usr/x", "touch /etc/x", "touch /x", "touch /dev/x", "touch /build/x", "mv /build/work /build/x", "rm /build/script", "touch /tools/0/x", "rm -f /tools/0/f", "echo x > /tools/0/f", "chmod 777 /tools/0",
		"mkdir /tools/1/x", "touch /.cbuild/run/x", "rm /etc/passwd", "mv /usr /usr2",
		"mount -t tmpfs none /tmp", "mount --bind / /tmp", "umount /tmp", "umount -l /.cbuild/run", "umount /proc", "mount -o remount,rw /usr",
		"unshare -U true", "unshare -m true", "unshare -n true", "unshare -r true", "nsenter -t 1 -m true", "chroot / true",
		"kill -9 1", "kill -QUIT 1", "kill -SEGV 1", "kill -STOP 1",
		"mknod d b 8 0", "mknod c c 1 1", "chown 0 .", "su -c true", "setpriv --reuid 0 true",
		"prlimit --pid 1 --nofile=50:50", "prlimit --pid $(ls /proc/1/task | tail -1) --cpu=1:1", "renice -n 7 -p 1", "taskset -p 1 1", "chrt -i -p 0 1", "ionice -c 3 -p 1",
		"hostname other", "date -s 2000-01-01", "echo 1 > /proc/sys/kernel/core_pattern", "echo b > /proc/sysrq-trigger", "dmesg",
		"cat /dev/mem", "cat /dev/vda", "cat /dev/sda", "ls /sys/kernel", "ls /var/lib/dpkg",
	} {
		c := sh("if ( " + attempt + " ) >/dev/null 2>&1; then echo escaped; else echo held; fi")
		c.Tools = []engine.Artifact{tool}
		if got := w.passes(c); got != "held\n" {
			t.Errorf("%s: %s", attempt, got)
		}
	}
	if d := w.passes(sh("echo still there")); d != "still there\n" {
		t.Errorf("afterwards: %s", d)
	}
}

// What shells can't try is tried by this program, brought in as an input.
func TestEscapesByCalls(t *testing.T) {
	w := fullOnly(t)
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := engine.Mount{Path: "attack", Artifact: engine.Artifact{Digest: w.blob(string(data)), Executable: true, Name: "attack"}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	abstract, err := net.Listen("unix", fmt.Sprintf("@cbuild-test-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	for _, a := range attacks {
		c := ours(program)
		c.Argv, c.Script = []string{"./attack", "attack", a.name, l.Addr().String(), abstract.Addr().String()}, ""
		if r := w.run(c); r.Status != engine.Pass {
			t.Errorf("%s: %v %s", a.name, r.Status, w.read(r.Log))
		}
	}
	c := ours(program)
	c.Argv, c.Script, c.Network = []string{"./attack", "attack", "dial", l.Addr().String(), ""}, "", true
	if r := w.run(c); r.Status == engine.Pass {
		t.Errorf("a command with a network can't reach a service of this machine: %s", w.read(r.Log))
	}
}

// ours is a command of this program, which with the race detector would wait for a second at its end.
func ours(program engine.Mount) *engine.Command {
	c := sh("", program)
	c.Env = append(slices.Clone(baseEnv), "GORACE=atexit_sleep_ms=0")
	return c
}

// attacks are calls that must fail, or what must not be there. An error says that an attack succeeded.
var attacks = []struct {
	name string
	try  func() error
}{
	{"ptrace", func() error { return mustFail(unix.PtraceAttach(1)) }},
	{"keyctl", func() error {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
		return mustFail(err)
	}},
	{"add_key", func() error {
		_, err := unix.AddKey("user", "cbuild", []byte("x"), unix.KEY_SPEC_USER_KEYRING)
		return mustFail(err)
	}},
	{"io_uring", func() error {
		var params [120]byte
		_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params[0])), 0)
		return mustFailWith(errno, unix.ENOSYS)
	}},
	{"clone3", func() error {
		var args [88]byte
		_, _, errno := unix.Syscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args[0])), 88, 0)
		return mustFailWith(errno, unix.ENOSYS)
	}},
	{"clone with namespaces", func() error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
		return mustFail(cmd.Run())
	}},
	{"unshare", func() error { return mustFail(unix.Unshare(unix.CLONE_NEWUSER)) }},
	{"setns", func() error {
		fd, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY, 0)
		if err == nil {
			err = unix.Setns(fd, 0)
		}
		return mustFail(err)
	}},
	{"open_tree", func() error {
		_, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE)
		return mustFail(err)
	}},
	{"bpf", func() error {
		_, _, errno := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
		return mustFailWith(errno, unix.EPERM)
	}},
	{"perf", func() error {
		_, err := unix.PerfEventOpen(&unix.PerfEventAttr{}, 0, -1, -1, 0)
		return mustFail(err)
	}},
	{"file handles", func() error {
		_, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, []byte("12345678")), 0)
		return mustFailWith(err, unix.EPERM)
	}},
	{"setuid", func() error { return mustFail(unix.Setresuid(0, 0, 0)) }},
	{"typing", func() error { return mustFailWith(unix.IoctlSetInt(0, unix.TIOCSTI, 0), unix.EPERM) }},
	{"tgkill", func() error { return mustFail(unix.Tgkill(1, 1, unix.SIGSEGV)) }},
	{"tcp", func() error { return dial("tcp", os.Args[3]) }},
	{"abstract socket", func() error { return dial("unix", os.Args[4]) }},
	{"dns", func() error {
		ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		_, err := net.DefaultResolver.LookupHost(ctx, "example.com")
		return mustFail(err)
	}},
	{"loopback works", func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String()) //nolint:noctx // loopback
		if err == nil {
			c.Close()
		}
		return err
	}},
	{"port", port},
	{"memory for the next", func() error { return sysv() }},
	{"memory of the last", func() error { return sysv() }},
	{"dial", func() error { return dial("tcp", os.Args[3]) }},
}

func dial(network, address string) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(context.Background(), network, address)
	if err == nil {
		c.Close()
	}
	return mustFail(err)
}

// sysv makes a segment of shared memory that must not be there yet, and leaves it behind.
func sysv() error {
	const key = 0x4242
	if id, err := unix.SysvShmGet(key, 4096, 0); err == nil {
		return fmt.Errorf("segment %d is there already", id)
	}
	_, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o600)
	return err
}

func mustFail(err error) error {
	if err == nil {
		return errors.New("it succeeded")
	}
	return nil
}

func mustFailWith(err error, want syscall.Errno) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%w, want %w", err, want)
	}
	return nil
}

// attack is the main function of the program that TestEscapesByCalls brings in.
func attack(name string) int {
	for _, a := range attacks {
		if a.name == name {
			if err := a.try(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return 0
		}
	}
	return 2
}

// Nothing that a command started lives on, however it ends, and its outcome is its own doing.
func TestNothingOutlivesItsCommand(t *testing.T) {
	w := fullOnly(t)
	var number atomic.Int64
	for _, test := range []struct {
		name, script string
		timeout      time.Duration
		status       engine.Status
		code         int
	}{
		{"background", "sleep N & exit 0", 0, engine.Pass, 0},
		{"setsid", "setsid sleep N & sleep 0.1; exit 3", 0, engine.Fail, 3},
		{"daemon", "(setsid sh -c 'trap \"\" TERM HUP; sleep N & wait' >/dev/null 2>&1 </dev/null &) ; sleep 0.1", 0, engine.Pass, 0},
		{"ignores TERM", "trap '' TERM; sleep N; sleep N", 300 * time.Millisecond, engine.Timeout, -1},
		{"stops itself", "kill -STOP $$; sleep N", 300 * time.Millisecond, engine.Timeout, -1},
		{"many", "for i in $(seq 100); do setsid sleep N & done; wait", 500 * time.Millisecond, engine.Timeout, -1},
		{"ends itself", "kill -TERM $$; sleep N", 0, engine.Crash, 143},
		{"aborts", "kill -ABRT $$; sleep N", 0, engine.Crash, 134},
		{"kills all", "sleep N & kill -9 -1; exit 4", 0, engine.Fail, 4},
		{"as many as there can be", "f() { while :; do sleep N & done; }; sleep 2 & last=$!; f 2>/dev/null & f 2>/dev/null & wait $last; exit 7", 0, engine.Fail, 7},
		{"forks and forks", "f() { sleep N & }; while :; do f; done", 300 * time.Millisecond, engine.Timeout, -1},
	} {
		mark := fmt.Sprintf("%d.%d", 100000+os.Getpid(), number.Add(1))
		c := sh(strings.ReplaceAll(test.script, " N", " "+mark))
		if test.timeout > 0 {
			c.Timeout = test.timeout
		}
		r := w.run(c)
		if r.Status != test.status || r.ExitCode != test.code {
			t.Errorf("%s: %v %d, want %v %d: %.200s", test.name, r.Status, r.ExitCode, test.status, test.code, w.read(r.Log))
		}
		if left := processes(mark); left > 0 {
			t.Errorf("%s: %d processes live on", test.name, left)
		}
	}
}

// A box may be unable to end a command whose time is over, as one with thousands of processes on a busy machine. Then the box itself is ended; the
// outcome is that of the command all the same, with the outs that it made.
func TestTimeoutThatTheBoxDoesNotSurvive(t *testing.T) {
	w := fullOnly(t)
	mark := fmt.Sprintf("%d.8888", 300000+os.Getpid())
	c := outs(sh("echo some > o; trap 'echo > asked' TERM; (trap '' TERM; sleep "+mark+") & while :; do sleep 0.01 || :; done"), "o")
	over := make(chan struct{})
	var killing sync.WaitGroup
	killing.Go(func() {
		for asked := false; !asked; time.Sleep(5 * time.Millisecond) {
			select {
			case <-over:
				return
			default:
			}
			found, _ := filepath.Glob(filepath.Join(w.dir, "run-*", "work", "asked"))
			asked = len(found) > 0
		}
		children, _ := filepath.Glob("/proc/self/task/*/children")
		for _, list := range children {
			pids, _ := os.ReadFile(list)
			for pid := range strings.FieldsSeq(string(pids)) {
				n, _ := strconv.Atoi(pid)
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
	})
	r := w.inTime(c, 300*time.Millisecond, func(r *engine.Result) bool { return len(r.Outs) == 1 })
	close(over)
	killing.Wait()
	if r.Status != engine.Timeout || len(r.Outs) != 1 {
		t.Errorf("%v with %d outs: %s", r.Status, len(r.Outs), w.read(r.Log))
	}
	if n := processes(mark); n > 0 {
		t.Errorf("%d processes live on", n)
	}
	w.passes(sh("true"))
}

// processes counts those with word in their command line.
func processes(word string) (n int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range all {
		if line, err := os.ReadFile(name); err == nil && bytes.Contains(line, []byte(word)) {
			n++
		}
	}
	return n
}

// What a command did to its network is not there for the next.
func TestPortsAreFreeAgain(t *testing.T) {
	w := fullOnly(t)
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := engine.Mount{Path: "attack", Artifact: engine.Artifact{Digest: w.blob(string(data)), Executable: true, Name: "attack"}}
	for range 2 {
		c := ours(program)
		c.Argv, c.Script = []string{"./attack", "attack", "port"}, ""
		if r := w.run(c); r.Status != engine.Pass {
			t.Errorf("%v: %s", r.Status, w.read(r.Log))
		}
	}
}

// port takes a port as a simple program does, serves somebody, and hangs up first.
func port() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	address := &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(s, address); err != nil {
		return err
	}
	if err := unix.Listen(s, 1); err != nil {
		return err
	}
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(client, address); err != nil {
		return err
	}
	server, _, err := unix.Accept(s)
	if err != nil {
		return err
	}
	return errors.Join(unix.Close(server), unix.Close(client), unix.Close(s))
}

// A build that is cancelled ends its commands, and the box can be used again.
func TestCancelInABox(t *testing.T) {
	w := fullOnly(t)
	mark := fmt.Sprintf("%d.7777", 200000+os.Getpid())
	ctx, cancel := context.WithCancel(t.Context())
	var cancelling sync.WaitGroup
	cancelling.Go(func() {
		waitFor(t, "the command to run", func() bool { return processes(mark) > 0 })
		cancel()
	})
	if _, err := w.Execute(ctx, sh("sleep "+mark)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	cancelling.Wait()
	if n := processes(mark); n > 0 {
		t.Errorf("%d processes live on", n)
	}
	w.passes(sh("true"))
}

// Links of outs are seen as the command sees them.
func TestLinksOfOutsInABox(t *testing.T) {
	w := fullOnly(t)
	r := w.run(outs(sh("echo x > f; ln -s $PWD/f a; ln -s /etc/passwd b; ln -s /tools/0 c; ln -s ../f d/e"), "a", "b", "c", "d/e"))
	var got []string
	for _, o := range r.Outs {
		got = append(got, o.Path+" "+strings.TrimSpace(w.read(o.Digest)))
	}
	if !slices.Equal(got, []string{"a x", "d/e x"}) {
		t.Errorf("outs %q: %s", got, w.read(r.Log))
	}
}

// A command may change its inputs as it likes: they are its own copies.
func TestInputsAreItsOwnInABox(t *testing.T) {
	w := fullOnly(t)
	tree := w.tree(map[string]string{"a/b": "old", "a/x*": "#!/bin/sh\n"})
	c := outs(sh("echo new > t/a/b; rm t/a/x; mkdir t/c; echo y > t/c/z; chmod 0 f; cat t/a/b",
		engine.Mount{Path: "t", Artifact: tree}, w.file("f", "file")), "t/")
	for range 2 {
		if got := w.passes(c); got != "new\n" {
			t.Errorf("got %q", got)
		}
	}
	if got := w.paths(tree.Digest); len(got) != 3 {
		t.Errorf("the store's tree has %v", got)
	}
}

// BenchmarkTrue compares the classes: CBUILD_SANDBOX_CLASS=full go test -bench True ./internal/sandbox.
func BenchmarkTrue(b *testing.B) {
	w := newWorld(b)
	for b.Loop() {
		r, err := w.Execute(b.Context(), &engine.Command{Argv: []string{"/bin/true"}, Env: baseEnv})
		if err != nil || r.Status != engine.Pass {
			b.Fatal(r, err)
		}
	}
}
