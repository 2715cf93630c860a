#include "node/core/catalog.h"

#include "crypto/digest.h"
#include "node/core/catalog_internal.h"
#include "proto/base/check.h"

/* ---- life ---- */

struct owner *catalog_owner(const struct catalog *catalog, const mn_id *node)
{
    struct mn_map_entry *found = mn_map_find(&catalog->owners, mn_span(node->bytes, sizeof *node));
    return found == NULL ? NULL : MN_CONTAINER(found, struct owner, in_map);
}

static struct owner *catalog_owner_get(struct catalog *catalog, const mn_id *node)
{
    struct owner *owner = catalog_owner(catalog, node);

    if (owner != NULL) return owner;
    owner = mn_alloc(sizeof *owner);
    owner->node = *node;
    mn_map_insert(&catalog->owners, &owner->in_map, mn_span(owner->node.bytes, sizeof owner->node));
    return owner;
}

/* Forgets what it offers. */
static void catalog_owner_clear(struct catalog *catalog, struct owner *owner)
{
    catalog_pull_stop(catalog, owner);
    catalog_set_free(catalog, owner->next);
    catalog_set_free(catalog, owner->current);
    owner->next = owner->current = NULL;
}

static void catalog_owner_remove(struct catalog *catalog, struct owner *owner)
{
    catalog_owner_clear(catalog, owner);
    mn_map_remove(&catalog->owners, &owner->in_map);
    mn_free(owner);
}

struct catalog *catalog_new(const struct catalog_config *config)
{
    struct catalog *catalog = mn_alloc(sizeof *catalog);

    MN_ASSERT(config->retry > 0);
    catalog->config = *config;
    rng_init(&catalog->rng, config->seed);
    mn_map_init(&catalog->owners, rng_u64(&catalog->rng));
    mn_map_init(&catalog->bodies, rng_u64(&catalog->rng));
    mn_list_init(&catalog->own);
    mn_list_init(&catalog->queue);
    catalog->publish_at = MN_TIME_NEVER;
    catalog->self = catalog_owner_get(catalog, &config->self->node_id);
    return catalog;
}

static void catalog_own_remove(struct catalog *catalog, struct own_offer *own)
{
    mn_list_remove(&own->in_own);
    mn_buf_unref(own->body);
    mn_free(own);
    catalog->own_count--;
}

void catalog_free(struct catalog *catalog)
{
    struct mn_map_entry *entry;

    if (catalog == NULL) return;
    while ((entry = mn_map_next(&catalog->owners, NULL)) != NULL)
        catalog_owner_remove(catalog, MN_CONTAINER(entry, struct owner, in_map));
    MN_LIST_FOR_EACH_SAFE (link, &catalog->own)
        catalog_own_remove(catalog, MN_CONTAINER(link, struct own_offer, in_own));
    MN_ASSERT(catalog->used == 0 && catalog->bodies.count == 0);
    mn_map_done(&catalog->owners);
    mn_map_done(&catalog->bodies);
    mn_heap_done(&catalog->timers);
    rng_done(&catalog->rng);
    mn_free(catalog);
}

struct catalog_output *catalog_emit(struct catalog *catalog, enum catalog_output_type type,
                                    const mn_id *node)
{
    struct catalog_outbox *outbox = catalog->outbox;

    outbox->items = mn_arena_grow(outbox->arena, outbox->items, outbox->count, &outbox->capacity,
                                  sizeof *outbox->items);
    outbox->items[outbox->count] = (struct catalog_output){.type = type, .node = *node};
    return &outbox->items[outbox->count++];
}

void catalog_refuse(struct catalog *catalog, const mn_id *node, mn_status status)
{
    catalog->refused++;
    mn_trace(catalog->config.trace, catalog->now.mono, MN_EV_CATALOG_REFUSED, node,
             (uint64_t) - (int64_t)status, 0, mn_status_name(status));
}

/* ---- our own offers ---- */

