/* Join tokens. A token's text is in the answer that creates it, and nowhere else ever after. */
#include "crypto/token.h"
#include "node/admin/admin_internal.h"
#include "proto/base/text.h"

#define TOKEN_ID_SHOWN 8 /* bytes: 16 hex digits name a token everywhere */
#define PREFIX_MIN 4     /* digits that may stand for the whole id */
#define MATCHES_SHOWN 10 /* of an ambiguous one */
#define ADVICE "meshctl token ls"

static void fail(struct admin_request *request, const struct core_reply *answer)
{
    admin_fail_core(request, answer, answer->status == MN_DENIED ? "meshctl keys ls" : ADVICE);
}

static void write_token(struct reply *reply, const struct admission_token *token)
{
    char id[2 * TOKEN_ID_SHOWN + 1];

    mn_hex_encode(mn_span(token->id.bytes, TOKEN_ID_SHOWN), id);
    reply_text(reply, "id", id);
    reply_text(reply, "type", "join");
    reply_text(reply, "role", grant_role_name(token->role_max));
    reply_u64(reply, "uses", token->uses);
    reply_u64(reply, "used", token->used);
    reply_time(reply, "created", token->created_ms * MN_MS);
    reply_time(reply, "expires", token->not_after_ms * MN_MS);
    reply_bool(reply, "withdrawn", token->is_withdrawn);
}

static void list_handle(struct admin_request *request)
{
    admin_ask_core(request, (struct core_command){.type = CORE_TOKEN_LIST});
}

/* Of these each node has its own; tokens to join are listed by issuers only. */
static bool has_api_tokens(const struct admin_request *request)
{
    return guard_token_next(request->admin->guard, NULL) != NULL;
}

static void on_list(struct admin_request *request, const struct core_reply *answer)
{
    const struct guard *guard = request->admin->guard;
    const struct guard_token *token = NULL;
    struct reply reply;

    if (answer->status != MN_OK && !(answer->status == MN_DENIED && has_api_tokens(request))) {
        fail(request, answer);
        return;
    }
    reply_list_begin(&reply, "TokenList");
    while ((token = guard_token_next(guard, token)) != NULL) {
        reply_object(&reply, NULL);
        admin_token_write(&reply, token);
        reply_object_end(&reply);
    }
    for (uint32_t i = 0; i < answer->count; i++) {
        reply_object(&reply, NULL);
        write_token(&reply, &answer->items[i]);
        reply_object_end(&reply);
    }
    reply_list_end(&reply);
    admin_answer(request, 200, &reply);
}

static bool read_number(const struct json *body, const char *name, int64_t least, int64_t most,
                        int64_t *ret)
{
    const struct json *value = json_find_str(body, name);

    if (value == NULL) return true;
    return json_i64(value, ret) == MN_OK && *ret >= least && *ret <= most;
}

static void create_handle(struct admin_request *request)
{
    const struct json *body = admin_body(request), *role;
    struct core_command command = {.type = CORE_TOKEN_CREATE,
                                   .role = MESHNODE__TRUST__ROLE__ROLE_AUTO};
    int64_t uses = 1, ttl_ms = (int64_t)(MN_HOUR / MN_MS);

    enum guard_role api_role;

    if (body == NULL) return;
    role = json_find_str(body, "role");
    if (role != NULL && guard_role_parse(json_text(role), &api_role) == MN_OK) {
        admin_token_create(request, body, api_role);
        return;
    }
    if (!read_number(body, "uses", 0, 1000, &uses)) {
        admin_fail_text(request, 400, "bad_request", "uses: 0 (unlimited) to 1000",
                        "meshctl token create --uses 5");
    } else if (!read_number(body, "ttl_ms", 1000, (int64_t)(30 * MN_DAY / MN_MS), &ttl_ms)) {
        admin_fail_text(request, 400, "bad_request", "ttl_ms: one second to 30 days",
                        "meshctl token create --ttl 2h");
    } else if (role != NULL && grant_role_parse(json_text(role), &command.role) != MN_OK) {
        admin_fail_text(request, 400, "bad_request",
                        "role: auto, edge, learner or voter (joins), or admin, operator, viewer or "
                        "client (API)",
                        "meshctl token create --role voter");
    } else {
        command.uses = (uint32_t)uses;
        command.ttl_ms = (uint64_t)ttl_ms;
        admin_ask_core(request, command);
    }
}

static void on_one(struct admin_request *request, const struct core_reply *answer)
{
    struct reply reply;

    if (answer->status != MN_OK) {
        fail(request, answer);
        return;
    }
    reply_begin(&reply, "Token");
    if (answer->text.size > 0) reply_str(&reply, "token", answer->text);
    if (answer->count > 0) write_token(&reply, &answer->items[0]);
    admin_answer(request, 200, &reply);
}

/* Of a token that ended long ago its id is all that is known. */
static void on_withdrawn(struct admin_request *request, const struct core_reply *answer)
{
    char id[TOKEN_ID_TEXT_SIZE];
    struct reply reply;

    if (answer->status != MN_OK || answer->count == 0 || answer->items[0].created_ms != 0) {
        on_one(request, answer);
        return;
    }
    reply_begin(&reply, "Done");
    reply_text(&reply, "id", token_id_format(&answer->items[0].id, id));
    admin_answer(request, 200, &reply);
}

