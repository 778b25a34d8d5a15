package main

import (
	"bytes"
	"fmt"

	"example.com/ipcsuite/pkg/mailbox"
	"example.com/ipcsuite/pkg/sysv"
)

// unsynced is what --sync none makes of the client: it writes to the segment without
// access control. It neither waits until the text before has been read nor tells the
// server that there is a new one.
type unsynced struct{ slot *sysv.Segment }

func (u unsynced) Max() int { return u.slot.Size() - 1 }

func (u unsynced) Send(text []byte) error {
	if len(text) > u.Max() {
		return fmt.Errorf("%w: %d bytes, at most %d fit", mailbox.ErrRefused, len(text), u.Max())
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return fmt.Errorf("%w: NUL byte at offset %d", mailbox.ErrRefused, i)
	}
	_, err := u.slot.WriteAt(append(text[:len(text):len(text)], 0), 0)
	return err
}

// Flush does not wait: nobody can know whether the server has read the text.
func (u unsynced) Flush() error { return nil }

// Undelivered is not known either.
func (u unsynced) Undelivered() int { return 0 }
