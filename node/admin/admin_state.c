/* The strong keyspace, and the group that holds it. */
#include "node/admin/admin_internal.h"
#include "node/json/string.h"
#include "proto/base/text.h"

#define ADVICE "meshctl consensus status"
#define TIMEOUT_DEFAULT_MS 5000u
#define LIST_DEFAULT 100u

/* ---- what a request says ---- */

static bool number_of(struct mn_span text, uint64_t *ret)
{
    uint64_t sum = 0;

    if (text.size == 0 || text.size > 18) return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        sum = 10 * sum + (uint64_t)(text.data[i] - '0');
    }
    *ret = sum;
    return true;
}

bool admin_state_query(struct admin_request *request, const char *name, uint64_t least,
                       uint64_t most, uint64_t *value)
{
    struct mn_span text = admin_query(request, name);

    if (text.data == NULL) return true;
    if (number_of(text, value) && *value >= least && *value <= most) return true;
    admin_fail_text(request, 400, "bad_request",
                    mn_arena_format(request->outbox->edge->arena, "%s: a number from %llu to %llu",
                                    name, (unsigned long long)least, (unsigned long long)most),
                    "see docs/API.md");
    return false;
}

/* The same of a body's member. */
static bool body_number(struct admin_request *request, const struct json *body, const char *name,
                        uint64_t *value, bool *is_there)
{
    const struct json *member = json_find_str(body, name);
    int64_t number = 0;

    *is_there = member != NULL;
    if (member == NULL) return true;
    if (json_i64(member, &number) == MN_OK && number >= 0) {
        *value = (uint64_t)number;
        return true;
    }
    admin_fail_text(request, 400, "bad_request",
                    mn_arena_format(request->outbox->edge->arena, "%s: a whole number", name),
                    "see docs/API.md");
    return false;
}

bool admin_state_timeout(struct admin_request *request, struct state_request *state)
{
    uint64_t ms = TIMEOUT_DEFAULT_MS;

    if (!admin_state_query(request, "timeout_ms", STATE_TIMEOUT_MIN / MN_MS,
                           STATE_TIMEOUT_MAX / MN_MS, &ms))
        return false;
    state->timeout = ms * MN_MS;
    return true;
}

/* A client of its own, so that a retry through another node is applied once. */
static bool set_client(struct admin_request *request, const struct json *body,
                       struct strong_command *command)
{
    const struct json *client = json_find_str(body, "client");
    bool has_seq;

    if (!body_number(request, body, "seq", &command->seq, &has_seq)) return false;
    if (client == NULL && !has_seq) return true;
    if (client != NULL && command->seq > 0 &&
        mn_id_parse(json_text(client), &command->client) == MN_OK)
        return true;
    admin_fail_text(request, 400, "bad_request",
                    "client: an id of the form of a UUID, together with seq, from 1",
                    "see docs/API.md");
    return false;
}

/* ---- answers that are none ---- */

static struct admin_refusal refusal(uint32_t code, const char *name, const char *text,
                                    const char *hint)
{
    return (struct admin_refusal){code, name, text, hint};
}

static struct admin_refusal refusal_of_status(mn_status status)
{
    switch ((int)status) {
    case MN_TIMEOUT:
        return refusal(504, "unknown",
                       "no answer in time: it may have happened, or may yet; the same client and "
                       "seq may be sent again",
                       ADVICE);
    case MN_UNREACHABLE:
        return refusal(504, "no_quorum",
                       "no majority of the voters can be reached from here: nothing was done",
                       ADVICE);
    case MN_TOO_BIG:
        return refusal(400, "too_big", "keys have 1 to 1023 bytes, values up to 256 KiB",
                       "see docs/API.md");
    case MN_CONFIG:
        return refusal(409, "conflict",
                       "one voter would hold half of the weight or more, or the loss of one would "
                       "stop the group",
                       ADVICE);
    default: return refusal(503, "busy", mn_status_text(status), ADVICE);
    }
}

static struct admin_refusal refusal_not_found(enum strong_verb verb)
{
    if (verb == STRONG_REMOVE)
        return refusal(404, "not_found", "there is no such key", "meshctl state ls");
    return refusal(404, "not_found", "there is no such lease; it may have ended",
                   "meshctl state lease ls");
}

