/* The growth of the authority from one issuer to three, which the founder signs alone while it is
 * the only one: from then on no single node's loss stops the mesh from letting nodes in, and no
 * single node can change who does. Every later change needs more hands than the program's. */
#include <sodium.h>

#include "mesh/admission_internal.h"
#include "proto/base/check.h"

#define GROW_CHECK (5 * MN_SEC)
#define GROW_AFTER (30 * MN_SEC) /* both have been alive for so long */
#define GROW_ISSUERS 3

/* ---- candidates ---- */

static bool grow_is_linked(const struct admission *a, const mn_id *node_id)
{
    MN_LIST_FOR_EACH (at, &a->links_all) {
        const struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind == ADMISSION_LINK_MEMBER && !channel->is_closing &&
            mn_id_equal(&channel->peer.node_id, node_id))
            return true;
    }
    return false;
}

static bool grow_is_candidate(const struct admission *a, const struct holder *holder)
{
    const struct authority *head = authority_chain_head(&a->chain);

    if (!holder->is_live || a->now.mono - holder->live_since < GROW_AFTER) return false;
    if (!holder->grant.issuer_eligible || holder->grant.role_max != ROLE(VOTER)) return false;
    if (!grow_is_linked(a, &holder->grant.node_id)) return false; /* it hears of it at once */
    return grant_check(&holder->grant, head, a->config.revoked, mn_wall_ms(a->now)) == MN_OK;
}

static bool grow_shares_zone(const char *zone, const char *other)
{
    return zone[0] == '\0' || strcmp(zone, other) == 0;
}

/* How many of those chosen already, ourselves first, may fail together with it. */
static uint32_t grow_shared(const struct admission *a, const struct holder *holder,
                            const struct holder *chosen)
{
    uint32_t shared = grow_shares_zone(holder->zone, a->config.zone);

    if (chosen != NULL) shared += grow_shares_zone(holder->zone, chosen->zone);
    return shared;
}

/* The best one besides [chosen]: spread over zones, then the lowest id. */
static const struct holder *grow_choose(const struct admission *a, const struct holder *chosen)
{
    const struct holder *best = NULL;

    for (struct mn_map_entry *at = mn_map_next(&a->holders, NULL); at != NULL;
         at = mn_map_next(&a->holders, at)) {
        const struct holder *holder = MN_CONTAINER(at, struct holder, entry);
        uint32_t shared, least;

        if (holder == chosen || !grow_is_candidate(a, holder)) continue;
        shared = grow_shared(a, holder, chosen);
        least = best == NULL ? UINT32_MAX : grow_shared(a, best, chosen);
        if (shared < least ||
            (shared == least && mn_id_compare(&holder->grant.node_id, &best->grant.node_id) < 0))
            best = holder;
    }
    return best;
}

/* A disk that was rolled back forgets what it signed; the members remember. */
static bool grow_knows_all_heads(const struct admission *a)
{
    MN_LIST_FOR_EACH (at, &a->links_all) {
        const struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind != ADMISSION_LINK_MEMBER) continue;
        if (authority_chain_find(&a->chain, channel->peer.pin) == NULL) return false;
    }
    return true;
}

/* ---- signing ---- */

static struct mn_buf *grow_sign(struct admission *a, const struct holder *const *chosen)
{
    const struct authority *head = authority_chain_head(&a->chain);
    const struct sign_key *key = &a->config.self->key;
    struct authority next = *head;
    struct mn_buf *body, *document;

    next.version = head->version + 1;
    next.created_ms = mn_wall_ms(a->now);
    memcpy(next.prev, head->hash, sizeof next.prev);
    next.issuers_count = GROW_ISSUERS;
    for (uint32_t i = 0; i < GROW_ISSUERS - 1; i++)
        memcpy(next.issuers[1 + i], chosen[i]->grant.sign_pk, SIGN_PK_SIZE);
    body = authority_body(&next);
    document = authority_sign(&head->mesh_id, mn_buf_span(body), &key, 1);
    mn_buf_unref(body);
    return document;
}

/* The one document that this node signed last, in the store before it leaves: of its version there
 * will be no other by this hand. */
static void grow_adopt(struct admission *a, struct mn_span document)
{
    mn_status status = authority_chain_add(&a->chain, document);

    MN_ASSERT(status == MN_OK);
    a->signed_version = authority_chain_head(&a->chain)->version;
    admission_persist(a, "signed", document);
    admission_on_new_head(a, 0);
}

void admission_grow_if_due(struct admission *a)
{
    const struct authority *head = authority_chain_head(&a->chain);
    const struct holder *chosen[GROW_ISSUERS - 1];
    struct mn_buf *document;

    if (a->state != ADMISSION_MEMBER || head->issuers_count != 1) return;
    admission_set_timer(a, &a->grow_timer, mn_time_after(a->now.mono, GROW_CHECK));
    if (a->config.no_growth || head->dev || !admission_is_issuer(a)) return;
    if (admission_clock_is_off(a) || !grow_knows_all_heads(a)) return;
    if (a->signed_version > head->version) return; /* signed, and lost: see recovery */
    chosen[0] = grow_choose(a, NULL);
    chosen[1] = chosen[0] == NULL ? NULL : grow_choose(a, chosen[0]);
    if (chosen[1] == NULL) return;
    document = grow_sign(a, chosen);
    grow_adopt(a, mn_buf_span(document));
    mn_buf_unref(document);
}

