/* Streams over loopback: two sides in one loop, driven by a small machine. */
#include <check.h>
#include <nng/nng.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/io/net.h"
#include "proto/base/list.h"
#include "proto/base/memory.h"
#include "tests/suite.h"

#define CONNS_MAX 16
#define TEST_LIMIT_MS 20000
#define SEND_SIZE 65536

struct conn {
    uint64_t id;
    bool is_accepted, is_closed;
    mn_status status;
    size_t received, sent_count;
    uint8_t sum;
    char address[NET_ADDRESS_SIZE];
};

struct world {
    struct io *io;
    struct net *net;
    uv_timer_t limit;
    struct conn conns[CONNS_MAX];
    uint32_t conns_count;
    char bound[NET_ADDRESS_SIZE];
    struct mn_list todo; /* struct todo: outputs of the next step */
    bool echoes;         /* accepted connections send back what they got */
    uint32_t sends_left; /* who is told that one is over begins the next */
    struct {
        size_t received, sent_count;
    } turn, worst; /* of a turn of the loop */
    bool (*is_done)(const struct world *world);
};

struct todo {
    struct mn_list entry;
    enum edge_output_type type;
    uint64_t id;
    bool flag;
    struct mn_buf *buf;
    char text[64];
};

static struct conn *find(struct world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->conns_count; i++)
        if (world->conns[i].id == id) return &world->conns[i];
    ck_assert_uint_lt(world->conns_count, CONNS_MAX);
    world->conns[world->conns_count].id = id;
    return &world->conns[world->conns_count++];
}

static struct todo *want(struct world *world, enum edge_output_type type, uint64_t id)
{
    struct todo *todo = mn_alloc(sizeof *todo);
    todo->type = type;
    todo->id = id;
    mn_list_push_back(&world->todo, &todo->entry);
    return todo;
}

static void want_send(struct world *world, uint64_t id, struct mn_span bytes)
{
    want(world, EDGE_OUT_NET_SEND, id)->buf = mn_buf_copy(bytes);
}

static void want_dial(struct world *world, uint64_t id, const char *address)
{
    snprintf(want(world, EDGE_OUT_NET_DIAL, id)->text, 64, "%s", address);
}

static void note(struct world *world, const struct edge_input *input)
{
    if (input->type == EDGE_IN_TICK) return;
    struct conn *conn = find(world, input->id);
    ck_assert(!conn->is_closed); /* an id is dead after CLOSED */
    if (input->type == EDGE_IN_NET_ACCEPTED || input->type == EDGE_IN_NET_CONNECTED) {
        conn->is_accepted = input->type == EDGE_IN_NET_ACCEPTED;
        ck_assert_int_eq(conn->id % 2, conn->is_accepted);
        snprintf(conn->address, sizeof conn->address, "%.*s", (int)input->text.size,
                 (const char *)input->text.data);
    } else if (input->type == EDGE_IN_NET_BYTES) {
        conn->received += input->bytes.size;
        world->turn.received += input->bytes.size;
        for (size_t i = 0; i < input->bytes.size; i++)
            conn->sum = (uint8_t)(conn->sum * 31 + input->bytes.data[i]);
        if (world->echoes && conn->is_accepted) want_send(world, conn->id, input->bytes);
    } else if (input->type == EDGE_IN_NET_SENT) {
        conn->sent_count++;
        world->turn.sent_count++;
        if (world->sends_left > 0) {
            world->sends_left--;
            want(world, EDGE_OUT_NET_SEND, conn->id)->buf = mn_buf_new(SEND_SIZE);
        }
    } else if (input->type == EDGE_IN_NET_CLOSED) {
        conn->is_closed = true;
        conn->status = input->status;
    }
}

static void step(void *owner, struct mn_now now, const struct edge_input *input,
                 struct edge_outbox *outbox)
{
    struct world *world = owner;
    struct mn_list *entry;
    (void)now;
    note(world, input);
    while ((entry = mn_list_take(&world->todo)) != NULL) {
        struct todo *todo = MN_CONTAINER(entry, struct todo, entry);
        struct edge_output *output = edge_emit(outbox, todo->type, todo->id);
        output->flag = todo->flag;
        output->buf = todo->buf;
        output->text = mn_arena_copy(outbox->arena, mn_span_str(todo->text));
        mn_free(todo);
    }
}

static mn_time deadline(void *owner)
{
    (void)owner;
    return MN_TIME_NEVER;
}

static void carry_out(void *owner, const struct edge_output *output)
{
    net_do(((struct world *)owner)->net, output);
}

static void stepped(void *owner)
{
    struct world *world = owner;
    if (world->is_done(world)) io_stop(world->io);
}

