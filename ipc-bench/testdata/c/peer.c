/*
 * peer: the loop of ipc-bench in C, the least that does the same work.
 *
 * Two processes, each on its processor, send messages to each other: the near
 * one sends a message and waits until it has it back; the far one returns what
 * it gets. Both check every byte. All system calls block. The difference to
 * ipc-bench is then what Go and the packages of this suite cost; "make peers"
 * builds this file, runs the two in turn and prints the ratios.
 *
 *     cc -O2 -o peer peer.c
 *     ./peer pipe 64 20000 0 1     pipe, 64 bytes, 20000 round trips, CPUs 0 and 1
 *     5790 6362 7574               p50, p90 and p99 of a round trip, in ns
 *
 * The mechanisms have the names that they have in ipc-bench: pipe, packet,
 * socket, fifo (two FIFOs in the current folder, which are gone when the ends
 * have met), and ring-spin (two rings in shared memory, looked at without pause).
 * fifo-poll is fifo with waits that could be cancelled, as those of pkg/fifo can:
 * where read(2) finds nothing, poll(2) waits for the FIFO or an eventfd(2).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *format, ...)
{
	va_list args;

	fputs("peer: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void must(int ok, const char *call)
{
	if (!ok)
		fail("%s: %s", call, strerror(errno));
}

/*
 * A ring of bytes with one writer and one reader. Each index is on a line of its
 * own, and each side knows the other's as it saw it last: as in pkg/ring.
 */
enum { CAPACITY = 1 << 20, PREFIX = 4 };

struct ring {
	_Alignas(128) _Atomic uint64_t tail; /* bytes ever written */
	_Alignas(128) _Atomic uint64_t head; /* bytes ever read */
	_Alignas(128) char data[CAPACITY];
};

/* An end of a connection: descriptors, or else rings. */
struct end {
	int in, out;
	int cancel; /* an eventfd: a wait is for this too; 0: it is not */
	struct ring *from, *to;
	uint64_t head, tail;           /* own indices of from and to, */
	uint64_t tail_seen, head_seen; /* and the other's */
};

/* copy_in and copy_out go on at the start of the ring where it ends. */
static void copy_in(struct ring *r, uint64_t at, const char *p, size_t n)
{
	size_t offset = at % CAPACITY, rest = CAPACITY - offset;

	if (n <= rest) {
		memcpy(r->data + offset, p, n);
	} else {
		memcpy(r->data + offset, p, rest);
		memcpy(r->data, p + rest, n - rest);
	}
}

static void copy_out(char *p, const struct ring *r, uint64_t at, size_t n)
{
	size_t offset = at % CAPACITY, rest = CAPACITY - offset;

	if (n <= rest) {
		memcpy(p, r->data + offset, n);
	} else {
		memcpy(p, r->data + offset, rest);
		memcpy(p + rest, r->data, n - rest);
	}
}

static void ring_send(struct end *e, const char *p, uint32_t n)
{
	struct ring *r = e->to;

	while (CAPACITY - (e->tail - e->head_seen) < PREFIX + n)
		e->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
	copy_in(r, e->tail, (const char *)&n, PREFIX);
	copy_in(r, e->tail + PREFIX, p, n);
	e->tail += PREFIX + n;
	atomic_store_explicit(&r->tail, e->tail, memory_order_release);
}

static void ring_receive(struct end *e, char *p, uint32_t size)
{
	struct ring *r = e->from;
	uint32_t n;

	while (e->tail_seen == e->head)
		e->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
	copy_out((char *)&n, r, e->head, PREFIX);
	if (n != size)
		fail("message of %u bytes, want %u", n, size);
	copy_out(p, r, e->head + PREFIX, n);
	e->head += PREFIX + n;
	atomic_store_explicit(&r->head, e->head, memory_order_release);
}

static void send_message(struct end *e, const char *p, size_t size)
{
	if (e->to) {
		ring_send(e, p, size);
		return;
	}
	while (size > 0) {
		ssize_t n = write(e->out, p, size);

		must(n >= 0, "write");
		p += n;
		size -= n;
	}
}

static void receive_message(struct end *e, char *p, size_t size)
{
	if (e->from) {
		ring_receive(e, p, size);
		return;
	}
	while (size > 0) {
		ssize_t n = read(e->in, p, size);

		if (n < 0 && errno == EAGAIN && e->cancel) {
			struct pollfd set[] = {{e->cancel, POLLIN, 0}, {e->in, POLLIN, 0}};

			must(poll(set, 2, -1) > 0, "poll");
			continue;
		}
		must(n >= 0, "read");
		if (n == 0)
			fail("the other end has gone");
		p += n;
		size -= n;
	}
}

/*
 * Message n is a stretch of a table that depends on n, with n itself over its
 * start, as far as there is room: as in ipc-bench.
 */
enum { VARIANTS = 61, STAMP = 8 };

struct payload {
	size_t size;
	char *table;
	char *stamped; /* a place in the table, */
	char saved[STAMP]; /* and what was there */
};

static struct payload new_payload(size_t size)
{
	struct payload p = {.size = size, .table = malloc(size + VARIANTS)};

