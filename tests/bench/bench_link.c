/* bench_link: one-way messages between two processes over loopback. "mesh": as envelopes through a
 * sealed link, over the sockets and the loop of a node. "tcp": each with its length before it, over
 * a plain socket; without a limit 64 KiB are gathered for each write, which is the most that the
 * kernel can do. The receiving process prints the line of bench_sink.h.
 * usage: bench_link mesh|tcp SIZE RATE SECONDS */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "tests/bench/bench_sink.h"
#include "tests/io/link_side.h"

#define QUEUED_MAX ((size_t)256 * 1024) /* bytes given to a link at a time */
#define PAYLOADS_COUNT 64u
#define TCP_BUFFER 65536u
#define TCP_HEAD 4u

/* ---- mesh ---- */

struct side {
    struct link_side link; /* its first member */
    const struct bench_job *job;
    uv_timer_t timer;                        /* of a paced sender */
    struct mn_buf *payloads[PAYLOADS_COUNT]; /* used again once the link is done with them */
    uint64_t sequence, begin_ns;             /* of a sender */
    bool is_last_sent;
    struct bench_sink sink;
};

static void side_on_envelope(struct link_side *link, const struct envelope *envelope)
{
    struct side *side = MN_CONTAINER(link, struct side, link);

    if (!bench_sink_take(&side->sink, envelope->payload)) io_stop(link->io);
}

static struct mn_buf *side_payload(struct side *side)
{
    struct mn_buf **payload = &side->payloads[side->sequence % PAYLOADS_COUNT];

    if (*payload != NULL && (*payload)->refs == 1) return *payload;
    mn_buf_unref(*payload);
    *payload = mn_buf_new(side->job->size);
    memset((*payload)->bytes, 'x', (*payload)->size);
    return *payload;
}

static void side_put(struct side *side, struct mn_now now, bool is_last)
{
    struct mn_buf *payload = side_payload(side);

    bench_stamp(payload->bytes, is_last);
    link_side_put(&side->link, now, payload, ++side->sequence);
    side->is_last_sent = is_last;
}

/* Keeps the link's queue filled, until it is time for the last message. */
static void side_fill(struct link_side *link, struct mn_now now)
{
    struct side *side = MN_CONTAINER(link, struct side, link);

    if (side->begin_ns == 0) side->begin_ns = bench_now_ns();
    if (!link->is_dialer || side->job->rate > 0) return;
    while (!side->is_last_sent && link_queued_bytes(link->link, ENVELOPE_NORMAL) < QUEUED_MAX)
        side_put(side, now, (double)(bench_now_ns() - side->begin_ns) >= side->job->seconds * 1e9);
}

static void side_on_timer(uv_timer_t *timer)
{
    struct side *side = timer->data;
    struct mn_now now = io_now(side->link.io);
    uint64_t due;

    if (side->begin_ns == 0 || side->is_last_sent) return;
    due = (bench_now_ns() - side->begin_ns) * side->job->rate / 1000000000;
    for (; side->sequence < due && !side->is_last_sent;)
        side_put(side, now, (double)side->sequence >= side->job->seconds * side->job->rate);
    io_input(side->link.io, &(struct edge_input){.type = EDGE_IN_TICK});
}

static void side_start(struct side *side)
{
    side->link.on_envelope = side_on_envelope;
    side->link.fill = side_fill;
    link_side_start(&side->link);
    uv_timer_init(io_uv(side->link.io), &side->timer);
    side->timer.data = side;
}

static void side_run(struct side *side)
{
    link_side_run(&side->link);
    uv_close((uv_handle_t *)&side->timer, NULL);
    link_side_free(&side->link);
    for (uint32_t i = 0; i < PAYLOADS_COUNT; i++)
        mn_buf_unref(side->payloads[i]);
}

static void mesh_receive(const struct bench_job *job, int to)
{
    struct side side = {.job = job};

    side_start(&side);
    link_side_listen(&side.link, to);
    side_run(&side);
    bench_sink_report(&side.sink, job);
}

static uint64_t mesh_send(const struct bench_job *job, const char *address)
{
    struct side side = {.job = job, .link.is_dialer = true};

    side_start(&side);
    link_side_dial(&side.link, address);
    if (job->rate > 0) uv_timer_start(&side.timer, side_on_timer, 1, 1);
    side_run(&side);
    return side.sequence;
}

/* ---- tcp ---- */

static void tcp_receive(const struct bench_job *job, int to)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t at_size = sizeof at;
    char bound[NET_ADDRESS_SIZE] = "";
    uint8_t *buffer = mn_alloc(TCP_BUFFER + job->size + TCP_HEAD);
    struct bench_sink sink = {0};
    size_t have = 0, whole = TCP_HEAD + job->size;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;

    MN_ASSERT(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 1) == 0);
    getsockname(listener, (struct sockaddr *)&at, &at_size);
    snprintf(bound, sizeof bound, "%u", ntohs(at.sin_port));
    if (write(to, bound, sizeof bound) != sizeof bound) exit(EXIT_FAILURE);
    fd = accept(listener, NULL, NULL);
    for (bool goes_on = true; goes_on;) {
        ssize_t got = read(fd, buffer + have, TCP_BUFFER);
        size_t at_byte = 0;
        if (got <= 0) break;
        have += (size_t)got;
        for (; goes_on && have - at_byte >= whole; at_byte += whole) {
            MN_ASSERT(mn_load_u32(buffer + at_byte) == job->size);
            goes_on = bench_sink_take(&sink, mn_span(buffer + at_byte + TCP_HEAD, job->size));
        }
        have -= at_byte;
        memmove(buffer, buffer + at_byte, have);
    }
    close(fd);
    close(listener);
    mn_free(buffer);
    bench_sink_report(&sink, job);
}

static void tcp_write(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = write(fd, bytes, size);
        MN_ASSERT(sent > 0);
        bytes += sent;
        size -= (size_t)sent;
    }
}

static uint64_t tcp_send(const struct bench_job *job, const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    size_t whole = TCP_HEAD + job->size, have = 0;
    uint8_t *buffer = mn_alloc(TCP_BUFFER + whole);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    uint64_t begin = bench_now_ns(), count = 0;

    memset(buffer, 'x', TCP_BUFFER + whole);
    MN_ASSERT(connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (bool is_last = false; !is_last;) {
        count++;
        if (job->rate > 0) bench_pace(job, begin, count);
        is_last = (double)(bench_now_ns() - begin) >= job->seconds * 1e9;
        mn_store_u32(buffer + have, (uint32_t)job->size);
        bench_stamp(buffer + have + TCP_HEAD, is_last);
        have += whole;
        if (job->rate == 0 && have < TCP_BUFFER && !is_last) continue;
        tcp_write(fd, buffer, have);
        have = 0;
    }
    close(fd);
    mn_free(buffer);
    return count;
}

int main(int argc, char **argv)
{
    struct bench_job job;
    char address[NET_ADDRESS_SIZE];
    int ends[2];
    pid_t child;
    bool is_mesh;

    if (!bench_job_read(argc, argv, &job)) return 2;
    is_mesh = strcmp(job.way, "mesh") == 0;
    if (sodium_init() < 0 || pipe(ends) != 0 || (child = fork()) < 0) return EXIT_FAILURE;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        (is_mesh ? mesh_receive : tcp_receive)(&job, ends[1]);
        return EXIT_SUCCESS;
    }
    close(ends[1]);
    if (read(ends[0], address, sizeof address) != sizeof address) return EXIT_FAILURE;
    return bench_end(child, (is_mesh ? mesh_send : tcp_send)(&job, address));
}
