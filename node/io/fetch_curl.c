/* fetch_curl.c: everything that is not plain http://, through libcurl's multi interface on libuv.
 *
 * What libcurl brings is gathered, and told to the machine after libcurl has returned: it allows no
 * new, no cancelled and no continued transfer from within its own callbacks. */
#include <stdlib.h>

#include "node/io/fetch_internal.h"
#include "node/io/fetch_libcurl.h"
#include "proto/base/check.h"

#define FETCH_CURL_IDLE_EASIES_MAX 32

/* Body bytes gathered for the machine; beyond that libcurl is held back. */
#define FETCH_CURL_PENDING_MAX (FETCH_READ_MAX / 2)

struct fetch_curl_call {
    struct fetch_call base;
    struct fetch_curl *curl;
    struct mn_list all, news; /* in curl->calls; in curl->news when there is something to tell */
    CURL *easy;
    struct curl_slist *lines; /* of the request's head */
    struct mn_buf *body;
    bool may_resend; /* the method is safe: once more does no harm */
    bool is_tried;   /* it was on its way once */
    bool is_paused;  /* by the machine */
    bool is_held;    /* libcurl was told to wait */
    bool is_telling; /* not to be freed now */
    bool is_head_done, is_head_given, is_ended;
    bool is_too_big;
    uint32_t code;
    uint32_t lines_count;
    struct mn_writer head;    /* of the response: names and values, each with a NUL after it */
    struct mn_writer pending; /* body bytes not told yet */
    CURLcode result;
    char error[CURL_ERROR_SIZE];
};

struct fetch_curl_socket {
    uv_poll_t poll;
    struct fetch_curl *curl;
    curl_socket_t fd;
};

struct fetch_curl {
    struct fetch *fetch;
    CURLM *multi;
    uv_timer_t timer;
    struct mn_list calls, news;
    CURL *easies[FETCH_CURL_IDLE_EASIES_MAX]; /* to be used again */
    uint32_t easies_count;
    uint32_t handles_count; /* not closed yet */
    bool is_closing;
};

/* Sockets and time. */

static void fetch_curl_release(struct fetch_curl *curl)
{
    if (--curl->handles_count > 0) return;
    struct fetch *fetch = curl->fetch;
    mn_free(curl);
    fetch_way_closed(fetch);
}

static void fetch_curl_after(struct fetch_curl *curl);

static void fetch_curl_on_socket(uv_poll_t *poll, int status, int events)
{
    struct fetch_curl_socket *socket = poll->data;
    struct fetch_curl *curl = socket->curl;
    int running, flags = 0;
    if (status < 0) flags |= CURL_CSELECT_ERR;
    if (events & UV_READABLE) flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE) flags |= CURL_CSELECT_OUT;
    libcurl.multi_socket_action(curl->multi, socket->fd, flags, &running);
    fetch_curl_after(curl);
}

static void fetch_curl_on_socket_closed(uv_handle_t *handle)
{
    struct fetch_curl_socket *socket = handle->data;
    fetch_curl_release(socket->curl);
    mn_free(socket);
}

static int fetch_curl_watch(CURL *easy, curl_socket_t fd, int what, void *owner, void *context)
{
    struct fetch_curl *curl = owner;
    struct fetch_curl_socket *socket = context;
    int events = 0;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket == NULL) return 0;
        libcurl.multi_assign(curl->multi, fd, NULL);
        uv_poll_stop(&socket->poll); /* before libcurl closes the descriptor */
        uv_close((uv_handle_t *)&socket->poll, fetch_curl_on_socket_closed);
        return 0;
    }
    if (socket == NULL) {
        socket = mn_alloc(sizeof *socket);
        socket->curl = curl;
        socket->fd = fd;
        socket->poll.data = socket;
        uv_poll_init_socket(io_uv(curl->fetch->io), &socket->poll, fd);
        curl->handles_count++;
        libcurl.multi_assign(curl->multi, fd, socket);
    }
    if (what != CURL_POLL_OUT) events |= UV_READABLE;
    if (what != CURL_POLL_IN) events |= UV_WRITABLE;
    uv_poll_start(&socket->poll, events, fetch_curl_on_socket);
    return 0;
}

