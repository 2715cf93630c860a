/* The HTTP server, over real sockets: what comes in, what goes out, and what is cut. */
#include <arpa/inet.h>
#include <check.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/http.h"
#include "tests/io/world.h"
#include "tests/suite.h"

#define POST_HEAD "POST /mcp?a=%20b HTTP/1.1\r\nHost: x\r\nX-Some-Name: Some Value\r\n"
#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

static struct world world;
static struct http *http;
static char address[HTTP_ADDRESS_SIZE];

static void carry_out(void *wrapper, const struct edge_output *output)
{
    http_do(wrapper, output);
}

static void start(const struct http_config *config)
{
    const char *error = NULL;
    world_init(&world);
    http = http_new(world.io, config);
    world.wrapper = http;
    world.carry_out = carry_out;
    ck_assert_int_eq(http_listen(http, "127.0.0.1:0", address, &error), MN_OK);
}

static void set_up(void)
{
    struct http_config config;
    http_config_default(&config);
    start(&config);
}

static void tear_down(void)
{
    http_close(http);
    world_done(&world);
}

/* Answers each request with its own body once that is complete. */
static void echo(struct world *w, const struct edge_input *input)
{
    if (input->type != EDGE_IN_HTTP_BODY || !input->is_last) return;
    const char *body = world_text(w, EDGE_IN_HTTP_BODY, input->id, 0);
    world_http_answer(w, input->id, 200, body);
}

static const struct edge_input *last(enum edge_input_type type)
{
    return world_find(&world, type, 0, world_count(&world, type, 0));
}

START_TEST(request_comes_with_head_and_body)
{
    struct client client;
    world.handle = echo;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 5\r\n\r\nhello");
    client_expect(&world, &client, "\r\n\r\nhello", 1);
    ck_assert_ptr_nonnull(strstr(client.text, "HTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(client.text, "content-type: text/plain\r\n"));
    ck_assert_ptr_nonnull(strstr(client.text, "Content-Length: 5\r\n"));

    const struct edge_http_request *request = last(EDGE_IN_HTTP_OPEN)->http;
    ck_assert_uint_eq(last(EDGE_IN_HTTP_OPEN)->id % 2, 1);
    ck_assert(mn_span_is(request->method, "POST"));
    ck_assert(mn_span_is(request->target, "/mcp?a=%20b"));
    ck_assert(mn_span_is(request->address, "127.0.0.1"));
    ck_assert(request->is_loopback);
    ck_assert_int_eq(request->listener, EDGE_LISTENER_HTTP);
    ck_assert_uint_eq(request->headers_count, 3);
    ck_assert(mn_span_is(request->headers[1].name, "x-some-name"));
    ck_assert(mn_span_is(request->headers[1].value, "Some Value"));
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_BODY, 0), 1);
    client_done(&client);
}
END_TEST

START_TEST(connection_is_kept_and_ids_are_not_reused)
{
    struct client client;
    world.handle = echo;
    client_connect(&client, address);
    for (uint32_t i = 1; i <= 5; i++) {
        client_send(&world, &client, POST_HEAD "Content-Length: 2\r\n\r\nab");
        client_expect(&world, &client, "\r\n\r\nab", i);
    }
    for (uint32_t i = 1; i < 5; i++)
        ck_assert_uint_lt(world_find(&world, EDGE_IN_HTTP_OPEN, 0, i)->id,
                          world_find(&world, EDGE_IN_HTTP_OPEN, 0, i + 1)->id);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_GONE, 0), 0);
    client_done(&client);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    struct client client;
    world.handle = echo;
    client_connect(&client, address);
    client_send(&world, &client,
                POST_HEAD "Content-Length: 3\r\n\r\none" GET POST_HEAD
                          "Content-Length: 3\r\n\r\ntwo" POST_HEAD
                          "Transfer-Encoding: chunked\r\n\r\n2\r\nth\r\n3\r\nree\r\n0\r\n\r\n");
    client_expect(&world, &client, "\r\n\r\nthree", 1);
    ck_assert_uint_eq(client_times(&client, "HTTP/1.1 200 OK"), 4);
    ck_assert(strstr(client.text, "one") < strstr(client.text, "two"));
    ck_assert(strstr(client.text, "two") < strstr(client.text, "three"));
    ck_assert_ptr_null(strstr(client.text, "Connection: close"));
    client_done(&client);
}
END_TEST