static struct admin_refusal refusal_malformed(enum strong_verb verb)
{
    if (verb == STRONG_ADD)
        return refusal(400, "bad_request", "the key's value is no number that can be added to",
                       "meshctl state get KEY");
    return refusal(400, "bad_request", "ttl_ms: a time from 1 s to 24 h, 1000 to 86400000",
                   "meshctl state lease grant 30s");
}

static struct admin_refusal
refusal_of_reply(enum strong_verb verb, const struct strong_reply *reply, struct mn_arena *arena)
{
    switch ((int)reply->status) {
    case MN_EXISTS:
        return refusal(409, "conflict",
                       reply->rev == 0 ? "there is no such key"
                                       : mn_arena_format(arena, "the key is at revision %llu",
                                                         (unsigned long long)reply->rev),
                       "meshctl state get KEY");
    case MN_NOT_FOUND: return refusal_not_found(verb);
    case MN_FULL:
        return refusal(507, "full", "the keyspace is full: 64 MiB, 65536 keys",
                       "meshctl state rm KEY");
    case MN_EXPIRED:
        return refusal(504, "unknown",
                       "the session has gone on, or is forgotten: whether this was applied is not "
                       "known",
                       "meshctl state get KEY");
    case MN_TOO_BIG:
        return refusal(400, "too_big", "the sum is out of range: 64 bits with a sign",
                       "meshctl state get KEY");
    default: return refusal_malformed(verb);
    }
}

bool admin_state_refusal(enum strong_verb verb, const struct state_answer *answer,
                         struct mn_arena *arena, struct admin_refusal *ret)
{
    if (answer->status != MN_OK)
        *ret = refusal_of_status(answer->status);
    else if (answer->reply.status != MN_OK)
        *ret = refusal_of_reply(verb, &answer->reply, arena);
    else
        return false;
    return true;
}

bool admin_state_refused(struct admin_request *request, enum strong_verb verb,
                         const struct state_answer *answer)
{
    struct admin_refusal refused;

    if (!admin_state_refusal(verb, answer, request->outbox->edge->arena, &refused)) return false;
    admin_fail_text(request, refused.code, refused.name, refused.text, refused.hint);
    return true;
}

bool admin_state_told(struct admin_request *request, const struct state_answer *answer)
{
    struct admin_refusal refused = refusal_of_status(answer->status);

    if (answer->status == MN_OK) return false;
    if (refused.code == 503)
        admin_fail_status(request, answer->status, mn_span(NULL, 0), ADVICE);
    else
        admin_fail_text(request, refused.code, refused.name, refused.text, refused.hint);
    return true;
}

/* ---- pairs ---- */

void admin_state_write_pair(struct reply *reply, const struct strong_pair *pair)
{
    reply_str(reply, "key", pair->key);
    reply_str(reply, "value", pair->value);
    reply_u64(reply, "rev", pair->rev);
    reply_u64(reply, "created", pair->created);
    if (pair->lease != 0)
        reply_u64(reply, "lease", pair->lease);
    else
        reply_null(reply, "lease");
}

static void get_handle(struct admin_request *request)
{
    struct state_request state = {.type = STATE_READ, .read.key = request->exchange->rest};

    if (admin_state_timeout(request, &state)) admin_ask_state(request, state);
}

static void on_get(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    if (admin_state_told(request, answer)) return;
    if (answer->pairs_count == 0) {
        admin_fail_text(request, 404, "not_found", "there is no such key", "meshctl state ls");
        return;
    }
    reply_begin(&reply, "StatePair");
    admin_state_write_pair(&reply, &answer->pairs[0]);
    admin_answer(request, 200, &reply);
}

static void list_handle(struct admin_request *request)
{
    struct state_request state = {.type = STATE_READ, .read.is_list = true};
    uint64_t limit = LIST_DEFAULT;

    if (!admin_state_query(request, "limit", 1, STRONG_LIST_MAX, &limit)) return;
    state.read.limit = (uint32_t)limit;
    state.read.key = admin_query(request, "prefix");
    state.read.after = admin_query(request, "after");
    if (admin_state_timeout(request, &state)) admin_ask_state(request, state);
}

