/* Arbitrary packets of two other members into node 1 of three groups. Items of the input: u8 who
 * (1, 2: the member that sends; 0: time passes), u16 size, bytes. Of time: the size in ms. */
#include <sodium.h>
#include <stdlib.h>

#include "consensus/groups.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mn_now now;
static struct groups *groups;
static struct mn_arena arena;
static uint64_t writes;

static void step(const struct groups_input *input)
{
    struct groups_outbox outbox = {.arena = &arena};
    struct groups_input durable = {.type = GROUPS_IN_DURABLE};

    groups_step(groups, now, input, &outbox);
    groups_outbox_reset(&outbox);
    mn_arena_reset(&arena);
    groups_check(groups);
    if (input->type == GROUPS_IN_DURABLE) return;
    durable.durable.write = writes;
    step(&durable);
}

static void start(void)
{
    struct groups_config config = groups_config_default();
    struct raft_recovered recovered = {.snapshot.config.members_count = 3};

    now = (struct mn_now){MN_SEC, MN_SEC};
    writes = 0;
    config.raft.self.bytes[15] = 1;
    config.writes_count = &writes;
    for (uint32_t i = 0; i < 3; i++) {
        recovered.snapshot.config.members[i].id.bytes[15] = (uint8_t)(i + 1);
        recovered.snapshot.config.members[i].weight = 1;
    }
    MN_ASSERT(groups_new(&config, now, &groups) == MN_OK);
    for (uint64_t g = 1; g <= 3; g++)
        MN_ASSERT(groups_open(groups, now, g, &recovered) == MN_OK);
    step(&(struct groups_input){.type = GROUPS_IN_TICK});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (sodium_init() < 0) return 0;
    start();
    while (size >= 3) {
        struct groups_input input = {.type = GROUPS_IN_PACKET};
        size_t length = (size_t)data[1] << 8 | data[2];
        uint8_t who = data[0];
        data += 3;
        size -= 3;
        if (who == 0) {
            now.mono += length * MN_MS;
            step(&(struct groups_input){.type = GROUPS_IN_TICK});
            continue;
        }
        if (length > size) length = size;
        input.packet.from.bytes[15] = (uint8_t)(2 + who % 2);
        input.packet.bytes = mn_span(data, length);
        step(&input);
        data += length;
        size -= length;
    }
    groups_free(groups);
    mn_arena_done(&arena);
    return 0;
}
