package report

import (
	"strings"
	"testing"
)

// Of what real programs print, the line is found that a person would point at.
func TestFirstErrorOfRealPrograms(t *testing.T) {
	for _, c := range []struct{ name, want, log string }{
		{"cargo test", "assertion `left == right` failed", `
running 2 tests
test tests::error_of_parse ... ok
test tests::bad ... FAILED

failures:

---- tests::bad stdout ----

thread 'tests::bad' panicked at src/lib.rs:10:9:
assertion ` + "`left == right`" + ` failed
  left: 1
 right: 2
note: run with ` + "`RUST_BACKTRACE=1`" + ` environment variable to display a backtrace

failures:
    tests::bad

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

error: test failed, to rerun pass ` + "`--lib`"},
		{"old cargo test", "thread 'tests::bad' panicked at 'no luck', src/lib.rs:10:9", `
---- tests::bad stdout ----
thread 'tests::bad' panicked at 'no luck', src/lib.rs:10:9
error: test failed, to rerun pass '--lib'`},
		{"cargo build", "error[E0433]: failed to resolve: use of undeclared crate or module `foo`", `
    Updating crates.io index
  Downloaded thiserror v1.0.0
   Compiling error-chain v0.12.4
   Compiling a v0.1.0 (/build/src)
warning: unused import: ` + "`std::error`" + `
 --> src/lib.rs:1:5
error[E0433]: failed to resolve: use of undeclared crate or module ` + "`foo`" + `
 --> src/lib.rs:2:5
error: aborting due to previous error
For more information about this error, try ` + "`rustc --explain E0433`" + `.
error: could not compile ` + "`a`" + ` (lib) due to previous error`},
		{"cargo, no version", "error: failed to select a version for the requirement `foo = \"^9\"`", `
    Updating crates.io index
error: failed to select a version for the requirement ` + "`foo = \"^9\"`" + `
candidate versions found which didn't match: 1.0.0`},
		{"gcc", "a.c:1:10: fatal error: foo.h: No such file or directory", `
gcc -c error.c -o error.o
gcc -c a.c -o a.o
a.c:1:10: fatal error: foo.h: No such file or directory
    1 | #include <foo.h>
compilation terminated.
make: *** [Makefile:2: a.o] Error 1`},
		{"ld", "a.c:(.text+0x5): undefined reference to `foo'", `
a.c:3:9: warning: unused variable 'x' [-Wunused-variable]
/usr/bin/ld: /tmp/cc1.o: in function ` + "`main':" + `
a.c:(.text+0x5): undefined reference to ` + "`foo'" + `
collect2: error: ld returned 1 exit status`},
		{"clang", "clang: error: no such file or directory: 'x.c'", "clang: error: no such file or directory: 'x.c'\nclang: error: no input files"},
		{"autoconf", "configure: error: no acceptable C compiler found in $PATH", `
checking for strerror... no
checking whether errno is an error... yes
configure: error: no acceptable C compiler found in $PATH
See ` + "`config.log'" + ` for more details`},
		{"tsc", "src/a.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.", `
> a@1.0.0 build
> tsc

src/a.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.
npm ERR! code ELIFECYCLE
npm ERR! errno 2
npm ERR! a@1.0.0 build: ` + "`tsc`" + `
npm ERR! Exit status 2
npm ERR! 
npm ERR! Failed at the a@1.0.0 build script.
npm ERR! This is probably not a problem with npm. There is likely additional logging output above.`},
		{"pretty tsc", "src/a.ts:3:5 - error TS2304: Cannot find name 'x'.", "src/a.ts:3:5 - error TS2304: Cannot find name 'x'.\n\n3     x\n\nFound 1 error in src/a.ts:3"},
		{"jest", "expect(received).toBe(expected) // Object.is equality", `
FAIL ./sum.test.js
  ✕ adds (3 ms)

  ● adds

    expect(received).toBe(expected) // Object.is equality

    Expected: 4
    Received: 3

Tests:       1 failed, 1 total
npm error Lifecycle script ` + "`test`" + ` failed with error:
npm error code 1
npm error path /build/src
npm error workspace a@1.0.0
npm error command failed
npm error command sh -c jest`},
		{"mocha", "AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:", `
  1 passing (4ms)
  1 failing

  1) adds:

      AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:

3 !== 4
      at Context.<anonymous> (test.js:3:10)
npm ERR! Test failed.  See above for more details.`},
		{"node", "Error: Cannot find module './x'", `
node:internal/modules/cjs/loader:1147
  throw err;
  ^

Error: Cannot find module './x'
Require stack:
- /build/src/a.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1144:15) {
  code: 'MODULE_NOT_FOUND',`},
		{"npm install", "npm error 404 Not Found - GET https://example.com/x - Not found", `
npm error code E404
npm error 404 Not Found - GET https://example.com/x - Not found
npm error 404
npm error 404  'x@^1' is not in this registry.
npm error A complete log of this run can be found in: /tmp/x.log`},
		{"node --test", "not ok 1 - adds", `
TAP version 13
# Subtest: adds
not ok 1 - adds
  ---
  failureType: 'testCodeFailure'
  error: |-
    Expected values to be strictly equal:
  ...
# fail 1`},
		{"pytest", "E       assert 1 == 2", `
============================= test session starts ==============================
collected 2 items

test_errors.py .F                                                        [100%]

=================================== FAILURES ===================================
____________________________________ test_a ____________________________________

    def test_a():
>       assert 1 == 2
E       assert 1 == 2

test_errors.py:4: AssertionError
=========================== short test summary info ============================
FAILED test_errors.py::test_a - assert 1 == 2
========================= 1 failed, 1 passed in 0.01s ==========================`},
		{"unittest", "ValueError: bad thing", `
E.
======================================================================
ERROR: test_x (test_a.A)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/build/src/test_a.py", line 5, in test_x
    raise ValueError("bad thing")
ValueError: bad thing

----------------------------------------------------------------------
Ran 2 tests in 0.000s

FAILED (errors=1)`},
		{"pip", "ERROR: Could not find a version that satisfies the requirement nonesuch", `
Collecting nonesuch
ERROR: Could not find a version that satisfies the requirement nonesuch
ERROR: No matching distribution found for nonesuch`},
		{"pip builds", "src/x.c:3:10: fatal error: Python.h: No such file or directory", `
  error: subprocess-exited-with-error
  
  × Building wheel for x (pyproject.toml) did not run successfully.
  │ exit code: 1
  ╰─> [5 lines of output]
      src/x.c:3:10: fatal error: Python.h: No such file or directory
      error: command '/usr/bin/gcc' failed with exit code 1`},
		{"maven compiles", "[ERROR] /build/src/A.java:[3,5] cannot find symbol", `
[INFO] Compiling 1 source file
[INFO] -------------------------------------------------------------
[ERROR] COMPILATION ERROR : 
[INFO] -------------------------------------------------------------
[ERROR] /build/src/A.java:[3,5] cannot find symbol
  symbol:   class Foo
[INFO] 1 error
[INFO] BUILD FAILURE
[ERROR] Failed to execute goal org.apache.maven.plugins:maven-compiler-plugin:3.1:compile (default-compile) on project x: Compilation failure
[ERROR] -> [Help 1]`},
		{"maven tests", "java.lang.AssertionError: expected:<1> but was:<2>", `
[ERROR] Tests run: 1, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.05 s <<< FAILURE! - in ATest
java.lang.AssertionError: expected:<1> but was:<2>
	at ATest.x(ATest.java:12)
[ERROR] Failures: 
[ERROR] Failed to execute goal org.apache.maven.plugins:maven-surefire-plugin:2.22:test (default-test) on project x: There are test failures.`},
		{"javac", "A.java:3: error: cannot find symbol", "Note: A.java uses unchecked operations.\nA.java:3: error: cannot find symbol\n1 error"},
		{"java", `Exception in thread "main" java.lang.NullPointerException`, "Exception in thread \"main\" java.lang.NullPointerException\n\tat A.main(A.java:3)"},
		{"kotlin", "e: file:///build/A.kt:3:5 Unresolved reference: foo", "w: file:///build/A.kt:1:1 unused\ne: file:///build/A.kt:3:5 Unresolved reference: foo\n\nFAILURE: Build failed with an exception."},
		{"gradle", "Execution failed for task ':test'.", "> Task :test FAILED\n\nFAILURE: Build failed with an exception.\n\n* What went wrong:\nExecution failed for task ':test'.\n\nBUILD FAILED in 3s"},
		{"make", "make: *** No rule to make target 'x.c', needed by 'x'.  Stop.", "make: Entering directory '/build'\nmake: *** No rule to make target 'x.c', needed by 'x'.  Stop."},
		{"only make", "make: *** [Makefile:2: all] Error 1", "make: *** [Makefile:2: all] Error 1\n"},
		{"a shell under make", "/bin/sh: 1: foo: not found", "foo -x\n/bin/sh: 1: foo: not found\nmake: *** [Makefile:2: all] Error 127"},
		{"ninja", "../a.cc:3:1: error: unknown type name 'x'", "[1/2] Building CXX object error.o\nFAILED: a.o \nc++ -c ../a.cc\n../a.cc:3:1: error: unknown type name 'x'\nninja: build stopped: subcommand failed."},
		{"cmake", "Could not find a package configuration file provided by \"Foo\"", `
-- Looking for error.h - found
CMake Error at CMakeLists.txt:5 (find_package):
  Could not find a package configuration file provided by "Foo"

-- Configuring incomplete, errors occurred!`},
		{"ghc", "Variable not in scope: foo", "[1 of 2] Compiling A  ( src/A.hs, A.o )\n\nsrc/A.hs:3:5: error: [GHC-88464]\n    Variable not in scope: foo\n  |\n3 |     foo"},
		{"older ghc", "Couldn't match expected type 'Int' with actual type '[Char]'", "src/A.hs:3:5: error:\n    • Couldn't match expected type 'Int' with actual type '[Char]'\n    • In the expression: x"},
		{"ocaml", "Error: Unbound value y", "File \"a.ml\", line 1, characters 8-9:\n1 | let x = y\n            ^\nError: Unbound value y"},
		{"go build", "./a.go:3:4: undefined: x", "# example.com/error\n./a.go:3:4: undefined: x\nFAIL\texample.com/error [build failed]"},
		{"go test", "a_test.go:7: got 3, want 4", "=== RUN   TestError\n    a_test.go:7: got 3, want 4\n--- FAIL: TestError (0.00s)\nFAIL\nexit status 1\nFAIL\texample.com/a\t0.003s"},
		{"go test says nothing", "--- FAIL: TestX (0.00s)", "--- FAIL: TestX (0.00s)\nFAIL\nexit status 1\nFAIL\texample.com/a\t0.003s"},
		{"go panics", "panic: runtime error: index out of range [5] with length 3", "--- FAIL: TestX (0.00s)\npanic: runtime error: index out of range [5] with length 3\n\ngoroutine 7 [running]:\nmain.main()\n\t/build/a.go:3 +0x1d\nexit status 2"},
		{"go mod", "go: example.com/x@v1.0.0: reading https://proxy.example/x: 404 Not Found", "go: downloading example.com/errors v0.9.1\ngo: example.com/x@v1.0.0: reading https://proxy.example/x: 404 Not Found"},
		{"csharp", "A.cs(3,5): error CS0103: The name 'x' does not exist [/build/a.csproj]", "  Determining projects to restore...\nA.cs(3,5): error CS0103: The name 'x' does not exist [/build/a.csproj]\n    0 Warning(s)\n    1 Error(s)"},
		{"elixir", "** (CompileError) lib/a.ex:3: undefined function foo/0", "Compiling 1 file (.ex)\n** (CompileError) lib/a.ex:3: undefined function foo/0"},
		{"nothing wrong in words", "last words", "0 errors, 0 failed\nchecking error.h... yes\nCompiling error-chain v1\nbuilding failed.o\nlast words"},
		{"rspec", "Failure/Error: expect(1).to eq 2", "Failures:\n\n  1) adds\n     Failure/Error: expect(1).to eq 2\n\n       expected: 2\n            got: 1\n\n1 example, 1 failure"},
		{"git", "fatal: not a git repository (or any of the parent directories): .git", "fatal: not a git repository (or any of the parent directories): .git"},
		{"a shell", "./x.sh: line 3: foo: command not found", "starting\n./x.sh: line 3: foo: command not found\nbye"},
		{"killed", "Segmentation fault (core dumped)", "working\nSegmentation fault (core dumped)\nmake: *** [Makefile:2: all] Error 139"},
	} {
		if got := FirstError(strings.TrimPrefix(c.log, "\n")); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Of a long log, its beginning and its end are looked at, and the beginnings of its lines.
func TestFirstErrorReadsSoMuch(t *testing.T) {
	filler := strings.Repeat("compiling this and that\n", 200_000)
	for name, c := range map[string]struct{ log, want string }{
		"beginning":     {"a.c:1:2: error: x\n" + filler, "a.c:1:2: error: x"},
		"end":           {filler + "a.c:1:2: error: x\nmake: *** [a] Error 1\n", "a.c:1:2: error: x"},
		"middle":        {filler + "a.c:1:2: error: x\n" + filler, "compiling this and that"},
		"a line of all": {"error: " + strings.Repeat("é", 8<<20), "error: " + strings.Repeat("é", 146) + "…"},
		"late in it":    {strings.Repeat("x ", 600) + "error: y", strings.Repeat("x ", 150) + "…"},
	} {
		if got := FirstError(c.log); got != c.want {
			t.Errorf("%s: %.400q", name, got)
		}
	}
}

func BenchmarkFirstError(b *testing.B) {
	for name, log := range map[string]string{
		"a line":    strings.Repeat("a/", 8<<20),
		"of places": strings.Repeat("a.b:1: warning: error\n", 16<<20/23),
		"of errors": strings.Repeat("Xa.b.c error: \n", 1<<20),
		"of words":  strings.Repeat("compiling a and b\n", 1<<20),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				FirstError(log)
			}
		})
	}
}
