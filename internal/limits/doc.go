// Package limits tests the binaries where they are not welcome: beside other users
// of the machine who mean them ill (users_test.go), and where the kernel, the file
// system or a container gives them less than they want (limits_test.go). All of it
// is in tests.
//
// Most of them need root, to be two other users and to make namespaces. Without it
// they skip, and with IPC_REQUIRE_ROOT=1 they fail.
package limits
