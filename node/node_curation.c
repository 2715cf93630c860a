/* node_curation.c: what operators agreed on about tools (node/mcp/names/curation.h), from the
 * map that the mesh agrees on to this node's gateway; and whose each name is, to its core
 * (node_owners.c). Who holds the map sees a change at once, everybody else asks again and again;
 * both then read all of it, linearizable. What was read last is kept in the store, so that a tool
 * in quarantine stays there while a node that starts anew has no quorum.
 */
#include "node/node_inside.h"
#include "proto/base/check.h"

#define STORE_PREFIX "curation/"
#define TICKET_BIT (UINT64_C(1) << 63) /* tells our requests from the operator's side */
#define READ_TIMEOUT (2 * MN_SEC)
#define RETRY MN_SEC
#define POLL_HOLDER MN_MINUTE   /* it hears of changes; this is against what we did not think of */
#define POLL_OTHER (5 * MN_SEC) /* and a second more for each page, so that much costs no more */

struct stored {
    struct mn_buf *key, *value;
    uint64_t rev; /* 0: of an earlier run */
};

struct table {
    struct stored *items; /* in order of key */
    uint32_t count, capacity;
};

struct node_curation {
    struct table known, incoming;
    bool is_dirty;   /* the gateway does not know [known] yet */
    bool is_moved;   /* the core does not know the owners in it yet */
    bool is_read;    /* all of it was read in this run */
    bool is_due;     /* something may have changed */
    bool is_reading; /* a request is under way, of this ticket */
    bool wants_page; /* the next one, after the last of [incoming] */
    uint64_t ticket;
    struct strong_place seen; /* changes up to there */
    uint32_t pages_count;
    mn_time next; /* read at the latest then */
};

/* ---- tables ---- */

static void table_clear(struct table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        mn_buf_unref(table->items[i].key);
        mn_buf_unref(table->items[i].value);
    }
    mn_free(table->items);
    *table = (struct table){0};
}

static void table_add(struct table *table, struct mn_span key, struct mn_span value, uint64_t rev)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 16 : 2 * table->capacity;
        table->items = mn_realloc(table->items, table->capacity * sizeof *table->items);
    }
    table->items[table->count++] = (struct stored){mn_buf_copy(key), mn_buf_copy(value), rev};
}

struct node_curation *node_curation_new(void)
{
    return mn_alloc(sizeof(struct node_curation));
}

void node_curation_free(struct node_curation *curation)
{
    if (curation == NULL) return;
    table_clear(&curation->known);
    table_clear(&curation->incoming);
    mn_free(curation);
}

/* ---- the store ---- */

bool node_curation_recover(struct node *node, struct mn_span key, struct mn_span value)
{
    size_t prefix = strlen(STORE_PREFIX);

    if (key.size <= prefix || memcmp(key.data, STORE_PREFIX, prefix) != 0) return false;
    table_add(&node->curation->known, mn_span(key.data + prefix, key.size - prefix), value, 0);
    node->curation->is_dirty = node->curation->is_moved = true;
    return true;
}

static void store(struct node *node, struct mn_span key, const struct mn_buf *value,
                  struct edge_outbox *outbox)
{
    struct edge_output *write = edge_emit(outbox, EDGE_OUT_WRITE, ++node->writes_count);

    write->key = mn_span_str(
        mn_arena_format(outbox->arena, STORE_PREFIX "%.*s", (int)key.size, (const char *)key.data));
    if (value != NULL) write->bytes = mn_arena_copy(outbox->arena, mn_buf_span(value));
}

/* A pair that is not as it was: who wants to know? Of what a new member finds there are no events:
 * it happened before its time. */
static void note_change(struct node *node, struct mn_now now, const struct mn_buf *key, bool is_set)
{
    struct node_curation *curation = node->curation;

    if (node_owners_is_key(mn_buf_span(key))) {
        curation->is_moved = true;
        return;
    }
    curation->is_dirty = true;
    if (curation->is_read)
        mn_trace_span(&node->inner, now.mono, is_set ? MN_EV_CURATION_SET : MN_EV_CURATION_CLEARED,
                      NULL, 0, 0, mn_buf_span(key));
}

/* Writes what differs between the two, which are in order. */
static void store_changes(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    struct node_curation *curation = node->curation;
    const struct table *old = &curation->known, *new = &curation->incoming;
    uint32_t o = 0, n = 0;

    while (o < old->count || n < new->count) {
        int order = o == old->count   ? 1
                    : n == new->count ? -1
                                      : mn_span_compare(mn_buf_span(old->items[o].key),
                                                        mn_buf_span(new->items[n].key));
        const struct stored *changed = order < 0 ? &old->items[o] : &new->items[n];
        bool is_same = order == 0 && mn_span_equal(mn_buf_span(old->items[o].value),
                                                   mn_buf_span(new->items[n].value));
        if (!is_same) {
            store(node, mn_buf_span(changed->key), order < 0 ? NULL : changed->value, outbox);
            note_change(node, now, changed->key, order >= 0);
        } else if (old->items[o].rev != new->items[n].rev) {
            curation->is_moved = true; /* whoever writes an owner names the revision */
        }
        o += order <= 0;
        n += order >= 0;
    }
}

