/* The issuer: who gets a grant. Everything it gives is stored before the answer leaves, and the
 * same key never costs a second use. */
#include "mesh/admission_internal.h"
#include "proto/base/check.h"

/* ---- who holds grants ---- */

static struct holder *admission_find_holder(const struct admission *a, const mn_id *node_id)
{
    struct mn_map_entry *entry =
        mn_map_find(&a->holders, mn_span(node_id->bytes, sizeof node_id->bytes));

    return entry == NULL ? NULL : MN_CONTAINER(entry, struct holder, entry);
}

/* Decodes [bytes] into the holder, which keeps its own copy. */
static mn_status admission_set_holder(struct holder *holder, struct mn_span bytes)
{
    struct mn_buf *copy = mn_buf_copy(bytes);
    mn_status status = grant_decode(mn_buf_span(copy), &holder->grant);

    if (status != MN_OK) {
        mn_buf_unref(copy);
        return status;
    }
    mn_buf_unref(holder->bytes);
    holder->bytes = copy;
    return MN_OK;
}

struct holder *admission_keep_holder(struct admission *a, struct mn_span grant_bytes)
{
    struct holder *holder;
    struct grant grant;

    if (grant_decode(grant_bytes, &grant) != MN_OK) return NULL;
    holder = admission_find_holder(a, &grant.node_id);
    if (holder == NULL) {
        holder = mn_pool_alloc(&a->pool, sizeof *holder);
        if (holder == NULL) return NULL;
        holder->grant.node_id = grant.node_id;
        mn_map_insert(&a->holders, &holder->entry,
                      mn_span(holder->grant.node_id.bytes, sizeof grant.node_id.bytes));
    }
    /* Same id, so the map's key bytes stay what they are. */
    if (admission_set_holder(holder, grant_bytes) != MN_OK) return NULL;
    return holder;
}

static void admission_drop_holder(struct admission *a, struct holder *holder)
{
    mn_map_remove(&a->holders, &holder->entry);
    mn_buf_unref(holder->bytes);
    mn_pool_free(&a->pool, holder);
}

void admission_holders_done(struct admission *a)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&a->holders, NULL)) != NULL)
        admission_drop_holder(a, MN_CONTAINER(entry, struct holder, entry));
    mn_map_done(&a->holders);
}

static bool admission_is_renewable(const struct admission *a, const struct grant *grant)
{
    uint64_t wall_ms = mn_wall_ms(a->now);

    return wall_ms < grant->not_after_ms || wall_ms - grant->not_after_ms < ADMISSION_RENEW_MAX_MS;
}

/* Nobody renews such a grant any more, and the token it came by is long gone. */
void admission_expire_holders(struct admission *a)
{
    struct mn_map_entry *at = mn_map_next(&a->holders, NULL);

    while (at != NULL) {
        struct mn_map_entry *next = mn_map_next(&a->holders, at);
        struct holder *holder = MN_CONTAINER(at, struct holder, entry);
        if (!holder->is_live && !admission_is_renewable(a, &holder->grant)) {
            if (holder->is_issued)
                admission_persist_delete(a, admission_key(a, "issued", &holder->grant.node_id));
            admission_drop_holder(a, holder);
        }
        at = next;
    }
}

static void admission_set_zone(struct holder *holder, struct mn_span zone)
{
    memset(holder->zone, 0, sizeof holder->zone);
    if (zone.size > 0 && zone.size < sizeof holder->zone)
        memcpy(holder->zone, zone.data, zone.size);
}

/* What membership sees counts as well as the store: a disk that was rolled back does not reopen a
 * token, and names of nodes that others let in are taken too. */
void admission_on_peer_input(struct admission *a, const struct admission_input *input)
{
    struct holder *holder;

    holder = admission_find_holder(a, &input->peer.node_id);
    if (input->peer.grant.size > 0) {
        struct grant grant;
        if (grant_decode(input->peer.grant, &grant) != MN_OK) return;
        if (!mn_id_equal(&grant.node_id, &input->peer.node_id)) return;
        if (holder == NULL || grant.not_after_ms > holder->grant.not_after_ms)
            holder = admission_keep_holder(a, input->peer.grant);
    }
    if (holder == NULL) return;
    if (input->peer.is_live && !holder->is_live) holder->live_since = a->now.mono;
    admission_set_zone(holder, input->peer.zone);
    holder->is_live = input->peer.is_live;
    if (!holder->is_live) holder->held_until = 0; /* its name is free */
}