/* The machine answers a while after the request, out of another turn. */
START_TEST(late_answers_find_their_clients)
{
    struct client clients[8];
    for (uint32_t i = 0; i < 8; i++) {
        client_connect(&clients[i], address);
        client_send(&world, &clients[i], POST_HEAD "Content-Length: 1\r\n\r\n");
        client_send(&world, &clients[i], (char[]){(char)('a' + i), '\0'});
        world_wait(&world, EDGE_IN_HTTP_BODY, 0, i + 1);
    }
    world_idle(&world, 150); /* long enough for the clients to be watched */
    for (uint32_t i = 8; i-- > 0;) {
        const struct edge_input *body = world_find(&world, EDGE_IN_HTTP_BODY, 0, i + 1);
        char text[] = {'<', (char)body->bytes.data[0], '>', '\0'};
        world_http_answer(&world, body->id, 200, text);
    }
    for (uint32_t i = 0; i < 8; i++) {
        char text[] = {'<', (char)('a' + i), '>', '\0'};
        client_expect(&world, &clients[i], text, 1);
        client_send(&world, &clients[i], GET); /* and goes on */
    }
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 16);
    for (uint32_t i = 0; i < 8; i++)
        client_done(&clients[i]);
}
END_TEST

START_TEST(request_without_body_still_ends)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    const struct edge_input *body = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1);
    ck_assert(body->is_last);
    ck_assert_uint_eq(body->bytes.size, 0);
    client_done(&client);
}
END_TEST

START_TEST(large_body_comes_in_parts_and_whole)
{
    enum { SIZE = 3 * 1024 * 1024 };
    struct client client;
    char *bytes = malloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)('a' + i % 23);
    bytes[SIZE] = '\0';
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 3145728\r\n\r\n");
    client_send_bytes(&world, &client, bytes, SIZE);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1)->id;
    while (!last(EDGE_IN_HTTP_BODY)->is_last)
        world_wait(&world, EDGE_IN_HTTP_BODY, 0, world_count(&world, EDGE_IN_HTTP_BODY, 0) + 1);
    ck_assert_str_eq(world_text(&world, EDGE_IN_HTTP_BODY, id, 0), bytes);
    ck_assert_uint_gt(world_count(&world, EDGE_IN_HTTP_BODY, 0), 1);
    free(bytes);
    client_done(&client);
}
END_TEST

static size_t body_received(void)
{
    size_t size = 0;
    for (uint32_t i = 1; i <= world_count(&world, EDGE_IN_HTTP_BODY, 0); i++)
        size += world_find(&world, EDGE_IN_HTTP_BODY, 0, i)->bytes.size;
    return size;
}

static void pause_at_open(struct world *w, const struct edge_input *input)
{
    if (input->type == EDGE_IN_HTTP_OPEN) world_do_flag(w, EDGE_OUT_HTTP_PAUSE, input->id, true);
}

START_TEST(paused_body_waits_outside)
{
    struct client client;
    char bytes[1000];
    memset(bytes, 'y', sizeof bytes);
    world.handle = pause_at_open;
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
    ck_assert(last(EDGE_IN_HTTP_BODY)->is_last);
    client_done(&client);
}
END_TEST

START_TEST(stream_goes_out_as_it_comes)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 200, "text/event-stream", true);
    client_expect(&world, &client, "text/event-stream\r\n", 1);
    client_expect(&world, &client, "\r\n\r\n", 1); /* the head is there before any event */
    for (uint32_t i = 1; i <= 3; i++) {
        world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "data: event\n\n", false);
        client_expect(&world, &client, "data: event\n\n", i);
    }
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, NULL, true);
    client_expect(&world, &client, "\r\n0\r\n\r\n", 1);
    client_send(&world, &client, GET); /* the connection is kept */
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 2);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_GONE, 0), 0);
    client_done(&client);
}
END_TEST