/* ---- withdrawing: the beginning of an id will do, when it is the beginning of one only ---- */

struct match {
    mn_id token;                   /* the first one */
    const struct guard_token *api; /* or this one */
    uint32_t count;
    const char *all;
};

static void match_add(struct match *match, struct mn_arena *arena, const char *id, int shown)
{
    if (match->count++ >= MATCHES_SHOWN) return;
    match->all =
        mn_arena_format(arena, "%s%s%.*s", match->all, match->count == 1 ? "" : ", ", shown, id);
}

static void match_add_join(struct match *match, struct mn_arena *arena, struct mn_span prefix,
                           const mn_id *token)
{
    char id[2 * sizeof(mn_id) + 1];

    mn_hex_encode(mn_span(token->bytes, sizeof(mn_id)), id);
    if (prefix.size >= sizeof id || memcmp(id, prefix.data, prefix.size) != 0) return;
    if (match->count > 0 && mn_id_equal(&match->token, token)) return;
    if (match->count == 0) match->token = *token;
    match_add(match, arena, id, 2 * TOKEN_ID_SHOWN);
}

static void match_find_api(const struct guard *guard, struct mn_arena *arena, struct mn_span prefix,
                           struct match *match)
{
    const struct guard_token *token = NULL;
    char id[GUARD_TOKEN_ID_SIZE];

    while ((token = guard_token_next(guard, token)) != NULL) {
        guard_token_id(token, id);
        if (prefix.size >= sizeof id || memcmp(id, prefix.data, prefix.size) != 0) continue;
        match->api = token;
        match_add(match, arena, id, (int)sizeof id);
    }
}

/* A token that ended is in no list; those who came by it still name it. */
static void match_find_members(const struct core *core, struct mn_arena *arena,
                               struct mn_span prefix, struct match *match)
{
    const struct membership *membership = core_membership(core);
    const struct member *member = NULL;

    while (membership != NULL && (member = membership_next(membership, member)) != NULL)
        if (!mn_id_is_zero(&member->record->grant.token_id))
            match_add_join(match, arena, prefix, &member->record->grant.token_id);
}

static struct match match_find(const struct admin_request *request, struct mn_span prefix,
                               const struct core_reply *list, bool with_nodes)
{
    struct mn_arena *arena = request->outbox->arena;
    struct match match = {.all = ""};

    if (prefix.size < PREFIX_MIN) return match;
    for (uint32_t i = 0; i < list->count; i++)
        match_add_join(&match, arena, prefix, &list->items[i].id);
    if (with_nodes && match.count == 0)
        match_find_members(request->admin->config.core, arena, prefix, &match);
    match_find_api(request->admin->guard, arena, prefix, &match);
    return match;
}

static void withdraw_chosen(struct admin_request *request, const struct core_reply *list)
{
    struct mn_arena *arena = request->outbox->arena;
    struct mn_span prefix = request->exchange->rest;
    bool with_nodes = mn_span_is(admin_query(request, "nodes"), "true");
    struct match match = match_find(request, prefix, list, with_nodes);
    char id[2 * sizeof(mn_id) + 1];

    if (match.count == 0) {
        admin_fail_text(request, 404, "not_found",
                        mn_arena_format(arena,
                                        "no token has an id that begins with %.*s (%d "
                                        "digits at least)",
                                        (int)prefix.size, (const char *)prefix.data, PREFIX_MIN),
                        ADVICE);
    } else if (match.count > 1) {
        admin_fail_text(request, 409, "ambiguous",
                        mn_arena_format(arena, "%.*s may be %u tokens: %s", (int)prefix.size,
                                        (const char *)prefix.data, match.count, match.all),
                        ADVICE);
    } else if (match.api != NULL) {
        admin_token_revoke(request, match.api);
    } else {
        mn_hex_encode(mn_span(match.token.bytes, sizeof(mn_id)), id);
        request->exchange->is_chosen = true;
        admin_ask_core(request, (struct core_command){.type = CORE_TOKEN_WITHDRAW,
                                                      .nodes = with_nodes,
                                                      .id = mn_arena_copy(arena, mn_span_str(id))});
    }
}

/* First the list came, then what became of the one that was chosen. */
static void withdraw_on_reply(struct admin_request *request, const struct core_reply *answer)
{
    bool is_other = answer->status == MN_DENIED && has_api_tokens(request);

    if ((answer->status != MN_OK && !is_other) || request->exchange->is_chosen)
        on_withdrawn(request, answer);
    else
        withdraw_chosen(request, answer);
}

const struct admin_route admin_token_routes[] = {
    {"GET", "/v1/tokens", NULL, list_handle, NULL, on_list, NULL},
    {"POST", "/v1/tokens", NULL, create_handle, NULL, on_one, NULL},
    {"DELETE", "/v1/tokens/*", "nodes", list_handle, NULL, withdraw_on_reply, NULL},
    {0},
};