static void catalog_dirty(struct catalog *catalog)
{
    if (catalog->publish_at != MN_TIME_NEVER) return;
    catalog->publish_at = mn_time_after(catalog->now.mono, catalog->config.coalesce);
}

/* The offer of this name, or the one before which it belongs (or NULL: at the end). */
static struct own_offer *catalog_own_find(struct catalog *catalog, struct mn_span name,
                                          bool *ret_is_it)
{
    MN_LIST_FOR_EACH (link, &catalog->own) {
        struct own_offer *own = MN_CONTAINER(link, struct own_offer, in_own);
        int order = mn_span_compare(own->wire.name, name);
        if (order < 0) continue;
        *ret_is_it = order == 0;
        return own;
    }
    *ret_is_it = false;
    return NULL;
}

static struct own_offer *catalog_own_add(struct catalog *catalog, struct mn_span name,
                                         struct own_offer *before)
{
    struct own_offer *own = mn_alloc(sizeof *own);

    memcpy(own->name, name.data, name.size);
    own->wire.name = mn_span(own->name, name.size);
    mn_list_insert_before(before == NULL ? &catalog->own : &before->in_own, &own->in_own);
    catalog->own_count++;
    return own;
}

static void catalog_on_offer(struct catalog *catalog, const struct call_offer *offer)
{
    bool exists;
    struct own_offer *own = catalog_own_find(catalog, offer->name, &exists);

    if (offer->body == NULL) {
        if (exists) {
            catalog_own_remove(catalog, own);
            catalog_dirty(catalog);
        }
        return;
    }
    if (!catalog_name_is_valid(offer->name) || offer->body->size > CATALOG_BODY_MAX ||
        (!exists && catalog->own_count >= CATALOG_OFFERS_MAX)) {
        catalog_refuse(catalog, &catalog->self->node, MN_TOO_BIG);
        return;
    }
    if (!exists) own = catalog_own_add(catalog, offer->name, own);
    mn_buf_unref(own->body);
    own->body = mn_buf_ref(offer->body);
    own->wire.size = own->body->size;
    memcpy(own->wire.replica_key, offer->replica_key, sizeof own->wire.replica_key);
    catalog_wire_hash(mn_buf_span(own->body), own->wire.hash);
    catalog_dirty(catalog);
}

/* Is what we offer what we published? */
static bool catalog_own_is_published(const struct catalog *catalog)
{
    const struct set *set = catalog->self->current;
    uint32_t i = 0;

    if (set == NULL || set->epoch != catalog->epoch) return false;
    if (set->count != catalog->own_count) return false;
    MN_LIST_FOR_EACH (link, &catalog->own) {
        const struct own_offer *own = MN_CONTAINER(link, struct own_offer, in_own);
        const struct catalog_offer *offer = &set->offers[i++];
        if (!mn_span_equal(offer->name, own->wire.name) ||
            memcmp(offer->hash, own->wire.hash, sizeof offer->hash) != 0 ||
            memcmp(offer->replica_key, own->wire.replica_key, sizeof offer->replica_key) != 0)
            return false;
    }
    return true;
}

/* Makes a set of our offers; signed and announced once the mesh and our epoch are known. */
static void catalog_publish(struct catalog *catalog)
{
    struct mn_arena *arena = catalog->outbox->arena;
    struct catalog_wire_offer *offers = mn_arena_alloc(arena, catalog->own_count * sizeof *offers);
    struct mn_buf **bodies = mn_arena_alloc(arena, catalog->own_count * sizeof *bodies);
    struct catalog_wire wire = {.epoch = catalog->epoch, .offers = offers};
    struct mn_buf *message = NULL;
    struct catalog_output *output;

    MN_LIST_FOR_EACH (link, &catalog->own) {
        struct own_offer *own = MN_CONTAINER(link, struct own_offer, in_own);
        offers[wire.count] = own->wire;
        bodies[wire.count++] = own->body;
    }
    if (catalog->epoch != 0) {
        wire.version = ++catalog->version;
        message = catalog_wire_sign(&wire, catalog->config.self, &catalog->mesh_id, arena);
    }
    catalog->self->next = catalog_set_new(catalog, catalog->self, &wire, message, bodies);
    mn_buf_unref(message);
    if (catalog->self->next == NULL) {
        catalog_refuse(catalog, &catalog->self->node, MN_FULL);
        return;
    }
    catalog_promote(catalog, catalog->self);
    if (catalog->epoch == 0) return;
    output = catalog_emit(catalog, CATALOG_OUT_PUBLISH, &catalog->self->node);
    output->version = wire.version;
    memcpy(output->root, wire.root, sizeof output->root);
}