START_TEST(parts_without_stream_get_a_length)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, id, 404, "text/plain", false);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "not ", false);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "here", true);
    client_expect(&world, &client, "\r\n\r\nnot here", 1);
    ck_assert_ptr_nonnull(strstr(client.text, "HTTP/1.1 404 Not Found\r\n"));
    ck_assert_ptr_nonnull(strstr(client.text, "Content-Length: 8\r\n"));
    client_done(&client);
}
END_TEST

START_TEST(empty_answer_is_one)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_do(&world, &(struct edge_output){.type = EDGE_OUT_HTTP_HEAD, .id = id, .code = 202});
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, NULL, true);
    client_expect(&world, &client, "HTTP/1.1 202 Accepted\r\n", 1);
    client_expect(&world, &client, "Content-Length: 0\r\n", 1);
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
    tear_down();
    start(&config);
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

static void refuse(struct world *w, const struct edge_input *input)
{
    if (input->type == EDGE_IN_HTTP_OPEN) world_http_answer(w, input->id, 413, "too big");
}

START_TEST(early_refusal_of_a_large_body_reaches_the_client)
{
    struct client client;
    world.handle = refuse;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 99999999\r\n\r\n");
    client_expect(&world, &client, "\r\n\r\ntoo big", 1);
    client_expect_closed(&world, &client);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_BODY, 0), 0);
    client_done(&client);
}
END_TEST

START_TEST(early_refusal_of_a_small_body_keeps_the_connection)
{
    struct client client;
    world.handle = refuse;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Content-Length: 4\r\n\r\nbo");
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1);
    client_send(&world, &client, "dy" GET);
    client_expect(&world, &client, "\r\n\r\ntoo big", 2);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_BODY, 0), 0);
    client_done(&client);
}
END_TEST

START_TEST(too_large_head_is_refused_here)
{
    struct client client;
    char name[4097];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    world.handle = echo;
    for (int lines = 2; lines <= 4; lines += 2) { /* over our bound; over libmicrohttpd's memory */
        client_connect(&client, address);
        client_send(&world, &client, "GET / HTTP/1.1\r\nHost: x\r\n");
        for (int i = 0; i < lines; i++) {
            client_send(&world, &client, "X: ");
            client_send(&world, &client, name);
            client_send(&world, &client, "\r\n");
        }
        client_send(&world, &client, "\r\n");
        client_expect(&world, &client, "HTTP/1.1 431 ", 1);
        client_done(&client);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
}
END_TEST

/* The largest head, in few lines; and the most lines, of a usual size. */
START_TEST(largest_heads_are_served)
{
    static const struct {
        int lines, size;
    } heads[] = {{16, 496}, {HTTP_HEADERS_MAX - 2, 48}};
    struct client client;
    char line[512];

    world.handle = echo;
    client_connect(&client, address);
    client_send(&world, &client, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < heads[_i].lines; i++) {
        snprintf(line, sizeof line, "X-%02d: %0*d\r\n", i, heads[_i].size, 0);
        client_send(&world, &client, line);
    }
    client_send(&world, &client, "\r\n");
    client_expect(&world, &client, "HTTP/1.1 200 ", 1);
    client_done(&client);
}
END_TEST

START_TEST(too_many_headers_are_refused_here)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        client_send(&world, &client, "X: y\r\n");
    client_send(&world, &client, "\r\n");
    client_expect(&world, &client, "HTTP/1.1 431 ", 1);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
    client_done(&client);
}
END_TEST

/* Whoever stands before us may have taken the other one. */
START_TEST(a_request_of_uncertain_host_or_length_ends_its_connection)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 30\r\n\r\n{}",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client client;
        client_connect(&client, address);
        client_send(&world, &client, requests[i]);
        client_expect(&world, &client, "HTTP/1.1 400 ", 1);
        client_expect_closed(&world, &client);
        client_done(&client);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
}
END_TEST

