package integration

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"
)

// segment is a row of shm-server ls --json.
type segment struct {
	Key      string `json:"key"`
	ID       int    `json:"shmid"`
	Attached int    `json:"nattch"`
}

// segments lists the IPC namespace of a container of shm-server.
func segments(server *docker) (list []segment) {
	server.t.Helper()
	if err := json.Unmarshal([]byte(server.run("shm-server", "ls", "--json")), &list); err != nil {
		server.t.Fatal(err)
	}
	return list
}

// keyIn finds the key in a message of server or client.
func keyIn(d *docker) string {
	d.t.Helper()
	key := regexp.MustCompile(`0x[0-9a-f]{8}`).FindString(d.output())
	if key == "" {
		d.t.Fatalf("no key in the output:\n%s", d.output())
	}
	return key
}

func TestWithoutTheSameNamespace(t *testing.T) {
	t.Parallel()
	volume := newVolume(t)
	server := start(t, "shm-server", sharing(volume))
	client := start(t, "shm-client", sharing(volume), args("a message"))
	client.mustExit(1, "no such segment", "--ipc")
	// The key is not to blame: of one folder, both make the same.
	if a, b := keyIn(server), keyIn(client); a != b {
		t.Errorf("server's key %s, client's %s", a, b)
	}
}

func TestNamespaceOfTheHost(t *testing.T) {
	t.Parallel()
	volume := newVolume(t)
	server := start(t, "shm-server", sharing(volume), ipc("host"))
	// A stranger in the same namespace sees the segment, one in its own not.
	key := keyIn(server)
	hasKey := func(s segment) bool { return s.Key == key }
	stranger := start(t, "shm-server", sharing(newVolume(t)), ipc("host"), flag("IPC_PROJ_ID", "1"))
	if list := segments(stranger); !slices.ContainsFunc(list, hasKey) {
		t.Errorf("%s is not among the host's segments: %v", key, list)
	}
	private := start(t, "shm-server", sharing(newVolume(t)), flag("IPC_PROJ_ID", "1"))
	if list := segments(private); slices.ContainsFunc(list, hasKey) {
		t.Errorf("%s is seen from another namespace: %v", key, list)
	}
	client := start(t, "shm-client", sharing(volume), ipc("host"), args("a message"))
	client.mustExit(0)
	server.mustExit(0, "a message")
	if list := segments(stranger); slices.ContainsFunc(list, hasKey) {
		t.Errorf("%s was left in the host's namespace: %v", key, list)
	}
}

func TestTwoPairsWithOneKey(t *testing.T) {
	t.Parallel()
	volume := newVolume(t)
	var servers, clients []*docker
	for _, fifo := range []string{meeting + "/one", meeting + "/two"} {
		server := start(t, "shm-server", sharing(volume), ipc(shareable), flag("IPC_FIFO", fifo))
		servers = append(servers, server)
		clients = append(clients, start(t, "shm-client", sharing(volume), server.namespace(),
			flag("IPC_FIFO", fifo), typing()))
	}
	if a, b := keyIn(servers[0]), keyIn(servers[1]); a != b {
		t.Errorf("keys are %s and %s, and should be equal", a, b)
	}
	for _, server := range servers {
		if list := segments(server); len(list) != 1 || list[0].Key != keyIn(server) {
			t.Errorf("segments in its namespace: %v, want the server's alone", list)
		}
	}
	// The one pair goes on when the other ends.
	clients[0].stop()
	servers[0].mustExit(0)
	clients[1].typeLines()
	servers[1].await("line 100")
}

// The same path is the same key only where it is the same file. A path of the
// images' own is another file in every container.
func TestKeyFromAPathOfTheImage(t *testing.T) {
	t.Parallel()
	volume := newVolume(t)
	server := start(t, "shm-server", sharing(volume), ipc(shareable), flag("IPC_KEY_PATH", "/bin"))
	client := start(t, "shm-client", sharing(volume), server.namespace(), flag("IPC_KEY_PATH", "/bin"), args("a message"))
	client.mustExit(1, "no such segment")
	if a, b := keyIn(server), keyIn(client); a == b {
		t.Errorf("/bin gives the key %s in both containers", a)
	}
}

func TestLifeOfSegmentAndNamespace(t *testing.T) {
	t.Parallel()
	volume := newVolume(t)
	keeper := start(t, "shm-server", sharing(newVolume(t)), ipc(shareable), flag("IPC_PROJ_ID", "1"), args("--keep-alive"))
	own := segments(keeper)
	server := start(t, "shm-server", sharing(volume), keeper.namespace())
	ofServer := func() []segment {
		return slices.DeleteFunc(segments(keeper), func(s segment) bool { return slices.Contains(own, s) })
	}

	server.kill()
	if list := ofServer(); len(list) != 1 || list[0].Attached != 0 {
		t.Fatalf("a killed server leaves %v, want a segment that nobody has attached", list)
	}
	server.restart()
	server.mustHavePrinted("removed a segment that a dead server had left")
	server.stop()
	server.mustExit(143, "detached and removed segment")
	if list := ofServer(); len(list) != 0 {
		t.Errorf("a stopped server leaves %v", list)
	}

	server.restart()
	server.kill()
	if list := ofServer(); len(list) != 1 {
		t.Fatalf("a killed server leaves %v, want a segment", list)
	}
	keeper.kill() // the last one in the namespace
	keeper.restart()
	if list := segments(keeper); len(list) != 1 {
		t.Errorf("segments %v have outlived their namespace", list)
	}
}