static void catalog_publish_due(struct catalog *catalog)
{
    if (catalog->publish_at > catalog->now.mono) return;
    catalog->publish_at = MN_TIME_NEVER;
    if (!catalog_own_is_published(catalog)) catalog_publish(catalog);
}

static void catalog_on_start(struct catalog *catalog, uint64_t epoch)
{
    MN_ASSERT(epoch > catalog->epoch);
    MN_ASSERT(!mn_id_is_zero(&catalog->mesh_id));
    catalog->epoch = epoch;
    if (catalog->own_count > 0) catalog->publish_at = catalog->now.mono;
}

/* ---- members ---- */

static bool catalog_root_is_zero(const uint8_t root[CATALOG_ROOT_SIZE])
{
    static const uint8_t zero[CATALOG_ROOT_SIZE];
    return memcmp(root, zero, sizeof zero) == 0;
}

static bool catalog_has_root(const struct set *set, const uint8_t root[CATALOG_ROOT_SIZE])
{
    return set != NULL && memcmp(set->root, root, sizeof set->root) == 0;
}

static void catalog_on_member(struct catalog *catalog, const struct catalog_input *input)
{
    struct owner *owner = catalog_owner_get(catalog, &input->node);
    bool had_offers = owner->current != NULL;
    bool is_asked = owner->pull.timer.index_plus_one != 0 &&
                    memcmp(owner->root, input->member.root, sizeof owner->root) == 0;

    if (owner == catalog->self) return;
    owner->is_member = true;
    memcpy(owner->sign_pk, input->member.sign_pk, sizeof owner->sign_pk);
    memcpy(owner->root, input->member.root, sizeof owner->root);
    if (catalog_root_is_zero(owner->root)) {
        catalog_owner_clear(catalog, owner);
        if (had_offers) catalog_emit(catalog, CATALOG_OUT_CHANGED, &owner->node);
    } else if (catalog_has_root(owner->current, owner->root) ||
               catalog_has_root(owner->next, owner->root)) {
        catalog_pull_stop(catalog, owner);
    } else if (!is_asked) {
        catalog_pull_start(catalog, owner);
    }
}

static void catalog_on_gone(struct catalog *catalog, const mn_id *node)
{
    struct owner *owner = catalog_owner(catalog, node);
    bool had_offers;

    if (owner == NULL || owner == catalog->self) return;
    had_offers = owner->current != NULL;
    owner->is_member = false;
    catalog_owner_clear(catalog, owner);
    if (had_offers) catalog_emit(catalog, CATALOG_OUT_CHANGED, node);
    if (!owner->is_linked) catalog_owner_remove(catalog, owner);
}

static void catalog_on_link(struct catalog *catalog, const mn_id *node, bool is_up)
{
    struct owner *owner = is_up ? catalog_owner_get(catalog, node) : catalog_owner(catalog, node);

    if (owner == NULL) return;
    owner->is_linked = is_up;
    if (is_up)
        catalog_pull_linked(catalog, owner);
    else if (!owner->is_member)
        catalog_owner_remove(catalog, owner);
}

/* ---- messages ---- */

static void catalog_answer(struct catalog *catalog, const mn_id *to, struct mn_buf *buf)
{
    catalog_emit(catalog, CATALOG_OUT_SEND, to)->buf = buf;
}

