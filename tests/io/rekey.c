/* New keys while a link is under load, between two processes over loopback: both send numbered
 * messages through a sealed link, over the sockets and the loop of a node, and each checks that
 * nothing is lost, doubled or out of order. "full": frames are as full as they get. "single": one
 * message a frame, so that it is their number and not their bytes that asks for a new key, also at
 * the limit that nodes have (2^20).
 * usage: rekey full|single FRAMES MESSAGES   a new key each FRAMES frames; both ways so many */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "tests/io/link_side.h"

#define QUEUED_MAX ((size_t)256 * 1024) /* bytes given to a link at a time */
#define PAYLOAD_SIZE 512u

struct job {
    bool is_full;
    uint64_t frames, messages;
};

struct side {
    struct link_side link; /* its first member */
    const struct job *job;
    uint64_t sent, received;
    struct mn_buf *payload;
};

static void side_on_envelope(struct link_side *link, const struct envelope *envelope)
{
    struct side *side = MN_CONTAINER(link, struct side, link);

    side->received++;
    MN_ASSERT(envelope->sequence == side->received); /* none lost, doubled, reordered */
    MN_ASSERT(envelope->payload.size == PAYLOAD_SIZE);
}

static void side_put(struct side *side, struct mn_now now)
{
    link_side_put(&side->link, now, side->payload, ++side->sent);
}

/* One more than asked for goes out when all of the other side's came: it says so. */
static void side_fill(struct link_side *link, struct mn_now now)
{
    struct side *side = MN_CONTAINER(link, struct side, link);
    size_t queued_max = side->job->is_full ? QUEUED_MAX : 1;

    while (side->sent < side->job->messages &&
           link_queued_bytes(link->link, ENVELOPE_NORMAL) < queued_max)
        side_put(side, now);
    if (side->sent == side->job->messages && side->received >= side->job->messages)
        side_put(side, now);
}

static bool side_is_over(struct link_side *link)
{
    struct side *side = MN_CONTAINER(link, struct side, link);

    return link->is_dialer && side->sent > side->job->messages &&
           side->received > side->job->messages &&
           link_queued_bytes(link->link, ENVELOPE_NORMAL) == 0;
}

static void side_start(struct side *side)
{
    side->link.on_envelope = side_on_envelope;
    side->link.fill = side_fill;
    side->link.is_over = side_is_over;
    link_side_start(&side->link);
    side->link.limits.rekey_frames = side->job->frames;
    side->payload = mn_buf_new(PAYLOAD_SIZE);
    memset(side->payload->bytes, 'x', PAYLOAD_SIZE);
}

/* Whether all came, and keys changed on both ways as often as they had to. */
static bool side_run(struct side *side)
{
    const struct link_stats *stats;
    bool is_good;

    link_side_run(&side->link);
    MN_ASSERT(side->link.link != NULL);
    stats = link_stats(side->link.link);
    is_good = side->received >= side->job->messages && side->sent > side->job->messages &&
              stats->rekeys_out >= stats->frames_out / side->job->frames &&
              stats->rekeys_in >= stats->frames_in / side->job->frames && stats->rekeys_out > 0 &&
              stats->rekeys_in > 0;
    printf("%s: %llu messages out in %llu frames under %llu keys, %llu in\n",
           side->link.is_dialer ? "dialer" : "acceptor", (unsigned long long)side->sent,
           (unsigned long long)stats->frames_out, (unsigned long long)stats->rekeys_out + 1,
           (unsigned long long)side->received);
    link_side_free(&side->link);
    mn_buf_unref(side->payload);
    return is_good;
}

static bool run_acceptor(const struct job *job, int to)
{
    struct side side = {.job = job};

    side_start(&side);
    link_side_listen(&side.link, to);
    return side_run(&side);
}

static bool run_dialer(const struct job *job, const char *address)
{
    struct side side = {.job = job, .link.is_dialer = true};

    side_start(&side);
    link_side_dial(&side.link, address);
    return side_run(&side);
}

int main(int argc, char **argv)
{
    struct job job;
    char address[NET_ADDRESS_SIZE];
    int ends[2], status;
    pid_t child;
    bool is_good;

    if (argc != 4) {
        fprintf(stderr, "usage: %s full|single FRAMES MESSAGES\n", argv[0]);
        return 2;
    }
    job.is_full = strcmp(argv[1], "full") == 0;
    job.frames = strtoull(argv[2], NULL, 10);
    job.messages = strtoull(argv[3], NULL, 10);
    if (job.frames == 0 || job.messages == 0) return 2;
    if (sodium_init() < 0 || pipe(ends) != 0 || (child = fork()) < 0) return EXIT_FAILURE;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(run_acceptor(&job, ends[1]) ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    close(ends[1]);
    if (read(ends[0], address, sizeof address) != sizeof address) return EXIT_FAILURE;
    is_good = run_dialer(&job, address);
    if (waitpid(child, &status, 0) != child) return EXIT_FAILURE;
    return is_good && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
