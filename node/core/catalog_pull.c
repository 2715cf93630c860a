/* catalog_pull.c: asking other nodes for catalogs and bodies. The owner is asked first, then, when
 * there is no link to it or it does not answer, any other linked member; each try waits twice as
 * long as the one before. */
#include "node/core/catalog_internal.h"

#include "proto/base/check.h"

#define ASKED_MAX 16 /* bodies asked for at once: bounds what may come in */
#define RETRY_MAX (30 * MN_SEC)

static struct owner *catalog_pull_owner(struct pull *pull)
{
    MN_ASSERT(!pull->is_body);
    return MN_CONTAINER(pull, struct owner, pull);
}

/* Any linked member: the first one from a random place on. NULL: none. */
static const struct owner *catalog_pull_any(struct catalog *catalog)
{
    const struct owner *first = NULL, *chosen = NULL;
    struct mn_map_entry *entry = NULL;
    uint32_t skip =
        catalog->owners.count == 0 ? 0 : rng_below(&catalog->rng, catalog->owners.count);

    while ((entry = mn_map_next(&catalog->owners, entry)) != NULL) {
        const struct owner *owner = MN_CONTAINER(entry, struct owner, in_map);
        if (owner->is_linked && first == NULL) first = owner;
        if (owner->is_linked && skip == 0 && chosen == NULL) chosen = owner;
        if (skip > 0) skip--;
    }
    return chosen != NULL ? chosen : first;
}

/* Whom to ask now; NULL: nobody is linked. */
static const struct owner *catalog_pull_source(struct catalog *catalog, const struct pull *pull)
{
    const struct owner *owner = catalog_owner(catalog, &pull->from);

    if (owner != NULL && owner->is_linked && pull->tries % 2 == 0) return owner;
    MN_PROBE("catalog: somebody else than the owner is asked");
    return catalog_pull_any(catalog);
}

/* Sends the question, and sets the timer for the next try. False: nobody to ask. */
static bool catalog_pull_ask(struct catalog *catalog, struct pull *pull)
{
    const struct owner *source = catalog_pull_source(catalog, pull);
    mn_time wait = catalog->config.retry << (pull->tries < 8 ? pull->tries : 8);
    struct catalog_output *output;

    if (wait > RETRY_MAX) wait = RETRY_MAX;
    mn_heap_set(&catalog->timers, &pull->timer, mn_time_after(catalog->now.mono, wait));
    if (source == NULL) return false;
    pull->tries++;
    output = catalog_emit(catalog, CATALOG_OUT_SEND, &source->node);
    output->buf = pull->is_body
                      ? catalog_wire_pull_body(MN_CONTAINER(pull, struct body, pull)->hash)
                      : catalog_wire_pull(&pull->from);
    return true;
}

void catalog_pull_start(struct catalog *catalog, struct owner *owner)
{
    owner->pull.from = owner->node;
    owner->pull.tries = 0;
    catalog_pull_ask(catalog, &owner->pull);
}

void catalog_pull_stop(struct catalog *catalog, struct owner *owner)
{
    mn_heap_remove(&catalog->timers, &owner->pull.timer);
    owner->pull.tries = 0;
}

/* ---- bodies ---- */

static void catalog_pull_next(struct catalog *catalog)
{
    struct mn_list *link;

    while (catalog->asked < ASKED_MAX && (link = mn_list_take(&catalog->queue)) != NULL) {
        catalog->asked++;
        catalog_pull_ask(catalog, &MN_CONTAINER(link, struct body, in_queue)->pull);
    }
}

void catalog_pull_body(struct catalog *catalog, struct body *body, const mn_id *from)
{
    MN_ASSERT(body->state == BODY_NEW);
    body->state = BODY_WANTED;
    body->pull.from = *from;
    body->pull.tries = 0;
    mn_list_push_back(&catalog->queue, &body->in_queue);
    catalog_pull_next(catalog);
}

void catalog_pull_body_stop(struct catalog *catalog, struct body *body)
{
    MN_ASSERT(body->state == BODY_WANTED);
    mn_list_remove(&body->in_queue);
    if (body->pull.timer.index_plus_one == 0) return;
    mn_heap_remove(&catalog->timers, &body->pull.timer);
    catalog->asked--;
}

/* ---- occasions ---- */

void catalog_pull_linked(struct catalog *catalog, const struct owner *node)
{
    struct mn_map_entry *entry = NULL;

    while ((entry = mn_map_next(&catalog->owners, entry)) != NULL) {
        struct owner *owner = MN_CONTAINER(entry, struct owner, in_map);
        if (owner->pull.timer.index_plus_one == 0) continue;
        if (owner == node || owner->pull.tries == 0) catalog_pull_start(catalog, owner);
    }
    entry = NULL;
    while ((entry = mn_map_next(&catalog->bodies, entry)) != NULL) {
        struct body *body = MN_CONTAINER(entry, struct body, in_map);
        bool is_asked = body->state == BODY_WANTED && body->pull.timer.index_plus_one != 0;
        if (!is_asked) continue;
        if (mn_id_equal(&body->pull.from, &node->node)) body->pull.tries = 0; /* it has it */
        if (body->pull.tries == 0) catalog_pull_ask(catalog, &body->pull);
    }
}

/* A body that does not come makes room for others that wait. */
static void catalog_pull_again(struct catalog *catalog, struct pull *pull)
{
    struct body *body;

    if (!pull->is_body) {
        catalog_pull_ask(catalog, &catalog_pull_owner(pull)->pull);
        return;
    }
    body = MN_CONTAINER(pull, struct body, pull);
    if (mn_list_is_empty(&catalog->queue)) {
        catalog_pull_ask(catalog, pull);
        return;
    }
    catalog_pull_body_stop(catalog, body);
    mn_list_push_back(&catalog->queue, &body->in_queue);
}

void catalog_pull_timers(struct catalog *catalog)
{
    struct mn_heap_entry *first;

    while ((first = mn_heap_peek(&catalog->timers)) != NULL && first->at <= catalog->now.mono)
        catalog_pull_again(catalog, MN_CONTAINER(first, struct pull, timer));
    catalog_pull_next(catalog);
}
