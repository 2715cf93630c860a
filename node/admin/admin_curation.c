/* Views, pins and quarantine: agreed on by the mesh as pairs that node/mcp/names/curation.h
 * describes. The gateway says what they mean now; the metadata group makes them so, everywhere. */
#include "node/admin/admin_internal.h"

#define TIMEOUT (5 * MN_SEC)
#define REASON_MAX 256

static void ask_gateway(struct admin_request *request, enum admin_gateway_verb verb,
                        struct mn_span text)
{
    admin_ask_gateway(request, (struct admin_gateway_request){
                                   .verb = verb, .name = request->exchange->rest, .text = text});
}

static void list(struct admin_request *request, const char *kind,
                 const struct admin_gateway_answer *answer)
{
    struct reply reply;

    reply_begin(&reply, kind);
    reply_raw(&reply, "items", answer->json);
    reply_raw(&reply, "missing", mn_span_str("[]"));
    reply_raw(&reply, "warnings", mn_span_str("[]"));
    admin_answer(request, 200, &reply);
}

/* A command about one key; its spans are in the arena of the turn. */
static void command(struct admin_request *request, enum strong_verb verb, struct mn_span key,
                    struct mn_span value)
{
    struct state_request state = {
        .type = STATE_COMMAND, .space = STATE_SPACE_CURATION, .timeout = TIMEOUT};

    state.command.verb = verb;
    state.command.key = mn_arena_copy(request->outbox->arena, key);
    state.command.value = mn_arena_copy(request->outbox->arena, value);
    admin_ask_state(request, state);
}

static void on_done(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    if (answer->status == MN_OK && answer->reply.status == MN_NOT_FOUND) {
        admin_fail_text(request, 404, "not_found", "the mesh has agreed on nothing of that name",
                        "meshctl views ls, meshctl tools pins");
        return;
    }
    if (admin_state_refused(request, STRONG_PUT, answer)) return;
    reply_begin(&reply, "Done");
    admin_answer(request, 200, &reply);
}

/* ---- views ---- */

static void views_handle(struct admin_request *request)
{
    ask_gateway(request, ADMIN_GATEWAY_VIEWS, mn_span(NULL, 0));
}

static void views_on_list(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    list(request, "ViewList", answer);
}

static void view_handle(struct admin_request *request)
{
    ask_gateway(request, ADMIN_GATEWAY_VIEW, mn_span(NULL, 0));
}

static void view_on_one(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    const struct json *view =
        answer->status == MN_OK ? admin_parse(request, answer->json, JSON_OBJECT, 1) : NULL;
    struct reply reply;

    if (view == NULL) {
        admin_fail_status(request, MN_NOT_FOUND, mn_span_str("the mesh has no view of that name"),
                          "meshctl views ls");
        return;
    }
    reply_begin(&reply, "View");
    reply_members(&reply, view);
    admin_answer(request, 200, &reply);
}

static void apply_handle(struct admin_request *request)
{
    const struct json *body = admin_body(request);

    if (body != NULL) ask_gateway(request, ADMIN_GATEWAY_VIEW_CHECK, body->raw);
}

static void apply_on_checked(struct admin_request *request,
                             const struct admin_gateway_answer *answer)
{
    struct mn_span name = request->exchange->rest;
    char *key;

    if (answer->status != MN_OK) {
        admin_fail(request, 400, "bad_request", answer->why, "see docs/API.md, Views");
        return;
    }
    key = mn_arena_format(request->outbox->arena, "view/%.*s", (int)name.size,
                          (const char *)name.data);
    command(request, STRONG_PUT, mn_span_str(key), mn_buf_span(request->exchange->body.buf));
}

static void remove_handle(struct admin_request *request)
{
    struct mn_span name = request->exchange->rest;
    char *key = mn_arena_format(request->outbox->arena, "view/%.*s", (int)name.size,
                                (const char *)name.data);

    command(request, STRONG_REMOVE, mn_span_str(key), mn_span(NULL, 0));
}

/* ---- pins ---- */

