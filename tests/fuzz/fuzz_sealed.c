/* Sealed strings, as clients send them: the first byte chooses the kind, the rest is the string. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[SEALED_KEY_SIZE] = {1};
    static const struct keyring empty = {.count = 0};
    struct sealed_scope scope = {.what = SEALED_SESSION};
    struct mn_arena arena = {0};
    struct mn_span text, plain;
    uint32_t key_id;

    if (sodium_init() < 0) abort();
    if (size == 0) return 0;
    scope.what = (enum sealed_what)(1 + data[0] % 5);
    text = mn_span(data + 1, size - 1);
    /* Nobody but who has the key makes one. */
    if (sealed_open(text, &scope, key, 0, &arena, &plain) == MN_OK) abort();
    if (keyring_open(&empty, 0, text, &scope, &arena, &plain, &key_id) == MN_OK) abort();
    mn_arena_done(&arena);
    return 0;
}
