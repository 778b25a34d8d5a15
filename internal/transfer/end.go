package transfer

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
)

// The end of a stream. The gate has room for one packet, so the client's second packet
// goes in when the server has read the first:
//
//	client                          server
//	its Total, in words     ──▶     compares it with its own
//	a token                 ──▶     takes it if they agree
//
// A server that does not agree ends without taking the token, which the client notices.

// ErrDiffers says that the two sides have not seen the same bytes.
var ErrDiffers = errors.New("the stream has changed on its way")

// ErrNotConfirmed says that the server has ended without taking the client's token. It
// has said why.
var ErrNotConfirmed = errors.New("the server has written all, and does not confirm that it is what was sent: see what it says")

// Confirm is the client's part: t is what it has sent. It blocks until the server has
// agreed. It fails with [ErrNotConfirmed] if the server ends instead, with [unix.EPIPE]
// if the server had ended before, and otherwise as gate does.
func (t Total) Confirm(gate *fifo.Writer) error {
	if _, err := gate.Write([]byte(t.String())); err != nil {
		return err
	}
	if _, err := gate.Write([]byte{0}); errors.Is(err, unix.EPIPE) {
		return ErrNotConfirmed
	} else if err != nil {
		return err
	}
	err := gate.Await()
	if !errors.Is(err, unix.EPIPE) {
		return err
	}
	// The server ends as soon as it has taken the token, and also if it has not.
	if left, err := gate.Unread(); err != nil || left > 0 {
		return ErrNotConfirmed
	}
	return nil
}

// Agree is the server's part: t is what it has written. It blocks until the client has
// said what it has sent, returns that, and takes the token if the two are the same. If
// they are not, it fails with [ErrDiffers]. It also fails if the client says something
// else or leaves too early, and as gate does, the FIFO at path.
func (t Total) Agree(path string, gate *fifo.Reader) (sent Total, err error) {
	packet, err := nextPacket(path, gate)
	if err == nil && len(packet) == 1 { // a doorbell that the ring has left over
		packet, err = nextPacket(path, gate)
	}
	if err != nil {
		return Total{}, err
	}
	if sent, err = parse(string(packet)); err != nil {
		return Total{}, fmt.Errorf("FIFO %s: %w", path, err)
	}
	if err := t.compare(sent); err != nil {
		return sent, err
	}
	_, err = nextPacket(path, gate) // the token
	return sent, err
}

func nextPacket(path string, gate *fifo.Reader) ([]byte, error) {
	packet := make([]byte, fifo.Atomic)
	n, err := gate.Read(packet)
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("FIFO %s: the client has gone before it could say what it had sent", path)
	}
	return packet[:n], err
}

// String is the total as the client sends it, in one packet:
// "end 5 xxh3 93d4e2f4bcd0e6ab", or "end 5" without a checksum.
func (t Total) String() string {
	if !t.Summed {
		return fmt.Sprintf("end %d", t.Bytes)
	}
	return fmt.Sprintf("end %d xxh3 %016x", t.Bytes, t.Sum)
}

// parse reads what String has written, and nothing else.
func parse(packet string) (Total, error) {
	t := Total{Summed: true}
	if _, err := fmt.Sscanf(packet, "end %d xxh3 %x", &t.Bytes, &t.Sum); err != nil {
		t = Total{}
		_, _ = fmt.Sscanf(packet, "end %d", &t.Bytes) // what it has read is compared
	}
	if t.Bytes < 0 || t.String() != packet {
		return Total{}, fmt.Errorf("%q is not the end of a stream: another program than shm-client --stream uses it", packet)
	}
	return t, nil
}

// compare compares what was written with what the client says that it has sent.
// Checksums count where both sides have one.
func (t Total) compare(sent Total) error {
	switch {
	case t.Bytes != sent.Bytes:
		return fmt.Errorf("%w: %d bytes came of %d sent", ErrDiffers, t.Bytes, sent.Bytes)
	case t.Summed && sent.Summed && t.Sum != sent.Sum:
		return fmt.Errorf("%w: checksum %016x, and %016x when it was sent", ErrDiffers, t.Sum, sent.Sum)
	}
	return nil
}