static void fetch_curl_on_timer(uv_timer_t *timer)
{
    struct fetch_curl *curl = timer->data;
    int running;
    libcurl.multi_socket_action(curl->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    fetch_curl_after(curl);
}

static int fetch_curl_arm(CURLM *multi, long timeout_ms, void *owner)
{
    struct fetch_curl *curl = owner;
    (void)multi;
    if (timeout_ms < 0 || curl->is_closing)
        uv_timer_stop(&curl->timer);
    else
        uv_timer_start(&curl->timer, fetch_curl_on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

/* What libcurl brings. */

static void fetch_curl_has_news(struct fetch_curl_call *call)
{
    mn_list_remove(&call->news);
    mn_list_push_back(&call->curl->news, &call->news);
}

static void fetch_curl_add_line(struct fetch_curl_call *call, struct mn_span line)
{
    const uint8_t *colon = memchr(line.data, ':', line.size);
    if (colon == NULL) return; /* folded, or not a header */
    size_t name_size = (size_t)(colon - line.data);
    struct mn_span value = mn_span(colon + 1, line.size - name_size - 1);
    while (value.size > 0 && (value.data[0] == ' ' || value.data[0] == '\t'))
        value = mn_span(value.data + 1, value.size - 1);
    while (value.size > 0 && value.data[value.size - 1] <= ' ')
        value.size--;
    uint8_t *to = mn_writer_take(&call->head, name_size + 1 + value.size + 1);
    for (size_t i = 0; i < name_size; i++) {
        uint8_t c = line.data[i];
        to[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
    }
    to[name_size] = '\0';
    if (value.size > 0) memcpy(to + name_size + 1, value.data, value.size);
    to[name_size + 1 + value.size] = '\0';
    call->lines_count++;
}

/* One line of a head; the next head begins with a status line. */
static size_t fetch_curl_on_line(char *bytes, size_t one, size_t size, void *owner)
{
    struct fetch_curl_call *call = owner;
    struct mn_span line = mn_span(bytes, one * size);
    long code = 0;
    if (call->is_head_done) return line.size; /* trailers */
    if (line.size > 5 && memcmp(line.data, "HTTP/", 5) == 0) {
        mn_writer_drop(&call->head);
        call->lines_count = 0;
        return line.size;
    }
    if (line.size > 2) {
        fetch_curl_add_line(call, line);
        call->is_too_big =
            mn_writer_size(&call->head) > FETCH_HEAD_MAX || call->lines_count > FETCH_HEADERS_MAX;
        return call->is_too_big ? 0 : line.size;
    }
    libcurl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &code);
    if (code < 200) return line.size; /* informational: the real one follows */
    call->code = (uint32_t)code;
    call->is_head_done = true;
    fetch_curl_has_news(call);
    return line.size;
}

static size_t fetch_curl_on_body(char *bytes, size_t one, size_t size, void *owner)
{
    struct fetch_curl_call *call = owner;
    if (mn_writer_size(&call->pending) >= FETCH_CURL_PENDING_MAX) {
        call->is_held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    mn_writer_add(&call->pending, mn_span(bytes, one * size));
    fetch_curl_has_news(call);
    return one * size;
}

/* libcurl would send a request again when a kept connection closes without an answer. It may have
 * been executed all the same. */
static int fetch_curl_on_send(void *owner, char *to, char *from, int to_port, int from_port)
{
    struct fetch_curl_call *call = owner;
    (void)to, (void)from, (void)to_port, (void)from_port;
    if (call->is_tried && !call->may_resend) return CURL_PREREQFUNC_ABORT;
    call->is_tried = true;
    return CURL_PREREQFUNC_OK;
}

/* What the machine is told. */

static void fetch_curl_call_free(struct fetch_curl_call *call)
{
    struct fetch_curl *curl = call->curl;
    mn_list_remove(&call->all);
    mn_list_remove(&call->news);
    libcurl.multi_remove_handle(curl->multi, call->easy);
    libcurl.easy_reset(call->easy);
    if (curl->easies_count < FETCH_CURL_IDLE_EASIES_MAX)
        curl->easies[curl->easies_count++] = call->easy;
    else
        libcurl.easy_cleanup(call->easy);
    libcurl.slist_free_all(call->lines);
    mn_buf_unref(call->body);
    mn_writer_drop(&call->head);
    mn_writer_drop(&call->pending);
    mn_free(call);
}

static mn_status fetch_curl_status(const struct fetch_curl_call *call)
{
    if (call->result == CURLE_OK) return MN_OK;
    if (!call->is_tried) return MN_UNREACHABLE;
    if (call->is_too_big) return MN_TOO_BIG;
    switch ((int)call->result) {
    case CURLE_OPERATION_TIMEDOUT: return MN_TIMEOUT;
    case CURLE_ABORTED_BY_CALLBACK: /* fetch_curl_on_send() */
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR: return MN_CLOSED;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */ return MN_MALFORMED;
    default: return MN_IO;
    }
}

static const char *fetch_curl_text(const struct fetch_curl_call *call)
{
    if (call->result == CURLE_OK) return "";
    if (call->is_too_big) return "the head of the answer is too big";
    if (call->result == CURLE_ABORTED_BY_CALLBACK)
        return "the connection was closed before an answer came";
    return call->error[0] != '\0' ? call->error : libcurl.easy_strerror(call->result);
}

static void fetch_curl_tell_head(struct fetch_curl_call *call)
{
    struct edge_header headers[FETCH_HEADERS_MAX];
    uint32_t count = 0;
    struct mn_span head = mn_buf_span(call->head.buf);
    for (const char *at = (const char *)head.data, *end = at + head.size; at < end; count++) {
        headers[count].name = mn_span_str(at);
        at += headers[count].name.size + 1;
        headers[count].value = mn_span_str(at);
        at += headers[count].value.size + 1;
    }
    call->is_head_given = true;
    fetch_give_head(&call->base, call->code, headers, count);
}

static void fetch_curl_tell_body(struct fetch_curl_call *call)
{
    struct mn_buf *bytes = mn_writer_done(&call->pending);
    fetch_give_body(&call->base, mn_buf_span(bytes));
    mn_buf_unref(bytes);
}

/* Tells all that may be told now; the call may be freed. */
static void fetch_curl_tell(struct fetch_curl_call *call)
{
    call->is_telling = true;
    if (call->is_head_done && !call->is_head_given) fetch_curl_tell_head(call);
    while (!call->base.is_dead && !call->is_paused) {
        if (mn_writer_size(&call->pending) > 0) {
            fetch_curl_tell_body(call);
        } else if (call->is_held) {
            call->is_held = false;
            libcurl.easy_pause(call->easy, CURLPAUSE_CONT); /* may bring more at once */
        } else {
            break;
        }
    }
    bool is_all_told = mn_writer_size(&call->pending) == 0;
    if (!call->base.is_dead && call->is_ended && is_all_told)
        fetch_give_done(&call->base, fetch_curl_status(call), fetch_curl_text(call));
    call->is_telling = false;
    if (call->base.is_dead) fetch_curl_call_free(call);
}

static void fetch_curl_after(struct fetch_curl *curl)
{
    struct mn_list *entry;
    CURLMsg *message;
    int left;
    while ((message = libcurl.multi_info_read(curl->multi, &left)) != NULL) {
        struct fetch_curl_call *call = NULL;
        if (message->msg != CURLMSG_DONE) continue;
        libcurl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        call->is_ended = true;
        call->result = message->data.result;
        fetch_curl_has_news(call);
    }
    while ((entry = mn_list_take(&curl->news)) != NULL)
        fetch_curl_tell(MN_CONTAINER(entry, struct fetch_curl_call, news));
}

/* What the machine wants. */

static void fetch_curl_add_request_line(struct fetch_curl_call *call, const char *line)
{
    struct curl_slist *longer = libcurl.slist_append(call->lines, line);
    MN_ASSERT(longer != NULL);
    call->lines = longer;
}

static bool fetch_curl_has_header(const struct edge_fetch *start, const char *name)
{
    for (uint32_t i = 0; i < start->headers_count; i++) {
        if (mn_span_is(start->headers[i].name, name)) return true;
    }
    return false;
}

static void fetch_curl_set_headers(struct fetch_curl_call *call, const struct edge_fetch *start,
                                   struct mn_arena *arena)
{
    /* What libcurl would add by itself, and by an empty line does not. */
    static const char *const defaults[] = {"accept", "content-type"};
    for (uint32_t i = 0; i < start->headers_count; i++) {
        const struct edge_header *header = &start->headers[i];
        if (mn_span_is(header->name, "content-length") || mn_span_is(header->name, "connection") ||
            mn_span_is(header->name, "transfer-encoding") || mn_span_is(header->name, "expect"))
            continue;
        const char *colon =
            header->value.size == 0 ? ";" : ": "; /* libcurl's way of saying empty */
        fetch_curl_add_request_line(
            call, mn_arena_format(arena, "%.*s%s%.*s", (int)header->name.size,
                                  (const char *)header->name.data, colon, (int)header->value.size,
                                  (const char *)header->value.data));
    }
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (!fetch_curl_has_header(start, defaults[i]))
            fetch_curl_add_request_line(call, mn_arena_format(arena, "%s:", defaults[i]));
    }
    fetch_curl_add_request_line(call, "Expect:");
    libcurl.easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->lines);
}

static void fetch_curl_set_method(struct fetch_curl_call *call, const struct edge_fetch *start,
                                  struct mn_arena *arena)
{
    struct mn_span method = start->method;
    call->may_resend = mn_span_is(method, "GET") || mn_span_is(method, "HEAD");
    if (call->body != NULL || mn_span_is(method, "POST")) {
        struct mn_span body = mn_buf_span(call->body);
        libcurl.easy_setopt(call->easy, CURLOPT_POST, 1L);
        libcurl.easy_setopt(call->easy, CURLOPT_POSTFIELDS,
                            body.size == 0 ? "" : (const char *)body.data);
        libcurl.easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    } else if (mn_span_is(method, "HEAD")) {
        libcurl.easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (mn_span_is(method, "GET") || mn_span_is(method, "POST")) return;
    libcurl.easy_setopt(
        call->easy, CURLOPT_CUSTOMREQUEST,
        mn_arena_format(arena, "%.*s", (int)method.size, (const char *)method.data));
}

static void fetch_curl_set_options(struct fetch_curl_call *call, const struct edge_fetch *start,
                                   struct mn_arena *arena)
{
    CURL *easy = call->easy;
    mn_time timeout = start->connect_timeout;
    libcurl.easy_setopt(
        easy, CURLOPT_URL,
        mn_arena_format(arena, "%.*s", (int)start->url.size, (const char *)start->url.data));
    libcurl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    libcurl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    libcurl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    libcurl.easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    libcurl.easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    libcurl.easy_setopt(easy, CURLOPT_MAXAGE_CONN,
                        (long)(call->base.fetch->config.idle_timeout / MN_SEC));
    if (timeout > 0 && timeout < 3600 * MN_SEC)
        libcurl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout / MN_MS));
    libcurl.easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    libcurl.easy_setopt(easy, CURLOPT_PRIVATE, call);
    libcurl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, fetch_curl_on_line);
    libcurl.easy_setopt(easy, CURLOPT_HEADERDATA, call);
    libcurl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, fetch_curl_on_body);
    libcurl.easy_setopt(easy, CURLOPT_WRITEDATA, call);
    libcurl.easy_setopt(easy, CURLOPT_PREREQFUNCTION, fetch_curl_on_send);
    libcurl.easy_setopt(easy, CURLOPT_PREREQDATA, call);
}