static void turn_end(void *owner)
{
    struct world *world = owner;
    if (world->turn.received > world->worst.received) world->worst.received = world->turn.received;
    if (world->turn.sent_count > world->worst.sent_count)
        world->worst.sent_count = world->turn.sent_count;
    world->turn.received = world->turn.sent_count = 0;
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    ck_abort_msg("the test takes too long");
}

static void world_open(struct world *world, uint32_t accepted_max, const char *address)
{
    const char *error = "";
    const struct net_config net_config = {accepted_max};
    const struct io_config config = {world, step, deadline, carry_out, stepped, turn_end};
    *world = (struct world){0};
    mn_list_init(&world->todo);
    world->io = io_new(&config);
    world->net = net_new(world->io, &net_config);
    uv_timer_init(io_uv(world->io), &world->limit);
    uv_timer_start(&world->limit, on_limit, TEST_LIMIT_MS, 0);
    mn_status status = net_listen(world->net, address, world->bound, &error);
    ck_assert_msg(status == MN_OK, "%s", error);
}

/* Carries out what was asked for, then serves until [is_done]. */
static void world_run(struct world *world, bool (*is_done)(const struct world *world))
{
    const struct edge_input tick = {.type = EDGE_IN_TICK};
    world->is_done = is_done;
    io_input(world->io, &tick);
    if (!is_done(world)) io_run(world->io);
    ck_assert(is_done(world));
}

static void world_close(struct world *world)
{
    uv_close((uv_handle_t *)&world->limit, NULL);
    net_close(world->net);
    io_free(world->io);
}

static const struct conn *accepted(const struct world *world)
{
    for (uint32_t i = 0; i < world->conns_count; i++)
        if (world->conns[i].is_accepted) return &world->conns[i];
    return NULL;
}

static const struct conn *dialled(const struct world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->conns_count; i++)
        if (world->conns[i].id == id) return &world->conns[i];
    return NULL;
}

static bool is_connected(const struct world *world)
{
    const struct conn *conn = dialled(world, 2);
    return accepted(world) != NULL && conn != NULL && conn->address[0] != '\0';
}

static bool is_closed(const struct world *world)
{
    const struct conn *conn = dialled(world, 2);
    return conn != NULL && conn->is_closed;
}

static bool is_peer_closed(const struct world *world)
{
    return accepted(world) != NULL && accepted(world)->is_closed;
}

static bool has_echo(const struct world *world)
{
    return dialled(world, 2)->received == 5;
}

START_TEST(bytes_go_there_and_back)
{
    struct world world;
    world_open(&world, 8, "127.0.0.1:0");
    world.echoes = true;
    want_dial(&world, 2, world.bound);
    world_run(&world, is_connected);
    ck_assert_str_eq(dialled(&world, 2)->address, world.bound);
    want_send(&world, 2, mn_span_str("hello"));
    world_run(&world, has_echo);
    ck_assert_uint_eq(accepted(&world)->received, 5);
    ck_assert_uint_eq(accepted(&world)->sum, dialled(&world, 2)->sum);
    world_close(&world);
}
END_TEST

START_TEST(ipv6_and_names_work_too)
{
    struct world world;
    char address[NET_ADDRESS_SIZE];
    world_open(&world, 8, "[::1]:0");
    ck_assert_int_eq(strncmp(world.bound, "[::1]:", 6), 0);
    want_dial(&world, 2, world.bound);
    world_run(&world, is_connected);
    world_close(&world);
    world_open(&world, 8, "127.0.0.1:0");
    snprintf(address, sizeof address, "localhost%s", strrchr(world.bound, ':'));
    want_dial(&world, 2, address);
    world_run(&world, is_connected);
    world_close(&world);
}
END_TEST

#define BIG_SIZE ((size_t)24 << 20)

static bool has_big(const struct world *world)
{
    return accepted(world)->received == BIG_SIZE && dialled(world, 2)->sent_count == 1;
}

/* Far more than any socket buffer takes: the kernel accepts it in parts. */
START_TEST(a_send_larger_than_the_kernel_takes_arrives_whole_and_in_order)
{
    struct world world;
    struct mn_buf *big = mn_buf_new(BIG_SIZE);
    uint8_t sum = 0;
    for (size_t i = 0; i < BIG_SIZE; i++) {
        big->bytes[i] = (uint8_t)(i * 2654435761u >> 13);
        sum = (uint8_t)(sum * 31 + big->bytes[i]);
    }
    world_open(&world, 8, "127.0.0.1:0");
    want_dial(&world, 2, world.bound);
    world_run(&world, is_connected);
    want(&world, EDGE_OUT_NET_SEND, 2)->buf = big;
    world_run(&world, has_big);
    ck_assert_uint_eq(accepted(&world)->sum, sum);
    world_close(&world);
}
END_TEST

