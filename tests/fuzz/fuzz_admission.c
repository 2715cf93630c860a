/* Arbitrary messages in arbitrary order into the steps of a founder, which sponsors and issues, and
 * of a joiner. Input: items of kind and link (1 byte), size (2 bytes), bytes. Nobody without a
 * token becomes a member by them. */
#include <sodium.h>
#include <stdlib.h>

#include "mesh/admission.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
    struct identity identity;
    struct admission *admission;
    struct mn_arena arena;
    struct mn_now now;
};

static void step(struct side *side, const struct admission_input *input)
{
    struct admission_outbox outbox = {.arena = &side->arena};

    side->now.mono += MN_MS;
    side->now.wall += MN_MS;
    admission_step(side->admission, side->now, input, &outbox);
    admission_check(side->admission);
    mn_arena_reset(&side->arena);
}

static void start(struct side *side, uint8_t number)
{
    uint8_t seed[IDENTITY_SEED_SIZE] = {number};
    struct admission_config config = {.name = "n",
                                      .region = "",
                                      .seed = {number},
                                      .grant_ttl_ms = AUTHORITY_TTL_DEFAULT_MS,
                                      .memory_max = 1 << 18};

    identity_init(&side->identity, seed);
    config.self = &side->identity;
    side->admission = admission_new(&config);
    side->now = (struct mn_now){MN_SEC, 20000 * MN_DAY};
    step(side, &(struct admission_input){.type = ADMISSION_IN_RECOVERED});
}

static void link_up(struct side *side, const struct side *peer, uint64_t link,
                    enum admission_link_kind kind)
{
    struct admission_input input = {.type = ADMISSION_IN_LINK_UP};

    input.link_up =
        (struct admission_link){.link = link, .kind = kind, .node_id = peer->identity.node_id};
    memcpy(input.link_up.sign_pk, peer->identity.key.pk, SIGN_PK_SIZE);
    memcpy(input.link_up.noise_pk, peer->identity.noise_pk, IDENTITY_NOISE_SIZE);
    input.link_up.grant = admission_grant_bytes(peer->admission);
    step(side, &input);
}

static void say(struct side *side, uint64_t link, struct mn_span bytes)
{
    struct admission_input input = {.type = ADMISSION_IN_MESSAGE};

    input.message.link = link;
    input.message.bytes = bytes;
    step(side, &input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct side founder = {0}, joiner = {0}, stranger = {0};

    if (sodium_init() < 0) abort();
    start(&founder, 1);
    start(&joiner, 2);
    start(&stranger, 3);
    step(&founder, &(struct admission_input){.type = ADMISSION_IN_FOUND});
    step(&joiner, &(struct admission_input){.type = ADMISSION_IN_JOIN});
    link_up(&founder, &stranger, 1, ADMISSION_LINK_GUEST);
    link_up(&founder, &stranger, 2, ADMISSION_LINK_MEMBER);
    link_up(&joiner, &founder, 3, ADMISSION_LINK_SPONSOR);

    while (size >= 3) {
        uint64_t link = 1 + data[0] % 3;
        size_t item_size = mn_load_u16(data + 1);

        data += 3;
        size -= 3;
        if (item_size > size) item_size = size;
        say(link == 3 ? &joiner : &founder, link, mn_span(data, item_size));
        data += item_size;
        size -= item_size;
    }
    if (admission_state(joiner.admission) == ADMISSION_MEMBER) abort();
    if (admission_counts(founder.admission).joins_admitted > 0) abort();
    admission_free(founder.admission);
    admission_free(joiner.admission);
    admission_free(stranger.admission);
    mn_arena_done(&founder.arena);
    mn_arena_done(&joiner.arena);
    mn_arena_done(&stranger.arena);
    return 0;
}
