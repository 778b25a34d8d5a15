package sysv_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/sysv"
)

// A server makes a segment and a client, usually another process, finds it.
func Example() {
	dir := newFolder() // both know its name
	key, err := sysv.Ftok(dir, 306)
	if err != nil {
		log.Fatal(err)
	}
	server, err := sysv.Create(key, 4096, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Attach(); err != nil {
		log.Fatal(err)
	}

	client, err := sysv.Open(key, 4096)
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Attach(); err != nil {
		log.Fatal(err)
	}
	if _, err := client.WriteAt([]byte("hello\x00"), 0); err != nil {
		log.Fatal(err)
	}

	text := make([]byte, server.Size())
	if _, err := server.ReadAt(text, 0); err != nil {
		log.Fatal(err)
	}
	text, _, terminated := bytes.Cut(text, []byte{0})
	fmt.Printf("%s %v\n", text, terminated)

	if err := errors.Join(client.Detach(), server.Detach(), server.Remove(), os.Remove(dir)); err != nil {
		log.Fatal(err)
	}
	// Output: hello true
}

// newFolder makes a folder whose key no segment has, as one of a program that was
// killed may, if the inode was that program's.
func newFolder() string {
	dir, err := os.MkdirTemp("", "sysv")
	if err != nil {
		log.Fatal(err)
	}
	key, err := sysv.Ftok(dir, 306)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := sysv.Open(key, 0); !errors.Is(err, unix.ENOENT) {
		defer os.Remove(dir) // only now, or the next would be given its inode
		return newFolder()
	}
	return dir
}

// Removing a segment right after both sides have attached leaves nothing behind,
// however they end.
func ExampleSegment_Remove() {
	s, err := sysv.Create(sysv.Private, 4096, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(s.Attach(), s.Remove()); err != nil {
		log.Fatal(err)
	}
	info, err := s.Stat()
	fmt.Println("marked:", info.Marked, "attached:", info.Attached, err)

	if err := s.Detach(); err != nil {
		log.Fatal(err)
	}
	_, err = s.Stat()
	fmt.Println("gone:", errors.Is(err, unix.EINVAL))
	// Output:
	// marked: true attached: 1 <nil>
	// gone: true
}

// Protocols that work in place borrow the memory, which Detach then leaves alone.
func ExampleSegment_Use() {
	s, err := sysv.Create(sysv.Private, 8, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Attach(); err != nil {
		log.Fatal(err)
	}
	err = s.Use(func(mem []byte) error {
		for i := range mem {
			mem[i] = byte('a' + i)
		}
		fmt.Printf("%s\n", mem)
		return nil
	})
	if err := errors.Join(err, s.Detach(), s.Remove()); err != nil {
		log.Fatal(err)
	}
	// Output: abcdefgh
}

// Two files, two project ids, one key.
func ExampleKeyParts() {
	fmt.Println(sysv.KeyParts{Path: "/srv/a", ProjID: 306, Dev: 0xfe01, Ino: 0x51000a})
	fmt.Println(sysv.KeyParts{Path: "/srv/b", ProjID: 50, Dev: 0x0801, Ino: 0x22000a})
	// Output:
	// ftok("/srv/a", 306) is 0x3201000a: project id 0x132 gives 0x32 (0x100 ignored), device 0xfe01 gives 0x01 (0xfe00 ignored), inode 0x51000a gives 0x000a (0x510000 ignored)
	// ftok("/srv/b", 50) is 0x3201000a: project id 0x32 gives 0x32, device 0x801 gives 0x01 (0x800 ignored), inode 0x22000a gives 0x000a (0x220000 ignored)
}
