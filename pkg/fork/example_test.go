package fork_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"

	"example.com/ipcsuite/pkg/fork"
)

// greeter is a role: it greets each line of the pipe that it inherited.
func greeter(_ context.Context, args []string) int {
	lines := bufio.NewScanner(os.NewFile(uintptr(fork.FD(0)), "names"))
	for lines.Scan() {
		fmt.Printf("%s, %s!\n", args[0], lines.Text())
	}
	return 0
}

// The program's main begins with
//
//	fork.Dispatch(fork.Roles{"greeter": greeter})
//
// which in this package's tests is done by TestMain.
func Example() {
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	child := fork.Command("greeter", "Hello")
	child.ExtraFiles = []*os.File{r} // fork.FD(0) in the child
	child.Stdout = os.Stdout
	if err := child.Start(); err != nil {
		log.Fatal(err)
	}
	r.Close() // the child has it now

	fmt.Fprintln(w, "parent")
	fmt.Fprintln(w, "world")
	w.Close() // end of file for the child

	if err := child.Wait(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(child.ProcessState)
	// Output:
	// Hello, parent!
	// Hello, world!
	// exit status 0
}
