/* Founding a mesh, and its tokens: made, listed, withdrawn, forgotten after their time. */
#include <sodium.h>

#include "mesh/admission_internal.h"
#include "proto/base/check.h"
#include "proto/base/text.h"

#define INVITE_KEEP_MS ((uint64_t)86400 * 1000) /* after its end, so that late joiners hear why */
#define TOKEN_PREFIX_MIN 4                      /* hex digits that users must give of an id */

/* ---- the set of invites ---- */

struct invite_entry *admission_find_invite(const struct admission *a, const mn_id *token_id)
{
    struct mn_map_entry *entry =
        mn_map_find(&a->invites, mn_span(token_id->bytes, sizeof token_id->bytes));

    return entry == NULL ? NULL : MN_CONTAINER(entry, struct invite_entry, entry);
}

static struct invite_entry *admission_add_invite(struct admission *a, const mn_id *token_id)
{
    struct invite_entry *entry = admission_find_invite(a, token_id);

    if (entry != NULL) return entry;
    if (a->invites.count == ADMISSION_INVITES_MAX) return NULL;
    entry = mn_pool_alloc(&a->pool, sizeof *entry);
    if (entry == NULL) return NULL;
    entry->invite.token_id = *token_id;
    mn_map_insert(&a->invites, &entry->entry,
                  mn_span(entry->invite.token_id.bytes, sizeof token_id->bytes));
    return entry;
}

struct invite_entry *admission_keep_invite(struct admission *a, struct mn_span bytes)
{
    struct mn_buf *copy = mn_buf_copy(bytes);
    struct invite_entry *entry = NULL;
    struct invite invite;

    if (invite_decode(mn_buf_span(copy), &invite) == MN_OK)
        entry = admission_add_invite(a, &invite.token_id);
    if (entry == NULL) {
        mn_buf_unref(copy);
        return NULL;
    }
    mn_buf_unref(entry->bytes);
    entry->bytes = copy;
    entry->invite = invite;
    return entry;
}

struct invite_entry *admission_keep_withdrawal(struct admission *a, const mn_id *token_id)
{
    struct invite_entry *entry = admission_add_invite(a, token_id);

    if (entry != NULL) entry->is_withdrawn = true;
    return entry;
}

/* What another issuer made. The first invite of a token is the one that counts. */
void admission_on_item(struct admission *a, bool is_withdrawal, struct mn_span bytes)
{
    struct invite_withdraw withdraw;
    struct invite invite;

    if (is_withdrawal) {
        if (invite_withdraw_decode(bytes, &withdraw) == MN_OK)
            (void)admission_keep_withdrawal(a, &withdraw.token_id);
    } else if (invite_decode(bytes, &invite) == MN_OK) {
        const struct invite_entry *entry = admission_find_invite(a, &invite.token_id);
        if (entry == NULL || entry->bytes == NULL) (void)admission_keep_invite(a, bytes);
    }
}

static void admission_emit_item(struct admission *a, bool is_withdrawal, struct mn_span bytes)
{
    struct admission_output *output = admission_emit(a, ADMISSION_OUT_ITEM);

    output->item.is_withdrawal = is_withdrawal;
    output->item.bytes = mn_arena_copy(a->outbox->arena, bytes);
}

static void admission_drop_invite(struct admission *a, struct invite_entry *entry)
{
    mn_map_remove(&a->invites, &entry->entry);
    mn_buf_unref(entry->bytes);
    mn_pool_free(&a->pool, entry);
}

void admission_invites_done(struct admission *a)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&a->invites, NULL)) != NULL)
        admission_drop_invite(a, MN_CONTAINER(entry, struct invite_entry, entry));
    mn_map_done(&a->invites);
}

static void admission_forget_bootstrap(struct admission *a)
{
    admission_emit(a, ADMISSION_OUT_SECRET)->secret.what = ADMISSION_SECRET_JOIN_TOKEN;
    admission_persist_delete(a, "bootstrap");
    a->bootstrap_token = (mn_id){{0}};
}

static void admission_expire_invite(struct admission *a, struct invite_entry *entry)
{
    uint64_t wall_ms = mn_wall_ms(a->now), end_ms = entry->invite.not_after_ms;

    if (wall_ms < end_ms) return;
    if (mn_id_equal(&entry->invite.token_id, &a->bootstrap_token)) admission_forget_bootstrap(a);
    if (wall_ms - end_ms < INVITE_KEEP_MS) return;
    admission_persist_delete(a, admission_key(a, "invite", &entry->invite.token_id));
    if (entry->is_withdrawn)
        admission_persist_delete(a, admission_key(a, "withdrawn", &entry->invite.token_id));
    admission_drop_invite(a, entry);
}

