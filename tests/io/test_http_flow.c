/* The HTTP server, over real sockets: who sends or reads slowly, and who leaves. */
#include <check.h>

#include "tests/io/http_side.h"
#include "tests/suite.h"

static size_t body_received(void)
{
    size_t size = 0;
    for (uint32_t i = 1; i <= world_count(&world, EDGE_IN_HTTP_BODY, 0); i++)
        size += world_find(&world, EDGE_IN_HTTP_BODY, 0, i)->bytes.size;
    return size;
}

START_TEST(paused_body_waits_outside)
{
    struct client client;
    char bytes[1000];
    memset(bytes, 'y', sizeof bytes);
    world.handle = http_side_pause_at_open;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 1000\r\n\r\n");
    client_send_bytes(&world, &client, bytes, sizeof bytes);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1)->id;
    world_idle(&world, 50);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_BODY, 0), 0);
    world_do_flag(&world, EDGE_OUT_HTTP_PAUSE, id, false);
    world_wait(&world, EDGE_IN_HTTP_BODY, id, 1);
    while (body_received() < sizeof bytes)
        world_idle(&world, 1);
    ck_assert(http_side_last(EDGE_IN_HTTP_BODY)->is_last);
    client_done(&client);
}
END_TEST

START_TEST(client_that_leaves_while_it_waits_is_gone)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    client_done(&client);
    world_wait(&world, EDGE_IN_HTTP_GONE, id, 1);
    world_http_answer(&world, id, 200, "late"); /* about a dead id: ignored */
    world_idle(&world, 20);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_GONE, 0), 1);
}
END_TEST

START_TEST(client_that_leaves_within_its_body_is_gone)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 10\r\n\r\nhalf");
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    ck_assert(!world_find(&world, EDGE_IN_HTTP_BODY, id, 1)->is_last);
    client_done(&client);
    world_wait(&world, EDGE_IN_HTTP_GONE, id, 1);
}
END_TEST

START_TEST(client_that_leaves_an_idle_stream_is_gone)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 200, "text/event-stream", true);
    client_expect(&world, &client, "\r\n\r\n", 1);
    world_idle(&world, 250); /* long enough to be watched */
    client_done(&client);
    world_wait(&world, EDGE_IN_HTTP_GONE, id, 1);
}
END_TEST

START_TEST(abort_cuts_without_gone)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 200, "text/event-stream", true);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "half", false);
    client_expect(&world, &client, "half", 1);
    world_do_flag(&world, EDGE_OUT_HTTP_ABORT, id, false);
    client_expect_closed(&world, &client);
    ck_assert_ptr_null(strstr(client.text, "\r\n0\r\n\r\n")); /* must not look complete */
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_GONE, 0), 0);
    client_done(&client);
}
END_TEST

static bool is_writable(struct world *w, void *context)
{
    client_pull(context);
    return world_count(w, EDGE_IN_HTTP_WRITABLE, 0) > 0;
}

START_TEST(slow_reader_is_told_of_once)
{
    enum { PART = 128 * 1024, PARTS = 160 }; /* more than any socket buffer takes */
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 200, "text/plain", true);
    for (int i = 0; i < PARTS; i++)
        world_do_bytes(&world, EDGE_OUT_HTTP_BODY, id, PART, false);
    world_idle(&world, 100);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_WRITABLE, 0), 0);
    world_run(&world, is_writable, &client);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "the end", true);
    client_expect(&world, &client, "the end\r\n0\r\n\r\n", 1);
    ck_assert_uint_ge(client.size, (size_t)PART * PARTS);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_WRITABLE, 0), 1);
    client_done(&client);
}
END_TEST

/* Its queue never grows, yet whoever streams to it hears that it keeps up. */
START_TEST(reader_that_keeps_up_is_told_of_too)
{
    enum { PART = 16 * 1024, PARTS = 40 };
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 200, "text/plain", true);
    for (uint32_t i = 1; i <= PARTS; i++) {
        world_do_bytes(&world, EDGE_OUT_HTTP_BODY, id, PART - 1, false);
        world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "#", false);
        client_expect(&world, &client, "#", i);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_WRITABLE, id), 2);
    client_done(&client);
}
END_TEST

START_TEST(overfull_stream_is_cut)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 200, "text/plain", true);
    for (int i = 0; i < 5; i++)
        world_do_bytes(&world, EDGE_OUT_HTTP_BODY, id, HTTP_QUEUE_MAX / 4, false);
    world_wait(&world, EDGE_IN_HTTP_GONE, id, 1);
    client_done(&client);
}
END_TEST

