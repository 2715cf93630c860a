#include "tests/io/world.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/check.h"

#define WORLD_LIMIT_MS 20000

static struct edge_header *copy_headers(struct mn_arena *arena, const struct edge_header *headers,
                                        uint32_t count)
{
    struct edge_header *copy = mn_arena_alloc(arena, (count + 1) * sizeof *copy);
    for (uint32_t i = 0; i < count; i++) {
        copy[i].name = mn_arena_copy(arena, headers[i].name);
        copy[i].value = mn_arena_copy(arena, headers[i].value);
    }
    return copy;
}

static void copy_input(struct world_seen *seen, const struct edge_input *input)
{
    struct mn_arena *arena = &seen->arena;
    seen->input = *input;
    seen->input.bytes = mn_arena_copy(arena, input->bytes);
    seen->input.text = mn_arena_copy(arena, input->text);
    seen->input.headers = copy_headers(arena, input->headers, input->headers_count);
    if (input->http == NULL) return;
    seen->http = *input->http;
    seen->http.method = mn_arena_copy(arena, input->http->method);
    seen->http.target = mn_arena_copy(arena, input->http->target);
    seen->http.address = mn_arena_copy(arena, input->http->address);
    seen->http.headers = copy_headers(arena, input->http->headers, input->http->headers_count);
    seen->input.http = &seen->http;
}

static void world_step(void *owner, struct mn_now now, const struct edge_input *input,
                       struct edge_outbox *outbox)
{
    struct world *world = owner;
    struct world_seen *seen = mn_alloc(sizeof *seen);
    (void)now, (void)outbox;
    copy_input(seen, input);
    world->seen = mn_realloc(world->seen, (world->seen_count + 1) * sizeof(struct world_seen *));
    world->seen[world->seen_count++] = seen;
    if (world->handle != NULL) world->handle(world, &seen->input);
}

static mn_time world_deadline(void *owner)
{
    (void)owner;
    return MN_TIME_NEVER;
}

static void world_carry_out(void *owner, const struct edge_output *output)
{
    (void)owner, (void)output;
}

void world_init(struct world *world)
{
    const struct io_config config = {
        .owner = world,
        .step = world_step,
        .deadline = world_deadline,
        .carry_out = world_carry_out,
    };
    *world = (struct world){0};
    world->io = io_new(&config);
    world->outbox.arena = &world->arena;
}

void world_done(struct world *world)
{
    io_free(world->io);
    for (uint32_t i = 0; i < world->seen_count; i++) {
        mn_arena_done(&world->seen[i]->arena);
        mn_free(world->seen[i]);
    }
    mn_free(world->seen);
    mn_arena_done(&world->arena);
}

