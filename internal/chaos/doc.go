// Package chaos is a fault campaign over the real binaries. It is all tests.
//
// A round starts a server and its clients, feeds the clients lines, and in the
// middle of that kills, stops, continues and signals processes, as a plan says
// that follows from a seed. Then it compares what the programs have said, in
// exit codes and counts, with what has been printed, starts the next server in
// the same place, and looks for what is left:
//
//	go test ./internal/chaos                             a few rounds, as in CI
//	go test ./internal/chaos -v -rounds 1000 -seed 7     a campaign
//	go test ./internal/chaos -v -run TestFIFO -seed 7 -from 421 -rounds 1
//	go test ./internal/chaos -v -run TestSoak -soak 1h -timeout 0
//
// The moment of each fault is the n-th line fed, and some microseconds that the
// plan says too. What the kernel makes of it is another time something else; but
// what is done, and in which order, is the same.
//
// plan_test.go makes the plans, round_test.go carries one out, check_test.go judges
// what came of it, and knows what each program promises (of a stream: stream_test.go).
// selftest_test.go checks that it can fail. soak_test.go, without faults, looks for
// what grows under load.
package chaos
