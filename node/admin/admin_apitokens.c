/* API tokens: what operators and MCP clients show over HTTP. This node knows their hashes only; a
 * token's text is in the answer that makes it, and nowhere else ever after. */
#include <sodium.h>

#include "node/admin/admin_internal.h"

#define TTL_DEFAULT_MS ((int64_t)(30 * MN_DAY / MN_MS))
#define TTL_MAX_MS ((int64_t)(365 * MN_DAY / MN_MS))

void admin_token_recover(struct admin *admin, struct mn_now now, struct mn_span value)
{
    struct guard_token token;

    /* The store is ours, but a disk can lie: what does not decode is left out. */
    if (guard_token_decode(value, &token) == MN_OK)
        (void)!guard_token_add(admin->guard, now, &token);
}

void admin_token_write(struct reply *reply, const struct guard_token *token)
{
    char id[GUARD_TOKEN_ID_SIZE];

    reply_text(reply, "id", guard_token_id(token, id));
    reply_text(reply, "type", "api");
    reply_text(reply, "role", guard_role_name(token->role));
    reply_time(reply, "created", token->created_ms * MN_MS);
    reply_time(reply, "expires", token->not_after_ms * MN_MS);
}

static const char *store_key(struct admin_request *request, const struct guard_token *token)
{
    char id[GUARD_TOKEN_ID_SIZE];

    return mn_arena_format(request->outbox->arena, ADMIN_KEY_PREFIX "%s",
                           guard_token_id(token, id));
}

static bool read_ttl(const struct json *body, int64_t *ret_ms)
{
    const struct json *value = json_find_str(body, "ttl_ms");

    *ret_ms = TTL_DEFAULT_MS;
    if (value == NULL) return true;
    return json_i64(value, ret_ms) == MN_OK && *ret_ms >= 1000 && *ret_ms <= TTL_MAX_MS;
}

static void token_answer(struct admin_request *request, const struct guard_token *token,
                         const char *text)
{
    struct reply reply;

    reply_begin(&reply, "Token");
    if (text != NULL) reply_text(&reply, "token", text);
    admin_token_write(&reply, token);
    admin_answer_durable(request, &reply);
}

void admin_token_create(struct admin_request *request, const struct json *body,
                        enum guard_role role)
{
    struct admin *admin = request->admin;
    uint8_t secret[32], value[GUARD_TOKEN_VALUE_SIZE];
    char text[GUARD_TOKEN_TEXT_SIZE];
    struct guard_token token = {.role = role, .created_ms = mn_wall_ms(request->now)};
    int64_t ttl_ms;

    if (!read_ttl(body, &ttl_ms)) {
        admin_fail_text(request, 400, "bad_request", "ttl_ms: one second to 365 days",
                        "meshctl token create --role viewer --ttl 30d");
        return;
    }
    token.not_after_ms = token.created_ms + (uint64_t)ttl_ms;
    rng_bytes(&admin->rng, secret, sizeof secret);
    guard_token_make(secret, text, &token);
    sodium_memzero(secret, sizeof secret);
    if (guard_token_add(admin->guard, request->now, &token) == MN_OK) {
        guard_token_encode(&token, value);
        admin_store(request, store_key(request, &token), mn_span(value, sizeof value));
        token_answer(request, &token, text);
    } else {
        admin_fail_text(request, 503, "busy", "this node has 1,024 API tokens already",
                        "meshctl token revoke ID");
    }
    sodium_memzero(text, sizeof text);
}

/* It is refused from now on; the answer says so once it stays so. */
void admin_token_revoke(struct admin_request *request, const struct guard_token *token)
{
    struct guard_token copy = *token;

    guard_token_remove(request->admin->guard, token);
    admin_store(request, store_key(request, &copy), mn_span(NULL, 0));
    token_answer(request, &copy, NULL);
}