START_TEST(garbage_opens_nothing)
{
    static const char *const garbage[] = {
        "\r\n\r\n\r\n\x16\x03\x01 hello\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", /* no Host */
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct client client;
        client_connect(&client, address);
        client_send(&world, &client, garbage[i]);
        shutdown(client.fd, SHUT_WR);
        client_expect_closed(&world, &client);
        ck_assert_ptr_null(strstr(client.text, " 200 "));
        client_done(&client);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
    static const char request[] =
        POST_HEAD "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: t\r\n\r\n";
    struct client client;
    world.handle = echo;
    client_connect(&client, address);
    for (size_t i = 0; i + 1 < sizeof request; i++) {
        client_send_bytes(&world, &client, request + i, 1);
        world_idle(&world, 1);
    }
    client_expect(&world, &client, "\r\n\r\nabc", 1);
    client_send(&world, &client, GET);
    client_expect(&world, &client, "HTTP/1.1 200 OK", 2);
    client_done(&client);
}
END_TEST

/* More than is read at once comes while the first answer is awaited. */
START_TEST(a_long_pipeline_waits_outside)
{
    enum { COUNT = 4, SIZE = 20000 };
    struct client client;
    char *body = malloc(SIZE + 1);
    memset(body, 'p', SIZE);
    body[SIZE] = '\0';
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world.handle = echo;
    for (int i = 0; i < COUNT; i++) {
        client_send(&world, &client, POST_HEAD "Content-Length: 20000\r\n\r\n");
        client_send_bytes(&world, &client, body, SIZE);
    }
    world_idle(&world, 50);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 1);
    world_http_answer(&world, id, 200, "first");
    client_expect(&world, &client, "HTTP/1.1 200 OK", COUNT + 1);
    client_expect(&world, &client, body, COUNT);
    free(body);
    client_done(&client);
}
END_TEST

START_TEST(old_clients_get_what_they_know)
{
    struct client client;
    world.handle = echo;
    client_connect(&client, address);
    client_send(&world, &client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    client_expect(&world, &client, "Connection: Keep-Alive\r\n", 1);
    world.handle = NULL;
    client_send(&world, &client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 2)->id;
    world_http_head(&world, id, 200, "text/plain", true);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "no chunk", false);
    client_expect(&world, &client, "\r\n\r\nno chunk", 1);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "s", true);
    client_expect_closed(&world, &client); /* which is the end of the body */
    ck_assert_uint_eq(client_times(&client, "\r\n\r\nno chunks"), 1);
    ck_assert_ptr_null(strstr(client.text, "chunked"));
    client_done(&client);
}
END_TEST

START_TEST(head_has_the_length_but_no_body)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_answer(&world, id, 200, "never sent");
    client_expect(&world, &client, "Content-Length: 10\r\n", 1);
    world.handle = echo;
    client_send(&world, &client, GET);
    client_expect(&world, &client, "HTTP/1.1 200 OK", 2);
    ck_assert_ptr_null(strstr(client.text, "never sent"));
    client_done(&client);
}
END_TEST