static void on_limit(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void run_until(struct world *world, uint64_t limit_ms, bool *is_late,
                      bool (*is_done)(struct world *world, void *context), void *context)
{
    uv_timer_t limit, tick; /* the tick: clients are read between two turns */
    bool is_ticked;
    uv_timer_init(io_uv(world->io), &limit);
    uv_timer_init(io_uv(world->io), &tick);
    limit.data = is_late;
    tick.data = &is_ticked;
    uv_update_time(io_uv(world->io));
    uv_timer_start(&limit, on_limit, limit_ms, 0);
    uv_timer_start(&tick, on_limit, 1, 1);
    while (!*is_late && !(is_done != NULL && is_done(world, context)))
        uv_run(io_uv(world->io), UV_RUN_ONCE);
    uv_close((uv_handle_t *)&limit, NULL);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(io_uv(world->io), UV_RUN_NOWAIT);
}

void world_run(struct world *world, bool (*is_done)(struct world *world, void *context),
               void *context)
{
    bool is_late = false;
    run_until(world, WORLD_LIMIT_MS, &is_late, is_done, context);
    ck_assert_msg(!is_late, "what the test waits for did not happen within 20 s");
}

void world_idle(struct world *world, uint64_t ms)
{
    bool is_late = false;
    run_until(world, ms, &is_late, NULL, NULL);
}

const struct edge_input *world_find(struct world *world, enum edge_input_type type, uint64_t id,
                                    uint32_t nth)
{
    for (uint32_t i = 0; i < world->seen_count; i++) {
        const struct edge_input *input = &world->seen[i]->input;
        if (input->type == type && (id == 0 || input->id == id) && --nth == 0) return input;
    }
    return NULL;
}

uint32_t world_count(struct world *world, enum edge_input_type type, uint64_t id)
{
    uint32_t count = 0;
    while (world_find(world, type, id, count + 1) != NULL)
        count++;
    return count;
}

struct wanted {
    enum edge_input_type type;
    uint64_t id;
    uint32_t nth;
};

static bool is_there(struct world *world, void *context)
{
    const struct wanted *wanted = context;
    return world_find(world, wanted->type, wanted->id, wanted->nth) != NULL;
}

const struct edge_input *world_wait(struct world *world, enum edge_input_type type, uint64_t id,
                                    uint32_t nth)
{
    struct wanted wanted = {type, id, nth};
    world_run(world, is_there, &wanted);
    return world_find(world, type, id, nth);
}

const char *world_text(struct world *world, enum edge_input_type type, uint64_t id, uint32_t code)
{
    struct mn_writer all = {0};
    for (uint32_t i = 0; i < world->seen_count; i++) {
        const struct edge_input *input = &world->seen[i]->input;
        if (input->type == type && input->id == id && input->code == code)
            mn_writer_add(&all, input->bytes);
    }
    struct mn_buf *buf = mn_writer_done(&all);
    struct mn_span text = mn_arena_copy(&world->arena, mn_buf_span(buf));
    mn_buf_unref(buf);
    return (const char *)text.data;
}

void world_do(struct world *world, const struct edge_output *output)
{
    world->carry_out(world->wrapper, output);
}

void world_do_buf(struct world *world, enum edge_output_type type, uint64_t id, const char *text,
                  bool flag)
{
    struct mn_buf *buf = text == NULL ? NULL : mn_buf_copy(mn_span_str(text));
    world_do(world, &(struct edge_output){.type = type, .id = id, .buf = buf, .flag = flag});
    mn_buf_unref(buf);
}

void world_do_bytes(struct world *world, enum edge_output_type type, uint64_t id, size_t size,
                    bool flag)
{
    struct mn_buf *buf = mn_buf_new(size);
    memset(buf->bytes, 'x', size);
    world_do(world, &(struct edge_output){.type = type, .id = id, .buf = buf, .flag = flag});
    mn_buf_unref(buf);
}

void world_do_flag(struct world *world, enum edge_output_type type, uint64_t id, bool flag)
{
    world_do(world, &(struct edge_output){.type = type, .id = id, .flag = flag});
}

void world_http_head(struct world *world, uint64_t id, uint32_t code, const char *content_type,
                     bool is_stream)
{
    const struct edge_header header = {mn_span_str("content-type"), mn_span_str(content_type)};
    world_do(world, &(struct edge_output){.type = EDGE_OUT_HTTP_HEAD,
                                          .id = id,
                                          .code = code,
                                          .flag = is_stream,
                                          .headers = &header,
                                          .headers_count = 1});
}

void world_http_answer(struct world *world, uint64_t id, uint32_t code, const char *text)
{
    world_http_head(world, id, code, "text/plain", false);
    world_do_buf(world, EDGE_OUT_HTTP_BODY, id, text, true);
}

/* In steps that double: a sanitizer's realloc() copies all of it, each time. */
static size_t room_for(size_t size)
{
    size_t room = 4096;
    while (room < size)
        room *= 2;
    return room;
}

static void client_start(struct client *client, int family, const struct sockaddr *to,
                         socklen_t size)
{
    *client = (struct client){.limit = SIZE_MAX};
    client->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(client->fd, 0);
    ck_assert_int_eq(connect(client->fd, to, size), 0); /* the backlog takes it */
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    client->text = calloc(1, room_for(1));
}

void client_connect(struct client *client, const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *colon = strrchr(address, ':');
    char host[64] = "";
    memcpy(host, address, (size_t)(colon - address));
    to.sin_port = htons((uint16_t)atoi(colon + 1));
    ck_assert_int_eq(inet_pton(AF_INET, host, &to.sin_addr), 1);
    client_start(client, AF_INET, (const struct sockaddr *)&to, sizeof to);
}

void client_connect_unix(struct client *client, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    client_start(client, AF_UNIX, (const struct sockaddr *)&to, sizeof to);
}

void client_done(struct client *client)
{
    close(client->fd);
    free(client->text);
    *client = (struct client){.fd = -1};
}

void client_pull(struct client *client)
{
    char block[65536];
    while (client->size < client->limit) {
        size_t room = client->limit - client->size;
        ssize_t got = read(client->fd, block, room < sizeof block ? room : sizeof block);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            client->is_closed = true;
            return;
        }
        size_t needed = room_for(client->size + (size_t)got + 1);
        if (needed != room_for(client->size + 1)) client->text = realloc(client->text, needed);
        memcpy(client->text + client->size, block, (size_t)got);
        client->size += (size_t)got;
        client->text[client->size] = '\0';
    }
}

struct unsent {
    struct client *client;
    const char *at;
    size_t left;
};

static bool is_sent(struct world *world, void *context)
{
    struct unsent *unsent = context;
    (void)world;
    ssize_t sent = send(unsent->client->fd, unsent->at, unsent->left, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return false;
    if (sent < 0) return true; /* cut by the other side; the test sees that when it reads */
    unsent->at += sent;
    unsent->left -= (size_t)sent;
    return unsent->left == 0;
}

void client_send_bytes(struct world *world, struct client *client, const void *bytes, size_t size)
{
    struct unsent unsent = {client, bytes, size};
    world_run(world, is_sent, &unsent);
}

void client_send(struct world *world, struct client *client, const char *text)
{
    client_send_bytes(world, client, text, strlen(text));
}

uint32_t client_times(const struct client *client, const char *text)
{
    uint32_t times = 0;
    for (const char *at = client->text; (at = strstr(at, text)) != NULL; at++)
        times++;
    return times;
}

struct expected {
    struct client *client;
    const char *text; /* NULL: only the end */
    uint32_t times;
};

static bool is_received(struct world *world, void *context)
{
    struct expected *expected = context;
    (void)world;
    client_pull(expected->client);
    if (expected->client->is_closed) return true;
    return expected->text != NULL &&
           client_times(expected->client, expected->text) >= expected->times;
}

void client_expect(struct world *world, struct client *client, const char *text, uint32_t times)
{
    struct expected expected = {client, text, times};
    world_run(world, is_received, &expected);
    ck_assert_msg(client_times(client, text) >= times, "no \"%s\" (%u times) in \"%s\"", text,
                  times, client->text);
}

void client_expect_closed(struct world *world, struct client *client)
{
    struct expected expected = {client, NULL, 0};
    world_run(world, is_received, &expected);
}
