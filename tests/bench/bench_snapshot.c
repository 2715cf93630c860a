/* bench_snapshot: how long a turn of the strong keyspace gets when a snapshot is due, or when
 * replicas are compared: one node in memory, with as many keys as there may be, on which puts go
 * on; what it writes is durable in the next turn. For comparison, the same made at once; and how
 * long it takes to read such a snapshot. Processor time, so that others on the machine do not
 * count. usage: bench_snapshot [VALUE-SIZE]   (default 512) */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/digest.h"
#include "node/state/state.h"
#include "proto/base/check.h"

#define BUNDLE 64u /* puts of one turn */
#define VALUE_MAX 4096u

static struct state *state;
static struct mn_arena arena;
static struct edge_outbox edge;
static uint64_t writes, answers, refused, pieces, piece_bytes;
static mn_time mono = MN_SEC;

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void step(const struct state_input *input)
{
    struct state_outbox outbox = {.arena = &arena, .edge = &edge};

    state_step(state, (struct mn_now){mono, mono}, input, &outbox);
    for (uint32_t i = 0; i < outbox.count; i++) {
        if (outbox.items[i].type != STATE_OUT_ANSWER) continue;
        answers++;
        refused +=
            outbox.items[i].answer.status != MN_OK || outbox.items[i].answer.reply.status != MN_OK;
    }
    for (uint32_t i = 0; i < edge.count; i++) {
        const struct edge_log *log = edge.items[i].log;
        if (!log->is_piece) continue;
        pieces++;
        piece_bytes += log->piece.size;
    }
    edge_outbox_reset(&edge);
    mn_arena_reset(&arena);
}

static void put(uint32_t key, const char *value, size_t size)
{
    struct state_request request = {.type = STATE_COMMAND, .timeout = 10 * MN_SEC};
    char name[24];

    snprintf(name, sizeof name, "key-%08u", key);
    request.command.verb = STRONG_PUT;
    request.command.key = mn_span_str(name);
    request.command.value = mn_span(value, size);
    step(&(struct state_input){.type = STATE_IN_REQUEST, .request = &request});
}

/* A turn of the loop: requests, the tick, and the disk has it. Returns how long it took. */
static double turn(uint32_t first, uint32_t count, const char *value, size_t size)
{
    struct edge_input durable = {.type = EDGE_IN_LOG_DURABLE};
    double began = milliseconds();

    for (uint32_t i = 0; i < count; i++)
        put((first + i) % STRONG_KEYS_MAX, value, size);
    mono += MN_MS;
    step(&(struct state_input){.type = STATE_IN_TICK});
    durable.id = writes;
    step(&(struct state_input){.type = STATE_IN_LOG, .edge = &durable});
    return milliseconds() - began;
}

static uint64_t snapshot_index(void)
{
    struct raft_view view;
    bool is_there = state_view(state, &view);

    MN_ASSERT(is_there);
    return view.snapshot_index;
}

static void start(void)
{
    struct state_config config = {.self.bytes[15] = 1, .writes_count = &writes};
    struct metadata_node self = {.id = config.self, .is_alive = true};
    struct state_input nodes = {.type = STATE_IN_NODES};

    state = state_new(&config);
    step(&(struct state_input){.type = STATE_IN_START, .start.is_founder = true});
    nodes.nodes.items = &self;
    nodes.nodes.count = 1;
    step(&nodes);
    for (int i = 0; i < 2000; i++)
        turn(0, 0, NULL, 0);
}

/* Puts go on while what replicas compare is hashed. */
static void bench_verify(uint32_t at, const char *value, size_t size)
{
    struct state_request request = {.type = STATE_COMMAND, .timeout = 10 * MN_SEC};
    uint8_t hash[STRONG_DIGEST_SIZE];
    double took = milliseconds(), longest = 0, sum = 0;
    uint32_t turns = 0;
    struct mn_buf *whole = strong_snapshot(state_strong(state));

    digest_one(DIGEST_STATE, mn_buf_span(whole), hash, sizeof hash);
    took = milliseconds() - took;
    mn_buf_unref(whole);
    request.command.verb = STRONG_VERIFY;
    step(&(struct state_input){.type = STATE_IN_REQUEST, .request = &request});
    for (uint32_t i = 0; i < 10 || strong_is_verifying(state_strong(state)); i++) {
        double one = turn(at, BUNDLE, value, size);
        at += BUNDLE;
        sum += one;
        turns++;
        if (one > longest) longest = one;
    }
    printf("a turn while replicas are compared:          mean %.3f ms, longest %.3f ms of %u\n",
           sum / turns, longest, turns);
    printf("the same hashed at once:                     %.1f ms\n", took);
}

/* Over a map that is as large. */
static void bench_restore(struct mn_buf *whole)
{
    struct strong *strong = strong_new(1);
    double took[2];

    for (int i = 0; i < 2; i++) {
        double began = milliseconds();
        if (strong_restore(strong, mn_buf_span(whole)) != MN_OK) MN_ASSERT(false && "it reads");
        took[i] = milliseconds() - began;
    }
    printf("such a snapshot read at once:                %.1f ms, over another one %.1f ms\n",
           took[0], took[1]);
    strong_free(strong);
}

int main(int argc, char **argv)
{
    size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 512;
    static char value[VALUE_MAX];
    double longest[2] = {0}, sum[2] = {0}, took;
    uint32_t turns[2] = {0}, at = 0;
    uint64_t before;
    struct mn_buf *whole;

    if (sodium_init() < 0 || size == 0 || size > VALUE_MAX) return 2;
    memset(value, 'x', sizeof value);
    edge.arena = mn_alloc(sizeof *edge.arena);
    start();
    while (strong_stats(state_strong(state)).keys_count < STRONG_KEYS_MAX && at < 1000000) {
        turn(at, BUNDLE, value, size);
        at += BUNDLE;
    }
    before = snapshot_index();
    while (snapshot_index() == before || turns[1] == 0) { /* until one was made, and told apart */
        bool was_saving = strong_is_saving(state_strong(state));
        took = turn(at, BUNDLE, value, size);
        was_saving = was_saving || strong_is_saving(state_strong(state));
        at += BUNDLE;
        if (took > longest[was_saving]) longest[was_saving] = took;
        sum[was_saving] += took;
        turns[was_saving]++;
    }
    took = milliseconds();
    whole = strong_snapshot(state_strong(state));
    took = milliseconds() - took;
    printf("%u keys with %zu bytes each, a snapshot of %.1f MiB in %llu pieces of %llu KiB\n",
           strong_stats(state_strong(state)).keys_count, size, whole->size / 1048576.0,
           (unsigned long long)pieces,
           (unsigned long long)(piece_bytes / (pieces + !pieces) / 1024));
    printf("a turn with %u puts, no snapshot under way: mean %.3f ms, longest %.3f ms of %u\n",
           BUNDLE, turns[0] == 0 ? 0 : sum[0] / turns[0], longest[0], turns[0]);
    printf("the same while one is written:               mean %.3f ms, longest %.3f ms of %u\n",
           sum[1] / turns[1], longest[1], turns[1]);
    printf("the same snapshot encoded at once:           %.1f ms (%llu of %llu puts refused)\n",
           took, (unsigned long long)refused, (unsigned long long)answers);
    bench_verify(at, value, size);
    bench_restore(whole);
    mn_buf_unref(whole);
    state_free(state);
    mn_arena_done(&arena);
    mn_arena_done(edge.arena);
    mn_free(edge.arena);
    return refused == 0 ? 0 : 1;
}
