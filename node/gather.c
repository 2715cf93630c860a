#include "node/gather.h"

#include "proto/base/check.h"
#include "proto/base/memory.h"

#define HEAD_SIZE 9u

void gather_init(struct gather *gather)
{
    *gather = (struct gather){0};
    mn_list_init(&gather->runs);
}

void gather_done(struct gather *gather)
{
    while (!mn_list_is_empty(&gather->runs))
        gather_drop(gather, MN_CONTAINER(gather->runs.next, struct gather_run, list));
}

struct gather_run *gather_begin(struct gather *gather, mn_time now, uint64_t ticket,
                                mn_time timeout, const mn_id *nodes, uint32_t count)
{
    struct gather_run *run;

    if (gather->runs_count == GATHER_RUNS_MAX || count > GATHER_NODES_MAX) return NULL;
    run = mn_alloc(sizeof *run + count * sizeof *run->nodes);
    run->number = ++gather->number_last;
    run->ticket = ticket;
    run->begun = now;
    run->deadline = mn_time_after(now, timeout);
    run->nodes_count = run->waiting_count = count;
    for (uint32_t i = 0; i < count; i++)
        run->nodes[i].id = nodes[i];
    mn_list_push_back(&gather->runs, &run->list);
    gather->runs_count++;
    return run;
}

static void run_on_answer(struct gather_run *run, const mn_id *from, struct mn_buf *json)
{
    for (uint32_t i = 0; i < run->nodes_count; i++) {
        struct gather_node *node = &run->nodes[i];
        if (!mn_id_equal(&node->id, from) || node->is_over) continue;
        node->json = mn_buf_ref(json);
        node->is_over = true;
        run->waiting_count--;
    }
}

void gather_on_answer(struct gather *gather, uint64_t number, const mn_id *from,
                      struct mn_buf *json)
{
    MN_LIST_FOR_EACH (entry, &gather->runs) {
        struct gather_run *run = MN_CONTAINER(entry, struct gather_run, list);
        if (run->number == number) run_on_answer(run, from, json);
    }
}

void gather_on_down(struct gather *gather, const mn_id *node)
{
    MN_LIST_FOR_EACH (entry, &gather->runs)
        run_on_answer(MN_CONTAINER(entry, struct gather_run, list), node, NULL);
}

struct gather_run *gather_next(const struct gather *gather, mn_time now)
{
    MN_LIST_FOR_EACH (entry, &gather->runs) {
        struct gather_run *run = MN_CONTAINER(entry, struct gather_run, list);
        if (run->waiting_count == 0 || run->deadline <= now) return run;
    }
    return NULL;
}

mn_time gather_deadline(const struct gather *gather)
{
    mn_time at = MN_TIME_NEVER;

    MN_LIST_FOR_EACH (entry, &gather->runs) {
        const struct gather_run *run = MN_CONTAINER(entry, struct gather_run, list);
        at = mn_time_min(at, run->waiting_count == 0 ? 0 : run->deadline);
    }
    return at;
}

void gather_drop(struct gather *gather, struct gather_run *run)
{
    for (uint32_t i = 0; i < run->nodes_count; i++)
        mn_buf_unref(run->nodes[i].json);
    mn_list_remove(&run->list);
    gather->runs_count--;
    mn_free(run);
}

void gather_check(const struct gather *gather)
{
    uint32_t count = 0;

    MN_LIST_FOR_EACH (entry, &gather->runs) {
        const struct gather_run *run = MN_CONTAINER(entry, struct gather_run, list);
        uint32_t waiting = 0;
        for (uint32_t i = 0; i < run->nodes_count; i++) {
            MN_ASSERT(run->nodes[i].json == NULL || run->nodes[i].is_over);
            waiting += !run->nodes[i].is_over;
        }
        MN_ASSERT(waiting == run->waiting_count);
        count++;
    }
    MN_ASSERT(count == gather->runs_count && count <= GATHER_RUNS_MAX);
}

struct mn_buf *gather_encode(enum gather_kind kind, uint64_t number, struct mn_span json)
{
    struct mn_buf *buf = mn_buf_new(HEAD_SIZE + json.size);

    MN_ASSERT(json.size <= GATHER_JSON_MAX);
    buf->bytes[0] = (uint8_t)kind;
    mn_store_u64(buf->bytes + 1, number);
    if (json.size > 0) memcpy(buf->bytes + HEAD_SIZE, json.data, json.size);
    return buf;
}

bool gather_decode(struct mn_span bytes, enum gather_kind *kind, uint64_t *number,
                   struct mn_span *json)
{
    if (bytes.size < HEAD_SIZE || bytes.size > HEAD_SIZE + GATHER_JSON_MAX) return false;
    if (bytes.data[0] != GATHER_ASK && bytes.data[0] != GATHER_ANSWER) return false;
    *kind = (enum gather_kind)bytes.data[0];
    *number = mn_load_u64(bytes.data + 1);
    *json = mn_span(bytes.data + HEAD_SIZE, bytes.size - HEAD_SIZE);
    return *kind == GATHER_ANSWER || json->size == 0;
}