	must(p.table != NULL, "malloc");
	for (size_t i = 0; i < size + VARIANTS; i++)
		p.table[i] = 33 + i * 40503 % 94;
	p.stamped = p.table;
	memcpy(p.saved, p.table, size < STAMP ? size : STAMP);
	return p;
}

static const char *message(struct payload *p, uint64_t n)
{
	size_t number = p->size < STAMP ? p->size : STAMP;

	memcpy(p->stamped, p->saved, number);
	p->stamped = p->table + n % VARIANTS;
	memcpy(p->saved, p->stamped, number);
	memcpy(p->stamped, &n, number);
	return p->stamped;
}

static void check(struct payload *p, uint64_t n, const char *got)
{
	if (memcmp(got, message(p, n), p->size) != 0)
		fail("message %llu is not what was sent", (unsigned long long)n);
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	must(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int is_fifo(const char *mechanism)
{
	return strcmp(mechanism, "fifo") == 0 || strcmp(mechanism, "fifo-poll") == 0;
}

/* connect_ends makes the two ends. Those of FIFOs are opened by meet. */
static void connect_ends(const char *mechanism, struct end *near, struct end *far)
{
	if (strcmp(mechanism, "pipe") == 0 || strcmp(mechanism, "packet") == 0) {
		int flags = strcmp(mechanism, "packet") == 0 ? O_DIRECT : 0;
		int there[2], back[2];

		must(pipe2(there, flags) == 0 && pipe2(back, flags) == 0, "pipe2");
		*near = (struct end){.in = back[0], .out = there[1]};
		*far = (struct end){.in = there[0], .out = back[1]};
	} else if (strcmp(mechanism, "socket") == 0) {
		int pair[2];

		must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
		*near = (struct end){.in = pair[0], .out = pair[0]};
		*far = (struct end){.in = pair[1], .out = pair[1]};
	} else if (is_fifo(mechanism)) {
		must(mkfifo("there", 0600) == 0 && mkfifo("back", 0600) == 0, "mkfifo");
	} else if (strcmp(mechanism, "ring-spin") == 0) {
		struct ring *rings = mmap(NULL, 2 * sizeof *rings, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		must(rings != MAP_FAILED, "mmap");
		*near = (struct end){.from = &rings[1], .to = &rings[0]};
		*far = (struct end){.from = &rings[0], .to = &rings[1]};
	} else {
		fail("%s: want pipe, packet, socket, fifo, fifo-poll or ring-spin", mechanism);
	}
}

/* meet leaves an end alone with what is its own, so that it sees the other end. */
static void meet(const char *mechanism, struct end *e, struct end *other, int near)
{
	if (!is_fifo(mechanism)) {
		if (!other->from) {
			close(other->in);
			close(other->out);
		}
		return;
	}
	if (near) {
		e->out = open("there", O_WRONLY);
		e->in = open("back", O_RDONLY);
		unlink("there");
		unlink("back");
	} else {
		e->in = open("there", O_RDONLY);
		e->out = open("back", O_WRONLY);
	}
	must(e->in >= 0 && e->out >= 0, "open");
	if (strcmp(mechanism, "fifo-poll") == 0) {
		e->cancel = eventfd(0, 0);
		must(e->cancel > 0 && fcntl(e->in, F_SETFL, O_NONBLOCK) == 0, "eventfd");
	}
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		fail("usage: peer MECHANISM SIZE COUNT NEAR-CPU FAR-CPU");
	const char *mechanism = argv[1];
	size_t size = strtoul(argv[2], NULL, 10);
	uint64_t count = strtoul(argv[3], NULL, 10), warm_up = count / 7;
	struct end near = {0}, far = {0};
	struct payload p = new_payload(size);
	char *buf = malloc(size);
	int64_t *trips = calloc(count, sizeof *trips);

	must(buf != NULL && trips != NULL, "malloc");
	if (size == 0 || count == 0)
		fail("SIZE and COUNT: want 1 or more");
	connect_ends(mechanism, &near, &far);

	pid_t child = fork();

	must(child >= 0, "fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_on(atoi(argv[5]));
		meet(mechanism, &far, &near, 0);
		for (uint64_t n = 0; n < warm_up + count; n++) {
			receive_message(&far, buf, size);
			check(&p, n, buf);
			send_message(&far, buf, size);
		}
		return 0;
	}

	run_on(atoi(argv[4]));
	meet(mechanism, &near, &far, 1);
	for (uint64_t n = 0; n < warm_up + count; n++) {
		int64_t start = now();

		send_message(&near, message(&p, n), size);
		receive_message(&near, buf, size);
		check(&p, n, buf);
		if (n >= warm_up)
			trips[n - warm_up] = now() - start;
	}

	int status;

	must(waitpid(child, &status, 0) == child, "waitpid");
	if (status != 0)
		fail("the far end has ended with status %#x", status);
	qsort(trips, count, sizeof *trips, by_time);
	printf("%lld %lld %lld\n", (long long)trips[count / 2],
	       (long long)trips[count * 9 / 10], (long long)trips[count * 99 / 100]);
	return 0;
}
