package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"example.com/ipcsuite/internal/command"
	"example.com/ipcsuite/internal/contract"
	"example.com/ipcsuite/pkg/sysv"
)

func listFlags() []cli.Flag {
	return []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print a JSON array instead of a table"}}
}

// row is a segment as ls shows it.
type row struct {
	Key      string `json:"key"`
	ID       int    `json:"shmid"`
	Owner    string `json:"owner"`
	Perms    string `json:"perms"` // octal
	Bytes    int64  `json:"bytes"`
	Resident int64  `json:"resident"` // bytes
	Attached int    `json:"nattch"`
	Status   string `json:"status"`
	Creator  int    `json:"cpid"`
}

func listCommand(_ context.Context, env *command.Env, c *cli.Context) error {
	list, err := sysv.List()
	if err != nil {
		return err
	}
	rows := make([]row, len(list))
	for i, info := range list {
		rows[i] = row{
			Key:      info.Key.String(),
			ID:       info.ID,
			Owner:    userName(info.UID),
			Perms:    fmt.Sprintf("%03o", info.Perm),
			Bytes:    info.Size,
			Resident: info.Resident,
			Attached: info.Attached,
			Status:   status(info),
			Creator:  info.CreatorPID,
		}
	}
	if c.Bool("json") {
		out := json.NewEncoder(env.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(rows)
	}
	return table(env.Stdout, func(w io.Writer) {
		fmt.Fprintln(w, "key\tshmid\towner\tperms\tbytes\tresident\tnattch\tstatus\tcpid")
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%d\t%d\t%s\t%d\n",
				r.Key, r.ID, r.Owner, r.Perms, r.Bytes, r.Resident, r.Attached, orDash(r.Status), r.Creator)
		}
	})
}

func table(out io.Writer, fill func(w io.Writer)) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fill(w)
	return w.Flush()
}

// status is in the words of ipcs(1).
func status(i sysv.Info) string {
	var words []string
	if i.Marked {
		words = append(words, "dest")
	}
	if i.Locked {
		words = append(words, "locked")
	}
	return strings.Join(words, ",")
}

// orDash keeps a column from being empty, for those who split lines at blanks.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func removeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntSliceFlag{Name: "id", Usage: "the segment with this `shmid`; may be repeated"},
		&cli.StringSliceFlag{Name: "key", Usage: "the segment with this `key`, such as 0x32010b3c; may be repeated"},
	}
}

func removeCommand(_ context.Context, env *command.Env, c *cli.Context) error {
	type target struct {
		name  string
		match func(sysv.Info) bool
	}
	var targets []target
	for _, id := range c.IntSlice("id") {
		targets = append(targets, target{
			fmt.Sprintf("--id %d", id), func(i sysv.Info) bool { return i.ID == id },
		})
	}
	for _, text := range c.StringSlice("key") {
		n, err := strconv.ParseUint(text, 0, 32)
		key := sysv.Key(uint32(n))
		if err != nil || key == sysv.Private {
			return command.UsageErrorf("--key %s: want a key as ls shows it, such as 0x32010b3c, and not 0, which is no key", text)
		}
		targets = append(targets, target{
			"--key " + text, func(i sysv.Info) bool { return i.Key == key },
		})
	}
	if len(targets) == 0 {
		return command.UsageErrorf("nothing to remove: want --id or --key of segments that shm-server ls lists")
	}
	failed := 0
	for _, t := range targets {
		if err := remove(env.Log, t.match); err != nil {
			err = fmt.Errorf("%s: %w", t.name, err)
			if len(targets) == 1 {
				return err
			}
			env.Log.Error().Msg(err.Error())
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("segments not removed: %d of %d", failed, len(targets))
	}
	return nil
}

func remove(log *command.Log, match func(sysv.Info) bool) error {
	info, found, err := find(match)
	if err != nil {
		return err
	}
	if !found {
		return errors.New("no such segment: see shm-server ls")
	}
	segment, err := sysv.OpenID(info.ID)
	if err != nil {
		return err
	}
	if err := segment.Remove(); err != nil {
		return err
	}
	msg := "removed segment"
	if info.Attached > 0 {
		msg = "marked segment for removal: its memory goes when the last process has detached it"
	}
	log.Notice().Int("shmid", info.ID).Stringer("key", info.Key).Int("nattch", info.Attached).Msg(msg)
	return nil
}

func statFlags() []cli.Flag {
	return append(contract.KeyFlags(),
		&cli.IntFlag{Name: "id", Value: -1, Usage: "the segment with this `shmid` instead (one that is removed has no key)"})
}

func statCommand(_ context.Context, env *command.Env, c *cli.Context) error {
	var info sysv.Info
	origin := ""
	if id := c.Int("id"); c.IsSet("id") {
		var found bool
		var err error
		info, found, err = find(func(i sysv.Info) bool { return i.ID == id })
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("no segment has the id %d: see shm-server ls", id)
		}
	} else {
		parts, found, err := serverSegment(c)
		if err != nil {
			return err
		}
		info, origin = found, parts.String()
	}
	return explainSegment(env.Stdout, info, origin)
}

func explainSegment(out io.Writer, i sysv.Info, origin string) error {
	if i.Key == sysv.Private {
		origin = "none: nobody can find it by a key (any more)"
	}
	state := "kept until it is removed, in use or not"
	if i.Marked {
		state = "removed: destroyed at the last detach"
	}
	return table(out, func(w io.Writer) {
		line := func(name string, value any, why string) {
			fmt.Fprintf(w, "%s\t%v\t%s\n", name, value, why)
		}
		line("key", i.Key, origin)
		line("shmid", i.ID, "the kernel's number for it")
		line("owner", userName(i.UID), fmt.Sprintf("uid %d; made by uid %d", i.UID, i.CUID))
		line("perms", fmt.Sprintf("%03o", i.Perm), "octal; to execute means nothing here")
		line("bytes", i.Size, "as asked for, and all that can be used; memory comes in whole pages, here "+inPages(i.Size))
		line("resident", i.Resident, "bytes of memory it has by now, for the pages that were touched: "+inPages(i.Resident))
		line("nattch", i.Attached, "mappings, in all processes")
		line("status", orDash(status(i)), state)
		line("cpid", i.CreatorPID, "the process that made it")
		line("lpid", i.LastPID, "the last to attach or detach it")
	})
}

// inPages says in how many pages that many bytes are.
func inPages(bytes int64) string {
	page := int64(os.Getpagesize())
	n := (bytes + page - 1) / page
	return fmt.Sprintf("%d of %d bytes, %d", n, page, n*page)
}
