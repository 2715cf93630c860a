/* The HTTP client against our own server, and against servers that misbehave. Each test runs twice:
 * over plain connections, and through libcurl (which a URL with user information selects). */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/io/fetch.h"
#include "node/io/http.h"
#include "tests/io/world.h"
#include "tests/suite.h"

static struct world world;
static struct http *http;
static struct fetch *fetch;
static char address[HTTP_ADDRESS_SIZE];
static uint64_t next_id;

static void carry_out(void *wrapper, const struct edge_output *output)
{
    (void)wrapper;
    if (output->type >= EDGE_OUT_FETCH_START && output->type <= EDGE_OUT_FETCH_CANCEL)
        fetch_do(fetch, output);
    else
        http_do(http, output);
}

static void start(const struct fetch_config *config)
{
    const char *error = NULL;
    struct http_config http_config;
    world_init(&world);
    http_config_default(&http_config);
    http = http_new(world.io, &http_config);
    fetch = fetch_new(world.io, config);
    world.carry_out = carry_out;
    ck_assert_int_eq(http_listen(http, "127.0.0.1:0", address, &error), MN_OK);
    next_id = 2;
}

static void set_up(void)
{
    struct fetch_config config;
    fetch_config_default(&config);
    start(&config);
}

static void tear_down(void)
{
    fetch_close(fetch);
    http_close(http);
    world_done(&world);
}

/* Loop index 0: plain; 1: libcurl. */
static const char *url_of(int way, const char *at, const char *path)
{
    return mn_arena_format(&world.arena, "http://%s%s%s", way == 1 ? "user@" : "", at, path);
}

static uint64_t fetch_url(const char *method, const char *url, const struct edge_header *headers,
                          uint32_t headers_count, struct mn_buf *body)
{
    const struct edge_fetch what = {
        .method = mn_span_str(method),
        .url = mn_span_str(url),
        .headers = headers,
        .headers_count = headers_count,
        .body = body,
        .connect_timeout = 2 * MN_SEC,
    };
    uint64_t id = next_id;
    next_id += 2;
    world_do(&world,
             &(struct edge_output){.type = EDGE_OUT_FETCH_START, .id = id, .fetch_start = &what});
    return id;
}

static uint64_t get(int way, const char *path)
{
    return fetch_url("GET", url_of(way, address, path), NULL, 0, NULL);
}

static uint64_t post(int way, const char *at, const char *text)
{
    struct mn_buf *body = mn_buf_copy(mn_span_str(text));
    uint64_t id = fetch_url("POST", url_of(way, at, "/mcp"), NULL, 0, body);
    mn_buf_unref(body);
    return id;
}

static const struct edge_input *done(uint64_t id)
{
    return world_wait(&world, EDGE_IN_FETCH_DONE, id, 1);
}

static const char *body_of(uint64_t id)
{
    return world_text(&world, EDGE_IN_FETCH_BODY, id, 0);
}

static struct mn_span header_of(const struct edge_header *headers, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (mn_span_is(headers[i].name, name)) return headers[i].value;
    }
    return mn_span(NULL, 0);
}

static void echo(struct world *w, const struct edge_input *input)
{
    if (input->type != EDGE_IN_HTTP_BODY || !input->is_last) return;
    world_http_answer(w, input->id, 200, world_text(w, EDGE_IN_HTTP_BODY, input->id, 0));
}