void admission_expire_invites(struct admission *a)
{
    struct mn_map_entry *at = mn_map_next(&a->invites, NULL);

    while (at != NULL) {
        struct mn_map_entry *next = mn_map_next(&a->invites, at);
        admission_expire_invite(a, MN_CONTAINER(at, struct invite_entry, entry));
        at = next;
    }
}

/* ---- making ---- */

static struct admission_token admission_token_row(const struct admission *a,
                                                  const struct invite_entry *entry)
{
    const struct invite *invite = &entry->invite;

    return (struct admission_token){.id = invite->token_id,
                                    .uses = invite->uses,
                                    .used = admission_token_uses(a, &invite->token_id),
                                    .created_ms = invite->created_ms,
                                    .not_after_ms = invite->not_after_ms,
                                    .role_max = invite->role_max,
                                    .is_withdrawn = entry->is_withdrawn};
}

static struct admission_output *admission_reply(struct admission *a, uint64_t request,
                                                mn_status status)
{
    struct admission_output *output = admission_emit(a, ADMISSION_OUT_TOKEN);

    output->after_write = true;
    output->token.request = request;
    output->token.status = status;
    return output;
}

/* Signs and stores the invite of [token]; NULL when there are too many. */
static struct invite_entry *admission_register(struct admission *a, const struct token *token,
                                               struct invite *invite)
{
    const struct authority *head = authority_chain_head(&a->chain);
    struct invite_entry *entry;
    struct sign_key key;
    struct mn_buf *bytes;

    token_key(token, &key);
    invite->token_id = digest_token_id(key.pk);
    memcpy(invite->token_pk, key.pk, SIGN_PK_SIZE);
    sign_key_done(&key);
    invite->created_ms = mn_wall_ms(a->now);
    invite->issuer_eligible = invite->role_max == ROLE(VOTER);
    bytes = invite_sign(invite, &head->mesh_id, &a->config.self->key);
    entry = admission_keep_invite(a, mn_buf_span(bytes));
    mn_buf_unref(bytes);
    if (entry == NULL) return NULL;
    admission_persist(a, admission_key(a, "invite", &invite->token_id), mn_buf_span(entry->bytes));
    admission_emit_item(a, false, mn_buf_span(entry->bytes));
    return entry;
}

static void admission_draw_token(struct admission *a, struct token *token)
{
    uint8_t secret[TOKEN_SECRET_SIZE];

    rng_bytes(&a->rng, secret, sizeof secret);
    token_init(token, authority_pin(authority_chain_head(&a->chain)), secret);
    sodium_memzero(secret, sizeof secret);
}

static struct mn_span admission_token_text(struct admission *a, const struct token *token)
{
    char text[TOKEN_TEXT_SIZE];
    struct mn_span copy;

    token_encode(token, text);
    copy = mn_arena_copy(a->outbox->arena, mn_span_str(text));
    sodium_memzero(text, sizeof text);
    return copy;
}

static mn_status admission_read_create(const struct admission *a,
                                       const struct admission_input *input, struct invite *ret)
{
    struct mn_span name = input->token_create.name, region = input->token_create.region;

    if (!admission_is_issuer(a)) return MN_DENIED;
    if (input->token_create.ttl_ms == 0 || input->token_create.ttl_ms > INVITE_TTL_MAX_MS)
        return MN_CONFIG;
    if (input->token_create.uses > INVITE_USES_MAX) return MN_CONFIG;
    if (name.size > 0 && !grant_name_is_valid(name)) return MN_CONFIG;
    if (!grant_region_is_valid(region)) return MN_CONFIG;
    *ret = (struct invite){.uses = input->token_create.uses,
                           .not_after_ms = mn_wall_ms(a->now) + input->token_create.ttl_ms,
                           .role_max = input->token_create.role_max};
    if (name.size > 0) memcpy(ret->name, name.data, name.size);
    if (region.size > 0) memcpy(ret->region, region.data, region.size);
    return MN_OK;
}

void admission_on_token_create(struct admission *a, const struct admission_input *input)
{
    struct admission_output *output;
    struct invite_entry *entry;
    struct invite invite;
    struct token token;
    mn_status status = admission_read_create(a, input, &invite);

    if (status == MN_OK && admission_clock_is_off(a)) status = MN_NOT_YET;
    if (status != MN_OK) {
        admission_reply(a, input->token_create.request, status);
        return;
    }
    admission_expire_invites(a);
    admission_draw_token(a, &token);
    entry = admission_register(a, &token, &invite);
    output = admission_reply(a, input->token_create.request, entry == NULL ? MN_FULL : MN_OK);
    if (entry != NULL) {
        output->token.text = admission_token_text(a, &token);
        output->token.token = admission_token_row(a, entry);
    }
    token_done(&token);
}

