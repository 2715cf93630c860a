/* HTTP to the node: over its Unix socket, or to --server. */
#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

#define ANSWER_MAX ((size_t)64 << 20) /* bytes of an answer that is kept */
#define JSON_LIMITS ((struct json_limits){.depth_max = 128, .depth_kept = 128, .nodes_max = 262144})

struct transfer {
    struct ctl *ctl;
    const struct ctl_request *request;
    struct ctl_answer *answer;
    struct mn_writer body;
};

const char *ctl_socket_path(struct ctl *ctl)
{
    const char *home = getenv("HOME"), *data_home = getenv("XDG_DATA_HOME");
    const char *data = ctl->data != NULL ? ctl->data : getenv("MESHNODE_NODE_DATA");
    char *path = ctl->socket_path;
    size_t size = sizeof ctl->socket_path;

    if (ctl->socket != NULL)
        snprintf(path, size, "%s", ctl->socket);
    else if (data != NULL)
        snprintf(path, size, "%s/admin.sock", data);
    else if (geteuid() == 0)
        snprintf(path, size, "/var/lib/meshnode/admin.sock");
    else if (data_home != NULL && *data_home == '/')
        snprintf(path, size, "%s/meshnode/admin.sock", data_home);
    else
        snprintf(path, size, "%s/.local/share/meshnode/admin.sock", home != NULL ? home : "");
    return path;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct mn_span span = mn_span(bytes, size * count);

    if (transfer->request->on_bytes != NULL)
        return transfer->request->on_bytes(transfer->ctl, span, transfer->request->context)
                   ? span.size
                   : 0;
    if (mn_writer_size(&transfer->body) + span.size > ANSWER_MAX) return 0;
    mn_writer_add(&transfer->body, span);
    return span.size;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    static const char session[] = "mcp-session-id:", type[] = "content-type: text/event-stream";
    size_t length = size * count;

    if (length > sizeof session && strncasecmp(bytes, session, sizeof session - 1) == 0) {
        const char *value = bytes + sizeof session - 1;
        while (*value == ' ')
            value++;
        snprintf(transfer->answer->session, sizeof transfer->answer->session, "%.*s",
                 (int)strcspn(value, "\r\n"), value);
    }
    if (length > sizeof type - 1 && strncasecmp(bytes, type, sizeof type - 1) == 0)
        transfer->answer->is_sse = true;
    return length;
}

static int tell_unreachable(struct ctl *ctl, CURLcode code)
{
    if (code == CURLE_OPERATION_TIMEDOUT)
        return ctl_error(ctl, CTL_TIMEOUT, "timeout", "meshctl --timeout 60s ...",
                         "the node did not answer within %u ms", ctl->timeout_ms);
    if (ctl->server != NULL)
        return ctl_error(ctl, CTL_UNREACHABLE, "unreachable", "check the URL and that it runs",
                         "no node answers at %s: %s", ctl->server, curl_easy_strerror(code));
    return ctl_error(ctl, CTL_UNREACHABLE, "unreachable",
                     "start it (`meshnode`), or name its directory: meshctl --data DIR ...",
                     "no node answers at %s", ctl->socket_path);
}

static CURLcode transfer_run(struct transfer *transfer, CURL *easy)
{
    struct ctl *ctl = transfer->ctl;
    const struct ctl_request *request = transfer->request;
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    char *url = mn_arena_format(
        &ctl->arena, "%s%s", ctl->server != NULL ? ctl->server : "http://localhost", request->path);
    CURLcode code;

    for (const char *const *header = request->headers; header != NULL && *header != NULL; header++)
        headers = curl_slist_append(headers, *header);
    if (request->body.size > 0)
        headers = curl_slist_append(headers, "Content-Type: application/json");
    if (ctl->server == NULL) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, ctl_socket_path(ctl));
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
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
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     request->on_bytes != NULL && ctl->is_following ? 0L : (long)ctl->timeout_ms);
    code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &transfer->answer->status);
    curl_slist_free_all(headers);
    return code;
}

