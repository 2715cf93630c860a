/* Handshake messages of strangers, read as message 1, 2 and 3, and transport messages. The first
 * byte chooses; nobody without the keys gets a handshake done. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_side(struct noise *noise, bool is_initiator)
{
    uint8_t secret[NOISE_KEY_SIZE] = {0}, public[NOISE_KEY_SIZE], ephemeral[NOISE_KEY_SIZE] = {9};

    secret[0] = is_initiator ? 1 : 2;
    ephemeral[1] = secret[0];
    if (crypto_scalarmult_base(public, secret) != 0) abort();
    noise_init(noise, &(struct noise_config){.is_initiator = is_initiator,
                                             .prologue = mn_span("fuzz", 4),
                                             .static_sk = secret,
                                             .static_pk = public,
                                             .ephemeral_sk = ephemeral});
}

/* Two sides after [messages] honest messages. */
static void exchange(struct noise *initiator, struct noise *responder, unsigned messages)
{
    uint8_t message[512], payload[512];
    size_t size, payload_size;

    make_side(initiator, true);
    make_side(responder, false);
    for (unsigned i = 0; i < messages; i++) {
        struct noise *from = i % 2 == 0 ? initiator : responder;
        struct noise *to = i % 2 == 0 ? responder : initiator;
        if (noise_write(from, mn_span(NULL, 0), message, sizeof message, &size) != MN_OK) abort();
        if (noise_read(to, mn_span(message, size), payload, sizeof payload, &payload_size) != MN_OK)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t payload[NOISE_MESSAGE_MAX];
    struct noise initiator, responder, *reader;
    struct noise_cipher send, receive;
    unsigned messages;
    size_t payload_size;

    if (sodium_init() < 0) abort();
    if (size == 0) return 0;
    messages = data[0] % 4;
    data++;
    size--;
    exchange(&initiator, &responder, messages);
    if (messages == 3) {
        noise_split(&initiator, &send, &receive);
        if (size <= NOISE_MESSAGE_MAX && noise_open(&receive, data, size, payload) == MN_OK)
            abort();
        return 0;
    }
    reader = messages == 1 ? &initiator : &responder;
    if (noise_read(reader, mn_span(data, size), payload, sizeof payload, &payload_size) == MN_OK &&
        messages > 0)
        abort();
    if (noise_is_done(reader)) abort();
    return 0;
}