START_TEST(request_and_response_are_whole)
{
    const struct edge_header headers[] = {{mn_span_str("x-some"), mn_span_str("Value, 1")},
                                          {mn_span_str("content-type"), mn_span_str("a/b")},
                                          {mn_span_str("x-empty"), mn_span_str("")}};
    struct mn_buf *body = mn_buf_copy(mn_span_str("hello"));
    world.handle = echo;
    uint64_t id = fetch_url("POST", url_of(_i, address, "/a%20b?c=%64#f"), headers, 3, body);
    mn_buf_unref(body);
    ck_assert_int_eq(done(id)->status, MN_OK);
    const struct edge_input *head = world_find(&world, EDGE_IN_FETCH_HEAD, id, 1);
    ck_assert_uint_eq(head->code, 200);
    ck_assert(
        mn_span_is(header_of(head->headers, head->headers_count, "content-type"), "text/plain"));
    ck_assert(mn_span_is(header_of(head->headers, head->headers_count, "content-length"), "5"));
    ck_assert_str_eq(body_of(id), "hello");

    const struct edge_http_request *request = world_find(&world, EDGE_IN_HTTP_OPEN, 0, 1)->http;
    ck_assert(mn_span_is(request->method, "POST"));
    ck_assert(mn_span_is(request->target, "/a%20b?c=%64"));
    const struct edge_header *got = request->headers;
    uint32_t count = request->headers_count;
    ck_assert(mn_span_is(header_of(got, count, "x-some"), "Value, 1"));
    ck_assert(mn_span_is(header_of(got, count, "content-type"), "a/b"));
    ck_assert(mn_span_is(header_of(got, count, "content-length"), "5"));
    ck_assert_ptr_nonnull(header_of(got, count, "x-empty").data);
    ck_assert(mn_span_is(header_of(got, count, "host"), address));
    ck_assert_ptr_null(header_of(got, count, "accept").data);
    ck_assert_ptr_null(header_of(got, count, "expect").data);
    ck_assert_ptr_null(header_of(got, count, "user-agent").data);
}
END_TEST

START_TEST(methods_without_body)
{
    world.handle = echo;
    static const char *const methods[] = {"GET", "DELETE", "HEAD", "POST"};
    for (size_t i = 0; i < 4; i++) {
        uint64_t id = fetch_url(methods[i], url_of(_i, address, "/"), NULL, 0, NULL);
        ck_assert_int_eq(done(id)->status, MN_OK);
        ck_assert(mn_span_is(
            world_find(&world, EDGE_IN_HTTP_OPEN, 0, (uint32_t)i + 1)->http->method, methods[i]));
        ck_assert_str_eq(body_of(id), "");
    }
}
END_TEST

/* The kernel's own table says how many connections there are. */
START_TEST(connections_are_kept)
{
    world.handle = echo;
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(done(post(_i, address, "again"))->status, MN_OK);
    char command[128];
    snprintf(command, sizeof command, "ss -tn state established dport = :%s | tail -n +2 | wc -l",
             strrchr(address, ':') + 1);
    FILE *pipe = popen(command, "r");
    int count = -1;
    ck_assert_int_eq(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    ck_assert_int_eq(count, 1);
}
END_TEST

START_TEST(many_at_once_do_not_mix)
{
    uint64_t ids[50];
    world.handle = echo;
    for (uint32_t i = 0; i < 50; i++)
        ids[i] = post(_i, address, mn_arena_format(&world.arena, "number %u", i));
    for (uint32_t i = 0; i < 50; i++) {
        ck_assert_int_eq(done(ids[i])->status, MN_OK);
        ck_assert_str_eq(body_of(ids[i]), mn_arena_format(&world.arena, "number %u", i));
    }
}
END_TEST

START_TEST(large_bodies_both_ways)
{
    enum { SIZE = 2 * 1024 * 1024 };
    char *text = malloc(SIZE + 1);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)('a' + i % 26);
    text[SIZE] = '\0';
    world.handle = echo;
    uint64_t id = post(_i, address, text);
    ck_assert_int_eq(done(id)->status, MN_OK);
    ck_assert_str_eq(body_of(id), text);
    free(text);
}
END_TEST

START_TEST(stream_comes_as_it_is_sent)
{
    uint64_t id = get(_i, "/");
    uint64_t exchange = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, exchange, 200, "text/event-stream", true);
    world_wait(&world, EDGE_IN_FETCH_HEAD, id, 1); /* before any event */
    for (uint32_t i = 1; i <= 3; i++) {
        world_do_buf(&world, EDGE_OUT_HTTP_BODY, exchange, "data: x\n\n", false);
        world_wait(&world, EDGE_IN_FETCH_BODY, id, i);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_FETCH_DONE, id), 0);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, exchange, NULL, true);
    ck_assert_int_eq(done(id)->status, MN_OK);
    ck_assert_str_eq(body_of(id), "data: x\n\ndata: x\n\ndata: x\n\n");
}
END_TEST