int ctl_http(struct ctl *ctl, const struct ctl_request *request, struct ctl_answer *ret)
{
    struct transfer transfer = {.ctl = ctl, .request = request, .answer = ret};
    CURL *easy = curl_easy_init();
    CURLcode code;

    *ret = (struct ctl_answer){0};
    if (easy == NULL)
        return ctl_error(ctl, CTL_FAILED, "internal", "try again", "libcurl cannot start");
    code = transfer_run(&transfer, easy);
    curl_easy_cleanup(easy);
    ret->body = mn_writer_done(&transfer.body);
    if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && request->on_bytes != NULL)) return CTL_OK;
    ret->body = mn_buf_unref(ret->body);
    return tell_unreachable(ctl, code);
}

const struct json *ctl_parse_json(struct ctl *ctl, struct mn_span text)
{
    const struct json *root = NULL;

    if (json_parse_copy(ctl->parser, text, JSON_LIMITS, &ctl->arena, &root) != MN_OK) return NULL;
    return root;
}

static int exit_of_status(long status)
{
    switch (status) {
    case 400: return CTL_USAGE;
    case 401:
    case 403: return CTL_DENIED;
    case 404: return CTL_NOT_FOUND;
    case 409: return CTL_CONFLICT;
    case 504: return CTL_TIMEOUT;
    default: return CTL_FAILED;
    }
}

/* The node said no: its own words, and its own hint. */
static int tell_refusal(struct ctl *ctl, long status, const struct json *root)
{
    const struct json *error = json_find_str(root, "error");
    struct mn_span code = ctl_string(error, "code"), hint = ctl_string(error, "hint");
    struct mn_span message = ctl_string(error, "message");

    if (message.size == 0) message = mn_span_str("the node refused");
    return ctl_error(ctl, exit_of_status(status),
                     mn_arena_format(&ctl->arena, "%.*s", (int)code.size, (const char *)code.data),
                     mn_arena_format(&ctl->arena, "%.*s", (int)hint.size, (const char *)hint.data),
                     "%.*s", (int)message.size, (const char *)message.data);
}

int ctl_do(struct ctl *ctl, const char *method, const char *path, struct mn_span body,
           const struct json **ret)
{
    const struct ctl_request request = {.method = method, .path = path, .body = body};
    struct ctl_answer answer;
    int status = ctl_http(ctl, &request, &answer);
    const struct json *root;

    if (status != CTL_OK) return status;
    root = ctl_parse_json(ctl, mn_buf_span(answer.body));
    mn_buf_unref(answer.body);
    if (answer.status >= 400) return tell_refusal(ctl, answer.status, root);
    if (root == NULL)
        return ctl_error(ctl, CTL_FAILED, "bad_answer", "is it a meshnode?",
                         "the answer is not JSON (status %ld)", answer.status);
    *ret = root;
    return CTL_OK;
}

int ctl_get(struct ctl *ctl, const char *path, const struct json **ret)
{
    return ctl_do(ctl, "GET", path, mn_span(NULL, 0), ret);
}

int ctl_error(const struct ctl *ctl, int exit_code, const char *code, const char *hint,
              const char *format, ...)
{
    char message[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (ctl->format == CTL_JSON || ctl->format == CTL_JSONL) {
        struct mn_writer writer = {0};
        mn_writer_str(&writer, "{\"error\":{\"code\":");
        json_write_string(&writer, mn_span_str(code));
        mn_writer_str(&writer, ",\"message\":");
        json_write_string(&writer, mn_span_str(message));
        mn_writer_str(&writer, ",\"hint\":");
        json_write_string(&writer, mn_span_str(hint));
        mn_writer_format(&writer, ",\"retryable\":%s}}\n",
                         exit_code == CTL_TIMEOUT || exit_code == CTL_UNREACHABLE ? "true"
                                                                                  : "false");
        struct mn_buf *line = mn_writer_done(&writer);
        fwrite(line->bytes, 1, line->size, stderr);
        mn_buf_unref(line);
    } else {
        fprintf(stderr, "meshctl: %s\n", message);
        if (*hint != '\0') fprintf(stderr, "  try: %s\n", hint);
    }
    return exit_code;
}
