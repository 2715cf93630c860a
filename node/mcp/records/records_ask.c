/* Records that this node does not have, and asks others for. */
#include "node/mcp/records/records_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

struct ask *records_ask_find(const struct records *records, const struct records_key *key)
{
    struct mn_map_entry *entry = mn_map_find(&records->asks, records_key_span(key));
    return entry == NULL ? NULL : MN_CONTAINER(entry, struct ask, by_key);
}

void records_ask_free(struct records *records, struct ask *ask)
{
    mn_map_remove(&records->asks, &ask->by_key);
    mn_list_remove(&ask->in_asks);
    mn_free(ask);
}

void records_ask_end(struct records *records, struct ask *ask)
{
    struct records_key key = ask->key;

    records_ask_free(records, ask);
    records_emit_record(records, RECORDS_OUT_FOUND, &key);
}

void records_ask_answered(struct records *records, struct ask *ask, const mn_id *node)
{
    for (uint32_t i = 0; i < ask->nodes_count; i++) {
        if (!mn_id_equal(&ask->nodes[i], node)) continue;
        ask->nodes[i] = ask->nodes[--ask->nodes_count];
        break;
    }
    if (ask->is_late && records_find(records, &ask->key) != NULL)
        records_ask_end(records, ask);
    else if (ask->nodes_count == 0 && !ask->is_early)
        records_ask_end(records, ask);
}

void records_ask_send(struct records *records, struct ask *ask)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Ask asked = MESHNODE__RECORD__ASK__INIT;
    mn_id nodes[RECORDS_ASKED];
    uint32_t count = records_pick(records, &ask->key, nodes, RECORDS_ASKED);

    asked.key = pb_bytes(records_key_span(&ask->key));
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_ASK;
    packet.ask = &asked;
    for (uint32_t i = 0; i < count; i++) {
        if (records_is_among(ask->asked, ask->asked_count, &nodes[i]) ||
            ask->asked_count == RECORDS_ASKED * 2 || ask->nodes_count == RECORDS_ASKED)
            continue;
        ask->asked[ask->asked_count++] = nodes[i];
        ask->nodes[ask->nodes_count++] = nodes[i];
        records_emit_send(records, &nodes[i], &packet, &ask->key);
    }
}

/* In the order of their times. */
static void ask_enter(struct records *records, struct ask *ask)
{
    struct mn_list *after = records->asks_order.prev;

    while (after != &records->asks_order &&
           MN_CONTAINER(after, struct ask, in_asks)->until > ask->until)
        after = after->prev;
    mn_list_insert_before(after->next, &ask->in_asks);
}

void records_ask_on_time(struct records *records, struct ask *ask)
{
    bool is_open = ask->nodes_count > 0 || ask->is_early;

    if (records_find(records, &ask->key) != NULL || !is_open ||
        ask->give_up_at <= records->now.mono) {
        MN_PROBE("records: not all that were asked have answered");
        records_ask_end(records, ask);
        return;
    }
    MN_PROBE("records: nobody has shown it yet, and it is waited for");
    ask->is_late = true;
    ask->until = mn_time_min(ask->give_up_at, mn_time_after(records->now.mono, RECORDS_ASK_WAIT));
    mn_list_remove(&ask->in_asks);
    ask_enter(records, ask);
    records_ask_send(records, ask);
}

void records_ask_begin(struct records *records, const struct records_key *key)
{
    const struct record *record = records_find(records, key);
    mn_time since = records->now.mono - records->grown_at;
    bool is_early = since < (records->nodes_count == 0 ? RECORDS_LOST_WAIT : RECORDS_YOUNG);
    struct ask *ask = records_ask_find(records, key);

    if (ask != NULL) return; /* one answer for all */
    if ((record != NULL && record->is_ended) || (records->nodes_count == 0 && !is_early) ||
        records->asks.count >= RECORDS_ASKS_MAX) {
        records_emit_record(records, RECORDS_OUT_FOUND, key);
        return;
    }
    ask = mn_alloc(sizeof *ask);
    ask->key = *key;
    ask->until = mn_time_after(records->now.mono, RECORDS_ASK_WAIT);
    ask->give_up_at = mn_time_after(records->now.mono, RECORDS_LOST_WAIT);
    ask->is_early = is_early;
    mn_map_insert(&records->asks, &ask->by_key, records_key_span(&ask->key));
    ask_enter(records, ask);
    records_ask_send(records, ask);
}