/* ---- a new head, wherever it came from ---- */

/* The newest documents to all members but the one they came from: an older one is with whoever has
 * the one before, and who has not will ask. */
void admission_on_new_head(struct admission *a, uint64_t from_link)
{
    const struct authority *head = authority_chain_head(&a->chain);
    uint32_t from = a->chain.count > 2 ? a->chain.count - 2 : 0;

    admission_store_chain(a, 0);
    admission_trace(a, MN_EV_AUTHORITY_CHANGED, NULL, head->version, head->issuers_count, NULL);
    MN_LIST_FOR_EACH (at, &a->links_all) {
        struct channel *channel = MN_CONTAINER(at, struct channel, all);
        if (channel->peer.kind != ADMISSION_LINK_MEMBER || channel->is_closing) continue;
        if (channel->id != from_link) admission_send_chain(a, channel, from, NULL, true);
    }
    admission_emit(a, ADMISSION_OUT_RENEWED)->after_write = true;
    admission_set_timer(a, &a->upkeep_timer, a->now.mono); /* an issuer renews by itself */
}

/* After a crash between storing what was signed and adopting it: it is adopted now. */
void admission_recover_signed(struct admission *a)
{
    struct authority document;
    const struct authority *head = authority_chain_head(&a->chain);

    if (a->recovered_signed == NULL || head == NULL) return;
    if (authority_decode(mn_buf_span(a->recovered_signed), &document) == MN_OK) {
        a->signed_version = document.version;
        authority_done(&document);
        if (a->signed_version == head->version + 1 &&
            authority_chain_add(&a->chain, mn_buf_span(a->recovered_signed)) == MN_OK)
            admission_store_chain(a, 0);
    }
    a->recovered_signed = mn_buf_unref(a->recovered_signed);
}

/* ---- the root key ---- */

/* What the old issuers signed until now still counts: nobody loses the grant it has. */
static void grow_retire(struct authority *next, const uint8_t key[SIGN_PK_SIZE], uint64_t until_ms)
{
    if (next->retired_count == AUTHORITY_RETIRED_MAX) { /* the oldest goes */
        memmove(&next->retired[0], &next->retired[1],
                (AUTHORITY_RETIRED_MAX - 1) * sizeof next->retired[0]);
        next->retired_count--;
    }
    memcpy(next->retired[next->retired_count].key, key, SIGN_PK_SIZE);
    next->retired[next->retired_count++].until_ms = until_ms;
}

static void grow_unretire(struct authority *next, const uint8_t key[SIGN_PK_SIZE])
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < next->retired_count; i++)
        if (memcmp(next->retired[i].key, key, SIGN_PK_SIZE) != 0)
            next->retired[kept++] = next->retired[i];
    next->retired_count = kept;
}

/* This node as the only issuer, signed by the root; nothing when it is so already. */
static mn_status grow_sign_by_root(struct admission *a)
{
    const struct authority *head = authority_chain_head(&a->chain);
    const uint8_t *self = a->config.self->key.pk;
    struct authority next = *head;
    struct sign_key root;
    const struct sign_key *signer = &root;
    struct mn_buf *body, *document;
    mn_status status;

    if (head->issuers_count == 1 && authority_is_issuer(head, self)) return MN_EXISTS;
    next.version = head->version + 1;
    next.created_ms = mn_wall_ms(a->now);
    memcpy(next.prev, head->hash, sizeof next.prev);
    grow_unretire(&next, self);
    for (uint32_t i = 0; i < head->issuers_count; i++)
        if (memcmp(head->issuers[i], self, SIGN_PK_SIZE) != 0)
            grow_retire(&next, head->issuers[i], next.created_ms);
    next.issuers_count = 1;
    memcpy(next.issuers[0], self, SIGN_PK_SIZE);
    body = authority_body(&next);
    sign_key_init(&root, a->root);
    document = authority_sign(&head->mesh_id, mn_buf_span(body), &signer, 1);
    sign_key_done(&root);
    status = authority_chain_add(&a->chain, mn_buf_span(document)); /* of the right root? */
    mn_buf_unref(body);
    mn_buf_unref(document);
    return status;
}

void admission_recover_by_root(struct admission *a)
{
    const struct authority *head = authority_chain_head(&a->chain);
    mn_status status;

    if (!a->has_root) return;
    status = head == NULL ? MN_STATE : grow_sign_by_root(a);
    sodium_memzero(a->root, sizeof a->root);
    a->has_root = false;
    head = authority_chain_head(&a->chain);
    if (status == MN_OK) admission_store_chain(a, 0);
    admission_trace(a, status == MN_OK ? MN_EV_AUTHORITY_CHANGED : MN_EV_GRANT_REFUSED, NULL,
                    status == MN_OK ? head->version : (uint64_t)-status,
                    status == MN_OK ? head->issuers_count : 0, "root key");
}
