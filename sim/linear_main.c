/* linearcheck: judges histories of real clients with the simulator's own checker. One operation per
 * line on stdin: KEY put|cas|get VALUE EXPECTED RESULT CALLED RETURNED. Numbers; times in
 * microseconds, RETURNED - for no answer; RESULT of a get is the value seen (0: none), of a cas 1
 * or 0. Exit 0: each key's history is linearizable. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/raft_sim.h"

#define KEYS_MAX 1024

struct history {
    char key[64];
    struct raft_history ops;
};

static struct history *histories;
static uint32_t histories_count;

static struct raft_history *history_of(const char *key)
{
    for (uint32_t i = 0; i < histories_count; i++)
        if (strcmp(histories[i].key, key) == 0) return &histories[i].ops;
    if (histories_count == KEYS_MAX) return NULL;
    snprintf(histories[histories_count].key, sizeof histories->key, "%s", key);
    return &histories[histories_count++].ops;
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

static int judge(void)
{
    uint32_t ops = 0, failed = 0;

    for (uint32_t i = 0; i < histories_count; i++) {
        ops += histories[i].ops.count;
        if (raft_linear_check(histories[i].ops.ops, histories[i].ops.count)) continue;
        printf("key %s: no order of its operations explains all answers\n", histories[i].key);
        failed++;
    }
    printf("%u operations on %u keys, %u not linearizable\n", ops, histories_count, failed);
    return failed == 0 && ops > 0 ? 0 : 1;
}

int main(void)
{
    char line[256], key[64];
    struct raft_op op;
    int status;

    histories = mn_alloc(KEYS_MAX * sizeof *histories);
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct raft_history *history = NULL;
        if (read_op(line, key, &op)) history = history_of(key);
        if (history == NULL || history->count == RAFT_OPS_MAX) {
            fprintf(stderr, "linearcheck: cannot take: %s", line);
            return 2;
        }
        history->ops[history->count++] = op;
    }
    status = judge();
    mn_free(histories);
    return status;
}