void fetch_curl_start(struct fetch_curl *curl, uint64_t id, const struct edge_fetch *start)
{
    struct fetch_curl_call *call = mn_alloc(sizeof *call);
    struct mn_arena arena = {0};
    call->curl = curl;
    call->body = mn_buf_ref(start->body);
    mn_list_init(&call->news);
    mn_list_push_back(&curl->calls, &call->all);
    call->easy = curl->easies_count > 0 ? curl->easies[--curl->easies_count] : libcurl.easy_init();
    MN_ASSERT(call->easy != NULL);
    fetch_call_init(&call->base, curl->fetch, id, false);
    fetch_curl_set_options(call, start, &arena);
    fetch_curl_set_method(call, start, &arena);
    fetch_curl_set_headers(call, start, &arena);
    mn_arena_done(&arena);
    CURLMcode code = libcurl.multi_add_handle(curl->multi, call->easy);
    MN_ASSERT(code == CURLM_OK);
}

void fetch_curl_pause(struct fetch_call *base, bool is_paused)
{
    struct fetch_curl_call *call = MN_CONTAINER(base, struct fetch_curl_call, base);
    call->is_paused = is_paused;
    if (is_paused || call->is_telling) return;
    mn_list_remove(&call->news);
    fetch_curl_tell(call);
}

