/* HTTP to the node: over its Unix socket, or to --server. */
#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

#define ANSWER_MAX ((size_t)64 << 20) /* bytes of an answer that is kept */
#define SOCKET_NAME "admin.sock"

struct transfer {
    struct ctl *ctl;
    const struct ctl_request *request;
    struct ctl_answer *answer;
    struct mn_writer body;
    bool is_too_big;
};

/* ---- where the node is ---- */

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* Where a node of this user keeps its data, as meshnode itself has it. */
static void own_socket(char *path, size_t size)
{
    const char *home = getenv("HOME"), *data_home = getenv("XDG_DATA_HOME");

    if (geteuid() == 0)
        snprintf(path, size, "/var/lib/meshnode/" SOCKET_NAME);
    else if (data_home != NULL && data_home[0] == '/')
        snprintf(path, size, "%s/meshnode/" SOCKET_NAME, data_home);
    else
        snprintf(path, size, "%s/.local/share/meshnode/" SOCKET_NAME, home != NULL ? home : "");
}

/* The node of this user, else the one that the host runs for a group (admin.group). */
static void default_socket(char *path, size_t size)
{
    static const char *const others[] = {"/run/meshnode/" SOCKET_NAME,
                                         "/var/lib/meshnode/" SOCKET_NAME};

    own_socket(path, size);
    for (size_t i = 0; i < sizeof others / sizeof *others && !exists(path); i++)
        if (exists(others[i])) snprintf(path, size, "%s", others[i]);
}

const char *ctl_socket_path(struct ctl *ctl)
{
    char *path = ctl->socket_path;
    size_t size = sizeof ctl->socket_path;

    if (path[0] != '\0') return path;
    if (ctl->socket != NULL)
        snprintf(path, size, "%s", ctl->socket);
    else if (ctl->data != NULL)
        snprintf(path, size, "%s/" SOCKET_NAME, ctl->data);
    else
        default_socket(path, size);
    return path;
}

/* ---- why there was no answer ---- */

static int fail(struct ctl *ctl, int status, const char *code, const char *hint, const char *format,
                ...) __attribute__((format(printf, 5, 6)));

static int fail(struct ctl *ctl, int status, const char *code, const char *hint, const char *format,
                ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(ctl->failure.text, sizeof ctl->failure.text, format, args);
    va_end(args);
    ctl->failure.code = code;
    ctl->failure.hint = hint;
    return status;
}

int ctl_tell_failure(struct ctl *ctl, int status)
{
    return ctl_error(ctl, status, ctl->failure.code, ctl->failure.hint, "%s", ctl->failure.text);
}

static int fail_unreachable(struct ctl *ctl, const char *why)
{
    if (ctl->server != NULL)
        return fail(ctl, CTL_UNREACHABLE, "unreachable",
                    "check the URL, and on that host: meshctl status", "no node answers at %s: %s",
                    ctl->server, why);
    if (exists(ctl_socket_path(ctl)) && access(ctl_socket_path(ctl), W_OK) != 0)
        return fail(ctl, CTL_DENIED, "not_allowed", "run it as the node's user, or see admin.group",
                    "%s may not be used: %s", ctl_socket_path(ctl), strerror(errno));
    return fail(ctl, CTL_UNREACHABLE, "unreachable",
                "start it (`meshnode`), or name its directory: meshctl --data DIR ...",
                "no node answers at %s", ctl_socket_path(ctl));
}

/* What was asked to be done may have been, once the node was told of it. */
static bool may_be_done(const struct transfer *transfer)
{
    long told = 0;

    return strcmp(transfer->request->method, "GET") != 0 &&
           curl_easy_getinfo(transfer->ctl->easy, CURLINFO_REQUEST_SIZE, &told) == CURLE_OK &&
           told > 0;
}

static int fail_with(struct transfer *transfer, CURLcode code)
{
    struct ctl *ctl = transfer->ctl;
    bool is_stream = transfer->request->on_bytes != NULL;

    if (transfer->is_too_big)
        return fail(ctl, CTL_FAILED, "too_big", "is it a meshnode?", "the answer is over %zu MiB",
                    ANSWER_MAX >> 20);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return fail(ctl, CTL_TIMEOUT, may_be_done(transfer) ? "unknown" : "timeout",
                    "meshctl --timeout 60s ...", "the node did not answer within %u ms",
                    ctl->timeout_ms);
    if (may_be_done(transfer))
        return fail(ctl, CTL_TIMEOUT, "unknown", "meshctl status",
                    "the node ended the connection before all of its answer was there: whether "
                    "this was done is not known");
    if (is_stream && transfer->answer->status == 200)
        return fail(ctl, CTL_UNREACHABLE, "closed", "meshctl status",
                    "the node cut the stream: it was stopped, or this reader too slow");
    return fail_unreachable(ctl, curl_easy_strerror(code));
}

/* ---- the token ---- */

static char *token_read(struct ctl *ctl)
{
    char text[CTL_SECRET_MAX];

    if (!ctl_secret_read(ctl->token_file, text) || strchr(text, ' ') != NULL) return NULL;
    char *header = mn_alloc(strlen(text) + sizeof "Authorization: Bearer ");
    sprintf(header, "Authorization: Bearer %s", text);
    return header;
}

static bool is_loopback_url(const char *url)
{
    static const char *const hosts[] = {"http://127.", "http://localhost", "http://[::1]"};

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (strncmp(url, hosts[i], strlen(hosts[i])) == 0) return true;
    return false;
}

