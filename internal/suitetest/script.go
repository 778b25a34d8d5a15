package suitetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"example.com/ipcsuite/internal/contract"
)

// Scripts runs the scripts in testdata/script, by testscript, which finds commands in
// PATH. Each has a folder in $IPC_DIR, named run, and these commands beside its own:
//
//	serving SERVER [ARG ...]   waits until "SERVER health ARG ..." says that it serves
//	clean [FOLDER]             fails if something is left, FIFO, segment or lock, there
//	                           or in $IPC_DIR; "! clean", if nothing is
//	mkfifo PATH
func Scripts(t *testing.T, p testscript.Params) {
	t.Helper()
	p.Dir = "testdata/script"
	p.RequireExplicitExec = true
	p.RequireUniqueNames = true
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		dir := filepath.Join(env.WorkDir, "run")
		env.Setenv("IPC_DIR", dir)
		env.Setenv("GORACE", os.Getenv("GORACE"))
		if err := os.Mkdir(dir, 0o700); err != nil || setup == nil {
			return err
		}
		return setup(env)
	}
	cmds := map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"serving": serving, "clean": clean, "mkfifo": mkfifo,
	}
	for name, cmd := range p.Cmds {
		cmds[name] = cmd
	}
	p.Cmds = cmds
	testscript.Run(t, p)
}

func serving(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(Limit); ts.Exec(args[0], append([]string{"health"}, args[1:]...)...) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("%s does not serve", args[0])
		}
	}
}

func clean(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.Getenv("IPC_DIR")
	if len(args) > 0 {
		dir = ts.MkAbs(args[0])
	}
	faults := Leftovers(dir, contract.ProjID)
	if neg == (len(faults) == 0) {
		ts.Fatalf("%s: %s", dir, strings.Join(faults, "; "))
	}
}

func mkfifo(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(unix.Mkfifo(ts.MkAbs(args[0]), 0o600))
}