/* ---- listing, withdrawing ---- */

static bool admission_row_is_before(const struct admission_token *x,
                                    const struct admission_token *y)
{
    if (x->created_ms != y->created_ms) return x->created_ms < y->created_ms;
    return mn_id_compare(&x->id, &y->id) < 0;
}

/* Insertion sort: few rows, and mostly in order already. */
static void admission_insert_row(struct admission_token *rows, uint32_t count,
                                 const struct admission_token *row)
{
    while (count > 0 && admission_row_is_before(row, &rows[count - 1])) {
        rows[count] = rows[count - 1];
        count--;
    }
    rows[count] = *row;
}

void admission_on_token_list(struct admission *a, uint64_t request)
{
    struct admission_token *rows =
        mn_arena_alloc(a->outbox->arena, (a->invites.count + 1) * sizeof *rows);
    struct admission_output *output;
    uint32_t count = 0;

    for (struct mn_map_entry *at = mn_map_next(&a->invites, NULL); at != NULL;
         at = mn_map_next(&a->invites, at)) {
        const struct invite_entry *entry = MN_CONTAINER(at, struct invite_entry, entry);
        struct admission_token row = admission_token_row(a, entry);
        if (entry->bytes != NULL) admission_insert_row(rows, count++, &row);
    }
    output = admission_emit(a, ADMISSION_OUT_TOKENS);
    output->tokens.request = request;
    output->tokens.status = admission_is_issuer(a) ? MN_OK : MN_DENIED;
    output->tokens.items = rows;
    output->tokens.count = count;
}

static bool admission_id_begins_with(const mn_id *id, struct mn_span prefix)
{
    char hex[2 * sizeof id->bytes + 1];

    mn_hex_encode(mn_span(id->bytes, sizeof id->bytes), hex);
    return prefix.size < sizeof hex && memcmp(hex, prefix.data, prefix.size) == 0;
}

/* The one invite whose id begins so; MN_NOT_FOUND, or MN_EXISTS when several do. */
static mn_status admission_match_invite(struct admission *a, struct mn_span prefix,
                                        struct invite_entry **ret)
{
    struct invite_entry *found = NULL;

    if (prefix.size < TOKEN_PREFIX_MIN) return MN_CONFIG;
    for (struct mn_map_entry *at = mn_map_next(&a->invites, NULL); at != NULL;
         at = mn_map_next(&a->invites, at)) {
        struct invite_entry *entry = MN_CONTAINER(at, struct invite_entry, entry);
        if (entry->bytes == NULL || !admission_id_begins_with(&entry->invite.token_id, prefix))
            continue;
        if (found != NULL) return MN_EXISTS;
        found = entry;
    }
    if (found == NULL) return MN_NOT_FOUND;
    *ret = found;
    return MN_OK;
}

static void admission_withdraw(struct admission *a, struct invite_entry *entry)
{
    const struct authority *head = authority_chain_head(&a->chain);
    struct invite_withdraw withdraw = {.token_id = entry->invite.token_id,
                                       .at_ms = mn_wall_ms(a->now)};
    struct mn_buf *bytes = invite_withdraw_sign(&withdraw, &head->mesh_id, &a->config.self->key);

    entry->is_withdrawn = true;
    admission_persist(a, admission_key(a, "withdrawn", &entry->invite.token_id),
                      mn_buf_span(bytes));
    admission_emit_item(a, true, mn_buf_span(bytes));
    mn_buf_unref(bytes);
    if (mn_id_equal(&entry->invite.token_id, &a->bootstrap_token)) admission_forget_bootstrap(a);
}

/* With a clock that is off it would say when to members that do not believe it: not at all, then.
 */
void admission_on_token_withdraw(struct admission *a, const struct admission_input *input)
{
    struct invite_entry *entry = NULL;
    struct admission_token row = {.is_withdrawn = true};
    struct mn_span id = input->token_withdraw.id;
    mn_status status = MN_DENIED;
    struct admission_output *output;

    if (admission_is_issuer(a)) status = admission_match_invite(a, id, &entry);
    if (status == MN_OK && admission_clock_is_off(a)) status = MN_NOT_YET;
    if (status == MN_OK && !entry->is_withdrawn) admission_withdraw(a, entry);
    if (status == MN_OK) row = admission_token_row(a, entry);
    if (status == MN_NOT_FOUND && input->token_withdraw.is_revoked)
        status = mn_hex_decode(id, row.id.bytes, sizeof row.id.bytes);
    output = admission_reply(a, input->token_withdraw.request, status);
    if (status == MN_OK) output->token.token = row;
}