static void catalog_on_pull(struct catalog *catalog, const mn_id *from, const mn_id *node)
{
    const struct owner *owner = catalog_owner(catalog, node);
    const struct set *set = NULL;

    if (owner != NULL) set = owner->next != NULL ? owner->next : owner->current;
    catalog_answer(catalog, from,
                   set != NULL && set->message != NULL ? mn_buf_ref(set->message)
                                                       : catalog_wire_absent());
}

static void catalog_on_pull_body(struct catalog *catalog, const mn_id *from, const uint8_t *hash)
{
    const struct body *body = catalog_body(catalog, hash);

    catalog_answer(catalog, from,
                   body != NULL && body->buf != NULL ? catalog_wire_body(mn_buf_span(body->buf))
                                                     : catalog_wire_absent());
}

static bool catalog_is_newer(const struct catalog_wire *wire, const struct set *set)
{
    if (set == NULL) return true;
    return wire->epoch != set->epoch ? wire->epoch > set->epoch : wire->version > set->version;
}

static void catalog_on_catalog(struct catalog *catalog, const mn_id *from,
                               const struct catalog_wire *wire, struct mn_span bytes)
{
    struct owner *owner = catalog_owner(catalog, &wire->node);
    struct mn_buf *message;
    struct set *set;

    if (owner == NULL || owner == catalog->self || !owner->is_member ||
        memcmp(owner->sign_pk, wire->sign_pk, sizeof owner->sign_pk) != 0) {
        catalog_refuse(catalog, from, MN_NOT_FOUND);
        return;
    }
    if (!catalog_is_newer(wire, owner->current) || !catalog_is_newer(wire, owner->next)) {
        MN_PROBE("catalog: an older one came");
        return;
    }
    message = mn_buf_copy(bytes);
    set = catalog_set_new(catalog, owner, wire, message, NULL);
    mn_buf_unref(message);
    if (set == NULL) {
        catalog_refuse(catalog, from, MN_FULL);
        return;
    }
    catalog_set_free(catalog, owner->next);
    owner->next = set;
    if (catalog_has_root(set, owner->root)) catalog_pull_stop(catalog, owner);
    catalog_promote(catalog, owner);
}

static void catalog_on_body(struct catalog *catalog, struct mn_span bytes)
{
    uint8_t hash[CATALOG_HASH_SIZE];
    struct body *body;
    struct mn_buf *buf;

    catalog_wire_hash(bytes, hash);
    body = catalog_body(catalog, hash);
    if (body == NULL || body->state != BODY_WANTED) return; /* came twice, or too late */
    buf = mn_buf_copy(bytes);
    catalog_body_settle(catalog, body, buf);
    mn_buf_unref(buf);
}

static void catalog_on_message(struct catalog *catalog, const mn_id *from, struct mn_span bytes)
{
    struct catalog_wire_message message;
    mn_status status =
        catalog_wire_decode(bytes, &catalog->mesh_id, catalog->outbox->arena, &message);

    if (status != MN_OK) {
        catalog_refuse(catalog, from, status);
        return;
    }
    switch (message.type) {
    case CATALOG_WIRE_PULL: catalog_on_pull(catalog, from, &message.node); return;
    case CATALOG_WIRE_CATALOG: catalog_on_catalog(catalog, from, &message.catalog, bytes); return;
    case CATALOG_WIRE_PULL_BODY: catalog_on_pull_body(catalog, from, message.hash); return;
    case CATALOG_WIRE_BODY: catalog_on_body(catalog, message.body); return;
    case CATALOG_WIRE_ABSENT: return; /* the timer asks somebody else */
    }
}

/* ---- the core ---- */

static void catalog_handle(struct catalog *catalog, const struct catalog_input *input)
{
    switch (input->type) {
    case CATALOG_IN_TICK: return;
    case CATALOG_IN_MESH: catalog->mesh_id = input->mesh_id; return;
    case CATALOG_IN_START: catalog_on_start(catalog, input->epoch); return;
    case CATALOG_IN_OFFER: catalog_on_offer(catalog, input->offer); return;
    case CATALOG_IN_MEMBER: catalog_on_member(catalog, input); return;
    case CATALOG_IN_GONE: catalog_on_gone(catalog, &input->node); return;
    case CATALOG_IN_LINK_UP: catalog_on_link(catalog, &input->node, true); return;
    case CATALOG_IN_LINK_DOWN: catalog_on_link(catalog, &input->node, false); return;
    case CATALOG_IN_MESSAGE: catalog_on_message(catalog, &input->node, input->message); return;
    }
    MN_ASSERT(false && "an input of the list");
}

