/* JOIN messages of guests: decoded and judged. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/invite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t other_link[INVITE_JOIN_HASH_SIZE] = {1};
    struct mn_arena arena = {0};
    struct invite_join join;

    if (sodium_init() < 0) abort();
    if (invite_join_decode(mn_span(data, size), &arena, &join) == MN_OK) {
        if (!grant_name_is_valid(mn_span_str(join.name))) abort();
        mn_status status = invite_join_check(&join, &join.mesh_id, other_link);
        if (status == MN_OK && join.handshake[0] != 1) abort();
        status = invite_join_check(&join, &join.mesh_id, NULL);
        (void)status;
    }
    mn_arena_done(&arena);
    return 0;
}