void fetch_curl_cancel(struct fetch_call *base)
{
    struct fetch_curl_call *call = MN_CONTAINER(base, struct fetch_curl_call, base);
    if (!call->is_telling) fetch_curl_call_free(call);
}

/* Life. */

struct fetch_curl *fetch_curl_new(struct fetch *fetch, const char **why)
{
    if (fetch_libcurl_load(why) != MN_OK) return NULL;
    struct fetch_curl *curl = mn_alloc(sizeof *curl);
    curl->fetch = fetch;
    mn_list_init(&curl->calls);
    mn_list_init(&curl->news);
    uv_timer_init(io_uv(fetch->io), &curl->timer);
    curl->timer.data = curl;
    curl->handles_count = 1;
    curl->multi = libcurl.multi_init();
    MN_ASSERT(curl->multi != NULL);
    libcurl.multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, fetch_curl_watch);
    libcurl.multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl);
    libcurl.multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, fetch_curl_arm);
    libcurl.multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl);
    libcurl.multi_setopt(curl->multi, CURLMOPT_MAXCONNECTS, (long)fetch->config.idle_max);
    return curl;
}

static void fetch_curl_on_timer_closed(uv_handle_t *handle)
{
    fetch_curl_release(handle->data);
}

void fetch_curl_close(struct fetch_curl *curl)
{
    curl->is_closing = true;
    MN_LIST_FOR_EACH_SAFE (entry, &curl->calls) {
        struct fetch_curl_call *call = MN_CONTAINER(entry, struct fetch_curl_call, all);
        fetch_call_kill(&call->base);
        fetch_curl_call_free(call);
    }
    while (curl->easies_count > 0)
        libcurl.easy_cleanup(curl->easies[--curl->easies_count]);
    libcurl.multi_cleanup(curl->multi);
    uv_close((uv_handle_t *)&curl->timer, fetch_curl_on_timer_closed);
}