struct slow {
    uint64_t count;
    size_t held;
};

static void on_slow(void *context, const char *client, size_t held, uint64_t count)
{
    *(struct slow *)context = (struct slow){count, held};
    ck_assert_ptr_nonnull(client);
}

/* Four clients that do not read, one after the other, fill the budget; the fifth answer costs the
 * one who was there first, the stream of a client that reads goes on, and all is given back. */
START_TEST(unread_answers_have_one_budget)
{
    enum { PART = 16 << 20, UNREAD = 4 };
    struct client unread[UNREAD + 1], reader;
    uint64_t ids[UNREAD + 1], reading;
    struct http_config config;
    struct slow slow = {0};

    http_config_default(&config);
    config.held_max = (size_t)UNREAD * PART + PART / 2;
    config.on_slow = on_slow;
    config.on_slow_context = &slow;
    http_side_tear_down();
    http_side_start(&config);
    client_connect(&reader, address);
    client_send(&world, &reader, GET);
    reading = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, reading, 200, "text/plain", true);
    for (uint32_t i = 0; i <= UNREAD; i++) {
        client_connect(&unread[i], address);
        client_send(&world, &unread[i], GET);
        ids[i] = world_wait(&world, EDGE_IN_HTTP_BODY, 0, i + 2)->id;
        world_http_head(&world, ids[i], 200, "text/plain", false);
        ck_assert_uint_eq(slow.count, 0);
        world_do_bytes(&world, EDGE_OUT_HTTP_BODY, ids[i], PART, true);
        world_idle(&world, 20);
    }
    ck_assert_uint_eq(slow.count, 1);
    ck_assert_uint_eq(slow.held, PART);
    client_expect_closed(&world, &unread[0]);
    ck_assert_uint_lt(unread[0].size, PART);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, reading, "still here", true);
    client_expect(&world, &reader, "still here\r\n0\r\n\r\n", 1);
    client_expect(&world, &unread[1], "\r\n\r\n", 1);
    for (uint32_t i = 0; i <= UNREAD; i++)
        client_done(&unread[i]);
    client_done(&reader);
    world_idle(&world, 100);
    ck_assert_uint_eq(http_stats(http).held_bytes, 0);
    ck_assert_uint_eq(http_stats(http).slow_readers_cut, 1);
}
END_TEST

/* Two parts of one buffer: while one waits, all of it is kept, and counts. */
START_TEST(part_of_a_buffer_counts_as_long_as_the_other)
{
    enum { FIRST = 8 << 20, SECOND = 16 << 20 };
    struct mn_buf *whole = mn_buf_new(FIRST + SECOND), *parts[2];
    struct client client;
    uint64_t id;

    memset(whole->bytes, 'x', whole->size);
    memcpy(whole->bytes + FIRST, "MARK", 4);
    parts[0] = mn_buf_part(whole, mn_span(whole->bytes, FIRST));
    parts[1] = mn_buf_part(whole, mn_span(whole->bytes + FIRST, SECOND));
    mn_buf_unref(whole);
    client_connect(&client, address);
    client_send(&world, &client, GET);
    id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 200, "text/plain", _i == 1);
    for (int i = 0; i < 2; i++) {
        world_do(&world,
                 &(struct edge_output){
                     .type = EDGE_OUT_HTTP_BODY, .id = id, .buf = parts[i], .flag = i == 1});
        mn_buf_unref(parts[i]);
    }
    client_expect(&world, &client, "MARK", 1);
    world_idle(&world, 20);
    ck_assert_uint_eq(http_stats(http).held_bytes, FIRST + SECOND);
    client_done(&client);
    world_idle(&world, 100);
    ck_assert_uint_eq(http_stats(http).held_bytes, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_flow");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, http_side_set_up, http_side_tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, paused_body_waits_outside);
    tcase_add_loop_test(all, part_of_a_buffer_counts_as_long_as_the_other, 0, 2);
    tcase_add_test(all, client_that_leaves_while_it_waits_is_gone);
    tcase_add_test(all, client_that_leaves_within_its_body_is_gone);
    tcase_add_test(all, client_that_leaves_an_idle_stream_is_gone);
    tcase_add_test(all, abort_cuts_without_gone);
    tcase_add_test(all, slow_reader_is_told_of_once);
    tcase_add_test(all, unread_answers_have_one_budget);
    tcase_add_test(all, reader_that_keeps_up_is_told_of_too);
    tcase_add_test(all, overfull_stream_is_cut);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
