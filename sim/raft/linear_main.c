/* linearcheck: judges histories of real clients with the simulator's own checker. One operation per
 * line on stdin: KEY put|cas|get VALUE EXPECTED RESULT CALLED RETURNED. Numbers; times in
 * microseconds, RETURNED - for no answer; RESULT of a get is the value seen (0: none), of a cas 1
 * or 0. Exit 0: each key's history is linearizable. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/raft/raft_sim.h"

#define KEYS_MAX 65536u /* 13 KiB each */

struct history {
    struct mn_map_entry entry;
    char key[64];
    struct raft_history ops;
};

static struct mn_map histories;
static uint32_t histories_count;

static struct raft_history *history_of(const char *key)
{
    struct mn_map_entry *entry = mn_map_find(&histories, mn_span_str(key));
    struct history *history;

    if (entry != NULL) return &MN_CONTAINER(entry, struct history, entry)->ops;
    if (histories_count == KEYS_MAX) return NULL;
    histories_count++;
    history = mn_alloc(sizeof *history);
    snprintf(history->key, sizeof history->key, "%s", key);
    history->ops.count = 0;
    mn_map_insert(&histories, &history->entry, mn_span_str(history->key));
    return &history->ops;
}

static bool read_op(const char *line, char key[64], struct raft_op *op)
{
    char kind[8], returned[24];
    struct raft_command *command = &op->command;

    *op = (struct raft_op){0};
    if (sscanf(line, "%63s %7s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %23s", key, kind,
               &command->value, &command->expected, &op->result, &op->called, returned) != 7)
        return false;
    command->kind = RAFT_OP_GET;
    if (strcmp(kind, "put") == 0) command->kind = RAFT_OP_PUT;
    if (strcmp(kind, "cas") == 0) command->kind = RAFT_OP_CAS;
    op->returned = MN_TIME_NEVER;
    if (strcmp(returned, "-") != 0) op->returned = strtoull(returned, NULL, 10);
    return command->kind != RAFT_OP_GET || strcmp(kind, "get") == 0;
}

/* Judges and frees them. */
static int judge(void)
{
    struct mn_map_entry *entry;
    uint32_t failed = 0;
    uint64_t ops = 0;

    while ((entry = mn_map_next(&histories, NULL)) != NULL) {
        struct history *history = MN_CONTAINER(entry, struct history, entry);
        ops += history->ops.count;
        if (!raft_linear_check(history->ops.ops, history->ops.count)) {
            printf("key %s: no order of its operations explains all answers\n", history->key);
            failed++;
        }
        mn_map_remove(&histories, entry);
        mn_free(history);
    }
    mn_map_done(&histories);
    printf("%" PRIu64 " operations on %u keys, %u not linearizable\n", ops, histories_count,
           failed);
    return failed == 0 && ops > 0 ? 0 : 1;
}

int main(void)
{
    char line[256], key[64];
    struct raft_op op;

    mn_map_init(&histories, 1);
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct raft_history *history = NULL;
        if (read_op(line, key, &op)) history = history_of(key);
        if (history == NULL || history->count == RAFT_OPS_MAX) {
            fprintf(stderr,
                    "linearcheck: more than %u keys, or %u operations on one, or no operation: %s",
                    KEYS_MAX, RAFT_OPS_MAX, line);
            return 2;
        }
        history->ops[history->count++] = op;
    }
    return judge();
}