START_TEST(who_expects_to_continue_is_told_so)
{
    struct client client;
    world.handle = echo;
    client_connect(&client, address);
    client_send(&world, &client, POST_HEAD "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    client_expect(&world, &client, "HTTP/1.1 100 Continue\r\n\r\n", 1);
    client_send(&world, &client, "yes");
    client_expect(&world, &client, "\r\n\r\nyes", 1);
    client_done(&client);
}
END_TEST

START_TEST(who_sends_no_more_still_gets_an_answer)
{
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    shutdown(client.fd, SHUT_WR);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_idle(&world, 20);
    world_http_answer(&world, id, 200, "here");
    client_expect(&world, &client, "\r\n\r\nhere", 1);
    client_expect_closed(&world, &client);
    client_done(&client);
}
END_TEST

START_TEST(the_connection_ends_when_the_client_says_so)
{
    struct client client;
    world.handle = echo;
    client_connect(&client, address);
    client_send(&world, &client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n" GET);
    client_expect(&world, &client, "Connection: close\r\n", 1);
    client_expect_closed(&world, &client);
    ck_assert_uint_eq(client_times(&client, "HTTP/1.1 200 OK"), 1);
    client_done(&client);
}
END_TEST

/* What others may read in another way opens nothing, and the connection ends. */
START_TEST(doubtful_requests_are_refused)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        "Content-Length: 5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client client;
        client_connect(&client, address);
        client_send(&world, &client, requests[i]);
        client_expect(&world, &client, "HTTP/1.1 400 Bad Request\r\n", 1);
        client_expect(&world, &client, "Connection: close\r\n", 1);
        client_expect_closed(&world, &client);
        client_done(&client);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
}
END_TEST

START_TEST(broken_chunks_end_the_connection)
{
    static const char *const bodies[] = {"x\r\n", "3\nabc", "2\r\nabc\r\n", "\r\n",
                                         "1234567890abcdef0\r\n"};
    for (uint32_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct client client;
        client_connect(&client, address);
        client_send(&world, &client, POST_HEAD "Transfer-Encoding: chunked\r\n\r\n");
        uint64_t id = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, i + 1)->id;
        client_send(&world, &client, bodies[i]);
        world_wait(&world, EDGE_IN_HTTP_GONE, id, 1);
        client_expect_closed(&world, &client);
        client_done(&client);
    }
}
END_TEST

/* The machine must not be able to break a head. */
START_TEST(headers_that_would_end_their_line_are_left_out)
{
    static const struct edge_header headers[] = {
        {{(const uint8_t *)"x-good", 6}, {(const uint8_t *)"1", 1}},
        {{(const uint8_t *)"x-bad", 5}, {(const uint8_t *)"1\r\nx-worse: 2", 13}},
        {{(const uint8_t *)"content-length", 14}, {(const uint8_t *)"99", 2}},
    };
    struct client client;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    uint64_t id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_do(&world, &(struct edge_output){.type = EDGE_OUT_HTTP_HEAD,
                                           .id = id,
                                           .code = 200,
                                           .headers = headers,
                                           .headers_count = 3});
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, id, "ok", true);
    client_expect(&world, &client, "\r\n\r\nok", 1);
    ck_assert_ptr_nonnull(strstr(client.text, "x-good: 1\r\n"));
    ck_assert_ptr_null(strstr(client.text, "x-worse"));
    ck_assert_ptr_null(strstr(client.text, "99"));
    client_done(&client);
}
END_TEST

START_TEST(slow_head_is_cut)
{
    struct client silent, slow;
    struct http_config config;
    tear_down();
    http_config_default(&config);
    config.head_timeout = 100 * MN_MS;
    start(&config);
    client_connect(&silent, address);
    client_connect(&slow, address);
    client_send(&world, &slow, "GET / HTTP/1.1\r\nHo");
    client_expect_closed(&world, &silent);
    client_expect_closed(&world, &slow);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
    client_done(&silent);
    client_done(&slow);
}
END_TEST

START_TEST(slow_body_is_cut_but_not_a_paused_one)
{
    struct client slow, paused;
    struct http_config config;
    tear_down();
    http_config_default(&config);
    config.head_timeout = 50 * MN_MS;
    start(&config);
    client_connect(&slow, address);
    client_send(&world, &slow, POST_HEAD "Content-Length: 100\r\n\r\nx");
    uint64_t slow_id = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world.handle = pause_at_open;
    client_connect(&paused, address);
    client_send(&world, &paused, POST_HEAD "Content-Length: 100\r\n\r\nx");
    uint64_t paused_id = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 2)->id;
    world_wait(&world, EDGE_IN_HTTP_GONE, slow_id, 1);
    world_idle(&world, 100);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_GONE, paused_id), 0);
    client_done(&slow);
    client_done(&paused);
}
END_TEST

