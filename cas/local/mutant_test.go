//go:build !mutant

package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Each guard is there for something: without it, the test that proves the promise fails.
func TestMutantsAreNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: SKIPPED: it builds the tests once more")
	}
	binary := filepath.Join(t.TempDir(), "mutant.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "mutant", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(mutant, test string) error {
		cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^"+test+"$", "-test.timeout", "5m")
		cmd.Env = append(os.Environ(), "CBUILD_MUTANT="+mutant, "CBUILD_POWERCUT=40", "CBUILD_ROT=200")
		return cmd.Run()
	}
	for _, c := range []struct{ mutant, test string }{
		{"sync", "TestPowerCut"},
		{"dirsync", "TestPowerCut"},
		{"withdraw", "TestPowerCut"},
		{"recordsum", "TestEveryByteOfARecordCounts"},
		{"preimagesum", "TestEveryByteOfARecordCounts"},
		{"recall", "TestARecallIsAGuess"},
		{"check", "TestAnyFileCanBeDamaged"},
		{"place", "TestFramesAreBoundToTheirPlace"},
		{"indexsum", "TestEveryBitOfAnIndexCounts"},
		{"tail", "TestBitRot"},
		{"again", "TestADiskThatFailsOnceLosesNothing"},
		{"generation", "TestTheLatestRecordCounts"},
		{"running", "TestWhatARunningBuildUsedIsNeverTaken"},
		{"trash", "TestTrashGivesBack"},
		{"publish", "TestALeaseIsReleasedWhenOthersCanSeeWhatWasRecorded"},
		{"proof", "TestTheLeaseOfADeadProcessIsTakenAtOnce"},
	} {
		t.Run(c.mutant, func(t *testing.T) {
			if err := run("", c.test); err != nil {
				t.Errorf("%s fails with all guards: %v", c.test, err)
			}
			if run(c.mutant, c.test) == nil {
				t.Errorf("%s does not notice that the guard %q is gone", c.test, c.mutant)
			}
		})
	}
}
