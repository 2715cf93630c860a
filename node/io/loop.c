#include "node/io/loop.h"

#include <time.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/memory.h"

/* A machine that always has more to do gets this many ticks, and not more time, before the loop
 * looks outside again. */
#define IO_TICKS_MAX 16
#define IO_TICKS_US 100

#ifdef __SANITIZE_THREAD__
/* Debian's RocksDB and nng are not built for the thread sanitizer, which then does not see their
 * atomics: of what happens between threads inside them it cannot judge. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:librocksdb\nrace:libnng\n";
}
#endif

struct io {
    struct io_config config;
    uv_loop_t uv;
    uv_prepare_t prepare;    /* end of a turn */
    uv_check_t check;        /* begin of the next one */
    mn_time wall_ahead;      /* of the wall clock before the other one; may wrap around */
    uv_timer_t timer;        /* armed to the machine's deadline */
    uv_idle_t idle;          /* active while a tick is due already: the loop must not sleep */
    mn_time armed;           /* deadline the timer stands for; MN_TIME_NEVER: stopped */
    size_t moved[2], wholes; /* bytes in this turn, by io_way; of whole answers */
    bool is_stepping;
    struct mn_list queued; /* struct io_queued, reported during a step */
    struct edge_outbox outbox;
    struct mn_arena arena;
};

/* An input that came while another one was handled, with copies of all it points to. */
struct io_queued {
    struct mn_list entry;
    struct edge_input input;
    struct edge_http_request http;
    struct mn_arena arena;
};

static struct edge_header *io_copy_headers(struct mn_arena *arena,
                                           const struct edge_header *headers, uint32_t count)
{
    struct edge_header *copy = mn_arena_alloc(arena, (count + 1) * sizeof *copy);
    for (uint32_t i = 0; i < count; i++) {
        copy[i].name = mn_arena_copy(arena, headers[i].name);
        copy[i].value = mn_arena_copy(arena, headers[i].value);
    }
    return copy;
}

static void io_copy_request(struct mn_arena *arena, struct edge_http_request *http)
{
    http->method = mn_arena_copy(arena, http->method);
    http->target = mn_arena_copy(arena, http->target);
    http->address = mn_arena_copy(arena, http->address);
    http->headers = io_copy_headers(arena, http->headers, http->headers_count);
}

static void io_enqueue(struct io *io, const struct edge_input *input)
{
    struct io_queued *queued = mn_alloc(sizeof *queued);
    struct mn_arena *arena = &queued->arena;
    queued->input = *input;
    queued->input.bytes = mn_arena_copy(arena, input->bytes);
    queued->input.key = mn_arena_copy(arena, input->key);
    queued->input.text = mn_arena_copy(arena, input->text);
    queued->input.headers = io_copy_headers(arena, input->headers, input->headers_count);
    if (input->log != NULL) queued->input.log = edge_log_copy(arena, input->log);
    if (input->http != NULL) {
        queued->http = *input->http;
        io_copy_request(arena, &queued->http);
        queued->input.http = &queued->http;
    }
    mn_list_push_back(&io->queued, &queued->entry);
}

static void io_queued_free(struct io_queued *queued)
{
    mn_arena_done(&queued->arena);
    mn_free(queued);
}

/* A clock is read in 30 ns, and a call is several steps: the second one is read once per turn. Who
 * sets the wall clock meanwhile is noticed a turn later. */
static void io_look_at_wall(struct io *io)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    io->wall_ahead =
        (mn_time)wall.tv_sec * MN_SEC + (mn_time)wall.tv_nsec / 1000 - uv_hrtime() / 1000;
}

struct mn_now io_now(const struct io *io)
{
    mn_time mono = uv_hrtime() / 1000;
    return (struct mn_now){.mono = mono, .wall = mono + io->wall_ahead};
}

static void io_carry_out(struct io *io)
{
    if (io->config.stepped != NULL) io->config.stepped(io->config.owner);
    for (uint32_t i = 0; i < io->outbox.count; i++)
        io->config.carry_out(io->config.owner, &io->outbox.items[i]);
    edge_outbox_reset(&io->outbox);
}

static void io_step(struct io *io, const struct edge_input *input)
{
    io->config.step(io->config.owner, io_now(io), input, &io->outbox);
    io_carry_out(io);
}

/* Handles what was reported meanwhile. */
static void io_settle(struct io *io)
{
    struct mn_list *entry;
    while ((entry = mn_list_take(&io->queued)) != NULL) {
        struct io_queued *queued = MN_CONTAINER(entry, struct io_queued, entry);
        io_step(io, &queued->input);
        io_queued_free(queued);
    }
    io->is_stepping = false;
}

void io_input(struct io *io, const struct edge_input *input)
{
    if (io->is_stepping) {
        io_enqueue(io, input);
        return;
    }
    io->is_stepping = true;
    io_step(io, input);
    io_settle(io);
}

