package fifo_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/ipcsuite/pkg/fifo"
	"example.com/ipcsuite/pkg/internal/ipctest"
)

// Not parallel: it counts what this process has open.
func TestNothingStaysOpen(t *testing.T) {
	path := tempPath(t)
	file := filepath.Join(filepath.Dir(path), "file")
	ipctest.Must(t, os.WriteFile(file, nil, 0o600))
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	all := func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()

		// All that succeeds.
		f, err := fifo.Create(ctx, path, fifo.Options{})
		ipctest.Must(t, err)
		w, err := fifo.OpenWriter(ctx, path, fifo.WaitPath)
		ipctest.Must(t, err)
		r, err := f.OpenReader(ctx)
		ipctest.Must(t, err)
		other, err := fifo.OpenReader(ctx, path)
		ipctest.Must(t, err)
		ipctest.Must(t, f.KeepOpen())
		shared, word, err := f.Shared()
		ipctest.Must(t, err)
		fd, err := unix.FcntlInt(shared.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		ipctest.Must(t, err)
		sr, err := fifo.NewSharedReader(fd, word)
		ipctest.Must(t, err)
		ipctest.Must(t, f.StopReaders(ctx, 1))
		_, err = f.Pending()
		ipctest.Must(t, err)
		_, err = sr.Next()
		ipctest.Want(t, err, fifo.ErrStopped)
		ipctest.Must(t, sr.StopOne(ctx))
		ipctest.Must(t, w.Lock())

		// All that fails.
		_, err = fifo.Create(ctx, path, fifo.Options{})
		ipctest.Want(t, err, unix.EADDRINUSE)
		_, err = fifo.Create(ctx, file, fifo.Options{})
		ipctest.Want(t, err, unix.EEXIST)
		_, err = fifo.Create(cancelled, path, fifo.Options{})
		ipctest.Want(t, err, context.Canceled)
		_, err = fifo.OpenReader(ctx, file)
		ipctest.Want(t, err, fifo.ErrNotFIFO)
		_, err = fifo.OpenReader(cancelled, path)
		ipctest.Want(t, err, context.Canceled)
		_, err = fifo.OpenWriter(ctx, file, fifo.WaitPath)
		ipctest.Want(t, err, fifo.ErrNotFIFO)
		_, err = fifo.OpenWriter(cancelled, path, fifo.WaitPath)
		ipctest.Want(t, err, context.Canceled)
		ipctest.Want(t, fifo.Live(path), unix.EADDRINUSE)
		_, err = fifo.NewSharedReader(fd, "")
		ipctest.Want(t, err, unix.EINVAL)

		_, err = f.Shut()
		ipctest.Must(t, err)
		ipctest.Must(t, errors.Join(w.Close(), r.Close(), other.Close(), shared.Close(), f.Remove()))
		sr.Close()

		// Waits that are given up.
		for _, prepare := range []func() error{
			func() error { return unix.Mkfifo(path, 0o600) }, // a FIFO of a dead server
			func() error { return os.Remove(path) },          // none
		} {
			ipctest.Must(t, prepare())
			ipctest.Must(t, ignore(fifo.Live(path), unix.ENOENT))
			waitCtx, giveUp := context.WithCancel(ctx)
			result := open(waitCtx, path, fifo.WaitPath)
			giveUp()
			ipctest.Want(t, ipctest.Within(t, result).err, context.Canceled)
		}
	}
	all() // the runtime's own descriptors come with the first use
	runtime.GC()
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	for range 10 {
		all()
	}
	// context.AfterFunc and such may have a goroutine on its last steps.
	ipctest.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	if after := descriptors(t); after != fds {
		t.Errorf("open before:\n%safter:\n%s", fds, after)
	}
	expectNames(t, filepath.Dir(path), "file")
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}