START_TEST(cancel_is_silent_and_the_server_sees_it)
{
    uint64_t waiting = get(_i, "/"), streaming = get(_i, "/");
    uint64_t first = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    uint64_t second = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 2)->id;
    world_http_head(&world, second, 200, "text/plain", true);
    world_wait(&world, EDGE_IN_FETCH_HEAD, 0, 1);
    world_do_flag(&world, EDGE_OUT_FETCH_CANCEL, waiting, false);
    world_do_flag(&world, EDGE_OUT_FETCH_CANCEL, streaming, false);
    world_wait(&world, EDGE_IN_HTTP_GONE, first, 1);
    world_wait(&world, EDGE_IN_HTTP_GONE, second, 1);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_FETCH_DONE, 0), 0);
    world_do_flag(&world, EDGE_OUT_FETCH_CANCEL, waiting, false); /* twice: ignored */
}
END_TEST

static void cancel_at_head(struct world *w, const struct edge_input *input)
{
    echo(w, input);
    if (input->type == EDGE_IN_FETCH_HEAD)
        world_do_flag(w, EDGE_OUT_FETCH_CANCEL, input->id, false);
}

static void cancel_at_body(struct world *w, const struct edge_input *input)
{
    echo(w, input);
    if (input->type == EDGE_IN_FETCH_BODY)
        world_do_flag(w, EDGE_OUT_FETCH_CANCEL, input->id, false);
}

START_TEST(cancel_from_within_an_answer)
{
    world.handle = cancel_at_head;
    uint64_t id = post(_i, address, "x");
    world_wait(&world, EDGE_IN_FETCH_HEAD, id, 1);
    world.handle = cancel_at_body;
    uint64_t next = post(_i, address, "y");
    world_wait(&world, EDGE_IN_FETCH_BODY, next, 1);
    world_idle(&world, 20);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_FETCH_BODY, id), 0);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_FETCH_DONE, 0), 0);
}
END_TEST

/* A new fetch as the answer to DONE takes the connection that has just become free. */
static void chain(struct world *w, const struct edge_input *input)
{
    echo(w, input);
    if (input->type == EDGE_IN_FETCH_DONE && input->id < 20) post(*(int *)w->context, address, "x");
}

START_TEST(start_from_within_an_answer)
{
    world.handle = chain;
    world.context = &_i;
    post(_i, address, "x");
    ck_assert_int_eq(done(20)->status, MN_OK);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_FETCH_DONE, 0), 10);
}
END_TEST

static bool is_writable(struct world *w, void *context)
{
    (void)context;
    return world_count(w, EDGE_IN_HTTP_WRITABLE, 0) > 0;
}

static size_t body_size(uint64_t id)
{
    size_t size = 0;
    for (uint32_t i = 1; world_find(&world, EDGE_IN_FETCH_BODY, id, i) != NULL; i++)
        size += world_find(&world, EDGE_IN_FETCH_BODY, id, i)->bytes.size;
    return size;
}

START_TEST(pause_holds_the_server_back)
{
    enum { PART = 1024 * 1024, PARTS = 20 };
    uint64_t id = get(_i, "/");
    uint64_t exchange = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, exchange, 200, "text/plain", true);
    world_wait(&world, EDGE_IN_FETCH_HEAD, id, 1);
    world_do_flag(&world, EDGE_OUT_FETCH_PAUSE, id, true);
    for (int i = 0; i < PARTS; i++)
        world_do_bytes(&world, EDGE_OUT_HTTP_BODY, exchange, PART, false);
    world_idle(&world, 100);
    ck_assert_uint_le(body_size(id), FETCH_READ_MAX);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_WRITABLE, 0), 0);
    world_do_flag(&world, EDGE_OUT_FETCH_PAUSE, id, false);
    world_run(&world, is_writable, NULL);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, exchange, NULL, true);
    ck_assert_int_eq(done(id)->status, MN_OK);
    ck_assert_uint_eq(body_size(id), (size_t)PART * PARTS);
}
END_TEST

static void pause_each_body(struct world *w, const struct edge_input *input)
{
    if (input->type == EDGE_IN_FETCH_BODY) world_do_flag(w, EDGE_OUT_FETCH_PAUSE, input->id, true);
}

