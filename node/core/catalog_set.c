/* catalog_set.c: sets of offers, and bodies shared between them by hash. */
#include "node/core/catalog_internal.h"

#include "proto/base/check.h"

/* ---- bodies ---- */

struct body *catalog_body(const struct catalog *catalog, const uint8_t hash[CATALOG_HASH_SIZE])
{
    struct mn_map_entry *found = mn_map_find(&catalog->bodies, mn_span(hash, CATALOG_HASH_SIZE));
    return found == NULL ? NULL : MN_CONTAINER(found, struct body, in_map);
}

static bool catalog_has_room(const struct catalog *catalog, size_t size)
{
    return size <= catalog->config.memory_max && catalog->used <= catalog->config.memory_max - size;
}

static struct body *catalog_body_get(struct catalog *catalog, const uint8_t *hash)
{
    struct body *body = catalog_body(catalog, hash);

    if (body != NULL) return body;
    body = mn_alloc(sizeof *body);
    memcpy(body->hash, hash, sizeof body->hash);
    body->pull.is_body = true;
    mn_list_init(&body->slots);
    mn_list_init(&body->in_queue);
    mn_map_insert(&catalog->bodies, &body->in_map, mn_span(body->hash, sizeof body->hash));
    return body;
}

static void catalog_body_remove(struct catalog *catalog, struct body *body)
{
    if (body->state == BODY_WANTED) catalog_pull_body_stop(catalog, body);
    if (body->buf != NULL) catalog->used -= body->buf->size;
    mn_buf_unref(body->buf);
    mn_map_remove(&catalog->bodies, &body->in_map);
    mn_free(body);
}

static void catalog_body_put(struct catalog *catalog, struct body *body, struct mn_buf *buf)
{
    MN_ASSERT(body->buf == NULL);
    if (body->state == BODY_WANTED) catalog_pull_body_stop(catalog, body);
    body->state = BODY_REFUSED;
    if (buf == NULL || !catalog_has_room(catalog, buf->size)) return;
    body->state = BODY_HERE;
    body->buf = mn_buf_ref(buf);
    catalog->used += buf->size;
}

void catalog_body_settle(struct catalog *catalog, struct body *body, struct mn_buf *buf)
{
    MN_ASSERT(body->state == BODY_WANTED);
    catalog_body_put(catalog, body, buf);
    MN_LIST_FOR_EACH (link, &body->slots) {
        struct slot *slot = MN_CONTAINER(link, struct slot, in_body);
        MN_ASSERT(slot->set->missing > 0);
        slot->set->missing--;
        slot->set->offers[slot->index].body = body->buf;
    }
    /* A promotion frees an older set, and with it perhaps slots of this body; never the one that
     * is promoted, so the body stays. */
    for (struct mn_list *link = body->slots.next; link != &body->slots;) {
        struct owner *owner = MN_CONTAINER(link, struct slot, in_body)->set->owner;
        bool is_next = MN_CONTAINER(link, struct slot, in_body)->set == owner->next;
        link = link->next;
        if (!is_next || owner->next->missing > 0) continue;
        catalog_promote(catalog, owner);
        link = body->slots.next; /* the list may have changed anywhere */
    }
}

/* ---- sets ---- */

static void catalog_body_want(struct catalog *catalog, struct body *body, const struct owner *owner,
                              size_t size)
{
    if (catalog_has_room(catalog, size))
        catalog_pull_body(catalog, body, &owner->node);
    else
        body->state = BODY_REFUSED;
}

static void catalog_slot_fill(struct catalog *catalog, struct set *set, uint32_t index,
                              const struct catalog_wire_offer *wire, struct mn_buf *given)
{
    struct slot *slot = &set->slots[index];
    struct body *body = catalog_body_get(catalog, wire->hash);

    if (body->state == BODY_WANTED && given != NULL) catalog_body_settle(catalog, body, given);
    if (body->state == BODY_NEW && given != NULL) catalog_body_put(catalog, body, given);
    if (body->state == BODY_NEW) catalog_body_want(catalog, body, set->owner, wire->size);
    *slot = (struct slot){.body = body, .set = set, .index = index};
    mn_list_init(&slot->in_body);
    mn_list_push_back(&body->slots, &slot->in_body);
    if (body->state == BODY_REFUSED) catalog_refuse(catalog, &set->owner->node, MN_FULL);
    if (body->state == BODY_WANTED) set->missing++;
    set->offers[index].body = body->buf;
}

/* One block: the set, its offers, their slots and names. */
static struct set *catalog_set_alloc(const struct catalog_wire *wire, size_t *ret_size)
{
    size_t names = 0, offers = wire->count * sizeof(struct catalog_offer);
    size_t slots = wire->count * sizeof(struct slot);
    struct set *set;
    uint8_t *name;

    for (uint32_t i = 0; i < wire->count; i++)
        names += wire->offers[i].name.size;
    *ret_size = sizeof *set + offers + slots + names;
    set = mn_alloc(*ret_size);
    set->offers = (struct catalog_offer *)(void *)(set + 1);
    set->slots = (struct slot *)(void *)((uint8_t *)(set + 1) + offers);
    name = (uint8_t *)(set + 1) + offers + slots;
    for (uint32_t i = 0; i < wire->count; i++) {
        const struct catalog_wire_offer *from = &wire->offers[i];
        memcpy(name, from->name.data, from->name.size);
        set->offers[i].name = mn_span(name, from->name.size);
        memcpy(set->offers[i].hash, from->hash, sizeof from->hash);
        memcpy(set->offers[i].replica_key, from->replica_key, sizeof from->replica_key);
        name += from->name.size;
    }
    return set;
}

struct set *catalog_set_new(struct catalog *catalog, struct owner *owner,
                            const struct catalog_wire *wire, struct mn_buf *message,
                            struct mn_buf *const *bodies)
{
    size_t size;
    struct set *set = catalog_set_alloc(wire, &size);

    size += message == NULL ? 0 : message->size;
    if (!catalog_has_room(catalog, size)) {
        mn_free(set);
        return NULL;
    }
    catalog->used += size;
    set->owner = owner;
    set->epoch = wire->epoch;
    set->version = wire->version;
    memcpy(set->root, wire->root, sizeof set->root);
    set->message = mn_buf_ref(message);
    set->size = size;
    set->count = wire->count;
    for (uint32_t i = 0; i < wire->count; i++)
        catalog_slot_fill(catalog, set, i, &wire->offers[i], bodies == NULL ? NULL : bodies[i]);
    return set;
}

void catalog_set_free(struct catalog *catalog, struct set *set)
{
    if (set == NULL) return;
    for (uint32_t i = 0; i < set->count; i++) {
        struct body *body = set->slots[i].body;
        mn_list_remove(&set->slots[i].in_body);
        if (mn_list_is_empty(&body->slots)) catalog_body_remove(catalog, body);
    }
    catalog->used -= set->size;
    mn_buf_unref(set->message);
    mn_free(set);
}

void catalog_promote(struct catalog *catalog, struct owner *owner)
{
    struct set *old = owner->current;

    if (owner->next == NULL || owner->next->missing > 0) return;
    owner->current = owner->next;
    owner->next = NULL;
    catalog_set_free(catalog, old);
    catalog_emit(catalog, CATALOG_OUT_CHANGED, &owner->node);
    mn_trace(catalog->config.trace, catalog->now.mono, MN_EV_CATALOG_CHANGED, &owner->node,
             owner->current->version, owner->current->count, NULL);
}