START_TEST(idle_connection_is_closed)
{
    struct client client;
    struct http_config config;
    tear_down();
    http_config_default(&config);
    config.idle_timeout = 100 * MN_MS;
    config.head_timeout = 200 * MN_MS;
    start(&config);
    world.handle = echo;
    client_connect(&client, address);
    client_send(&world, &client, GET);
    client_expect(&world, &client, "HTTP/1.1 200 OK", 1);
    client_expect_closed(&world, &client);
    client_done(&client);
}
END_TEST

START_TEST(connections_over_the_limit_are_closed)
{
    struct client clients[4];
    struct http_config config;
    tear_down();
    http_config_default(&config);
    config.connections_max = 3;
    start(&config);
    world.handle = echo;
    for (int i = 0; i < 4; i++)
        client_connect(&clients[i], address);
    client_expect_closed(&world, &clients[3]);
    for (int i = 0; i < 3; i++) {
        client_send(&world, &clients[i], GET);
        client_expect(&world, &clients[i], "HTTP/1.1 200 OK", 1);
    }
    client_done(&clients[0]);
    world_idle(&world, 20);
    client_done(&clients[3]);
    client_connect(&clients[3], address); /* there is room again */
    client_send(&world, &clients[3], GET);
    client_expect(&world, &clients[3], "HTTP/1.1 200 OK", 1);
    for (int i = 1; i < 4; i++)
        client_done(&clients[i]);
}
END_TEST

/* The machine's own address beyond loopback; empty: it has none. */
static void find_own_address(char text[64])
{
    struct ifaddrs *all = NULL;
    text[0] = '\0';
    ck_assert_int_eq(getifaddrs(&all), 0);
    for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next) {
        if (one->ifa_addr == NULL || one->ifa_addr->sa_family != AF_INET) continue;
        if ((one->ifa_flags & (IFF_LOOPBACK | IFF_UP)) != IFF_UP) continue;
        const struct sockaddr_in *at = (const struct sockaddr_in *)(const void *)one->ifa_addr;
        inet_ntop(AF_INET, &at->sin_addr, text, 64);
    }
    freeifaddrs(all);
}

START_TEST(connections_of_one_address_are_limited_beyond_loopback)
{
    struct client clients[4];
    struct http_config config;
    const char *error = NULL;
    char own[64], bound[HTTP_ADDRESS_SIZE], listen_at[80];
    find_own_address(own);
    if (own[0] == '\0') {
        printf("SKIPPED: no address beyond loopback on this machine\n");
        return;
    }
    tear_down();
    http_config_default(&config);
    config.connections_per_address = 2;
    start(&config);
    snprintf(listen_at, sizeof listen_at, "%s:0", own);
    ck_assert_int_eq(http_listen(http, listen_at, bound, &error), MN_OK);
    for (int i = 0; i < 3; i++)
        client_connect(&clients[i], bound);
    client_expect_closed(&world, &clients[2]);
    client_send(&world, &clients[0], GET);
    const struct edge_http_request *request = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1)->http;
    ck_assert_uint_gt(request->address.size, 0); /* of our addresses, the one the kernel chose */
    ck_assert(!request->is_loopback);
    client_done(&clients[1]);
    world_idle(&world, 20);
    client_connect(&clients[3], bound); /* there is room again */
    client_send(&world, &clients[3], GET);
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 2);
    client_done(&clients[0]);
    client_done(&clients[2]);
    client_done(&clients[3]);
}
END_TEST

START_TEST(accepting_goes_on_after_descriptors_ran_out)
{
    struct rlimit before, low;
    struct client client;
    int fillers[256], count = 0;
    world.handle = echo;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 200;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    client_connect(&client, address); /* in the backlog: nothing has run yet */
    while (count < 256 && (fillers[count] = dup(0)) >= 0)
        count++;
    world_idle(&world, 20);
    for (int i = 0; i < count; i++)
        close(fillers[i]);
    client_send(&world, &client, GET);
    client_expect(&world, &client, "HTTP/1.1 200 OK", 1);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    client_done(&client);
}
END_TEST

