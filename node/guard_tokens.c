/* Credentials: API tokens and the configured bearer secrets, and who guesses at them. */
#include <sodium.h>

#include "node/guard_internal.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

#define TOKEN_PREFIX "mna1-"
#define FAILURES_ROWS_MAX 1024
#define FAILURES_PERIOD MN_MINUTE

/* ---- roles ---- */

static const char *const role_names[] = {"nobody", "client", "viewer", "operator", "admin"};

const char *guard_role_name(enum guard_role role)
{
    return role_names[role];
}

mn_status guard_role_parse(struct mn_span text, enum guard_role *ret)
{
    for (unsigned i = GUARD_CLIENT; i <= GUARD_ADMIN; i++) {
        if (!mn_span_is(text, role_names[i])) continue;
        *ret = (enum guard_role)i;
        return MN_OK;
    }
    return MN_CONFIG;
}

/* ---- the table ---- */

void guard_tokens_init(struct guard *guard)
{
    guard->tokens = mn_alloc(GUARD_TOKENS_MAX * sizeof *guard->tokens);
    mn_map_init(&guard->failures, 0);
    mn_list_init(&guard->failures_age);
}

static void failures_drop(struct guard *guard, struct guard_failures *failures)
{
    mn_map_remove(&guard->failures, &failures->entry);
    mn_list_remove(&failures->age);
    mn_free(failures->address);
    mn_free(failures);
}

void guard_tokens_done(struct guard *guard)
{
    while (!mn_list_is_empty(&guard->failures_age))
        failures_drop(guard, MN_CONTAINER(guard->failures_age.next, struct guard_failures, age));
    mn_map_done(&guard->failures);
    mn_free(guard->tokens);
}

void guard_token_make(const uint8_t secret[32], char ret[GUARD_TOKEN_TEXT_SIZE],
                      struct guard_token *token)
{
    memcpy(ret, TOKEN_PREFIX, sizeof TOKEN_PREFIX - 1);
    mn_base32_encode(mn_span(secret, 32), ret + sizeof TOKEN_PREFIX - 1);
    MN_ASSERT(strlen(ret) + 1 == GUARD_TOKEN_TEXT_SIZE);
    guard_hash(mn_span_str(ret), token->hash);
}

char *guard_token_id(const struct guard_token *token, char ret[GUARD_TOKEN_ID_SIZE])
{
    mn_hex_encode(mn_span(token->hash, GUARD_TOKEN_ID_SIZE / 2), ret);
    return ret;
}

static void tokens_take_out(struct guard *guard, uint32_t index)
{
    guard->ends++;
    guard->tokens_count--;
    for (uint32_t i = index; i < guard->tokens_count; i++)
        guard->tokens[i] = guard->tokens[i + 1];
}

mn_status guard_token_add(struct guard *guard, struct mn_now now, const struct guard_token *token)
{
    uint64_t wall_ms = mn_wall_ms(now);
    bool is_full = guard->tokens_count == GUARD_TOKENS_MAX;

    for (uint32_t i = 0; i < guard->tokens_count; i++)
        if (memcmp(guard->tokens[i].hash, token->hash, GUARD_HASH_SIZE) == 0) return MN_EXISTS;
    for (uint32_t i = guard->tokens_count; is_full && i > 0; i--)
        if (guard->tokens[i - 1].not_after_ms <= wall_ms) tokens_take_out(guard, i - 1);
    if (guard->tokens_count == GUARD_TOKENS_MAX) return MN_FULL;
    guard->tokens[guard->tokens_count] = *token;
    guard->tokens[guard->tokens_count++].principal =
        guard_principal("token", mn_span(token->hash, GUARD_HASH_SIZE));
    return MN_OK;
}

void guard_token_remove(struct guard *guard, const struct guard_token *token)
{
    for (uint32_t i = 0; i < guard->tokens_count; i++)
        if (memcmp(guard->tokens[i].hash, token->hash, GUARD_HASH_SIZE) == 0) {
            tokens_take_out(guard, i);
            return;
        }
}

const struct guard_token *guard_token_next(const struct guard *guard,
                                           const struct guard_token *token)
{
    uint32_t index = token == NULL ? 0 : (uint32_t)(token - guard->tokens) + 1;
    return index < guard->tokens_count ? &guard->tokens[index] : NULL;
}

