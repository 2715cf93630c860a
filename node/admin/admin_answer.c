/* What goes out: answers, refusals, heads of streams. */
#include "node/admin/admin_internal.h"

#define TYPE_JSON "application/json"
#define TYPE_LINES "application/x-ndjson"

static struct edge_header header(const char *name, const char *value)
{
    return (struct edge_header){mn_span_str(name), mn_span_str(value)};
}

/* [more]: a second header, name NULL for none. */
static void emit_head(struct admin_request *request, uint32_t code, const char *type,
                      bool is_stream, struct edge_header more)
{
    struct edge_outbox *edge = request->outbox->edge;
    struct edge_header *headers = mn_arena_alloc(edge->arena, 2 * sizeof *headers);
    struct edge_output *output = edge_emit(edge, EDGE_OUT_HTTP_HEAD, request->id);

    headers[0] = header("content-type", type);
    headers[1] = more;
    output->code = code;
    output->flag = is_stream;
    output->headers = headers;
    output->headers_count = more.name.size > 0 ? 2 : 1;
}

static void answer_whole(struct admin_request *request, uint32_t code, struct reply *reply,
                         struct edge_header more)
{
    struct edge_output *output;

    emit_head(request, code, TYPE_JSON, false, more);
    output = edge_emit(request->outbox->edge, EDGE_OUT_HTTP_BODY, request->id);
    output->buf = reply_end(reply);
    output->flag = true;
    admin_over(request);
}

void admin_answer(struct admin_request *request, uint32_t code, struct reply *reply)
{
    answer_whole(request, code, reply, (struct edge_header){0});
}

void admin_answer_durable(struct admin_request *request, struct reply *reply)
{
    struct admin *admin = request->admin;

    if (*admin->config.writes_count <= admin->durable) {
        admin_answer(request, 200, reply);
        return;
    }
    request->exchange->write = *admin->config.writes_count;
    request->exchange->answer = reply_end(reply);
}

void admin_answer_written(struct admin_request *request)
{
    struct edge_output *output;

    emit_head(request, 200, TYPE_JSON, false, (struct edge_header){0});
    output = edge_emit(request->outbox->edge, EDGE_OUT_HTTP_BODY, request->id);
    output->buf = mn_buf_ref(request->exchange->answer);
    output->flag = true;
    admin_over(request);
}

static void fail_with(struct admin_request *request, uint32_t code, const char *name,
                      struct mn_span text, const char *hint, struct edge_header more)
{
    struct reply reply = {0};

    reply_object(&reply, NULL);
    reply_object(&reply, "error");
    reply_text(&reply, "code", name);
    reply_str(&reply, "message", text);
    reply_text(&reply, "hint", hint);
    reply_bool(&reply, "retryable", code == 503 || code == 504);
    reply_object_end(&reply);
    answer_whole(request, code, &reply, more);
}

void admin_fail(struct admin_request *request, uint32_t code, const char *name, struct mn_span text,
                const char *hint)
{
    fail_with(request, code, name, text, hint,
              code == 401 ? header("www-authenticate", "Bearer") : (struct edge_header){0});
}

void admin_fail_text(struct admin_request *request, uint32_t code, const char *name,
                     const char *text, const char *hint)
{
    admin_fail(request, code, name, mn_span_str(text), hint);
}

void admin_fail_method(struct admin_request *request, const char *allow)
{
    fail_with(request, 405, "method_not_allowed",
              mn_span_str(mn_arena_format(request->outbox->edge->arena,
                                          "this path has no such method, only %s", allow)),
              "see docs/API.md", header("allow", allow));
}

void admin_fail_status(struct admin_request *request, mn_status status, struct mn_span why,
                       const char *hint)
{
    if (why.size == 0) why = mn_span_str(mn_status_text(status));
    switch ((int)status) {
    case MN_NOT_FOUND: admin_fail(request, 404, "not_found", why, hint); break;
    case MN_EXISTS:
    case MN_STATE: admin_fail(request, 409, "conflict", why, hint); break;
    case MN_CONFIG:
    case MN_MALFORMED:
    case MN_TOO_BIG: admin_fail(request, 400, "bad_request", why, hint); break;
    case MN_DENIED: admin_fail(request, 403, "not_allowed", why, hint); break;
    default: admin_fail(request, 503, "busy", why, hint); break;
    }
}

void admin_fail_not_ready(struct admin_request *request)
{
    admin_fail_text(request, 503, "not_ready", "this node is not a member of a mesh yet",
                    "meshctl nodes wait --count 1 --ready");
}

void admin_fail_core(struct admin_request *request, const struct core_reply *answer,
                     const char *hint)
{
    if (core_membership(request->admin->config.core) == NULL)
        admin_fail_not_ready(request);
    else
        admin_fail_status(request, answer->status, answer->text, hint);
}

void admin_stream_head(struct admin_request *request)
{
    emit_head(request, 200, TYPE_LINES, true, (struct edge_header){0});
    request->exchange->is_stream = true;
}