uint32_t admission_token_uses(const struct admission *a, const mn_id *token_id)
{
    uint32_t uses = a->grant_bytes != NULL && mn_id_equal(&a->grant.token_id, token_id); /* ours */

    for (struct mn_map_entry *at = mn_map_next(&a->holders, NULL); at != NULL;
         at = mn_map_next(&a->holders, at)) {
        const struct holder *holder = MN_CONTAINER(at, struct holder, entry);
        if (mn_id_equal(&holder->grant.token_id, token_id)) uses++;
    }
    return uses;
}

static bool admission_name_is_taken(const struct admission *a, const char *name,
                                    const mn_id *by_other_than)
{
    if (mn_id_equal(&a->config.self->node_id, by_other_than)) return false;
    if (strcmp(a->grant.name, name) == 0) return true;
    for (struct mn_map_entry *at = mn_map_next(&a->holders, NULL); at != NULL;
         at = mn_map_next(&a->holders, at)) {
        const struct holder *holder = MN_CONTAINER(at, struct holder, entry);
        if (mn_id_equal(&holder->grant.node_id, by_other_than)) continue;
        if (!holder->is_live && a->now.mono >= holder->held_until) continue;
        if (strcmp(holder->grant.name, name) == 0) return true;
    }
    return false;
}

/* ---- issuing ---- */

/* Completes the fields that every grant has, signs. */
static struct mn_buf *admission_sign_grant(struct admission *a, struct grant *grant)
{
    const struct authority *head = authority_chain_head(&a->chain);
    uint64_t wall_ms = mn_wall_ms(a->now);

    grant->mesh_id = head->mesh_id;
    grant->serial = rng_id(&a->rng);
    grant->authority_version = authority_chain_since(&a->chain, a->config.self->key.pk);
    grant->not_before_ms = wall_ms > GRANT_TOLERANCE_MS ? wall_ms - GRANT_TOLERANCE_MS : 0;
    grant->not_after_ms = wall_ms + head->grant_ttl_ms;
    return grant_sign(grant, &a->config.self->key);
}

/* Signs and stores; the answer is the holder's copy. */
static admission_code admission_issue(struct admission *a, struct grant *grant,
                                      struct mn_span *ret_grant)
{
    struct mn_buf *bytes = admission_sign_grant(a, grant);
    struct holder *holder = admission_keep_holder(a, mn_buf_span(bytes));

    mn_buf_unref(bytes);
    if (holder == NULL) return CODE(BUSY);
    holder->is_issued = true;
    holder->held_until = mn_time_after(a->now.mono, ADMISSION_NAME_HOLD);
    admission_persist(a, admission_key(a, "issued", &holder->grant.node_id),
                      mn_buf_span(holder->bytes));
    *ret_grant = mn_buf_span(holder->bytes);
    return CODE(NONE);
}

void admission_issue_to_self(struct admission *a, grant_via via)
{
    struct grant grant = {.role_max = ROLE(VOTER), .issuer_eligible = true, .via = via};
    struct mn_buf *bytes;

    if (a->grant_bytes != NULL) grant.token_id = a->grant.token_id;
    memcpy(grant.sign_pk, a->config.self->key.pk, SIGN_PK_SIZE);
    memcpy(grant.name, a->name, sizeof grant.name);
    memcpy(grant.region, a->region, sizeof grant.region);
    bytes = admission_sign_grant(a, &grant);
    admission_adopt_grant(a, mn_buf_span(bytes));
    mn_buf_unref(bytes);
}

/* ---- renewal ---- */

/* From half of its life on; or it was made while the issuer's clock was ahead. */
static bool admission_wants_renewal(struct admission *a, const struct grant *grant)
{
    uint64_t wall_ms = mn_wall_ms(a->now);

    if (admission_clock_is_off(a)) return false;
    return wall_ms < grant->not_before_ms ||
           wall_ms >= grant->not_before_ms + (grant->not_after_ms - grant->not_before_ms) / 2;
}

