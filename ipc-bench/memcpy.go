package main

// copies returns two ends in one process: to receive is to copy from where the
// other end has its message. It is what the receiver of any mechanism has to do
// at the least, and without anybody to wait for.
func copies() (near, far link) {
	there, back := new([]byte), new([]byte)
	return copyLink{in: back, out: there}, copyLink{in: there, out: back}
}

type copyLink struct{ in, out *[]byte }

func (l copyLink) send(p []byte) error {
	*l.out = p
	return nil
}

func (l copyLink) receive(buf []byte) ([]byte, error) {
	return buf[:copy(buf, *l.in)], nil
}