bool guard_has_token(const struct guard *guard, struct mn_now now, const mn_id *principal)
{
    uint64_t wall_ms = mn_wall_ms(now);

    for (uint32_t i = 0; i < guard->tokens_count; i++)
        if (mn_id_equal(&guard->tokens[i].principal, principal))
            return guard->tokens[i].not_after_ms > wall_ms;
    return false;
}

/* The clock may be set back: then a token is good once more, and ends once more. */
uint64_t guard_ends(struct guard *guard, struct mn_now now)
{
    uint64_t wall_ms = mn_wall_ms(now);

    for (uint32_t i = 0; i < guard->tokens_count; i++) {
        struct guard_token *token = &guard->tokens[i];
        bool was_over = token->is_over;
        token->is_over = token->not_after_ms <= wall_ms;
        if (token->is_over && !was_over) guard->ends++;
    }
    return guard->ends;
}

void guard_token_encode(const struct guard_token *token, uint8_t ret[GUARD_TOKEN_VALUE_SIZE])
{
    memcpy(ret, token->hash, GUARD_HASH_SIZE);
    ret[GUARD_HASH_SIZE] = (uint8_t)token->role;
    mn_store_u64(ret + GUARD_HASH_SIZE + 1, token->created_ms);
    mn_store_u64(ret + GUARD_HASH_SIZE + 9, token->not_after_ms);
}

mn_status guard_token_decode(struct mn_span value, struct guard_token *ret)
{
    uint8_t role;

    if (value.size != GUARD_TOKEN_VALUE_SIZE) return MN_MALFORMED;
    role = value.data[GUARD_HASH_SIZE];
    if (role < GUARD_CLIENT || role > GUARD_ADMIN) return MN_MALFORMED;
    *ret = (struct guard_token){
        .role = (enum guard_role)role,
        .created_ms = mn_load_u64(value.data + GUARD_HASH_SIZE + 1),
        .not_after_ms = mn_load_u64(value.data + GUARD_HASH_SIZE + 9),
    };
    memcpy(ret->hash, value.data, GUARD_HASH_SIZE);
    return MN_OK;
}

/* ---- who guesses ---- */

void guard_set_proxied(struct guard *guard, bool is_proxied)
{
    guard->is_proxied = is_proxied;
}

/* What comes before the last address of X-Forwarded-For, the client may have made up. */
static struct mn_span failures_address(const struct guard *guard,
                                       const struct edge_http_request *http)
{
    struct mn_span forwarded = mn_span(NULL, 0);
    size_t begin;

    if (!guard->is_proxied) return http->address;
    for (uint32_t i = 0; i < http->headers_count; i++)
        if (mn_span_is(http->headers[i].name, "x-forwarded-for"))
            forwarded = http->headers[i].value; /* the last line of several */
    begin = forwarded.size;
    while (begin > 0 && forwarded.data[begin - 1] != ',')
        begin--;
    forwarded = guard_trim(mn_span(forwarded.data + begin, forwarded.size - begin));
    return forwarded.size == 0 || forwarded.size > 64 ? http->address : forwarded;
}

static struct guard_failures *failures_find(struct guard *guard, struct mn_span address)
{
    struct mn_map_entry *entry = mn_map_find(&guard->failures, address);
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct guard_failures, entry);
}

static void failures_expire(struct guard *guard, mn_time now)
{
    while (!mn_list_is_empty(&guard->failures_age)) {
        struct guard_failures *oldest =
            MN_CONTAINER(guard->failures_age.next, struct guard_failures, age);
        if (now - oldest->since < FAILURES_PERIOD) break;
        failures_drop(guard, oldest);
    }
    if (now - guard->rest.since >= FAILURES_PERIOD) guard->rest.count = 0;
}

static bool failures_are_too_many(struct guard *guard, mn_time now, struct mn_span address)
{
    const struct guard_failures *failures;

    failures_expire(guard, now);
    failures = failures_find(guard, address);
    if (failures == NULL && guard->failures.count < FAILURES_ROWS_MAX) return false;
    if (failures == NULL) failures = &guard->rest;
    return failures->count >= GUARD_FAILURES_MAX;
}

