// Command bundle makes the script and the style of the report page from their sources:
//
//	go -C internal/tools run ./bundle ../../rules/report/ui
//
// The directory needs the node_modules that npm ci makes. dist/app.js, dist/app.css and dist/NOTICES.txt are written there, and are the
// same wherever and whenever they are made. With -tests OUT, each test/*.test.ts is bundled into a file in OUT instead, for node --test.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	tests := flag.String("tests", "", "bundle the tests into this `directory` instead")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: bundle [-tests OUT] DIR")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *tests); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir, tests string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if tests == "" {
		return page(dir)
	}
	if tests, err = filepath.Abs(tests); err != nil {
		return err
	}
	return testFiles(dir, tests)
}

// page writes dist. The script is one classic script without a source map, for a page that is opened from a file.
func page(dir string) error {
	opts := common(dir)
	opts.EntryPoints = []string{"src/app.tsx"}
	opts.Outdir = "dist"
	opts.Format = api.FormatIIFE
	opts.MinifyWhitespace, opts.MinifyIdentifiers, opts.MinifySyntax = true, true, true
	opts.Metafile = true
	result := api.Build(opts)
	if err := failed(result.Errors); err != nil {
		return err
	}
	notices, err := notices(dir, result.Metafile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "dist"), 0o777); err != nil {
		return err
	}
	for _, f := range result.OutputFiles {
		if err := os.WriteFile(f.Path, f.Contents, 0o666); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "dist", "NOTICES.txt"), notices, 0o666)
}

func testFiles(dir, out string) error {
	names, err := filepath.Glob(filepath.Join(dir, "test", "*.test.ts"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("no tests in %s", filepath.Join(dir, "test"))
	}
	opts := common(dir)
	opts.EntryPoints = names
	opts.Outdir = out
	opts.OutExtension = map[string]string{".js": ".mjs"}
	opts.Format = api.FormatESModule
	opts.Platform = api.PlatformNode
	opts.Write = true
	return failed(api.Build(opts).Errors)
}

// common has what must be equal for both. Everything that could depend on the place is relative to dir.
func common(dir string) api.BuildOptions {
	return api.BuildOptions{
		AbsWorkingDir:   dir,
		Bundle:          true,
		Charset:         api.CharsetASCII,
		Target:          api.ES2022,
		JSX:             api.JSXAutomatic,
		JSXImportSource: "preact",
		LegalComments:   api.LegalCommentsNone,
		TsconfigRaw:     "{}",
		LogLevel:        api.LogLevelWarning,
	}
}

func failed(messages []api.Message) error {
	if len(messages) == 0 {
		return nil
	}
	var errs []error
	for _, text := range api.FormatMessages(messages, api.FormatMessagesOptions{Kind: api.ErrorMessage}) {
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}