START_TEST(admin_socket_is_private_and_names_its_user)
{
    struct client client;
    struct stat info;
    const char *error = NULL;
    char folder[] = "/tmp/meshnode-test-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    ck_assert_int_eq(http_listen_admin(http, path, -1, &error), MN_OK);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0600);

    client_connect_unix(&client, path);
    client_send(&world, &client, GET);
    const struct edge_http_request *request = world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 1)->http;
    ck_assert_int_eq(request->listener, EDGE_LISTENER_ADMIN);
    ck_assert_uint_eq(request->uid, getuid());
    ck_assert_uint_eq(request->address.size, 0);

    ck_assert_int_eq(http_listen_admin(http, path, -1, &error), MN_EXISTS);
    http_close_listeners(http);
    ck_assert_int_ne(stat(path, &info), 0); /* removed */
    rmdir(folder);
    client_done(&client);
}
END_TEST

START_TEST(the_last_places_are_the_administrators)
{
    struct client clients[HTTP_ADMIN_SHARE];
    struct http_config config;
    const char *error = NULL;
    char folder[] = "/tmp/meshnode-test-XXXXXX", path[64];
    tear_down();
    http_config_default(&config);
    config.connections_max = HTTP_ADMIN_SHARE;
    start(&config);
    world.handle = echo;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    ck_assert_int_eq(http_listen_admin(http, path, -1, &error), MN_OK);
    for (int i = 0; i < HTTP_ADMIN_SHARE; i++)
        client_connect(&clients[i], address);
    client_expect_closed(&world, &clients[HTTP_ADMIN_SHARE - 1]);
    client_done(&clients[HTTP_ADMIN_SHARE - 1]);
    client_connect_unix(&clients[HTTP_ADMIN_SHARE - 1], path);
    client_send(&world, &clients[HTTP_ADMIN_SHARE - 1], GET);
    client_expect(&world, &clients[HTTP_ADMIN_SHARE - 1], "HTTP/1.1 200 OK", 1);
    for (int i = 0; i < HTTP_ADMIN_SHARE; i++)
        client_done(&clients[i]);
    http_close_listeners(http);
    rmdir(folder);
}
END_TEST

START_TEST(stale_admin_socket_is_replaced)
{
    const char *error = NULL;
    struct stat info;
    char folder[] = "/tmp/meshnode-test-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    /* What a killed process leaves: a bound socket's file without the socket. */
    struct http_config config;
    struct world other;
    struct http *killed;
    world_init(&other);
    http_config_default(&config);
    killed = http_new(other.io, &config);
    ck_assert_int_eq(http_listen_admin(killed, path, -1, &error), MN_OK);
    char kept[80];
    snprintf(kept, sizeof kept, "%s.kept", path);
    ck_assert_int_eq(link(path, kept), 0);
    http_close(killed);
    world_done(&other);
    ck_assert_int_eq(rename(kept, path), 0);
    ck_assert_int_eq(http_listen_admin(http, path, (int64_t)getgid(), &error), MN_OK);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0660);
    http_close_listeners(http);
    rmdir(folder);
}
END_TEST

START_TEST(listening_fails_with_a_reason)
{
    char bound[HTTP_ADDRESS_SIZE];
    const char *error = NULL;
    ck_assert_int_eq(http_listen(http, address, bound, &error), MN_IO);
    ck_assert_str_eq(error, "address already in use");
    ck_assert_int_eq(http_listen(http, "no port", bound, &error), MN_CONFIG);
    ck_assert_int_eq(http_listen(http, "300.0.0.1:1", bound, &error), MN_IO);
    ck_assert_int_eq(http_listen_admin(http, "/no/such/folder/sock", -1, &error), MN_IO);
    ck_assert_str_eq(error, "no such file or directory");
}
END_TEST