/* ---- reading ---- */

static void ask(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    struct node_curation *curation = node->curation;
    struct state_request request = {.type = STATE_READ,
                                    .space = STATE_SPACE_CURATION,
                                    .read.is_list = true,
                                    .read.limit = STRONG_LIST_MAX,
                                    .timeout = READ_TIMEOUT};

    if (curation->wants_page)
        request.read.after =
            mn_buf_span(curation->incoming.items[curation->incoming.count - 1].key);
    else
        table_clear(&curation->incoming);
    curation->pages_count = curation->wants_page ? curation->pages_count + 1 : 1;
    curation->wants_page = curation->is_due = false;
    curation->is_reading = true;
    request.ticket = ++curation->ticket | TICKET_BIT;
    node_step_state(node, now, &(struct state_input){.type = STATE_IN_REQUEST, .request = &request},
                    outbox);
}

bool node_curation_on_answer(struct node *node, struct mn_now now,
                             const struct state_answer *answer, struct edge_outbox *outbox)
{
    struct node_curation *curation = node->curation;
    mn_time poll = POLL_HOLDER;

    if ((answer->ticket & TICKET_BIT) == 0) return false;
    if (answer->ticket != (curation->ticket | TICKET_BIT)) return true;
    curation->is_reading = false;
    if (answer->status != MN_OK) {
        curation->next = mn_time_after(now.mono, RETRY);
        return true;
    }
    for (uint32_t i = 0; i < answer->pairs_count; i++)
        table_add(&curation->incoming, answer->pairs[i].key, answer->pairs[i].value,
                  answer->pairs[i].rev);
    if (answer->has_more && answer->pairs_count > 0) {
        curation->wants_page = true;
        return true;
    }
    store_changes(node, now, outbox);
    table_clear(&curation->known);
    curation->known = curation->incoming;
    curation->incoming = (struct table){0};
    if (!curation->is_read) curation->is_moved = true;
    curation->is_read = true;
    if (!state_holds(node->state)) poll = POLL_OTHER + curation->pages_count * MN_SEC;
    curation->next = mn_time_after(now.mono, poll);
    return true;
}

/* Changes that this node has applied itself. */
static void watch(struct node *node, struct mn_now now)
{
    struct node_curation *curation = node->curation;
    const struct strong *strong = state_strong(node->state);
    const struct strong_change *change;
    mn_status status;

    while ((status = strong_change_after(strong, curation->seen, &change)) == MN_OK) {
        curation->seen = (struct strong_place){change->rev, change->part};
        if (change->key->size > 0 && change->key->bytes[0] == (uint8_t)STATE_SPACE_CURATION[0])
            curation->is_due = true;
        else
            node_feeds_touch(node, now, NODE_MESH_STATE);
    }
    if (status != MN_EXPIRED) return;
    curation->seen = (struct strong_place){strong_stats(strong).rev, STRONG_PART_ALL};
    curation->is_due = true;
}

static void tell_gateway(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    const struct table *known = &node->curation->known;
    struct mcp_input input = {.type = MCP_IN_CURATION};
    struct curation_pair *pairs = mn_arena_alloc(&node->arena, known->count * sizeof *pairs);

    for (uint32_t i = 0; i < known->count; i++)
        if (!node_owners_is_key(mn_buf_span(known->items[i].key)))
            pairs[input.pairs_count++] = (struct curation_pair){mn_buf_span(known->items[i].key),
                                                                mn_buf_span(known->items[i].value)};
    input.pairs = pairs;
    node->curation->is_dirty = false;
    node_feeds_touch(node, now, NODE_MESH_TOOLS);
    node_step_mcp(node, now, &input, outbox);
}

static void tell_owners(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    const struct table *known = &node->curation->known;
    struct node_owners_pair *pairs = mn_arena_alloc(&node->arena, known->count * sizeof *pairs);
    uint32_t count = 0;

    for (uint32_t i = 0; i < known->count; i++)
        if (node_owners_is_key(mn_buf_span(known->items[i].key)))
            pairs[count++] =
                (struct node_owners_pair){mn_buf_span(known->items[i].key),
                                          mn_buf_span(known->items[i].value), known->items[i].rev};
    node->curation->is_moved = false;
    node_owners_load(node, now, pairs, count, node->curation->is_read, outbox);
}

void node_curation_touch(struct node *node)
{
    node->curation->is_due = true;
}

void node_curation_tick(struct node *node, struct mn_now now, struct edge_outbox *outbox)
{
    struct node_curation *curation = node->curation;

    if (node->is_state_started) watch(node, now);
    if (node->is_state_started && !curation->is_reading &&
        (curation->is_due || curation->wants_page || curation->next <= now.mono))
        ask(node, now, outbox);
    if (curation->is_moved) tell_owners(node, now, outbox);
    if (curation->is_dirty) tell_gateway(node, now, outbox);
}

mn_time node_curation_deadline(const struct node *node)
{
    const struct node_curation *curation = node->curation;

    if (curation->is_dirty || curation->is_moved) return 0;
    if (!node->is_state_started || curation->is_reading) return MN_TIME_NEVER;
    return curation->wants_page || curation->is_due ? 0 : curation->next;
}