#define SENDS 100

static bool has_all_sends(const struct world *world)
{
    return dialled(world, 2)->sent_count == SENDS && accepted(world)->received == SENDS * SEND_SIZE;
}

/* However much the kernel takes and has: others wait for one read and one send, or two when it took
 * the rest of one before. */
START_TEST(a_turn_moves_little)
{
    struct world world;
    world_open(&world, 8, "127.0.0.1:0");
    want_dial(&world, 2, world.bound);
    world_run(&world, is_connected);
    world.sends_left = SENDS - 1;
    want(&world, EDGE_OUT_NET_SEND, 2)->buf = mn_buf_new(SEND_SIZE);
    world_run(&world, has_all_sends);
    ck_assert_uint_le(world.worst.sent_count, 2);
    ck_assert_uint_le(world.worst.received, IO_SHARE_MAX);
    world_close(&world);
}
END_TEST

static bool has_paused_bytes(const struct world *world)
{
    return accepted(world)->received >= 4;
}

static uint32_t idle_turns;

static void on_pause_over(uv_timer_t *timer)
{
    idle_turns++;
    io_stop(timer->data);
}

/* Serves for [delay_ms] whatever comes. */
static void world_wait(struct world *world, uint64_t delay_ms)
{
    uv_timer_t timer;
    uv_timer_init(io_uv(world->io), &timer);
    timer.data = world->io;
    uv_timer_start(&timer, on_pause_over, delay_ms, 0);
    io_run(world->io);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(io_uv(world->io), UV_RUN_NOWAIT);
}

static bool never(const struct world *world)
{
    (void)world;
    return false;
}

START_TEST(a_paused_connection_delivers_at_most_what_was_under_way)
{
    struct world world;
    const struct edge_input tick = {.type = EDGE_IN_TICK};
    world_open(&world, 8, "127.0.0.1:0");
    want_dial(&world, 2, world.bound);
    world_run(&world, is_connected);
    want(&world, EDGE_OUT_NET_PAUSE, accepted(&world)->id)->flag = true;
    want_send(&world, 2, mn_span_str("ab")); /* taken by the receive that is posted already */
    world.is_done = never;
    io_input(world.io, &tick);
    world_wait(&world, 50);
    want_send(&world, 2, mn_span_str("cd"));
    io_input(world.io, &tick);
    world_wait(&world, 50);
    ck_assert_uint_le(accepted(&world)->received, 2);
    want(&world, EDGE_OUT_NET_PAUSE, accepted(&world)->id)->flag = false;
    world_run(&world, has_paused_bytes);
    ck_assert_uint_eq(accepted(&world)->received, 4);
    world_close(&world);
}
END_TEST

START_TEST(a_close_lets_the_last_send_out_first)
{
    struct world world;
    world_open(&world, 8, "127.0.0.1:0");
    want_dial(&world, 2, world.bound);
    world_run(&world, is_connected);
    want_send(&world, 2, mn_span_str("goodbye"));
    want(&world, EDGE_OUT_NET_CLOSE, 2);
    world_run(&world, is_peer_closed);
    ck_assert_uint_eq(accepted(&world)->received, 7);
    ck_assert_int_eq(accepted(&world)->status, MN_CLOSED);
    ck_assert(!dialled(&world, 2)->is_closed); /* our own CLOSE was the last word */
    world_close(&world);
}
END_TEST

static bool is_flooded(const struct world *world)
{
    return world->conns_count == 2 && is_connected(world);
}

/* The peer is paused, so that the send can never end. */
START_TEST(a_close_waits_for_a_stuck_send_one_second_only)
{
    struct world world;
    const struct edge_input tick = {.type = EDGE_IN_TICK};
    world_open(&world, 8, "127.0.0.1:0");
    want_dial(&world, 2, world.bound);
    world_run(&world, is_flooded);
    want(&world, EDGE_OUT_NET_PAUSE, accepted(&world)->id)->flag = true;
    want(&world, EDGE_OUT_NET_SEND, 2)->buf = mn_buf_new(BIG_SIZE);
    want(&world, EDGE_OUT_NET_CLOSE, 2);
    world.is_done = never;
    mn_time start = io_now(world.io).mono;
    io_input(world.io, &tick);
    world_wait(&world, 1200);
    want(&world, EDGE_OUT_NET_PAUSE, accepted(&world)->id)->flag = false;
    world_run(&world, is_peer_closed);
    ck_assert_uint_lt(accepted(&world)->received, BIG_SIZE);
    ck_assert_uint_ge(io_now(world.io).mono - start, MN_SEC);
    world_close(&world);
}
END_TEST