static void on_list(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    if (admin_state_told(request, answer)) return;
    reply_begin(&reply, "StateList");
    if (answer->has_more)
        reply_str(&reply, "next", answer->pairs[answer->pairs_count - 1].key);
    else
        reply_null(&reply, "next");
    reply_u64(&reply, "rev", answer->place.rev);
    reply_array(&reply, "items");
    for (uint32_t i = 0; i < answer->pairs_count; i++) {
        reply_object(&reply, NULL);
        admin_state_write_pair(&reply, &answer->pairs[i]);
        reply_object_end(&reply);
    }
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

/* ---- commands ---- */

bool admin_state_read_put(struct admin_request *request, const struct json *body,
                          struct strong_command *command)
{
    const struct json *value = json_find_str(body, "value");
    bool is_there;

    command->verb = STRONG_PUT;
    if (!json_is(value, JSON_STRING)) {
        admin_fail_text(request, 400, "bad_request", "value: a string is needed",
                        "meshctl state put KEY VALUE");
        return false;
    }
    command->value = json_text(value);
    return body_number(request, body, "if_rev", &command->if_rev, &command->has_if_rev) &&
           body_number(request, body, "lease", &command->lease, &is_there) &&
           set_client(request, body, command);
}

/* A key that JSON cannot carry as it is would be listed as another one. False: refused. */
static bool key_is_text(struct admin_request *request)
{
    if (json_string_is_text(request->exchange->rest)) return true;
    admin_fail_text(request, 400, "bad_request", "a key is UTF-8 text", "see docs/API.md");
    return false;
}

static void put_handle(struct admin_request *request)
{
    struct state_request state = {.type = STATE_COMMAND};
    const struct json *body = admin_body(request);

    state.command.key = request->exchange->rest;
    if (body != NULL && key_is_text(request) &&
        admin_state_read_put(request, body, &state.command) && admin_state_timeout(request, &state))
        admin_ask_state(request, state);
}

bool admin_state_read_remove(struct admin_request *request, const struct json *body,
                             struct strong_command *command)
{
    command->verb = STRONG_REMOVE;
    return body_number(request, body, "if_rev", &command->if_rev, &command->has_if_rev) &&
           set_client(request, body, command);
}

static void remove_handle(struct admin_request *request)
{
    struct state_request state = {.type = STATE_COMMAND, .command.verb = STRONG_REMOVE};

    state.command.key = request->exchange->rest;
    state.command.has_if_rev = admin_query(request, "if_rev").data != NULL;
    if (admin_state_query(request, "if_rev", 0, INT64_MAX, &state.command.if_rev) &&
        admin_state_timeout(request, &state))
        admin_ask_state(request, state);
}

bool admin_state_read_add(struct admin_request *request, const struct json *body,
                          struct strong_command *command)
{
    const struct json *by = json_find_str(body, "by");

    command->verb = STRONG_ADD;
    if (by != NULL && json_i64(by, &command->by) == MN_OK)
        return set_client(request, body, command);
    admin_fail_text(request, 400, "bad_request", "by: a whole number is needed",
                    "meshctl state incr KEY 1");
    return false;
}

static void add_handle(struct admin_request *request)
{
    struct state_request state = {.type = STATE_COMMAND};
    const struct json *body = admin_body(request);

    state.command.key = request->exchange->rest;
    if (body != NULL && key_is_text(request) &&
        admin_state_read_add(request, body, &state.command) && admin_state_timeout(request, &state))
        admin_ask_state(request, state);
}

static void grant_handle(struct admin_request *request)
{
    struct state_request state = {.type = STATE_COMMAND, .command.verb = STRONG_GRANT};
    const struct json *body = admin_body(request);
    bool is_there;

    if (body != NULL && body_number(request, body, "ttl_ms", &state.command.ttl_ms, &is_there) &&
        set_client(request, body, &state.command) && admin_state_timeout(request, &state))
        admin_ask_state(request, state);
}

static void lease_handle(struct admin_request *request, enum strong_verb verb)
{
    struct state_request state = {.type = STATE_COMMAND, .command.verb = verb};

    if (!number_of(request->exchange->rest, &state.command.lease))
        admin_fail_text(request, 404, "not_found", "a lease's id is a number", "see docs/API.md");
    else if (admin_state_timeout(request, &state))
        admin_ask_state(request, state);
}

static void renew_handle(struct admin_request *request)
{
    lease_handle(request, STRONG_RENEW);
}

static void revoke_handle(struct admin_request *request)
{
    lease_handle(request, STRONG_REVOKE);
}

static void answer_done(struct admin_request *request, enum strong_verb verb,
                        const struct state_answer *answer)
{
    struct reply reply;

    if (admin_state_refused(request, verb, answer)) return;
    reply_begin(&reply, "StateDone");
    reply_u64(&reply, "rev", answer->reply.rev);
    admin_answer(request, 200, &reply);
}

static void on_put(struct admin_request *request, const struct state_answer *answer)
{
    answer_done(request, STRONG_PUT, answer);
}

static void on_remove(struct admin_request *request, const struct state_answer *answer)
{
    answer_done(request, STRONG_REMOVE, answer);
}

static void on_revoke(struct admin_request *request, const struct state_answer *answer)
{
    answer_done(request, STRONG_REVOKE, answer);
}

/* Of GRANT and RENEW, which are refused alike. */
static void on_lease(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    if (admin_state_refused(request, STRONG_GRANT, answer)) return;
    reply_begin(&reply, "StateLease");
    reply_u64(&reply, "lease", answer->reply.rev);
    reply_u64(&reply, "rev", answer->reply.rev);
    reply_u64(&reply, "ttl_ms", (uint64_t)answer->reply.number);
    admin_answer(request, 200, &reply);
}

static void leases_handle(struct admin_request *request)
{
    struct state_request state = {.type = STATE_READ, .read.is_leases = true};
    uint64_t limit = LIST_DEFAULT;

    if (!admin_state_query(request, "limit", 1, STRONG_LIST_MAX, &limit)) return;
    if (!admin_state_query(request, "after", 0, INT64_MAX, &state.read.after_lease)) return;
    state.read.limit = (uint32_t)limit;
    if (admin_state_timeout(request, &state)) admin_ask_state(request, state);
}

static void on_leases(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    if (admin_state_told(request, answer)) return;
    reply_begin(&reply, "StateLeaseList");
    if (answer->has_more)
        reply_u64(&reply, "next", answer->leases[answer->leases_count - 1].id);
    else
        reply_null(&reply, "next");
    reply_array(&reply, "items");
    for (uint32_t i = 0; i < answer->leases_count; i++) {
        const struct state_lease *lease = &answer->leases[i];
        reply_object(&reply, NULL);
        reply_u64(&reply, "lease", lease->id);
        reply_u64(&reply, "ttl_ms", lease->ttl_ms);
        reply_u64(&reply, "left_ms", lease->left_ms);
        reply_u64(&reply, "renewals", lease->renewals);
        reply_u64(&reply, "keys", lease->keys_count);
        reply_object_end(&reply);
    }
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

static void on_add(struct admin_request *request, const struct state_answer *answer)
{
    struct reply reply;

    if (admin_state_refused(request, STRONG_ADD, answer)) return;
    reply_begin(&reply, "StateDone");
    reply_u64(&reply, "rev", answer->reply.rev);
    reply_i64(&reply, "number", answer->reply.number);
    admin_answer(request, 200, &reply);
}

const struct admin_route admin_state_routes[] = {
    {"GET", "/v1/state", "prefix after limit timeout_ms", list_handle, NULL, NULL, on_list},
    {"POST", "/v1/state", "timeout_ms", admin_bundle_handle, NULL, NULL, admin_bundle_on_answer},
    {"GET", "/v1/state/*", "timeout_ms", get_handle, NULL, NULL, on_get},
    {"PUT", "/v1/state/*", "timeout_ms", put_handle, NULL, NULL, on_put},
    {"DELETE", "/v1/state/*", "if_rev timeout_ms", remove_handle, NULL, NULL, on_remove},
    {"POST", "/v1/state/*/incr", "timeout_ms", add_handle, NULL, NULL, on_add},
    {"GET", "/v1/leases", "after limit timeout_ms", leases_handle, NULL, NULL, on_leases},
    {"POST", "/v1/leases", "timeout_ms", grant_handle, NULL, NULL, on_lease},
    {"POST", "/v1/leases/*/renew", "timeout_ms", renew_handle, NULL, NULL, on_lease},
    {"DELETE", "/v1/leases/*", "timeout_ms", revoke_handle, NULL, NULL, on_revoke},
    {0},
};