/* Only for --server: the socket knows its users. */
static int token_load(struct ctl *ctl)
{
    if (ctl->server == NULL || ctl->token_file == NULL || ctl->authorization != NULL) return CTL_OK;
    errno = 0;
    ctl->authorization = token_read(ctl);
    if (ctl->authorization == NULL)
        return fail(ctl, CTL_USAGE, "usage", "meshctl --token-file FILE ...",
                    "no token can be read from %s: %s", ctl->token_file,
                    errno != 0 ? strerror(errno) : "it should be one line without blanks");
    if (strncmp(ctl->server, "https://", 8) != 0 && !is_loopback_url(ctl->server) && !ctl->is_quiet)
        fprintf(ctl->err, "meshctl: the token goes to %s unencrypted; use https\n", ctl->server);
    return CTL_OK;
}

/* ---- one transfer ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct mn_span span = mn_span(bytes, size * count);

    if (transfer->request->on_bytes != NULL)
        return transfer->request->on_bytes(transfer->ctl, span, transfer->request->context)
                   ? span.size
                   : 0;
    transfer->is_too_big = mn_writer_size(&transfer->body) + span.size > ANSWER_MAX;
    if (transfer->is_too_big) return 0;
    mn_writer_add(&transfer->body, span);
    return span.size;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    static const char session[] = "mcp-session-id:", status[] = "HTTP/";
    struct transfer *transfer = context;
    struct ctl_answer *answer = transfer->answer;
    size_t length = size * count;
    const char *value = bytes + sizeof session - 1;

    if (length > sizeof status && strncmp(bytes, status, sizeof status - 1) == 0) {
        const char *blank = memchr(bytes, ' ', length);
        answer->status = blank == NULL ? 0 : strtol(blank, NULL, 10);
    }
    if (length <= sizeof session || strncasecmp(bytes, session, sizeof session - 1) != 0)
        return length;
    length -= sizeof session - 1;
    for (; length > 0 && *value == ' '; length--)
        value++;
    while (length > 0 && (unsigned char)value[length - 1] <= ' ')
        length--;
    snprintf(answer->session, sizeof answer->session, "%.*s", (int)length, value);
    return size * count;
}

static struct curl_slist *headers_make(const struct ctl *ctl, const struct ctl_request *request)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");

    for (const char *const *header = request->headers; header != NULL && *header != NULL; header++)
        headers = curl_slist_append(headers, *header);
    if (request->body.size > 0)
        headers = curl_slist_append(headers, "Content-Type: application/json");
    if (ctl->server != NULL && ctl->authorization != NULL)
        headers = curl_slist_append(headers, ctl->authorization);
    return headers;
}

static void set_target(struct ctl *ctl, CURL *easy, const char *path)
{
    const char *base = ctl->server != NULL ? ctl->server : "http://localhost";
    int size = (int)strlen(base);

    while (size > 0 && base[size - 1] == '/')
        size--;
    if (ctl->server == NULL) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, ctl_socket_path(ctl));
        curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever the environment says */
    } else if (is_loopback_url(base)) {
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    }
    curl_easy_setopt(easy, CURLOPT_URL, mn_arena_format(&ctl->arena, "%.*s%s", size, base, path));
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
}

static CURLcode transfer_run(struct transfer *transfer, CURL *easy)
{
    struct ctl *ctl = transfer->ctl;
    const struct ctl_request *request = transfer->request;
    struct curl_slist *headers = headers_make(ctl, request);
    bool is_endless = request->on_bytes != NULL && ctl->is_following;
    CURLcode code;

    curl_easy_reset(easy); /* its connections stay */
    set_target(ctl, easy, request->path);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (request->body.size > 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (const char *)request->body.data);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)ctl->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, is_endless ? 0L : (long)ctl->timeout_ms);
    code = curl_easy_perform(easy);
    curl_slist_free_all(headers);
    return code;
}

static int check_target(struct ctl *ctl)
{
    if (ctl->server == NULL &&
        strlen(ctl_socket_path(ctl)) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return fail(ctl, CTL_USAGE, "usage", "meshctl --socket PATH, by a shorter path",
                    "the socket's path is too long for a socket: %s", ctl_socket_path(ctl));
    return token_load(ctl);
}

int ctl_http(struct ctl *ctl, const struct ctl_request *request, struct ctl_answer *ret)
{
    struct transfer transfer = {.ctl = ctl, .request = request, .answer = ret};
    int status = check_target(ctl);
    CURLcode code;

    *ret = (struct ctl_answer){0};
    if (status != CTL_OK) return status;
    if (ctl->easy == NULL) ctl->easy = curl_easy_init();
    if (ctl->easy == NULL)
        return fail(ctl, CTL_FAILED, "internal", "try again", "libcurl cannot start");
    code = transfer_run(&transfer, ctl->easy);
    ret->body = mn_writer_done(&transfer.body);
    if (code == CURLE_OK) return CTL_OK;
    ret->body = mn_buf_unref(ret->body);
    return fail_with(&transfer, code);
}

void ctl_http_done(struct ctl *ctl)
{
    if (ctl->easy != NULL) curl_easy_cleanup(ctl->easy);
    ctl->easy = NULL;
    mn_free(ctl->authorization);
    ctl->authorization = NULL;
}