START_TEST(a_refused_dial_is_closed_with_a_reason)
{
    struct world world;
    world_open(&world, 8, "127.0.0.1:0");
    want_dial(&world, 2, "127.0.0.1:1");
    world_run(&world, is_closed);
    ck_assert_int_ne(dialled(&world, 2)->status, MN_OK);
    world_close(&world);
}
END_TEST

static const char *const bad_addresses[] = {
    "", ":", ":7000", "host", "host/path:1", "a b:1", "tcp://x:1", "x@y:1", "[::1", "x:y:",
};

START_TEST(what_is_no_address_is_closed_at_once)
{
    struct world world;
    world_open(&world, 8, "127.0.0.1:0");
    want_dial(&world, 2, bad_addresses[_i]);
    world_run(&world, is_closed);
    world_close(&world);
}
END_TEST

START_TEST(a_dial_can_be_given_up)
{
    struct world world;
    const struct edge_input tick = {.type = EDGE_IN_TICK};
    world_open(&world, 8, "127.0.0.1:0");
    want_dial(&world, 2, world.bound);
    want(&world, EDGE_OUT_NET_CLOSE, 2);
    want_dial(&world, 4, "192.0.2.1:9"); /* documentation range: nobody answers */
    want(&world, EDGE_OUT_NET_CLOSE, 4);
    world.is_done = never;
    io_input(world.io, &tick);
    world_wait(&world, 50);
    ck_assert_ptr_null(dialled(&world, 2));
    ck_assert_ptr_null(dialled(&world, 4));
    world_close(&world);
}
END_TEST

static bool are_two_closed(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->conns_count; i++)
        count += world->conns[i].is_closed;
    return count == 2;
}

START_TEST(more_connections_than_allowed_are_closed_unseen)
{
    struct world world;
    world_open(&world, 2, "127.0.0.1:0");
    for (uint64_t id = 2; id <= 8; id += 2)
        want_dial(&world, id, world.bound);
    world_run(&world, are_two_closed);
    uint32_t accepted_count = 0;
    for (uint32_t i = 0; i < world.conns_count; i++) {
        accepted_count += world.conns[i].is_accepted;
        if (world.conns[i].is_accepted) ck_assert(!world.conns[i].is_closed);
    }
    ck_assert_uint_eq(accepted_count, 2);
    world_close(&world);
}
END_TEST

START_TEST(a_port_in_use_is_said)
{
    struct world world;
    char bound[NET_ADDRESS_SIZE];
    const char *error = "";
    world_open(&world, 8, "127.0.0.1:0");
    ck_assert_int_eq(net_listen(world.net, world.bound, bound, &error), MN_IO);
    ck_assert_str_eq(error, nng_strerror(NNG_EADDRINUSE));
    ck_assert_int_eq(net_listen(world.net, "nonsense", bound, &error), MN_CONFIG);
    world_close(&world);
}
END_TEST

START_TEST(closing_with_everything_under_way_ends_cleanly)
{
    struct world world;
    const struct edge_input tick = {.type = EDGE_IN_TICK};
    world_open(&world, 8, "127.0.0.1:0");
    want_dial(&world, 2, world.bound);
    world_run(&world, is_connected);
    want(&world, EDGE_OUT_NET_SEND, 2)->buf = mn_buf_new(BIG_SIZE);
    want_dial(&world, 4, world.bound);
    want_dial(&world, 6, "192.0.2.1:9");
    want(&world, EDGE_OUT_NET_CLOSE, 2);
    world.is_done = never;
    io_input(world.io, &tick);
    world_close(&world);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("net");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, bytes_go_there_and_back);
    tcase_add_test(tcase, ipv6_and_names_work_too);
    tcase_add_test(tcase, a_send_larger_than_the_kernel_takes_arrives_whole_and_in_order);
    tcase_add_test(tcase, a_turn_moves_little);
    tcase_add_test(tcase, a_paused_connection_delivers_at_most_what_was_under_way);
    tcase_add_test(tcase, a_close_lets_the_last_send_out_first);
    tcase_add_test(tcase, a_close_waits_for_a_stuck_send_one_second_only);
    tcase_add_test(tcase, a_refused_dial_is_closed_with_a_reason);
    tcase_add_loop_test(tcase, what_is_no_address_is_closed_at_once, 0,
                        (int)(sizeof bad_addresses / sizeof bad_addresses[0]));
    tcase_add_test(tcase, a_dial_can_be_given_up);
    tcase_add_test(tcase, more_connections_than_allowed_are_closed_unseen);
    tcase_add_test(tcase, a_port_in_use_is_said);
    tcase_add_test(tcase, closing_with_everything_under_way_ends_cleanly);
    Suite *suite = suite_create("net");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