START_TEST(pause_and_go_on_many_times)
{
    world.handle = pause_each_body;
    uint64_t id = get(_i, "/");
    uint64_t exchange = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, exchange, 200, "text/plain", true);
    world_do_bytes(&world, EDGE_OUT_HTTP_BODY, exchange, 3000000, false);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, exchange, NULL, true);
    while (world_count(&world, EDGE_IN_FETCH_DONE, id) == 0) {
        world_idle(&world, 1);
        world_do_flag(&world, EDGE_OUT_FETCH_PAUSE, id, false);
    }
    ck_assert_uint_eq(body_size(id), 3000000);
}
END_TEST

START_TEST(refused_connection_is_unreachable)
{
    char closed[HTTP_ADDRESS_SIZE];
    memcpy(closed, address, sizeof closed);
    http_close_listeners(http);
    const struct edge_input *end = done(post(_i, closed, "x"));
    ck_assert_int_eq(end->status, MN_UNREACHABLE);
    ck_assert_ptr_nonnull(memmem(end->text.data, end->text.size, "connect", 7));
}
END_TEST

START_TEST(unknown_host_is_unreachable)
{
    const struct edge_input *end = done(post(_i, "no-such-host.invalid:1", "x"));
    ck_assert_int_eq(end->status, MN_UNREACHABLE);
    ck_assert_uint_gt(end->text.size, 0);
}
END_TEST

START_TEST(silent_address_times_out)
{
    /* A listener whose backlog is full takes no more: connections hang. */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0), fillers[4];
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, size), 0);
    listen(fd, 0);
    getsockname(fd, (struct sockaddr *)&at, &size);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&at, size);
    }
    char full[32];
    snprintf(full, sizeof full, "127.0.0.1:%u", ntohs(at.sin_port));
    const struct edge_input *end = done(post(_i, full, "x"));
    ck_assert_int_eq(end->status, MN_UNREACHABLE);
    for (int i = 0; i < 4; i++)
        close(fillers[i]);
    close(fd);
}
END_TEST

START_TEST(unusable_requests_are_refused)
{
    const struct edge_header broken = {mn_span_str("x"), mn_span_str("a\r\nevil: 1")};
    static const char *const urls[] = {
        "ftp://127.0.0.1/",        "http://",      "nothing", "http://a b/",
        "http://127.0.0.1:99999/", "https://[::1/"};
    ck_assert_int_eq(done(fetch_url("GET", url_of(_i, address, "/"), &broken, 1, NULL))->status,
                     MN_UNREACHABLE);
    ck_assert_int_eq(done(fetch_url("GET /x", url_of(_i, address, "/"), NULL, 0, NULL))->status,
                     MN_UNREACHABLE);
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        ck_assert_int_eq(done(fetch_url("GET", urls[i], NULL, 0, NULL))->status, MN_UNREACHABLE);
    for (int c = 1; c < 256; c++) { /* RFC 9110, section 5.6.2 */
        const uint8_t name[3] = {'x', (uint8_t)c, 'x'};
        const struct edge_header header = {mn_span(name, 3), mn_span_str("v")};
        bool is_letter_or_digit = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (is_letter_or_digit || strchr("!#$%&'*+-.^_`|~", c) != NULL) continue;
        ck_assert_int_eq(done(fetch_url("GET", url_of(_i, address, "/"), &header, 1, NULL))->status,
                         MN_UNREACHABLE);
    }
    ck_assert_uint_eq(world_count(&world, EDGE_IN_HTTP_OPEN, 0), 0);
}
END_TEST

START_TEST(redirect_is_reported_not_followed)
{
    uint64_t id = get(_i, "/");
    uint64_t exchange = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    const struct edge_header header = {mn_span_str("location"), mn_span_str("http://127.0.0.1:1/")};
    world_do(&world, &(struct edge_output){.type = EDGE_OUT_HTTP_HEAD,
                                           .id = exchange,
                                           .code = 307,
                                           .headers = &header,
                                           .headers_count = 1});
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, exchange, NULL, true);
    ck_assert_int_eq(done(id)->status, MN_OK);
    ck_assert_uint_eq(world_find(&world, EDGE_IN_FETCH_HEAD, id, 1)->code, 307);
}
END_TEST