static admission_code admission_reissue(struct admission *a, const struct grant *old,
                                        struct mn_span *ret_grant)
{
    struct grant grant = *old;

    grant.via = VIA(RENEW);
    MN_PROBE("admission: a grant is renewed");
    return admission_issue(a, &grant, ret_grant);
}

/* The grant that the JOIN of a renewal carries stands in for one that our store does not have. */
static bool admission_carried_grant(struct admission *a, const struct invite_join *join,
                                    struct grant *ret)
{
    const struct authority *head = authority_chain_head(&a->chain);

    if (join->grant.size == 0 || grant_decode(join->grant, ret) != MN_OK) return false;
    if (memcmp(ret->sign_pk, join->sign_pk, SIGN_PK_SIZE) != 0) return false;
    return grant_check_any_age(ret, head, a->config.revoked, mn_wall_ms(a->now)) == MN_OK &&
           admission_is_renewable(a, ret);
}

/* A key that holds a grant gets it again, or a new one from half of its life on; no use is counted.
 * So a replayed JOIN, and a node whose disk was lost, get what they had. */
static bool admission_decide_known(struct admission *a, const struct invite_join *join,
                                   admission_code *ret_code, struct mn_span *ret_grant)
{
    mn_id node_id = digest_node_id(join->sign_pk);
    struct holder *holder = admission_find_holder(a, &node_id);
    struct grant carried;

    if (holder != NULL && memcmp(holder->grant.sign_pk, join->sign_pk, SIGN_PK_SIZE) != 0) {
        *ret_code = CODE(IDENTITY_IN_USE); /* two keys of one id: ids are looked up, keys decide */
        return true;
    }
    if (holder != NULL && admission_is_renewable(a, &holder->grant)) {
        *ret_code = CODE(NONE);
        *ret_grant = mn_buf_span(holder->bytes);
        if (admission_wants_renewal(a, &holder->grant))
            *ret_code = admission_reissue(a, &holder->grant, ret_grant);
        return true;
    }
    if (join->is_renewal && !admission_clock_is_off(a) &&
        admission_carried_grant(a, join, &carried)) {
        *ret_code = admission_reissue(a, &carried, ret_grant);
        return true;
    }
    return false;
}

/* ---- admission of the new ---- */

static admission_code admission_judge_invite(struct admission *a, const struct invite_join *join,
                                             const struct invite_entry **ret)
{
    const struct invite_entry *entry = admission_find_invite(a, &join->token_id);
    const struct authority *head = authority_chain_head(&a->chain);
    mn_status status;

    if (a->config.revoked != NULL &&
        a->config.revoked->has_token(a->config.revoked->set, &join->token_id))
        return CODE(TOKEN_WITHDRAWN);
    if (entry != NULL && entry->is_withdrawn) return CODE(TOKEN_WITHDRAWN);
    if (entry == NULL) return CODE(TOKEN_UNKNOWN);
    status = invite_check(&entry->invite, head, mn_wall_ms(a->now));
    if (status == MN_EXPIRED) return CODE(TOKEN_EXPIRED);
    if (status != MN_OK) return CODE(TOKEN_UNKNOWN);
    if (entry->invite.uses > 0 &&
        memcmp(entry->invite.home, a->config.self->key.pk, SIGN_PK_SIZE) != 0)
        return CODE(ISSUER_UNAVAILABLE); /* counted tokens are counted in one place */
    if (join->role != ROLE(AUTO) && !grant_role_allows(entry->invite.role_max, join->role))
        return CODE(ROLE_NOT_ALLOWED);
    *ret = entry;
    return CODE(NONE);
}

static struct grant admission_grant_for(const struct invite_join *join, const struct invite *invite)
{
    struct grant grant = {.role_max = join->role == ROLE(AUTO) ? invite->role_max : join->role,
                          .issuer_eligible = invite->issuer_eligible,
                          .via = VIA(TOKEN),
                          .token_id = invite->token_id};