void catalog_step(struct catalog *catalog, struct mn_now now, const struct catalog_input *input,
                  struct catalog_outbox *outbox)
{
    MN_ASSERT(now.mono >= catalog->now.mono);
    catalog->now = now;
    catalog->outbox = outbox;
    catalog_handle(catalog, input);
    catalog_publish_due(catalog);
    catalog_pull_timers(catalog);
    catalog->outbox = NULL;
}

mn_time catalog_deadline(const struct catalog *catalog)
{
    return mn_time_min(catalog->publish_at, mn_heap_deadline(&catalog->timers));
}

const struct catalog_offer *catalog_offers(const struct catalog *catalog, const mn_id *node,
                                           uint32_t *ret_count)
{
    const struct owner *owner = catalog_owner(catalog, node);

    *ret_count = 0;
    if (owner == NULL || owner->current == NULL) return NULL;
    *ret_count = owner->current->count;
    return owner->current->offers;
}

struct catalog_stats catalog_stats(const struct catalog *catalog)
{
    struct catalog_stats stats = {.memory_used = catalog->used,
                                  .pulls = catalog->timers.count,
                                  .refused = catalog->refused,
                                  .version = catalog->version};
    struct mn_map_entry *entry = NULL;

    MN_LIST_FOR_EACH (link, &catalog->queue)
        stats.pulls++;
    while ((entry = mn_map_next(&catalog->owners, entry)) != NULL) {
        const struct owner *owner = MN_CONTAINER(entry, struct owner, in_map);
        if (owner != catalog->self && owner->current != NULL) stats.catalogs++;
    }
    return stats;
}

static size_t catalog_check_set(const struct set *set)
{
    uint32_t missing = 0;

    if (set == NULL) return 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct body *body = set->slots[i].body;
        missing += body->state == BODY_WANTED;
        MN_ASSERT((body->state == BODY_HERE) == (body->buf != NULL));
        MN_ASSERT(set->offers[i].body == body->buf);
        MN_ASSERT(memcmp(set->offers[i].hash, body->hash, sizeof body->hash) == 0);
        MN_ASSERT(i == 0 || mn_span_compare(set->offers[i - 1].name, set->offers[i].name) < 0);
    }
    MN_ASSERT(set->missing == missing);
    return set->size;
}

void catalog_check(const struct catalog *catalog)
{
    struct mn_map_entry *entry = NULL;
    size_t used = 0;
    uint32_t asked = 0;

    while ((entry = mn_map_next(&catalog->owners, entry)) != NULL) {
        const struct owner *owner = MN_CONTAINER(entry, struct owner, in_map);
        MN_ASSERT(owner->next == NULL || owner->next->missing > 0);
        MN_ASSERT(owner->current == NULL || owner->current->missing == 0);
        used += catalog_check_set(owner->current) + catalog_check_set(owner->next);
    }
    entry = NULL;
    while ((entry = mn_map_next(&catalog->bodies, entry)) != NULL) {
        const struct body *body = MN_CONTAINER(entry, struct body, in_map);
        bool is_asked = body->pull.timer.index_plus_one != 0;
        MN_ASSERT(!mn_list_is_empty(&body->slots));
        MN_ASSERT(body->state == BODY_WANTED || !is_asked);
        MN_ASSERT(body->state != BODY_WANTED || is_asked || !mn_list_is_empty(&body->in_queue));
        used += body->buf == NULL ? 0 : body->buf->size;
        asked += is_asked;
    }
    MN_ASSERT(used == catalog->used && used <= catalog->config.memory_max);
    MN_ASSERT(asked == catalog->asked);
}