START_TEST(closing_with_everything_under_way_leaks_nothing)
{
    struct client clients[4];
    for (int i = 0; i < 4; i++)
        client_connect(&clients[i], address);
    client_send(&world, &clients[0], "GET / HT");
    client_send(&world, &clients[1], POST_HEAD "Content-Length: 9\r\n\r\nx");
    client_send(&world, &clients[2], GET);
    client_send(&world, &clients[3], GET);
    world_wait(&world, EDGE_IN_HTTP_OPEN, 0, 3);
    world_wait(&world, EDGE_IN_HTTP_BODY, 0, 3);
    uint64_t id = last(EDGE_IN_HTTP_BODY)->id;
    world_http_head(&world, id, 200, "text/plain", true);
    for (int i = 0; i < 100; i++)
        world_do_bytes(&world, EDGE_OUT_HTTP_BODY, id, 100000, false);
    world_idle(&world, 150);
    tear_down();
    set_up();
    for (int i = 0; i < 4; i++)
        client_done(&clients[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, request_comes_with_head_and_body);
    tcase_add_test(all, connection_is_kept_and_ids_are_not_reused);
    tcase_add_test(all, pipelined_requests_are_answered_in_order);
    tcase_add_test(all, late_answers_find_their_clients);
    tcase_add_test(all, request_without_body_still_ends);
    tcase_add_test(all, large_body_comes_in_parts_and_whole);
    tcase_add_test(all, paused_body_waits_outside);
    tcase_add_test(all, stream_goes_out_as_it_comes);
    tcase_add_test(all, parts_without_stream_get_a_length);
    tcase_add_loop_test(all, part_of_a_buffer_counts_as_long_as_the_other, 0, 2);
    tcase_add_test(all, empty_answer_is_one);
    tcase_add_test(all, client_that_leaves_while_it_waits_is_gone);
    tcase_add_test(all, client_that_leaves_within_its_body_is_gone);
    tcase_add_test(all, client_that_leaves_an_idle_stream_is_gone);
    tcase_add_test(all, abort_cuts_without_gone);
    tcase_add_test(all, slow_reader_is_told_of_once);
    tcase_add_test(all, unread_answers_have_one_budget);
    tcase_add_test(all, reader_that_keeps_up_is_told_of_too);
    tcase_add_test(all, overfull_stream_is_cut);
    tcase_add_test(all, early_refusal_of_a_large_body_reaches_the_client);
    tcase_add_test(all, early_refusal_of_a_small_body_keeps_the_connection);
    tcase_add_test(all, too_large_head_is_refused_here);
    tcase_add_loop_test(all, largest_heads_are_served, 0, 2);
    tcase_add_test(all, too_many_headers_are_refused_here);
    tcase_add_test(all, a_request_of_uncertain_host_or_length_ends_its_connection);
    tcase_add_test(all, garbage_opens_nothing);
    tcase_add_test(all, a_request_may_come_byte_by_byte);
    tcase_add_test(all, a_long_pipeline_waits_outside);
    tcase_add_test(all, old_clients_get_what_they_know);
    tcase_add_test(all, head_has_the_length_but_no_body);
    tcase_add_test(all, who_expects_to_continue_is_told_so);
    tcase_add_test(all, who_sends_no_more_still_gets_an_answer);
    tcase_add_test(all, the_connection_ends_when_the_client_says_so);
    tcase_add_test(all, doubtful_requests_are_refused);
    tcase_add_test(all, broken_chunks_end_the_connection);
    tcase_add_test(all, headers_that_would_end_their_line_are_left_out);
    tcase_add_test(all, slow_head_is_cut);
    tcase_add_test(all, slow_body_is_cut_but_not_a_paused_one);
    tcase_add_test(all, idle_connection_is_closed);
    tcase_add_test(all, connections_over_the_limit_are_closed);
    tcase_add_test(all, the_last_places_are_the_administrators);
    tcase_add_test(all, connections_of_one_address_are_limited_beyond_loopback);
    tcase_add_test(all, accepting_goes_on_after_descriptors_ran_out);
    tcase_add_test(all, admin_socket_is_private_and_names_its_user);
    tcase_add_test(all, stale_admin_socket_is_replaced);
    tcase_add_test(all, listening_fails_with_a_reason);
    tcase_add_test(all, closing_with_everything_under_way_leaks_nothing);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
