/* How fast one member may have this node write: each change of a record that it tells goes to the
 * store, too, and the bounds of records.h are those of what is kept, not of how often it changes.
 * A bucket of bytes for each member, as full as everything that may be kept here, so that whoever
 * moves all of it at once (a node came, a cut healed) never meets it. */
#include "node/mcp/records/records_internal.h"

struct records_pace {
    struct mn_map_entry by_node;
    mn_id node;
    size_t left; /* bytes */
    mn_time at;  /* when it was so much */
};

static void pace_fill(struct records_pace *pace, mn_time now)
{
    mn_time passed = now - pace->at;
    size_t missing = RECORDS_PACE_MAX - pace->left;

    pace->at = now;
    if (passed >= missing / RECORDS_PACE + 1)
        pace->left = RECORDS_PACE_MAX;
    else
        pace->left += (size_t)passed * RECORDS_PACE;
}

/* Those that would be full again say nothing. */
static void pace_forget_idle(struct records *records)
{
    struct mn_map_entry *entry = mn_map_next(&records->paces, NULL), *next;

    for (; entry != NULL; entry = next) {
        struct records_pace *pace = MN_CONTAINER(entry, struct records_pace, by_node);
        next = mn_map_next(&records->paces, entry);
        pace_fill(pace, records->now.mono);
        if (pace->left < RECORDS_PACE_MAX) continue;
        mn_map_remove(&records->paces, entry);
        mn_free(pace);
    }
}

static struct records_pace *pace_of(struct records *records, const mn_id *node)
{
    struct mn_span key = mn_span(node->bytes, sizeof node->bytes);
    struct mn_map_entry *entry = mn_map_find(&records->paces, key);
    struct records_pace *pace;

    if (entry != NULL) return MN_CONTAINER(entry, struct records_pace, by_node);
    if (records->paces.count >= RECORDS_NODES_MAX) pace_forget_idle(records);
    if (records->paces.count >= RECORDS_NODES_MAX) return NULL;
    pace = mn_alloc(sizeof *pace);
    pace->node = *node;
    pace->left = RECORDS_PACE_MAX;
    pace->at = records->now.mono;
    mn_map_insert(&records->paces, &pace->by_node, mn_span(pace->node.bytes, sizeof pace->node));
    return pace;
}

bool records_pace_take(struct records *records, const mn_id *node, size_t size)
{
    struct records_pace *pace = pace_of(records, node);

    size += RECORDS_PACE_EACH;
    if (pace != NULL) pace_fill(pace, records->now.mono);
    if (pace == NULL || pace->left < size) {
        records->stats.throttled++;
        return false;
    }
    pace->left -= size;
    return true;
}

void records_pace_done(struct records *records)
{
    struct mn_map_entry *entry;

    while ((entry = mn_map_next(&records->paces, NULL)) != NULL) {
        struct records_pace *pace = MN_CONTAINER(entry, struct records_pace, by_node);
        mn_map_remove(&records->paces, entry);
        mn_free(pace);
    }
    mn_map_done(&records->paces);
}