/* ---- founding ---- */

static void admission_emit_secret(struct admission *a, enum admission_secret what,
                                  struct mn_span bytes)
{
    struct admission_output *output = admission_emit(a, ADMISSION_OUT_SECRET);

    output->secret.what = what;
    output->secret.bytes = bytes;
}

/* The root key leaves the process at once, and signs nothing but the genesis here. */
static void admission_make_genesis(struct admission *a)
{
    uint8_t seed[SIGN_SEED_SIZE];
    struct sign_key root;
    struct mn_buf *document;
    mn_status status;

    rng_bytes(&a->rng, seed, sizeof seed);
    sign_key_init(&root, seed);
    admission_emit_secret(a, ADMISSION_SECRET_ROOT_KEY,
                          mn_arena_copy(a->outbox->arena, mn_span(seed, sizeof seed)));
    document = authority_genesis_make(&(struct authority_genesis){
        .root = &root,
        .founder = a->config.self->key.pk,
        .grant_ttl_ms = a->config.grant_ttl_ms,
        .created_ms = mn_wall_ms(a->now),
        .dev = a->config.dev,
    });
    sign_key_done(&root);
    sodium_memzero(seed, sizeof seed);
    authority_chain_done(&a->chain);
    status = authority_chain_start(&a->chain, mn_buf_span(document));
    MN_ASSERT(status == MN_OK);
    mn_buf_unref(document);
    admission_store_chain(a, 0);
}

/* A token that was there before its mesh vouches for it. */
static void admission_vouch(struct admission *a, const struct token *token)
{
    const struct authority *genesis = authority_chain_head(&a->chain);
    struct invite_found found = {.mesh_id = genesis->mesh_id};
    struct sign_key key;
    struct mn_buf *bytes;

    memcpy(found.genesis_pin, authority_pin(genesis), DIGEST_PIN_SIZE);
    token_key(token, &key);
    bytes = invite_found_sign(&found, &key);
    admission_keep_found(a, mn_span(key.pk, SIGN_PK_SIZE), mn_buf_span(bytes), true);
    mn_buf_unref(bytes);
    sign_key_done(&key);
}

/* The token of the first nodes: given by the founder's operator, or drawn and left in a file. */
static void admission_make_bootstrap(struct admission *a, struct token *token, bool is_given)
{
    struct invite invite = {.uses = is_given ? 0 : ADMISSION_BOOTSTRAP_USES,
                            .not_after_ms = mn_wall_ms(a->now) + ADMISSION_BOOTSTRAP_TTL_MS,
                            .role_max = ROLE(VOTER)};
    struct admission_output *output;
    struct invite_entry *entry;

    if (is_given)
        admission_vouch(a, token);
    else
        admission_draw_token(a, token);
    entry = admission_register(a, token, &invite);
    if (entry == NULL) return; /* the configured memory does not hold one invite */
    if (!is_given) {
        a->bootstrap_token = invite.token_id;
        admission_persist(a, "bootstrap", mn_span(invite.token_id.bytes, 16));
        admission_emit_secret(a, ADMISSION_SECRET_JOIN_TOKEN, admission_token_text(a, token));
    }
    output = admission_reply(a, 0, MN_OK);
    output->token.text = admission_token_text(a, token);
    output->token.token = admission_token_row(a, entry);
}

static mn_status admission_read_given(struct mn_span text, struct token *ret)
{
    mn_status status = token_decode(text, ret);

    if (status != MN_OK) return status;
    if (!ret->has_secret) return MN_CONFIG;
    return token_has_pin(ret) ? MN_WRONG_MESH : MN_OK; /* it belongs to a mesh that exists */
}

void admission_on_found_input(struct admission *a, struct mn_span token_text)
{
    struct token token = {.has_secret = false};
    struct admission_output *output;
    bool is_given = token_text.size > 0;
    mn_status status = is_given ? admission_read_given(token_text, &token) : MN_OK;

    if (a->state != ADMISSION_EMPTY) status = MN_STATE;
    if (status != MN_OK) {
        admission_reply(a, 0, status);
        return;
    }
    admission_make_genesis(a);
    admission_issue_to_self(a, VIA(GENESIS));
    a->joining.is_known = true;
    a->state = ADMISSION_MEMBER;
    admission_make_bootstrap(a, &token, is_given);
    token_done(&token);
    output = admission_emit(a, ADMISSION_OUT_JOINED);
    output->after_write = true;
    admission_trace(a, MN_EV_MESH_FOUNDED, &a->config.self->node_id, 0, 0, NULL);
}
