#include "node/io/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/io/config.h"
#include "node/io/fetch.h"
#include "node/io/files.h"
#include "node/io/loop.h"
#include "node/io/relay.h"
#include "node/io/run.h"
#include "node/mcp/wire/line.h"
#include "proto/base/memory.h"

#define BRIDGE_PATH_SIZE 4096
#define BRIDGE_READ_SIZE 65536u
#define BRIDGE_TOKEN_MAX 4096
#define BRIDGE_URL "http://127.0.0.1:7080/mcp"

/* Where messages go. */
struct bridge_target {
    char url[BRIDGE_PATH_SIZE];
    char socket[BRIDGE_PATH_SIZE]; /* "": none */
    struct mn_buf *token;          /* NULL: none */
};

struct bridge {
    struct io *io;
    struct fetch *fetch;
    struct relay *relay;
    uv_poll_t input; /* when it can be watched: a pipe, a terminal */
    uv_idle_t file;  /* else: it is always readable */
    bool is_file, is_reading;
    struct line lines;
    struct mn_buf *pending; /* read, but not taken yet: the relay was not ready */
    size_t pending_at;
    bool has_ended;
};

/* ---- output ---- */

static bool bridge_write_all(struct mn_span bytes)
{
    while (bytes.size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes.data, bytes.size);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd ready = {STDOUT_FILENO, POLLOUT, 0};
            poll(&ready, 1, -1);
        } else if (written < 0 && errno != EINTR) {
            return false;
        } else if (written > 0) {
            bytes = mn_span(bytes.data + written, bytes.size - (size_t)written);
        }
    }
    return true;
}

/* Waits for a client that is slow to read: there is nobody else to serve. */
static void bridge_say(void *owner, struct mn_span line)
{
    struct bridge *bridge = owner;
    if (!bridge_write_all(line) || !bridge_write_all(mn_span("\n", 1))) io_stop(bridge->io);
}

/* ---- input ---- */

static void bridge_apply_line(void *owner, struct mn_now now, struct edge_outbox *outbox,
                              void *argument)
{
    struct bridge *bridge = owner;
    (void)now;
    relay_take(bridge->relay, argument, outbox);
}

static void bridge_apply_end(void *owner, struct mn_now now, struct edge_outbox *outbox,
                             void *argument)
{
    struct bridge *bridge = owner;
    (void)argument;
    relay_end(bridge->relay, now, outbox);
}

/* Gives complete lines to the relay while it takes them. */
static void bridge_give(struct bridge *bridge)
{
    while (bridge->pending != NULL && relay_is_ready(bridge->relay)) {
        struct mn_buf *line = NULL;
        struct mn_span rest = mn_span(bridge->pending->bytes + bridge->pending_at,
                                      bridge->pending->size - bridge->pending_at);
        enum line_result result = line_next(&bridge->lines, &rest, &line);
        bridge->pending_at = bridge->pending->size - rest.size;
        if (result == LINE_READY)
            io_apply(bridge->io, bridge_apply_line, line);
        else if (result == LINE_TOO_LONG)
            fprintf(stderr, "meshnode mcp: a message over 32 MiB was dropped\n");
        else
            bridge->pending = mn_buf_unref(bridge->pending);
    }
    if (!bridge->has_ended || bridge->pending != NULL || !relay_is_ready(bridge->relay)) return;
    struct mn_buf *last = line_last(&bridge->lines);
    if (last != NULL) io_apply(bridge->io, bridge_apply_line, last);
    io_apply(bridge->io, bridge_apply_end, NULL);
}

static void bridge_read(struct bridge *bridge)
{
    struct mn_buf *buf = mn_buf_new(BRIDGE_READ_SIZE);
    ssize_t got = read(STDIN_FILENO, buf->bytes, buf->size);
    if (got > 0) {
        buf->size = (uint32_t)got;
        bridge->pending = buf;
        bridge->pending_at = 0;
        return;
    }
    mn_buf_unref(buf);
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) bridge->has_ended = true;
}

static void bridge_on_input(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    bridge_read(handle->data);
}

static void bridge_on_file(uv_idle_t *handle)
{
    bridge_read(handle->data);
}

/* Reads on exactly while everything read before was taken. */
static void bridge_watch(struct bridge *bridge)
{
    bool wants = bridge->pending == NULL && !bridge->has_ended && relay_is_ready(bridge->relay);
    if (wants == bridge->is_reading) return;
    bridge->is_reading = wants;
    if (bridge->is_file && wants)
        uv_idle_start(&bridge->file, bridge_on_file);
    else if (bridge->is_file)
        uv_idle_stop(&bridge->file);
    else if (wants)
        uv_poll_start(&bridge->input, UV_READABLE, bridge_on_input);
    else
        uv_poll_stop(&bridge->input);
}

/* ---- hooks of the loop ---- */

static void bridge_step(void *owner, struct mn_now now, const struct edge_input *input,
                        struct edge_outbox *outbox)
{
    relay_step(((struct bridge *)owner)->relay, now, input, outbox);
}

static mn_time bridge_deadline(void *owner)
{
    return relay_deadline(((struct bridge *)owner)->relay);
}

static void bridge_carry_out(void *owner, const struct edge_output *output)
{
    fetch_do(((struct bridge *)owner)->fetch, output);
}

static void bridge_turn_end(void *owner)
{
    struct bridge *bridge = owner;
    bridge_give(bridge);
    bridge_watch(bridge);
    if (relay_is_done(bridge->relay)) io_stop(bridge->io);
}

/* ---- where to ---- */