static void failures_count(struct guard *guard, mn_time now, struct mn_span address)
{
    struct guard_failures *failures = failures_find(guard, address);

    if (failures == NULL && guard->failures.count >= FAILURES_ROWS_MAX) {
        failures = &guard->rest;
        if (failures->count == 0) failures->since = now;
    } else if (failures == NULL) {
        failures = mn_alloc(sizeof *failures);
        failures->address = mn_alloc(address.size + 1);
        if (address.size > 0) memcpy(failures->address, address.data, address.size);
        failures->since = now;
        mn_map_insert(&guard->failures, &failures->entry, mn_span_str(failures->address));
        mn_list_push_back(&guard->failures_age, &failures->age);
    }
    failures->count++;
}

/* ---- judging ---- */

static bool span_has(struct mn_span text, const char *part)
{
    size_t size = strlen(part);

    for (size_t i = 0; i + size <= text.size; i++)
        if (memcmp(text.data + i, part, size) == 0) return true;
    return false;
}

/* RFC 6750 allows ?access_token=; logs, histories and Referer headers then have it. */
static bool is_in_query(struct mn_span target)
{
    static const char *const signs[] = {TOKEN_PREFIX, "mnt1-", "access_token=", "api_token="};
    const uint8_t *mark = target.size == 0 ? NULL : memchr(target.data, '?', target.size);

    if (mark == NULL) return false;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (span_has(mn_span(mark, target.size - (size_t)(mark - target.data)), signs[i]))
            return true;
    return false;
}

/* Looks at every secret, whichever it is. */
static bool guard_find_secret(const struct guard *guard, struct mn_now now, struct mn_span secret,
                              enum guard_role *role, mn_id *principal)
{
    uint64_t wall_ms = mn_wall_ms(now);
    uint8_t hash[GUARD_HASH_SIZE];
    bool is_found = false;

    guard_hash(secret, hash);
    for (uint32_t i = 0; i < guard->bearers_count; i++) {
        if (sodium_memcmp(hash, guard->bearers[i].hash, sizeof hash) != 0) continue;
        *principal = guard->bearers[i].principal;
        *role = GUARD_CLIENT;
        is_found = true;
    }
    for (uint32_t i = 0; i < guard->tokens_count; i++) {
        const struct guard_token *token = &guard->tokens[i];
        if (sodium_memcmp(hash, token->hash, sizeof hash) != 0) continue;
        if (token->not_after_ms <= wall_ms) continue;
        *principal = token->principal;
        *role = token->role;
        is_found = true;
    }
    return is_found;
}

/* The secret of an Authorization header; data == NULL: it is none, or of another scheme. */
static struct mn_span bearer_of(struct mn_span authorization)
{
    struct mn_span scheme = mn_span_str("Bearer ");

    if (authorization.size <= scheme.size ||
        !guard_equal_name(mn_span(authorization.data, scheme.size), scheme))
        return mn_span(NULL, 0);
    return guard_trim(mn_span(authorization.data + scheme.size, authorization.size - scheme.size));
}

enum guard_verdict guard_judge(struct guard *guard, struct mn_now now,
                               const struct edge_http_request *http, enum guard_role *role,
                               mn_id *principal)
{
    struct mn_span secret = bearer_of(guard_header(http, "authorization"));
    struct mn_span prefix = mn_span_str(TOKEN_PREFIX), address;
    bool is_api_token;

    *role = GUARD_NOBODY;
    if (http->listener == EDGE_LISTENER_ADMIN) {
        *role = GUARD_ADMIN;
        *principal = guard_principal_uid(http->uid);
        return GUARD_PASSED;
    }
    if (is_in_query(http->target)) return GUARD_IN_QUERY;
    is_api_token =
        secret.size >= prefix.size && memcmp(secret.data, TOKEN_PREFIX, prefix.size) == 0;
    if (guard->bearers_count == 0 && !is_api_token) {
        *principal = guard->anonymous;
        return GUARD_PASSED;
    }
    if (secret.size == 0) return GUARD_UNKNOWN; /* it guesses at nothing */
    address = failures_address(guard, http);
    if (failures_are_too_many(guard, now.mono, address)) return GUARD_TOO_OFTEN;
    if (guard_find_secret(guard, now, secret, role, principal)) return GUARD_PASSED;
    failures_count(guard, now.mono, address);
    return GUARD_UNKNOWN;
}