START_TEST(cut_response_is_closed_not_complete)
{
    uint64_t id = get(_i, "/");
    uint64_t exchange = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, exchange, 200, "text/plain", true);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, exchange, "half", false);
    world_wait(&world, EDGE_IN_FETCH_BODY, id, 1);
    world_do_flag(&world, EDGE_OUT_HTTP_ABORT, exchange, false);
    ck_assert_int_eq(done(id)->status, MN_CLOSED);
}
END_TEST

/* A server of one canned text per connection, after it got a request. */
struct canned {
    uv_tcp_t listener;
    uv_tcp_t conns[8];
    uint32_t conns_count, requests_count;
    const char *text;
    bool closes;
    uv_write_t write;
    char address[32];
    char block[65536];
};

static void canned_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct canned *canned = handle->data;
    (void)size;
    *buf = uv_buf_init(canned->block, sizeof canned->block);
}

static void canned_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct canned *canned = stream->data;
    (void)buf;
    if (size <= 0) return;
    canned->requests_count++;
    uv_buf_t text = uv_buf_init((char *)(uintptr_t)canned->text, (unsigned)strlen(canned->text));
    uv_try_write(stream, &text, 1);
    if (canned->closes) uv_close((uv_handle_t *)stream, NULL);
}

static void canned_accept(uv_stream_t *stream, int status)
{
    struct canned *canned = stream->data;
    uv_tcp_t *conn = &canned->conns[canned->conns_count++];
    ck_assert_int_eq(status, 0);
    uv_tcp_init(stream->loop, conn);
    conn->data = canned;
    uv_accept(stream, (uv_stream_t *)conn);
    uv_read_start((uv_stream_t *)conn, canned_alloc, canned_read);
}

static void canned_start(struct canned *canned, const char *text, bool closes)
{
    struct sockaddr_in at;
    int size = sizeof at;
    *canned = (struct canned){.text = text, .closes = closes};
    uv_ip4_addr("127.0.0.1", 0, &at);
    uv_tcp_init(io_uv(world.io), &canned->listener);
    uv_tcp_bind(&canned->listener, (const struct sockaddr *)&at, 0);
    canned->listener.data = canned;
    uv_listen((uv_stream_t *)&canned->listener, 8, canned_accept);
    uv_tcp_getsockname(&canned->listener, (struct sockaddr *)&at, &size);
    snprintf(canned->address, sizeof canned->address, "127.0.0.1:%u", ntohs(at.sin_port));
}

static void canned_stop(struct canned *canned)
{
    uv_close((uv_handle_t *)&canned->listener, NULL);
    for (uint32_t i = 0; i < canned->conns_count; i++) {
        if (!uv_is_closing((uv_handle_t *)&canned->conns[i]))
            uv_close((uv_handle_t *)&canned->conns[i], NULL);
    }
    world_idle(&world, 5);
}

static struct canned canned;

START_TEST(response_without_length_ends_with_the_connection)
{
    canned_start(&canned, "HTTP/1.1 200 OK\r\n\r\nuntil the end", true);
    uint64_t id = post(_i, canned.address, "x");
    ck_assert_int_eq(done(id)->status, MN_OK);
    ck_assert_str_eq(body_of(id), "until the end");
    canned_stop(&canned);
}
END_TEST

START_TEST(informational_responses_are_left_out)
{
    canned_start(&canned,
                 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                 "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-A: \t b \r\n\r\nok",
                 false);
    uint64_t id = post(_i, canned.address, "x");
    ck_assert_int_eq(done(id)->status, MN_OK);
    const struct edge_input *head = world_find(&world, EDGE_IN_FETCH_HEAD, id, 1);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_FETCH_HEAD, id), 1);
    ck_assert_uint_eq(head->code, 201);
    ck_assert_uint_eq(head->headers_count, 2);
    ck_assert(mn_span_is(header_of(head->headers, 2, "x-a"), "b"));
    ck_assert_str_eq(body_of(id), "ok");
    canned_stop(&canned);
}
END_TEST

