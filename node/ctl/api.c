/* What /v1 answers: JSON, or a refusal in the node's own words. */
#include <stdarg.h>
#include <string.h>

#include "node/ctl/ctl.h"

#define LIMITS ((struct json_limits){JSON_DEPTH_MAX, JSON_DEPTH_MAX, JSON_NODES_MAX})

const char *ctl_path(struct ctl *ctl, const char *prefix, const char *name, const char *suffix)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    char *path =
        mn_arena_alloc(&ctl->arena, strlen(prefix) + 3 * strlen(name) + strlen(suffix) + 1);
    char *to = path + strlen(prefix);

    memcpy(path, prefix, strlen(prefix));
    for (; *name != '\0'; name++) {
        if (strchr(plain, *name) != NULL) {
            *to++ = *name;
        } else {
            *to++ = '%';
            *to++ = digits[(unsigned char)*name >> 4];
            *to++ = digits[(unsigned char)*name & 15];
        }
    }
    memcpy(to, suffix, strlen(suffix) + 1);
    return path;
}

const struct json *ctl_parse_json(struct ctl *ctl, struct mn_span text)
{
    const struct json *root = NULL;

    if (json_parse_copy(ctl->parser, text, LIMITS, &ctl->arena, &root) != MN_OK) return NULL;
    return root;
}

static int exit_of_status(long status)
{
    switch (status) {
    case 400:
    case 405:
    case 413:
    case 414:
    case 415: return CTL_USAGE;
    case 401:
    case 403: return CTL_DENIED;
    case 404: return CTL_NOT_FOUND;
    case 409: return CTL_CONFLICT;
    case 504: return CTL_TIMEOUT;
    default: return CTL_FAILED;
    }
}

static const char *code_of_status(long status)
{
    switch (exit_of_status(status)) {
    case CTL_USAGE: return "bad_request";
    case CTL_DENIED: return "not_allowed";
    case CTL_NOT_FOUND: return "not_found";
    case CTL_CONFLICT: return "conflict";
    case CTL_TIMEOUT: return "timeout";
    default: return "refused";
    }
}

int ctl_tell_refusal(struct ctl *ctl, long status, const struct json *root)
{
    const struct json *error = json_find_str(root, "error");
    const char *code = ctl_show(ctl, error, "code"), *hint = ctl_show(ctl, error, "hint");
    const char *message = ctl_show(ctl, error, "message");

    if (*message == '\0')
        message = mn_arena_format(&ctl->arena, "the node refused (HTTP status %ld)", status);
    return ctl_error(ctl, exit_of_status(status), *code == '\0' ? code_of_status(status) : code,
                     *hint == '\0' ? "meshctl status" : hint, "%s", message);
}

int ctl_do(struct ctl *ctl, const char *method, const char *path, struct mn_span body,
           const struct json **ret)
{
    const struct ctl_request request = {.method = method, .path = path, .body = body};
    struct ctl_answer answer;
    int status = ctl_http(ctl, &request, &answer);
    const struct json *root;

    if (status != CTL_OK) return ctl_tell_failure(ctl, status);
    root = ctl_parse_json(ctl, mn_buf_span(answer.body));
    mn_buf_unref(answer.body);
    if (answer.status >= 400) return ctl_tell_refusal(ctl, answer.status, root);
    if (!json_is(root, JSON_OBJECT))
        return ctl_error(ctl, CTL_FAILED, "bad_answer", "is it a meshnode? meshctl doctor",
                         "the answer is no JSON object (HTTP status %ld)", answer.status);
    *ret = root;
    return CTL_OK;
}

int ctl_get(struct ctl *ctl, const char *path, const struct json **ret)
{
    return ctl_do(ctl, "GET", path, mn_span(NULL, 0), ret);
}

/* What may have happened is not to be done twice by a program that only looks at this. */
static bool is_retryable(int exit_code, const char *code)
{
    if (strcmp(code, "unknown") == 0 || strcmp(code, "outcome_unknown") == 0 ||
        strcmp(code, "timed_out") == 0)
        return false;
    return exit_code == CTL_TIMEOUT || exit_code == CTL_UNREACHABLE || strcmp(code, "busy") == 0 ||
           strcmp(code, "unavailable") == 0;
}

static void error_json(struct ctl *ctl, int exit_code, const char *code, const char *message,
                       const char *hint)
{
    struct mn_writer writer = {0};
    struct mn_buf *line;

    mn_writer_str(&writer, "{\"error\":{\"code\":");
    json_write_string(&writer, mn_span_str(code));
    mn_writer_str(&writer, ",\"message\":");
    json_write_string(&writer, mn_span_str(message));
    mn_writer_str(&writer, ",\"hint\":");
    json_write_string(&writer, mn_span_str(hint));
    mn_writer_format(&writer, ",\"retryable\":%s}}\n",
                     is_retryable(exit_code, code) ? "true" : "false");
    line = mn_writer_done(&writer);
    fwrite(line->bytes, 1, line->size, ctl->err);
    mn_buf_unref(line);
}

int ctl_error(struct ctl *ctl, int exit_code, const char *code, const char *hint,
              const char *format, ...)
{
    char message[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    fflush(ctl->out); /* what came before it, before it */
    if (ctl_wants_json(ctl))
        error_json(ctl, exit_code, code, message, hint);
    else
        fprintf(ctl->err, "meshctl: %s\n  try: %s\n", message, hint);
    return exit_code;
}