void io_apply(struct io *io,
              void (*apply)(void *owner, struct mn_now now, struct edge_outbox *outbox,
                            void *argument),
              void *argument)
{
    MN_ASSERT(!io->is_stepping);
    io->is_stepping = true;
    apply(io->config.owner, io_now(io), &io->outbox, argument);
    io_carry_out(io);
    io_settle(io);
}

static void io_on_idle(uv_idle_t *handle)
{
    (void)handle; /* its being active is the point */
}

static void io_on_timer(uv_timer_t *handle)
{
    struct io *io = handle->data;
    io->armed = MN_TIME_NEVER; /* the tick itself is given at the end of the turn */
}

/* uv timers count whole milliseconds from the loop's own, older clock: round up, and let a timer
 * that is still early simply be armed again. */
static void io_arm(struct io *io, mn_time deadline)
{
    mn_time now = io_now(io).mono;
    bool has_more = mn_memory_step();
    if (deadline <= now || has_more) {
        uv_idle_start(&io->idle, io_on_idle);
        return;
    }
    uv_idle_stop(&io->idle);
    if (deadline == io->armed) return;
    io->armed = deadline;
    if (deadline == MN_TIME_NEVER) {
        uv_timer_stop(&io->timer);
        return;
    }
    uv_update_time(&io->uv);
    uv_timer_start(&io->timer, io_on_timer, (deadline - now + MN_MS - 1) / MN_MS, 0);
}

static void io_on_prepare(uv_prepare_t *handle)
{
    struct io *io = handle->data;
    const struct edge_input tick = {.type = EDGE_IN_TICK};
    mn_time now = io_now(io).mono, until = now + IO_TICKS_US;
    for (int i = 0; i < IO_TICKS_MAX && now < until; i++) {
        if (io->config.deadline(io->config.owner) > now) break;
        io_input(io, &tick);
        now = io_now(io).mono;
    }
    io->moved[IO_READ] = io->moved[IO_WRITE] = io->wholes = 0;
    if (io->config.turn_end != NULL) io->config.turn_end(io->config.owner);
    io_arm(io, io->config.deadline(io->config.owner));
}

size_t io_share(const struct io *io, enum io_way way)
{
    size_t times = way == IO_WRITE ? IO_SHARE_WRITES : 1, moved = io->moved[way];
    size_t max = times * IO_SHARE_MAX, min = times * IO_SHARE_MIN;

    return moved + min >= max ? min : max - moved;
}

void io_moved(struct io *io, enum io_way way, size_t bytes)
{
    io->moved[way] += bytes;
}

bool io_takes_whole(struct io *io, size_t bytes)
{
    if (bytes > IO_WHOLE_MAX || io->wholes + bytes > IO_WHOLES_MAX) return false;
    io->wholes += bytes;
    return true;
}

static void io_on_check(uv_check_t *handle)
{
    io_look_at_wall(handle->data);
}

struct io *io_new(const struct io_config *config)
{
    struct io *io = mn_alloc(sizeof *io);
    io->config = *config;
    io->armed = MN_TIME_NEVER;
    io->outbox.arena = &io->arena;
    mn_list_init(&io->queued);
    int error = uv_loop_init(&io->uv);
    MN_ASSERT(error == 0); /* no epoll: nothing could work */
    uv_prepare_init(&io->uv, &io->prepare);
    uv_check_init(&io->uv, &io->check);
    uv_timer_init(&io->uv, &io->timer);
    uv_idle_init(&io->uv, &io->idle);
    io->prepare.data = io->check.data = io->timer.data = io;
    io_look_at_wall(io);
    return io;
}

void io_free(struct io *io)
{
    if (io == NULL) return;
    uv_close((uv_handle_t *)&io->prepare, NULL);
    uv_close((uv_handle_t *)&io->check, NULL);
    uv_close((uv_handle_t *)&io->timer, NULL);
    uv_close((uv_handle_t *)&io->idle, NULL);
    while (uv_run(&io->uv, UV_RUN_DEFAULT) != 0)
        continue; /* a stop that came late ends one round only; wrappers close in the next */
    int error = uv_loop_close(&io->uv);
    MN_ASSERT(error == 0);
    struct mn_list *entry;
    while ((entry = mn_list_take(&io->queued)) != NULL)
        io_queued_free(MN_CONTAINER(entry, struct io_queued, entry));
    edge_outbox_reset(&io->outbox);
    mn_arena_done(&io->arena);
    mn_free(io);
}

uv_loop_t *io_uv(struct io *io)
{
    return &io->uv;
}

void io_run(struct io *io)
{
    uv_prepare_start(&io->prepare, io_on_prepare);
    uv_check_start(&io->check, io_on_check);
    uv_run(&io->uv, UV_RUN_DEFAULT);
    uv_prepare_stop(&io->prepare);
    uv_check_stop(&io->check);
    uv_timer_stop(&io->timer);
    uv_idle_stop(&io->idle);
    io->armed = MN_TIME_NEVER;
}

void io_stop(struct io *io)
{
    uv_stop(&io->uv);
}