START_TEST(what_is_not_http_fails)
{
    static const char *const texts[] = {
        "220 mail.example ESMTP\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\nab", /* libcurl lets it pass */
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts - (size_t)_i; i++) {
        canned_start(&canned, texts[i], true);
        const struct edge_input *end = done(post(_i, canned.address, "x"));
        ck_assert_int_ne(end->status, MN_OK);
        ck_assert_int_ne(end->status, MN_UNREACHABLE);
        canned_stop(&canned);
    }
}
END_TEST

/* No trusted channel, no request: the server's answer to the greeting is not TLS. */
START_TEST(failed_tls_sends_nothing)
{
    canned_start(&canned, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", false);
    const char *url = mn_arena_format(&world.arena, "https://%s/", canned.address);
    const struct edge_input *end = done(fetch_url("GET", url, NULL, 0, NULL));
    ck_assert_int_eq(end->status, MN_UNREACHABLE);
    ck_assert_uint_gt(end->text.size, 0);
    ck_assert_uint_eq(world_count(&world, EDGE_IN_FETCH_HEAD, 0), 0);
    canned_stop(&canned);
}
END_TEST

START_TEST(endless_head_is_refused)
{
    enum { LINES = 3000 };
    struct mn_writer text = {0};
    mn_writer_str(&text, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < LINES; i++)
        mn_writer_format(&text, "x-line-%d: 0123456789012345678901234567890123456789\r\n", i);
    mn_writer_str(&text, "\r\n");
    struct mn_buf *buf = mn_writer_done(&text); /* has a NUL after it: the padding */
    canned_start(&canned, (const char *)buf->bytes, false);
    ck_assert_int_eq(done(post(_i, canned.address, "x"))->status, MN_TOO_BIG);
    canned_stop(&canned);
    mn_buf_unref(buf);
}
END_TEST

/* The server takes the second request over the kept connection and closes without an answer. */
START_TEST(post_is_not_sent_twice)
{
    canned_start(&canned, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false);
    ck_assert_int_eq(done(post(_i, canned.address, "one"))->status, MN_OK);
    canned.text = "";
    canned.closes = true;
    const struct edge_input *end = done(post(_i, canned.address, "two"));
    ck_assert_int_eq(end->status, MN_CLOSED);
    ck_assert_uint_eq(canned.requests_count, 2);
    canned_stop(&canned);
}
END_TEST

START_TEST(closed_kept_connection_is_replaced)
{
    canned_start(&canned, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false);
    ck_assert_int_eq(done(post(_i, canned.address, "one"))->status, MN_OK);
    uv_close((uv_handle_t *)&canned.conns[0], NULL);
    world_idle(&world, 10);
    ck_assert_int_eq(done(post(_i, canned.address, "two"))->status, MN_OK);
    ck_assert_uint_eq(canned.conns_count, 2);
    canned_stop(&canned);
}
END_TEST

static const struct {
    const char *said;
    uint32_t conns;
} kept[] = {{"timeout=0", 2},  {"timeout=1", 2}, {"max=9, timeout=1", 2},
            {"timeout=60", 1}, {"timeout=", 1},  {"timeout=99999999999999999999", 1}};

START_TEST(a_connection_is_not_used_up_to_the_end_that_its_server_names)
{
    canned_start(&canned,
                 mn_arena_format(&world.arena,
                                 "HTTP/1.1 200 OK\r\nKeep-Alive: %s\r\nContent-Length: 2\r\n\r\nok",
                                 kept[_i].said),
                 false);
    ck_assert_int_eq(done(post(0, canned.address, "one"))->status, MN_OK);
    world_idle(&world, 800);
    ck_assert_int_eq(done(post(0, canned.address, "two"))->status, MN_OK);
    ck_assert_uint_eq(canned.conns_count, kept[_i].conns);
    canned_stop(&canned);
}
END_TEST

/* An answer that is complete is delivered, whatever follows it; its connection carries no other. */
START_TEST(answer_with_more_than_asked_is_delivered_and_not_kept)
{
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\n",
    };
    canned_start(&canned, texts[_i], false);
    uint64_t id = post(0, canned.address, "one");
    ck_assert_int_eq(done(id)->status, MN_OK);
    ck_assert_str_eq(body_of(id), "ok");
    canned.text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo";
    id = post(0, canned.address, "two");
    ck_assert_int_eq(done(id)->status, MN_OK);
    ck_assert_str_eq(body_of(id), "two");
    ck_assert_uint_eq(canned.conns_count, 2);
    canned_stop(&canned);
}
END_TEST

