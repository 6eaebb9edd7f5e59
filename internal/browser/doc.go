// Package browser tests the page of a report in a real browser, a headless Chromium. It is a module of its own: nothing that it needs is needed to
// build cbuild.
package browser
