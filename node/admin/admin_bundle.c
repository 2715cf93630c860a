/* Requests about the keyspace by many callers of one client, in one exchange: each is done by
 * itself, in no order, and has its own answer; what costs is shared. Nothing is done of a bundle
 * that does not read. */
#include "node/admin/admin_internal.h"
#include "proto/base/check.h"

#define BUNDLE_MAX 256u /* requests in one */

struct bundle_item {
    struct admin_ticket ticket;
    struct mn_buf *answer; /* JSON */
    enum strong_verb verb; /* 0: it reads */
};

struct admin_bundle {
    uint32_t count, left;
    struct bundle_item items[];
};

void admin_bundle_free(struct admin *admin, struct admin_bundle *bundle)
{
    if (bundle == NULL) return;
    for (uint32_t i = 0; i < bundle->count; i++) {
        admin_drop_ticket(admin, &bundle->items[i].ticket);
        mn_buf_unref(bundle->items[i].answer);
    }
    mn_free(bundle);
}

/* ---- reading ---- */

static bool refuse(struct admin_request *request, const char *text)
{
    admin_fail_text(request, 400, "bad_request", text, "see docs/API.md");
    return false;
}

static bool read_item(struct admin_request *request, const struct json *item,
                      struct state_request *state)
{
    struct mn_span op = json_text(json_find_str(item, "op"));
    struct mn_span key = json_text(json_find_str(item, "key"));

    state->type = STATE_COMMAND;
    state->command.key = state->read.key = key;
    if (key.size == 0) return refuse(request, "requests: each has an op and a key");
    if (mn_span_is(op, "put")) return admin_state_read_put(request, item, &state->command);
    if (mn_span_is(op, "rm")) return admin_state_read_remove(request, item, &state->command);
    if (mn_span_is(op, "incr")) return admin_state_read_add(request, item, &state->command);
    if (!mn_span_is(op, "get")) return refuse(request, "op: one of get, put, rm, incr");
    state->type = STATE_READ;
    return true;
}

/* In the arena of the turn; NULL: refused. */
static struct state_request *read_items(struct admin_request *request, const struct json *list)
{
    struct state_request *states, first = {0};
    uint32_t count = 0;

    if (!json_is(list, JSON_ARRAY) || list->count == 0 || list->count > BUNDLE_MAX) {
        refuse(request, "requests: a list of 1 to 256 objects");
        return NULL;
    }
    if (!admin_state_timeout(request, &first)) return NULL;
    states = mn_arena_alloc(request->outbox->arena, list->count * sizeof *states);
    for (const struct json *item = json_first(list); item != NULL; item = json_next(list, item)) {
        states[count] = first;
        if (!read_item(request, item, &states[count++])) return NULL;
    }
    return states;
}

void admin_bundle_handle(struct admin_request *request)
{
    const struct json *body = admin_body(request), *list;
    struct state_request *states;
    struct admin_bundle *bundle;

    if (body == NULL) return;
    list = json_find_str(body, "requests");
    states = read_items(request, list);
    if (states == NULL) return;
    bundle = mn_alloc(sizeof *bundle + list->count * sizeof bundle->items[0]);
    request->exchange->bundle = bundle;
    bundle->count = bundle->left = list->count;
    for (uint32_t i = 0; i < bundle->count; i++) {
        if (states[i].type == STATE_COMMAND) bundle->items[i].verb = states[i].command.verb;
        admin_ask_state_as(request, &bundle->items[i].ticket, states[i]);
    }
}

/* ---- answering ---- */

static void write_error(struct reply *reply, const char *name, const char *text)
{
    reply_object(reply, "error");
    reply_text(reply, "code", name);
    reply_text(reply, "message", text);
    reply_object_end(reply);
}

static struct mn_buf *write_item(struct admin_request *request, const struct bundle_item *item,
                                 const struct state_answer *answer)
{
    struct reply reply = {0};
    struct admin_refusal refused;

    reply_object(&reply, NULL);
    if (admin_state_refusal(item->verb, answer, request->outbox->edge->arena, &refused)) {
        write_error(&reply, refused.name, refused.text);
    } else if (item->verb != 0) {
        reply_u64(&reply, "rev", answer->reply.rev);
        if (item->verb == STRONG_ADD) reply_i64(&reply, "number", answer->reply.number);
    } else if (answer->pairs_count > 0) {
        admin_state_write_pair(&reply, &answer->pairs[0]);
    } else {
        write_error(&reply, "not_found", "there is no such key");
    }
    return reply_end(&reply);
}

void admin_bundle_on_answer(struct admin_request *request, const struct state_answer *answer)
{
    struct admin_bundle *bundle = request->exchange->bundle;
    struct bundle_item *item = MN_CONTAINER(request->ticket, struct bundle_item, ticket);
    struct reply reply;

    MN_ASSERT(item->answer == NULL && bundle->left > 0);
    item->answer = write_item(request, item, answer);
    if (--bundle->left > 0) return;
    reply_begin(&reply, "StateBundle");
    reply_array(&reply, "items");
    for (uint32_t i = 0; i < bundle->count; i++)
        reply_raw(&reply, NULL, mn_buf_span(bundle->items[i].answer));
    reply_array_end(&reply);
    admin_answer(request, 200, &reply);
}