START_TEST(unix_socket_takes_everything)
{
    struct fetch_config config;
    const char *error = NULL;
    char folder[] = "/tmp/meshnode-test-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/sock", folder);
    tear_down();
    fetch_config_default(&config);
    config.unix_path = path;
    start(&config);
    ck_assert_int_eq(http_listen_admin(http, path, -1, &error), MN_OK);
    world.handle = echo;
    for (int i = 0; i < 3; i++) {
        uint64_t id = fetch_url("GET", "http://meshnode/v1/x", NULL, 0, NULL);
        ck_assert_int_eq(done(id)->status, MN_OK);
    }
    ck_assert_int_eq(world_find(&world, EDGE_IN_HTTP_OPEN, 0, 1)->http->listener,
                     EDGE_LISTENER_ADMIN);
    http_close_listeners(http);
    rmdir(folder);
}
END_TEST

START_TEST(closing_with_everything_under_way_leaks_nothing)
{
    get(_i, "/");
    uint64_t exchange = world_wait(&world, EDGE_IN_HTTP_BODY, 0, 1)->id;
    world_http_head(&world, exchange, 200, "text/plain", true);
    world_do_buf(&world, EDGE_OUT_HTTP_BODY, exchange, "half", false);
    world_wait(&world, EDGE_IN_FETCH_BODY, 0, 1);
    get(_i, "/");
    post(_i, "no-such-host.invalid:1", "x");
    tear_down();
    set_up();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_loop_test(all, request_and_response_are_whole, 0, 2);
    tcase_add_loop_test(all, methods_without_body, 0, 2);
    tcase_add_loop_test(all, connections_are_kept, 0, 2);
    tcase_add_loop_test(all, many_at_once_do_not_mix, 0, 2);
    tcase_add_loop_test(all, large_bodies_both_ways, 0, 2);
    tcase_add_loop_test(all, stream_comes_as_it_is_sent, 0, 2);
    tcase_add_loop_test(all, cancel_is_silent_and_the_server_sees_it, 0, 2);
    tcase_add_loop_test(all, cancel_from_within_an_answer, 0, 2);
    tcase_add_loop_test(all, start_from_within_an_answer, 0, 2);
    tcase_add_loop_test(all, pause_holds_the_server_back, 0, 2);
    tcase_add_loop_test(all, pause_and_go_on_many_times, 0, 2);
    tcase_add_loop_test(all, refused_connection_is_unreachable, 0, 2);
    tcase_add_loop_test(all, unknown_host_is_unreachable, 0, 2);
    tcase_add_loop_test(all, silent_address_times_out, 0, 2);
    tcase_add_loop_test(all, unusable_requests_are_refused, 0, 2);
    tcase_add_loop_test(all, redirect_is_reported_not_followed, 0, 2);
    tcase_add_loop_test(all, cut_response_is_closed_not_complete, 0, 2);
    tcase_add_loop_test(all, response_without_length_ends_with_the_connection, 0, 2);
    tcase_add_loop_test(all, informational_responses_are_left_out, 0, 2);
    tcase_add_loop_test(all, what_is_not_http_fails, 0, 2);
    tcase_add_test(all, failed_tls_sends_nothing);
    tcase_add_loop_test(all, endless_head_is_refused, 0, 2);
    tcase_add_loop_test(all, post_is_not_sent_twice, 0, 2);
    tcase_add_loop_test(all, closed_kept_connection_is_replaced, 0, 2);
    tcase_add_loop_test(all, a_connection_is_not_used_up_to_the_end_that_its_server_names, 0,
                        sizeof kept / sizeof kept[0]);
    tcase_add_loop_test(all, answer_with_more_than_asked_is_delivered_and_not_kept, 0, 3);
    tcase_add_test(all, unix_socket_takes_everything);
    tcase_add_loop_test(all, closing_with_everything_under_way_leaks_nothing, 0, 2);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