static void pins_handle(struct admin_request *request)
{
    ask_gateway(request, ADMIN_GATEWAY_PINS, mn_span(NULL, 0));
}

static void pins_on_list(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    list(request, "PinList", answer);
}

static void rule_handle(struct admin_request *request)
{
    const struct json *body = admin_body(request), *reason;

    if (body == NULL) return;
    reason = json_find_str(body, "reason");
    if (reason != NULL && (reason->type != JSON_STRING || reason->text.size > REASON_MAX))
        admin_fail_text(request, 400, "bad_request", "reason: a string of at most 256 bytes",
                        "meshctl tools quarantine TOOL --reason TEXT");
    else
        ask_gateway(request, ADMIN_GATEWAY_RULE, mn_span(NULL, 0));
}

/* What the gateway knows of the tool; NULL: told. */
static const struct json *rule_of(struct admin_request *request,
                                  const struct admin_gateway_answer *answer)
{
    const struct json *rule =
        answer->status == MN_OK ? admin_parse(request, answer->json, JSON_OBJECT, 1) : NULL;

    if (rule == NULL)
        admin_fail_status(request, MN_NOT_FOUND,
                          mn_span_str("no tool of that name; SERVER/TOOL works too"),
                          "meshctl tools");
    return rule;
}

static void put_rule(struct admin_request *request, struct mn_span key, struct mn_span pin,
                     bool is_held)
{
    const struct json *body =
        admin_parse(request, mn_buf_span(request->exchange->body.buf), JSON_OBJECT, 1);
    struct mn_writer value = {0};

    mn_writer_str(&value, "{\"pin\":");
    mn_writer_add(&value, pin);
    mn_writer_format(&value, ",\"held\":%s,\"reason\":", is_held ? "true" : "false");
    json_write_string(&value, json_text(json_find_str(body, "reason")));
    mn_writer_format(&value, ",\"at_ms\":%llu}", (unsigned long long)(request->now.wall / MN_MS));
    command(request, STRONG_PUT, key, mn_buf_span(value.buf));
    mn_writer_drop(&value);
}

static void approve_on_rule(struct admin_request *request,
                            const struct admin_gateway_answer *answer)
{
    const struct json *rule = rule_of(request, answer), *current;

    if (rule == NULL) return;
    current = json_find_str(rule, "current");
    if (!json_is(current, JSON_STRING))
        admin_fail_text(request, 409, "conflict",
                        "the mesh has no such tool now: there is no definition to approve",
                        "meshctl tools pins");
    else
        put_rule(request, json_text(json_find_str(rule, "key")), current->raw, false);
}

static void quarantine_on_rule(struct admin_request *request,
                               const struct admin_gateway_answer *answer)
{
    const struct json *rule = rule_of(request, answer);

    if (rule != NULL)
        put_rule(request, json_text(json_find_str(rule, "key")), json_find_str(rule, "pin")->raw,
                 true);
}

static void unpin_on_rule(struct admin_request *request, const struct admin_gateway_answer *answer)
{
    const struct json *rule = rule_of(request, answer);

    if (rule != NULL)
        command(request, STRONG_REMOVE, json_text(json_find_str(rule, "key")), mn_span(NULL, 0));
}

const struct admin_route admin_curation_routes[] = {
    {"GET", "/v1/views", NULL, views_handle, views_on_list, NULL, NULL},
    {"GET", "/v1/views/*", NULL, view_handle, view_on_one, NULL, NULL},
    {"PUT", "/v1/views/*", NULL, apply_handle, apply_on_checked, NULL, on_done},
    {"DELETE", "/v1/views/*", NULL, remove_handle, NULL, NULL, on_done},
    {"GET", "/v1/pins", NULL, pins_handle, pins_on_list, NULL, NULL},
    {"POST", "/v1/tools/*/approve", NULL, rule_handle, approve_on_rule, NULL, on_done},
    {"POST", "/v1/tools/*/quarantine", NULL, rule_handle, quarantine_on_rule, NULL, on_done},
    {"POST", "/v1/tools/*/unpin", NULL, rule_handle, unpin_on_rule, NULL, on_done},
    {0},
};