static bool bridge_has_socket(const char *data, char path[BRIDGE_PATH_SIZE])
{
    struct stat info;
    int size = snprintf(path, BRIDGE_PATH_SIZE, "%s/admin.sock", data);
    if (size > 0 && size < BRIDGE_PATH_SIZE && stat(path, &info) == 0 && S_ISSOCK(info.st_mode))
        return true;
    path[0] = '\0';
    return false;
}

/* "http://host:7080" means its /mcp. */
static void bridge_set_url(struct bridge_target *target, const char *server)
{
    const char *host = strstr(server, "://");
    const char *path = host == NULL ? NULL : strchr(host + 3, '/');
    bool is_bare = path == NULL || strcmp(path, "/") == 0;
    int size = (int)strlen(server) - (path != NULL && is_bare);
    snprintf(target->url, sizeof target->url, "%.*s%s", size, server, is_bare ? "/mcp" : "");
}

static int bridge_read_token(struct bridge_target *target)
{
    const char *path = getenv("MESHCTL_TOKEN_FILE");
    if (path == NULL || path[0] == '\0') return 0;
    if (files_read(path, BRIDGE_TOKEN_MAX, &target->token) != MN_OK) {
        fprintf(stderr, "meshnode mcp: %s: %s\n", path, strerror(errno));
        return RUN_CONFIG;
    }
    while (target->token->size > 0 && target->token->bytes[target->token->size - 1] <= ' ')
        target->token->size--;
    return 0;
}

/* A server that is named; else the socket of the data directory that is named, or the usual one;
 * else the usual port. */
static int bridge_find_target(const char *server, const char *data, struct bridge_target *target)
{
    struct options options;
    if (server != NULL) {
        if (strncmp(server, "http://", 7) != 0 && strncmp(server, "https://", 8) != 0) {
            fprintf(stderr, "meshnode mcp: --server: not a URL such as http://127.0.0.1:7080\n");
            return RUN_USAGE;
        }
        bridge_set_url(target, server);
        return bridge_read_token(target);
    }
    options_init(&options, config_specs, CONFIG_COUNT);
    config_set_defaults(&options);
    const char *directory = data != NULL ? data : options_text(&options, CONFIG_NODE_DATA);
    bool has_socket = bridge_has_socket(directory, target->socket);
    if (!has_socket && data != NULL)
        fprintf(stderr,
                "meshnode mcp: %s/admin.sock: no node runs there; start it: meshnode --data %s\n",
                data, data);
    options_done(&options);
    snprintf(target->url, sizeof target->url, "%s",
             has_socket ? "http://localhost/mcp" : BRIDGE_URL);
    return !has_socket && data != NULL ? RUN_UNAVAILABLE : 0;
}

/* ---- life ---- */

static void bridge_open_input(struct bridge *bridge)
{
    line_init(&bridge->lines, RELAY_LINE_MAX);
    uv_idle_init(io_uv(bridge->io), &bridge->file);
    bridge->file.data = bridge->input.data = bridge;
    /* Regular files and /dev/null cannot be polled. */
    bridge->is_file = uv_poll_init(io_uv(bridge->io), &bridge->input, STDIN_FILENO) != 0;
}

static void bridge_serve(const struct bridge_target *target)
{
    struct bridge bridge = {0};
    const struct io_config io_config = {&bridge,          bridge_step, bridge_deadline,
                                        bridge_carry_out, NULL,        bridge_turn_end};
    const struct relay_config relay_config = {mn_span_str(target->url), mn_buf_span(target->token),
                                              &bridge, bridge_say};
    struct fetch_config fetch_config;
    fetch_config_default(&fetch_config);
    if (target->socket[0] != '\0') fetch_config.unix_path = target->socket;
    bridge.io = io_new(&io_config);
    bridge.fetch = fetch_new(bridge.io, &fetch_config);
    bridge.relay = relay_new(&relay_config);
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    bridge_open_input(&bridge);
    io_run(bridge.io);
    fcntl(STDIN_FILENO, F_SETFL, flags); /* polling made it non-blocking for all who share it */
    fetch_close(bridge.fetch);
    uv_close((uv_handle_t *)&bridge.file, NULL);
    if (!bridge.is_file) uv_close((uv_handle_t *)&bridge.input, NULL);
    io_free(bridge.io);
    relay_free(bridge.relay);
    line_done(&bridge.lines);
    mn_buf_unref(bridge.pending);
}

int bridge(int argc, char **argv)
{
    struct options_extra extras[] = {
        {"server", "URL",
         "node to talk to, such as http://127.0.0.1:7080; token: file $MESHCTL_TOKEN_FILE", true,
         NULL},
        {"data", "DIR", "data directory of a node of this host: talk to its admin socket", true,
         NULL},
        {"help", NULL, "show this", false, NULL},
    };
    const uint32_t extras_count = sizeof extras / sizeof extras[0];
    struct options none = {config_specs, NULL, 0};
    struct options_error error = {.text = "takes no words"};
    struct bridge_target target = {0};
    char **words = mn_alloc((size_t)argc * sizeof *words);
    uint32_t words_count = 0;
    mn_status status =
        options_read_flags(&none, argc, argv, extras, extras_count, words, &words_count, &error);
    mn_free(words);
    if (status != MN_OK || words_count > 0) {
        fprintf(stderr, "meshnode mcp: %s\n", error.text);
        return RUN_USAGE;
    }
    if (extras[2].value != NULL) {
        struct mn_writer to = {0};
        options_write_help(&none, extras, extras_count, &to);
        struct mn_buf *text = mn_writer_done(&to);
        printf("usage: meshnode mcp [--server URL | --data DIR]\n%.*s", (int)text->size,
               (const char *)text->bytes);
        mn_buf_unref(text);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    int code = bridge_find_target(extras[0].value, extras[1].value, &target);
    if (code == 0) bridge_serve(&target);
    mn_buf_unref(target.token);
    return code;
}
