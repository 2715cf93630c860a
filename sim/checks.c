/* What must hold: after every step the node's own invariants, in the end the truth about members,
 * lists and calls. */
#include <stdio.h>

#include "mesh/membership.h"
#include "node/core/core.h"
#include "proto/base/memory.h"
#include "sim/sim.h"

void sim_check_step(struct sim_host *host)
{
    node_check(host->node);
}

/* Everybody who runs is known to be alive by everybody who runs. */
static void check_members(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        const struct core *core = node_core(sim->hosts[i].node);
        const struct membership *membership = core_membership(core);
        if (membership == NULL) {
            sim_fail(sim, "%s is not a member at the end", sim->hosts[i].name);
            return;
        }
        for (uint32_t k = 0; k < sim->hosts_count; k++) {
            mn_id id = core_self(node_core(sim->hosts[k].node)).node_id;
            const struct member *member = membership_find(membership, &id);
            if (i == k) continue;
            if (member == NULL || member->status != MEMBER_ALIVE)
                sim_fail(sim, "%s does not know that %s is alive", sim->hosts[i].name,
                         sim->hosts[k].name);
        }
    }
}

struct lists {
    struct mn_buf *first; /* the list as the first host tells it */
    uint32_t count;
};

static uint32_t count_text(struct mn_span text, const char *word)
{
    uint32_t count = 0;
    size_t size = strlen(word);

    for (size_t i = 0; i + size <= text.size; i++)
        if (memcmp(text.data + i, word, size) == 0) count++;
    return count;
}

/* The names of the tools of a list, for people: "a b c". */
static const char *list_names(struct mn_span body, char *text, size_t size)
{
    static const char mark[] = "{\"name\":\"";
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i + sizeof mark < body.size; i++) {
        const uint8_t *name = body.data + i + sizeof mark - 1, *end;
        if (memcmp(body.data + i, mark, sizeof mark - 1) != 0) continue;
        end = memchr(name, '"', body.size - i - (sizeof mark - 1));
        if (end == NULL || used + (size_t)(end - name) + 2 > size) break;
        used += (size_t)snprintf(text + used, size - used, "%.*s ", (int)(end - name),
                                 (const char *)name);
    }
    return text;
}

static void lists_done(struct sim *sim, struct sim_host *host, struct mn_span body, void *context)
{
    struct lists *lists = context;
    uint32_t tools = count_text(body, "\"inputSchema\""), want = 2 * (sim->hosts_count + 1);
    char names[400];

    lists->count++;
    if (lists->first == NULL) lists->first = mn_buf_copy(body);
    if (!mn_span_equal(mn_buf_span(lists->first), body))
        sim_fail(sim, "%s lists other tools than the first host: %s", host->name,
                 list_names(body, names, sizeof names));
    if (tools != want)
        sim_fail(sim, "%s lists %u tools instead of %u: %s", host->name, tools, want,
                 list_names(body, names, sizeof names));
}

static void check_lists(struct sim *sim)
{
    struct lists lists = {0};

    for (uint32_t i = 0; i < sim->hosts_count; i++)
        sim_client_list(&sim->hosts[i], lists_done, &lists);
    sim_run_until(sim, sim->time + 1 * MN_SEC);
    if (lists.count != sim->hosts_count && !sim->has_failed)
        sim_fail(sim, "only %u of %u hosts answered tools/list", lists.count, sim->hosts_count);
    mn_buf_unref(lists.first);
}

/* A failure that promises that nothing was executed. */
static bool reason_is_certain(const char *reason)
{
    static const char *const certain[] = {"not_found", "conflict", "unavailable", "busy"};

    for (size_t i = 0; i < sizeof certain / sizeof *certain; i++)
        if (strcmp(reason, certain[i]) == 0) return true;
    return false;
}

static void check_call(struct sim *sim, const struct sim_call *call)
{
    if (call->state == SIM_CALL_OPEN) sim_fail(sim, "call %s was never answered", call->key);
    if (!call->is_idempotent && call->executions > 1)
        sim_fail(sim, "call %s was executed %u times", call->key, call->executions);
    if (call->state == SIM_CALL_ANSWERED && call->executions == 0)
        sim_fail(sim, "call %s was answered but not executed", call->key);
    if (call->state == SIM_CALL_FAILED && !call->is_idempotent && call->executions > 0 &&
        reason_is_certain(call->reason))
        sim_fail(sim, "call %s failed as %s, but was executed", call->key, call->reason);
    if (call->state == SIM_CALL_FAILED && call->reason[0] == '\0')
        sim_fail(sim, "call %s failed without a reason", call->key);
}

static void check_calls(struct sim *sim)
{
    for (struct mn_map_entry *e = mn_map_next(&sim->calls, NULL); e != NULL;
         e = mn_map_next(&sim->calls, e))
        check_call(sim, MN_CONTAINER(e, struct sim_call, entry));
    if (sim->stats.calls > 100 && sim->stats.answered * 10 < sim->stats.calls)
        sim_fail(sim, "only %llu of %llu calls were answered",
                 (unsigned long long)sim->stats.answered, (unsigned long long)sim->stats.calls);
}

void sim_check_end(struct sim *sim)
{
    check_members(sim);
    check_lists(sim);
    check_calls(sim);
}