    if (grant.role_max != ROLE(VOTER)) grant.issuer_eligible = false;
    memcpy(grant.sign_pk, join->sign_pk, SIGN_PK_SIZE);
    memcpy(grant.name, invite->name[0] != '\0' ? invite->name : join->name, sizeof grant.name);
    memcpy(grant.region, invite->region[0] != '\0' ? invite->region : join->region,
           sizeof grant.region);
    return grant;
}

static admission_code admission_decide_token(struct admission *a, const struct invite_join *join,
                                             struct mn_span *ret_grant)
{
    const struct invite_entry *entry;
    admission_code code = admission_judge_invite(a, join, &entry);
    struct grant grant;
    mn_id node_id;

    if (code != CODE(NONE)) return code;
    grant = admission_grant_for(join, &entry->invite);
    node_id = digest_node_id(join->sign_pk);
    if (admission_name_is_taken(a, grant.name, &node_id)) return CODE(NAME_TAKEN);
    if (entry->invite.uses > 0 &&
        admission_token_uses(a, &entry->invite.token_id) >= entry->invite.uses)
        return CODE(TOKEN_USED);
    return admission_issue(a, &grant, ret_grant);
}

/* A mesh of one machine takes whoever reaches it. */
static admission_code admission_decide_dev(struct admission *a, const struct invite_join *join,
                                           struct mn_span *ret_grant)
{
    const struct invite open = {.role_max = ROLE(VOTER), .issuer_eligible = true};
    struct grant grant = admission_grant_for(join, &open);
    mn_id node_id = digest_node_id(join->sign_pk);

    grant.via = VIA(DEV);
    if (admission_name_is_taken(a, grant.name, &node_id)) return CODE(NAME_TAKEN);
    return admission_issue(a, &grant, ret_grant);
}

/* By its id, or with all that came by its token. */
static bool admission_is_revoked(const struct admission *a, const mn_id *node_id)
{
    const struct grant_revoked *revoked = a->config.revoked;
    const struct holder *holder = admission_find_holder(a, node_id);

    if (revoked == NULL) return false;
    if (revoked->has_node(revoked->set, node_id)) return true;
    return holder != NULL &&
           grant_is_revoked(&holder->grant, authority_chain_head(&a->chain), revoked);
}

admission_code admission_decide(struct admission *a, const struct invite_join *join,
                                struct mn_span *ret_grant)
{
    mn_id node_id = digest_node_id(join->sign_pk);
    admission_code code;

    MN_ASSERT(admission_is_issuer(a));
    if (mn_id_equal(&node_id, &a->config.self->node_id)) return CODE(IDENTITY_IN_USE);
    if (admission_is_revoked(a, &node_id)) return CODE(IDENTITY_REVOKED);
    if (admission_decide_known(a, join, &code, ret_grant)) {
        if (code == CODE(NONE)) a->counts.renewals++;
        return code;
    }
    if (admission_is_denied(a, &node_id)) return CODE(DENIED); /* somebody said so */
    if (admission_clock_is_off(a))
        code = CODE(ISSUER_UNAVAILABLE); /* what it signed now would end at a wrong time */
    else if (!mn_id_is_zero(&join->token_id))
        code = admission_decide_token(a, join, ret_grant);
    else if (authority_chain_head(&a->chain)->dev)
        code = admission_decide_dev(a, join, ret_grant);
    else
        code = CODE(DENIED);
    if (code != CODE(NONE)) return code;
    a->counts.joins_admitted++;
    admission_trace(a, MN_EV_JOIN_ADMITTED, &node_id,
                    mn_id_is_zero(&join->token_id) ? 0 : admission_token_uses(a, &join->token_id),
                    0, join->name);
    return CODE(NONE);
}

admission_code admission_issue_approved(struct admission *a, struct grant *grant,
                                        struct mn_span *ret_grant)
{
    mn_id node_id = digest_node_id(grant->sign_pk);
    admission_code code;

    MN_ASSERT(admission_is_issuer(a));
    if (admission_name_is_taken(a, grant->name, &node_id)) return CODE(NAME_TAKEN);
    code = admission_issue(a, grant, ret_grant);
    if (code != CODE(NONE)) return code;
    a->counts.joins_admitted++;
    admission_trace(a, MN_EV_JOIN_APPROVED, &node_id, 0, 0, grant->name);
    return CODE(NONE);
}
